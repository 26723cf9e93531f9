//! What an operation on a pool will do, or why not. The checks are in the order of `docs/pools.md`.

use tidegate_core::limits::HOLD_MS_MAX;
use tidegate_core::outcome::Refusal;
use tidegate_core::pool::command::{Condition, PoolOperation, Swap, Wish};
use tidegate_core::pool::refusal::{PoolRefusal, Why};
use tidegate_core::pool::{GrantEnd, GrantId, GrantState};

use super::super::Twin;
use super::{AFTER_ALL, Grant, InLine, rank};

/// What an operation will do.
#[derive(Clone, Debug)]
pub(in super::super) enum Verdict {
    Grants(Grant),
    Swaps(u64, Grant),
    Confirms(u64),
    IsTaken(u64),
    Extends(u64, u64),
    Releases(u64, GrantEnd),
    Joins(InLine),
    /// A holder waits for a pool already.
    Waits(String, String),
    /// A holder leaves a pool's line.
    Leaves(String, String),
}

/// What earlier operations of a transaction will take, and what they are about.
#[derive(Default)]
pub(in super::super) struct Claims {
    /// Whether there are no others.
    alone: bool,
    /// Which operation is judged.
    pub(in super::super) operation: u32,
    grants: Vec<Grant>,
    joins: Vec<InLine>,
    used_grants: Vec<(u64, u32)>,
    used_places: Vec<(String, String, u32)>,
}

impl Claims {
    /// Of an operation that is not part of a transaction.
    pub(super) fn alone() -> Self {
        Self { alone: true, ..Self::default() }
    }

    fn use_grant(&mut self, sequence: u64) -> Judged<()> {
        match self.used_grants.iter().find(|(used, _)| *used == sequence) {
            Some(&(_, earlier)) => Err(Refusal::Contradicts(earlier)),
            None => {
                self.used_grants.push((sequence, self.operation));
                Ok(())
            }
        }
    }

    fn use_place(&mut self, pool: &str, holder: &str) -> Judged<()> {
        match self.used_places.iter().find(|(of, by, _)| of == pool && by == holder) {
            Some(&(_, _, earlier)) => Err(Refusal::Contradicts(earlier)),
            None => {
                self.used_places.push((pool.into(), holder.into(), self.operation));
                Ok(())
            }
        }
    }
}

type Judged<T> = Result<T, Refusal>;

fn refuse<T>(why: Why, version: u64, value: impl Into<u64>) -> Judged<T> {
    Err(Refusal::Pool(PoolRefusal { why, version, value: value.into() }))
}

impl Twin {
    pub(in super::super) fn judge_pool(
        &self,
        operation: &PoolOperation,
        claims: &mut Claims,
    ) -> Judged<Verdict> {
        match operation {
            PoolOperation::Hold(wish) => self.judge_wish(wish, GrantState::Held, claims).map(Verdict::Grants),
            PoolOperation::Take(wish) => {
                self.judge_wish(wish, GrantState::Taken, claims).map(Verdict::Grants)
            }
            PoolOperation::Confirm(id) => {
                let grant = self.judge_grant(*id, claims)?;
                match grant.state {
                    GrantState::Taken if claims.alone => Ok(Verdict::IsTaken(id.sequence())),
                    GrantState::Taken => refuse(Why::NotHeld, self.version(&grant.pool), 0u64),
                    GrantState::Held => {
                        // What it is given for must be there to be given.
                        if grant.gives > 0 {
                            self.judge_grant(GrantId::new(0, grant.gives), claims)?;
                        }
                        Ok(Verdict::Confirms(id.sequence()))
                    }
                }
            }
            PoolOperation::Extend(id, hold_ms) => {
                let grant = self.judge_grant(*id, claims)?;
                if grant.state == GrantState::Taken {
                    return refuse(Why::NotHeld, self.version(&grant.pool), 0u64);
                }
                if grant.waiter > 0 && (grant.job > 0 || grant.gives > 0) {
                    return refuse(Why::IsOffer, self.version(&grant.pool), grant.deadline);
                }
                let hold_ms = hold_ms.unwrap_or(self.pools.pools[&grant.pool].config.hold_ms);
                let deadline = (self.now + hold_ms).min(grant.ceiling).max(grant.deadline);
                Ok(Verdict::Extends(id.sequence(), deadline))
            }
            PoolOperation::Release(id) => {
                let grant = self.judge_grant(*id, claims)?;
                self.judge_dependants(id.sequence(), claims)?;
                let declines = grant.waiter > 0 && grant.state == GrantState::Held;
                let end = if declines { GrantEnd::Declined } else { GrantEnd::Released };
                Ok(Verdict::Releases(id.sequence(), end))
            }
            PoolOperation::Swap(swap) => self.judge_swap(swap, claims),
            PoolOperation::Join(wish) => self.judge_join(wish, 0, claims),
            PoolOperation::Leave { pool, holder } => {
                self.judge_name(pool)?;
                claims.use_place(pool, holder)?;
                match self.pools.place(holder, pool) {
                    Some(_) => Ok(Verdict::Leaves(pool.clone(), holder.clone())),
                    None => refuse(Why::NotWaiting, self.version(pool), 0u64),
                }
            }
        }
    }

