//! The same log gives the same state: whole, or from any frame on after a walk.
//!
//! Random commands are decided one after another, with time passing. Then the log is replayed, and the digests must agree.
//! For the trimmed replay a walk runs while commands go on; everything before its target is thrown away.

mod support;

use proptest::prelude::*;
use support::{START, World, differences, job, job_with, whole_text};
use tidegate_core::command::{
    Command, Complete, DeadFilter, Edit, Enqueue, EnqueueOne, Extend, Fail, IdempotencyKey, Lease,
    NewJobMore, Operation, Pause, Redrive, Release, Request, Transaction, Work,
};
use tidegate_core::id::{JobId, Time, Token, When};
use tidegate_core::outcome::{Item, Outcome};
use tidegate_core::policy::{OnConflict, OnFailure, QueueConfig, Retry, Unique, UniqueUntil};
use tidegate_core::state::Turn;
use tidegate_core::view::{JobFilter, JobState};

/// A step of a random history. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Op {
    Enqueue { queue: u8, jobs: Vec<RandomJob>, key: Option<u8> },
    Lease { queue: u8, max: u8, kind: Option<u8> },
    Complete { nth: u8, stale: bool, result: bool },
    Fail { nth: u8, fatal: bool, retry_after: Option<u16> },
    Extend { nth: u8, progress: bool },
    Release { nth: u8 },
    Cancel { nth: u8 },
    Edit { nth: u8 },
    Pause { queue: u8, key: Option<u8>, paused: bool },
    Configure { queue: u8, retain: u8 },
    Redrive { queue: u8, rate: Option<u8>, stop: u8, named: bool },
    DeleteDead { queue: u8, nth: Option<u8> },
    Transact { jobs: Vec<(u8, RandomJob)>, completes: Vec<u8>, key: Option<u8> },
    Wait { ms: u32 },
}

#[derive(Clone, Debug)]
struct RandomJob {
    kind: u8,
    priority: u8,
    delay: Option<u16>,
    expires: Option<u16>,
    key: Option<u8>,
    on_failure: Option<u8>,
    unique: Option<(u8, u8, u8)>,
    attempts: Option<u8>,
}

fn random_job() -> impl Strategy<Value = RandomJob> {
    (
        0u8..3,
        0u8..10,
        prop::option::weighted(0.2, 1u16..5_000),
        prop::option::weighted(0.2, 1u16..9_000),
        prop::option::weighted(0.5, 0u8..4),
        prop::option::of(0u8..3),
        prop::option::weighted(0.3, (0u8..4, 0u8..3, 0u8..3)),
        prop::option::of(1u8..4),
    )
        .prop_map(|(kind, priority, delay, expires, key, on_failure, unique, attempts)| RandomJob {
            kind,
            priority,
            delay,
            expires,
            key,
            on_failure,
            unique,
            attempts,
        })
}

fn op() -> impl Strategy<Value = Op> {
    let queue = 0u8..3;
    prop_oneof![
        8 => (queue.clone(), prop::collection::vec(random_job(), 1..6), prop::option::weighted(0.3, 0u8..20))
            .prop_map(|(queue, jobs, key)| Op::Enqueue { queue, jobs, key }),
        8 => (queue.clone(), 1u8..6, prop::option::weighted(0.2, 0u8..3))
            .prop_map(|(queue, max, kind)| Op::Lease { queue, max, kind }),
        6 => (any::<u8>(), prop::bool::weighted(0.1), any::<bool>())
            .prop_map(|(nth, stale, result)| Op::Complete { nth, stale, result }),
        6 => (any::<u8>(), prop::bool::weighted(0.3), prop::option::of(0u16..3_000))
            .prop_map(|(nth, fatal, retry_after)| Op::Fail { nth, fatal, retry_after }),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(nth, progress)| Op::Extend { nth, progress }),
        2 => any::<u8>().prop_map(|nth| Op::Release { nth }),
        1 => any::<u8>().prop_map(|nth| Op::Cancel { nth }),
        1 => any::<u8>().prop_map(|nth| Op::Edit { nth }),
        2 => (queue.clone(), prop::option::weighted(0.7, 0u8..4), any::<bool>())
            .prop_map(|(queue, key, paused)| Op::Pause { queue, key, paused }),
        1 => (queue.clone(), 0u8..8).prop_map(|(queue, retain)| Op::Configure { queue, retain }),
        2 => (queue.clone(), prop::option::of(1u8..50), 0u8..4, any::<bool>())
            .prop_map(|(queue, rate, stop, named)| Op::Redrive { queue, rate, stop, named }),
        1 => (queue, prop::option::of(any::<u8>())).prop_map(|(queue, nth)| Op::DeleteDead { queue, nth }),
        6 => (
            prop::collection::vec((0u8..3, random_job()), 0..5),
            prop::collection::vec(any::<u8>(), 0..4),
            prop::option::weighted(0.3, 20u8..30),
        )
            .prop_map(|(jobs, completes, key)| Op::Transact { jobs, completes, key }),
        6 => (0u32..40_000).prop_map(|ms| Op::Wait { ms }),
    ]
}

