//! Cleaning: keeping the log no longer than about twice what is alive in it.
//!
//! Once a second a shard looks at its log. If that is too long, it asks a sample of its jobs where their
//! bytes lie, and chooses a **target**: a segment boundary before which most is dead. Then it walks its
//! state, a step at a time, between and inside ordinary turns; what lives before the target is written anew,
//! and when the walk is through and durable, everything before the target is trimmed.
//!
//! Promises: nothing alive is trimmed, damaged payloads included; a step is short; callers' writes pay for at
//! most half as many restated bytes, and an idle shard goes at a gentle pace; a walk frees at least three
//! times what it writes, by the sample's word. Left out: exactness. The sample only chooses when and how far;
//! the walk itself looks at everything.

use tidegate_core::state::{Step, Walk};
use tidegate_core::view::JobFilter;
use tidegate_core::{State, Time, sabotage};
use tidegate_log::frame::PAYLOAD_PREFIX_BYTES;
use tidegate_log::{LogStatus, Sequence};

use crate::limits::READ_PAUSE_MS;
use crate::options::Cleaning;
use crate::payloads::{Pinned, Unreadable};
use crate::shard::Shard;

/// Jobs asked in one sample.
const SAMPLE: u64 = 256;
/// What a job takes in the log beside its blobs, in bytes; a guess that only serves the choice.
const RECORD_BYTES: u64 = 96;
/// What is restated may be at most this part of what is freed.
const FREED_PER_RESTATED: u64 = 3;
/// A walk that has written more than this part of what it freed was hardly worth it.
const WORTHWHILE: u64 = 2;
/// Jobs restated in one step, whatever their size.
const STEP_JOBS: usize = 512;

/// A shard's cleaning.
#[derive(Debug)]
pub(crate) struct Cleaner {
    options: Cleaning,
    phase: Phase,
    /// The log is not cleaned again before it is so long, since cleaning it at its present length would free little.
    floor_bytes: u64,
    /// What was alive when that was found. If much of it has ended since, the log is cleaned all the same.
    floor_live: u64,
    /// Bytes that callers' writes have paid for; below zero after a step that had to write more.
    credit: i64,
    /// Bytes that the present walk has written.
    written: u64,
    step_at: Time,
    /// Until when no step is made, paid for or not, since the disk refused to read.
    rests_until: Time,
    done: u64,
}

#[derive(Debug)]
enum Phase {
    Resting,
    Walking {
        walk: Walk,
        target: Target,
    },
    /// The walk is through; `after` must be durable before anything is trimmed.
    Waiting {
        target: Target,
        after: Sequence,
    },
}

/// How far a walk goes, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Target {
    /// Everything before it will be trimmed.
    first: Sequence,
    /// Bytes of that.
    freed: u64,
}

impl Cleaner {
    pub(crate) fn new(options: Cleaning) -> Self {
        let phase = Phase::Resting;
        Self {
            options,
            phase,
            floor_bytes: 0,
            floor_live: 0,
            credit: 0,
            written: 0,
            step_at: Time(0),
            rests_until: Time(0),
            done: 0,
        }
    }

    /// Callers have written so many bytes.
    pub(crate) fn pay(&mut self, bytes: usize) {
        self.credit = (self.credit + bytes as i64 / 2).min(4 * self.options.step_bytes as i64);
    }

    /// A step has written so many bytes: if callers had paid for it, they have less to spend, and if they do
    /// not pay, the next step comes the later.
    fn stepped(&mut self, bytes: usize, paid: bool, time: Time) {
        self.written += bytes as u64;
        if paid {
            self.credit -= bytes as i64;
        }
        let steps = bytes.div_ceil(self.options.step_bytes.max(1)).max(1) as u64;
        self.step_at = self.step_at.max(time.plus(steps * self.options.pause_ms));
    }