    fn version(&self, pool: &str) -> u64 {
        self.pools.pools[pool].version
    }

    fn judge_name(&self, pool: &str) -> Judged<()> {
        if self.pools.pools.contains_key(pool) { Ok(()) } else { refuse(Why::PoolNotFound, 0, 0u64) }
    }

    fn judge_open(&self, pool: &str) -> Judged<()> {
        let config = &self.pools.pools[pool].config;
        if config.closes_at > 0 && config.closes_at <= self.now {
            return refuse(Why::Closed, self.version(pool), config.closes_at);
        }
        if config.opens_at > self.now {
            return refuse(Why::NotOpen, self.version(pool), config.opens_at);
        }
        Ok(())
    }

    fn judge_group(&self, wish: &Wish) -> Judged<()> {
        let quotas = &self.pools.pools[&wish.pool].config.quotas;
        match &wish.group {
            Some(group) if !quotas.iter().any(|quota| quota.group == *group) => {
                refuse(Why::GroupUnknown, self.version(&wish.pool), 0u64)
            }
            _ => Ok(()),
        }
    }

    /// Whether the holder may have so many more, together with what it has and waits for.
    fn judge_limit(&self, wish: &Wish, claims: &Claims) -> Judged<()> {
        let Wish { pool, holder, units, .. } = wish;
        let limit = u64::from(self.pools.pools[pool].config.holder_units_max);
        let waits_for = self.pools.place(holder, pool).map_or(0, |place| place.units);
        let grants = claims.grants.iter().filter(|grant| grant.pool == *pool && grant.holder == *holder);
        let joins = claims.joins.iter().filter(|place| place.pool == *pool && place.holder == *holder);
        let claimed: u32 = grants.map(|grant| grant.units).chain(joins.map(|place| place.units)).sum();
        let all =
            self.pools.has(holder, pool) + u64::from(waits_for) + u64::from(claimed) + u64::from(*units);
        if limit > 0 && all > limit {
            return refuse(Why::LimitReached, self.version(pool), limit);
        }
        let (known, max) = (self.pools.having(), self.limits.pools.holders_max);
        let more = claims.grants.len() + claims.joins.len();
        if !known.contains(holder.as_str()) && known.len() + more >= max as usize {
            return refuse(Why::TooManyHolders, self.version(pool), max);
        }
        Ok(())
    }

    fn judge_units(&self, wish: &Wish, claims: &Claims) -> Judged<()> {
        let (pool, version) = (&wish.pool, self.version(&wish.pool));
        let of_pool = || claims.grants.iter().filter(|grant| grant.pool == *pool);
        let claimed: u32 = of_pool().map(|grant| grant.units).sum();
        let free = self.pools.free(pool).saturating_sub(u64::from(claimed));
        let units = u64::from(wish.units);
        if units > free || self.pools.first_who_fits(pool).is_some() {
            return refuse(Why::SoldOut, version, free);
        }
        if let Some(group) = &wish.group {
            let of_group = of_pool().filter(|grant| grant.group.as_ref() == Some(group));
            let claimed: u32 = of_group.map(|grant| grant.units).sum();
            let room = self.pools.room_of(pool, Some(group)).saturating_sub(u64::from(claimed));
            if units > room {
                let quota = self.pools.pools[pool].config.quotas.iter().find(|quota| quota.group == *group);
                return refuse(Why::QuotaFull, version, quota.map_or(0, |quota| quota.units_max));
            }
        }
        let max = self.limits.pools.grants_max;
        if self.pools.grants.len() + claims.grants.len() >= max as usize {
            return refuse(Why::TooManyGrants, version, max);
        }
        Ok(())
    }

