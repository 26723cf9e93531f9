//! What happens when a worker is told to stop: what runs may finish, what was only leased ahead is given back, and what
//! does not finish within the grace is cut off and given back too. Nothing is lost, and no attempt is counted.
//!
//! Start a server with `tidegate serve`, then `cargo run -p tidegate --example worker_shutdown`. A service would call
//! `worker.run()`, which stops at SIGTERM or Ctrl-C; here the stop comes as soon as two jobs have begun.

#![allow(clippy::print_stdout, reason = "an example talks to a terminal")]

use std::{sync::Arc, time::Duration};

use tidegate::{Client, Failure, Job, Worker, WorkerEvent};
use tokio::sync::Semaphore;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:7420".into());
    let client = Client::connect(&server)?;
    for seconds in [1, 3_600, 1, 1] {
        client.queue("slow").enqueue("sleep", &seconds).await?;
    }

    let begun = Arc::new(Semaphore::new(0));
    let worker = Worker::new(&client)
        .queue("slow")
        .concurrency(2)
        .prefetch(2)
        .grace(Duration::from_secs(3))
        .state(Arc::clone(&begun))
        .handle("sleep", |job: Job<u64>, begun: Arc<Semaphore>| async move {
            begun.add_permits(1);
            tokio::time::sleep(Duration::from_secs(*job.payload())).await;
            Ok::<_, Failure>(())
        })
        .on_event(|event| match event {
            WorkerEvent::Started { job, .. } => println!("{} has begun", job.id),
            WorkerEvent::Completed { job, .. } => println!("{} is completed", job.id),
            WorkerEvent::Released { job, .. } => println!("{} is given back", job.id),
            WorkerEvent::Stopping { running, grace, .. } => {
                println!("stopping: {running} have {grace:?} to finish")
            }
            WorkerEvent::Stopped { .. } => println!("stopped"),
            _ => {}
        });
    worker.run_until(async { drop(begun.acquire_many(2).await) }).await?;
    Ok(())
}
