//! Enqueue.

use std::collections::BTreeSet;

use tidegate_core::command::{NewJob, NewJobMore};
use tidegate_core::outcome::{Item, Refusal};
use tidegate_core::policy::{OnConflict, OnFailure, QueueConfig, Unique, UniqueUntil};
use tidegate_core::record::EndReason;
use tidegate_core::view::JobState;
use tidegate_core::{JobId, Time, limits};
use tidegate_engine::{Enqueue, Envelope};

use super::{Job, Queue, Said, Twin, UniqueHolder};

/// A job that may be accepted.
pub(super) struct Judged {
    run_at: u64,
    expires_at: u64,
    replaces: Option<u64>,
}

impl Twin {
    pub(super) fn enqueue(&mut self, ask: &Enqueue) -> Said {
        let command = &ask.command;
        if !self.queues.contains_key(&command.queue) && self.queues.len() >= self.limits.queues_max {
            return Said::Items(vec![Item::Refused(Refusal::TooManyQueues); command.jobs.len()]);
        }
        let mut kinds = self.kinds();
        let mut without_room = BTreeSet::new();
        for kind in &command.kinds {
            if !kinds.contains(kind) && kinds.len() >= self.limits.kinds_max {
                without_room.insert(kind);
            } else {
                kinds.insert(kind.clone());
            }
        }
        let jobs = command.jobs.iter().zip(&ask.payloads);
        let items = jobs.map(|(job, payload)| {
            let kind = &command.kinds[usize::from(job.kind)];
            if without_room.contains(kind) {
                return Item::Refused(Refusal::TooManyKinds);
            }
            match self.judge(&command.queue, job, 0, 0) {
                Ok(judged) => self.accept(&command.queue, kind, job, payload, &judged),
                Err(item) => item,
            }
        });
        Said::Items(items.collect())
    }

    /// The kinds that jobs are of.
    pub(super) fn kinds(&self) -> BTreeSet<String> {
        self.jobs.values().map(|job| job.kind.clone()).collect()
    }

    /// Judges one job; `of_queue` and `of_shard` are accepted before it and not there yet.
    pub(super) fn judge(
        &self,
        queue: &str,
        job: &NewJob,
        of_queue: u64,
        of_shard: u64,
    ) -> Result<Judged, Item> {
        let refuse = |refusal| Err(Item::Refused(refusal));
        let latest = self.now + limits::AHEAD_MS_MAX;
        let run_at = job.run_at.map_or(0, |when| when.resolve(Time(self.now)).0);
        let run_at = if run_at > self.now { run_at } else { 0 };
        if run_at > latest {
            return refuse(Refusal::TooFarAhead);
        }
        if self.jobs.len() as u64 + of_shard >= self.limits.jobs_max {
            return refuse(Refusal::ShardFull(self.limits.jobs_max));
        }
        let max = self.queues.get(queue).map_or(QueueConfig::DEFAULT.jobs_max, |queue| queue.config.jobs_max);
        let unfinished = self.jobs.values().filter(|job| job.queue == queue && !job.state.has_ended());
        if max > 0 && unfinished.count() as u64 + of_queue >= max {
            return refuse(Refusal::QueueFull(max));
        }
        let mut judged = Judged { run_at, expires_at: 0, replaces: None };
        let Some(more) = &job.more else { return Ok(judged) };
        if let Some(expires_at) = more.expires_at {
            judged.expires_at = expires_at.resolve(Time(self.now)).0;
            if judged.expires_at <= self.now || judged.expires_at <= run_at {
                return refuse(Refusal::AlreadyExpired);
            }
            if judged.expires_at > latest {
                return refuse(Refusal::TooFarAhead);
            }
        }
        if let Some(unique) = &more.unique {
            judged.replaces = self.judge_unique(queue, unique)?;
        }
        Ok(judged)
    }

    /// Judges a job of the shard's own, which only the shard's bound can refuse.
    pub(super) fn judge_own(&self, expires_at: u64) -> Option<Judged> {
        let has_room = (self.jobs.len() as u64) < self.limits.jobs_max;
        (has_room && expires_at > self.now).then_some(Judged { run_at: 0, expires_at, replaces: None })
    }

