//! Transactions.

use http::StatusCode;
use tidegate_api::convert::command::Body;
use tidegate_api::convert::{answer, command as convert};
use tidegate_api::read::read_utf8;
use tidegate_api::transaction::TransactionRequest;
use tidegate_engine::Answer;

use crate::door::{Asked, Refusing};
use crate::reply::{Reply, json, marked};

pub(crate) async fn transact(asked: Asked<'_>) -> Result<Reply, Refusing> {
    let engine = asked.door.engine();
    let (body, key) = asked.json().await?;
    let (transaction, queues) = {
        let request = TransactionRequest::read(read_utf8(&body.bytes)?)?;
        convert::transaction(request, Body::Shared(&body.bytes))?
    };
    let Answer { value, replayed } = engine.transact(transaction, key).await?;
    Ok(marked(json(StatusCode::OK, &answer::transaction(queues, value)), replayed))
}
