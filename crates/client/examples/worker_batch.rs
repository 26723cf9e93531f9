//! A handler that takes up to a hundred jobs at once, and says for each how it went.
//!
//! Start a server with `tidegate serve`, then `cargo run -p tidegate --example worker_batch`.

#![allow(clippy::print_stdout, reason = "an example talks to a terminal")]

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate::{
    BatchOptions, Client, Failure, Job, Worker,
    api::{enqueue::NewJob, value::RawJson},
};

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    id: u64,
    text: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:7420".into());
    let client = Client::connect(&server)?;
    let mut jobs = Vec::new();
    for id in 0..250 {
        let text = if id == 17 { String::new() } else { format!("document {id}") };
        let payload = RawJson::of(&Document { id, text })?;
        jobs.push(NewJob { kind: Some("index".into()), payload: Some(payload), ..NewJob::default() });
    }
    client.enqueue_list("documents", &jobs).await?;

    // A hundred at once, or as many as came within 50 ms of the first.
    let options = BatchOptions::up_to(100).linger(Duration::from_millis(50));
    let worker = Worker::new(&client).queue("documents").concurrency(2).handle_batch(
        "index",
        options,
        |jobs: Vec<Job<Document>>, ()| async move {
            println!("{} documents at once", jobs.len());
            // One answer for each job, in order: one bad document keeps no other back.
            let index = |job: &Job<Document>| match &*job.payload().text {
                "" => Err(Failure::fatal(format!("document {} is empty", job.payload().id)).kind("empty")),
                text => Ok(text.len()),
            };
            jobs.iter().map(index).collect()
        },
    );
    let ran = worker.run_due().await?;
    println!("{} indexed, {} failed", ran.completed, ran.failed);
    Ok(())
}
