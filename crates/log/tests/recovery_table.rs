//! The recovery rules of `docs/format.md`, row by row: what is found, and what becomes of it.

mod common;

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::ops::ControlFlow;
use std::sync::Arc;

use common::{Content, contents, open, small};
use tidegate_log::disk::Disk;
use tidegate_log::disk::simulated::{SimulatedDisk, Survival};
use tidegate_log::frame::{FrameDefect, HEADER_BYTES, field};
use tidegate_log::inspect::{Inspector, Report};
use tidegate_log::{Damage, Epoch, FrameBuilder, Log, OpenError, SealedFrame, Sequence, Shard};

const IDENTITY: u64 = 0x7469_6465;
const FRAMES: u64 = 20;
/// Frames of this content: four to a segment of 4,096 bytes.
const BYTES: usize = 800;

/// Where a frame is.
#[derive(Clone, Debug)]
struct Place {
    file: String,
    offset: u64,
    header_checksum: u32,
    records_len: u64,
    payloads_len: u64,
}

/// A log of twenty frames, each synced before the next was submitted, left without closing.
fn written() -> (SimulatedDisk, BTreeMap<u64, Vec<Content>>, Vec<Place>) {
    let disk = SimulatedDisk::new();
    let opened = open(&disk).expect("nothing is wrong with this disk");
    let mut submitted = BTreeMap::new();
    for sequence in 1..=FRAMES {
        let content = Content::new(sequence, 1, BYTES);
        submitted.insert(sequence, vec![content.clone()]);
        let frame = content.frame(opened.recovery.epoch, Sequence(sequence));
        opened.log.submit(Sequence(sequence - 1), frame).expect("the log takes it");
        opened.log.wait_durable(Sequence(sequence)).expect("durable");
    }
    drop(opened);
    let (places, report) = walk(&disk);
    assert_eq!((report.frames, report.payloads), (FRAMES, 3 * FRAMES));
    assert_eq!((report.damage, report.tail), (Vec::new(), None), "a sound log has nothing to report");
    assert!(report.segments.len() > 3, "several segments");
    (disk, submitted, places)
}

fn walk(disk: &SimulatedDisk) -> (Vec<Place>, Report) {
    let mut places = Vec::new();
    let report = Inspector::on(Arc::new(disk.clone())).walk(Sequence::ZERO, |found| {
        places.push(Place {
            file: found.file.to_owned(),
            offset: found.offset,
            header_checksum: found.header.checksum,
            records_len: u64::from(found.header.records_len),
            payloads_len: u64::from(found.header.payloads_len),
        });
        ControlFlow::Continue(())
    });
    (places, report.expect("the log can be looked at"))
}

fn write(disk: &SimulatedDisk, file: &str, offset: u64, bytes: &[u8]) {
    let file = disk.open(file).expect("the file is there");
    file.write_at(&[IoSlice::new(bytes)], offset).expect("written");
    file.sync_data().expect("synced");
}

/// A frame that could follow `before` in the log.
fn next_frame(before: &Place, sequence: u64, variant: u64, epoch: u64, durable: u64) -> SealedFrame {
    let frame = Content::new(sequence, variant, BYTES).frame(Epoch(epoch), Sequence(sequence));
    frame.seal(IDENTITY, before.header_checksum, Sequence(durable))
}

enum Expected {
    /// It opens with the frames up to this one, and nothing is reported.
    Whole(u64),
    /// It opens with the frames up to this one, and a torn tail is reported behind it.
    Torn(u64),
    /// It does not open; the damage is in this file at this offset.
    Damaged(String, u64),
}

