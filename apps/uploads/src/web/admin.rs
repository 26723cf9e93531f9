//! Behind the counter, for load tests: the backlog, the account of every upload, and the workers' life and death. Only
//! served when the service is started with `--admin`.

use std::collections::{HashMap, HashSet};
use std::io::Write;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tidegate::Client;
use tidegate::api::job::Job;
use tidegate::api::query::JobsQuery;
use tidegate::api::words::JobState;
use tokio::sync::mpsc;

use super::Reach;
use crate::app::{KINDS, QUEUES, away};
use crate::problem::Problem;
use crate::store::Upload;

/// Jobs that one page of a listing has.
const PAGE: u32 = 1_000;
/// Bytes of an account sent at once.
const PIECE_BYTES: usize = 64 << 10;

pub(super) async fn backlog(State(reach): State<Reach>) -> Result<Json<Value>, Problem> {
    let mut backlog = Map::new();
    for name in QUEUES {
        let queue = reach.app.client.show_queue(name).await.map_err(|error| away(&error))?;
        let counts = queue.counts;
        let counts = json!({
            "ready": counts.ready, "scheduled": counts.scheduled, "leased": counts.leased, "dead": counts.dead,
        });
        backlog.insert(name.into(), counts);
    }
    Ok(Json(backlog.into()))
}

#[derive(Deserialize)]
pub(super) struct Alive {
    alive: bool,
}

pub(super) async fn workers(State(reach): State<Reach>, Json(Alive { alive }): Json<Alive>) -> Json<Value> {
    match alive {
        true => reach.staff.revive(),
        false => reach.staff.kill(),
    }
    Json(json!({ "alive": alive }))
}

/// Every upload with what came of it: a line of JSON each.
pub(super) async fn account(State(reach): State<Reach>) -> Result<Response, Problem> {
    let jobs = Jobs::list(&reach.app.client).await.map_err(|error| away(&error))?;
    let (pieces, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(4);
    let app = reach.app.clone();
    tokio::task::spawn_blocking(move || {
        let mut piece = Vec::with_capacity(2 * PIECE_BYTES);
        for id in app.store.newest(usize::MAX) {
            let Ok(Some(upload)) = app.store.upload(id) else { continue };
            serde_json::to_writer(&mut piece, &line(&upload, &jobs)).expect("a line is JSON");
            piece.write_all(b"\n").expect("memory takes it");
            if piece.len() >= PIECE_BYTES {
                let full = std::mem::replace(&mut piece, Vec::with_capacity(2 * PIECE_BYTES));
                if pieces.blocking_send(Ok(full.into())).is_err() {
                    return;
                }
            }
        }
        let _ = pieces.blocking_send(Ok(piece.into()));
    });
    let body = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(body)).into_response())
}

/// The store says what is there, the engine what is not done and why. (Who counts the mails in the mailbox itself need
/// believe neither.)
fn line(upload: &Upload, jobs: &Jobs) -> Value {
    let ids = upload.jobs.as_ref();
    let dead = KINDS.into_iter().zip(ids.into_iter().flatten()).filter_map(|(kind, id)| {
        jobs.dead.get(id).map(|cause| (kind.to_owned(), Value::from(cause.as_str())))
    });
    let email = ids.map(|ids| &ids[1]).filter(|id| !jobs.undone_mails.contains(*id));
    json!({
        "id": upload.id.to_string(),
        "key": upload.client_key,
        "thumbnails": upload.thumbnails.map_or(0, |sizes| sizes.len()),
        "emails": email.into_iter().collect::<Vec<_>>(),
        "notifications": u8::from(upload.notified),
        "dead": dead.collect::<Map<_, _>>(),
    })
}

/// What the engine has that is not done.
struct Jobs {
    /// By id, with the last error.
    dead: HashMap<String, String>,
    /// Mails that are not done, by id.
    undone_mails: HashSet<String>,
}

impl Jobs {
    async fn list(client: &Client) -> Result<Self, tidegate::Error> {
        let mut dead = HashMap::new();
        for queue in QUEUES {
            for job in all(client, queue, JobState::Dead).await? {
                let cause = client.job(job.id, std::time::Duration::ZERO).await?;
                let cause = cause.errors.last().map_or("no error", |error| &error.message).to_owned();
                dead.insert(job.id.to_string(), cause);
            }
        }
        let mut undone_mails = HashSet::new();
        for state in [JobState::Scheduled, JobState::Ready, JobState::Leased, JobState::Dead] {
            undone_mails
                .extend(all(client, QUEUES[1], state).await?.into_iter().map(|job| job.id.to_string()));
        }
        Ok(Self { dead, undone_mails })
    }
}

/// Every job of a queue in a state, page by page.
async fn all(client: &Client, queue: &str, state: JobState) -> Result<Vec<Job>, tidegate::Error> {
    let mut jobs = Vec::new();
    let mut query = JobsQuery {
        queue: Some(queue.into()),
        state: Some(state),
        limit: Some(PAGE),
        ..JobsQuery::default()
    };
    loop {
        let page = client.jobs(&query).await?;
        jobs.extend(page.jobs);
        match page.cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return Ok(jobs),
        }
    }
}
