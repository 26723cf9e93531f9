//! A job as it is shown: alone (`GET /v1/jobs/{id}`) and in lists.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::enqueue::check_payload;
use crate::id::JobId;
use crate::limits;
use crate::read::Wire;
use crate::refusal::{Refusal, Refused};
use crate::shape::{Field, Object, Shape};
use crate::syntax::{self, Checked};
use crate::time::Timestamp;
use crate::value::{RawJson, Text};
use crate::words::{EndReason, JobState, OnFailure, WaitingFor};

/// Everything that is known about a job. In lists, payload, progress, result and errors are left out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Job {
    /// The job's id.
    pub id: JobId,
    /// The queue it is in.
    pub queue: String,
    /// The name of what handles it.
    pub kind: String,
    /// Where it is in its life.
    pub state: JobState,
    /// 0 goes first, 9 last.
    pub priority: u8,
    /// The payload, if it is JSON and the job is unfinished or dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
    pub payload: Option<Box<RawValue>>,
    /// The payload in base64, if it is bytes and the job is unfinished or dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<String>,
    /// How many attempts were begun.
    pub attempt: u32,
    /// How many attempts there may be.
    pub max_attempts: u32,
    /// When it was accepted.
    pub enqueued_at: Timestamp,
    /// Not before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_at: Option<Timestamp>,
    /// Not started by this time, it dies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Its ordering key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordering_key: Option<String>,
    /// What becomes of the key's later jobs while it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// Its fairness key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fairness_key: Option<String>,
    /// Its unique key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_key: Option<String>,
    /// What it needs to be up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependency: Option<String>,
    /// The W3C trace it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Its metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// Who has it leased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// When the lease ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_expires_at: Option<Timestamp>,
    /// What an attempt last reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
    pub progress: Option<Box<RawValue>>,
    /// What came out of it; kept for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
    pub result: Option<Box<RawValue>>,
    /// What was found on the disk in place of the payload or the result, if one of them cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
    /// What went wrong, attempt by attempt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<JobError>,
    /// When it was completed, died or was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Why it is dead or cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<EndReason>,
    /// Why it is not running yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<WaitingFor>,
    /// Its place in line while it is ready, from 1. An upper bound where jobs before it were cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// How long it will wait if the queue goes on as of late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_wait_ms: Option<u64>,
}

/// What went wrong in one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobError {
    /// Which attempt, from 1.
    pub attempt: u32,
    /// When it ended.
    pub at: Timestamp,
    /// For people.
    pub message: String,
    /// The name for errors of this sort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The dependency that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependency: Option<String>,
    /// Who had it leased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
}

/// A page of jobs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobPage {
    /// The jobs, without payloads, progress, results and errors.
    pub jobs: Vec<Job>,
    /// Asks for the next page; not there on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A job's state after it was changed (`POST /v1/jobs/{id}/cancel`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobStateAnswer {
    /// The job's id.
    pub id: JobId,
    /// Where it is in its life.
    pub state: JobState,
}

/// Gives a dead job another payload (`POST /v1/jobs/{id}/edit`); exactly one of the two fields.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct EditJob<'a> {
    /// The new payload: any JSON but `null`, at most 1 MiB.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<RawJson<'a>>,
    /// The new payload as bytes in base64, at most 1 MiB of them.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<Text<'a>>,
}

impl EditJob<'_> {
    /// The new payload, whichever field holds it.
    pub fn payload(&self) -> Result<crate::enqueue::NewPayload<'_>, Refused> {
        use crate::enqueue::NewPayload;
        match (&self.payload, &self.payload_base64) {
            (_, Some(base64)) => syntax::decode_base64("payload_base64", base64).map(NewPayload::Bytes),
            (Some(json), None) => Ok(NewPayload::Json(json.text())),
            (None, None) => Err(Box::new(Refusal::missing_field("payload"))),
        }
    }
}

impl<'de: 'a, 'a> Wire<'de> for EditJob<'a> {
    const OBJECT: &'static Object = &EDIT_JOB;

    fn check(&self) -> Checked {
        check_payload(self.payload.as_ref(), self.payload_base64.as_deref())?;
        syntax::ensure(self.payload.is_some() || self.payload_base64.is_some(), || {
            Refusal::missing_field("payload")
        })
    }
}

/// The JSON of a [`EditJob`].
pub(crate) static EDIT_JOB: Object = Object {
    name: "EditJob",
    fields: &[
        Field::optional("payload", Shape::Any(limits::PAYLOAD_BYTES_MAX)),
        Field::optional("payload_base64", Shape::Base64(limits::PAYLOAD_BYTES_MAX)),
    ],
};