/// Holds the opening and the inspection of `disk` against what is expected of both.
fn check(story: &str, disk: &SimulatedDisk, submitted: &BTreeMap<u64, Vec<Content>>, expected: &Expected) {
    let before =
        disk.list().expect("listed").into_iter().map(|name| (disk.bytes_of(&name), name)).collect::<Vec<_>>();
    let (_, report) = walk(disk);
    let opened = open(disk);
    match (expected, opened) {
        (Expected::Damaged(file, offset), Err(OpenError::Damaged { damage, .. })) => {
            let place = |damage: &Damage| (damage.file.clone(), damage.offset);
            assert_eq!(place(&damage), (file.clone(), *offset), "{story}: {damage}");
            assert_eq!(report.damage.first().map(place), Some(place(&damage)), "{story}: inspecting agrees");
            for (bytes, name) in before {
                assert!(disk.bytes_of(&name) == bytes, "{story}: {name} was not touched");
            }
        }
        (Expected::Whole(last) | Expected::Torn(last), Ok(opened)) => {
            assert_eq!(opened.recovery.last, Sequence(*last), "{story}");
            let torn = matches!(expected, Expected::Torn(_));
            assert_eq!(opened.recovery.torn.is_some(), torn, "{story}: {:?}", opened.recovery.torn);
            assert_eq!(
                (report.damage, report.tail.is_some()),
                (Vec::new(), torn),
                "{story}: inspecting agrees"
            );
            assert_eq!(contents(&opened.log, submitted).len() as u64, *last, "{story}");
            if let Some(torn) = opened.recovery.torn {
                let rest = disk.bytes_of(&torn.file).split_off(torn.offset as usize);
                assert!(torn.bytes > 0 && rest.iter().all(|&byte| byte == 0), "{story}: the tail is cleared");
                drop(opened.log);
                let again = open(disk).expect("it opens again").recovery;
                assert_eq!((again.last.0, again.torn), (*last, None), "{story}: what is cut stays cut");
            }
        }
        (_, opened) => panic!("{story}: {:?}", opened.map(|opened| opened.recovery)),
    }
}

#[test]
fn a_sound_log_opens_whole() {
    let (disk, submitted, _) = written();
    check("sound", &disk, &submitted, &Expected::Whole(FRAMES));
}

#[test]
fn a_flipped_bit_anywhere_in_a_sealed_segment_is_found() {
    let (disk, submitted, places) = written();
    for place in [&places[0], &places[5]] {
        let area_at = HEADER_BYTES as u64 + place.records_len;
        for at in 0..area_at {
            let flipped = disk.after_crash(Survival::Everything);
            flipped.flip(&place.file, place.offset + at, 1 << (at % 8));
            let expected = Expected::Damaged(place.file.clone(), place.offset);
            check(&format!("bit flipped at byte {at}"), &flipped, &submitted, &expected);
        }
        for at in area_at..area_at + place.payloads_len {
            // Opening does not read payloads that were acknowledged. Inspecting does, and so does who wants
            // one.
            let flipped = disk.after_crash(Survival::Everything);
            flipped.flip(&place.file, place.offset + at, 1 << (at % 8));
            let (_, report) = walk(&flipped);
            let found =
                report.damage.first().unwrap_or_else(|| panic!("byte {at} of a payload is looked at"));
            let reached = found.offset..=place.offset + at;
            assert!(found.file == place.file && reached.contains(&(place.offset + at)), "{found}");
        }
    }
}

#[test]
fn a_flipped_bit_in_an_acknowledged_payload_is_refused_when_it_is_read() {
    let (disk, submitted, places) = written();
    let place = &places[2];
    disk.flip(&place.file, place.offset + HEADER_BYTES as u64 + place.records_len + 20, 4);
    let log = open(&disk).expect("payloads are not read at opening").log;
    let (offset, len) = submitted[&3][0].addresses()[0];
    let refused = log.payload(Sequence(3)).expect("held").read(offset, len).expect_err("it is damaged");
    let message = refused.to_string();
    let at = place.offset + HEADER_BYTES as u64 + place.records_len;
    assert!(message.contains(&place.file) && message.contains(&at.to_string()), "{message}");
}

#[test]
fn a_damaged_frame_in_the_active_segment_that_a_later_one_knew_durable_is_damage() {
    let (disk, submitted, places) = written();
    let active = &places[FRAMES as usize - 1].file;
    let in_active = places.iter().filter(|place| place.file == *active).collect::<Vec<_>>();
    assert!(in_active.len() >= 2, "a frame and one behind it");
    disk.flip(active, in_active[0].offset + 50, 1);
    check("claimed", &disk, &submitted, &Expected::Damaged(active.clone(), in_active[0].offset));
}

#[test]
fn the_last_frame_torn_is_cut_and_reported() {
    let (disk, submitted, places) = written();
    let last = &places[FRAMES as usize - 1];
    for at in [60, HEADER_BYTES as u64 + 3, HEADER_BYTES as u64 + last.records_len + 30] {
        let torn = disk.after_crash(Survival::Everything);
        torn.flip(&last.file, last.offset + at, 16);
        check(&format!("torn at {at}"), &torn, &submitted, &Expected::Torn(FRAMES - 1));
    }
}

