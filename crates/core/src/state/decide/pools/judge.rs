//! Judging an operation on a pool: what it will do, or why not. Nothing is changed.

use alloc::string::String;
use alloc::vec::Vec;

use super::super::super::State;
use super::super::super::paged::NONE;
use super::super::super::pools::Promise;
use crate::id::Time;
use crate::limits;
use crate::outcome::Refusal;
use crate::pool::command::{Condition, PoolOperation, Swap, Wish};
use crate::pool::order::{AFTER_OPENING, rank};
use crate::pool::record::{Granted, Joined};
use crate::pool::refusal::{PoolRefusal, Why};
use crate::pool::{GrantEnd, GrantId, GrantState, place_of};
use crate::sabotage;

/// What an operation will do.
pub(in super::super) enum PoolVerdict {
    /// It grants units.
    Grants(Gift),
    /// It grants units, and gives this grant back.
    Swaps { give: u64, gift: Gift },
    /// It takes what is held.
    Confirms(u64),
    /// It was confirmed before.
    IsTaken(u64),
    /// It holds for longer.
    Extends { grant: u64, deadline: Time },
    /// It gives back.
    Releases(u64, GrantEnd),
    /// It joins a line.
    Joins(InLine),
    /// The holder stands in the line already.
    Waits { pool: u32, waiter: u32, holder: String },
    /// It leaves the line.
    Leaves { waiter: u32, number: u64 },
}

/// A grant as it will be written down, but for the numbers that its moment gives it.
pub(in super::super) struct Gift {
    pub(super) pool: u32,
    pub(super) granted: Granted,
}

/// A place in line as it will be written down, but for the numbers that its moment gives it.
pub(in super::super) struct InLine {
    pub(super) pool: u32,
    pub(super) joined: Joined,
}

/// What the operations judged so far will take that is not in the state yet. What they give back is not in it.
#[derive(Default)]
pub(in super::super) struct Claims {
    alone: bool,
    grants: Vec<Claim>,
    joins: Vec<Claim>,
    /// Sequences of grants that something is done with, and by which operation.
    used: Vec<(u64, u32)>,
    /// Places in line that something is done with, by pool and holder, and by which operation.
    places: Vec<(u32, String, u32)>,
    /// Which operation is judged.
    pub(in super::super) operation: u32,
}

struct Claim {
    pool: u32,
    holder: String,
    group: Option<String>,
    units: u64,
}

impl Claims {
    /// Of an operation that is not part of a transaction.
    pub(super) fn alone() -> Self {
        Self { alone: true, ..Self::default() }
    }

    fn of_pool(&self, pool: u32) -> u64 {
        if sabotage::is("pool_claims_ignored") {
            return 0;
        }
        self.grants.iter().filter(|claim| claim.pool == pool).map(|claim| claim.units).sum()
    }

    fn of_group(&self, pool: u32, group: &str) -> u64 {
        let claims = self.grants.iter().filter(|claim| claim.pool == pool);
        claims.filter(|claim| claim.group.as_deref() == Some(group)).map(|claim| claim.units).sum()
    }

    fn of_holder(&self, pool: u32, holder: &str) -> u64 {
        let claims = self.grants.iter().chain(&self.joins);
        claims.filter(|claim| claim.pool == pool && claim.holder == holder).map(|claim| claim.units).sum()
    }

    /// Notes that something is done with a grant, which only one operation of a transaction can.
    fn use_grant(&mut self, sequence: u64) -> Judged<()> {
        if let Some(&(_, earlier)) = self.used.iter().find(|&&(used, _)| used == sequence) {
            return Err(Refusal::Contradicts(earlier));
        }
        self.used.push((sequence, self.operation));
        Ok(())
    }

    /// The same of a holder's place in a line, which it has or will have.
    fn use_place(&mut self, pool: u32, holder: &str) -> Judged<()> {
        let earlier = self.places.iter().find(|(used, by, _)| *used == pool && by == holder);
        if let Some(&(.., earlier)) = earlier {
            return Err(Refusal::Contradicts(earlier));
        }
        self.places.push((pool, holder.into(), self.operation));
        Ok(())
    }

    /// How many new holders there may be.
    fn len(&self) -> u64 {
        (self.grants.len() + self.joins.len()) as u64
    }
}

type Judged<T> = Result<T, Refusal>;

fn refuse<T>(why: Why, version: u64, value: u64) -> Judged<T> {
    Err(Refusal::Pool(PoolRefusal { why, version, value }))
}