    /// A walk has ended, and `left` bytes stay in the log. If it wrote much of what it freed, the sample knows
    /// too little of what is alive: the next walk waits until the log has grown.
    fn ended(&mut self, target: Target, left: u64, state: &State) {
        self.done += 1;
        if self.written > target.freed / WORTHWHILE {
            self.floor_bytes = left + left / 2 + self.options.slack_bytes;
            self.floor_live = Sample::of(state).live_bytes(Sequence(u64::MAX));
        }
    }

    /// When the next step is due although nobody calls.
    pub(crate) fn next_step(&self) -> Option<Time> {
        (!matches!(self.phase, Phase::Resting)).then_some(self.step_at.max(self.rests_until))
    }

    /// Walks that have ended in a trim.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// Begins a walk if the log is too long and enough of it is dead.
    pub(crate) fn look(&mut self, status: &LogStatus, state: &State) {
        let resting = matches!(self.phase, Phase::Resting);
        let long = status.bytes > self.options.slack_bytes;
        if !resting || !long || (sabotage::is("cleaner_stops") && self.done > 0) {
            return;
        }
        let sample = Sample::of(state);
        let live = sample.live_bytes(Sequence(u64::MAX));
        let not_worthwhile = status.bytes < self.floor_bytes && live > self.floor_live / 2;
        if not_worthwhile || status.bytes <= 2 * live + self.options.slack_bytes {
            return;
        }
        self.floor_bytes = 0;
        match target(status, &sample, self.options.slack_bytes / 2) {
            Some(target) => {
                tracing::debug!(target = %target.first, log_bytes = status.bytes, "cleaning begins");
                self.written = 0;
                self.phase = Phase::Walking { walk: state.walk(target.first.0), target };
            }
            None => (self.floor_bytes, self.floor_live) = (status.bytes + status.bytes / 4, live),
        }
    }
}

/// The boundary before which cleaning frees most, if it frees at least `gain_min` bytes more than it writes.
fn target(status: &LogStatus, sample: &Sample, gain_min: u64) -> Option<Target> {
    let (mut freed, mut best) = (0, None);
    for pair in status.segments.windows(2) {
        freed += pair[0].bytes;
        let first = pair[1].first;
        if first > status.durable {
            break;
        }
        let restated = sample.live_bytes(first);
        let gain = freed.saturating_sub(restated);
        if restated <= freed / FREED_PER_RESTATED
            && gain >= gain_min
            && best.is_none_or(|(most, _)| gain > most)
        {
            best = Some((gain, Target { first, freed }));
        }
    }
    best.map(|(_, target)| target)
}

/// Where the bytes of some jobs lie, standing for all of them.
struct Sample {
    /// The oldest frame that a job needs, and its bytes.
    jobs: Vec<(Sequence, u64)>,
    job_count: u64,
    /// Bytes of what is alive beside jobs and blobs: kept answers, failures, progress, keys, pools. Where they lie
    /// is not known; taken for old, they are never counted too low.
    others: u64,
}

impl Sample {
    /// Asks jobs at places spread evenly over all ids that are in use. Ids without a job give none, so each
    /// job counts alike.
    fn of(state: &State) -> Self {
        let at_or_after = |sequence| state.list(&JobFilter::default(), sequence, 1).jobs.pop();
        let mut jobs = Vec::new();
        let job_count = state.job_count();
        let others = state.answer_bytes() + state.extra_bytes() + state.pool_bytes();
        let Some(first) = at_or_after(0).map(|job| job.id.sequence()) else {
            return Self { jobs, job_count, others };
        };
        // The last id: beyond it there is nothing.
        let (mut last, mut beyond) = (first, 1 << 48);
        while last + 1 < beyond {
            let middle = last + (beyond - last) / 2;
            match at_or_after(middle) {
                Some(job) => last = job.id.sequence(),
                None => beyond = middle,
            }
        }
        let span = last - first + 1;
        for n in 0..SAMPLE.min(span) {
            let sequence = first + n * span / SAMPLE.min(span);
            if let Some(job) = at_or_after(sequence).filter(|job| job.id.sequence() == sequence) {
                // A job without blobs lies nobody knows where; taken for old, it costs its record.
                let blobs = [job.payload, job.result];
                let frames = blobs.iter().filter(|blob| blob.len > 0).map(|blob| blob.frame);
                let bytes: u64 = blobs.iter().map(|blob| u64::from(blob.len)).sum();
                jobs.push((Sequence(frames.min().unwrap_or(0)), bytes + RECORD_BYTES));
            }
        }
        Self { jobs, job_count, others }
    }

