//! How long a worker leaves a server alone that did not answer.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// The first pause after a failed call, at most.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
/// No pause is longer, unless the server itself asks for more.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Counts failed calls in a row and gives the pause after each.
#[derive(Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// A call was answered.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// A call failed. The pause doubles with every failure in a row and is between half and all of that, by chance,
    /// so that many workers do not come back together. What the server asked for is the least it can be.
    pub(crate) fn failed(&mut self, server_asks: Option<Duration>) -> Duration {
        let chance = RandomState::new().hash_one(self.failures) as f64 / u64::MAX as f64;
        self.pause(server_asks, chance)
    }

    fn pause(&mut self, server_asks: Option<Duration>, chance: f64) -> Duration {
        let longest = PAUSE_FIRST.saturating_mul(1 << self.failures.min(16)).min(PAUSE_MAX);
        self.failures += 1;
        longest.mul_f64(0.5 + chance / 2.0).max(server_asks.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(chance: f64, asks: Option<u64>, expected_ms: &[u128]) {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = expected_ms
            .iter()
            .map(|_| backoff.pause(asks.map(Duration::from_millis), chance).as_millis())
            .collect();
        assert_eq!(pauses, expected_ms);
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_chance_halves_them_at_most() {
        check(1.0, None, &[200, 400, 800, 1600, 2000, 2000]);
        check(0.0, None, &[100, 200, 400, 800, 1000, 1000]);
    }

    #[test]
    fn the_servers_wish_is_the_least() {
        check(1.0, Some(1000), &[1000, 1000, 1000, 1600]);
        check(1.0, Some(60_000), &[60_000]);
    }

    #[test]
    fn an_answer_starts_the_count_anew() {
        let mut backoff = Backoff::default();
        backoff.pause(None, 1.0);
        backoff.pause(None, 1.0);
        backoff.succeeded();
        assert_eq!(backoff.pause(None, 1.0).as_millis(), 200);
    }
}
