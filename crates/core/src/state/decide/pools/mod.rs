//! Operations on pools, and the pools themselves: create, configure, resize, delete.
//!
//! An operation is first **judged**, without any effect, and then **performed**, which cannot fail. Performing is in two
//! parts, so that the operations of a transaction do not get into each other's way: first what takes, then what gives
//! back; and only when all is done, what has become free is offered to those in line (`serve.rs`).

mod close;
mod judge;
mod serve;

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::pools::{Promise, config_bytes};
use super::super::{State, Turn};
use crate::id::Time;
use crate::limits;
use crate::outcome::{Item, Outcome, Refusal};
use crate::pool::command::PoolOperation;
use crate::pool::record::{
    GrantConfirmed, GrantEnded, Granted, HoldExtended, JobsLinked, Joined, LeftLine, PoolConfigured,
    PoolDeleted, PoolRefused,
};
use crate::pool::refusal::{PoolRefusal, Why};
use crate::pool::view::{PoolItem, Verb};
use crate::pool::{GrantEnd, GrantId, GrantState, Opening, PoolConfig};
use crate::record::Record;
use crate::sabotage;

pub(super) use judge::{Claims, PoolVerdict};

/// What is given back when everything else has been done.
#[derive(Default)]
pub(super) struct GivenBack {
    grants: Vec<(u64, GrantEnd)>,
    /// Pools whose line is to be looked at.
    pools: Vec<u32>,
}

impl State {
    pub(super) fn decide_configure_pool(
        &mut self,
        name: String,
        config: PoolConfig,
        if_version: Option<u64>,
        seed: [u8; 32],
        turn: &mut Turn<'_>,
    ) -> Outcome {
        let index = self.pools.pools.find(0, &name);
        // Whatever the version: whoever asks again, having heard no answer, is told that it is done.
        if index.is_some_and(|index| *self.pools.pools.get(index).config == config) {
            return self.configured(&name);
        }
        let version = index.map_or(0, |index| self.pools.pools.get(index).version);
        if if_version.is_some_and(|seen| seen != version) {
            return refused(PoolRefusal::of(Why::VersionChanged, version));
        }
        let known = index.map_or(0, |index| config_bytes(&self.pools.pools.get(index).config));
        if (index.is_none() || config_bytes(&config) > known) && self.is_out_of_memory() {
            return Outcome::Refused(Refusal::ShardFull(self.limits.jobs_max));
        }
        match self.judge_config(index, &config) {
            Ok(new_opening) => {
                self.configure_pool(index, name.clone(), config, new_opening.then_some(seed), turn);
                self.configured(&name)
            }
            Err(refusal) => Outcome::Refused(Refusal::Pool(refusal)),
        }
    }

    pub(super) fn decide_resize_pool(&mut self, name: &str, capacity: u32, turn: &mut Turn<'_>) -> Outcome {
        let Some(index) = self.pools.pools.find(0, name) else {
            return refused(PoolRefusal::of(Why::PoolNotFound, 0));
        };
        let config = PoolConfig { capacity, ..(*self.pools.pools.get(index).config).clone() };
        if *self.pools.pools.get(index).config == config {
            return self.configured(name);
        }
        match self.judge_capacity(index, capacity) {
            Ok(()) => {
                self.configure_pool(Some(index), name.into(), config, None, turn);
                self.configured(name)
            }
            Err(refusal) => refused(refusal),
        }
    }

    /// The pool as a configuration has left it, whatever becomes of it later.
    fn configured(&self, name: &str) -> Outcome {
        let view = self.pool(name).unwrap_or_else(|| unreachable!("pool {name} is there"));
        Outcome::PoolConfigured { view: Box::new(view), at: self.now }
    }

    pub(super) fn decide_delete_pool(&mut self, pool: String, turn: &mut Turn<'_>) -> Outcome {
        let Some(index) = self.pools.pools.find(0, &pool) else {
            return refused(PoolRefusal::of(Why::PoolNotFound, 0));
        };
        let entry = self.pools.pools.get(index);
        if entry.granted() > 0 || entry.waiting > 0 {
            let (version, value) = (entry.version, entry.granted());
            return refused(PoolRefusal { why: Why::PoolInUse, version, value });
        }
        let version = entry.version + 1;
        self.emit(turn, Record::PoolDeleted(PoolDeleted { pool, version }));
        Outcome::Done
    }

