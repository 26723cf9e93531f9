//! Calls about pools.
//!
//! Where a pool lives follows from its name: from what is behind the name's `@`, or, without one, from the whole of it. So pools that
//! a transaction is to change together are given one place. A pool's offer queue is in the pool's own shard, since an
//! offer and the job that tells of it are one frame.
//!
//! Left out: operations over several shards as one. A list is done shard by shard, each item for itself; under an idempotency
//! key, which each shard remembers for itself, it is in one shard or refused.

use std::sync::Arc;

use tidegate_core::Command;
use tidegate_core::command::Operation;
use tidegate_core::limits::LIST_JOBS_MAX;
use tidegate_core::outcome::{Item, Outcome, Refusal};
use tidegate_core::pool::command::PoolOperation;
use tidegate_core::pool::refusal::{PoolRefusal, Why};
use tidegate_core::pool::view::{
    Entrant, GrantPage, GrantView, HolderPlace, HolderView, LinePage, LinePlace, PoolView,
};
use tidegate_core::pool::{GrantId, GrantState, PoolConfig};

use crate::availability::{self, Availability, PoolSeen, PoolShown, PoolWatch};
use crate::calls::{Answer, Ask, IdempotencyKey, POOL_BYTES};
use crate::delivery::{Delivery, Told};
use crate::engine::{Engine, outcome_of_told, unexpected};
use crate::error::{CallError, Place};
use crate::shard::Shard;
use crate::transact::place_of;

/// What became of one operation on a pool, and the grant it is about, as that was when it was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolAnswer {
    /// What became of it.
    pub item: Item,
    /// The grant, if it is about one that is still known; of a swap that waits, the one that it would give.
    pub grant: Option<GrantView>,
}

/// Where a page of what is known of a holder begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct HolderFrom {
    /// The shard.
    pub shard: u16,
    /// The place in it.
    pub place: HolderPlace,
}

/// A page of what is known of a holder.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct HolderParts {
    /// What each shard that knows of it has on this page.
    pub parts: Vec<(u16, HolderView)>,
    /// Where the next page begins; none at the end.
    pub next: Option<HolderFrom>,
}

/// Reads about pools that ask their shard.
#[derive(Debug)]
pub(crate) enum PoolAsk {
    Pool(String),
    Grant(GrantId),
    Holder { name: String, from: HolderPlace, limit: usize },
    Entrants { pool: String, from: u64, limit: usize },
    Grants { pool: String, state: Option<GrantState>, from: u64, limit: usize },
    Line { pool: String, from: LinePlace, limit: usize },
}

/// What they are told.
#[derive(Debug)]
pub(crate) enum PoolTold {
    Pool(Option<Box<PoolView>>),
    Grant(Option<Box<GrantView>>),
    Holder(Option<HolderView>),
    Entrants(Option<Vec<Entrant>>),
    Grants(Option<GrantPage>),
    Line(Option<LinePage>),
}

impl Shard {
    pub(crate) fn tell_pools(&self, ask: PoolAsk) -> Told {
        Told::Pool(match ask {
            PoolAsk::Pool(name) => PoolTold::Pool(self.state.pool(&name).map(Box::new)),
            PoolAsk::Grant(id) => PoolTold::Grant(self.state.grant(id).map(Box::new)),
            PoolAsk::Holder { name, from, limit } => {
                PoolTold::Holder(self.state.holder_page(&name, from, limit))
            }
            PoolAsk::Entrants { pool, from, limit } => {
                PoolTold::Entrants(self.state.entrants(&pool, from, limit))
            }
            PoolAsk::Grants { pool, state, from, limit } => {
                PoolTold::Grants(self.state.grants_of(&pool, state, from, limit))
            }
            PoolAsk::Line { pool, from, limit } => PoolTold::Line(self.state.line(&pool, from, limit)),
        })
    }