impl State {
    /// What an operation will do, with what others before it in its transaction will have taken.
    pub(in super::super) fn judge_pool(
        &self,
        operation: &PoolOperation,
        claims: &mut Claims,
    ) -> Judged<PoolVerdict> {
        match operation {
            PoolOperation::Hold(wish) => self.judge_wish(wish, GrantState::Held, claims),
            PoolOperation::Take(wish) => self.judge_wish(wish, GrantState::Taken, claims),
            PoolOperation::Confirm(id) => self.judge_confirm(*id, claims),
            PoolOperation::Extend(id, hold_ms) => self.judge_extend(*id, *hold_ms, claims),
            PoolOperation::Release(id) => {
                let slot = self.judge_live(*id, claims)?;
                self.use_promised(id.sequence(), claims)?;
                let grant = self.pools.grants.get(slot);
                let is_offer = grant.waiter > 0 && grant.state == GrantState::Held;
                let end = if is_offer { GrantEnd::Declined } else { GrantEnd::Released };
                Ok(PoolVerdict::Releases(grant.sequence, end))
            }
            PoolOperation::Swap(swap) => self.judge_swap(swap, claims),
            PoolOperation::Join(wish) => self.judge_join(wish, 0, claims),
            PoolOperation::Leave { pool, holder } => self.judge_leave(pool, holder, claims),
        }
    }

    fn judge_pool_name(&self, pool: &str) -> Judged<u32> {
        match self.pools.pools.find(0, pool) {
            Some(pool) => Ok(pool),
            None => refuse(Why::PoolNotFound, 0, 0),
        }
    }

    /// Whether the pool may give anything to anyone: it is open, and has a quota for the group that is named.
    fn judge_open(&self, pool: u32, group: Option<&str>) -> Judged<()> {
        let entry = self.pools.pools.get(pool);
        let (config, version) = (&entry.config, entry.version);
        // By the moments, not by what has been written down of them: a turn that is full may not have come to it.
        if config.closes_at > 0 && Time(config.closes_at) <= self.now {
            return refuse(Why::Closed, version, config.closes_at);
        }
        if Time(config.opens_at) > self.now {
            return refuse(Why::NotOpen, version, config.opens_at);
        }
        self.judge_group(pool, group)
    }

    fn judge_group(&self, pool: u32, group: Option<&str>) -> Judged<()> {
        let entry = self.pools.pools.get(pool);
        match group {
            Some(group) if entry.config.quota(group).is_none() => refuse(Why::GroupUnknown, entry.version, 0),
            _ => Ok(()),
        }
    }

    /// Whether the holder may have so many units more, and there is room in the shard for what is to be remembered.
    fn judge_limit(&self, pool: u32, holder: &str, units: u32, claims: &Claims) -> Judged<()> {
        let entry = self.pools.pools.get(pool);
        let (limit, version) = (u64::from(entry.config.holder_units_max), entry.version);
        let index = self.pools.holders.find(0, holder);
        let has = self.pools.counted(self.pools.stake(index, pool)) + claims.of_holder(pool, holder);
        if limit > 0 && has + u64::from(units) > limit {
            return refuse(Why::LimitReached, version, limit);
        }
        // Who has nothing yet, whatever his story tells.
        let is_new = index.is_none_or(|index| !self.pools.holders.get(index).has_any());
        let holders = u64::from(self.pools.having) + claims.len();
        if is_new && holders >= u64::from(self.limits.pools.holders_max) {
            return refuse(Why::TooManyHolders, version, u64::from(self.limits.pools.holders_max));
        }
        if self.is_out_of_memory() {
            return Err(Refusal::ShardFull(self.limits.jobs_max));
        }
        Ok(())
    }

    /// Whether there are so many units that nobody has, and nobody in line is to be offered.
    fn judge_units(&self, pool: u32, group: Option<&str>, units: u32, claims: &Claims) -> Judged<()> {
        let entry = self.pools.pools.get(pool);
        let (version, free) = (entry.version, entry.free().saturating_sub(claims.of_pool(pool)));
        // A line that a full turn has not come to is still first.
        let is_for_line = entry.anybody_fits() || !entry.opened && entry.waiting > 0;
        if u64::from(units) > free + u64::from(sabotage::is("pool_oversold")) || is_for_line {
            return refuse(Why::SoldOut, version, free);
        }
        if let Some(group) = group {
            let room = entry.group_room(Some(group)).saturating_sub(claims.of_group(pool, group));
            if u64::from(units) > room {
                return refuse(Why::QuotaFull, version, entry.config.quota(group).map_or(0, u64::from));
            }
        }
        let grants = u64::from(self.pools.grants.len()) + claims.grants.len() as u64;
        if grants >= u64::from(self.limits.pools.grants_max) {
            return refuse(Why::TooManyGrants, version, u64::from(self.limits.pools.grants_max));
        }
        Ok(())
    }

