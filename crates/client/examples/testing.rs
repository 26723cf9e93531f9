//! Testing one's own code: the real engine in memory, and a clock that the test moves.
//!
//! ```text
//! cargo run -p tidegate --features testing --example testing
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use tidegate::testing::Engine;
use tidegate::{Client, Failure, Job, Worker};

/// The code under test.
async fn sign_up(client: &Client, name: &str) -> Result<(), tidegate::Error> {
    client.queue("mail").enqueue("welcome", &name).await?;
    client.queue("mail").job("remind", &name).delay(Duration::from_secs(86_400)).enqueue().await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), tidegate::Error> {
    let engine = Engine::new();
    sign_up(&engine.client(), "ann").await?;
    engine.assert_enqueued("mail", "welcome", &"ann").await;
    engine.assert_enqueued("mail", "remind", &"ann").await;
    println!("at {}: {:?}", engine.now(), engine.client().show_queue("mail").await?.counts);
    engine.advance(Duration::from_secs(86_400)).await;
    println!("at {}: {:?}", engine.now(), engine.client().show_queue("mail").await?.counts);

    // The handlers under test run here, one after the other, until nothing is due.
    let worker = Worker::new(&engine.client())
        .queue("mail")
        .handle("welcome", |job: Job<String>, ()| async move {
            Ok::<_, Failure>(format!("welcome, {}", job.payload()))
        })
        .handle("remind", |_: Job<String>, ()| async {
            Err::<(), _>(Failure::retry("the reminder's text is missing"))
        });
    let ran = engine.run_due(&worker).await;
    println!("{} completed, {} failed", ran.completed, ran.failed);
    Ok(())
}
