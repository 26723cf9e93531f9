//! What can be seen of pools, and what the job of an offer carries.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tidegate_core::command::{NewJob, Operation};
use tidegate_core::outcome::Item;
use tidegate_core::pool::command::PoolOperation;
use tidegate_core::pool::view::{
    self, Entrant, GrantPage, GrantView, HolderView, LinePage, LinePlace, PoolItem, PoolView, WaitView,
};
use tidegate_core::pool::{GrantId, GrantState};
use tidegate_core::{JobId, Time};
use tidegate_engine::Envelope;

use super::super::Twin;
use super::{AFTER_ALL, InLine, is_told};
use crate::call::Call;
use crate::pools::call::{PoolCall, PoolReply};

impl Twin {
    /// What a read is told.
    pub(in super::super) fn read_pools(&self, ask: &PoolCall) -> PoolReply {
        match ask {
            PoolCall::Pool { name } => PoolReply::Pool(self.pool_view(name)),
            PoolCall::Grant { id } => PoolReply::Grant(self.grant_view(id.sequence())),
            PoolCall::Holder { name } => PoolReply::Holder(self.holder_view(name)),
            PoolCall::Entrants { pool, from, limit } => {
                let entrants = self.entrants(pool);
                PoolReply::Entrants(entrants.map(|entrants| {
                    entrants.into_iter().filter(|entrant| entrant.number >= *from).take(*limit).collect()
                }))
            }
            PoolCall::Grants { pool, state, from, limit } => {
                PoolReply::Grants(self.pool_grants(pool, *state, *from, *limit))
            }
            PoolCall::Line { pool, from, limit } => PoolReply::Line(self.line(pool, *from, *limit)),
            PoolCall::Configure { .. }
            | PoolCall::Resize { .. }
            | PoolCall::Delete { .. }
            | PoolCall::Operations(_) => unreachable!("it is a read"),
        }
    }

    /// A pool as anybody sees it.
    #[must_use]
    pub fn pool_view(&self, name: &str) -> Option<PoolView> {
        let pool = self.pools.pools.get(name)?;
        let of = |state: GrantState| {
            let grants = self.pools.grants.values();
            let alike = grants.filter(|grant| grant.pool == name && grant.state == state);
            alike.map(|grant| u64::from(grant.units)).sum()
        };
        let mut groups: Vec<(Arc<str>, u64)> = Vec::new();
        for grant in self.pools.grants.values().filter(|grant| grant.pool == name) {
            let Some(group) = &grant.group else { continue };
            match groups.iter_mut().find(|(known, _)| **known == **group) {
                Some((_, units)) => *units += u64::from(grant.units),
                None => groups.push((group.as_str().into(), u64::from(grant.units))),
            }
        }
        groups.sort();
        Some(PoolView {
            name: name.into(),
            config: Arc::new(pool.config.clone()),
            version: pool.version,
            held: of(GrantState::Held),
            taken: of(GrantState::Taken),
            waiting: self.pools.waiting(name).count() as u32,
            opened: pool.opened,
            closed: pool.closed,
            groups,
            commitment: pool.seed.map(|seed| Sha256::digest(seed).into()),
            seed: pool.seed.filter(|_| pool.opened),
        })
    }

