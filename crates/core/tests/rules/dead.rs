//! Dead letters: what they keep, how they are grouped, moved back and deleted.

use crate::support::script::{check, check_in};
use crate::support::{World, accepted, job};
use tidegate_core::command::{Command, DeadFilter, Fail, Redrive, Work};
use tidegate_core::id::JobId;
use tidegate_core::limits::REDRIVE_PER_TURN;
use tidegate_core::outcome::Outcome;
use tidegate_core::view::{JobFilter, JobState};

#[test]
fn a_dead_letter_keeps_its_payload_and_every_error() {
    check(
        "enqueue len=100 attempts=2 delay=100
         lease worker=anna                  -> 1
         fail 1 kind=io : one
         after 100
         lease worker=bert                  -> 1
         fail 1 dependency=mail : two       -> 1 dead
         show 1 payload attempt ended       -> 100, 2/2, +0
         show 1 failures                    -> 1 by anna io \"one\"; 2 by bert mail \"two\"",
    );
}

#[test]
fn a_dead_letter_is_kept_whatever_the_retention() {
    check(
        "configure retain_ms=1 retain_max=0
         enqueue
         lease
         fail 1 fatal
         after 9000
         show 1 state                       -> dead",
    );
}

#[test]
fn dead_letters_that_died_alike_are_one_cause() {
    check(
        "enqueue times=4 | kind=other
         lease 9                            -> 1 2 3 4 5
         fail 1 fatal : user 17 not found
         after 1
         fail 2 fatal : user 4 not found
         fail 3 fatal kind=db : user 4 not found
         fail 4 fatal : no user
         fail 5 fatal : user 4 not found
         causes -> 2 fatal \"user 4 not found\" like 2, 1 fatal \"no user\" like 4, \
                   1 fatal db \"user 4 not found\" like 3, 1 fatal \"user 4 not found\" like 5",
    );
}

/// However long its job's and its error's kinds are.
#[test]
fn the_first_200_bytes_of_a_message_make_its_cause() {
    let alike = "x".repeat(199);
    check(&format!(
        "enqueue times=3 kind=a-kind-with-quite-a-long-name
         lease 9                            -> 1 2 3
         fail 1 2 fatal : {alike}yellow
         fail 3 fatal : {alike}zebra
         causes                             -> 2 fatal \"{alike}yellow\" like 2, 1 fatal \"{alike}zebra\" like 3"
    ));
    check(&format!(
        "enqueue times=2
         lease 9                            -> 1 2
         fail 1 fatal : {alike}yellow
         fail 2 fatal : {alike}yes
         causes                             -> 2 fatal \"{alike}yes\" like 2"
    ));
}

/// It once went on to name a job that was deleted, and a restart from a trimmed log told other times than the process before.
#[test]
fn a_cause_is_told_by_those_that_are_still_there() {
    check(
        "enqueue times=3
         lease 3
         fail 1 fatal : disk 1 is full
         after 5
         fail 2 fatal : disk 2 is full
         after 5
         fail 3 fatal : disk 3 is full
         causes                             -> 3 fatal \"disk 3 is full\" like 3
         delete_dead ids=3                  -> 1 deleted
         causes                             -> 2 fatal \"disk 2 is full\" like 2
         delete_dead ids=1                  -> 1 deleted
         causes                             -> 1 fatal \"disk 2 is full\" like 2",
    );
}

#[test]
fn a_cause_is_forgotten_with_the_last_that_died_of_it() {
    check(
        "enqueue times=2
         lease 2
         fail 1 2 fatal : disk 1 is full
         causes                             -> 2 fatal \"disk 1 is full\" like 2
         delete_dead ids=2                  -> 1 deleted
         redrive                            -> 1 moved, done
         causes                             ->",
    );
}

