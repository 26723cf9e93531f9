//! Syncs that take long, syncs that fail, writes that fail, in the running server, by tracing it. After a failed sync
//! its callers hear that the outcome is unknown, the shard starts over from its log, and nothing that was acknowledged is
//! lost; also if the server is killed right then.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{DEMAND, Run, expect};
use crate::checker::Verdict;
use crate::machine::{Tampering, need_root};
use crate::stage::Stage;

const SYNCS: &str = "fdatasync,fsync";
const WRITES: &str = "pwritev,pwrite64";

/// What goes wrong, for how long, and whether the server is killed meanwhile.
const WINDOWS: &[(&str, &str, u64, bool)] = &[
    (SYNCS, "delay_enter=120000", 2_500, false),
    (SYNCS, "error=EIO", 1_500, false),
    (SYNCS, "error=EIO:when=2+5", 2_500, false),
    (WRITES, "error=EIO:when=3+7", 2_000, false),
    (WRITES, "error=ENOSPC:when=2+5", 1_500, false),
    (SYNCS, "delay_exit=200000", 1_000, true),
    (SYNCS, "error=EIO", 700, true),
];

pub(super) async fn play(run: &Run, folder: &Path) -> anyhow::Result<Verdict> {
    need_root()?;
    let mut stage = Stage::set(run, folder, folder.join("data"), Vec::new(), &DEMAND).await?;
    for (number, &(calls, how, ms, kill)) in WINDOWS.iter().enumerate() {
        stage.wait_more(40, 20).await?;
        let log = folder.join(format!("calls-{number}"));
        let process = stage.server.process()?.id();
        let tampering = Tampering::begin(process, calls, how, log).await?;
        stage.note(format!("{calls}: {how}"));
        let since = Instant::now();
        while since.elapsed() < Duration::from_millis(ms) || tampering.injected() == 0 {
            expect(since.elapsed() < Duration::from_secs(90), "a call that goes wrong")?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if kill {
            stage.server.kill()?;
            stage.note("killed meanwhile");
        }
        let injected = tampering.end().await?;
        stage.note(format!("{injected} calls went wrong; now they go well"));
        if kill {
            stage.server.start()?;
        }
        stage.server.wait_ready().await?;
    }
    expect(stage.server.words().contains("the shard starts over"), "a shard that starts over")?;
    expect(stage.server.words().contains("the shard serves again"), "a shard that serves again by itself")?;
    let verdict = stage.end().await?;
    let told = verdict.figures.unknown_by.get("outcome_unknown").copied().unwrap_or(0);
    expect(told > 0, "a caller who was told that the outcome is unknown")?;
    Ok(verdict)
}
