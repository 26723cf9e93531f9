//! A transaction: one command to one shard, and so one turn and one frame.
//!
//! Left out: transactions over several shards. Shards share no log, so nothing could make two frames of two of them one;
//! a call that would need that is refused by the name of what lies apart.

use tidegate_core::command::{Command, Operation};
use tidegate_core::outcome::{Item, Outcome};
use tidegate_core::{JobId, Refusal};

use crate::calls::{Answer, IdempotencyKey, Transaction};
use crate::engine::{Engine, unexpected};
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
        let mut transaction = transaction;
        let operations = transaction.command.operations.len();
        assert_eq!(operations, transaction.blobs.len(), "every operation has one blob");
        let shard = self.shard_of_all(&transaction.command.operations)?;
        let bytes = transaction.measure();
        let Transaction { command, blobs } = transaction;
        match self.decide(shard, Command::Transaction(command), blobs, bytes, key).await? {
            (Outcome::Transacted(value), replayed) => Ok(Answer { value, replayed }),
            other => unexpected(other),
        }
    }

    /// The shard that all operations are in.
    fn shard_of_all(&self, operations: &[Operation]) -> Result<u16, CallError> {
        let mut first = None;
        for (index, operation) in (0..).zip(operations) {
            let shard = match operation {
                Operation::Enqueue(one) => self.shard_of(&one.queue),
                Operation::Complete(complete) => self.shard_of_job(complete.id, index)?,
            };
            let &mut (first_shard, first_operation) = first.get_or_insert((shard, operation));
            if shard != first_shard {
                let (one, other) = (place(first_operation), place(operation));
                return Err(CallError::SpansShards { one, other, operation: index });
            }
        }
        Ok(first.map_or(0, |(shard, _)| shard))
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
    }
}
