//! Giving work: the short way, and with everything that a job may have.
//!
//! ```text
//! tidegate serve &
//! cargo run -p tidegate --example enqueue
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use tidegate::Client;
use tidegate::api::enqueue::Unique;
use tidegate::api::refusal::Code;
use tidegate::api::words::UniqueUntil;

#[derive(serde::Serialize)]
struct SendEmail {
    user_id: u64,
}

#[tokio::main]
async fn main() -> Result<(), tidegate::Error> {
    let server = std::env::var("TIDEGATE_SERVER").unwrap_or_else(|_| "http://127.0.0.1:7420".into());
    let client = Client::connect(&server)?;

    // Once this answers, the job is on the disk.
    let mail = client.queue("mail");
    let job = mail.enqueue("send_email", &SendEmail { user_id: 1001 }).await?;
    println!("{} is {}", job.id, job.state);

    // The same intention, said twice under one key, is one job.
    let welcome = || mail.job("send_email", &SendEmail { user_id: 1002 }).idempotency_key("welcome-1002");
    let (first, second) = (welcome().enqueue().await?, welcome().enqueue().await?);
    println!("{} and {} are the same", first.id, second.id);

    // Ten quick changes to a document make one job, as long as it has not begun.
    let unique = Unique {
        key: "document-4".into(),
        until: Some(UniqueUntil::Started),
        duration_ms: None,
        on_conflict: None,
    };
    for _ in 0..10 {
        client.queue("index").job("reindex", &"document-4").unique(unique.clone()).enqueue().await?;
    }

    // In an order, later, not too late, and no more often than three times.
    client
        .queue("payments")
        .job("refund", &serde_json::json!({ "payment": 77, "cents": 1250 }))
        .ordering_key("account-9")
        .delay(Duration::from_secs(5))
        .expires_in(Duration::from_secs(3_600))
        .max_attempts(3)
        .priority(2)
        .metadata("source", "support")
        .enqueue()
        .await?;

    // A refusal is a value with a code.
    match mail.job("send_email", &SendEmail { user_id: 1 }).priority(12).enqueue().await {
        Err(error) if error.code() == Some(Code::InvalidValue) => {
            println!("refused as it should be: {error}")
        }
        other => println!("unexpected: {other:?}"),
    }
    Ok(())
}
