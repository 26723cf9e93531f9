//! What records do to jobs that have not ended: accepted, readied, leased, extended, released, edited.

use alloc::vec::Vec;
use core::num::NonZeroU64;

use super::super::jobs::{Extra, Job, JobUnique, Slot};
use super::super::paged::NONE;
use super::super::queue::Queue;
use super::super::{OrderBy, State, UniqueHolder};
use crate::id::Time;
use crate::policy::{OnFailure, UniqueUntil};
use crate::record::{self, EnqueuedJob, JobMore};
use crate::view::JobState;

/// What the jobs of one enqueue have in common, names resolved.
pub(in super::super) struct Batch {
    pub(in super::super) queue: u32,
    pub(in super::super) kinds: Vec<u32>,
}

impl State {
    pub(super) fn apply_enqueued(&mut self, enqueued: &record::Enqueued) {
        let batch = self.open_batch(&enqueued.queue, &enqueued.kinds);
        let mut offset = enqueued.first_offset;
        for (job, sequence) in enqueued.jobs.iter().zip(enqueued.first_job..) {
            self.apply_enqueued_job(&batch, sequence, offset, job);
            offset += job.blob_len;
        }
        self.close_batch(&batch);
    }

    /// Resolves the names of an enqueue.
    pub(in super::super) fn open_batch(&mut self, queue: &str, kinds: &[alloc::string::String]) -> Batch {
        let queue = self.queue_or_new(queue);
        let kinds = kinds.iter().map(|kind| self.kind_or_new(kind)).collect();
        Batch { queue, kinds }
    }

    /// Forgets kinds that no job of the batch was of.
    pub(in super::super) fn close_batch(&mut self, batch: &Batch) {
        for &kind in &batch.kinds {
            self.drop_unused_kind(kind);
        }
    }

    pub(in super::super) fn apply_enqueued_job(
        &mut self,
        batch: &Batch,
        sequence: u64,
        offset: u32,
        job: &EnqueuedJob,
    ) -> Option<Slot> {
        let number = NonZeroU64::new(sequence)?;
        let kind = *batch.kinds.get(job.kind as usize)?;
        self.next_job = self.next_job.max(sequence + 1);
        if self.jobs.find(sequence).is_some() {
            return None;
        }
        let run_at = Time(job.run_at);
        let state = if run_at > self.now { JobState::Scheduled } else { JobState::Ready };
        let slot = self.jobs.insert(Job {
            sequence: number,
            home: self.frame,
            offset,
            len: job.blob_len,
            time: run_at,
            order: 0,
            enqueued_at: self.now,
            queue: batch.queue as u16,
            kind: kind as u16,
            attempt: 0,
            priority: (job.priority as u8).min(crate::limits::PRIORITY_MAX),
            state,
            worker: NONE,
            extra: NONE,
        });
        self.job_lists.reach(slot);
        self.kinds.get_mut(kind).jobs += 1;
        let queue = self.queues.get_mut(batch.queue);
        queue.arrived += 1;
        queue.counts.by_state[state as usize] += 1;
        if let Some(more) = &job.more {
            self.add_more(slot, more, true);
        }
        if state == JobState::Scheduled {
            self.job_wheel.insert(&mut self.job_lists, slot, run_at.0);
        } else if job.order > 0 {
            self.enter_ready(slot, job.order);
        }
        if let Some(key) = self.key_of(slot) {
            if job.order > 0 {
                self.keys.get_mut(key).active = slot;
            } else {
                self.enter_line(key, slot);
            }
        }
        Some(slot)
    }

    /// Gives a job what most do not have. `take_unique` says whether it takes its unique key too.
    pub(super) fn add_more(&mut self, slot: Slot, more: &JobMore, take_unique: bool) {
        let (queue, sequence, not_started) = {
            let job = self.jobs.get(slot);
            let waits = matches!(job.state, JobState::Scheduled | JobState::Ready);
            (u32::from(job.queue), job.sequence.get(), waits && job.attempt == 0)
        };
        let key = more.ordering_key.as_deref().map(|name| self.key_or_new(queue, name));
        if let Some(key) = key {
            self.keys.get_mut(key).jobs += 1;
        }
        self.extra_mut(slot, |extra| {
            extra.key = key.unwrap_or(NONE);
            extra.on_failure = OnFailure::try_from(more.on_failure).unwrap_or(OnFailure::Block);
            extra.expires_at = Time(more.expires_at);
            extra.retry = more.retry.map(Into::into);
            extra.fairness_key = more.fairness_key.as_deref().map(Into::into);
            extra.dependency = more.dependency.as_deref().map(Into::into);
            extra.unique = more.unique.as_ref().map(|unique| {
                JobUnique {
                    key: unique.key.as_str().into(),
                    until: UniqueUntil::try_from(unique.until).unwrap_or(UniqueUntil::Completed),
                    expires_at: Time(unique.expires_at),
                }
                .into()
            });
        });
        if more.expires_at > 0 && not_started {
            let extra = self.jobs.get(slot).extra;
            self.expiry_wheel.insert(&mut self.expiry_lists, extra, more.expires_at);
        }
        if let Some(unique) = more.unique.as_ref().filter(|_| take_unique) {
            self.take_unique(queue, &unique.key, sequence, Time(unique.expires_at));
        }
    }

