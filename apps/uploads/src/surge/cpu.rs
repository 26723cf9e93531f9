//! How much processor time a process has used, as far as Linux tells.
//!
//! Load and service share one machine; these figures say which of them used it.

use std::{fs, time::Duration};

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
    fn this_process_can_be_asked_for() {
        assert!(used(std::process::id()).is_some());
    }
}