    /// The grants that items are about, in their order: of a swap that waits, the one that it would give.
    pub(crate) fn grants_of(&self, outcome: &Outcome, gives: &[Option<GrantId>]) -> Vec<Option<GrantView>> {
        use tidegate_core::pool::view::PoolItem;
        let (Outcome::Pooled(items) | Outcome::Transacted(items)) = outcome else { return Vec::new() };
        let grant = |(index, item): (usize, &Item)| match item {
            Item::Pool(PoolItem::Grant { id, .. } | PoolItem::Ended { id, .. }) => self.state.grant(*id),
            Item::Pool(PoolItem::Waits { .. }) => {
                gives.get(index).copied().flatten().and_then(|give| self.state.grant(give))
            }
            _ => None,
        };
        items.iter().enumerate().map(grant).collect()
    }
}

/// What each operation of a command would give for something else; nothing if none would.
pub(crate) fn given_by(command: &Command) -> Vec<Option<GrantId>> {
    let given = |operation: &PoolOperation| match operation {
        PoolOperation::Swap(swap) => Some(swap.give),
        _ => None,
    };
    match command {
        Command::Pools(operations) if operations.iter().any(|operation| given(operation).is_some()) => {
            operations.iter().map(given).collect()
        }
        Command::Transaction(transaction) => {
            let given = |operation: &Operation| match operation {
                Operation::Pool(operation) => given(operation),
                Operation::Enqueue(_) | Operation::Complete(_) => None,
            };
            transaction.operations.iter().map(given).collect()
        }
        _ => Vec::new(),
    }
}

/// One shard's part of a list, and where each operation stood in the whole.
#[derive(Default)]
struct Part {
    places: Vec<usize>,
    operations: Vec<PoolOperation>,
}

/// Names the first two things of a list that lie apart.
fn spans_shards(parts: &mut [(u16, Part)]) -> CallError {
    parts.sort_unstable_by_key(|(_, part)| part.places[0]);
    let [one, other] = [0, 1].map(|part: usize| place_of(&parts[part].1.operations[0]));
    CallError::SpansShards { one, other, operation: parts[1].1.places[0] as u32 }
}

/// What a shard has done with its part.
fn decided(delivery: Delivery) -> Result<Answer<Vec<PoolAnswer>>, CallError> {
    match delivery.take() {
        Told::Decided { outcome: Outcome::Pooled(items), replayed, grants, .. } => {
            let both = items.into_iter().zip(grants);
            Ok(Answer { value: both.map(|(item, grant)| PoolAnswer { item, grant }).collect(), replayed })
        }
        told => unexpected(outcome_of_told(told)?),
    }
}

