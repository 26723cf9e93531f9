//! Enqueueing: the new job and its answer.
//!
//! `POST /v1/queues/{queue}/jobs` takes one [`NewJob`], a list of them, or one on every line of an NDJSON stream.

use serde::{Deserialize, Serialize};

use crate::id::JobId;
use crate::limits;
use crate::object;
use crate::read::{self, Item, Wire};
use crate::refusal::{Refusal, Refused};
use crate::shape::{Field, Object, Shape};
use crate::syntax::{self, Checked};
use crate::time::Timestamp;
use crate::value::{Metadata, RawJson, Text};
use crate::words::{JobState, OnConflict, OnFailure, UniqueUntil};

/// A job to be accepted. Everything may be left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewJob<'a> {
    /// The name of what handles it. Default `default`.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Text<'a>>,
    /// What the worker gets: any JSON, byte for byte as sent, at most 1 MiB. Default `null`.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<RawJson<'a>>,
    /// What the worker gets, as bytes in base64, at most 1 MiB of them. Excludes `payload`.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<Text<'a>>,
    /// 0 goes first, 9 last. Default 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// Not before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_at: Option<Timestamp>,
    /// Not before so many milliseconds from now. Excludes `run_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// If it has not started by this time, it dies as `expired`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// If it has not started in so many milliseconds, it dies as `expired`. Excludes `expires_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
    /// Jobs of a queue with the same key run one at a time, in order.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub ordering_key: Option<Text<'a>>,
    /// What becomes of the key's later jobs while this one fails. Needs `ordering_key`; default from the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// Within a priority, keys take turns.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub fairness_key: Option<Text<'a>>,
    /// At most one such job at a time.
    #[serde(borrow, default, deserialize_with = "object::optional", skip_serializing_if = "Option::is_none")]
    pub unique: Option<Unique<'a>>,
    /// How it is retried, in place of the queue's policy; what is left out is the default.
    #[serde(default, deserialize_with = "object::optional", skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// The name of what it needs to be up.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub dependency: Option<Text<'a>>,
    /// The W3C trace that the worker goes on with.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<Text<'a>>,
    /// Names and values for people and workers; at most 64 and 8 KiB.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata<'a>>,
}

/// At most one job with this key in a queue at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Unique<'a> {
    /// The key, unique within the queue.
    #[serde(borrow)]
    pub key: Text<'a>,
    /// How long the job holds it. Default `completed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<UniqueUntil>,
    /// With `until: duration`, for how many milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// What happens if another job holds it. Default `return`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
}

/// How a failed job is retried. After the n-th failed attempt it waits `delay_ms` × `factor`ⁿ⁻¹, lengthened by chance by
/// up to `jitter_percent`, and never longer than `delay_max_ms`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// All attempts, the first included. Default 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Milliseconds before the second attempt. Default 30,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// What the delay is multiplied by each time; three decimals count. Default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// The longest delay in milliseconds. Default 3,600,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_max_ms: Option<u64>,
    /// By how much a delay is lengthened at most, in percent of itself. Default 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_percent: Option<u8>,
}

/// A new job's payload as one of its two fields says it.
#[derive(Debug, Clone, PartialEq)]
pub enum NewPayload<'a> {
    /// JSON text.
    Json(&'a str),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl NewJob<'_> {
    /// The payload, whichever field holds it; `null` if none does.
    pub fn payload(&self) -> Result<NewPayload<'_>, Refused> {
        match (&self.payload, &self.payload_base64) {
            (_, Some(base64)) => syntax::decode_base64("payload_base64", base64).map(NewPayload::Bytes),
            (Some(json), None) => Ok(NewPayload::Json(json.text())),
            (None, None) => Ok(NewPayload::Json("null")),
        }
    }
}

