//! Writing living things anew, so that the head of the log can be trimmed.
//!
//! A walk has a **target**: a frame. It passes through everything the shard keeps and restates what has its home before the
//! target; once it is through and durable, nothing before the target is needed. It goes a bounded step at a time, between
//! ordinary turns. A replay that begins at the target meets facts about jobs it does not know; it skips them, since what
//! became of those jobs is in their restated form, which comes later.

use alloc::string::String;
use alloc::vec::Vec;

use super::jobs::Slot;
use super::paged::NONE;
use super::{State, Turn};
use crate::id::{Blob, JobId};
use crate::policy::UniqueUntil;
use crate::record::{
    AnswerKept, JobMore, JobsRestated, KeyRestated, QueueRestated, Record, RedriveStarted, RestatedJob,
    Shard, UniqueKey, UniqueRestated,
};
use crate::view::JobState;

/// Things of one kind that one step looks at.
const VISITS: usize = 4_096;

/// What a plain job's restated form is reckoned with, in bytes.
const RECORD_BYTES: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Shard,
    Queues,
    Keys,
    Uniques,
    Answers,
    Pools,
    Grants,
    Waiters,
    Stories,
    Ended,
    Jobs,
    Done,
}

/// How far a walk is.
#[derive(Clone, Debug)]
pub struct Walk {
    target: u64,
    part: Part,
    /// Within the part: an index, or a job's sequence.
    at: u64,
}

/// What a step found.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Restate these jobs with [`State::restate`]; their blobs (each job's payload, then its result) must be placed in the
    /// frame from the turn's blob cursor on, in this order, as they are.
    Restate(Vec<JobId>, Vec<Blob>),
    /// Other things were written (or nothing was to be); go on.
    On,
    /// The walk is through: once this turn's frame is durable, everything before the target may go.
    Done,
}

impl State {
    /// Begins a walk that frees everything before the frame `target`.
    pub const fn walk(&self, target: u64) -> Walk {
        Walk { target, part: Part::Shard, at: 0 }
    }

    /// Goes on with a walk: looks at a bounded number of things, and writes (or names) no more than `bytes_max` bytes of
    /// them and one. Everything but jobs is written at once; jobs are named, at most `jobs_max`, since their payloads
    /// must be read first.
    pub fn walk_step(
        &mut self,
        walk: &mut Walk,
        jobs_max: usize,
        bytes_max: usize,
        turn: &mut Turn<'_>,
    ) -> Step {
        let finished = match walk.part {
            Part::Shard => {
                self.restate_shard(turn);
                true
            }
            Part::Queues => self.restate_range(walk, self.queues.end(), bytes_max, turn, Self::restate_queue),
            Part::Keys => self.restate_range(walk, self.keys.end(), bytes_max, turn, Self::restate_key),
            Part::Uniques => {
                self.restate_range(walk, self.uniques.end(), bytes_max, turn, Self::restate_unique)
            }
            Part::Answers => {
                let target = walk.target;
                self.restate_range(walk, self.answers.end(), bytes_max, turn, |state, index| {
                    state.restate_answer(index, target)
                })
            }
            Part::Pools => {
                self.restate_range(walk, self.pools.pools.end(), bytes_max, turn, Self::restate_pool)
            }
            Part::Grants => {
                let target = walk.target;
                self.restate_range(walk, self.pools.grants.end(), bytes_max, turn, |state, slot| {
                    state.restate_grant(slot, target)
                })
            }
            Part::Waiters => {
                let target = walk.target;
                self.restate_range(walk, self.pools.waiters.end(), bytes_max, turn, |state, index| {
                    state.restate_waiter(index, target)
                })
            }
            Part::Stories => {
                let target = walk.target;
                self.restate_range(walk, self.pools.holders.end(), bytes_max, turn, |state, holder| {
                    state.restate_story(holder, target)
                })
            }
            Part::Ended => match self.restate_ended(walk.at, walk.target, (VISITS, bytes_max), turn) {
                Some(next) => {
                    walk.at = next;
                    false
                }
                None => true,
            },
            Part::Jobs => return self.find_stragglers(walk, jobs_max, bytes_max),
            Part::Done => return Step::Done,
        };
        if finished {
            walk.part = match walk.part {
                Part::Shard => Part::Queues,
                Part::Queues => Part::Keys,
                Part::Keys => Part::Uniques,
                Part::Uniques => Part::Answers,
                Part::Answers => Part::Pools,
                Part::Pools => Part::Grants,
                Part::Grants => Part::Waiters,
                Part::Waiters => Part::Stories,
                Part::Stories => Part::Ended,
                Part::Ended => Part::Jobs,
                Part::Jobs | Part::Done => Part::Done,
            };
            walk.at = 0;
        }
        Step::On
    }

