//! What can be seen.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidegate_core::id::Blob;
use tidegate_core::outcome::{LeasedJob, LeasedMore};
use tidegate_core::state::Unseen;
use tidegate_core::view::{Counts, JobFilter, JobState, JobView, WaitingFor};
use tidegate_core::{JobId, Time, Token};
use tidegate_engine::Envelope;

use super::{Job, Kept, Twin, dead};
use crate::call::{Reply, SeenCause, SeenJob, SeenQueue};

impl Twin {
    /// A job as its worker gets it, with its payload.
    pub(super) fn leased_job(&self, sequence: u64) -> Option<(LeasedJob, Envelope)> {
        let job = self.jobs.get(&sequence)?;
        let more = LeasedMore {
            ordering_key: job.key.as_deref().map(Into::into),
            fairness_key: job.fairness_key.as_deref().map(Into::into),
            dependency: job.dependency.as_deref().map(Into::into),
            progress: job.progress.as_deref().map(Into::into),
        };
        let leased = LeasedJob {
            id: JobId::new(0, sequence),
            token: Token(job.token),
            lease_expires_at: Time(job.time),
            queue: Arc::from(job.queue.as_str()),
            kind: Arc::from(job.kind.as_str()),
            blob: Blob::default(),
            enqueued_at: Time(job.enqueued_at),
            attempt: job.attempt,
            max_attempts: self.max_attempts(job),
            priority: job.priority,
            more: (more != LeasedMore::default()).then(|| Box::new(more)),
        };
        Some((leased, job.payload.clone()))
    }

    /// About what is alive takes in a log: what must be kept, each counted once and rather too much.
    #[must_use]
    pub fn alive_bytes(&self) -> u64 {
        let job = |job: &Job| {
            let blobs = job.payload.stored_len() + job.result.as_ref().map_or(0, Envelope::stored_len);
            let failures: usize = job.failures.iter().map(|failure| 100 + failure.message.len()).sum();
            blobs as usize + failures + job.progress.as_ref().map_or(0, Vec::len) + 300
        };
        let jobs: usize = self.jobs.values().map(job).sum();
        let said = |kept: &Kept| 200 + format!("{:?}", kept.said).len();
        let answers: usize = self.answers.values().map(said).sum();
        let kept = answers + 100 * (self.keys.len() + self.uniques.len());
        (jobs + kept) as u64 + self.pools.alive_bytes()
    }

    fn max_attempts(&self, job: &Job) -> u16 {
        (self.retry_of(job.sequence).max_attempts as u16).saturating_add(job.forgiven)
    }

    /// A job with its blobs.
    pub(super) fn seen_job(&self, sequence: u64) -> Option<Box<SeenJob>> {
        let job = self.jobs.get(&sequence)?;
        let keeps = !matches!(job.state, JobState::Completed | JobState::Cancelled);
        let payload = keeps.then(|| job.payload.clone());
        Some(Box::new(SeenJob { view: self.view(job), payload, result: job.result.clone() }))
    }

    /// A job as anybody sees it.
    #[must_use]
    pub fn view(&self, job: &Job) -> JobView {
        let is = |state| job.state == state;
        let text = |text: &Option<String>| text.as_deref().map(Into::into);
        JobView {
            id: JobId::new(0, job.sequence),
            queue: Arc::from(job.queue.as_str()),
            kind: Arc::from(job.kind.as_str()),
            state: job.state,
            priority: job.priority,
            attempt: job.attempt,
            max_attempts: self.max_attempts(job),
            enqueued_at: Time(job.enqueued_at),
            run_at: is(JobState::Scheduled).then_some(Time(job.time)),
            lease_expires_at: is(JobState::Leased).then_some(Time(job.time)),
            token: is(JobState::Leased).then_some(Token(job.token)),
            ended_at: job.state.has_ended().then_some(Time(job.time)),
            expires_at: (job.expires_at > 0).then_some(Time(job.expires_at)),
            payload: Blob::default(),
            result: Blob::default(),
            ordering_key: text(&job.key),
            on_failure: job.key.as_ref().map(|_| job.on_failure),
            fairness_key: text(&job.fairness_key),
            unique_key: job.unique.as_ref().map(|(key, _)| key.as_str().into()),
            dependency: text(&job.dependency),
            worker: text(&job.worker),
            progress: job.progress.as_deref().map(Into::into),
            failures: job.failures.clone(),
            reason: job.reason,
            cause: is(JobState::Dead).then(|| self.cause_of(job)),
            waiting_for: self.waiting_for(job),
            position: None,
        }
    }

    fn waiting_for(&self, job: &Job) -> Option<WaitingFor> {
        match job.state {
            JobState::Scheduled if job.attempt > 0 => Some(WaitingFor::Retry),
            JobState::Scheduled => Some(WaitingFor::RunAt),
            JobState::Ready => {
                let held = self.key_of(job.sequence).filter(|_| job.place.is_none());
                let held = held.map(|key| self.keys.get(&key).cloned().unwrap_or_default());
                Some(match held {
                    Some(held) if held.parked_by != 0 => WaitingFor::KeyParked,
                    Some(held) if held.paused => WaitingFor::KeyPaused,
                    Some(_) => WaitingFor::KeyBusy,
                    None if self.queues[&job.queue].paused => WaitingFor::QueuePaused,
                    None => WaitingFor::Worker,
                })
            }
            _ => None,
        }
    }

