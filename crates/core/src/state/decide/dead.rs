//! Dead letters: move them back at a rate, or delete them.
//!
//! A redrive is a process: the command starts it, and what is due of it happens in this and later turns. It stops by itself
//! when too many of the moved have died again. Jobs of one ordering key come back in their order.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

use super::super::jobs::Slot;
use super::super::paged::NONE;
use super::super::queue::Redrive;
use super::super::{State, Turn};
use crate::command::{self, DeadFilter};
use crate::id::Time;
use crate::limits;
use crate::outcome::{Outcome, Refusal};
use crate::policy::UniqueUntil;
use crate::record::{EndReason, Forgotten, Record, RedriveEnd, RedriveEnded, RedriveStarted, Redriven};
use crate::view::{JobState, RedriveView};

/// What a dead letter must be to be meant.
struct Wanted<'a> {
    kind: Option<&'a str>,
    cause: Option<u64>,
    reason: Option<EndReason>,
    before: Option<Time>,
}

/// What a step of a redrive moves.
#[derive(Default)]
struct Chosen {
    /// In the order in which they go.
    slots: Vec<Slot>,
    /// The same, to be asked.
    set: HashSet<Slot, FixedState>,
    /// By ordering key: its dead jobs below this sequence have been looked at.
    looked_at: HashMap<u32, u64, FixedState>,
}

impl Chosen {
    fn add(&mut self, slot: Slot) {
        if self.set.insert(slot) {
            self.slots.push(slot);
        }
    }
}

impl State {
    pub(super) fn decide_redrive(&mut self, redrive: command::Redrive, turn: &mut Turn<'_>) -> Outcome {
        let command::Redrive { filter, rate_per_s, stop_after_dead } = redrive;
        let Some(index) = self.queues.find(0, &filter.queue) else {
            return Outcome::Refused(Refusal::QueueNotFound);
        };
        if let Some(old) = self.queues.get(index).redrive.as_deref().filter(|old| old.end.is_none()) {
            let number = old.number;
            self.end_redrive(index, number, RedriveEnd::Superseded, turn);
        }
        let mut ids: Vec<u64> = filter.ids.iter().map(|id| id.sequence()).collect();
        ids.sort_unstable();
        ids.dedup();
        let number = self.next_redrive;
        let started = RedriveStarted {
            queue: filter.queue,
            redrive: number,
            kind: filter.kind,
            cause: filter.cause,
            reason: filter.reason.unwrap_or(EndReason::None) as i32,
            // In the record 0 is any moment; nothing died before the first one.
            before: filter.before.map_or(0, |before| before.0.max(1)),
            ids,
            rate_per_s: rate_per_s.unwrap_or(0).min(limits::REDRIVE_RATE_MAX),
            stop_after_dead,
            started_at: self.now.0,
            until: self.queues.get(index).next_death.saturating_sub(1),
            cursor: 0,
            moved: 0,
            dead_again: 0,
        };
        self.emit(turn, Record::RedriveStarted(started));
        self.step_redrive(index, turn);
        self.redriving(number)
    }

    /// How a redrive goes; a later one of the same queue stands for it.
    pub(super) fn redriving(&self, number: u64) -> Outcome {
        let queues = (0..self.queues.end()).filter_map(|index| self.queues.try_entry(index));
        let found = queues
            .filter_map(|entry| entry.value.redrive.as_deref())
            .filter(|redrive| redrive.number >= number)
            .min_by_key(|redrive| redrive.number);
        found.map_or(Outcome::Done, |redrive| Outcome::Redriving(Box::new(RedriveView::from(redrive))))
    }

    fn end_redrive(&mut self, index: u32, redrive: u64, end: RedriveEnd, turn: &mut Turn<'_>) {
        let queue: String = (**self.queues.name(index)).into();
        self.emit(turn, Record::RedriveEnded(RedriveEnded { queue, redrive, end: end as i32 }));
    }

