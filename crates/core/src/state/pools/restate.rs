//! Writing pools, grants, lines and stories anew, for a walk.

use alloc::string::String;
use alloc::vec::Vec;

use super::super::{State, Turn};
use super::{Grant, Pool};
use crate::pool::record::{
    EndedRestated, GrantEnded, GrantRestated, Granted, Joined, PoolConfigured, PoolRestated,
    StoryEntryRestated, StoryRestated,
};
use crate::record::Record;

impl State {
    /// Pools are few, and each is written by every walk: what has changed of them since is in no record of its own.
    pub(in super::super) fn restate_pool(&self, index: u32) -> Option<Record> {
        let entry = self.pools.pools.try_entry(index)?;
        let Pool { config, version, opened, closed, seed, next_number, drawn_until, .. } = &entry.value;
        let restated = PoolRestated {
            pool: PoolConfigured {
                pool: String::from(&*entry.name),
                config: (**config).clone(),
                version: *version,
                opened: *opened,
                closed: *closed,
                seed: seed.map_or_else(Vec::new, |seed| seed.to_vec()),
                new_opening: false,
            },
            next_number: *next_number,
            drawn_until: drawn_until.0,
        };
        Some(Record::PoolRestated(restated))
    }

    pub(in super::super) fn restate_grant(&self, slot: u32, target: u64) -> Option<Record> {
        let grant: &Grant = self.pools.grants.try_get(slot)?;
        if grant.home >= target {
            return None;
        }
        let restated = GrantRestated {
            grant: Granted {
                pool: String::from(&**self.pools.pools.name(grant.pool)),
                holder: String::from(&**self.pools.holders.name(grant.holder)),
                grant: grant.sequence,
                units: grant.units,
                group: grant.group.as_deref().map(Into::into),
                state: grant.state as i32,
                deadline: grant.deadline.0,
                ceiling: grant.ceiling.0,
                waiter: grant.waiter,
                gives: grant.gives,
                job: grant.job,
                version: self.pools.pools.get(grant.pool).version,
                event: 0,
            },
            granted_at: grant.granted_at.0,
        };
        Some(Record::GrantRestated(restated))
    }

    pub(in super::super) fn restate_waiter(&self, index: u32, target: u64) -> Option<Record> {
        let waiter = self.pools.waiters.try_get(index)?;
        if waiter.home >= target || !self.is_shown(waiter) {
            return None;
        }
        let restated = Joined {
            pool: String::from(&**self.pools.pools.name(waiter.pool)),
            holder: String::from(&**self.pools.holders.name(waiter.holder)),
            units: waiter.units,
            group: waiter.group.as_deref().map(Into::into),
            rank: waiter.rank,
            number: match crate::sabotage::is("line_reordered_on_restate") {
                true => (1 << 40) - waiter.number,
                false => waiter.number,
            },
            gives: waiter.gives,
            joined_at: waiter.joined_at.0,
            version: self.pools.pools.get(waiter.pool).version,
            event: 0,
            left: !waiter.waiting,
        };
        Some(Record::WaiterRestated(restated))
    }

    pub(in super::super) fn restate_story(&self, holder: u32, target: u64) -> Option<Record> {
        let entry = self.pools.holders.try_entry(holder)?;
        let old = entry.value.story.ends_first().filter(|known| known.home < target);
        let entries: Vec<StoryEntryRestated> = old.map(|known| (&known.entry).into()).collect();
        (!entries.is_empty())
            .then(|| Record::StoryRestated(StoryRestated { holder: String::from(&*entry.name), entries }))
    }

    /// Restates the memory of ended grants from the event `at` on, about so many bytes; returns where to go on.
    pub(in super::super) fn restate_ended(
        &mut self,
        at: u64,
        target: u64,
        (visits, bytes_max): (usize, usize),
        turn: &mut Turn<'_>,
    ) -> Option<u64> {
        let mut records = Vec::new();
        let (mut next, mut bytes) = (None, 0);
        for (visit, (event, ended)) in self.pools.ended.from(at).enumerate() {
            if visit >= visits || bytes >= bytes_max {
                next = Some(event);
                break;
            }
            if ended.home >= target {
                continue;
            }
            let record = Record::EndedRestated(EndedRestated {
                ended: GrantEnded {
                    pool: String::from(&*ended.pool),
                    holder: String::from(&*ended.holder),
                    grant: ended.grant,
                    units: ended.units,
                    end: ended.end as i32,
                    granted_at: ended.granted_at.0,
                    ended_at: ended.ended_at.0,
                    version: ended.version,
                    event,
                },
            });
            bytes += record.encoded_len();
            records.push(record);
        }
        for record in records {
            self.emit(turn, record);
        }
        next
    }
}
