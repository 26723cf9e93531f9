//! Bounds: how many there may be, how far ahead, and how much one turn does.

use crate::support::script::{check, check_in};
use crate::support::{START, World, accepted, job, job_with, refusal};
use tidegate_core::command::{Command, Enqueue, Lease, NewJob, NewJobMore, Pause, Request, Work};
use tidegate_core::id::{Time, When};
use tidegate_core::limits::{
    AHEAD_MS_MAX, CAUSES_MAX, EXPIRE_PER_TURN, KINDS_MAX, PAUSED_KEYS_MAX, QUEUES_MAX,
};
use tidegate_core::outcome::{Item, Outcome, Refusal};
use tidegate_core::policy::{OnConflict, QueueConfig, Unique, UniqueUntil};
use tidegate_core::record::Record;
use tidegate_core::state::{StateLimits, Step, Turn};

#[test]
fn a_shard_holds_so_many_jobs_and_no_more() {
    let world = World::with_limits(StateLimits { jobs_max: 2, ..StateLimits::default() });
    check_in(
        world,
        "configure retain_ms=1000
         enqueue times=3                    -> 1 ready, 2 ready, refused shard_full 2
         lease                              -> 1
         complete 1
         enqueue                            -> refused shard_full 2   # it is kept for a while
         after 1000
         enqueue                            -> 3 ready",
    );
}

#[test]
fn a_shard_refuses_jobs_beyond_its_memory() {
    let limits = StateLimits { memory_bytes_max: 10_000, ..StateLimits::default() };
    let mut world = World::with_limits(limits);
    let mut jobs = 0;
    while let Item::Is { .. } = world.enqueue("q", job()) {
        jobs += 1;
        assert!(jobs < 1_000, "there is an end to it");
    }
    assert!(matches!(world.enqueue("q", job()), Item::Refused(Refusal::ShardFull(_))));
    assert!(world.state.memory_bytes() < 10_100, "{}", world.state.memory_bytes());
}

#[test]
fn a_shard_has_so_many_queues_and_no_more() {
    let mut world = World::new();
    for n in 0..QUEUES_MAX {
        let queue = format!("queue-{n}");
        world.decide(Command::ConfigureQueue { queue, config: QueueConfig::DEFAULT });
    }
    let configure = Command::ConfigureQueue { queue: "one-more".into(), config: QueueConfig::DEFAULT };
    assert_eq!(world.decide(configure), Outcome::Refused(Refusal::TooManyQueues));
    assert_eq!(refusal(world.enqueue("one-more", job())), Refusal::TooManyQueues);
    accepted(world.enqueue("queue-0", job()));
}

#[test]
fn a_shard_has_jobs_of_so_many_kinds_and_no_more() {
    let mut world = World::new();
    let names: Vec<String> = (0..=KINDS_MAX).map(|n| format!("kind-{n}")).collect();
    let (names, last) = names.split_at(KINDS_MAX - 1);
    for batch in names.chunks(1_000) {
        let jobs = batch.iter().map(|kind| (kind.as_str(), job())).collect();
        for item in world.enqueue_all("q", jobs) {
            accepted(item);
        }
    }
    // There is room for one, and a batch brings two.
    let jobs = vec![(last[0].as_str(), job()), (last[1].as_str(), job()), (names[0].as_str(), job())];
    let items = world.enqueue_all("q", jobs);
    accepted(items[0]);
    assert_eq!(refusal(items[1]), Refusal::TooManyKinds);
    accepted(items[2]);
    let jobs = vec![(last[1].as_str(), job()), (names[0].as_str(), job())];
    let items = world.enqueue_all("q", jobs);
    assert_eq!(refusal(items[0]), Refusal::TooManyKinds);
    accepted(items[1]);
}

#[test]
fn a_kind_is_forgotten_with_its_last_job() {
    let mut world = World::new();
    for round in 0..3 {
        let names: Vec<String> = (0..KINDS_MAX / 2).map(|n| format!("kind-{round}-{n}")).collect();
        let config = QueueConfig { retain_max: 0, ..QueueConfig::DEFAULT };
        world.decide(Command::ConfigureQueue { queue: "q".into(), config });
        for batch in names.chunks(1_000) {
            let jobs = batch.iter().map(|kind| (kind.as_str(), job())).collect();
            for item in world.enqueue_all("q", jobs) {
                world.decide(Command::Cancel(accepted(item)));
            }
        }
        world.after(0);
    }
}

