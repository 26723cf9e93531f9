//! Settling: what a worker says about the jobs it holds, in lists, and what it is answered.
//!
//! Every item names a job and the token of the attempt; an item with an old token changes nothing and is refused
//! as `stale_token`, whatever happens to the items beside it.

use serde::{Deserialize, Serialize};

use crate::id::JobId;
use crate::limits;
use crate::object;
use crate::read::{self, Brisk, Item, Items, Patient, Wire};
use crate::refusal::{Refusal, Refused};
use crate::shape::{Field, Object, Shape};
use crate::syntax::{self, Checked};
use crate::time::Timestamp;
use crate::value::{RawJson, Text};
use crate::words::JobState;

/// The attempt did what it should (`POST /v1/jobs/complete`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Complete<'a> {
    /// The job's id.
    pub id: JobId,
    /// The attempt's token.
    pub token: u64,
    /// What came out of it: any JSON, at most 64 KiB; kept for a while.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub result: Option<RawJson<'a>>,
}

/// The attempt failed (`POST /v1/jobs/fail`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Fail<'a> {
    /// The job's id.
    pub id: JobId,
    /// The attempt's token.
    pub token: u64,
    /// What went wrong.
    #[serde(borrow, deserialize_with = "object::required")]
    pub error: AttemptError<'a>,
    /// Tries again after so many milliseconds, instead of the policy's delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// No other attempt would help: the job is dead at once. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fatal: Option<bool>,
}

/// What went wrong in an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AttemptError<'a> {
    /// For people; the first 1 KiB is kept.
    #[serde(borrow)]
    pub message: Text<'a>,
    /// A name for errors of this sort, to group them by.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Text<'a>>,
    /// The dependency that failed.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub dependency: Option<Text<'a>>,
}

impl AttemptError<'_> {
    /// The part of the message that is kept: cut between characters.
    pub fn message_kept(&self) -> &str {
        &self.message[..self.message.floor_char_boundary(limits::ERROR_MESSAGE_BYTES_KEPT)]
    }
}

/// The attempt goes on (`POST /v1/jobs/extend`): a heartbeat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Extend<'a> {
    /// The job's id.
    pub id: JobId,
    /// The attempt's token.
    pub token: u64,
    /// The lease now ends in so many milliseconds. Default what it was leased for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
    /// How far it is: any JSON, at most 4 KiB; a later attempt gets to see it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<RawJson<'a>>,
}

/// The job is given back without an attempt having been made (`POST /v1/jobs/release`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The job's id.
    pub id: JobId,
    /// The attempt's token.
    pub token: u64,
}

impl<'de: 'a, 'a> Wire<'de> for Complete<'a> {
    const OBJECT: &'static Object = &COMPLETE;

    fn check(&self) -> Checked {
        syntax::range("token", self.token, &limits::TOKEN)?;
        match &self.result {
            Some(result) => syntax::json("result", result, limits::RESULT_BYTES_MAX),
            None => Ok(()),
        }
    }

    fn id_text(&self) -> Option<String> {
        Some(self.id.to_string())
    }
}

impl<'de: 'a, 'a> Wire<'de> for Fail<'a> {
    const OBJECT: &'static Object = &FAIL;

    fn check(&self) -> Checked {
        syntax::range("token", self.token, &limits::TOKEN)?;
        if let Some(kind) = &self.error.kind {
            syntax::name("error.kind", kind)?;
        }
        if let Some(dependency) = &self.error.dependency {
            syntax::name("error.dependency", dependency)?;
        }
        if let Some(retry_after_ms) = self.retry_after_ms {
            syntax::range("retry_after_ms", retry_after_ms, &limits::DELAY_MS)?;
        }
        syntax::ensure(!(self.fatal == Some(true) && self.retry_after_ms.is_some()), || {
            Refusal::contradiction("retry_after_ms", "A job that failed fatally is not tried again.")
        })
    }

    fn id_text(&self) -> Option<String> {
        Some(self.id.to_string())
    }
}

impl<'de: 'a, 'a> Wire<'de> for Extend<'a> {
    const OBJECT: &'static Object = &EXTEND;

    fn check(&self) -> Checked {
        syntax::range("token", self.token, &limits::TOKEN)?;
        if let Some(lease_ms) = self.lease_ms {
            syntax::range("lease_ms", lease_ms, &limits::LEASE_MS)?;
        }
        match &self.progress {
            Some(progress) => syntax::json("progress", progress, limits::PROGRESS_BYTES_MAX),
            None => Ok(()),
        }
    }

    fn id_text(&self) -> Option<String> {
        Some(self.id.to_string())
    }
}

impl<'de> Wire<'de> for Release {
    const OBJECT: &'static Object = &RELEASE;

    fn check(&self) -> Checked {
        syntax::range("token", self.token, &limits::TOKEN)
    }

    fn id_text(&self) -> Option<String> {
        Some(self.id.to_string())
    }
}

const ID: Field = Field::required("id", Shape::JobId);
const TOKEN: Field = Field::required("token", Shape::Integer(&limits::TOKEN));

