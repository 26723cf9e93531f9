//! What can be seen of pools. They are copies, made when asked for.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::refusal::Why;
use super::{GrantEnd, GrantId, GrantState, PoolConfig};
use crate::id::{JobId, Time};

/// What became of one operation on a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolItem {
    /// The grant is now so.
    Grant {
        /// The grant. Its sequence is its fencing number.
        id: GrantId,
        /// Held or taken.
        state: GrantState,
        /// Its units.
        units: u32,
        /// When it was given; none in an answer that was kept without it.
        granted_at: Option<Time>,
        /// While held: until when.
        expires_at: Option<Time>,
        /// While held: how far it can be extended.
        extendable_until: Option<Time>,
        /// The pool's version after that.
        version: u64,
    },
    /// The grant is over.
    Ended {
        /// The grant.
        id: GrantId,
        /// How it ended.
        end: GrantEnd,
        /// Its units; 0 in an answer that was kept without them.
        units: u32,
        /// When it was given, likewise.
        granted_at: Option<Time>,
        /// The pool's version after that.
        version: u64,
    },
    /// The holder waits in line.
    Waits {
        /// The number of its joining, rising with each.
        number: u64,
        /// How many are before it; at most [`limits::PLACES_COUNTED`](crate::limits::PLACES_COUNTED), which then means
        /// "or more". None before an opening that draws the order, and of one who waits no more.
        ahead: Option<u32>,
        /// The pool's version after that.
        version: u64,
    },
    /// The holder waits no more.
    Left {
        /// The number of its joining.
        number: u64,
        /// The pool's version after that.
        version: u64,
    },
}

/// Everything about one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolView {
    /// Its name.
    pub name: Arc<str>,
    /// Its configuration.
    pub config: Arc<PoolConfig>,
    /// Rises with every change of what is shown here, also when the pool is deleted and made again.
    pub version: u64,
    /// Units held.
    pub held: u64,
    /// Units taken.
    pub taken: u64,
    /// Holders in line.
    pub waiting: u32,
    /// Whether it has opened.
    pub opened: bool,
    /// Whether it has closed.
    pub closed: bool,
    /// Units each group has, by name.
    pub groups: Vec<(Arc<str>, u64)>,
    /// The hash of the seed of an opening that draws the order.
    pub commitment: Option<[u8; 32]>,
    /// That seed, once the pool has opened.
    pub seed: Option<[u8; 32]>,
}

impl PoolView {
    /// Units that nobody has.
    pub fn free(&self) -> u64 {
        u64::from(self.config.capacity).saturating_sub(self.held + self.taken)
    }
}

/// One who joined before an opening that drew the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entrant {
    /// Who.
    pub holder: Arc<str>,
    /// The number of the joining.
    pub number: u64,
    /// The rank drawn.
    pub rank: u64,
    /// Whether it waits still.
    pub waiting: bool,
}

/// Everything about one grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantView {
    /// The grant.
    pub id: GrantId,
    /// The pool.
    pub pool: Arc<str>,
    /// Who has it.
    pub holder: Arc<str>,
    /// Its units.
    pub units: u32,
    /// The group it counts for.
    pub group: Option<Arc<str>>,
    /// Held or taken; none once it has ended.
    pub state: Option<GrantState>,
    /// How it ended.
    pub end: Option<GrantEnd>,
    /// Whether it came as an offer to the first in line.
    pub offered: bool,
    /// When it was given.
    pub granted_at: Time,
    /// While held: until when.
    pub expires_at: Option<Time>,
    /// While held: how far it can be extended.
    pub extendable_until: Option<Time>,
    /// The grant that is given up when this offer is confirmed.
    pub gives: Option<GrantId>,
    /// The job that tells of the offer.
    pub offer_job: Option<JobId>,
}

/// A holder's place in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitView {
    /// The pool.
    pub pool: Arc<str>,
    /// Units it waits for.
    pub units: u32,
    /// The group it counts for.
    pub group: Option<Arc<str>>,
    /// The number of its joining.
    pub number: u64,
    /// How many are before it, as in [`PoolItem::Waits`]; none before an opening that draws the order.
    pub ahead: Option<u32>,
    /// Since when.
    pub joined_at: Time,
    /// The grant that is given up when the offer is confirmed.
    pub gives: Option<GrantId>,
}

