//! Pools, as the twin keeps them: what there is, and what each thing that happens does to it.
//!
//! Nothing is counted ahead: what a pool has granted, who fits, who is first, how many are before somebody, is found out anew
//! from the grants and the line whenever somebody asks. The rules are those of `docs/pools.md`.
//!
//! | file | what it is |
//! |---|---|
//! | `mod` | what is kept, time, lines, and the facts |
//! | `judge` | what an operation will do, or why not; conditions |
//! | `perform` | doing it; pools made, changed and deleted; transactions' part |
//! | `views` | what can be seen, and what an offer's job carries |
//!
//! Of pools that open or close at one moment the first by name is the first. Which of two lines is first when the shard has room for one
//! grant more no rule decides, and it is kept out of the histories.

mod judge;
mod perform;
mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tidegate_core::Time;
use tidegate_core::limits::{ENDED_GRANTS_MS, ENTRANTS_MS, HOLD_MS_MAX, STORY_JOBS_MAX, STORY_MS};
use tidegate_core::pool::view::{Happened, StoryEntry};
use tidegate_core::pool::{GrantEnd, GrantState, PoolConfig};
use tidegate_engine::fingerprint;

use super::Twin;

pub(super) use judge::{Claims, Verdict};
pub(super) use perform::GivenBack;
pub(super) use views::swaps_of;

/// The rank of who joins after the opening, or where nothing is drawn: behind all that are.
const AFTER_ALL: u64 = 1 << 63;

/// A pool.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Pool {
    pub config: PoolConfig,
    pub version: u64,
    pub opened: bool,
    pub closed: bool,
    pub seed: Option<[u8; 32]>,
    pub next_number: u64,
    /// When it opened, if its order was drawn then.
    pub drawn_at: Option<u64>,
}

impl Pool {
    /// It is open and closed as its moments say. If it opens, that was at this moment.
    fn turn(&mut self, now: u64, opening: u64) {
        let was_open = std::mem::replace(&mut self.opened, self.config.opens_at <= now);
        self.closed = self.config.closes_at > 0 && self.config.closes_at <= now;
        self.drawn_at = match (self.opened && self.seed.is_some(), was_open) {
            (false, _) => None,
            (true, false) => Some(opening),
            (true, true) => self.drawn_at,
        };
    }

    /// Whether who took part in its draw is not known any more.
    fn is_forgotten(&self, now: u64) -> bool {
        self.drawn_at.is_some_and(|at| at + ENTRANTS_MS <= now)
    }

    /// When it opens or closes next.
    fn turns_at(&self) -> Option<u64> {
        let opens = (!self.opened).then_some(self.config.opens_at);
        let closes = (!self.closed && self.config.closes_at > 0).then_some(self.config.closes_at);
        opens.into_iter().chain(closes).min()
    }
}

/// A grant that has not ended.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Grant {
    pub pool: String,
    pub holder: String,
    pub units: u32,
    pub group: Option<String>,
    pub state: GrantState,
    pub granted_at: u64,
    pub deadline: u64,
    pub ceiling: u64,
    /// The joining that it is an offer to; 0 if it is none.
    pub waiter: u64,
    pub gives: u64,
    pub job: u64,
}

/// A grant that has ended.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Ended {
    pub grant: u64,
    pub pool: String,
    pub holder: String,
    pub units: u32,
    pub end: GrantEnd,
    pub granted_at: u64,
    pub ended_at: u64,
    pub version: u64,
}

/// A holder in a line, or one who was in it when its order was drawn.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct InLine {
    pub pool: String,
    pub holder: String,
    pub units: u32,
    pub group: Option<String>,
    pub rank: u64,
    pub number: u64,
    pub gives: u64,
    pub joined_at: u64,
    pub waiting: bool,
    /// Whether it is remembered for the draw that it took part in.
    pub entrant: bool,
}

/// See the module.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Pools {
    pub pools: BTreeMap<String, Pool>,
    pub grants: BTreeMap<u64, Grant>,
    /// In the order of their ends.
    pub ended: Vec<Ended>,
    /// In the order of their joining.
    pub line: Vec<InLine>,
    pub stories: BTreeMap<String, Vec<StoryEntry>>,
    last_grant: u64,
    last_event: u64,
}

impl Pools {
    /// Units of a pool that somebody has.
    #[must_use]
    pub fn granted(&self, pool: &str) -> u64 {
        self.grants.values().filter(|grant| grant.pool == pool).map(|grant| u64::from(grant.units)).sum()
    }

