//! Serving those who wait, in the very turn that brings what they wait for.
//!
//! Promises: whoever came first is served first; whoever has gone is passed over; a waiter hears something at
//! his deadline whatever happened. Left out: the lists of waiters (`waiters`).

use std::sync::Arc;

use tidegate_core::Time;
use tidegate_core::limits::EXPIRE_PER_TURN;
use tidegate_core::outcome::{Outcome, Worked};

use crate::delivery::Told;
use crate::limits::TURN_BYTES;
use crate::shard::Shard;
use crate::waiters::{Waiter, Waiting};

impl Shard {
    /// Serves everybody for whom this turn has brought something, or whose time is over. Returns whether some
    /// are left for the next turn because this one has done enough.
    pub(crate) fn serve_waiters(&mut self, time: Time) -> bool {
        self.tell_of_ended_jobs();
        while let Some(queue) = self.gathered.readied.pop() {
            let name = Arc::clone(self.state.queue_name(queue));
            if self.serve_queue(&name) {
                self.gathered.readied.push(queue);
                return true;
            }
        }
        while let Some(waiter) = self.waiters.take_due(time) {
            self.lapse(waiter);
        }
        // What leasing has ended: jobs that were to be handed out and had expired.
        self.tell_of_ended_jobs();
        false
    }

    /// Hands out what is ready in one queue. Returns whether it stopped because the turn has done enough: the
    /// frame is long, or as many expired jobs were ended as one lease may end.
    fn serve_queue(&mut self, queue: &str) -> bool {
        let mut behind = 0;
        while let Some((id, waiter)) = self.waiters.next_for_queue(queue, behind) {
            behind = id;
            let kinds = waiter.waiting.wish().map_or(&[][..], |(_, kinds)| kinds);
            if waiter.reply.is_gone() {
                self.waiters.take(id);
            } else if !self.state.can_lease(queue, &[]) {
                return false;
            } else if self.sink.bytes() > TURN_BYTES {
                return true;
            } else if kinds.is_empty() || self.state.can_lease(queue, kinds) {
                let waiter = self.waiters.take(id);
                if let Some(waiter) = self.serve(waiter) {
                    let more = self.look_again(&waiter.waiting);
                    self.waiters.put_back(id, waiter);
                    if more && self.gathered.ended.len() >= EXPIRE_PER_TURN {
                        return true;
                    }
                    if more {
                        // An expired job has given its ordering key's turn to the next one, which is still his before
                        // anybody else's.
                        behind = id - 1;
                    }
                }
            }
        }
        false
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
                self.answer_outcome(reply, Outcome::Worked(worked), replayed, false);
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
