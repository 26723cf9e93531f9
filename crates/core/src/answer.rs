//! The stored form of an outcome: what an idempotency key brings back.
//!
//! Kept small, since a busy shard keeps millions: a run of accepted jobs is three numbers. Jobs that a keyed lease
//! handed out are kept as ids and tokens, and shown again only while that lease still stands.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::id::{JobId, Time};
use crate::outcome::{Item, Outcome, Refusal, Worked};
use crate::pool::refusal::{PoolRefusal, Why};
use crate::pool::view::{PoolItem, PoolView};
use crate::pool::{GrantEnd, GrantId, GrantState, PoolConfig};
use crate::view::JobState;

/// An outcome on disk.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Answer {
    /// Which kind of outcome: 1 enqueued, 2 worked, 3 settled, 4 done, 5 redriving, 6 deleted, 7 refused,
    /// 8 transacted, 9 transaction refused, 10 pooled, 11 condition refused, 12 pool configured.
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    /// Items of an enqueue, of a transaction, of the completes, or the one item of a settled or refused outcome.
    #[prost(message, repeated, tag = "2")]
    pub items: Vec<AnswerItem>,
    /// Items of the fails.
    #[prost(message, repeated, tag = "3")]
    pub fail: Vec<AnswerItem>,
    /// Items of the extends.
    #[prost(message, repeated, tag = "4")]
    pub extend: Vec<AnswerItem>,
    /// Items of the releases.
    #[prost(message, repeated, tag = "5")]
    pub release: Vec<AnswerItem>,
    /// Ids of leased jobs.
    #[prost(uint64, repeated, tag = "6")]
    pub leased: Vec<u64>,
    /// Their tokens.
    #[prost(uint64, repeated, tag = "7")]
    pub tokens: Vec<u64>,
    /// A redrive's number, how many were deleted, or which operation or condition was refused.
    #[prost(uint64, tag = "8")]
    pub number: u64,
    /// With deleted: there were more.
    #[prost(bool, tag = "9")]
    pub more: bool,
    /// With pool configured: the pool.
    #[prost(message, optional, boxed, tag = "10")]
    pub configured: Option<Box<AnswerConfigured>>,
}

/// A pool as its configuration has left it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AnswerConfigured {
    /// Its name.
    #[prost(string, tag = "1")]
    pub pool: String,
    /// Its configuration.
    #[prost(message, optional, tag = "2")]
    pub config: Option<PoolConfig>,
    /// Its version.
    #[prost(uint64, tag = "3")]
    pub version: u64,
    /// Units held.
    #[prost(uint64, tag = "4")]
    pub held: u64,
    /// Units taken.
    #[prost(uint64, tag = "5")]
    pub taken: u64,
    /// Holders in line.
    #[prost(uint32, tag = "6")]
    pub waiting: u32,
    /// Whether it had opened.
    #[prost(bool, tag = "7")]
    pub opened: bool,
    /// Whether it had closed.
    #[prost(bool, tag = "8")]
    pub closed: bool,
    /// Units that groups had.
    #[prost(message, repeated, tag = "9")]
    pub groups: Vec<AnswerGroup>,
    /// The commitment; empty if there is none.
    #[prost(bytes = "vec", tag = "10")]
    pub commitment: Vec<u8>,
    /// The seed, if it was shown.
    #[prost(bytes = "vec", tag = "11")]
    pub seed: Vec<u8>,
    /// When that was.
    #[prost(uint64, tag = "12")]
    pub at: u64,
}

/// Units that a group had.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AnswerGroup {
    /// The group.
    #[prost(string, tag = "1")]
    pub group: String,
    /// Its units.
    #[prost(uint64, tag = "2")]
    pub units: u64,
}

impl AnswerConfigured {
    fn of(view: &PoolView, at: Time) -> Self {
        let group = |(group, units): &(Arc<str>, u64)| AnswerGroup { group: (**group).into(), units: *units };
        Self {
            pool: (*view.name).into(),
            config: Some((*view.config).clone()),
            version: view.version,
            held: view.held,
            taken: view.taken,
            waiting: view.waiting,
            opened: view.opened,
            closed: view.closed,
            groups: view.groups.iter().map(group).collect(),
            commitment: view.commitment.map_or_else(Vec::new, |hash| hash.to_vec()),
            seed: view.seed.map_or_else(Vec::new, |seed| seed.to_vec()),
            at: at.0,
        }
    }

