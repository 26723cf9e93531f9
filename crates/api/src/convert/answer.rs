//! From outcomes, views and errors to answers and refusals.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use tidegate_core::outcome::{self, Item};
use tidegate_core::policy;
use tidegate_core::record::RedriveEnd;
use tidegate_core::view::{self, JobView, QueueView, RedriveView};
use tidegate_core::{Time, limits as core_limits};
use tidegate_engine::{CallError, Content, Envelope, Leased, Place, Stored};

use crate::convert::pool::pool_refusal;
use crate::dead::Cause;
use crate::enqueue::{EnqueueResult, Retry};
use crate::id::CauseId;
use crate::job::{Job, JobError, JobPage};
use crate::lease::LeasedJob;
use crate::queue::{Counts, Queue, QueueConfig, QueueSummary, Redrive};
use crate::refusal::{Code, Refusal};
use crate::settle::SettleResult;
use crate::syntax::encode_base64;
use crate::time::Timestamp;
use crate::words::{EndReason, JobState, OnFailure, RedriveState};
use crate::write::{self, LeasedJobParts, Payload};

/// When asking again makes sense after a refusal that goes away as work is done, in ms.
pub(super) const FULL_RETRY_AFTER_MS: u64 = 1_000;

/// What an item about a pool is in an answer about jobs: the repeated answer of another request.
const NOT_OF_JOBS: outcome::Refusal = outcome::Refusal::IdempotencyMismatch;

/// The refusal of the rules, with its sentence. `now` is for saying how long until there is room.
pub fn refusal(refusal: outcome::Refusal, now: Time) -> Refusal {
    use outcome::Refusal as Core;
    let state = |state: view::JobState| JobState::from(state).as_str();
    let plain = |code: Code, detail: &str| Refusal::new(code, detail);
    match refusal {
        Core::JobNotFound => {
            plain(Code::JobNotFound, "There is no such job, or it ended and is no longer kept.")
        }
        Core::QueueNotFound => plain(Code::QueueNotFound, "There is no such queue."),
        Core::StaleToken => plain(
            Code::StaleToken,
            "The lease is over: it lapsed, or the job was handed out again under a higher token.",
        ),
        Core::NotLeased(is) => {
            Refusal::new(Code::NotLeased, format!("The job is {}, not leased.", state(is)))
        }
        Core::JobEnded(is) => {
            Refusal::new(Code::JobEnded, format!("The job has ended: it is {}.", state(is)))
        }
        Core::NotDead(is) => Refusal::new(Code::NotDead, format!("The job is {}, not dead.", state(is))),
        Core::UniqueConflict(id) => Refusal {
            value: Some(id.to_string().into()),
            ..Refusal::new(Code::UniqueConflict, format!("Job {id} holds the unique key."))
        },
        Core::QueueFull(jobs_max) => {
            let detail =
                format!("The queue holds the {jobs_max} unfinished jobs that its `jobs_max` allows.");
            Refusal::new(Code::QueueFull, detail).with_retry_after_ms(FULL_RETRY_AFTER_MS)
        }
        Core::ShardFull(jobs_max) => {
            let detail =
                format!("The shard holds the {jobs_max} jobs that it can, or has no memory for more.");
            Refusal::new(Code::ShardFull, detail).with_retry_after_ms(FULL_RETRY_AFTER_MS)
        }
        Core::TooManyQueues => {
            let detail = format!("The shard has the {} queues that it can.", core_limits::QUEUES_MAX);
            Refusal::new(Code::TooManyQueues, detail).with_retry_after_ms(FULL_RETRY_AFTER_MS)
        }
        Core::TooManyKinds => {
            let detail = format!("The shard has jobs of the {} kinds that it can.", core_limits::KINDS_MAX);
            Refusal::new(Code::TooManyKinds, detail).with_retry_after_ms(FULL_RETRY_AFTER_MS)
        }
        Core::TooFarAhead => {
            plain(Code::TooFarAhead, "`run_at` or `expires_at` is further ahead than 366 days.")
        }
        Core::AlreadyExpired => plain(
            Code::AlreadyExpired,
            "`expires_at` is not after now, or not after `run_at`: the job could never start.",
        ),
        Core::IdempotencyMismatch => {
            plain(Code::IdempotencyMismatch, "This idempotency key came before with another request.")
        }
        Core::IdempotencyFull(room_at) => {
            let detail =
                format!("There is room for another idempotency key at {}.", Timestamp::from(room_at));
            Refusal::new(Code::IdempotencyFull, detail).with_retry_after_ms(room_at.since(now))
        }
        Core::Contradicts(earlier) => {
            let detail = format!(
                "It concerns the unique key, job, grant or place in line that `do[{earlier}]` concerns; a transaction has each \
                 once."
            );
            Refusal::new(Code::InvalidValue, detail)
        }
        Core::Pool(refused) => pool_refusal(refused),
    }
}

