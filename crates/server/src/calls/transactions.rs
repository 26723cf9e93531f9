//! Transactions.

use http::StatusCode;
use tidegate_api::convert::command::Body;
use tidegate_api::convert::{command as convert, pool};
use tidegate_api::read::read_utf8;
use tidegate_api::transaction::TransactionRequest;
use tidegate_engine::Answer;

use crate::door::{Asked, Refusing};
use crate::reply::{Reply, json, marked};

pub(crate) async fn transact(asked: Asked<'_>) -> Result<Reply, Refusing> {
    let engine = asked.door.engine();
    let (body, key) = asked.json().await?;
    let request = TransactionRequest::read(read_utf8(&body.bytes)?)?;
    let (transaction, said) = convert::transaction(request, Body::Shared(&body.bytes))?;
    match engine.transact_and_show(transaction, key).await {
        Ok(Answer { value, replayed }) => {
            Ok(marked(json(StatusCode::OK, &pool::transaction(&said, value)), replayed))
        }
        Err(error) => Err(Refusing::of_transaction(&error, &said)),
    }
}