impl<'de: 'a, 'a> Wire<'de> for NewJob<'a> {
    const OBJECT: &'static Object = &NEW_JOB;

    fn check(&self) -> Checked {
        if let Some(kind) = &self.kind {
            syntax::name("kind", kind)?;
        }
        check_payload(self.payload.as_ref(), self.payload_base64.as_deref())?;
        if let Some(priority) = self.priority {
            syntax::range("priority", priority.into(), &limits::PRIORITY)?;
        }
        if let Some(delay_ms) = self.delay_ms {
            syntax::range("delay_ms", delay_ms, &limits::DELAY_MS)?;
        }
        syntax::not_both("delay_ms", self.delay_ms.is_some(), "run_at", self.run_at.is_some())?;
        if let Some(expires_in_ms) = self.expires_in_ms {
            syntax::range("expires_in_ms", expires_in_ms, &limits::SPAN_MS)?;
        }
        syntax::not_both(
            "expires_in_ms",
            self.expires_in_ms.is_some(),
            "expires_at",
            self.expires_at.is_some(),
        )?;
        if let Some(key) = &self.ordering_key {
            syntax::key("ordering_key", key)?;
        }
        syntax::ensure(self.on_failure.is_none() || self.ordering_key.is_some(), || {
            Refusal::contradiction("on_failure", "`on_failure` needs an `ordering_key`.")
        })?;
        if let Some(key) = &self.fairness_key {
            syntax::key("fairness_key", key)?;
        }
        if let Some(unique) = &self.unique {
            check_unique(unique)?;
        }
        if let Some(retry) = &self.retry {
            check_retry(retry)?;
        }
        if let Some(dependency) = &self.dependency {
            syntax::name("dependency", dependency)?;
        }
        if let Some(traceparent) = &self.traceparent {
            syntax::traceparent("traceparent", traceparent)?;
        }
        match &self.metadata {
            Some(metadata) => syntax::metadata("metadata", metadata),
            None => Ok(()),
        }
    }
}

/// Checks a payload in either of its two fields.
pub(crate) fn check_payload(payload: Option<&RawJson<'_>>, payload_base64: Option<&str>) -> Checked {
    syntax::not_both("payload_base64", payload_base64.is_some(), "payload", payload.is_some())?;
    if let Some(payload) = payload {
        syntax::json("payload", payload, limits::PAYLOAD_BYTES_MAX)?;
    }
    match payload_base64 {
        Some(base64) => syntax::base64("payload_base64", base64, limits::PAYLOAD_BYTES_MAX),
        None => Ok(()),
    }
}

fn check_unique(unique: &Unique<'_>) -> Checked {
    syntax::key("unique.key", &unique.key)?;
    match (unique.until, unique.duration_ms) {
        (Some(UniqueUntil::Duration), None) => Err(Box::new(Refusal::missing_field("unique.duration_ms"))),
        (Some(UniqueUntil::Duration), Some(ms)) => syntax::range("unique.duration_ms", ms, &limits::SPAN_MS),
        (_, Some(_)) => Err(Box::new(Refusal::contradiction(
            "unique.duration_ms",
            "`unique.duration_ms` needs `unique.until` to be \"duration\".",
        ))),
        (_, None) => Ok(()),
    }
}

/// Checks a retry policy under the field `retry`.
pub(crate) fn check_retry(retry: &Retry) -> Checked {
    if let Some(max_attempts) = retry.max_attempts {
        syntax::range("retry.max_attempts", max_attempts.into(), &limits::ATTEMPTS)?;
    }
    if let Some(delay_ms) = retry.delay_ms {
        syntax::range("retry.delay_ms", delay_ms, &limits::DELAY_MS)?;
    }
    if let Some(factor) = retry.factor {
        syntax::range_f64("retry.factor", factor, &limits::RETRY_FACTOR)?;
    }
    if let Some(delay_max_ms) = retry.delay_max_ms {
        syntax::range("retry.delay_max_ms", delay_max_ms, &limits::DELAY_MS)?;
    }
    match retry.jitter_percent {
        Some(percent) => syntax::range("retry.jitter_percent", percent.into(), &limits::JITTER_PERCENT),
        None => Ok(()),
    }
}

/// The JSON of a [`NewJob`].
pub(crate) static NEW_JOB: Object = Object { name: "NewJob", fields: NEW_JOB_FIELDS };

