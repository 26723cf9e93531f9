//! Pools, grants, lines and holders as the state keeps them.
//!
//! - A **pool** counts units held and taken; free is what is left of its capacity. Its **line** is in classes: holders who want
//!   as many units for the same group are alike to the question who fits, and within a class they are in order. So
//!   the first who fits is found among the heads of the classes, however long the line is; and of each group only those classes are
//!   looked at that want no more than there is.
//! - A **grant** is found by its sequence, its timer is in a wheel, and it is in its pool's **roster**, a list by rising sequence
//!   that costs it 8 bytes: who has units of a pool is read without looking at the grants of others.
//! - Pools that are to open or close are in order of their moments, and then of their names: few, and seldom changed.
//! - A **promise** says for what a grant will be given up, so that this ends with the grant.
//! - A **stake** is what one holder has of one pool, so that limits and conditions cost no search.
//! - Who took part in a **draw** is remembered for a time (`draw.rs`).
//! - A **story** is what happened to one holder (`story.rs`).
//!
//! Sorted maps are walked where an order is wanted; no map is walked in hash order.

mod draw;
mod ended;
mod restate;
mod story;
mod views;

use alloc::collections::{BTreeMap, BTreeSet, BinaryHeap};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Bound::{Excluded, Unbounded};

use super::lists::Lists;
use super::paged::{NONE, Slab};
use super::table::Table;
use super::wheel::{WHEEL_LISTS, Wheel};
use super::{PoolLimits, State};
use crate::id::Time;
use crate::pool::{GrantState, PoolConfig};

pub(crate) use ended::{Ended, EndedGrants};
use story::{Story, Told};

/// Grants, and waiters, in a page.
const PAGE: usize = 512;

/// Those of a group who wait, by how many units they want. Who wants as many for the same group fits in the same way.
pub(crate) type Classes = BTreeMap<u32, BTreeMap<Place, u32>>;
/// A place in line: by rank, then by number.
pub(crate) type Place = (u64, u64);

/// With fewer behind it, a holder's place is counted from the line's end.
const NEARLY_LAST: usize = 64;

#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) config: Arc<PoolConfig>,
    pub(crate) version: u64,
    pub(crate) held: u64,
    pub(crate) taken: u64,
    pub(crate) opened: bool,
    pub(crate) closed: bool,
    /// Of an opening that draws the order; not shown before it has opened.
    pub(crate) seed: Option<[u8; 32]>,
    /// Number of the next joining.
    pub(crate) next_number: u64,
    /// Units each group has. Groups without any are not in it.
    pub(crate) groups: BTreeMap<Arc<str>, u64>,
    pub(crate) line: BTreeMap<Option<Arc<str>>, Classes>,
    /// Holders in line.
    pub(crate) waiting: u32,
    /// Those who joined before an opening that draws the order, by number; also those who wait no more.
    pub(crate) entrants: BTreeMap<u64, u32>,
    /// Until when they are remembered; 0 before the opening, and where none draws the order.
    pub(crate) drawn_until: Time,
    /// When it opens or closes next; 0 for never.
    pub(crate) turns_at: Time,
}

impl Pool {
    pub(crate) fn new(config: Arc<PoolConfig>) -> Self {
        Self {
            config,
            version: 0,
            held: 0,
            taken: 0,
            opened: false,
            closed: false,
            seed: None,
            next_number: 1,
            groups: BTreeMap::new(),
            line: BTreeMap::new(),
            waiting: 0,
            entrants: BTreeMap::new(),
            drawn_until: Time(0),
            turns_at: Time(0),
        }
    }

    /// Units somebody has.
    pub(crate) const fn granted(&self) -> u64 {
        self.held + self.taken
    }

    /// Units nobody has.
    pub(crate) fn free(&self) -> u64 {
        u64::from(self.config.capacity).saturating_sub(self.granted())
    }

    /// Units that the group may have more. A group whose quota was taken away gets nothing; who is in no group, any number.
    pub(crate) fn group_room(&self, group: Option<&str>) -> u64 {
        let Some(group) = group else { return u64::MAX };
        let quota = self.config.quota(group).map_or(0, u64::from);
        quota.saturating_sub(self.groups.get(group).copied().unwrap_or(0))
    }

    /// The first in line for whom there are units now, if the pool is open.
    pub(crate) fn first_who_fits(&self) -> Option<u32> {
        let heads = self.who_fit().filter_map(BTreeMap::first_key_value);
        heads.min_by_key(|(place, _)| **place).map(|(_, &waiter)| waiter)
    }