    /// A grant as anybody sees it.
    #[must_use]
    pub fn grant_view(&self, sequence: u64) -> Option<GrantView> {
        let id = GrantId::new(0, sequence);
        if let Some(grant) = self.pools.grants.get(&sequence) {
            let held = |at: u64| (grant.state == GrantState::Held).then_some(Time(at));
            return Some(GrantView {
                id,
                pool: grant.pool.as_str().into(),
                holder: grant.holder.as_str().into(),
                units: grant.units,
                group: grant.group.as_deref().map(Into::into),
                state: Some(grant.state),
                end: None,
                offered: grant.waiter > 0,
                granted_at: Time(grant.granted_at),
                expires_at: held(grant.deadline),
                extendable_until: held(grant.ceiling),
                gives: (grant.gives > 0).then(|| GrantId::new(0, grant.gives)),
                offer_job: (grant.job > 0).then(|| JobId::new(0, grant.job)),
            });
        }
        self.pools.end_of(sequence, self.now).map(|ended| GrantView {
            id,
            pool: ended.pool.as_str().into(),
            holder: ended.holder.as_str().into(),
            units: ended.units,
            group: None,
            state: None,
            end: Some(ended.end),
            offered: false,
            granted_at: Time(ended.granted_at),
            expires_at: None,
            extendable_until: None,
            gives: None,
            offer_job: None,
        })
    }

    /// A page of who has units of a pool.
    #[must_use]
    pub fn pool_grants(
        &self,
        pool: &str,
        state: Option<GrantState>,
        from: u64,
        limit: usize,
    ) -> Option<GrantPage> {
        self.pools.pools.get(pool)?;
        let mut page = GrantPage::default();
        for (&sequence, grant) in self.pools.grants.range(from..).filter(|(_, grant)| grant.pool == pool) {
            if page.grants.len() == limit {
                page.next = Some(sequence);
                break;
            }
            page.grants
                .extend(self.grant_view(sequence).filter(|_| state.is_none_or(|state| state == grant.state)));
        }
        Some(page)
    }

    /// A page of who waits for a pool: in order, or, while nobody is to know it, as they joined.
    #[must_use]
    pub fn line(&self, pool: &str, from: LinePlace, limit: usize) -> Option<LinePage> {
        let opened = self.pools.pools.get(pool)?.opened;
        let known = |rank: u64| if opened { rank } else { 0 };
        let place = |place: &InLine| LinePlace { rank: known(place.rank), number: place.number };
        let from = LinePlace { rank: known(from.rank), ..from };
        let mut line: Vec<&InLine> =
            self.pools.waiting(pool).filter(|waiting| place(waiting) >= from).collect();
        line.sort_by_key(|waiting| place(waiting));
        let next = line.get(limit).map(|next| place(next));
        let in_line = |waiting: &InLine| view::InLine {
            holder: waiting.holder.as_str().into(),
            wait: self.wait_view(waiting),
        };
        Some(LinePage { line: line.into_iter().take(limit).map(in_line).collect(), next })
    }

    fn wait_view(&self, place: &InLine) -> WaitView {
        WaitView {
            pool: place.pool.as_str().into(),
            units: place.units,
            group: place.group.as_deref().map(Into::into),
            number: place.number,
            ahead: self.ahead_of(place),
            joined_at: Time(place.joined_at),
            gives: (place.gives > 0).then(|| GrantId::new(0, place.gives)),
        }
    }

    /// The grants that items are about; of a swap that waits, the one that would be given.
    pub(in super::super) fn grants_of(&self, items: &[Item]) -> Vec<Option<GrantView>> {
        let grant = |(place, item): (usize, &Item)| match item {
            Item::Pool(PoolItem::Grant { id, .. } | PoolItem::Ended { id, .. }) => {
                self.grant_view(id.sequence())
            }
            Item::Pool(PoolItem::Waits { .. }) => self
                .swaps
                .iter()
                .find(|(swap, _)| *swap == place)
                .and_then(|&(_, give)| self.grant_view(give)),
            _ => None,
        };
        items.iter().enumerate().map(grant).collect()
    }

    /// One holder's whole story.
    #[must_use]
    pub fn holder_view(&self, name: &str) -> Option<HolderView> {
        if !self.pools.holders().contains(name) {
            return None;
        }
        let mine = self.pools.grants.iter().filter(|(_, grant)| grant.holder == name);
        let places = self.pools.line.iter().filter(|place| place.holder == name && place.waiting);
        let mut waiting: Vec<WaitView> = places.map(|place| self.wait_view(place)).collect();
        waiting.sort_by(|a, b| a.pool.cmp(&b.pool));
        let story = self.pools.stories.get(name).into_iter().flatten();
        Some(HolderView {
            grants: mine.filter_map(|(&sequence, _)| self.grant_view(sequence)).collect(),
            waiting,
            next: None,
            story: story.filter(|entry| is_told(&self.pools.grants, entry, self.now)).cloned().collect(),
        })
    }