#[test]
fn a_kind_of_refused_jobs_only_takes_no_room() {
    let mut world = World::new();
    let late = job_with(NewJobMore { expires_at: Some(When::In(0)), ..NewJobMore::default() });
    for round in 0..2 {
        let mut enqueue = Enqueue::new("q");
        for n in 0..KINDS_MAX - 10 {
            let kind = enqueue.kind(&format!("kind-{round}-{n}"));
            enqueue.jobs.push(NewJob { kind, ..if n == 0 { job() } else { late.clone() } });
        }
        let Outcome::Enqueued(items) = world.decide(Command::Enqueue(enqueue)) else { panic!("items") };
        accepted(items[0]);
        assert!(items[1..].iter().all(|item| *item == Item::Refused(Refusal::AlreadyExpired)));
    }
}

#[test]
fn no_moment_is_further_ahead_than_366_days() {
    let (far, too_far) = (AHEAD_MS_MAX, AHEAD_MS_MAX + 1);
    check(&format!(
        "enqueue run_in={far}               -> 1 scheduled +{far}
         enqueue run_in={too_far}           -> refused too_far_ahead
         enqueue expires_in={far}           -> 2 ready
         enqueue expires_in={too_far}       -> refused too_far_ahead
         after {far}
         lease 9                            -> 1
         show 2 state                       -> dead"
    ));
}

/// A hundred moments are all due at once; each turn does its share, and nothing is done twice or left out.
#[test]
fn ten_thousand_jobs_that_are_due_at_once_are_many_short_turns() {
    for (name, wanted) in [
        ("scheduled", NewJob { run_at: Some(When::In(5_000)), ..job() }),
        (
            "expiring",
            crate::support::job_with(tidegate_core::command::NewJobMore {
                expires_at: Some(When::In(5_000)),
                ..Default::default()
            }),
        ),
    ] {
        let mut world = World::new();
        let mut enqueue = Enqueue::new("q");
        enqueue.kind("work");
        enqueue.jobs = vec![wanted; 10_000];
        world.decide(Command::Enqueue(enqueue));
        let turns = check_turns(&mut world, Time(START.0 + 5_000));
        assert!(turns >= 10_000 / EXPIRE_PER_TURN, "{name}: {turns} turns");
        let counts = world.state.queue("q").expect("the queue").counts.by_state;
        assert_eq!(counts[1] + counts[4], 10_000, "{name}: ready or dead, all of them: {counts:?}");
    }
}

#[test]
fn ten_thousand_leases_that_lapse_at_once_are_many_short_turns() {
    let mut world = World::new();
    let mut enqueue = Enqueue::new("q");
    enqueue.kind("work");
    enqueue.jobs = vec![job(); 10_000];
    world.decide(Command::Enqueue(enqueue));
    while !world.lease("q", 1_000).is_empty() {}
    let turns = check_turns(&mut world, Time(START.0 + 30_000));
    assert!(turns >= 10_000 / EXPIRE_PER_TURN, "{turns} turns");
    assert_eq!(world.state.queue("q").expect("the queue").counts.by_state[0], 10_000, "all wait for a retry");
}

/// Forgetting what has ended is bounded like the rest.
#[test]
fn ten_thousand_jobs_kept_long_enough_are_forgotten_in_many_short_turns() {
    let mut world = World::new();
    let config = QueueConfig { retain_ms: 5_000, ..QueueConfig::DEFAULT };
    world.decide(Command::ConfigureQueue { queue: "q".into(), config });
    let mut enqueue = Enqueue::new("q");
    enqueue.kind("work");
    enqueue.jobs = vec![job(); 10_000];
    let Outcome::Enqueued(items) = world.decide(Command::Enqueue(enqueue)) else { panic!("items") };
    for item in items {
        world.decide(Command::Cancel(accepted(item)));
    }
    let turns = check_turns(&mut world, Time(START.0 + 5_000));
    assert!(turns >= 10_000 / EXPIRE_PER_TURN, "{turns} turns");
    assert_eq!(world.state.job_count(), 0);
}