    fn free(&self, pool: &str) -> u64 {
        u64::from(self.pools[pool].config.capacity).saturating_sub(self.granted(pool))
    }

    /// Units that a group may have more: none, if it has no quota.
    fn room_of(&self, pool: &str, group: Option<&str>) -> u64 {
        let Some(group) = group else { return u64::MAX };
        let quota = self.pools[pool].config.quotas.iter().find(|quota| quota.group == group);
        quota.map_or(0, |quota| u64::from(quota.units_max).saturating_sub(self.group_has(pool, group)))
    }

    /// Units that a group has.
    fn group_has(&self, pool: &str, group: &str) -> u64 {
        let grants = self.grants.values();
        let of_group = grants.filter(|grant| grant.pool == pool && grant.group.as_deref() == Some(group));
        of_group.map(|grant| u64::from(grant.units)).sum()
    }

    /// Units that a holder has of a pool.
    fn has(&self, holder: &str, pool: &str) -> u64 {
        let of_both = self.grants.values().filter(|grant| grant.pool == pool && grant.holder == holder);
        of_both.map(|grant| u64::from(grant.units)).sum()
    }

    /// Where a holder waits for a pool.
    fn place(&self, holder: &str, pool: &str) -> Option<&InLine> {
        self.waiting(pool).find(|place| place.holder == holder)
    }

    /// Who waits for a pool.
    pub fn waiting<'a>(&'a self, pool: &str) -> impl Iterator<Item = &'a InLine> {
        self.line.iter().filter(move |place| place.pool == pool && place.waiting)
    }

    /// The first in line for whom there are units now.
    fn first_who_fits(&self, pool: &str) -> Option<&InLine> {
        let Pool { opened, closed, .. } = self.pools[pool];
        let free = self.free(pool);
        let fits = |place: &&InLine| {
            let units = u64::from(place.units);
            units <= free && units <= self.room_of(pool, place.group.as_deref())
        };
        let first = self.waiting(pool).filter(fits).min_by_key(|place| (place.rank, place.number));
        first.filter(|_| opened && !closed)
    }

    /// Everybody who has, or waits for, anything.
    #[must_use]
    pub fn having(&self) -> BTreeSet<&str> {
        let grants = self.grants.values().map(|grant| grant.holder.as_str());
        let line = self.line.iter().filter(|place| place.waiting).map(|place| place.holder.as_str());
        grants.chain(line).collect()
    }

    /// Everybody of whom anything is known.
    #[must_use]
    pub fn holders(&self) -> BTreeSet<&str> {
        let grants = self.grants.values().map(|grant| grant.holder.as_str());
        let line = self.line.iter().map(|place| place.holder.as_str());
        grants.chain(line).chain(self.stories.keys().map(String::as_str)).collect()
    }

    /// How a grant ended, while that is remembered.
    fn end_of(&self, grant: u64, now: u64) -> Option<&Ended> {
        self.ended.iter().find(|ended| ended.grant == grant && ended.ended_at + ENDED_GRANTS_MS > now)
    }

    /// The number of the next thing that happens to a holder; versions are below it too.
    const fn next_event(&self) -> u64 {
        self.last_event + 1
    }

    /// The last grant's number.
    #[must_use]
    pub const fn last_grant(&self) -> u64 {
        self.last_grant
    }
}

impl Pools {
    /// About what is alive of pools takes in a log.
    pub(super) fn alive_bytes(&self) -> u64 {
        let stories: usize = self.stories.values().map(Vec::len).sum();
        let kept =
            500 * self.pools.len() + 250 * (self.grants.len() + self.line.len()) + 200 * self.ended.len();
        (kept + 200 * stories) as u64
    }
}

impl Twin {
    /// What time alone brings to pools: they open and close, holds lapse, and lines are served.
    pub(super) fn attend_pools(&mut self) {
        let now = self.now;
        let pools = self.pools.pools.iter();
        let mut turning: Vec<(u64, String)> =
            pools.filter_map(|(name, pool)| Some((pool.turns_at()?, name.clone()))).collect();
        turning.retain(|&(at, _)| at <= now);
        turning.sort();
        for (_, name) in turning {
            let version = self.raise_version(&name);
            let pool = self.pools.pools.get_mut(&name).expect("it turns");
            pool.version = version;
            pool.turn(now, pool.config.opens_at);
            self.serve_line(&name);
        }
        let held = self.pools.grants.iter().filter(|(_, grant)| grant.state == GrantState::Held);
        let mut over: Vec<(u64, u64)> = held.map(|(&sequence, grant)| (grant.deadline, sequence)).collect();
        over.retain(|&(deadline, _)| deadline <= now);
        over.sort_unstable();
        for (_, sequence) in over {
            let Some(grant) = self.pools.grants.get(&sequence) else { continue };
            let end = if grant.waiter == 0 { GrantEnd::Lapsed } else { GrantEnd::OfferLapsed };
            for pool in self.end_grant(sequence, end) {
                self.serve_line(&pool);
            }
        }
        // Those for whom the shard had no room before.
        let pools = self.pools.pools.keys().cloned().collect::<Vec<_>>();
        pools.iter().for_each(|pool| self.serve_line(pool));
        pools.iter().for_each(|pool| self.let_line_go(pool));
    }

