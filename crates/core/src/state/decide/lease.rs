//! Lease: hand out what may run, the highest priority first, and within one priority what became ready first.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::super::jobs::Slot;
use super::super::queue::PRIORITIES;
use super::super::{State, Turn};
use crate::command::Lease;
use crate::id::{Time, Token};
use crate::limits;
use crate::outcome::{LeasedJob, LeasedMore};
use crate::record::{Leased, Record};

/// What a lease found in the ready lists.
#[derive(Default)]
struct Picked {
    /// To be handed out, in order.
    slots: Vec<Slot>,
    /// Bytes of their payloads.
    bytes: u64,
    /// Too late to be handed out.
    expired: Vec<Slot>,
}

impl State {
    /// The queues of a lease that may be taken from, each once, the one to start with first: several queues take turns.
    fn open_queues(&self, names: &[String]) -> Vec<u32> {
        let mut queues: Vec<u32> = Vec::with_capacity(names.len());
        for queue in names.iter().filter_map(|name| self.queues.find(0, name)) {
            if !self.queues.get(queue).paused && !queues.contains(&queue) {
                queues.push(queue);
            }
        }
        if queues.len() > 1 {
            // Drawn, not counted: tokens rise by whole batches, which would favour one queue whenever their size and the
            // number of queues have a common factor.
            let draw = self.chance(self.next_token, names.len() as u64);
            let len = queues.len();
            queues.rotate_left((draw % len as u64) as usize);
        }
        queues
    }

    /// Whether a lease of this queue would get something now.
    pub fn can_lease(&self, queue: &str, kinds: &[String]) -> bool {
        let Some(queue) = self.queues.find(0, queue) else { return false };
        let kinds = self.kind_filter(kinds);
        let queue = self.queues.get(queue);
        !queue.paused && queue.lanes.iter().any(|lane| lane.mask != 0 && wanted(kinds.as_deref(), lane.kind))
    }

    /// The kinds asked for, as numbers; none means any.
    fn kind_filter(&self, kinds: &[String]) -> Option<Vec<u16>> {
        (!kinds.is_empty()).then(|| {
            kinds.iter().filter_map(|kind| self.kinds.find(0, kind)).map(|kind| kind as u16).collect()
        })
    }

    pub(super) fn decide_lease(&mut self, lease: &Lease, turn: &mut Turn<'_>) -> Vec<LeasedJob> {
        let queues = self.open_queues(&lease.queues);
        let kinds = self.kind_filter(&lease.kinds);
        let max = (lease.max as usize).min(limits::LEASE_JOBS_MAX);
        let mut picked = Picked::default();
        for priority in 0..PRIORITIES as u8 {
            for &queue in &queues {
                self.pick(queue, priority, kinds.as_deref(), max, &mut picked);
            }
            if picked.slots.len() >= max || picked.bytes >= limits::LEASE_BYTES_MAX {
                break;
            }
        }
        let Picked { slots, expired, .. } = picked;
        for slot in expired {
            self.expire_job(slot, turn);
        }
        self.hand_out(&slots, lease, turn);
        slots.into_iter().map(|slot| self.leased_job(slot)).collect()
    }

    /// Picks the first jobs of one queue and priority. Kinds have lists of their own, merged here by their places.
    ///
    /// A job that has expired unstarted is set apart, though no turn has come round to ending it yet (many expired at
    /// once, or it was given back just now): it is never delivered late.
    fn pick(&self, queue: u32, priority: u8, kinds: Option<&[u16]>, max: usize, picked: &mut Picked) {
        let lanes = self.queues.get(queue).lanes.iter();
        let mut heads: Vec<Slot> = lanes
            .filter(|lane| lane.mask >> priority & 1 == 1 && wanted(kinds, lane.kind))
            .filter_map(|lane| self.job_lists.first(lane.lists + u32::from(priority)))
            .collect();
        let room = |picked: &Picked| {
            picked.slots.len() < max
                && picked.bytes < limits::LEASE_BYTES_MAX
                && picked.expired.len() < limits::EXPIRE_PER_TURN
        };
        while room(picked) && !heads.is_empty() {
            let first = if heads.len() == 1 {
                0
            } else {
                (0..heads.len()).min_by_key(|&i| self.jobs.get(heads[i]).order).unwrap_or(0)
            };
            if self.has_expired(heads[first]) {
                picked.expired.push(heads[first]);
            } else {
                picked.bytes += u64::from(self.jobs.get(heads[first]).len);
                picked.slots.push(heads[first]);
            }
            match self.job_lists.next(heads[first]) {
                Some(next) => heads[first] = next,
                None => {
                    heads.swap_remove(first);
                }
            }
        }
    }

