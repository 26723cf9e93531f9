//! The disk fills up beside the server: first below the reserve, where new jobs are refused by name and accepted ones are
//! worked off; then to the last byte, where writes fail. When there is room again, everything goes on.

use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use tidegate::api::{enqueue::NewJob, lease::LeaseRequest, refusal::Code, settle::Extend, value::RawJson};
use tidegate::{Client, Error};

use super::{DEMAND, Run, expect};
use crate::audit;
use crate::checker::Verdict;
use crate::machine::Image;
use crate::stage::{QUEUE, Stage};

const MIB: u64 = 1 << 20;
const IMAGE_MIB: u64 = 700;
/// Below the 256 MiB that the server keeps for accepted work.
const BELOW_RESERVE: u64 = 200 * MIB;

/// How often the disk is filled to the last byte.
const ROUNDS: u32 = 3;

/// A queue whose jobs only take room in the log.
const NOISE: &str = "noise";
const NOISE_JOBS: u32 = 500;
/// More than all segments that the image has room for.
const NOISE_CALLS_MAX: u32 = 400;

pub(super) async fn play(run: &Run, folder: &Path) -> anyhow::Result<Verdict> {
    let image = Image::make(folder, IMAGE_MIB)?;
    let data = image.mounted_at.join("data");
    let mut stage = Stage::set(run, folder, data, Vec::new(), &DEMAND).await?;
    stage.wait_more(100, 50).await?;
    let client = stage.server.client()?.with_deadline(Duration::from_secs(60)).without_retries();
    let noise = lease_noise(&client).await?;

    image.fill_up_to(BELOW_RESERVE)?;
    stage.note(format!("{} MiB are free", image.free_bytes()? / MIB));
    let progress = std::sync::Arc::clone(&stage.load.progress);
    // Who is refused asked nothing before that is not heard of by then.
    let all_refused = || progress.told().iter().all(|told| told.disk_full > 0);
    stage.wait_for("every producer to be refused by name", all_refused).await?;
    let accepted = stage.accepted();
    audit::wait_drained(&stage.server.client()?, QUEUE).await?;
    stage.note("what was accepted is worked off, while new jobs are refused");
    expect(stage.accepted() == accepted, "no job accepted below the reserve")?;

    image.make_room()?;
    stage.note("there is room again");
    stage.wait_more(50, 50).await?;

    for _ in 0..ROUNDS {
        image.fill_up_to(0)?;
        stage.note(format!("{} bytes are free", image.free_bytes()?));
        let calls = make_noise(&client, &noise).await?;
        stage.note(format!("there was no room after {calls} calls that take two MiB each"));
        // What the shard can give back when it starts over is taken from it again.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    stage.server.kill()?;
    stage.note("killed on the full disk, and started");
    stage.server.start()?;
    let serves = stage.server.wait_opened().await?;
    image.make_room()?;
    stage.note("there is room again");
    if !serves {
        stage.note("the server did not start on the full disk; it is started again");
        stage.server.start()?;
    }
    stage.server.wait_ready().await?;
    stage.wait_more(50, 50).await?;
    expect(stage.server.words().contains("the disk is full"), "a frame for which there is no room")?;
    let verdict = stage.end().await?;
    let refused = |code: Code| verdict.figures.refused.get(code.as_str()).copied().unwrap_or(0);
    expect(refused(Code::DiskFull) > 0, "jobs refused as disk_full")?;
    Ok(verdict)
}

/// Leased jobs for making noise with, each item with as much progress as there may be.
async fn lease_noise(client: &Client) -> anyhow::Result<Vec<Extend<'static>>> {
    let jobs: Vec<NewJob<'_>> = (0..NOISE_JOBS).map(|_| NewJob::default()).collect();
    client.enqueue_list(NOISE, &jobs).await?;
    let request = LeaseRequest {
        queues: vec![NOISE.into()],
        max: Some(NOISE_JOBS),
        lease_ms: Some(3_600_000),
        ..LeaseRequest::default()
    };
    let progress = RawJson::of(&"x".repeat(4_000))?;
    let jobs = client.lease(&request).await?;
    let extend =
        |id, token| Extend { id, token, lease_ms: Some(3_600_000), progress: Some(progress.clone()) };
    Ok(jobs.into_iter().map(|job| extend(job.id, job.token)).collect())
}

/// Accepted work goes on until there is no byte left; how many calls that took.
async fn make_noise(client: &Client, noise: &[Extend<'static>]) -> anyhow::Result<u32> {
    for call in 1..=NOISE_CALLS_MAX {
        match client.extend(noise).await {
            Ok(_) => {}
            Err(Error::Refused(problem))
                if matches!(problem.refusal.code, Code::OutcomeUnknown | Code::Unavailable) =>
            {
                return Ok(call);
            }
            Err(Error::Refused(problem)) if problem.refusal.code == Code::InboxFull => {}
            Err(error) => bail!("on a full disk a worker heard: {error}"),
        }
    }
    bail!("the disk did not become full")
}
