//! Enqueue: accept jobs, each with an outcome of its own.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::super::apply::Batch;
use super::super::jobs::Slot;
use super::super::{State, Turn};
use crate::command::{Enqueue, NewJob, NewJobMore};
use crate::id::{JobId, Time};
use crate::limits;
use crate::outcome::{Item, Outcome, Refusal};
use crate::policy::{OnConflict, QueueConfig, Unique, UniqueUntil};
use crate::record::{
    Cancelled, EndReason, Enqueued, EnqueuedJob, JobMore, QueueConfigured, Record, UniqueKey,
};
use crate::view::JobState;

/// A batch on its way into the log. Each accepted job is applied at once, so that the next is judged with it there; the
/// record, which says the same, follows when the batch is closed.
pub(super) struct Open {
    batch: Batch,
    record: Enqueued,
}

/// What a batch's jobs have in common.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) queue: &'a str,
    pub(super) kinds: &'a [String],
}

/// A job that may be accepted, and what was found out when it was judged.
pub(super) struct Judged {
    /// Not to start before; 0 for at once.
    run_at: Time,
    /// Dead if it has not started by then; 0 for never.
    expires_at: Time,
    /// The waiting job whose unique key and place it takes.
    replaces: Option<Slot>,
}

/// Jobs that were judged before this one, will be accepted, and are not there yet.
#[derive(Clone, Copy, Default)]
pub(super) struct Ahead {
    /// Of the same queue.
    pub(super) of_queue: u64,
    /// Of the shard.
    pub(super) of_shard: u64,
}

impl State {
    pub(super) fn decide_enqueue(&mut self, enqueue: Enqueue, turn: &mut Turn<'_>) -> Outcome {
        let Enqueue { queue, kinds, jobs } = enqueue;
        let mut queue_index = self.queues.find(0, &queue);
        if queue_index.is_none() && self.queues.len() as usize >= self.limits.queues_max {
            return Outcome::Enqueued(jobs.iter().map(|_| Item::Refused(Refusal::TooManyQueues)).collect());
        }
        let mut room_for_kinds = self.limits.kinds_max.saturating_sub(self.kinds.len() as usize);
        let kind_has_room: Vec<bool> = kinds
            .iter()
            .map(|kind| {
                let known = self.kinds.find(0, kind).is_some();
                let room = known || room_for_kinds > 0;
                room_for_kinds -= usize::from(room && !known);
                room
            })
            .collect();
        let names = Names { queue: &queue, kinds: &kinds };
        let mut open: Option<Open> = None;
        let mut items = Vec::with_capacity(jobs.len());
        for (index, job) in jobs.into_iter().enumerate() {
            let judged = match kind_has_room.get(usize::from(job.kind)) {
                Some(true) => self.judge(queue_index, &job, Ahead::default()),
                _ => Err(Item::Refused(Refusal::TooManyKinds)),
            };
            items.push(match judged {
                Ok(judged) => self.accept(names, index, job, &judged, &mut open, turn),
                Err(item) => item,
            });
            queue_index = open.as_ref().map(|open| open.batch.queue).or(queue_index);
        }
        self.close_enqueued(open, turn);
        Outcome::Enqueued(items)
    }

    /// Accepts a job that was judged. Its payload is the command's blob `index`.
    // In line, like `judge`: every job of a large batch goes through both.
    #[inline(always)]
    pub(super) fn accept(
        &mut self,
        names: Names<'_>,
        index: usize,
        job: NewJob,
        judged: &Judged,
        open: &mut Option<Open>,
        turn: &mut Turn<'_>,
    ) -> Item {
        if let Some(replaced) = judged.replaces {
            // What was accepted so far belongs before this in the log.
            self.close_enqueued(open.take(), turn);
            let (job, reason) = (self.jobs.get(replaced).sequence.get(), EndReason::Replaced as i32);
            self.end_in_turn(replaced, Record::Cancelled(Cancelled { job, reason }), turn);
        }
        if open.is_none() {
            *open = Some(self.open_enqueued(names, turn));
        }
        let Some(Open { batch, record }) = open else { unreachable!("it was just opened") };
        let more = job.more.map(|more| Box::new(self.resolve(*more, judged.expires_at, batch.queue)));
        let priority = job.priority.min(limits::PRIORITY_MAX);
        let is_in_line = more.as_ref().is_some_and(|more| self.waits_in_line(batch.queue, more));
        let order = if judged.run_at.0 == 0 && !is_in_line {
            self.queues.get(batch.queue).next_orders[usize::from(priority)]
        } else {
            0
        };
        let accepted = EnqueuedJob {
            kind: u32::from(job.kind),
            priority: u32::from(priority),
            blob_len: job.blob_len,
            order,
            run_at: judged.run_at.0,
            more,
        };
        let sequence = self.next_job;
        let offset = turn.place(index, job.blob_len);
        self.apply_enqueued_job(batch, sequence, offset, &accepted);
        if order > 0 {
            turn.note_readied(batch.queue as u16);
        }
        record.jobs.push(accepted);
        let (state, at) = match judged.run_at {
            Time(0) => (JobState::Ready, None),
            run_at => (JobState::Scheduled, Some(run_at)),
        };
        Item::Is { id: self.id(sequence), state, at }
    }

