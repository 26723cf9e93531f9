//! A second server on the same directory is refused, by name and at once, however often it is tried, and the first one
//! goes on. Of several that start at one moment, one gets the directory; of several at the callers' address, one serves them.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::bail;
use tidegate::Client;

use super::{DEMAND, Run, expect};
use crate::checker::Verdict;
use crate::server::{Process, free_port};
use crate::stage::Stage;

const SECONDS: usize = 3;
const RACERS: usize = 5;
/// How long a race may take.
const PATIENCE: Duration = Duration::from_secs(90);

pub(super) async fn play(run: &Run, folder: &Path) -> anyhow::Result<Verdict> {
    let mut stage = Stage::set(run, folder, folder.join("data"), Vec::new(), &DEMAND).await?;
    let first = stage.server.process()?.id();
    for tried in 1..=SECONDS {
        stage.wait_more(40, 20).await?;
        let mut second = Process::start(&mut stage.server.command(free_port()?)?)?;
        let status = second.wait(PATIENCE).await?;
        stage.note(format!("a second server on the same directory ended: {status}"));
        expect(!status.success(), "a second server that is refused")?;
        let owner = format!("is in use by process {first};");
        let named = stage.server.words().lines().filter(|line| line.contains(&owner)).count();
        expect(named == tried, "a refusal that names the owner")?;
    }
    stage.server.kill()?;
    // A server listens before it opens its directory. Each has an address of its own, so that all come to the directory;
    // the callers' address has nobody meanwhile.
    let mut ports = BTreeSet::new();
    while ports.len() < RACERS {
        ports.insert(free_port()?);
    }
    drop(race(&stage, &Vec::from_iter(ports)).await?);
    let refused = stage.server.words().lines().filter(|line| line.contains(" is in use by ")).count();
    expect(refused == SECONDS + RACERS - 1, "losers that are refused for the directory")?;
    // At the callers' address the others lose by the address. The load goes on with the one that is left.
    let winner = race(&stage, &[stage.server.port(); RACERS]).await?;
    stage.server.take(winner);
    stage.wait_more(40, 20).await?;
    stage.end().await
}

/// Starts a server at each of these addresses, at one moment. The one that serves, when all others have given up.
async fn race(stage: &Stage, ports: &[u16]) -> anyhow::Result<Process> {
    let mut racers = Vec::new();
    for &port in ports {
        racers.push((port, Process::start(&mut stage.server.command(port)?)?));
    }
    let since = Instant::now();
    while racers.len() > 1 {
        expect(since.elapsed() < PATIENCE, "one server, of those that started together")?;
        tokio::time::sleep(Duration::from_millis(10)).await;
        let mut left = Vec::new();
        for (port, mut racer) in racers {
            match racer.ended()? {
                None => left.push((port, racer)),
                Some(status) => expect(!status.success(), "losers that say so by their status")?,
            }
        }
        racers = left;
    }
    let Some((port, mut winner)) = racers.pop() else { bail!("of {} servers none is left", ports.len()) };
    let client = Client::connect(&format!("http://127.0.0.1:{port}"))?.without_retries();
    while client.ready().await.is_err() {
        expect(winner.ended()?.is_none(), "one server, of those that started together")?;
        expect(since.elapsed() < PATIENCE, "a winner that serves")?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stage.note(format!("of {} servers that started together, one serves", ports.len()));
    Ok(winner)
}
