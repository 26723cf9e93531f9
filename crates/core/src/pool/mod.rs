//! Pools: what is scarce. A pool has units; a grant gives a holder some of them, held until a deadline or taken.
//!
//! This is the pools' vocabulary: what may be asked ([`command`]), answered and seen ([`view`]), and what is written down
//! ([`record`]). The rules are in `state/decide/pools`. Left out: who a holder is. A holder is a name that callers give.

pub mod command;
pub mod order;
pub mod record;
pub mod refusal;
mod text;
pub mod view;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use crate::id::{JobId, NotAJobId};
use crate::limits;

pub(crate) use text::offer_payload;

/// A grant's id: the shard that owns it and its sequence among all grants of the shard.
///
/// The sequence is also the grant's **fencing number**: of two grants of a pool, the later one has the higher. It is written
/// like a job's id, `0-42`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GrantId(JobId);

impl GrantId {
    /// The id of the `sequence`-th grant of `shard`. `sequence` must be below 2^48.
    pub const fn new(shard: u16, sequence: u64) -> Self {
        Self(JobId::new(shard, sequence))
    }

    /// The shard that owns the grant.
    pub const fn shard(self) -> u16 {
        self.0.shard()
    }

    /// The grant's place among all grants of its shard, from 1.
    pub const fn sequence(self) -> u64 {
        self.0.sequence()
    }

    /// What whoever guards the thing itself compares: an older grant has a lower one.
    pub const fn fence(self) -> u64 {
        self.sequence()
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for GrantId {
    type Err = NotAJobId;

    fn from_str(text: &str) -> Result<Self, NotAJobId> {
        text.parse().map(Self)
    }
}

/// Who is served first among those who came before the opening.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Opening {
    /// Nobody may ask before the opening; then first come, first served.
    Fifo = 0,
    /// Whoever joins before the opening is put in an order that is drawn; see [`order`].
    Shuffle = 1,
}

/// At most so many units of a pool for one group of holders.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Quota {
    /// The group.
    #[prost(string, tag = "1")]
    pub group: String,
    /// Units its holders may have together.
    #[prost(uint32, tag = "2")]
    pub units_max: u32,
}

/// Something the pool's owner wants to have said about it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Attribute {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// A pool's configuration. It is written to the log whole.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PoolConfig {
    /// Units there are.
    #[prost(uint32, tag = "1")]
    pub capacity: u32,
    /// Units one holder may have and wait for together; 0 is no limit.
    #[prost(uint32, tag = "2")]
    pub holder_units_max: u32,
    /// How long a hold lasts when the call does not say, in ms.
    #[prost(uint64, tag = "3")]
    pub hold_ms: u64,
    /// How long a hold can last at most, all extensions included, in ms.
    #[prost(uint64, tag = "4")]
    pub hold_ms_max: u64,
    /// How long an offer to the first in line stands, in ms.
    #[prost(uint64, tag = "5")]
    pub offer_ms: u64,
    /// Holders that may wait in line; 0 is no waitlist.
    #[prost(uint32, tag = "6")]
    pub waitlist_max: u32,
    /// When it opens, in ms since 1970; 0 means it is open from the start.
    #[prost(uint64, tag = "7")]
    pub opens_at: u64,
    /// When it closes, in ms since 1970; 0 means never.
    #[prost(uint64, tag = "8")]
    pub closes_at: u64,
    /// Who is first at the opening.
    #[prost(enumeration = "Opening", tag = "9")]
    pub opening: i32,
    /// Each offer becomes a job in this queue, so that somebody tells the holder.
    #[prost(string, optional, tag = "10")]
    pub offer_queue: Option<String>,
    /// Groups with a share of their own, each named once.
    #[prost(message, repeated, tag = "11")]
    pub quotas: Vec<Quota>,
    /// What the owner wants said, each name once.
    #[prost(message, repeated, tag = "12")]
    pub attributes: Vec<Attribute>,
}

impl PoolConfig {
    /// A pool of `capacity` units, and for the rest what is usual: one unit a holder, holds of five minutes.
    pub fn of(capacity: u32) -> Self {
        Self {
            capacity,
            holder_units_max: 1,
            hold_ms: limits::HOLD_MS_DEFAULT,
            hold_ms_max: limits::HOLD_MS_MAX_DEFAULT,
            offer_ms: limits::HOLD_MS_DEFAULT,
            waitlist_max: 0,
            opens_at: 0,
            closes_at: 0,
            opening: Opening::Fifo as i32,
            offer_queue: None,
            quotas: Vec::new(),
            attributes: Vec::new(),
        }
    }

    /// Units the holders of `group` may have together, if it has a quota.
    pub fn quota(&self, group: &str) -> Option<u32> {
        self.quotas.iter().find(|quota| quota.group == group).map(|quota| quota.units_max)
    }
}

/// What a grant is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum GrantState {
    /// The holder's until its deadline.
    Held = 0,
    /// The holder's until it is released.
    Taken = 1,
}

impl GrantState {
    /// The word used everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Taken => "taken",
        }
    }
}

/// How a grant ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum GrantEnd {
    /// It was given back.
    Released = 0,
    /// It was an offer, and was given back.
    Declined = 1,
    /// Its deadline came.
    Lapsed = 2,
    /// It was an offer, and its deadline came.
    OfferLapsed = 3,
    /// It was given for another one.
    Swapped = 4,
}

impl GrantEnd {
    /// The word used everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Declined => "declined",
            Self::Lapsed => "lapsed",
            Self::OfferLapsed => "offer_lapsed",
            Self::Swapped => "swapped",
        }
    }
}

/// The part of a pool's name that says where it lives: what is behind its `@`, if it has one.
pub fn place_of(pool: &str) -> Option<&str> {
    pool.split_once('@').map(|(_, place)| place)
}
