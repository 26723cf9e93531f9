//! Crashes and failures at every operation of a scripted life: what was acknowledged is there, whole; what is
//! there is a prefix of what was submitted; nothing is made up; and the log goes on.

mod common;

use std::collections::BTreeMap;
use std::io;

use common::{Content, contents, open, small};
use tidegate_log::disk::simulated::{SimulatedDisk, Survival};
use tidegate_log::{Epoch, LocalLog, Log, Sequence, SubmitError};

/// What the outside world knows after a life: what it submitted, and what it was told.
#[derive(Clone, Default)]
struct Known {
    /// Every content ever submitted for a sequence; more than one if a crash took the first.
    submitted: BTreeMap<u64, Vec<Content>>,
    acknowledged: u64,
    trimmed_before: u64,
}

/// How the frames of a life are sized. `Even` ones fall on the same offsets in every segment, so that
/// leftovers in a recycled one lie exactly where new frames and payloads will.
#[derive(Clone, Copy, Debug)]
enum Sizes {
    Mixed,
    Even,
}

impl Sizes {
    fn of(self, sequence: u64) -> usize {
        match self {
            Sizes::Mixed => [40, 900, 0, 2_600, 300, 5_200, 10][sequence as usize % 7],
            Sizes::Even => 1_200,
        }
    }
}

/// One life of a log: open, write in batches of one to three, trim, fill spares, end. It goes as far as the
/// disk lets it.
fn live(disk: &SimulatedDisk, variant: u64, sizes: Sizes, known: &mut Known, close: bool) -> Option<()> {
    let opened = open(disk).ok()?;
    let log = opened.log;
    known.acknowledged = known.acknowledged.max(log.durable().sequence.0);
    let mut last = opened.recovery.last;
    for batch in 0..12 {
        for _ in 0..=batch % 3 {
            let sequence = last.next();
            let content = Content::new(sequence.0, variant, sizes.of(sequence.0));
            known.submitted.entry(sequence.0).or_default().push(content.clone());
            log.submit(last, content.frame(opened.recovery.epoch, sequence)).ok()?;
            last = sequence;
        }
        log.step();
        known.acknowledged = known.acknowledged.max(log.durable().sequence.0);
        if batch % 4 == 2 {
            known.trimmed_before = known.trimmed_before.max(last.0 - 3);
            log.trim(Sequence(last.0 - 3));
            log.step();
        }
        if batch == 7 {
            log.fill_spare();
        }
    }
    if close { log.close().ok() } else { Some(()) }
}

/// Opens what a life left and holds it against what the world knows.
fn check(disk: &SimulatedDisk, known: &Known, story: &str) -> Known {
    let opened = open(disk).unwrap_or_else(|error| panic!("{story}: {error}"));
    let (first, last) = (opened.recovery.first.0, opened.recovery.last.0);
    assert!(last >= known.acknowledged, "{story}: {} was acknowledged, {last} is there", known.acknowledged);
    assert!(first <= known.trimmed_before.max(1), "{story}: only what is before the trim may go");
    let found = contents(&opened.log, &known.submitted);
    assert!(found.keys().copied().eq(first..=last), "{story}: what is there has no gaps");
    for (sequence, content) in &found {
        assert!(known.submitted[sequence].contains(content), "{story}: frame {sequence} is as submitted");
    }
    // It goes on for one frame, is told that it is durable, and the power fails.
    let one_more = disk.after_crash(Survival::Everything);
    let opened = open(&one_more).unwrap_or_else(|error| panic!("{story}: {error}"));
    let next = Sequence(last + 1);
    let frame = Content::new(next.0, 8, 60).frame(opened.recovery.epoch, next);
    opened.log.submit(Sequence(last), frame).expect("the log goes on");
    opened.log.wait_durable(next).expect("the log goes on");
    let recovery = open(&one_more.after_crash(Survival::Nothing)).map(|opened| opened.recovery);
    assert_eq!(recovery.map(|recovery| recovery.last).ok(), Some(next), "{story}: one frame later");
    let submitted = found.into_iter().map(|(sequence, content)| (sequence, vec![content])).collect();
    Known { submitted, acknowledged: last, trimmed_before: known.trimmed_before }
}

/// The ways a crash is tried.
fn survivals(seed: u64) -> Vec<Survival> {
    let mut ways = vec![Survival::Nothing, Survival::Everything];
    ways.extend((0..4).map(|way| Survival::Some(seed * 4 + way)));
    ways
}

