//! From requests to commands.
//!
//! Payloads are not copied: given the body they were read from, an envelope's bytes are a slice of it.

use bytes::Bytes;
use tidegate_core::command::{self, DeadFilter, Lease, NewJobMore, Pause};
use tidegate_core::id::When;
use tidegate_core::policy;
use tidegate_core::view::JobFilter;
use tidegate_core::{Time, Token};
use tidegate_engine::{Enqueue, Envelope, Metadata, Transaction};

use crate::convert::pool::{self, Said, SaidOf};
use crate::dead::{DeleteDeadRequest, RedriveRequest};
use crate::enqueue::{NewJob, NewPayload, Retry, Unique};
use crate::job::EditJob;
use crate::lease::LeaseRequest;
use crate::limits;
use crate::query::{DeadQuery, JobsQuery};
use crate::queue::{PauseRequest, QueueConfig};
use crate::refusal::{Refusal, Refused};
use crate::settle::{Complete, Extend, Fail, Release};
use crate::transaction::{EnqueueOperation, Operation, TransactionRequest};
use crate::value::Text;
use crate::words::{OnConflict, UniqueUntil};

/// Where requests were read from, so that payloads can be slices of it.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// What is borrowed in the request lies in these bytes.
    Shared(&'a Bytes),
    /// The request has it from elsewhere; payloads are copied.
    Elsewhere,
}

impl Body<'_> {
    fn bytes_of(self, text: &str) -> Bytes {
        match self {
            Self::Shared(body) => body.slice_ref(text.as_bytes()),
            Self::Elsewhere => Bytes::copy_from_slice(text.as_bytes()),
        }
    }

    fn envelope(self, payload: NewPayload<'_>) -> Envelope {
        match payload {
            // What is not there need not be stored: an empty envelope reads as null.
            NewPayload::Json("null") => Envelope::default(),
            NewPayload::Json(text) => Envelope::json(self.bytes_of(text)),
            NewPayload::Bytes(bytes) => Envelope::bytes(bytes),
        }
    }
}

/// Adds a job to a batch.
///
/// # Errors
/// A `payload_base64` that is not base64, which a job that was checked does not have.
pub fn add_job(batch: &mut Enqueue, job: NewJob<'_>, body: Body<'_>) -> Result<(), Refused> {
    let kind = batch.command.kind(job.kind.as_deref().unwrap_or(limits::KIND_DEFAULT));
    let (job, payload) = new_job(job, body)?;
    batch.command.jobs.push(command::NewJob { kind, ..job });
    batch.payloads.push(payload);
    Ok(())
}

/// A job without its kind, and its payload.
fn new_job(job: NewJob<'_>, body: Body<'_>) -> Result<(command::NewJob, Envelope), Refused> {
    let mut envelope = body.envelope(job.payload()?);
    if let Some(metadata) = job.metadata {
        let entry = |(name, value): (Text<'_>, Text<'_>)| Metadata { name: name.into(), value: value.into() };
        envelope.metadata = metadata.into_entries().into_iter().map(entry).collect();
    }
    envelope.traceparent = job.traceparent.map(String::from);

    let has_more = job.expires_at.is_some()
        || job.expires_in_ms.is_some()
        || job.ordering_key.is_some()
        || job.fairness_key.is_some()
        || job.unique.is_some()
        || job.retry.is_some()
        || job.dependency.is_some();
    let more = has_more.then(|| {
        Box::new(NewJobMore {
            expires_at: when(job.expires_at.map(Time::from), job.expires_in_ms),
            ordering_key: job.ordering_key.map(String::from),
            on_failure: job.on_failure.map(policy::OnFailure::from),
            fairness_key: job.fairness_key.map(String::from),
            unique: job.unique.map(unique),
            retry: job.retry.map(retry),
            dependency: job.dependency.map(String::from),
        })
    });
    let job = command::NewJob {
        priority: job.priority.unwrap_or(limits::PRIORITY_DEFAULT),
        run_at: when(job.run_at.map(Time::from), job.delay_ms),
        more,
        ..command::NewJob::new(0)
    };
    Ok((job, envelope))
}

