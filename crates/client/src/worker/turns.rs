//! Which queue a lease asks first: turns by weight while there is plenty, everybody's poll when there is not.
//!
//! With equal weights every lease names all queues, and the server takes the highest priority over all of them. With
//! unequal weights, as soon as a lease brought all it asked for, leases name one queue each, in smooth weighted turns
//! counted in jobs. A queue that brings less than was asked is passed over for a moment, so an idle or paused queue
//! holds nobody up; when all are passed over there is no plenty any more, and the next lease names, and waits for, all.
//!
//! Promises: an idle worker polls all queues at once; shares follow the weights as long as all queues have jobs.

use std::{
    cmp::Reverse,
    time::{Duration, Instant},
};

/// A queue that brought too little is asked again after this long, while others have plenty.
const PASSED_OVER: Duration = Duration::from_millis(250);

/// Whom a lease asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// All queues; it may wait.
    All,
    /// The queue with this number; it does not wait.
    One(usize),
}

#[derive(Debug)]
struct Turn {
    weight: i64,
    /// How far it is behind its share, in jobs times the sum of weights.
    credit: i64,
    passed_over_until: Option<Instant>,
}

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Turns {
    turns: Vec<Turn>,
    /// Weights are unequal, so turns have to be kept.
    keeps: bool,
    plenty: bool,
}

impl Turns {
    pub(crate) fn new(weights: &[u32]) -> Turns {
        let turn = |&weight: &u32| Turn { weight: weight.into(), credit: 0, passed_over_until: None };
        Turns {
            turns: weights.iter().map(turn).collect(),
            keeps: weights.iter().any(|weight| *weight != weights[0]),
            plenty: false,
        }
    }

    /// Whom the next lease asks, for so many jobs.
    pub(crate) fn next(&mut self, now: Instant, jobs: usize) -> Ask {
        if !self.keeps || !self.plenty {
            return Ask::All;
        }
        let mut sum = 0;
        for turn in &mut self.turns {
            turn.passed_over_until = turn.passed_over_until.filter(|until| *until > now);
            if turn.passed_over_until.is_none() {
                sum += turn.weight;
                turn.credit += turn.weight * jobs as i64;
            }
        }
        let in_turn = self.turns.iter().enumerate().filter(|(_, turn)| turn.passed_over_until.is_none());
        // Of equals the first.
        let first =
            in_turn.max_by_key(|(number, turn)| (turn.credit, Reverse(*number))).map(|(number, _)| number);
        let Some(first) = first else {
            self.plenty = false;
            return Ask::All;
        };
        self.turns[first].credit -= sum * jobs as i64;
        Ask::One(first)
    }

    /// What a lease brought. `full` says that there may be more where it came from.
    pub(crate) fn answered(&mut self, now: Instant, ask: Ask, full: bool) {
        match ask {
            Ask::All if full && !self.plenty => {
                self.plenty = true;
                self.turns.iter_mut().for_each(|turn| (turn.credit, turn.passed_over_until) = (0, None));
            }
            Ask::All => {}
            Ask::One(number) if !full => {
                let turn = &mut self.turns[number];
                // Who has nothing saves nothing up.
                (turn.credit, turn.passed_over_until) = (0, Some(now + PASSED_OVER));
            }
            Ask::One(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene {
        turns: Turns,
        start: Instant,
        now: Instant,
    }

    impl Scene {
        fn new(weights: &[u32]) -> Scene {
            let start = Instant::now();
            Scene { turns: Turns::new(weights), start, now: start }
        }

        fn at(&mut self, ms: u64) {
            self.now = self.start + Duration::from_millis(ms);
        }

        /// One lease of one job after the other, from queues that are full or not: `*` for all, else the queue's number.
        fn asks(&mut self, count: usize, full: impl Fn(Ask) -> bool) -> String {
            let mut line = String::new();
            for _ in 0..count {
                let ask = self.turns.next(self.now, 1);
                line.push(match ask {
                    Ask::All => '*',
                    Ask::One(number) => char::from_digit(number as u32, 10).expect("few queues"),
                });
                self.turns.answered(self.now, ask, full(ask));
            }
            line
        }
    }

    #[test]
    fn equal_weights_leave_it_to_the_server() {
        assert_eq!(Scene::new(&[2, 2]).asks(5, |_| true), "*****");
        assert_eq!(Scene::new(&[7]).asks(3, |_| true), "***");
    }

    #[test]
    fn with_plenty_turns_are_smooth_and_follow_the_weights() {
        assert_eq!(Scene::new(&[5, 1, 1]).asks(15, |_| true), "*00102000010200".to_owned());
    }

    #[test]
    fn without_plenty_all_are_asked() {
        assert_eq!(Scene::new(&[3, 1]).asks(5, |_| false), "*****");
    }

    #[test]
    fn a_queue_without_jobs_is_passed_over_for_a_moment() {
        let mut scene = Scene::new(&[3, 1]);
        let only_second = |ask| ask != Ask::One(0);
        assert_eq!(scene.asks(6, only_second), "*01111");
        scene.at(249);
        assert_eq!(scene.asks(3, only_second), "111");
        scene.at(250);
        assert_eq!(scene.asks(4, only_second), "0111");
    }

    #[test]
    fn when_nobody_has_plenty_all_are_asked_again() {
        let mut scene = Scene::new(&[3, 1]);
        assert_eq!(scene.asks(2, |_| true), "*0");
        assert_eq!(scene.asks(4, |_| false), "01**");
        scene.at(10_000);
        assert_eq!(scene.asks(2, |_| false), "**", "an idle worker does not go round");
    }

    #[test]
    fn shares_are_counted_in_jobs_however_many_each_lease_asks_for() {
        let mut turns = Turns::new(&[3, 1]);
        let now = Instant::now();
        turns.next(now, 1);
        turns.answered(now, Ask::All, true);
        let mut jobs = [0, 0];
        for size in [7, 100, 1, 33, 256, 12].iter().cycle().take(600) {
            match turns.next(now, *size) {
                Ask::One(number) => jobs[number] += size,
                Ask::All => panic!("there is plenty"),
            }
        }
        let share = jobs[0] as f64 / (jobs[0] + jobs[1]) as f64;
        assert!((0.74..=0.76).contains(&share), "{share}");
    }
}