/// A disk on which one life has ended without closing, so that spares, leftovers and several segments are
/// there.
fn lived_in(sizes: Sizes) -> (SimulatedDisk, Known) {
    let (disk, mut known) = (SimulatedDisk::new(), Known::default());
    live(&disk, 1, sizes, &mut known, false).expect("nothing is wrong with this disk");
    (disk.after_crash(Survival::Everything), known)
}

fn crash_everywhere(sizes: Sizes, close: bool) {
    let beginnings = [(SimulatedDisk::new(), Known::default()), lived_in(sizes)];
    for (age, (beginning, before)) in beginnings.iter().enumerate() {
        let whole = beginning.after_crash(Survival::Everything);
        live(&whole, 2, sizes, &mut before.clone(), close).expect("nothing is wrong with this disk");
        let operations = whole.operations();
        assert!(operations > 40, "a life has many operations, this one {operations}");
        for operation in 1..=operations {
            let disk = beginning.after_crash(Survival::Everything);
            disk.crash_at(operation);
            let mut known = before.clone();
            let _ = live(&disk, 2, sizes, &mut known, close);
            for survival in survivals(operation) {
                let story =
                    format!("{sizes:?}, age {age}, crash at {operation} of {operations}, {survival:?}");
                let next = disk.after_crash(survival);
                let mut known = check(&next, &known, &story);
                if operation % 4 != 0 {
                    continue;
                }
                // A whole life goes on over what the crash left, and ends in another one.
                let again = next.after_crash(Survival::Everything);
                live(&again, 3, sizes, &mut known, false).unwrap_or_else(|| panic!("{story}: goes on"));
                check(&again.after_crash(Survival::Nothing), &known, &format!("{story}, and once more"));
            }
        }
    }
}

#[test]
fn a_crash_at_any_operation_loses_nothing_acknowledged() {
    crash_everywhere(Sizes::Mixed, false);
}

#[test]
fn a_crash_over_leftovers_of_the_same_shape_makes_nothing_up() {
    crash_everywhere(Sizes::Even, false);
}

#[test]
fn a_crash_while_closing_loses_nothing_acknowledged() {
    crash_everywhere(Sizes::Mixed, true);
}

#[test]
fn a_crash_at_any_operation_of_a_recovery_changes_nothing_for_the_next_one() {
    for seed in 0..40 {
        let (disk, mut known) = lived_in(Sizes::Even);
        disk.crash_at(30 + seed);
        let _ = live(&disk, 2, Sizes::Even, &mut known, false);
        let torn = disk.after_crash(Survival::Some(seed));
        let recovered = torn.after_crash(Survival::Everything);
        drop(open(&recovered).expect("a torn tail is no damage"));
        for operation in 1..=recovered.operations() {
            let again = torn.after_crash(Survival::Everything);
            again.crash_at(operation);
            drop(open(&again));
            for survival in survivals(seed) {
                let story = format!("seed {seed}, recovery crashes at {operation}, {survival:?}");
                check(&again.after_crash(survival), &known, &story);
            }
        }
    }
}

#[test]
fn a_failure_at_any_operation_stops_the_log_and_loses_nothing_acknowledged() {
    for kind in [io::ErrorKind::Other, io::ErrorKind::StorageFull] {
        let (beginning, before) = lived_in(Sizes::Mixed);
        let whole = beginning.after_crash(Survival::Everything);
        live(&whole, 2, Sizes::Mixed, &mut before.clone(), true).expect("nothing is wrong with this disk");
        for operation in 1..=whole.operations() {
            let disk = beginning.after_crash(Survival::Everything);
            disk.fail_at(operation, kind);
            let mut known = before.clone();
            let _ = live(&disk, 2, Sizes::Mixed, &mut known, true);
            for survival in survivals(operation) {
                let story = format!("operation {operation} fails with {kind}, {survival:?}");
                let next = disk.after_crash(survival);
                let found = check(&next, &known, &story);
                // What the next owner has seen is there for good, though a sync failed that should have put
                // it there: it does not trust the page cache.
                check(&next.after_crash(Survival::Nothing), &found, &format!("{story}, then the power"));
            }
        }
    }
}

