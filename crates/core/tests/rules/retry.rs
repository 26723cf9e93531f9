//! When a failed job is tried again, and when it is given up.

use crate::support::script::check;
use crate::support::{World, job};
use tidegate_core::limits;
use tidegate_core::policy::Retry;

/// A policy without jitter.
fn policy(delay_ms: u64, factor_permille: u32, delay_ms_max: u64) -> Retry {
    Retry { max_attempts: 100, delay_ms, factor_permille, delay_ms_max, jitter_percent: 0 }
}

fn check_delays(retry: Retry, expected: &[u64]) {
    let delays: Vec<u64> = (1..=expected.len() as u32).map(|n| retry.delay_after(n, 0)).collect();
    assert_eq!(delays, expected, "{retry:?}");
}

#[test]
fn each_delay_is_the_last_one_times_the_factor_up_to_the_cap() {
    check_delays(policy(1_000, 2_000, 60_000), &[1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
    check_delays(policy(1_000, 1_000, 60_000), &[1_000, 1_000, 1_000]);
    check_delays(policy(1_000, 1_500, 60_000), &[1_000, 1_500, 2_250, 3_375]);
    check_delays(policy(100, 10_000, u64::MAX), &[100, 1_000, 10_000, 100_000]);
    check_delays(policy(0, 2_000, 60_000), &[0, 0, 0]);
    check_delays(policy(5_000, 2_000, 1_000), &[1_000, 1_000]);
}

#[test]
fn the_default_is_thirty_seconds_doubled_up_to_an_hour() {
    let plain = Retry { jitter_percent: 0, ..Retry::DEFAULT };
    check_delays(plain, &[30_000, 60_000, 120_000, 240_000, 480_000, 960_000, 1_920_000, 3_600_000]);
    assert_eq!(Retry::DEFAULT.max_attempts, 5);
}

#[test]
fn no_delay_overflows() {
    let retry = Retry { jitter_percent: 100, ..policy(u64::MAX, 10_000, u64::MAX) };
    assert_eq!(retry.delay_after(100, u64::MAX - 1), u64::MAX);
}

#[test]
fn jitter_only_lengthens_by_at_most_its_share_and_stays_under_the_cap() {
    let retry = Retry { jitter_percent: 20, ..policy(1_000, 2_000, 1_900) };
    let delays: Vec<u64> = (0..1_000).map(|chance| retry.delay_after(1, chance)).collect();
    assert_eq!(delays.iter().min(), Some(&1_000));
    assert_eq!(delays.iter().max(), Some(&1_200));
    assert!((0..1_000).all(|chance| retry.delay_after(2, chance) == 1_900), "2000 is over the cap already");
    let to_the_cap = Retry { jitter_percent: 100, ..retry };
    assert_eq!((0..2_000).map(|chance| to_the_cap.delay_after(1, chance)).max(), Some(1_900));
}

/// When the first retry of each of ten jobs comes.
fn first_retries(seed: u64) -> Vec<u64> {
    let mut world = World::with_seed(seed);
    for _ in 0..10 {
        world.add("q", job());
    }
    let leased = world.lease("q", 10);
    leased
        .iter()
        .map(|job| {
            world.fail(job);
            world.job(job.id).run_at.expect("a retry").since(world.now)
        })
        .collect()
}

#[test]
fn jitter_is_drawn_from_the_seed_in_the_log_and_sets_jobs_apart() {
    let delays = first_retries(7);
    assert_eq!(delays, first_retries(7), "the same seed draws the same");
    assert_ne!(delays, first_retries(8), "another one draws otherwise");
    assert!(delays.iter().all(|delay| (30_000..=36_000).contains(delay)), "{delays:?}");
    let mut apart = delays.clone();
    apart.sort_unstable();
    apart.dedup();
    assert!(apart.len() > 5, "jobs that failed together do not return together: {delays:?}");
}

/// What was drawn is written down, so another hash would not break an old log; but a seed that found something finds it again.
#[test]
fn a_seed_draws_the_same_in_every_version() {
    assert_eq!(
        first_retries(7),
        [34_873, 32_738, 33_034, 35_267, 30_680, 30_950, 32_204, 33_061, 34_223, 33_873]
    );
}

#[test]
fn max_attempts_counts_every_attempt() {
    check(
        "enqueue attempts=3 delay=100 factor=3000
         lease                              -> 1
         fail 1 : one                       -> 1 scheduled +100
         after 100
         lease                              -> 1
         fail 1 : two                       -> 1 scheduled +300
         after 300
         lease                              -> 1
         show 1 attempt                     -> 3/3
         fail 1 : three                     -> 1 dead
         show 1 reason failures             -> attempts_exhausted, 1 by w \"one\"; 2 by w \"two\"; 3 by w \"three\"",
    );
}

#[test]
fn one_attempt_means_no_retry() {
    check(
        "enqueue attempts=1
         lease                              -> 1
         fail 1                             -> 1 dead",
    );
}

#[test]
fn lapsed_leases_and_failures_count_alike() {
    check(
        "enqueue attempts=2 delay=100
         lease for=1000                     -> 1
         after 1000
         show 1 state attempt               -> scheduled, 1/2
         after 100
         lease                              -> 1
         fail 1                             -> 1 dead",
    );
}

#[test]
fn a_worker_may_say_when_to_try_again_but_not_how_often() {
    check(
        "enqueue attempts=2 delay=100
         lease                              -> 1
         fail 1 retry_after=7000            -> 1 scheduled +7000
         after 7000
         lease                              -> 1
         fail 1 retry_after=7000            -> 1 dead",
    );
}

#[test]
fn a_retry_at_once_is_ready_behind_those_that_wait() {
    check(
        "enqueue attempts=3 | kind=work
         lease                              -> 1
         fail 1 retry_after=0               -> 1 ready
         readied                            -> q
         lease 2                            -> 2 1",
    );
}

#[test]
fn a_retry_is_never_further_ahead_than_a_run_at_may_be() {
    check(&format!(
        "enqueue
         lease                              -> 1
         fail 1 retry_after={}              -> 1 scheduled +{}",
        u64::MAX,
        limits::AHEAD_MS_MAX
    ));
}

#[test]
fn a_fatal_failure_is_the_last_whatever_the_policy_says() {
    check(
        "enqueue attempts=9
         lease                              -> 1
         fail 1 fatal retry_after=10        -> 1 dead
         show 1 reason attempt              -> fatal, 1/9",
    );
}

#[test]
fn a_job_without_a_policy_follows_its_queues_at_the_time_of_the_failure() {
    check(
        "configure attempts=9 delay=100     -> done
         enqueue
         lease                              -> 1
         fail 1                             -> 1 scheduled +100
         configure attempts=9 delay=700     -> done
         after 100
         lease                              -> 1
         fail 1                             -> 1 scheduled +1400
         configure attempts=3 delay=700     -> done
         after 1400
         lease                              -> 1
         show 1 attempt                     -> 3/3
         fail 1                             -> 1 dead",
    );
}

#[test]
fn a_released_lease_is_no_attempt_in_the_policys_eyes() {
    check(
        "enqueue attempts=1
         lease                              -> 1
         release 1
         lease                              -> 1
         show 1 attempt                     -> 1/1
         fail 1                             -> 1 dead",
    );
}

#[test]
fn a_long_error_is_cut_between_characters() {
    let mut world = World::new();
    let id = world.add("q", job());
    let leased = world.lease_one("q");
    world.fail_with(&leased, &"ä".repeat(limits::ERROR_MESSAGE_MAX), None, true);
    let kept = &world.job(id).failures[0].message;
    assert_eq!(kept.len(), limits::ERROR_MESSAGE_MAX);
    let mut world = World::new();
    let id = world.add("q", job());
    let leased = world.lease_one("q");
    world.fail_with(&leased, &format!("x{}", "ä".repeat(limits::ERROR_MESSAGE_MAX)), None, true);
    assert_eq!(world.job(id).failures[0].message.len(), limits::ERROR_MESSAGE_MAX - 1);
}