    fn recall(&self) -> Outcome {
        let view = PoolView {
            name: self.pool.as_str().into(),
            config: Arc::new(self.config.clone().unwrap_or_default()),
            version: self.version,
            held: self.held,
            taken: self.taken,
            waiting: self.waiting,
            opened: self.opened,
            closed: self.closed,
            groups: self.groups.iter().map(|group| (group.group.as_str().into(), group.units)).collect(),
            commitment: self.commitment.as_slice().try_into().ok(),
            seed: self.seed.as_slice().try_into().ok(),
        };
        Outcome::PoolConfigured { view: Box::new(view), at: Time(self.at) }
    }
}

/// A run of alike items.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct AnswerItem {
    /// Shard of the jobs.
    #[prost(uint32, tag = "1")]
    pub shard: u32,
    /// Sequence of the first job; 0 for a refusal.
    #[prost(uint64, tag = "2")]
    pub job: u64,
    /// State number; 6 more for a duplicate; for a refusal its number.
    #[prost(uint32, tag = "3")]
    pub what: u32,
    /// The state's time plus one, or the refusal's value.
    #[prost(uint64, tag = "4")]
    pub value: u64,
    /// How many items alike with rising sequences, beyond the first.
    #[prost(uint32, tag = "5")]
    pub further: u32,
    /// With anything about a pool: what that is.
    #[prost(message, optional, tag = "6")]
    pub pool: Option<AnswerPool>,
}

/// What became of an operation on a pool, or the version that a refusal saw.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct AnswerPool {
    /// 1 grant, 2 ended, 3 waits, 4 left, 5 refused.
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    /// The grant's sequence, or the number of the joining.
    #[prost(uint64, tag = "2")]
    pub number: u64,
    /// The grant's state, or how it ended; of a place in line, 1 if nobody knows how many are before it.
    #[prost(uint32, tag = "3")]
    pub what: u32,
    /// Units, of a grant that ended too; or how many are before it.
    #[prost(uint32, tag = "4")]
    pub count: u32,
    /// The deadline plus one.
    #[prost(uint64, tag = "5")]
    pub deadline: u64,
    /// The pool's version.
    #[prost(uint64, tag = "6")]
    pub version: u64,
    /// How far the deadline can be moved, plus one.
    #[prost(uint64, tag = "7")]
    pub ceiling: u64,
    /// How long before the answer the grant was given, in ms, plus one: two bytes for what has just been given.
    #[prost(uint64, tag = "8")]
    pub age: u64,
}

impl AnswerPool {
    /// What became of an operation at `now`.
    fn of(item: PoolItem, now: Time) -> Self {
        let age = |granted_at: Option<Time>| granted_at.map_or(0, |at| now.0.saturating_sub(at.0) + 1);
        match item {
            PoolItem::Grant { id, state, units, granted_at, expires_at, extendable_until, version } => Self {
                kind: 1,
                number: id.sequence(),
                what: state as u32,
                count: units,
                deadline: expires_at.map_or(0, |at| at.0 + 1),
                version,
                ceiling: extendable_until.map_or(0, |at| at.0 + 1),
                age: age(granted_at),
            },
            PoolItem::Ended { id, end, units, granted_at, version } => Self {
                kind: 2,
                number: id.sequence(),
                what: end as u32,
                count: units,
                version,
                age: age(granted_at),
                ..Self::default()
            },
            PoolItem::Waits { number, ahead, version } => Self {
                kind: 3,
                number,
                what: u32::from(ahead.is_none()),
                count: ahead.unwrap_or(0),
                version,
                ..Self::default()
            },
            PoolItem::Left { number, version } => Self { kind: 4, number, version, ..Self::default() },
        }
    }
}

