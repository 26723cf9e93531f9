//! Complete, fail, extend, release, cancel; and what every end of a job brings with it.

use std::cmp::Reverse;

use tidegate_core::command::{Complete, Extend, Fail, Release};
use tidegate_core::outcome::{Item, Refusal};
use tidegate_core::policy::{OnFailure, Retry, UniqueUntil};
use tidegate_core::record::{EndReason, Failure};
use tidegate_core::view::JobState;
use tidegate_core::{JobId, Time, limits};
use tidegate_engine::limits::READ_PAUSE_MS;
use tidegate_engine::{Envelope, Work};

use super::{Said, Twin};
use crate::call::Worked;

impl Twin {
    pub(super) fn work(&mut self, ask: &Work) -> Said {
        let worked = self.settle(ask);
        let leases = ask.command.lease.as_ref().map_or_else(Vec::new, |lease| self.lease(lease));
        Said::Worked(worked, leases)
    }

    /// All of a round trip but its lease.
    pub(super) fn settle(&mut self, ask: &Work) -> Worked {
        let command = &ask.command;
        let results = |index: usize| ask.results.get(index).filter(|result| result.stored_len() > 0);
        Worked {
            complete: self.complete_all(&command.complete, results),
            fail: command.fail.iter().map(|fail| self.fail(fail)).collect(),
            extend: command.extend.iter().map(|extend| self.extend(extend)).collect(),
            release: self.release_all(&command.release),
            ..Worked::default()
        }
    }

    /// The job that this very lease is of, or why there is none.
    pub(super) fn leased_by(&self, id: JobId, token: u64) -> Result<u64, Refusal> {
        let job = (id.shard() == 0).then(|| self.jobs.get(&id.sequence())).flatten();
        let job = job.ok_or(Refusal::JobNotFound)?;
        match job.state {
            JobState::Leased if job.token == token => Ok(job.sequence),
            JobState::Leased => Err(Refusal::StaleToken),
            state if state.has_ended() => Err(Refusal::JobEnded(state)),
            _ if job.attempt > 0 => Err(Refusal::StaleToken),
            state => Err(Refusal::NotLeased(state)),
        }
    }

