//! The audit: when the faults are over and everything is worked off, what does the API show?

use std::time::{Duration, Instant};

use anyhow::bail;
use tidegate::Client;
use tidegate::api::{job::Job, query::JobsQuery, queue::Counts};

use crate::history::{Event, History};

/// How long the working off may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Counts are of a moment ago; for so long they are looked at until they are of now.
const COUNTS_PATIENCE: Duration = Duration::from_secs(30);

/// Waits until every job of the queue has ended. Counts are of a moment ago, and may miss what was accepted last: they must say
/// so twice.
pub(crate) async fn wait_drained(client: &Client, queue: &str) -> anyhow::Result<()> {
    let since = Instant::now();
    let mut looks = 0;
    loop {
        let counts = client.show_queue(queue).await?.counts;
        looks = if unfinished(&counts) == 0 { looks + 1 } else { 0 };
        if looks == 2 {
            return Ok(());
        }
        if since.elapsed() > PATIENCE {
            bail!("{queue} is not worked off after {} s: {counts:?}", PATIENCE.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn unfinished(counts: &Counts) -> u64 {
    counts.scheduled + counts.ready + counts.leased
}

/// Writes down every job of the queue, and the queue's own counts.
pub(crate) async fn audit(client: &Client, queue: &str, history: &History) -> anyhow::Result<()> {
    let mut jobs: Vec<Job> = Vec::new();
    let mut query = JobsQuery { queue: Some(queue.to_owned()), limit: Some(1_000), ..JobsQuery::default() };
    loop {
        let page = client.jobs(&query).await?;
        jobs.extend(page.jobs);
        query.cursor = page.cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    let since = Instant::now();
    let counts = loop {
        let counts = client.show_queue(queue).await?.counts;
        let all = unfinished(&counts) + counts.completed + counts.dead + counts.cancelled;
        if all == jobs.len() as u64 || since.elapsed() > COUNTS_PATIENCE {
            break counts;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    for job in &jobs {
        history.add("audit", Event::Found { id: job.id.to_string(), state: job.state });
    }
    let Counts { completed, dead, cancelled, .. } = counts;
    history.add("audit", Event::Audited { completed, dead, cancelled, unfinished: unfinished(&counts) });
    Ok(())
}
