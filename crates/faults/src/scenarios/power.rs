//! The power fails. The server's files are on an ext4 image; the server is killed, and what the image's own disk has not
//! been given by then is lost: everything that only the page cache knew. A server that said yes before its sync loses jobs
//! here, and nowhere else in this house on real files.
//!
//! That the power was lost is shown, not believed: a file that was written just before the cut and never synced must be gone
//! afterwards. Else everything would survive, and pass.

use std::path::Path;
use std::time::Duration;

use super::{DEMAND, Run, expect};
use crate::checker::Verdict;
use crate::machine::Image;
use crate::stage::Stage;

const CUTS: u32 = 5;
const IMAGE_MIB: u64 = 512;

pub(super) async fn play(run: &Run, folder: &Path) -> anyhow::Result<Verdict> {
    let mut image = Image::make(folder, IMAGE_MIB)?;
    let data = image.mounted_at.join("data");
    let mut stage = Stage::set(run, folder, data, Vec::new(), &DEMAND).await?;
    let mut seen = 0;
    for cut in 1..=CUTS {
        stage.wait_more(40, 20).await?;
        tokio::time::sleep(Duration::from_millis(stage.chance.below(900))).await;
        stage.server.kill()?;
        let lost = image.lose_power()?;
        seen += u32::from(lost);
        let canary = if lost { "is gone" } else { "is there all the same" };
        stage.note(format!("power cut {cut} of {CUTS}: what was not synced {canary}"));
        stage.server.start_ready().await?;
    }
    // A kernel that is short of memory may write a file out by itself, even in that moment; hardly at every cut.
    expect(
        seen > 0,
        "a power cut that loses what was not synced: the image kept it each time, and nothing is shown",
    )?;
    let verdict = stage.end().await?;
    expect(verdict.figures.unknown > 0, "a caller left without an answer")?;
    Ok(verdict)
}
