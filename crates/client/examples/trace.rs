//! One trace from the request that wanted something, through its job, to the job that its handler enqueued.
//!
//! ```text
//! cargo run -p tidegate --features testing --example trace
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use tidegate::testing::Engine;
use tidegate::trace::{self, TraceParent};
use tidegate::{Client, Failure, Job, Worker};

/// A job that was enqueued outside of any trace has none.
fn shown(trace: Option<TraceParent>) -> String {
    trace.map_or_else(|| "no trace".into(), |trace| trace.to_string())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::new();
    let client = engine.client();

    // What a web framework does with the header of a request; here is a new trace.
    let request = TraceParent::root();
    println!("the request:          {request}");
    let enqueue = async { client.queue("orders").enqueue("ship", &7).await };
    trace::scope(request, enqueue).await?;

    let worker = Worker::new(&client)
        .queue("orders")
        .queue("mail")
        .state(client.clone())
        .handle("ship", |job: Job<u64>, client: Client| async move {
            println!("the handler of ship:  {}", shown(trace::current()));
            // Enqueued in here, a job goes on with the trace by itself.
            client.queue("mail").enqueue("receipt", job.payload()).await?;
            Ok::<(), Failure>(())
        })
        .handle("receipt", |_: Job<u64>, _| async {
            println!("the handler of mail:  {}", shown(trace::current()));
            Ok::<(), Failure>(())
        });
    let ran = engine.run_due(&worker).await;
    println!("{} jobs, one trace: {:032x}", ran.completed, request.trace_id());
    Ok(())
}
