//! A long job that keeps a checkpoint: when an attempt breaks off, the next one goes on where it was.
//!
//! Start a server with `tidegate serve`, then `cargo run -p tidegate --example worker_progress`.

#![allow(clippy::print_stdout, reason = "an example talks to a terminal")]

use serde::{Deserialize, Serialize};
use tidegate::{Client, Failure, Job, Worker, api::enqueue::Retry};

#[derive(Debug, Serialize, Deserialize)]
struct Import {
    rows: u32,
}

/// What one attempt leaves to the next.
#[derive(Debug, Serialize, Deserialize)]
struct Checkpoint {
    rows_done: u32,
}

async fn import(job: Job<Import>, (): ()) -> Result<u32, Failure> {
    let begin = job.checkpoint::<Checkpoint>().map_or(0, |checkpoint| checkpoint.rows_done);
    println!("attempt {} begins at row {begin}", job.attempt());
    for row in begin..job.payload().rows {
        if row == 250 && job.attempt() == 1 {
            // What any error in the middle would do.
            return Err(Failure::retry("the file server went away"));
        }
        if row % 100 == 99 {
            // When this returns, the server has it on disk.
            job.progress(&Checkpoint { rows_done: row + 1 }).await?;
        }
    }
    Ok(job.payload().rows - begin)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:7420".into());
    let client = Client::connect(&server)?;
    let at_once = Retry {
        max_attempts: Some(5),
        delay_ms: Some(0),
        factor: None,
        delay_max_ms: None,
        jitter_percent: None,
    };
    let imports = client.queue("imports");
    let id = imports.job("import", &Import { rows: 1_000 }).retry(at_once).enqueue().await?.id;

    Worker::new(&client).queue("imports").handle("import", import).run_due().await?;
    let job = client.job(id, std::time::Duration::ZERO).await?;
    let rows = job.result.as_ref().map_or("no", |rows| rows.get());
    println!("{} after {} attempts, the last of which did {rows} rows", job.state, job.attempt);
    Ok(())
}
