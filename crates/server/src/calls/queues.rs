//! Queues: showing, configuring, pausing, resuming.

use http::StatusCode;
use tidegate_api::convert::{answer, command as convert};
use tidegate_api::queue::{KeyAnswer, PauseRequest, Queue, QueueConfig, QueueList};
use tidegate_api::read::{read, read_utf8};
use tidegate_core::Refusal;
use tidegate_engine::Engine;

use crate::door::{Asked, Refusing};
use crate::reply::{Reply, json, marked};

/// Answered from the shards' snapshots: a flood of refreshes asks no shard.
pub(crate) fn list(asked: Asked<'_>) -> Reply {
    let queues = asked.door.engine().queues();
    json(StatusCode::OK, &QueueList { queues: queues.iter().map(answer::queue_summary).collect() })
}

/// Answered from the shards' snapshots too, unless the queue is so young that none shows it yet.
pub(crate) async fn get(asked: Asked<'_>, name: &str) -> Result<Reply, Refusing> {
    let engine = asked.door.engine();
    let queue = match engine.queue(name) {
        Some(queue) => answer::queue(queue),
        None => show_now(engine, name).await?,
    };
    Ok(json(StatusCode::OK, &queue))
}

pub(crate) async fn configure(asked: Asked<'_>, name: &str) -> Result<Reply, Refusing> {
    let engine = asked.door.engine();
    let (body, key) = asked.json().await?;
    let config: QueueConfig = read(read_utf8(&body.bytes)?)?;
    let replayed = engine.configure_queue(name, convert::queue_config(config), key).await?.replayed;
    Ok(marked(json(StatusCode::OK, &show_now(engine, name).await?), replayed))
}

/// Pauses, or resumes, a queue or one ordering key of it.
pub(crate) async fn pause(asked: Asked<'_>, name: &str, paused: bool) -> Result<Reply, Refusing> {
    let engine = asked.door.engine();
    let (body, key) = asked.optional_json().await?;
    let pause = {
        let request: PauseRequest<'_> = read(read_utf8(&body.bytes)?)?;
        convert::pause(name, request, paused)
    };
    let ordering_key = pause.ordering_key.clone();
    let replayed = engine.pause(pause, key).await?.replayed;
    let reply = match ordering_key {
        Some(ordering_key) => {
            json(StatusCode::OK, &KeyAnswer { queue: name.to_owned(), ordering_key, paused })
        }
        None => json(StatusCode::OK, &show_now(engine, name).await?),
    };
    Ok(marked(reply, replayed))
}

/// The queue as the caller's own changes have left it.
async fn show_now(engine: &Engine, name: &str) -> Result<Queue, Refusing> {
    match engine.queue_now(name).await? {
        Some(queue) => Ok(answer::queue(queue)),
        None => Err(Refusing::item(Refusal::QueueNotFound, false)),
    }
}
