//! Idempotency keys: the same key, the same answer; the effect at most once.

use crate::support::script::{check, check_in};
use crate::support::{World, job};
use tidegate_core::JobId;
use tidegate_core::command::{Command, IdempotencyKey, Lease, Request, Work};
use tidegate_core::limits::{EXPIRE_PER_TURN, IDEMPOTENCY_MS, IDEMPOTENCY_MS_MIN};
use tidegate_core::outcome::{Outcome, Refusal};
use tidegate_core::state::StateLimits;

#[test]
fn the_same_key_gets_the_same_answer_and_nothing_happens_again() {
    check(
        "as a/1 enqueue | run_in=1000 | expires_in=0 -> 1 ready, 2 scheduled +1000, refused already_expired
         as a/1 enqueue | run_in=1000 | expires_in=0 \
         -> again: 1 ready, 2 scheduled +1000, refused already_expired
         lease                              -> 1
         after 1000
         as a/1 enqueue | run_in=1000 | expires_in=0 \
         -> again: 1 ready, 2 scheduled +0, refused already_expired
         queue counts                       -> 1 ready 1 leased",
    );
}

#[test]
fn the_same_key_for_another_request_is_refused() {
    check(
        "as a/1 enqueue                     -> 1 ready
         as a/2 enqueue                     -> refused idempotency_mismatch
         as b/2 enqueue                     -> 2 ready
         as a/1 enqueue                     -> again: 1 ready",
    );
}

#[test]
fn every_command_is_answered_again() {
    check(
        "as a/1 configure lease_ms=5000     -> done
         as a/1 configure lease_ms=5000     -> again: done
         enqueue times=6
         as b/1 cancel 6                    -> 6 cancelled
         as b/1 cancel 6                    -> again: 6 cancelled
         as c/1 cancel 9                    -> refused job_not_found
         as c/1 cancel 9                    -> again: refused job_not_found
         lease 5
         as d/1 complete 1 2                -> 1 completed, 2 completed
         as d/1 complete 1 2                -> again: 1 completed, 2 completed
         as e/1 fail 3 fatal                -> 3 dead
         as e/1 fail 3 fatal                -> again: 3 dead
         as f/1 extend 4                    -> 4 leased +5000
         as f/1 extend 4                    -> again: 4 leased +5000
         as g/1 release 5                   -> 5 ready
         as g/1 release 5                   -> again: 5 ready
         as h/1 pause                       -> done
         resume
         as h/1 pause                       -> again: done
         queue paused                       -> false
         as i/1 edit 3                      -> 3 dead
         as i/1 edit 3                      -> again: 3 dead
         as j/1 redrive                     -> 1 moved, done
         as j/1 redrive                     -> again: 1 moved, done
         as k/1 delete_dead                 -> 0 deleted
         as k/1 delete_dead                 -> again: 0 deleted",
    );
}

/// On disk a state and a refusal may have the same number: the items are told apart all the same.
#[test]
fn a_completion_and_a_stale_token_side_by_side_are_answered_again() {
    check(
        "enqueue times=3
         lease 3                            -> 1 2 3
         as a/1 complete 1 2@0 3            -> 1 completed, refused stale_token, 3 completed
         as a/1 complete 1 2@0 3            -> again: 1 completed, refused stale_token, 3 completed
         as b/1 complete 2@0 2              -> refused stale_token, 2 completed
         as b/1 complete 2@0 2              -> again: refused stale_token, 2 completed",
    );
}

/// Alike items with rising ids are kept as a run; these are alike and are none.
#[test]
fn items_with_gaps_between_their_ids_are_answered_again() {
    check(
        "enqueue times=6
         lease 6
         as a/1 complete 1 3 4 6            -> 1 completed, 3 completed, 4 completed, 6 completed
         as a/1 complete 1 3 4 6            -> again: 1 completed, 3 completed, 4 completed, 6 completed
         as b/1 complete 5 2                -> 5 completed, 2 completed
         as b/1 complete 5 2                -> again: 5 completed, 2 completed",
    );
}

