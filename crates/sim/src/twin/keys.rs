//! Ordering keys, and the places of ready jobs.
//!
//! A key's **line** are its jobs that wait; its **active** job is the one that is in a ready list or leased. Both are searched
//! for among all jobs each time.

use tidegate_core::policy::OnFailure;
use tidegate_core::view::JobState;

use super::{Job, Twin};

impl Job {
    /// Whether it waits in its ordering key's line.
    pub(super) fn is_in_line(&self) -> bool {
        let skipped = self.on_failure == OnFailure::Skip && self.attempt > self.forgiven;
        match self.state {
            JobState::Ready => self.key.is_some() && self.place.is_none(),
            JobState::Scheduled => self.key.is_some() && !skipped,
            _ => false,
        }
    }

    /// Whether it has its ordering key's turn.
    pub(super) fn is_active(&self) -> bool {
        self.state == JobState::Leased || (self.state == JobState::Ready && self.place.is_some())
    }
}

impl Twin {
    pub(super) fn job(&self, sequence: u64) -> &Job {
        &self.jobs[&sequence]
    }

    pub(super) fn job_mut(&mut self, sequence: u64) -> &mut Job {
        self.jobs.get_mut(&sequence).expect("the job was found a moment ago")
    }

    pub(super) fn of_key<'a>(&'a self, queue: &'a str, key: &'a str) -> impl Iterator<Item = &'a Job> + 'a {
        self.jobs.values().filter(move |job| job.queue == queue && job.key.as_deref() == Some(key))
    }

    /// The queue and the name of a job's ordering key.
    pub(super) fn key_of(&self, sequence: u64) -> Option<(String, String)> {
        let job = self.job(sequence);
        Some((job.queue.clone(), job.key.clone()?))
    }

    pub(super) fn active_of(&self, queue: &str, key: &str) -> Option<u64> {
        self.of_key(queue, key).find(|job| job.is_active()).map(|job| job.sequence)
    }

    pub(super) fn head_of(&self, queue: &str, key: &str) -> Option<u64> {
        self.of_key(queue, key).filter(|job| job.is_in_line()).map(|job| job.sequence).min()
    }

    /// Whether the first in line may have the turn.
    pub(super) fn is_free(&self, queue: &str, key: &str) -> bool {
        let held = self.keys.get(&(queue.to_owned(), key.to_owned()));
        held.is_none_or(|held| !held.paused && held.parked_by == 0) && self.active_of(queue, key).is_none()
    }

    pub(super) fn may_take_turn(&self, sequence: u64) -> bool {
        let Some((queue, key)) = self.key_of(sequence) else { return true };
        self.is_free(&queue, &key) && self.head_of(&queue, &key).is_none_or(|head| sequence <= head)
    }

    /// Gives a free key's turn to the first in line.
    pub(super) fn advance_key(&mut self, queue: &str, key: &str) {
        if !self.is_free(queue, key) {
            return;
        }
        let Some(head) = self.head_of(queue, key) else { return };
        if self.job(head).state == JobState::Ready {
            self.place_last(head);
        }
    }

    pub(super) fn advance_key_of(&mut self, key: Option<(String, String)>) {
        if let Some((queue, key)) = key {
            self.advance_key(&queue, &key);
        }
    }

    /// A job that has come back goes before those accepted after it.
    pub(super) fn claim_turn(&mut self, queue: &str, key: &str, sequence: u64) {
        if let Some(active) = self.active_of(queue, key)
            && self.job(active).state == JobState::Ready
            && active > sequence
        {
            self.job_mut(active).place = None;
        }
    }

    /// Makes a job ready, behind all of its queue and priority.
    pub(super) fn place_last(&mut self, sequence: u64) {
        let (queue, priority) = self.line_of(sequence);
        let next = &mut self.queues.get_mut(&queue).expect("a job's queue is there").next_places[priority];
        let place = *next;
        *next += 1;
        self.place_at(sequence, place);
    }

    /// Makes a job ready, before all of its queue and priority.
    pub(super) fn place_first(&mut self, sequence: u64) {
        let (queue, priority) = self.line_of(sequence);
        let alike =
            self.jobs.values().filter(|job| job.queue == queue && usize::from(job.priority) == priority);
        match alike.filter_map(|job| job.place).min() {
            Some(first) => self.place_at(sequence, first - 1),
            None => self.place_last(sequence),
        }
    }

    fn place_at(&mut self, sequence: u64, place: i64) {
        let job = self.job_mut(sequence);
        if job.state == JobState::Scheduled {
            job.time = 0;
        }
        job.state = JobState::Ready;
        job.place = Some(place);
        let queue = job.queue.clone();
        self.note_readied(&queue);
    }

    /// Makes a job ready that waits for its ordering key.
    pub(super) fn wait_in_line(&mut self, sequence: u64) {
        let job = self.job_mut(sequence);
        if job.state == JobState::Scheduled {
            job.time = 0;
        }
        job.state = JobState::Ready;
        job.place = None;
    }

    fn line_of(&self, sequence: u64) -> (String, usize) {
        let job = self.job(sequence);
        (job.queue.clone(), usize::from(job.priority))
    }

    pub(super) fn note_readied(&mut self, queue: &str) {
        self.readied.insert(queue.to_owned(), 0);
    }

    /// Makes scheduled jobs whose time has come ready.
    pub(super) fn promote(&mut self, sequences: &[u64]) {
        for &sequence in sequences {
            if self.job(sequence).state != JobState::Scheduled {
                continue;
            }
            let Some((queue, key)) = self.key_of(sequence) else {
                self.place_last(sequence);
                continue;
            };
            self.claim_turn(&queue, &key, sequence);
            if self.may_take_turn(sequence) {
                self.place_last(sequence);
            } else {
                self.wait_in_line(sequence);
            }
            self.advance_key(&queue, &key);
        }
    }
}
