//! Records of every kind, as version 1 wrote them, are read to the same state for ever.
//!
//! A `.bin` in `golden/` never changes. The `.txt` beside it is the digest's text after its replay: it changes only
//! when the digest learns to show more, and the difference must then be additions.
//! `TIDEGATE_GOLDEN_WRITE=1 cargo test -p tidegate-core --test golden same_state` writes those that are
//! not there; a new version of the records gets a new name.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use prost::Message;
use support::script::check_in;
use support::{Frame, World};
use tidegate_core::id::Time;
use tidegate_core::record::{Record, RecordMessage};

/// A log of records as some version wrote them.
struct Golden {
    /// The files' name.
    name: &'static str,
    /// Numbers of the kinds of records that it must have. Others may be there too.
    kinds: RangeInclusive<u32>,
    /// What happened in it. After each half a walk restates everything.
    halves: [&'static str; 2],
}

/// Jobs are of version 1; pools came later, and nothing of jobs changed with them.
const GOLDEN: [Golden; 2] = [
    Golden { name: "records-v1", kinds: 1..=23, halves: [BEFORE, AFTER] },
    Golden { name: "records-pools-v1", kinds: 40..=55, halves: [POOLS_BEFORE, POOLS_AFTER] },
];

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

const POOLS_BEFORE: &str = "
    pool name=a seats=2 limit=2 hold=5000 hold_max=9000 waitlist=5 offer=4000 offers=tell quotas=g:1 says=room:1
    pool name=b seats=1 waitlist=5 closes_in=20000
    pool name=c seats=1 waitlist=5 opens_in=3000 shuffle
    pool name=d seats=1
    hold anna pool=a group=g
    take bert pool=b
    take bert pool=b                    -> refused limit_reached 1
    join carl pool=b
    join dora pool=b
    leave dora pool=b
    all join anna pool=c ; join bert pool=c ; join emil pool=c
    confirm 1
    hold_on 1                           -> refused not_held
    hold carl pool=a for=1000
    hold_on 3
    as k/1 transact if lacks=zoe:a ; take zoe pool=d ; enqueue queue=mail
    transact if lacks=zoe:d ; take zoe pool=a -> condition 0 refused has_pool 0
    enqueue
    lease
    transact complete 2 ; give_back 4
    give_back 2
    after 1500
    swap 1 pool=d
    join fred pool=a units=2
";
const POOLS_AFTER: &str = "
    after 4000
    delete_pool pool=d                  -> refused pool_in_use 1
    take gina pool=d                    -> refused sold_out 0
    join hans pool=c
    after 20000
    resize 3 pool=a
    resize 4 pool=c
    pool name=e seats=1
    delete_pool pool=e
    swap 6 pool=a when_offered
    take anna pool=b                    -> refused closed -5500
";

fn path(golden: &Golden, extension: &str) -> PathBuf {
    let name = format!("{}.{extension}", golden.name);
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Writes a golden log that is not there yet.
fn write(golden: &Golden) {
    if path(golden, "bin").exists() {
        return;
    }
    let mut world = World::new();
    for script in golden.halves {
        world = check_in(world, script);
        let target = world.next_frame();
        world.walk(target, |_| ());
    }
    let mut bytes = Vec::new();
    for Frame { sequence, time, records } in world.frames.clone() {
        let frame = GoldenFrame { sequence, time: time.0, records };
        frame.encode_length_delimited(&mut bytes).expect("memory has room");
    }
    fs::write(path(golden, "bin"), bytes).expect("written");
    fs::write(path(golden, "txt"), world.state.digest_text()).expect("written");
}

/// A golden log in a world of its own; only its frames and its last time are used.
fn read(golden: &Golden) -> World {
    let bytes = fs::read(path(golden, "bin")).expect("the golden file");
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
    for golden in &GOLDEN {
        if std::env::var_os("TIDEGATE_GOLDEN_WRITE").is_some() {
            write(golden);
        }
        let expected = fs::read_to_string(path(golden, "txt")).expect("the expected digest");
        assert_eq!(read(golden).replayed_from(0).digest_text(), expected, "{}", golden.name);
    }
}

/// A walk restates everything in the middle of a golden log; what was before it is not needed.
#[test]
fn the_golden_records_replay_from_their_walks_on() {
    for golden in &GOLDEN {
        let world = read(golden);
        let expected = fs::read_to_string(path(golden, "txt")).expect("the expected digest");
        let walks: Vec<u64> = world
            .frames
            .iter()
            .filter(|frame| frame.records.iter().any(|record| matches!(decode(record), Record::Shard(_))))
            .map(|frame| frame.sequence)
            .collect();
        assert_eq!(walks.len(), 3, "the seed, and a walk after each half");
        for walk in walks {
            assert_eq!(
                world.replayed_from(walk).digest_text(),
                expected,
                "{} from frame {walk}",
                golden.name
            );
        }
    }
}

/// A field that lost its number, or got another one, does not come out again.
#[test]
fn the_golden_records_encode_to_the_same_bytes() {
    for world in GOLDEN.iter().map(read) {
        for record in world.frames.iter().flat_map(|frame| &frame.records) {
            let again = RecordMessage { record: Some(decode(record)) }.encode_to_vec();
            assert_eq!(&again, record, "{:?}", decode(record));
        }
    }
}

#[test]
fn the_golden_logs_have_records_of_every_kind() {
    for golden in &GOLDEN {
        let world = read(golden);
        let records = world.frames.iter().flat_map(|frame| &frame.records);
        let mut kinds = BTreeSet::new();
        for record in records {
            let (number, _) = prost::encoding::decode_key(&mut record.as_slice()).expect("its kind's number");
            kinds.insert(number);
        }
        let missing: Vec<u32> = golden.kinds.clone().filter(|kind| !kinds.contains(kind)).collect();
        assert!(missing.is_empty(), "{} has no records of the kinds {missing:?}", golden.name);
    }
}