#[test]
fn bulk_commands_are_answered_again_with_their_own_numbers() {
    check(
        "enqueue times=3
         enqueue times=2 queue=other
         lease 9
         lease 9 from=other
         fail 1 2 3 4 5 fatal
         as a/1 redrive rate=1              -> 1 moved, under way
         as b/1 redrive queue=other         -> 2 moved, done
         as a/1 redrive rate=1              -> again: 1 moved, under way
         as b/1 redrive queue=other         -> again: 2 moved, done
         as c/1 delete_dead                 -> 2 deleted
         as c/1 delete_dead                 -> again: 2 deleted
         as d/1 cancel 4                    -> 4 cancelled
         as e/1 edit 4                      -> refused not_dead cancelled
         as e/1 edit 4                      -> again: refused not_dead cancelled",
    );
}

#[test]
fn an_answer_that_only_says_not_now_is_not_kept() {
    check(
        "configure jobs_max=1
         enqueue
         as a/1 enqueue times=2             -> 2 times refused queue_full 1
         as b/1 lease from=empty            -> none
         lease                              -> 1
         complete 1
         as a/1 enqueue times=2             -> 2 ready, refused queue_full 1
         as a/1 enqueue times=2             -> again: 2 ready, refused queue_full 1
         enqueue queue=empty                -> 3 ready
         as b/1 lease from=empty            -> 3",
    );
}

#[test]
fn a_keyed_lease_shows_only_what_still_stands() {
    check(
        "enqueue times=4 | kind=other
         as a/1 lease 4                     -> 1 2 3 4
         as a/1 lease 4                     -> again: 1 2 3 4
         complete 1
         release 2
         as a/1 lease 4                     -> again: 3 4
         lease                              -> 2           # under a token of its own
         as a/1 lease 4                     -> again: 3 4
         after 30000
         as a/1 lease 4                     -> again: none",
    );
}

#[test]
fn an_answer_is_kept_for_a_day() {
    check(&format!(
        "as a/1 enqueue                     -> 1 ready
         after {}
         as a/1 enqueue                     -> again: 1 ready
         after 1
         as a/2 enqueue                     -> 2 ready",
        IDEMPOTENCY_MS - 1
    ));
}

fn small() -> World {
    World::with_limits(StateLimits { idempotency_records_max: 2, ..StateLimits::default() })
}

#[test]
fn when_there_is_no_room_the_oldest_answer_goes() {
    check_in(
        small(),
        &format!(
            "as a/1 enqueue                 -> 1 ready
             after 1
             as b/1 enqueue                 -> 2 ready
             after {IDEMPOTENCY_MS_MIN}
             as c/1 enqueue                 -> 3 ready
             as b/1 enqueue                 -> again: 2 ready
             as a/1 enqueue                 -> 4 ready     # forgotten, and b with it now
             as b/1 enqueue                 -> refused idempotency_full +{IDEMPOTENCY_MS_MIN}
             as c/1 enqueue                 -> again: 3 ready"
        ),
    );
}

#[test]
fn an_answer_is_always_kept_for_five_minutes_and_new_keys_are_refused_instead() {
    check_in(
        small(),
        &format!(
            "as a/1 enqueue                 -> 1 ready
             as b/1 enqueue                 -> 2 ready
             after 1000
             as c/1 enqueue                 -> refused idempotency_full +{}
             queue counts                   -> 2 ready
             enqueue                        -> 3 ready     # without a key nothing stands in the way
             as a/1 enqueue                 -> again: 1 ready
             after {}
             as c/1 enqueue                 -> 4 ready",
            IDEMPOTENCY_MS_MIN - 1_000,
            IDEMPOTENCY_MS_MIN - 1_000
        ),
    );
}

