//! How many jobs a queue gets and finishes in a second: exponential means over about ten seconds.
//!
//! A mean is corrected for how young it is, so that a queue of one second's age already shows its true rate.
//! Reading one later lets it fade, as if nothing had happened since. Rates are for people: they are no part
//! of the state.

use std::collections::HashMap;
use std::sync::Arc;

use tidegate_core::Time;
use tidegate_core::view::QueueView;

/// After so many ms, what happened counts e times less.
const SPAN_MS: f64 = 10_000.0;

/// One queue's rates, as of the last update.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rate {
    at: Time,
    arrived: u64,
    completed: u64,
    /// Weighted means, not yet corrected.
    arrival: f64,
    completion: f64,
    /// How much of the full weight has been given so far: 0 at the beginning, nearly 1 after a minute.
    weight: f64,
}

impl Rate {
    fn update(&mut self, now: Time, arrived: u64, completed: u64) {
        let elapsed_ms = now.since(self.at);
        if elapsed_ms == 0 {
            return;
        }
        let keep = (-(elapsed_ms as f64) / SPAN_MS).exp();
        let share = 1.0 - keep;
        let per_s = |count: u64| count as f64 * 1_000.0 / elapsed_ms as f64;
        self.arrival = self.arrival * keep + per_s(arrived - self.arrived) * share;
        self.completion = self.completion * keep + per_s(completed - self.completed) * share;
        self.weight = self.weight * keep + share;
        (self.at, self.arrived, self.completed) = (now, arrived, completed);
    }

    /// Arrivals and completions per second, seen `now`, if nothing has happened since.
    pub(crate) fn at(&self, now: Time) -> (f64, f64) {
        let mut seen = *self;
        seen.update(now, self.arrived, self.completed);
        if seen.weight == 0.0 {
            (0.0, 0.0)
        } else {
            (seen.arrival / seen.weight, seen.completion / seen.weight)
        }
    }
}

/// The rates of a shard's queues.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    opened_at: Time,
    by_queue: HashMap<Arc<str>, Rate>,
}

impl Rates {
    /// No rates yet; counting begins now.
    pub(crate) fn new(opened_at: Time) -> Self {
        Self { opened_at, by_queue: HashMap::new() }
    }

    /// Takes a queue's counters into account and returns its rates.
    pub(crate) fn update(&mut self, now: Time, view: &QueueView) -> Rate {
        let rate = self
            .by_queue
            .entry(Arc::clone(&view.name))
            .or_insert_with(|| Rate { at: self.opened_at, ..Rate::default() });
        rate.update(now, view.arrived, view.completed);
        *rate
    }

    /// A queue's rates as of the last update.
    pub(crate) fn of(&self, queue: &str) -> Rate {
        self.by_queue.get(queue).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds (time in ms, arrived so far) and expects the arrival rate then, to a hundredth.
    fn check(counts: &[(u64, u64)], expected_per_s: f64) {
        let mut rate = Rate::default();
        for &(at, arrived) in counts {
            rate.update(Time(at), arrived, 0);
        }
        let seen = rate.at(rate.at).0;
        assert!((seen - expected_per_s).abs() <= expected_per_s * 0.01, "{seen} is not {expected_per_s}");
    }

    #[test]
    fn a_steady_rate_is_shown_from_the_beginning() {
        check(&[(1_000, 100)], 100.0);
        check(&(1..=600).map(|n| (n * 50, n * 5)).collect::<Vec<_>>(), 100.0);
    }

    #[test]
    fn a_rate_fades_when_nothing_happens() {
        let mut rate = Rate::default();
        for n in 1..=60 {
            rate.update(Time(n * 1_000), n * 100, 0);
        }
        let after = |ms: u64| rate.at(Time(60_000 + ms)).0;
        assert!(after(1_000) < 95.0 && after(1_000) > 85.0, "{}", after(1_000));
        assert!(after(60_000) < 1.0);
    }

    #[test]
    fn two_readings_at_one_moment_change_nothing() {
        check(&[(1_000, 100), (1_000, 200), (2_000, 200)], 100.0);
    }
}
