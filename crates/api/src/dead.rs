//! Dead letters: causes, redriving, deleting.
//!
//! A filter's parts must all hold. Without any part a redrive means all dead jobs of the queue; a delete has to say so
//! (`"all": true`), since it cannot be taken back.

use serde::{Deserialize, Serialize};

use crate::id::{CauseId, JobId};
use crate::limits;
use crate::queue::Redrive;
use crate::read::Wire;
use crate::refusal::Refusal;
use crate::shape::{Field, Object, Shape};
use crate::syntax::{self, Checked};
use crate::time::Timestamp;
use crate::value::Text;
use crate::words::EndReason;

/// Moves dead jobs back to work (`POST /v1/queues/{queue}/dead/redrive`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RedriveRequest<'a> {
    /// Only these jobs, at most 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<JobId>>,
    /// Only jobs of this kind.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Text<'a>>,
    /// Only jobs that died of this cause, as `…/dead/causes` names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<CauseId>,
    /// Only jobs that died for this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<EndReason>,
    /// Only jobs that died before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Timestamp>,
    /// At most so many a second. Default as fast as it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_s: Option<u32>,
    /// Stops when so many of the moved jobs have died again; 0 never stops. Default 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_after_dead: Option<u32>,
}

/// Deletes dead jobs (`POST /v1/queues/{queue}/dead/delete`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeleteDeadRequest<'a> {
    /// Only these jobs, at most 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<JobId>>,
    /// Only jobs of this kind.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Text<'a>>,
    /// Only jobs that died of this cause, as `…/dead/causes` names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<CauseId>,
    /// Only jobs that died for this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<EndReason>,
    /// Only jobs that died before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Timestamp>,
    /// All of them; must be said when nothing else is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<bool>,
}

impl<'de: 'a, 'a> Wire<'de> for RedriveRequest<'a> {
    const OBJECT: &'static Object = &REDRIVE;

    fn check(&self) -> Checked {
        check_filter(self.ids.as_deref(), self.kind.as_ref())?;
        if let Some(rate_per_s) = self.rate_per_s {
            syntax::range("rate_per_s", rate_per_s.into(), &limits::REDRIVE_PER_S)?;
        }
        match self.stop_after_dead {
            Some(count) => syntax::range("stop_after_dead", count.into(), &limits::REDRIVE_STOP_AFTER),
            None => Ok(()),
        }
    }
}

impl<'de: 'a, 'a> Wire<'de> for DeleteDeadRequest<'a> {
    const OBJECT: &'static Object = &DELETE_DEAD;

    fn check(&self) -> Checked {
        check_filter(self.ids.as_deref(), self.kind.as_ref())?;
        let filters = self.ids.is_some()
            || self.kind.is_some()
            || self.cause.is_some()
            || self.reason.is_some()
            || self.before.is_some();
        syntax::ensure(filters || self.all == Some(true), || Refusal::missing_field("all"))?;
        syntax::ensure(!(filters && self.all == Some(true)), || {
            Refusal::contradiction("all", "`all` and a filter exclude each other.")
        })
    }
}

fn check_filter(ids: Option<&[JobId]>, kind: Option<&Text<'_>>) -> Checked {
    if let Some(ids) = ids {
        syntax::items("ids", ids.len(), &limits::LIST_ITEMS)?;
    }
    match kind {
        Some(kind) => syntax::name("kind", kind),
        None => Ok(()),
    }
}

/// The JSON of a [`RedriveRequest`].
pub(crate) static REDRIVE: Object = Object {
    name: "RedriveRequest",
    fields: &[
        IDS,
        KIND,
        CAUSE,
        REASON,
        BEFORE,
        Field::optional("rate_per_s", Shape::Integer(&limits::REDRIVE_PER_S)),
        Field::optional("stop_after_dead", Shape::Integer(&limits::REDRIVE_STOP_AFTER)),
    ],
};

/// The JSON of a [`DeleteDeadRequest`].
pub(crate) static DELETE_DEAD: Object = Object {
    name: "DeleteDeadRequest",
    fields: &[IDS, KIND, CAUSE, REASON, BEFORE, Field::optional("all", Shape::Boolean)],
};

const IDS: Field = Field::optional("ids", Shape::List(&Shape::JobId, &limits::LIST_ITEMS));
const KIND: Field = Field::optional("kind", Shape::Name);
const CAUSE: Field = Field::optional("cause", Shape::CauseId);
const REASON: Field = Field::optional("reason", Shape::Word(EndReason::WORDS));
const BEFORE: Field = Field::optional("before", Shape::Timestamp);

/// The answer to a redrive request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RedriveAnswer {
    /// How it goes; the queue shows it from now on.
    pub redrive: Redrive,
}

/// The answer to a delete request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeletedAnswer {
    /// How many jobs were deleted.
    pub deleted: u64,
}

/// Dead jobs that died of the same: one reason, one kind of job, one sort of error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Cause {
    /// Names the cause in filters.
    pub cause: CauseId,
    /// The jobs' kind.
    pub kind: String,
    /// Why they are dead.
    pub reason: EndReason,
    /// The name for errors of this sort, if workers gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<String>,
    /// The latest one's last error.
    pub message: String,
    /// How many jobs there are.
    pub count: u64,
    /// When the first of them died.
    pub first_at: Timestamp,
    /// When the last of them died.
    pub last_at: Timestamp,
    /// One of them.
    pub sample_id: JobId,
}

/// The causes of a queue's dead jobs, the most frequent first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CauseList {
    /// The causes.
    pub causes: Vec<Cause>,
}
