//! Callers that wait for something to happen: for jobs to lease, or for a job to end.
//!
//! Promises: their number is bounded; whoever came first is served first; finding who waits for a queue, for
//! a job or for the clock costs no look at the others. Left out: serving them, which is part of a turn.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use tidegate_core::command::{IdempotencyKey, Lease};
use tidegate_core::outcome::Worked;
use tidegate_core::{JobId, Time};

use crate::delivery::Reply;

/// A waiter's place among all that ever waited.
pub(crate) type WaiterId = u64;

/// Someone who waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// When he wants an answer whatever has happened.
    pub(crate) deadline: Time,
    /// Where it goes.
    pub(crate) reply: Reply,
    /// What for.
    pub(crate) waiting: Waiting,
}

/// What someone waits for.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// Jobs to lease.
    Lease(Box<WaitingLease>),
    /// That a lease would find something.
    Watch {
        /// In these queues.
        queues: Vec<String>,
        /// Of these kinds; any if empty.
        kinds: Vec<String>,
    },
    /// The end of a job.
    Job(JobId),
}

/// A lease that has found nothing yet.
#[derive(Debug)]
pub(crate) struct WaitingLease {
    /// What is wished for.
    pub(crate) lease: Lease,
    /// The key under which it is decided.
    pub(crate) key: Option<IdempotencyKey>,
    /// What the same call has settled already, and whether that was a repeated answer.
    pub(crate) settled: Option<(Worked, bool)>,
}

