//! Looking for ready jobs that no handler of this worker is for: they would wait in silence.
//!
//! A look costs a few reads, so it is taken only when a poll found nothing, and not often. It sees the first ready jobs
//! of a queue, not all; and each queue and kind is told once.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use tidegate_api::{query::JobsQuery, words::JobState};

use crate::{Client, Error};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Ready jobs that one look sees of a queue.
const LOOK_JOBS: u32 = 100;
/// Queues and kinds that are remembered as told; after so many, nothing more is.
const TOLD_MAX: usize = 1_000;

/// A queue, and a kind that has no handler.
pub(super) type Found = (String, String);

/// When to look, and what was told.
#[derive(Debug, Default)]
pub(super) struct Looks {
    last: Option<Instant>,
    told: HashSet<Found>,
}

impl Looks {
    /// Whether to look now.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let due = self.last.is_none_or(|last| now.duration_since(last) >= LOOK_EVERY);
        if due {
            self.last = Some(now);
        }
        due && self.told.len() < TOLD_MAX
    }

    /// Whether this has not been told yet; then it counts as told.
    pub(super) fn is_new(&mut self, found: &Found) -> bool {
        self.told.len() < TOLD_MAX && self.told.insert(found.clone())
    }
}

/// Ready jobs in these queues that are of none of these kinds: each queue and kind once.
pub(super) async fn look(client: &Client, queues: &[String], kinds: &[String]) -> Result<Vec<Found>, Error> {
    let mut found = HashSet::new();
    for queue in queues {
        let stands = match client.show_queue(queue).await {
            Ok(stands) => stands,
            // A queue that is not there yet has no jobs.
            Err(Error::Refused(_)) => continue,
            Err(error) => return Err(error),
        };
        if stands.paused || stands.counts.ready == 0 {
            continue;
        }
        let query = JobsQuery {
            queue: Some(queue.clone()),
            state: Some(JobState::Ready),
            limit: Some(LOOK_JOBS),
            ..JobsQuery::default()
        };
        let jobs = client.jobs(&query).await?.jobs.into_iter();
        found.extend(jobs.filter(|job| !kinds.contains(&job.kind)).map(|job| (job.queue, job.kind)));
    }
    let mut found: Vec<Found> = found.into_iter().collect();
    found.sort_unstable();
    Ok(found)
}
