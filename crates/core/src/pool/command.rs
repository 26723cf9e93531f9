//! What may be asked of pools.

use alloc::string::String;
use alloc::vec::Vec;

use super::GrantId;
use crate::id::JobId;
use crate::view::JobState;

/// One thing to do with a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolOperation {
    /// Give a holder units until a deadline.
    Hold(Wish),
    /// Give a holder units until it gives them back.
    Take(Wish),
    /// Take what is held.
    Confirm(GrantId),
    /// Hold for longer: this many ms from now, or the pool's hold time; never beyond the grant's ceiling.
    Extend(GrantId, Option<u64>),
    /// Give units back.
    Release(GrantId),
    /// Give one grant for another, or keep it.
    Swap(Swap),
    /// Wait in line.
    Join(Wish),
    /// Wait no more.
    Leave {
        /// The pool.
        pool: String,
        /// The holder.
        holder: String,
    },
}

impl PoolOperation {
    /// Whether it adds something that must be kept: a grant, or a place in line.
    pub const fn takes(&self) -> bool {
        match self {
            Self::Hold(_) | Self::Take(_) | Self::Join(_) | Self::Swap(_) => true,
            Self::Confirm(_) | Self::Extend(..) | Self::Release(_) | Self::Leave { .. } => false,
        }
    }
}

/// What a holder wants of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The pool.
    pub pool: String,
    /// Who wants.
    pub holder: String,
    /// How many units, 1..=[`UNITS_MAX`](crate::limits::UNITS_MAX).
    pub units: u32,
    /// The holder's group, if the pool has a quota for it.
    pub group: Option<String>,
    /// How long to hold, in ms; the pool's hold time if none. Only a hold asks.
    pub hold_ms: Option<u64>,
}

/// A grant for a grant. The new one is held or taken as the old one was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    /// What is given up, if the other can be had.
    pub give: GrantId,
    /// The pool wanted.
    pub pool: String,
    /// How many of its units; as many as are given up if none.
    pub units: Option<u32>,
    /// The holder's group in it.
    pub group: Option<String>,
    /// If there is nothing to be had now: wait in line, and give up the old grant when the offer is confirmed.
    pub when_offered: bool,
}

/// What must be so for a transaction to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The pool has not changed since this version.
    PoolVersion {
        /// The pool.
        pool: String,
        /// The version.
        version: u64,
    },
    /// The holder has units in each of these pools. One that does not exist refuses.
    HasAll {
        /// The holder.
        holder: String,
        /// The pools.
        pools: Vec<String>,
    },
    /// The holder has units in none of these pools. One that does not exist refuses: nothing would be guarded by it.
    HasNone {
        /// The holder.
        holder: String,
        /// The pools.
        pools: Vec<String>,
    },
    /// The units a holder has, over all pools or over those of one place, are fewer than this.
    UnitsBelow {
        /// The holder.
        holder: String,
        /// Only pools whose name ends in `@` and this.
        place: Option<String>,
        /// So many are too many.
        units: u64,
    },
    /// The job is in this state.
    Job {
        /// The job.
        id: JobId,
        /// The state.
        state: JobState,
    },
}
