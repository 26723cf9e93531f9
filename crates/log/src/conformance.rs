//! What every engine must do, as one suite.
//!
//! An engine's test file makes a [`Subject`] and calls [`conformance_tests!`](crate::conformance_tests),
//! which gives one test for each fact below. A new engine needs nothing else; a new fact holds all engines at
//! once.

use std::sync::{Arc, Mutex};

use crate::error::{ReadError, SubmitError};
use crate::frame::{Frame, FrameBuilder};
use crate::log::{Log, Opened};
use crate::position::{Epoch, PayloadOffset, Sequence, Shard};

/// An engine under test: one log that can be opened again and again, and whose durability can be held up.
pub trait Subject {
    /// Opens what the former opening left. Its log has been dropped.
    fn open(&self) -> Opened<Arc<dyn Log>>;
    /// From now on nothing becomes durable.
    fn hold(&self);
    /// From now on everything does, also what was held.
    fn release(&self);
    /// The next attempt to make something durable will fail.
    fn fail(&self);
}

/// Makes one test of each fact, for the subject that the expression makes anew.
#[macro_export]
macro_rules! conformance_tests {
    ($subject:expr) => {
        $crate::conformance_tests!($subject =>
            a_new_log_is_empty,
            frames_come_back_in_order_as_they_were_submitted,
            a_frame_after_another_place_is_fenced,
            a_frame_of_an_earlier_epoch_is_fenced,
            nothing_is_durable_or_readable_before_it_is_synced,
            a_listener_hears_of_every_advance,
            a_failure_is_final_and_everybody_hears_of_it_once,
            what_was_durable_is_there_after_reopening,
            payloads_are_read_wherever_they_are,
            a_wrong_address_is_refused,
            a_pinned_payload_outlives_trimming,
            trimming_keeps_what_is_needed_and_survives_reopening,
            reading_outside_the_log_is_refused_by_name,
            a_reader_goes_on_when_there_is_more,
            frames_may_be_empty_or_longer_than_a_segment,
            a_closed_log_takes_nothing_and_is_known_to_be_closed,
        );
    };
    ($subject:expr => $($fact:ident,)*) => {
        $(
            #[test]
            fn $fact() {
                $crate::conformance::$fact(&$subject);
            }
        )*
    };
}

/// A log in the hands of its owner.
struct Owner {
    log: Arc<dyn Log>,
    epoch: Epoch,
    last: Sequence,
}

impl Owner {
    fn of(subject: &dyn Subject) -> Owner {
        let Opened { log, recovery } = subject.open();
        Owner { log, epoch: recovery.epoch, last: recovery.last }
    }

    fn submit(&mut self) -> Sequence {
        let next = self.last.next();
        self.log.submit(self.last, frame(self.epoch, next)).expect("the log takes the next frame");
        self.last = next;
        next
    }

    fn write(&mut self, frames: u64) {
        for _ in 0..frames {
            self.submit();
        }
        self.log.wait_durable(self.last).expect("nothing is wrong with this disk");
    }

    /// Trims, and comes back when it has been done: the writer trims in the turn that takes the request, and
    /// two further turns have passed.
    fn trim(&mut self, before: Sequence) {
        self.log.trim(before);
        self.write(1);
        self.write(1);
    }

    fn read_all(&self, from: Sequence) -> Vec<Sequence> {
        let mut reader = self.log.read(from).expect("the log is readable from there");
        let mut found = Vec::new();
        while let Some(view) = reader.next_frame().expect("every frame is sound") {
            assert_eq!(view.records, records(view.header.sequence), "records come back as written");
            found.push(view.header.sequence);
        }
        found
    }

    fn check_payloads(&self, at: Sequence) {
        let source = self.log.payload(at).expect("the frame is held");
        check_source(&source, at);
    }
}

fn check_source(source: &crate::PayloadSource, at: Sequence) {
    let (first, second) = payloads(at);
    let second_at = PayloadOffset(FrameBuilder::payload_bytes(first.len()) as u32);
    let wanted = [(second_at, second.len() as u32), (PayloadOffset(0), first.len() as u32)];
    let found = source.read_many(&wanted).expect("the payloads are sound");
    assert_eq!(
        [&found[0][..], &found[1][..]],
        [&second[..], &first[..]],
        "payloads of frame {at}, in the order asked"
    );
    let alone = source.read(second_at, second.len() as u32).expect("the payload is sound");
    assert_eq!(alone, second, "a payload read alone");
}

