//! Faults that a reader found, each with its story. They all show only after a restart, or only at sizes that small scripts
//! do not have.

use prost::Message as _;
use tidegate_core::command::{
    Command, Complete, DeadFilter, Fail, IdempotencyKey, NewJobMore, Redrive, Request, Work,
};
use tidegate_core::id::When;
use tidegate_core::outcome::{Item, Outcome, Refusal};
use tidegate_core::policy::{OnConflict, OnFailure, Retry, Unique, UniqueUntil};
use tidegate_core::record::RecordMessage;
use tidegate_core::state::{StateLimits, Step};
use tidegate_core::view::{JobFilter, JobState};
use tidegate_core::{JobId, limits};

use crate::support::script::check_in;
use crate::support::{World, accepted, job, job_with, keyed};

fn parks(key: &str, expires_ms: Option<u64>) -> tidegate_core::command::NewJob {
    job_with(NewJobMore {
        ordering_key: Some(key.into()),
        on_failure: Some(OnFailure::Park),
        expires_at: expires_ms.map(When::In),
        ..NewJobMore::default()
    })
}

fn redrive(queue: &str, rate_per_s: Option<u32>) -> Command {
    let filter = DeadFilter { queue: queue.into(), ..DeadFilter::default() };
    Command::Redrive(Redrive { filter, rate_per_s, stop_after_dead: 0 })
}

fn delete(queue: &str, ids: Vec<JobId>) -> Command {
    Command::DeleteDead(DeadFilter { queue: queue.into(), ids, ..DeadFilter::default() })
}

fn keyed_enqueue(world: &mut World, key: &str) -> (Outcome, bool) {
    let mut enqueue = tidegate_core::command::Enqueue::new("q");
    let mut new = job();
    new.kind = enqueue.kind("work");
    enqueue.jobs.push(new);
    let idempotency = Some(IdempotencyKey { key: key.into(), fingerprint: [1, 2] });
    let request = Request { idempotency, command: Command::Enqueue(enqueue) };
    let decided = world.turn(|state, turn| state.decide(request, turn));
    (decided.outcome, decided.replayed)
}

/// A key used again after its answer's time was over, while a turn had too many old answers to drop: the replay took the new
/// answer for the old one restated, and a third call with the key did its work a second time.
#[test]
fn a_key_used_again_after_its_time_keeps_its_new_answer_through_a_restart() {
    let mut world = World::with_limits(StateLimits { idempotency_ms: 60_000, ..StateLimits::default() });
    let many = limits::EXPIRE_PER_TURN + 500;
    for n in 0..many {
        keyed_enqueue(&mut world, &format!("k{n}"));
    }
    // A single turn at the later time: it drops as many as one turn may, and the last is not among them.
    world.now = world.now.plus(120_000);
    let last = format!("k{}", many - 1);
    let (outcome, replayed) = keyed_enqueue(&mut world, &last);
    assert!(!replayed, "its time was over");
    world.state = world.replayed_from(0);
    let (again, replayed) = keyed_enqueue(&mut world, &last);
    assert!(replayed, "the new answer is kept");
    assert_eq!(again, outcome);
}

/// A step of a walk was bounded in things, not in bytes: a shard full of long answers or errors made a frame longer than frames
/// may be, and the shard fell at every start.
#[test]
fn no_step_of_a_walk_writes_much_more_than_its_bytes() {
    let mut world = World::new();
    let long = "x".repeat(limits::ERROR_MESSAGE_MAX);
    for n in 0..40 {
        // Answers of 1,000 refusals that differ, so that they do not fold.
        let complete = (0..1_000)
            .map(|i| Complete {
                id: JobId::new(0, 1_000_000 + i),
                token: tidegate_core::Token(i),
                result_len: 0,
            })
            .collect::<Vec<_>>();
        let fail = (0..300)
            .map(|i| Fail {
                id: JobId::new(0, 1 + i),
                token: tidegate_core::Token(i),
                message: long.clone(),
                kind: None,
                dependency: None,
                retry_after_ms: None,
                fatal: false,
            })
            .collect();
        let idempotency =
            Some(IdempotencyKey { key: format!("{n}-{}", "y".repeat(200)), fingerprint: [n, 0] });
        let command = Command::Work(Work { complete, fail, ..Work::default() });
        world.turn(|state, turn| state.decide(Request { idempotency, command }, turn));
    }
    let retry = Some(Retry { max_attempts: 30, delay_ms: 0, ..Retry::DEFAULT });
    for _ in 0..20 {
        world.add("q", job_with(NewJobMore { retry, ..NewJobMore::default() }));
    }
    for _ in 0..30 {
        for leased in world.lease("q", 20) {
            world.fail_with(&leased, &long, Some(0), false);
        }
    }
    let target = world.next_frame();
    let mut walk = world.state.walk(target);
    let bytes_max = 64 * 1_024;
    let (mut steps, mut longest) = (0, 0);
    loop {
        let before = world.frames.len();
        let step = world.turn(|state, turn| {
            let step = state.walk_step(&mut walk, 512, bytes_max, turn);
            if let Step::Restate(ids, _) = &step {
                state.restate(ids, turn);
            }
            step
        });
        steps += 1;
        let written =
            world.frames[before..].iter().flat_map(|frame| &frame.records).map(Vec::len).sum::<usize>();
        longest = longest.max(written);
        if step == Step::Done {
            break;
        }
    }
    assert!(steps > 10, "the walk was spread over {steps} steps");
    assert!(longest < 2 * bytes_max, "the longest step wrote {longest} bytes");
}

