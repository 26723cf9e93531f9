//! Showing what is: one job, pages of jobs, queues, causes. Nothing here changes anything.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::State;
use super::jobs::Slot;
use super::paged::NONE;
use crate::id::{Blob, JobId, Token};
use crate::limits;
use crate::record::EndReason;
use crate::view::{Cause, JobFilter, JobPage, JobState, JobView, QueueView, RedriveView, WaitingFor};

/// What an ordering or unique key takes in memory, in bytes, with a name of usual length.
const KEY_BYTES: u64 = 192;

impl State {
    /// Jobs in the shard, ended ones included.
    pub fn job_count(&self) -> u64 {
        self.jobs.len()
    }

    /// Estimate of the memory that the shard takes, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_of_jobs() + self.answer_bytes() + self.pool_bytes()
    }

    /// Whether there is no room for more jobs, or for more of pools.
    pub(super) fn is_out_of_memory(&self) -> bool {
        self.memory_of_jobs() + self.pool_bytes() >= self.limits.memory_bytes_max
    }

    /// What jobs and the keys they name take of it.
    pub(super) fn memory_of_jobs(&self) -> u64 {
        self.jobs.bytes() + (u64::from(self.keys.len()) + u64::from(self.uniques.len())) * KEY_BYTES
    }

    /// Bytes of the answers kept under idempotency keys, by estimate.
    pub fn answer_bytes(&self) -> u64 {
        self.answer_bytes as u64
    }

    /// Bytes of what jobs have beside their payloads: errors, progress, keys, by estimate.
    pub fn extra_bytes(&self) -> u64 {
        self.jobs.extra_bytes()
    }

    /// Everything about one job; none if it is not (or no longer) kept.
    pub fn job(&self, id: JobId) -> Option<JobView> {
        self.find(id).map(|slot| self.view(slot))
    }

    fn view(&self, slot: Slot) -> JobView {
        let job = self.jobs.get(slot);
        let extra = self.jobs.extra_of(slot);
        let key = self.key_of(slot);
        let is = |state| job.state == state;
        let text = |text: &Option<Box<str>>| text.clone();
        JobView {
            id: self.id_of(slot),
            queue: self.queues.name(u32::from(job.queue)).clone(),
            kind: self.kinds.name(u32::from(job.kind)).clone(),
            state: job.state,
            priority: job.priority,
            attempt: job.attempt,
            max_attempts: self.max_attempts_of(slot),
            enqueued_at: job.enqueued_at,
            run_at: is(JobState::Scheduled).then_some(job.time),
            lease_expires_at: is(JobState::Leased).then_some(job.time),
            token: is(JobState::Leased).then_some(Token(job.order)),
            ended_at: job.state.has_ended().then_some(job.time),
            expires_at: extra.map(|extra| extra.expires_at).filter(|at| at.0 > 0),
            payload: self.jobs.payload(slot),
            result: extra.map_or_else(Blob::default, |extra| extra.result),
            ordering_key: key.map(|key| (**self.keys.name(key)).into()),
            on_failure: key.map(|_| self.on_failure_of(slot)),
            fairness_key: extra.and_then(|extra| text(&extra.fairness_key)),
            unique_key: extra.and_then(|extra| extra.unique.as_deref()).map(|unique| unique.key.clone()),
            dependency: extra.and_then(|extra| text(&extra.dependency)),
            worker: (job.worker != NONE).then(|| (**self.workers.name(job.worker)).into()),
            progress: extra.and_then(|extra| extra.progress.clone()),
            failures: extra.map_or_else(Vec::new, |extra| extra.failures.clone()),
            reason: extra.map_or(EndReason::None, |extra| extra.reason),
            cause: extra.filter(|extra| extra.cause != NONE).map(|extra| self.causes.get(extra.cause).id),
            waiting_for: self.waiting_for(slot),
            position: self.position(slot),
        }
    }

    /// Why a job is not running yet.
    fn waiting_for(&self, slot: Slot) -> Option<WaitingFor> {
        let job = self.jobs.get(slot);
        match job.state {
            JobState::Scheduled if job.attempt > 0 => Some(WaitingFor::Retry),
            JobState::Scheduled => Some(WaitingFor::RunAt),
            JobState::Ready => {
                // A job in its ready list has its key's turn: what holds the key back holds those behind it.
                let line = self.key_of(slot).filter(|_| job.order == 0).map(|key| self.keys.get(key));
                Some(match line {
                    Some(key) if key.parked_by != 0 => WaitingFor::KeyParked,
                    Some(key) if key.paused => WaitingFor::KeyPaused,
                    Some(_) => WaitingFor::KeyBusy,
                    None if self.queues.get(u32::from(job.queue)).paused => WaitingFor::QueuePaused,
                    None => WaitingFor::Worker,
                })
            }
            _ => None,
        }
    }

    /// One plus how many are handed out before a ready job: all of higher priority, and those at places before its own.
    /// Places given up from the middle still count, but never more than there are jobs.
    fn position(&self, slot: Slot) -> Option<u64> {
        let job = self.jobs.get(slot);
        if job.state != JobState::Ready || job.order == 0 {
            return None;
        }
        let queue = self.queues.get(u32::from(job.queue));
        let priority = usize::from(job.priority);
        let (mut above, mut alike) = (0, 0);
        for lane in &queue.lanes {
            for p in 0..=job.priority {
                if lane.mask >> p & 1 == 0 {
                    continue;
                }
                let list = lane.lists + u32::from(p);
                let (Some(first), Some(last)) = (self.job_lists.first(list), self.job_lists.last(list))
                else {
                    continue;
                };
                let (first, last) = (self.jobs.get(first).order, self.jobs.get(last).order);
                if usize::from(p) < priority {
                    above += last - first + 1;
                } else {
                    // Lanes share their places, so the widest span counts all of them.
                    alike = alike.max(job.order.saturating_sub(first));
                }
            }
        }
        Some((above + alike).min(queue.counts.of(JobState::Ready).saturating_sub(1)) + 1)
    }

    /// A page of the jobs that `filter` lets through, from the sequence `cursor` on, by rising sequence; at most `limit` of
    /// them. A page looks at a bounded number of jobs, so it may be short while there are more: `next` says.
    pub fn list(&self, filter: &JobFilter, cursor: u64, limit: usize) -> JobPage {
        let limit = limit.min(limits::LIST_JOBS_MAX);
        let queue = match &filter.queue {
            Some(name) => match self.queues.find(0, name) {
                Some(queue) => Some(queue as u16),
                None => return JobPage::default(),
            },
            None => None,
        };
        let kind = match &filter.kind {
            Some(name) => match self.kinds.find(0, name) {
                Some(kind) => Some(kind as u16),
                None => return JobPage::default(),
            },
            None => None,
        };
        if let (Some(queue), Some(JobState::Dead)) = (queue, filter.state) {
            return self.list_dead(u32::from(queue), filter, kind, cursor, limit);
        }
        let (mut jobs, mut visits, mut at) = (Vec::new(), 0, cursor);
        loop {
            let (slot, passed) = self.jobs.at_or_after(at);
            let Some(slot) = slot else { return JobPage { jobs, next: None } };
            let job = self.jobs.get(slot);
            visits += 1 + passed / 64;
            if jobs.len() >= limit || visits > limits::LIST_VISITS_MAX {
                return JobPage { jobs, next: Some(job.sequence.get()) };
            }
            at = job.sequence.get() + 1;
            if queue.is_none_or(|queue| queue == job.queue) && self.lets_through(filter, kind, slot) {
                jobs.push(self.view(slot));
            }
        }
    }

    /// Dead letters of one queue, in the order of their deaths; cursors are death numbers.
    fn list_dead(
        &self,
        queue: u32,
        filter: &JobFilter,
        kind: Option<u16>,
        cursor: u64,
        limit: usize,
    ) -> JobPage {
        let mut jobs = Vec::new();
        let list = self.job_lists.iter(self.queues.get(queue).dead_list());
        let rest = list.skip_while(|&slot| self.jobs.get(slot).order < cursor);
        for (visits, slot) in rest.enumerate() {
            if jobs.len() >= limit || visits >= limits::LIST_VISITS_MAX {
                return JobPage { jobs, next: Some(self.jobs.get(slot).order) };
            }
            if self.lets_through(filter, kind, slot) {
                jobs.push(self.view(slot));
            }
        }
        JobPage { jobs, next: None }
    }

    fn lets_through(&self, filter: &JobFilter, kind: Option<u16>, slot: Slot) -> bool {
        let job = self.jobs.get(slot);
        let extra = self.jobs.extra_of(slot);
        let cause = || extra.filter(|extra| extra.cause != NONE).map(|extra| self.causes.get(extra.cause).id);
        filter.state.is_none_or(|state| state == job.state)
            && kind.is_none_or(|kind| kind == job.kind)
            && filter.enqueued_before.is_none_or(|before| job.enqueued_at < before)
            && filter.reason.is_none_or(|reason| extra.is_some_and(|extra| extra.reason == reason))
            && filter.cause.is_none_or(|wanted| cause() == Some(wanted))
            && filter
                .ordering_key
                .as_deref()
                .is_none_or(|name| self.key_of(slot).is_some_and(|key| **self.keys.name(key) == *name))
    }

    /// Everything about one queue.
    pub fn queue(&self, name: &str) -> Option<QueueView> {
        self.queues.find(0, name).map(|index| self.queue_view(index))
    }

    /// All queues, in no order that means anything.
    pub fn queues(&self) -> Vec<QueueView> {
        let indexes = (0..self.queues.end()).filter(|&index| self.queues.try_entry(index).is_some());
        indexes.map(|index| self.queue_view(index)).collect()
    }

    fn queue_view(&self, index: u32) -> QueueView {
        let queue = self.queues.get(index);
        let firsts = queue.lanes.iter().flat_map(|lane| {
            (0..=limits::PRIORITY_MAX)
                .filter(move |p| lane.mask >> p & 1 == 1)
                .filter_map(move |p| self.job_lists.first(lane.lists + u32::from(p)))
        });
        QueueView {
            name: self.queues.name(index).clone(),
            config: queue.config,
            paused: queue.paused,
            counts: queue.counts,
            oldest_ready_at: firsts.map(|slot| self.jobs.get(slot).enqueued_at).min(),
            arrived: queue.arrived,
            completed: queue.completed,
            keys_paused: queue.keys_paused,
            keys_parked: queue.keys_parked,
            redrive: queue.redrive.as_deref().map(|redrive| Box::new(RedriveView::from(redrive))),
        }
    }

    /// What a queue's dead letters died of, the most frequent first; none if there is no such queue.
    pub fn causes(&self, queue: &str) -> Option<Vec<Cause>> {
        let scope = self.queues.find(0, queue)?;
        let entries = (0..self.causes.end()).filter_map(|index| self.causes.try_entry(index));
        let mut causes: Vec<Cause> = entries
            .filter(|entry| entry.scope == scope)
            .filter_map(|entry| {
                let cause = &entry.value;
                let (&(first_at, _), &(last_at, sample)) = (cause.dead.first()?, cause.dead.last()?);
                let latest = self.jobs.find(sample).and_then(|slot| self.jobs.extra_of(slot));
                let message = latest.and_then(|extra| extra.failures.last()).map(|failure| &failure.message);
                Some(Cause {
                    cause: cause.id,
                    reason: cause.reason,
                    kind: (*cause.kind).into(),
                    error_kind: cause.error_kind.as_deref().map(Into::into),
                    message: message.cloned().unwrap_or_default(),
                    count: cause.dead.len() as u64,
                    first_at,
                    last_at,
                    sample: self.id(sample),
                })
            })
            .collect();
        causes.sort_unstable_by(|a, b| b.count.cmp(&a.count).then(a.cause.cmp(&b.cause)));
        Some(causes)
    }
}