/// The bound is one for all queues together, and a turn uses it.
#[test]
fn queues_that_have_kept_enough_share_a_turn() {
    let mut world = World::new();
    let config = QueueConfig { retain_ms: 5_000, ..QueueConfig::DEFAULT };
    let queues = EXPIRE_PER_TURN + 10;
    for n in 0..queues {
        let queue = format!("queue-{n}");
        world.decide(Command::ConfigureQueue { queue: queue.clone(), config });
        let id = world.add(&queue, job());
        world.decide(Command::Cancel(id));
    }
    let mut forgotten = Vec::new();
    loop {
        let mut records: Vec<Record> = Vec::new();
        world.state.begin_turn(world.next_frame(), Time(START.0 + 5_000));
        let more = world.state.expire(&mut Turn::new(&mut records));
        forgotten.push(records.iter().map(jobs_named).sum::<usize>());
        if !more {
            break;
        }
    }
    let most = forgotten.iter().max();
    assert_eq!((most, forgotten.iter().sum::<usize>()), (Some(&EXPIRE_PER_TURN), queues), "{forgotten:?}");
}

/// Runs turns at `now` until nothing is due, sees that each did a bounded share, and returns how many it took.
fn check_turns(world: &mut World, now: Time) -> usize {
    for turns in 1..1_000 {
        let mut records: Vec<Record> = Vec::new();
        let mut turn = Turn::new(&mut records);
        world.state.begin_turn(world.next_frame(), now);
        let more = world.state.expire(&mut turn);
        let named: usize = records.iter().map(jobs_named).sum();
        // Starts, expiries and retention have a share each.
        assert!(named <= 3 * EXPIRE_PER_TURN, "one turn handled {named}");
        if !more {
            return turns;
        }
    }
    panic!("there is no end to what is due")
}

fn jobs_named(record: &Record) -> usize {
    match record {
        Record::Readied(readied) => readied.jobs.len(),
        Record::Forgotten(forgotten) => forgotten.jobs.len(),
        _ => 1,
    }
}

#[test]
fn a_clock_set_back_changes_nothing_that_was_promised() {
    check(
        "enqueue run_in=1000
         enqueue
         lease for=5000                     -> 2
         after 500
         clock_back 60000
         show 1 run_in                      -> +500
         show 2 state lease_in              -> leased, +4500
         enqueue run_in=100                 -> 3 scheduled +100
         after 60000                        # the clock is where it was
         show 1 run_in                      -> +500
         after 500
         show 1 state                       -> ready",
    );
}

#[test]
fn the_next_deadline_is_never_later_than_what_is_due() {
    let mut world = World::new();
    assert_eq!(world.state.next_deadline(), None, "nothing is waiting for time");
    for delay in [7, 64, 5_000, 100_000, 90_000_000] {
        world.add("q", NewJob { run_at: Some(When::In(delay)), ..job() });
    }
    let (mut ready, mut steps) = (0, 0);
    // From deadline to deadline, as a shard sleeps.
    while let Some(at) = world.state.next_deadline() {
        world.now = at.max(world.now);
        world.after(0);
        let now_ready = world.state.queue("q").expect("the queue").counts.by_state[1];
        if now_ready > ready {
            let due = [7, 64, 5_000, 100_000, 90_000_000][ready as usize];
            assert_eq!(world.now.since(START), due);
        }
        ready = now_ready;
        steps += 1;
        assert!(steps < 1_000, "deadlines come to an end");
    }
    assert_eq!(ready, 5);
}

