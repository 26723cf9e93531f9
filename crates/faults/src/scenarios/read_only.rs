//! The file system finds an error in itself and becomes read-only while the server writes to it. Nobody hears a false yes;
//! when it is mended and mounted again, everything that was acknowledged is there.

use std::path::Path;

use super::{DEMAND, Run, expect};
use crate::checker::Verdict;
use crate::machine::Image;
use crate::stage::Stage;

const ROUNDS: u32 = 2;
const IMAGE_MIB: u64 = 512;

pub(super) async fn play(run: &Run, folder: &Path) -> anyhow::Result<Verdict> {
    let mut image = Image::make(folder, IMAGE_MIB)?;
    let data = image.mounted_at.join("data");
    let mut stage = Stage::set(run, folder, data, Vec::new(), &DEMAND).await?;
    for round in 1..=ROUNDS {
        stage.wait_more(60, 30).await?;
        let failed_before = failures(&stage);
        image.abort()?;
        stage.note(format!("read-only, {round} of {ROUNDS}"));
        let writes = std::fs::write(image.mounted_at.join("probe"), b"?");
        let kind = writes.err().map(|error| error.kind());
        expect(kind == Some(std::io::ErrorKind::ReadOnlyFilesystem), "a file system that is read-only")?;
        // Nothing can be accepted now; what was on the disk just before may be heard of until the shard has noticed.
        stage.wait_for("a shard whose log fails", || failures(&stage) > failed_before).await?;
        nobody_is_sure(&stage).await?;
        let accepted = stage.accepted();
        nobody_is_sure(&stage).await?;
        expect(stage.accepted() == accepted, "no job accepted by a read-only disk")?;
        let client = stage.server.client()?.without_retries();
        expect(client.ready().await.is_err(), "a server that says it is not ready")?;
        stage.server.kill()?;
        // It must not serve from a disk that it cannot write to.
        stage.server.start()?;
        if stage.server.wait_opened().await? {
            expect(client.ready().await.is_err(), "a server that does not get ready on a read-only disk")?;
        }
        stage.server.kill()?;
        image.unmount()?;
        image.mend()?;
        image.mount()?;
        stage.note("mended and mounted again");
        stage.server.start_ready().await?;
    }
    let verdict = stage.end().await?;
    expect(verdict.figures.unknown > 0, "a caller who was told that the outcome is unknown")?;
    Ok(verdict)
}

/// How often the server has said that its log failed.
fn failures(stage: &Stage) -> usize {
    stage.server.words().matches("the log failed").count()
}

/// Waits until each producer was told nothing certain once more.
async fn nobody_is_sure(stage: &Stage) -> anyhow::Result<()> {
    let progress = &stage.load.progress;
    let before = progress.told();
    let told = || progress.in_vain_since(&before).iter().all(|&times| times > 0);
    stage.wait_for("every producer to be told nothing certain", told).await
}