    fn judge_wish(&self, wish: &Wish, state: GrantState, claims: &mut Claims) -> Judged<PoolVerdict> {
        let pool = self.judge_pool_name(&wish.pool)?;
        self.judge_gift(pool, wish, state, claims).map(PoolVerdict::Grants)
    }

    fn judge_gift(&self, pool: u32, wish: &Wish, state: GrantState, claims: &mut Claims) -> Judged<Gift> {
        let group = wish.group.as_deref();
        self.judge_open(pool, group)?;
        self.judge_limit(pool, &wish.holder, wish.units, claims)?;
        self.judge_units(pool, group, wish.units, claims)?;
        claims.grants.push(Claim {
            pool,
            holder: wish.holder.clone(),
            group: wish.group.clone(),
            units: u64::from(wish.units),
        });
        let config = &self.pools.pools.get(pool).config;
        let hold_ms_max = config.hold_ms_max.min(limits::HOLD_MS_MAX);
        let hold_ms = wish.hold_ms.unwrap_or(config.hold_ms).min(hold_ms_max);
        let (deadline, ceiling) = match state {
            GrantState::Held => (self.now.plus(hold_ms), self.now.plus(hold_ms_max)),
            GrantState::Taken => (Time(0), Time(0)),
        };
        let granted = Granted {
            pool: wish.pool.clone(),
            holder: wish.holder.clone(),
            units: wish.units,
            group: wish.group.clone(),
            state: state as i32,
            deadline: deadline.0,
            ceiling: ceiling.0,
            ..Granted::default()
        };
        Ok(Gift { pool, granted })
    }

    /// The slot of a grant that is its holder's now, and with which nothing else is done in this transaction.
    fn judge_live(&self, id: GrantId, claims: &mut Claims) -> Judged<u32> {
        let sequence = id.sequence();
        if id.shard() != self.shard {
            return refuse(Why::GrantUnknown, 0, 0);
        }
        let Some(slot) = self.pools.find_grant(sequence) else {
            return match self.pools.ended.find(sequence, self.now) {
                Some(ended) if matches!(ended.end, GrantEnd::Lapsed | GrantEnd::OfferLapsed) => {
                    refuse(Why::HoldLapsed, ended.version, 0)
                }
                Some(ended) => refuse(Why::GrantEnded, ended.version, ended.end as u64),
                None => refuse(Why::GrantUnknown, 0, 0),
            };
        };
        let grant = self.pools.grants.get(slot);
        let version = self.pools.pools.get(grant.pool).version;
        // Its time is over, even if a turn that is full has not come to it.
        if grant.state == GrantState::Held && grant.deadline <= self.now {
            return refuse(Why::HoldLapsed, version, 0);
        }
        claims.use_grant(sequence)?;
        Ok(slot)
    }

    /// Notes that a grant ends, and with it what it is promised for: no other operation of the transaction can be about that, or it
    /// would be answered with a place in line, or a hold, that is over when all is done.
    fn use_promised(&self, sequence: u64, claims: &mut Claims) -> Judged<()> {
        match self.pools.promise_of(sequence) {
            None => Ok(()),
            Some(Promise::Offer(offer)) => {
                claims.use_grant(offer)?;
                self.use_promised(offer, claims)
            }
            Some(Promise::Place(waiter)) => {
                let waiter = self.pools.waiters.get(waiter);
                claims.use_place(waiter.pool, self.pools.holders.name(waiter.holder))
            }
        }
    }

    fn judge_confirm(&self, id: GrantId, claims: &mut Claims) -> Judged<PoolVerdict> {
        let grant = self.pools.grants.get(self.judge_live(id, claims)?);
        match grant.state {
            GrantState::Held => {
                // What is given up with it must be there, and cannot be given up for something else as well.
                if grant.gives > 0 {
                    self.judge_live(GrantId::new(self.shard, grant.gives), claims)?;
                }
                Ok(PoolVerdict::Confirms(grant.sequence))
            }
            // Said twice, the same answer; but what a transaction does besides would be done twice.
            GrantState::Taken if claims.alone => Ok(PoolVerdict::IsTaken(grant.sequence)),
            GrantState::Taken => refuse(Why::NotHeld, self.pools.pools.get(grant.pool).version, 0),
        }
    }