    /// Bytes of what needs something before `target`, by estimate. If hardly an id is in use, no sample
    /// was found, and all jobs are taken to lie before it.
    fn live_bytes(&self, target: Sequence) -> u64 {
        let (count, scale) = (self.jobs.len() as u64, u128::from(self.job_count));
        if count == 0 {
            return self.others + self.job_count * 4 * RECORD_BYTES;
        }
        let bytes: u64 = self.jobs.iter().filter(|(frame, _)| *frame < target).map(|(_, bytes)| bytes).sum();
        self.others + (u128::from(bytes) * scale / u128::from(count)) as u64
    }
}

impl Shard {
    /// Goes on with cleaning, if its time has come. Belongs before the turn's calls: a blob that is placed in
    /// this turn could not be read yet.
    pub(crate) fn clean(&mut self, time: Time) {
        let cleaner = &mut self.cleaner;
        match std::mem::replace(&mut cleaner.phase, Phase::Resting) {
            Phase::Resting => {}
            Phase::Waiting { target, after } if self.log.durable().sequence >= after => {
                tracing::debug!(target = %target.first, "cleaning ends: everything before it may go");
                let left = self.log.status().bytes.saturating_sub(target.freed);
                self.log.trim(target.first);
                cleaner.ended(target, left, &self.state);
            }
            Phase::Waiting { target, after } => {
                cleaner.phase = Phase::Waiting { target, after };
                cleaner.step_at = time.plus(cleaner.options.pause_ms);
            }
            Phase::Walking { walk, target } => {
                let paid = cleaner.credit >= cleaner.options.step_bytes as i64;
                if time >= cleaner.rests_until && (paid || time >= cleaner.step_at) {
                    let before = self.sink.bytes();
                    let phase = self.step(walk, target, time);
                    self.cleaner.stepped(self.sink.bytes() - before, paid, time);
                    self.cleaner.phase = phase;
                } else {
                    cleaner.phase = Phase::Walking { walk, target };
                }
            }
        }
    }

    /// One step of a walk, and what follows it.
    fn step(&mut self, walk: Walk, target: Target, time: Time) -> Phase {
        let mut further = walk.clone();
        let mut turn = self.gathered.turn(&mut self.sink);
        let step = self.state.walk_step(&mut further, STEP_JOBS, self.cleaner.options.step_bytes, &mut turn);
        self.gathered.absorb(turn);
        let (ids, blobs) = match step {
            Step::On => return Phase::Walking { walk: further, target },
            // The last step writes nothing, so what the walk wrote is in frames that have been submitted.
            Step::Done => return Phase::Waiting { target, after: self.last() },
            Step::Restate(ids, blobs) => (ids, blobs),
        };
        let read = Pinned::pin(&*self.log, blobs.iter().copied()).read_raw();
        let mut refusals = read.iter().filter_map(|read| read.as_ref().err()).filter(|error| !error.damaged);
        if let Some(refused) = refusals.next() {
            self.doors.published.reads_refused(1 + refusals.count() as u64);
            tracing::error!(why = refused.why, "cleaning rests: the disk refuses to read");
            self.cleaner.rests_until = time.plus(READ_PAUSE_MS);
            return Phase::Walking { walk, target };
        }
        let mut turn = self.gathered.turn(&mut self.sink);
        self.state.restate(&ids, &mut turn);
        let blob_cursor = turn.blob_cursor;
        self.gathered.absorb(turn);
        for (blob, read) in blobs.iter().zip(read) {
            match read {
                Ok(bytes) if sabotage::is("payload_lost_on_restate") => {
                    self.sink.push_blob(&vec![0; bytes.len()]);
                }
                Ok(bytes) => self.sink.push_blob(&bytes),
                Err(Unreadable { why, .. }) => {
                    tracing::error!(frame = blob.frame, why, "a damaged blob is carried on as damaged");
                    self.sink.push_blob(&damaged_blob(blob.len));
                }
            }
        }
        assert_eq!(self.sink.cursor(), blob_cursor, "the blobs in the frame are those the records speak of");
        Phase::Walking { walk: further, target }
    }
}

