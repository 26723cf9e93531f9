//! Applying: what a record does to the state. The only code that changes what can be seen from outside.
//!
//! Applying cannot fail. A fact about a job that is not here, or not in the state the fact presumes, changes nothing: in
//! the replay of a trimmed log the job follows later, restated, with the outcome of all that was passed over. Numbers
//! are taken from the record, never chosen; counters take the greater, so that what was passed over leaves no trace.

mod ended;
mod jobs;
mod pools;
mod restated;

use alloc::boxed::Box;

pub(super) use jobs::Batch;

use super::key::Key;
use super::queue::{Queue, Redrive};
use super::{Kept, State, answer_bytes};
use crate::id::Time;
use crate::policy::QueueConfig;
use crate::record::{self, EndReason, Record, RedriveEnd};
use crate::view::JobState;

impl State {
    /// Changes the state as the record says. See the module.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Shard(shard) => self.apply_shard(shard),
            Record::QueueConfigured(configured) => {
                let queue = self.queue_or_new(&configured.queue);
                self.queues.get_mut(queue).config = configured.config;
                self.attend(queue);
            }
            Record::QueuePaused(paused) => {
                let queue = self.queue_or_new(&paused.queue);
                self.queues.get_mut(queue).paused = paused.paused;
            }
            Record::KeyPaused(paused) => self.apply_key_paused(paused),
            Record::Enqueued(enqueued) => self.apply_enqueued(enqueued),
            Record::Readied(readied) => self.apply_readied(readied),
            Record::Leased(leased) => self.apply_leased(leased),
            Record::Extended(extended) => self.apply_extended(extended),
            Record::Completed(completed) => self.apply_completed(completed),
            Record::Failed(failed) => self.apply_failed(failed),
            Record::Released(released) => self.apply_released(released),
            Record::Cancelled(cancelled) => self.apply_cancelled(cancelled),
            Record::Expired(expired) => self.apply_expired(expired),
            Record::Forgotten(forgotten) => self.apply_forgotten(forgotten),
            Record::Edited(edited) => self.apply_edited(edited),
            Record::RedriveStarted(started) => {
                let queue = self.queue_or_new(&started.queue);
                self.next_redrive = self.next_redrive.max(started.redrive + 1);
                self.queues.get_mut(queue).redrive = Some(Box::new(Redrive::from(started)));
                self.attend(queue);
            }
            Record::Redriven(redriven) => self.apply_redriven(redriven),
            Record::RedriveEnded(ended) => {
                if let Some(redrive) = self.redrive_mut(&ended.queue, ended.redrive) {
                    redrive.end = Some(RedriveEnd::try_from(ended.end).unwrap_or(RedriveEnd::Done));
                }
            }
            Record::AnswerKept(kept) => self.apply_answer_kept(kept),
            Record::QueueRestated(queue) => self.apply_queue_restated(queue),
            Record::KeyRestated(key) => self.apply_key_restated(key),
            Record::UniqueRestated(unique) => {
                if let Some(queue) = self.queues.find(0, &unique.queue) {
                    self.take_unique(queue, &unique.key, unique.job, Time(unique.expires_at));
                    if let Some(index) = self.uniques.find(queue, &unique.key) {
                        let ended = unique.ended.checked_sub(1).and_then(JobState::from_number);
                        self.uniques.get_mut(index).ended = ended;
                    }
                }
            }
            Record::JobsRestated(jobs) => self.apply_jobs_restated(jobs),
            Record::PoolConfigured(configured) => self.apply_pool_configured(configured),
            Record::PoolDeleted(deleted) => self.apply_pool_deleted(deleted),
            Record::PoolTurned(turned) => self.apply_pool_turned(turned),
            Record::Granted(granted) => self.apply_granted(granted),
            Record::GrantConfirmed(confirmed) => self.apply_grant_confirmed(confirmed),
            Record::HoldExtended(extended) => self.apply_hold_extended(extended),
            Record::GrantEnded(ended) => self.apply_grant_ended(ended),
            Record::Joined(joined) => self.apply_joined(joined),
            Record::LeftLine(left) => self.apply_left_line(left),
            Record::PoolRefused(refused) => self.apply_pool_refused(refused),
            Record::JobsLinked(linked) => self.apply_jobs_linked(linked),
            Record::PoolRestated(pool) => self.apply_pool_restated(pool),
            Record::GrantRestated(grant) => self.apply_grant_restated(grant),
            Record::WaiterRestated(joined) => self.bring_in_waiter(joined),
            Record::StoryRestated(story) => self.apply_story_restated(story),
            Record::EndedRestated(ended) => self.apply_ended_restated(ended),
        }
    }

    fn apply_shard(&mut self, shard: &record::Shard) {
        self.seed.get_or_insert(shard.seed);
        self.next_job = self.next_job.max(shard.next_job);
        self.next_token = self.next_token.max(shard.next_token);
        self.next_redrive = self.next_redrive.max(shard.next_redrive);
        self.pools.next_grant = self.pools.next_grant.max(shard.next_grant);
        self.pools.next_event = self.pools.next_event.max(shard.next_event);
    }

    /// The queue's index; a queue that a trimmed replay has not met yet is made, and restated later.
    pub(super) fn queue_or_new(&mut self, name: &str) -> u32 {
        if let Some(queue) = self.queues.find(0, name) {
            return queue;
        }
        let queue = Queue::new(QueueConfig::DEFAULT, &mut self.job_lists);
        let index = self.queues.insert(0, name, queue);
        self.queue_lists.reach(index);
        index
    }

    /// The ordering key's index, made if it is new.
    pub(super) fn key_or_new(&mut self, queue: u32, name: &str) -> u32 {
        if let Some(key) = self.keys.find(queue, name) {
            return key;
        }
        let key = self.keys.insert(queue, name, Key::new());
        if key >= self.lines.count() {
            self.lines.add(key + 1 - self.lines.count());
        }
        key
    }

    fn apply_key_paused(&mut self, paused: &record::KeyPaused) {
        let queue = self.queue_or_new(&paused.queue);
        let key = self.key_or_new(queue, &paused.key);
        self.set_key(key, queue, paused.paused, if paused.paused { None } else { Some(0) });
        if paused.paused {
            self.step_back(key);
        }
        self.drop_unused_key(key);
    }

    /// Sets whether a key is paused and, if given, who parked it, and keeps the queue's counts of both.
    pub(super) fn set_key(&mut self, key: u32, queue: u32, paused: bool, parked_by: Option<u64>) {
        let entry = self.keys.get_mut(key);
        let before = (u64::from(entry.paused), u64::from(entry.parked_by != 0));
        entry.paused = paused;
        if let Some(parked_by) = parked_by {
            entry.parked_by = parked_by;
        }
        let after = (u64::from(entry.paused), u64::from(entry.parked_by != 0));
        let queue = self.queues.get_mut(queue);
        queue.keys_paused = queue.keys_paused + after.0 - before.0;
        queue.keys_parked = queue.keys_parked + after.1 - before.1;
    }

    /// A key's ready job leaves the ready list and goes back into the line. A leased one stays with its worker.
    pub(super) fn step_back(&mut self, key: u32) {
        let active = self.keys.get(key).active;
        if active == super::paged::NONE || self.jobs.get(active).state != crate::view::JobState::Ready {
            return;
        }
        self.leave_ready(active);
        self.keys.get_mut(key).active = super::paged::NONE;
        self.enter_line(key, active);
    }

    fn redrive_mut(&mut self, queue: &str, number: u64) -> Option<&mut Redrive> {
        let queue = self.queues.find(0, queue)?;
        self.queues.get_mut(queue).redrive.as_deref_mut().filter(|redrive| redrive.number == number)
    }

    fn apply_answer_kept(&mut self, kept: &record::AnswerKept) {
        for key in &kept.dropped {
            if let Some(index) = self.answers.find(0, key) {
                self.drop_answer(index);
            }
        }
        let kept_at = Time(kept.kept_at);
        if let Some(index) = self.answers.find(0, &kept.key) {
            if self.answers.get(index).kept_at == kept_at {
                // Written anew: only its home has changed.
                self.answers.get_mut(index).home = self.frame;
                return;
            }
            // The old one's time was over; a turn that had much to drop may not have come to it.
            self.drop_answer(index);
        }
        if let Some(last) = self.answer_list.last(0)
            && self.answers.get(last).kept_at > kept_at
        {
            self.answers_disordered = true;
        }
        self.answer_bytes += answer_bytes(&kept.key, &kept.answer);
        let index = self.answers.insert(
            0,
            &kept.key,
            Kept {
                fingerprint: [kept.fingerprint_0, kept.fingerprint_1],
                kept_at,
                expires_at: Time(kept.expires_at),
                home: self.frame,
                answer: kept.answer.as_slice().into(),
            },
        );
        self.answer_list.reach(index);
        self.answer_list.push_back(0, index);
    }
}

impl From<&record::RedriveStarted> for Redrive {
    fn from(started: &record::RedriveStarted) -> Self {
        Self {
            number: started.redrive,
            kind: started.kind.as_deref().map(Into::into),
            cause: started.cause,
            reason: EndReason::try_from(started.reason).unwrap_or(EndReason::None),
            before: Time(started.before),
            ids: started.ids.clone(),
            rate_per_s: started.rate_per_s,
            stop_after_dead: started.stop_after_dead,
            started_at: Time(started.started_at),
            until: started.until,
            cursor: started.cursor,
            stayed: None,
            moved: started.moved,
            dead_again: started.dead_again,
            end: None,
        }
    }
}