#[test]
fn dead_letters_are_listed_in_the_order_of_their_deaths() {
    let mut world = World::new();
    for _ in 0..3 {
        world.add("q", job());
    }
    let leased = world.lease("q", 3);
    for n in [2, 0, 1] {
        world.fail_with(&leased[n], "it broke", None, true);
    }
    let filter = JobFilter { queue: Some("q".into()), state: Some(JobState::Dead), ..JobFilter::default() };
    let first = world.state.list(&filter, 0, 2);
    let rest = world.state.list(&filter, first.next.expect("there are more"), 2);
    let listed: Vec<JobId> = first.jobs.iter().chain(&rest.jobs).map(|job| job.id).collect();
    assert_eq!(listed, [leased[2].id, leased[0].id, leased[1].id]);
    assert_eq!(rest.next, None);
}

#[test]
fn a_redriven_job_starts_its_attempts_anew_and_keeps_its_history() {
    check(
        "enqueue attempts=2 delay=100
         lease                              -> 1
         fail 1 : one
         after 100
         lease                              -> 1
         fail 1 : two                       -> 1 dead
         redrive                            -> 1 moved, done
         show 1 state attempt reason waiting_for -> ready, 2/4, none, worker
         lease                              -> 1
         fail 1 : three                     -> 1 scheduled +100   # the first delay again
         after 100
         lease                              -> 1
         fail 1 : four                      -> 1 dead
         show 1 attempt                     -> 4/4",
    );
}

#[test]
fn a_redriven_job_goes_to_the_back_of_its_priority() {
    check(
        "enqueue times=3
         lease                              -> 1
         fail 1 fatal
         redrive                            -> 1 moved, done
         readied                            -> q
         lease 9                            -> 2 3 1",
    );
}

/// Three dead letters that differ in kind, reason, error and time of death.
const DEAD: &str = "enqueue kind=a | kind=b | kind=b expires_in=1000
         lease 2                            -> 1 2
         fail 1 fatal : one
         after 500
         fail 2 fatal : two
         after 500
         queue counts                       -> 3 dead\n";

#[test]
fn a_filter_picks_which_dead_letters_are_moved_or_deleted() {
    for (filter, matching) in [
        ("", vec![1, 2, 3]),
        ("kind=b", vec![2, 3]),
        ("kind=nobody", vec![]),
        ("reason=fatal", vec![1, 2]),
        ("reason=expired", vec![3]),
        ("cause_of=2", vec![2]),
        ("before_ms_ago=500", vec![1]),
        ("before_ms_ago=499", vec![1, 2]),
        ("ids=1,3", vec![1, 3]),
        ("ids=3,3,9", vec![3]),
        ("ids=1,2 kind=b", vec![2]),
        ("kind=b reason=fatal", vec![2]),
    ] {
        let n = matching.len();
        let left = 3 - n;
        let counts = |word: &str| match (n, left) {
            (0, _) => "3 dead".to_string(),
            (_, 0) if word == "ready" => format!("{n} ready"),
            (_, 0) => "empty".to_string(),
            _ if word == "ready" => format!("{n} ready {left} dead"),
            _ => format!("{left} dead"),
        };
        let states = |word: &str, other: &str| {
            let line = |id: &i32| format!("show {id} {word} -> {other}\n");
            matching.iter().map(line).collect::<String>()
        };
        check(&format!(
            "{DEAD}
             redrive {filter}               -> {n} moved, done
             queue counts                   -> {}
             {}",
            counts("ready"),
            states("state", "ready")
        ));
        check(&format!(
            "{DEAD}
             delete_dead {filter}           -> {n} deleted
             queue counts                   -> {}",
            counts("gone")
        ));
    }
}

#[test]
fn dead_letters_of_an_unknown_queue_are_refused() {
    check(
        "redrive                            -> refused queue_not_found
         delete_dead                        -> refused queue_not_found",
    );
}

#[test]
fn jobs_of_another_queue_are_not_moved_by_their_ids() {
    check(
        "enqueue queue=other
         lease from=other                   -> 1
         fail 1 fatal
         enqueue
         redrive ids=1                      -> 0 moved, done
         delete_dead ids=1                  -> 0 deleted
         show 1 state                       -> dead",
    );
}

#[test]
fn what_is_not_dead_is_not_moved_nor_deleted() {
    check(
        "enqueue times=2
         lease                              -> 1
         complete 1
         redrive ids=1,2                    -> 0 moved, done
         delete_dead ids=1,2                -> 0 deleted
         queue counts                       -> 1 ready 1 completed",
    );
}