    /// Restates the things numbered `walk.at..end`, a bounded number of things and bytes at a time; returns whether that was
    /// all.
    fn restate_range(
        &mut self,
        walk: &mut Walk,
        end: u32,
        bytes_max: usize,
        turn: &mut Turn<'_>,
        restate: impl Fn(&Self, u32) -> Option<Record>,
    ) -> bool {
        let to = u64::from(end).min(walk.at + VISITS as u64);
        let mut bytes = 0;
        while walk.at < to && bytes < bytes_max {
            if let Some(record) = restate(self, walk.at as u32) {
                bytes += record.encoded_len();
                self.emit(turn, record);
            }
            walk.at += 1;
        }
        walk.at >= u64::from(end)
    }

    fn restate_shard(&mut self, turn: &mut Turn<'_>) {
        let shard = Shard {
            seed: self.seed.unwrap_or(0),
            next_job: if crate::sabotage::is("next_job_lost") { 0 } else { self.next_job },
            next_token: self.next_token,
            next_redrive: self.next_redrive,
            next_grant: self.pools.next_grant,
            next_event: self.pools.next_event,
        };
        self.emit(turn, Record::Shard(shard));
    }

    fn restate_queue(&self, index: u32) -> Option<Record> {
        let entry = self.queues.try_entry(index)?;
        let queue = &entry.value;
        let redrive = queue.redrive.as_deref();
        let restated = QueueRestated {
            queue: (*entry.name).into(),
            config: queue.config,
            paused: queue.paused,
            next_orders: queue.next_orders.to_vec(),
            next_death: queue.next_death,
            redrive: redrive.map(|redrive| RedriveStarted::from((&*entry.name, redrive)).into()),
            redrive_end: redrive.and_then(|redrive| redrive.end).map_or(0, |end| end as u32 + 1),
        };
        Some(Record::QueueRestated(restated))
    }

    fn restate_key(&self, index: u32) -> Option<Record> {
        let entry = self.keys.try_entry(index)?;
        if !entry.value.paused || crate::sabotage::is("pause_lost_on_restate") {
            return None;
        }
        let restated = KeyRestated {
            queue: (**self.queues.name(entry.scope)).into(),
            key: (*entry.name).into(),
            paused: entry.value.paused,
        };
        Some(Record::KeyRestated(restated))
    }

    fn restate_unique(&self, index: u32) -> Option<Record> {
        let entry = self.uniques.try_entry(index)?;
        if entry.value.expires_at.0 == 0 {
            return None;
        }
        let restated = UniqueRestated {
            queue: (**self.queues.name(entry.scope)).into(),
            key: (*entry.name).into(),
            job: entry.value.job,
            expires_at: entry.value.expires_at.0,
            ended: entry.value.ended.map_or(0, |state| state as u32 + 1),
        };
        Some(Record::UniqueRestated(restated))
    }

    fn restate_answer(&self, index: u32, target: u64) -> Option<Record> {
        let entry = self.answers.try_entry(index)?;
        let kept = &entry.value;
        if kept.home >= target || crate::sabotage::is("answer_lost_on_restate") {
            return None;
        }
        let restated = AnswerKept {
            key: (*entry.name).into(),
            fingerprint_0: kept.fingerprint[0],
            fingerprint_1: kept.fingerprint[1],
            kept_at: kept.kept_at.0,
            expires_at: kept.expires_at.0,
            answer: kept.answer.to_vec(),
            dropped: Vec::new(),
        };
        Some(Record::AnswerKept(restated))
    }

    /// Names the next jobs whose home, edited payload or result lies before the target.
    fn find_stragglers(&self, walk: &mut Walk, jobs_max: usize, bytes_max: usize) -> Step {
        let (mut ids, mut blobs, mut bytes, mut visits) = (Vec::new(), Vec::new(), 0, 0);
        loop {
            if ids.len() >= jobs_max || bytes >= bytes_max || visits >= VISITS {
                break;
            }
            let (slot, passed) = self.jobs.at_or_after(walk.at);
            let Some(slot) = slot else {
                walk.part = Part::Done;
                break;
            };
            visits += 1 + passed;
            walk.at = self.jobs.get(slot).sequence.get() + 1;
            let (payload, result) = self.blobs_of(slot);
            let oldest = [payload, result].iter().filter(|blob| blob.len > 0).map(|blob| blob.frame).min();
            if self.jobs.get(slot).state == JobState::Leased && crate::sabotage::is("leased_job_not_restated")
            {
                continue;
            }
            if self.jobs.get(slot).home.min(oldest.unwrap_or(u64::MAX)) >= walk.target {
                continue;
            }
            ids.push(self.id_of(slot));
            bytes += RECORD_BYTES + self.jobs.extra_of(slot).map_or(0, |extra| extra.bytes() as usize);
            for blob in [payload, result].into_iter().filter(|blob| blob.len > 0) {
                bytes += blob.len as usize;
                blobs.push(blob);
            }
        }
        if ids.is_empty() { Step::On } else { Step::Restate(ids, blobs) }
    }

