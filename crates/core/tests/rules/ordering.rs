//! Ordering keys: one at a time, in the order of acceptance, whatever happens to the jobs.

use crate::support::World;
use crate::support::script::{check, check_in};

#[test]
fn jobs_of_a_key_run_one_at_a_time_in_order() {
    check(
        "enqueue key=k | key=k | key=j | key=k
         lease 9                            -> 1 3
         show 2 state waiting_for position  -> ready, key_busy, -
         lease 9                            -> none
         complete 1
         readied                            -> q
         lease 9                            -> 2
         complete 2
         lease 9                            -> 4",
    );
}

#[test]
fn a_key_is_a_matter_of_its_queue() {
    check(
        "enqueue queue=a key=k
         enqueue queue=b key=k
         lease 9 from=a,b
         show 1 state                       -> leased
         show 2 state                       -> leased",
    );
}

#[test]
fn priority_never_overtakes_within_a_key() {
    check(
        "enqueue key=k priority=9 | key=k priority=0 | priority=5
         lease 9                            -> 3 1
         complete 1
         lease 9                            -> 2",
    );
}

#[test]
fn a_blocked_key_waits_for_the_retry() {
    check(
        "enqueue key=k attempts=3 delay=1000 | key=k
         lease 9                            -> 1
         fail 1                             -> 1 scheduled +1000
         lease 9                            -> none
         show 2 waiting_for                 -> key_busy
         after 1000
         lease 9                            -> 1
         complete 1
         lease 9                            -> 2",
    );
}

#[test]
fn a_blocked_key_passes_a_dead_job() {
    check(
        "enqueue key=k on_failure=block | key=k
         lease 9                            -> 1
         fail 1 fatal                       -> 1 dead
         lease 9                            -> 2",
    );
}

#[test]
fn a_skipping_key_goes_on_and_the_retry_comes_before_what_is_left() {
    check(
        "enqueue key=k on_failure=skip attempts=3 delay=1000 | key=k | key=k | key=k
         lease 9                            -> 1
         fail 1                             -> 1 scheduled +1000
         lease 9                            -> 2
         after 1000
         show 1 state waiting_for           -> ready, key_busy
         complete 2
         lease 9                            -> 1
         complete 1
         lease 9                            -> 3",
    );
}

/// The next job has the key's turn and no worker yet when the retried one comes back: it steps back.
#[test]
fn a_retry_under_skip_claims_the_turn_from_a_job_nobody_has_yet() {
    check(
        "enqueue key=k on_failure=skip attempts=3 delay=1000 | key=k
         lease                              -> 1
         fail 1                             -> 1 scheduled +1000
         show 2 waiting_for                 -> worker
         after 1000
         show 2 waiting_for                 -> key_busy
         lease 9                            -> 1
         complete 1
         lease 9                            -> 2",
    );
}

#[test]
fn a_dead_job_parks_its_key_until_someone_resumes_it() {
    check(
        "enqueue key=k on_failure=park | key=k | key=j
         lease                              -> 1
         fail 1 fatal                       -> 1 dead
         queue keys_parked                  -> 1
         show 2 waiting_for                 -> key_parked
         enqueue key=k                      -> 4 ready
         show 4 waiting_for                 -> key_parked
         lease 9                            -> 3
         resume key=k                       -> done
         readied                            -> q
         queue keys_parked                  -> 0
         lease 9                            -> 2
         show 1 state                       -> dead",
    );
}

#[test]
fn a_parked_key_waits_for_retries_like_a_blocked_one() {
    check(
        "enqueue key=k on_failure=park attempts=2 delay=1000 | key=k
         lease                              -> 1
         fail 1                             -> 1 scheduled +1000
         queue keys_parked                  -> 0
         lease 9                            -> none
         after 1000
         lease 9                            -> 1",
    );
}

#[test]
fn redriving_the_job_that_parked_the_key_runs_it_first() {
    check(
        "enqueue key=k on_failure=park | key=k
         lease                              -> 1
         fail 1 fatal                       -> 1 dead
         redrive                            -> 1 moved, done
         queue keys_parked                  -> 0
         lease 9                            -> 1
         complete 1
         lease 9                            -> 2",
    );
}

#[test]
fn deleting_the_job_that_parked_the_key_lets_it_go_on() {
    check(
        "enqueue key=k on_failure=park | key=k
         lease                              -> 1
         fail 1 fatal                       -> 1 dead
         delete_dead                        -> 1 deleted
         readied                            -> q
         queue keys_parked                  -> 0
         lease 9                            -> 2",
    );
}

