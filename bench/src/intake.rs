//! The producers' side of a measurement: which numbers may be sent now, and how many were acknowledged.
//!
//! All producers of one run share an [`Intake`]. It ends by time, by count, or both; it may go by a clock (an open
//! loop, where a slow server meets the next job all the same); it may hold producers back while too much is unfinished.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tokio::sync::{Notify, futures::Notified};

use crate::floor::Floor;

/// What a producer is told.
pub(crate) enum Take {
    /// Send these.
    Go(Range<u64>),
    /// Nothing now; [`Intake::changed`] says when to ask again.
    Wait,
    /// Nothing any more.
    End,
}

/// See the module.
pub(crate) struct Intake {
    first: u64,
    budget: u64,
    deadline: Option<Instant>,
    /// Numbers given out, counted from `first`.
    given: AtomicU64,
    acknowledged: AtomicU64,
    /// Numbers that the clock has made due; all of them, if there is no clock.
    due: AtomicU64,
    /// The workers whose completions let producers go on, and how many jobs may be unfinished.
    held_back: Option<(Arc<Floor>, u64)>,
    closed: AtomicBool,
    changed: Notify,
}

impl Intake {
    /// Numbers from `first` on, at most `budget` of them, and none after the deadline.
    pub(crate) fn new(first: u64, budget: u64, deadline: Option<Instant>) -> Intake {
        Intake {
            first,
            budget,
            deadline,
            given: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            due: AtomicU64::new(u64::MAX),
            held_back: None,
            closed: AtomicBool::new(false),
            changed: Notify::new(),
        }
    }

    /// Producers pause while more than so many jobs are not completed.
    pub(crate) fn held_back_by(mut self, floor: Arc<Floor>, unfinished_max: u64) -> Intake {
        self.held_back = Some((floor, unfinished_max));
        self
    }

    /// Nothing is due before [`pace`](Self::pace) says so.
    pub(crate) fn by_clock(self) -> Intake {
        self.due.store(0, SeqCst);
        self
    }

    /// Numbers to send in one call.
    pub(crate) fn take(&self, count: usize) -> Take {
        if self.closed.load(SeqCst) || self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Take::End;
        }
        if let Some((floor, unfinished_max)) = &self.held_back
            && self.given.load(SeqCst).saturating_sub(floor.completed()) > *unfinished_max
        {
            return Take::Wait;
        }
        let due = self.due.load(SeqCst).min(self.budget);
        let more = |given: u64| (given < due).then(|| (given + count as u64).min(due));
        match self.given.fetch_update(SeqCst, SeqCst, more) {
            Ok(given) => {
                let end = (given + count as u64).min(due);
                Take::Go(self.first + given..self.first + end)
            }
            Err(given) if given >= self.budget => Take::End,
            Err(_) => Take::Wait,
        }
    }

    /// Register for the next change before asking; what happens in between is then not missed.
    pub(crate) fn changed(&self) -> Notified<'_> {
        match &self.held_back {
            Some((floor, _)) => floor.changed(),
            None => self.changed.notified(),
        }
    }

    /// These many were acknowledged.
    pub(crate) fn acknowledge(&self, count: u64) {
        self.acknowledged.fetch_add(count, SeqCst);
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(SeqCst)
    }

    pub(crate) fn given(&self) -> u64 {
        self.given.load(SeqCst)
    }

    /// Ends it early.
    pub(crate) fn close(&self) {
        self.closed.store(true, SeqCst);
        self.changed.notify_waiters();
    }

    /// Makes numbers due, one every so often; `sent` hears of each before it may go. Runs on a thread of its own,
    /// because the runtime's timers count whole milliseconds. Times run from when a job was due, not from when it
    /// could be sent.
    pub(crate) fn pace(&self, every: Duration, sent: impl Fn(u64, Instant)) {
        let start = Instant::now();
        for index in 0..self.budget {
            let due = start + every * index as u32;
            if let Some(early) = due.checked_duration_since(Instant::now()) {
                std::thread::sleep(early);
            }
            if self.closed.load(SeqCst) {
                return;
            }
            sent(self.first + index, due);
            self.due.store(index + 1, SeqCst);
            self.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn go(take: Take) -> Option<Range<u64>> {
        match take {
            Take::Go(numbers) => Some(numbers),
            Take::Wait | Take::End => None,
        }
    }

    #[test]
    fn numbers_are_given_once_and_end_with_the_budget() {
        let intake = Intake::new(50, 250, None);
        assert_eq!(go(intake.take(100)), Some(50..150));
        assert_eq!(go(intake.take(100)), Some(150..250));
        assert_eq!(go(intake.take(100)), Some(250..300), "the last call is shorter");
        assert!(matches!(intake.take(100), Take::End));
    }

    #[test]
    fn after_the_deadline_nothing_is_given() {
        assert!(matches!(Intake::new(0, 10, Some(Instant::now())).take(1), Take::End));
    }

    #[test]
    fn what_is_not_due_waits() {
        let intake = Intake::new(0, 2, None).by_clock();
        assert!(matches!(intake.take(1), Take::Wait));
        intake.pace(Duration::ZERO, |_, _| ());
        assert_eq!(go(intake.take(1)), Some(0..1));
    }

    #[test]
    fn producers_wait_for_workers_when_too_much_is_unfinished() {
        let floor = Floor::new(1_000, 0);
        let intake = Intake::new(0, 1_000, None).held_back_by(Arc::clone(&floor), 100);
        assert_eq!(go(intake.take(101)), Some(0..101));
        assert!(matches!(intake.take(1), Take::Wait));
        floor.complete(1);
        assert_eq!(go(intake.take(1)), Some(101..102));
    }
}