    /// Whether a ready job's time to start is over.
    fn has_expired(&self, slot: Slot) -> bool {
        if crate::sabotage::is("expired_handed_out") {
            return false;
        }
        let unstarted = self.jobs.extra_of(slot).filter(|_| self.jobs.get(slot).attempt == 0);
        unstarted.is_some_and(|extra| extra.expires_at.0 > 0 && extra.expires_at <= self.now)
    }

    /// Writes down who has them now. Jobs of one queue share a record, as queues may differ in their leases.
    fn hand_out(&mut self, slots: &[Slot], lease: &Lease, turn: &mut Turn<'_>) {
        let queue_of = |state: &Self, slot: Slot| u32::from(state.jobs.get(slot).queue);
        let mut rest = slots;
        while let Some(&first) = rest.first() {
            let queue = queue_of(self, first);
            let alike = match lease.lease_ms {
                Some(_) => rest.len(),
                None => rest.iter().take_while(|&&slot| queue_of(self, slot) == queue).count(),
            };
            let lease_ms = lease.lease_ms.unwrap_or(self.queues.get(queue).config.lease_ms);
            let lease_ms = lease_ms.clamp(limits::LEASE_MS_MIN, limits::LEASE_MS_MAX);
            let record = Leased {
                first_token: self.next_token,
                deadline: self.now.plus(lease_ms).0,
                worker: lease.worker.clone(),
                jobs: rest[..alike].iter().map(|&slot| self.jobs.get(slot).sequence.get()).collect(),
            };
            self.emit(turn, Record::Leased(record));
            rest = &rest[alike..];
        }
    }

    /// A leased job as its worker gets it.
    pub(super) fn leased_job(&self, slot: Slot) -> LeasedJob {
        let job = self.jobs.get(slot);
        let extra = self.jobs.extra_of(slot);
        let more = extra.and_then(|extra| {
            let more = LeasedMore {
                ordering_key: self.key_of(slot).map(|key| (**self.keys.name(key)).into()),
                fairness_key: extra.fairness_key.clone(),
                dependency: extra.dependency.clone(),
                progress: extra.progress.clone(),
            };
            (more != LeasedMore::default()).then(|| Box::new(more))
        });
        LeasedJob {
            id: self.id_of(slot),
            token: Token(job.order),
            lease_expires_at: Time(job.time.0),
            queue: self.queues.name(u32::from(job.queue)).clone(),
            kind: self.kinds.name(u32::from(job.kind)).clone(),
            blob: self.jobs.payload(slot),
            enqueued_at: job.enqueued_at,
            attempt: job.attempt,
            max_attempts: self.max_attempts_of(slot),
            priority: job.priority,
            more,
        }
    }

    /// Attempts the job may have in all; a redrive has added to them.
    pub(in super::super) fn max_attempts_of(&self, slot: Slot) -> u16 {
        let forgiven = self.jobs.extra_of(slot).map_or(0, |extra| extra.forgiven);
        (self.retry_of(slot).max_attempts as u16).saturating_add(forgiven)
    }
}

fn wanted(kinds: Option<&[u16]>, kind: u16) -> bool {
    kinds.is_none_or(|kinds| kinds.contains(&kind))
}