    /// Whether a pool may be (or become) so, and whether it is then before an opening that needs a new seed.
    fn judge_config(&self, index: Option<u32>, config: &PoolConfig) -> Result<bool, PoolRefusal> {
        let version = index.map_or(0, |index| self.pools.pools.get(index).version);
        let draws = config.opening == Opening::Shuffle as i32;
        let opens_later = Time(config.opens_at) > self.now;
        let never_opens = config.closes_at > 0 && config.closes_at <= config.opens_at;
        if never_opens {
            return Err(PoolRefusal::of(Why::NeverOpen, version));
        }
        if Time(config.opens_at.max(config.closes_at)) > self.now.plus(limits::AHEAD_MS_MAX) {
            return Err(PoolRefusal::of(Why::TooFarAhead, version));
        }
        let Some(index) = index else {
            let max = self.limits.pools.pools_max;
            return if self.pools.pools.len() >= max {
                Err(PoolRefusal { why: Why::TooManyPools, version: 0, value: u64::from(max) })
            } else {
                Ok(draws && opens_later)
            };
        };
        self.judge_capacity(index, config.capacity)?;
        self.judge_quotas(index, config)?;
        let pool = self.pools.pools.get(index);
        let opens_again = pool.opened && opens_later;
        // Those in line came under other rules.
        if pool.waiting > 0 && (pool.config.opening != config.opening || opens_again) {
            return Err(PoolRefusal { why: Why::PoolInUse, version, value: pool.granted() });
        }
        Ok(draws && opens_later && (pool.seed.is_none() || opens_again))
    }

    fn judge_capacity(&self, index: u32, capacity: u32) -> Result<(), PoolRefusal> {
        let pool = self.pools.pools.get(index);
        let value = pool.granted();
        if u64::from(capacity) < value {
            return Err(PoolRefusal { why: Why::BelowGranted, version: pool.version, value });
        }
        Ok(())
    }

    /// Whether no group has more units than its new quota. A group that has none any more keeps what it has, and gets nothing.
    fn judge_quotas(&self, index: u32, config: &PoolConfig) -> Result<(), PoolRefusal> {
        let pool = self.pools.pools.get(index);
        for (place, quota) in (0u64..).zip(&config.quotas) {
            let units = pool.groups.get(quota.group.as_str()).copied().unwrap_or(0);
            if units > u64::from(quota.units_max) {
                let value = place << 32 | units;
                return Err(PoolRefusal { why: Why::QuotaBelowGranted, version: pool.version, value });
            }
        }
        Ok(())
    }

    fn configure_pool(
        &mut self,
        index: Option<u32>,
        name: String,
        config: PoolConfig,
        new_seed: Option<[u8; 32]>,
        turn: &mut Turn<'_>,
    ) {
        let known = index.map(|index| self.pools.pools.get(index));
        let draws = config.opening == Opening::Shuffle as i32;
        let seed = new_seed.or_else(|| known.and_then(|pool| pool.seed)).filter(|_| draws);
        let record = PoolConfigured {
            pool: name,
            version: known.map_or(self.pools.next_event, |pool| pool.version + 1),
            opened: Time(config.opens_at) <= self.now,
            closed: config.closes_at > 0 && Time(config.closes_at) <= self.now,
            seed: seed.map_or_else(Vec::new, |seed| seed.to_vec()),
            new_opening: new_seed.is_some() || !draws,
            config,
        };
        let name = record.pool.clone();
        self.emit(turn, Record::PoolConfigured(record));
        if let Some(index) = self.pools.pools.find(0, &name) {
            let mut budget = limits::EXPIRE_PER_TURN;
            self.serve_line(index, &mut budget, turn);
            self.let_line_go(index, &mut budget, turn);
        }
    }

    pub(super) fn decide_pools(&mut self, operations: Vec<PoolOperation>, turn: &mut Turn<'_>) -> Outcome {
        // One for the whole list: a thousand who give back a hundred units each are many turns of offers, not one frame.
        let mut budget = limits::EXPIRE_PER_TURN;
        let items = operations.iter().map(|operation| self.decide_pool(operation, &mut budget, turn));
        Outcome::Pooled(items.collect())
    }

    fn decide_pool(&mut self, operation: &PoolOperation, budget: &mut usize, turn: &mut Turn<'_>) -> Item {
        match self.judge_pool(operation, &mut Claims::alone()) {
            Ok(verdict) => {
                let mut given_back = GivenBack::default();
                let item = self.perform_pool(&verdict, &mut given_back, turn);
                self.give_back(given_back, budget, turn);
                self.as_served(item, &verdict)
            }
            Err(refusal) => {
                self.tell_refused(operation, refusal, turn);
                Item::Refused(refusal)
            }
        }
    }

