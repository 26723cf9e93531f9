//! The memory of grants that have ended, so that who comes too late hears why.
//!
//! It keeps the latest that ended, a bounded number of them for a bounded time. Which those are follows from the numbers of
//! their ends alone, in whatever order they come in.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use super::text_bytes;
use crate::id::Time;
use crate::limits::ENDED_GRANTS_MS;
use crate::pool::GrantEnd;

#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) grant: u64,
    pub(crate) pool: Arc<str>,
    pub(crate) holder: Arc<str>,
    pub(crate) units: u32,
    pub(crate) end: GrantEnd,
    pub(crate) granted_at: Time,
    pub(crate) ended_at: Time,
    pub(crate) version: u64,
    pub(crate) home: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct EndedGrants {
    max: usize,
    by_event: BTreeMap<u64, Ended>,
    by_grant: BTreeMap<u64, u64>,
    /// Of names.
    pub(crate) text_bytes: u64,
}

impl Ended {
    fn text_bytes(&self) -> u64 {
        text_bytes(&self.pool) + text_bytes(&self.holder)
    }
}

impl EndedGrants {
    pub(crate) const fn new(max: usize) -> Self {
        Self { max, by_event: BTreeMap::new(), by_grant: BTreeMap::new(), text_bytes: 0 }
    }

    /// Remembers an end; one that is remembered already only moves to another home.
    pub(crate) fn remember(&mut self, event: u64, ended: Ended) {
        if let Some(known) = self.by_event.get_mut(&event) {
            known.home = ended.home;
            return;
        }
        self.by_grant.insert(ended.grant, event);
        self.text_bytes += ended.text_bytes();
        self.by_event.insert(event, ended);
        if self.by_event.len() > self.max {
            self.drop_first();
        }
    }

    pub(crate) fn drop_old(&mut self, now: Time, budget: usize) {
        for _ in 0..budget {
            match self.by_event.first_key_value() {
                Some((_, first)) if !is_kept(first, now) => self.drop_first(),
                _ => return,
            }
        }
    }

    fn drop_first(&mut self) {
        if let Some((_, ended)) = self.by_event.pop_first() {
            self.by_grant.remove(&ended.grant);
            self.text_bytes -= ended.text_bytes();
        }
    }

    /// How a grant ended, as long as that is remembered.
    pub(crate) fn find(&self, grant: u64, now: Time) -> Option<&Ended> {
        let ended = self.by_event.get(self.by_grant.get(&grant)?)?;
        is_kept(ended, now).then_some(ended)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_event.len()
    }

    /// All of them, from an event on.
    pub(crate) fn from(&self, event: u64) -> impl Iterator<Item = (u64, &Ended)> {
        self.by_event.range(event..).map(|(&event, ended)| (event, ended))
    }
}

fn is_kept(ended: &Ended, now: Time) -> bool {
    ended.ended_at.plus(ENDED_GRANTS_MS) > now
}