    /// Changes a job's extra; a new one is made known to the lists it may enter.
    pub(in super::super) fn extra_mut(&mut self, slot: Slot, change: impl FnOnce(&mut Extra)) {
        let (extra, new) = self.jobs.change_extra(slot, change);
        if new {
            self.expiry_lists.reach(extra);
            self.lines.reach(extra);
        }
    }

    /// Gives a unique key to a job, for a duration or (0) for as long as the job's life says.
    pub(super) fn take_unique(&mut self, queue: u32, key: &str, job: u64, expires_at: Time) {
        if expires_at.0 > 0 && expires_at <= self.now {
            return;
        }
        let holder = UniqueHolder { job, expires_at, ended: None };
        let index = if let Some(index) = self.uniques.find(queue, key) {
            self.unique_lists.unlink(index);
            *self.uniques.get_mut(index) = holder;
            index
        } else {
            let index = self.uniques.insert(queue, key, holder);
            self.unique_lists.reach(index);
            index
        };
        if expires_at.0 > 0 {
            self.unique_wheel.insert(&mut self.unique_lists, index, expires_at.0);
        }
    }

    /// Frees a job's unique key at a point of its life, if it is held until then and still its own.
    pub(super) fn release_unique(&mut self, slot: Slot, point: UniqueUntil) {
        let job = self.jobs.get(slot);
        let Some(unique) = self.jobs.extra_of(slot).and_then(|extra| extra.unique.as_deref()) else { return };
        let held_until_here = match unique.until {
            UniqueUntil::Duration => false,
            UniqueUntil::Started => true,
            UniqueUntil::Completed => point == UniqueUntil::Completed,
        };
        if held_until_here
            && let Some(index) = self.uniques.find(u32::from(job.queue), &unique.key)
            && self.uniques.get(index).job == job.sequence.get()
        {
            self.unique_lists.unlink(index);
            self.uniques.remove(index);
        }
    }

    pub(super) fn kind_or_new(&mut self, name: &str) -> u32 {
        self.kinds.find(0, name).unwrap_or_else(|| self.kinds.insert(0, name, super::super::Kind::default()))
    }

    pub(super) fn drop_unused_kind(&mut self, kind: u32) {
        if self.kinds.try_entry(kind).is_some_and(|entry| entry.value.jobs == 0) {
            self.kinds.remove(kind);
        }
    }

    /// Moves a job to another state and keeps its queue's counts.
    pub(super) fn set_state(&mut self, slot: Slot, state: JobState) {
        let job = self.jobs.get_mut(slot);
        let counts = &mut self.queues.get_mut(u32::from(job.queue)).counts.by_state;
        counts[job.state as usize] -= 1;
        counts[state as usize] += 1;
        job.state = state;
    }

    /// Puts a ready job into its ready list, at a place that is behind all (or before all) of those in it.
    pub(super) fn enter_ready(&mut self, slot: Slot, order: u64) {
        let job = self.jobs.get_mut(slot);
        job.order = order;
        let (kind, priority) = (job.kind, job.priority);
        let queue: &mut Queue = self.queues.get_mut(u32::from(job.queue));
        let next = &mut queue.next_orders[usize::from(priority)];
        *next = (*next).max(order + 1);
        let lane = queue.lane(kind, &mut self.job_lists, &mut self.free_lanes);
        lane.mask |= 1 << priority;
        let list = lane.lists + u32::from(priority);
        let order_of = |slot| self.jobs.get(slot).order;
        match (self.job_lists.first(list), self.job_lists.last(list)) {
            (Some(first), Some(_)) if order < order_of(first) => self.job_lists.push_front(list, slot),
            (_, last) => {
                // Only a job written anew comes between others; the end of the replay sorts.
                if last.is_some_and(|last| order_of(last) > order) {
                    self.disordered.push((list, OrderBy::Number));
                }
                self.job_lists.push_back(list, slot);
            }
        }
    }

    /// Takes a ready job out of its ready list; it is still ready.
    pub(super) fn leave_ready(&mut self, slot: Slot) {
        self.job_lists.unlink(slot);
        let job = self.jobs.get_mut(slot);
        job.order = 0;
        let (queue, kind, priority) = (u32::from(job.queue), job.kind, job.priority);
        self.queues.get_mut(queue).left_lane(kind, priority, &self.job_lists, &mut self.free_lanes);
    }