#[test]
fn frames_behind_a_torn_one_go_with_it() {
    let (disk, submitted, places) = written();
    // Frame 21 never came whole; 22 did, and knew of 20 only.
    let active = places.last().expect("there are frames");
    let end =
        active.offset + (HEADER_BYTES as u64 + active.records_len + active.payloads_len).next_multiple_of(8);
    let lost = next_frame(active, 21, 1, 1, FRAMES);
    let behind = Content::new(22, 1, 100).frame(Epoch(1), Sequence(22));
    let behind = behind.seal(IDENTITY, lost.header().checksum, Sequence(FRAMES));
    write(&disk, &active.file, end + lost.bytes().len() as u64, behind.bytes());
    check("a hole", &disk, &submitted, &Expected::Torn(FRAMES));
    // The same, but 22 knew of 21: it had been acknowledged.
    let (disk, ..) = written();
    let behind = Content::new(22, 1, 100).frame(Epoch(1), Sequence(22));
    let behind = behind.seal(IDENTITY, lost.header().checksum, Sequence(21));
    write(&disk, &active.file, end + lost.bytes().len() as u64, behind.bytes());
    check("an acknowledged hole", &disk, &submitted, &Expected::Damaged(active.file.clone(), end));
}

#[test]
fn a_frame_with_the_payloads_of_another_is_torn_however_sound_they_are() {
    let (disk, submitted, places) = written();
    let active = places.last().expect("there are frames");
    let end =
        active.offset + (HEADER_BYTES as u64 + active.records_len + active.payloads_len).next_multiple_of(8);
    let [ours, leftover] = [1, 2].map(|variant| next_frame(active, 21, variant, 1, FRAMES));
    let area_at = ours.header().payloads_at() as usize;
    let mut mixed = ours.bytes()[..area_at].to_vec();
    mixed.extend_from_slice(&leftover.bytes()[area_at..]);
    write(&disk, &active.file, end, &mixed);
    check("leftover payloads", &disk, &submitted, &Expected::Torn(FRAMES));
}

#[test]
fn frames_of_another_log_another_place_or_an_earlier_owner_are_not_taken_for_the_next_one() {
    let stories = [
        ("another log", IDENTITY + 1, 21, 1, 0, Expected::Whole(FRAMES)),
        ("an old place, in a recycled file", IDENTITY, 7, 1, 0, Expected::Whole(FRAMES)),
        ("an earlier owner", IDENTITY, 21, 0, 0, Expected::Torn(FRAMES)),
        ("another predecessor", IDENTITY, 21, 1, 1, Expected::Torn(FRAMES)),
    ];
    for (story, identity, sequence, epoch, previous, expected) in stories {
        let (disk, submitted, places) = written();
        let active = places.last().expect("there are frames");
        let end = active.offset
            + (HEADER_BYTES as u64 + active.records_len + active.payloads_len).next_multiple_of(8);
        let frame = Content::new(sequence, 1, 90).frame(Epoch(epoch), Sequence(sequence));
        let frame = frame.seal(identity, active.header_checksum ^ previous, Sequence(sequence - 1));
        write(&disk, &active.file, end, frame.bytes());
        check(story, &disk, &submitted, &expected);
    }
}

#[test]
fn a_frame_image_inside_a_payload_is_a_payload() {
    let disk = SimulatedDisk::new();
    let opened = open(&disk).expect("nothing is wrong with this disk");
    let epoch = opened.recovery.epoch;
    // Somebody who knows the format, but not the log's identity, sends frames that claim the future.
    let forged = Content::new(9, 1, 50).frame(Epoch(9), Sequence(9)).seal(0, 0, Sequence(8));
    let mut builder = FrameBuilder::new();
    for _ in 0..20 {
        builder.push_payload(forged.bytes());
    }
    let frame = builder.finish(Shard(0), epoch, Sequence(1), 0);
    opened.log.submit(Sequence::ZERO, frame).expect("taken");
    opened.log.wait_durable(Sequence(1)).expect("durable");
    drop(opened);
    // The frame around them is torn, and so recovery looks into the payloads for frames.
    disk.flip("00000000000000000001.segment", field::TIME_MS.start as u64, 1);
    check("forged frames", &disk, &BTreeMap::new(), &Expected::Torn(0));
}

#[test]
fn a_missing_segment_is_damage_wherever_it_was() {
    let (whole, submitted, places) = written();
    let mut files = places.iter().map(|place| place.file.clone()).collect::<Vec<_>>();
    files.dedup();
    for (index, file) in files.iter().enumerate().take(files.len() - 1) {
        let disk = whole.after_crash(Survival::Everything);
        disk.remove(file).expect("removed");
        let (found_in, offset) = match index {
            // The log's beginning is known, so its loss shows in the segment that should not be the first.
            0 => (files[1].clone(), 0),
            _ => {
                let before =
                    places.iter().rfind(|place| place.file == files[index - 1]).expect("it has frames");
                let bytes = HEADER_BYTES as u64 + before.records_len + before.payloads_len;
                (before.file.clone(), before.offset + bytes.next_multiple_of(8))
            }
        };
        let error = open(&disk).map(|opened| opened.recovery).expect_err("a segment is missing");
        let OpenError::Damaged { damage, .. } = error else { panic!("{error}") };
        assert_eq!((&damage.file, damage.offset), (&found_in, offset), "{damage}");
        assert!(matches!(damage.defect, FrameDefect::Missing { .. }), "{damage}");
        assert!(!walk(&disk).1.damage.is_empty(), "inspecting finds it, too");
    }
    drop(submitted);
}

