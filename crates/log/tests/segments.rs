//! The segments by themselves, as a simulation drives them: no threads, one caller.

mod common;

use std::sync::Arc;

use common::{Content, small};
use tidegate_log::disk::RealDisk;
use tidegate_log::disk::simulated::{SimulatedDisk, Survival};
use tidegate_log::frame::{FrameHeader, HEADER_BYTES};
use tidegate_log::local::Segments;
use tidegate_log::{LocalOptions, SealedFrame, Sequence};

fn open(disk: &SimulatedDisk) -> Segments {
    Segments::open(Arc::new(disk.clone()), &small()).expect("nothing is wrong with this disk").0
}

/// The next `count` frames for `segments`, sealed.
fn next_frames(segments: &Segments, count: u64) -> Vec<SealedFrame> {
    let (mut previous, durable) = (segments.previous(), segments.durable());
    let seal = |sequence| {
        let frame = Content::new(sequence, 1, 1_000).frame(segments.epoch(), Sequence(sequence));
        let sealed = frame.seal(segments.identity(), previous, durable);
        previous = sealed.header().checksum;
        sealed
    };
    (durable.0 + 1..=durable.0 + count).map(seal).collect()
}

#[test]
fn a_batch_ends_where_its_segment_does_and_is_durable_after_its_sync() {
    let disk = SimulatedDisk::new();
    let mut segments = open(&disk);
    let frames = next_frames(&segments, 7);
    let mut written = 0;
    while written < frames.len() {
        let taken = segments.append(&frames[written..]).expect("written");
        assert!((1..=3).contains(&taken), "three frames fill a segment; {taken} were taken");
        assert_eq!(segments.durable(), Sequence(written as u64), "written is not durable");
        written += taken;
        assert_eq!(segments.sync().expect("synced"), Sequence(written as u64));
    }
    drop(segments);
    assert_eq!(open(&disk.after_crash(Survival::Nothing)).durable(), Sequence(7));
}

#[test]
fn after_a_failed_sync_nothing_succeeds_any_more() {
    let disk = SimulatedDisk::new();
    let mut segments = open(&disk);
    let frames = next_frames(&segments, 2);
    segments.append(&frames[..1]).expect("written");
    disk.fail_next_sync();
    let failure = segments.sync().expect_err("the sync fails");
    assert_eq!(segments.sync().expect_err("it does not succeed the second time"), failure);
    assert_eq!(segments.append(&frames[1..]).expect_err("nothing is written any more"), failure);
    assert_eq!(segments.trim(Sequence(1)).expect_err("nor trimmed"), failure);
    assert_eq!(segments.close().expect_err("nor closed"), failure);
    assert_eq!(segments.durable(), Sequence::ZERO);
}

#[test]
fn the_same_calls_write_the_same_bytes() {
    let bytes = || {
        let disk = SimulatedDisk::new();
        let mut segments = open(&disk);
        let frames = next_frames(&segments, 3);
        segments.append(&frames).expect("written");
        segments.sync().expect("synced");
        (disk.bytes_of("00000000000000000001.segment"), disk.bytes_of("meta"), disk.operations())
    };
    assert!(bytes() == bytes());
}

#[test]
fn the_block_in_which_a_batch_ends_holds_nothing_of_an_older_life() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = LocalOptions { segment_bytes: 16 << 10, ..small() };
    let disk = RealDisk::open(directory.path()).expect("a disk");
    let mut segments = Segments::open(Arc::new(disk), &options).expect("nothing is wrong with this disk").0;
    // Filled to its end, let go, and used again.
    while segments.durable() < Sequence(40) {
        segments.append(&next_frames(&segments, 1)).expect("written");
        segments.sync().expect("synced");
    }
    segments.trim(segments.durable()).expect("trimmed");
    for _ in 0..30 {
        segments.append(&next_frames(&segments, 1)).expect("written");
        let newest = std::fs::read_dir(directory.path())
            .expect("listed")
            .map(|entry| entry.expect("listed").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "segment"))
            .max()
            .expect("one is there");
        let bytes = std::fs::read(newest).expect("read");
        let end = frames_end(&bytes);
        let block_end = end.next_multiple_of(4 << 10);
        assert!(
            bytes[end..block_end].iter().all(|&byte| byte == 0),
            "old bytes between {end} and {block_end}"
        );
        segments.sync().expect("synced");
    }
}

/// Where the frames from the beginning of a segment on end: each is of the same epoch and follows the one before.
fn frames_end(bytes: &[u8]) -> usize {
    let (mut end, mut last) = (0, None);
    while let Some(head) = bytes.get(end..end + HEADER_BYTES)
        && let Ok(header) = FrameHeader::decode(head.try_into().expect("as long as a header"))
        && last.is_none_or(|last: Sequence| last.0 + 1 == header.sequence.0)
    {
        last = Some(header.sequence);
        end += header.frame_bytes() as usize;
    }
    end
}
