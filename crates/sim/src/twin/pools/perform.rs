//! Doing what was judged; making, changing and deleting pools; what transactions add to it.

use std::collections::BTreeSet;

use tidegate_core::Time;
use tidegate_core::command::Operation;
use tidegate_core::limits::{AHEAD_MS_MAX, STORY_REPEAT_MS};
use tidegate_core::outcome::{Item, Refusal};
use tidegate_core::pool::command::{Condition, PoolOperation};
use tidegate_core::pool::refusal::{PoolRefusal, Why};
use tidegate_core::pool::view::{Happened, PoolItem, Verb};
use tidegate_core::pool::{GrantEnd, GrantId, GrantState, Opening, PoolConfig};

use super::super::{Said, Twin};
use super::{About, Claims, Pool, Verdict};

/// What is given back when all else is done, and the pools whose lines are to be looked at then, in that order.
#[derive(Default)]
pub(in super::super) struct GivenBack {
    grants: Vec<(u64, GrantEnd)>,
    pools: Vec<String>,
}

/// A refusal as stories tell it: what is not about pools by its number; that the shard is full not at all.
fn told_as(refusal: Refusal) -> Option<PoolRefusal> {
    match refusal {
        Refusal::Pool(refusal) => Some(refusal),
        Refusal::ShardFull(_) => None,
        other => Some(PoolRefusal { why: Why::Elsewhere, version: 0, value: other.number().into() }),
    }
}

fn refused(why: Why, version: u64, value: u64) -> Said {
    Said::Refused(Refusal::Pool(PoolRefusal { why, version, value }))
}

impl Twin {
    pub(in super::super) fn configure_pool(
        &mut self,
        name: &str,
        config: &PoolConfig,
        if_version: Option<u64>,
    ) -> Said {
        let known = self.pools.pools.get(name).cloned();
        if known.as_ref().is_some_and(|pool| pool.config == *config) {
            return Said::Done;
        }
        let version = known.as_ref().map_or(0, |pool| pool.version);
        if if_version.is_some_and(|seen| seen != version) {
            return refused(Why::VersionChanged, version, 0);
        }
        let later = config.opens_at > self.now;
        if config.closes_at > 0 && config.closes_at <= config.opens_at {
            return refused(Why::NeverOpen, version, 0);
        }
        if config.opens_at.max(config.closes_at) > self.now + AHEAD_MS_MAX {
            return refused(Why::TooFarAhead, version, 0);
        }
        let draws = config.opening == Opening::Shuffle as i32;
        let max = self.limits.pools.pools_max;
        let Some(known) = known else {
            if self.pools.pools.len() >= max as usize {
                return refused(Why::TooManyPools, 0, u64::from(max));
            }
            let seed = (draws && later).then(|| self.draw_seed());
            // Above every version that the name has had.
            let version = self.pools.next_event();
            let config = config.clone();
            let pool =
                Pool { config, version, opened: false, closed: false, seed, next_number: 1, drawn_at: None };
            self.pools.pools.insert(name.into(), pool);
            return self.pool_is_so(name, version);
        };
        let granted = self.pools.granted(name);
        if u64::from(config.capacity) < granted {
            return refused(Why::BelowGranted, version, granted);
        }
        for (place, quota) in (0u64..).zip(&config.quotas) {
            let has = self.pools.group_has(name, &quota.group);
            if has > u64::from(quota.units_max) {
                return refused(Why::QuotaBelowGranted, version, place << 32 | has);
            }
        }
        let again = known.opened && later;
        if self.pools.waiting(name).count() > 0 && (known.config.opening != config.opening || again) {
            return refused(Why::PoolInUse, version, granted);
        }
        let new_opening = draws && later && (known.seed.is_none() || again);
        let drawn = new_opening.then(|| self.draw_seed());
        if new_opening || !draws {
            self.forget_entrants(name);
        }
        let pool = self.pools.pools.get_mut(name).expect("it is known");
        pool.config = config.clone();
        pool.seed = drawn.or(known.seed).filter(|_| draws);
        self.pool_is_so(name, version + 1)
    }

    /// A pool has this version, is open and closed as its moments say, and its line is looked at.
    fn pool_is_so(&mut self, name: &str, version: u64) -> Said {
        self.pools.last_event = self.pools.last_event.max(version);
        let pool = self.pools.pools.get_mut(name).expect("it is there");
        pool.version = version;
        pool.turn(self.now, self.now);
        self.serve_line(name);
        self.let_line_go(name);
        Said::Done
    }

