//! A worker's round trip over several shards.
//!
//! Each shard settles its part, all at once; then the shards of the lease are asked in turn, without waiting.
//! If none has anything, all are watched, and the first that stirs makes us ask again, until the wait is
//! over.
//!
//! Left out: being one turn. A call that names jobs of several shards is several effects, each durable and
//! each idempotent under the same key in its shard. Unlike a list about pools it is not refused when it has a key: what it
//! settles names tokens, so that nothing is settled twice. An engine with one shard never comes here.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tidegate_core::JobId;
use tidegate_core::command::{self, Lease};
use tidegate_core::outcome::{Item, Refusal};
use tokio::sync::oneshot;

use crate::calls::{Answer, Ask, IdempotencyKey, Work, Worked};
use crate::delivery::{Delivery, Told};
use crate::engine::Engine;
use crate::error::CallError;

type Pending = oneshot::Receiver<Result<Delivery, CallError>>;

/// One shard's part of what is to be settled, and where each item stood in the whole.
#[derive(Default)]
struct Part {
    work: Work,
    complete: Vec<usize>,
    fail: Vec<usize>,
    extend: Vec<usize>,
    release: Vec<usize>,
}

impl Engine {
    /// See the module.
    pub(crate) async fn work_split(
        &self,
        work: Work,
        wait: Duration,
        key: Option<IdempotencyKey>,
    ) -> Result<Answer<Worked>, CallError> {
        let Work { mut command, results } = work;
        let lease = command.lease.take();
        let settles = command != command::Work::default();
        let mut answer = self.settle_split(Work { command, results }, key.as_ref()).await?;
        if let Some(lease) = lease {
            match self.lease_split(lease, wait, key.as_ref()).await {
                Ok(leased) => {
                    answer.value.leased = leased.value.leased;
                    answer.value.damaged = leased.value.damaged;
                    answer.value.unread = leased.value.unread;
                    answer.replayed = leased.replayed && (answer.replayed || !settles);
                }
                // What was settled stands, whatever the lease was told.
                Err(_) if settles => {}
                Err(error) => return Err(error),
            }
        }
        Ok(answer)
    }

    async fn settle_split(
        &self,
        work: Work,
        key: Option<&IdempotencyKey>,
    ) -> Result<Answer<Worked>, CallError> {
        // Jobs of shards that do not exist are not found; all others are told by their shards.
        let unknown = |count: usize| vec![Item::Refused(Refusal::JobNotFound); count];
        let mut whole = Worked {
            complete: unknown(work.command.complete.len()),
            fail: unknown(work.command.fail.len()),
            extend: unknown(work.command.extend.len()),
            release: unknown(work.command.release.len()),
            ..Worked::default()
        };
        // Only an answer of which all was said before is a repeated one.
        let (mut parts, mut repeated) = (0, 0);
        for (shard, part) in (0..).zip(self.split(work)) {
            if part.work.command == command::Work::default() {
                continue;
            }
            let answer = self.work_at(shard, part.work, Duration::ZERO, key.cloned()).await?;
            (parts, repeated) = (parts + 1, repeated + u32::from(answer.replayed));
            place(&mut whole.complete, &part.complete, answer.value.complete);
            place(&mut whole.fail, &part.fail, answer.value.fail);
            place(&mut whole.extend, &part.extend, answer.value.extend);
            place(&mut whole.release, &part.release, answer.value.release);
        }
        Ok(Answer { value: whole, replayed: parts > 0 && parts == repeated })
    }

    fn split(&self, work: Work) -> Vec<Part> {
        let mut parts: Vec<Part> = (0..self.shards()).map(|_| Part::default()).collect();
        let shards = parts.len();
        let of = |id: JobId| Some(usize::from(id.shard())).filter(|&shard| shard < shards);
        let Work { command, results } = work;
        let mut results = results.into_iter();
        for (at, complete) in command.complete.into_iter().enumerate() {
            let result = results.next().unwrap_or_default();
            if let Some(shard) = of(complete.id) {
                parts[shard].complete.push(at);
                parts[shard].work.command.complete.push(complete);
                parts[shard].work.results.push(result);
            }
        }
        for (at, fail) in command.fail.into_iter().enumerate() {
            if let Some(shard) = of(fail.id) {
                parts[shard].fail.push(at);
                parts[shard].work.command.fail.push(fail);
            }
        }
        for (at, extend) in command.extend.into_iter().enumerate() {
            if let Some(shard) = of(extend.id) {
                parts[shard].extend.push(at);
                parts[shard].work.command.extend.push(extend);
            }
        }
        for (at, release) in command.release.into_iter().enumerate() {
            if let Some(shard) = of(release.id) {
                parts[shard].release.push(at);
                parts[shard].work.command.release.push(release);
            }
        }
        parts
    }