/// A transaction, and what its answer says again of the request.
///
/// # Errors
/// As [`add_job`].
pub fn transaction<'a>(
    request: TransactionRequest<'a>,
    body: Body<'_>,
) -> Result<(Transaction, Said<'a>), Refused> {
    let mut transaction = Transaction::default();
    let mut said = Vec::with_capacity(request.operations.len());
    for operation in request.operations {
        let (operation, blob, said_of_it) = match operation {
            Operation::Enqueue(enqueue) => {
                let EnqueueOperation { queue, job } = *enqueue;
                let kind = job.kind.as_deref().unwrap_or(limits::KIND_DEFAULT).to_owned();
                let (job, payload) = new_job(job, body)?;
                let queue = String::from(queue);
                let one = command::EnqueueOne { queue: queue.clone(), kind, job };
                (command::Operation::Enqueue(one), payload, SaidOf::Job(Some(queue)))
            }
            Operation::Complete(done) => {
                let (done, result) = complete(done, body);
                (command::Operation::Complete(done), result, SaidOf::Job(None))
            }
            Operation::Pool(request) => {
                let (operation, named) = pool::request(request);
                (command::Operation::Pool(operation), Envelope::default(), SaidOf::Pool(named))
            }
        };
        transaction.command.operations.push(operation);
        transaction.blobs.push(blob);
        said.push(said_of_it);
    }
    transaction.command.conditions = request.conditions.iter().map(pool::condition).collect();
    Ok((transaction, Said { operations: said, conditions: request.conditions }))
}

fn when(at: Option<Time>, in_ms: Option<u64>) -> Option<When> {
    at.map(When::At).or(in_ms.map(When::In))
}

fn unique(unique: Unique<'_>) -> policy::Unique {
    policy::Unique {
        key: unique.key.into(),
        until: unique.until.unwrap_or(UniqueUntil::Completed).into(),
        duration_ms: unique.duration_ms.unwrap_or(0),
        on_conflict: unique.on_conflict.unwrap_or(OnConflict::Return).into(),
    }
}

fn retry(retry: Retry) -> policy::Retry {
    let default = policy::Retry::DEFAULT;
    policy::Retry {
        max_attempts: retry.max_attempts.unwrap_or(default.max_attempts),
        delay_ms: retry.delay_ms.unwrap_or(default.delay_ms),
        // A float is exact enough for three decimals, and from here on it is an integer.
        factor_permille: retry
            .factor
            .map_or(default.factor_permille, |factor| (factor * 1_000.0).round() as u32),
        delay_ms_max: retry.delay_max_ms.unwrap_or(default.delay_ms_max),
        jitter_percent: retry.jitter_percent.map_or(default.jitter_percent, u32::from),
    }
}

/// A completion, and the envelope of its result (empty if there is none).
pub fn complete(complete: Complete<'_>, body: Body<'_>) -> (command::Complete, Envelope) {
    let result =
        complete.result.map_or_else(Envelope::default, |json| Envelope::json(body.bytes_of(json.text())));
    (command::Complete { id: complete.id.into(), token: Token(complete.token), result_len: 0 }, result)
}

/// A failure.
pub fn fail(fail: Fail<'_>) -> command::Fail {
    command::Fail {
        id: fail.id.into(),
        token: Token(fail.token),
        message: fail.error.message_kept().to_owned(),
        kind: fail.error.kind.map(String::from),
        dependency: fail.error.dependency.map(String::from),
        retry_after_ms: fail.retry_after_ms,
        fatal: fail.fatal.unwrap_or(false),
    }
}

/// A heartbeat.
pub fn extend(extend: Extend<'_>) -> command::Extend {
    command::Extend {
        id: extend.id.into(),
        token: Token(extend.token),
        lease_ms: extend.lease_ms,
        progress: extend.progress.map(|json| json.text().as_bytes().into()),
    }
}

/// A job given back.
pub fn release(release: Release) -> command::Release {
    command::Release { id: release.id.into(), token: Token(release.token) }
}

/// A wish for jobs. How long it waits is said to the engine beside it.
pub fn lease(lease: LeaseRequest<'_>) -> Lease {
    Lease {
        max: lease.max(),
        lease_ms: lease.lease_ms,
        queues: lease.queues.into_iter().map(String::from).collect(),
        worker: lease.worker.map(String::from).unwrap_or_default(),
        kinds: lease.kinds.unwrap_or_default().into_iter().map(String::from).collect(),
    }
}