/// Room is only made by a record: a request that changes nothing must not cost another caller its answer.
#[test]
fn an_answer_that_is_not_kept_makes_no_room() {
    check_in(
        small(),
        &format!(
            "as a/1 enqueue                 -> 1 ready
             as b/1 enqueue                 -> 2 ready
             after {IDEMPOTENCY_MS_MIN}
             as c/1 lease from=empty        -> none
             as a/1 enqueue                 -> again: 1 ready"
        ),
    );
}

/// A walk writes answers anew in the order of their places in memory, which are used again; the oldest goes first all the same.
#[test]
fn the_oldest_answer_goes_first_also_after_a_restart_from_a_walk_on() {
    let mut world = check_in(
        small(),
        &format!(
            "as a/1 enqueue                 -> 1 ready
             after 1
             as b/1 enqueue                 -> 2 ready
             after {IDEMPOTENCY_MS_MIN}
             as c/1 enqueue                 -> 3 ready     # in the place of a"
        ),
    );
    let target = world.next_frame();
    world.walk(target, |_| ());
    world.state = world.replayed_from(target);
    check_in(
        world,
        "as d/1 enqueue -> 4 ready\nas c/1 enqueue -> again: 3 ready\nas d/1 enqueue -> again: 4 ready",
    );
}

#[test]
fn of_two_answers_of_one_moment_the_first_goes_first_also_after_a_restart() {
    let mut world = check_in(
        small(),
        &format!(
            "as b/1 enqueue                 -> 1 ready
             as a/1 enqueue                 -> 2 ready
             after {IDEMPOTENCY_MS_MIN}"
        ),
    );
    world.state = world.replayed_from(0);
    check_in(world, "as c/1 enqueue -> 3 ready\nas a/1 enqueue -> again: 2 ready");
}

#[test]
fn a_replayed_lease_hands_the_jobs_out_whole() {
    let mut world = World::new();
    world.add("q", job());
    let lease = |world: &mut World| {
        let idempotency = Some(IdempotencyKey { key: "a".into(), fingerprint: [1, 2] });
        let lease = Lease { queues: vec!["q".into()], max: 1, worker: "w".into(), ..Lease::default() };
        let command = Command::Work(Work { lease: Some(lease), ..Work::default() });
        let decided = world.turn(|state, turn| state.decide(Request { idempotency, command }, turn));
        let Outcome::Worked(worked) = decided.outcome else { panic!("work answers with its parts") };
        (decided.replayed, worked.leased)
    };
    let (first, leased) = lease(&mut world);
    let (second, again) = lease(&mut world);
    assert_eq!((first, second), (false, true));
    assert_eq!(leased, again);
    assert_eq!(leased.len(), 1);
}

/// A turn forgets so many answers whose time is over; those that it has not come to are over all the same.
#[test]
fn an_answers_time_is_over_at_its_moment_however_many_there_are() {
    let mut world = World::new();
    let cancel = |world: &mut World, n: usize, fingerprint: u64| {
        let idempotency = Some(IdempotencyKey { key: format!("key-{n}"), fingerprint: [fingerprint, 0] });
        let command = Command::Cancel(JobId::new(0, 9));
        world.turn(|state, turn| state.decide(Request { idempotency, command }, turn))
    };
    let many = EXPIRE_PER_TURN + 10;
    for n in 0..many {
        cancel(&mut world, n, 1);
    }
    let last = many - 1;
    world.now = world.now.plus(IDEMPOTENCY_MS - 1);
    assert!(cancel(&mut world, last, 1).replayed);
    assert!(world.state.remembers(&format!("key-{last}")) && !world.state.remembers("key"));
    world.now = world.now.plus(1);
    let again = cancel(&mut world, last, 2);
    assert_eq!((again.replayed, again.outcome), (false, Outcome::Refused(Refusal::JobNotFound)));
    assert!(!world.state.remembers(&format!("key-{}", last - 1)));
}