/// Submits frames of `bytes` until the log refuses one.
fn submit_until_refused(log: &LocalLog, epoch: Epoch, bytes: usize, known: &mut Known) -> SubmitError {
    loop {
        let status = log.status();
        let content = Content::new(status.last.0 + 1, 9, bytes);
        let refused = log.submit(status.last, content.frame(epoch, status.last.next())).err();
        if let Some(refusal) = refused {
            return refusal;
        }
        known.submitted.entry(status.last.0 + 1).or_default().push(content);
        log.wait_durable(status.last.next()).expect("there is room for what was taken");
        known.acknowledged = log.durable().sequence.0;
    }
}

#[test]
fn a_full_disk_refuses_a_frame_by_name_and_takes_it_once_there_is_room() {
    let disk = SimulatedDisk::new();
    disk.limit(Some(3 * small().segment_bytes + 8_192));
    let mut known = Known::default();
    let opened = open(&disk).expect("there is room for a beginning");
    let refusal = submit_until_refused(&opened.log, opened.recovery.epoch, 1_000, &mut known);
    assert!(matches!(refusal, SubmitError::DiskFull { .. }), "{refusal}");
    assert_eq!(opened.log.durable().failure, None, "a refused frame does no harm");
    let held = opened.log.status().last;
    known.trimmed_before = held.0;
    opened.log.trim(held);
    opened.log.step();
    submit_until_refused(&opened.log, opened.recovery.epoch, 1_000, &mut known);
    assert!(opened.log.status().last > held, "trimming has made room");
    drop(opened);
    check(&disk.after_crash(Survival::Nothing), &known, "after a full disk");
}

#[test]
fn a_disk_that_fills_behind_our_back_fails_the_log_with_that_reason_and_reopens_with_room() {
    let disk = SimulatedDisk::new();
    let mut known = Known::default();
    let opened = open(&disk).expect("there is room for a beginning");
    for sequence in 1..=8 {
        let content = Content::new(sequence, 1, 1_200);
        known.submitted.insert(sequence, vec![content.clone()]);
        let frame = content.frame(opened.recovery.epoch, Sequence(sequence));
        opened.log.submit(Sequence(sequence - 1), frame).expect("there was room when this was asked");
    }
    disk.limit(Some(small().segment_bytes + 8_192));
    while opened.log.step() {}
    let durable = opened.log.durable();
    known.acknowledged = durable.sequence.0;
    assert!(durable.failure.is_some_and(|failure| failure.is_disk_full()), "the reason is named");
    assert!(known.acknowledged > 0 && known.acknowledged < 8, "some frames fitted: {}", known.acknowledged);
    check(&disk.after_crash(Survival::Some(5)), &known, "after the disk filled up");
}

/// A frame of an earlier life of which a crash had taken the sector with the first bytes of its header: nothing was there to know
/// it by, so it was not cleared. The next life's frame begins with the same bytes, and where a crash left only those, the old
/// frame was whole again, after others had been told that it was not there.
#[test]
fn a_frame_that_was_not_there_never_comes_back() {
    let mut kept = 0;
    for size in (0..=512).step_by(8) {
        let first = Content::new(1, 1, size);
        let [old, new] = [2, 3].map(|variant| Content::new(2, variant, 700));
        let begin = |disk: &SimulatedDisk, second: &Content, last: u64| {
            let opened = open(disk).expect("a torn tail is no damage");
            let epoch = opened.recovery.epoch;
            if last == 0 {
                opened.log.submit(Sequence(0), first.frame(epoch, Sequence(1))).expect("it is taken");
                opened.log.wait_durable(Sequence(1)).expect("the disk is well");
            }
            disk.crash_at(disk.operations() + 1);
            opened.log.submit(Sequence(1), second.frame(epoch, Sequence(2))).expect("it is taken");
            opened.log.step();
        };
        let disk = SimulatedDisk::new();
        begin(&disk, &old, 0);
        for seed in 0..12 {
            let once = disk.after_crash(Survival::Some(seed));
            if open(&once.after_crash(Survival::Everything)).expect("it opens").recovery.last == Sequence(2) {
                continue;
            }
            begin(&once, &new, 1);
            for seed in 0..12 {
                let opened = open(&once.after_crash(Survival::Some(seed))).expect("it opens");
                let submitted = [(1, vec![first.clone()]), (2, vec![old.clone(), new.clone()])];
                let found = contents(&opened.log, &BTreeMap::from(submitted));
                if let Some(second) = found.get(&2) {
                    assert!(*second == new, "size {size}: the frame of the life before is back");
                    kept += 1;
                }
            }
        }
    }
    assert!(kept > 0, "some crashes left the second frame");
}
