//! Commands and time: a shard's life, and its replay.
//!
//! The world is the one that the core's own tests have (`crates/core/tests/support`). The input is a list of steps; numbers
//! choose among the jobs there are. After every step counts are recounted; at the end the log is replayed, whole and from
//! behind a walk, and the digests must agree.

#[path = "../../crates/core/tests/support/mod.rs"]
#[allow(missing_docs, unused_imports, clippy::all)]
mod support;

use arbitrary::{Arbitrary, Unstructured};
use support::World;
use tidegate_core::command::{
    Command, Complete, DeadFilter, Edit, Enqueue, EnqueueOne, Extend, Fail, IdempotencyKey, Lease, NewJob,
    NewJobMore, Operation, Pause, Redrive, Release, Request, Transaction, Work,
};
use tidegate_core::id::{JobId, Time, Token, When};
use tidegate_core::outcome::{Item, Outcome};
use tidegate_core::policy::{OnConflict, OnFailure, QueueConfig, Retry, Unique, UniqueUntil};
use tidegate_core::record::EndReason;
use tidegate_core::state::StateLimits;
use tidegate_core::view::{JobFilter, JobState};

/// Steps of one history: its cost grows with their square.
const STEPS_MAX: usize = 100;

/// One thing that happens.
#[derive(Debug, Arbitrary)]
enum Step {
    Enqueue {
        queue: u8,
        jobs: Vec<Job>,
        key: Option<u8>,
    },
    Lease {
        queues: [u8; 2],
        max: u8,
        lease_ms: Option<u16>,
        kind: Option<u8>,
        key: Option<u8>,
    },
    Work {
        complete: Vec<Settled>,
        fail: Vec<(Settled, Failure)>,
        extend: Vec<(Settled, bool)>,
        release: Vec<Settled>,
        lease: bool,
    },
    Cancel {
        nth: u8,
    },
    Edit {
        nth: u8,
    },
    Configure {
        queue: u8,
        config: Config,
    },
    Pause {
        queue: u8,
        key: Option<u8>,
        paused: bool,
    },
    Redrive {
        filter: Filter,
        rate: Option<u16>,
        stop: u8,
    },
    DeleteDead {
        filter: Filter,
    },
    Transact {
        enqueues: Vec<(u8, Job)>,
        completes: Vec<Settled>,
        key: Option<u8>,
    },
    Wait {
        ms: u32,
    },
    SetBack {
        ms: u32,
    },
    Walk {
        upto: u8,
    },
}

#[derive(Debug, Arbitrary)]
struct Job {
    kind: u8,
    priority: u8,
    run_at: Option<Moment>,
    expires_at: Option<Moment>,
    ordering_key: Option<u8>,
    on_failure: Option<u8>,
    unique: Option<(u8, u8, u8, u16)>,
    retry: Option<(u8, u16, u16, u16, u8)>,
}

/// Soon, late, or in the past.
#[derive(Debug, Arbitrary)]
enum Moment {
    In(u16),
    InSeconds(u32),
    Ago(u16),
}

#[derive(Debug, Arbitrary)]
struct Settled {
    nth: u8,
    /// How far the token is from the right one.
    off_by: i8,
    result: bool,
}

#[derive(Debug, Arbitrary)]
struct Failure {
    message: u8,
    retry_after_ms: Option<u32>,
    fatal: bool,
}

#[derive(Debug, Arbitrary)]
struct Config {
    retry: (u8, u16, u16, u16, u8),
    lease_ms: u16,
    on_failure: u8,
    jobs_max: u8,
    retain_ms: u16,
    retain_max: u8,
}

#[derive(Debug, Arbitrary)]
struct Filter {
    queue: u8,
    named: Option<u8>,
    kind: Option<u8>,
    reason: Option<u8>,
    before: Option<u16>,
}

