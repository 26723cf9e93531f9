//! How much processor time a process has used, as far as Linux tells.
//!
//! Load and service share one machine; these figures say which of them used it.

use std::{
    fs,
    time::{Duration, Instant},
};

/// User and system time of a process and all its threads so far; in steps of 10 ms.
pub(crate) fn used(process: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let ticks = ticks(&stat)?;
    Some(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// Fields 14 and 15. The second field is the program's name in parentheses and may contain anything, so the count
/// begins after the last parenthesis.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Processor time of generator and service at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) at: Instant,
    pub(crate) generator: Option<Duration>,
    pub(crate) service: Option<Duration>,
}

impl Usage {
    /// How many cores generator and service kept busy from this moment to a later one.
    pub(crate) fn cores_until(&self, later: &Usage) -> (Option<f64>, Option<f64>) {
        let wall = (later.at - self.at).as_secs_f64().max(1e-3);
        let cores = |from: Option<Duration>, to: Option<Duration>| {
            Some(to?.saturating_sub(from?).as_secs_f64() / wall)
        };
        (cores(self.generator, later.generator), cores(self.service, later.service))
    }
}

/// Cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 9 0 0 0 310 42 0 0 20 0 3 0 100 0 0";
        assert_eq!(ticks(stat), Some(352));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[test]
    fn a_share_is_processor_time_over_time() {
        let start = Instant::now();
        let usage = |seconds, generator, service: Option<u64>| Usage {
            at: start + Duration::from_secs(seconds),
            generator: Some(Duration::from_secs(generator)),
            service: service.map(Duration::from_secs),
        };
        assert_eq!(usage(0, 1, Some(2)).cores_until(&usage(4, 3, Some(8))), (Some(0.5), Some(1.5)));
        assert_eq!(usage(0, 1, None).cores_until(&usage(4, 3, Some(8))), (Some(0.5), None));
    }

    #[test]
    fn this_process_can_be_asked_for() {
        assert!(used(std::process::id()).is_some());
    }
}
