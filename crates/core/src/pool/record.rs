//! The facts about pools. Names are in each of them, so that a holder's story can be read from any part of a log.
//!
//! `event` numbers what happens to holders, rising over the whole shard; `version` is the pool's after the fact.

use alloc::string::String;
use alloc::vec::Vec;

use super::refusal::Why;
use super::view::Verb;
use super::{GrantEnd, GrantState, PoolConfig};

/// A pool exists, with this configuration.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PoolConfigured {
    /// The pool.
    #[prost(string, tag = "1")]
    pub pool: String,
    /// Its whole configuration.
    #[prost(message, required, tag = "2")]
    pub config: PoolConfig,
    /// Its version.
    #[prost(uint64, tag = "3")]
    pub version: u64,
    /// Whether it has opened.
    #[prost(bool, tag = "4")]
    pub opened: bool,
    /// Whether it has closed.
    #[prost(bool, tag = "5")]
    pub closed: bool,
    /// The seed of an opening that draws the order; empty if none does.
    #[prost(bytes = "vec", tag = "6")]
    pub seed: Vec<u8>,
    /// Whether this opening is a new one: those who joined before an earlier one are forgotten.
    #[prost(bool, tag = "7")]
    pub new_opening: bool,
}

/// A pool is no more.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PoolDeleted {
    /// The pool.
    #[prost(string, tag = "1")]
    pub pool: String,
    /// The version it would have had.
    #[prost(uint64, tag = "2")]
    pub version: u64,
}

/// A pool's time to open or to close has come.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PoolTurned {
    /// The pool.
    #[prost(string, tag = "1")]
    pub pool: String,
    /// Whether it has opened.
    #[prost(bool, tag = "2")]
    pub opened: bool,
    /// Whether it has closed.
    #[prost(bool, tag = "3")]
    pub closed: bool,
    /// Its version.
    #[prost(uint64, tag = "4")]
    pub version: u64,
}

/// A holder was given units.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Granted {
    /// The pool.
    #[prost(string, tag = "1")]
    pub pool: String,
    /// The holder.
    #[prost(string, tag = "2")]
    pub holder: String,
    /// The grant's sequence, which is its fencing number.
    #[prost(uint64, tag = "3")]
    pub grant: u64,
    /// How many units.
    #[prost(uint32, tag = "4")]
    pub units: u32,
    /// The group it counts for.
    #[prost(string, optional, tag = "5")]
    pub group: Option<String>,
    /// Held or taken.
    #[prost(enumeration = "GrantState", tag = "6")]
    pub state: i32,
    /// Held until then, in ms since 1970; 0 if taken.
    #[prost(uint64, tag = "7")]
    pub deadline: u64,
    /// How far it can be extended, in ms since 1970; 0 if taken.
    #[prost(uint64, tag = "8")]
    pub ceiling: u64,
    /// The joining that it is an offer to; 0 if it is none.
    #[prost(uint64, tag = "9")]
    pub waiter: u64,
    /// The grant that is given up when this offer is confirmed; 0 for none.
    #[prost(uint64, tag = "10")]
    pub gives: u64,
    /// The job that tells of the offer; 0 for none.
    #[prost(uint64, tag = "11")]
    pub job: u64,
    /// See the module.
    #[prost(uint64, tag = "12")]
    pub version: u64,
    /// See the module.
    #[prost(uint64, tag = "13")]
    pub event: u64,
}

/// What was held is taken.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GrantConfirmed {
    /// The pool.
    #[prost(string, tag = "1")]
    pub pool: String,
    /// The holder.
    #[prost(string, tag = "2")]
    pub holder: String,
    /// The grant.
    #[prost(uint64, tag = "3")]
    pub grant: u64,
    /// Its units.
    #[prost(uint32, tag = "4")]
    pub units: u32,
    /// See the module.
    #[prost(uint64, tag = "5")]
    pub version: u64,
    /// See the module.
    #[prost(uint64, tag = "6")]
    pub event: u64,
}

/// A hold lasts longer.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HoldExtended {
    /// The grant.
    #[prost(uint64, tag = "1")]
    pub grant: u64,
    /// Held until then, in ms since 1970.
    #[prost(uint64, tag = "2")]
    pub deadline: u64,
}

/// A grant ended.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GrantEnded {
    /// The pool.
    #[prost(string, tag = "1")]
    pub pool: String,
    /// The holder.
    #[prost(string, tag = "2")]
    pub holder: String,
    /// The grant.
    #[prost(uint64, tag = "3")]
    pub grant: u64,
    /// Its units.
    #[prost(uint32, tag = "4")]
    pub units: u32,
    /// How it ended.
    #[prost(enumeration = "GrantEnd", tag = "5")]
    pub end: i32,
    /// When it was given, in ms since 1970.
    #[prost(uint64, tag = "6")]
    pub granted_at: u64,
    /// When it ended, in ms since 1970.
    #[prost(uint64, tag = "7")]
    pub ended_at: u64,
    /// See the module.
    #[prost(uint64, tag = "8")]
    pub version: u64,
    /// See the module.
    #[prost(uint64, tag = "9")]
    pub event: u64,
}

