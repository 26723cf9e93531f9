//! What records do to pools, grants, lines and stories.
//!
//! Each fact about a holder first does what it does to the thing itself, which may be unknown in a replay from the middle, and
//! then adds to the holder's story, which needs nothing but the record.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::State;
use super::super::paged::NONE;
use super::super::pools::{
    Ended, EndedGrants, Grant, Holder, Pool, Promise, Waiter, config_bytes, text_bytes,
};
use crate::id::Time;
use crate::limits::ENTRANTS_MS;
use crate::pool::record::{
    EndedRestated, GrantConfirmed, GrantEnded, GrantRestated, Granted, HoldExtended, JobsLinked, Joined,
    LeftLine, PoolConfigured, PoolDeleted, PoolRefused, PoolRestated, PoolTurned, StoryRestated,
};
use crate::pool::refusal::Why;
use crate::pool::view::{Happened, StoryEntry, Verb};
use crate::pool::{GrantEnd, GrantState, PoolConfig};
use crate::sabotage;

impl State {
    /// The pool's index; a pool that a trimmed replay has not met yet is made, and restated later.
    fn pool_or_new(&mut self, name: &str) -> u32 {
        let pools = &mut self.pools;
        if let Some(pool) = pools.pools.find(0, name) {
            return pool;
        }
        let config = PoolConfig::of(0);
        pools.text_bytes += text_bytes(name) + config_bytes(&config);
        let index = pools.pools.insert(0, name, Pool::new(Arc::new(config)));
        pools.rosters.add((index + 1).saturating_sub(pools.rosters.count()));
        index
    }

    fn holder_or_new(&mut self, name: &str) -> u32 {
        let holders = &mut self.pools.holders;
        holders.find(0, name).unwrap_or_else(|| {
            self.pools.text_bytes += text_bytes(name);
            holders.insert(0, name, Holder::default())
        })
    }

    pub(super) fn apply_pool_configured(&mut self, configured: &PoolConfigured) {
        let pool = self.pool_or_new(&configured.pool);
        if configured.new_opening {
            self.pools.forget_entrants(pool);
        }
        let draws = configured.seed.len() == 32;
        self.note_opening(pool, configured.opened && draws, self.now);
        self.set_pool(pool, configured);
    }

    /// An opening that draws the order is remembered from its moment on.
    fn note_opening(&mut self, pool: u32, is_drawn: bool, at: Time) {
        let entry = self.pools.pools.get(pool);
        let until = match (is_drawn, entry.opened) {
            (false, _) => Time(0),
            (true, false) => at.plus(ENTRANTS_MS),
            (true, true) => entry.drawn_until,
        };
        self.pools.remember_draw(pool, until);
    }

    fn set_pool(&mut self, pool: u32, configured: &PoolConfigured) {
        let before = config_bytes(&self.pools.pools.get(pool).config);
        self.pools.text_bytes = self.pools.text_bytes + config_bytes(&configured.config) - before;
        let entry = self.pools.pools.get_mut(pool);
        entry.config = Arc::new(configured.config.clone());
        (entry.opened, entry.closed) = (configured.opened, configured.closed);
        entry.seed = <[u8; 32]>::try_from(configured.seed.as_slice()).ok();
        self.pools.touch(pool, configured.version);
        self.set_pool_timer(pool);
        self.note_closing(pool);
    }

    /// Notes whether the pool has closed and has a line still.
    fn note_closing(&mut self, pool: u32) {
        let pools = &mut self.pools;
        let entry = pools.pools.entry(pool);
        if entry.value.closed && entry.value.waiting > 0 {
            pools.closing.insert(Arc::clone(&entry.name));
        } else if !pools.closing.is_empty() {
            pools.closing.remove(&entry.name);
        }
    }

    pub(super) fn apply_pool_restated(&mut self, restated: &PoolRestated) {
        let pool = self.pool_or_new(&restated.pool.pool);
        let entry = self.pools.pools.get_mut(pool);
        entry.next_number = entry.next_number.max(restated.next_number);
        let draws = restated.pool.opened && restated.pool.seed.len() == 32;
        let until = match (restated.drawn_until, restated.pool.config.opens_at) {
            // Nothing was drawn yet.
            (0, _) if !draws => Time(0),
            // It was written by a version that remembered draws for ever.
            (0, 0) => self.now.plus(ENTRANTS_MS),
            (0, opens_at) => Time(opens_at).plus(ENTRANTS_MS),
            (until, _) => Time(until),
        };
        self.pools.remember_draw(pool, until);
        self.set_pool(pool, &restated.pool);
    }

