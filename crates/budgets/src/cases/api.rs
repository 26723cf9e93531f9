//! What a body costs that comes in, and one that goes out: JSON to the engine's calls, and leased jobs to JSON.

use std::hint::black_box;

use bytes::Bytes;
use tidegate_api::convert::command::{Body, add_job};
use tidegate_api::enqueue::EnqueueBody;
use tidegate_api::id::JobId;
use tidegate_api::read::read_utf8;
use tidegate_api::settle::{Complete, read_jobs};
use tidegate_api::time::Timestamp;
use tidegate_api::write::{self, LeasedJobParts, Payload};
use tidegate_core::command;
use tidegate_engine::Enqueue;

use super::{EPOCH_MS, JOBS_PER_ROUND, payload};

fn list_of(item: &str) -> String {
    format!("[{}]", vec![item; JOBS_PER_ROUND].join(","))
}

/// A body as the door would read it.
fn read(body: &Bytes, jobs: usize) {
    let mut batch = Enqueue { command: command::Enqueue::new("mail"), payloads: Vec::with_capacity(jobs) };
    batch.command.jobs.reserve_exact(jobs);
    match EnqueueBody::read(read_utf8(body).expect("it is UTF-8")).expect("it is sound") {
        EnqueueBody::One(job) => add_job(&mut batch, *job, Body::Shared(body)).expect("it is sound"),
        EnqueueBody::List(items) => {
            for item in items {
                add_job(&mut batch, item.expect("it is sound"), Body::Shared(body)).expect("it is sound");
            }
        }
    }
    assert_eq!(black_box(batch).payloads.len(), jobs, "every job has its payload");
}

pub(super) fn enqueue(rounds: usize) {
    let body: Bytes = list_of(&format!(r#"{{"payload":{}}}"#, payload())).into();
    for _ in 0..rounds {
        read(&body, JOBS_PER_ROUND);
    }
}

pub(super) fn enqueue_single(rounds: usize) {
    let body: Bytes = format!(r#"{{"kind":"welcome","payload":{}}}"#, payload()).into();
    for _ in 0..rounds * JOBS_PER_ROUND {
        read(&body, 1);
    }
}

pub(super) fn leased(rounds: usize) {
    let payload = payload();
    let now = Timestamp::from_unix_ms(EPOCH_MS);
    let mut out = Vec::new();
    for _ in 0..rounds {
        out.clear();
        write::object_of_list(&mut out, "jobs", 0..JOBS_PER_ROUND as u64, |out, i| {
            let job = LeasedJobParts {
                id: JobId { shard: 0, sequence: 123_456_789 + i },
                queue: "mail",
                kind: "welcome",
                payload: Payload::Json(payload.as_bytes()),
                priority: 5,
                attempt: 1,
                max_attempts: 5,
                token: 123_456_789,
                lease_expires_at: now,
                enqueued_at: now,
                ordering_key: None,
                fairness_key: None,
                dependency: None,
                traceparent: None,
                metadata: &[],
                progress: None,
            };
            write::leased_job(out, &job);
        });
        black_box(&out);
    }
}

pub(super) fn complete(rounds: usize) {
    let body = format!(r#"{{"jobs":{}}}"#, list_of(r#"{"id":"0-123456789","token":123456789}"#));
    for _ in 0..rounds {
        let jobs = read_jobs::<Complete<'_>>(black_box(&body)).expect("it is sound");
        assert_eq!(black_box(jobs).len(), JOBS_PER_ROUND, "every item is read");
    }
}
