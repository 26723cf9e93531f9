//! A job's life: each step there is, and each that is refused.

use crate::support::script::check;
use crate::support::{World, job};
use tidegate_core::command::{Command, Complete, Extend, Fail, Lease, Release, Request, Work};
use tidegate_core::id::{JobId, Token};
use tidegate_core::outcome::{Item, Outcome, Refusal};
use tidegate_core::state::Turn;
use tidegate_core::view::JobState;

#[test]
fn a_job_is_ready_then_leased_then_completed() {
    check(
        "enqueue                            -> 1 ready
         show 1 state attempt waiting_for   -> ready, 0/5, worker
         lease worker=anna                  -> 1
         show 1 state attempt worker lease_in waiting_for -> leased, 1/5, anna, +30000, -
         complete 1 result=50               -> 1 completed
         show 1 state worker payload result reason ended -> completed, -, 0, 50, none, +0
         queue counts                       -> 1 completed",
    );
}

#[test]
fn a_delayed_job_is_scheduled_until_its_moment() {
    check(
        "enqueue run_in=1000                -> 1 scheduled +1000
         show 1 waiting_for run_in position -> run_at, +1000, -
         after 999
         lease                              -> none
         after 1
         show 1 state run_in                -> ready, -
         lease                              -> 1",
    );
}

#[test]
fn a_run_at_that_has_passed_means_at_once() {
    check("enqueue run_in=0 -> 1 ready");
}

#[test]
fn a_failed_job_waits_for_its_retry_and_runs_again() {
    check(
        "enqueue attempts=3 delay=1000      -> 1 ready
         lease worker=anna                  -> 1
         fail 1 kind=io dependency=disk : no room -> 1 scheduled +1000
         show 1 waiting_for attempt failures -> retry, 1/3, 1 by anna io disk \"no room\"
         after 1000
         lease                              -> 1
         show 1 attempt                     -> 2/3",
    );
}

#[test]
fn a_lapsed_lease_is_a_failed_attempt() {
    check(
        "enqueue attempts=2 delay=1000
         lease for=5000 worker=anna         -> 1
         after 4999
         show 1 state lease_in              -> leased, +1
         after 1
         show 1 state attempt run_in        -> scheduled, 1/2, +1000
         show 1 failures                    -> 1 by anna lease_lapsed \"the lease lapsed: nothing was heard of worker anna in time\"
         complete 1                         -> refused stale_token
         after 1000
         lease for=5000                     -> 1
         after 5000
         show 1 state reason                -> dead, attempts_exhausted",
    );
}

#[test]
fn an_extended_lease_lapses_later_and_keeps_progress_for_the_next_attempt() {
    check(
        "enqueue attempts=3
         lease for=5000                     -> 1
         after 4000
         extend 1 for=10000 progress=half   -> 1 leased +10000
         after 9999
         show 1 state progress              -> leased, half
         extend 1 for=5000                  -> 1 leased +5000
         show 1 progress                    -> half
         after 5000
         show 1 state progress              -> scheduled, half",
    );
    let mut world = World::new();
    let id = world.add("q", job());
    let first = world.lease_one("q");
    assert_eq!(first.more, None, "nobody has reported anything");
    let progress = Some(b"half".as_slice().into());
    let extend = vec![Extend { id, token: first.token, lease_ms: None, progress }];
    world.work(Work { extend, ..Work::default() });
    world.fail_with(&first, "it broke", Some(0), false);
    let more = world.lease_one("q").more.expect("the next attempt gets the progress");
    assert_eq!(more.progress.as_deref(), Some(b"half".as_slice()));
}

#[test]
fn an_extension_that_names_no_time_takes_the_queues_lease() {
    check(
        "configure lease_ms=7000            -> done
         enqueue
         lease for=20000                    -> 1
         extend 1                           -> 1 leased +7000",
    );
}

#[test]
fn a_lease_is_never_shorter_than_a_second_nor_longer_than_twelve_hours() {
    check(
        "enqueue times=2
         lease for=1                        -> 1
         show 1 lease_in                    -> +1000
         extend 1 for=1                     -> 1 leased +1000
         lease for=99000000                 -> 2
         show 2 lease_in                    -> +43200000",
    );
}

#[test]
fn a_released_job_is_ready_again_and_no_attempt_is_counted() {
    check(
        "enqueue
         lease                              -> 1
         release 1                          -> 1 ready
         show 1 state attempt worker failures -> ready, 0/5, -, -
         complete 1                         -> refused not_leased ready
         lease                              -> 1
         complete 1@1                       -> refused stale_token
         complete 1                         -> 1 completed",
    );
}