    pub(super) fn apply_readied(&mut self, readied: &record::Readied) {
        for (&sequence, &order) in readied.jobs.iter().zip(&readied.orders) {
            let Some(slot) = self.jobs.find(sequence) else { continue };
            let job = self.jobs.get(slot);
            match job.state {
                JobState::Scheduled => {
                    self.job_lists.unlink(slot);
                    self.set_state(slot, JobState::Ready);
                    let job = self.jobs.get_mut(slot);
                    job.time = Time(0);
                    job.order = 0;
                }
                JobState::Ready if job.order == 0 => {}
                JobState::Ready if order == 0 => {
                    // An earlier job of its ordering key has come back: it steps back into the line.
                    if let Some(key) = self.key_of(slot) {
                        self.step_back(key);
                    }
                    continue;
                }
                _ => continue,
            }
            let key = self.key_of(slot);
            if order > 0 {
                if let Some(key) = key {
                    self.leave_line(key, slot);
                    self.keys.get_mut(key).active = slot;
                }
                self.enter_ready(slot, order);
            } else if let Some(key) = key {
                self.enter_line(key, slot);
            }
        }
    }

    pub(super) fn apply_leased(&mut self, leased: &record::Leased) {
        self.next_token = self.next_token.max(leased.first_token + leased.jobs.len() as u64);
        let worker = if leased.jobs.is_empty() { NONE } else { self.worker_or_new(&leased.worker) };
        for (&sequence, token) in leased.jobs.iter().zip(leased.first_token..) {
            let Some(slot) = self.jobs.find(sequence) else { continue };
            if self.jobs.get(slot).state != JobState::Ready {
                continue;
            }
            self.leave_ready(slot);
            self.set_state(slot, JobState::Leased);
            let job = self.jobs.get_mut(slot);
            job.attempt = job.attempt.saturating_add(1);
            job.order = token;
            job.time = Time(leased.deadline);
            job.worker = worker;
            let extra = job.extra;
            self.workers.get_mut(worker).leases += 1;
            self.job_wheel.insert(&mut self.job_lists, slot, leased.deadline);
            if extra != NONE {
                self.expiry_lists.unlink(extra);
                self.release_unique(slot, UniqueUntil::Started);
                if let Some(key) = self.key_of(slot) {
                    self.leave_line(key, slot);
                    self.keys.get_mut(key).active = slot;
                }
            }
        }
        self.drop_unused_worker(worker);
    }

    pub(super) fn worker_or_new(&mut self, name: &str) -> u32 {
        self.workers
            .find(0, name)
            .unwrap_or_else(|| self.workers.insert(0, name, super::super::Worker::default()))
    }

    pub(super) fn drop_unused_worker(&mut self, worker: u32) {
        if worker != NONE
            && !crate::sabotage::is("worker_names_leak")
            && self.workers.try_entry(worker).is_some_and(|entry| entry.value.leases == 0)
        {
            self.workers.remove(worker);
        }
    }

    /// Ends a job's lease, whatever comes after: its timer, its worker and its ordering key's turn.
    pub(super) fn end_lease(&mut self, slot: Slot) {
        self.job_lists.unlink(slot);
        let worker = core::mem::replace(&mut self.jobs.get_mut(slot).worker, NONE);
        if worker != NONE {
            self.workers.get_mut(worker).leases -= 1;
            self.drop_unused_worker(worker);
        }
        if let Some(key) = self.key_of(slot) {
            let entry = self.keys.get_mut(key);
            if entry.active == slot {
                entry.active = NONE;
            }
        }
    }

    /// The slot of a job that is leased.
    pub(super) fn find_leased(&self, sequence: u64) -> Option<Slot> {
        self.jobs.find(sequence).filter(|&slot| self.jobs.get(slot).state == JobState::Leased)
    }

    pub(super) fn apply_extended(&mut self, extended: &record::Extended) {
        let Some(slot) = self.find_leased(extended.job) else { return };
        self.job_lists.unlink(slot);
        self.jobs.get_mut(slot).time = Time(extended.deadline);
        self.job_wheel.insert(&mut self.job_lists, slot, extended.deadline);
        if let Some(progress) = &extended.progress {
            self.extra_mut(slot, |extra| extra.progress = Some(progress.as_slice().into()));
        }
    }

    pub(super) fn apply_released(&mut self, released: &record::Released) {
        let Some(slot) = self.find_leased(released.job) else { return };
        self.end_lease(slot);
        self.set_state(slot, JobState::Ready);
        let job = self.jobs.get_mut(slot);
        job.attempt = job.attempt.saturating_sub(u16::from(!crate::sabotage::is("release_counts_attempt")));
        job.order = 0;
        job.time = Time(0);
        let (attempt, extra) = (job.attempt, job.extra);
        if attempt == 0 && extra != NONE && self.jobs.extra(extra).expires_at.0 > 0 {
            let expires_at = self.jobs.extra(extra).expires_at;
            self.expiry_wheel.insert(&mut self.expiry_lists, extra, expires_at.0);
        }
        if let Some(key) = self.key_of(slot) {
            self.enter_line(key, slot);
        }
    }

    pub(super) fn apply_edited(&mut self, edited: &record::Edited) {
        let Some(slot) = self.jobs.find(edited.job) else { return };
        let frame = self.frame;
        let job = self.jobs.get_mut(slot);
        // The job's own record stays where it is, and the payload has another home until both are restated.
        job.len = edited.len;
        job.offset = edited.offset;
        self.extra_mut(slot, |extra| extra.edited_in = frame);
    }
}