    fn judge_wish(&self, wish: &Wish, state: GrantState, claims: &mut Claims) -> Judged<Grant> {
        self.judge_name(&wish.pool)?;
        self.judge_open(&wish.pool)?;
        self.judge_group(wish)?;
        self.judge_limit(wish, claims)?;
        self.judge_units(wish, claims)?;
        let config = &self.pools.pools[&wish.pool].config;
        let longest = config.hold_ms_max.min(HOLD_MS_MAX);
        let held = state == GrantState::Held;
        let until = |ms: u64| if held { self.now + ms.min(longest) } else { 0 };
        let grant = Grant {
            pool: wish.pool.clone(),
            holder: wish.holder.clone(),
            units: wish.units,
            group: wish.group.clone(),
            state,
            granted_at: self.now,
            deadline: until(wish.hold_ms.unwrap_or(config.hold_ms)),
            ceiling: until(longest),
            waiter: 0,
            gives: 0,
            job: 0,
        };
        claims.grants.push(grant.clone());
        Ok(grant)
    }

    /// A grant that is its holder's now, and of which no earlier operation speaks.
    fn judge_grant(&self, id: GrantId, claims: &mut Claims) -> Judged<&Grant> {
        let sequence = id.sequence();
        let Some(grant) = self.pools.grants.get(&sequence) else {
            return match self.pools.end_of(sequence, self.now) {
                None => refuse(Why::GrantUnknown, 0, 0u64),
                Some(ended) => match ended.end {
                    GrantEnd::Lapsed | GrantEnd::OfferLapsed => refuse(Why::HoldLapsed, ended.version, 0u64),
                    GrantEnd::Released | GrantEnd::Declined | GrantEnd::Swapped => {
                        refuse(Why::GrantEnded, ended.version, ended.end as u64)
                    }
                },
            };
        };
        if grant.state == GrantState::Held && grant.deadline <= self.now {
            return refuse(Why::HoldLapsed, self.version(&grant.pool), 0u64);
        }
        claims.use_grant(sequence)?;
        Ok(grant)
    }

    /// What is over when this grant is: the place in line, or the offer, that it was to be given for. Of these no other operation
    /// may speak.
    fn judge_dependants(&self, give: u64, claims: &mut Claims) -> Judged<()> {
        for place in self.pools.line.iter().filter(|place| place.waiting && place.gives == give) {
            claims.use_place(&place.pool, &place.holder)?;
        }
        for (&offer, _) in self.pools.grants.iter().filter(|(_, offer)| offer.gives == give) {
            claims.use_grant(offer)?;
        }
        Ok(())
    }

    fn judge_swap(&self, swap: &Swap, claims: &mut Claims) -> Judged<Verdict> {
        let grant = self.judge_grant(swap.give, claims)?;
        self.judge_name(&swap.pool)?;
        if grant.pool == swap.pool {
            return refuse(Why::SamePool, self.version(&swap.pool), 0u64);
        }
        if grant.gives > 0 {
            return refuse(Why::AlreadyWaiting, self.version(&swap.pool), grant.waiter);
        }
        let wish = Wish {
            pool: swap.pool.clone(),
            holder: grant.holder.clone(),
            units: swap.units.unwrap_or(grant.units),
            group: swap.group.clone(),
            hold_ms: None,
        };
        let give = swap.give.sequence();
        if swap.when_offered && self.pools.place(&grant.holder, &swap.pool).is_some() {
            return self.judge_join(&wish, give, claims);
        }
        let judged = match self.judge_wish(&wish, grant.state, claims) {
            Ok(new) => self.judge_dependants(give, claims).map(|()| new),
            refused => refused,
        };
        match judged {
            Ok(new) if grant.state == GrantState::Held => {
                // As long as the old one could have been held, and no longer.
                let ceiling = new.ceiling.min(grant.ceiling);
                let deadline = new.deadline.min(ceiling);
                Ok(Verdict::Swaps(give, Grant { deadline, ceiling, ..new }))
            }
            Ok(new) => Ok(Verdict::Swaps(give, new)),
            Err(Refusal::Pool(PoolRefusal { why: Why::SoldOut | Why::QuotaFull | Why::NotOpen, .. }))
                if swap.when_offered =>
            {
                self.judge_join(&wish, give, claims)
            }
            Err(refusal) => Err(refusal),
        }
    }

