//! The engine in the program itself: no server, the same calls, the same promises.
//!
//! ```text
//! cargo run -p tidegate --features embedded --example embedded
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use tidegate::Client;
use tidegate::api::lease::LeaseRequest;
use tidegate::api::settle::Complete;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::temp_dir().join(format!("tidegate-embedded-{}", std::process::id()));
    let client = Client::embedded(&directory).await?;
    client.queue("mail").enqueue("welcome", &"ann@example.org").await?;

    // A worker does this by itself; here are its two calls.
    let lease = LeaseRequest { queues: vec!["mail".into()], max: Some(10), ..LeaseRequest::default() };
    for job in client.lease(&lease).await? {
        println!("{}: welcome {}", job.id, job.payload.as_ref().map_or("nobody", |payload| payload.get()));
        client.complete(&[Complete { id: job.id, token: job.token, result: None }]).await?;
    }
    client.close().await?;

    // Everything is on the disk: the next one who opens the directory finds it.
    let client = Client::embedded(&directory).await?;
    let job = client.job("0-1".parse().expect("an id"), std::time::Duration::ZERO).await?;
    println!("after a restart: {} is {}", job.id, job.state);
    client.close().await?;
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}
