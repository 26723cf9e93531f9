//! Complete, fail, extend, release: what workers say about the jobs they have. Every one is fenced by its lease's token.

use alloc::vec::Vec;
use core::cmp::Reverse;

use super::super::jobs::Slot;
use super::super::{State, Turn};
use crate::command::{Complete, Extend, Fail, Release};
use crate::id::{JobId, Time, Token};
use crate::limits;
use crate::outcome::{Item, Refusal};
use crate::policy::{OnFailure, Retry};
use crate::record::{Completed, EndReason, Extended, Failed, FailedNext, Failure, Record, Released};
use crate::sabotage;
use crate::view::JobState;

/// Jobs that were done, on their way into the log: one record for all.
pub(super) struct Completions {
    record: Completed,
    /// Their ordering keys.
    keys: Vec<u32>,
}

impl Completions {
    /// None yet. Results are placed from here on.
    pub(super) fn open(turn: &Turn<'_>) -> Self {
        let record = Completed { first_offset: turn.blob_cursor, ..Completed::default() };
        Self { record, keys: Vec::new() }
    }

    /// Adds a job that is leased under this very token. Its result is the command's blob `index`.
    pub(super) fn add(&mut self, key: Option<u32>, index: usize, complete: &Complete, turn: &mut Turn<'_>) {
        let record = &mut self.record;
        record.jobs.push(complete.id.sequence());
        if complete.result_len > 0 || !record.result_lens.is_empty() {
            record.result_lens.resize(record.jobs.len() - 1, 0);
            record.result_lens.push(complete.result_len);
        }
        if complete.result_len > 0 {
            turn.place(index, complete.result_len);
        }
        self.keys.extend(key);
        turn.ended.push(complete.id);
    }
}

impl State {
    /// The job that this very lease is of, or why there is none.
    pub(super) fn find_leased_by(&self, id: JobId, token: Token) -> Result<Slot, Refusal> {
        let slot = self.find(id).ok_or(Refusal::JobNotFound)?;
        let job = self.jobs.get(slot);
        match job.state {
            JobState::Leased if job.order == token.0 || sabotage::is("stale_token_accepted") => Ok(slot),
            JobState::Leased => Err(Refusal::StaleToken),
            state if state.has_ended() => Err(Refusal::JobEnded(state)),
            // It was leased once and is not any more: this lease is over.
            _ if job.attempt > 0 => Err(Refusal::StaleToken),
            state => Err(Refusal::NotLeased(state)),
        }
    }

    pub(super) fn decide_complete(&mut self, completes: &[Complete], turn: &mut Turn<'_>) -> Vec<Item> {
        let mut items = Vec::with_capacity(completes.len());
        let mut done = Completions::open(turn);
        for (index, complete) in completes.iter().enumerate() {
            let item = match self.find_leased_by(complete.id, complete.token) {
                Ok(slot) => {
                    done.add(self.key_of(slot), index, complete, turn);
                    Item::Is { id: complete.id, state: JobState::Completed, at: None }
                }
                // Said twice with the token that did it: the same answer, as nothing else can follow from it.
                Err(Refusal::JobEnded(JobState::Completed)) if self.was_completed_by(complete) => {
                    Item::Is { id: complete.id, state: JobState::Completed, at: None }
                }
                Err(refusal) => Item::Refused(refusal),
            };
            items.push(item);
        }
        self.close_completions(done, turn);
        items
    }

    /// Writes down that the jobs were done, and gives the turns of their ordering keys to the next.
    pub(super) fn close_completions(&mut self, done: Completions, turn: &mut Turn<'_>) {
        if done.record.jobs.is_empty() {
            return;
        }
        self.emit(turn, Record::Completed(done.record));
        for key in done.keys {
            self.advance_key(key, turn);
        }
    }

    fn was_completed_by(&self, complete: &Complete) -> bool {
        self.find(complete.id).is_some_and(|slot| self.jobs.get(slot).order == complete.token.0)
    }

    pub(super) fn decide_fail(&mut self, fail: Fail, turn: &mut Turn<'_>) -> Item {
        let slot = match self.find_leased_by(fail.id, fail.token) {
            Ok(slot) => slot,
            Err(refusal) => return Item::Refused(refusal),
        };
        let failure =
            Failure { kind: fail.kind, dependency: fail.dependency, ..self.failure_now(slot, &fail.message) };
        self.fail_in_turn(slot, failure, fail.fatal, fail.retry_after_ms, turn);
        let job = self.jobs.get(slot);
        let at = (job.state == JobState::Scheduled).then_some(job.time);
        Item::Is { id: fail.id, state: job.state, at }
    }

    /// The retry policy of a job: its own, or its queue's.
    pub(in super::super) fn retry_of(&self, slot: Slot) -> Retry {
        let own = self.jobs.extra_of(slot).and_then(|extra| extra.retry.as_deref().copied());
        own.unwrap_or_else(|| self.queues.get(u32::from(self.jobs.get(slot).queue)).config.retry)
    }

