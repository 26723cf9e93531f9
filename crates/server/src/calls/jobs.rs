//! Single jobs, and lists of them.

use std::time::Duration;

use http::StatusCode;
use tidegate_api::convert::{answer, command as convert};
use tidegate_api::id::JobId;
use tidegate_api::job::{EditJob, Job, JobStateAnswer};
use tidegate_api::query::{JobsQuery, WaitQuery};
use tidegate_api::read::{read, read_utf8};
use tidegate_core::{Refusal, outcome::Item};
use tidegate_engine::{Answer, Engine};

use crate::door::{Asked, Refusing, now};
use crate::reply::{Reply, json, marked};

pub(crate) async fn get(asked: Asked<'_>, id: JobId) -> Result<Reply, Refusing> {
    let query = WaitQuery::read(asked.query())?;
    let wait = Duration::from_millis(query.wait_ms.unwrap_or(0));
    Ok(json(StatusCode::OK, &show(asked.door.engine(), id, wait, false).await?))
}

pub(crate) async fn list(asked: Asked<'_>) -> Result<Reply, Refusing> {
    let query = JobsQuery::read(asked.query())?;
    let (limit, cursor) = (convert::page_jobs(query.limit), convert::cursor(query.cursor.as_deref())?);
    let engine = asked.door.engine();
    let queue = query.queue.clone();
    let page = engine.list(convert::jobs_filter(query, now()), cursor, limit).await?;
    if let (true, Some(queue)) = (page.jobs.is_empty(), queue) {
        ensure_queue(engine, &queue).await?;
    }
    Ok(json(StatusCode::OK, &answer::page(page)))
}

pub(crate) async fn cancel(asked: Asked<'_>, id: JobId) -> Result<Reply, Refusing> {
    let engine = asked.door.engine();
    let (_body, key) = asked.optional_json().await?;
    let Answer { value, replayed } = engine.cancel(id.into(), key).await?;
    match value {
        Item::Is { id, state, .. } | Item::Duplicate { id, state } => {
            let answer = JobStateAnswer { id: id.into(), state: state.into() };
            Ok(marked(json(StatusCode::OK, &answer), replayed))
        }
        Item::Refused(refusal) => Err(Refusing::item(refusal, replayed)),
        Item::Pool(_) => Err(Refusing::item(Refusal::IdempotencyMismatch, replayed)),
    }
}

pub(crate) async fn edit(asked: Asked<'_>, id: JobId) -> Result<Reply, Refusing> {
    let engine = asked.door.engine();
    let (body, key) = asked.json().await?;
    let payload = {
        let request: EditJob<'_> = read(read_utf8(&body.bytes)?)?;
        convert::edit(&request, convert::Body::Shared(&body.bytes))?
    };
    let Answer { value, replayed } = engine.edit(id.into(), payload, key).await?;
    if let Item::Refused(refusal) = value {
        return Err(Refusing::item(refusal, replayed));
    }
    Ok(marked(json(StatusCode::OK, &show(engine, id, Duration::ZERO, replayed).await?), replayed))
}

/// The job, with an estimate of its wait from how its queue goes.
async fn show(engine: &Engine, id: JobId, wait: Duration, replayed: bool) -> Result<Job, Refusing> {
    let Some(job) = engine.job(id.into(), wait).await? else {
        return Err(Refusing::item(Refusal::JobNotFound, replayed));
    };
    let completion_per_s = engine.queue(&job.view.queue).map_or(0.0, |queue| queue.completion_per_s);
    Ok(answer::job(job, completion_per_s))
}

/// An empty page may be that of a queue that does not exist, and then says so.
pub(crate) async fn ensure_queue(engine: &Engine, queue: &str) -> Result<(), Refusing> {
    match engine.queue_now(queue).await? {
        Some(_) => Ok(()),
        None => Err(Refusing::item(Refusal::QueueNotFound, false)),
    }
}
