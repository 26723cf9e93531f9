//! The server's wall clock is set forward and back, while it runs and while it does not. Leases may lapse early when it is
//! set forward; order, tokens and what was acknowledged do not suffer, and no deadline waits for the clock to catch up.

use std::path::Path;
use std::time::Duration;

use super::{DEMAND, Run, expect};
use crate::checker::Verdict;
use crate::history::Event;
use crate::machine::Clock;
use crate::stage::Stage;

const HOUR: i64 = 3_600;

/// Where the clock is set to, in seconds beside the machine's, and whether the server is killed and started around it.
const SETTINGS: &[(i64, bool)] = &[
    (2 * HOUR, false),
    (-3 * HOUR, false),
    (0, false),
    (-HOUR, true),
    (4 * HOUR, true),
    (1, false),
    (0, true),
];

pub(super) async fn play(run: &Run, folder: &Path) -> anyhow::Result<Verdict> {
    let clock = Clock::new(folder)?;
    let mut stage = Stage::set(run, folder, folder.join("data"), clock.environment()?, &DEMAND).await?;
    for &(seconds, restart) in SETTINGS {
        stage.wait_more(60, 40).await?;
        if restart {
            stage.server.kill()?;
        }
        stage.history.add("scenario", Event::ClockSet);
        clock.set(seconds)?;
        let how = if restart { ", and the server is killed and started" } else { "" };
        stage.note(format!("the clock is set to {seconds:+} s{how}"));
        if restart {
            stage.server.start_ready().await?;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        stage.history.add("scenario", Event::ClockSet);
    }
    stage.wait_more(60, 40).await?;
    let shown = stage.server.client()?.show_queue(crate::stage::QUEUE).await?.as_of;
    let ahead = shown.unix_ms() as i64 / 1_000 - now_s();
    // It was four hours ahead, and a shard's time never goes back.
    expect((4 * HOUR - 600..4 * HOUR + 600).contains(&ahead), "a time that went on from where it was")?;
    stage.end().await
}

fn now_s() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}