fn records(sequence: Sequence) -> Vec<u8> {
    format!("records of frame {sequence}").into_bytes()
}

fn payloads(sequence: Sequence) -> (Vec<u8>, Vec<u8>) {
    (vec![sequence.0 as u8; 300], format!("payload of frame {sequence}").into_bytes())
}

fn frame(epoch: Epoch, sequence: Sequence) -> Frame {
    let mut builder = FrameBuilder::new();
    builder.push_record(&records(sequence));
    builder.push_payload(&payloads(sequence).0);
    builder.push_payload(&payloads(sequence).1);
    builder.finish(Shard(7), epoch, sequence, 1_000 + sequence.0)
}

fn sequences(from: u64, to: u64) -> Vec<Sequence> {
    (from..=to).map(Sequence).collect()
}

/// See its name.
pub fn a_new_log_is_empty(subject: &dyn Subject) {
    let Opened { log, recovery } = subject.open();
    assert_eq!((recovery.first, recovery.last), (Sequence::FIRST, Sequence::ZERO));
    assert!(recovery.epoch > Epoch(0), "the first owner has an epoch");
    assert_eq!(recovery.torn, None);
    assert_eq!(log.durable().sequence, Sequence::ZERO);
    assert!(log.read(Sequence::ZERO).expect("readable").next_frame().expect("sound").is_none());
}

/// See its name.
pub fn frames_come_back_in_order_as_they_were_submitted(subject: &dyn Subject) {
    let mut owner = Owner::of(subject);
    owner.write(100);
    assert_eq!(owner.read_all(Sequence::ZERO), sequences(1, 100));
    assert_eq!(owner.read_all(Sequence(42)), sequences(42, 100));
    let mut reader = owner.log.read(Sequence(100)).expect("readable");
    let header = reader.next_frame().expect("sound").expect("there").header;
    assert_eq!((header.shard, header.epoch, header.time_ms), (Shard(7), owner.epoch, 1_100));
    assert_eq!((header.record_count, header.payload_count), (1, 2));
}

/// See its name.
pub fn a_frame_after_another_place_is_fenced(subject: &dyn Subject) {
    let mut owner = Owner::of(subject);
    owner.write(3);
    for after in [Sequence(0), Sequence(2), Sequence(4)] {
        let refused = owner.log.submit(after, frame(owner.epoch, after.next()));
        let Err(SubmitError::Fenced { found_last, .. }) = refused else { panic!("fenced: {refused:?}") };
        assert_eq!(found_last, Sequence(3), "the refusal says where the log stands");
    }
    owner.write(1);
    assert_eq!(owner.read_all(Sequence::ZERO), sequences(1, 4), "refused frames leave no trace");
}

/// See its name.
pub fn a_frame_of_an_earlier_epoch_is_fenced(subject: &dyn Subject) {
    let mut owner = Owner::of(subject);
    owner.write(1);
    let earlier = owner.epoch;
    drop(owner);
    let mut owner = Owner::of(subject);
    assert!(owner.epoch > earlier, "each opening has a higher epoch");
    let refused = owner.log.submit(owner.last, frame(earlier, owner.last.next()));
    let Err(SubmitError::Fenced { found_epoch, .. }) = refused else { panic!("fenced: {refused:?}") };
    assert_eq!(found_epoch, owner.epoch);
    owner.write(1);
}

/// See its name.
pub fn nothing_is_durable_or_readable_before_it_is_synced(subject: &dyn Subject) {
    let mut owner = Owner::of(subject);
    owner.write(1);
    assert_eq!(owner.log.in_flight_bytes(), 0);
    subject.hold();
    owner.submit();
    owner.submit();
    assert_eq!(owner.log.durable().sequence, Sequence(1));
    assert_eq!(owner.read_all(Sequence::ZERO), sequences(1, 1));
    assert!(owner.log.in_flight_bytes() > 0);
    owner.check_payloads(Sequence(3));
    subject.release();
    assert!(owner.log.wait_durable(Sequence(3)).expect("durable") >= Sequence(3));
    assert_eq!(owner.read_all(Sequence::ZERO), sequences(1, 3));
    assert_eq!(owner.log.in_flight_bytes(), 0);
}