    fn judge_extend(&self, id: GrantId, hold_ms: Option<u64>, claims: &mut Claims) -> Judged<PoolVerdict> {
        let grant = self.pools.grants.get(self.judge_live(id, claims)?);
        let pool = self.pools.pools.get(grant.pool);
        if grant.state == GrantState::Taken {
            return refuse(Why::NotHeld, pool.version, 0);
        }
        if grant.is_firm_offer() {
            return refuse(Why::IsOffer, pool.version, grant.deadline.0);
        }
        let deadline =
            self.now.plus(hold_ms.unwrap_or(pool.config.hold_ms)).min(grant.ceiling).max(grant.deadline);
        Ok(PoolVerdict::Extends { grant: grant.sequence, deadline })
    }

    fn judge_swap(&self, swap: &Swap, claims: &mut Claims) -> Judged<PoolVerdict> {
        let slot = self.judge_live(swap.give, claims)?;
        let grant = self.pools.grants.get(slot);
        let pool = self.judge_pool_name(&swap.pool)?;
        if grant.pool == pool {
            return refuse(Why::SamePool, self.pools.pools.get(pool).version, 0);
        }
        // For an offer that another grant is to be given up for, that one is given up first: it is confirmed, or declined.
        if grant.gives > 0 {
            return refuse(Why::AlreadyWaiting, self.pools.pools.get(pool).version, grant.waiter);
        }
        let wish = Wish {
            pool: swap.pool.clone(),
            holder: String::from(&**self.pools.holders.name(grant.holder)),
            units: swap.units.unwrap_or(grant.units),
            group: swap.group.clone(),
            hold_ms: None,
        };
        // Who stands in that line already is not judged by what it waits for.
        let waits = self.pools.stake(Some(grant.holder), pool).waiter != NONE;
        if swap.when_offered && waits {
            return self.judge_join(&wish, grant.sequence, claims);
        }
        match self.judge_gift(pool, &wish, grant.state, claims) {
            Ok(mut gift) => {
                // A hold lasts no longer by being swapped, or it would be held to and fro for ever.
                if grant.state == GrantState::Held && !sabotage::is("swap_renews_hold") {
                    let Granted { deadline, ceiling, .. } = &mut gift.granted;
                    *ceiling = grant.ceiling.0.min(*ceiling);
                    *deadline = (*deadline).min(*ceiling);
                }
                self.use_promised(grant.sequence, claims)?;
                Ok(PoolVerdict::Swaps { give: grant.sequence, gift })
            }
            // Before an opening that draws the order one joins, as without anything to give.
            Err(Refusal::Pool(refusal))
                if swap.when_offered
                    && matches!(refusal.why, Why::SoldOut | Why::QuotaFull | Why::NotOpen) =>
            {
                self.judge_join(&wish, grant.sequence, claims)
            }
            Err(refusal) => Err(refusal),
        }
    }

    fn judge_join(&self, wish: &Wish, gives: u64, claims: &mut Claims) -> Judged<PoolVerdict> {
        let pool = self.judge_pool_name(&wish.pool)?;
        let entry = self.pools.pools.get(pool);
        let (config, version) = (&entry.config, entry.version);
        claims.use_place(pool, &wish.holder)?;
        let stake = self.pools.stake(self.pools.holders.find(0, &wish.holder), pool);
        if let Some(waiter) = self.pools.waiters.try_get(stake.waiter) {
            // Said twice, the same place; but its place is not one for another purpose.
            return if gives > 0 && waiter.gives != gives {
                refuse(Why::AlreadyWaiting, version, waiter.number)
            } else {
                Ok(PoolVerdict::Waits { pool, waiter: stake.waiter, holder: wish.holder.clone() })
            };
        }
        // What is promised once is not promised again: it can be given up only once.
        if gives > 0
            && let Some(promise) = self.pools.promise_of(gives)
            && !sabotage::is("promised_twice")
        {
            return refuse(Why::AlreadyWaiting, version, self.number_of(promise));
        }
        let group = wish.group.as_deref();
        let drawn = match (self.judge_open(pool, group), &entry.seed) {
            (Ok(()), _) => None,
            (Err(Refusal::Pool(PoolRefusal { why: Why::NotOpen, .. })), Some(seed)) => {
                self.judge_group(pool, group)?;
                Some(rank(seed, &wish.holder))
            }
            (Err(refusal), _) => return Err(refusal),
        };
        if config.waitlist_max == 0 {
            return refuse(Why::WaitlistOff, version, 0);
        }
        self.judge_limit(pool, &wish.holder, wish.units, claims)?;
        // A pool without a single unit is one whose units are still to come.
        let capacity = Some(config.capacity).filter(|&capacity| capacity > 0);
        let quota = group.and_then(|group| config.quota(group));
        if let Some(most) = capacity.into_iter().chain(quota).min().filter(|&most| wish.units > most) {
            return refuse(Why::NeverFits, version, u64::from(most));
        }
        let joins = claims.joins.iter().filter(|claim| claim.pool == pool).count() as u64;
        if u64::from(entry.waiting) + joins >= u64::from(config.waitlist_max) {
            return refuse(Why::WaitlistFull, version, u64::from(config.waitlist_max));
        }
        if u64::from(self.pools.waiting) + claims.joins.len() as u64
            >= u64::from(self.limits.pools.waiters_max)
        {
            return refuse(Why::TooManyGrants, version, u64::from(self.limits.pools.waiters_max));
        }
        claims.joins.push(Claim {
            pool,
            holder: wish.holder.clone(),
            group: wish.group.clone(),
            units: u64::from(wish.units),
        });
        let joined = Joined {
            pool: wish.pool.clone(),
            holder: wish.holder.clone(),
            units: wish.units,
            group: wish.group.clone(),
            rank: drawn.filter(|_| !sabotage::is("draw_ignored")).unwrap_or(AFTER_OPENING),
            number: entry.next_number + joins,
            gives,
            joined_at: self.now.0,
            ..Joined::default()
        };
        Ok(PoolVerdict::Joins(InLine { pool, joined }))
    }

