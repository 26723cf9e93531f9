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
/// How long workers work on what they leased: most of their time, so that one is stopped in the midst of it, and another one
/// has the job when the first goes on.
const WORK_MS: u64 = 250;
const WORKER_STOPS: u32 = 6;
pub(super) async fn play(run: &Run, folder: &Path) -> anyhow::Result<Verdict> {
    // No more than slow workers can do.
    let demand =
        Demand { producers: 2, workers: 6, lease_ms: LEASE_MS, work_ms: WORK_MS, pause_ms: 140, ..DEMAND };
    let mut stage = Stage::set(run, folder, folder.join("data"), Vec::new(), &demand).await?;
    stage.add_worker(LEASE_MS, WORK_MS)?;
    for stop in 1..=WORKER_STOPS {
        stage.wait_more(30, 15).await?;
        stage.workers[0].process.signal(Signal::STOP)?;
        stage.note(format!("the worker stands still, {stop} of {WORKER_STOPS}"));
        let beyond_ms = 50 + stage.chance.below(400);
        tokio::time::sleep(Duration::from_millis(LEASE_MS + beyond_ms)).await;
        stage.workers[0].process.signal(Signal::CONT)?;
    }
    for stop in 1..=2 {
        stage.wait_more(30, 15).await?;
        stage.server.process()?.signal(Signal::STOP)?;
        stage.note(format!("the server stands still, {stop} of 2"));
        // Until somebody's patience ends, which is longer than a lease.
        let progress = std::sync::Arc::clone(&stage.load.progress);
        let before = progress.told();
        let gave_up = || progress.in_vain_since(&before).iter().any(|&times| times > 0);
        stage.wait_for("a caller whose patience ends", gave_up).await?;
        stage.server.process()?.signal(Signal::CONT)?;
        stage.note("the server goes on");
    }
    stage.wait_more(30, 15).await?;
    let verdict = stage.end().await?;
    let late =
        ["stale_token", "job_ended", "not_leased"].map(|code| verdict.figures.refused.get(code).copied());
    expect(late.iter().flatten().sum::<u64>() > 0, "a late completion that is refused by name")?;
    expect(verdict.figures.unknown_by.contains_key("silence"), "a caller whose patience ended")?;
    Ok(verdict)
}