/// See its name.
pub fn a_listener_hears_of_every_advance(subject: &dyn Subject) {
    let mut owner = Owner::of(subject);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&heard);
    owner.log.on_durable(Box::new(move |news| ear.lock().expect("no panic").push(news.expect("no failure"))));
    for _ in 0..20 {
        owner.write(3);
    }
    // Those who wait may go on a moment before those who listen are told. Closing ends the telling.
    owner.log.close().expect("nothing is wrong");
    let heard = heard.lock().expect("no panic");
    assert!(heard.is_sorted(), "durable never goes back: {heard:?}");
    assert_eq!(heard.last(), Some(&Sequence(60)));
    assert!(heard.len() >= 20, "each wait was for an advance of its own");
}

/// See its name.
pub fn a_failure_is_final_and_everybody_hears_of_it_once(subject: &dyn Subject) {
    let mut owner = Owner::of(subject);
    let failures = Arc::new(Mutex::new(0));
    let listen = || {
        let ear = Arc::clone(&failures);
        owner
            .log
            .on_durable(Box::new(move |news| *ear.lock().expect("no panic") += usize::from(news.is_err())));
    };
    listen();
    owner.write(3);
    let epoch = owner.epoch;
    let listen = || {
        let ear = Arc::clone(&failures);
        owner
            .log
            .on_durable(Box::new(move |news| *ear.lock().expect("no panic") += usize::from(news.is_err())));
    };
    subject.hold();
    let taken = owner.log.submit(Sequence(3), frame(epoch, Sequence(4)));
    taken.expect("the failure is still to come");
    subject.fail();
    subject.release();
    owner.log.wait_durable(Sequence(4)).expect_err("frame 4 never becomes durable");
    let durable = owner.log.durable();
    assert_eq!(durable.sequence, Sequence(3), "what was durable stays so");
    assert!(durable.failure.is_some());
    let refused = owner.log.submit(Sequence(4), frame(epoch, Sequence(5)));
    assert!(matches!(refused, Err(SubmitError::Failed(_))), "{refused:?}");
    owner.log.close().expect_err("a failed log does not close well");
    assert_eq!(*failures.lock().expect("no panic"), 1);
    listen();
    assert_eq!(*failures.lock().expect("no panic"), 2, "who comes late hears of it too");
    assert_eq!(owner.read_all(Sequence::ZERO), sequences(1, 3));
    drop(owner);
    let owner = Owner::of(subject);
    assert!(owner.last >= Sequence(3), "what was durable is there after reopening");
}

/// See its name.
pub fn what_was_durable_is_there_after_reopening(subject: &dyn Subject) {
    for round in 1..=4 {
        let mut owner = Owner::of(subject);
        assert_eq!(owner.last, Sequence((round - 1) * 30));
        owner.write(30);
        assert_eq!(owner.read_all(Sequence::ZERO), sequences(1, round * 30));
    }
    let recovery = subject.open().recovery;
    assert_eq!((recovery.first, recovery.last), (Sequence(1), Sequence(120)));
    assert_eq!(recovery.last_time_ms, 1_120);
}

/// See its name.
pub fn payloads_are_read_wherever_they_are(subject: &dyn Subject) {
    let mut owner = Owner::of(subject);
    owner.write(100);
    (1..=100).for_each(|sequence| owner.check_payloads(Sequence(sequence)));
    drop(owner);
    let owner = Owner::of(subject);
    (1..=100).for_each(|sequence| owner.check_payloads(Sequence(sequence)));
}

/// See its name.
pub fn a_wrong_address_is_refused(subject: &dyn Subject) {
    let mut owner = Owner::of(subject);
    owner.write(60);
    for at in [Sequence(1), Sequence(60)] {
        let source = owner.log.payload(at).expect("held");
        for (offset, len) in [(0, 299), (0, 301), (1, 300), (308, 4_000), (60_000, 1), (u32::MAX, u32::MAX)] {
            let refused = source.read(PayloadOffset(offset), len);
            assert!(matches!(refused, Err(ReadError::Damaged(_))), "{len} bytes at {offset}: {refused:?}");
        }
    }
}