/// Jobs whose time to start ran out, and no turn has come to them yet: a lease ends those it meets, as many as a turn may.
#[test]
fn a_lease_meets_no_more_expired_jobs_than_one_turn_ends() {
    let more = NewJobMore { expires_at: Some(When::In(5_000)), ..NewJobMore::default() };
    let mut world = World::new();
    for _ in 0..3 {
        world.enqueue_all("q", (0..1_000).map(|_| ("work", job_with(more.clone()))).collect());
    }
    world.enqueue("q", job());
    let mut records: Vec<Record> = Vec::new();
    let mut turn = Turn::new(&mut records);
    world.state.begin_turn(world.next_frame(), world.now.plus(5_000));
    let lease = Lease { queues: vec!["q".into()], max: 10, worker: "w".into(), ..Lease::default() };
    let command = Command::Work(Work { lease: Some(lease), ..Work::default() });
    let decided = world.state.decide(Request { idempotency: None, command }, &mut turn);
    assert!(matches!(decided.outcome, Outcome::Worked(worked) if worked.leased.is_empty()));
    assert_eq!(records.len(), EXPIRE_PER_TURN);
    assert!(records.iter().all(|record| matches!(record, Record::Expired(_))));
}

/// A turn frees so many unique keys whose duration is over; those that it has not come to are free all the same.
#[test]
fn a_unique_key_is_free_when_its_time_is_over_however_many_there_are() {
    let mut world = World::new();
    let keys = EXPIRE_PER_TURN + 10;
    let unique = |n: usize| {
        let unique = Unique {
            key: format!("key-{n}"),
            until: UniqueUntil::Duration,
            duration_ms: 1_000,
            on_conflict: OnConflict::Reject,
        };
        job_with(NewJobMore { unique: Some(unique), ..NewJobMore::default() })
    };
    for n in 0..keys {
        world.add("q", unique(n));
    }
    world.now = world.now.plus(999);
    assert!(matches!(refusal(world.enqueue("q", unique(keys - 1))), Refusal::UniqueConflict(_)));
    world.now = world.now.plus(1);
    let again: Vec<(&str, NewJob)> = (0..keys).map(|n| ("work", unique(n))).collect();
    for item in world.enqueue_all("q", again) {
        accepted(item);
    }
}

#[test]
fn so_many_ordering_keys_are_paused_and_no_more() {
    let mut world = World::new();
    for queue in ["a", "b"] {
        world.decide(Command::ConfigureQueue { queue: queue.into(), config: QueueConfig::DEFAULT });
    }
    let pause = |queue: &str, n: u64, paused| {
        Command::Pause(Pause { queue: queue.into(), ordering_key: Some(format!("key-{n}")), paused })
    };
    world.turn(|state, turn| {
        for n in 0..PAUSED_KEYS_MAX {
            let command = pause(if n % 2 == 0 { "a" } else { "b" }, n, true);
            let decided = state.decide(Request { idempotency: None, command }, turn);
            assert_eq!(decided.outcome, Outcome::Done, "{n}");
        }
    });
    let full = Outcome::Refused(Refusal::ShardFull(PAUSED_KEYS_MAX));
    assert_eq!(world.decide(pause("a", PAUSED_KEYS_MAX, true)), full);
    assert_eq!(world.decide(pause("a", 0, true)), Outcome::Done, "it is paused already");
    assert_eq!(world.decide(pause("b", 1, false)), Outcome::Done);
    assert_eq!(world.decide(pause("a", PAUSED_KEYS_MAX, true)), Outcome::Done);
    assert_eq!(world.decide(pause("b", 1, true)), full);
}

#[test]
fn so_many_causes_are_counted_apart_and_the_rest_are_one() {
    let mut world = World::new();
    let extra = 5;
    let jobs = CAUSES_MAX + extra;
    for _ in 0..jobs.div_ceil(1_000) {
        world.enqueue_all("q", (0..1_000).map(|_| ("work", job())).collect());
    }
    let mut n = 0;
    while n < jobs {
        for job in world.lease("q", 1_000.min((jobs - n) as u32)) {
            // Digits are blanked in messages; letters set causes apart.
            let letters =
                n.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect::<String>();
            world.fail_with(&job, &letters, None, true);
            n += 1;
        }
    }
    let causes = world.state.causes("q").expect("the queue");
    assert_eq!(causes.len(), CAUSES_MAX + 1);
    let counts: Vec<u64> = causes.iter().map(|cause| cause.count).collect();
    assert_eq!((counts[0], counts[1]), (extra as u64, 1), "the rest are one");
}