/// A dead job's new payload.
///
/// # Errors
/// A request without a payload or with one that is not base64, which one that was checked is not.
pub fn edit(edit: &EditJob<'_>, body: Body<'_>) -> Result<Envelope, Refused> {
    Ok(body.envelope(edit.payload()?))
}

/// A queue's configuration, defaults resolved.
pub fn queue_config(config: QueueConfig) -> policy::QueueConfig {
    let default = policy::QueueConfig::DEFAULT;
    policy::QueueConfig {
        retry: retry(config.retry.unwrap_or_default()),
        lease_ms: config.lease_ms.unwrap_or(default.lease_ms),
        on_failure: config
            .on_failure
            .map_or(default.on_failure, |on_failure| policy::OnFailure::from(on_failure) as i32),
        jobs_max: config.jobs_max.unwrap_or(default.jobs_max),
        retain_ms: config.retain_ms.unwrap_or(default.retain_ms),
        retain_max: config.retain_max.unwrap_or(default.retain_max),
    }
}

/// A pause (`paused`) or a resume.
pub fn pause(queue: &str, request: PauseRequest<'_>, paused: bool) -> Pause {
    Pause { queue: queue.into(), ordering_key: request.ordering_key.map(String::from), paused }
}

/// A redrive of a queue's dead jobs.
pub fn redrive(queue: &str, request: RedriveRequest<'_>) -> command::Redrive {
    command::Redrive {
        rate_per_s: request.rate_per_s,
        stop_after_dead: request.stop_after_dead.unwrap_or(limits::REDRIVE_STOP_AFTER_DEFAULT),
        filter: DeadFilter {
            queue: queue.into(),
            ids: request.ids.unwrap_or_default().into_iter().map(Into::into).collect(),
            kind: request.kind.map(String::from),
            cause: request.cause.map(u64::from),
            reason: request.reason.map(Into::into),
            before: request.before.map(Time::from),
        },
    }
}

/// Which of a queue's dead jobs are to be deleted.
pub fn delete_dead(queue: &str, request: DeleteDeadRequest<'_>) -> DeadFilter {
    DeadFilter {
        queue: queue.into(),
        ids: request.ids.unwrap_or_default().into_iter().map(Into::into).collect(),
        kind: request.kind.map(String::from),
        cause: request.cause.map(u64::from),
        reason: request.reason.map(Into::into),
        before: request.before.map(Time::from),
    }
}

/// The engine's place of a page's cursor; the beginning if there is none.
///
/// # Errors
/// A cursor that no page has named.
pub fn cursor(cursor: Option<&str>) -> Result<u64, Refused> {
    let Some(cursor) = cursor else { return Ok(0) };
    let written_by_us = cursor.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let place = u64::from_str_radix(cursor, 16).ok().filter(|_| written_by_us);
    place.ok_or_else(|| unknown_cursor(cursor))
}

pub(super) fn unknown_cursor(cursor: &str) -> Refused {
    Box::new(Refusal::invalid_value("cursor", cursor, "a cursor that an earlier page named"))
}

/// How many jobs a page has at most.
pub fn page_jobs(limit: Option<u32>) -> usize {
    limit.unwrap_or(limits::PAGE_JOBS_DEFAULT) as usize
}

/// Which jobs a list shows, asked `now`.
pub fn jobs_filter(query: JobsQuery, now: Time) -> JobFilter {
    JobFilter {
        queue: query.queue,
        state: query.state.map(Into::into),
        kind: query.kind,
        ordering_key: query.ordering_key,
        enqueued_before: query.older_than_ms.map(|age_ms| Time(now.0.saturating_sub(age_ms))),
        ..JobFilter::default()
    }
}

/// Which of a queue's dead jobs a list shows.
pub fn dead_filter(queue: &str, query: DeadQuery) -> JobFilter {
    JobFilter {
        queue: Some(queue.into()),
        kind: query.kind,
        cause: query.cause.map(u64::from),
        reason: query.reason.map(Into::into),
        ..JobFilter::default()
    }
}