    /// Does what was judged, but for what it gives back.
    pub(super) fn perform_pool(
        &mut self,
        verdict: &PoolVerdict,
        given_back: &mut GivenBack,
        turn: &mut Turn<'_>,
    ) -> Item {
        Item::Pool(match verdict {
            PoolVerdict::Grants(gift) => self.give(gift, turn),
            PoolVerdict::Swaps { give, gift } => {
                let item = self.give(gift, turn);
                given_back.grants.push((*give, GrantEnd::Swapped));
                item
            }
            PoolVerdict::Confirms(sequence) => self.confirm(*sequence, given_back, turn),
            PoolVerdict::IsTaken(sequence) => self.grant_item(*sequence),
            PoolVerdict::Extends { grant, deadline } => {
                let record = HoldExtended { grant: *grant, deadline: deadline.0 };
                if self.deadline_of(*grant) != Some(*deadline) {
                    self.emit(turn, Record::HoldExtended(record));
                }
                self.grant_item(*grant)
            }
            PoolVerdict::Releases(sequence, end) => {
                given_back.grants.push((*sequence, *end));
                let grant = self.pools.find_grant(*sequence).map(|slot| self.pools.grants.get(slot));
                PoolItem::Ended {
                    id: GrantId::new(self.shard, *sequence),
                    end: *end,
                    units: grant.map_or(0, |grant| grant.units),
                    granted_at: grant.map(|grant| grant.granted_at),
                    version: 0,
                }
            }
            PoolVerdict::Joins(place) => {
                let (pool, number) = (place.pool, place.joined.number);
                let event = self.pools.next_event;
                let version = self.pools.pools.get(pool).version + 1;
                let joined = Joined { event, version, ..place.joined.clone() };
                self.emit(turn, Record::Joined(joined));
                given_back.pools.push(pool);
                PoolItem::Waits { number, ahead: None, version }
            }
            PoolVerdict::Waits { pool, waiter, .. } => {
                let version = self.pools.pools.get(*pool).version;
                PoolItem::Waits { number: self.pools.waiters.get(*waiter).number, ahead: None, version }
            }
            PoolVerdict::Leaves { waiter, number } => self.leave(*waiter, *number, false, turn),
        })
    }

    /// Ends what is given back, and offers what has become free to those in line.
    pub(super) fn give_back(&mut self, given_back: GivenBack, budget: &mut usize, turn: &mut Turn<'_>) {
        let GivenBack { grants, mut pools } = given_back;
        for (sequence, end) in grants {
            self.end_grant(sequence, end, &mut pools, turn);
        }
        // In the order in which the operations named them: how pools are numbered is this process's own affair.
        let mut served = BTreeSet::new();
        for pool in pools.into_iter().filter(|&pool| served.insert(pool)) {
            self.serve_line(pool, budget, turn);
        }
    }

    /// An item as it is when all is done: the place in line, or what the first in line was offered at once.
    pub(super) fn as_served(&self, item: Item, verdict: &PoolVerdict) -> Item {
        let Item::Pool(served) = item else { return item };
        Item::Pool(match (served, verdict) {
            (PoolItem::Waits { number, version, .. }, PoolVerdict::Joins(place)) => {
                self.waits_item(place.pool, &place.joined.holder, number, version)
            }
            (PoolItem::Waits { number, version, .. }, PoolVerdict::Waits { pool, holder, .. }) => {
                self.waits_item(*pool, holder, number, version)
            }
            (PoolItem::Ended { id, end, units, granted_at, .. }, _) => {
                let version = self.pools.ended.find(id.sequence(), self.now).map_or(0, |ended| ended.version);
                PoolItem::Ended { id, end, units, granted_at, version }
            }
            (item, _) => item,
        })
    }

