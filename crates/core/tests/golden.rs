//! Records of every kind, as version 1 wrote them, are read to the same state for ever.
//!
//! `golden/records-v1.bin` never changes. `golden/records-v1.txt` is the digest's text after its replay: it changes only
//! when the digest learns to show more, and the difference must then be additions.
//! `TIDEGATE_GOLDEN_WRITE=1 cargo test -p tidegate-core --test golden same_state` writes both anew; do so only for a new
//! version of the records, under a new name.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;
use support::script::check_in;
use support::{Frame, World};
use tidegate_core::id::Time;
use tidegate_core::record::{Record, RecordMessage};

/// How many kinds of records version 1 has.
const KINDS: usize = 23;

/// A frame as the golden file keeps it, each with its length before it.
#[derive(Clone, PartialEq, Message)]
struct GoldenFrame {
    #[prost(uint64, tag = "1")]
    sequence: u64,
    #[prost(uint64, tag = "2")]
    time: u64,
    #[prost(bytes = "vec", repeated, tag = "3")]
    records: Vec<Vec<u8>>,
}

/// What happened in the golden log. After each half a walk restates everything.
const BEFORE: &str = "
    configure attempts=2 delay=1000 jitter=10 lease_ms=9000 jobs_max=50 retain_ms=60000 on_failure=skip
    configure queue=other retain_max=1
    enqueue kind=a priority=0 fairness_key=f dependency=mail | kind=b run_in=5000 expires_in=9000 | key=k | key=k
    enqueue key=p on_failure=park attempts=1 | key=p | key=s on_failure=skip attempts=3 | key=s | unique=u until=99000
    enqueue queue=other times=3 expires_in=2000 | unique=v until=started | unique=w
    lease 4 worker=anna                 -> 1 3 5 7
    extend 1 progress=half for=20000
    complete 3 result=64
    fail 5 kind=io dependency=disk : row 17 is gone
    fail 7 : it broke
    as a/1 lease 2 worker=bert
    as b/2 enqueue len=10
    pause queue=other
    pause key=j
    resume queue=other
    after 2000
    cancel 4
    lease from=other
    after 500
";
const AFTER: &str = "
    lease from=other worker=carl
    release 14
    edit 5 len=30
    redrive queue=q ids=5 rate=1 stop=3 -> 1 moved, done
    redrive queue=other rate=1          -> 1 moved, under way
    redrive queue=other rate=2 ids=11   -> 1 moved, done
    after 3000
    lease 3 worker=dora
    after 70000
    enqueue key=k | key=p on_failure=park
    lease 9 worker=emil for=50000
    delete_dead queue=other             -> 1 deleted
    complete 16 result=64
    cancel 17
    extend 8 progress=almost
";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn write() {
    let mut world = World::new();
    for script in [BEFORE, AFTER] {
        world = check_in(world, script);
        let target = world.next_frame();
        world.walk(target, |_| ());
    }
    let mut bytes = Vec::new();
    for Frame { sequence, time, records } in world.frames.clone() {
        let frame = GoldenFrame { sequence, time: time.0, records };
        frame.encode_length_delimited(&mut bytes).expect("memory has room");
    }
    fs::create_dir_all(path("")).expect("a directory");
    fs::write(path("records-v1.bin"), bytes).expect("written");
    fs::write(path("records-v1.txt"), world.state.digest_text()).expect("written");
}

/// The golden log in a world of its own; only its frames and its last time are used.
fn read() -> World {
    let bytes = fs::read(path("records-v1.bin")).expect("the golden file");
    let mut rest = bytes.as_slice();
    let mut world = World::new();
    world.frames.clear();
    while !rest.is_empty() {
        let frame = GoldenFrame::decode_length_delimited(&mut rest).expect("a whole frame");
        world.now = Time(frame.time);
        world.frames.push(Frame { sequence: frame.sequence, time: world.now, records: frame.records });
    }
    world
}

fn decode(record: &[u8]) -> Record {
    RecordMessage::decode(record).expect("a record reads back").record.expect("of a known kind")
}

#[test]
fn the_golden_records_replay_to_the_same_state() {
    if std::env::var_os("TIDEGATE_GOLDEN_WRITE").is_some() {
        write();
    }
    let world = read();
    let expected = fs::read_to_string(path("records-v1.txt")).expect("the expected digest");
    assert_eq!(world.replayed_from(0).digest_text(), expected);
}

/// A walk restates everything in the middle of the golden log; what was before it is not needed.
#[test]
fn the_golden_records_replay_from_their_walks_on() {
    let world = read();
    let expected = fs::read_to_string(path("records-v1.txt")).expect("the expected digest");
    let walks: Vec<u64> = world
        .frames
        .iter()
        .filter(|frame| frame.records.iter().any(|record| matches!(decode(record), Record::Shard(_))))
        .map(|frame| frame.sequence)
        .collect();
    assert_eq!(walks.len(), 3, "the seed, and a walk after each half");
    for walk in walks {
        assert_eq!(world.replayed_from(walk).digest_text(), expected, "from frame {walk}");
    }
}

/// A field that lost its number, or got another one, does not come out again.
#[test]
fn the_golden_records_encode_to_the_same_bytes() {
    for record in read().frames.iter().flat_map(|frame| &frame.records) {
        let again = RecordMessage { record: Some(decode(record)) }.encode_to_vec();
        assert_eq!(&again, record, "{:?}", decode(record));
    }
}

#[test]
fn the_golden_log_has_records_of_every_kind() {
    let world = read();
    let records = world.frames.iter().flat_map(|frame| &frame.records);
    let mut kinds = BTreeSet::new();
    for record in records {
        let (number, _) = prost::encoding::decode_key(&mut record.as_slice()).expect("its kind's number");
        kinds.insert(number);
    }
    assert_eq!(kinds, (1..=KINDS as u32).collect());
}