/// The first in line was accepted before the job whose death parks the key; it has the turn and keeps it.
#[test]
fn a_key_parked_from_behind_lets_the_job_with_the_turn_run() {
    check(
        "enqueue key=k | key=k on_failure=park expires_in=500 | key=k
         after 500
         show 2 state reason                -> dead, expired
         queue keys_parked                  -> 1
         show 1 waiting_for                 -> worker
         show 3 waiting_for                 -> key_parked
         lease 9                            -> 1
         complete 1
         lease 9                            -> none
         resume key=k
         lease 9                            -> 3",
    );
}

#[test]
fn the_queues_default_decides_what_a_failure_does_to_the_key() {
    check(
        "configure on_failure=skip          -> done
         enqueue key=k attempts=2 | key=k | key=k on_failure=park
         show 1 on_failure                  -> skip
         show 3 on_failure                  -> park
         configure on_failure=block         -> done
         show 1 on_failure                  -> skip     # as it was when the job was accepted
         lease                              -> 1
         fail 1
         lease                              -> 2",
    );
}

#[test]
fn a_delayed_job_holds_up_what_is_behind_it() {
    check(
        "enqueue key=k run_in=1000 | key=k | key=j
         show 2 waiting_for                 -> key_busy
         lease 9                            -> 3
         after 1000
         lease 9                            -> 1
         complete 1
         lease 9                            -> 2",
    );
}

#[test]
fn a_delayed_job_behind_others_waits_for_its_time_and_its_turn() {
    check(
        "enqueue key=k | key=k run_in=1000
         lease                              -> 1
         after 1000
         show 2 state waiting_for           -> ready, key_busy
         complete 1
         lease                              -> 2",
    );
}

#[test]
fn a_paused_key_hands_out_nothing_and_other_keys_go_on() {
    check(
        "enqueue key=k | key=k | key=j
         pause key=k                        -> done
         queue keys_paused                  -> 1
         show 1 waiting_for                 -> key_paused
         lease 9                            -> 3
         resume key=k                       -> done
         readied                            -> q
         queue keys_paused                  -> 0
         lease 9                            -> 1",
    );
}

#[test]
fn a_leased_job_stays_with_its_worker_when_its_key_is_paused() {
    check(
        "enqueue key=k | key=k
         lease                              -> 1
         pause key=k
         complete 1                         -> 1 completed
         lease 9                            -> none
         resume key=k
         lease 9                            -> 2",
    );
}

#[test]
fn a_key_can_be_paused_before_it_has_jobs() {
    check(
        "enqueue
         pause key=k
         enqueue key=k                      -> 2 ready
         lease 9                            -> 1
         resume key=k
         lease 9                            -> 2",
    );
}

#[test]
fn pausing_twice_or_resuming_what_runs_changes_nothing() {
    check(
        "enqueue key=k
         resume key=k                       -> done
         pause key=k
         pause key=k
         queue keys_paused                  -> 1
         resume key=k
         resume key=nobody                  -> done
         queue keys_paused                  -> 0
         lease 9                            -> 1",
    );
}

#[test]
fn pausing_a_parked_key_keeps_it_parked_and_resuming_ends_both() {
    check(
        "enqueue key=k on_failure=park | key=k
         lease                              -> 1
         fail 1 fatal
         pause key=k
         queue keys_paused keys_parked      -> 1, 1
         resume key=k
         queue keys_paused keys_parked      -> 0, 0
         lease 9                            -> 2",
    );
}

#[test]
fn cancelling_in_the_middle_of_a_line_closes_the_gap() {
    check(
        "enqueue key=k | key=k | key=k
         cancel 2
         lease 9                            -> 1
         complete 1
         lease 9                            -> 3",
    );
}

#[test]
fn cancelling_the_job_with_the_turn_gives_the_turn_to_the_next() {
    for leased in ["", "lease -> 1"] {
        check(&format!(
            "enqueue key=k | key=k | key=k
             {leased}
             cancel 1
             readied                        -> q
             lease 9                        -> 2"
        ));
    }
}

#[test]
fn cancelling_a_delayed_head_lets_the_next_run() {
    check(
        "enqueue key=k run_in=9000 | key=k
         cancel 1
         lease 9                            -> 2",
    );
}

#[test]
fn a_released_job_keeps_its_keys_turn() {
    check(
        "enqueue key=k | key=k
         lease                              -> 1
         release 1                          -> 1 ready
         show 2 waiting_for                 -> key_busy
         lease 9                            -> 1",
    );
}

