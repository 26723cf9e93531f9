//! Judging what is seen of pools: against the twin, and by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_core::State;
use tidegate_core::pool::view::{GrantView, Happened, HolderView, LinePlace, PoolView, StoryEntry, WaitView};
use tidegate_core::pool::{GrantId, GrantState};

use crate::twin::Twin;

/// More than a simulated pool has grants or a line.
const ALL: usize = 1_000;

/// Whether all that can be seen of pools in a state is as the twin says, and sound in itself.
///
/// # Errors
/// The first thing that is not, in words.
pub(crate) fn judge_pools(state: &State, twin: &Twin) -> Result<(), String> {
    let mut pools = state.pools();
    pools.sort_by(|a, b| a.name.cmp(&b.name));
    let holders: BTreeMap<String, HolderView> = twin
        .pools
        .holders()
        .into_iter()
        .filter_map(|holder| Some((holder.to_owned(), state.holder(holder)?)))
        .collect();
    is_sound(state, twin.grants_max(), &pools, &holders)?;
    let expected: Vec<PoolView> = twin.pools.pools.keys().filter_map(|name| twin.pool_view(name)).collect();
    if pools != expected {
        let wrong = pools.iter().zip(&expected).find(|(found, expected)| found != expected);
        return Err(match wrong {
            Some((found, expected)) => format!("a pool\n  found    {found:?}\n  expected {expected:?}"),
            None => format!("there are {} pools and must be {}", pools.len(), expected.len()),
        });
    }
    for holder in twin.pools.holders() {
        let (found, expected) = (holders.get(holder), twin.holder_view(holder));
        if found != expected.as_ref() {
            return Err(format!("the holder {holder}\n  found    {found:?}\n  expected {expected:?}"));
        }
    }
    for ended in &twin.pools.ended {
        let (found, expected) = (state.grant(GrantId::new(0, ended.grant)), twin.grant_view(ended.grant));
        if found != expected {
            return Err(format!("an ended grant\n  found    {found:?}\n  expected {expected:?}"));
        }
    }
    for name in twin.pools.pools.keys() {
        let (found, expected) = (state.grants_of(name, None, 0, ALL), twin.pool_grants(name, None, 0, ALL));
        if found != expected {
            return Err(format!("the grants of {name}\n  found    {found:?}\n  expected {expected:?}"));
        }
        let first = LinePlace::default();
        let (found, expected) = (state.line(name, first, ALL), twin.line(name, first, ALL));
        if found != expected {
            return Err(format!("the line of {name}\n  found    {found:?}\n  expected {expected:?}"));
        }
        let (found, expected) = (state.entrants(name, 0, usize::MAX), twin.entrants(name));
        if found != expected {
            return Err(format!("the draw of {name}\n  found    {found:?}\n  expected {expected:?}"));
        }
    }
    Ok(())
}

/// What holds whatever was asked, from what is seen alone.
fn is_sound(
    state: &State,
    grants_max: usize,
    pools: &[PoolView],
    holders: &BTreeMap<String, HolderView>,
) -> Result<(), String> {
    let grants: Vec<&GrantView> = holders.values().flat_map(|holder| &holder.grants).collect();
    for (index, grant) in grants.iter().enumerate() {
        if grants[..index].iter().any(|other| other.id == grant.id) {
            return Err(format!("the grant {} is two holders'", grant.id));
        }
        if grant.state.is_none() || state.grant(grant.id).as_ref() != Some(*grant) {
            return Err(format!("the grant {} is in no state, or in two: {grant:?}", grant.id));
        }
        if grant.expires_at.is_some_and(|at| at <= state.now()) {
            return Err(format!("the hold {} is over at its deadline, and stands: {grant:?}", grant.id));
        }
    }
    is_promised_once(state, holders)?;
    for pool in pools {
        let (name, capacity) = (&pool.name, u64::from(pool.config.capacity));
        let of = |is: GrantState| {
            let alike = grants.iter().filter(|grant| grant.pool == *name && grant.state == Some(is));
            alike.map(|grant| u64::from(grant.units)).sum::<u64>()
        };
        let (held, taken) = (of(GrantState::Held), of(GrantState::Taken));
        if (pool.held, pool.taken) != (held, taken) {
            return Err(format!("{name} says held and taken are {:?} and {held}, {taken} are", pool));
        }
        if held + taken > capacity {
            return Err(format!("{name} is oversold: {held} held, {taken} taken, of {capacity}"));
        }
        let line: Vec<&WaitView> =
            holders.values().flat_map(|holder| &holder.waiting).filter(|wait| wait.pool == *name).collect();
        lists_agree(state, pool, &grants, &line)?;
        if pool.closed && !line.is_empty() {
            return Err(format!("{name} has closed, and its line waits: {line:?}"));
        }
        let free = capacity - held - taken;
        let used = |group: &Arc<str>| {
            pool.groups.iter().find(|(known, _)| known == group).map_or(0, |(_, units)| *units)
        };
        let fits = |wait: &&WaitView| {
            let room = wait.group.as_ref().is_none_or(|group| {
                let quota = pool.config.quota(group).map_or(0, u64::from);
                used(group) + u64::from(wait.units) <= quota
            });
            room && u64::from(wait.units) <= free
        };
        let has_room = grants.len() < grants_max;
        if let Some(idle) = line.into_iter().find(fits).filter(|_| pool.opened && !pool.closed && has_room) {
            return Err(format!("{free} units of {name} are idle, and this one waits: {idle:?}"));
        }
    }
    Ok(())
}

