//! Expiry: a job that has not started by `expires_at` never starts.

use crate::support::script::{check, check_in};
use crate::support::{World, job, job_with};
use tidegate_core::command::{Command, Enqueue, Lease, NewJobMore, Release, Request, Work};
use tidegate_core::id::When;
use tidegate_core::limits::EXPIRE_PER_TURN;
use tidegate_core::outcome::Outcome;
use tidegate_core::record::{EndReason, Record};
use tidegate_core::state::Turn;

#[test]
fn a_job_that_has_not_started_in_time_is_dead() {
    check(
        "enqueue expires_in=1000
         after 999
         show 1 state expires_in            -> ready, +1
         after 1
         show 1 state reason attempt failures -> dead, expired, 0/5, -
         lease                              -> none
         causes                             -> 1 expired \"\" like 1",
    );
}

#[test]
fn a_scheduled_job_expires_too() {
    check(
        "enqueue run_in=500 expires_in=501
         after 1000                         # one turn for both: expiry comes first
         show 1 state reason                -> dead, expired",
    );
}

#[test]
fn a_started_job_does_not_expire() {
    check(
        "enqueue expires_in=1000 attempts=2 delay=5000
         lease                              -> 1
         after 1000
         show 1 state                       -> leased
         fail 1                             -> 1 scheduled +5000
         after 5000
         lease                              -> 1
         complete 1                         -> 1 completed",
    );
}

#[test]
fn a_released_job_can_expire_again() {
    check(
        "enqueue expires_in=1000
         lease                              -> 1
         after 500
         release 1
         after 499
         show 1 state                       -> ready
         after 1
         show 1 state                       -> dead",
    );
}

#[test]
fn a_job_released_after_its_time_expires_at_once() {
    check(
        "enqueue expires_in=1000
         lease                              -> 1
         after 2000
         release 1                          -> 1 ready
         lease                              -> none
         show 1 state reason                -> dead, expired",
    );
}

/// Given back and asked for in one call: there is no moment between at which time could have ended it.
#[test]
fn a_job_released_after_its_time_is_not_handed_out_in_the_same_turn() {
    let mut world = World::new();
    let more = NewJobMore { expires_at: Some(When::In(1_000)), ..NewJobMore::default() };
    let id = world.add("q", job_with(more));
    let leased = world.lease_one("q");
    world.after(2_000);
    let worked = world.work(Work {
        release: vec![Release { id, token: leased.token }],
        lease: Some(Lease { queues: vec!["q".into()], max: 1, ..Lease::default() }),
        ..Work::default()
    });
    assert_eq!(worked.leased, [], "a stale alarm is never delivered late");
    assert_eq!(world.job(id).reason, EndReason::Expired);
}

/// More have expired than one turn ends, and a worker asks in that very turn.
#[test]
fn what_has_expired_is_not_handed_out_while_it_waits_for_its_turn_to_end() {
    let mut world = World::new();
    let more = NewJobMore { expires_at: Some(When::In(1_000)), ..NewJobMore::default() };
    let mut enqueue = Enqueue::new("q");
    enqueue.kind("work");
    enqueue.jobs = vec![job_with(more); 2 * EXPIRE_PER_TURN];
    world.decide(Command::Enqueue(enqueue));
    let fresh = world.add("q", job());
    world.now = world.now.plus(1_000);

    let mut leased = Vec::new();
    for turns in 1..1_000 {
        let mut records: Vec<Record> = Vec::new();
        let mut turn = Turn::new(&mut records);
        world.state.begin_turn(world.next_frame(), world.now);
        let more = world.state.expire(&mut turn);
        let lease = Lease { queues: vec!["q".into()], max: 10, ..Lease::default() };
        let command = Command::Work(Work { lease: Some(lease), ..Work::default() });
        let decided = world.state.decide(Request { idempotency: None, command }, &mut turn);
        let Outcome::Worked(worked) = decided.outcome else { panic!("work answers with its parts") };
        leased.extend(worked.leased.iter().map(|job| job.id));
        assert!(turn.ended.len() <= 2 * EXPIRE_PER_TURN, "a lease has a share of its own");
        if !more {
            assert!(turns > 1, "one turn did not end them all");
            break;
        }
    }
    assert_eq!(leased, [fresh]);
}

#[test]
fn a_redriven_job_has_all_the_time_it_needs() {
    check(
        "enqueue expires_in=1000
         after 1000
         show 1 state                       -> dead
         redrive                            -> 1 moved, done
         show 1 expires_in                  -> -
         after 9000
         lease                              -> 1",
    );
}

#[test]
fn an_expired_job_gives_its_ordering_keys_turn_to_the_next() {
    check(
        "enqueue key=k expires_in=1000 | key=k
         after 1000
         readied                            -> q
         lease                              -> 2",
    );
}

#[test]
fn what_could_never_start_in_time_is_refused() {
    check(
        "enqueue expires_in=0               -> refused already_expired
         enqueue run_in=1000 expires_in=1000 -> refused already_expired
         enqueue run_in=1000 expires_in=1001 -> 1 scheduled +1000",
    );
}

/// A job written anew brings its time limit along, and whether it still counts.
#[test]
fn a_started_job_does_not_expire_after_a_restart_from_a_walk_on() {
    for (done, later) in [("", "leased"), ("fail 1", "scheduled"), ("release 1", "dead")] {
        let mut world = check_in(
            World::new(),
            &format!("enqueue expires_in=1000 attempts=2 delay=5000\nlease -> 1\n{done}"),
        );
        let target = world.next_frame();
        world.walk(target, |_| ());
        world.state = world.replayed_from(target);
        check_in(world, &format!("after 1000\nshow 1 state -> {later}"));
    }
}
