//! A hierarchical timing wheel (Varghese and Lauck) over nodes that live in a [`Lists`].
//!
//! Eight levels of 64 slots cover 2^48 ms. A node's level is the highest six-bit digit in which its time differs
//! from the wheel's; so everything on a lower level comes before everything on a higher one, and setting or
//! clearing a timer is O(1). Clearing is just leaving the list; an emptied slot's bit is dropped when its time comes.
//!
//! Moving the wheel on does bounded work: a slot with a million nodes is spread over many turns.

use super::lists::{ListId, Lists};

const LEVELS: u32 = 8;
const SLOTS: u32 = 64;
/// What a wheel covers, in ms: some 8,900 years.
const END: u64 = 1 << (6 * LEVELS);
/// Lists a wheel needs, from its base on: the slots, then the due ones.
pub(crate) const WHEEL_LISTS: u32 = LEVELS * SLOTS + 1;

/// See the module. Its lists are `base..base + WHEEL_LISTS` of the `Lists` given to each call.
#[derive(Debug)]
pub(crate) struct Wheel {
    base: ListId,
    now: u64,
    occupied: [u64; LEVELS as usize],
}

impl Wheel {
    pub(crate) const fn new(base: ListId) -> Self {
        Self { base, now: 0, occupied: [0; LEVELS as usize] }
    }

    /// The list of nodes whose time has come, earliest first.
    pub(crate) const fn due(&self) -> ListId {
        self.base + LEVELS * SLOTS
    }

    const fn digit(time: u64, level: u32) -> u32 {
        (time >> (6 * level)) as u32 & (SLOTS - 1)
    }

    /// Sets a timer; a time that has come already is due at once.
    pub(crate) fn insert(&mut self, lists: &mut Lists, node: u32, time: u64) {
        if time <= self.now {
            lists.push_back(self.due(), node);
            return;
        }
        // What lies behind the wheel's end waits in its last slot.
        let time = time.min(self.now | (END - 1));
        let level = ((63 - (time ^ self.now).leading_zeros()) / 6).min(LEVELS - 1);
        let slot = Self::digit(time, level);
        self.occupied[level as usize] |= 1 << slot;
        lists.push_back(self.base + level * SLOTS + slot, node);
    }

    /// Moves the wheel on to `to`; what comes due goes to the due list. Moves at most about `budget` nodes between
    /// slots; returns whether it arrived.
    pub(crate) fn advance(
        &mut self,
        lists: &mut Lists,
        to: u64,
        mut budget: usize,
        time_of: impl Fn(u32) -> u64,
    ) -> bool {
        if self.is_idle() {
            self.now = self.now.max(to);
            return true;
        }
        loop {
            // A slot whose span has begun is spread over the levels below before time moves on.
            while let Some(level) = self.begun() {
                let slot = Self::digit(self.now, level);
                let list = self.base + level * SLOTS + slot;
                while let Some(node) = lists.first(list) {
                    if budget == 0 {
                        return false;
                    }
                    budget -= 1;
                    lists.unlink(node);
                    self.insert(lists, node, time_of(node));
                }
                self.occupied[level as usize] &= !(1 << slot);
            }
            match self.next_slot() {
                Some((level, slot, start)) if start <= to => {
                    self.now = start;
                    if level == 0 {
                        self.occupied[0] &= !(1 << slot);
                        lists.append(self.due(), self.base + slot);
                    }
                }
                _ => {
                    self.now = self.now.max(to);
                    return true;
                }
            }
        }
    }

    /// Whether no timer is set: then there is nothing to turn, and a shard that has no pools does not pay for their timers.
    fn is_idle(&self) -> bool {
        self.occupied == [0; LEVELS as usize]
    }

    /// The highest level whose current slot still waits to be spread.
    fn begun(&self) -> Option<u32> {
        (1..LEVELS)
            .rev()
            .find(|&level| self.occupied[level as usize] >> Self::digit(self.now, level) & 1 == 1)
    }

    /// The occupied slot that begins next: its level, number and first moment.
    fn next_slot(&self) -> Option<(u32, u32, u64)> {
        (0..LEVELS).find_map(|level| {
            let digit = Self::digit(self.now, level);
            let later = self.occupied[level as usize] & (u64::MAX << digit) & !(1 << digit);
            if later == 0 {
                return None;
            }
            let slot = later.trailing_zeros();
            let above = 6 * (level + 1);
            let start = (self.now >> above << above) | u64::from(slot) << (6 * level);
            Some((level, slot, start))
        })
    }