impl Engine {
    /// Creates a pool, or gives it a new configuration. Its offer queue must be in the pool's shard. The answer is the pool as
    /// that has left it, also when it is repeated.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn configure_pool(
        &self,
        pool: &str,
        config: PoolConfig,
        key: Option<IdempotencyKey>,
    ) -> Result<Answer<PoolSeen>, CallError> {
        self.configure_pool_if(pool, config, None, key).await
    }

    /// The same, only over the pool of this version; 0: only if there is none. What is so already is so, whatever the version.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn configure_pool_if(
        &self,
        pool: &str,
        config: PoolConfig,
        if_version: Option<u64>,
        key: Option<IdempotencyKey>,
    ) -> Result<Answer<PoolSeen>, CallError> {
        let shard = self.shard_of(pool);
        if let Some(queue) = config.offer_queue.as_ref().filter(|queue| self.shard_of(queue) != shard) {
            let (one, other) = (Place::Pool(pool.into()), Place::Queue(queue.clone()));
            return Err(CallError::SpansShards { one, other, operation: 0 });
        }
        // The shard draws the seed, if one is needed: whoever runs its turns decides about chance.
        let command =
            Command::ConfigurePool { pool: pool.into(), config: Box::new(config), if_version, seed: [0; 32] };
        self.configured(shard, command, key).await
    }

    /// Changes a pool's capacity alone. The answer is as that of [`configure_pool`](Self::configure_pool).
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn resize_pool(
        &self,
        pool: &str,
        capacity: u32,
        key: Option<IdempotencyKey>,
    ) -> Result<Answer<PoolSeen>, CallError> {
        let command = Command::ResizePool { pool: pool.into(), capacity };
        self.configured(self.shard_of(pool), command, key).await
    }

    async fn configured(
        &self,
        shard: u16,
        command: Command,
        key: Option<IdempotencyKey>,
    ) -> Result<Answer<PoolSeen>, CallError> {
        match self.decide(shard, command, Vec::new(), 0, key).await? {
            (Outcome::PoolConfigured { view, at }, replayed) => {
                let value = PoolSeen { view: Arc::new(PoolShown::new(*view)), as_of: at };
                Ok(Answer { value, replayed })
            }
            other => unexpected(other),
        }
    }

    /// Deletes a pool of which nobody has, or waits for, anything.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn delete_pool(
        &self,
        pool: &str,
        key: Option<IdempotencyKey>,
    ) -> Result<Answer<()>, CallError> {
        self.done(self.shard_of(pool), Command::DeletePool { pool: pool.into() }, key).await
    }

    /// Does operations on pools, each for itself. One answer for each, in order.
    ///
    /// With several shards each does its part, at once and in no order among each other; under an idempotency key all are in
    /// one.
    ///
    /// # Errors
    /// [`CallError`]. Without a key and with several shards, some of them may have done their part:
    /// [`pools_each`](Self::pools_each) says which.
    pub async fn pools(
        &self,
        operations: Vec<PoolOperation>,
        key: Option<IdempotencyKey>,
    ) -> Result<Answer<Vec<PoolAnswer>>, CallError> {
        let Answer { value, replayed } = self.pools_each(operations, key).await?;
        Ok(Answer { value: value.into_iter().collect::<Result<_, _>>()?, replayed })
    }

    /// [`pools`](Self::pools), and what one shard does not do hides nothing of what another has done.
    ///
    /// # Errors
    /// [`CallError`] of a call of which no shard has done anything, or that concerns only one;
    /// [`CallError::SpansShards`] if there is a key: two shards would remember it each for itself.
    pub async fn pools_each(
        &self,
        operations: Vec<PoolOperation>,
        key: Option<IdempotencyKey>,
    ) -> Result<Answer<Vec<Result<PoolAnswer, CallError>>>, CallError> {
        let mut parts: Vec<Part> = Vec::new();
        parts.resize_with(usize::from(self.shards()), Part::default);
        let mut answers: Vec<Option<Result<PoolAnswer, CallError>>> = vec![None; operations.len()];
        for (index, operation) in operations.into_iter().enumerate() {
            if let Some((one, other)) = self.apart(&operation) {
                answers[index] = Some(Err(CallError::SpansShards { one, other, operation: index as u32 }));
                continue;
            }
            match self.shard_of_operation(&operation) {
                Some(shard) => {
                    let part = &mut parts[usize::from(shard)];
                    part.places.push(index);
                    part.operations.push(operation);
                }
                None => {
                    let refusal = Refusal::Pool(PoolRefusal::of(Why::GrantUnknown, 0));
                    answers[index] = Some(Ok(PoolAnswer { item: Item::Refused(refusal), grant: None }));
                }
            }
        }
        let mut parts: Vec<(u16, Part)> =
            (0..).zip(parts).filter(|(_, part)| !part.places.is_empty()).collect();
        if key.is_some() && parts.len() > 1 {
            return Err(spans_shards(&mut parts));
        }
        // All are asked before any is waited for, and one that takes nothing keeps the others from nothing.
        let (mut pending, mut failed) = (Vec::with_capacity(parts.len()), Vec::new());
        for (shard, Part { places, operations }) in parts {
            let bytes = operations.len() * POOL_BYTES;
            let command = Box::new(Command::Pools(operations));
            let ask = Ask::Decide { key: key.clone(), command, blobs: Vec::new(), wait_ms: 0 };
            match self.send(shard, ask, bytes) {
                Ok(answer) => pending.push((places, answer)),
                Err(error) => failed.push((places, error)),
            }
        }
        if pending.is_empty()
            && let Some((_, error)) = failed.pop()
        {
            return Err(error);
        }
        let is_one = pending.len() == 1 && failed.is_empty();
        let mut replayed = false;
        for (places, answer) in pending {
            let gone = || Err(CallError::OutcomeUnknown { why: "the shard went away".into() });
            match answer.await.unwrap_or_else(|_| gone()).and_then(decided) {
                Ok(part) => {
                    replayed |= part.replayed;
                    places
                        .into_iter()
                        .zip(part.value)
                        .for_each(|(place, one)| answers[place] = Some(Ok(one)));
                }
                Err(error) if is_one => return Err(error),
                Err(error) => failed.push((places, error)),
            }
        }
        for (places, error) in failed {
            places.into_iter().for_each(|place| answers[place] = Some(Err(error.clone())));
        }
        let every = answers.into_iter().map(|answer| answer.expect("each operation has its answer"));
        Ok(Answer { value: every.collect(), replayed })
    }

    /// What an operation wants to bring together although it lies in two shards.
    fn apart(&self, operation: &PoolOperation) -> Option<(Place, Place)> {
        let PoolOperation::Swap(swap) = operation else { return None };
        let is_apart = swap.give.shard() < self.shards() && self.shard_of(&swap.pool) != swap.give.shard();
        is_apart.then(|| (Place::Grant(swap.give), Place::Pool(swap.pool.clone())))
    }

    /// The shard an operation is for; none if it names a grant of a shard that there is not.
    pub(crate) fn shard_of_operation(&self, operation: &PoolOperation) -> Option<u16> {
        let of_grant = |id: GrantId| (id.shard() < self.shards()).then_some(id.shard());
        match operation {
            PoolOperation::Hold(wish) | PoolOperation::Take(wish) | PoolOperation::Join(wish) => {
                Some(self.shard_of(&wish.pool))
            }
            PoolOperation::Leave { pool, .. } => Some(self.shard_of(pool)),
            PoolOperation::Confirm(id) | PoolOperation::Extend(id, _) | PoolOperation::Release(id) => {
                of_grant(*id)
            }
            PoolOperation::Swap(swap) => of_grant(swap.give),
        }
    }

    /// One pool as it was when it last became durable. Asks no shard and takes no lock.
    #[must_use]
    pub fn pool(&self, name: &str) -> Option<PoolSeen> {
        self.doors(self.shard_of(name)).published.pools().get(name)
    }

    /// All pools by name, likewise.
    #[must_use]
    pub fn all_pools(&self) -> Vec<PoolSeen> {
        let mut pools: Vec<PoolSeen> =
            self.house.doors.iter().flat_map(|doors| doors.published.pools().all()).collect();
        pools.sort_by(|a, b| a.view.name.cmp(&b.view.name));
        pools
    }

    /// The pools whose names come after `after`, by name, at most `limit` of them, likewise; and whether there are more.
    #[must_use]
    pub fn pool_page(&self, after: &str, limit: usize) -> (Vec<PoolSeen>, bool) {
        let shown: Vec<&Availability> =
            self.house.doors.iter().map(|doors| &**doors.published.pools()).collect();
        availability::page(&shown, after, limit)
    }

    /// Watches pools, each from a version on that is known already, or from now. Asks no shard.
    #[must_use]
    pub fn watch_pools(&self, pools: Vec<(String, Option<u64>)>) -> PoolWatch {
        PoolWatch::new(
            pools
                .into_iter()
                .map(|(name, told)| (self.doors(self.shard_of(&name)).published.pools().clone(), name, told)),
        )
    }

    /// One pool as it is now: what this caller changed before is in it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn pool_now(&self, name: &str) -> Result<Option<PoolView>, CallError> {
        match self.ask_pools(self.shard_of(name), PoolAsk::Pool(name.into())).await? {
            PoolTold::Pool(pool) => Ok(pool.map(|pool| *pool)),
            _ => unreachable!("a pool was asked for"),
        }
    }

    /// Everything about one grant; none if there never was one, or it ended long ago.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn grant(&self, id: GrantId) -> Result<Option<GrantView>, CallError> {
        if id.shard() >= self.shards() {
            return Ok(None);
        }
        match self.ask_pools(id.shard(), PoolAsk::Grant(id)).await? {
            PoolTold::Grant(grant) => Ok(grant.map(|grant| *grant)),
            _ => unreachable!("a grant was asked for"),
        }
    }

    /// One holder's whole story, over all shards; none if nothing is known of it. What happened in one shard is in its order;
    /// what happened in two is in the order of the moments. Who has very much is read in several pages, between which it may change.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn holder(&self, name: &str) -> Result<Option<HolderView>, CallError> {
        let (mut all, mut is_known) = (HolderView::default(), false);
        let mut from = Some(HolderFrom::default());
        while let Some(at) = from {
            let HolderParts { parts, next } = self.holder_parts(name, at, LIST_JOBS_MAX).await?;
            is_known |= !parts.is_empty();
            for (_, part) in parts {
                all.grants.extend(part.grants);
                all.waiting.extend(part.waiting);
                all.story.extend(part.story);
            }
            from = next;
        }
        all.waiting.sort_by(|a, b| a.pool.cmp(&b.pool));
        // Stable: within a shard moments never go back.
        all.story.sort_by_key(|entry| entry.at);
        Ok(is_known.then_some(all))
    }

    /// A page of what is known of a holder, from a place on: at most `limit` and at most 1,000 of its grants, and as many of its places in
    /// lines. It comes by shard, with the shard's number: entries of a story name grants and jobs by their sequence alone.
    /// The first page has what happened, of all shards.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn holder_parts(
        &self,
        name: &str,
        from: HolderFrom,
        limit: usize,
    ) -> Result<HolderParts, CallError> {
        let limit = limit.min(LIST_JOBS_MAX);
        let is_first = from == HolderFrom::default();
        let (mut page, mut room) = (HolderParts::default(), limit);
        for shard in from.shard..self.shards() {
            let place = if shard == from.shard { from.place } else { HolderPlace::default() };
            // Once the page is full, only what happened is still wanted of the others.
            let ask = PoolAsk::Holder { name: name.into(), from: place, limit: room };
            let PoolTold::Holder(part) = self.ask_pools(shard, ask).await? else {
                unreachable!("a holder was asked for")
            };
            let Some(mut part) = part else { continue };
            if let Some(place) = part.next.take() {
                // Nothing of a shard that comes after one which has more.
                page.next.get_or_insert(HolderFrom { shard, place });
                room = 0;
            }
            room = room.saturating_sub(part.grants.len().max(part.waiting.len()));
            if !is_first {
                part.story.clear();
            }
            page.parts.push((shard, part));
            if page.next.is_some() && !is_first {
                break;
            }
        }
        Ok(page)
    }

    /// Those who joined before the opening that drew the order, by the number of their joining, from `from` on; at most `limit`.
    /// None if there is no such pool; empty before it has opened.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn entrants(
        &self,
        pool: &str,
        from: u64,
        limit: usize,
    ) -> Result<Option<Vec<Entrant>>, CallError> {
        let ask = PoolAsk::Entrants { pool: pool.into(), from, limit };
        match self.ask_pools(self.shard_of(pool), ask).await? {
            PoolTold::Entrants(entrants) => Ok(entrants),
            _ => unreachable!("entrants were asked for"),
        }
    }

    /// A page of who has units of a pool, by rising fencing number: from the sequence `from` on, at most `limit` and at most 1,000, and only
    /// what is `state` if that is said. None if there is no such pool. A page looks at a bounded number of grants, so it may be
    /// short while there are more: its `next` says.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn grants(
        &self,
        pool: &str,
        state: Option<GrantState>,
        from: u64,
        limit: usize,
    ) -> Result<Option<GrantPage>, CallError> {
        let ask = PoolAsk::Grants { pool: pool.into(), state, from, limit };
        match self.ask_pools(self.shard_of(pool), ask).await? {
            PoolTold::Grants(page) => Ok(page),
            _ => unreachable!("grants were asked for"),
        }
    }

    /// A page of who waits for a pool, from a place on; at most `limit` and at most 1,000. None if there is no such pool. Before an
    /// opening that draws the order they come as they joined.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn line(
        &self,
        pool: &str,
        from: LinePlace,
        limit: usize,
    ) -> Result<Option<LinePage>, CallError> {
        let ask = PoolAsk::Line { pool: pool.into(), from, limit };
        match self.ask_pools(self.shard_of(pool), ask).await? {
            PoolTold::Line(page) => Ok(page),
            _ => unreachable!("a line was asked for"),
        }
    }

    async fn ask_pools(&self, shard: u16, ask: PoolAsk) -> Result<PoolTold, CallError> {
        match self.ask(shard, Ask::Pool(ask), 0).await?.take() {
            Told::Pool(told) => Ok(told),
            _ => unreachable!("something about pools was asked for"),
        }
    }
}
