//! How many single jobs a second a program can enqueue, each answered when it is on the disk.
//!
//! ```text
//! tidegate serve &
//! cargo run --release -p tidegate --example enqueue_pace -- http://127.0.0.1:7420 1024 2000000
//! ```
//!
//! So many callers each enqueue one job after the other and wait for its answer; the client makes lists of what is there
//! at the same time. Instead of an address, `embedded:DIR` takes an engine in this process.

#![allow(clippy::print_stdout, reason = "printing is what this program is for")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tidegate::Client;

#[derive(serde::Serialize)]
struct SendEmail {
    user_id: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let place = arguments.next().unwrap_or_else(|| "http://127.0.0.1:7420".into());
    let callers: u64 = arguments.next().map_or(Ok(1_024), |text| text.parse())?;
    let jobs: u64 = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let client = match place.strip_prefix("embedded:") {
        Some(directory) => Client::embedded(directory).await?,
        None => Client::connect(&place)?,
    };
    let mail = client.queue("mail");
    let next = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let callers: Vec<_> = (0..callers)
        .map(|_| {
            let (mail, next) = (mail.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let user_id = next.fetch_add(1, Ordering::Relaxed);
                    if user_id >= jobs {
                        return Ok::<(), tidegate::Error>(());
                    }
                    mail.enqueue("send_email", &SendEmail { user_id }).await?;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{jobs} jobs in {seconds:.2} s: {:.0} jobs/s, each on the disk when it was answered",
        jobs as f64 / seconds
    );
    client.close().await?;
    Ok(())
}