    /// The number of the joining that something is promised with.
    fn number_of(&self, promise: Promise) -> u64 {
        match promise {
            Promise::Offer(offer) => {
                self.pools.find_grant(offer).map(|slot| self.pools.grants.get(slot).waiter)
            }
            Promise::Place(waiter) => self.pools.waiters.try_get(waiter).map(|waiter| waiter.number),
        }
        .unwrap_or(0)
    }

    fn judge_leave(&self, pool: &str, holder: &str, claims: &mut Claims) -> Judged<PoolVerdict> {
        let pool = self.judge_pool_name(pool)?;
        claims.use_place(pool, holder)?;
        let waiter = self.pools.stake(self.pools.holders.find(0, holder), pool).waiter;
        match self.pools.waiters.try_get(waiter) {
            Some(known) => Ok(PoolVerdict::Leaves { waiter, number: known.number }),
            None => refuse(Why::NotWaiting, self.pools.pools.get(pool).version, 0),
        }
    }

    /// Whether a condition holds; if not, what is so instead.
    pub(in super::super) fn judge_condition(&self, condition: &Condition) -> Judged<()> {
        match condition {
            Condition::PoolVersion { pool, version } => {
                let pool = self.judge_pool_name(pool)?;
                let seen = self.pools.pools.get(pool).version;
                if seen == *version { Ok(()) } else { refuse(Why::VersionChanged, seen, 0) }
            }
            Condition::HasAll { holder, pools } => self.judge_has(holder, pools, true),
            Condition::HasNone { .. } if sabotage::is("condition_skipped") => Ok(()),
            Condition::HasNone { holder, pools } => self.judge_has(holder, pools, false),
            Condition::UnitsBelow { holder, place, units } => {
                let holder = self.pools.holders.find(0, holder).unwrap_or(NONE);
                let of_place =
                    |pool: u32| place.is_none() || place_of(self.pools.pools.name(pool)) == place.as_deref();
                let stakes = self.pools.stakes_of(holder, 0).filter(|&(pool, _)| of_place(pool));
                let has: u64 = stakes.map(|(_, stake)| stake.units).sum();
                if has < *units { Ok(()) } else { refuse(Why::UnitsReached, 0, has) }
            }
            Condition::Job { id, state } => {
                let is = self.find(*id).map(|slot| self.jobs.get(slot).state).ok_or(Refusal::JobNotFound)?;
                if is == *state { Ok(()) } else { refuse(Why::JobStateChanged, 0, is as u64) }
            }
        }
    }

    /// A refusal's value is the place of its pool in the list. A pool that does not exist refuses too: a name with a typing
    /// mistake guards nothing, and must not look as if it did.
    fn judge_has(&self, holder: &str, pools: &[String], wanted: bool) -> Judged<()> {
        let holder = self.pools.holders.find(0, holder);
        for (index, pool) in (0..).zip(pools) {
            let Some(pool) = self.pools.pools.find(0, pool) else {
                return refuse(Why::PoolNotFound, 0, index);
            };
            let has = self.pools.stake(holder, pool).units > 0;
            if has != wanted {
                let version = self.pools.pools.get(pool).version;
                return refuse(if wanted { Why::LacksPool } else { Why::HasPool }, version, index);
            }
        }
        Ok(())
    }
}