    fn complete_all<'a>(
        &mut self,
        completes: &[Complete],
        results: impl Fn(usize) -> Option<&'a Envelope>,
    ) -> Vec<Item> {
        let mut done = Vec::new();
        let mut items = Vec::new();
        for (index, complete) in completes.iter().enumerate() {
            let id = complete.id;
            let is_so = Item::Is { id, state: JobState::Completed, at: None };
            items.push(match self.leased_by(id, complete.token.0) {
                Ok(sequence) => {
                    done.push((sequence, results(index).cloned()));
                    is_so
                }
                Err(Refusal::JobEnded(JobState::Completed))
                    if self.job(id.sequence()).token == complete.token.0 =>
                {
                    is_so
                }
                Err(refusal) => Item::Refused(refusal),
            });
        }
        self.complete_jobs(done);
        items
    }

    /// Completes jobs together: their ordering keys go on when all of them have ended.
    pub(super) fn complete_jobs(&mut self, done: Vec<(u64, Option<Envelope>)>) {
        let keys: Vec<_> = done.iter().map(|&(sequence, _)| self.key_of(sequence)).collect();
        for (sequence, result) in done {
            if self.job(sequence).state == JobState::Leased {
                self.job_mut(sequence).result = result;
                self.end(sequence, JobState::Completed, EndReason::None);
            }
        }
        for key in keys {
            self.advance_key_of(key);
        }
    }

    fn fail(&mut self, fail: &Fail) -> Item {
        let sequence = match self.leased_by(fail.id, fail.token.0) {
            Ok(sequence) => sequence,
            Err(refusal) => return Item::Refused(refusal),
        };
        let failure = Failure {
            kind: fail.kind.clone(),
            dependency: fail.dependency.clone(),
            ..self.failure_now(sequence, &fail.message)
        };
        self.fail_job(sequence, failure, fail.fatal, fail.retry_after_ms);
        let job = self.job(sequence);
        let at = (job.state == JobState::Scheduled).then_some(Time(job.time));
        Item::Is { id: fail.id, state: job.state, at }
    }

    pub(super) fn failure_now(&self, sequence: u64, message: &str) -> Failure {
        let job = self.job(sequence);
        Failure {
            attempt: u32::from(job.attempt),
            at: self.now,
            message: message.into(),
            kind: None,
            dependency: None,
            worker: job.worker.clone().unwrap_or_default(),
        }
    }

    pub(super) fn retry_of(&self, sequence: u64) -> Retry {
        let job = self.job(sequence);
        job.retry.unwrap_or(self.queues[&job.queue].config.retry)
    }

    /// Ends an attempt: another follows, or the job is dead.
    pub(super) fn fail_job(
        &mut self,
        sequence: u64,
        failure: Failure,
        fatal: bool,
        retry_after: Option<u64>,
    ) {
        let retry = self.retry_of(sequence);
        let key = self.key_of(sequence);
        let job = self.job_mut(sequence);
        let tries = u32::from(job.attempt - job.forgiven.min(job.attempt));
        let attempt = u64::from(job.attempt);
        job.failures.push(failure);
        if fatal || tries >= retry.max_attempts {
            let (queue, redrive) = (job.queue.clone(), job.redrive);
            let known = self.queues.get_mut(&queue).and_then(|queue| queue.redrive.as_mut());
            if let Some(known) = known.filter(|known| redrive > 0 && known.number == redrive) {
                known.dead_again += 1;
            }
            let reason = if fatal { EndReason::Fatal } else { EndReason::AttemptsExhausted };
            self.end(sequence, JobState::Dead, reason);
            self.advance_key_of(key);
            return;
        }
        let delay = retry_after.unwrap_or_else(|| self.delay(&retry, tries, self.chance(sequence, attempt)));
        let delay = delay.min(limits::AHEAD_MS_MAX);
        let (now, stamp) = (self.now, self.next_stamp());
        let job = self.job_mut(sequence);
        job.state = JobState::Scheduled;
        job.worker = None;
        job.time = now + delay;
        (job.timer_due, job.timer_stamp) = (job.time, stamp);
        if delay == 0 {
            self.promote(&[sequence]);
        }
        self.advance_key_of(key);
    }

    /// The policy's delay: multiplied after each attempt, at most the longest, lengthened by a part of the jitter.
    fn delay(&self, retry: &Retry, attempt: u32, chance: u64) -> u64 {
        let mut delay = u128::from(retry.delay_ms);
        for _ in 1..attempt {
            if delay < u128::from(retry.delay_ms_max) {
                delay = delay * u128::from(retry.factor_permille) / 1_000;
            }
        }
        let delay = delay.min(u128::from(retry.delay_ms_max)) as u64;
        let spread = delay * u64::from(retry.jitter_percent) / 100;
        (delay + chance % (spread + 1)).min(retry.delay_ms_max)
    }

    /// Ends a job, whichever way: it frees what it held. Its ordering key goes on when the caller says so.
    pub(super) fn end(&mut self, sequence: u64, state: JobState, reason: EndReason) {
        let (now, stamp) = (self.now, self.next_stamp());
        let parks = state == JobState::Dead && self.would_park(sequence);
        let queue = self.job(sequence).queue.clone();
        let queue = self.queues.get_mut(&queue).expect("a job's queue is there");
        let death = queue.next_death;
        queue.next_death += u64::from(state == JobState::Dead);
        let job = self.job_mut(sequence);
        job.state = state;
        job.time = now;
        job.place = None;
        job.worker = None;
        job.end_stamp = stamp;
        if reason != EndReason::None {
            job.reason = reason;
        }
        match state {
            JobState::Dead => job.death = death,
            _ => job.payload = Envelope::default(),
        }
        self.free_unique(sequence, false);
        if parks && let Some(key) = self.key_of(sequence) {
            self.keys.entry(key).or_default().parked_by = sequence;
        }
        self.ended.push(sequence);
    }

    fn would_park(&self, sequence: u64) -> bool {
        self.job(sequence).on_failure == OnFailure::Park
            && self
                .key_of(sequence)
                .is_some_and(|key| self.keys.get(&key).is_none_or(|held| held.parked_by == 0))
    }

    /// Frees a job's unique key at its first start, or at its end.
    pub(super) fn free_unique(&mut self, sequence: u64, at_start: bool) {
        let job = self.job(sequence);
        let Some((key, until)) = job.unique.clone() else { return };
        let frees = match until {
            UniqueUntil::Duration => false,
            UniqueUntil::Started => true,
            UniqueUntil::Completed => !at_start,
        };
        let place = (job.queue.clone(), key);
        if frees && self.uniques.get(&place).is_some_and(|holder| holder.job == sequence) {
            self.uniques.remove(&place);
        }
    }

    fn extend(&mut self, extend: &Extend) -> Item {
        let sequence = match self.leased_by(extend.id, extend.token.0) {
            Ok(sequence) => sequence,
            Err(refusal) => return Item::Refused(refusal),
        };
        let lease_ms = extend.lease_ms.unwrap_or(self.queues[&self.job(sequence).queue].config.lease_ms);
        let deadline = self.now + lease_ms.clamp(limits::LEASE_MS_MIN, limits::LEASE_MS_MAX);
        let stamp = self.next_stamp();
        let job = self.job_mut(sequence);
        job.time = deadline;
        (job.timer_due, job.timer_stamp) = (deadline, stamp);
        if let Some(progress) = &extend.progress {
            job.progress = Some(progress.to_vec());
        }
        Item::Is { id: extend.id, state: JobState::Leased, at: Some(Time(deadline)) }
    }

    /// What was handed out last goes first, so that a batch keeps its order.
    fn release_all(&mut self, releases: &[Release]) -> Vec<Item> {
        let mut order: Vec<usize> = (0..releases.len()).collect();
        order.sort_by_key(|&index| Reverse(releases[index].token));
        let mut items = vec![Item::Refused(Refusal::JobNotFound); releases.len()];
        for index in order {
            items[index] = self.release(releases[index]);
        }
        items
    }

    fn release(&mut self, release: Release) -> Item {
        let sequence = match self.leased_by(release.id, release.token.0) {
            Ok(sequence) => sequence,
            Err(refusal) => return Item::Refused(refusal),
        };
        let (now, stamp) = (self.now, self.next_stamp());
        let job = self.job_mut(sequence);
        job.state = JobState::Ready;
        job.attempt -= 1;
        job.time = 0;
        job.worker = None;
        (job.expiry_due, job.expiry_stamp) = (job.expires_at.max(now), stamp);
        if self.may_take_turn(sequence) {
            self.place_first(sequence);
        } else {
            let key = self.key_of(sequence);
            self.advance_key_of(key);
        }
        Item::Is { id: release.id, state: JobState::Ready, at: None }
    }

    /// Leases that the engine gives back after a second's rest, and in any case before they lapse.
    pub(super) fn hand_back_later(&mut self, releases: &[Release]) {
        for &release in releases {
            if let Ok(sequence) = self.leased_by(release.id, release.token.0) {
                let left = self.job(sequence).time.saturating_sub(self.now);
                self.returns.push((self.now + READ_PAUSE_MS.min(left / 2), release));
            }
        }
    }

    pub(super) fn hand_back(&mut self) {
        let (due, later) = self.returns.drain(..).partition(|(at, _)| *at <= self.now);
        self.returns = later;
        let due: Vec<(u64, Release)> = due;
        let releases: Vec<Release> = due.into_iter().map(|(_, release)| release).collect();
        self.release_all(&releases);
    }

    pub(super) fn cancel(&mut self, id: JobId) -> Said {
        let Some(job) = self.jobs.get(&id.sequence()) else { return Said::Refused(Refusal::JobNotFound) };
        match job.state {
            JobState::Cancelled => {}
            state if state.has_ended() => return Said::Refused(Refusal::JobEnded(state)),
            _ => {
                let key = self.key_of(id.sequence());
                self.end(id.sequence(), JobState::Cancelled, EndReason::Cancelled);
                self.advance_key_of(key);
            }
        }
        Said::Item(Item::Is { id, state: JobState::Cancelled, at: None })
    }

    pub(super) fn edit(&mut self, id: JobId, payload: &Envelope) -> Said {
        let Some(job) = self.jobs.get_mut(&id.sequence()) else {
            return Said::Refused(Refusal::JobNotFound);
        };
        if job.state != JobState::Dead {
            return Said::Refused(Refusal::NotDead(job.state));
        }
        job.payload = payload.clone();
        Said::Item(Item::Is { id, state: job.state, at: None })
    }
}
