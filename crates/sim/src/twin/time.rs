//! What time alone brings.

use tidegate_core::record::{EndReason, Failure};
use tidegate_core::view::JobState;

use super::Twin;

impl Twin {
    pub(super) fn expire(&mut self) {
        let mut unstarted: Vec<(u64, u64, u64)> = self
            .jobs
            .values()
            .filter(|job| job.may_expire() && job.expires_at <= self.now)
            .map(|job| (job.expiry_due, job.expiry_stamp, job.sequence))
            .collect();
        unstarted.sort_unstable();
        for (_, _, sequence) in unstarted {
            self.expire_job(sequence);
        }
        let timed = |job: &&super::Job| matches!(job.state, JobState::Scheduled | JobState::Leased);
        let mut due: Vec<(u64, u64, u64)> = self
            .jobs
            .values()
            .filter(timed)
            .filter(|job| job.time <= self.now)
            .map(|job| (job.timer_due, job.timer_stamp, job.sequence))
            .collect();
        due.sort_unstable();
        let due = due.into_iter().map(|(_, _, sequence)| sequence);
        let (scheduled, leased): (Vec<u64>, Vec<u64>) =
            due.partition(|&sequence| self.job(sequence).state == JobState::Scheduled);
        for sequence in leased {
            if self.job(sequence).state == JobState::Leased && self.job(sequence).time <= self.now {
                self.lapse(sequence);
            }
        }
        self.promote(&scheduled);
        for queue in self.queues.keys().cloned().collect::<Vec<_>>() {
            if self.attention_at(&queue).is_some_and(|at| at <= self.now) {
                self.forget_old(&queue);
                self.step_redrive(&queue);
            }
        }
        self.attend_pools();
    }

    /// Ends a job whose time to start is over.
    pub(super) fn expire_job(&mut self, sequence: u64) {
        let key = self.key_of(sequence);
        self.end(sequence, JobState::Dead, EndReason::Expired);
        self.advance_key_of(key);
    }

    /// A lapsed lease is a failed attempt.
    fn lapse(&mut self, sequence: u64) {
        let message = match self.job(sequence).worker.as_deref() {
            Some(name) if !name.is_empty() => {
                format!("the lease lapsed: nothing was heard of worker {name} in time")
            }
            _ => "the lease lapsed: nothing was heard of its worker in time".into(),
        };
        let failure = Failure { kind: Some("lease_lapsed".into()), ..self.failure_now(sequence, &message) };
        self.fail_job(sequence, failure, false, None);
    }

    /// Completed or cancelled jobs of a queue, those that ended first in front.
    fn kept(&self, queue: &str, state: JobState) -> Vec<(u64, u64, u64)> {
        let alike = self.jobs.values().filter(|job| job.queue == queue && job.state == state);
        let mut kept: Vec<_> = alike.map(|job| (job.time, job.end_stamp, job.sequence)).collect();
        kept.sort_unstable();
        kept
    }

    /// When a queue wants attention: retention of ended jobs, or a redrive's next step.
    pub(super) fn attention_at(&self, queue: &str) -> Option<u64> {
        let config = self.queues[queue].config;
        let retention = [JobState::Completed, JobState::Cancelled].into_iter().filter_map(|state| {
            let kept = self.kept(queue, state);
            let oldest = kept.first()?.0;
            let too_many = kept.len() as u64 > config.retain_max;
            Some(if too_many { 0 } else { oldest + config.retain_ms })
        });
        let redrive = self.queues[queue].redrive.as_ref().filter(|redrive| redrive.end.is_none());
        retention.chain(redrive.map(super::Redriving::next_at)).min()
    }

    /// Forgets completed and cancelled jobs that are too old or too many.
    fn forget_old(&mut self, queue: &str) {
        let config = self.queues[queue].config;
        let mut old = Vec::new();
        for state in [JobState::Completed, JobState::Cancelled] {
            let kept = self.kept(queue, state);
            let too_many = (kept.len() as u64).saturating_sub(config.retain_max) as usize;
            old.extend(
                kept.iter()
                    .enumerate()
                    .filter(|&(index, &(time, ..))| index < too_many || time + config.retain_ms <= self.now)
                    .map(|(_, &(_, _, sequence))| sequence),
            );
        }
        self.forget(&old);
    }

    /// Moments ahead at which something becomes due or is over.
    #[must_use]
    pub fn moments(&self) -> Vec<u64> {
        let jobs = self.jobs.values().flat_map(|job| [job.time, job.expires_at]);
        let uniques = self.uniques.values().map(|holder| holder.expires_at);
        let answers = self.answers.values().map(|kept| kept.expires_at);
        let waiters = self.waiters.iter().map(|waiter| waiter.deadline);
        let queues = self.queues.keys().filter_map(|queue| self.attention_at(queue));
        let returns = self.returns.iter().map(|(at, _)| *at);
        let all = jobs.chain(uniques).chain(answers).chain(waiters).chain(queues).chain(returns);
        all.filter(|&at| at > self.now).collect()
    }

    /// When time alone will change something, and what.
    #[must_use]
    pub fn next_due(&self) -> Option<(u64, String)> {
        let timed =
            self.jobs.values().filter(|job| matches!(job.state, JobState::Scheduled | JobState::Leased));
        let timers = timed.map(|job| (job.time, format!("the timer of job {}", job.sequence)));
        let expiring = self.jobs.values().filter(|job| job.may_expire());
        let expiries = expiring.map(|job| (job.expires_at, format!("the expiry of job {}", job.sequence)));
        let queues = self.queues.keys().filter_map(|queue| Some((self.attention_at(queue)?, queue.clone())));
        let waiters =
            self.waiters.iter().map(|waiter| (waiter.deadline, format!("the end of #{}", waiter.number)));
        let returns = self.returns.iter().map(|(at, release)| (*at, format!("the return of {}", release.id)));
        timers
            .chain(expiries)
            .chain(queues)
            .chain(waiters)
            .chain(returns)
            .chain(self.next_due_of_pools())
            .min()
    }
}

impl super::Job {
    /// Whether it waits for its first start and must come to it in time.
    pub(super) fn may_expire(&self) -> bool {
        self.expires_at > 0
            && self.attempt == 0
            && matches!(self.state, JobState::Scheduled | JobState::Ready)
    }
}