    /// What has been remembered for long enough is forgotten.
    pub(super) fn forget_old_pools(&mut self) {
        let now = self.now;
        self.pools.ended.retain(|ended| ended.ended_at + ENDED_GRANTS_MS > now);
        let Pools { grants, stories, .. } = &mut self.pools;
        for story in stories.values_mut() {
            story.retain(|entry| is_told(grants, entry, now));
        }
        self.pools.stories.retain(|_, story| !story.is_empty());
        let over = self.pools.pools.iter().filter(|(_, pool)| pool.is_forgotten(now));
        let over: Vec<String> = over.map(|(name, _)| name.clone()).collect();
        over.iter().for_each(|name| self.forget_entrants(name));
    }

    /// Who took part in a pool's draw is nothing but who waits.
    fn forget_entrants(&mut self, pool: &str) {
        let of_pool = self.pools.line.iter_mut().filter(|place| place.pool == pool);
        of_pool.for_each(|place| place.entrant = false);
        self.pools.line.retain(|place| place.waiting || place.entrant);
    }

    /// When time alone will change something about pools, and what.
    pub(super) fn next_due_of_pools(&self) -> Option<(u64, String)> {
        let pools = self.pools.pools.iter();
        let turns =
            pools.filter_map(|(name, pool)| Some((pool.turns_at()?, format!("the turn of pool {name}"))));
        let held = self.pools.grants.iter().filter(|(_, grant)| grant.state == GrantState::Held);
        let lapses = held.map(|(sequence, grant)| (grant.deadline, format!("the end of hold {sequence}")));
        turns.chain(lapses).min()
    }

    /// Whether by then the moment has come at which two pools open or close.
    #[must_use]
    pub fn pools_turn_together(&self, by: u64) -> bool {
        let mut turns: Vec<u64> = self.pools.pools.values().filter_map(Pool::turns_at).collect();
        turns.retain(|&at| at <= by);
        turns.sort_unstable();
        turns.windows(2).any(|two| two[0] == two[1])
    }

    /// Whether time alone will change nothing about pools any more.
    #[must_use]
    pub fn pools_are_settled(&self) -> bool {
        self.next_due_of_pools().is_none()
    }

    /// Who waits though nothing is in the way.
    #[must_use]
    pub fn waits_for_nothing(&self) -> Option<&InLine> {
        let has_room = self.pools.grants.len() < self.grants_max();
        let mut pools = self.pools.pools.keys().filter(|_| has_room);
        pools.find_map(|pool| self.pools.first_who_fits(pool))
    }

    /// Offers what is free, to one after the other of those in line.
    fn serve_line(&mut self, pool: &str) {
        while let Some(first) = self.pools.first_who_fits(pool).cloned() {
            if self.pools.grants.len() >= self.limits.pools.grants_max as usize {
                return;
            }
            let limit = u64::from(self.pools.pools[pool].config.holder_units_max);
            if limit > 0 && self.pools.has(&first.holder, pool) + u64::from(first.units) > limit {
                self.leave_line(pool, &first.holder, Happened::DroppedFromLine);
            } else {
                self.offer(first);
            }
        }
    }

    /// Lets the line of a pool go that has closed, the first in it first.
    fn let_line_go(&mut self, pool: &str) {
        if !self.pools.pools[pool].closed {
            return;
        }
        let mut line: Vec<(u64, u64, String)> =
            self.pools.waiting(pool).map(|place| (place.rank, place.number, place.holder.clone())).collect();
        line.sort();
        for (_, _, holder) in line {
            self.leave_line(pool, &holder, Happened::LineClosed);
        }
    }

