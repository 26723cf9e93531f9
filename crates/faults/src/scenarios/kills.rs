//! SIGKILL, again and again: under load, right after the start, and in the midst of recovery; and to workers.
//!
//! The page cache outlives a killed process. That a sync was made at all is the matter of `power`.

use std::path::Path;
use std::time::Duration;

use super::{DEMAND, Run, expect};
use crate::checker::Verdict;
use crate::load::Demand;
use crate::stage::Stage;

/// Workers in processes of their own.
const WORKERS: u64 = 2;
const LEASE_MS: u64 = 1_500;

pub(super) async fn play(run: &Run, folder: &Path) -> anyhow::Result<Verdict> {
    // A long run is as long as its kills; its history need not be.
    let demand = Demand { pause_ms: (u64::from(run.rounds) / 10).clamp(5, 200), ..DEMAND };
    let mut stage = Stage::set(run, folder, folder.join("data"), Vec::new(), &demand).await?;
    for _ in 0..WORKERS {
        stage.add_worker(LEASE_MS, 5)?;
    }
    stage.wait_more(50, 20).await?;
    let mut early = 0;
    for round in 1..=run.rounds {
        // Some kills come so soon after the start that the server is still reading its log, or about to open its door.
        let at_start = stage.server.starts > 1 && stage.chance.percent(30);
        let wait_ms = if at_start {
            early += 1;
            stage.chance.below(60)
        } else {
            stage.server.wait_ready().await?;
            30 + stage.chance.below(600)
        };
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        stage.server.kill()?;
        let when = if at_start { "after its start" } else { "under load" };
        stage.note(format!("kill {round} of {}: the server, {wait_ms} ms {when}", run.rounds));
        if stage.chance.percent(40) {
            let index = stage.chance.below(WORKERS) as usize;
            stage.replace_worker(index)?;
            stage.note(format!("worker {index} is killed too"));
        }
        stage.server.start()?;
    }
    let verdict = stage.end().await?;
    expect(verdict.figures.unknown > 0, "a caller left without an answer")?;
    expect(run.rounds < 20 || early > 0, "a kill right after a start")?;
    Ok(verdict)
}