    pub(super) fn apply_pool_turned(&mut self, turned: &PoolTurned) {
        let Some(pool) = self.pools.pools.find(0, &turned.pool) else { return };
        let entry = self.pools.pools.get(pool);
        let (draws, opens_at) = (entry.seed.is_some(), Time(entry.config.opens_at));
        self.note_opening(pool, turned.opened && draws, opens_at);
        let entry = self.pools.pools.get_mut(pool);
        (entry.opened, entry.closed) = (turned.opened, turned.closed);
        self.pools.touch(pool, turned.version);
        self.set_pool_timer(pool);
        self.note_closing(pool);
    }

    /// Sets the timer for the pool's opening or closing, whichever is to come.
    fn set_pool_timer(&mut self, pool: u32) {
        let pools = &mut self.pools;
        let entry = pools.pools.get_mut(pool);
        let opens = (!entry.opened).then_some(entry.config.opens_at);
        let closes = (!entry.closed).then_some(entry.config.closes_at).filter(|&at| at > 0);
        let at = opens.into_iter().chain(closes).min().map(Time);
        let before = core::mem::replace(&mut entry.turns_at, at.unwrap_or_default());
        let name = Arc::clone(pools.pools.name(pool));
        let mut key = (before, name);
        pools.turning.remove(&key);
        if let Some(at) = at {
            key.0 = at;
            pools.turning.insert(key);
        }
    }

    pub(super) fn apply_pool_deleted(&mut self, deleted: &PoolDeleted) {
        // Numbered as an event, so that a pool made anew under this name begins with a higher version.
        self.pools.next_event = self.pools.next_event.max(deleted.version + 1);
        let Some(pool) = self.pools.pools.find(0, &deleted.pool) else { return };
        self.pools.forget_entrants(pool);
        let entry = self.pools.pools.entry(pool);
        if entry.value.granted() > 0 || entry.value.waiting > 0 {
            // Nobody writes such a record.
            return;
        }
        let turns = (entry.value.turns_at, Arc::clone(&entry.name));
        self.pools.turning.remove(&turns);
        self.pools.unserved.remove(&turns.1);
        self.pools.closing.remove(&turns.1);
        self.pools.remember_draw(pool, Time(0));
        self.pools.touch(pool, deleted.version);
        let Pool { config, .. } = self.pools.pools.remove(pool);
        self.pools.text_bytes -= text_bytes(&turns.1) + config_bytes(&config);
    }

    pub(super) fn apply_granted(&mut self, granted: &Granted) {
        self.bring_in_grant(granted, self.now);
        let deadline = Time(granted.deadline);
        let happened = match GrantState::try_from(granted.state) {
            Ok(GrantState::Taken) => Happened::Taken,
            _ if granted.waiter > 0 => Happened::Offered(deadline),
            _ => Happened::Held(deadline),
        };
        let jobs: Vec<u64> = (granted.job > 0).then_some(granted.job).into_iter().collect();
        let about = About { pool: &granted.pool, grant: granted.grant, units: granted.units };
        self.tell(&granted.holder, granted.event, happened, about, granted.version, granted.waiter, jobs);
    }

    pub(super) fn apply_grant_restated(&mut self, restated: &GrantRestated) {
        let is_new = self.pools.find_grant(restated.grant.grant).is_none();
        self.bring_in_grant(&restated.grant, Time(restated.granted_at));
        if let Some(slot) = self.pools.find_grant(restated.grant.grant).filter(|_| is_new) {
            let Grant { pool, group, .. } = self.pools.grants.get(slot);
            if let Some(group) = group.clone().filter(|_| sabotage::is("quota_not_counted_on_restate")) {
                self.pools.pools.get_mut(*pool).groups.remove(&group);
            }
        }
    }

