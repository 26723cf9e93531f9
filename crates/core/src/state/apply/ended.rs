//! What records do at the end of a job's life: completed, failed, cancelled, expired, forgotten; and how a redrive
//! brings it back.

use alloc::collections::BTreeSet;

use super::super::jobs::Slot;
use super::super::lists::ListId;
use super::super::paged::NONE;
use super::super::{OrderBy, State, cause};
use crate::id::{Blob, Time};
use crate::limits;
use crate::policy::{OnFailure, UniqueUntil};
use crate::record::{self, EndReason, FailedNext, Failure};
use crate::view::JobState;

impl State {
    pub(super) fn apply_completed(&mut self, completed: &record::Completed) {
        let mut offset = completed.first_offset;
        let mut changed = NONE;
        for (i, &sequence) in completed.jobs.iter().enumerate() {
            let len = completed.result_lens.get(i).copied().unwrap_or(0);
            let result = Blob { frame: self.frame, offset, len };
            offset += len;
            let Some(slot) = self.find_leased(sequence) else { continue };
            if result.len > 0 {
                self.extra_mut(slot, |extra| extra.result = result);
            }
            let queue = u32::from(self.jobs.get(slot).queue);
            self.queues.get_mut(queue).completed += 1;
            self.leave_for_end(slot, JobState::Completed, EndReason::None, 0);
            changed = self.attend_before(changed, queue);
        }
        self.attend_before(changed, NONE);
    }

    /// For records about many jobs, most often of one queue: attends to the `changed` queue when the `next` job is of
    /// another, and returns that.
    fn attend_before(&mut self, changed: u32, next: u32) -> u32 {
        if changed != NONE && changed != next {
            self.attend(changed);
        }
        next
    }

    pub(super) fn apply_cancelled(&mut self, cancelled: &record::Cancelled) {
        let Some(slot) = self.find_unfinished(cancelled.job) else { return };
        let reason = EndReason::try_from(cancelled.reason).unwrap_or(EndReason::Cancelled);
        self.end(slot, JobState::Cancelled, reason, 0);
        if crate::sabotage::is("counts_wrong_after_cancel") {
            let queue = u32::from(self.jobs.get(slot).queue);
            self.queues.get_mut(queue).counts.by_state[JobState::Cancelled as usize] += 1;
        }
    }

    pub(super) fn apply_expired(&mut self, expired: &record::Expired) {
        let Some(slot) = self.find_unfinished(expired.job) else { return };
        self.end(slot, JobState::Dead, EndReason::Expired, expired.death);
        self.note_dead(slot, expired.parks);
    }

    pub(super) fn apply_failed(&mut self, failed: &record::Failed) {
        if failed.redrive > 0
            && let Some(redrive) = self.redrive_mut(&failed.redrive_queue, failed.redrive)
        {
            redrive.dead_again += 1;
            let queue = self.queue_or_new(&failed.redrive_queue);
            self.attend(queue);
        }
        let Some(slot) = self.find_leased(failed.job) else { return };
        let failure = failed.failure.clone();
        self.extra_mut(slot, |extra| {
            if extra.failures.len() >= limits::FAILURES_MAX {
                extra.failures.remove(limits::FAILURES_MAX / 2);
            }
            extra.failures.push(failure);
        });
        if failed.next == FailedNext::Dead as i32 {
            let reason = EndReason::try_from(failed.reason).unwrap_or(EndReason::AttemptsExhausted);
            self.end(slot, JobState::Dead, reason, failed.death);
            self.note_dead(slot, failed.parks);
            return;
        }
        self.end_lease(slot);
        self.set_state(slot, JobState::Scheduled);
        let job = self.jobs.get_mut(slot);
        job.order = 0;
        job.time = Time(failed.run_at);
        self.job_wheel.insert(&mut self.job_lists, slot, failed.run_at);
        if let Some(key) = self.key_of(slot)
            && self.on_failure_of(slot) != OnFailure::Skip
        {
            self.enter_line(key, slot);
        }
    }

    pub(in super::super) fn on_failure_of(&self, slot: Slot) -> OnFailure {
        self.jobs.extra_of(slot).map_or(OnFailure::Block, |extra| extra.on_failure)
    }

    fn find_unfinished(&self, sequence: u64) -> Option<Slot> {
        self.jobs.find(sequence).filter(|&slot| !self.jobs.get(slot).state.has_ended())
    }

    /// Ends a job, and its queue is attended to.
    fn end(&mut self, slot: Slot, state: JobState, reason: EndReason, death: u64) {
        self.leave_for_end(slot, state, reason, death);
        self.attend(u32::from(self.jobs.get(slot).queue));
    }