impl AnswerPool {
    /// The item of a pool of this shard, out of an answer that was given at `now`.
    fn item(self, shard: u16, now: Time) -> PoolItem {
        let Self { kind, number, what, count, deadline, version, ceiling, age } = self;
        let granted_at = age.checked_sub(1).map(|age| Time(now.0.saturating_sub(age)));
        match kind {
            1 => PoolItem::Grant {
                id: GrantId::new(shard, number),
                state: GrantState::try_from(what as i32).unwrap_or(GrantState::Held),
                units: count,
                granted_at,
                expires_at: deadline.checked_sub(1).map(Time),
                extendable_until: ceiling.checked_sub(1).map(Time),
                version,
            },
            2 => PoolItem::Ended {
                id: GrantId::new(shard, number),
                end: GrantEnd::try_from(what as i32).unwrap_or(GrantEnd::Released),
                units: count,
                granted_at,
                version,
            },
            3 => PoolItem::Waits { number, ahead: (what == 0).then_some(count), version },
            _ => PoolItem::Left { number, version },
        }
    }
}

/// Refusals about pools are numbered from here, as [`Why`] numbers them.
const POOL_REFUSALS: u32 = 1_000;

impl Refusal {
    /// Its number on disk.
    pub fn number(self) -> u32 {
        refusal_to_numbers(self).0
    }

    /// The refusal of a number, without what goes with it.
    pub fn from_number(number: u32) -> Self {
        refusal_from_numbers(number, 0)
    }
}

/// Pairs a refusal with its number on disk; the numbers are for ever.
fn refusal_to_numbers(refusal: Refusal) -> (u32, u64) {
    let job = |id: JobId| u64::from(id.shard()) << 48 | id.sequence();
    match refusal {
        Refusal::JobNotFound => (1, 0),
        Refusal::QueueNotFound => (2, 0),
        Refusal::StaleToken => (3, 0),
        Refusal::NotLeased(state) => (4, state as u64),
        Refusal::JobEnded(state) => (5, state as u64),
        Refusal::NotDead(state) => (6, state as u64),
        Refusal::UniqueConflict(id) => (7, job(id)),
        Refusal::QueueFull(limit) => (8, limit),
        Refusal::ShardFull(limit) => (9, limit),
        Refusal::TooManyQueues => (10, 0),
        Refusal::TooManyKinds => (11, 0),
        Refusal::TooFarAhead => (12, 0),
        Refusal::AlreadyExpired => (13, 0),
        Refusal::IdempotencyMismatch => (14, 0),
        Refusal::IdempotencyFull(time) => (15, time.0),
        Refusal::Contradicts(operation) => (16, u64::from(operation)),
        Refusal::Pool(refusal) => (POOL_REFUSALS + refusal.why as u32, refusal.value),
    }
}

fn refusal_from_numbers(number: u32, value: u64) -> Refusal {
    let state = || JobState::from_number(value as u32).unwrap_or(JobState::Cancelled);
    match number {
        1 => Refusal::JobNotFound,
        2 => Refusal::QueueNotFound,
        4 => Refusal::NotLeased(state()),
        5 => Refusal::JobEnded(state()),
        6 => Refusal::NotDead(state()),
        7 => Refusal::UniqueConflict(JobId::new((value >> 48) as u16, value & ((1 << 48) - 1))),
        8 => Refusal::QueueFull(value),
        9 => Refusal::ShardFull(value),
        10 => Refusal::TooManyQueues,
        11 => Refusal::TooManyKinds,
        12 => Refusal::TooFarAhead,
        13 => Refusal::AlreadyExpired,
        14 => Refusal::IdempotencyMismatch,
        15 => Refusal::IdempotencyFull(Time(value)),
        16 => Refusal::Contradicts(value as u32),
        number if number >= POOL_REFUSALS => {
            let why = Why::try_from((number - POOL_REFUSALS) as i32).unwrap_or(Why::Unknown);
            Refusal::Pool(PoolRefusal { why, version: 0, value })
        }
        _ => Refusal::StaleToken,
    }
}