#[test]
fn a_job_is_cancelled_from_anywhere_before_its_end() {
    check(
        "enqueue run_in=1000 | key=k | key=k | kind=work
         lease 2                            -> 2 4
         cancel 1                           -> 1 cancelled
         cancel 3                           -> 3 cancelled   # waits for its key
         cancel 4                           -> 4 cancelled   # leased
         cancel 4                           -> 4 cancelled   # said twice
         show 4 reason payload worker       -> cancelled, 0, -
         complete 4                         -> refused job_ended cancelled
         queue counts                       -> 1 leased 3 cancelled
         after 1000
         lease 5                            -> none",
    );
}

#[test]
fn what_has_ended_cannot_be_cancelled() {
    check(
        "enqueue times=2
         lease 2                            -> 1 2
         complete 1
         fail 2 fatal                       -> 2 dead
         cancel 1                           -> refused job_ended completed
         cancel 2                           -> refused job_ended dead",
    );
}

#[test]
fn a_stale_token_changes_nothing() {
    for settle in ["complete 1@1", "fail 1@1", "extend 1@1", "release 1@1"] {
        check(&format!(
            "enqueue attempts=3 delay=1000
             lease                          -> 1
             fail 1                         -> 1 scheduled +1000
             {settle}                       -> refused stale_token   # its lease is over
             after 1000
             {settle}                       -> refused stale_token
             lease for=9000                 -> 1
             {settle}                       -> refused stale_token   # someone else has it
             show 1 state attempt lease_in  -> leased, 2/3, +9000
             complete 1@2                   -> 1 completed"
        ));
    }
}

#[test]
fn what_was_never_leased_cannot_be_settled() {
    for settle in ["complete 1@0", "fail 1@0", "extend 1@0", "release 1@0"] {
        check(&format!(
            "enqueue | run_in=1000
             {settle}                       -> refused not_leased ready
             {}                             -> refused not_leased scheduled",
            settle.replace('1', "2")
        ));
    }
}

#[test]
fn what_has_ended_cannot_be_settled() {
    for settle in ["fail 1", "extend 1", "release 1"] {
        check(&format!(
            "enqueue
             lease                          -> 1
             complete 1                     -> 1 completed
             {settle}                       -> refused job_ended completed"
        ));
    }
    check(
        "enqueue
         lease                              -> 1
         fail 1 fatal                       -> 1 dead
         complete 1                         -> refused job_ended dead",
    );
}

#[test]
fn completing_again_with_the_token_that_did_it_gets_the_same_answer() {
    check(
        "enqueue attempts=2 delay=0
         lease                              -> 1
         fail 1                             -> 1 ready
         lease                              -> 1
         complete 1                         -> 1 completed
         complete 1                         -> 1 completed
         complete 1@1                       -> refused job_ended completed",
    );
}

#[test]
fn unknown_jobs_are_refused_by_name() {
    for ask in ["complete 7", "fail 7", "extend 7", "release 7", "cancel 7", "edit 7"] {
        check(&format!("{ask} -> refused job_not_found"));
    }
}

#[test]
fn a_job_of_another_shard_is_not_found() {
    let mut world = World::new();
    let id = world.add("q", job());
    let elsewhere = JobId::new(1, id.sequence());
    assert_eq!(world.decide(Command::Cancel(elsewhere)), Outcome::Refused(Refusal::JobNotFound));
    assert_eq!(world.state.job(elsewhere), None);
    assert_eq!(world.job(id).state, JobState::Ready);
}

#[test]
fn a_job_named_twice_in_one_list_is_settled_once() {
    check(
        "enqueue attempts=3 times=4
         lease 4                            -> 1 2 3 4
         complete 1 1 result=9              -> 2 times 1 completed
         show 1 result                      -> 9
         fail 2 2                           -> 2 scheduled +1000, refused stale_token
         show 2 attempt                     -> 1/3
         extend 3 3                         -> 2 times 3 leased +30000
         release 4 4                        -> 4 ready, refused not_leased ready
         queue counts                       -> 1 scheduled 1 ready 1 leased 1 completed",
    );
}

