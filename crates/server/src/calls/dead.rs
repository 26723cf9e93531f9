//! Dead letters: listing, causes, redriving, deleting.

use http::StatusCode;
use tidegate_api::convert::{answer, command as convert};
use tidegate_api::dead::{CauseList, DeleteDeadRequest, DeletedAnswer, RedriveAnswer, RedriveRequest};
use tidegate_api::query::DeadQuery;
use tidegate_api::read::{read, read_utf8};
use tidegate_core::Refusal;

use crate::calls::jobs::ensure_queue;
use crate::door::{Asked, Refusing};
use crate::reply::{Reply, json, marked};

pub(crate) async fn list(asked: Asked<'_>, queue: &str) -> Result<Reply, Refusing> {
    let query = DeadQuery::read(asked.query())?;
    let (limit, cursor) = (convert::page_jobs(query.limit), convert::cursor(query.cursor.as_deref())?);
    let engine = asked.door.engine();
    let page = engine.dead(convert::dead_filter(queue, query), cursor, limit).await?;
    if page.jobs.is_empty() {
        ensure_queue(engine, queue).await?;
    }
    Ok(json(StatusCode::OK, &answer::page(page)))
}

pub(crate) async fn causes(asked: Asked<'_>, queue: &str) -> Result<Reply, Refusing> {
    match asked.door.engine().causes(queue).await? {
        Some(causes) => {
            let causes = causes.into_iter().filter_map(answer::cause).collect();
            Ok(json(StatusCode::OK, &CauseList { causes }))
        }
        None => Err(Refusing::item(Refusal::QueueNotFound, false)),
    }
}

pub(crate) async fn redrive(asked: Asked<'_>, queue: &str) -> Result<Reply, Refusing> {
    let engine = asked.door.engine();
    let (body, key) = asked.optional_json().await?;
    let command = {
        let request: RedriveRequest<'_> = read(read_utf8(&body.bytes)?)?;
        convert::redrive(queue, request)
    };
    let redriving = engine.redrive(command, key).await?;
    let answer = RedriveAnswer { redrive: answer::redrive(queue, &redriving.value) };
    Ok(marked(json(StatusCode::ACCEPTED, &answer), redriving.replayed))
}

/// Deletes all that match, a bounded number with each command, so that nobody else waits for long.
pub(crate) async fn delete(asked: Asked<'_>, queue: &str) -> Result<Reply, Refusing> {
    let engine = asked.door.engine();
    let (body, key) = asked.json().await?;
    let filter = {
        let request: DeleteDeadRequest<'_> = read(read_utf8(&body.bytes)?)?;
        convert::delete_dead(queue, request)
    };
    let (mut deleted, mut replayed) = (0, false);
    for part in 0.. {
        let part_key = key.as_ref().map(|key| key.part(part));
        let answer = engine.delete_dead(filter.clone(), part_key).await?;
        deleted += answer.value.deleted;
        replayed |= part == 0 && answer.replayed;
        if !answer.value.more {
            break;
        }
    }
    Ok(marked(json(StatusCode::OK, &DeletedAnswer { deleted }), replayed))
}