/// Whether a dead job parks its key was judged anew in a replay. One that began behind the job which had parked it came to
/// another judgement, and the key stood still for ever.
#[test]
fn a_key_that_was_free_is_free_after_a_trimmed_replay() {
    let mut world = World::new();
    let first = world.add("q", parks("k", None));
    let second = world.add("q", parks("k", Some(60_000)));
    let leased = world.lease_one("q");
    world.fail_with(&leased, "bad", None, true);
    let target = world.next_frame();
    // Parked already: this death does not park.
    world.after(60_000);
    assert_eq!(world.job(second).state, JobState::Dead);
    world.decide(delete("q", vec![first]));
    world.walk(target, |_| ());
    assert_eq!(world.state.queue("q").expect("the queue").keys_parked, 0);
    let replayed = world.replayed_from(target);
    assert_eq!(replayed.queue("q").expect("the queue").keys_parked, 0);
    assert_eq!(replayed.digest_text(), world.state.digest_text());
}

fn unique() -> tidegate_core::command::NewJob {
    let unique = Unique {
        key: "u".into(),
        until: UniqueUntil::Completed,
        duration_ms: 0,
        on_conflict: OnConflict::Return,
    };
    job_with(NewJobMore { unique: Some(unique), ..NewJobMore::default() })
}

/// Whether a redriven job takes its unique key again was judged anew in a replay, which did not know the holder yet.
#[test]
fn a_unique_key_has_the_same_holder_after_a_trimmed_replay() {
    let mut world = World::new();
    world.add("q", unique());
    let dead = world.lease_one("q");
    world.fail_with(&dead, "bad", None, true);
    let holder = world.add("q", unique());
    let leased = world.lease_one("q");
    assert_eq!(leased.id, holder);
    let target = world.next_frame();
    world.decide(redrive("q", None));
    world.complete(leased.id, leased.token);
    world.walk(target, |_| ());
    assert_eq!(world.replayed_from(target).digest_text(), world.state.digest_text());
}

/// The dead of a redrive were counted once in the queue's restated total and again as each of them was restated, so that the
/// redrive stopped too early after a restart.
#[test]
fn a_redrives_dead_are_counted_once() {
    let mut world = World::new();
    for round in 0..2 {
        if round == 0 {
            for _ in 0..3 {
                world.add("q", job());
            }
        }
        for leased in world.lease("q", 10) {
            world.fail_with(&leased, "bad", None, true);
        }
        if round == 0 {
            world.decide(redrive("q", None));
        }
    }
    let target = world.next_frame();
    world.walk(target, |_| ());
    for replayed in [world.replayed_from(0), world.replayed_from(target)] {
        let redrive = replayed.queue("q").expect("the queue").redrive.expect("a redrive");
        assert_eq!(redrive.dead_again, 3);
    }
}