impl Waiting {
    /// Queues and kinds, if it is for jobs to be handed out.
    pub(crate) fn wish(&self) -> Option<(&[String], &[String])> {
        match self {
            Self::Lease(waiting) => Some((&waiting.lease.queues, &waiting.lease.kinds)),
            Self::Watch { queues, kinds } => Some((queues, kinds)),
            Self::Job(_) => None,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Waiters {
    max: usize,
    next: WaiterId,
    all: HashMap<WaiterId, Waiter>,
    by_queue: HashMap<Box<str>, BTreeSet<WaiterId>>,
    by_job: HashMap<JobId, BTreeSet<WaiterId>>,
    deadlines: BTreeSet<(Time, WaiterId)>,
}

impl Waiters {
    /// Nobody, and room for `max`.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            next: 1,
            all: HashMap::new(),
            by_queue: HashMap::new(),
            by_job: HashMap::new(),
            deadlines: BTreeSet::new(),
        }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Adds a waiter; if there is no room, hands it back.
    #[must_use]
    pub(crate) fn add(&mut self, waiter: Waiter) -> Option<Waiter> {
        if self.all.len() >= self.max {
            return Some(waiter);
        }
        let id = self.next;
        self.next += 1;
        self.put_back(id, waiter);
        None
    }

    /// Puts a waiter that was taken out back in his place.
    pub(crate) fn put_back(&mut self, id: WaiterId, waiter: Waiter) {
        self.deadlines.insert((waiter.deadline, id));
        if let Some((queues, _)) = waiter.waiting.wish() {
            for queue in queues {
                match self.by_queue.get_mut(queue.as_str()) {
                    Some(ids) => drop(ids.insert(id)),
                    None => drop(self.by_queue.insert(queue.as_str().into(), BTreeSet::from([id]))),
                }
            }
        } else if let Waiting::Job(job) = waiter.waiting {
            self.by_job.entry(job).or_default().insert(id);
        }
        self.all.insert(id, waiter);
    }

    /// The first waiter for `queue` that came after `behind` (0 for the very first).
    pub(crate) fn next_for_queue(&self, queue: &str, behind: WaiterId) -> Option<(WaiterId, &Waiter)> {
        let ids = self.by_queue.get(queue)?;
        let id = *ids.range((Bound::Excluded(behind), Bound::Unbounded)).next()?;
        Some((id, &self.all[&id]))
    }

    /// A waiter, if he still waits.
    pub(crate) fn get(&self, id: WaiterId) -> Option<&Waiter> {
        self.all.get(&id)
    }

    /// Takes out one waiter for the end of `job`.
    pub(crate) fn take_for_job(&mut self, job: JobId) -> Option<Waiter> {
        let id = *self.by_job.get(&job)?.first()?;
        Some(self.take(id))
    }

    /// Takes out one waiter whose deadline has come.
    pub(crate) fn take_due(&mut self, now: Time) -> Option<Waiter> {
        let &(deadline, id) = self.deadlines.first()?;
        (deadline <= now).then(|| self.take(id))
    }

    /// Takes out any waiter.
    pub(crate) fn take_any(&mut self) -> Option<Waiter> {
        let &(_, id) = self.deadlines.first()?;
        Some(self.take(id))
    }

    /// The first deadline.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// Takes out a waiter.
    pub(crate) fn take(&mut self, id: WaiterId) -> Waiter {
        let waiter = self.all.remove(&id).expect("a waiter that some list names is there");
        self.deadlines.remove(&(waiter.deadline, id));
        if let Some((queues, _)) = waiter.waiting.wish() {
            for queue in queues {
                remove(&mut self.by_queue, queue.as_str(), id);
            }
        } else if let Waiting::Job(job) = waiter.waiting {
            remove(&mut self.by_job, &job, id);
        }
        waiter
    }
}

/// Takes `id` off the list of `name`, and the list away with its last one.
fn remove<K, Q>(lists: &mut HashMap<K, BTreeSet<WaiterId>>, name: &Q, id: WaiterId)
where
    K: std::borrow::Borrow<Q> + Eq + std::hash::Hash,
    Q: Eq + std::hash::Hash + ?Sized,
{
    if let Some(ids) = lists.get_mut(name) {
        ids.remove(&id);
        if ids.is_empty() {
            lists.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(deadline: u64, queues: &[&str]) -> Waiter {
        let lease = Lease { queues: queues.iter().map(|&name| name.into()).collect(), ..Lease::default() };
        Waiter {
            deadline: Time(deadline),
            reply: Reply::new().0,
            waiting: Waiting::Lease(Box::new(WaitingLease { lease, key: None, settled: None })),
        }
    }

    fn ids(waiters: &Waiters, queue: &str) -> Vec<WaiterId> {
        std::iter::successors(waiters.next_for_queue(queue, 0), |&(id, _)| waiters.next_for_queue(queue, id))
            .map(|(id, _)| id)
            .collect()
    }

    #[test]
    fn who_came_first_is_found_first_and_leaves_no_trace() {
        let mut waiters = Waiters::new(10);
        for (deadline, queues) in [(30, &["a", "b"][..]), (10, &["b"]), (20, &["a", "a"])] {
            assert!(waiters.add(lease(deadline, queues)).is_none(), "there is room");
        }
        assert_eq!(ids(&waiters, "a"), [1, 3]);
        assert_eq!(ids(&waiters, "b"), [1, 2]);
        assert_eq!(waiters.next_deadline(), Some(Time(10)));
        assert!(waiters.take_due(Time(9)).is_none());
        assert_eq!(waiters.take_due(Time(25)).expect("one is due").deadline, Time(10));
        assert_eq!(waiters.take_due(Time(25)).expect("another is due").deadline, Time(20));
        waiters.take(1);
        assert!(waiters.by_queue.is_empty() && waiters.deadlines.is_empty() && waiters.len() == 0);
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut waiters = Waiters::new(1);
        assert!(waiters.add(lease(1, &["a"])).is_none(), "there is room");
        let back = waiters.add(lease(2, &["a"])).expect("there is none");
        assert_eq!(back.deadline, Time(2));
    }

    #[test]
    fn everybody_who_waits_for_a_job_is_found() {
        let mut waiters = Waiters::new(10);
        let job = JobId::new(0, 7);
        for deadline in [1, 2] {
            let reply = Reply::new().0;
            let waiter = Waiter { deadline: Time(deadline), reply, waiting: Waiting::Job(job) };
            assert!(waiters.add(waiter).is_none(), "there is room");
        }
        assert!(waiters.take_for_job(JobId::new(0, 8)).is_none());
        assert!(waiters.take_for_job(job).is_some() && waiters.take_for_job(job).is_some());
        assert!(waiters.take_for_job(job).is_none() && waiters.by_job.is_empty());
    }
}
