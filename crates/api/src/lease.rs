//! Leasing: asking for jobs to work on, and what is handed out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::id::JobId;
use crate::limits;
use crate::read::Wire;
use crate::shape::{Field, Object, Shape};
use crate::syntax::{self, Checked};
use crate::time::Timestamp;
use crate::value::Text;

/// Asks for jobs (`POST /v1/leases`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LeaseRequest<'a> {
    /// The queues to take from, 1 to 64. Priority decides; within one priority the queues take turns.
    #[serde(borrow)]
    pub queues: Vec<Text<'a>>,
    /// At most so many jobs, 1 to 1,000. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// Waits so long for the first job, up to 60,000 ms. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    /// How long the jobs are the worker's unless it extends: 1,000 to 43,200,000 ms. Default from the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
    /// Who asks, for people.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<Text<'a>>,
    /// Only jobs of these kinds, 1 to 64. Default any.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Vec<Text<'a>>>,
}

impl LeaseRequest<'_> {
    /// How many jobs at most; 1 if the request does not say.
    pub fn max(&self) -> u32 {
        self.max.unwrap_or(1)
    }

    /// How many milliseconds to wait for the first job; 0 if the request does not say.
    pub fn wait_ms(&self) -> u64 {
        self.wait_ms.unwrap_or(0)
    }
}

impl<'de: 'a, 'a> Wire<'de> for LeaseRequest<'a> {
    const OBJECT: &'static Object = &LEASE;

    fn check(&self) -> Checked {
        syntax::items("queues", self.queues.len(), &limits::LEASE_QUEUES)?;
        syntax::names("queues", &self.queues)?;
        if let Some(max) = self.max {
            syntax::range("max", max.into(), &limits::LEASE_JOBS)?;
        }
        if let Some(wait_ms) = self.wait_ms {
            syntax::range("wait_ms", wait_ms, &limits::WAIT_MS)?;
        }
        if let Some(lease_ms) = self.lease_ms {
            syntax::range("lease_ms", lease_ms, &limits::LEASE_MS)?;
        }
        if let Some(worker) = &self.worker {
            syntax::text("worker", worker, &limits::WORKER_BYTES)?;
        }
        let Some(kinds) = &self.kinds else { return Ok(()) };
        syntax::items("kinds", kinds.len(), &limits::LEASE_KINDS)?;
        syntax::names("kinds", kinds)
    }
}

/// The JSON of a [`LeaseRequest`].
pub(crate) static LEASE: Object = Object {
    name: "LeaseRequest",
    fields: &[
        Field::required("queues", Shape::List(&Shape::Name, &limits::LEASE_QUEUES)),
        Field::optional("max", Shape::Integer(&limits::LEASE_JOBS)),
        Field::optional("wait_ms", Shape::Integer(&limits::WAIT_MS)),
        Field::optional("lease_ms", Shape::Integer(&limits::LEASE_MS)),
        Field::optional("worker", Shape::Text(&limits::WORKER_BYTES)),
        Field::optional("kinds", Shape::List(&Shape::Name, &limits::LEASE_KINDS)),
    ],
};

/// A job that was handed out: what a worker needs to do it and to say how it went.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeasedJob {
    /// The job's id.
    pub id: JobId,
    /// The queue it is in.
    pub queue: String,
    /// The name of what handles it.
    pub kind: String,
    /// The payload, if it is JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
    pub payload: Option<Box<RawValue>>,
    /// The payload in base64, if it is bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<String>,
    /// 0 goes first, 9 last.
    pub priority: u8,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// How many attempts there may be.
    pub max_attempts: u32,
    /// What completes, fails, extends and releases this attempt and no other.
    pub token: u64,
    /// When the job goes to someone else unless the lease is extended.
    pub lease_expires_at: Timestamp,
    /// When the job was accepted.
    pub enqueued_at: Timestamp,
    /// Its ordering key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordering_key: Option<String>,
    /// Its fairness key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fairness_key: Option<String>,
    /// What it needs to be up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependency: Option<String>,
    /// The W3C trace to go on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Its metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// What an earlier attempt last reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
    pub progress: Option<Box<RawValue>>,
}

/// The answer to a lease request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeaseAnswer {
    /// The jobs that were handed out; none if there was nothing until the wait ended.
    pub jobs: Vec<LeasedJob>,
}
