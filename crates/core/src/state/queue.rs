//! A queue as the state keeps it: lanes of ready jobs, lists of ended ones, counts, and the redrive under way.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::jobs::Slot;
use super::lists::{ListId, Lists};
use crate::id::Time;
use crate::limits::PRIORITY_MAX;
use crate::policy::QueueConfig;
use crate::record::{EndReason, RedriveEnd};
use crate::view::Counts;

/// Priorities there are.
pub(crate) const PRIORITIES: usize = PRIORITY_MAX as usize + 1;
/// Places in a ready list count from here, so that there is room to put a job back in front.
pub(crate) const FIRST_ORDER: u64 = 1 << 32;
/// A queue keeps at most so many empty lanes.
const SPARE_LANES: usize = 16;

/// The ready jobs of one kind: a list for each priority. Workers may ask for certain kinds only, and a kind that nobody
/// asks for must not stand in the way of the others.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) kind: u16,
    /// Priorities with jobs, a bit each.
    pub(crate) mask: u16,
    /// List of priority 0; the others follow.
    pub(crate) lists: ListId,
}

#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) config: QueueConfig,
    pub(crate) paused: bool,
    pub(crate) counts: Counts,
    pub(crate) lanes: Vec<Lane>,
    /// Next place in the ready list, by priority; shared by the lanes, so that kinds keep their order among each other.
    pub(crate) next_orders: [u64; PRIORITIES],
    pub(crate) next_death: u64,
    /// Ended jobs, oldest first: completed, cancelled and dead, three lists from here.
    pub(crate) ended: ListId,
    /// When the queue wants attention (retention, redrive); 0 if its timer is not set.
    pub(crate) attend_at: Time,
    pub(crate) arrived: u64,
    pub(crate) completed: u64,
    pub(crate) keys_paused: u64,
    pub(crate) keys_parked: u64,
    pub(crate) redrive: Option<Box<Redrive>>,
}

/// Moving dead letters back: the order, and how far it is.
#[derive(Clone, Debug)]
pub(crate) struct Redrive {
    pub(crate) number: u64,
    pub(crate) kind: Option<Box<str>>,
    pub(crate) cause: Option<u64>,
    pub(crate) reason: EndReason,
    pub(crate) before: Time,
    /// Sequences, sorted; empty means any.
    pub(crate) ids: Vec<u64>,
    pub(crate) rate_per_s: u32,
    pub(crate) stop_after_dead: u32,
    pub(crate) started_at: Time,
    /// Dead letters up to this death number are meant.
    pub(crate) until: u64,
    /// Those up to this one have been looked at. With `ids`: how many of them.
    pub(crate) cursor: u64,
    /// The last one looked at that stayed: looking goes on behind it. A hint; it may be gone.
    pub(crate) stayed: Option<(Slot, u64)>,
    pub(crate) moved: u64,
    pub(crate) dead_again: u64,
    pub(crate) end: Option<RedriveEnd>,
}

impl Redrive {
    /// How many may have been moved by `now`.
    pub(crate) fn due(&self, now: Time) -> u64 {
        if self.rate_per_s == 0 {
            return u64::MAX;
        }
        let since = u128::from(now.since(self.started_at));
        (since * u128::from(self.rate_per_s) / 1_000) as u64 + 1
    }

    /// When the next may be moved.
    pub(crate) fn next_at(&self) -> Time {
        match self.rate_per_s {
            0 => self.started_at,
            rate => self.started_at.plus((u128::from(self.moved) * 1_000).div_ceil(u128::from(rate)) as u64),
        }
    }
}

impl Queue {
    pub(crate) fn new(config: QueueConfig, lists: &mut Lists) -> Self {
        Self {
            config,
            paused: false,
            counts: Counts::default(),
            lanes: Vec::new(),
            next_orders: [FIRST_ORDER; PRIORITIES],
            next_death: 1,
            ended: lists.add(3),
            attend_at: Time(0),
            arrived: 0,
            completed: 0,
            keys_paused: 0,
            keys_parked: 0,
            redrive: None,
        }
    }

    pub(crate) const fn completed_list(&self) -> ListId {
        self.ended
    }

    pub(crate) const fn cancelled_list(&self) -> ListId {
        self.ended + 1
    }

    pub(crate) const fn dead_list(&self) -> ListId {
        self.ended + 2
    }

    /// The lane of `kind`, made if it is missing. `free` are the lists of lanes that were given back.
    pub(crate) fn lane(&mut self, kind: u16, lists: &mut Lists, free: &mut Vec<ListId>) -> &mut Lane {
        let index = self.lanes.iter().position(|lane| lane.kind == kind).unwrap_or_else(|| {
            let block = free.pop().unwrap_or_else(|| lists.add(PRIORITIES as u32));
            self.lanes.push(Lane { kind, mask: 0, lists: block });
            self.lanes.len() - 1
        });
        &mut self.lanes[index]
    }

    /// Notes that a job left the ready lists of `kind` and `priority`; lanes that stay empty are given back.
    pub(crate) fn left_lane(&mut self, kind: u16, priority: u8, lists: &Lists, free: &mut Vec<ListId>) {
        let Some(index) = self.lanes.iter().position(|lane| lane.kind == kind) else { return };
        let lane = &mut self.lanes[index];
        if lists.is_empty(lane.lists + u32::from(priority)) {
            lane.mask &= !(1 << priority);
        }
        if lane.mask == 0 && self.lanes.len() > SPARE_LANES {
            free.push(self.lanes.swap_remove(index).lists);
        }
    }

    /// Priorities with ready jobs of any kind, a bit each.
    pub(crate) fn mask(&self) -> u16 {
        self.lanes.iter().fold(0, |mask, lane| mask | lane.mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kinds come and go: a lane is kept as long as it has jobs, and a few are kept without.
    #[test]
    fn lanes_without_jobs_are_given_back_but_for_a_few() {
        let (mut lists, mut free) = (Lists::new(0), Vec::new());
        let mut queue = Queue::new(QueueConfig::DEFAULT, &mut lists);
        let kinds = SPARE_LANES as u16 + 4;
        for kind in 0..kinds {
            let lane = queue.lane(kind, &mut lists, &mut free);
            lane.mask |= 1 << 5;
            let list = lane.lists + 5;
            lists.reach(u32::from(kind));
            lists.push_back(list, u32::from(kind));
        }
        queue.left_lane(3, 4, &lists, &mut free);
        queue.left_lane(3, 5, &lists, &mut free);
        assert_eq!((queue.lanes.len(), queue.mask()), (kinds as usize, 1 << 5), "there is a job in each");
        for kind in 0..kinds {
            lists.unlink(u32::from(kind));
            queue.left_lane(kind, 5, &lists, &mut free);
        }
        assert_eq!((queue.lanes.len(), queue.mask(), free.len()), (SPARE_LANES, 0, 4));
        let blocks = lists.count();
        queue.lane(99, &mut lists, &mut free);
        assert_eq!((lists.count(), free.len()), (blocks, 3), "what was given back is used again");
    }
}
