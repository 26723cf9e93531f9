//! A transaction: one command to one shard, and so one turn and one frame.
//!
//! Left out: transactions over several shards. Shards share no log, so nothing could make two frames of two of them one;
//! a call that would need that is refused by the name of what lies apart.

use tidegate_core::command::{self, Command, Operation};
use tidegate_core::outcome::{Item, Outcome};
use tidegate_core::pool::command::{Condition, PoolOperation};
use tidegate_core::pool::refusal::{PoolRefusal, Why};
use tidegate_core::{JobId, Refusal};

use crate::calls::{Answer, Ask, IdempotencyKey, Transacted, Transaction};
use crate::delivery::Told;
use crate::engine::{Engine, outcome_of_told, unexpected};
use crate::error::{CallError, Place};

impl Engine {
    /// Does all operations of a transaction, or none. Each is judged against the state as it was before. One item for each,
    /// in order; none of them is a refusal.
    ///
    /// # Errors
    /// [`CallError::OperationRefused`] for the first operation that cannot be done, [`CallError::SpansShards`], or what any
    /// call can meet.
    ///
    /// # Panics
    /// If there is not one blob for each operation.
    pub async fn transact(
        &self,
        transaction: Transaction,
        key: Option<IdempotencyKey>,
    ) -> Result<Answer<Vec<Item>>, CallError> {
        Ok(self.transact_and_show(transaction, key).await?.map(|transacted| transacted.items))
    }

    /// [`transact`](Self::transact), and the grants that operations on pools are about.
    ///
    /// # Errors
    /// The same.
    ///
    /// # Panics
    /// If there is not one blob for each operation.
    pub async fn transact_and_show(
        &self,
        transaction: Transaction,
        key: Option<IdempotencyKey>,
    ) -> Result<Answer<Transacted>, CallError> {
        let mut transaction = transaction;
        let operations = transaction.command.operations.len();
        assert_eq!(operations, transaction.blobs.len(), "every operation has one blob");
        let shard = self.shard_of_all(&transaction.command)?;
        let bytes = transaction.measure();
        let Transaction { command, blobs } = transaction;
        let command = Box::new(Command::Transaction(command));
        let delivery = self.ask(shard, Ask::Decide { key, command, blobs, wait_ms: 0 }, bytes).await?;
        match delivery.take() {
            Told::Decided { outcome: Outcome::Transacted(items), replayed, grants, .. } => {
                Ok(Answer { value: Transacted { items, grants }, replayed })
            }
            told => unexpected(outcome_of_told(told)?),
        }
    }

    /// The shard that all conditions and operations are in.
    fn shard_of_all(&self, transaction: &command::Transaction) -> Result<u16, CallError> {
        let mut first: Option<(u16, Place)> = None;
        let mut join = |shard: u16, other: Place, operation: u32| {
            let (first_shard, one) = first.get_or_insert_with(|| (shard, other.clone()));
            if shard == *first_shard {
                return Ok(());
            }
            Err(CallError::SpansShards { one: one.clone(), other, operation })
        };
        for condition in &transaction.conditions {
            for place in places_of(condition) {
                match self.shard_of_place(&place) {
                    Some(shard) => join(shard, place, 0)?,
                    None => {
                        let one = place.clone();
                        return Err(CallError::SpansShards { one, other: place, operation: 0 });
                    }
                }
            }
        }
        for (index, operation) in (0..).zip(&transaction.operations) {
            let shard = match operation {
                Operation::Enqueue(one) => self.shard_of(&one.queue),
                Operation::Complete(complete) => self.shard_of_job(complete.id, index)?,
                Operation::Pool(pool) => self.shard_of_operation(pool).ok_or_else(|| {
                    let refusal = Refusal::Pool(PoolRefusal::of(Why::GrantUnknown, 0));
                    CallError::OperationRefused { operation: index, refusal, replayed: false }
                })?,
            };
            join(shard, place(operation), index)?;
            if let Operation::Pool(PoolOperation::Swap(swap)) = operation {
                join(self.shard_of(&swap.pool), Place::Pool(swap.pool.clone()), index)?;
            }
        }
        Ok(first.map_or(0, |(shard, _)| shard))
    }

    /// The shard of what a condition is about; none if it is about more than one shard. A job that no shard can have is looked
    /// for in the first, and not found.
    fn shard_of_place(&self, place: &Place) -> Option<u16> {
        match place {
            Place::Queue(name) | Place::Pool(name) => Some(self.shard_of(name)),
            Place::Job(id) => Some(if id.shard() < self.shards() { id.shard() } else { 0 }),
            Place::Grant(id) => Some(if id.shard() < self.shards() { id.shard() } else { 0 }),
            Place::Everywhere(Some(place)) => Some(self.shard_of(place)),
            Place::Everywhere(None) => (self.shards() == 1).then_some(0),
        }
    }

    /// The shard that a job says it is in, if there is such a shard.
    fn shard_of_job(&self, id: JobId, operation: u32) -> Result<u16, CallError> {
        if id.shard() < self.shards() {
            return Ok(id.shard());
        }
        Err(CallError::OperationRefused { operation, refusal: Refusal::JobNotFound, replayed: false })
    }
}

fn place(operation: &Operation) -> Place {
    match operation {
        Operation::Enqueue(one) => Place::Queue(one.queue.clone()),
        Operation::Complete(complete) => Place::Job(complete.id),
        Operation::Pool(pool) => place_of(pool),
    }
}

/// What an operation on a pool concerns.
pub(crate) fn place_of(operation: &PoolOperation) -> Place {
    match operation {
        PoolOperation::Hold(wish) | PoolOperation::Take(wish) | PoolOperation::Join(wish) => {
            Place::Pool(wish.pool.clone())
        }
        PoolOperation::Leave { pool, .. } => Place::Pool(pool.clone()),
        PoolOperation::Confirm(id) | PoolOperation::Extend(id, _) | PoolOperation::Release(id) => {
            Place::Grant(*id)
        }
        PoolOperation::Swap(swap) => Place::Grant(swap.give),
    }
}

fn places_of(condition: &Condition) -> Vec<Place> {
    match condition {
        Condition::PoolVersion { pool, .. } => vec![Place::Pool(pool.clone())],
        Condition::HasAll { pools, .. } | Condition::HasNone { pools, .. } => {
            pools.iter().cloned().map(Place::Pool).collect()
        }
        Condition::UnitsBelow { place, .. } => vec![Place::Everywhere(place.clone())],
        Condition::Job { id, .. } => vec![Place::Job(*id)],
    }
}