    /// A job's payload and result, as far as they are kept.
    fn blobs_of(&self, slot: Slot) -> (Blob, Blob) {
        (self.jobs.payload(slot), self.jobs.extra_of(slot).map_or_else(Blob::default, |extra| extra.result))
    }

    /// Writes jobs anew that a step has named, in the same turn. Their blobs go into this frame from the turn's blob cursor
    /// on; the cursor is moved on.
    pub fn restate(&mut self, ids: &[JobId], turn: &mut Turn<'_>) {
        let mut record = JobsRestated { first_offset: turn.blob_cursor, ..JobsRestated::default() };
        for slot in ids.iter().filter_map(|&id| self.find(id)) {
            let restated = self.restated(slot, &mut record.queues, &mut record.kinds);
            turn.blob_cursor += restated.blob_len + restated.result_len;
            record.jobs.push(restated);
        }
        if !record.jobs.is_empty() {
            self.emit(turn, Record::JobsRestated(record));
        }
    }

    fn restated(&self, slot: Slot, queues: &mut Vec<String>, kinds: &mut Vec<String>) -> RestatedJob {
        let job = self.jobs.get(slot);
        let extra = self.jobs.extra_of(slot);
        let (payload, result) = self.blobs_of(slot);
        let sequence = job.sequence.get();
        let unique = extra.and_then(|extra| extra.unique.as_deref());
        let holds_unique = unique.is_some_and(|unique| {
            let held = self.uniques.find(u32::from(job.queue), &unique.key);
            held.is_some_and(|index| self.uniques.get(index).job == sequence)
        });
        RestatedJob {
            job: sequence,
            queue: index_of(queues, self.queues.name(u32::from(job.queue))),
            kind: index_of(kinds, self.kinds.name(u32::from(job.kind))),
            state: job.state as u32,
            priority: u32::from(job.priority),
            attempt: u32::from(job.attempt),
            attempts_forgiven: extra.map_or(0, |extra| u32::from(extra.forgiven)),
            enqueued_at: job.enqueued_at.0,
            time: job.time.0,
            order: job.order,
            blob_len: payload.len,
            result_len: result.len,
            more: self.more_of(slot).map(Into::into),
            failures: extra.map_or_else(Vec::new, |extra| extra.failures.clone()),
            worker: if job.state == JobState::Leased && job.worker != NONE {
                (**self.workers.name(job.worker)).into()
            } else {
                String::new()
            },
            progress: extra.and_then(|extra| extra.progress.as_deref()).map(<[u8]>::to_vec),
            reason: extra.map_or(0, |extra| extra.reason as i32),
            redrive: extra.map_or(0, |extra| extra.redrive),
            holds_unique,
            parks: self.key_of(slot).is_some_and(|key| self.keys.get(key).parked_by == sequence),
        }
    }

    fn more_of(&self, slot: Slot) -> Option<JobMore> {
        let extra = self.jobs.extra_of(slot)?;
        let more = JobMore {
            expires_at: extra.expires_at.0,
            ordering_key: self.key_of(slot).map(|key| (**self.keys.name(key)).into()),
            on_failure: extra.on_failure as i32,
            fairness_key: extra.fairness_key.as_deref().map(Into::into),
            unique: extra.unique.as_deref().map(|unique| UniqueKey {
                key: (*unique.key).into(),
                until: unique.until as i32,
                expires_at: if unique.until == UniqueUntil::Duration { unique.expires_at.0 } else { 0 },
            }),
            retry: extra.retry.as_deref().copied(),
            dependency: extra.dependency.as_deref().map(Into::into),
        };
        (more != JobMore::default()).then_some(more)
    }
}

/// The index of a name in a record's list, added if it is new.
fn index_of(names: &mut Vec<String>, name: &str) -> u32 {
    let index = names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.into());
        names.len() - 1
    });
    index as u32
}

impl From<(&str, &super::queue::Redrive)> for RedriveStarted {
    fn from((queue, redrive): (&str, &super::queue::Redrive)) -> Self {
        Self {
            queue: queue.into(),
            redrive: redrive.number,
            kind: redrive.kind.as_deref().map(Into::into),
            cause: redrive.cause,
            reason: redrive.reason as i32,
            before: redrive.before.0,
            ids: redrive.ids.clone(),
            rate_per_s: redrive.rate_per_s,
            stop_after_dead: redrive.stop_after_dead,
            started_at: redrive.started_at.0,
            until: redrive.until,
            cursor: redrive.cursor,
            moved: redrive.moved,
            dead_again: redrive.dead_again,
        }
    }
}