fn queue_name(n: u8) -> String {
    format!("queue-{n}")
}

fn jobs_in(world: &World, state: JobState) -> Vec<JobId> {
    let filter = JobFilter { state: Some(state), ..JobFilter::default() };
    world.state.list(&filter, 0, 1_000).jobs.iter().map(|job| job.id).collect()
}

fn pick(world: &World, state: JobState, nth: u8) -> Option<JobId> {
    let jobs = jobs_in(world, state);
    (!jobs.is_empty()).then(|| jobs[usize::from(nth) % jobs.len()])
}

fn build(job_wanted: &RandomJob, enqueue: &mut Enqueue) {
    let until = [UniqueUntil::Completed, UniqueUntil::Started, UniqueUntil::Duration];
    let conflict = [OnConflict::Return, OnConflict::Reject, OnConflict::Replace];
    let more = NewJobMore {
        expires_at: job_wanted.expires.map(|ms| When::In(u64::from(ms))),
        ordering_key: job_wanted.key.map(|key| format!("key-{key}")),
        on_failure: job_wanted
            .on_failure
            .map(|n| [OnFailure::Block, OnFailure::Skip, OnFailure::Park][usize::from(n)]),
        fairness_key: None,
        unique: job_wanted.unique.map(|(key, u, c)| Unique {
            key: format!("unique-{key}"),
            until: until[usize::from(u)],
            duration_ms: 7_000,
            on_conflict: conflict[usize::from(c)],
        }),
        retry: job_wanted.attempts.map(|n| Retry {
            max_attempts: u32::from(n),
            delay_ms: 1_000,
            ..Retry::DEFAULT
        }),
        dependency: None,
    };
    let mut new = if more == NewJobMore::default() { job() } else { job_with(more) };
    new.kind = enqueue.kind(&format!("kind-{}", job_wanted.kind));
    new.priority = job_wanted.priority;
    new.run_at = job_wanted.delay.map(|ms| When::In(u64::from(ms)));
    enqueue.jobs.push(new);
}

fn command(world: &World, op: &Op) -> Option<Command> {
    let leased = |nth| {
        let id = pick(world, JobState::Leased, nth)?;
        Some((id, world.job(id).token.expect("a leased job has a token")))
    };
    Some(match op {
        Op::Enqueue { queue, jobs, .. } => {
            let mut enqueue = Enqueue::new(queue_name(*queue));
            jobs.iter().for_each(|job| build(job, &mut enqueue));
            Command::Enqueue(enqueue)
        }
        Op::Lease { queue, max, kind } => Command::Work(Work {
            lease: Some(Lease {
                queues: vec![queue_name(*queue), queue_name((*queue + 1) % 3)],
                max: u32::from(*max),
                lease_ms: None,
                worker: format!("worker-{max}"),
                kinds: kind.iter().map(|kind| format!("kind-{kind}")).collect(),
            }),
            ..Work::default()
        }),
        Op::Complete { nth, stale, result } => {
            let (id, token) = leased(*nth)?;
            let token = if *stale { Token(token.0.saturating_sub(1)) } else { token };
            let result_len = if *result { 50 } else { 0 };
            Command::Work(Work { complete: vec![Complete { id, token, result_len }], ..Work::default() })
        }
        Op::Fail { nth, fatal, retry_after } => {
            let (id, token) = leased(*nth)?;
            Command::Work(Work {
                fail: vec![Fail {
                    id,
                    token,
                    message: format!("error {nth}"),
                    kind: None,
                    dependency: None,
                    retry_after_ms: retry_after.map(u64::from),
                    fatal: *fatal,
                }],
                ..Work::default()
            })
        }
        Op::Extend { nth, progress } => {
            let (id, token) = leased(*nth)?;
            let progress = progress.then(|| b"half".as_slice().into());
            Command::Work(Work {
                extend: vec![Extend { id, token, lease_ms: None, progress }],
                ..Work::default()
            })
        }
        Op::Release { nth } => {
            let (id, token) = leased(*nth)?;
            Command::Work(Work { release: vec![Release { id, token }], ..Work::default() })
        }
        Op::Cancel { nth } => Command::Cancel(pick(world, JobState::Ready, *nth)?),
        Op::Edit { nth } => Command::Edit(Edit { id: pick(world, JobState::Dead, *nth)?, blob_len: 60 }),
        Op::Pause { queue, key, paused } => Command::Pause(Pause {
            queue: queue_name(*queue),
            ordering_key: key.map(|key| format!("key-{key}")),
            paused: *paused,
        }),
        Op::Configure { queue, retain } => Command::ConfigureQueue {
            queue: queue_name(*queue),
            config: QueueConfig { retain_max: u64::from(*retain), retain_ms: 20_000, ..QueueConfig::DEFAULT },
        },
        Op::Redrive { queue, rate, stop, named } => Command::Redrive(Redrive {
            filter: DeadFilter {
                queue: queue_name(*queue),
                ids: if *named {
                    jobs_in(world, JobState::Dead).into_iter().step_by(2).collect()
                } else {
                    Vec::new()
                },
                ..DeadFilter::default()
            },
            rate_per_s: rate.map(u32::from),
            stop_after_dead: u32::from(*stop),
        }),
        Op::DeleteDead { queue, nth } => Command::DeleteDead(DeadFilter {
            queue: queue_name(*queue),
            ids: match nth {
                Some(nth) => vec![pick(world, JobState::Dead, *nth)?],
                None => Vec::new(),
            },
            ..DeadFilter::default()
        }),
        Op::Transact { jobs, completes, .. } => {
            let enqueues = jobs.iter().map(|(queue, job)| {
                let mut one = Enqueue::new(queue_name(*queue));
                build(job, &mut one);
                let (kind, job) = (one.kinds.remove(0), one.jobs.remove(0));
                Operation::Enqueue(EnqueueOne { queue: one.queue, kind, job })
            });
            let completes = completes.iter().filter_map(|nth| leased(*nth));
            let completes =
                completes.map(|(id, token)| Operation::Complete(Complete { id, token, result_len: 50 }));
            let operations = enqueues.chain(completes).collect();
            Command::Transaction(Transaction { conditions: Vec::new(), operations })
        }
        Op::Wait { .. } => return None,
    })
}

