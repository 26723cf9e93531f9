//! Showing pools, grants and holders, and what of them is in the digest.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::State;
use super::{Grant, Pools, Waiter};
use crate::id::Time;
use crate::limits::{LIST_JOBS_MAX, LIST_VISITS_MAX, PLACES_COUNTED, PLACES_COUNTED_OF_PAGE};
use crate::pool::order::{AFTER_OPENING, commitment};
use crate::pool::view::{
    Entrant, GrantPage, GrantView, HolderPlace, HolderView, InLine, LinePage, LinePlace, PoolPage, PoolView,
    WaitView,
};
use crate::pool::{GrantId, GrantState};

/// What a pool takes in memory, in bytes, without its name, its quotas and what it says of itself.
const POOL_BYTES: u64 = 1_024;
/// What a grant takes with its place in the indexes; a holder in line as much.
const GRANT_BYTES: u64 = 256;
/// What a holder takes, without its name.
const HOLDER_BYTES: u64 = 320;
/// What the memory of a grant that has ended takes, without the names.
const ENDED_BYTES: u64 = 224;

impl State {
    /// Everything about one pool.
    pub fn pool(&self, name: &str) -> Option<PoolView> {
        self.pools.pools.find(0, name).map(|index| self.pool_view(index))
    }

    fn pool_view(&self, index: u32) -> PoolView {
        let entry = self.pools.pools.entry(index);
        let pool = &entry.value;
        PoolView {
            name: Arc::clone(&entry.name),
            config: Arc::clone(&pool.config),
            version: pool.version,
            held: pool.held,
            taken: pool.taken,
            waiting: pool.waiting,
            opened: pool.opened,
            closed: pool.closed,
            groups: pool.groups.iter().map(|(group, &units)| (Arc::clone(group), units)).collect(),
            commitment: pool.seed.as_ref().map(commitment),
            seed: pool.seed.filter(|_| pool.opened),
        }
    }

    /// All pools, in no order. For the first snapshot after a start.
    pub fn pools(&self) -> Vec<PoolView> {
        let indexes = 0..self.pools.pools.end();
        indexes
            .filter(|&index| self.pools.pools.try_entry(index).is_some())
            .map(|index| self.pool_view(index))
            .collect()
    }

    /// Those who joined before the opening that drew the order, by the number of their joining, from `from` on; at most
    /// `max`. None if there is no such pool; empty before it has opened, and when that is so long ago that they are forgotten.
    pub fn entrants(&self, pool: &str, from: u64, max: usize) -> Option<Vec<Entrant>> {
        let pool = self.pools.pools.get(self.pools.pools.find(0, pool)?);
        let is_shown = pool.opened && !pool.is_forgotten(self.now);
        let entrants = pool.entrants.range(from..).filter(|_| is_shown).take(max);
        let view = |(&number, &index): (&u64, &u32)| {
            let waiter = self.pools.waiters.get(index);
            let holder = Arc::clone(self.pools.holders.name(waiter.holder));
            Entrant { holder, number, rank: waiter.rank, waiting: waiter.waiting }
        };
        Some(entrants.map(view).collect())
    }

    /// A page of who has units of a pool, from the sequence `from` on; at most `max`, and only what is `state` if that is said. None if
    /// there is no such pool. A page looks at a bounded number of grants, so it may be short while there are more: `next` says.
    pub fn grants_of(
        &self,
        pool: &str,
        state: Option<GrantState>,
        from: u64,
        max: usize,
    ) -> Option<GrantPage> {
        let pools = &self.pools;
        let index = pools.pools.find(0, pool)?;
        let (mut page, mut visits) = (GrantPage::default(), 0);
        let mut at = pools.rosters.first(index).filter(|_| from == 0);
        if from > 0 {
            // The grant that the page before named may have ended since. Then its pool's next one is among all that came later.
            for (&sequence, &slot) in pools.grant_index.range(from..) {
                if pools.grants.get(slot).pool == index {
                    at = Some(slot);
                    break;
                }
                visits += 1;
                if visits >= LIST_VISITS_MAX {
                    page.next = Some(sequence + 1);
                    return Some(page);
                }
            }
        }
        while let Some(slot) = at {
            let grant = pools.grants.get(slot);
            if page.grants.len() >= max.min(LIST_JOBS_MAX) || visits >= LIST_VISITS_MAX {
                page.next = Some(grant.sequence);
                break;
            }
            visits += 1;
            if state.is_none_or(|state| state == grant.state) {
                page.grants.push(self.grant_view(grant));
            }
            at = pools.rosters.next(slot);
        }
        Some(page)
    }

