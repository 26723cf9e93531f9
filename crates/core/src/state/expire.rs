//! What time alone brings: scheduled jobs whose time has come, leases that lapsed, jobs that expired unstarted, ended jobs
//! kept long enough, redrives whose next step is due.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::jobs::Slot;
use super::{State, Turn};
use crate::limits::EXPIRE_PER_TURN;
use crate::record::{Expired, Failure, Record};
use crate::view::JobState;

/// The kind of error under which a lapsed lease is remembered.
pub(super) const LEASE_LAPSED: &str = "lease_lapsed";

impl State {
    /// Handles what is due, up to a bound; returns whether more is due already, so that another turn should follow at once.
    pub fn expire(&mut self, turn: &mut Turn<'_>) -> bool {
        let expired = self.expire_unstarted(turn);
        let moved = self.expire_timers(turn);
        let attended = self.attend_queues(turn);
        let pools = self.attend_pools(turn);
        self.let_lines_go(turn);
        expired
            || moved
            || attended
            || pools
            || self.next_deadline().is_some_and(|deadline| deadline <= self.now)
    }

    /// Jobs whose `expires_at` has come before they started.
    fn expire_unstarted(&mut self, turn: &mut Turn<'_>) -> bool {
        let due: Vec<u32> = self.expiry_lists.iter(self.expiry_wheel.due()).take(EXPIRE_PER_TURN).collect();
        for &extra in &due {
            self.expire_job(self.jobs.extra(extra).slot, turn);
        }
        due.len() == EXPIRE_PER_TURN
    }

    /// Ends a job whose time to start is over.
    pub(super) fn expire_job(&mut self, slot: Slot, turn: &mut Turn<'_>) {
        let job = self.jobs.get(slot);
        let death = self.queues.get(u32::from(job.queue)).next_death;
        let record = Expired { job: job.sequence.get(), death, parks: self.would_park(slot) };
        self.end_in_turn(slot, Record::Expired(record), turn);
    }

    /// Scheduled jobs whose time has come, and leases that lapsed.
    fn expire_timers(&mut self, turn: &mut Turn<'_>) -> bool {
        let due: Vec<Slot> = self.job_lists.iter(self.job_wheel.due()).take(EXPIRE_PER_TURN).collect();
        let (scheduled, leased): (Vec<Slot>, Vec<Slot>) =
            due.iter().partition(|&&slot| self.jobs.get(slot).state == JobState::Scheduled);
        for slot in leased {
            // An earlier one of these may have ended or moved it.
            if self.jobs.get(slot).state == JobState::Leased && self.jobs.get(slot).time <= self.now {
                self.lapse(slot, turn);
            }
        }
        self.promote(&scheduled, turn);
        due.len() == EXPIRE_PER_TURN
    }

    /// A lapsed lease is a failed attempt.
    fn lapse(&mut self, slot: Slot, turn: &mut Turn<'_>) {
        let worker = self.jobs.get(slot).worker;
        let name = self.workers.try_entry(worker).map_or("", |entry| &entry.name);
        let message: String = if name.is_empty() {
            "the lease lapsed: nothing was heard of its worker in time".into()
        } else {
            format!("the lease lapsed: nothing was heard of worker {name} in time")
        };
        let failure = Failure { kind: Some(LEASE_LAPSED.into()), ..self.failure_now(slot, &message) };
        self.fail_in_turn(slot, failure, false, None, turn);
    }

    /// Makes scheduled jobs whose time has come ready. A job whose ordering key is not free goes into its line.
    pub(super) fn promote(&mut self, slots: &[Slot], turn: &mut Turn<'_>) {
        let mut plain: Vec<(Slot, u64)> = Vec::new();
        // Next places, for as long as the batch is not written down.
        let mut next: Vec<((u16, u8), u64)> = Vec::new();
        for &slot in slots {
            if self.jobs.get(slot).state != JobState::Scheduled {
                continue;
            }
            if let Some(key) = self.key_of(slot) {
                self.make_ready(&core::mem::take(&mut plain), turn);
                next.clear();
                self.claim_turn(key, slot, turn);
                let order = if self.may_take_turn(key, slot) { self.next_order(slot) } else { 0 };
                self.make_ready(&[(slot, order)], turn);
                self.advance_key(key, turn);
                continue;
            }
            let job = self.jobs.get(slot);
            let list = (job.queue, job.priority);
            let index = next.iter().position(|&(known, _)| known == list).unwrap_or_else(|| {
                next.push((list, self.next_order(slot)));
                next.len() - 1
            });
            plain.push((slot, next[index].1));
            next[index].1 += 1;
        }
        self.make_ready(&plain, turn);
    }

    /// Queues whose timer has come: ended jobs kept long enough are forgotten, redrives take their next step.
    fn attend_queues(&mut self, turn: &mut Turn<'_>) -> bool {
        let mut left = EXPIRE_PER_TURN;
        while left > 0 {
            let Some(index) = self.queue_lists.first(self.queue_wheel.due()) else { return false };
            left -= self.forget_old(index, left, turn).max(1).min(left);
            self.step_redrive(index, turn);
            // Set anew, or cleared if nothing is left to do.
            self.queue_lists.unlink(index);
            self.attend(index);
            if self.queue_lists.first(self.queue_wheel.due()) == Some(index) {
                // Still due and alone: the rest is for the next turn.
                return true;
            }
        }
        true
    }

    /// Forgets completed and cancelled jobs that are too old or too many; returns how many.
    fn forget_old(&mut self, index: u32, max: usize, turn: &mut Turn<'_>) -> usize {
        let queue = self.queues.get(index);
        let mut slots: Vec<Slot> = Vec::new();
        for (list, state) in
            [(queue.completed_list(), JobState::Completed), (queue.cancelled_list(), JobState::Cancelled)]
        {
            let mut too_many = queue.counts.of(state).saturating_sub(queue.config.retain_max);
            for slot in self.job_lists.iter(list) {
                let old = self.jobs.get(slot).time.plus(queue.config.retain_ms) <= self.now;
                if slots.len() >= max || (too_many == 0 && !old) {
                    break;
                }
                too_many = too_many.saturating_sub(1);
                slots.push(slot);
            }
        }
        self.forget(&slots, turn);
        slots.len()
    }
}
