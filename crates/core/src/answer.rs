//! The stored form of an outcome: what an idempotency key brings back.
//!
//! Kept small, since a busy shard keeps millions: a run of accepted jobs is three numbers. Jobs that a keyed lease
//! handed out are kept as ids and tokens, and shown again only while that lease still stands.

use alloc::vec::Vec;

use crate::id::{JobId, Time};
use crate::outcome::{Item, Outcome, Refusal, Worked};
use crate::view::JobState;

/// An outcome on disk.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Answer {
    /// Which kind of outcome: 1 enqueued, 2 worked, 3 settled, 4 done, 5 redriving, 6 deleted, 7 refused,
    /// 8 transacted, 9 transaction refused.
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
    /// A redrive's number, how many were deleted, or which operation was refused.
    #[prost(uint64, tag = "8")]
    pub number: u64,
    /// With deleted: there were more.
    #[prost(bool, tag = "9")]
    pub more: bool,
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
        _ => Refusal::StaleToken,
    }
}

/// Items as runs.
fn shrink(items: &[Item]) -> Vec<AnswerItem> {
    let mut runs: Vec<AnswerItem> = Vec::new();
    for item in items {
        let next = match *item {
            Item::Is { id, state, at } => AnswerItem {
                shard: u32::from(id.shard()),
                job: id.sequence(),
                what: state as u32,
                value: at.map_or(0, |at| at.0 + 1),
                further: 0,
            },
            Item::Duplicate { id, state } => AnswerItem {
                shard: u32::from(id.shard()),
                job: id.sequence(),
                what: state as u32 + 6,
                value: 0,
                further: 0,
            },
            Item::Refused(refusal) => {
                let (what, value) = refusal_to_numbers(refusal);
                AnswerItem { shard: 0, job: 0, what, value, further: 0 }
            }
        };
        match runs.last_mut() {
            Some(run)
                if (run.shard, run.what, run.value) == (next.shard, next.what, next.value)
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

fn unfold(runs: &[AnswerItem]) -> Vec<Item> {
    let mut items = Vec::new();
    for run in runs {
        for i in 0..=u64::from(run.further) {
            items.push(if run.job == 0 {
                Item::Refused(refusal_from_numbers(run.what, run.value))
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

impl From<&Outcome> for Answer {
    fn from(outcome: &Outcome) -> Self {
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
    pub(crate) fn recall(&self) -> Recalled {
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
            _ => Recalled::Whole(Outcome::Done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let answer = Answer::from(&Outcome::Enqueued(items.clone()));
        assert_eq!(answer.items.len(), 5, "runs are folded: {answer:?}");
        let Recalled::Whole(Outcome::Enqueued(back)) = answer.recall() else { panic!("an enqueue") };
        assert_eq!(back, items);
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
            let Recalled::Whole(back) = Answer::from(&Outcome::Refused(refusal)).recall() else {
                panic!("it is kept whole")
            };
            assert_eq!(back, Outcome::Refused(refusal));
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
            let Recalled::Whole(back) = Answer::from(&outcome).recall() else { panic!("it is kept whole") };
            assert_eq!(back, outcome);
        }
    }
}