    /// How many are before one who waits; nobody knows before the order is drawn.
    pub(super) fn ahead_of(&self, place: &InLine) -> Option<u32> {
        if place.rank < AFTER_ALL && !self.pools.pools[&place.pool].opened {
            return None;
        }
        let at = (place.rank, place.number);
        let before = self.pools.waiting(&place.pool).filter(|other| (other.rank, other.number) < at);
        Some(before.count() as u32)
    }

    /// Those who took part in a draw, once it is shown.
    #[must_use]
    pub fn entrants(&self, pool: &str) -> Option<Vec<Entrant>> {
        let known = self.pools.pools.get(pool)?;
        let opened = known.opened && !known.is_forgotten(self.now);
        let of_pool = self.pools.line.iter().filter(|place| place.pool == pool && place.entrant && opened);
        let mut entrants: Vec<Entrant> = of_pool
            .map(|place| Entrant {
                holder: place.holder.as_str().into(),
                number: place.number,
                rank: place.rank,
                waiting: place.waiting,
            })
            .collect();
        entrants.sort_by_key(|entrant| entrant.number);
        Some(entrants)
    }

    /// Enqueues the job that tells of an offer, if there is room for it.
    pub(super) fn enqueue_offer(
        &mut self,
        queue: &str,
        sequence: u64,
        first: &InLine,
        deadline: u64,
    ) -> Option<u64> {
        let kinds = self.kinds();
        if (!self.queues.contains_key(queue) && self.queues.len() >= self.limits.queues_max)
            || (!kinds.contains("offer") && kinds.len() >= self.limits.kinds_max)
        {
            return None;
        }
        let job = NewJob::new(0);
        let judged = self.judge_own(deadline)?;
        let InLine { pool, holder, units, .. } = first;
        // Names of this world need no escapes.
        let text = format!(
            "{{\"grant\":\"0-{sequence}\",\"fence\":{sequence},\"units\":{units},\"pool\":\"{pool}\",\
             \"holder\":\"{holder}\",\"expires_at\":\"{}\"}}",
            date(deadline)
        );
        match self.accept(queue, "offer", &job, &Envelope::json(text), &judged) {
            Item::Is { id, .. } => Some(id.sequence()),
            _ => None,
        }
    }
}

/// Which operations of a call are swaps, and what they would give.
pub(in super::super) fn swaps_of<'a>(call: &'a Call) -> Vec<(usize, u64)> {
    let operations: Vec<Option<&PoolOperation>> = match call {
        Call::Pools { ask: PoolCall::Operations(operations), .. } => operations.iter().map(Some).collect(),
        Call::Transact { ask, .. } => {
            let of_pool = |operation: &'a Operation| match operation {
                Operation::Pool(operation) => Some(operation),
                Operation::Enqueue(_) | Operation::Complete(_) => None,
            };
            ask.command.operations.iter().map(of_pool).collect()
        }
        _ => Vec::new(),
    };
    let swap = |(place, operation): (usize, Option<&PoolOperation>)| match operation {
        Some(PoolOperation::Swap(swap)) => Some((place, swap.give.sequence())),
        _ => None,
    };
    operations.into_iter().enumerate().filter_map(swap).collect()
}

/// A moment as people read it, counted year by year and month by month.
fn date(ms: u64) -> String {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut days, mut year, mut month) = (ms / 86_400_000, 1970, 0);
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    let (hour, minute, second) = (ms / 3_600_000 % 24, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", month + 1, days + 1, ms % 1_000)
}
