//! The file system finds an error in itself and becomes read-only while the server writes to it. Nobody hears a false yes;
//! when it is mended and mounted again, everything that was acknowledged is there.

use std::path::Path;
use std::time::Duration;

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
        image.abort()?;
        stage.note(format!("read-only, {round} of {ROUNDS}"));
        let writes = std::fs::write(image.mounted_at.join("probe"), b"?");
        let kind = writes.err().map(|error| error.kind());
        expect(kind == Some(std::io::ErrorKind::ReadOnlyFilesystem), "a file system that is read-only")?;
        // Nothing can be accepted now; one that was under way may be heard of a little later.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let accepted = stage.accepted();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        expect(stage.accepted() == accepted, "no job accepted by a read-only disk")?;
        let client = stage.server.client()?.without_retries();
        expect(client.ready().await.is_err(), "a server that says it is not ready")?;
        stage.server.kill()?;
        // It must not serve from a disk that it cannot write to.
        stage.server.start()?;
        tokio::time::sleep(Duration::from_millis(700)).await;
        expect(client.ready().await.is_err(), "a server that does not get ready on a read-only disk")?;
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
