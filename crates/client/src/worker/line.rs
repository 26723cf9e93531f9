//! Which job starts when: slots, jobs that were leased ahead, and batches that fill.
//!
//! This too is bookkeeping without a clock or a task. It promises that no more handlers run at once than there are
//! slots, that what came first starts first, that a batch starts when it is full or its linger is over, and that no
//! more jobs are asked for than slots, prefetch and one filling batch have room for. A batch that runs takes one slot,
//! however many jobs it has.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// What starts as one handler.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unit<J> {
    One(J),
    /// Jobs of the batch with this number.
    Batch(usize, Vec<J>),
}

/// When a batch starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchRule {
    pub(crate) up_to: usize,
    pub(crate) linger: Duration,
}

struct Filling<J> {
    rule: BatchRule,
    jobs: Vec<J>,
    /// When it starts even if it is not full; set by its first job.
    due: Option<Instant>,
}

/// See the file's head.
pub(crate) struct Line<J> {
    slots: usize,
    /// Jobs that may wait for a slot.
    ahead: usize,
    running: usize,
    /// Jobs that wait, in units or in filling batches.
    waiting: usize,
    /// With the moment since when each could have started.
    ready: VecDeque<(Instant, Unit<J>)>,
    filling: Vec<Filling<J>>,
}

impl<J> Line<J> {
    pub(crate) fn new(slots: usize, prefetch: usize, batches: &[BatchRule]) -> Line<J> {
        let batch = batches.iter().map(|rule| rule.up_to - 1).max().unwrap_or(0);
        let filling = |rule: &BatchRule| Filling { rule: *rule, jobs: Vec::new(), due: None };
        Line {
            slots,
            ahead: prefetch + batch,
            running: 0,
            waiting: 0,
            ready: VecDeque::new(),
            filling: batches.iter().map(filling).collect(),
        }
    }

    /// How many more jobs may come.
    pub(crate) fn room(&self) -> usize {
        (self.slots + self.ahead).saturating_sub(self.running + self.waiting)
    }

    /// Handlers that run.
    pub(crate) fn running(&self) -> usize {
        self.running
    }

    /// True when nothing runs and nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.running == 0 && self.waiting == 0
    }

    /// A job came; if it is for a batch, for the one with this number.
    pub(crate) fn arrived(&mut self, now: Instant, job: J, batch: Option<usize>) {
        self.waiting += 1;
        let Some(number) = batch else {
            self.ready.push_back((now, Unit::One(job)));
            return;
        };
        let filling = &mut self.filling[number];
        filling.jobs.push(job);
        filling.due.get_or_insert(now + filling.rule.linger);
        if filling.jobs.len() >= filling.rule.up_to {
            let batch = filling.take(number);
            self.ready.push_back((now, batch));
        }
    }

    /// What is to start now, if there is a free slot; it runs until [`ended`](Self::ended).
    pub(crate) fn next(&mut self, now: Instant) -> Option<Unit<J>> {
        if self.running >= self.slots {
            return None;
        }
        let ripe =
            self.filling.iter().enumerate().filter_map(|(number, filling)| Some((filling.due?, number)));
        let ripe = ripe.min().filter(|(due, _)| *due <= now);
        let unit = match (self.ready.front(), ripe) {
            (Some((since, _)), Some((due, number))) if due < *since => self.filling[number].take(number),
            (None, Some((_, number))) => self.filling[number].take(number),
            _ => self.ready.pop_front()?.1,
        };
        self.waiting -= unit.len();
        self.running += 1;
        Some(unit)
    }

    /// A handler has ended.
    pub(crate) fn ended(&mut self) {
        self.running -= 1;
    }

    /// When a filling batch starts as it is. A batch that waits for a slot only is not told: a handler's end says when.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let due = self.filling.iter().filter_map(|filling| filling.due).min();
        due.filter(|_| self.running < self.slots)
    }

    /// Takes out everything that has not started.
    pub(crate) fn drain(&mut self) -> Vec<J> {
        self.waiting = 0;
        let ready = std::mem::take(&mut self.ready).into_iter().map(|(_, unit)| unit);
        let filling = self.filling.iter_mut().enumerate().map(|(number, filling)| filling.take(number));
        ready.chain(filling).flat_map(Unit::into_jobs).collect()
    }
}

impl<J> Filling<J> {
    fn take(&mut self, number: usize) -> Unit<J> {
        self.due = None;
        Unit::Batch(number, std::mem::take(&mut self.jobs))
    }
}