/// See the module.
pub fn check(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(narrow) = bool::arbitrary(&mut input) else { return };
    let limits = if narrow {
        StateLimits { jobs_max: 12, idempotency_records_max: 3, ..StateLimits::default() }
    } else {
        StateLimits::default()
    };
    let mut world = World::with_limits(limits);
    let mut walked_to = None;
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut input) else { break };
        if let Some(target) = happen(&mut world, step) {
            walked_to = Some(target);
        }
        sound(&world);
    }
    // A clock that was set back does not set the state back, and a replay is told the time the state has.
    world.now = world.state.now();
    world.after(0);
    let live = world.state.digest_text();
    same(&live, &world.replayed_from(0).digest_text(), "the whole log");
    if let Some(target) = walked_to {
        same(&live, &world.replayed_from(target).digest_text(), "the log from its last walk's target on");
    }
    let target = world.next_frame();
    world.walk(target, |_| ());
    let live = world.state.digest_text();
    same(&live, &world.replayed_from(target).digest_text(), "what a walk at the end leaves");
}

#[track_caller]
fn same(live: &str, replayed: &str, what: &str) {
    assert!(live == replayed, "{what} gives another state:\n{}", support::differences(live, replayed));
}

fn queue_name(number: u8) -> String {
    format!("queue-{}", number % 3)
}

fn jobs_in(world: &World, state: JobState) -> Vec<JobId> {
    let filter = JobFilter { state: Some(state), ..JobFilter::default() };
    world.state.list(&filter, 0, 1_000).jobs.iter().map(|job| job.id).collect()
}

/// One of the jobs in a state; with a number that is too high, one that is not there, or is in another state.
fn pick(world: &World, state: JobState, nth: u8) -> JobId {
    let jobs = jobs_in(world, state);
    if jobs.is_empty() || nth > 250 {
        return JobId::new(u16::from(nth == 255), u64::from(nth) + 1);
    }
    jobs[usize::from(nth) % jobs.len()]
}

fn token_of(world: &World, settled: &Settled) -> (JobId, Token) {
    let id = pick(world, JobState::Leased, settled.nth);
    let right = world.state.job(id).and_then(|job| job.token).map_or(1, |token| token.0);
    // Mostly right.
    let off_by = if settled.off_by.unsigned_abs() > 100 { i64::from(settled.off_by) } else { 0 };
    (id, Token(right.saturating_add_signed(off_by)))
}

fn moment(world: &World, moment: &Moment) -> When {
    match *moment {
        Moment::In(ms) => When::In(u64::from(ms)),
        Moment::InSeconds(s) => When::In(u64::from(s) * 1_000),
        Moment::Ago(ms) => When::At(Time(world.now.0 - u64::from(ms))),
    }
}

fn retry(&(attempts, delay, factor, delay_max, jitter): &(u8, u16, u16, u16, u8)) -> Retry {
    Retry {
        max_attempts: u32::from(attempts % 100) + 1,
        delay_ms: u64::from(delay),
        factor_permille: 1_000 + u32::from(factor % 9_001),
        delay_ms_max: u64::from(delay_max),
        jitter_percent: u32::from(jitter % 101),
    }
}

fn on_failure(number: u8) -> OnFailure {
    [OnFailure::Block, OnFailure::Skip, OnFailure::Park][usize::from(number % 3)]
}

fn new_job(world: &World, job: &Job) -> NewJob {
    let until = [UniqueUntil::Completed, UniqueUntil::Started, UniqueUntil::Duration];
    let conflict = [OnConflict::Return, OnConflict::Reject, OnConflict::Replace];
    let ordering_key = job.ordering_key.map(|key| format!("key-{}", key % 3));
    let more = NewJobMore {
        expires_at: job.expires_at.as_ref().map(|at| moment(world, at)),
        on_failure: ordering_key.as_ref().and(job.on_failure).map(on_failure),
        ordering_key,
        fairness_key: None,
        unique: job.unique.map(|(key, u, c, ms)| Unique {
            key: format!("unique-{}", key % 3),
            until: until[usize::from(u % 3)],
            duration_ms: u64::from(ms).max(1),
            on_conflict: conflict[usize::from(c % 3)],
        }),
        retry: job.retry.as_ref().map(retry),
        dependency: None,
    };
    NewJob {
        priority: job.priority % 10,
        run_at: job.run_at.as_ref().map(|at| moment(world, at)),
        more: (more != NewJobMore::default()).then(|| Box::new(more)),
        ..NewJob::new(40)
    }
}