    /// The earliest moment at which [`advance`](Self::advance) might have something to do.
    pub(crate) fn next(&self, lists: &Lists) -> Option<u64> {
        if !lists.is_empty(self.due()) {
            return Some(self.now);
        }
        if self.is_idle() {
            return None;
        }
        if self.begun().is_some() {
            return Some(self.now);
        }
        self.next_slot().map(|(_, _, start)| start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    /// Such moments are in logs of earlier versions.
    #[test]
    fn what_lies_behind_the_end_of_the_wheel_waits_and_lets_the_others_pass() {
        for now in [1_700_000_000_000, (1 << 47) + 5] {
            for far in [u64::MAX, 1 << 48, (1 << 48) + now + 70, (1 << 52) + 1] {
                check_far(now, far);
            }
        }
    }

    fn check_far(now: u64, far: u64) {
        let times = [far, now + 50];
        let mut lists = Lists::new(WHEEL_LISTS);
        lists.reach(1);
        let mut wheel = Wheel::new(0);
        assert!(wheel.advance(&mut lists, now, 10, |node| times[node as usize]));
        wheel.insert(&mut lists, 0, times[0]);
        wheel.insert(&mut lists, 1, times[1]);
        assert!(wheel.advance(&mut lists, now + 100, 10, |node| times[node as usize]), "{far}");
        assert_eq!(lists.first(wheel.due()), Some(1));
        lists.unlink(1);
        assert!(wheel.advance(&mut lists, now + (1 << 40), 10, |node| times[node as usize]), "{far}");
        assert!(lists.is_empty(wheel.due()));
        assert!(wheel.next(&lists).is_some(), "it is not forgotten");
    }

    proptest! {
        /// The wheel against a sorted map: the same nodes come due at the same moments, none early, none missed.
        #[test]
        fn the_wheel_agrees_with_a_sorted_map(
            start in 0u64..1 << 40,
            ops in proptest::collection::vec((0u8..4, 0u32..64, 0u64..1 << 34, 0u32..34), 1..300),
            budget in 1usize..20,
        ) {
            let mut lists = Lists::new(WHEEL_LISTS);
            lists.reach(63);
            let mut wheel = Wheel::new(0);
            let mut times = [0u64; 64];
            let mut twin: BTreeMap<u32, u64> = BTreeMap::new();
            let mut now = start;
            while !wheel.advance(&mut lists, now, budget, |_| 0) {}
            for (op, node, span, shift) in ops {
                match op {
                    0 | 1 => {
                        lists.unlink(node);
                        let time = now + (span >> shift);
                        times[node as usize] = time;
                        wheel.insert(&mut lists, node, time);
                        twin.insert(node, time);
                    }
                    2 => { lists.unlink(node); twin.remove(&node); }
                    _ => {
                        now += span >> shift;
                        while !wheel.advance(&mut lists, now, budget, |node| times[node as usize]) {}
                        let mut due = Vec::new();
                        while let Some(node) = lists.pop_front(wheel.due()) { due.push((times[node as usize], node)); }
                        due.sort_unstable();
                        let mut expected: Vec<(u64, u32)> = twin.iter().filter(|&(_, &time)| time <= now).map(|(&node, &time)| (time, node)).collect();
                        expected.sort_unstable();
                        prop_assert_eq!(&due, &expected);
                        twin.retain(|_, time| *time > now);
                        // The promise of `next`: never after the earliest timer.
                        let earliest = twin.values().min().copied();
                        if let Some(earliest) = earliest {
                            prop_assert!(wheel.next(&lists).is_some_and(|next| next <= earliest));
                        }
                    }
                }
            }
        }
    }

    /// A shard sleeps until the next moment: one that is over would wake it for nothing.
    #[test]
    fn a_wheel_with_nothing_to_come_has_no_next_moment() {
        let mut lists = Lists::new(WHEEL_LISTS);
        lists.reach(0);
        let mut wheel = Wheel::new(0);
        for time in [5, 100, 70_000, 1 << 40] {
            wheel.insert(&mut lists, 0, time);
            assert!(wheel.advance(&mut lists, time, 10, |_| time));
            assert_eq!(wheel.next(&lists), Some(time), "it is due");
            assert_eq!(lists.pop_front(wheel.due()), Some(0));
            assert!(wheel.advance(&mut lists, time + 64, 10, |_| time));
            assert_eq!(wheel.next(&lists), None, "{time}");
        }
    }

    #[test]
    fn a_crowded_slot_is_spread_over_many_calls() {
        let mut lists = Lists::new(WHEEL_LISTS);
        let mut wheel = Wheel::new(0);
        for node in 0..1_000 {
            lists.reach(node);
            wheel.insert(&mut lists, node, 1 << 20);
        }
        let mut calls = 1;
        while !wheel.advance(&mut lists, 1 << 20, 100, |_| 1 << 20) {
            calls += 1;
        }
        assert_eq!(lists.iter(wheel.due()).count(), 1_000);
        assert!(calls >= 10, "a budget of 100 takes at least 10 calls for 1000 nodes, took {calls}");
    }
}
