//! Unique keys: how long a job has one, and what happens to the next that wants it.

use crate::support::script::check;

/// Runs a script for each answer to a conflict; `CONFLICT` in it stands for what the second job hears from job 1.
fn check_taken(state: &str, until: &str, before: &str) {
    for (conflict, heard) in
        [("reject", "refused unique_conflict 1".to_string()), ("return", format!("duplicate of 1 {state}"))]
    {
        check(&format!(
            "enqueue unique=u until={until} attempts=3 delay=1000 -> 1 ready
             {before}
             enqueue unique=u until={until} conflict={conflict} -> {heard}
             enqueue unique=other           -> 2 ready"
        ));
    }
}

fn check_free(until: &str, before: &str) {
    for conflict in ["reject", "return", "replace"] {
        check(&format!(
            "enqueue unique=u until={until} attempts=3 delay=1000 -> 1 ready
             {before}
             enqueue unique=u until={until} conflict={conflict} -> 2 ready"
        ));
    }
}

#[test]
fn until_completed_holds_the_key_to_the_end_of_the_job() {
    check_taken("ready", "completed", "");
    check_taken("leased", "completed", "lease -> 1");
    check_taken("scheduled", "completed", "lease -> 1\nfail 1");
    check_free("completed", "lease -> 1\ncomplete 1");
    check_free("completed", "lease -> 1\nfail 1 fatal");
    check_free("completed", "cancel 1");
}

#[test]
fn until_started_holds_the_key_to_the_first_attempt() {
    check_taken("ready", "started", "");
    check_free("started", "lease -> 1");
    check_free("started", "lease -> 1\nfail 1");
    check_free("started", "lease -> 1\nrelease 1");
    check_free("started", "cancel 1");
}

#[test]
fn a_duration_holds_the_key_whatever_becomes_of_the_job() {
    check_taken("ready", "5000", "after 4999");
    check_taken("completed", "5000", "lease -> 1\ncomplete 1\nafter 4999");
    check_taken("dead", "5000", "lease -> 1\nfail 1 fatal");
    check_taken("cancelled", "5000", "cancel 1");
    check_free("5000", "after 5000");
    check_free("5000", "lease -> 1\ncomplete 1\nafter 5000");
}

#[test]
fn a_duration_outlives_even_the_memory_of_the_job() {
    check(
        "configure retain_ms=1000
         enqueue unique=u until=9000
         lease                              -> 1
         complete 1
         after 1000
         show 1                             -> not kept
         enqueue unique=u until=9000 conflict=return -> duplicate of 1 completed
         after 8000
         enqueue unique=u                   -> 2 ready",
    );
}

#[test]
fn replacing_cancels_the_job_that_waits() {
    check(
        "enqueue unique=u run_in=1000
         enqueue unique=u conflict=replace  -> 2 ready
         show 1 state reason                -> cancelled, replaced
         enqueue unique=u                   -> refused unique_conflict 2
         after 1000
         lease 9                            -> 2",
    );
}

#[test]
fn a_leased_job_is_not_replaced() {
    check(
        "enqueue unique=u
         lease                              -> 1
         enqueue unique=u conflict=replace  -> refused unique_conflict 1
         complete 1                         -> 1 completed",
    );
}

#[test]
fn replacing_what_has_ended_takes_over_the_rest_of_its_duration() {
    check(
        "enqueue unique=u until=9000
         lease                              -> 1
         complete 1
         enqueue unique=u until=1000 conflict=replace -> 2 ready
         show 1 state                       -> completed
         enqueue unique=u                   -> refused unique_conflict 2
         after 1000
         enqueue unique=u                   -> 3 ready",
    );
}

#[test]
fn replacing_the_job_with_an_ordering_keys_turn_moves_the_key_on() {
    check(
        "enqueue key=k unique=u | key=k
         enqueue key=k unique=u conflict=replace -> 3 ready
         lease 9                            -> 2
         complete 2
         lease 9                            -> 3",
    );
}

#[test]
fn jobs_of_one_batch_are_judged_one_after_another() {
    check(
        "enqueue unique=u | unique=u | unique=u conflict=return | unique=v \
         -> 1 ready, refused unique_conflict 1, duplicate of 1 ready, 2 ready",
    );
    check(
        "enqueue | unique=u | unique=u conflict=replace | unique=u conflict=replace | key=k | key=k \
         -> 1 ready, 2 ready, 3 ready, 4 ready, 5 ready, 6 ready
         queue counts                       -> 4 ready 2 cancelled
         lease 9                            -> 1 4 5",
    );
}

#[test]
fn a_unique_key_is_a_matter_of_its_queue() {
    check(
        "enqueue queue=a unique=u           -> 1 ready
         enqueue queue=b unique=u           -> 2 ready",
    );
}

#[test]
fn a_refused_job_takes_no_unique_key() {
    check(
        "configure jobs_max=1
         enqueue
         enqueue unique=u                   -> refused queue_full 1
         lease                              -> 1
         complete 1
         enqueue unique=u                   -> 2 ready",
    );
}

#[test]
fn a_redriven_job_takes_its_unique_key_again() {
    check(
        "enqueue unique=u
         lease                              -> 1
         fail 1 fatal
         redrive                            -> 1 moved, done
         enqueue unique=u                   -> refused unique_conflict 1
         lease                              -> 1
         complete 1
         enqueue unique=u                   -> 2 ready",
    );
}

#[test]
fn a_redriven_job_runs_without_its_unique_key_if_another_has_it() {
    check(
        "enqueue unique=u
         lease                              -> 1
         fail 1 fatal
         enqueue unique=u                   -> 2 ready
         redrive                            -> 1 moved, done
         enqueue unique=u                   -> refused unique_conflict 2
         lease 9                            -> 2 1
         complete 1
         enqueue unique=u                   -> refused unique_conflict 2
         complete 2
         enqueue unique=u                   -> 3 ready",
    );
}

#[test]
fn a_duration_is_not_taken_again_by_a_redrive() {
    check(
        "enqueue unique=u until=5000
         lease                              -> 1
         fail 1 fatal
         after 5000
         redrive                            -> 1 moved, done
         enqueue unique=u                   -> 2 ready",
    );
}

#[test]
fn a_full_queue_is_full_even_for_a_job_that_would_replace_another() {
    for conflict in ["replace", "return", "reject"] {
        check(&format!(
            "configure jobs_max=1
             enqueue unique=u               -> 1 ready
             enqueue unique=u conflict={conflict} -> refused queue_full 1
             show 1 state                   -> ready"
        ));
    }
}