    /// Adds a grant that is not there; of one that is, only the home changes.
    fn bring_in_grant(&mut self, granted: &Granted, granted_at: Time) {
        let is_latest = granted.grant >= self.pools.next_grant;
        self.pools.next_grant = self.pools.next_grant.max(granted.grant + 1);
        if let Some(slot) = self.pools.find_grant(granted.grant) {
            self.pools.grants.get_mut(slot).home = self.frame;
            return;
        }
        self.pools.rosters_disordered |= !is_latest;
        let pool = self.pool_or_new(&granted.pool);
        let holder = self.holder_or_new(&granted.holder);
        let group = self.pools.group_name(pool, granted.group.as_deref());
        let state = GrantState::try_from(granted.state).unwrap_or(GrantState::Held);
        let units = u64::from(granted.units);
        let pools = &mut self.pools;
        let slot = pools.grants.insert(Grant {
            sequence: granted.grant,
            pool,
            holder,
            units: granted.units,
            group: group.clone(),
            state,
            granted_at,
            deadline: Time(granted.deadline),
            ceiling: Time(granted.ceiling),
            waiter: granted.waiter,
            gives: granted.gives,
            job: granted.job,
            home: self.frame,
        });
        pools.grant_index.insert(granted.grant, slot);
        if granted.gives > 0 {
            pools.promises.insert((granted.gives, Promise::Offer(granted.grant)));
        }
        pools.grant_lists.reach(slot);
        pools.rosters.reach(slot);
        pools.rosters.push_back(pool, slot);
        let entry = pools.pools.get_mut(pool);
        match state {
            GrantState::Held => {
                entry.held += units;
                pools.grant_wheel.insert(&mut pools.grant_lists, slot, granted.deadline);
            }
            GrantState::Taken => entry.taken += units,
        }
        if let Some(group) = group {
            *entry.groups.entry(group).or_default() += units;
        }
        pools.change_holder(holder, |holder| {
            holder.grants.insert(granted.grant);
        });
        let stake = pools.stakes.entry((holder, pool)).or_default();
        stake.units += units;
        let waiter = stake.waiter;
        pools.touch(pool, granted.version);
        if granted.waiter > 0 && pools.waiters.try_get(waiter).is_some_and(|w| w.number == granted.waiter) {
            self.stop_waiting(waiter);
        }
    }

    /// A fact about a pool makes its version, also where what it was about is not known.
    fn touch_named(&mut self, pool: &str, version: u64) {
        if let Some(pool) = self.pools.pools.find(0, pool) {
            self.pools.touch(pool, version);
        }
    }

    pub(super) fn apply_grant_confirmed(&mut self, confirmed: &GrantConfirmed) {
        self.touch_named(&confirmed.pool, confirmed.version);
        if let Some(slot) = self.pools.find_grant(confirmed.grant) {
            let pools = &mut self.pools;
            let grant = pools.grants.get_mut(slot);
            if grant.state == GrantState::Held {
                (grant.state, grant.deadline, grant.ceiling) = (GrantState::Taken, Time(0), Time(0));
                let gives = core::mem::take(&mut grant.gives);
                pools.promises.remove(&(gives, Promise::Offer(confirmed.grant)));
                let grant = pools.grants.get(slot);
                let (pool, units) = (grant.pool, u64::from(grant.units));
                pools.grant_lists.unlink(slot);
                let entry = pools.pools.get_mut(pool);
                entry.held -= units;
                entry.taken += units;
            }
        }
        let about = About { pool: &confirmed.pool, grant: confirmed.grant, units: confirmed.units };
        let (event, version) = (confirmed.event, confirmed.version);
        self.tell(&confirmed.holder, event, Happened::Confirmed, about, version, 0, Vec::new());
    }

    pub(super) fn apply_hold_extended(&mut self, extended: &HoldExtended) {
        let Some(slot) = self.pools.find_grant(extended.grant) else { return };
        let pools = &mut self.pools;
        let grant = pools.grants.get_mut(slot);
        if grant.state == GrantState::Held {
            grant.deadline = Time(extended.deadline);
            pools.grant_lists.unlink(slot);
            pools.grant_wheel.insert(&mut pools.grant_lists, slot, extended.deadline);
        }
    }

    pub(super) fn apply_grant_ended(&mut self, ended: &GrantEnded) {
        self.touch_named(&ended.pool, ended.version);
        self.remove_grant(ended.grant);
        let end = self.remember_end(ended);
        if sabotage::is("fence_reused") && self.pools.next_grant == ended.grant + 1 {
            self.pools.next_grant = ended.grant;
        }
        let about = About { pool: &ended.pool, grant: ended.grant, units: ended.units };
        let (event, version) = (ended.event, ended.version);
        self.tell(&ended.holder, event, Happened::Ended(end), about, version, 0, Vec::new());
    }