fn step(world: &mut World, op: &Op) {
    if let Op::Wait { ms } = op {
        world.after(u64::from(*ms));
        return;
    }
    let Some(command) = command(world, op) else { return };
    let idempotency = match op {
        Op::Enqueue { key: Some(key), jobs, .. } => {
            Some(IdempotencyKey { key: format!("idem-{key}"), fingerprint: [jobs.len() as u64, 7] })
        }
        Op::Transact { key: Some(key), jobs, .. } => {
            Some(IdempotencyKey { key: format!("idem-{key}"), fingerprint: [jobs.len() as u64, 8] })
        }
        _ => None,
    };
    let leasing = matches!(op, Op::Lease { .. });
    let transaction = match (op, &command) {
        (Op::Transact { .. }, Command::Transaction(transaction)) => {
            // What time brings is not the transaction's doing.
            world.after(0);
            Some((transaction.clone(), idempotency.is_some(), world.state.digest_text()))
        }
        _ => None,
    };
    let decided =
        world.turn(|state, turn: &mut Turn<'_>| state.decide(Request { idempotency, command }, turn));
    let outcome = decided.outcome;
    if let (Some((transaction, keyed, before)), false) = (transaction, decided.replayed) {
        check_atomic(world, &transaction, keyed, &before, &outcome);
    }
    if let (true, Outcome::Worked(worked)) = (leasing, &outcome) {
        for job in &worked.leased {
            assert_eq!(world.job(job.id).state, JobState::Leased);
        }
        check_order(world, worked.leased.iter().map(|job| job.id).collect());
    }
    check_sound(world);
}

/// A transaction did all that it was asked to, or nothing.
fn check_atomic(world: &World, transaction: &Transaction, keyed: bool, before: &str, outcome: &Outcome) {
    match outcome {
        Outcome::Transacted(items) => {
            assert_eq!(items.len(), transaction.operations.len());
            for (operation, item) in transaction.operations.iter().zip(items) {
                match (operation, item) {
                    (Operation::Enqueue(one), Item::Is { id, .. }) => {
                        let job = world.job(*id);
                        assert_eq!((&*job.queue, &*job.kind), (one.queue.as_str(), one.kind.as_str()));
                        assert!(matches!(job.state, JobState::Ready | JobState::Scheduled), "{job:?}");
                    }
                    (Operation::Enqueue(one), Item::Duplicate { .. }) => assert!(one.job.more.is_some()),
                    (Operation::Complete(complete), Item::Is { id, state: JobState::Completed, .. }) => {
                        assert_eq!(*id, complete.id);
                        assert_eq!(world.job(*id).state, JobState::Completed);
                    }
                    other => panic!("an operation has no such result: {other:?}"),
                }
            }
        }
        _ if keyed => {}
        _ => {
            let after = world.state.digest_text();
            assert!(before == after, "{outcome:?} left a trace:\n{}", differences(before, &after));
        }
    }
}

/// What was just leased is never behind another waiting job of its ordering key, and no two jobs of a key are leased.
fn check_order(world: &World, leased: Vec<JobId>) {
    let all = world.state.list(&JobFilter::default(), 0, 1_000).jobs;
    for id in leased {
        let job = world.job(id);
        let Some(key) = &job.ordering_key else { continue };
        let rivals = all.iter().filter(|other| {
            other.id != id && other.queue == job.queue && other.ordering_key.as_ref() == Some(key)
        });
        for rival in rivals {
            assert_ne!(rival.state, JobState::Leased, "two jobs of {key} are leased: {id} and {}", rival.id);
            let skipped = rival.on_failure == Some(OnFailure::Skip) && rival.attempt > 0;
            let waits = matches!(rival.state, JobState::Ready | JobState::Scheduled) && !skipped;
            assert!(!waits || rival.id > id, "{id} of {key} overtook {}", rival.id);
        }
    }
}

/// Counts are what a recount gives.
fn check_sound(world: &World) {
    let all = world.state.list(&JobFilter::default(), 0, 1_000).jobs;
    for queue in world.state.queues() {
        for state in JobState::ALL {
            let counted = all.iter().filter(|job| job.queue == queue.name && job.state == state).count();
            assert_eq!(queue.counts.of(state), counted as u64, "{} jobs of {}", state.as_str(), queue.name);
        }
        let parked = all.iter().filter(|job| {
            job.queue == queue.name && job.waiting_for == Some(tidegate_core::view::WaitingFor::KeyParked)
        });
        assert!(queue.keys_parked > 0 || parked.count() == 0, "a parked key is counted");
    }
    assert!(world.state.next_deadline().is_none_or(|at| at >= START));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(400), ..ProptestConfig::default() })]

    #[test]
    fn a_replay_gives_the_same_state(ops in prop::collection::vec(op(), 1..120)) {
        let mut world = World::new();
        ops.iter().for_each(|op| step(&mut world, op));
        let live = whole_text(&world.state);
        let replayed = whole_text(&world.replayed_from(0));
        prop_assert!(live == replayed, "{}", differences(&live, &replayed));
    }

    #[test]
    fn after_a_walk_the_head_of_the_log_is_not_needed(
        before in prop::collection::vec(op(), 1..60),
        kept in prop::collection::vec(op(), 0..20),
        during in prop::collection::vec(op(), 1..60),
        after in prop::collection::vec(op(), 0..20),
    ) {
        let mut world = World::new();
        before.iter().for_each(|op| step(&mut world, op));
        let target = world.next_frame();
        kept.iter().for_each(|op| step(&mut world, op));
        let mut during = during.iter();
        world.walk(target, |world| {
            if let Some(op) = during.next() { step(world, op); }
        });
        after.iter().for_each(|op| step(&mut world, op));
        let live = whole_text(&world.state);
        let replayed = whole_text(&world.replayed_from(target));
        prop_assert!(live == replayed, "target {target}\n{}", differences(&live, &replayed));
    }

    #[test]
    fn everything_ends_once_the_world_behaves(ops in prop::collection::vec(op(), 1..120)) {
        let mut world = World::new();
        ops.iter().for_each(|op| step(&mut world, op));
        for queue in 0..3 {
            let queue = queue_name(queue);
            let pause = |ordering_key| Command::Pause(Pause { queue: queue.clone(), ordering_key, paused: false });
            world.decide(pause(None));
            for key in 0..4 {
                world.decide(pause(Some(format!("key-{key}"))));
            }
        }
        for _ in 0..600 {
            world.after(120_000);
            for queue in 0..3 {
                for job in world.lease(&queue_name(queue), 100) {
                    let completed = world.complete(job.id, job.token);
                    prop_assert!(matches!(completed, Item::Is { .. }), "{:?}", completed);
                    if let Some(key) = &job.more.as_ref().and_then(|more| more.ordering_key.clone()) {
                        // A job of a `park` key that expired meanwhile parks it; someone decides.
                        let queue = job.queue.to_string();
                        world.decide(Command::Pause(Pause { queue, ordering_key: Some(key.to_string()), paused: false }));
                    }
                }
                for key in 0..4 {
                    let ordering_key = Some(format!("key-{key}"));
                    world.decide(Command::Pause(Pause { queue: queue_name(queue), ordering_key, paused: false }));
                }
            }
            let open: usize = [JobState::Scheduled, JobState::Ready, JobState::Leased]
                .into_iter().map(|state| jobs_in(&world, state).len()).sum();
            if open == 0 {
                return Ok(());
            }
        }
        prop_assert!(false, "jobs are left: {}", world.state.digest_text());
    }
}

#[test]
fn time_never_goes_back() {
    let mut world = World::new();
    world.after(5_000);
    world.now = Time(world.now.0 - 60_000);
    let time = world.turn(|state, _| state.now());
    assert_eq!(time, START.plus(5_000));
}