    fn judge_join(&self, wish: &Wish, gives: u64, claims: &mut Claims) -> Judged<Verdict> {
        let Wish { pool, holder, .. } = wish;
        self.judge_name(pool)?;
        claims.use_place(pool, holder)?;
        if let Some(place) = self.pools.place(holder, pool) {
            if gives > 0 && place.gives != gives {
                return refuse(Why::AlreadyWaiting, self.version(pool), place.number);
            }
            return Ok(Verdict::Waits(pool.clone(), holder.clone()));
        }
        // It can be given once, so it is promised once.
        let offered =
            self.pools.grants.values().filter(|grant| grant.gives == gives).map(|grant| grant.waiter);
        let waited = self.pools.line.iter().filter(|place| place.waiting && place.gives == gives);
        let promised = offered.chain(waited.map(|place| place.number)).next().filter(|_| gives > 0);
        if let Some(number) = promised {
            return refuse(Why::AlreadyWaiting, self.version(pool), number);
        }
        let known = &self.pools.pools[pool];
        let drawn = match (self.judge_open(pool), known.seed) {
            (Ok(()), _) => None,
            (Err(Refusal::Pool(PoolRefusal { why: Why::NotOpen, .. })), Some(seed)) => {
                Some(rank(&seed, holder))
            }
            (Err(refusal), _) => return Err(refusal),
        };
        self.judge_group(wish)?;
        let max = known.config.waitlist_max;
        if max == 0 {
            return refuse(Why::WaitlistOff, known.version, 0u64);
        }
        self.judge_limit(wish, claims)?;
        let (capacity, quotas) = (known.config.capacity, &known.config.quotas);
        let quota = quotas.iter().find(|quota| Some(&quota.group) == wish.group.as_ref());
        let quota = quota.map_or(u32::MAX, |quota| quota.units_max);
        let most = quota.min(if capacity == 0 { u32::MAX } else { capacity });
        if wish.units > most {
            return refuse(Why::NeverFits, known.version, most);
        }
        let joins = claims.joins.iter().filter(|place| place.pool == *pool).count();
        if self.pools.waiting(pool).count() + joins >= max as usize {
            return refuse(Why::WaitlistFull, known.version, max);
        }
        let max = self.limits.pools.waiters_max;
        let waiting = self.pools.line.iter().filter(|place| place.waiting).count();
        if waiting + claims.joins.len() >= max as usize {
            return refuse(Why::TooManyGrants, known.version, max);
        }
        let place = InLine {
            pool: pool.clone(),
            holder: holder.clone(),
            units: wish.units,
            group: wish.group.clone(),
            rank: drawn.unwrap_or(AFTER_ALL),
            number: known.next_number + joins as u64,
            gives,
            joined_at: self.now,
            waiting: true,
            entrant: drawn.is_some(),
        };
        claims.joins.push(place.clone());
        Ok(Verdict::Joins(place))
    }

    /// Whether a condition holds; if not, what is so instead.
    pub(in super::super) fn judge_condition(&self, condition: &Condition) -> Judged<()> {
        let has = |holder: &str, pools: &[String], wanted: bool, why: Why| {
            (0u64..).zip(pools).try_for_each(|(index, pool)| match self.pools.pools.get(pool) {
                None => refuse(Why::PoolNotFound, 0, index),
                Some(known) if (self.pools.has(holder, pool) > 0) != wanted => {
                    refuse(why, known.version, index)
                }
                Some(_) => Ok(()),
            })
        };
        match condition {
            Condition::PoolVersion { pool, version } => {
                self.judge_name(pool)?;
                let seen = self.version(pool);
                if seen == *version { Ok(()) } else { refuse(Why::VersionChanged, seen, 0u64) }
            }
            Condition::HasAll { holder, pools } => has(holder, pools, true, Why::LacksPool),
            Condition::HasNone { holder, pools } => has(holder, pools, false, Why::HasPool),
            Condition::UnitsBelow { holder, place, units } => {
                let there = |pool: &str| match place {
                    Some(place) => pool.ends_with(&format!("@{place}")),
                    None => true,
                };
                let mine = self.pools.grants.values().filter(|grant| grant.holder == *holder);
                let all: u64 =
                    mine.filter(|grant| there(&grant.pool)).map(|grant| u64::from(grant.units)).sum();
                if all < *units { Ok(()) } else { refuse(Why::UnitsReached, 0, all) }
            }
            Condition::Job { id, state } => {
                let job = self.jobs.get(&id.sequence()).ok_or(Refusal::JobNotFound)?;
                if job.state == *state { Ok(()) } else { refuse(Why::JobStateChanged, 0, job.state as u64) }
            }
        }
    }
}