/// The refusal of what lies in two shards and must be in one.
fn spans_shards(error: &CallError) -> Refusal {
    let said = sentence(&error.to_string());
    let detail = match error {
        CallError::SpansShards { one, other, .. } if one == other => format!(
            "A transaction is in one shard, and {one} are in all of them: name a `place`, what stands behind the `@` of the \
             pools that are meant."
        ),
        CallError::SpansShards { one: Place::Grant(_), other: Place::Pool(_), .. } => {
            format!(
                "{said} A grant is swapped for one of the same shard: pools whose names end in the same `@` and word."
            )
        }
        _ => format!("{said} Make two of it, each with an idempotency key of its own."),
    };
    Refusal::new(Code::TransactionSpansShards, detail)
}

/// The refusal for a list that brought no answer: as [`call_error`], but none of its items is an operation of a transaction.
pub fn list_error(error: &CallError, now: Time) -> Refusal {
    match error {
        CallError::SpansShards { .. } => spans_shards(error),
        _ => call_error(error, now),
    }
}

/// The refusal for a call that brought no answer.
pub fn call_error(error: &CallError, now: Time) -> Refusal {
    let code = match error {
        CallError::Refused { refusal: refused, .. } => return refusal(*refused, now),
        CallError::OperationRefused { operation, refusal: refused, .. } => {
            return refusal(*refused, now).of_operation(*operation);
        }
        CallError::ConditionRefused { condition, refusal: refused, .. } => {
            return refusal(*refused, now).of_condition(*condition);
        }
        CallError::SpansShards { operation, .. } => return spans_shards(error).of_operation(*operation),
        CallError::CallTooLarge { .. } => Code::BodyTooLarge,
        CallError::InboxFull { .. } => Code::InboxFull,
        CallError::WaitersFull { .. } => Code::WaitersFull,
        CallError::DiskFull { .. } => Code::DiskFull,
        CallError::OutcomeUnknown { .. } => Code::OutcomeUnknown,
        CallError::Unavailable { .. } => Code::Unavailable,
        CallError::ShuttingDown => Code::ShuttingDown,
    };
    let refusal = Refusal::new(code, sentence(&error.to_string()));
    match error.retry_after_ms() {
        Some(retry_after_ms) => refusal.with_retry_after_ms(retry_after_ms),
        None => refusal,
    }
}

/// An error's text as a sentence for people.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

/// Writes what became of one enqueued job of a list.
pub fn write_enqueued_item(out: &mut Vec<u8>, item: Item, now: Time) {
    match item {
        Item::Is { id, state, .. } => write::enqueued_item(out, id.into(), state.into(), false),
        Item::Duplicate { id, state } => write::enqueued_item(out, id.into(), state.into(), true),
        Item::Refused(refused) => write::refused_item(out, None, &refusal(refused, now)),
        Item::Pool(_) => write::refused_item(out, None, &refusal(NOT_OF_JOBS, now)),
    }
}

/// Writes what became of the settled job `id`.
pub fn write_settled_item(out: &mut Vec<u8>, id: tidegate_core::JobId, item: Item, now: Time) {
    match item {
        Item::Is { id, state, at } => {
            let state = JobState::from(state);
            let at = at.map(Timestamp::from);
            let run_at = at.filter(|_| state == JobState::Scheduled);
            let lease_expires_at = at.filter(|_| state == JobState::Leased);
            write::settled(out, id.into(), state, run_at, lease_expires_at);
        }
        Item::Duplicate { id, state } => write::settled(out, id.into(), state.into(), None, None),
        Item::Refused(refused) => write::refused_item(out, Some(&id.to_string()), &refusal(refused, now)),
        Item::Pool(_) => write::refused_item(out, Some(&id.to_string()), &refusal(NOT_OF_JOBS, now)),
    }
}