    /// Moves what is due of the queue's redrive, at most [`limits::REDRIVE_PER_TURN`].
    pub(in super::super) fn step_redrive(&mut self, index: u32, turn: &mut Turn<'_>) {
        let Some(redrive) = self.queues.get(index).redrive.as_deref().filter(|redrive| redrive.end.is_none())
        else {
            return;
        };
        let number = redrive.number;
        if redrive.stop_after_dead > 0 && redrive.dead_again >= u64::from(redrive.stop_after_dead) {
            return self.end_redrive(index, number, RedriveEnd::DeadAgain, turn);
        }
        let due =
            redrive.due(self.now).saturating_sub(redrive.moved).min(limits::REDRIVE_PER_TURN as u64) as usize;
        let (slots, cursor, stayed, done) = if redrive.ids.is_empty() {
            self.next_dead(index, redrive, due)
        } else {
            self.next_named(index, redrive, due)
        };
        if !slots.is_empty() || cursor > redrive.cursor {
            let record = Redriven {
                queue: (**self.queues.name(index)).into(),
                redrive: number,
                jobs: slots.iter().map(|&slot| self.jobs.get(slot).sequence.get()).collect(),
                cursor,
                took_unique: self.takers_of_unique_keys(&slots),
            };
            self.emit(turn, Record::Redriven(record));
            self.promote(&slots, turn);
        }
        if let Some(redrive) = self.queues.get_mut(index).redrive.as_deref_mut() {
            redrive.stayed = stayed;
        }
        if done {
            self.end_redrive(index, number, RedriveEnd::Done, turn);
        }
    }

    /// The next dead letters of a redrive by filter: the jobs, how far it has looked, where to look on, and whether that
    /// was all.
    fn next_dead(
        &self,
        index: u32,
        redrive: &Redrive,
        max: usize,
    ) -> (Vec<Slot>, u64, Option<(Slot, u64)>, bool) {
        let list = self.queues.get(index).dead_list();
        let stayed = redrive.stayed.filter(|&(slot, death)| self.is_dead_of(slot, index, death));
        let mut next = match stayed {
            Some((slot, _)) => self.job_lists.next(slot),
            None => self.job_lists.first(list),
        };
        let mut chosen = Chosen::default();
        let (mut cursor, mut stayed) = (redrive.cursor, stayed);
        let mut visits = 0;
        while let Some(slot) = next {
            let death = self.jobs.get(slot).order;
            if death > redrive.until {
                return (chosen.slots, cursor, stayed, true);
            }
            if chosen.slots.len() >= max || visits >= limits::LIST_VISITS_MAX {
                return (chosen.slots, cursor, stayed, false);
            }
            visits += 1;
            if death > redrive.cursor && self.is_wanted(slot, &Wanted::from(redrive)) {
                if !self.choose_with_elders(slot, redrive, max, &mut chosen) {
                    // Elders have used up what may be moved now; this one is looked at again.
                    return (chosen.slots, cursor, stayed, false);
                }
            } else if !chosen.set.contains(&slot) {
                stayed = Some((slot, death));
            }
            cursor = cursor.max(death);
            next = self.job_lists.next(slot);
        }
        (chosen.slots, cursor, stayed, true)
    }

    /// Those of the jobs that take their unique key again: it is free, and none before them in the list takes it.
    fn takers_of_unique_keys(&self, slots: &[Slot]) -> Vec<u64> {
        let mut taken: HashSet<(u16, &str), FixedState> = HashSet::default();
        let mut takers = Vec::new();
        for &slot in slots {
            let job = self.jobs.get(slot);
            let Some(unique) = self.jobs.extra_of(slot).and_then(|extra| extra.unique.as_deref()) else {
                continue;
            };
            let is_free = self.uniques.find(u32::from(job.queue), &unique.key).is_none();
            if unique.until != UniqueUntil::Duration && is_free && taken.insert((job.queue, &unique.key)) {
                takers.push(job.sequence.get());
            }
        }
        takers
    }

    fn next_named(
        &self,
        index: u32,
        redrive: &Redrive,
        max: usize,
    ) -> (Vec<Slot>, u64, Option<(Slot, u64)>, bool) {
        let rest = redrive.ids.iter().skip(redrive.cursor as usize);
        let looked_at: Vec<u64> = rest.take(max).copied().collect();
        let slots = looked_at
            .iter()
            .filter_map(|&sequence| self.jobs.find(sequence))
            .filter(|&slot| {
                let job = self.jobs.get(slot);
                job.state == JobState::Dead
                    && u32::from(job.queue) == index
                    && self.is_wanted(slot, &Wanted::from(redrive))
            })
            .collect();
        let cursor = redrive.cursor + looked_at.len() as u64;
        (slots, cursor, None, cursor >= redrive.ids.len() as u64)
    }

    fn is_dead_of(&self, slot: Slot, queue: u32, death: u64) -> bool {
        self.jobs.try_get(slot).is_some_and(|job| {
            job.state == JobState::Dead && u32::from(job.queue) == queue && job.order == death
        })
    }

