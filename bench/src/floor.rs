//! The workers' side of a measurement: what was delivered, what was completed, and whether anything came twice.
//!
//! Every delivered number is crossed off in a bitmap, so a job that comes a second time, or that nobody sent, shows.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use tokio::sync::{Notify, futures::Notified};

use crate::jobs::{MARKED_FIRST, number_on, numbers_within};

/// See the module.
pub(crate) struct Floor {
    seen: Vec<AtomicU64>,
    numbers: u64,
    start: Instant,
    /// When each marked job was due, in nanoseconds after `start`.
    due_ns: Vec<AtomicU64>,
    marked_seen: Mutex<Marked>,
    /// Whether the next delivery is to be the last, and when it was.
    stop_at_next: AtomicBool,
    stopped_by: Mutex<Option<Instant>>,
    delivered: AtomicU64,
    completed: AtomicU64,
    twice: AtomicU64,
    unknown: AtomicU64,
    stopping: AtomicBool,
    changed: Notify,
}

struct Marked {
    seen: Vec<bool>,
    count: usize,
    delivery_us: Histogram<u64>,
}

impl Floor {
    /// For ordinary jobs with numbers below `numbers`, and so many marked ones.
    pub(crate) fn new(numbers: u64, marked: usize) -> Arc<Floor> {
        let delivery_us = Histogram::new_with_bounds(1, 120_000_000, 3).expect("the bounds are sound");
        Arc::new(Floor {
            seen: (0..numbers.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            numbers,
            start: Instant::now(),
            due_ns: (0..marked).map(|_| AtomicU64::new(0)).collect(),
            marked_seen: Mutex::new(Marked { seen: vec![false; marked], count: 0, delivery_us }),
            stop_at_next: AtomicBool::new(false),
            stopped_by: Mutex::new(None),
            delivered: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            twice: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            changed: Notify::new(),
        })
    }

    /// One payload arrived.
    pub(crate) fn deliver(&self, payload: &[u8]) {
        match number_on(payload) {
            Some(number) => self.deliver_number(number),
            None => {
                self.unknown.fetch_add(1, SeqCst);
            }
        }
    }

    /// These bytes arrived, with payloads somewhere in them; how many.
    pub(crate) fn deliver_all_within(&self, bytes: &[u8]) -> usize {
        numbers_within(bytes).map(|number| self.deliver_number(number)).count()
    }

    fn deliver_number(&self, number: u64) {
        self.delivered.fetch_add(1, SeqCst);
        let now = Instant::now();
        if self.stop_at_next.swap(false, SeqCst) {
            *self.stopped_by.lock().expect("nobody panics while counting") = Some(now);
            self.stop();
        }
        if number >= MARKED_FIRST {
            return self.deliver_marked((number - MARKED_FIRST) as usize, now);
        }
        if number >= self.numbers {
            self.unknown.fetch_add(1, SeqCst);
            return;
        }
        let bit = 1 << (number % 64);
        if self.seen[(number / 64) as usize].fetch_or(bit, SeqCst) & bit != 0 {
            self.twice.fetch_add(1, SeqCst);
        }
    }

    fn deliver_marked(&self, index: usize, now: Instant) {
        let Some(due_ns) = self.due_ns.get(index) else {
            self.unknown.fetch_add(1, SeqCst);
            return;
        };
        let due = self.start + Duration::from_nanos(due_ns.load(SeqCst));
        let mut marked = self.marked_seen.lock().expect("nobody panics while counting");
        if std::mem::replace(&mut marked.seen[index], true) {
            self.twice.fetch_add(1, SeqCst);
            return;
        }
        marked.count += 1;
        let us = u64::try_from(now.saturating_duration_since(due).as_micros()).unwrap_or(u64::MAX);
        marked.delivery_us.saturating_record(us.max(1));
        if marked.count == marked.seen.len() {
            self.changed.notify_waiters();
        }
    }

    /// A marked job is due now.
    pub(crate) fn due(&self, number: u64, at: Instant) {
        let ns = at.saturating_duration_since(self.start).as_nanos() as u64;
        self.due_ns[(number - MARKED_FIRST) as usize].store(ns, SeqCst);
    }

    /// So many completions were acknowledged, or, where a system answers none, sent.
    pub(crate) fn complete(&self, count: u64) {
        self.completed.fetch_add(count, SeqCst);
        self.changed.notify_waiters();
    }

    pub(crate) fn completed(&self) -> u64 {
        self.completed.load(SeqCst)
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(SeqCst)
    }

    /// Workers may begin, and are to stop when one job has arrived.
    pub(crate) fn stop_at_next(&self) {
        *self.stopped_by.lock().expect("nobody panics while counting") = None;
        self.stop_at_next.store(true, SeqCst);
        self.stopping.store(false, SeqCst);
    }

    /// When the delivery arrived that workers were to stop at.
    pub(crate) fn stopped_by(&self) -> Option<Instant> {
        *self.stopped_by.lock().expect("nobody panics while counting")
    }

    /// Workers may begin again.
    pub(crate) fn go_on(&self) {
        self.stopping.store(false, SeqCst);
    }

    /// Whether workers are to finish what they have and go.
    pub(crate) fn stopping(&self) -> bool {
        self.stopping.load(SeqCst)
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, SeqCst);
        self.changed.notify_waiters();
    }

    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Waits until every marked job has arrived, at most so long; how many have.
    pub(crate) async fn all_marked(&self, patience: Duration) -> usize {
        let all = async {
            loop {
                let changed = self.changed();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if self.marked() == self.due_ns.len() {
                    return;
                }
                changed.await;
            }
        };
        // Not all having arrived shows in the count.
        let _ = tokio::time::timeout(patience, all).await;
        self.marked()
    }