/// What became of one enqueued job of a list: what [`write_enqueued_item`] writes, as a value.
pub fn enqueued_item(item: Item, now: Time) -> EnqueueResult {
    match item {
        Item::Is { id, state, .. } => {
            EnqueueResult::Enqueued { id: id.into(), state: state.into(), duplicate: false }
        }
        Item::Duplicate { id, state } => {
            EnqueueResult::Enqueued { id: id.into(), state: state.into(), duplicate: true }
        }
        Item::Refused(refused) => EnqueueResult::Refused { error: refusal(refused, now) },
        Item::Pool(_) => EnqueueResult::Refused { error: refusal(NOT_OF_JOBS, now) },
    }
}

/// What became of the settled job `id`: what [`write_settled_item`] writes, as a value.
pub fn settled_item(id: tidegate_core::JobId, item: Item, now: Time) -> SettleResult {
    match item {
        Item::Is { id, state, at } => {
            let state = JobState::from(state);
            let at = at.map(Timestamp::from);
            SettleResult::Settled {
                id: id.into(),
                state,
                run_at: at.filter(|_| state == JobState::Scheduled),
                lease_expires_at: at.filter(|_| state == JobState::Leased),
            }
        }
        Item::Duplicate { id, state } => {
            SettleResult::Settled { id: id.into(), state: state.into(), run_at: None, lease_expires_at: None }
        }
        Item::Refused(refused) => {
            SettleResult::Refused { id: Some(id.to_string()), error: refusal(refused, now) }
        }
        Item::Pool(_) => SettleResult::Refused { id: Some(id.to_string()), error: refusal(NOT_OF_JOBS, now) },
    }
}

/// A job that is handed out: what [`write_leased_job`] writes, as a value.
pub fn leased_job(leased: Leased) -> LeasedJob {
    let Leased { job, payload } = leased;
    let more = job.more.as_deref();
    let (json, base64) = match payload.content() {
        Content::Json => (raw(json_of(&payload)), None),
        Content::Bytes => (None, Some(encode_base64(&payload.payload))),
    };
    let text = |text: Option<&str>| text.map(str::to_owned);
    LeasedJob {
        id: job.id.into(),
        queue: job.queue.to_string(),
        kind: job.kind.to_string(),
        payload: json,
        payload_base64: base64,
        priority: job.priority,
        attempt: job.attempt.into(),
        max_attempts: job.max_attempts.into(),
        token: job.token.0,
        lease_expires_at: job.lease_expires_at.into(),
        enqueued_at: job.enqueued_at.into(),
        ordering_key: text(more.and_then(|more| more.ordering_key.as_deref())),
        fairness_key: text(more.and_then(|more| more.fairness_key.as_deref())),
        dependency: text(more.and_then(|more| more.dependency.as_deref())),
        progress: more.and_then(|more| more.progress.as_deref()).and_then(raw),
        metadata: metadata_of(&payload),
        traceparent: payload.traceparent,
    }
}

/// The caller's own names and values, if there are any.
fn metadata_of(envelope: &Envelope) -> Option<BTreeMap<String, String>> {
    let entry = |entry: &tidegate_engine::Metadata| (entry.name.clone(), entry.value.clone());
    (!envelope.metadata.is_empty()).then(|| envelope.metadata.iter().map(entry).collect())
}

/// Writes a job that is handed out.
pub fn write_leased_job(out: &mut Vec<u8>, leased: &Leased) {
    let Leased { job, payload } = leased;
    let more = job.more.as_deref();
    let metadata: Vec<(&str, &str)> =
        payload.metadata.iter().map(|entry| (&*entry.name, &*entry.value)).collect();
    let parts = LeasedJobParts {
        id: job.id.into(),
        queue: &job.queue,
        kind: &job.kind,
        payload: match payload.content() {
            Content::Json => Payload::Json(json_of(payload)),
            Content::Bytes => Payload::Bytes(&payload.payload),
        },
        priority: job.priority,
        attempt: job.attempt.into(),
        max_attempts: job.max_attempts.into(),
        token: job.token.0,
        lease_expires_at: job.lease_expires_at.into(),
        enqueued_at: job.enqueued_at.into(),
        ordering_key: more.and_then(|more| more.ordering_key.as_deref()),
        fairness_key: more.and_then(|more| more.fairness_key.as_deref()),
        dependency: more.and_then(|more| more.dependency.as_deref()),
        traceparent: payload.traceparent.as_deref(),
        metadata: &metadata,
        progress: more.and_then(|more| more.progress.as_deref()),
    };
    write::leased_job(out, &parts);
}