/// See its name.
pub fn a_pinned_payload_outlives_trimming(subject: &dyn Subject) {
    let mut owner = Owner::of(subject);
    owner.write(100);
    let pinned = (1..=40).map(|at| owner.log.payload(Sequence(at)).expect("held")).collect::<Vec<_>>();
    owner.trim(Sequence(90));
    owner.write(200);
    for (source, at) in pinned.iter().zip(1..) {
        check_source(source, Sequence(at));
    }
}

/// See its name.
pub fn trimming_keeps_what_is_needed_and_survives_reopening(subject: &dyn Subject) {
    let mut owner = Owner::of(subject);
    owner.write(100);
    owner.trim(Sequence(80));
    let first = owner.log.status().first;
    assert!(first > Sequence(1) && first <= Sequence(80), "something goes, and nothing needed: {first}");
    assert_eq!(owner.read_all(Sequence::ZERO), sequences(first.0, 102));
    assert!(matches!(owner.log.read(first.before()), Err(ReadError::Trimmed { .. })));
    owner.trim(Sequence(10_000));
    assert!(owner.log.status().first <= owner.log.status().last.next(), "the future is not trimmed");
    drop(owner);
    let mut owner = Owner::of(subject);
    assert_eq!(owner.last, Sequence(104));
    let first = owner.log.status().first;
    owner.write(50);
    assert_eq!(owner.read_all(Sequence::ZERO), sequences(first.0, 154));
}

/// See its name.
pub fn reading_outside_the_log_is_refused_by_name(subject: &dyn Subject) {
    let mut owner = Owner::of(subject);
    owner.write(2);
    assert_eq!(owner.read_all(Sequence(3)), [], "right behind the end there is nothing yet");
    assert!(matches!(owner.log.read(Sequence(4)), Err(ReadError::NotYet { .. })));
    assert!(matches!(owner.log.payload(Sequence(3)), Err(ReadError::NotYet { .. })));
    assert!(matches!(owner.log.payload(Sequence(0)), Err(ReadError::Trimmed { .. })));
}

/// See its name.
pub fn a_reader_goes_on_when_there_is_more(subject: &dyn Subject) {
    let mut owner = Owner::of(subject);
    let mut reader = owner.log.read(Sequence::ZERO).expect("readable");
    for round in 0..40 {
        assert!(reader.next_frame().expect("sound").is_none());
        owner.write(2);
        for sequence in [round * 2 + 1, round * 2 + 2] {
            let view = reader.next_frame().expect("sound").expect("there is more");
            assert_eq!(view.header.sequence, Sequence(sequence));
        }
    }
}

/// See its name.
pub fn frames_may_be_empty_or_longer_than_a_segment(subject: &dyn Subject) {
    let mut owner = Owner::of(subject);
    let payload = vec![5; 100_000];
    for sequence in 1..=9 {
        let mut builder = FrameBuilder::new();
        if sequence % 3 == 0 {
            builder.push_payload(&payload);
        }
        let frame = builder.finish(Shard(0), owner.epoch, Sequence(sequence), 0);
        owner.log.submit(Sequence(sequence - 1), frame).expect("the log takes the next frame");
    }
    owner.last = Sequence(9);
    owner.log.wait_durable(Sequence(9)).expect("durable");
    drop(owner);
    let owner = Owner::of(subject);
    assert_eq!(owner.last, Sequence(9));
    for sequence in [3, 6, 9] {
        let source = owner.log.payload(Sequence(sequence)).expect("held");
        assert_eq!(source.read(PayloadOffset(0), 100_000).expect("sound"), payload);
    }
}

/// See its name.
pub fn a_closed_log_takes_nothing_and_is_known_to_be_closed(subject: &dyn Subject) {
    let mut owner = Owner::of(subject);
    owner.submit();
    owner.submit();
    owner.log.close().expect("nothing is wrong");
    owner.log.close().expect("closing twice is fine");
    assert_eq!(owner.log.durable().sequence, Sequence(2), "closing makes durable what was submitted");
    let refused = owner.log.submit(Sequence(2), frame(owner.epoch, Sequence(3)));
    assert!(matches!(refused, Err(SubmitError::Closed)), "{refused:?}");
    drop(owner);
    let recovery = subject.open().recovery;
    assert_eq!((recovery.last, recovery.closed), (Sequence(2), true));
}
