//! Why something about a pool was not done.

/// A refusal, with the version of the pool that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolRefusal {
    /// Why.
    pub why: Why,
    /// The pool's version when it was refused; 0 where no pool is meant.
    pub version: u64,
    /// A number that goes with the reason; [`Why`] says which.
    pub value: u64,
}

impl PoolRefusal {
    /// A refusal without a number.
    pub const fn of(why: Why, version: u64) -> Self {
        Self { why, version, value: 0 }
    }
}

/// The reason of a refusal. Its numbers are on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Why {
    /// None; the number of a reason that this version does not know.
    Unknown = 0,
    /// No such pool. Value: which of a condition's pools.
    PoolNotFound = 1,
    /// No such grant, or one that ended long ago.
    GrantUnknown = 2,
    /// The hold's deadline came before.
    HoldLapsed = 3,
    /// The grant was given back or swapped. Value: how, as [`super::GrantEnd`] numbers it.
    GrantEnded = 4,
    /// The grant is taken, not held.
    NotHeld = 5,
    /// The pool is not open yet. Value: when it opens, in ms since 1970.
    NotOpen = 6,
    /// The pool is closed. Value: since when, in ms since 1970.
    Closed = 7,
    /// There are not as many units that nobody has, or somebody in line is about to be offered of them. Value: units that nobody has.
    SoldOut = 8,
    /// The holder has, or waits for, as many units as one may. Value: the limit.
    LimitReached = 9,
    /// The group has as many units as it may. Value: its quota.
    QuotaFull = 10,
    /// As many wait as may. Value: how many may.
    WaitlistFull = 11,
    /// The pool has no waitlist.
    WaitlistOff = 12,
    /// More units are granted than the new capacity has. Value: units granted.
    BelowGranted = 13,
    /// Somebody has units of the pool or waits in its line. Value: units granted.
    PoolInUse = 14,
    /// The pool has no quota for this group.
    GroupUnknown = 15,
    /// The holder does not wait in this line.
    NotWaiting = 16,
    /// A grant cannot be swapped within its own pool.
    SamePool = 17,
    /// The shard has as many pools as it can. Value: how many.
    TooManyPools = 18,
    /// The shard knows as many holders as it can. Value: how many.
    TooManyHolders = 19,
    /// The shard has as many grants, or holders in line, as it can. Value: how many.
    TooManyGrants = 20,
    /// The holder has units of a pool it must not. Value: which of the condition's pools.
    HasPool = 21,
    /// The holder has no units of a pool it must. Value: which of the condition's pools.
    LacksPool = 22,
    /// The holder has too many units. Value: how many.
    UnitsReached = 23,
    /// The pool has changed since the version named.
    VersionChanged = 24,
    /// The job is in another state. Value: which, as [`crate::view::JobState`] numbers it.
    JobStateChanged = 25,
    /// The pool is to open at a time that lies behind, or closes before it opens.
    NeverOpen = 26,
    /// The holder waits in this line for another purpose, or with this grant in another line. Value: the number of its joining.
    AlreadyWaiting = 27,
    /// The pool is to open or close further ahead than 366 days.
    TooFarAhead = 28,
    /// It is more than the pool, or the quota of the group, has in all. Value: how many units that is.
    NeverFits = 29,
    /// A group has more units than its new quota. Value: its units, and above the 32nd bit which of the quotas it is, from 0.
    QuotaBelowGranted = 30,
    /// The transaction was refused for something that is not about pools. Value: for what, as
    /// [`Refusal::number`](crate::Refusal::number) says.
    Elsewhere = 31,
    /// The grant is an offer that a job tells of, or that another grant is promised for: it is confirmed or declined in time, and not
    /// extended. Value: its deadline, in ms since 1970.
    IsOffer = 32,
}

impl Why {
    /// The stable name, as every door says it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::PoolNotFound => "pool_not_found",
            Self::GrantUnknown => "grant_unknown",
            Self::HoldLapsed => "hold_lapsed",
            Self::GrantEnded => "grant_ended",
            Self::NotHeld => "not_held",
            Self::NotOpen => "not_open",
            Self::Closed => "closed",
            Self::SoldOut => "sold_out",
            Self::LimitReached => "limit_reached",
            Self::QuotaFull => "quota_full",
            Self::WaitlistFull => "waitlist_full",
            Self::WaitlistOff => "waitlist_off",
            Self::BelowGranted | Self::QuotaBelowGranted => "below_granted",
            Self::PoolInUse => "pool_in_use",
            Self::GroupUnknown => "group_unknown",
            Self::NotWaiting => "not_waiting",
            Self::SamePool => "same_pool",
            Self::TooManyPools => "too_many_pools",
            Self::TooManyHolders => "too_many_holders",
            Self::TooManyGrants => "too_many_grants",
            Self::HasPool => "has_pool",
            Self::LacksPool => "lacks_pool",
            Self::UnitsReached => "units_reached",
            Self::VersionChanged => "version_changed",
            Self::JobStateChanged => "job_state_changed",
            Self::NeverOpen => "never_open",
            Self::AlreadyWaiting => "already_waiting",
            Self::TooFarAhead => "too_far_ahead",
            Self::NeverFits => "never_fits",
            Self::Elsewhere => "elsewhere",
            Self::IsOffer => "is_offer",
        }
    }

    /// Whether it only says that the shard has no room: the same request may find some later.
    pub const fn says_not_now(self) -> bool {
        matches!(self, Self::TooManyPools | Self::TooManyHolders | Self::TooManyGrants)
    }
}
