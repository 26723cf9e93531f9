//! Serving those who wait, in the very turn that brings what they wait for.
//!
//! Promises: whoever came first is served first, in whichever queue the turn has brought something; whoever has
//! gone is passed over; a waiter hears something at his deadline whatever happened. Left out: the lists of waiters (`waiters`).

use std::collections::BTreeSet;
use std::sync::Arc;

use tidegate_core::Time;
use tidegate_core::limits::EXPIRE_PER_TURN;
use tidegate_core::outcome::{Outcome, Worked};

use crate::delivery::Told;
use crate::limits::TURN_BYTES;
use crate::shard::Shard;
use crate::waiters::{Waiter, WaiterId, Waiting};

impl Shard {
    /// Serves everybody for whom this turn has brought something, or whose time is over. Returns whether some
    /// are left for the next turn because this one has done enough.
    pub(crate) fn serve_waiters(&mut self, time: Time) -> bool {
        self.tell_of_ended_jobs();
        if self.serve_queues() {
            return true;
        }
        while let Some(waiter) = self.waiters.take_due(time) {
            self.lapse(waiter);
        }
        // What leasing has ended: jobs that were to be handed out and had expired.
        self.tell_of_ended_jobs();
        false
    }

    /// Hands out what is ready in the queues that have got something, to those who wait for it in the order of their
    /// coming, whichever of these queues they wait for. Returns whether it stopped because the turn has done enough:
    /// the frame is long, or as many expired jobs were ended as one lease may end.
    fn serve_queues(&mut self) -> bool {
        // Whose turn it is next in each of these queues. One queue at a time would not do: who waits for several would
        // be given, by way of the one, what another has waited for longer in the other.
        let mut next: BTreeSet<(WaiterId, u16)> = BTreeSet::new();
        loop {
            while let Some(queue) = self.gathered.readied.pop() {
                next.retain(|&(_, known)| known != queue);
                next.extend(self.next_in(queue, 0));
            }
            let Some((id, queue)) = next.pop_first() else { return false };
            let name = Arc::clone(self.state.queue_name(queue));
            // By way of another queue he may have been served already.
            if let Some(waiter) = self.waiters.get(id) {
                let kinds = waiter.waiting.wish().map_or(&[][..], |(_, kinds)| kinds);
                if waiter.reply.is_gone() {
                    self.waiters.take(id);
                } else if !self.state.can_lease(&name, &[]) {
                    continue;
                } else if self.sink.bytes() > TURN_BYTES {
                    self.gathered.readied.extend(next.iter().map(|&(_, queue)| queue).chain([queue]));
                    return true;
                } else if kinds.is_empty() || self.state.can_lease(&name, kinds) {
                    let waiter = self.waiters.take(id);
                    if let Some(waiter) = self.serve(waiter) {
                        // An expired job has given its ordering key's turn to the next one, which is still his before
                        // anybody's who came later.
                        let more = self.look_again(&waiter.waiting);
                        self.waiters.put_back(id, waiter);
                        if more && self.gathered.ended.len() >= EXPIRE_PER_TURN {
                            self.gathered.readied.extend(next.iter().map(|&(_, queue)| queue).chain([queue]));
                            return true;
                        }
                    }
                }
            }
            next.extend(self.next_in(queue, id));
        }
    }

    /// The first who waits for a queue and came after `behind`.
    fn next_in(&self, queue: u16, behind: WaiterId) -> Option<(WaiterId, u16)> {
        let (id, _) = self.waiters.next_for_queue(self.state.queue_name(queue), behind)?;
        Some((id, queue))
    }

    /// Gives a waiter what has come. Hands him back if that was nothing: all of it had expired.
    fn serve(&mut self, waiter: Waiter) -> Option<Waiter> {
        let Waiter { deadline, reply, waiting } = waiter;
        match waiting {
            Waiting::Lease(waiting) => match self.try_lease(&waiting) {
                Some(decided) => self.answer_lease(decided, waiting.settled, Some(reply)),
                None => return Some(Waiter { deadline, reply, waiting: Waiting::Lease(waiting) }),
            },
            Waiting::Watch { .. } => self.tell(Some(reply), Told::Watched(true)),
            Waiting::Job(id) => self.tell_job(Some(reply), id),
        }
        None
    }

    /// Answers a waiter for whom nothing has come.
    pub(crate) fn lapse(&mut self, waiter: Waiter) {
        let reply = Some(waiter.reply);
        match waiter.waiting {
            Waiting::Lease(waiting) => {
                let (worked, replayed) = waiting.settled.unwrap_or((Worked::default(), false));
                self.answer_outcome(reply, Outcome::Worked(worked), replayed, false, &[]);
            }
            Waiting::Watch { .. } => self.tell(reply, Told::Watched(false)),
            Waiting::Job(id) => self.tell_job(reply, id),
        }
    }

    fn tell_of_ended_jobs(&mut self) {
        let mut ended = std::mem::take(&mut self.gathered.ended);
        for id in ended.drain(..) {
            while let Some(waiter) = self.waiters.take_for_job(id) {
                self.tell_job(Some(waiter.reply), id);
            }
        }
        self.gathered.ended = ended;
    }
}