/// Whether who has units of a pool and who waits for it are those whom their own stories name, in order.
fn lists_agree(
    state: &State,
    pool: &PoolView,
    grants: &[&GrantView],
    line: &[&WaitView],
) -> Result<(), String> {
    let name = &pool.name;
    let mut expected: Vec<GrantId> =
        grants.iter().filter(|grant| grant.pool == *name).map(|grant| grant.id).collect();
    expected.sort_unstable();
    let listed = state.grants_of(name, None, 0, ALL).unwrap_or_default().grants;
    let listed: Vec<GrantId> = listed.iter().map(|grant| grant.id).collect();
    if listed != expected {
        return Err(format!("the grants of {name} are listed as {listed:?} and are {expected:?}"));
    }
    let listed = state.line(name, LinePlace::default(), ALL).unwrap_or_default().line;
    // While it is not drawn nobody's place is said, and they come as they joined.
    let in_order = match pool.opened {
        true => (0..).zip(&listed).all(|(ahead, one)| one.wait.ahead == Some(ahead)),
        false => listed.is_sorted_by_key(|one| one.wait.number),
    };
    let same = listed.len() == line.len() && listed.iter().all(|one| line.contains(&&one.wait));
    if !in_order || !same {
        return Err(format!("the line of {name} is listed as {listed:?} and is {line:?}"));
    }
    Ok(())
}

/// Whatever is to be given up for something else is there, is its own holder's, and is to be given up for one thing only.
fn is_promised_once(state: &State, holders: &BTreeMap<String, HolderView>) -> Result<(), String> {
    let mut promised = Vec::new();
    for (holder, view) in holders {
        let offers = view.grants.iter().filter_map(|grant| grant.gives);
        for gives in offers.chain(view.waiting.iter().filter_map(|wait| wait.gives)) {
            let is_theirs = |grant: &GrantView| grant.state.is_some() && *grant.holder == **holder;
            if !state.grant(gives).as_ref().is_some_and(is_theirs) {
                return Err(format!("{holder} is to give up {gives} and does not have it"));
            }
            if promised.contains(&gives) {
                return Err(format!("{gives} is to be given up for two things"));
            }
            promised.push(gives);
        }
    }
    Ok(())
}

/// What a turn may do to what was there before it: versions and fencing numbers rise, and the first in line is the first to be
/// offered something.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    versions: BTreeMap<Arc<str>, u64>,
    grants: Vec<GrantId>,
    /// Offers that give a grant up once they are confirmed, and what they give.
    gives: Vec<(GrantId, GrantId)>,
    line: Vec<(Arc<str>, WaitView)>,
    /// The highest fencing number that a caller has heard of.
    heard: u64,
}

impl Progress {
    /// A caller has heard of a grant.
    pub(crate) fn hear(&mut self, grant: GrantId) {
        self.heard = self.heard.max(grant.fence());
    }