#[test]
fn a_redrive_keeps_its_pace() {
    for wanted in ["", "ids=1,2,3,4"] {
        check(&format!(
            "enqueue times=4
             lease 4
             fail 1 2 3 4 fatal
             redrive rate=2 {wanted}        -> 1 moved, under way
             after 499
             queue redrive                  -> 1 moved, under way
             after 1
             queue redrive counts           -> 2 moved, under way, 2 ready 2 dead
             after 1000
             queue redrive                  -> 4 moved, done
             lease 9                        -> 1 2 3 4"
        ));
    }
}

#[test]
fn a_redrive_takes_only_what_was_dead_when_it_began() {
    check(
        "enqueue times=3
         lease 3
         fail 1 2 fatal
         redrive rate=1                     -> 1 moved, under way
         fail 3 fatal
         after 9000
         queue redrive                      -> 2 moved, done
         show 3 state                       -> dead",
    );
}

#[test]
fn a_redrive_stops_when_too_many_die_again() {
    check(
        "enqueue times=5
         lease 5
         fail 1 2 3 4 5 fatal
         redrive rate=1 stop=2              -> 1 moved, under way
         lease                              -> 1
         fail 1 fatal
         after 1000
         queue redrive dead_again           -> 2 moved, under way, 1
         lease                              -> 2
         fail 2 fatal
         after 1000
         queue redrive dead_again           -> 2 moved, dead again, 2
         after 9000
         queue counts                       -> 5 dead",
    );
}

#[test]
fn a_death_of_another_cause_does_not_stop_a_redrive() {
    check(
        "enqueue times=3 | kind=work
         lease 3
         fail 1 2 3 fatal
         redrive rate=1 stop=1              -> 1 moved, under way
         lease kinds=work                   -> 4
         fail 4 fatal                       # it was never moved
         after 1000
         queue redrive dead_again           -> 2 moved, under way, 0",
    );
}

#[test]
fn a_second_redrive_of_a_queue_takes_over() {
    check(
        "enqueue times=4
         lease 4
         fail 1 2 3 4 fatal
         as first/1 redrive rate=1          -> 1 moved, under way
         redrive ids=4 rate=1               -> 1 moved, done
         as first/1 redrive rate=1          -> again: 1 moved, done
         after 9000
         queue counts                       -> 2 ready 2 dead",
    );
}

#[test]
fn a_redrive_may_bring_a_queue_over_its_bound() {
    check(
        "configure jobs_max=1
         enqueue
         lease
         fail 1 fatal
         enqueue                            -> 2 ready
         redrive                            -> 1 moved, done
         queue counts                       -> 2 ready
         enqueue                            -> refused queue_full 1",
    );
}

#[test]
fn a_great_redrive_and_a_great_deletion_take_several_turns() {
    let mut world = World::new();
    let jobs = REDRIVE_PER_TURN + 300;
    let ids: Vec<JobId> = (0..jobs).map(|_| accepted(world.enqueue("q", job()))).collect();
    for chunk in ids.chunks(1_000) {
        let leased = world.lease("q", chunk.len() as u32);
        let fail = leased.iter().map(|job| Fail {
            id: job.id,
            token: job.token,
            message: "it broke".into(),
            kind: None,
            dependency: None,
            retry_after_ms: None,
            fatal: true,
        });
        world.work(Work { fail: fail.collect(), ..Work::default() });
    }
    let filter = DeadFilter { queue: "q".into(), ..DeadFilter::default() };
    let redrive = Redrive { filter: filter.clone(), rate_per_s: None, stop_after_dead: 0 };
    let Outcome::Redriving(redrive) = world.decide(Command::Redrive(redrive)) else {
        panic!("a redrive is under way")
    };
    assert_eq!((redrive.moved, redrive.end), (REDRIVE_PER_TURN as u64, None));
    world.after(0);
    let mut world = check_in(world, &format!("queue redrive counts -> {jobs} moved, done, {jobs} ready"));

    while let Some(leased) = Some(world.lease("q", 1_000)).filter(|leased| !leased.is_empty()) {
        for job in &leased {
            world.fail_with(job, "it broke", None, true);
        }
    }
    check_in(world, &format!("delete_dead -> {REDRIVE_PER_TURN} deleted, more\ndelete_dead -> 300 deleted"));
}

