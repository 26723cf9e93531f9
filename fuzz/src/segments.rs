//! A log's directory, with things done to its files, given to opening and to `inspect`.
//!
//! There are a few logs to begin with, made by the log itself: closed, left open, over several segments, trimmed. The input
//! chooses one and says what happens to its files: bits flipped, bytes put in, ranges zeroed or copied from elsewhere, files
//! cut, swapped or taken away. Then:
//!
//! - opening either names the damage, by file and place, or gives frames each of which is one that was written, whole, in
//!   its order, payloads included, unless reading one says by file and place that it is damaged;
//! - while the meta file is as it was, and not only its older slot, nothing that it claims is missing;
//! - `inspect` finds damage if and only if opening does (a payload that nobody has to verify at opening it finds too);
//! - what was opened takes another frame, and has it after the next opening.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use arbitrary::{Arbitrary, Unstructured};
use tidegate_log::disk::Disk;
use tidegate_log::disk::simulated::SimulatedDisk;
use tidegate_log::inspect::Inspector;
use tidegate_log::{
    Epoch, Frame, FrameBuilder, LocalLog, LocalOptions, Log, OpenError, PayloadOffset, ReadError, Sequence,
    Shard,
};

const META: &str = "meta";

/// What happens to a file. Numbers choose among what there is.
#[derive(Debug, Arbitrary)]
enum Mishap<'a> {
    Flip { file: u8, at: u16, bit: u8 },
    Put { file: u8, at: u16, bytes: &'a [u8] },
    Zero { file: u8, at: u16, len: u16 },
    Copy { from: u8, from_at: u16, to: u8, to_at: u16, len: u16 },
    Cut { file: u8, len: u16 },
    Grow { file: u8, by: u16 },
    Remove { file: u8 },
    Swap { one: u8, other: u8 },
    Rename { file: u8, first: u8 },
}

/// What was put into a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Content {
    records: Vec<u8>,
    payloads: Vec<Vec<u8>>,
}

/// A log to begin with.
struct Original {
    files: BTreeMap<String, Vec<u8>>,
    contents: BTreeMap<u64, Content>,
    /// The first sequence it holds, and the last one that its meta file claims.
    first: u64,
    claimed: u64,
}

static ORIGINALS: LazyLock<Vec<Original>> = LazyLock::new(originals);

impl Content {
    fn new(sequence: u64, bytes: usize) -> Content {
        let byte = |index: usize| (sequence as usize * 31 + index) as u8;
        let half = (0..bytes / 2).map(byte).collect::<Vec<_>>();
        Content {
            records: format!("record {sequence};").into_bytes(),
            payloads: vec![half.clone(), Vec::new(), half],
        }
    }

    fn frame(&self, epoch: Epoch, sequence: Sequence) -> Frame {
        let mut builder = FrameBuilder::new();
        builder.push_record(&self.records);
        for payload in &self.payloads {
            builder.push_payload(payload);
        }
        builder.finish(Shard(3), epoch, sequence, 1_000 + sequence.0)
    }

    fn addresses(&self) -> Vec<(PayloadOffset, u32)> {
        let mut at = 0;
        let address = |payload: &Vec<u8>| {
            let address = (PayloadOffset(at as u32), payload.len() as u32);
            at += FrameBuilder::payload_bytes(payload.len());
            address
        };
        self.payloads.iter().map(address).collect()
    }
}

fn options() -> LocalOptions {
    LocalOptions { segment_bytes: 4_096, recent_bytes: 2_000, spares: 0, identity: Some(0x7469_6465) }
}

/// Logs of several owners, frames and sizes, each closed, or left as a process that died leaves it.
fn originals() -> Vec<Original> {
    let shapes: [(&[u64], usize, bool, Option<u64>); 6] = [
        (&[3], 90, true, None),
        (&[5], 60, false, None),
        (&[6, 6], 900, true, None),
        (&[4, 5, 3], 1_100, false, None),
        (&[9, 9], 700, false, Some(10)),
        (&[1], 0, false, None),
    ];
    shapes.map(|(owners, bytes, closed, trimmed)| original(owners, bytes, closed, trimmed)).into()
}