    fn remove_grant(&mut self, sequence: u64) {
        let pools = &mut self.pools;
        let Some(slot) = pools.grant_index.remove(&sequence) else { return };
        pools.grant_lists.unlink(slot);
        pools.rosters.unlink(slot);
        let grant = pools.grants.remove(slot);
        let (pool, holder, units) = (grant.pool, grant.holder, u64::from(grant.units));
        pools.promises.remove(&(grant.gives, Promise::Offer(sequence)));
        let entry = pools.pools.get_mut(pool);
        match grant.state {
            GrantState::Held => entry.held -= units,
            GrantState::Taken => entry.taken -= units,
        }
        if let Some(group) = &grant.group
            && let Some(used) = entry.groups.get_mut(group)
        {
            *used -= units;
            if *used == 0 {
                entry.groups.remove(group);
            }
        }
        if let Some(stake) = pools.stakes.get_mut(&(holder, pool)) {
            stake.units -= units;
            if stake.units == 0 && stake.waiter == NONE {
                pools.stakes.remove(&(holder, pool));
            }
        }
        pools.change_holder(holder, |holder| {
            holder.grants.remove(&sequence);
        });
        pools.drop_unused_holder(holder);
    }

    pub(super) fn apply_ended_restated(&mut self, restated: &EndedRestated) {
        self.remember_end(&restated.ended);
    }

    fn remember_end(&mut self, ended: &GrantEnded) -> GrantEnd {
        let end = GrantEnd::try_from(ended.end).unwrap_or(GrantEnd::Released);
        self.pools.next_grant = self.pools.next_grant.max(ended.grant + 1);
        let memory: &mut EndedGrants = &mut self.pools.ended;
        let known = Ended {
            grant: ended.grant,
            pool: ended.pool.as_str().into(),
            holder: ended.holder.as_str().into(),
            units: ended.units,
            end,
            granted_at: Time(ended.granted_at),
            ended_at: Time(ended.ended_at),
            version: ended.version,
            home: self.frame,
        };
        memory.remember(ended.event, known);
        end
    }

    pub(super) fn apply_joined(&mut self, joined: &Joined) {
        self.bring_in_waiter(joined);
        let about = About { pool: &joined.pool, grant: 0, units: joined.units };
        let (event, version) = (joined.event, joined.version);
        self.tell(&joined.holder, event, Happened::Joined, about, version, joined.number, Vec::new());
    }

    /// Adds a holder to a line, or to those who stood in it when the order was drawn.
    pub(super) fn bring_in_waiter(&mut self, joined: &Joined) {
        let pool = self.pool_or_new(&joined.pool);
        let holder = self.holder_or_new(&joined.holder);
        let is_forgotten = self.pools.pools.get(pool).is_forgotten(self.now);
        let drawn = joined.rank < crate::pool::order::AFTER_OPENING && !is_forgotten;
        if joined.left && is_forgotten {
            self.pools.drop_unused_holder(holder);
            return;
        }
        let pools = &mut self.pools;
        let entry = pools.pools.get_mut(pool);
        entry.next_number = entry.next_number.max(joined.number + 1);
        let stands = pools.stakes.get(&(holder, pool)).map_or(NONE, |stake| stake.waiter);
        let known = entry.entrants.get(&joined.number).copied().filter(|_| drawn).unwrap_or(stands);
        if let Some(waiter) = pools.waiters.try_get(known)
            && waiter.number == joined.number
        {
            pools.waiters.get_mut(known).home = self.frame;
            pools.drop_unused_holder(holder);
            return;
        }
        let waiter = Waiter {
            pool,
            holder,
            units: joined.units,
            group: pools.group_name(pool, joined.group.as_deref()),
            rank: joined.rank,
            number: joined.number,
            gives: joined.gives,
            joined_at: Time(joined.joined_at),
            waiting: !joined.left,
            home: self.frame,
        };
        pools.text_bytes += waiter.group.as_deref().map_or(0, text_bytes);
        let index = pools.waiters.insert(waiter);
        pools.holders.get_mut(holder).waiters += 1;
        // Nobody joins a line twice; who stood there twice would be offered units without end.
        if !joined.left && pools.waiters.try_get(stands).is_some() {
            self.stop_waiting(stands);
        }
        // Nor are two at one place: no log says so that was written here.
        if let Some(there) = self.pools.pools.get(pool).at_place_of(self.pools.waiters.get(index))
            && !joined.left
        {
            self.stop_waiting(there);
        }
        let pools = &mut self.pools;
        let entry = pools.pools.get_mut(pool);
        if drawn {
            entry.entrants.insert(joined.number, index);
        }
        if !joined.left {
            entry.enter(pools.waiters.get(index), index);
            if joined.gives > 0 {
                pools.promises.insert((joined.gives, Promise::Place(index)));
            }
            pools.waiting += 1;
            pools.stakes.entry((holder, pool)).or_default().waiter = index;
            pools.change_holder(holder, |holder| holder.waiting += 1);
        }
        pools.touch(pool, joined.version);
        self.note_closing(pool);
    }

