//! A worker with typed payloads, shared state, and every way in which a job can end.
//!
//! Start a server with `tidegate serve`, then `cargo run -p tidegate --example worker`. It enqueues a few jobs, works
//! off what is due and ends; a service would call `worker.run()` instead, and go on until it is told to stop.

#![allow(clippy::print_stdout, reason = "an example talks to a terminal")]

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tidegate::{Client, Failure, Job, Worker, WorkerEvent};

#[derive(Debug, Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

/// What the handlers share: here, a mail server that dislikes some addresses.
struct Mailer {
    from: &'static str,
}

impl Mailer {
    fn send(&self, to: &str) -> Result<String, Failure> {
        match to {
            "busy@example.com" => Err(Failure::retry_after(Duration::from_secs(60), "try later")
                .kind("smtp_421")
                .dependency("smtp")),
            "gone@example.com" => Err(Failure::fatal("no such mailbox").kind("smtp_550")),
            _ => Ok(format!("{} -> {to}", self.from)),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:7420".into());
    let client = Client::connect(&server)?;
    for to in ["ada@example.com", "busy@example.com", "gone@example.com"] {
        let enqueued = client.queue("mail").enqueue("send_email", &SendEmail { to: to.into() }).await?;
        println!("{} is for {to}", enqueued.id);
    }

    let worker = Worker::new(&client)
        .queue("mail")
        .concurrency(16)
        .state(Arc::new(Mailer { from: "hello@example.com" }))
        .handle("send_email", |job: Job<SendEmail>, mailer: Arc<Mailer>| async move {
            // What is returned is kept as the job's result.
            mailer.send(&job.payload().to)
        })
        .on_event(|event| match event {
            WorkerEvent::Completed { job, .. } => println!("{} is completed", job.id),
            WorkerEvent::Failed { job, failure, .. } => println!("{} failed: {failure}", job.id),
            _ => {}
        });
    let ran = worker.run_due().await?;
    println!("{} completed, {} failed", ran.completed, ran.failed);
    Ok(())
}