    pub(in super::super) fn resize_pool(&mut self, name: &str, capacity: u32) -> Said {
        let Some(pool) = self.pools.pools.get(name) else { return refused(Why::PoolNotFound, 0, 0) };
        if pool.config.capacity == capacity {
            return Said::Done;
        }
        let (version, granted) = (pool.version, self.pools.granted(name));
        if u64::from(capacity) < granted {
            return refused(Why::BelowGranted, version, granted);
        }
        let draws = pool.config.opening == Opening::Shuffle as i32;
        if !draws {
            self.forget_entrants(name);
        }
        let pool = self.pools.pools.get_mut(name).expect("it is known");
        pool.config.capacity = capacity;
        pool.seed = pool.seed.filter(|_| draws);
        self.pool_is_so(name, version + 1)
    }

    pub(in super::super) fn delete_pool(&mut self, name: &str) -> Said {
        let Some(pool) = self.pools.pools.get(name) else { return refused(Why::PoolNotFound, 0, 0) };
        let granted = self.pools.granted(name);
        if granted > 0 || self.pools.waiting(name).count() > 0 {
            return refused(Why::PoolInUse, pool.version, granted);
        }
        self.pools.last_event = self.pools.last_event.max(pool.version + 1);
        self.pools.pools.remove(name);
        self.pools.line.retain(|place| place.pool != name);
        Said::Done
    }

    /// Operations, each for itself.
    pub(in super::super) fn operate(&mut self, operations: &[PoolOperation]) -> Said {
        let items =
            operations.iter().map(|operation| match self.judge_pool(operation, &mut Claims::alone()) {
                Ok(verdict) => {
                    let mut given_back = GivenBack::default();
                    let item = self.perform_pool(&verdict, &mut given_back);
                    self.give_back(given_back);
                    self.as_served(item, &verdict)
                }
                Err(refusal) => {
                    self.tell_refused(operation, refusal);
                    Item::Refused(refusal)
                }
            });
        Said::Pooled(items.collect())
    }

    /// Does what was judged, but for what it gives back.
    pub(in super::super) fn perform_pool(&mut self, verdict: &Verdict, given_back: &mut GivenBack) -> Item {
        Item::Pool(match verdict.clone() {
            Verdict::Grants(grant) => {
                let sequence = self.give(grant);
                self.grant_item(sequence)
            }
            Verdict::Swaps(give, grant) => {
                given_back.grants.push((give, GrantEnd::Swapped));
                let sequence = self.give(grant);
                self.grant_item(sequence)
            }
            Verdict::Confirms(sequence) => {
                let grant = self.pools.grants.get_mut(&sequence).expect("it was judged");
                if grant.gives > 0 {
                    given_back.grants.push((grant.gives, GrantEnd::Swapped));
                }
                (grant.state, grant.deadline, grant.ceiling, grant.gives) = (GrantState::Taken, 0, 0, 0);
                let grant = grant.clone();
                let event = self.pools.next_event();
                let version = self.change(&grant.pool);
                let about = About { pool: &grant.pool, grant: sequence, units: grant.units };
                self.tell_story(&grant.holder, event, Happened::Confirmed, about, version, 0, Vec::new());
                self.grant_item(sequence)
            }
            Verdict::IsTaken(sequence) => self.grant_item(sequence),
            Verdict::Extends(sequence, deadline) => {
                self.pools.grants.get_mut(&sequence).expect("it was judged").deadline = deadline;
                self.grant_item(sequence)
            }
            Verdict::Releases(sequence, end) => {
                given_back.grants.push((sequence, end));
                let grant = &self.pools.grants[&sequence];
                let (units, granted_at) = (grant.units, Some(Time(grant.granted_at)));
                PoolItem::Ended { id: GrantId::new(0, sequence), end, units, granted_at, version: 0 }
            }
            Verdict::Joins(place) => {
                let event = self.pools.next_event();
                let version = self.change(&place.pool);
                let (pool, holder, number) = (place.pool.clone(), place.holder.clone(), place.number);
                self.pools.pools.get_mut(&pool).expect("it was judged").next_number = number + 1;
                let about = About { pool: &pool, grant: 0, units: place.units };
                self.pools.line.push(place);
                self.tell_story(&holder, event, Happened::Joined, about, version, number, Vec::new());
                given_back.pools.push(pool);
                PoolItem::Waits { number, ahead: None, version }
            }
            Verdict::Waits(pool, holder) => {
                let number = self.pools.place(&holder, &pool).expect("it was judged").number;
                PoolItem::Waits { number, ahead: None, version: self.pools.pools[&pool].version }
            }
            Verdict::Leaves(pool, holder) => {
                let (number, version) = self.leave_line(&pool, &holder, Happened::Left);
                PoolItem::Left { number, version }
            }
        })
    }

