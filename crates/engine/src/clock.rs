//! The one place where time is read: once a turn, and passed on as data.
//!
//! The wall clock can be set back by an hour, and deadlines must still come. So a shard's time is the wall
//! clock's while that runs ahead, and otherwise goes on from where it was at the pace of the machine's steady
//! clock.

use std::fmt;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tidegate_core::Time;

/// One reading of the clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The wall clock.
    pub wall: Time,
    /// Milliseconds of the steady clock since some moment of this process.
    pub steady_ms: u64,
}

/// A source of time. The system's, or a test's.
pub trait Clock: Send + Sync + fmt::Debug {
    /// What time it is.
    fn now(&self) -> Now;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// The machine's clocks.
    #[must_use]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { wall: Time(wall.as_millis() as u64), steady_ms: self.started.elapsed().as_millis() as u64 }
    }
}

/// A shard's time: never back, never still.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    time: Time,
    steady_ms: u64,
}

impl Pace {
    /// Goes on from `last`, the time of the last frame in the log.
    pub(crate) fn new(last: Time, now: Now) -> Self {
        Self { time: last.max(now.wall), steady_ms: now.steady_ms }
    }

    /// The time that was given last.
    pub(crate) fn last(&self) -> Time {
        self.time
    }

    /// The time that follows from a reading.
    pub(crate) fn time(&mut self, now: Now) -> Time {
        let went_on = self.time.plus(now.steady_ms.saturating_sub(self.steady_ms));
        self.time = went_on.max(now.wall);
        self.steady_ms = self.steady_ms.max(now.steady_ms);
        self.time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds readings of (wall, steady) and expects times.
    fn check(last: u64, readings: &[(u64, u64)], expected: &[u64]) {
        let now = |&(wall, steady_ms): &(u64, u64)| Now { wall: Time(wall), steady_ms };
        let mut pace = Pace::new(Time(last), now(&readings[0]));
        let times: Vec<u64> = readings.iter().map(|reading| pace.time(now(reading)).0).collect();
        assert_eq!(times, expected);
    }

    #[test]
    fn time_is_the_wall_clock_while_that_goes_forward() {
        check(0, &[(1_000, 0), (1_010, 10), (5_000, 20)], &[1_000, 1_010, 5_000]);
    }

    #[test]
    fn time_goes_on_steadily_when_the_wall_clock_is_set_back() {
        check(0, &[(10_000, 0), (4_000, 10), (4_090, 100), (10_200, 150)], &[10_000, 10_010, 10_100, 10_200]);
    }

    #[test]
    fn time_goes_on_from_a_log_that_is_ahead_of_the_wall_clock() {
        check(9_000, &[(1_000, 50), (1_100, 150)], &[9_000, 9_100]);
    }
}