/// The JSON of a [`Complete`].
pub(crate) static COMPLETE: Object = Object {
    name: "Complete",
    fields: &[ID, TOKEN, Field::optional("result", Shape::Any(limits::RESULT_BYTES_MAX))],
};

/// The JSON of a [`Fail`].
pub(crate) static FAIL: Object = Object {
    name: "Fail",
    fields: &[
        ID,
        TOKEN,
        Field::required("error", Shape::Object(&ATTEMPT_ERROR)),
        Field::optional("retry_after_ms", Shape::Integer(&limits::DELAY_MS)),
        Field::optional("fatal", Shape::Boolean),
    ],
};

static ATTEMPT_ERROR: Object = Object {
    name: "AttemptError",
    fields: &[
        Field::required("message", Shape::Message(limits::ERROR_MESSAGE_BYTES_KEPT)),
        Field::optional("kind", Shape::Name),
        Field::optional("dependency", Shape::Name),
    ],
};

/// The JSON of an [`Extend`].
pub(crate) static EXTEND: Object = Object {
    name: "Extend",
    fields: &[
        ID,
        TOKEN,
        Field::optional("lease_ms", Shape::Integer(&limits::LEASE_MS)),
        Field::optional("progress", Shape::Any(limits::PROGRESS_BYTES_MAX)),
    ],
};

/// The JSON of a [`Release`].
pub(crate) static RELEASE: Object = Object { name: "Release", fields: &[ID, TOKEN] };

/// The body of a settling request: `{"jobs": […]}`. Clients write it; the door reads it with [`read_jobs`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Jobs<T> {
    /// 1 to 1,000 items.
    pub jobs: Vec<T>,
}

/// Reads `{"jobs": […]}`; each item is checked by itself.
pub fn read_jobs<'a, T: WireOfJobs<'a>>(text: &'a str) -> Result<Vec<Item<T>>, Refused> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Envelope<L> {
        jobs: L,
    }
    read::read_envelope(
        text,
        T::ENVELOPE,
        |envelope: Envelope<Items<T, Brisk>>| envelope.jobs.within_limit("jobs"),
        |envelope: Envelope<Items<T, Patient>>| envelope.jobs.within_limit("jobs"),
    )
}

/// What may stand in `{"jobs": […]}`.
pub trait WireOfJobs<'de>: Wire<'de> {
    /// The whole body, told as data.
    const ENVELOPE: &'static Object;
}

/// Declares the envelope of an item type.
macro_rules! envelope {
    ($item:ident $(<$lifetime:lifetime>)?, $object:ident, $envelope:ident, $name:literal) => {
        #[doc = concat!("The JSON of a `", $name, "`.")]
        pub(crate) static $envelope: Object = Object {
            name: $name,
            fields: &[Field::required("jobs", Shape::List(&Shape::Object(&$object), &limits::LIST_ITEMS))],
        };

        impl<'de $(: $lifetime, $lifetime)?> WireOfJobs<'de> for $item $(<$lifetime>)? {
            const ENVELOPE: &'static Object = &$envelope;
        }
    };
}

envelope!(Complete<'a>, COMPLETE, COMPLETES, "CompleteRequest");
envelope!(Fail<'a>, FAIL, FAILS, "FailRequest");
envelope!(Extend<'a>, EXTEND, EXTENDS, "ExtendRequest");
envelope!(Release, RELEASE, RELEASES, "ReleaseRequest");

/// What became of one item of a settling list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged, try_from = "SettleResultFields")]
pub enum SettleResult {
    /// It was refused.
    Refused {
        /// The id as the item had it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// Why.
        error: Refusal,
    },
    /// It was done.
    Settled {
        /// The job's id.
        id: JobId,
        /// Where the job now is in its life.
        state: JobState,
        /// A failed job's next attempt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run_at: Option<Timestamp>,
        /// An extended lease's end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lease_expires_at: Option<Timestamp>,
    },
}

/// A [`SettleResult`] as it is read: in one pass, where trying one shape after the other would read every item twice.
#[derive(Deserialize)]
struct SettleResultFields {
    id: Option<String>,
    state: Option<JobState>,
    run_at: Option<Timestamp>,
    lease_expires_at: Option<Timestamp>,
    error: Option<Refusal>,
}

impl TryFrom<SettleResultFields> for SettleResult {
    type Error = &'static str;

    fn try_from(fields: SettleResultFields) -> Result<Self, &'static str> {
        let SettleResultFields { id, state, run_at, lease_expires_at, error } = fields;
        if let Some(error) = error {
            return Ok(Self::Refused { id, error });
        }
        let id = id.and_then(|id| id.parse().ok());
        match (id, state) {
            (Some(id), Some(state)) => Ok(Self::Settled { id, state, run_at, lease_expires_at }),
            _ => Err("an item with `error`, or with a job's `id` and a `state`"),
        }
    }
}

/// The answer to a settling request: what became of each item, in the list's order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SettleResults {
    /// One result for every item.
    pub results: Vec<SettleResult>,
}