    fn offer(&mut self, first: InLine) {
        let config = self.pools.pools[&first.pool].config.clone();
        let deadline = self.now + config.offer_ms.min(HOLD_MS_MAX);
        let longest = (self.now + config.hold_ms_max.min(HOLD_MS_MAX)).max(deadline);
        let sequence = self.pools.last_grant + 1;
        let job = config.offer_queue.and_then(|queue| self.enqueue_offer(&queue, sequence, &first, deadline));
        // Whoever was told a deadline, or is to give something for it, has until then.
        let is_firm = job.is_some() || first.gives > 0;
        let ceiling = if is_firm { deadline } else { longest };
        let grant = Grant {
            pool: first.pool,
            holder: first.holder,
            units: first.units,
            group: first.group,
            state: GrantState::Held,
            granted_at: self.now,
            deadline,
            ceiling,
            waiter: first.number,
            gives: first.gives,
            job: job.unwrap_or(0),
        };
        self.give(grant);
    }

    // ---- facts ----

    /// A pool's version after one more change.
    fn raise_version(&mut self, pool: &str) -> u64 {
        let version = self.pools.pools[pool].version + 1;
        self.pools.last_event = self.pools.last_event.max(version);
        version
    }

    /// A grant is given, and a place in line with it. Returns its sequence.
    fn give(&mut self, grant: Grant) -> u64 {
        let sequence = self.pools.last_grant + 1;
        self.pools.last_grant = sequence;
        let event = self.pools.next_event();
        let version = self.change(&grant.pool);
        let happened = match grant.state {
            GrantState::Taken => Happened::Taken,
            GrantState::Held if grant.waiter > 0 => Happened::Offered(Time(grant.deadline)),
            GrantState::Held => Happened::Held(Time(grant.deadline)),
        };
        if grant.waiter > 0 {
            self.wait_no_more(&grant.pool, grant.waiter);
        }
        let jobs = if grant.job > 0 { vec![grant.job] } else { Vec::new() };
        self.pools.grants.insert(sequence, grant.clone());
        let about = About { pool: &grant.pool, grant: sequence, units: grant.units };
        self.tell_story(&grant.holder, event, happened, about, version, grant.waiter, jobs);
        sequence
    }

    /// Raises a pool's version and returns it.
    fn change(&mut self, pool: &str) -> u64 {
        let version = self.raise_version(pool);
        self.pools.pools.get_mut(pool).expect("it changes").version = version;
        version
    }

    /// A grant ends, if it has not before, and what it would have been given for. Returns the pools that have more units now.
    fn end_grant(&mut self, sequence: u64, end: GrantEnd) -> Vec<String> {
        let Some(grant) = self.pools.grants.remove(&sequence) else { return Vec::new() };
        let event = self.pools.next_event();
        let version = self.change(&grant.pool);
        self.pools.ended.push(Ended {
            grant: sequence,
            pool: grant.pool.clone(),
            holder: grant.holder.clone(),
            units: grant.units,
            end,
            granted_at: grant.granted_at,
            ended_at: self.now,
            version,
        });
        if self.pools.ended.len() > self.limits.pools.ended_grants_max {
            self.pools.ended.remove(0);
        }
        let about = About { pool: &grant.pool, grant: sequence, units: grant.units };
        self.tell_story(&grant.holder, event, Happened::Ended(end), about, version, 0, Vec::new());
        let mut freed = vec![grant.pool];
        let offer = self.pools.grants.iter().find(|(_, grant)| grant.gives == sequence);
        if let Some((&offer, _)) = offer {
            freed.extend(self.end_grant(offer, GrantEnd::Declined));
        }
        let place = self.pools.line.iter().find(|place| place.waiting && place.gives == sequence);
        if let Some(InLine { pool, holder, .. }) = place.cloned() {
            self.leave_line(&pool, &holder, Happened::DroppedFromLine);
        }
        freed
    }

    fn wait_no_more(&mut self, pool: &str, number: u64) {
        let is_forgotten = self.pools.pools[pool].is_forgotten(self.now);
        for place in self.pools.line.iter_mut().filter(|place| place.pool == pool && place.number == number) {
            place.waiting = false;
            place.entrant &= !is_forgotten;
        }
        self.pools.line.retain(|place| place.waiting || place.entrant);
    }