    /// A page of who waits for a pool, from a place on; at most `max`. None if there is no such pool.
    pub fn line(&self, pool: &str, from: LinePlace, max: usize) -> Option<LinePage> {
        let pools = &self.pools;
        let max = max.min(LIST_JOBS_MAX);
        let pool = pools.pools.get(pools.pools.find(0, pool)?);
        let waiter = |index: u32| pools.waiters.get(index);
        let mut waiters: Vec<&Waiter> = if pool.opened {
            pool.in_order((from.rank, from.number)).take(max + 1).map(waiter).collect()
        } else {
            // Nobody is to know the order before it is drawn: as they joined.
            let entrants = pool.entrants.range(from.number..).map(|(_, &index)| waiter(index));
            entrants.filter(|waiter| waiter.waiting).take(max + 1).collect()
        };
        if crate::sabotage::is("line_listed_by_joining") {
            waiters.sort_by_key(|waiter| waiter.number);
        }
        let place = |waiter: &Waiter| {
            let rank = if pool.opened { waiter.rank } else { 0 };
            LinePlace { rank, number: waiter.number }
        };
        let next = waiters.get(max).map(|waiter| place(waiter));
        waiters.truncate(max);
        // The first one's place is counted, the others' follow from it.
        let ahead = waiters.first().and_then(|first| pools.ahead_of(first, PLACES_COUNTED).0);
        let view = |(index, waiter): (u32, &Waiter)| InLine {
            holder: Arc::clone(pools.holders.name(waiter.holder)),
            wait: self.wait_view(waiter, ahead.map(|ahead| (ahead + index).min(PLACES_COUNTED as u32))),
        };
        Some(LinePage { line: (0..).zip(waiters).map(view).collect(), next })
    }

    /// Everything about one grant; none if there never was one, or it ended long ago.
    pub fn grant(&self, id: GrantId) -> Option<GrantView> {
        if id.shard() != self.shard {
            return None;
        }
        match self.pools.find_grant(id.sequence()) {
            Some(slot) => Some(self.grant_view(self.pools.grants.get(slot))),
            None => self.ended_view(id),
        }
    }

    fn grant_view(&self, grant: &Grant) -> GrantView {
        let is_held = grant.state == GrantState::Held;
        GrantView {
            id: GrantId::new(self.shard, grant.sequence),
            pool: Arc::clone(self.pools.pools.name(grant.pool)),
            holder: Arc::clone(self.pools.holders.name(grant.holder)),
            units: grant.units,
            group: grant.group.clone(),
            state: Some(grant.state),
            end: None,
            offered: grant.waiter > 0,
            granted_at: grant.granted_at,
            expires_at: is_held.then_some(grant.deadline),
            extendable_until: is_held.then_some(grant.ceiling),
            gives: (grant.gives > 0).then(|| GrantId::new(self.shard, grant.gives)),
            offer_job: (grant.job > 0).then(|| self.id(grant.job)),
        }
    }

    fn ended_view(&self, id: GrantId) -> Option<GrantView> {
        let ended = self.pools.ended.find(id.sequence(), self.now)?;
        Some(GrantView {
            id,
            pool: Arc::clone(&ended.pool),
            holder: Arc::clone(&ended.holder),
            units: ended.units,
            group: None,
            state: None,
            end: Some(ended.end),
            offered: false,
            granted_at: ended.granted_at,
            expires_at: None,
            extendable_until: None,
            gives: None,
            offer_job: None,
        })
    }