    /// The state is what some frame left. What callers have heard stands, unless the disk has lost it.
    pub(crate) fn recovered(&mut self, state: &State, twin: &Twin, is_lost: bool) {
        if is_lost {
            self.heard = twin.pools.last_grant();
        }
        self.versions.clear();
        self.look(state, twin);
    }

    fn look(&mut self, state: &State, twin: &Twin) {
        self.grants.clear();
        self.gives.clear();
        self.line.clear();
        for holder in twin.pools.holders() {
            let Some(view) = state.holder(holder) else { continue };
            self.grants.extend(view.grants.iter().map(|grant| grant.id));
            self.gives.extend(view.grants.iter().filter_map(|grant| Some((grant.id, grant.gives?))));
            self.line.extend(view.waiting.into_iter().map(|wait| (Arc::from(holder), wait)));
        }
    }

    /// Looks at what a turn has done.
    ///
    /// # Errors
    /// What it may not do, in words.
    pub(crate) fn step(&mut self, state: &State, twin: &Twin) -> Result<(), String> {
        for pool in state.pools() {
            let before = self.versions.insert(Arc::clone(&pool.name), pool.version);
            if before.is_some_and(|before| before > pool.version) {
                return Err(format!("the version of {} went back from {before:?}", pool.name));
            }
        }
        let (grants, line) = (std::mem::take(&mut self.grants), std::mem::take(&mut self.line));
        self.is_given(state)?;
        let last = grants.iter().map(|grant| grant.fence()).max().unwrap_or(0).max(self.heard);
        self.look(state, twin);
        for &id in self.grants.iter().filter(|id| !grants.contains(id)) {
            if id.fence() <= last {
                return Err(format!("the fencing number of {id} does not rise above {last}"));
            }
            if let Some(grant) = state.grant(id).filter(|grant| grant.offered) {
                self.is_first(state, &grant, &line)?;
            }
        }
        Ok(())
    }

    /// Whether what was confirmed since the last look has cost what it was to cost, each its own: a swap leaves nobody with more
    /// grants than before.
    fn is_given(&self, state: &State) -> Result<(), String> {
        let mut given = Vec::new();
        for &(offer, gives) in &self.gives {
            let is_confirmed = state.grant(offer).is_some_and(|grant| grant.state == Some(GrantState::Taken));
            let is_there = state.grant(gives).is_some_and(|grant| grant.state.is_some());
            if is_confirmed && (is_there || given.contains(&gives)) {
                return Err(format!("{offer} was confirmed, and {gives} was not given up for it"));
            }
            if is_confirmed {
                given.push(gives);
            }
        }
        Ok(())
    }

    /// Whether nobody who wants the same and waits still was before the one who was offered something.
    fn is_first(
        &self,
        state: &State,
        offer: &GrantView,
        before: &[(Arc<str>, WaitView)],
    ) -> Result<(), String> {
        let drawn = state.entrants(&offer.pool, 0, usize::MAX).unwrap_or_default();
        let place = |number: u64| {
            let entrant = drawn.iter().find(|entrant| entrant.number == number);
            (entrant.map_or(u64::MAX, |entrant| entrant.rank), number)
        };
        let of_pool = || before.iter().filter(|(_, wait)| wait.pool == offer.pool);
        // Its story says to which joining it is an offer, unless that was forgotten in the same turn.
        let story = state.holder(&offer.holder).unwrap_or_default().story;
        let is_this = |entry: &&StoryEntry| {
            entry.grant == offer.id.sequence() && matches!(entry.happened, Happened::Offered(_))
        };
        let Some(mine) = story.iter().find(is_this).map(|entry| place(entry.value)) else { return Ok(()) };
        let same = |wait: &WaitView| wait.units == offer.units && wait.group == offer.group;
        let still = |holder: &Arc<str>, number: u64| {
            self.line
                .iter()
                .any(|(other, wait)| other == holder && wait.pool == offer.pool && wait.number == number)
        };
        let mut passed = of_pool().filter(|(holder, wait)| same(wait) && still(holder, wait.number));
        match passed.find(|(_, wait)| place(wait.number) < mine) {
            Some((holder, wait)) => {
                Err(format!("{holder} was before, wants the same and was passed over: {wait:?}\n  {offer:?}"))
            }
            None => Ok(()),
        }
    }
}
