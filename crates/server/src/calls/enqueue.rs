//! Enqueueing one job or a list.

use bytes::Bytes;
use http::StatusCode;
use tidegate_api::convert::answer::write_enqueued_item;
use tidegate_api::convert::command::{Body, add_job};
use tidegate_api::enqueue::{EnqueueBody, NewJob};
use tidegate_api::id::JobId;
use tidegate_api::read::{Item, read_utf8};
use tidegate_api::refusal::Refused;
use tidegate_api::words::JobState;
use tidegate_api::write;
use tidegate_core::command;
use tidegate_core::outcome;
use tidegate_engine::{Answer, Enqueue};

use crate::calls::items::Bad;
use crate::door::{Asked, Refusing, now};
use crate::reply::{Reply, json_bytes, marked};

/// What a body asks for, ready for the engine.
enum Batch {
    One(Enqueue),
    List(Enqueue, Bad),
}

pub(crate) async fn enqueue(asked: Asked<'_>, queue: &str) -> Result<Reply, Refusing> {
    let engine = asked.door.engine();
    let (body, key) = asked.json().await?;
    match batch(queue, &body.bytes)? {
        Batch::One(batch) => {
            let Answer { value, replayed } = engine.enqueue(batch, key).await?;
            let item = value.first().copied().expect("one job has one item");
            Ok(marked(accepted(item, replayed)?.reply(queue), replayed))
        }
        Batch::List(batch, bad) => {
            // A list of which nothing is good asks for nothing.
            let Answer { value, replayed } = match batch.payloads.is_empty() {
                true => Answer { value: Vec::new(), replayed: false },
                false => engine.enqueue(batch, key).await?,
            };
            Ok(marked(list(value, bad), replayed))
        }
    }
}

fn batch(queue: &str, body: &Bytes) -> Result<Batch, Refused> {
    match EnqueueBody::read(read_utf8(body)?)? {
        EnqueueBody::One(job) => {
            let mut batch = new_batch(queue, 1);
            add(&mut batch, *job, body);
            Ok(Batch::One(batch))
        }
        EnqueueBody::List(items) => {
            let (batch, bad) = sort(queue, items, body);
            Ok(Batch::List(batch, bad))
        }
    }
}

/// A batch of the good items of a list, and the bad ones. What the items borrow lies in `body`.
pub(crate) fn sort(queue: &str, items: Vec<Item<NewJob<'_>>>, body: &Bytes) -> (Enqueue, Bad) {
    let mut batch = new_batch(queue, items.len());
    let bad = Bad::sort(items, |job| add(&mut batch, job, body));
    (batch, bad)
}

/// An empty batch with room for so many jobs.
pub(crate) fn new_batch(queue: &str, jobs: usize) -> Enqueue {
    let mut batch = Enqueue { command: command::Enqueue::new(queue), payloads: Vec::with_capacity(jobs) };
    batch.command.jobs.reserve_exact(jobs);
    batch
}

/// Adds a job to a batch. What it borrows lies in `body`.
pub(crate) fn add(batch: &mut Enqueue, job: NewJob<'_>, body: &Bytes) {
    add_job(batch, job, Body::Shared(body)).expect("a job that was checked has a readable payload");
}

/// An accepted job, or the one that was there already.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Accepted {
    id: JobId,
    state: JobState,
    duplicate: bool,
}

impl Accepted {
    /// The status it is answered with.
    pub(crate) fn status(self) -> StatusCode {
        if self.duplicate { StatusCode::OK } else { StatusCode::CREATED }
    }

    /// Writes its JSON.
    pub(crate) fn write(self, out: &mut Vec<u8>, queue: &str) {
        write::enqueued(out, self.id, queue, self.state, self.duplicate);
    }

    fn reply(self, queue: &str) -> Reply {
        let mut out = Vec::with_capacity(96);
        self.write(&mut out, queue);
        json_bytes(self.status(), out)
    }
}

/// What became of a job that was the whole request.
pub(crate) fn accepted(item: outcome::Item, replayed: bool) -> Result<Accepted, Refusing> {
    let (id, state, duplicate) = match item {
        outcome::Item::Is { id, state, .. } => (id, state, false),
        outcome::Item::Duplicate { id, state } => (id, state, true),
        outcome::Item::Refused(refusal) => return Err(Refusing::item(refusal, replayed)),
        outcome::Item::Pool(_) => {
            return Err(Refusing::item(outcome::Refusal::IdempotencyMismatch, replayed));
        }
    };
    Ok(Accepted { id: id.into(), state: state.into(), duplicate })
}

fn list(items: Vec<outcome::Item>, bad: Bad) -> Reply {
    let now = now();
    let mut out = Vec::with_capacity(16 + items.len() * 40);
    out.extend_from_slice(b"{\"results\":");
    bad.write(&mut out, items, |out, item| write_enqueued_item(out, item, now));
    out.push(b'}');
    json_bytes(StatusCode::OK, out)
}