    fn waits_item(&self, pool: u32, holder: &str, number: u64, version: u64) -> PoolItem {
        let holder = self.pools.holders.find(0, holder);
        let stake = self.pools.stake(holder, pool);
        if let Some(waiter) = self.pools.waiters.try_get(stake.waiter) {
            let ahead = self.pools.ahead_of(waiter, limits::PLACES_COUNTED).0;
            return PoolItem::Waits { number, ahead, version };
        }
        let grants = holder.map(|holder| &self.pools.holders.get(holder).grants).into_iter().flatten();
        let offer = grants.filter_map(|&sequence| self.pools.find_grant(sequence)).find(|&slot| {
            let grant = self.pools.grants.get(slot);
            grant.pool == pool && grant.waiter == number
        });
        match offer {
            Some(slot) => self.grant_item(self.pools.grants.get(slot).sequence),
            None => PoolItem::Waits { number, ahead: None, version },
        }
    }

    fn give(&mut self, gift: &judge::Gift, turn: &mut Turn<'_>) -> PoolItem {
        let sequence = self.pools.next_grant;
        let record = Granted {
            grant: sequence,
            version: self.pools.pools.get(gift.pool).version + 1,
            event: self.pools.next_event,
            ..gift.granted.clone()
        };
        self.emit(turn, Record::Granted(record));
        self.grant_item(sequence)
    }

    fn confirm(&mut self, sequence: u64, given_back: &mut GivenBack, turn: &mut Turn<'_>) -> PoolItem {
        if let Some(slot) = self.pools.find_grant(sequence) {
            let grant = self.pools.grants.get(slot);
            let gives = grant.gives;
            let record = GrantConfirmed {
                pool: String::from(&**self.pools.pools.name(grant.pool)),
                holder: String::from(&**self.pools.holders.name(grant.holder)),
                grant: sequence,
                units: grant.units,
                version: self.pools.pools.get(grant.pool).version
                    + u64::from(!sabotage::is("confirm_keeps_version")),
                event: self.pools.next_event,
            };
            self.emit(turn, Record::GrantConfirmed(record));
            if gives > 0 && !sabotage::is("swap_keeps_both") {
                given_back.grants.push((gives, GrantEnd::Swapped));
            }
        }
        self.grant_item(sequence)
    }

    /// Ends a grant, if it has not ended, and with it what it is promised for: an offer is declined, a place in line given up.
    /// `freed` gets the pools in which something has become free.
    fn end_grant(&mut self, sequence: u64, end: GrantEnd, freed: &mut Vec<u32>, turn: &mut Turn<'_>) {
        let Some(slot) = self.pools.find_grant(sequence) else { return };
        let grant = self.pools.grants.get(slot);
        let pool = grant.pool;
        let record = GrantEnded {
            pool: String::from(&**self.pools.pools.name(pool)),
            holder: String::from(&**self.pools.holders.name(grant.holder)),
            grant: sequence,
            units: grant.units,
            end: end as i32,
            granted_at: grant.granted_at.0,
            ended_at: self.now.0,
            version: self.pools.pools.get(pool).version + 1,
            event: self.pools.next_event,
        };
        self.emit(turn, Record::GrantEnded(record));
        if !sabotage::is("offer_not_made_on_release") {
            freed.push(pool);
        }
        if sabotage::is("promise_outlives_grant") {
            return;
        }
        while let Some(promise) = self.pools.promise_of(sequence) {
            match promise {
                Promise::Offer(offer) => self.end_grant(offer, GrantEnd::Declined, freed, turn),
                Promise::Place(waiter) => {
                    let number = self.pools.waiters.get(waiter).number;
                    self.leave(waiter, number, true, turn);
                }
            }
        }
    }

    fn leave(&mut self, waiter: u32, number: u64, dropped: bool, turn: &mut Turn<'_>) -> PoolItem {
        let record = LeftLine { dropped, ..self.left_line(waiter) };
        let version = record.version;
        self.emit(turn, Record::LeftLine(record));
        PoolItem::Left { number, version }
    }

    /// What is written down of one who waits no more, but for why.
    fn left_line(&self, waiter: u32) -> LeftLine {
        let waiter = self.pools.waiters.get(waiter);
        LeftLine {
            pool: String::from(&**self.pools.pools.name(waiter.pool)),
            holder: String::from(&**self.pools.holders.name(waiter.holder)),
            number: waiter.number,
            version: self.pools.pools.get(waiter.pool).version + 1,
            event: self.pools.next_event,
            ..LeftLine::default()
        }
    }

    /// A grant that has not ended.
    fn grant_item(&self, sequence: u64) -> PoolItem {
        let slot = self.pools.find_grant(sequence);
        let grant = self.pools.grants.get(slot.unwrap_or_else(|| unreachable!("grant {sequence} is there")));
        PoolItem::Grant {
            id: GrantId::new(self.shard, sequence),
            state: grant.state,
            units: grant.units,
            granted_at: Some(grant.granted_at),
            expires_at: (grant.state == GrantState::Held).then_some(grant.deadline),
            extendable_until: (grant.state == GrantState::Held).then_some(grant.ceiling),
            version: self.pools.pools.get(grant.pool).version,
        }
    }