    /// Whether there are units now for anybody in line.
    pub(crate) fn anybody_fits(&self) -> bool {
        self.who_fit().next().is_some()
    }

    /// The classes for which there are units now, if the pool is open. None of them is empty.
    fn who_fit(&self) -> impl Iterator<Item = &BTreeMap<Place, u32>> {
        let free = self.free();
        let serves = free > 0 && self.waiting > 0 && self.opened && !self.closed;
        let groups = self.line.iter().filter(move |_| serves);
        groups.flat_map(move |(group, classes)| {
            let most = free.min(self.group_room(group.as_deref())).min(u64::from(u32::MAX)) as u32;
            classes.range(..=most).map(|(_, places)| places)
        })
    }

    /// All in line, by class.
    fn classes(&self) -> impl Iterator<Item = &BTreeMap<Place, u32>> {
        self.line.values().flat_map(BTreeMap::values)
    }

    /// Adds a waiter to the line, at a place that is free.
    pub(crate) fn enter(&mut self, waiter: &Waiter, index: u32) {
        let classes = self.line.entry(waiter.group.clone()).or_default();
        classes.entry(waiter.units).or_default().insert(waiter.place(), index);
        self.waiting += 1;
    }

    /// Takes a waiter out of the line.
    pub(crate) fn leave(&mut self, waiter: &Waiter) {
        self.waiting -= 1;
        let Some(classes) = self.line.get_mut(&waiter.group) else { return };
        let Some(places) = classes.get_mut(&waiter.units) else { return };
        places.remove(&waiter.place());
        if places.is_empty() {
            classes.remove(&waiter.units);
            if classes.is_empty() {
                self.line.remove(&waiter.group);
            }
        }
    }

    /// Who of the same class stands where this waiter is to stand.
    pub(crate) fn at_place_of(&self, waiter: &Waiter) -> Option<u32> {
        self.line.get(&waiter.group)?.get(&waiter.units)?.get(&waiter.place()).copied()
    }

    /// Those in line from a place on, in order: the heads of the classes are merged.
    pub(crate) fn in_order(&self, from: Place) -> impl Iterator<Item = u32> + '_ {
        let mut classes: Vec<_> = self.classes().map(|places| places.range(from..)).collect();
        let heads = classes.iter_mut().enumerate().filter_map(|(class, places)| {
            let (&place, &waiter) = places.next()?;
            Some(Reverse((place, waiter, class)))
        });
        let mut heads: BinaryHeap<Reverse<(Place, u32, usize)>> = heads.collect();
        core::iter::from_fn(move || {
            let Reverse((_, waiter, class)) = heads.pop()?;
            heads.extend(classes[class].next().map(|(&place, &next)| Reverse((place, next, class))));
            Some(waiter)
        })
    }

    /// How many in line are before the one who stands at this place, counted no further than `max`; and how much was looked at to
    /// say so.
    pub(crate) fn ahead_of(&self, place: Place, max: usize) -> (u32, usize) {
        // Who has just joined is the last, or nearly: few are behind it, whatever the line is.
        let (mut behind, mut looked) = (0, 0);
        for places in self.classes() {
            behind += places.range((Excluded(place), Unbounded)).take(NEARLY_LAST - behind).count();
            looked += 1;
            if behind == NEARLY_LAST {
                break;
            }
        }
        looked += behind;
        if behind < NEARLY_LAST {
            let others = self.waiting.saturating_sub(1) as usize;
            return ((others - behind).min(max) as u32, looked);
        }
        let mut ahead = 0;
        for places in self.classes() {
            ahead += places.range(..place).take(max - ahead).count();
            looked += 1;
            if ahead == max {
                break;
            }
        }
        (ahead as u32, looked + ahead)
    }
}

#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) sequence: u64,
    pub(crate) pool: u32,
    pub(crate) holder: u32,
    pub(crate) units: u32,
    pub(crate) group: Option<Arc<str>>,
    pub(crate) state: GrantState,
    pub(crate) granted_at: Time,
    /// While held.
    pub(crate) deadline: Time,
    pub(crate) ceiling: Time,
    /// The joining that it is an offer to; 0 if it is none.
    pub(crate) waiter: u64,
    /// The grant that is given up when this one is confirmed; 0 for none.
    pub(crate) gives: u64,
    /// The job that tells of the offer; 0 for none.
    pub(crate) job: u64,
    /// The frame that holds its record.
    pub(crate) home: u64,
}

