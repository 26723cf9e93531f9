//! What callers say to pools and hear of them.

use tidegate_core::outcome::Item;
use tidegate_core::pool::command::PoolOperation;
use tidegate_core::pool::view::{Entrant, GrantPage, GrantView, HolderView, LinePage, LinePlace, PoolView};
use tidegate_core::pool::{GrantId, GrantState, PoolConfig};
use tidegate_engine::{Answer, CallError, Engine, IdempotencyKey, PoolAnswer, Transacted};

use crate::call::{Asked, Reply, reply};

/// A call about pools. Transactions are calls of their own: they are about jobs too.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum PoolCall {
    Configure { pool: String, config: PoolConfig, if_version: Option<u64> },
    Resize { pool: String, capacity: u32 },
    Delete { pool: String },
    Operations(Vec<PoolOperation>),
    Pool { name: String },
    Grant { id: GrantId },
    Holder { name: String },
    Entrants { pool: String, from: u64, limit: usize },
    Grants { pool: String, state: Option<GrantState>, from: u64, limit: usize },
    Line { pool: String, from: LinePlace, limit: usize },
}

/// What a caller hears of pools.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum PoolReply {
    Answers {
        answers: Vec<PoolAnswer>,
        replayed: bool,
    },
    /// Of a transaction that was about grants.
    Transacted {
        items: Vec<Item>,
        grants: Vec<Option<GrantView>>,
        replayed: bool,
    },
    Pool(Option<PoolView>),
    Grant(Option<GrantView>),
    Holder(Option<HolderView>),
    Entrants(Option<Vec<Entrant>>),
    Grants(Option<GrantPage>),
    Line(Option<LinePage>),
}

impl PoolCall {
    /// Whether it may change something, and so may have an idempotency key.
    #[must_use]
    pub const fn changes(&self) -> bool {
        match self {
            Self::Configure { .. } | Self::Resize { .. } | Self::Delete { .. } | Self::Operations(_) => true,
            Self::Pool { .. }
            | Self::Grant { .. }
            | Self::Holder { .. }
            | Self::Entrants { .. }
            | Self::Grants { .. }
            | Self::Line { .. } => false,
        }
    }

    /// Whether it may add what must be kept, which a nearly full disk has no room for.
    #[must_use]
    pub fn takes(&self) -> bool {
        let Self::Operations(operations) = self else { return false };
        operations.iter().any(|operation| match operation {
            PoolOperation::Hold(_)
            | PoolOperation::Take(_)
            | PoolOperation::Join(_)
            | PoolOperation::Swap(_) => true,
            PoolOperation::Confirm(_)
            | PoolOperation::Extend(..)
            | PoolOperation::Release(_)
            | PoolOperation::Leave { .. } => false,
        })
    }

    /// Makes the call.
    #[must_use]
    pub fn ask(self, engine: Engine, key: Option<IdempotencyKey>) -> Asked {
        match self {
            Self::Configure { pool, config, if_version } => Box::pin(async move {
                done(
                    engine
                        .configure_pool_if(&pool, config, if_version, key)
                        .await
                        .map(|answer| answer.map(drop)),
                )
            }),
            Self::Resize { pool, capacity } => Box::pin(async move {
                done(engine.resize_pool(&pool, capacity, key).await.map(|answer| answer.map(drop)))
            }),
            Self::Delete { pool } => Box::pin(async move { done(engine.delete_pool(&pool, key).await) }),
            Self::Operations(operations) => Box::pin(async move {
                told(engine.pools(operations, key).await, |Answer { value, replayed }| PoolReply::Answers {
                    answers: value,
                    replayed,
                })
            }),
            Self::Pool { name } => {
                Box::pin(async move { told(engine.pool_now(&name).await, PoolReply::Pool) })
            }
            Self::Grant { id } => Box::pin(async move { told(engine.grant(id).await, PoolReply::Grant) }),
            Self::Holder { name } => {
                Box::pin(async move { told(engine.holder(&name).await, PoolReply::Holder) })
            }
            Self::Entrants { pool, from, limit } => {
                Box::pin(async move { told(engine.entrants(&pool, from, limit).await, PoolReply::Entrants) })
            }
            Self::Grants { pool, state, from, limit } => {
                Box::pin(
                    async move { told(engine.grants(&pool, state, from, limit).await, PoolReply::Grants) },
                )
            }
            Self::Line { pool, from, limit } => {
                Box::pin(async move { told(engine.line(&pool, from, limit).await, PoolReply::Line) })
            }
        }
    }
}

/// What a transaction's caller hears: with the grants, if any of it was about some.
pub(crate) fn transacted(answer: Result<Answer<Transacted>, CallError>) -> Reply {
    reply(answer, |Answer { value: Transacted { items, grants }, replayed }| {
        if items.iter().any(|item| matches!(item, Item::Pool(_))) {
            Reply::Pools(Box::new(PoolReply::Transacted { items, grants, replayed }))
        } else {
            Reply::Items { items, replayed }
        }
    })
}

fn done(answer: Result<Answer<()>, CallError>) -> Reply {
    reply(answer, |Answer { replayed, .. }| Reply::Done { replayed })
}

fn told<T>(answer: Result<T, CallError>, of: impl FnOnce(T) -> PoolReply) -> Reply {
    reply(answer, |value| Reply::Pools(Box::new(of(value))))
}
