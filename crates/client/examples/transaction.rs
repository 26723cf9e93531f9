//! Several things or none of them: a handler's follow-up jobs are there if and only if its own job is done.
//!
//! ```text
//! tidegate serve &
//! cargo run -p tidegate --example transaction
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use tidegate::Client;
use tidegate::api::lease::LeaseRequest;

#[tokio::main]
async fn main() -> Result<(), tidegate::Error> {
    let server = std::env::var("TIDEGATE_SERVER").unwrap_or_else(|_| "http://127.0.0.1:7420".into());
    let client = Client::connect(&server)?;
    let (orders, mail, stock) = (client.queue("orders"), client.queue("mail"), client.queue("stock"));

    // Two jobs in two queues, both or neither, once however often it is said.
    let order = || {
        client
            .transaction()
            .enqueue(orders.job("ship", &serde_json::json!({ "order": 7 })))
            .enqueue(mail.job("receipt", &serde_json::json!({ "order": 7 })))
            .idempotency_key("order-7")
    };
    let (first, again) = (order().commit().await?, order().commit().await?);
    assert_eq!(first, again);
    let ids: Vec<String> = first.iter().filter_map(|result| Some(result.job()?.id.to_string())).collect();
    println!("{}; said again, the same", ids.join(" and "));

    // Whoever ships the order completes it and enqueues what follows, in one record.
    let lease = LeaseRequest { queues: vec!["orders".into()], max: Some(1), ..LeaseRequest::default() };
    for job in client.lease(&lease).await? {
        let done = client
            .transaction()
            .complete_with(job.id, job.token, &"shipped")
            .enqueue(stock.job("reorder", &serde_json::json!({ "order": 7 })))
            .commit()
            .await?;
        if let (Some(own), Some(next)) = (done[0].job(), done[1].job()) {
            println!("{} is {}, and {} follows", own.id, own.state, next.id);
        }
    }

    // One that cannot be keeps all of it out, and says which it was.
    let refused = client
        .transaction()
        .enqueue(orders.job("ship", &8))
        .enqueue(mail.job("receipt", &8).priority(12))
        .commit()
        .await;
    if let Err(error) = refused {
        println!("operation {:?}: {error}", error.refusal().and_then(|refusal| refusal.operation));
    }
    Ok(())
}