fn original(owners: &[u64], bytes: usize, closed: bool, trimmed: Option<u64>) -> Original {
    let disk = SimulatedDisk::new();
    let mut contents = BTreeMap::new();
    let mut claimed = 0;
    for (index, &frames) in owners.iter().enumerate() {
        let opened = LocalLog::open_stepped(Arc::new(disk.clone()), options()).expect("a log of ours opens");
        claimed = opened.recovery.last.0;
        let mut last = opened.recovery.last;
        for _ in 0..frames {
            let content = Content::new(last.0 + 1, bytes + 40 * (last.0 as usize % 4));
            opened.log.submit(last, content.frame(opened.recovery.epoch, last.next())).expect("taken");
            contents.insert(last.0 + 1, content);
            last = last.next();
            // Not every frame by itself, so that some claim less than they could.
            if last.0 % 3 != 0 {
                opened.log.wait_durable(last).expect("durable");
            }
        }
        while opened.log.step() {}
        if let Some(before) = trimmed.filter(|_| index + 1 == owners.len()) {
            opened.log.trim(Sequence(before));
            while opened.log.step() {}
            claimed = last.0;
        }
        if closed || index + 1 < owners.len() {
            opened.log.close().expect("it closes");
            claimed = last.0;
        }
    }
    let names = disk.list().expect("a simulated disk lists");
    let files: BTreeMap<_, _> = names.into_iter().map(|name| (name.clone(), disk.bytes_of(&name))).collect();
    let first = files.keys().filter_map(|name| tidegate_log::local::segment_first(name)).min();
    let first = first.expect("a log has a segment").0;
    // Trimmed frames stay among the contents: a spare may hold them, and may be given a segment's name.
    Original { files, contents, first, claimed }
}

/// See the module.
pub fn check(data: &[u8]) {
    let Some((&which, rest)) = data.split_first() else { return };
    let original = &ORIGINALS[usize::from(which) % ORIGINALS.len()];
    let mut files = original.files.clone();
    let mut input = Unstructured::new(rest);
    while !input.is_empty() {
        let Ok(mishap) = Mishap::arbitrary(&mut input) else { break };
        happen(&mut files, mishap);
    }
    let disk = holding(&files);
    let inspected = inspect(&holding(&files), original);
    let opened = match LocalLog::open_stepped(Arc::new(disk.clone()), options()) {
        Ok(opened) => opened,
        Err(OpenError::Damaged { damage, .. }) => {
            assert!(!damage.file.is_empty());
            let seen = match &inspected {
                Inspected::Report { damage, .. } => *damage > 0,
                Inspected::NoMeta => true,
            };
            assert!(seen, "opening stops at {damage}, and `inspect` finds nothing");
            return;
        }
        Err(OpenError::NewerFormat { .. }) => {
            assert!(matches!(inspected, Inspected::NoMeta));
            return;
        }
        Err(error) => panic!("a disk that works, and: {error}"),
    };
    let is_new = !files.contains_key(META);
    if is_new {
        assert!(files.keys().all(|name| tidegate_log::local::segment_first(name).is_none()));
    } else if let Inspected::Report { damage, of_payloads } = inspected {
        assert_eq!(damage, of_payloads, "`inspect` finds damage and opening does not");
    } else {
        panic!("it opens, and `inspect` finds no meta file");
    }
    let recovery = opened.recovery.clone();
    let found = contents(&opened.log, original);
    let same_meta = files.get(META) == original.files.get(META);
    if same_meta {
        for sequence in original.first..=original.claimed {
            assert!(found.contains_key(&sequence), "frame {sequence} was claimed and is gone: {recovery:?}");
        }
    }
    let expected: Vec<u64> = (recovery.first.0..=recovery.last.0).collect();
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), expected, "{recovery:?}");
    takes_another(disk, opened.log, &recovery, &found);
}

/// Does one thing to the files.
fn happen(files: &mut BTreeMap<String, Vec<u8>>, mishap: Mishap<'_>) {
    let names: Vec<String> = files.keys().cloned().collect();
    let Some(last) = names.len().checked_sub(1) else { return };
    let name = |number: u8| names[usize::from(number).min(last)].clone();
    match mishap {
        Mishap::Flip { file, at, bit } => {
            if let Some(byte) = files.get_mut(&name(file)).and_then(|bytes| bytes.get_mut(usize::from(at))) {
                *byte ^= 1 << (bit % 8);
            }
        }
        Mishap::Put { file, at, bytes } => put(files, &name(file), usize::from(at), bytes),
        Mishap::Zero { file, at, len } => {
            put(files, &name(file), usize::from(at), &vec![0; usize::from(len)]);
        }
        Mishap::Copy { from, from_at, to, to_at, len } => {
            let from = &files[&name(from)];
            let at = usize::from(from_at).min(from.len());
            let end = (at + usize::from(len)).min(from.len());
            let bytes = from[at..end].to_vec();
            put(files, &name(to), usize::from(to_at), &bytes);
        }
        Mishap::Cut { file, len } => {
            files.entry(name(file)).or_default().truncate(usize::from(len));
        }
        Mishap::Grow { file, by } => {
            let file = files.entry(name(file)).or_default();
            file.resize((file.len() + usize::from(by)).min(1 << 16), 0);
        }
        Mishap::Remove { file } => {
            files.remove(&name(file));
        }
        Mishap::Swap { one, other } => {
            let (one, other) = (name(one), name(other));
            let (of_one, of_other) = (files[&one].clone(), files[&other].clone());
            files.insert(one, of_other);
            files.insert(other, of_one);
        }
        Mishap::Rename { file, first } => {
            let bytes = files.remove(&name(file)).unwrap_or_default();
            files.insert(tidegate_log::local::segment_name(Sequence(u64::from(first).max(1))), bytes);
        }
    }
}

