//! A second server on the same directory is refused, by name and at once, however often it is tried, and the first one
//! goes on. Of several that start at one moment, one gets the directory.

use std::path::Path;
use std::time::Duration;

use super::{DEMAND, Run, expect};
use crate::checker::Verdict;
use crate::server::{Process, free_port};
use crate::stage::Stage;

const SECONDS: u32 = 3;
const RACERS: u32 = 5;

pub(super) async fn play(run: &Run, folder: &Path) -> anyhow::Result<Verdict> {
    let mut stage = Stage::set(run, folder, folder.join("data"), Vec::new(), &DEMAND).await?;
    for _ in 0..SECONDS {
        stage.wait_more(40, 20).await?;
        let mut second = Process::start(&mut stage.server.command(free_port()?)?)?;
        let status = second.wait(Duration::from_secs(30)).await?;
        stage.note(format!("a second server on the same directory ended: {status}"));
        expect(!status.success(), "a second server that is refused")?;
    }
    let first = stage.server.process()?.id();
    let named = stage.server.words().contains(&format!("{first}"));
    expect(named && stage.server.words().contains("in use"), "a refusal that names the owner")?;
    stage.server.kill()?;
    // Whoever wins has the address that callers know: all are given it, and the losers lose by directory or address.
    let mut racers = Vec::new();
    for _ in 0..RACERS {
        racers.push(Process::start(&mut stage.server.command(free_port()?)?)?);
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut left = Vec::new();
    for mut racer in racers {
        if racer.ended()?.is_none() {
            left.push(racer);
        }
    }
    stage.note(format!("of {RACERS} servers that started together, {} serve", left.len()));
    expect(left.len() == 1, "one server, of those that started together")?;
    drop(left);
    stage.server.start_ready().await?;
    stage.wait_more(40, 20).await?;
    stage.end().await
}
