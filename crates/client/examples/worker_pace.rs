//! How fast a worker is when its jobs do nothing: jobs a second, from the first lease to the last handler's end.
//!
//! Needs a server: `tidegate serve`. Then
//! `cargo run --release -p tidegate --example worker_pace -- [jobs] [concurrency] [prefetch] [server]`.

#![allow(clippy::print_stdout, reason = "it is what this program is for")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use tidegate::{
    Client, Job, Worker,
    api::{enqueue::NewJob, value::RawJson},
};
use tokio::sync::Notify;

struct Count {
    left: AtomicUsize,
    done: Notify,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let jobs: usize = arguments.next().map_or(Ok(500_000), |text| text.parse())?;
    let concurrency: usize = arguments.next().map_or(Ok(256), |text| text.parse())?;
    let prefetch: usize = arguments.next().map_or(Ok(0), |text| text.parse())?;
    let server = arguments.next().unwrap_or_else(|| "http://127.0.0.1:7420".into());

    let client = Client::connect(&server)?;
    let job = NewJob {
        kind: Some("nothing".into()),
        payload: Some(RawJson::of(&serde_json::json!({ "user_id": 1001 }))?),
        ..NewJob::default()
    };
    for first in (0..jobs).step_by(1_000) {
        client.enqueue_list("pace", &vec![job.clone(); 1_000.min(jobs - first)]).await?;
    }

    #[derive(serde::Deserialize)]
    struct Nothing {
        user_id: u64,
    }
    let count = Arc::new(Count { left: AtomicUsize::new(jobs), done: Notify::new() });
    let worker = Worker::new(&client)
        .queue("pace")
        .concurrency(concurrency)
        .prefetch(prefetch)
        .state(Arc::clone(&count))
        .handle("nothing", |job: Job<Nothing>, count: Arc<Count>| async move {
            assert_eq!(job.payload().user_id, 1001);
            if count.left.fetch_sub(1, Ordering::Relaxed) == 1 {
                count.done.notify_one();
            }
            Ok(())
        });
    let begin = Instant::now();
    let mut seconds = 0.0;
    let done = async {
        count.done.notified().await;
        seconds = begin.elapsed().as_secs_f64();
    };
    worker.run_until(done).await?;
    println!("{:.0} jobs/s with {concurrency} at once and {prefetch} ahead", jobs as f64 / seconds);
    Ok(())
}