#[test]
fn results_of_a_list_stay_with_their_jobs() {
    let mut world = World::new();
    for _ in 0..3 {
        world.add("q", job());
    }
    let leased = world.lease("q", 3);
    let lens = [0, 70, 40];
    let complete: Vec<Complete> = leased
        .iter()
        .zip(lens)
        .map(|(job, result_len)| Complete { id: job.id, token: job.token, result_len })
        .collect();
    let placed = world.turn(|state, turn: &mut Turn<'_>| {
        let command = Command::Work(Work { complete, ..Work::default() });
        state.decide(Request { idempotency: None, command }, turn);
        (turn.placed.clone(), turn.blob_cursor)
    });
    assert_eq!(placed, (vec![1, 2], 110), "the results to append, and the room they take");
    let results: Vec<(u32, u32)> =
        leased.iter().map(|job| world.job(job.id).result).map(|blob| (blob.offset, blob.len)).collect();
    assert_eq!(results[1..], [(0, 70), (70, 40)]);
    assert_eq!(results[0].1, 0);
}

/// Complete, fail, extend, release and lease in one call: the lease sees what the others did.
#[test]
fn one_round_trip_settles_and_leases() {
    let mut world = World::new();
    let ids: Vec<JobId> = (0..5).map(|_| world.add("q", job())).collect();
    let leased = world.lease("q", 4);
    let lease_of = |n: usize| (leased[n].id, leased[n].token);
    let ((done, t0), (failed, t1), (longer, t2), (back, t3)) =
        (lease_of(0), lease_of(1), lease_of(2), lease_of(3));
    let worked = world.work(Work {
        complete: vec![Complete { id: done, token: t0, result_len: 0 }],
        fail: vec![Fail {
            id: failed,
            token: t1,
            message: "it broke".into(),
            kind: None,
            dependency: None,
            retry_after_ms: Some(0),
            fatal: false,
        }],
        extend: vec![Extend { id: longer, token: t2, lease_ms: Some(60_000), progress: None }],
        release: vec![Release { id: back, token: t3 }],
        lease: Some(Lease { queues: vec!["q".into()], max: 10, ..Lease::default() }),
    });
    let states: Vec<JobState> = [worked.complete, worked.fail, worked.extend, worked.release]
        .into_iter()
        .flatten()
        .map(|item| match item {
            Item::Is { state, .. } => state,
            other => panic!("it is settled, not {other:?}"),
        })
        .collect();
    assert_eq!(states, [JobState::Completed, JobState::Ready, JobState::Leased, JobState::Ready]);
    let handed_out: Vec<JobId> = worked.leased.iter().map(|job| job.id).collect();
    assert_eq!(handed_out, [back, ids[4], failed], "what was given back is first, what failed is last");
    assert!(worked.leased.iter().all(|job| job.token > t3), "tokens only rise");
}

#[test]
fn tokens_rise_with_every_lease_of_the_shard() {
    let mut world = World::new();
    let mut last = Token(0);
    for queue in ["a", "b", "a"] {
        world.add(queue, job());
        let job = world.lease_one(queue);
        assert!(job.token > last);
        last = job.token;
        world.work(Work { release: vec![Release { id: job.id, token: job.token }], ..Work::default() });
    }
}

#[test]
fn a_turn_names_what_ended_and_which_queues_got_work() {
    check(
        "enqueue
         readied                            -> q
         enqueue run_in=1000
         readied                            ->
         after 1000
         readied                            -> q
         lease 2                            -> 1 2
         readied                            ->
         release 1                          -> 1 ready
         readied                            -> q",
    );
    let mut world = World::new();
    let id = world.add("q", job());
    let ended = world.turn(|state, turn| {
        state.decide(Request { idempotency: None, command: Command::Cancel(id) }, turn);
        turn.ended.clone()
    });
    assert_eq!(ended, [id]);
}

#[test]
fn only_a_dead_job_can_be_edited() {
    check(
        "enqueue len=100
         edit 1                             -> refused not_dead ready
         lease                              -> 1
         edit 1                             -> refused not_dead leased
         fail 1 fatal                       -> 1 dead
         edit 1 len=60                      -> 1 dead
         show 1 payload                     -> 60",
    );
}

#[test]
fn a_turn_that_brings_no_job_that_may_run_names_no_queue() {
    check(
        "enqueue key=k
         readied                            -> q
         enqueue key=k                      # it waits for the first
         readied                            ->
         enqueue run_in=1000
         readied                            ->
         after 1000
         readied                            -> q
         pause
         resume
         readied                            -> q
         lease 9                            -> 1 3
         pause
         resume                             # nothing is there to be leased
         readied                            ->",
    );
}