impl<J> Unit<J> {
    fn len(&self) -> usize {
        match self {
            Unit::One(_) => 1,
            Unit::Batch(_, jobs) => jobs.len(),
        }
    }

    pub(crate) fn into_jobs(self) -> Vec<J> {
        match self {
            Unit::One(job) => vec![job],
            Unit::Batch(_, jobs) => jobs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line with its clock, in seconds. Jobs are numbers; those from 100 on are for batch 0, from 200 on for batch 1.
    struct Scene {
        line: Line<u32>,
        start: Instant,
        now: Instant,
    }

    impl Scene {
        fn new(slots: usize, prefetch: usize, batches: &[(usize, u64)]) -> Scene {
            let rule =
                |&(up_to, seconds): &(usize, u64)| BatchRule { up_to, linger: Duration::from_secs(seconds) };
            let batches: Vec<BatchRule> = batches.iter().map(rule).collect();
            let start = Instant::now();
            Scene { line: Line::new(slots, prefetch, &batches), start, now: start }
        }

        fn at(&mut self, seconds: u64) -> &mut Scene {
            self.now = self.start + Duration::from_secs(seconds);
            self
        }

        fn arrive(&mut self, jobs: impl IntoIterator<Item = u32>) -> &mut Scene {
            for job in jobs {
                self.line.arrived(self.now, job, (job as usize / 100).checked_sub(1));
            }
            self
        }

        /// What starts now, one unit after the other.
        #[track_caller]
        fn check(&mut self, expected: &[&[u32]]) {
            let started: Vec<Vec<u32>> =
                std::iter::from_fn(|| self.line.next(self.now)).map(Unit::into_jobs).collect();
            assert_eq!(started, expected);
        }
    }

    #[test]
    fn slots_bound_what_runs_and_the_first_come_starts_first() {
        let mut scene = Scene::new(2, 3, &[]);
        assert_eq!(scene.line.room(), 5);
        scene.arrive([1, 2, 3, 4]).check(&[&[1], &[2]]);
        assert_eq!(scene.line.room(), 1);
        scene.line.ended();
        scene.check(&[&[3]]);
        assert_eq!((scene.line.running(), scene.line.room()), (2, 2));
        assert_eq!(scene.line.drain(), [4]);
        assert_eq!(scene.line.room(), 3);
    }

    #[test]
    fn a_full_batch_starts_at_once_and_takes_one_slot() {
        let mut scene = Scene::new(2, 0, &[(3, 5)]);
        assert_eq!(scene.line.room(), 4);
        scene.arrive([101, 102, 103, 104]).check(&[&[101, 102, 103]]);
        assert_eq!(scene.line.room(), 2);
        scene.arrive([105, 106]).check(&[&[104, 105, 106]]);
        assert_eq!((scene.line.running(), scene.line.room()), (2, 2));
    }

    #[test]
    fn a_batch_that_does_not_fill_starts_when_its_linger_is_over() {
        let mut scene = Scene::new(1, 0, &[(3, 5)]);
        scene.arrive([101]).check(&[]);
        scene.at(3).arrive([102]).check(&[]);
        assert_eq!(scene.line.next_due(), Some(scene.start + Duration::from_secs(5)));
        scene.at(5).check(&[&[101, 102]]);
        assert_eq!(scene.line.next_due(), None);
    }

    #[test]
    fn a_batch_that_waits_for_a_slot_goes_on_filling() {
        let mut scene = Scene::new(1, 0, &[(3, 5)]);
        scene.arrive([1, 101]).check(&[&[1]]);
        assert_eq!(scene.at(6).line.next_due(), None, "there is no slot for it");
        scene.arrive([102]).check(&[]);
        scene.line.ended();
        scene.check(&[&[101, 102]]);
    }

    #[test]
    fn what_could_start_first_starts_first() {
        let mut scene = Scene::new(1, 10, &[(3, 2), (3, 1)]);
        scene.arrive([1, 101, 201]).check(&[&[1]]);
        scene.at(3).arrive([2]);
        for expected in [201, 101, 2] {
            scene.line.ended();
            scene.check(&[&[expected]]);
        }
        scene.line.ended();
        assert!(scene.line.is_empty());
    }

    #[test]
    fn what_has_not_started_can_be_taken_out() {
        let mut scene = Scene::new(1, 10, &[(3, 5)]);
        scene.arrive([1, 2, 101, 102]).check(&[&[1]]);
        assert_eq!(scene.line.drain(), [2, 101, 102]);
        assert_eq!((scene.line.next_due(), scene.line.running()), (None, 1));
        scene.line.ended();
        assert!(scene.line.is_empty());
    }
}