    /// Ends a job: it leaves every list, timer and line, frees what it held, and joins its queue's ended ones.
    fn leave_for_end(&mut self, slot: Slot, state: JobState, reason: EndReason, death: u64) {
        let now = self.now;
        match self.jobs.get(slot).state {
            JobState::Leased => self.end_lease(slot),
            JobState::Ready if self.jobs.get(slot).order > 0 => {
                self.leave_ready(slot);
                if let Some(key) = self.key_of(slot) {
                    self.keys.get_mut(key).active = NONE;
                }
            }
            _ => self.job_lists.unlink(slot),
        }
        self.set_state(slot, state);
        let job = self.jobs.get_mut(slot);
        job.time = now;
        if state == JobState::Dead {
            job.order = death;
        } else {
            // Nobody will need the payload again.
            job.len = 0;
        }
        let extra = job.extra;
        if extra != NONE {
            self.expiry_lists.unlink(extra);
            if let Some(key) = self.key_of(slot) {
                self.leave_line(key, slot);
            }
            if !crate::sabotage::is("unique_not_freed") {
                self.release_unique(slot, UniqueUntil::Completed);
            }
        }
        if reason != EndReason::None {
            self.extra_mut(slot, |extra| extra.reason = reason);
        }
        self.enter_ended(slot);
    }

    /// Puts an ended job into its queue's list of such. The queue wants attention then.
    pub(super) fn enter_ended(&mut self, slot: Slot) {
        let job = self.jobs.get(slot);
        let (index, state) = (u32::from(job.queue), job.state);
        let queue = self.queues.get_mut(index);
        let (list, by): (ListId, OrderBy) = match state {
            JobState::Completed => (queue.completed_list(), OrderBy::Time),
            JobState::Cancelled => (queue.cancelled_list(), OrderBy::Time),
            _ => (queue.dead_list(), OrderBy::Number),
        };
        if state == JobState::Dead {
            queue.next_death = queue.next_death.max(job.order + 1);
        }
        // Only a job written anew comes between others; the end of the replay sorts.
        if let Some(last) = self.job_lists.last(list) {
            let last = self.jobs.get(last);
            if (by == OrderBy::Number && last.order > job.order)
                || (by == OrderBy::Time && last.time > job.time)
            {
                self.disordered.push((list, by));
            }
        }
        self.job_lists.push_back(list, slot);
    }

    /// Counts a dead job under its cause, and keeps it with its ordering key, which it may have parked.
    pub(super) fn note_dead(&mut self, slot: Slot, parks: bool) {
        let job = self.jobs.get(slot);
        let (sequence, queue, kind, died_at) =
            (job.sequence.get(), u32::from(job.queue), u32::from(job.kind), job.time);
        let Some(extra) = self.jobs.extra_of(slot) else { return };
        let (reason, key) = (extra.reason, extra.key);
        let last = extra.failures.last();
        let mut text = cause::fingerprint(reason, self.kinds.name(kind), last);
        if self.causes.find(queue, &text).is_none() && self.causes.len() as usize >= limits::CAUSES_MAX {
            text = "other".into();
        }
        let index = self.causes.find(queue, &text).unwrap_or_else(|| {
            let entry = cause::CauseEntry {
                id: cause::id(&text),
                reason,
                kind: (**self.kinds.name(kind)).into(),
                error_kind: last.and_then(|failure| failure.kind.as_deref()).map(Into::into),
                dead: BTreeSet::new(),
            };
            self.causes.insert(queue, &text, entry)
        });
        self.causes.get_mut(index).dead.insert((died_at, sequence));
        self.extra_mut(slot, |extra| extra.cause = index);
        if key != NONE {
            self.keys.get_mut(key).dead.insert(sequence);
            if parks {
                let paused = self.keys.get(key).paused;
                self.set_key(key, queue, paused, Some(sequence));
            }
        }
    }

    /// Undoes [`note_dead`](Self::note_dead) for a job that is redriven or deleted: that is the decision its parked key
    /// has waited for.
    fn unnote_dead(&mut self, slot: Slot) {
        let job = self.jobs.get(slot);
        let (sequence, queue, died_at) = (job.sequence.get(), u32::from(job.queue), job.time);
        let Some(extra) = self.jobs.extra_of(slot) else { return };
        let (cause, key) = (extra.cause, extra.key);
        if cause != NONE {
            let entry = self.causes.get_mut(cause);
            entry.dead.remove(&(died_at, sequence));
            if entry.dead.is_empty() {
                self.causes.remove(cause);
            }
            self.extra_mut(slot, |extra| extra.cause = NONE);
        }
        if key != NONE {
            self.keys.get_mut(key).dead.remove(&sequence);
            if self.keys.get(key).parked_by == sequence {
                let paused = self.keys.get(key).paused;
                self.set_key(key, queue, paused, Some(0));
            }
        }
    }

    pub(super) fn apply_forgotten(&mut self, forgotten: &record::Forgotten) {
        let mut changed = NONE;
        for &sequence in &forgotten.jobs {
            let Some(slot) = self.jobs.find(sequence) else { continue };
            let job = self.jobs.get(slot);
            let (state, queue, kind) = (job.state, u32::from(job.queue), u32::from(job.kind));
            if state.has_ended() {
                self.forget_job(slot, state, queue, kind);
                changed = self.attend_before(changed, queue);
            }
        }
        self.attend_before(changed, NONE);
    }

