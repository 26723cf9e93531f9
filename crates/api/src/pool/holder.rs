//! One holder's whole story.

use serde::{Deserialize, Serialize};

use crate::id::{GrantId, JobId};
use crate::pool::grant::{Grant, Waiting};
use crate::refusal::Refusal;
use crate::time::Timestamp;
use crate::words::{Asked, Happened};

/// What a holder has, where it waits, and what happened to it (`GET /v1/holders/{holder}`). Of a holder that nobody has heard
/// of, all lists are empty. Of one that has very much it is a page: `cursor` names the next, with more of what it has and waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HolderStory {
    /// The holder.
    pub holder: String,
    /// What it has.
    pub grants: Vec<Grant>,
    /// Where it waits, by pool. On a page with very long lines `ahead` may be left out.
    pub waiting: Vec<Waiting>,
    /// What happened, in order: what is told of grants that have not ended (the latest 1,000 entries), and of the last seven days the
    /// latest 200 entries and the latest 50 refusals.
    /// On the first page alone.
    pub story: Vec<StoryEntry>,
    /// Names the next page; none at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// One thing that happened to a holder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoryEntry {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: Happened,
    /// The pool, if one is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The grant, if one is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
    /// How many units, if any are meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<u32>,
    /// With `held` and `offered`: until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The number of a joining, if one is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joining: Option<u64>,
    /// With `refused`: what was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// With `refused`: why not. The same for the same reason is told once a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Refusal>,
    /// The jobs: that tell of an offer, or that were accepted or completed in one transaction with what the holder did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<JobId>,
    /// The pool's version after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Rises with everything that happens in the shard.
    pub number: u64,
}