/// Items as runs.
fn shrink(items: &[Item], now: Time) -> Vec<AnswerItem> {
    let mut runs: Vec<AnswerItem> = Vec::new();
    for item in items {
        let next = match *item {
            Item::Is { id, state, at } => AnswerItem {
                shard: u32::from(id.shard()),
                job: id.sequence(),
                what: state as u32,
                value: at.map_or(0, |at| at.0 + 1),
                ..AnswerItem::default()
            },
            Item::Duplicate { id, state } => AnswerItem {
                shard: u32::from(id.shard()),
                job: id.sequence(),
                what: state as u32 + 6,
                ..AnswerItem::default()
            },
            Item::Pool(item) => {
                let shard = match item {
                    PoolItem::Grant { id, .. } | PoolItem::Ended { id, .. } => id.shard(),
                    PoolItem::Waits { .. } | PoolItem::Left { .. } => 0,
                };
                AnswerItem {
                    shard: u32::from(shard),
                    pool: Some(AnswerPool::of(item, now)),
                    ..AnswerItem::default()
                }
            }
            Item::Refused(refusal) => {
                let (what, value) = refusal_to_numbers(refusal);
                let pool = match refusal {
                    Refusal::Pool(refusal) => {
                        Some(AnswerPool { kind: 5, version: refusal.version, ..AnswerPool::default() })
                    }
                    _ => None,
                };
                AnswerItem { what, value, pool, ..AnswerItem::default() }
            }
        };
        match runs.last_mut() {
            Some(run)
                if (run.shard, run.what, run.value) == (next.shard, next.what, next.value)
                    && run.pool == next.pool
                    && (next.job == 0 && run.job == 0
                        || run.job != 0 && next.job == run.job + u64::from(run.further) + 1) =>
            {
                run.further += 1;
            }
            _ => runs.push(next),
        }
    }
    runs
}

fn unfold(runs: &[AnswerItem], now: Time) -> Vec<Item> {
    let mut items = Vec::new();
    for run in runs {
        for i in 0..=u64::from(run.further) {
            items.push(if let Some(pool) = run.pool.filter(|pool| pool.kind != 5) {
                Item::Pool(pool.item(run.shard as u16, now))
            } else if run.job == 0 {
                Item::Refused(match refusal_from_numbers(run.what, run.value) {
                    Refusal::Pool(refusal) => {
                        let version = run.pool.map_or(0, |pool| pool.version);
                        Refusal::Pool(PoolRefusal { version, ..refusal })
                    }
                    refusal => refusal,
                })
            } else {
                let id = JobId::new(run.shard as u16, run.job + i);
                let state = JobState::from_number(run.what % 6).unwrap_or(JobState::Ready);
                if run.what >= 6 {
                    Item::Duplicate { id, state }
                } else {
                    Item::Is { id, state, at: run.value.checked_sub(1).map(Time) }
                }
            });
        }
    }
    items
}

impl Answer {
    /// What is kept of an outcome that was decided at `now`.
    pub(crate) fn of(outcome: &Outcome, now: Time) -> Self {
        let shrink = |items: &[Item]| shrink(items, now);
        match outcome {
            Outcome::Enqueued(items) => Self { kind: 1, items: shrink(items), ..Self::default() },
            Outcome::Worked(worked) => Self {
                kind: 2,
                items: shrink(&worked.complete),
                fail: shrink(&worked.fail),
                extend: shrink(&worked.extend),
                release: shrink(&worked.release),
                leased: worked.leased.iter().map(|job| job.id.sequence()).collect(),
                tokens: worked.leased.iter().map(|job| job.token.0).collect(),
                ..Self::default()
            },
            Outcome::Settled(item) => Self { kind: 3, items: shrink(&[*item]), ..Self::default() },
            Outcome::Done => Self { kind: 4, ..Self::default() },
            Outcome::Redriving(view) => Self { kind: 5, number: view.redrive, ..Self::default() },
            Outcome::Deleted { deleted, more } => {
                Self { kind: 6, number: *deleted, more: *more, ..Self::default() }
            }
            Outcome::Refused(refusal) => {
                Self { kind: 7, items: shrink(&[Item::Refused(*refusal)]), ..Self::default() }
            }
            Outcome::Transacted(items) => Self { kind: 8, items: shrink(items), ..Self::default() },
            Outcome::TransactionRefused { operation, refusal } => Self {
                kind: 9,
                items: shrink(&[Item::Refused(*refusal)]),
                number: u64::from(*operation),
                ..Self::default()
            },
            Outcome::Pooled(items) => Self { kind: 10, items: shrink(items), ..Self::default() },
            Outcome::PoolConfigured { view, at } => Self {
                kind: 12,
                configured: Some(Box::new(AnswerConfigured::of(view, *at))),
                ..Self::default()
            },
            Outcome::ConditionRefused { condition, refusal } => Self {
                kind: 11,
                items: shrink(&[Item::Refused(*refusal)]),
                number: u64::from(*condition),
                ..Self::default()
            },
        }
    }
}

