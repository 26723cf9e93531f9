//! Is it alive, does writing work, and what can be asked.

use http::StatusCode;
use tidegate_api::refusal::{Code, Refusal};

use crate::body::RequestBody;
use crate::door::{Asked, Door, Refusing};
use crate::limits::{READY_TIMEOUT, READY_WITHIN};
use crate::reply::{Reply, json_bytes, problem, text};

/// The process lives; that it answers is the answer.
pub(crate) fn live() -> Reply {
    text("ok\n")
}

/// A write reached the disk of every shard lately, or one is tried now. Every failure says why.
pub(crate) async fn ready(asked: Asked<'_>) -> Result<Reply, Refusing> {
    let not_ready = |why: String| Refusal::new(Code::NotReady, why).with_retry_after_ms(1_000);
    match tokio::time::timeout(READY_TIMEOUT, asked.door.engine().readiness(READY_WITHIN)).await {
        Ok(Ok(_)) => Ok(text("ready\n")),
        Ok(Err(error)) => Err(not_ready(format!("A shard cannot write: {error}.")).into()),
        Err(_) => {
            let seconds = READY_TIMEOUT.as_secs();
            Err(not_ready(format!("A probe write has not reached the disk in {seconds} seconds.")).into())
        }
    }
}

/// The OpenAPI document, made once at the start.
pub(crate) fn openapi(asked: Asked<'_>) -> Reply {
    json_bytes(StatusCode::OK, asked.door.openapi())
}

/// What this server answers when it does nothing: the measure that single-job requests are held against.
pub(crate) async fn bare(door: &Door, body: RequestBody) -> Reply {
    match door.intake().read(body).await {
        Ok(_) => json_bytes(StatusCode::CREATED, &br#"{"id":"0-1","queue":"bare","state":"ready"}"#[..]),
        Err(refused) => problem(*refused),
    }
}