/// A redrive at a rate moved all elder dead jobs of a key at once.
#[test]
fn a_redrive_keeps_its_rate_within_one_ordering_key() {
    let mut world = World::new();
    let ids: Vec<JobId> = (0..50)
        .map(|n| {
            // The later ones die first.
            let mut new = keyed("k");
            if let Some(more) = &mut new.more {
                more.expires_at = Some(When::In(100_000 - n * 1_000));
            }
            world.add("q", new)
        })
        .collect();
    world.decide(Command::Pause(tidegate_core::command::Pause {
        queue: "q".into(),
        ordering_key: None,
        paused: true,
    }));
    world.after(100_000);
    assert!(ids.iter().all(|&id| world.job(id).state == JobState::Dead));
    world.decide(redrive("q", Some(1)));
    let moved = |world: &World| {
        let filter = JobFilter { state: Some(JobState::Ready), ..JobFilter::default() };
        world.state.list(&filter, 0, 1_000).jobs.iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert_eq!(moved(&world), ids[..1], "the oldest, and only it");
    world.after(1_000);
    assert_eq!(moved(&world), ids[..2]);
    world.after(60_000);
    assert_eq!(moved(&world), ids, "all of them in the end");
}

/// A lease was bounded in jobs, not in bytes: a thousand long payloads were one answer of a gigabyte.
#[test]
fn a_lease_stops_at_its_bytes_and_gives_at_least_one_job() {
    let mut world = World::new();
    for _ in 0..40 {
        let mut long = job();
        long.blob_len = 1 << 20;
        accepted(world.enqueue("q", long));
    }
    assert_eq!(world.lease("q", 1_000).len(), (limits::LEASE_BYTES_MAX >> 20) as usize);
}

/// A job that was redriven again and again remembered every error it ever had.
#[test]
fn a_jobs_errors_are_bounded_however_often_it_is_redriven() {
    let mut world = World::new();
    let id = world.add("q", job());
    let rounds = limits::FAILURES_MAX + 50;
    for n in 0..rounds {
        let leased = world.lease_one("q");
        world.fail_with(&leased, &format!("error {n}"), None, true);
        world.decide(redrive("q", None));
    }
    let failures = world.job(id).failures;
    assert_eq!(failures.len(), limits::FAILURES_MAX);
    assert_eq!(failures[0].message, "error 0");
    assert_eq!(failures.last().expect("the latest").message, format!("error {}", rounds - 1));
}

/// Who held a unique key for a duration and was forgotten was said to have completed, whatever had become of it.
#[test]
fn a_forgotten_holder_of_a_unique_key_is_answered_with_its_last_state() {
    let mut world = World::new();
    let taken = |world: &mut World| {
        let unique = Unique {
            key: "u".into(),
            until: UniqueUntil::Duration,
            duration_ms: 3_600_000,
            on_conflict: OnConflict::Return,
        };
        world.enqueue("q", job_with(NewJobMore { unique: Some(unique), ..NewJobMore::default() }))
    };
    let id = accepted(taken(&mut world));
    let leased = world.lease_one("q");
    world.fail_with(&leased, "bad", None, true);
    world.decide(delete("q", vec![id]));
    let expected = Item::Duplicate { id, state: JobState::Dead };
    assert_eq!(taken(&mut world), expected);
    let target = world.next_frame();
    world.walk(target, |_| ());
    world.state = world.replayed_from(target);
    assert_eq!(taken(&mut world), expected);
}

/// Records that an earlier binary wrote have fields of this one's missing; they mean "no".
#[test]
fn a_failed_record_without_the_later_fields_parks_nothing() {
    let failed = tidegate_core::record::Failed { job: 1, ..Default::default() };
    let bytes = RecordMessage { record: Some(tidegate_core::Record::Failed(failed)) }.encode_to_vec();
    let message = RecordMessage::decode(bytes.as_slice()).expect("it reads back");
    let Some(tidegate_core::Record::Failed(failed)) = message.record else { panic!("a failed record") };
    assert!(!failed.parks && failed.redrive == 0);
}

/// With jobs of several kinds, the span within a job's own priority swallowed what was counted of the priorities before it:
/// a job said it was second in line and was third.
#[test]
fn a_position_counts_higher_priorities_also_among_several_kinds() {
    crate::support::script::check(
        "
        enqueue kind=a priority=1
        enqueue kind=b priority=5
        enqueue kind=a priority=5
        show 3 position -> 3
        ",
    );
}

/// A replay from a walk on meets jobs by their sequences, and set a queue's timer by the first of its ended jobs that it met:
/// if another had ended before it, that one was kept too long.
#[test]
fn what_ended_first_is_forgotten_in_its_time_also_after_a_restart_from_a_walk_on() {
    let mut world = World::new();
    let (first, second) = (world.add("q", job()), world.add("q", job()));
    for id in [second, first] {
        world.decide(Command::Cancel(id));
        world.after(1_000);
    }
    let target = world.next_frame();
    world.walk(target, |_| ());
    world.state = world.replayed_from(target);
    world.after(3_600_000 - 2_000);
    assert!(world.state.job(second).is_none(), "it was kept for an hour");
    assert!(world.state.job(first).is_some(), "it ended a second later");
}

/// Dead letters deleted by their ids went in the order of their places in memory, and with them the ordering keys that they had
/// parked: what came next depended on the history of the process.
#[test]
fn dead_letters_deleted_by_their_ids_go_in_the_order_of_acceptance() {
    let mut world = World::new();
    let gone = world.add("q", job());
    let leased = world.lease_one("q");
    world.fail_with(&leased, "it broke", None, true);
    let early = world.add("q", parks("a", Some(1_000)));
    world.decide(delete("q", vec![gone]));
    // It gets the place in memory that the first job had.
    let late = world.add("q", parks("b", Some(1_000)));
    world.after(2_000);
    let (behind_early, behind_late) = (world.add("q", parks("a", None)), world.add("q", parks("b", None)));
    world.decide(delete("q", vec![early, late]));
    let leased: Vec<JobId> = world.lease("q", 2).iter().map(|job| job.id).collect();
    assert_eq!(leased, [behind_early, behind_late]);
}

/// In the record of a redrive the moment 0 stands for any: "those that died before 1970" moved all of them.
#[test]
fn a_redrive_of_those_that_died_before_the_first_moment_moves_none() {
    let mut world = World::new();
    let dead = world.add("q", job());
    let leased = world.lease_one("q");
    world.fail_with(&leased, "it broke", None, true);
    let filter =
        DeadFilter { queue: "q".into(), before: Some(tidegate_core::Time(0)), ..DeadFilter::default() };
    world.decide(Command::Redrive(Redrive { filter, rate_per_s: None, stop_after_dead: 0 }));
    assert_eq!(world.job(dead).state, JobState::Dead);
}

/// Who kept keys for ever had a shard that ran well and never opened again: the moment was written down as the end of time, and
/// a replay took that for a number that no log can reach. And the timer wheel went round and round on what lay behind its end.
#[test]
fn a_key_kept_for_ever_is_kept_through_a_restart() {
    for for_ever in [u64::MAX, 1 << 48, (1 << 52) + 1] {
        let mut world =
            World::with_limits(StateLimits { idempotency_ms: for_ever, ..StateLimits::default() });
        let unique = |on_conflict| Unique {
            key: "u".into(),
            until: UniqueUntil::Duration,
            duration_ms: for_ever,
            on_conflict,
        };
        let taken = |world: &mut World| {
            let unique = Some(unique(OnConflict::Reject));
            world.enqueue("q", job_with(NewJobMore { unique, ..NewJobMore::default() }))
        };
        let id = accepted(taken(&mut world));
        let (first, _) = keyed_enqueue(&mut world, "k");
        world.decide(Command::Redrive(Redrive {
            filter: DeadFilter {
                queue: "q".into(),
                before: Some(tidegate_core::Time(for_ever)),
                ..DeadFilter::default()
            },
            rate_per_s: None,
            stop_after_dead: 0,
        }));
        let target = world.next_frame();
        world.walk(target, |_| ());
        for from in [0, target] {
            // Half a year later both still stand.
            let mut world = World { state: world.replayed_from(from), ..world.restarted() };
            world.now = world.now.plus(limits::AHEAD_MS_MAX / 2);
            assert_eq!(taken(&mut world), Item::Refused(Refusal::UniqueConflict(id)));
            assert_eq!(keyed_enqueue(&mut world, "k"), (first.clone(), true));
        }
    }
}

/// What a job has left moves with it: once it is written anew, nothing of it is read from a frame that may go.
#[test]
fn a_kept_jobs_result_moves_when_the_job_is_written_anew() {
    let mut world = check_in(
        World::new(),
        "enqueue
         lease                              -> 1
         complete 1 result=50",
    );
    let target = world.next_frame();
    world.walk(target, |_| ());
    let id = world.state.list(&JobFilter::default(), 0, 1).jobs[0].id;
    let moved = world.state.job(id).expect("it is kept");
    assert_eq!(moved.result.len, 50);
    assert!(moved.result.frame >= target, "{:?} is before frame {target}", moved.result);
    let replayed = world.replayed_from(target).job(id).expect("it is kept");
    assert_eq!((replayed.payload, replayed.result), (moved.payload, moved.result));
}

/// A worker's name is kept for as long as he has a lease.
#[test]
fn a_workers_name_goes_with_his_last_lease() {
    let names = |script: &str| check_in(World::new(), script).state.unseen().workers.len();
    assert_eq!(names("enqueue times=2\n lease 2 -> 1 2\n complete 1"), 1);
    assert_eq!(names("enqueue times=2\n lease 2 -> 1 2\n complete 1\n complete 2"), 0);
}
