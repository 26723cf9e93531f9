//! Lease.

use tidegate_core::command::Lease;
use tidegate_core::limits;
use tidegate_core::view::JobState;

use super::Twin;

impl Twin {
    /// Whether a lease of this queue would get something now.
    pub(super) fn can_lease(&self, queue: &str, kinds: &[String]) -> bool {
        self.queues.get(queue).is_some_and(|queue| !queue.paused)
            && self.jobs.values().any(|job| {
                job.queue == queue && job.place.is_some() && (kinds.is_empty() || kinds.contains(&job.kind))
            })
    }

    /// Hands out what may run; returns the jobs and their tokens.
    pub(super) fn lease(&mut self, lease: &Lease) -> Vec<(u64, u64)> {
        let mut queues: Vec<&String> = Vec::new();
        for name in &lease.queues {
            if self.queues.get(name).is_some_and(|queue| !queue.paused) && !queues.contains(&name) {
                queues.push(name);
            }
        }
        if queues.len() > 1 {
            let draw = self.chance(self.next_token, lease.queues.len() as u64);
            let len = queues.len() as u64;
            queues.rotate_left((draw % len) as usize);
        }
        let (mut picked, mut expired) = (Vec::new(), Vec::new());
        'priorities: for priority in 0..=limits::PRIORITY_MAX {
            for queue in &queues {
                let mut ready: Vec<(i64, u64)> = self
                    .jobs
                    .values()
                    .filter(|job| job.queue == **queue && job.priority == priority)
                    .filter(|job| lease.kinds.is_empty() || lease.kinds.contains(&job.kind))
                    .filter_map(|job| Some((job.place?, job.sequence)))
                    .collect();
                ready.sort_unstable();
                for (_, sequence) in ready {
                    if picked.len() >= lease.max as usize {
                        break 'priorities;
                    }
                    let job = self.job(sequence);
                    let late = job.may_expire() && job.expires_at <= self.now;
                    if late { expired.push(sequence) } else { picked.push(sequence) }
                }
            }
        }
        for sequence in expired {
            self.expire_job(sequence);
        }
        picked.into_iter().map(|sequence| (sequence, self.hand_out(sequence, lease))).collect()
    }

    fn hand_out(&mut self, sequence: u64, lease: &Lease) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        let lease_ms = lease.lease_ms.unwrap_or(self.queues[&self.job(sequence).queue].config.lease_ms);
        let deadline = self.now + lease_ms.clamp(limits::LEASE_MS_MIN, limits::LEASE_MS_MAX);
        let stamp = self.next_stamp();
        let job = self.job_mut(sequence);
        assert_eq!(job.state, JobState::Ready, "what is handed out was ready");
        job.state = JobState::Leased;
        job.place = None;
        job.attempt += 1;
        job.token = token;
        job.time = deadline;
        (job.timer_due, job.timer_stamp) = (deadline, stamp);
        job.worker = Some(lease.worker.clone());
        self.free_unique(sequence, true);
        token
    }
}
