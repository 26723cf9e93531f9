//! `life`: the whole way of a job, producers and workers at once.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::task::JoinSet;

use crate::bench::{
    Bench,
    connection::{Connection, Good, Shape},
    progress::Progress,
    report::Row,
    request::{LIST_JOBS, Requests},
    worker::{Crew, work},
};

const PRODUCERS: usize = 4;
pub(super) const WORKERS: usize = 4;
/// Producers pause while more jobs than this are not completed, so that both sides go at one pace and the figure
/// is that of the whole way.
const UNFINISHED_MAX: u64 = 20_000;

pub(super) async fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Row>> {
    let queue = bench.queue("life");
    let requests = Arc::new(Requests::lists(&queue, 1));
    let (progress, _line) = Progress::show("life: 4 producers, 4 workers, lists of 100");
    let crew = Arc::new(Crew::default());
    let enqueued = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let deadline = start + Duration::from_secs_f64(bench.scale.seconds);

    let mut producers = JoinSet::new();
    for _ in 0..PRODUCERS {
        let (requests, crew, enqueued) = (Arc::clone(&requests), Arc::clone(&crew), Arc::clone(&enqueued));
        producers.spawn(produce(bench.server.address, requests, crew, enqueued, deadline));
    }
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        workers.spawn(work(
            bench.server.address,
            queue.clone(),
            LIST_JOBS,
            Arc::clone(&crew),
            None,
            progress.clone(),
        ));
    }
    tokio::time::sleep_until(deadline.into()).await;
    let completed = crew.completed.load(Relaxed);
    let seconds = start.elapsed().as_secs_f64();

    finish(producers).await?;
    crew.stop.store(true, Relaxed);
    finish(workers).await?;
    let left = enqueued.load(Relaxed) - crew.completed.load(Relaxed);
    bench.check_left(&queue, left).await?;
    let what =
        format!("enqueue, lease, complete; {PRODUCERS} producers, {WORKERS} workers, lists of {LIST_JOBS}");
    Ok(vec![Row::new("life", what, completed, seconds)])
}

/// Waits for all and gives the first failure.
pub(super) async fn finish(mut tasks: JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    while let Some(task) = tasks.join_next().await {
        task.context("a task of the generator ended badly")??;
    }
    Ok(())
}

async fn produce(
    server: SocketAddr,
    requests: Arc<Requests>,
    crew: Arc<Crew>,
    enqueued: Arc<AtomicU64>,
    deadline: Instant,
) -> anyhow::Result<()> {
    let mut connection = Connection::open(server).await?;
    let good = Good { status: requests.status, shape: Shape::Results(LIST_JOBS) };
    while Instant::now() < deadline {
        let unfinished = enqueued.load(Relaxed).saturating_sub(crew.completed.load(Relaxed));
        if unfinished > UNFINISHED_MAX {
            // A worker that completes wakes the producers; the deadline does so too.
            let _ = tokio::time::timeout_at(deadline.into(), crew.changed.notified()).await;
            continue;
        }
        connection.exchange(requests.first(1), good).await?;
        enqueued.fetch_add(requests.jobs, Relaxed);
    }
    Ok(())
}