impl Grant {
    /// Whether it is an offer that somebody was told the end of, by a job, or that another grant waits for: it lasts until then. Any other
    /// offer is taken up by being extended, as locks do.
    pub(crate) const fn is_firm_offer(&self) -> bool {
        let is_offer = self.waiter > 0 && matches!(self.state, GrantState::Held);
        is_offer && (self.job > 0 || self.gives > 0)
    }
}

/// A holder in line, or one who was when the order was drawn.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) pool: u32,
    pub(crate) holder: u32,
    pub(crate) units: u32,
    pub(crate) group: Option<Arc<str>>,
    pub(crate) rank: u64,
    pub(crate) number: u64,
    pub(crate) gives: u64,
    pub(crate) joined_at: Time,
    pub(crate) waiting: bool,
    pub(crate) home: u64,
}

/// Who will give a grant up, once it has got another for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Promise {
    /// An offer that is not confirmed yet, by its sequence.
    Offer(u64),
    /// A waiter in a line.
    Place(u32),
}

impl Waiter {
    pub(crate) const fn place(&self) -> Place {
        (self.rank, self.number)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Holder {
    /// Sequences of its grants.
    pub(crate) grants: BTreeSet<u64>,
    /// Waiters that name it, those who wait no more included.
    pub(crate) waiters: u32,
    /// Those of them who wait.
    pub(crate) waiting: u32,
    pub(crate) story: Story,
}

impl Holder {
    /// Whether it has, or waits for, anything. Of others no more than a story is known, or that they were in a draw.
    pub(crate) fn has_any(&self) -> bool {
        !self.grants.is_empty() || self.waiting > 0
    }
}

/// What one holder has of one pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stake {
    /// Units held or taken.
    pub(crate) units: u64,
    /// Its waiter in line, or none.
    pub(crate) waiter: u32,
}

impl Default for Stake {
    fn default() -> Self {
        Self { units: 0, waiter: NONE }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Pools {
    pub(crate) limits: PoolLimits,
    pub(crate) next_grant: u64,
    pub(crate) next_event: u64,
    pub(crate) pools: Table<Pool>,
    /// Pools by when they open or close. Of those that do at the same moment the first by name is the first, also after a replay.
    pub(crate) turning: BTreeSet<(Time, Arc<str>)>,
    pub(crate) grants: Slab<Grant, PAGE>,
    pub(crate) grant_index: BTreeMap<u64, u32>,
    /// Each pool's grants by rising sequence. List numbers are pools, nodes are grants.
    pub(crate) rosters: Lists,
    /// Whether a replay has filled some of them out of order.
    pub(crate) rosters_disordered: bool,
    /// Grants that will be given up for another one, each with the offer or the place in line that it is promised for.
    pub(crate) promises: BTreeSet<(u64, Promise)>,
    /// Held grants by deadline.
    pub(crate) grant_lists: Lists,
    pub(crate) grant_wheel: Wheel,
    pub(crate) waiters: Slab<Waiter, PAGE>,
    /// Holders in line, of all lines.
    pub(crate) waiting: u32,
    pub(crate) holders: Table<Holder>,
    /// Holders who have, or wait for, anything.
    pub(crate) having: u32,
    /// By holder and pool.
    pub(crate) stakes: BTreeMap<(u32, u32), Stake>,
    pub(crate) ended: EndedGrants,
    /// What all stories tell.
    pub(crate) told: Told,
    /// Names and configurations in bytes, as far as [`State::pool_bytes`] does not reckon with usual ones.
    pub(crate) text_bytes: u64,
    /// Pools with a draw, by when it is forgotten, and then by name.
    pub(crate) drawn: BTreeSet<(Time, Arc<str>)>,
    /// Pools that have closed and have a line still: it is let go, a part of it each turn. By name, so that it goes in the same order
    /// after a replay.
    pub(crate) closing: BTreeSet<Arc<str>>,
    /// Pools whose line a turn's bound, or the shard's, cut off from being served. By name, so that which is served first is the
    /// same after a replay.
    pub(crate) unserved: BTreeSet<Arc<str>>,
    /// Pools that have changed since somebody asked which.
    pub(crate) changed: BTreeSet<Arc<str>>,
}

impl Pools {
    pub(crate) fn new(hash_seed: u64, limits: PoolLimits) -> Self {
        Self {
            limits,
            next_grant: 1,
            next_event: 1,
            pools: Table::new(hash_seed),
            turning: BTreeSet::new(),
            grants: Slab::new(),
            grant_index: BTreeMap::new(),
            rosters: Lists::new(0),
            rosters_disordered: false,
            promises: BTreeSet::new(),
            grant_lists: Lists::new(WHEEL_LISTS),
            grant_wheel: Wheel::new(0),
            waiters: Slab::new(),
            waiting: 0,
            holders: Table::new(hash_seed),
            having: 0,
            stakes: BTreeMap::new(),
            ended: EndedGrants::new(limits.ended_grants_max),
            told: Told::default(),
            text_bytes: 0,
            drawn: BTreeSet::new(),
            closing: BTreeSet::new(),
            unserved: BTreeSet::new(),
            changed: BTreeSet::new(),
        }
    }

    /// Moves the timers on, and forgets what has been remembered long enough.
    pub(crate) fn begin_turn(&mut self, now: Time, budget: usize) {
        let grants = &self.grants;
        self.grant_wheel.advance(&mut self.grant_lists, now.0, budget, |slot| grants.get(slot).deadline.0);
        self.drop_old_stories(now, budget);
        self.drop_old_draws(now, budget);
        self.ended.drop_old(now, budget);
    }

    /// When time alone will change something.
    pub(crate) fn next_deadline(&self, now: Time) -> Option<u64> {
        let unserved = (!self.unserved.is_empty() && self.has_room()).then_some(now.0);
        let turns = self.turning.first().map(|(at, _)| at.0);
        let closing = (!self.closing.is_empty()).then_some(now.0);
        [closing, unserved, self.grant_wheel.next(&self.grant_lists), turns].into_iter().flatten().min()
    }

    /// A replay does not say whose line a crash cut off from being served, and may bring grants in out of order.
    pub(crate) fn finish_replay(&mut self) {
        if crate::sabotage::is("lapse_lost_on_recovery") {
            self.grant_index.values().for_each(|&slot| self.grant_lists.unlink(slot));
        }
        if core::mem::take(&mut self.rosters_disordered) && !crate::sabotage::is("roster_left_disordered") {
            for &slot in self.grant_index.values() {
                self.rosters.unlink(slot);
                self.rosters.push_back(self.grants.get(slot).pool, slot);
            }
        }
        let pools = (0..self.pools.end()).filter_map(|pool| self.pools.try_entry(pool));
        let waits = pools.filter(|entry| entry.value.anybody_fits());
        self.unserved = waits.map(|entry| Arc::clone(&entry.name)).collect();
        self.end_told();
    }

    /// Whether there may be another grant.
    pub(crate) const fn has_room(&self) -> bool {
        self.grants.len() < self.limits.grants_max
    }

    /// The slot of a grant that has not ended.
    pub(crate) fn find_grant(&self, sequence: u64) -> Option<u32> {
        self.grant_index.get(&sequence).copied()
    }

    /// What a grant will be given up for. The rules see to it that it is one thing.
    pub(crate) fn promise_of(&self, grant: u64) -> Option<Promise> {
        let promises = self.promises.range((grant, Promise::Offer(0))..=(grant, Promise::Place(NONE)));
        promises.map(|&(_, promise)| promise).next()
    }

    /// What a holder has of a pool.
    pub(crate) fn stake(&self, holder: Option<u32>, pool: u32) -> Stake {
        let holder = holder.filter(|&holder| holder != NONE);
        holder.and_then(|holder| self.stakes.get(&(holder, pool))).copied().unwrap_or_default()
    }

    /// What a holder has, by pool, from one on.
    pub(crate) fn stakes_of(&self, holder: u32, from: u32) -> impl Iterator<Item = (u32, Stake)> + '_ {
        self.stakes.range((holder, from)..=(holder, u32::MAX)).map(|(&(_, pool), &stake)| (pool, stake))
    }

    /// The units that a stake takes of the holder's limit: those it has, and those it waits for.
    pub(crate) fn counted(&self, stake: Stake) -> u64 {
        let waits_for = self.waiters.try_get(stake.waiter).map_or(0, |waiter| u64::from(waiter.units));
        stake.units + if crate::sabotage::is("limit_ignores_line") { 0 } else { waits_for }
    }

    /// Notes that a pool is not what it was, and at least of this version.
    ///
    /// Versions and events share their numbers' range: a pool that is made anew under a name begins with the next event's
    /// number, and so above every version that the name has had.
    pub(crate) fn touch(&mut self, pool: u32, version: u64) {
        self.next_event = self.next_event.max(version + 1);
        let name = Arc::clone(self.pools.name(pool));
        let entry = self.pools.get_mut(pool);
        entry.version = entry.version.max(version);
        self.changed.insert(name);
    }

    /// Changes what a holder has or waits for.
    pub(crate) fn change_holder(&mut self, holder: u32, change: impl FnOnce(&mut Holder)) {
        let entry = self.holders.get_mut(holder);
        let had_any = entry.has_any();
        change(entry);
        self.having = self.having + u32::from(entry.has_any()) - u32::from(had_any);
    }

    /// Forgets a holder of whom nothing is known any more.
    pub(crate) fn drop_unused_holder(&mut self, holder: u32) {
        let Some(entry) = self.holders.try_entry(holder) else { return };
        let Holder { grants, waiters, story, .. } = &entry.value;
        if grants.is_empty() && *waiters == 0 && story.is_empty() {
            self.text_bytes -= text_bytes(&entry.name);
            self.holders.remove(holder);
        }
    }

    /// A group's name as what has units of the pool for it shares it.
    pub(crate) fn group_name(&self, pool: u32, group: Option<&str>) -> Option<Arc<str>> {
        let group = group?;
        let known = self.pools.get(pool).groups.get_key_value(group);
        Some(known.map_or_else(|| group.into(), |(known, _)| Arc::clone(known)))
    }
}

/// What a text takes in memory with what stands before it, in bytes.
pub(crate) const fn text_bytes(text: &str) -> u64 {
    text.len() as u64 + 16
}

/// What a configuration takes in memory beside a usual one, in bytes. Once more for each quota: its group is in the counts too.
pub(crate) fn config_bytes(config: &PoolConfig) -> u64 {
    let quotas = config.quotas.iter().map(|quota| 2 * (text_bytes(&quota.group) + 32));
    let said = config.attributes.iter().map(|said| text_bytes(&said.name) + text_bytes(&said.value) + 48);
    quotas.chain(said).chain(config.offer_queue.as_deref().map(text_bytes)).sum()
}

impl State {
    /// Names of the pools that have changed since this was last asked: what a snapshot must show anew.
    pub fn take_changed_pools(&mut self) -> Vec<Arc<str>> {
        core::mem::take(&mut self.pools.changed).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Quota;
    use alloc::format;

    fn waiter(group: Option<&str>, units: u32, number: u64) -> Waiter {
        Waiter {
            pool: 0,
            holder: 0,
            units,
            group: group.map(Into::into),
            rank: 0,
            number,
            gives: 0,
            joined_at: Time(0),
            waiting: true,
            home: 0,
        }
    }

    /// A line in 3,200 classes made each take look at all of them.
    #[test]
    fn only_those_classes_are_looked_at_that_want_no_more_than_there_is() {
        let quota = |group: u32| Quota { group: format!("g{group}"), units_max: group };
        let quotas = (0..32).map(quota).collect();
        let mut pool = Pool::new(Arc::new(PoolConfig { quotas, ..PoolConfig::of(20) }));
        let mut waiters = Vec::new();
        for units in (1..=100).rev() {
            for group in 0..34 {
                // One group has lost its quota, and some are in none.
                let group = (group < 33).then(|| format!("g{group}"));
                waiters.push(waiter(group.as_deref(), units, waiters.len() as u64));
            }
        }
        for (index, waiter) in (0..).zip(&waiters) {
            pool.enter(waiter, index);
        }
        assert_eq!((pool.anybody_fits(), pool.first_who_fits()), (false, None), "it is not open");
        pool.opened = true;
        for taken in [0, 13, 19, 20] {
            pool.taken = taken;
            let fits = |waiter: &&Waiter| {
                let units = u64::from(waiter.units);
                units <= pool.free() && units <= pool.group_room(waiter.group.as_deref())
            };
            let fitting: Vec<&Waiter> = waiters.iter().filter(fits).collect();
            assert_eq!(pool.who_fit().count(), fitting.len());
            let first = fitting.first().map(|waiter| waiter.number as u32);
            assert_eq!((pool.first_who_fits(), pool.anybody_fits()), (first, first.is_some()));
        }
        for (index, waiter) in (0..).zip(&waiters) {
            assert_eq!(pool.at_place_of(waiter), Some(index));
            pool.leave(waiter);
            assert_eq!(pool.at_place_of(waiter), None);
        }
        assert!(pool.line.is_empty() && pool.waiting == 0);
    }
}