    /// Ends what is given back, and offers what has become free.
    pub(in super::super) fn give_back(&mut self, given_back: GivenBack) {
        let GivenBack { grants, mut pools } = given_back;
        for (sequence, end) in grants {
            pools.extend(self.end_grant(sequence, end));
        }
        let mut served = BTreeSet::new();
        for pool in pools {
            if served.insert(pool.clone()) {
                self.serve_line(&pool);
            }
        }
    }

    /// An item as it is when all is done: the place in line, or what was offered at once.
    pub(in super::super) fn as_served(&self, item: Item, verdict: &Verdict) -> Item {
        Item::Pool(match (item, verdict) {
            (Item::Pool(PoolItem::Waits { number, version, .. }), Verdict::Joins(place)) => {
                self.place_item(&place.pool, &place.holder, number, version)
            }
            (Item::Pool(PoolItem::Waits { number, version, .. }), Verdict::Waits(pool, holder)) => {
                self.place_item(pool, holder, number, version)
            }
            (Item::Pool(PoolItem::Ended { id, end, units, granted_at, .. }), _) => {
                let version = self.pools.end_of(id.sequence(), self.now).map_or(0, |ended| ended.version);
                PoolItem::Ended { id, end, units, granted_at, version }
            }
            (item, _) => return item,
        })
    }

    fn place_item(&self, pool: &str, holder: &str, number: u64, version: u64) -> PoolItem {
        if let Some(place) = self.pools.place(holder, pool) {
            return PoolItem::Waits { number, ahead: self.ahead_of(place), version };
        }
        let offers =
            self.pools.grants.iter().filter(|(_, grant)| grant.pool == pool && grant.holder == holder);
        match offers.into_iter().find(|(_, grant)| grant.waiter == number) {
            Some((&sequence, _)) => self.grant_item(sequence),
            None => PoolItem::Waits { number, ahead: None, version },
        }
    }

    fn grant_item(&self, sequence: u64) -> PoolItem {
        let grant = &self.pools.grants[&sequence];
        PoolItem::Grant {
            id: GrantId::new(0, sequence),
            state: grant.state,
            units: grant.units,
            granted_at: Some(Time(grant.granted_at)),
            expires_at: (grant.state == GrantState::Held).then_some(Time(grant.deadline)),
            extendable_until: (grant.state == GrantState::Held).then_some(Time(grant.ceiling)),
            version: self.pools.pools[&grant.pool].version,
        }
    }

    // ---- what stories tell of refusals and of jobs ----

    /// What is wanted, and of which pool by whom, if that is known.
    fn about(&self, operation: &PoolOperation) -> (Verb, Option<(String, String)>) {
        let of_grant = |id: &GrantId| {
            let live = self.pools.grants.get(&id.sequence());
            let ended = self.pools.end_of(id.sequence(), self.now);
            let live = live.map(|grant| (grant.pool.clone(), grant.holder.clone()));
            live.or_else(|| ended.map(|ended| (ended.pool.clone(), ended.holder.clone())))
        };
        match operation {
            PoolOperation::Hold(wish) => (Verb::Hold, Some((wish.pool.clone(), wish.holder.clone()))),
            PoolOperation::Take(wish) => (Verb::Take, Some((wish.pool.clone(), wish.holder.clone()))),
            PoolOperation::Join(wish) => (Verb::Join, Some((wish.pool.clone(), wish.holder.clone()))),
            PoolOperation::Leave { pool, holder } => (Verb::Leave, Some((pool.clone(), holder.clone()))),
            PoolOperation::Confirm(id) => (Verb::Confirm, of_grant(id)),
            PoolOperation::Extend(id, _) => (Verb::Extend, of_grant(id)),
            PoolOperation::Release(id) => (Verb::Release, of_grant(id)),
            PoolOperation::Swap(swap) => {
                (Verb::Swap, of_grant(&swap.give).map(|(_, holder)| (swap.pool.clone(), holder)))
            }
        }
    }

