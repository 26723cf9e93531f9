//! How much processor time a process has used, as far as Linux tells. A load and what stands under it
//! share one machine; these figures say which of them used it.

use std::{fs, time::Duration};

/// User and system time of a process and all its threads so far; in steps of 10 ms.
#[must_use]
pub fn used(process: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let ticks = ticks(&stat)?.0;
    Some(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// The same of a process and its children, those that have ended included as far as it waited for them.
#[must_use]
pub fn used_by_family(process: u32) -> Option<Duration> {
    let (own, ended) = ticks(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)?;
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    let living: Duration = children.split_whitespace().filter_map(|child| used(child.parse().ok()?)).sum();
    let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
    Some(Duration::from_secs_f64((own + ended) as f64 / ticks_per_second) + living)
}

/// Cores that this process may use.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Fields 14 and 15, its own, and 16 and 17, its ended children's. The second field is the program's name in
/// parentheses and may contain anything, so the count begins after the last parenthesis.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some((next()? + next()?, next()? + next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 9 0 0 0 310 42 5 6 20 0 3 0 100 0 0";
        assert_eq!(ticks(stat), Some((352, 11)));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_can_be_asked_for() {
        assert!(used(std::process::id()).is_some() && used_by_family(std::process::id()).is_some());
    }
}
