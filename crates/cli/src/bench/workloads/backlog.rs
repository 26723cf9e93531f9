//! `backlog`: what a great many waiting jobs cost: memory, speed, and the time of a restart.

use std::sync::Arc;

use super::ingest::{LISTS, LISTS_DIFFERENT};
use crate::bench::{
    Bench,
    connection::Shape,
    flood::{Flooded, Until, flood},
    machine::resident_bytes,
    progress::Progress,
    report::{Row, percent},
    request::{LIST_JOBS, Requests},
};

/// The filling is measured in tenths.
const TENTHS: u64 = 10;

pub(super) async fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Row>> {
    let queue = bench.queue("backlog");
    let requests = Arc::new(Requests::lists(&queue, LISTS_DIFFERENT));
    let (progress, line) = Progress::show("backlog: filling");
    let tenth = Until::Sent { requests: (bench.scale.backlog_jobs / TENTHS / LIST_JOBS as u64).max(1) };
    let mut total = Flooded::none();
    let mut rates = Vec::new();
    for _ in 0..TENTHS {
        let shape = Shape::Results(LIST_JOBS);
        let flooded = flood(bench.server.address, &requests, shape, LISTS, tenth, &progress).await?;
        rates.push(flooded.jobs_per_s());
        total.add(flooded);
    }
    drop(line);
    bench.check_left(&queue, total.jobs).await?;

    let (first, last) = (rates[0], rates[rates.len() - 1]);
    let ratio = percent(last, first);
    let mut row =
        Row::new("backlog", "waiting jobs, in lists of 100", total.jobs, total.elapsed.as_secs_f64())
            .times("answer", &total.answer_us)
            .fact(
                "last_of_first_tenth_percent",
                ratio,
                format!("last tenth at {ratio} % of the first's rate"),
            );
    row.facts.insert("tenths_jobs_per_s".into(), rates.iter().map(|rate| rate.round()).collect());
    if let Some(bytes) = bench.server.process().and_then(resident_bytes) {
        row = row.fact("resident_bytes", bytes, format!("{} MiB resident", bytes >> 20));
    }

    let (_, line) = Progress::show("backlog: restart after a crash");
    let restart = bench.server.crash_and_restart().await?;
    drop(line);
    if let Some(restart) = restart {
        // What was acknowledged before the crash is there after it.
        bench.check_left(&queue, total.jobs).await?;
        let seconds = restart.as_secs_f64();
        row = row.fact("restart_s", seconds, format!("ready {seconds:.1} s after a crash"));
    }
    if let Some(bytes) = restart.and(bench.server.process()).and_then(resident_bytes) {
        row = row.fact("resident_after_restart_bytes", bytes, format!("then {} MiB resident", bytes >> 20));
    }
    Ok(vec![row])
}