    fn marked(&self) -> usize {
        self.marked_seen.lock().expect("nobody panics while counting").count
    }

    /// Microseconds from due to delivered at this percentile of the marked jobs.
    pub(crate) fn delivery_us(&self, percentile: f64) -> u64 {
        let marked = self.marked_seen.lock().expect("nobody panics while counting");
        marked.delivery_us.value_at_percentile(percentile)
    }

    /// What must not be: jobs that came twice, or that nobody sent.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let (twice, unknown) = (self.twice.load(SeqCst), self.unknown.load(SeqCst));
        if twice > 0 {
            faults.push(format!("{twice} jobs were delivered twice"));
        }
        if unknown > 0 {
            faults.push(format!("{unknown} jobs were delivered that nobody sent"));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::Payload;

    #[test]
    fn a_job_that_comes_twice_or_from_nowhere_is_a_fault() {
        let floor = Floor::new(100, 1);
        let mut payload = Payload::new();
        floor.deliver(payload.of(5));
        floor.deliver(payload.of(MARKED_FIRST));
        assert!(floor.faults().is_empty());
        floor.deliver(payload.of(5));
        floor.deliver(payload.of(MARKED_FIRST));
        assert_eq!(floor.faults(), ["2 jobs were delivered twice"]);
        floor.deliver(payload.of(100));
        floor.deliver(payload.of(MARKED_FIRST + 1));
        floor.deliver(b"something else");
        assert_eq!(floor.faults()[1], "3 jobs were delivered that nobody sent");
    }

    #[test]
    fn a_marked_job_is_timed_from_when_it_was_due() {
        let floor = Floor::new(0, 1);
        floor.due(MARKED_FIRST, floor.start);
        let mut payload = Payload::new();
        let number = number_on(payload.of(MARKED_FIRST)).expect("a number");
        floor.deliver_marked((number - MARKED_FIRST) as usize, floor.start + Duration::from_millis(20));
        let p50 = floor.delivery_us(50.0);
        assert!((20_000..20_100).contains(&p50), "{p50}");
    }
}