#[test]
fn a_released_job_steps_behind_an_earlier_one_that_has_come_back() {
    check(
        "enqueue key=k on_failure=skip attempts=3 delay=1000 | key=k
         lease                              -> 1
         fail 1
         lease                              -> 2
         after 1000
         release 2                          -> 2 ready
         show 2 waiting_for                 -> key_busy
         lease 9                            -> 1
         complete 1
         lease 9                            -> 2",
    );
}

#[test]
fn a_released_job_of_a_paused_key_waits() {
    check(
        "enqueue key=k
         lease                              -> 1
         pause key=k
         release 1                          -> 1 ready
         show 1 waiting_for                 -> key_paused
         lease 9                            -> none
         resume key=k
         lease 9                            -> 1",
    );
}

/// They died in another order than they were accepted in: by the third's fatal error first.
#[test]
fn a_redrive_brings_a_keys_jobs_back_in_the_order_of_acceptance() {
    check(
        "enqueue key=k on_failure=skip attempts=2 delay=100 | key=k | key=k
         lease                              -> 1
         fail 1
         lease                              -> 2
         fail 2 fatal
         lease                              -> 3
         fail 3 fatal
         after 100
         lease                              -> 1
         fail 1                             -> 1 dead
         redrive                            -> 3 moved, done
         lease 9                            -> 1
         complete 1
         lease 9                            -> 2
         complete 2
         lease 9                            -> 3",
    );
}

#[test]
fn a_redriven_job_goes_before_those_accepted_after_it() {
    check(
        "enqueue key=k | key=k | key=k
         lease                              -> 1
         fail 1 fatal
         show 2 waiting_for                 -> worker
         redrive                            -> 1 moved, done
         show 2 waiting_for                 -> key_busy
         lease 9                            -> 1
         complete 1
         lease 9                            -> 2",
    );
}

#[test]
fn a_redriven_job_waits_for_the_one_that_is_leased() {
    check(
        "enqueue key=k | key=k | key=k
         lease                              -> 1
         fail 1 fatal
         lease                              -> 2
         redrive                            -> 1 moved, done
         lease 9                            -> none
         complete 2
         lease 9                            -> 1
         complete 1
         lease 9                            -> 3",
    );
}

#[test]
fn a_key_is_kept_as_long_as_it_is_paused_or_has_jobs() {
    check(
        "configure retain_ms=1000
         enqueue key=k | key=k
         lease                              -> 1
         pause key=k
         complete 1
         cancel 2
         after 1000
         show 1                             -> not kept
         queue counts keys_paused           -> empty, 1
         enqueue key=k                      -> 3 ready
         lease 9                            -> none
         resume key=k
         lease 9                            -> 3",
    );
}

#[test]
fn one_decision_frees_a_parked_key_however_many_have_died() {
    check(
        "enqueue key=k on_failure=park | key=k on_failure=park expires_in=500 | key=k
         lease                              -> 1
         fail 1 fatal
         after 500
         show 2 state                       -> dead
         delete_dead ids=2
         lease 9                            -> none        # it was not the one that parked the key
         delete_dead ids=1
         lease 9                            -> 3",
    );
}

#[test]
fn a_queue_that_is_paused_is_named_only_to_jobs_with_their_keys_turn() {
    check(
        "enqueue key=k | key=k
         pause
         show 1 waiting_for                 -> queue_paused
         show 2 waiting_for                 -> key_busy",
    );
}

#[test]
fn pausing_and_resuming_what_is_so_already_writes_nothing() {
    let mut world = check_in(World::new(), "enqueue key=k");
    let key_is_paused = |world: &World| world.state.key_is_paused("q", "k");
    assert_eq!(key_is_paused(&world), Some(false));
    for (command, frames, paused) in
        [("resume key=k", 0, false), ("pause key=k", 1, true), ("pause key=k", 0, true)]
    {
        let before = world.frames.len();
        world = check_in(world, command);
        assert_eq!((world.frames.len() - before, key_is_paused(&world)), (frames, Some(paused)), "{command}");
    }
    assert_eq!(world.state.key_is_paused("q", "other"), None);
    assert_eq!(world.state.key_is_paused("other", "k"), None);
}

/// What is given back goes before all that waits, also when it has an ordering key.
#[test]
fn a_released_job_with_a_key_goes_before_jobs_without() {
    check(
        "enqueue key=k
         enqueue times=2
         lease                              -> 1
         release 1                          -> 1 ready
         lease 9                            -> 1 2 3",
    );
}
