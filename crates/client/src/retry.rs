//! When a call is tried again, and after what pause.
//!
//! Only what may be different in a moment is tried again: silence, a broken connection, a server that starts or
//! stops, a full inbox. A full queue or disk is not: that is for the caller to act upon, and early. Whether trying
//! again is safe is the transport's to know; the number of tries and their time are bounded.

use std::time::Duration;

use tidegate_api::refusal::Code;
use tokio::time::{Instant, sleep};

use crate::Error;
use crate::settings::{LONGEST, Settings, random_bits};

/// No call is tried more often.
pub(crate) const TRIES_MAX: u32 = 12;
/// The first pause, at most.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// No pause is longer, unless the server itself asks for more.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Counts failed tries in a row and gives the pause after each.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Something succeeded: the count begins anew.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Something failed. The pause doubles with every failure in a row and is between half and all of that, by chance, so
    /// that many callers do not come back together. What the server asked for is the least it can be.
    pub(crate) fn failed(&mut self, server_asks: Option<Duration>) -> Duration {
        self.pause(server_asks, random_bits() as f64 / u64::MAX as f64)
    }

    fn pause(&mut self, server_asks: Option<Duration>, chance: f64) -> Duration {
        let longest = PAUSE_FIRST.saturating_mul(1 << self.failures.min(16)).min(PAUSE_MAX);
        self.failures += 1;
        longest.mul_f64(0.5 + chance / 2.0).max(server_asks.unwrap_or_default())
    }
}

/// One call's tries: how many there were, and until when there may be more.
#[derive(Debug)]
pub(crate) struct Tries {
    end: Instant,
    /// How long one try may take.
    each: Duration,
    left: u32,
    backoff: Backoff,
}

impl Tries {
    /// The tries of a call that asks the server to wait for `wait` before it answers.
    pub(crate) fn new(settings: &Settings, wait: Duration) -> Self {
        // A longer wait is refused by name.
        let wait = wait.min(LONGEST);
        Self {
            end: Instant::now() + settings.deadline + wait,
            each: settings.answer_timeout + wait,
            left: if settings.retries { TRIES_MAX } else { 1 },
            backoff: Backoff::default(),
        }
    }

    /// How long the next try may take.
    pub(crate) fn time(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now()).min(self.each)
    }

    /// After a try that failed: waits until the next one makes sense.
    ///
    /// # Errors
    /// The try's error, if there is to be no other.
    pub(crate) async fn after(&mut self, error: Error) -> Result<(), Error> {
        self.left -= 1;
        if self.left == 0 || !is_worth_another_try(&error) {
            return Err(error);
        }
        let pause = self.backoff.failed(error.retry_after());
        if pause >= self.end.saturating_duration_since(Instant::now()) {
            return Err(error);
        }
        sleep(pause).await;
        Ok(())
    }
}

/// Whether the same call may fare better in a moment.
fn is_worth_another_try(error: &Error) -> bool {
    match error {
        Error::Refused(problem) => matches!(
            problem.refusal.code,
            Code::InboxFull
                | Code::WaitersFull
                | Code::TooManyConnections
                | Code::OutcomeUnknown
                | Code::Unavailable
                | Code::ShuttingDown
                | Code::BodyTimeout
        ),
        other => other.is_temporary(),
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
        check(1.0, None, &[50, 100, 200, 400, 800, 1600, 2000, 2000]);
        check(0.0, None, &[25, 50, 100, 200, 400, 800, 1000, 1000]);
    }

    #[test]
    fn the_servers_wish_is_the_least() {
        check(1.0, Some(1_000), &[1_000, 1_000, 1_000, 1_000, 1_000, 1_600]);
        check(1.0, Some(60_000), &[60_000]);
    }

    #[tokio::test]
    async fn no_wait_is_too_long_to_be_counted() {
        let mut tries = Tries::new(&Settings::default(), Duration::MAX);
        assert!(tries.time() >= LONGEST);
        let mut asks = tidegate_api::refusal::Refusal::new(Code::InboxFull, "");
        asks.retry_after_ms = Some(u64::MAX);
        tries.after(asks.into()).await.expect_err("the server asks for more than there is");
    }

    #[test]
    fn a_success_starts_the_count_anew() {
        let mut backoff = Backoff::default();
        backoff.pause(None, 1.0);
        backoff.pause(None, 1.0);
        backoff.succeeded();
        assert_eq!(backoff.pause(None, 1.0).as_millis(), 50);
    }
}
