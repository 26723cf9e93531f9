//! Transactions: several operations, all or none of them.
//!
//! First every operation is **judged**, against the state as it was before the transaction and without any effect: what one
//! operation frees (a completed job's ordering key, a replaced job's place) is not there for another one, but room that
//! an earlier one takes is taken. One that cannot be done refuses the whole. Only then all are **performed**, and nothing
//! in that can fail. What is written down are the records that the same operations would write one by one; a turn is one
//! frame, so they are in the log together or not at all.
//!
//! Conditions are judged at the same moment, before the operations. Operations on pools go with the others: what takes goes
//! first, and what gives back last, so that a unit which is given back goes to the line and not to the transaction.
//!
//! Two operations that cannot be together whatever the state is (a unique key wanted twice, a job ended twice) are a
//! contradiction. The door says so with the field's name; here the later one is refused.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::jobs::Slot;
use super::super::{State, Turn};
use super::enqueue::{Ahead, Judged, Names};
use super::pools::{Claims, GivenBack, PoolVerdict, as_told};
use super::settle::Completions;
use crate::command::{Complete, EnqueueOne, Operation, Transaction};
use crate::id::JobId;
use crate::limits;
use crate::outcome::{Item, Outcome, Refusal};
use crate::policy::{Unique, UniqueUntil};
use crate::pool::command::Condition;
use crate::pool::view::Verb;
use crate::view::JobState;

/// What an operation will do.
enum Verdict {
    /// The job is accepted.
    Accepts(Judged),
    /// Another job has its unique key and stands for it.
    IsThere(Item),
    /// The job in this slot is completed.
    Completes(Slot),
    /// Something happens to a pool.
    Pool(PoolVerdict),
}

/// What the operations judged so far will take that is not in the state yet.
#[derive(Default)]
struct Taken<'a> {
    /// The queue of each job that will be accepted.
    jobs: Vec<&'a str>,
    /// Queues that will be made.
    queues: Vec<&'a str>,
    /// Kinds that will be made.
    kinds: Vec<&'a str>,
    /// Of pools.
    pools: Claims,
}

impl State {
    pub(super) fn decide_transaction(&mut self, transaction: Transaction, turn: &mut Turn<'_>) -> Outcome {
        let Transaction { conditions, operations } = transaction;
        for (index, condition) in (0..).zip(&conditions) {
            if let Err(refusal) = self.judge_condition(condition) {
                self.tell_refused_transaction(about(condition, refusal), refusal, &operations, turn);
                return Outcome::ConditionRefused { condition: index, refusal };
            }
        }
        match self.judge_all(&operations) {
            Ok(verdicts) => Outcome::Transacted(self.perform(operations, &verdicts, turn)),
            Err((operation, refusal)) => {
                let about = match operations.get(operation) {
                    Some(Operation::Pool(refused)) => {
                        let (verb, about) = self.about(refused);
                        let (pool, holder) = about.unzip();
                        Refused { verb, pool: pool.unwrap_or_default(), holder }
                    }
                    _ => Refused { verb: Verb::None, pool: String::new(), holder: None },
                };
                self.tell_refused_transaction(about, refusal, &operations, turn);
                Outcome::TransactionRefused { operation: operation as u32, refusal }
            }
        }
    }

    /// Tells the story of the holder who was refused, and those of all whom the operations name: they got nothing either.
    fn tell_refused_transaction(
        &mut self,
        refused: Refused,
        refusal: Refusal,
        operations: &[Operation],
        turn: &mut Turn<'_>,
    ) {
        let Some(refusal) = as_told(refusal) else { return };
        let Refused { verb, pool, holder: first } = refused;
        let mut others: Vec<String> = Vec::new();
        for operation in operations {
            if let Operation::Pool(operation) = operation
                && let (_, Some((_, holder))) = self.about(operation)
                && first.as_ref() != Some(&holder)
                && !others.contains(&holder)
            {
                others.push(holder);
            }
        }
        if let Some(holder) = first {
            self.tell_refusal(verb, pool.clone(), holder, refusal, turn);
        }
        for holder in others {
            self.tell_refusal(Verb::Transaction, pool.clone(), holder, refusal, turn);
        }
    }