/// What stands for a blob that could not be read: as long as it was, so that the records about it stay true,
/// and no envelope, so that whoever reads it is told that it is damaged.
fn damaged_blob(stored_len: u32) -> Vec<u8> {
    vec![0xFF; (stored_len as usize).saturating_sub(PAYLOAD_PREFIX_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Envelope;
    use prost::Message;
    use tidegate_log::SegmentStatus;

    #[test]
    fn what_stands_for_a_damaged_blob_is_no_envelope() {
        for len in 1..100 {
            let blob = damaged_blob(PAYLOAD_PREFIX_BYTES as u32 + len);
            assert_eq!(blob.len() as u32, len);
            Envelope::decode(&blob[..]).expect_err("it must not be taken for a payload");
        }
    }

    /// Segments of 100 bytes with ten frames each; jobs of `bytes` each in the given frames, and `others`
    /// bytes beside them. Expects a target.
    fn check(segments: u64, jobs: &[u64], bytes: u64, others: u64, expected: Option<u64>) {
        let status = LogStatus {
            first: Sequence(1),
            last: Sequence(segments * 10),
            durable: Sequence(segments * 10),
            bytes: segments * 100,
            in_flight_bytes: 0,
            free_bytes: 0,
            spares: 0,
            segments: (0..segments)
                .map(|n| SegmentStatus { first: Sequence(n * 10 + 1), bytes: 100 })
                .collect(),
        };
        let jobs: Vec<_> = jobs.iter().map(|&frame| (Sequence(frame), bytes)).collect();
        let sample = Sample { job_count: jobs.len() as u64, jobs, others };
        assert_eq!(target(&status, &sample, 50).map(|target| target.first), expected.map(Sequence));
    }

    #[test]
    fn cleaning_goes_as_far_as_most_is_dead() {
        check(5, &[], 0, 0, Some(41));
        check(5, &[45], 90, 0, Some(41));
        check(5, &[25, 26, 27, 35, 36], 60, 0, Some(21));
        check(5, &[5, 15, 25, 35], 90, 0, None);
    }

    #[test]
    fn a_long_step_is_paid_for_or_followed_by_a_long_pause() {
        let options = Cleaning { slack_bytes: 0, step_bytes: 100, pause_ms: 10 };
        let mut idle = Cleaner::new(options);
        idle.stepped(250, false, Time(1_000));
        assert_eq!((idle.step_at, idle.credit), (Time(1_030), 0));
        idle.stepped(0, false, Time(1_030));
        assert_eq!(idle.step_at, Time(1_040), "a step that only looked is a step");

        let mut busy = Cleaner::new(options);
        busy.pay(200);
        busy.stepped(1_000, true, Time(1_000));
        busy.pay(2_000);
        assert_eq!(busy.credit, 100, "what was written beyond the credit is paid for first");
    }

    #[test]
    fn one_old_job_does_not_pin_the_log() {
        check(5, &[1, 45], 30, 0, Some(41));
    }

    #[test]
    fn what_is_being_written_is_not_cleaned() {
        check(1, &[], 0, 0, None);
    }

    #[test]
    fn what_is_alive_beside_jobs_counts() {
        check(5, &[], 0, 130, Some(41));
        check(5, &[], 0, 140, None);
    }
}