/// The fields of a [`NewJob`]; a transaction's enqueue has them too.
pub(crate) const NEW_JOB_FIELDS: &[Field] = &[
    Field::optional("kind", Shape::Name),
    Field::optional("payload", Shape::Any(limits::PAYLOAD_BYTES_MAX)),
    Field::optional("payload_base64", Shape::Base64(limits::PAYLOAD_BYTES_MAX)),
    Field::optional("priority", Shape::Integer(&limits::PRIORITY)),
    Field::optional("run_at", Shape::Timestamp),
    Field::optional("delay_ms", Shape::Integer(&limits::DELAY_MS)),
    Field::optional("expires_at", Shape::Timestamp),
    Field::optional("expires_in_ms", Shape::Integer(&limits::SPAN_MS)),
    Field::optional("ordering_key", Shape::Text(&limits::KEY_BYTES)),
    Field::optional("on_failure", Shape::Word(OnFailure::WORDS)),
    Field::optional("fairness_key", Shape::Text(&limits::KEY_BYTES)),
    Field::optional("unique", Shape::Object(&UNIQUE)),
    Field::optional("retry", Shape::Object(&RETRY)),
    Field::optional("dependency", Shape::Name),
    Field::optional("traceparent", Shape::Traceparent),
    Field::optional("metadata", Shape::Metadata),
];

static UNIQUE: Object = Object {
    name: "Unique",
    fields: &[
        Field::required("key", Shape::Text(&limits::KEY_BYTES)),
        Field::optional("until", Shape::Word(UniqueUntil::WORDS)),
        Field::optional("duration_ms", Shape::Integer(&limits::SPAN_MS)),
        Field::optional("on_conflict", Shape::Word(OnConflict::WORDS)),
    ],
};

/// The JSON of a [`Retry`]; a queue's configuration has one too.
pub(crate) static RETRY: Object = Object {
    name: "Retry",
    fields: &[
        Field::optional("max_attempts", Shape::Integer(&limits::ATTEMPTS)),
        Field::optional("delay_ms", Shape::Integer(&limits::DELAY_MS)),
        Field::optional("factor", Shape::Number(&limits::RETRY_FACTOR)),
        Field::optional("delay_max_ms", Shape::Integer(&limits::DELAY_MS)),
        Field::optional("jitter_percent", Shape::Integer(&limits::JITTER_PERCENT)),
    ],
};

/// The body of an enqueue request that is not a stream.
#[derive(Debug)]
pub enum EnqueueBody<'a> {
    /// One job; a refusal of it is the whole answer.
    One(Box<NewJob<'a>>),
    /// A list of jobs; each has its own outcome.
    List(Vec<Item<NewJob<'a>>>),
}

impl<'a> EnqueueBody<'a> {
    /// Reads a body, which is a list if its first character says so.
    pub fn read(text: &'a str) -> Result<Self, Refused> {
        if read::is_list(text) {
            read::read_list(text).map(Self::List)
        } else {
            read::read(text).map(|job| Self::One(Box::new(job)))
        }
    }
}

/// An accepted job, or the one that was there already.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Enqueued {
    /// The job's id.
    pub id: JobId,
    /// The queue it is in.
    pub queue: String,
    /// Where it is in its life.
    pub state: JobState,
    /// Whether it is not new: its unique key was held, and its holder is answered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
}

/// What became of one job of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged, try_from = "EnqueueResultFields")]
pub enum EnqueueResult {
    /// It was refused.
    Refused {
        /// Why.
        error: Refusal,
    },
    /// It was accepted, or was there already.
    Enqueued {
        /// The job's id.
        id: JobId,
        /// Where it is in its life.
        state: JobState,
        /// Whether it is not new: its unique key was held, and its holder is answered.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        duplicate: bool,
    },
}

/// An [`EnqueueResult`] as it is read: in one pass, where trying one shape after the other would read every item twice.
#[derive(Deserialize)]
struct EnqueueResultFields {
    id: Option<JobId>,
    state: Option<JobState>,
    #[serde(default)]
    duplicate: bool,
    error: Option<Refusal>,
}

impl TryFrom<EnqueueResultFields> for EnqueueResult {
    type Error = &'static str;

    fn try_from(fields: EnqueueResultFields) -> Result<Self, &'static str> {
        match fields {
            EnqueueResultFields { error: Some(error), .. } => Ok(Self::Refused { error }),
            EnqueueResultFields { id: Some(id), state: Some(state), duplicate, .. } => {
                Ok(Self::Enqueued { id, state, duplicate })
            }
            _ => Err("an item with `error`, or with `id` and `state`"),
        }
    }
}

/// The answer to a list of jobs: what became of each, in the list's order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnqueueResults {
    /// One result for every item.
    pub results: Vec<EnqueueResult>,
}
