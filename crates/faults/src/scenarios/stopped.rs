//! Processes that stand still and go on as if nothing had happened: a worker for longer than its lease, whose completion
//! then comes too late and changes nothing; and the server for longer than leases and its callers' patience.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::{DEMAND, Run, expect};
use crate::checker::Verdict;
use crate::load::Demand;
use crate::stage::Stage;

const LEASE_MS: u64 = 1_000;
/// How long the worker that is stopped works on what it leased: most of its time, so that it is stopped in the midst of it.
const WORK_MS: u64 = 300;
const WORKER_STOPS: u32 = 4;
/// Longer than a lease and than the callers' deadline.
const SERVER_STOP: Duration = Duration::from_millis(4_000);

pub(super) async fn play(run: &Run, folder: &Path) -> anyhow::Result<Verdict> {
    let demand = Demand { lease_ms: LEASE_MS, ..DEMAND };
    let mut stage = Stage::set(run, folder, folder.join("data"), Vec::new(), &demand).await?;
    stage.add_worker(LEASE_MS, WORK_MS)?;
    for stop in 1..=WORKER_STOPS {
        stage.wait_more(60, 30).await?;
        stage.workers[0].process.signal(Signal::STOP)?;
        stage.note(format!("the worker stands still, {stop} of {WORKER_STOPS}"));
        tokio::time::sleep(Duration::from_millis(LEASE_MS + 500)).await;
        stage.workers[0].process.signal(Signal::CONT)?;
    }
    for stop in 1..=2 {
        stage.wait_more(60, 30).await?;
        stage.server.process()?.signal(Signal::STOP)?;
        stage.note(format!("the server stands still, {stop} of 2"));
        tokio::time::sleep(SERVER_STOP).await;
        stage.server.process()?.signal(Signal::CONT)?;
        stage.note("the server goes on");
    }
    stage.wait_more(60, 30).await?;
    let verdict = stage.end().await?;
    let late =
        ["stale_token", "job_ended", "not_leased"].map(|code| verdict.figures.refused.get(code).copied());
    expect(late.iter().flatten().sum::<u64>() > 0, "a late completion that is refused by name")?;
    expect(verdict.figures.unknown_by.contains_key("silence"), "a caller whose patience ended")?;
    Ok(verdict)
}