    /// What each operation will do, or the first one that cannot be done.
    fn judge_all(&self, operations: &[Operation]) -> Result<Vec<Verdict>, (usize, Refusal)> {
        let mut taken = Taken::default();
        let mut verdicts = Vec::with_capacity(operations.len());
        for (index, operation) in operations.iter().enumerate() {
            let judged = match operation {
                Operation::Enqueue(enqueue) => self.judge_enqueue(enqueue, index, operations, &mut taken),
                Operation::Complete(complete) => self.judge_complete(complete, index, operations),
                Operation::Pool(pool) => {
                    taken.pools.operation = index as u32;
                    self.judge_pool(pool, &mut taken.pools).map(Verdict::Pool)
                }
            };
            verdicts.push(judged.map_err(|refusal| (index, refusal))?);
        }
        Ok(verdicts)
    }

    fn judge_enqueue<'a>(
        &self,
        enqueue: &'a EnqueueOne,
        index: usize,
        operations: &[Operation],
        taken: &mut Taken<'a>,
    ) -> Result<Verdict, Refusal> {
        let EnqueueOne { queue, kind, job } = enqueue;
        let unique = unique_of(enqueue);
        if let Some(unique) = unique {
            let wants_it_too = |earlier: &Operation| match earlier {
                Operation::Enqueue(earlier) => {
                    earlier.queue == *queue && unique_of(earlier).is_some_and(|other| other.key == unique.key)
                }
                Operation::Complete(_) | Operation::Pool(_) => false,
            };
            contradicts(&operations[..index], wants_it_too)?;
        }
        let queue_index = self.queues.find(0, queue);
        let makes_queue = queue_index.is_none() && !taken.queues.contains(&queue.as_str());
        if makes_queue && self.queues.len() as usize + taken.queues.len() >= self.limits.queues_max {
            return Err(Refusal::TooManyQueues);
        }
        let makes_kind = self.kinds.find(0, kind).is_none() && !taken.kinds.contains(&kind.as_str());
        if makes_kind && self.kinds.len() as usize + taken.kinds.len() >= self.limits.kinds_max {
            return Err(Refusal::TooManyKinds);
        }
        let of_queue = taken.jobs.iter().filter(|other| *other == queue).count() as u64;
        match self.judge(queue_index, job, Ahead { of_queue, of_shard: taken.jobs.len() as u64 }) {
            Ok(judged) => {
                taken.jobs.push(queue);
                taken.queues.extend(makes_queue.then_some(queue.as_str()));
                taken.kinds.extend(makes_kind.then_some(kind.as_str()));
                Ok(Verdict::Accepts(judged))
            }
            Err(Item::Refused(refusal)) => Err(refusal),
            // A job that ends here and gives its key up stands for nothing: the caller would be left with no job at all.
            Err(Item::Duplicate { id, .. })
                if completes(operations, id) && !self.holds_for_a_duration(id) =>
            {
                Err(Refusal::UniqueConflict(id))
            }
            Err(item) => Ok(Verdict::IsThere(item)),
        }
    }

    /// Whether a job has its unique key for a time, whatever becomes of it.
    fn holds_for_a_duration(&self, id: JobId) -> bool {
        let extra = self.find(id).and_then(|slot| self.jobs.extra_of(slot));
        extra
            .and_then(|extra| extra.unique.as_deref())
            .is_some_and(|unique| unique.until == UniqueUntil::Duration)
    }

    /// Unlike in a settling call, a job that this very token has completed before is no success here: what else the
    /// transaction does was done then, and would be done twice.
    fn judge_complete(
        &self,
        complete: &Complete,
        index: usize,
        operations: &[Operation],
    ) -> Result<Verdict, Refusal> {
        contradicts(&operations[..index], |earlier| is_completion_of(earlier, complete.id))?;
        self.find_leased_by(complete.id, complete.token).map(Verdict::Completes)
    }

    /// Does what was judged. Jobs are accepted first, while the state is the one that they were judged against.
    fn perform(
        &mut self,
        operations: Vec<Operation>,
        verdicts: &[Verdict],
        turn: &mut Turn<'_>,
    ) -> Vec<Item> {
        let mut items = Vec::with_capacity(operations.len());
        let mut completes = Vec::new();
        let mut given_back = GivenBack::default();
        let holders = self.holders_of(verdicts);
        for (index, (operation, verdict)) in operations.into_iter().zip(verdicts).enumerate() {
            items.push(match (operation, verdict) {
                (Operation::Enqueue(enqueue), Verdict::Accepts(judged)) => {
                    self.accept_one(enqueue, index, judged, turn)
                }
                (Operation::Complete(complete), Verdict::Completes(slot)) => {
                    let id = complete.id;
                    completes.push((index, complete, *slot));
                    Item::Is { id, state: JobState::Completed, at: None }
                }
                (Operation::Pool(_), Verdict::Pool(verdict)) => {
                    self.perform_pool(verdict, &mut given_back, turn)
                }
                (_, Verdict::IsThere(item)) => *item,
                _ => unreachable!("a verdict is of its operation's kind"),
            });
        }
        if crate::sabotage::is("transaction_half_done") {
            return items;
        }
        let mut done = Completions::open(turn);
        for (index, complete, slot) in &completes {
            done.add(self.key_of(*slot), *index, complete, turn);
        }
        self.close_completions(done, turn);
        let mut budget = limits::EXPIRE_PER_TURN;
        self.give_back(given_back, &mut budget, turn);
        for (item, verdict) in items.iter_mut().zip(verdicts) {
            if let Verdict::Pool(verdict) = verdict {
                *item = self.as_served(*item, verdict);
            }
        }
        self.tell_all(&holders, &items, verdicts, turn);
        items
    }

    /// Whom the operations on pools are about, each once.
    fn holders_of(&self, verdicts: &[Verdict]) -> Vec<Arc<str>> {
        let mut holders: Vec<Arc<str>> = Vec::new();
        for verdict in verdicts {
            if let Verdict::Pool(verdict) = verdict
                && let Some(holder) = self.holder_of(verdict)
                && !holders.contains(&holder)
            {
                holders.push(holder);
            }
        }
        holders
    }

    /// Tells their stories which jobs went with what they did.
    fn tell_all(&mut self, holders: &[Arc<str>], items: &[Item], verdicts: &[Verdict], turn: &mut Turn<'_>) {
        if holders.is_empty() {
            return;
        }
        let jobs = |completed: bool| -> Vec<u64> {
            let of_jobs = items.iter().zip(verdicts).filter(|(_, verdict)| match verdict {
                Verdict::Accepts(_) | Verdict::IsThere(_) => !completed,
                Verdict::Completes(_) => completed,
                Verdict::Pool(_) => false,
            });
            let id = |(item, _): (&Item, &Verdict)| match item {
                Item::Is { id, .. } | Item::Duplicate { id, .. } => Some(id.sequence()),
                Item::Pool(_) | Item::Refused(_) => None,
            };
            of_jobs.filter_map(id).collect()
        };
        let (enqueued, completed) = (jobs(false), jobs(true));
        for holder in holders {
            self.tell_jobs(holder, enqueued.clone(), false, turn);
            self.tell_jobs(holder, completed.clone(), true, turn);
        }
    }

    /// Accepts one job: a batch of its own.
    fn accept_one(&mut self, one: EnqueueOne, index: usize, judged: &Judged, turn: &mut Turn<'_>) -> Item {
        let EnqueueOne { queue, kind, mut job } = one;
        job.kind = 0;
        let names = Names { queue: &queue, kinds: core::slice::from_ref(&kind) };
        let mut open = None;
        let item = self.accept(names, index, job, judged, &mut open, turn);
        self.close_enqueued(open, turn);
        item
    }
}

