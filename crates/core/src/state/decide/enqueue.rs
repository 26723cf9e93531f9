//! Enqueue: accept jobs, each with an outcome of its own.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::super::apply::Batch;
use super::super::{State, Turn};
use crate::command::{Enqueue, NewJob, NewJobMore};
use crate::id::{JobId, Time};
use crate::limits;
use crate::outcome::{Item, Outcome, Refusal};
use crate::policy::{OnConflict, OnFailure, QueueConfig, Unique, UniqueUntil};
use crate::record::{
    Cancelled, EndReason, Enqueued, EnqueuedJob, JobMore, QueueConfigured, Record, UniqueKey,
};
use crate::view::JobState;

/// A batch on its way into the log. Each accepted job is applied at once, so that the next is judged with it there; the
/// record, which says the same, follows when the batch is closed.
struct Open {
    batch: Batch,
    record: Enqueued,
}

impl State {
    pub(super) fn decide_enqueue(&mut self, enqueue: Enqueue, turn: &mut Turn<'_>) -> Outcome {
        let Enqueue { queue, kinds, jobs } = enqueue;
        let queue_is_new = self.queues.find(0, &queue).is_none();
        if queue_is_new && self.queues.len() as usize >= limits::QUEUES_MAX {
            return Outcome::Enqueued(jobs.iter().map(|_| Item::Refused(Refusal::TooManyQueues)).collect());
        }
        let mut room_for_kinds = limits::KINDS_MAX.saturating_sub(self.kinds.len() as usize);
        let kind_has_room: Vec<bool> = kinds
            .iter()
            .map(|kind| {
                let known = self.kinds.find(0, kind).is_some();
                let room = known || room_for_kinds > 0;
                room_for_kinds -= usize::from(room && !known);
                room
            })
            .collect();
        let mut open: Option<Open> = None;
        let mut items = Vec::with_capacity(jobs.len());
        for (index, job) in jobs.into_iter().enumerate() {
            let judged = match kind_has_room.get(usize::from(job.kind)) {
                Some(true) => self.judge(&queue, &job, &mut open, turn),
                _ => Err(Item::Refused(Refusal::TooManyKinds)),
            };
            let (order_wanted, run_at, more) = match judged {
                Ok(judged) => judged,
                Err(item) => {
                    items.push(item);
                    continue;
                }
            };
            if open.is_none() {
                open = Some(self.open_enqueued(&queue, &kinds, turn));
            }
            let Some(Open { batch, record }) = &mut open else { unreachable!("it was just opened") };
            let order = if order_wanted {
                self.queues.get(batch.queue).next_orders[usize::from(job.priority.min(limits::PRIORITY_MAX))]
            } else {
                0
            };
            let accepted = EnqueuedJob {
                kind: u32::from(job.kind),
                priority: u32::from(job.priority.min(limits::PRIORITY_MAX)),
                blob_len: job.blob_len,
                order,
                run_at: run_at.0,
                more,
            };
            let sequence = self.next_job;
            let offset = turn.place(index, job.blob_len);
            self.apply_enqueued_job(batch, sequence, offset, &accepted);
            if order > 0 {
                turn.note_readied(batch.queue as u16);
            }
            record.jobs.push(accepted);
            let (state, at) =
                if run_at.0 > 0 { (JobState::Scheduled, Some(run_at)) } else { (JobState::Ready, None) };
            items.push(Item::Is { id: self.id(sequence), state, at });
        }
        self.close_enqueued(open, turn);
        Outcome::Enqueued(items)
    }