#[test]
fn a_closed_log_that_lost_its_end_is_damaged_not_torn() {
    let (disk, submitted, places) = written();
    open(&disk).expect("it opens").log.close().expect("it closes");
    check("closed", &disk.after_crash(Survival::Nothing), &submitted, &Expected::Whole(FRAMES));
    let last = &places[FRAMES as usize - 1];
    disk.flip(&last.file, last.offset + 20, 1);
    check("closed and cut", &disk, &submitted, &Expected::Damaged(last.file.clone(), last.offset));
}

/// The slot that says so is the older one of the meta file if the newer one is damaged: somebody has opened the log since, and
/// what he wrote may be torn.
#[test]
fn a_log_whose_meta_file_has_lost_a_slot_is_not_taken_for_closed() {
    let (disk, ..) = written();
    open(&disk).expect("it opens").log.close().expect("it closes");
    let opened = open(&disk).expect("it opens");
    let next = Sequence(FRAMES + 1);
    let frame = Content::new(next.0, 1, BYTES).frame(opened.recovery.epoch, next);
    opened.log.submit(Sequence(FRAMES), frame).expect("the log takes it");
    opened.log.wait_durable(next).expect("durable");
    drop(opened);
    let (places, _) = walk(&disk);
    let last = &places[FRAMES as usize];
    disk.flip(&last.file, last.offset + field::TIME_MS.start as u64, 1);
    let meta = disk.bytes_of("meta");
    let is_closed = |slot: &[u8]| slot.windows(10).any(|window| window == b"closed yes");
    let newer = if is_closed(&meta[..4_096]) { 4_096 } else { 0 };
    assert!(!is_closed(&meta[newer..newer + 4_096]), "it was opened since");
    disk.flip("meta", newer as u64 + 40, 1);
    let recovery = open(&disk).expect("it opens").recovery;
    assert_eq!(recovery.last, Sequence(FRAMES));
    assert!(recovery.torn.is_some(), "what is cut off is told of");
}

/// A rewrite that a crash tears must leave what stood there before, so it never goes where the latest one stands.
#[test]
fn the_meta_file_is_rewritten_in_turn_so_that_a_torn_rewrite_leaves_the_one_before() {
    let (disk, ..) = written();
    let generations = |disk: &SimulatedDisk| {
        let meta = disk.bytes_of("meta");
        [&meta[..4_096], &meta[4_096..]].map(|slot| -> u64 {
            let text = std::str::from_utf8(slot).expect("a slot is text");
            let line = text.lines().find_map(|line| line.strip_prefix("generation "));
            line.expect("a generation").parse().expect("a number")
        })
    };
    let check = |disk: &SimulatedDisk, epoch: Epoch| {
        let [first, second] = generations(disk);
        assert_eq!(first.abs_diff(second), 1, "the slots hold the last two: {first}, {second}");
        // The latest one is torn: the log opens as the one before says.
        let torn = disk.after_crash(Survival::Everything);
        torn.flip("meta", if first > second { 40 } else { 4_096 + 40 }, 1);
        let recovery = open(&torn).expect("the other slot is enough").recovery;
        assert_eq!(recovery.last, Sequence(FRAMES));
        assert!(recovery.epoch >= epoch, "{} after {epoch}", recovery.epoch);
    };
    for _ in 0..4 {
        let opened = open(&disk).expect("it opens");
        let epoch = opened.recovery.epoch;
        check(&disk, epoch);
        opened.log.close().expect("it closes");
        check(&disk, epoch);
    }
}