    /// Ends an attempt: another follows by the job's policy, or the job is dead.
    pub(in super::super) fn fail_in_turn(
        &mut self,
        slot: Slot,
        failure: Failure,
        fatal: bool,
        retry_after_ms: Option<u64>,
        turn: &mut Turn<'_>,
    ) {
        let retry = self.retry_of(slot);
        let forgiven = self.jobs.extra_of(slot).map_or(0, |extra| extra.forgiven);
        let job = self.jobs.get(slot);
        let tries = u32::from(job.attempt - forgiven.min(job.attempt));
        let sequence = job.sequence.get();
        let mut failed = Failed { job: sequence, failure, ..Failed::default() };
        let allowed = retry.max_attempts + u32::from(sabotage::is("attempts_off_by_one"));
        if fatal || tries >= allowed {
            let reason = if fatal { EndReason::Fatal } else { EndReason::AttemptsExhausted };
            failed.next = FailedNext::Dead as i32;
            failed.reason = reason as i32;
            failed.death = self.queues.get(u32::from(job.queue)).next_death;
            failed.parks = self.would_park(slot);
            failed.redrive = self.jobs.extra_of(slot).map_or(0, |extra| extra.redrive);
            if failed.redrive > 0 {
                failed.redrive_queue = (**self.queues.name(u32::from(self.jobs.get(slot).queue))).into();
            }
            self.end_in_turn(slot, Record::Failed(failed), turn);
            return;
        }
        let chance = self.chance(sequence, u64::from(job.attempt));
        let delay =
            retry_after_ms.unwrap_or_else(|| retry.delay_after(tries, chance)).min(limits::AHEAD_MS_MAX);
        failed.next = FailedNext::Retry as i32;
        failed.run_at = self.now.plus(delay).0;
        let key = self.key_of(slot);
        self.emit(turn, Record::Failed(failed));
        if delay == 0 {
            self.promote(&[slot], turn);
        }
        if let Some(key) = key {
            self.advance_key(key, turn);
        }
    }

    /// Whether the job's death parks its ordering key: if it wants to, and no other has.
    pub(in super::super) fn would_park(&self, slot: Slot) -> bool {
        !sabotage::is("dead_job_parks_nothing")
            && self.on_failure_of(slot) == OnFailure::Park
            && self.key_of(slot).is_some_and(|key| self.keys.get(key).parked_by == 0)
    }

    /// Writes down a record that ends a job, tells whoever waits for it, and gives its ordering key's turn to the next.
    pub(in super::super) fn end_in_turn(&mut self, slot: Slot, record: Record, turn: &mut Turn<'_>) {
        let (id, key) = (self.id_of(slot), self.key_of(slot));
        self.emit(turn, record);
        turn.ended.push(id);
        if let Some(key) = key {
            self.advance_key(key, turn);
        }
    }

    pub(super) fn decide_extend(&mut self, extend: Extend, turn: &mut Turn<'_>) -> Item {
        let slot = match self.find_leased_by(extend.id, extend.token) {
            Ok(slot) => slot,
            Err(refusal) => return Item::Refused(refusal),
        };
        let queue = u32::from(self.jobs.get(slot).queue);
        let lease_ms = extend.lease_ms.unwrap_or(self.queues.get(queue).config.lease_ms);
        let deadline: Time = self.now.plus(lease_ms.clamp(limits::LEASE_MS_MIN, limits::LEASE_MS_MAX));
        let extended = Extended {
            job: extend.id.sequence(),
            deadline: deadline.0,
            progress: extend.progress.map(|progress| progress.into_vec()),
        };
        self.emit(turn, Record::Extended(extended));
        Item::Is { id: extend.id, state: JobState::Leased, at: Some(deadline) }
    }

    /// Gives jobs back. Each goes before all that wait, so what was handed out last goes first: a batch keeps its order.
    pub(super) fn decide_release(&mut self, releases: &[Release], turn: &mut Turn<'_>) -> Vec<Item> {
        let mut order: Vec<usize> = (0..releases.len()).collect();
        order.sort_by_key(|&index| Reverse(releases[index].token));
        let mut items: Vec<(usize, Item)> =
            order.into_iter().map(|index| (index, self.release(releases[index], turn))).collect();
        items.sort_unstable_by_key(|&(index, _)| index);
        items.into_iter().map(|(_, item)| item).collect()
    }

    fn release(&mut self, release: Release, turn: &mut Turn<'_>) -> Item {
        let slot = match self.find_leased_by(release.id, release.token) {
            Ok(slot) => slot,
            Err(refusal) => return Item::Refused(refusal),
        };
        self.emit(turn, Record::Released(Released { job: release.id.sequence() }));
        // It was first once and nothing has become of it: it is first again. An earlier job of its ordering key may have
        // come back meanwhile, though; then that one is.
        match self.key_of(slot) {
            Some(key) if !self.may_take_turn(key, slot) => self.advance_key(key, turn),
            _ => {
                let order = self.front_order(slot);
                self.make_ready(&[(slot, order)], turn);
            }
        }
        Item::Is { id: release.id, state: JobState::Ready, at: None }
    }

    /// The place before all of the job's queue and priority.
    fn front_order(&self, slot: Slot) -> u64 {
        let job = self.jobs.get(slot);
        let queue = self.queues.get(u32::from(job.queue));
        let first = queue
            .lanes
            .iter()
            .filter(|lane| lane.mask >> job.priority & 1 == 1)
            .filter_map(|lane| self.job_lists.first(lane.lists + u32::from(job.priority)))
            .map(|first| self.jobs.get(first).order)
            .min();
        first.map_or(queue.next_orders[usize::from(job.priority)], |first| first.saturating_sub(1).max(1))
    }
}
