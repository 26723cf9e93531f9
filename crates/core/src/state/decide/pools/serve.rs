//! Those in line: what becomes free is offered at once, to the first who fits.
//!
//! An offer is a hold with a deadline, and a job on the pool's offer queue in the same frame. That job is the engine's own word:
//! the queue takes it though it be full, and it expires when the offer does. What is declined or lapses is free again, and goes
//! to the next. A pool of a million units that opens is served over many turns: until all who can be
//! served are, nobody from outside the line gets any.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::super::{MADE, State, Turn};
use super::super::enqueue::Names;
use crate::command::{NewJob, NewJobMore};
use crate::id::{Time, When};
use crate::limits::{EXPIRE_PER_TURN, HOLD_MS_MAX};
use crate::outcome::Item;
use crate::pool::record::{Granted, PoolTurned};
use crate::pool::{GrantEnd, GrantId, GrantState, offer_payload};
use crate::record::Record;

/// The kind of the jobs that tell of offers.
const OFFER: &str = "offer";

impl State {
    /// Pools whose time has come to open or close, holds whose deadline has come, and lines that could not be served at once.
    /// Returns whether more is due.
    pub(in super::super::super) fn attend_pools(&mut self, turn: &mut Turn<'_>) -> bool {
        let mut budget = EXPIRE_PER_TURN;
        self.turn_pools(&mut budget, turn);
        self.lapse_holds(&mut budget, turn);
        while budget > 0
            && self.pools.has_room()
            && let Some(name) = self.pools.unserved.first()
            && let Some(pool) = self.pools.pools.find(0, name)
        {
            self.serve_line(pool, &mut budget, turn);
        }
        budget == 0
    }

    fn turn_pools(&mut self, budget: &mut usize, turn: &mut Turn<'_>) {
        while *budget > 0
            && let Some((_, name)) = self.pools.turning.first().filter(|(at, _)| *at <= self.now)
            && let Some(pool) = self.pools.pools.find(0, name)
        {
            *budget -= 1;
            let entry = self.pools.pools.get(pool);
            let record = PoolTurned {
                pool: String::from(&**name),
                opened: Time(entry.config.opens_at) <= self.now,
                closed: entry.config.closes_at > 0 && Time(entry.config.closes_at) <= self.now,
                version: entry.version + 1,
            };
            self.emit(turn, Record::PoolTurned(record));
            self.serve_line(pool, budget, turn);
        }
    }

    fn lapse_holds(&mut self, budget: &mut usize, turn: &mut Turn<'_>) {
        let due = self.pools.grant_lists.iter(self.pools.grant_wheel.due()).take(*budget);
        let mut due: Vec<(Time, u64)> = due
            .map(|slot| self.pools.grants.get(slot))
            .map(|grant| (grant.deadline, grant.sequence))
            .collect();
        // Of those that lapse at one moment, the older grant is the first to be offered anew, also after a replay.
        due.sort_unstable();
        *budget -= due.len();
        let mut freed = Vec::new();
        for (_, sequence) in due {
            let Some(slot) = self.pools.find_grant(sequence) else { continue };
            let is_offer = self.pools.grants.get(slot).waiter > 0;
            let end = if is_offer { GrantEnd::OfferLapsed } else { GrantEnd::Lapsed };
            self.end_grant(sequence, end, &mut freed, turn);
            for pool in freed.drain(..) {
                self.serve_line(pool, budget, turn);
            }
        }
    }

    /// Offers what is free to those in line, as far as the budget goes; the rest is for the next turns.
    pub(super) fn serve_line(&mut self, pool: u32, budget: &mut usize, turn: &mut Turn<'_>) {
        while let Some(waiter) = self.pools.pools.get(pool).first_who_fits() {
            // No room for another grant in all the shard: the line is served when there is.
            if *budget == 0 || self.pools.grants.len() >= self.limits.pools.grants_max {
                let name = Arc::clone(self.pools.pools.name(pool));
                self.pools.unserved.insert(name);
                return;
            }
            *budget -= 1;
            self.offer(pool, waiter, turn);
        }
        if !self.pools.unserved.is_empty() {
            let name = self.pools.pools.name(pool);
            self.pools.unserved.remove(name);
        }
    }

    fn offer(&mut self, pool: u32, waiter: u32, turn: &mut Turn<'_>) {
        let known = self.pools.waiters.get(waiter);
        let (number, units) = (known.number, known.units);
        let stake = self.pools.stake(Some(known.holder), pool);
        let entry = self.pools.pools.get(pool);
        let limit = u64::from(entry.config.holder_units_max);
        // The limit may have been lowered since it joined.
        if limit > 0 && stake.units + u64::from(units) > limit {
            self.leave(waiter, number, true, turn);
            return;
        }
        let deadline = self.now.plus(entry.config.offer_ms.min(HOLD_MS_MAX));
        let ceiling = self.now.plus(entry.config.hold_ms_max.min(HOLD_MS_MAX)).max(deadline);
        let queue = entry.config.offer_queue.clone();
        let mut granted = Granted {
            pool: String::from(&**self.pools.pools.name(pool)),
            holder: String::from(&**self.pools.holders.name(known.holder)),
            grant: self.pools.next_grant,
            units,
            group: known.group.as_deref().map(Into::into),
            state: GrantState::Held as i32,
            deadline: deadline.0,
            ceiling: ceiling.0,
            waiter: number,
            gives: known.gives,
            job: 0,
            version: 0,
            event: 0,
        };
        granted.job = queue.and_then(|queue| self.enqueue_offer(&queue, &granted, turn)).unwrap_or(0);
        // What was told of an offer stays so: it is not extended beyond its deadline, nor is what it is swapped for.
        if granted.job > 0 || granted.gives > 0 {
            granted.ceiling = granted.deadline;
        }
        granted.version = self.pools.pools.get(pool).version + 1;
        granted.event = self.pools.next_event;
        self.emit(turn, Record::Granted(granted));
    }

    /// Enqueues the job that tells of an offer; none if the shard is full. The offer stands all the same.
    fn enqueue_offer(&mut self, queue: &str, offer: &Granted, turn: &mut Turn<'_>) -> Option<u64> {
        let index = self.queues.find(0, queue);
        let kinds = [String::from(OFFER)];
        let no_room_for_queue = index.is_none() && self.queues.len() as usize >= self.limits.queues_max;
        let no_room_for_kind =
            self.kinds.find(0, OFFER).is_none() && self.kinds.len() as usize >= self.limits.kinds_max;
        if no_room_for_queue || no_room_for_kind {
            return None;
        }
        let grant = GrantId::new(self.shard, offer.grant);
        let text = offer_payload(grant, &offer.pool, &offer.holder, offer.units, Time(offer.deadline));
        let deadline = Time(offer.deadline);
        let more = NewJobMore { expires_at: Some(When::At(deadline)), ..NewJobMore::default() };
        let job = NewJob { more: Some(Box::new(more)), ..NewJob::new(turn.sink.made_len(&text)) };
        let judged = self.judge_own(deadline)?;
        let blob = MADE as usize + turn.made.len();
        turn.made.push(text);
        let mut open = None;
        let item = self.accept(Names { queue, kinds: &kinds }, blob, job, &judged, &mut open, turn);
        self.close_enqueued(open, turn);
        match item {
            Item::Is { id, .. } => Some(id.sequence()),
            _ => None,
        }
    }
}