    fn judge_unique(&self, queue: &str, unique: &Unique) -> Result<Option<u64>, Item> {
        let Some(holder) = self.uniques.get(&(queue.to_owned(), unique.key.clone())) else { return Ok(None) };
        let id = JobId::new(0, holder.job);
        let job = self.jobs.get(&holder.job);
        let state = job.map_or_else(|| holder.ended.unwrap_or(JobState::Completed), |job| job.state);
        match unique.on_conflict {
            OnConflict::Return => Err(Item::Duplicate { id, state }),
            OnConflict::Reject => Err(Item::Refused(Refusal::UniqueConflict(id))),
            OnConflict::Replace if state == JobState::Leased => {
                Err(Item::Refused(Refusal::UniqueConflict(id)))
            }
            OnConflict::Replace => Ok(job.filter(|_| !state.has_ended()).map(|job| job.sequence)),
        }
    }

    pub(super) fn accept(
        &mut self,
        queue: &str,
        kind: &str,
        new: &NewJob,
        payload: &Envelope,
        judged: &Judged,
    ) -> Item {
        if let Some(replaced) = judged.replaces {
            let key = self.key_of(replaced);
            self.end(replaced, JobState::Cancelled, EndReason::Replaced);
            self.advance_key_of(key);
        }
        let config =
            self.queues.entry(queue.into()).or_insert_with(|| Queue::new(QueueConfig::DEFAULT)).config;
        let more = new.more.as_deref().cloned().unwrap_or_default();
        let NewJobMore { ordering_key, on_failure, fairness_key, unique, retry, dependency, .. } = more;
        let waits = ordering_key
            .as_deref()
            .is_some_and(|key| !self.is_free(queue, key) || self.head_of(queue, key).is_some());
        let sequence = self.next_job;
        self.next_job += 1;
        if let Some(unique) = &unique {
            let expires_at = match unique.until {
                UniqueUntil::Duration => self.now + unique.duration_ms,
                UniqueUntil::Started | UniqueUntil::Completed => 0,
            };
            if expires_at == 0 || expires_at > self.now {
                let holder = UniqueHolder { job: sequence, expires_at, ended: None };
                self.uniques.insert((queue.into(), unique.key.clone()), holder);
            }
        }
        let on_failure_default = OnFailure::try_from(config.on_failure).unwrap_or(OnFailure::Block);
        let (timer_stamp, expiry_stamp) = (self.next_stamp(), self.next_stamp());
        let scheduled = judged.run_at > 0;
        self.jobs.insert(
            sequence,
            Job {
                sequence,
                born: number_in(&payload.payload),
                queue: queue.into(),
                kind: kind.into(),
                state: if scheduled { JobState::Scheduled } else { JobState::Ready },
                priority: new.priority,
                attempt: 0,
                forgiven: 0,
                enqueued_at: self.now,
                time: judged.run_at,
                place: None,
                token: 0,
                worker: None,
                expires_at: judged.expires_at,
                key: ordering_key,
                on_failure: on_failure.unwrap_or(on_failure_default),
                fairness_key,
                dependency,
                unique: unique.map(|unique| (unique.key, unique.until)),
                retry,
                progress: None,
                failures: Vec::new(),
                reason: EndReason::None,
                redrive: 0,
                death: 0,
                payload: payload.clone(),
                result: None,
                timer_due: judged.run_at,
                timer_stamp,
                expiry_due: judged.expires_at,
                expiry_stamp,
                end_stamp: 0,
            },
        );
        if !scheduled && !waits {
            self.place_last(sequence);
        }
        let at = scheduled.then_some(Time(judged.run_at));
        Item::Is { id: JobId::new(0, sequence), state: self.job(sequence).state, at }
    }
}

/// The number that a payload begins with.
fn number_in(payload: &[u8]) -> u64 {
    let digits =
        payload.iter().skip_while(|byte| !byte.is_ascii_digit()).take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}