    /// One holder's whole story; none if nothing is known of it. Takes time with what it has: a door asks for pages; this is for tests
    /// and the simulator.
    pub fn holder(&self, name: &str) -> Option<HolderView> {
        let mut whole = self.holder_page(name, HolderPlace::default(), LIST_JOBS_MAX)?;
        while let Some(from) = whole.next.take() {
            let page = self.holder_page(name, from, LIST_JOBS_MAX)?;
            whole.grants.extend(page.grants);
            whole.waiting.extend(page.waiting);
            whole.next = page.next;
        }
        whole.waiting.sort_unstable_by(|a, b| a.pool.cmp(&b.pool));
        Some(whole)
    }

    /// A page of a holder: at most `max` of its grants, and as many of its places in lines, from a place on; what happened to it is on
    /// the first page. None if nothing is known of it. A page looks at a bounded number of lines and of those who stand in them, so it may
    /// be short while there are more: `next` says.
    pub fn holder_page(&self, name: &str, from: HolderPlace, max: usize) -> Option<HolderView> {
        let pools = &self.pools;
        let index = pools.holders.find(0, name)?;
        let holder = pools.holders.get(index);
        let max = max.min(LIST_JOBS_MAX);
        let mut grants = holder.grants.range(from.grant..);
        let on_page = grants.by_ref().take(max).filter_map(|&sequence| pools.find_grant(sequence));
        let on_page = on_page.map(|slot| self.grant_view(pools.grants.get(slot))).collect();
        let next_grant = grants.next().copied();
        let (mut waiting, mut next_pool) = (Vec::new(), None);
        let mut to_count = PLACES_COUNTED_OF_PAGE;
        for (visits, (pool, stake)) in pools.stakes_of(index, from.pool).enumerate() {
            let waiter = pools.waiters.try_get(stake.waiter);
            if visits == LIST_VISITS_MAX || (waiter.is_some() && waiting.len() == max) {
                next_pool = Some(pool);
                break;
            }
            let Some(waiter) = waiter else { continue };
            let counted = (to_count > 0).then(|| pools.ahead_of(waiter, PLACES_COUNTED.min(to_count)));
            let (ahead, looked) = counted.unwrap_or_default();
            waiting.push(self.wait_view(waiter, ahead.filter(|_| looked < to_count)));
            to_count = to_count.saturating_sub(looked);
        }
        waiting.sort_unstable_by(|a: &WaitView, b| a.pool.cmp(&b.pool));
        let is_first = from == HolderPlace::default();
        let story = is_first.then(|| holder.story.in_order(self.now)).into_iter().flatten();
        // What the one list has no more of, no page looks at again.
        let next = (next_grant.is_some() || next_pool.is_some()).then(|| HolderPlace {
            grant: next_grant.unwrap_or(u64::MAX),
            pool: next_pool.unwrap_or(u32::MAX),
        });
        Some(HolderView { grants: on_page, waiting, next, story: story.cloned().collect() })
    }

    fn wait_view(&self, waiter: &Waiter, ahead: Option<u32>) -> WaitView {
        let pool = self.pools.pools.entry(waiter.pool);
        WaitView {
            pool: Arc::clone(&pool.name),
            units: waiter.units,
            group: waiter.group.clone(),
            number: waiter.number,
            ahead,
            joined_at: waiter.joined_at,
            gives: (waiter.gives > 0).then(|| GrantId::new(self.shard, waiter.gives)),
        }
    }

    /// Bytes that pools, grants, lines and stories take in memory, by estimate; in the log they take no more.
    pub fn pool_bytes(&self) -> u64 {
        let pools = &self.pools;
        let each = |count: u32, bytes: u64| u64::from(count) * bytes;
        each(pools.pools.len(), POOL_BYTES)
            + each(pools.grants.len(), GRANT_BYTES)
            + each(pools.waiters.len(), GRANT_BYTES)
            + each(pools.holders.len(), HOLDER_BYTES)
            + pools.ended.len() as u64 * ENDED_BYTES
            + pools.ended.text_bytes
            + pools.told.bytes
            + pools.text_bytes
    }

    /// Whether one who joined is still known: one who waits no more is not, when the draw is forgotten.
    pub(super) fn is_shown(&self, waiter: &Waiter) -> bool {
        waiter.waiting || !self.pools.pools.get(waiter.pool).is_forgotten(self.now)
    }