    pub(super) fn apply_left_line(&mut self, left: &LeftLine) {
        self.touch_named(&left.pool, left.version);
        let (pool, holder) = (self.pools.pools.find(0, &left.pool), self.pools.holders.find(0, &left.holder));
        if let (Some(pool), Some(holder)) = (pool, holder) {
            let waiter = self.pools.stake(Some(holder), pool).waiter;
            if self.pools.waiters.try_get(waiter).is_some_and(|waiter| waiter.number == left.number) {
                // Before the opening: as if it had never joined. After it: it was in the draw.
                let entry = self.pools.pools.get_mut(pool);
                if !entry.opened && entry.entrants.get(&left.number) == Some(&waiter) {
                    entry.entrants.remove(&left.number);
                }
                self.stop_waiting(waiter);
            }
        }
        let happened = match (left.closed, left.dropped) {
            (true, _) => Happened::LineClosed,
            (false, true) => Happened::DroppedFromLine,
            (false, false) => Happened::Left,
        };
        let about = About { pool: &left.pool, grant: 0, units: 0 };
        self.tell(&left.holder, left.event, happened, about, left.version, left.number, Vec::new());
    }

    /// Takes a holder out of the line. One who stood in it when the order was drawn is still remembered.
    fn stop_waiting(&mut self, index: u32) {
        let pools = &mut self.pools;
        let waiter = pools.waiters.get_mut(index);
        if !core::mem::replace(&mut waiter.waiting, false) {
            return;
        }
        let (pool, holder, number) = (waiter.pool, waiter.holder, waiter.number);
        pools.promises.remove(&(waiter.gives, Promise::Place(index)));
        pools.waiting -= 1;
        pools.change_holder(holder, |holder| holder.waiting -= 1);
        let entry = pools.pools.get_mut(pool);
        entry.leave(pools.waiters.get(index));
        let is_entrant = entry.entrants.get(&number) == Some(&index);
        if let Some(stake) = pools.stakes.get_mut(&(holder, pool)) {
            stake.waiter = NONE;
            if stake.units == 0 {
                pools.stakes.remove(&(holder, pool));
            }
        }
        if !is_entrant {
            pools.remove_waiter(index);
        }
        self.note_closing(pool);
    }

    pub(super) fn apply_pool_refused(&mut self, refused: &PoolRefused) {
        let verb = Verb::try_from(refused.verb).unwrap_or(Verb::None);
        let why = Why::try_from(refused.why).unwrap_or(Why::Unknown);
        let about = About { pool: &refused.pool, grant: 0, units: 0 };
        let (event, happened) = (refused.event, Happened::Refused(verb, why));
        self.tell(&refused.holder, event, happened, about, refused.version, refused.value, Vec::new());
    }

    pub(super) fn apply_jobs_linked(&mut self, linked: &JobsLinked) {
        let happened = if linked.completed { Happened::Completed } else { Happened::Enqueued };
        let about = About { pool: "", grant: 0, units: 0 };
        self.tell(&linked.holder, linked.event, happened, about, 0, 0, linked.jobs.clone());
    }

    pub(super) fn apply_story_restated(&mut self, restated: &StoryRestated) {
        for entry in &restated.entries {
            let holder = self.holder_or_new(&restated.holder);
            self.pools.next_event = self.pools.next_event.max(entry.number + 1);
            let entry = StoryEntry::restated(entry, self.shared_name(&entry.pool));
            self.pools.tell(holder, entry, self.frame);
        }
    }

    /// The pool's own name, if it is there: millions of entries share it.
    fn shared_name(&self, pool: &str) -> Arc<str> {
        match self.pools.pools.find(0, pool) {
            Some(pool) => Arc::clone(self.pools.pools.name(pool)),
            None => pool.into(),
        }
    }

    /// Adds to a holder's story.
    #[expect(clippy::too_many_arguments, reason = "they are the fields of one entry")]
    fn tell(
        &mut self,
        holder: &str,
        number: u64,
        happened: Happened,
        about: About<'_>,
        version: u64,
        value: u64,
        jobs: Vec<u64>,
    ) {
        self.pools.next_event = self.pools.next_event.max(number + 1);
        let holder = self.holder_or_new(holder);
        let pool = self.shared_name(about.pool);
        let entry = StoryEntry {
            number,
            at: self.now,
            happened,
            pool,
            grant: about.grant,
            units: about.units,
            version,
            value,
            jobs,
        };
        self.pools.tell(holder, entry, self.frame);
    }
}

/// What a story's entry is about.
struct About<'a> {
    pool: &'a str,
    grant: u64,
    units: u32,
}