    /// Chooses a dead job, and before it those dead jobs of its ordering key that were accepted earlier and are wanted too,
    /// oldest first; at most `max` in all. Returns whether the job itself is among the chosen.
    fn choose_with_elders(&self, slot: Slot, redrive: &Redrive, max: usize, chosen: &mut Chosen) -> bool {
        if let Some(key) = self.key_of(slot).filter(|_| !crate::sabotage::is("redrive_breaks_order")) {
            let sequence = self.jobs.get(slot).sequence.get();
            let from = chosen.looked_at.get(&key).copied().unwrap_or(0);
            for &elder in self.keys.get(key).dead.range(from.min(sequence)..sequence) {
                if chosen.slots.len() >= max {
                    return false;
                }
                if let Some(elder) = self.jobs.find(elder)
                    && self.jobs.get(elder).order <= redrive.until
                    && self.is_wanted(elder, &Wanted::from(redrive))
                {
                    chosen.add(elder);
                }
                chosen.looked_at.insert(key, elder + 1);
            }
        }
        if chosen.slots.len() >= max {
            return chosen.set.contains(&slot);
        }
        chosen.add(slot);
        true
    }

    fn is_wanted(&self, slot: Slot, wanted: &Wanted<'_>) -> bool {
        let job = self.jobs.get(slot);
        let extra = self.jobs.extra_of(slot);
        let cause = extra.map(|extra| extra.cause).filter(|&cause| cause != NONE);
        wanted.kind.is_none_or(|kind| **self.kinds.name(u32::from(job.kind)) == *kind)
            && wanted
                .cause
                .is_none_or(|wanted| cause.is_some_and(|cause| self.causes.get(cause).id == wanted))
            && wanted.reason.is_none_or(|reason| extra.is_some_and(|extra| extra.reason == reason))
            && wanted.before.is_none_or(|before| job.time < before)
    }

    pub(super) fn decide_delete_dead(&mut self, filter: &DeadFilter, turn: &mut Turn<'_>) -> Outcome {
        let Some(index) = self.queues.find(0, &filter.queue) else {
            return Outcome::Refused(Refusal::QueueNotFound);
        };
        let wanted = Wanted {
            kind: filter.kind.as_deref(),
            cause: filter.cause,
            reason: filter.reason,
            before: filter.before,
        };
        let mut slots: Vec<Slot> = Vec::new();
        let mut more = false;
        if filter.ids.is_empty() {
            for slot in self.job_lists.iter(self.queues.get(index).dead_list()) {
                if slots.len() >= limits::REDRIVE_PER_TURN {
                    more = true;
                    break;
                }
                if self.is_wanted(slot, &wanted) {
                    slots.push(slot);
                }
            }
        } else {
            let named = filter.ids.iter().filter_map(|&id| self.find(id));
            slots.extend(named.filter(|&slot| {
                let job = self.jobs.get(slot);
                job.state == JobState::Dead && u32::from(job.queue) == index && self.is_wanted(slot, &wanted)
            }));
            // By what is in the log: a slot's number is this process's own.
            slots.sort_unstable_by_key(|&slot| self.jobs.get(slot).sequence);
            slots.dedup();
        }
        self.forget(&slots, turn);
        Outcome::Deleted { deleted: slots.len() as u64, more }
    }

    /// Writes down that ended jobs are no longer kept; ordering keys that one of them had parked go on.
    pub(in super::super) fn forget(&mut self, slots: &[Slot], turn: &mut Turn<'_>) {
        if slots.is_empty() {
            return;
        }
        let keys: Vec<u32> = slots.iter().filter_map(|&slot| self.key_of(slot)).collect();
        let jobs = slots.iter().map(|&slot| self.jobs.get(slot).sequence.get()).collect();
        self.emit(turn, Record::Forgotten(Forgotten { jobs }));
        for key in keys {
            self.advance_key(key, turn);
        }
    }
}

impl<'a> From<&'a Redrive> for Wanted<'a> {
    fn from(redrive: &'a Redrive) -> Self {
        Self {
            kind: redrive.kind.as_deref(),
            cause: redrive.cause,
            reason: (redrive.reason != EndReason::None).then_some(redrive.reason),
            before: (redrive.before.0 > 0).then_some(redrive.before),
        }
    }
}

impl From<&Redrive> for RedriveView {
    fn from(redrive: &Redrive) -> Self {
        Self {
            redrive: redrive.number,
            end: redrive.end,
            started_at: redrive.started_at,
            moved: redrive.moved,
            dead_again: redrive.dead_again,
            rate_per_s: redrive.rate_per_s,
            stop_after_dead: redrive.stop_after_dead,
        }
    }
}