    /// A holder who waits is taken out of a line. Returns the number of the joining and the pool's version.
    fn leave_line(&mut self, pool: &str, holder: &str, happened: Happened) -> (u64, u64) {
        let number = self.pools.place(holder, pool).expect("it waits").number;
        let event = self.pools.next_event();
        let version = self.change(pool);
        // Who leaves before the opening was not in the draw.
        if !self.pools.pools[pool].opened {
            let mine = |place: &&mut InLine| place.pool == pool && place.number == number;
            self.pools.line.iter_mut().filter(mine).for_each(|place| place.entrant = false);
        }
        self.wait_no_more(pool, number);
        self.tell_story(holder, event, happened, About::of(pool), version, number, Vec::new());
        (number, version)
    }

    /// Adds to a holder's story; the oldest entries go when there are too many. Refusals, and what is told of grants that have
    /// not ended, take no room from the rest.
    #[expect(clippy::too_many_arguments, reason = "they are the fields of one entry")]
    fn tell_story(
        &mut self,
        holder: &str,
        number: u64,
        happened: Happened,
        about: About<'_>,
        version: u64,
        value: u64,
        mut jobs: Vec<u64>,
    ) {
        jobs.truncate(STORY_JOBS_MAX);
        self.pools.last_event = self.pools.last_event.max(number);
        let (at, pool) = (Time(self.now), Arc::from(about.pool));
        let (grant, units) = (about.grant, about.units);
        let entry = StoryEntry { number, at, happened, pool, grant, units, version, value, jobs };
        self.pools.stories.entry(holder.into()).or_default().push(entry);
        let limits = self.limits.pools;
        self.keep_latest(Some(holder), Part::Refused, limits.story_refusals_per_holder);
        self.keep_latest(Some(holder), Part::Living, limits.story_living_per_holder);
        self.keep_latest(Some(holder), Part::Past, limits.story_entries_per_holder);
        self.keep_latest(None, Part::Refused, limits.story_refusals_max);
        self.keep_latest(None, Part::Past, limits.story_entries_max);
    }

    /// Keeps the latest `max` entries of a part of one holder's story, or of all stories.
    fn keep_latest(&mut self, holder: Option<&str>, part: Part, max: usize) {
        let grants = &self.pools.grants;
        let is_of_part = |entry: &StoryEntry| match entry.happened {
            Happened::Refused(..) => part == Part::Refused,
            _ if grants.contains_key(&entry.grant) => part == Part::Living,
            _ => part == Part::Past,
        };
        let stories =
            self.pools.stories.iter().filter(|(name, _)| holder.is_none_or(|holder| holder == *name));
        let of_part = stories.flat_map(|(_, story)| story).filter(|entry| is_of_part(entry));
        let mut numbers: Vec<u64> = of_part.map(|entry| entry.number).collect();
        if numbers.len() <= max {
            return;
        }
        numbers.sort_unstable();
        let gone = numbers[..numbers.len() - max].to_vec();
        for story in self.pools.stories.values_mut() {
            story.retain(|entry| !gone.contains(&entry.number));
        }
        self.pools.stories.retain(|_, story| !story.is_empty());
    }

    /// What the shard draws when an opening is configured: chance, from the log's seed and the last frame's number.
    fn draw_seed(&self) -> [u8; 32] {
        let half = |half: u64| {
            let parts = [self.seed.to_le_bytes(), self.last_frame.to_le_bytes(), half.to_le_bytes()];
            fingerprint(&[&parts[0], &parts[1], &parts[2]])
        };
        let words = [half(0), half(1)].concat();
        let bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
        bytes.try_into().expect("four words are 32 bytes")
    }
}

/// Whether a story still has an entry: for a time, and what it tells of a grant until that ends.
fn is_told(grants: &BTreeMap<u64, Grant>, entry: &StoryEntry, now: u64) -> bool {
    let lives = !matches!(entry.happened, Happened::Refused(..)) && grants.contains_key(&entry.grant);
    lives || entry.at.0 + STORY_MS > now
}

/// The rank that a seed gives a holder: the first eight bytes of SHA-256 over both, without the lowest bit.
fn rank(seed: &[u8; 32], holder: &str) -> u64 {
    let hash = Sha256::digest([seed.as_slice(), holder.as_bytes()].concat());
    hash[..8].iter().fold(0, |word, &byte| word << 8 | u64::from(byte)) >> 1
}

/// What takes no room from each other in stories.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// What is told of grants that have not ended.
    Living,
    /// Whatever else.
    Past,
    Refused,
}

/// What a story's entry is about.
struct About<'a> {
    pool: &'a str,
    grant: u64,
    units: u32,
}

impl<'a> About<'a> {
    const fn of(pool: &'a str) -> Self {
        Self { pool, grant: 0, units: 0 }
    }
}
