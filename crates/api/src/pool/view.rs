//! How pools stand; who has units of one, who waits for it, and who was in an opening that drew the order.

use serde::{Deserialize, Serialize};

use crate::pool::config::PoolConfig;
use crate::pool::grant::{Grant, Waiting};
use crate::time::Timestamp;
use crate::words::PoolState;

/// How a pool stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Whether it gives anything just now.
    pub state: PoolState,
    /// Units that nobody has. While somebody who fits waits in line, they are that holder's.
    pub free: u64,
    /// Units held until a deadline.
    pub held: u64,
    /// Units taken.
    pub taken: u64,
    /// Holders in line.
    pub waiting: u32,
    /// Units of each group that has a quota or units.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<PoolGroup>,
    /// Its configuration.
    pub config: PoolConfig,
    /// Rises with every change of what is shown here, also when the pool is deleted and made again.
    pub version: u64,
    /// The SHA-256 of the seed of an opening that draws the order, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commitment: Option<String>,
    /// That seed of 32 bytes in hexadecimal, once the pool has opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
    /// The moment all of this was true.
    pub as_of: Timestamp,
}

/// Units of one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolGroup {
    /// The group.
    pub group: String,
    /// Units its holders have.
    pub units: u64,
    /// Units they may have; not there once the group has no quota any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units_max: Option<u32>,
}

/// Many pools: those that were named, in that order, or a page of all by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolList {
    /// The pools.
    pub pools: Vec<Pool>,
    /// Those named that there are not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Asks for the next page; not there on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// The answer to a deletion (`DELETE /v1/pools/{pool}`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolDeleted {
    /// The name of the pool that is no more.
    pub deleted: String,
}

/// A page of who has units of a pool, by rising fencing number (`GET /v1/pools/{pool}/grants`). It may be short, or empty, while
/// there are more: `cursor` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GrantPage {
    /// The grants, held or taken.
    pub grants: Vec<Grant>,
    /// Asks for the next page; not there on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A page of who waits for a pool, the first in line in front (`GET /v1/pools/{pool}/line`). Before an opening that draws the order: as
/// they joined. Whoever has an offer waits no more; it is among the grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LinePage {
    /// They, each with its place.
    pub line: Vec<Waiting>,
    /// Asks for the next page; not there on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// One who joined before the opening that drew the order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Entrant {
    /// Who.
    pub holder: String,
    /// The number of the joining.
    pub number: u64,
    /// The rank drawn: 16 hexadecimal digits. The lowest is first; of two equal ones, the earlier joining.
    pub rank: String,
    /// Whether it waits still.
    pub waiting: bool,
}

/// A page of those who joined before the opening that drew the order, by the number of their joining
/// (`GET /v1/pools/{pool}/entrants`). Empty before the opening.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EntrantPage {
    /// They.
    pub entrants: Vec<Entrant>,
    /// Asks for the next page; not there on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}
