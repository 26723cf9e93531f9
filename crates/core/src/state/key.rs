//! Ordering keys: jobs of one key run one at a time, in the order they were accepted, retries included.
//!
//! A key's **line** holds its jobs that wait, by rising sequence. Its **active** job is out of the line: it is in the ready
//! list or leased. The key's next job is the first in line, and nothing behind it can pass. So under `block` a job that
//! waits for a retry goes back into the line, where it is first; under `skip` it stays out of the line until its
//! time has come. A dead job of a `park` key keeps everything where it is until someone decides.

use alloc::collections::BTreeSet;

use super::jobs::Slot;
use super::paged::NONE;
use super::{State, Turn};
use crate::record::{Readied, Record};
use crate::view::JobState;

/// An ordering key of a queue, which is its scope in the table.
#[derive(Debug)]
pub(crate) struct Key {
    /// Slot of the job that has the key's turn.
    pub(crate) active: Slot,
    /// The extra that was last put into the middle of the line: putting many back in order starts looking here.
    pub(crate) finger: u32,
    pub(crate) paused: bool,
    /// Sequence of the dead job that parked the key; 0 if it is not parked.
    pub(crate) parked_by: u64,
    /// Jobs that name the key, ended ones included.
    pub(crate) jobs: u64,
    /// Sequences of its dead jobs, so that a redrive brings them back in order.
    pub(crate) dead: BTreeSet<u64>,
}

impl Key {
    pub(crate) const fn new() -> Self {
        Self { active: NONE, finger: NONE, paused: false, parked_by: 0, jobs: 0, dead: BTreeSet::new() }
    }

    /// Whether the first in line may have the turn.
    pub(crate) const fn is_free(&self) -> bool {
        self.active == NONE && !self.paused && self.parked_by == 0
    }
}

impl State {
    /// The ordering key of a job, if it has one.
    pub(super) fn key_of(&self, slot: Slot) -> Option<u32> {
        self.jobs.extra_of(slot).map(|extra| extra.key).filter(|&key| key != NONE)
    }

    /// The first in line of a key.
    fn head_of(&self, key: u32) -> Option<Slot> {
        self.lines.first(key).map(|extra| self.jobs.extra(extra).slot)
    }

    /// Whether `slot`, whose time has come, has its key's turn next.
    pub(super) fn may_take_turn(&self, key: u32, slot: Slot) -> bool {
        self.keys.get(key).is_free()
            && self.head_of(key).is_none_or(|head| {
                head == slot || self.jobs.get(slot).sequence < self.jobs.get(head).sequence
            })
    }

    /// If the key is free, gives its turn to the first in line (unless that one's time has not come).
    pub(super) fn advance_key(&mut self, key: u32, turn: &mut Turn<'_>) {
        if self.keys.try_entry(key).is_none() || !self.keys.get(key).is_free() {
            return;
        }
        let Some(head) = self.head_of(key) else { return };
        if self.jobs.get(head).state == JobState::Ready {
            let order = self.next_order(head);
            self.make_ready(&[(head, order)], turn);
        }
    }

    /// A job that has come back (from a retry under `skip`, or from the dead) goes before those accepted after it: one of
    /// them that has the key's turn but no worker yet steps back into the line.
    pub(super) fn claim_turn(&mut self, key: u32, slot: Slot, turn: &mut Turn<'_>) {
        let active = self.keys.get(key).active;
        if let Some(job) = self.jobs.try_get(active)
            && job.state == JobState::Ready
            && job.sequence > self.jobs.get(slot).sequence
        {
            self.make_ready(&[(active, 0)], turn);
        }
    }

    /// The place behind all of the job's queue and priority.
    pub(super) fn next_order(&self, slot: Slot) -> u64 {
        let job = self.jobs.get(slot);
        self.queues.get(u32::from(job.queue)).next_orders[usize::from(job.priority)]
    }

    /// Writes down that waiting jobs are ready, at these places (0: in no list, as the key is not free).
    pub(super) fn make_ready(&mut self, jobs: &[(Slot, u64)], turn: &mut Turn<'_>) {
        if jobs.is_empty() {
            return;
        }
        let record = Readied {
            jobs: jobs.iter().map(|&(slot, _)| self.jobs.get(slot).sequence.get()).collect(),
            orders: jobs.iter().map(|&(_, order)| order).collect(),
        };
        for &(slot, order) in jobs {
            if order > 0 {
                turn.note_readied(self.jobs.get(slot).queue);
            }
        }
        self.emit(turn, Record::Readied(record));
    }

    /// Puts a job into its key's line, by its sequence.
    pub(super) fn enter_line(&mut self, key: u32, slot: Slot) {
        let node = self.jobs.get(slot).extra;
        if self.lines.is_linked(node) {
            return;
        }
        let sequence = self.jobs.get(slot).sequence;
        let sequence_of = |extra: u32| self.jobs.get(self.jobs.extra(extra).slot).sequence;
        // New jobs are the last; what comes back is mostly the first, or follows what came back before it.
        match self.lines.last(key) {
            Some(last) if sequence_of(last) > sequence && !crate::sabotage::is("key_reordered_on_retry") => {}
            _ => return self.lines.push_back(key, node),
        }
        let finger = self.keys.get(key).finger;
        let mut before = (finger != NONE && sequence_of(finger) < sequence).then_some(finger);
        let mut next = before.map_or_else(|| self.lines.first(key), |place| self.lines.next(place));
        while let Some(place) = next.filter(|&place| sequence_of(place) < sequence) {
            before = Some(place);
            next = self.lines.next(place);
        }
        match before {
            Some(place) => self.lines.insert_after(place, node),
            None => self.lines.push_front(key, node),
        }
        self.keys.get_mut(key).finger = node;
    }

    /// Takes a job out of its key's line, if it is in it.
    pub(super) fn leave_line(&mut self, key: u32, slot: Slot) {
        let node = self.jobs.get(slot).extra;
        if self.keys.get(key).finger == node {
            self.keys.get_mut(key).finger = self.lines.prev(node).unwrap_or(NONE);
        }
        self.lines.unlink(node);
    }

    /// Forgets a key that nothing names and nobody paused.
    pub(super) fn drop_unused_key(&mut self, key: u32) {
        let entry = self.keys.get(key);
        if entry.jobs == 0 && !entry.paused && entry.parked_by == 0 {
            self.keys.remove(key);
        }
    }
}

impl Turn<'_> {
    /// Notes that a queue has a ready job it did not have before.
    pub(super) fn note_readied(&mut self, queue: u16) {
        if !self.readied.contains(&queue) {
            self.readied.push(queue);
        }
    }
}
