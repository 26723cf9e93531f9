//! Configure, pause and resume.

use tidegate_core::command::Pause;
use tidegate_core::outcome::Refusal;
use tidegate_core::policy::QueueConfig;

use super::{Queue, Said, Twin};

impl Twin {
    pub(super) fn configure(&mut self, queue: &str, config: QueueConfig) -> Said {
        if !self.queues.contains_key(queue) && self.queues.len() >= self.limits.queues_max {
            return Said::Refused(Refusal::TooManyQueues);
        }
        self.queues.entry(queue.into()).or_insert_with(|| Queue::new(config)).config = config;
        Said::Done
    }

    pub(super) fn pause(&mut self, pause: &Pause) -> Said {
        let Pause { queue, ordering_key, paused } = pause;
        let Some(entry) = self.queues.get_mut(queue) else { return Said::Refused(Refusal::QueueNotFound) };
        let Some(key) = ordering_key else {
            let resumes = entry.paused && !paused;
            entry.paused = *paused;
            if resumes && self.jobs.values().any(|job| job.queue == *queue && job.place.is_some()) {
                self.note_readied(queue);
            }
            return Said::Done;
        };
        let held = self.keys.entry((queue.clone(), key.clone())).or_default();
        let changes = held.paused != *paused || (!paused && held.parked_by != 0);
        held.paused = *paused;
        if !paused {
            held.parked_by = 0;
        }
        if *paused
            && changes
            && let Some(active) = self.active_of(queue, key)
        {
            // A leased one stays with its worker.
            self.job_mut(active).place = None;
        }
        if changes {
            self.advance_key(queue, key);
        }
        Said::Done
    }
}