#[test]
fn a_lost_or_damaged_meta_file_and_a_newer_format_are_refused_by_name() {
    let (whole, ..) = written();
    let refusal = |disk: &SimulatedDisk| open(disk).map(|opened| opened.recovery).expect_err("it is refused");
    let disk = whole.after_crash(Survival::Everything);
    disk.remove("meta").expect("removed");
    let missing = refusal(&disk).to_string();
    assert!(missing.contains("meta") && missing.contains("missing"), "{missing}");
    let disk = whole.after_crash(Survival::Everything);
    disk.flip("meta", 40, 1);
    drop(open(&disk).expect("one slot is enough"));
    let disk = whole.after_crash(Survival::Everything);
    disk.flip("meta", 40, 1);
    disk.flip("meta", 4_096 + 40, 1);
    let damaged = refusal(&disk).to_string();
    assert!(damaged.contains("meta") && damaged.contains("damaged"), "{damaged}");
    let disk = whole.after_crash(Survival::Everything);
    write(&disk, "meta", 0, b"tidegate log\nformat 9\nunlike anything known\n");
    assert!(matches!(refusal(&disk), OpenError::NewerFormat { found: 9, .. }));
}

#[test]
fn what_a_crash_kept_a_trim_from_taking_away_is_not_part_of_the_log() {
    let (disk, mut submitted, places) = written();
    let opened = open(&disk).expect("it opens");
    let whole = disk.after_crash(Survival::Everything);
    opened.log.trim(Sequence(9));
    while opened.log.step() {}
    let first = opened.log.status().first;
    // The meta file says so already; the old segment files are back.
    let meta = disk.bytes_of("meta");
    write(&whole, "meta", 0, &meta);
    let recovery = open(&whole).expect("it opens").recovery;
    assert_eq!((recovery.first, recovery.last), (first, Sequence(FRAMES)));
    assert!(!whole.list().expect("listed").contains(&places[0].file), "the remains are taken away");
    submitted.retain(|&sequence, _| sequence >= first.0);
    assert_eq!(contents(&open(&whole).expect("it opens").log, &submitted).len(), submitted.len());
    assert_eq!(walk(&whole).1.damage, [], "inspecting agrees");
}

#[test]
fn inspecting_goes_on_behind_each_damage() {
    let (disk, _, places) = written();
    for index in [1, 6, 7] {
        disk.flip(&places[index].file, places[index].offset + 70, 1);
    }
    let payload_of = &places[10];
    disk.flip(&payload_of.file, payload_of.offset + HEADER_BYTES as u64 + payload_of.records_len + 9, 1);
    let (found, report) = walk(&disk);
    assert_eq!(found.len() as u64, FRAMES - 3, "all frames but the three damaged ones are shown");
    assert_eq!(report.payloads, 3 * (FRAMES - 3) - 1);
    let at = report.damage.iter().map(|damage| (damage.file.as_str(), damage.offset)).collect::<Vec<_>>();
    let [second, seventh, eighth] = [1, 6, 7].map(|index| &places[index]);
    assert!(at.contains(&(second.file.as_str(), second.offset)), "{at:?}");
    assert!(at.contains(&(seventh.file.as_str(), seventh.offset)), "{at:?}");
    assert!(eighth.file != seventh.file || at.len() >= 3, "{at:?}");
    let payload_at = payload_of.offset + HEADER_BYTES as u64 + payload_of.records_len;
    assert!(at.contains(&(payload_of.file.as_str(), payload_at)), "{at:?}");
}

/// A fuzzer's find: the number that a header begins with, so near to the file's end that no header fits there. Looking for frames
/// behind a tear, both took it for one, read on, and failed as if the disk had.
#[test]
fn a_header_s_number_in_the_last_bytes_of_a_file_is_not_a_header() {
    let (whole, submitted, places) = written();
    let last = places.last().expect("twenty frames");
    let end = whole.bytes_of(&last.file).len() as u64;
    let magic: Vec<u8> = whole.bytes_of(&last.file)[last.offset as usize..][..4].to_vec();
    for from_end in (8..HEADER_BYTES as u64).step_by(8) {
        let disk = whole.after_crash(Survival::Everything);
        write(&disk, &last.file, end - from_end, &magic);
        let story = format!("{from_end} bytes before the end");
        check(&story, &disk, &submitted, &Expected::Whole(FRAMES));
    }
}

#[test]
fn options_out_of_their_ranges_are_refused() {
    for options in [
        tidegate_log::LocalOptions { segment_bytes: 100, ..small() },
        tidegate_log::LocalOptions { segment_bytes: 5_000, ..small() },
        tidegate_log::LocalOptions { segment_bytes: 1 << 40, ..small() },
        tidegate_log::LocalOptions { spares: 1_000, ..small() },
    ] {
        let disk = Arc::new(SimulatedDisk::new());
        let refused = tidegate_log::LocalLog::open_stepped(disk, options);
        assert!(matches!(refused, Err(OpenError::Options(_))), "{:?}", refused.map(|opened| opened.recovery));
    }
}
