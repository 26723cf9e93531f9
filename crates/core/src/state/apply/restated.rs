//! What is written anew: to a live state it only says that the thing has another home; to a replay that has not met
//! the thing yet, it is the thing.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::num::NonZeroU64;

use super::super::State;
use super::super::jobs::{Job, Slot};
use super::super::paged::NONE;
use super::super::queue::Redrive;
use crate::id::{Blob, Time};
use crate::record::{self, EndReason, RedriveEnd, RestatedJob};
use crate::view::JobState;

impl State {
    pub(super) fn apply_queue_restated(&mut self, restated: &record::QueueRestated) {
        let index = self.queue_or_new(&restated.queue);
        let queue = self.queues.get_mut(index);
        queue.config = restated.config;
        queue.paused = restated.paused;
        for (next, &restated) in queue.next_orders.iter_mut().zip(&restated.next_orders) {
            *next = (*next).max(restated);
        }
        queue.next_death = queue.next_death.max(restated.next_death);
        queue.redrive = restated.redrive.as_deref().map(|started| {
            let end = restated.redrive_end.checked_sub(1);
            let end = end.map(|end| RedriveEnd::try_from(end as i32).unwrap_or(RedriveEnd::Done));
            Box::new(Redrive { end, ..Redrive::from(started) })
        });
        self.attend(index);
    }

    pub(super) fn apply_key_restated(&mut self, restated: &record::KeyRestated) {
        let queue = self.queue_or_new(&restated.queue);
        let key = self.key_or_new(queue, &restated.key);
        self.set_key(key, queue, restated.paused, None);
        self.drop_unused_key(key);
    }

    pub(super) fn apply_jobs_restated(&mut self, restated: &record::JobsRestated) {
        let queues: Vec<u32> = restated.queues.iter().map(|queue| self.queue_or_new(queue)).collect();
        let kinds: Vec<u32> = restated.kinds.iter().map(|kind| self.kind_or_new(kind)).collect();
        let mut offset = restated.first_offset;
        for job in &restated.jobs {
            let payload = offset;
            let result = Blob { frame: self.frame, offset: payload + job.blob_len, len: job.result_len };
            offset = result.offset + result.len;
            if let Some(slot) = self.jobs.find(job.job) {
                self.move_home(slot, payload, result);
            } else if let (Some(&queue), Some(&kind)) =
                (queues.get(job.queue as usize), kinds.get(job.kind as usize))
            {
                self.bring_in(job, queue, kind, payload, result);
            }
        }
        for kind in kinds {
            self.drop_unused_kind(kind);
        }
    }

    fn move_home(&mut self, slot: Slot, offset: u32, result: Blob) {
        let frame = self.frame;
        let job = self.jobs.get_mut(slot);
        job.home = frame;
        job.offset = offset;
        if job.extra != NONE {
            self.extra_mut(slot, |extra| {
                extra.edited_in = 0;
                if result.len > 0 {
                    extra.result = result;
                }
            });
        }
    }

    /// A job that a replay meets for the first time.
    fn bring_in(&mut self, restated: &RestatedJob, queue: u32, kind: u32, offset: u32, result: Blob) {
        let (Some(sequence), Some(state)) =
            (NonZeroU64::new(restated.job), JobState::from_number(restated.state))
        else {
            return;
        };
        self.next_job = self.next_job.max(restated.job + 1);
        let time = Time(restated.time);
        let slot = self.jobs.insert(Job {
            sequence,
            home: self.frame,
            offset,
            len: restated.blob_len,
            time,
            order: 0,
            enqueued_at: Time(restated.enqueued_at),
            queue: queue as u16,
            kind: kind as u16,
            attempt: restated.attempt as u16,
            priority: (restated.priority as u8).min(crate::limits::PRIORITY_MAX),
            state,
            worker: NONE,
            extra: NONE,
        });
        self.job_lists.reach(slot);
        self.kinds.get_mut(kind).jobs += 1;
        self.queues.get_mut(queue).counts.by_state[state as usize] += 1;
        if let Some(more) = &restated.more {
            self.add_more(slot, more, restated.holds_unique);
        }
        let reason = EndReason::try_from(restated.reason).unwrap_or(EndReason::None);
        if !restated.failures.is_empty()
            || restated.progress.is_some()
            || reason != EndReason::None
            || result.len > 0
            || restated.redrive > 0
            || restated.attempts_forgiven > 0
        {
            self.extra_mut(slot, |extra| {
                extra.failures.clone_from(&restated.failures);
                extra.progress = restated.progress.as_deref().map(Into::into);
                extra.reason = reason;
                let lost = crate::sabotage::is("redrive_of_job_lost");
                extra.redrive = if lost { 0 } else { restated.redrive };
                extra.forgiven = restated.attempts_forgiven as u16;
                if result.len > 0 {
                    extra.result = result;
                }
            });
        }
        self.bring_into_place(slot, restated, state);
    }

    /// Puts a job brought in where its state belongs.
    fn bring_into_place(&mut self, slot: Slot, restated: &RestatedJob, state: JobState) {
        let key = self.key_of(slot);
        match state {
            JobState::Scheduled => {
                if !crate::sabotage::is("timer_lost_on_recovery") {
                    self.job_wheel.insert(&mut self.job_lists, slot, restated.time);
                }
                // Under `skip`, a job that waits for its retry is not in the line.
                let skipped = restated.attempt > restated.attempts_forgiven
                    && self.on_failure_of(slot) == crate::policy::OnFailure::Skip;
                if let Some(key) = key.filter(|_| !skipped) {
                    self.enter_line(key, slot);
                }
            }
            JobState::Ready => {
                if restated.order > 0 {
                    self.enter_ready(slot, restated.order);
                }
                if let Some(key) = key {
                    if restated.order > 0 {
                        self.keys.get_mut(key).active = slot;
                    } else {
                        self.enter_line(key, slot);
                    }
                }
            }
            JobState::Leased => {
                let worker = self.worker_or_new(&restated.worker);
                self.workers.get_mut(worker).leases += 1;
                let job = self.jobs.get_mut(slot);
                job.worker = worker;
                job.order = restated.order;
                self.next_token = self.next_token.max(restated.order + 1);
                self.job_wheel.insert(&mut self.job_lists, slot, restated.time);
                if let Some(key) = key {
                    self.keys.get_mut(key).active = slot;
                }
            }
            JobState::Completed | JobState::Cancelled | JobState::Dead => {
                self.jobs.get_mut(slot).order = restated.order;
                self.enter_ended(slot);
                self.attend(u32::from(self.jobs.get(slot).queue));
                if state == JobState::Dead {
                    self.note_dead(slot, restated.parks);
                }
            }
        }
    }
}