    fn forget_job(&mut self, slot: Slot, state: JobState, queue: u32, kind: u32) {
        if state == JobState::Dead {
            self.unnote_dead(slot);
        }
        let key = self.key_of(slot);
        self.keep_last_state(slot);
        self.job_lists.unlink(slot);
        self.jobs.remove(slot);
        self.queues.get_mut(queue).counts.by_state[state as usize] -= 1;
        self.kinds.get_mut(kind).jobs -= 1;
        self.drop_unused_kind(kind);
        if let Some(key) = key {
            self.keys.get_mut(key).jobs -= 1;
            self.drop_unused_key(key);
        }
    }

    /// A job that is forgotten may still hold its unique key for a duration: then its last state stays with the key.
    fn keep_last_state(&mut self, slot: Slot) {
        let job = self.jobs.get(slot);
        let (queue, sequence, state) = (u32::from(job.queue), job.sequence.get(), job.state);
        let Some(unique) = self.jobs.extra_of(slot).and_then(|extra| extra.unique.as_deref()) else { return };
        if let Some(index) = self.uniques.find(queue, &unique.key)
            && self.uniques.get(index).job == sequence
        {
            self.uniques.get_mut(index).ended = Some(state);
        }
    }

    pub(super) fn apply_redriven(&mut self, redriven: &record::Redriven) {
        if let Some(redrive) = self.redrive_mut(&redriven.queue, redriven.redrive) {
            redrive.cursor = redrive.cursor.max(redriven.cursor);
            redrive.moved += redriven.jobs.len() as u64;
        }
        let now = self.now;
        for &sequence in &redriven.jobs {
            let Some(slot) = self.jobs.find(sequence) else { continue };
            if self.jobs.get(slot).state != JobState::Dead {
                continue;
            }
            self.unnote_dead(slot);
            self.job_lists.unlink(slot);
            self.set_state(slot, JobState::Scheduled);
            let job = self.jobs.get_mut(slot);
            job.order = 0;
            job.time = now;
            let attempt = job.attempt;
            // It is wanted again, so an old time limit must not kill it at once.
            self.extra_mut(slot, |extra| {
                extra.reason = EndReason::None;
                extra.forgiven = attempt;
                extra.redrive = redriven.redrive;
                extra.expires_at = Time(0);
            });
            self.job_wheel.insert(&mut self.job_lists, slot, now.0);
            if redriven.took_unique.contains(&sequence) {
                self.retake_unique(slot);
            }
            if let Some(key) = self.key_of(slot) {
                self.enter_line(key, slot);
            }
        }
        if let Some(queue) = self.queues.find(0, &redriven.queue) {
            self.attend(queue);
        }
    }

    /// A redriven job takes its unique key again.
    fn retake_unique(&mut self, slot: Slot) {
        let job = self.jobs.get(slot);
        let (queue, sequence) = (u32::from(job.queue), job.sequence.get());
        let Some(unique) = self.jobs.extra_of(slot).and_then(|extra| extra.unique.as_deref()) else { return };
        let key = unique.key.clone();
        self.take_unique(queue, &key, sequence, Time(0));
    }

    /// Sets the queue's timer to when it next wants attention: retention of ended jobs, or a redrive's next step.
    pub(in super::super) fn attend(&mut self, index: u32) {
        let queue = self.queues.get(index);
        let retention =
            [(queue.completed_list(), JobState::Completed), (queue.cancelled_list(), JobState::Cancelled)]
                .into_iter()
                .filter_map(|(list, state)| {
                    let oldest = self.job_lists.first(list)?;
                    Some(if queue.counts.of(state) > queue.config.retain_max {
                        self.now
                    } else {
                        self.jobs.get(oldest).time.plus(queue.config.retain_ms)
                    })
                })
                .min();
        let redrive = queue
            .redrive
            .as_deref()
            .filter(|redrive| redrive.end.is_none())
            .map(|redrive| redrive.next_at().max(self.now));
        let Some(at) = retention.into_iter().chain(redrive).min() else {
            self.queue_lists.unlink(index);
            self.queues.get_mut(index).attend_at = Time(0);
            return;
        };
        if self.queue_lists.is_linked(index) && queue.attend_at == at {
            return;
        }
        self.queue_lists.unlink(index);
        self.queues.get_mut(index).attend_at = at;
        self.queue_wheel.insert(&mut self.queue_lists, index, at.0);
    }

    /// The failure that ends a job's attempt now, as the job will remember it.
    pub(in super::super) fn failure_now(&self, slot: Slot, message: &str) -> Failure {
        let job = self.jobs.get(slot);
        let worker = if job.worker == NONE { "" } else { &**self.workers.name(job.worker) };
        Failure {
            attempt: u32::from(job.attempt),
            at: self.now.0,
            message: cut(message, limits::ERROR_MESSAGE_MAX).into(),
            kind: None,
            dependency: None,
            worker: worker.into(),
        }
    }
}

/// The first `max` bytes of a text, or a little fewer so that no character is torn.
pub(in super::super) fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}