fn filter(world: &World, filter: &Filter) -> DeadFilter {
    let reasons = [EndReason::AttemptsExhausted, EndReason::Fatal, EndReason::Expired];
    DeadFilter {
        queue: queue_name(filter.queue),
        ids: filter.named.map(|nth| vec![pick(world, JobState::Dead, nth)]).unwrap_or_default(),
        kind: filter.kind.map(|kind| format!("kind-{}", kind % 2)),
        cause: None,
        reason: filter.reason.map(|reason| reasons[usize::from(reason % 3)]),
        before: filter.before.map(|ms| Time(world.now.0 - u64::from(ms))),
    }
}

/// Lets a step happen. A walk says from which frame on the log is enough.
fn happen(world: &mut World, step: Step) -> Option<u64> {
    let mut idempotency = None;
    let mut keyed = |key: Option<u8>, of: u64| {
        idempotency =
            key.map(|key| IdempotencyKey { key: format!("idem-{}", key % 6), fingerprint: [of, 7] });
    };
    let command = match step {
        Step::Wait { ms } => {
            world.after(u64::from(ms));
            return None;
        }
        Step::SetBack { ms } => {
            world.now = Time(world.now.0.saturating_sub(u64::from(ms % 10_000_000)).max(1_000_000_000));
            return None;
        }
        Step::Walk { upto } => {
            let target = world.next_frame().saturating_sub(u64::from(upto % 8)).max(1);
            world.walk(target, |_| ());
            return Some(target);
        }
        Step::Enqueue { queue, mut jobs, key } => {
            jobs.truncate(12);
            keyed(key, jobs.len() as u64);
            let mut enqueue = Enqueue::new(queue_name(queue));
            for job in &jobs {
                let kind = enqueue.kind(&format!("kind-{}", job.kind % 2));
                enqueue.jobs.push(NewJob { kind, ..new_job(world, job) });
            }
            Command::Enqueue(enqueue)
        }
        Step::Lease { queues, max, lease_ms, kind, key } => {
            keyed(key, u64::from(max));
            Command::Work(Work {
                lease: Some(Lease {
                    queues: queues.map(queue_name).into(),
                    max: u32::from(max % 10) + 1,
                    lease_ms: lease_ms.map(|ms| u64::from(ms) + 1_000),
                    worker: format!("worker-{}", max % 3),
                    kinds: kind.iter().map(|kind| format!("kind-{}", kind % 2)).collect(),
                }),
                ..Work::default()
            })
        }
        Step::Work { complete, fail, extend, release, lease } => {
            let completed = |settled: &Settled| {
                let (id, token) = token_of(world, settled);
                Complete { id, token, result_len: if settled.result { 50 } else { 0 } }
            };
            let failed = |(settled, failure): &(Settled, Failure)| {
                let (id, token) = token_of(world, settled);
                Fail {
                    id,
                    token,
                    message: format!("error {}", failure.message % 4),
                    kind: (failure.message > 200).then(|| "io".into()),
                    dependency: None,
                    retry_after_ms: failure.retry_after_ms.filter(|_| !failure.fatal).map(u64::from),
                    fatal: failure.fatal,
                }
            };
            let extended = |(settled, progress): &(Settled, bool)| {
                let (id, token) = token_of(world, settled);
                Extend { id, token, lease_ms: None, progress: progress.then(|| b"half".as_slice().into()) }
            };
            let released = |settled: &Settled| {
                let (id, token) = token_of(world, settled);
                Release { id, token }
            };
            Command::Work(Work {
                complete: complete.iter().take(8).map(completed).collect(),
                fail: fail.iter().take(8).map(failed).collect(),
                extend: extend.iter().take(8).map(extended).collect(),
                release: release.iter().take(8).map(released).collect(),
                lease: lease.then(|| Lease {
                    queues: vec![queue_name(0)],
                    max: 2,
                    worker: "worker".into(),
                    ..Lease::default()
                }),
            })
        }
        Step::Cancel { nth } => {
            let states = [JobState::Ready, JobState::Scheduled, JobState::Leased, JobState::Completed];
            Command::Cancel(pick(world, states[usize::from(nth % 4)], nth / 4))
        }
        Step::Edit { nth } => Command::Edit(Edit { id: pick(world, JobState::Dead, nth), blob_len: 60 }),
        Step::Configure { queue, config } => Command::ConfigureQueue {
            queue: queue_name(queue),
            config: QueueConfig {
                retry: retry(&config.retry),
                lease_ms: u64::from(config.lease_ms) + 1_000,
                on_failure: on_failure(config.on_failure) as i32,
                jobs_max: u64::from(config.jobs_max).max(1),
                retain_ms: u64::from(config.retain_ms),
                retain_max: u64::from(config.retain_max),
            },
        },
        Step::Pause { queue, key, paused } => Command::Pause(Pause {
            queue: queue_name(queue),
            ordering_key: key.map(|key| format!("key-{}", key % 3)),
            paused,
        }),
        Step::Redrive { filter: which, rate, stop } => Command::Redrive(Redrive {
            filter: filter(world, &which),
            rate_per_s: rate.map(|rate| u32::from(rate).max(1)),
            stop_after_dead: u32::from(stop),
        }),
        Step::DeleteDead { filter: which } => Command::DeleteDead(filter(world, &which)),
        Step::Transact { enqueues, completes, key } => {
            keyed(key, 100 + completes.len() as u64);
            let mut uniques = std::collections::BTreeSet::new();
            let mut completed = std::collections::BTreeSet::new();
            let enqueues = enqueues.iter().take(6).map(|(queue, job)| EnqueueOne {
                queue: queue_name(*queue),
                kind: format!("kind-{}", job.kind % 2),
                job: new_job(world, job),
            });
            // The door refuses operations that contradict each other.
            let enqueues = enqueues.filter(|one| {
                let unique = one.job.more.as_ref().and_then(|more| more.unique.as_ref());
                unique.is_none_or(|unique| uniques.insert((one.queue.clone(), unique.key.clone())))
            });
            let completes =
                completes.iter().take(6).map(|settled| (token_of(world, settled), settled.result));
            let completes =
                completes.filter(|((id, _), _)| completed.insert(*id)).map(|((id, token), result)| {
                    Operation::Complete(Complete { id, token, result_len: if result { 50 } else { 0 } })
                });
            let operations: Vec<_> = enqueues.map(Operation::Enqueue).chain(completes).collect();
            if operations.is_empty() {
                return None;
            }
            Command::Transaction(Transaction { conditions: Vec::new(), operations })
        }
    };
    let before = matches!(command, Command::Transaction(_)).then(|| {
        // What time brings is not the transaction's doing.
        world.after(0);
        world.state.digest_text()
    });
    let keyed = idempotency.is_some();
    let decided = world.turn(|state, turn| state.decide(Request { idempotency, command }, turn));
    match (&decided.outcome, before) {
        (Outcome::Transacted(items), _) => {
            assert!(items.iter().all(|item| !matches!(item, Item::Refused(_))), "{items:?}");
        }
        (_, Some(before)) if !keyed => same(&before, &world.state.digest_text(), "a refused transaction"),
        (Outcome::Worked(worked), _) if !decided.replayed => {
            for job in &worked.leased {
                assert_eq!(world.job(job.id).state, JobState::Leased);
            }
        }
        _ => {}
    }
    None
}

/// Counts are what a recount gives; no two live leases share an ordering key or a token.
fn sound(world: &World) {
    let all = world.state.list(&JobFilter::default(), 0, 1_000).jobs;
    for queue in world.state.queues() {
        for state in JobState::ALL {
            let counted = all.iter().filter(|job| job.queue == queue.name && job.state == state).count();
            assert_eq!(queue.counts.of(state), counted as u64, "{} jobs of {}", state.as_str(), queue.name);
        }
    }
    let leased: Vec<_> = all.iter().filter(|job| job.state == JobState::Leased).collect();
    for (index, job) in leased.iter().enumerate() {
        for other in &leased[..index] {
            assert_ne!(job.token, other.token, "{} and {} have one token", job.id, other.id);
            let shared = job.queue == other.queue && job.ordering_key == other.ordering_key;
            assert!(!shared || job.ordering_key.is_none(), "{} and {} share a key", job.id, other.id);
        }
    }
}