/// A page of who has units of a pool, by rising fencing number.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct GrantPage {
    /// The grants.
    pub grants: Vec<GrantView>,
    /// The sequence from which on the next page is; none at the end.
    pub next: Option<u64>,
}

/// Where somebody stands in a line: by rank, then by the number of the joining. While the order is not drawn every rank is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct LinePlace {
    /// The rank.
    pub rank: u64,
    /// The number of the joining.
    pub number: u64,
}

/// A holder in line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InLine {
    /// Who.
    pub holder: Arc<str>,
    /// Its place in it.
    pub wait: WaitView,
}

/// A page of who waits for a pool: in order, or, before an opening that draws the order, as they joined.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct LinePage {
    /// They.
    pub line: Vec<InLine>,
    /// The place from which on the next page is; none at the end.
    pub next: Option<LinePlace>,
}

/// Where a page of a holder begins, or the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct HolderPlace {
    /// The sequence of the first grant that may be on it.
    pub grant: u64,
    /// The first pool whose place in line may be on it, as the state numbers pools.
    pub pool: u32,
}

/// One holder's whole story, or a page of it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct HolderView {
    /// What it has, by rising id.
    pub grants: Vec<GrantView>,
    /// Where it waits, by pool: on a page, those of the page.
    pub waiting: Vec<WaitView>,
    /// Where the next page begins; none at the end.
    pub next: Option<HolderPlace>,
    /// What happened, in order: the latest [`STORY_LIVING_PER_HOLDER`](crate::limits::STORY_LIVING_PER_HOLDER) entries that are told of
    /// grants that have not ended; and of the last [`STORY_MS`](crate::limits::STORY_MS), as long as the shard has room, the latest
    /// [`STORY_ENTRIES_PER_HOLDER`](crate::limits::STORY_ENTRIES_PER_HOLDER) others and
    /// [`STORY_REFUSALS_PER_HOLDER`](crate::limits::STORY_REFUSALS_PER_HOLDER) refusals.
    pub story: Vec<StoryEntry>,
}

/// What a request was for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Verb {
    /// Nothing; the number of a verb that this version does not know.
    None = 0,
    /// To hold.
    Hold = 1,
    /// To take.
    Take = 2,
    /// To confirm.
    Confirm = 3,
    /// To extend.
    Extend = 4,
    /// To release.
    Release = 5,
    /// To swap.
    Swap = 6,
    /// To join.
    Join = 7,
    /// To leave.
    Leave = 8,
    /// That a transaction's condition holds.
    Condition = 9,
    /// A transaction, of which a part that was not this holder's was refused.
    Transaction = 10,
}

impl Verb {
    /// The word used everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Hold => "hold",
            Self::Take => "take",
            Self::Confirm => "confirm",
            Self::Extend => "extend",
            Self::Release => "release",
            Self::Swap => "swap",
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Condition => "condition",
            Self::Transaction => "transaction",
        }
    }
}

/// What happened to a holder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Happened {
    /// It was given units until a deadline.
    Held(Time),
    /// It was given units.
    Taken,
    /// It was offered units until a deadline, as the first in line who fits.
    Offered(Time),
    /// It took what it held.
    Confirmed,
    /// Its grant ended.
    Ended(GrantEnd),
    /// It waits in line.
    Joined,
    /// It left the line.
    Left,
    /// It was taken out of the line: it had as many units as one may, or what it would have given up had ended.
    DroppedFromLine,
    /// It waits no more: the pool has closed.
    LineClosed,
    /// It was refused.
    Refused(Verb, Why),
    /// Jobs were accepted with what it did.
    Enqueued,
    /// Jobs were completed with what it did.
    Completed,
}

/// One thing that happened to a holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoryEntry {
    /// Rises with everything that happens in the shard.
    pub number: u64,
    /// When.
    pub at: Time,
    /// What.
    pub happened: Happened,
    /// The pool; empty if none is meant.
    pub pool: Arc<str>,
    /// The grant's sequence, or 0.
    pub grant: u64,
    /// Units.
    pub units: u32,
    /// The pool's version.
    pub version: u64,
    /// The number of the joining, or what goes with a refusal.
    pub value: u64,
    /// Jobs' sequences: an offer's, or a transaction's.
    pub jobs: Vec<u64>,
}

/// A page of pools by name.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PoolPage {
    /// The pools.
    pub pools: Vec<PoolView>,
    /// The name after which the next page begins; none at the end.
    pub next: Option<String>,
}
