//! The memory of draws: who joined before an opening that draws the order, so that anybody can draw it again.
//!
//! Those who wait still are in line like others. Those who do not are known for this memory alone, which lasts
//! [`ENTRANTS_MS`](crate::limits::ENTRANTS_MS) from the opening on, or until the pool gets another one.

use alloc::sync::Arc;

use super::{Pool, Pools};
use crate::id::Time;

impl Pool {
    /// Whether it is too late to draw again.
    pub(crate) fn is_forgotten(&self, now: Time) -> bool {
        self.drawn_until.0 > 0 && self.drawn_until <= now
    }
}

impl Pools {
    /// Sets until when a pool's draw is remembered; 0 for one that has not been, or is not to be, drawn.
    pub(crate) fn remember_draw(&mut self, pool: u32, until: Time) {
        let name = Arc::clone(self.pools.name(pool));
        let before = core::mem::replace(&mut self.pools.get_mut(pool).drawn_until, until);
        if before == until {
            return;
        }
        let mut key = (before, name);
        self.drawn.remove(&key);
        if until.0 > 0 {
            key.0 = until;
            self.drawn.insert(key);
        }
    }

    /// Forgets draws whose time is over, a bounded number of entrants at a time.
    pub(super) fn drop_old_draws(&mut self, now: Time, budget: usize) {
        let mut left = budget;
        while left > 0
            && let Some((_, name)) = self.drawn.first().filter(|(until, _)| *until <= now)
        {
            let Some(pool) = self.pools.find(0, name) else {
                self.drawn.pop_first();
                continue;
            };
            let Some((_, waiter)) = self.pools.get_mut(pool).entrants.pop_first() else {
                self.drawn.pop_first();
                continue;
            };
            left -= 1;
            if !self.waiters.get(waiter).waiting {
                self.remove_waiter(waiter);
            }
        }
    }

    /// Forgets those who wait no more: they are not remembered beyond the opening that they came for.
    pub(crate) fn forget_entrants(&mut self, pool: u32) {
        let entrants = core::mem::take(&mut self.pools.get_mut(pool).entrants);
        for waiter in entrants.into_values() {
            if !self.waiters.get(waiter).waiting {
                self.remove_waiter(waiter);
            }
        }
    }

    /// Forgets one who waits no more.
    pub(crate) fn remove_waiter(&mut self, waiter: u32) {
        let waiter = self.waiters.remove(waiter);
        self.text_bytes -= waiter.group.as_deref().map_or(0, super::text_bytes);
        self.holders.get_mut(waiter.holder).waiters -= 1;
        self.drop_unused_holder(waiter.holder);
    }
}