    /// A page of pools by name: those after `after`, at most `max`. Takes time with the number of pools: a listing is served
    /// from a snapshot instead; this is for `inspect`, tests and the simulator.
    pub fn pool_page(&self, after: &str, max: usize) -> PoolPage {
        let mut pools = self.pools();
        pools.retain(|pool| &*pool.name > after);
        pools.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let next = (pools.len() > max).then(|| String::from(&*pools[max - 1].name));
        pools.truncate(max);
        PoolPage { pools, next }
    }

    /// What the digest says of pools: nothing where there are none.
    pub(in super::super) fn pool_lines(&self) -> Vec<String> {
        let pools = &self.pools;
        let mut lines = Vec::new();
        if pools.next_event > 1 {
            lines.push(format!("pool counters {} {}", pools.next_grant, pools.next_event));
        }
        for index in 0..pools.pools.end() {
            let Some(entry) = pools.pools.try_entry(index) else { continue };
            let pool = &entry.value;
            lines.push(format!("pool {:?} {:?} {:?}", self.pool_view(index), pool.seed, pool.next_number));
            if pool.drawn_until.0 > 0 {
                lines.push(format!("drawn {} {:?}", entry.name, pool.drawn_until));
            }
        }
        for index in (0..pools.pools.end()).filter(|&index| pools.pools.try_entry(index).is_some()) {
            let roster: Vec<u64> =
                pools.rosters.iter(index).map(|slot| pools.grants.get(slot).sequence).collect();
            lines.push(format!("roster {} {roster:?}", pools.pools.name(index)));
        }
        for slot in 0..pools.grants.end() {
            if let Some(grant) = pools.grants.try_get(slot) {
                lines.push(format!("grant {:?} for {}", self.grant_view(grant), grant.waiter));
            }
        }
        for index in 0..pools.waiters.end() {
            if let Some(waiter) = pools.waiters.try_get(index).filter(|waiter| self.is_shown(waiter)) {
                let holder = pools.holders.name(waiter.holder);
                let (rank, waiting) = (waiter.rank, waiter.waiting);
                let wait = self.wait_view(waiter, pools.ahead_of(waiter, PLACES_COUNTED).0);
                lines.push(format!("waiter {holder} {rank} {waiting} {wait:?}"));
            }
        }
        for (event, ended) in pools.ended.from(0) {
            let id = GrantId::new(self.shard, ended.grant);
            if let Some(view) = self.ended_view(id) {
                lines.push(format!("ended {event} {:?} {view:?}", ended.ended_at));
            }
        }
        for index in 0..pools.holders.end() {
            let Some(entry) = pools.holders.try_entry(index) else { continue };
            for told in entry.value.story.in_order(self.now) {
                lines.push(format!("story {} {told:?}", entry.name));
            }
            for (pool, stake) in pools.stakes_of(index, 0) {
                lines.push(format!("stake {} {} {}", entry.name, pools.pools.name(pool), stake.units));
            }
        }
        lines
    }

    /// Moments of the pools' timers, for whoever foretells what a recovered state will do.
    pub fn grant_deadlines(&self) -> Vec<(Time, u64)> {
        let pools = &self.pools;
        let held = pools.grant_index.iter().map(|(&sequence, &slot)| (pools.grants.get(slot), sequence));
        let mut held: Vec<(Time, u64)> = held
            .filter(|(grant, _)| grant.state == GrantState::Held)
            .map(|(grant, sequence)| (grant.deadline, sequence))
            .collect();
        held.sort_unstable();
        held
    }
}

impl Pools {
    /// How many are before one who waits, counted no further than `max`; none while the order is not drawn, or for one who waits no more.
    /// And how much was looked at to say so.
    pub(crate) fn ahead_of(&self, waiter: &Waiter, max: usize) -> (Option<u32>, usize) {
        let pool = self.pools.get(waiter.pool);
        let drawn = waiter.rank < AFTER_OPENING;
        if !waiter.waiting || (drawn && !pool.opened) {
            return (None, 0);
        }
        let (ahead, looked) = pool.ahead_of(waiter.place(), max);
        (Some(ahead), looked)
    }
}