/// What was refused of a transaction, and to whom; nobody, where no holder is meant.
struct Refused {
    verb: Verb,
    pool: String,
    holder: Option<String>,
}

/// What a condition that does not hold is about.
fn about(condition: &Condition, refusal: Refusal) -> Refused {
    let (holder, pool) = match condition {
        Condition::HasAll { holder, pools } | Condition::HasNone { holder, pools } => {
            let pool = as_told(refusal).and_then(|refusal| pools.get(refusal.value as usize));
            (Some(holder.clone()), pool.cloned())
        }
        Condition::UnitsBelow { holder, .. } => (Some(holder.clone()), None),
        Condition::PoolVersion { pool, .. } => (None, Some(pool.clone())),
        Condition::Job { .. } => (None, None),
    };
    Refused { verb: Verb::Condition, pool: pool.unwrap_or_default(), holder }
}

fn unique_of(enqueue: &EnqueueOne) -> Option<&Unique> {
    enqueue.job.more.as_deref().and_then(|more| more.unique.as_ref())
}

fn is_completion_of(operation: &Operation, id: JobId) -> bool {
    matches!(operation, Operation::Complete(complete) if complete.id == id)
}

fn completes(operations: &[Operation], id: JobId) -> bool {
    operations.iter().any(|operation| is_completion_of(operation, id))
}

/// Refuses what cannot be together with one of the operations before it.
fn contradicts(earlier: &[Operation], clashes: impl FnMut(&Operation) -> bool) -> Result<(), Refusal> {
    match earlier.iter().position(clashes) {
        Some(operation) => Err(Refusal::Contradicts(operation as u32)),
        None => Ok(()),
    }
}