    /// How many ready jobs of its queue are handed out before this one, plus one; none if it is not in a ready list.
    #[must_use]
    pub fn position(&self, job: &Job) -> Option<u64> {
        let place = (job.priority, job.place?);
        let before = self.jobs.values().filter(|other| {
            other.queue == job.queue && other.place.is_some_and(|at| (other.priority, at) < place)
        });
        Some(before.count() as u64 + 1)
    }

    pub(super) fn list(&self, filter: &JobFilter, cursor: u64, limit: usize) -> Reply {
        let dead = filter.queue.as_deref().filter(|_| filter.state == Some(JobState::Dead));
        let (all, place): (Vec<&Job>, fn(&Job) -> u64) = match dead {
            Some(queue) => (self.dead_of(queue), |job| job.death),
            None => (self.jobs.values().collect(), |job| job.sequence),
        };
        let known = filter.queue.as_ref().is_none_or(|queue| self.queues.contains_key(queue))
            && filter.kind.as_ref().is_none_or(|kind| self.jobs.values().any(|job| job.kind == *kind));
        let mut jobs = Vec::new();
        for job in all.into_iter().filter(|job| known && place(job) >= cursor) {
            if jobs.len() >= limit {
                return Reply::Page { jobs, next: Some(place(job)) };
            }
            if self.lets_through(filter, job) {
                jobs.push(self.view(job));
            }
        }
        Reply::Page { jobs, next: None }
    }

    fn lets_through(&self, filter: &JobFilter, job: &Job) -> bool {
        filter.queue.as_ref().is_none_or(|queue| *queue == job.queue)
            && filter.state.is_none_or(|state| state == job.state)
            && filter.kind.as_ref().is_none_or(|kind| *kind == job.kind)
            && filter.ordering_key.as_ref().is_none_or(|key| job.key.as_ref() == Some(key))
            && filter.cause.is_none_or(|cause| job.state == JobState::Dead && self.cause_of(job) == cause)
            && filter.reason.is_none_or(|reason| job.reason == reason)
            && filter.enqueued_before.is_none_or(|before| job.enqueued_at < before.0)
    }

    /// What no view shows and must be kept all the same.
    #[must_use]
    pub fn unseen(&self) -> Unseen {
        let alive = self.jobs.values().filter(|job| !job.state.has_ended());
        let leased = self.jobs.values().filter(|job| job.state == JobState::Leased);
        let workers: BTreeSet<String> = leased.filter_map(|job| job.worker.clone()).collect();
        Unseen {
            next_job: self.next_job,
            next_token: self.next_token,
            next_redrive: self.next_redrive,
            redriven: alive.filter(|job| job.redrive > 0).map(|job| (job.sequence, job.redrive)).collect(),
            workers: workers.into_iter().collect(),
        }
    }

    /// A queue as anybody sees it, counted anew.
    #[must_use]
    pub fn seen_queue(&self, name: &str) -> Option<SeenQueue> {
        let queue = self.queues.get(name)?;
        let mut counts = Counts::default();
        for job in self.jobs.values().filter(|job| job.queue == name) {
            counts.by_state[job.state as usize] += 1;
        }
        let keys = || self.keys.iter().filter(|((of, _), _)| of == name).map(|(_, held)| held);
        Some(SeenQueue {
            name: name.into(),
            config: queue.config,
            paused: queue.paused,
            counts,
            keys_paused: keys().filter(|held| held.paused).count() as u64,
            keys_parked: keys().filter(|held| held.parked_by != 0).count() as u64,
            redrive: queue.redrive.as_ref().map(dead::view),
        })
    }

    /// What a dead job died of: FNV-1a of reason, kind, error kind and message with its numbers blanked.
    pub(super) fn cause_of(&self, job: &Job) -> u64 {
        let mut text = format!("{}\n{}\n", job.reason.as_str(), job.kind);
        if let Some(last) = job.failures.last() {
            text.push_str(last.kind.as_deref().unwrap_or(""));
            text.push('\n');
            let mut was_digit = false;
            for c in last.message.chars() {
                match (c.is_ascii_digit(), was_digit) {
                    (true, false) => text.push('#'),
                    (true, true) => {}
                    (false, _) => text.push(c),
                }
                was_digit = c.is_ascii_digit();
            }
        }
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    pub(super) fn causes(&self, queue: &str) -> Option<Vec<SeenCause>> {
        self.queues.get(queue)?;
        let mut causes: Vec<SeenCause> = Vec::new();
        for job in self.dead_of(queue) {
            let cause = self.cause_of(job);
            match causes.iter_mut().find(|known| known.cause == cause) {
                Some(known) => known.count += 1,
                None => causes.push(SeenCause { cause, kind: job.kind.clone(), count: 1 }),
            }
        }
        causes.sort_unstable_by_key(|cause| (std::cmp::Reverse(cause.count), cause.cause));
        Some(causes)
    }
}