/// Writes into a file as far as it goes.
fn put(files: &mut BTreeMap<String, Vec<u8>>, name: &str, at: usize, bytes: &[u8]) {
    let file = files.entry(name.to_owned()).or_default();
    let at = at.min(file.len());
    let len = bytes.len().min(file.len() - at);
    file[at..at + len].copy_from_slice(&bytes[..len]);
}

/// A disk with these files, all durable.
fn holding(files: &BTreeMap<String, Vec<u8>>) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    for (name, bytes) in files {
        let file = disk.create(name).expect("a new name");
        file.write_at(&[IoSlice::new(bytes)], 0).expect("written");
        file.sync_data().expect("synced");
    }
    disk.sync_dir().expect("synced");
    disk
}

/// What `inspect` says.
enum Inspected {
    /// Everything it found damaged, and how much of that is payloads, which nobody has to verify at opening.
    Report { damage: usize, of_payloads: usize },
    /// It cannot begin.
    NoMeta,
}

fn inspect(disk: &SimulatedDisk, original: &Original) -> Inspected {
    use tidegate_log::frame::FrameDefect;
    let walked = Inspector::on(Arc::new(disk.clone())).walk(Sequence::ZERO, |found| {
        let written = original.contents.get(&found.header.sequence.0);
        let written = written.expect("a sound frame is one that was written");
        assert_eq!(written.records, found.records);
        ControlFlow::Continue(())
    });
    let report = match walked {
        Ok(report) => report,
        Err(OpenError::Damaged { .. } | OpenError::NewerFormat { .. }) => return Inspected::NoMeta,
        Err(error) => panic!("a disk that works, and: {error}"),
    };
    let is_payload = |defect: &FrameDefect| {
        matches!(
            defect,
            FrameDefect::Payload { .. } | FrameDefect::PayloadAddress { .. } | FrameDefect::PayloadsDigest
        )
    };
    let of_payloads = report.damage.iter().filter(|damage| match &damage.defect {
        FrameDefect::Acknowledged { found, .. } => is_payload(found),
        defect => is_payload(defect),
    });
    Inspected::Report { of_payloads: of_payloads.count(), damage: report.damage.len() }
}

/// Everything a log holds: each frame is one that was written. A payload may be damaged, if reading it says so.
fn contents(log: &dyn Log, original: &Original) -> BTreeMap<u64, Content> {
    let mut reader = log.read(Sequence::ZERO).expect("a log is readable from its beginning");
    let mut found = BTreeMap::new();
    while let Some(view) = reader.next_frame().expect("opening has verified every frame") {
        let sequence = view.header.sequence;
        let written = original.contents.get(&sequence.0).expect("a frame that was written");
        assert_eq!(written.records, view.records, "frame {sequence} is not what was written");
        let source = log.payload(sequence).expect("a frame that is held has payloads");
        for (payload, address) in written.payloads.iter().zip(written.addresses()) {
            match source.read(address.0, address.1) {
                Ok(bytes) => {
                    assert_eq!(&payload[..], &bytes[..], "a payload of frame {sequence} has changed")
                }
                Err(ReadError::Damaged(damage)) => assert!(!damage.file.is_empty()),
                Err(error) => panic!("a disk that works, and: {error}"),
            }
        }
        found.insert(sequence.0, written.clone());
    }
    found
}

/// A log that was opened goes on, and the next opening finds what was there and what came.
fn takes_another(
    disk: SimulatedDisk,
    log: LocalLog,
    recovery: &tidegate_log::RecoveryReport,
    found: &BTreeMap<u64, Content>,
) {
    let next = recovery.last.next();
    let content = Content::new(next.0, 300);
    log.submit(recovery.last, content.frame(recovery.epoch, next)).expect("taken");
    log.wait_durable(next).expect("durable");
    log.close().expect("it closes");
    drop(log);
    let again = LocalLog::open_stepped(Arc::new(disk), options()).expect("what was closed opens");
    assert_eq!((again.recovery.last, again.recovery.closed, again.recovery.torn), (next, true, None));
    let mut contents = found.clone();
    contents.insert(next.0, content);
    let first = recovery.first.0;
    let original = Original { files: BTreeMap::new(), contents, first, claimed: next.0 };
    let after = self::contents(&again.log, &original);
    assert_eq!(after.len(), original.contents.len());
}