    fn deadline_of(&self, sequence: u64) -> Option<Time> {
        self.pools.find_grant(sequence).map(|slot| self.pools.grants.get(slot).deadline)
    }

    /// What an operation is, whom it is about, and of which pool; nobody, if that is not known.
    pub(super) fn about(&self, operation: &PoolOperation) -> (Verb, Option<(String, String)>) {
        let of_grant = |id: &GrantId| {
            let view = self.grant(*id);
            view.map(|view| (String::from(&*view.pool), String::from(&*view.holder)))
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
    fn tell_refused(&mut self, operation: &PoolOperation, refusal: Refusal, turn: &mut Turn<'_>) {
        if let (verb, Some((pool, holder))) = self.about(operation)
            && let Some(refusal) = as_told(refusal)
        {
            self.tell_refusal(verb, pool, holder, refusal, turn);
        }
    }

    /// The same, of anything. What a holder wants of a pool that does not exist is not told: names cost nothing to make up. Nor is a
    /// holder told again what it was told a moment ago; and nobody is when there is no room for more than must be.
    pub(super) fn tell_refusal(
        &mut self,
        verb: Verb,
        pool: String,
        holder: String,
        refusal: PoolRefusal,
        turn: &mut Turn<'_>,
    ) {
        let index = self.pools.holders.find(0, &holder);
        let is_told =
            index.is_some_and(|index| self.pools.is_told(index, &pool, verb, refusal.why, self.now));
        let is_made_up = !pool.is_empty() && self.pools.pools.find(0, &pool).is_none();
        if is_told || is_made_up || turn.sparing {
            return;
        }
        let record = PoolRefused {
            pool,
            holder,
            verb: verb as i32,
            why: refusal.why as i32,
            value: refusal.value,
            version: refusal.version,
            event: self.pools.next_event,
        };
        self.emit(turn, Record::PoolRefused(record));
    }

    /// Whom something that was judged is about.
    pub(super) fn holder_of(&self, verdict: &PoolVerdict) -> Option<Arc<str>> {
        let waiter = |waiter: u32| self.pools.waiters.try_get(waiter).map(|waiter| waiter.holder);
        let holder = match verdict {
            PoolVerdict::Grants(gift) | PoolVerdict::Swaps { gift, .. } => {
                return Some(gift.granted.holder.as_str().into());
            }
            PoolVerdict::Joins(place) => return Some(place.joined.holder.as_str().into()),
            PoolVerdict::Confirms(sequence)
            | PoolVerdict::IsTaken(sequence)
            | PoolVerdict::Extends { grant: sequence, .. }
            | PoolVerdict::Releases(sequence, _) => {
                self.pools.find_grant(*sequence).map(|slot| self.pools.grants.get(slot).holder)
            }
            PoolVerdict::Waits { holder, .. } => return Some(holder.as_str().into()),
            PoolVerdict::Leaves { waiter: index, .. } => waiter(*index),
        };
        holder.map(|holder| Arc::clone(self.pools.holders.name(holder)))
    }

    /// Tells a holder's story which jobs went with what it did.
    pub(super) fn tell_jobs(
        &mut self,
        holder: &Arc<str>,
        mut jobs: Vec<u64>,
        completed: bool,
        turn: &mut Turn<'_>,
    ) {
        jobs.truncate(limits::STORY_JOBS_MAX);
        if !jobs.is_empty() {
            let event = self.pools.next_event;
            let record = JobsLinked { holder: String::from(&**holder), jobs, completed, event };
            self.emit(turn, Record::JobsLinked(record));
        }
    }
}

/// A refusal as stories tell it. Where the shard has no room, there is none for telling of it either.
pub(super) fn as_told(refusal: Refusal) -> Option<PoolRefusal> {
    match refusal {
        Refusal::Pool(refusal) => Some(refusal),
        Refusal::ShardFull(_) => None,
        other => Some(PoolRefusal { why: Why::Elsewhere, version: 0, value: u64::from(other.number()) }),
    }
}

fn refused(refusal: PoolRefusal) -> Outcome {
    Outcome::Refused(Refusal::Pool(refusal))
}
