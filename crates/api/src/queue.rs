//! Queues: how they stand, how they are configured, paused and resumed.

use serde::{Deserialize, Serialize};

use crate::enqueue::{RETRY, Retry, check_retry};
use crate::limits;
use crate::object;
use crate::read::Wire;
use crate::shape::{Field, Object, Shape};
use crate::syntax::{self, Checked};
use crate::time::Timestamp;
use crate::value::Text;
use crate::words::{OnFailure, RedriveState};

/// A queue's whole configuration (`PUT /v1/queues/{queue}`); what is left out is the default. In answers every
/// field is there, except bounds that do not exist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct QueueConfig {
    /// How jobs are retried that bring no policy of their own.
    #[serde(default, deserialize_with = "object::optional", skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Milliseconds of a lease whose request names none. Default 30,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
    /// What becomes of an ordering key's later jobs while one fails that does not say. Default `block`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// How many unfinished jobs it may hold. Default as many as the shard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs_max: Option<u64>,
    /// For how many milliseconds completed and cancelled jobs can still be asked for. Default 3,600,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retain_ms: Option<u64>,
    /// How many of them at most. Default 100,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retain_max: Option<u64>,
}

impl<'de> Wire<'de> for QueueConfig {
    const OBJECT: &'static Object = &QUEUE_CONFIG;

    fn check(&self) -> Checked {
        if let Some(retry) = &self.retry {
            check_retry(retry)?;
        }
        if let Some(lease_ms) = self.lease_ms {
            syntax::range("lease_ms", lease_ms, &limits::LEASE_MS)?;
        }
        if let Some(jobs_max) = self.jobs_max {
            syntax::range("jobs_max", jobs_max, &limits::QUEUE_JOBS)?;
        }
        if let Some(retain_ms) = self.retain_ms {
            syntax::range("retain_ms", retain_ms, &limits::DELAY_MS)?;
        }
        match self.retain_max {
            Some(retain_max) => syntax::range("retain_max", retain_max, &limits::RETAIN_JOBS),
            None => Ok(()),
        }
    }
}

/// The JSON of a [`QueueConfig`].
pub(crate) static QUEUE_CONFIG: Object = Object {
    name: "QueueConfig",
    fields: &[
        Field::optional("retry", Shape::Object(&RETRY)),
        Field::optional("lease_ms", Shape::Integer(&limits::LEASE_MS)),
        Field::optional("on_failure", Shape::Word(OnFailure::WORDS)),
        Field::optional("jobs_max", Shape::Integer(&limits::QUEUE_JOBS)),
        Field::optional("retain_ms", Shape::Integer(&limits::DELAY_MS)),
        Field::optional("retain_max", Shape::Integer(&limits::RETAIN_JOBS)),
    ],
};

/// Pauses or resumes a queue, or one ordering key of it
/// (`POST /v1/queues/{queue}/pause` and `…/resume`). Resuming a parked key also ends its being parked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PauseRequest<'a> {
    /// The key; the whole queue if it is left out.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub ordering_key: Option<Text<'a>>,
}

impl<'de: 'a, 'a> Wire<'de> for PauseRequest<'a> {
    const OBJECT: &'static Object = &PAUSE;

    fn check(&self) -> Checked {
        match &self.ordering_key {
            Some(key) => syntax::key("ordering_key", key),
            None => Ok(()),
        }
    }
}

/// The JSON of a [`PauseRequest`].
pub(crate) static PAUSE: Object = Object {
    name: "PauseRequest",
    fields: &[Field::optional("ordering_key", Shape::Text(&limits::KEY_BYTES))],
};

/// An ordering key after it was paused or resumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyAnswer {
    /// The queue.
    pub queue: String,
    /// The key.
    pub ordering_key: String,
    /// Whether its jobs are held back by request.
    pub paused: bool,
}

/// Jobs by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Counts {
    /// Waiting for their time.
    pub scheduled: u64,
    /// Waiting for a worker.
    pub ready: u64,
    /// With a worker.
    pub leased: u64,
    /// Done, and still kept.
    pub completed: u64,
    /// Given up.
    pub dead: u64,
    /// Taken back, and still kept.
    pub cancelled: u64,
}

/// How a queue stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Whether none of its jobs are handed out.
    pub paused: bool,
    /// Its configuration.
    pub config: QueueConfig,
    /// Its jobs by state.
    pub counts: Counts,
    /// How long ago the oldest job among the first in line was accepted, in milliseconds. For one that was delayed, retried or redriven
    /// that is longer than it has been ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_ready_age_ms: Option<u64>,
    /// Jobs accepted a second, of late.
    pub arrival_per_s: f64,
    /// Jobs completed a second, of late.
    pub completion_per_s: f64,
    /// Milliseconds until nothing is ready, if both rates stay; not there if it would never be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_ms: Option<u64>,
    /// Ordering keys that are paused.
    pub keys_paused: u64,
    /// Ordering keys that are parked behind a dead job.
    pub keys_parked: u64,
    /// The redrive that runs, or the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redrive: Option<Redrive>,
    /// The moment all of this was true.
    pub as_of: Timestamp,
}

/// A queue in the list of all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueueSummary {
    /// Its name.
    pub name: String,
    /// Whether none of its jobs are handed out.
    pub paused: bool,
    /// Its jobs by state.
    pub counts: Counts,
    /// How long ago the oldest job among the first in line was accepted, in milliseconds. For one that was delayed, retried or redriven
    /// that is longer than it has been ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_ready_age_ms: Option<u64>,
    /// Jobs accepted a second, of late.
    pub arrival_per_s: f64,
    /// Jobs completed a second, of late.
    pub completion_per_s: f64,
    /// Milliseconds until nothing is ready, if both rates stay; not there if it would never be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_ms: Option<u64>,
}

/// All queues, by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueueList {
    /// The queues.
    pub queues: Vec<QueueSummary>,
}

/// How a redrive goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Redrive {
    /// The queue.
    pub queue: String,
    /// Whether it runs, and how it ended.
    pub state: RedriveState,
    /// When it began.
    pub started_at: Timestamp,
    /// Dead jobs moved back so far.
    pub moved: u64,
    /// Of those, died again.
    pub dead_again: u64,
    /// At most so many a second; not there if as fast as it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_s: Option<u32>,
    /// It stops when so many have died again; 0 never stops.
    pub stop_after_dead: u32,
}
