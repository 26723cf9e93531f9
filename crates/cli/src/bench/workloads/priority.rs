//! `priority`: urgent jobs into a long queue that is being worked off.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{
    ingest::{LISTS, LISTS_DIFFERENT},
    latency::{PATIENCE, row},
    life::{WORKERS, finish},
};
use crate::{
    bench::{
        Bench,
        connection::Shape,
        flood::{Until, flood},
        marks::{Marks, Plan},
        progress::Progress,
        report::Row,
        request::{LIST_JOBS, Requests},
        worker::{Crew, work},
    },
    output::thousands,
};

const URGENT_JOBS: usize = 200;
/// Slow enough that the urgent jobs are few among the others, and fast enough that the queue outlasts them.
const URGENT_EVERY: Duration = Duration::from_millis(5);

pub(super) async fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Row>> {
    let queue = bench.queue("priority");
    let server = bench.server.address;
    let (progress, line) = Progress::show("priority: filling");
    let requests = Arc::new(Requests::lists(&queue, LISTS_DIFFERENT));
    let until = Until::Sent { requests: bench.scale.priority_jobs / LIST_JOBS as u64 };
    let filled = flood(server, &requests, Shape::Results(LIST_JOBS), LISTS, until, &progress).await?.jobs;
    drop(line);

    let (progress, _line) = Progress::show("priority: draining");
    let crew = Arc::new(Crew::default());
    let marks = Marks::new(URGENT_JOBS);
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let (crew, marks) = (Arc::clone(&crew), Some(Arc::clone(&marks)));
        workers.spawn(work(server, queue.clone(), LIST_JOBS, crew, marks, progress.clone()));
    }
    let plan = Plan { queue: queue.clone(), priority: 0, every: URGENT_EVERY, connections: 4 };
    let delivered = marks.send_all(server, plan, PATIENCE).await?;
    let drained = crew.completed.load(Relaxed);
    let drained_per_s = (drained as f64 / start.elapsed().as_secs_f64()).round();
    crew.stop.store(true, Relaxed);
    finish(workers).await?;

    let all = filled + URGENT_JOBS as u64;
    let left = all - crew.completed.load(Relaxed);
    bench.check_left(&queue, left).await?;
    bench.check_delivered(&delivered);
    if left == 0 {
        bench.failures.push(
            "the queue ran empty before the last urgent job arrived; there was nothing to overtake".into(),
        );
    }
    let what = format!("{URGENT_JOBS} urgent jobs among {} waiting ones", thousands(filled));
    let row = row("priority", what, &delivered)
        .fact(
            "drained_jobs_per_s",
            drained_per_s,
            format!("drained at {} jobs/s", thousands(drained_per_s as u64)),
        )
        .fact("left_jobs", left, format!("{} left", thousands(left)));
    Ok(vec![row])
}