    /// Opens a batch; a queue that is new is written down first, with its defaults.
    fn open_enqueued(&mut self, queue: &str, kinds: &[String], turn: &mut Turn<'_>) -> Open {
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

    fn close_enqueued(&mut self, open: Option<Open>, turn: &mut Turn<'_>) {
        if let Some(Open { batch, record }) = open {
            self.close_batch(&batch);
            turn.sink.record(&Record::Enqueued(record));
        }
    }

    /// Judges one job: either what its record needs (whether it goes into the ready list now, its start or 0, the rest), or
    /// the item that says why it is not accepted.
    fn judge(
        &mut self,
        queue: &str,
        job: &NewJob,
        open: &mut Option<Open>,
        turn: &mut Turn<'_>,
    ) -> Result<(bool, Time, Option<Box<JobMore>>), Item> {
        let refuse = |refusal| Err(Item::Refused(refusal));
        let latest = self.now.plus(limits::AHEAD_MS_MAX);
        let run_at = job.run_at.map_or(Time(0), |when| when.resolve(self.now));
        let run_at = if run_at > self.now { run_at } else { Time(0) };
        if run_at > latest {
            return refuse(Refusal::TooFarAhead);
        }
        if self.jobs.len() >= self.limits.jobs_max || self.memory_of_jobs() >= self.limits.memory_bytes_max {
            return refuse(Refusal::ShardFull(self.limits.jobs_max));
        }
        let index = open.as_ref().map(|open| open.batch.queue).or_else(|| self.queues.find(0, queue));
        if let Some(index) = index {
            let queue = self.queues.get(index);
            let max = queue.config.jobs_max;
            if max > 0 && queue.counts.unfinished() >= max {
                return refuse(Refusal::QueueFull(max));
            }
        }
        let Some(more) = &job.more else { return Ok((run_at.0 == 0, run_at, None)) };
        let expires_at = more.expires_at.map_or(Time(0), |when| when.resolve(self.now));
        if more.expires_at.is_some() {
            if expires_at <= self.now || expires_at <= run_at {
                return refuse(Refusal::AlreadyExpired);
            }
            if expires_at > latest {
                return refuse(Refusal::TooFarAhead);
            }
        }
        if let (Some(unique), Some(index)) = (&more.unique, index) {
            self.judge_unique(index, unique, open, turn)?;
        }
        let key_is_free = match (&more.ordering_key, index) {
            (Some(name), Some(index)) => self
                .keys
                .find(index, name)
                .is_none_or(|key| self.keys.get(key).is_free() && self.lines.is_empty(key)),
            _ => true,
        };
        let default = index.map_or(OnFailure::Block as i32, |index| self.queues.get(index).config.on_failure);
        Ok((run_at.0 == 0 && key_is_free, run_at, Some(Box::new(self.resolve(more, expires_at, default)))))
    }

    /// The job's rarer wishes as they are written down.
    fn resolve(&self, more: &NewJobMore, expires_at: Time, on_failure_default: i32) -> JobMore {
        JobMore {
            expires_at: expires_at.0,
            ordering_key: more.ordering_key.clone(),
            on_failure: more.on_failure.map_or(on_failure_default, |on_failure| on_failure as i32),
            fairness_key: more.fairness_key.clone(),
            unique: more.unique.as_ref().map(|unique| UniqueKey {
                key: unique.key.clone(),
                until: unique.until as i32,
                expires_at: match unique.until {
                    UniqueUntil::Duration => self.now.plus(unique.duration_ms).0,
                    UniqueUntil::Started | UniqueUntil::Completed => 0,
                },
            }),
            retry: more.retry,
            dependency: more.dependency.clone(),
        }
    }

    /// Sees whether the unique key is free, and makes it free if the new job may replace its holder.
    fn judge_unique(
        &mut self,
        queue: u32,
        unique: &Unique,
        open: &mut Option<Open>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Item> {
        let Some(index) = self.uniques.find(queue, &unique.key) else { return Ok(()) };
        let holder = self.uniques.get(index);
        if holder.expires_at.0 > 0 && holder.expires_at <= self.now {
            return Ok(());
        }
        let id: JobId = self.id(holder.job);
        let slot = self.jobs.find(holder.job);
        let state = slot
            .map_or_else(|| holder.ended.unwrap_or(JobState::Completed), |slot| self.jobs.get(slot).state);
        match unique.on_conflict {
            OnConflict::Return => Err(Item::Duplicate { id, state }),
            OnConflict::Reject => Err(Item::Refused(Refusal::UniqueConflict(id))),
            OnConflict::Replace => match slot {
                Some(_) if state == JobState::Leased => Err(Item::Refused(Refusal::UniqueConflict(id))),
                Some(slot) if !state.has_ended() => {
                    // What was accepted so far belongs before this in the log.
                    self.close_enqueued(open.take(), turn);
                    let sequence = self.jobs.get(slot).sequence.get();
                    let reason = EndReason::Replaced as i32;
                    self.end_in_turn(slot, Record::Cancelled(Cancelled { job: sequence, reason }), turn);
                    Ok(())
                }
                _ => Ok(()),
            },
        }
    }
}