/// Steps that a walk takes for all that is no job, if there is little of it.
const OTHERS: usize = 10;

/// Steps that a walk takes in which nothing else bounds it.
fn steps(world: &mut World, target: u64) -> usize {
    let mut walk = world.state.walk(target);
    for steps in 0..1_000 {
        let step = world.turn(|state, turn| state.walk_step(&mut walk, usize::MAX, usize::MAX, turn));
        if step == Step::Done {
            return steps;
        }
    }
    panic!("a walk comes to an end")
}

/// Also at those that need nothing, and at places whose jobs are gone.
#[test]
fn a_step_of_a_walk_looks_at_a_bounded_number_of_jobs() {
    let mut world = World::new();
    let config = QueueConfig { retain_ms: 1_000, ..QueueConfig::DEFAULT };
    world.decide(Command::ConfigureQueue { queue: "q".into(), config });
    // The shard, queues, keys, unique keys, answers, what pools have; then the end of the jobs.
    assert_eq!(steps(&mut world, 1), OTHERS + 1);
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.extend(world.enqueue_all("q", vec![("work", job()); 1_000]).into_iter().map(accepted));
    }
    assert_eq!(steps(&mut world, 1), OTHERS + 3, "4,096 jobs a step, and all lie behind the target");
    world.turn(|state, turn| {
        for &id in ids.iter().filter(|id| id.sequence() % 1_000 != 1) {
            state.decide(Request { idempotency: None, command: Command::Cancel(id) }, turn);
        }
    });
    world.after(1_000);
    assert_eq!(world.state.job_count(), 10);
    assert_eq!(steps(&mut world, 1), OTHERS + 2, "or 4,096 places");
    world.turn(|state, turn| {
        for &id in ids.iter().filter(|id| (2..10_000).contains(&id.sequence())) {
            state.decide(Request { idempotency: None, command: Command::Cancel(id) }, turn);
        }
    });
    world.add("q", job());
    world.after(1_000);
    assert_eq!(world.state.job_count(), 2);
    assert_eq!(steps(&mut world, 1), OTHERS + 1, "a page of places whose jobs are all gone counts as one");
}

/// A step of a walk is a share of a turn: so many bytes, and one thing more.
#[test]
fn a_step_of_a_walk_writes_so_many_bytes_and_one() {
    let mut script = String::from("enqueue times=30");
    for n in 0..30 {
        script += &format!("\nconfigure queue=queue-{n}\npause key=key-{n}\nas answer-{n}/1 pause\n");
        script += &format!("enqueue unique=unique-{n} until=9000");
    }
    // A payload of 100 bytes, and 64 for the job itself; the last 30 have a key beside.
    for (bytes_max, at_once) in [(150, 1), (165, 2)] {
        let world = &mut check_in(World::new(), &script);
        let mut walk = world.state.walk(world.next_frame());
        let (mut restated, mut named) = (Vec::new(), Vec::new());
        loop {
            let mut records: Vec<Record> = Vec::new();
            world.state.begin_turn(world.next_frame(), world.now);
            let step = world.state.walk_step(&mut walk, 1_000, bytes_max, &mut Turn::new(&mut records));
            let bytes: Vec<usize> = records.iter().map(Record::encoded_len).collect();
            assert!(bytes.iter().rev().skip(1).sum::<usize>() < bytes_max, "{bytes:?}");
            restated.extend(records.iter().map(core::mem::discriminant));
            match step {
                Step::On => {}
                Step::Restate(ids, blobs) => {
                    assert_eq!(ids.len(), blobs.len(), "they have payloads and no results");
                    named.push(ids.len());
                }
                Step::Done => break,
            }
        }
        restated.dedup();
        // The shard, queues, keys, unique keys, answers: each kind of thing in its turn.
        assert_eq!(restated.len(), 5);
        assert_eq!(named[..30 / at_once], vec![at_once; 30 / at_once]);
        assert_eq!(named[30 / at_once..], [1; 30]);
    }
}
