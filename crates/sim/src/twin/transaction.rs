//! Transactions: judged against the state as it was before, then done whole or not at all.

use std::collections::BTreeSet;

use tidegate_core::command::{EnqueueOne, Operation};
use tidegate_core::outcome::{Item, Refusal};
use tidegate_core::policy::UniqueUntil;
use tidegate_core::pool::view::Happened;
use tidegate_core::view::JobState;
use tidegate_engine::Transaction;

use super::enqueue::Judged;
use super::{Said, Twin};

use super::pools::{Claims, GivenBack, Verdict as PoolVerdict};

enum Verdict {
    Pool(PoolVerdict),
    Accepts(Judged),
    IsThere(Item),
    Completes,
}

impl Twin {
    pub(super) fn transact(&mut self, ask: &Transaction) -> Said {
        for (condition, asked) in (0..).zip(&ask.command.conditions) {
            if let Err(refusal) = self.judge_condition(asked) {
                self.tell_condition(asked, refusal, &ask.command.operations);
                return Said::ConditionRefused { condition, refusal };
            }
        }
        let operations = &ask.command.operations;
        let mut claims = Claims::default();
        let mut verdicts = Vec::new();
        let mut accepted: Vec<&EnqueueOne> = Vec::new();
        for (index, operation) in operations.iter().enumerate() {
            let judged = match operation {
                Operation::Enqueue(one) => {
                    let judged = self.judge_one(one, index, operations, &accepted);
                    if matches!(judged, Ok(Verdict::Accepts(_))) {
                        accepted.push(one);
                    }
                    judged
                }
                Operation::Complete(complete) => {
                    let twice = operations[..index].iter().position(
                        |other| matches!(other, Operation::Complete(other) if other.id == complete.id),
                    );
                    match twice {
                        Some(other) => Err(Refusal::Contradicts(other as u32)),
                        None => self.leased_by(complete.id, complete.token.0).map(|_| Verdict::Completes),
                    }
                }
                Operation::Pool(pool) => {
                    claims.operation = index as u32;
                    self.judge_pool(pool, &mut claims).map(Verdict::Pool)
                }
            };
            match judged {
                Ok(verdict) => verdicts.push(verdict),
                Err(refusal) => {
                    self.tell_refused_operation(index, refusal, operations);
                    return Said::OperationRefused { operation: index as u32, refusal };
                }
            }
        }
        let holders = self.holders_of(verdicts.iter().filter_map(|verdict| match verdict {
            Verdict::Pool(verdict) => Some(verdict),
            _ => None,
        }));
        let mut given_back = GivenBack::default();
        let mut done = Vec::new();
        let mut items = Vec::new();
        for ((operation, verdict), blob) in operations.iter().zip(&verdicts).zip(&ask.blobs) {
            items.push(match (operation, verdict) {
                (Operation::Enqueue(one), Verdict::Accepts(judged)) => {
                    self.accept(&one.queue, &one.kind, &one.job, blob, judged)
                }
                (_, Verdict::IsThere(item)) => *item,
                (Operation::Complete(complete), _) => {
                    let result = (blob.stored_len() > 0).then(|| blob.clone());
                    done.push((complete.id.sequence(), result));
                    Item::Is { id: complete.id, state: JobState::Completed, at: None }
                }
                (Operation::Pool(_), Verdict::Pool(verdict)) => self.perform_pool(verdict, &mut given_back),
                _ => unreachable!("a verdict is of its operation's kind"),
            });
        }
        self.complete_jobs(done);
        self.give_back(given_back);
        for (item, verdict) in items.iter_mut().zip(&verdicts) {
            if let Verdict::Pool(verdict) = verdict {
                *item = self.as_served(*item, verdict);
            }
        }
        let jobs = |completed: bool| -> Vec<u64> {
            let of_jobs = items.iter().zip(&verdicts).filter(|(_, verdict)| match verdict {
                Verdict::Accepts(_) | Verdict::IsThere(_) => !completed,
                Verdict::Completes => completed,
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
            self.tell_jobs(&holder, Happened::Enqueued, &enqueued);
            self.tell_jobs(&holder, Happened::Completed, &completed);
        }
        Said::Items(items)
    }

    fn judge_one(
        &self,
        one: &EnqueueOne,
        index: usize,
        operations: &[Operation],
        accepted: &[&EnqueueOne],
    ) -> Result<Verdict, Refusal> {
        if let Some(key) = unique_key(one) {
            let twice = operations[..index].iter().position(|other| {
                matches!(other, Operation::Enqueue(other) if other.queue == one.queue && unique_key(other) == Some(key))
            });
            if let Some(other) = twice {
                return Err(Refusal::Contradicts(other as u32));
            }
        }
        let mut queues: BTreeSet<&String> = self.queues.keys().collect();
        queues.extend(accepted.iter().map(|other| &other.queue));
        if !queues.contains(&one.queue) && queues.len() >= self.limits.queues_max {
            return Err(Refusal::TooManyQueues);
        }
        let mut kinds = self.kinds();
        kinds.extend(accepted.iter().map(|other| other.kind.clone()));
        if !kinds.contains(&one.kind) && kinds.len() >= self.limits.kinds_max {
            return Err(Refusal::TooManyKinds);
        }
        let of_queue = accepted.iter().filter(|other| other.queue == one.queue).count() as u64;
        match self.judge(&one.queue, &one.job, of_queue, accepted.len() as u64) {
            Ok(judged) => Ok(Verdict::Accepts(judged)),
            Err(Item::Refused(refusal)) => Err(refusal),
            Err(Item::Duplicate { id, state }) => {
                let ends_here = operations
                    .iter()
                    .any(|other| matches!(other, Operation::Complete(other) if other.id == id));
                let for_a_duration = self.jobs.get(&id.sequence()).is_some_and(|job| {
                    job.unique.as_ref().is_some_and(|(_, until)| *until == UniqueUntil::Duration)
                });
                if ends_here && !for_a_duration {
                    Err(Refusal::UniqueConflict(id))
                } else {
                    Ok(Verdict::IsThere(Item::Duplicate { id, state }))
                }
            }
            Err(item) => Ok(Verdict::IsThere(item)),
        }
    }
}

fn unique_key(one: &EnqueueOne) -> Option<&str> {
    one.job.more.as_ref().and_then(|more| more.unique.as_ref()).map(|unique| unique.key.as_str())
}