/// The JSON text of an envelope; one without bytes says null.
fn json_of(envelope: &Envelope) -> &[u8] {
    if envelope.payload.is_empty() { b"null" } else { &envelope.payload }
}

/// Everything about one job.
pub fn job(job: tidegate_engine::Job, completion_per_s: f64) -> Job {
    let tidegate_engine::Job { view, payload, result } = job;
    let keeps_payload = !matches!(view.state, view::JobState::Completed | view::JobState::Cancelled);
    let mut shown = job_in_list(view);
    match payload {
        Stored::Here(envelope) => show_payload(&mut shown, &envelope),
        Stored::None if keeps_payload => show_payload(&mut shown, &Envelope::default()),
        Stored::None => {}
        Stored::Damaged(what) => shown.damage = Some(what),
    }
    match result {
        Stored::Here(envelope) => shown.result = raw(json_of(&envelope)),
        Stored::None => {}
        Stored::Damaged(what) => shown.damage = Some(what),
    }
    shown.estimated_wait_ms = shown
        .position
        .filter(|_| completion_per_s > 0.0)
        .map(|position| (position as f64 / completion_per_s * 1_000.0).ceil() as u64);
    shown
}

fn show_payload(job: &mut Job, envelope: &Envelope) {
    match envelope.content() {
        Content::Json => job.payload = raw(json_of(envelope)),
        Content::Bytes => job.payload_base64 = Some(encode_base64(&envelope.payload)),
    }
    job.traceparent.clone_from(&envelope.traceparent);
    job.metadata = metadata_of(envelope);
}

/// Stored JSON as an answer's field. It was JSON when it came and its checksum is right, so it still is.
fn raw(json: &[u8]) -> Option<Box<RawValue>> {
    RawValue::from_string(String::from_utf8(json.to_vec()).ok()?).ok()
}

/// What a list shows of a job; the errors are left out by [`without_details`].
fn job_in_list(view: JobView) -> Job {
    Job {
        id: view.id.into(),
        queue: view.queue.to_string(),
        kind: view.kind.to_string(),
        state: view.state.into(),
        priority: view.priority,
        payload: None,
        payload_base64: None,
        attempt: view.attempt.into(),
        max_attempts: view.max_attempts.into(),
        enqueued_at: view.enqueued_at.into(),
        run_at: view.run_at.map(Into::into),
        expires_at: view.expires_at.map(Into::into),
        ordering_key: view.ordering_key.map(String::from),
        on_failure: view.on_failure.map(Into::into),
        fairness_key: view.fairness_key.map(String::from),
        unique_key: view.unique_key.map(String::from),
        dependency: view.dependency.map(String::from),
        traceparent: None,
        metadata: None,
        worker: view.worker.map(String::from).filter(|worker| !worker.is_empty()),
        lease_expires_at: view.lease_expires_at.map(Into::into),
        progress: view.progress.as_deref().and_then(raw),
        result: None,
        damage: None,
        errors: view.failures.into_iter().map(job_error).collect(),
        ended_at: view.ended_at.map(Into::into),
        reason: EndReason::from_core(view.reason),
        waiting_for: view.waiting_for.map(Into::into),
        position: view.position,
        estimated_wait_ms: None,
    }
}

/// A job of a list: without payload, progress, result and errors.
pub fn without_details(view: JobView) -> Job {
    Job { progress: None, errors: Vec::new(), ..job_in_list(view) }
}

/// A page of a list, with the cursor of the next.
pub fn page(page: tidegate_engine::Page) -> JobPage {
    JobPage {
        jobs: page.jobs.into_iter().map(without_details).collect(),
        cursor: page.next.map(|next| format!("{next:x}")),
    }
}