/// An outcome read back. What only the state can complete is left to it.
pub(crate) enum Recalled {
    Whole(Outcome),
    /// A worker's round trip, with the ids and tokens it had leased.
    Worked(Worked, Vec<(u64, u64)>),
    /// A redrive, by number.
    Redriving(u64),
}

impl Answer {
    /// The outcome that was decided at `now`.
    pub(crate) fn recall(&self, now: Time) -> Recalled {
        let unfold = |items: &[AnswerItem]| unfold(items, now);
        let one = || unfold(&self.items).first().copied().unwrap_or(Item::Refused(Refusal::JobNotFound));
        match self.kind {
            1 => Recalled::Whole(Outcome::Enqueued(unfold(&self.items))),
            2 => Recalled::Worked(
                Worked {
                    complete: unfold(&self.items),
                    fail: unfold(&self.fail),
                    extend: unfold(&self.extend),
                    release: unfold(&self.release),
                    leased: Vec::new(),
                },
                self.leased.iter().copied().zip(self.tokens.iter().copied()).collect(),
            ),
            3 => Recalled::Whole(Outcome::Settled(one())),
            5 => Recalled::Redriving(self.number),
            6 => Recalled::Whole(Outcome::Deleted { deleted: self.number, more: self.more }),
            7 => Recalled::Whole(match one() {
                Item::Refused(refusal) => Outcome::Refused(refusal),
                item => Outcome::Settled(item),
            }),
            8 => Recalled::Whole(Outcome::Transacted(unfold(&self.items))),
            9 => Recalled::Whole(match one() {
                Item::Refused(refusal) => {
                    Outcome::TransactionRefused { operation: self.number as u32, refusal }
                }
                item => Outcome::Settled(item),
            }),
            10 => Recalled::Whole(Outcome::Pooled(unfold(&self.items))),
            11 => Recalled::Whole(match one() {
                Item::Refused(refusal) => {
                    Outcome::ConditionRefused { condition: self.number as u32, refusal }
                }
                item => Outcome::Settled(item),
            }),
            12 => {
                let configured = self.configured.as_deref();
                Recalled::Whole(configured.map_or(Outcome::Done, AnswerConfigured::recall))
            }
            _ => Recalled::Whole(Outcome::Done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When the answers were given.
    const NOW: Time = Time(1_000);

    #[test]
    fn a_stored_answer_brings_back_what_was_answered() {
        let ready = |n| Item::Is { id: JobId::new(3, n), state: JobState::Ready, at: None };
        let items = alloc::vec![
            ready(7),
            ready(8),
            ready(9),
            Item::Refused(Refusal::QueueFull(5)),
            Item::Refused(Refusal::QueueFull(5)),
            Item::Duplicate { id: JobId::new(3, 2), state: JobState::Leased },
            Item::Is { id: JobId::new(3, 10), state: JobState::Scheduled, at: Some(Time(0)) },
            Item::Refused(Refusal::UniqueConflict(JobId::new(9, 4))),
        ];
        let answer = Answer::of(&Outcome::Enqueued(items.clone()), NOW);
        assert_eq!(answer.items.len(), 5, "runs are folded: {answer:?}");
        let Recalled::Whole(Outcome::Enqueued(back)) = answer.recall(NOW) else { panic!("an enqueue") };
        assert_eq!(back, items);
    }

    #[test]
    fn a_stored_answer_about_pools_brings_back_what_was_answered() {
        let id = GrantId::new(3, 7);
        let sold_out = |version| Refusal::Pool(PoolRefusal { why: Why::SoldOut, version, value: 0 });
        let (state, expires_at, extendable_until) = (GrantState::Held, Some(Time(0)), Some(Time(7)));
        let given = |granted_at| PoolItem::Grant {
            id,
            state,
            units: 2,
            granted_at,
            expires_at,
            extendable_until,
            version: 9,
        };
        let ended = |units, granted_at| PoolItem::Ended {
            id,
            end: GrantEnd::Swapped,
            units,
            granted_at,
            version: 11,
        };
        let items = alloc::vec![
            Item::Pool(given(Some(NOW))),
            Item::Pool(given(Some(Time(0)))),
            Item::Pool(given(None)),
            Item::Pool(PoolItem::Grant {
                id,
                state: GrantState::Taken,
                units: 1,
                granted_at: Some(Time(999)),
                expires_at: None,
                extendable_until: None,
                version: 10
            }),
            Item::Pool(ended(3, Some(Time(1)))),
            Item::Pool(ended(0, None)),
            Item::Pool(PoolItem::Waits { number: 5, ahead: Some(3), version: 11 }),
            Item::Pool(PoolItem::Waits { number: 5, ahead: Some(0), version: 11 }),
            Item::Pool(PoolItem::Waits { number: 5, ahead: None, version: 11 }),
            Item::Pool(PoolItem::Left { number: 5, version: 12 }),
            Item::Refused(sold_out(12)),
            Item::Refused(sold_out(12)),
            Item::Refused(sold_out(13)),
        ];
        let refused = Outcome::ConditionRefused { condition: 1, refusal: sold_out(4) };
        for outcome in [Outcome::Pooled(items.clone()), Outcome::Transacted(items), refused] {
            let Recalled::Whole(back) = Answer::of(&outcome, NOW).recall(NOW) else {
                panic!("it is kept whole")
            };
            assert_eq!(back, outcome);
        }
    }

    #[test]
    fn a_stored_configuration_brings_back_the_pool_as_it_was() {
        let view = PoolView {
            name: "seats@autumn".into(),
            config: Arc::new(PoolConfig { waitlist_max: 4, ..PoolConfig::of(9) }),
            version: 12,
            held: 2,
            taken: 3,
            waiting: 1,
            opened: true,
            closed: false,
            groups: alloc::vec![("g".into(), 2)],
            commitment: Some([7; 32]),
            seed: None,
        };
        let outcome = Outcome::PoolConfigured { view: Box::new(view), at: Time(99) };
        let Recalled::Whole(back) = Answer::of(&outcome, NOW).recall(NOW) else { panic!("it is kept whole") };
        assert_eq!(back, outcome);
    }

    #[test]
    fn every_refusal_is_brought_back() {
        let job = JobId::new(65_535, (1 << 48) - 1);
        for refusal in [
            Refusal::JobNotFound,
            Refusal::QueueNotFound,
            Refusal::StaleToken,
            Refusal::NotLeased(JobState::Ready),
            Refusal::JobEnded(JobState::Dead),
            Refusal::NotDead(JobState::Leased),
            Refusal::UniqueConflict(job),
            Refusal::QueueFull(1),
            Refusal::ShardFull(2),
            Refusal::TooManyQueues,
            Refusal::TooManyKinds,
            Refusal::TooFarAhead,
            Refusal::AlreadyExpired,
            Refusal::IdempotencyMismatch,
            Refusal::IdempotencyFull(Time(3)),
            Refusal::Contradicts(4),
        ] {
            let Recalled::Whole(back) = Answer::of(&Outcome::Refused(refusal), NOW).recall(NOW) else {
                panic!("it is kept whole")
            };
            assert_eq!(back, Outcome::Refused(refusal));
        }
    }

    #[test]
    fn a_stored_deletion_says_that_there_was_more() {
        for outcome in
            [Outcome::Deleted { deleted: 1_000, more: true }, Outcome::Deleted { deleted: 3, more: false }]
        {
            let Recalled::Whole(back) = Answer::of(&outcome, NOW).recall(NOW) else {
                panic!("it is kept whole")
            };
            assert_eq!(back, outcome);
        }
    }

    #[test]
    fn a_stored_transaction_brings_back_what_was_answered() {
        let done = Outcome::Transacted(alloc::vec![
            Item::Is { id: JobId::new(3, 8), state: JobState::Ready, at: None },
            Item::Is { id: JobId::new(3, 7), state: JobState::Completed, at: None },
            Item::Duplicate { id: JobId::new(3, 2), state: JobState::Leased },
        ]);
        let refused = |refusal| Outcome::TransactionRefused { operation: 2, refusal };
        for outcome in [done, refused(Refusal::Contradicts(1)), refused(Refusal::JobEnded(JobState::Dead))] {
            let Recalled::Whole(back) = Answer::of(&outcome, NOW).recall(NOW) else {
                panic!("it is kept whole")
            };
            assert_eq!(back, outcome);
        }
    }
}
