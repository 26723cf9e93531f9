//! `latency`: from sending a job to its arrival at a worker that waits for one, at a steady and modest pace.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::task::JoinSet;

use super::life::{WORKERS, finish};
use crate::bench::{
    Bench,
    marks::{Delivered, Marks, Plan},
    progress::Progress,
    report::{Row, Times},
    worker::{Crew, work},
};

/// Jobs a second.
const RATE: f64 = 2_000.0;
/// A connection answers one request after the other; so many that none waits for another's sync.
const CONNECTIONS: usize = 16;
/// A worker takes what is there, up to this.
const LEASE_JOBS: usize = 10;
/// Jobs that have not arrived so long after the last was sent are lost.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Row>> {
    let queue = bench.queue("latency");
    let marks = Marks::new((RATE * bench.scale.seconds) as usize);
    let (progress, _line) = Progress::show("latency: 2,000 jobs/s");
    let crew = Arc::new(Crew::default());
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let (crew, marks) = (Arc::clone(&crew), Some(Arc::clone(&marks)));
        workers.spawn(work(bench.server.address, queue.clone(), LEASE_JOBS, crew, marks, progress.clone()));
    }
    let plan = Plan {
        queue: queue.clone(),
        priority: 5,
        every: Duration::from_secs_f64(1.0 / RATE),
        connections: CONNECTIONS,
    };
    let delivered = marks.send_all(bench.server.address, plan, PATIENCE).await?;
    crew.stop.store(true, Relaxed);
    finish(workers).await?;
    bench.check_left(&queue, 0).await?;
    bench.check_delivered(&delivered);
    let what = format!("{RATE} single jobs/s, {WORKERS} waiting workers");
    Ok(vec![row("latency", what, &delivered)])
}

/// The row of a workload with marked jobs.
pub(super) fn row(workload: &'static str, what: String, delivered: &Delivered) -> Row {
    let late = Times::of(&delivered.lateness_us).map_or(0, |times| times.p99);
    Row::new(workload, what, delivered.arrived as u64, delivered.elapsed.as_secs_f64())
        .times("enqueue to delivery", &delivered.delivery_us)
        .fact("sender_late_p99_us", late, format!("sender late by {late} µs at p99"))
}

impl Bench {
    /// Sees to it that every marked job arrived, and once.
    pub(super) fn check_delivered(&mut self, delivered: &Delivered) {
        let Delivered { sent, arrived, twice, .. } = delivered;
        if arrived != sent || *twice != 0 {
            self.failures
                .push(format!("{sent} marked jobs were sent, {arrived} arrived, {twice} of them again"));
        }
    }
}