/// A holder waits in line.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Joined {
    /// The pool.
    #[prost(string, tag = "1")]
    pub pool: String,
    /// The holder.
    #[prost(string, tag = "2")]
    pub holder: String,
    /// Units it waits for.
    #[prost(uint32, tag = "3")]
    pub units: u32,
    /// The group it counts for.
    #[prost(string, optional, tag = "4")]
    pub group: Option<String>,
    /// Its place in line: by rank, then by number.
    #[prost(fixed64, tag = "5")]
    pub rank: u64,
    /// The number of the joining, rising within the pool.
    #[prost(uint64, tag = "6")]
    pub number: u64,
    /// The grant that is given up when the offer is confirmed; 0 for none.
    #[prost(uint64, tag = "7")]
    pub gives: u64,
    /// When it joined, in ms since 1970.
    #[prost(uint64, tag = "8")]
    pub joined_at: u64,
    /// See the module.
    #[prost(uint64, tag = "9")]
    pub version: u64,
    /// See the module.
    #[prost(uint64, tag = "10")]
    pub event: u64,
    /// Written anew: whether it waits still. One who joined before an opening is remembered after that.
    #[prost(bool, tag = "11")]
    pub left: bool,
}

/// A holder waits no more, and got nothing.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LeftLine {
    /// The pool.
    #[prost(string, tag = "1")]
    pub pool: String,
    /// The holder.
    #[prost(string, tag = "2")]
    pub holder: String,
    /// The number of the joining.
    #[prost(uint64, tag = "3")]
    pub number: u64,
    /// Whether it was taken out: it had as many units as one may, or what it would have given up had ended.
    #[prost(bool, tag = "4")]
    pub dropped: bool,
    /// See the module.
    #[prost(uint64, tag = "5")]
    pub version: u64,
    /// See the module.
    #[prost(uint64, tag = "6")]
    pub event: u64,
    /// Whether it was let go, the pool having closed.
    #[prost(bool, tag = "7")]
    pub closed: bool,
}

/// A holder was refused: it changes nothing but the holder's story.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PoolRefused {
    /// The pool.
    #[prost(string, tag = "1")]
    pub pool: String,
    /// The holder.
    #[prost(string, tag = "2")]
    pub holder: String,
    /// What it wanted.
    #[prost(enumeration = "Verb", tag = "3")]
    pub verb: i32,
    /// Why not.
    #[prost(enumeration = "Why", tag = "4")]
    pub why: i32,
    /// What goes with the reason.
    #[prost(uint64, tag = "5")]
    pub value: u64,
    /// The version seen.
    #[prost(uint64, tag = "6")]
    pub version: u64,
    /// See the module.
    #[prost(uint64, tag = "7")]
    pub event: u64,
}

/// Jobs were accepted, or completed, together with what a holder did: it changes nothing but the holder's story.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct JobsLinked {
    /// The holder.
    #[prost(string, tag = "1")]
    pub holder: String,
    /// Sequences of the jobs.
    #[prost(uint64, repeated, tag = "2")]
    pub jobs: Vec<u64>,
    /// Completed rather than accepted.
    #[prost(bool, tag = "3")]
    pub completed: bool,
    /// See the module.
    #[prost(uint64, tag = "4")]
    pub event: u64,
}

/// A pool, written anew.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PoolRestated {
    /// The pool as it is.
    #[prost(message, required, tag = "1")]
    pub pool: PoolConfigured,
    /// Number of the next joining.
    #[prost(uint64, tag = "2")]
    pub next_number: u64,
    /// Until when those who joined before the opening are remembered, in ms since 1970; 0 if it has drawn none.
    #[prost(uint64, tag = "3")]
    pub drawn_until: u64,
}

/// A grant, written anew.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GrantRestated {
    /// The grant as it is. It is no event: that number is 0.
    #[prost(message, required, tag = "1")]
    pub grant: Granted,
    /// When it was given, in ms since 1970.
    #[prost(uint64, tag = "2")]
    pub granted_at: u64,
}

/// A holder's story, written anew, or a part of it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StoryRestated {
    /// The holder.
    #[prost(string, tag = "1")]
    pub holder: String,
    /// What happened.
    #[prost(message, repeated, tag = "2")]
    pub entries: Vec<StoryEntryRestated>,
}

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StoryEntryRestated {
    /// Its number.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// When, in ms since 1970.
    #[prost(uint64, tag = "2")]
    pub at: u64,
    /// What: 1 held, 2 taken, 3 offered, 4 confirmed, 5 ended, 6 joined, 7 left, 8 dropped from the line, 9 refused,
    /// 10 enqueued, 11 completed, 12 let go with the line of a pool that has closed.
    #[prost(uint32, tag = "3")]
    pub happened: u32,
    /// With held and offered the deadline; with ended how.
    #[prost(uint64, tag = "4")]
    pub detail: u64,
    /// With refused: what it wanted.
    #[prost(enumeration = "Verb", tag = "5")]
    pub verb: i32,
    /// With refused: why not.
    #[prost(enumeration = "Why", tag = "6")]
    pub why: i32,
    /// The pool.
    #[prost(string, tag = "7")]
    pub pool: String,
    /// The grant.
    #[prost(uint64, tag = "8")]
    pub grant: u64,
    /// Units.
    #[prost(uint32, tag = "9")]
    pub units: u32,
    /// The pool's version.
    #[prost(uint64, tag = "10")]
    pub version: u64,
    /// The number of the joining, or what goes with a refusal.
    #[prost(uint64, tag = "11")]
    pub value: u64,
    /// Jobs.
    #[prost(uint64, repeated, tag = "12")]
    pub jobs: Vec<u64>,
}

/// Grants that ended, written anew. Nothing but the memory of them.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct EndedRestated {
    /// A grant as it ended. It is no new event.
    #[prost(message, required, tag = "1")]
    pub ended: GrantEnded,
}
