//! The last seat: one who has it, one who waits, and an offer when it comes free.
//!
//! `cargo run -p tidegate --example pools` beside `tidegate serve`.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use tidegate::Client;
use tidegate::api::pool::condition::Condition;
use tidegate::api::pool::config::PoolConfig;
use tidegate::api::refusal::Code;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), tidegate::Error> {
    let server = std::env::var("TIDEGATE_SERVER").unwrap_or_else(|_| "http://127.0.0.1:7420".into());
    let client = Client::connect(&server)?;
    // Names that one transaction changes together end in the same place.
    let seats = client.pool("cs101-a@autumn");
    seats.configure(&PoolConfig { waitlist_max: Some(20), ..PoolConfig::of(1) }).await?;

    // A seat, and the mail that says so: both or none, and not if she has one already.
    let enrolled = client
        .transaction()
        .when(Condition::has_none("anna", [seats.name()]))
        .take(seats.take("anna"))
        .enqueue(client.queue("mails@autumn").job("enrolled", &"anna"))
        .idempotency_key("anna-cs101-1")
        .commit()
        .await?;
    let anna = enrolled[0].grant().expect("a take brings a grant").clone();
    println!("anna has {}, number {}", anna.pool, anna.fence);

    match seats.take("bert").await {
        Err(error) if error.code() == Some(Code::SoldOut) => println!("sold out; bert joins the line"),
        other => println!("bert: {other:?}"),
    }
    seats.join("bert").await?;
    client.grant(anna.id).release().await?;
    for offer in client.holder("bert").await?.grants {
        println!("bert is offered {} until {:?}", offer.pool, offer.expires_at);
        client.grant(offer.id).confirm().await?;
    }
    println!("{} free, {} taken", seats.show().await?.free, seats.show().await?.taken);
    Ok(())
}