fn job_error(failure: tidegate_core::record::Failure) -> JobError {
    JobError {
        attempt: failure.attempt,
        at: Time(failure.at).into(),
        message: failure.message,
        kind: failure.kind,
        dependency: failure.dependency,
        worker: Some(failure.worker).filter(|worker| !worker.is_empty()),
    }
}

/// How a queue stands.
pub fn queue(queue: tidegate_engine::Queue) -> Queue {
    let summary = queue_summary(&queue);
    let view = queue.view;
    Queue {
        config: queue_config(view.config),
        keys_paused: view.keys_paused,
        keys_parked: view.keys_parked,
        redrive: view.redrive.map(|redriven| redrive(&view.name, &redriven)),
        as_of: queue.as_of.into(),
        name: summary.name,
        paused: summary.paused,
        counts: summary.counts,
        oldest_ready_age_ms: summary.oldest_ready_age_ms,
        arrival_per_s: summary.arrival_per_s,
        completion_per_s: summary.completion_per_s,
        drain_ms: summary.drain_ms,
    }
}

/// How a queue stands, in short.
pub fn queue_summary(queue: &tidegate_engine::Queue) -> QueueSummary {
    let view: &QueueView = &queue.view;
    QueueSummary {
        name: view.name.to_string(),
        paused: view.paused,
        counts: counts(&view.counts),
        oldest_ready_age_ms: view.oldest_ready_at.map(|since| queue.as_of.since(since)),
        arrival_per_s: rounded(queue.arrival_per_s),
        completion_per_s: rounded(queue.completion_per_s),
        drain_ms: queue.drain_ms,
    }
}

/// A rate with two decimals: more would be noise.
fn rounded(per_s: f64) -> f64 {
    (per_s * 100.0).round() / 100.0
}

fn counts(counts: &view::Counts) -> Counts {
    let of = |state: JobState| counts.of(state.into());
    Counts {
        scheduled: of(JobState::Scheduled),
        ready: of(JobState::Ready),
        leased: of(JobState::Leased),
        completed: of(JobState::Completed),
        dead: of(JobState::Dead),
        cancelled: of(JobState::Cancelled),
    }
}

fn queue_config(config: policy::QueueConfig) -> QueueConfig {
    QueueConfig {
        retry: Some(Retry {
            max_attempts: Some(config.retry.max_attempts),
            delay_ms: Some(config.retry.delay_ms),
            factor: Some(f64::from(config.retry.factor_permille) / 1_000.0),
            delay_max_ms: Some(config.retry.delay_ms_max),
            jitter_percent: Some(config.retry.jitter_percent as u8),
        }),
        lease_ms: Some(config.lease_ms),
        on_failure: Some(OnFailure::from(config.on_failure())),
        jobs_max: Some(config.jobs_max).filter(|jobs_max| *jobs_max > 0),
        retain_ms: Some(config.retain_ms),
        retain_max: Some(config.retain_max),
    }
}

/// How a queue's redrive goes.
pub fn redrive(queue: &str, view: &RedriveView) -> Redrive {
    Redrive {
        queue: queue.to_owned(),
        state: match view.end {
            None => RedriveState::Running,
            Some(RedriveEnd::Done) => RedriveState::Finished,
            Some(RedriveEnd::DeadAgain) => RedriveState::Stopped,
            Some(RedriveEnd::Superseded) => RedriveState::Superseded,
        },
        started_at: view.started_at.into(),
        moved: view.moved,
        dead_again: view.dead_again,
        rate_per_s: Some(view.rate_per_s).filter(|rate| *rate > 0),
        stop_after_dead: view.stop_after_dead,
    }
}

/// A cause of death; none if the core names a reason that no dead job has.
pub fn cause(cause: view::Cause) -> Option<Cause> {
    Some(Cause {
        cause: CauseId(cause.cause),
        kind: cause.kind,
        reason: EndReason::from_core(cause.reason)?,
        error_kind: cause.error_kind,
        message: cause.message,
        count: cause.count,
        first_at: cause.first_at.into(),
        last_at: cause.last_at.into(),
        sample_id: cause.sample.into(),
    })
}