    async fn lease_split(
        &self,
        lease: Lease,
        wait: Duration,
        key: Option<&IdempotencyKey>,
    ) -> Result<Answer<Worked>, CallError> {
        let mut by_shard: Vec<(u16, Lease)> = Vec::new();
        for queue in &lease.queues {
            let shard = self.shard_of(queue);
            match by_shard.iter_mut().find(|(known, _)| *known == shard) {
                Some((_, part)) => part.queues.push(queue.clone()),
                None => by_shard.push((shard, Lease { queues: vec![queue.clone()], ..lease.clone() })),
            }
        }
        if let [(shard, lease)] = &by_shard[..] {
            let work = command::Work { lease: Some(lease.clone()), ..Default::default() };
            return self.work_at(*shard, work.into(), wait, lease_key(key)).await;
        }
        let until = Instant::now() + wait.min(Duration::from_millis(crate::limits::WAIT_MS_MAX));
        loop {
            let found = self.lease_now(&by_shard, lease.max, key).await?;
            let left = until.saturating_duration_since(Instant::now());
            if has_found(&found.value) || left.is_zero() {
                return Ok(found);
            }
            if !self.watch(&by_shard, left).await? {
                return Ok(found);
            }
        }
    }

    /// Asks each shard for what is still wanted. What one has given is answered even if the next one fails;
    /// until all have been asked nothing is picked up, so that it goes back if the caller goes away.
    async fn lease_now(
        &self,
        by_shard: &[(u16, Lease)],
        max: u32,
        key: Option<&IdempotencyKey>,
    ) -> Result<Answer<Worked>, CallError> {
        let (mut held, mut leased, mut refused) = (Vec::with_capacity(by_shard.len()), 0, None);
        for (shard, lease) in by_shard {
            let left = max.saturating_sub(leased);
            if left == 0 {
                break;
            }
            let lease = Lease { max: left, ..lease.clone() };
            let work = command::Work { lease: Some(lease), ..Default::default() };
            match self.bring(*shard, work.into(), Duration::ZERO, lease_key(key)).await {
                Ok(brought) => {
                    leased += brought.leased() as u32;
                    held.push(brought);
                }
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        let mut all = Answer { value: Worked::default(), replayed: !held.is_empty() };
        for brought in held {
            match self.pick_up(brought) {
                Ok(answer) => {
                    all.value.leased.extend(answer.value.leased);
                    all.value.damaged.extend(answer.value.damaged);
                    all.value.unread.extend(answer.value.unread);
                    all.replayed &= answer.replayed;
                }
                Err(error) => drop(refused.get_or_insert(error)),
            }
        }
        match refused {
            Some(error) if !has_found(&all.value) => Err(error),
            _ => Ok(all),
        }
    }

    /// Waits until a shard has something to hand out; says whether one has, or the wait was over on all of
    /// them.
    async fn watch(&self, by_shard: &[(u16, Lease)], wait: Duration) -> Result<bool, CallError> {
        let wait_ms = wait.as_millis().max(1) as u64;
        let mut pending: Vec<Pending> = Vec::with_capacity(by_shard.len());
        for (shard, lease) in by_shard {
            let ask = Ask::Watch { queues: lease.queues.clone(), kinds: lease.kinds.clone(), wait_ms };
            pending.push(self.send(*shard, ask, 0)?);
        }
        while !pending.is_empty() {
            if matches!(first_of(&mut pending).await?.take(), Told::Watched(true)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether a lease has found something, readable or not.
fn has_found(worked: &Worked) -> bool {
    !(worked.leased.is_empty() && worked.damaged.is_empty() && worked.unread.is_empty())
}

/// Waits for the first of some answers and takes it out.
async fn first_of(pending: &mut Vec<Pending>) -> Result<Delivery, CallError> {
    poll_fn(|context| {
        for index in 0..pending.len() {
            if let Poll::Ready(answer) = Pin::new(&mut pending[index]).poll(context) {
                pending.swap_remove(index);
                let gone = || {
                    Err(CallError::Unavailable { why: "the shard went away".into(), retry_after_ms: 1_000 })
                };
                return Poll::Ready(answer.unwrap_or_else(|_| gone()));
            }
        }
        Poll::Pending
    })
    .await
}

/// The lease of a split call has a memory of its own on each shard, apart from what is settled there.
fn lease_key(key: Option<&IdempotencyKey>) -> Option<IdempotencyKey> {
    key.map(crate::turn::lease_key)
}

fn place(whole: &mut [Item], places: &[usize], items: Vec<Item>) {
    for (&at, item) in places.iter().zip(items) {
        whole[at] = item;
    }
}