    /// Tells a holder's story that it was refused.
    fn tell_refused(&mut self, operation: &PoolOperation, refusal: Refusal) {
        if let (Some(refusal), (verb, Some((pool, holder)))) = (told_as(refusal), self.about(operation)) {
            self.tell_refusal(verb, &pool, &holder, refusal);
        }
    }

    /// Tells everybody whom the operations of a transaction name that it was refused, for one of them.
    pub(in super::super) fn tell_refused_operation(
        &mut self,
        refused: usize,
        refusal: Refusal,
        operations: &[Operation],
    ) {
        match &operations[refused] {
            Operation::Pool(operation) => {
                self.tell_refused(operation, refusal);
                let (pool, holder) = self.about(operation).1.unwrap_or_default();
                self.tell_others(&pool, &holder, refusal, operations);
            }
            Operation::Enqueue(_) | Operation::Complete(_) => self.tell_others("", "", refusal, operations),
        }
    }

    /// The same, for a condition that does not hold.
    pub(in super::super) fn tell_condition(
        &mut self,
        condition: &Condition,
        refusal: Refusal,
        operations: &[Operation],
    ) {
        let told = told_as(refusal).expect("no condition is about the shard's room");
        let (holder, pool) = match condition {
            Condition::HasAll { holder, pools } | Condition::HasNone { holder, pools } => {
                (holder.as_str(), pools[told.value as usize].as_str())
            }
            Condition::UnitsBelow { holder, .. } => (holder.as_str(), ""),
            Condition::PoolVersion { pool, .. } => ("", pool.as_str()),
            Condition::Job { .. } => ("", ""),
        };
        if !holder.is_empty() {
            self.tell_refusal(Verb::Condition, pool, holder, told);
        }
        self.tell_others(pool, holder, refusal, operations);
    }

    fn tell_others(&mut self, pool: &str, told: &str, refusal: Refusal, operations: &[Operation]) {
        let Some(refusal) = told_as(refusal) else { return };
        let named = operations.iter().filter_map(|operation| match operation {
            Operation::Pool(operation) => Some(self.about(operation).1?.1),
            Operation::Enqueue(_) | Operation::Complete(_) => None,
        });
        let named: Vec<String> = named.collect();
        for (index, holder) in named.iter().enumerate() {
            if holder != told && !named[..index].contains(holder) {
                self.tell_refusal(Verb::Transaction, pool, holder, refusal);
            }
        }
    }

    fn tell_refusal(&mut self, verb: Verb, pool: &str, holder: &str, refusal: PoolRefusal) {
        let happened = Happened::Refused(verb, refusal.why);
        let story = self.pools.stories.get(holder).into_iter().flatten();
        let told = story
            .filter(|entry| entry.at.0 + STORY_REPEAT_MS > self.now)
            .any(|entry| entry.happened == happened && *entry.pool == *pool);
        let is_made_up = !pool.is_empty() && !self.pools.pools.contains_key(pool);
        if !told && !is_made_up && !self.disk_full {
            let event = self.pools.next_event();
            let PoolRefusal { version, value, .. } = refusal;
            self.tell_story(holder, event, happened, About::of(pool), version, value, Vec::new());
        }
    }

    /// Whom operations are about, each once.
    pub(in super::super) fn holders_of<'a>(
        &self,
        verdicts: impl Iterator<Item = &'a Verdict>,
    ) -> Vec<String> {
        let mut holders = Vec::new();
        for verdict in verdicts {
            let holder = match verdict {
                Verdict::Grants(grant) | Verdict::Swaps(_, grant) => grant.holder.clone(),
                Verdict::Joins(place) => place.holder.clone(),
                Verdict::Confirms(grant)
                | Verdict::IsTaken(grant)
                | Verdict::Extends(grant, _)
                | Verdict::Releases(grant, _) => self.pools.grants[grant].holder.clone(),
                Verdict::Waits(_, holder) | Verdict::Leaves(_, holder) => holder.clone(),
            };
            if !holders.contains(&holder) {
                holders.push(holder);
            }
        }
        holders
    }

    /// Tells a holder's story which jobs went with what it did.
    pub(in super::super) fn tell_jobs(&mut self, holder: &str, happened: Happened, jobs: &[u64]) {
        if !jobs.is_empty() {
            let event = self.pools.next_event();
            self.tell_story(holder, event, happened, About::of(""), 0, 0, jobs.to_vec());
        }
    }
}