    /// Opens a batch; a queue that is new is written down first, with its defaults.
    fn open_enqueued(&mut self, names: Names<'_>, turn: &mut Turn<'_>) -> Open {
        let Names { queue, kinds } = names;
        if self.queues.find(0, queue).is_none() {
            let configured = QueueConfigured { queue: queue.into(), config: QueueConfig::DEFAULT };
            self.emit(turn, Record::QueueConfigured(configured));
        }
        let record = Enqueued {
            queue: queue.into(),
            kinds: kinds.to_vec(),
            first_job: self.next_job,
            first_offset: turn.blob_cursor,
            jobs: Vec::new(),
        };
        Open { batch: self.open_batch(queue, kinds), record }
    }

    pub(super) fn close_enqueued(&mut self, open: Option<Open>, turn: &mut Turn<'_>) {
        if let Some(Open { batch, record }) = open {
            self.close_batch(&batch);
            turn.sink.record(&Record::Enqueued(record));
            turn.records += 1;
        }
    }

    /// Judges one job for this queue (none if it is new): either it may be accepted, or the item says why not. Nothing is
    /// changed.
    #[inline(always)]
    pub(super) fn judge(&self, queue: Option<u32>, job: &NewJob, ahead: Ahead) -> Result<Judged, Item> {
        let refuse = |refusal| Err(Item::Refused(refusal));
        let latest = self.now.plus(limits::AHEAD_MS_MAX);
        let run_at = job.run_at.map_or(Time(0), |when| when.resolve(self.now));
        let run_at = if run_at > self.now { run_at } else { Time(0) };
        if run_at > latest {
            return refuse(Refusal::TooFarAhead);
        }
        if !self.has_room_for_job(ahead.of_shard) {
            return refuse(Refusal::ShardFull(self.limits.jobs_max));
        }
        let (unfinished, max) = queue.map_or((0, QueueConfig::DEFAULT.jobs_max), |queue| {
            let queue = self.queues.get(queue);
            (queue.counts.unfinished(), queue.config.jobs_max)
        });
        if max > 0 && unfinished + ahead.of_queue >= max {
            return refuse(Refusal::QueueFull(max));
        }
        let mut judged = Judged { run_at, expires_at: Time(0), replaces: None };
        let Some(more) = &job.more else { return Ok(judged) };
        if let Some(expires_at) = more.expires_at {
            judged.expires_at = expires_at.resolve(self.now);
            if judged.expires_at <= self.now || judged.expires_at <= run_at {
                return refuse(Refusal::AlreadyExpired);
            }
            if judged.expires_at > latest {
                return refuse(Refusal::TooFarAhead);
            }
        }
        if let (Some(unique), Some(queue)) = (&more.unique, queue) {
            judged.replaces = self.judge_unique(queue, unique)?;
        }
        Ok(judged)
    }

    /// Judges a job of the engine's own, which is dead at this moment. It is not the queue's to refuse: there are no more of
    /// them than there are things that they tell of. The shard's bounds hold.
    pub(super) fn judge_own(&self, expires_at: Time) -> Option<Judged> {
        let judged = Judged { run_at: Time(0), expires_at, replaces: None };
        (expires_at > self.now && self.has_room_for_job(0)).then_some(judged)
    }

    /// Whether the shard can keep another job, after so many that are not there yet.
    #[inline(always)]
    fn has_room_for_job(&self, ahead: u64) -> bool {
        // Memory is an estimate, so those ahead are not added to it.
        self.jobs.len() + ahead < self.limits.jobs_max && !self.is_out_of_memory()
    }

    /// Whether a job that is accepted now would wait for its ordering key.
    fn waits_in_line(&self, queue: u32, more: &JobMore) -> bool {
        more.ordering_key
            .as_ref()
            .and_then(|name| self.keys.find(queue, name))
            .is_some_and(|key| !self.keys.get(key).is_free() || !self.lines.is_empty(key))
    }

    /// The job's rarer wishes as they are written down.
    fn resolve(&self, more: NewJobMore, expires_at: Time, queue: u32) -> JobMore {
        let on_failure_default = self.queues.get(queue).config.on_failure;
        JobMore {
            expires_at: expires_at.0,
            ordering_key: more.ordering_key,
            on_failure: more.on_failure.map_or(on_failure_default, |on_failure| on_failure as i32),
            fairness_key: more.fairness_key,
            unique: more.unique.map(|unique| UniqueKey {
                key: unique.key,
                until: unique.until as i32,
                expires_at: match unique.until {
                    UniqueUntil::Duration => self.now.plus(unique.duration_ms.min(limits::KEPT_MS_MAX)).0,
                    UniqueUntil::Started | UniqueUntil::Completed => 0,
                },
            }),
            retry: more.retry,
            dependency: more.dependency,
        }
    }

    /// Sees whether the unique key is free, or held by a job that the new one may replace, and then by which.
    fn judge_unique(&self, queue: u32, unique: &Unique) -> Result<Option<Slot>, Item> {
        let Some(index) = self.uniques.find(queue, &unique.key) else { return Ok(None) };
        let holder = self.uniques.get(index);
        if holder.expires_at.0 > 0 && holder.expires_at <= self.now {
            return Ok(None);
        }
        let id: JobId = self.id(holder.job);
        let slot = self.jobs.find(holder.job);
        let state = slot
            .map_or_else(|| holder.ended.unwrap_or(JobState::Completed), |slot| self.jobs.get(slot).state);
        match unique.on_conflict {
            OnConflict::Return => Err(Item::Duplicate { id, state }),
            OnConflict::Reject => Err(Item::Refused(Refusal::UniqueConflict(id))),
            OnConflict::Replace if state == JobState::Leased => {
                Err(Item::Refused(Refusal::UniqueConflict(id)))
            }
            OnConflict::Replace => Ok(slot.filter(|_| !state.has_ended())),
        }
    }
}