#[test]
fn an_edited_dead_letter_runs_with_its_new_payload() {
    check(
        "enqueue len=100
         lease
         fail 1 fatal
         edit 1 len=60                      -> 1 dead
         redrive                            -> 1 moved, done
         lease                              -> 1
         show 1 payload                     -> 60",
    );
}

/// Job 2 died first. What its key ran before it comes back before it, each at its time.
#[test]
fn a_paced_redrive_brings_earlier_jobs_of_the_key_first() {
    check(
        "enqueue key=k on_failure=skip attempts=2 delay=100 | key=k | kind=work
         lease                              -> 1
         fail 1
         lease 9                            -> 3 2
         fail 2 fatal
         after 100
         lease                              -> 1
         fail 1                             -> 1 dead
         fail 3 fatal
         redrive rate=1                     -> 1 moved, under way
         lease 9                            -> 1
         after 1000
         queue redrive                      -> 2 moved, under way
         after 1000
         queue redrive                      -> 3 moved, done",
    );
}

#[test]
fn a_redrive_of_nothing_writes_its_beginning_and_its_end() {
    let world = check_in(World::new(), "configure\nredrive -> 0 moved, done");
    assert_eq!(world.frames.last().map(|frame| frame.records.len()), Some(2));
}

/// What cannot be moved takes no turn away from what can, and is looked at once.
#[test]
fn a_paced_redrive_passes_over_ids_that_are_not_dead() {
    check(
        "enqueue times=4
         lease 4
         fail 2 4 fatal
         redrive ids=1,2,3,4 rate=1         -> 0 moved, under way
         after 0
         queue redrive                      -> 1 moved, under way
         after 999
         queue redrive                      -> 1 moved, under way
         after 1
         queue redrive                      -> 2 moved, done",
    );
}

/// Where a redrive goes on is remembered by a job's place in memory, and another job may have it meanwhile.
#[test]
fn a_redrive_goes_on_though_the_job_it_stood_at_is_gone() {
    for meanwhile in ["", "lease kinds=a -> 4", "lease kinds=a -> 4\nfail 4 fatal"] {
        check(&format!(
            "enqueue kind=a | kind=b | kind=b
             lease 3
             fail 1 2 3 fatal
             redrive kind=b rate=1          -> 1 moved, under way
             delete_dead ids=1              -> 1 deleted
             enqueue kind=a                 -> 4 ready     # in the place of 1
             {meanwhile}
             after 1000
             queue redrive                  -> 2 moved, done
             show 3 state                   -> ready"
        ));
    }
}

/// A job that expired has had no attempts and no errors: all that tells of its redrive is the redrive's number.
#[test]
fn a_redriven_job_that_dies_again_counts_after_a_restart_from_a_walk_on() {
    let mut world = check_in(
        World::new(),
        "enqueue expires_in=1000 | expires_in=1000
         after 1000
         redrive rate=1 stop=1              -> 1 moved, under way",
    );
    let target = world.next_frame();
    world.walk(target, |_| ());
    world.state = world.replayed_from(target);
    check_in(
        world,
        "lease                              -> 1
         fail 1 fatal
         after 1000
         queue redrive dead_again           -> 1 moved, dead again, 1",
    );
}

/// No view shows it, and a recovered shard must know it.
#[test]
fn a_shard_knows_which_redrive_brought_a_job_back_until_it_ends() {
    let world = check_in(
        World::new(),
        "enqueue attempts=1 | dependency=d
         lease                              -> 1
         fail 1
         redrive
         after 0",
    );
    assert_eq!(world.state.unseen().redriven, [(1, 1)], "the other job was never dead");
    let world = check_in(
        World::new(),
        "enqueue attempts=1
         lease                              -> 1
         fail 1
         redrive
         after 0
         lease                              -> 1
         complete 1",
    );
    assert_eq!(world.state.unseen().redriven, []);
}
