//! A small enrolment day, and a crash at every operation of its disk: whatever is left, nothing is oversold, nobody is half
//! enrolled, no grant is given twice, every offer has the job that tells of it, and what was acknowledged is there.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::*;
use tidegate_core::command::{self, EnqueueOne, NewJob, Operation};
use tidegate_core::pool::command::{Condition, PoolOperation, Swap, Wish};
use tidegate_core::pool::view::{Happened, HolderView};
use tidegate_core::pool::{GrantId, PoolConfig};
use tidegate_core::view::JobFilter;
use tidegate_engine::{Clock, Engine, Envelope, Options, Solo, Stored, Transaction};
use tidegate_log::disk::simulated::{SimulatedDisk, Survival};
use tidegate_log::{LocalLog, LocalOptions, Log, Opened};

const STUDENTS: usize = 6;
const SEATS: u32 = 2;
const OFFER_MS: u64 = 1_000;

/// One shard on a simulated disk; the log's writer and the turns are in the hands of a script.
struct World {
    engine: Engine,
    solo: Solo,
    log: Arc<LocalLog>,
    clock: Arc<HandClock>,
}

impl World {
    /// Opens what is on the disk; none if the disk does not let it.
    fn open(disk: &SimulatedDisk) -> Option<Self> {
        let log_options =
            LocalOptions { segment_bytes: 4_096, recent_bytes: 2_000, spares: 0, identity: Some(7) };
        let Opened { log, recovery } = LocalLog::open_stepped(Arc::new(disk.clone()), log_options).ok()?;
        let (log, clock) = (Arc::new(log), Arc::new(HandClock::new()));
        let options = Options { clock: clock.clone(), readers: 0, ..options() };
        let opened = Opened { log: Arc::clone(&log) as Arc<dyn Log>, recovery };
        let (engine, solo) = Engine::solo(opened, options).ok()?;
        let mut world = Self { engine, solo, log, clock };
        world.turn()?;
        Some(world)
    }

    fn turn(&mut self) -> Option<()> {
        while self.solo.turn(self.clock.now()).ok()?.more {}
        while self.log.step() {}
        Some(())
    }

    fn ask<T, E, F: Future<Output = Result<T, E>>>(
        &mut self,
        call: impl FnOnce(Engine) -> F,
    ) -> Option<Result<T, E>> {
        let asked = Asked::new(call(self.engine.clone()));
        self.turn()?;
        Some(asked.answer())
    }

    /// What is known of a student; none if the disk fails.
    fn holder(&mut self, student: usize) -> Option<HolderView> {
        let asked = self.ask(|engine| async move { engine.holder(&name(student)).await })?;
        Some(asked.ok()?.unwrap_or_default())
    }

    /// The payloads of a queue's jobs.
    fn payloads(&mut self, queue: &str) -> Vec<String> {
        let filter = JobFilter { queue: Some(queue.into()), ..JobFilter::default() };
        let page = self.ask(|engine| async move { engine.list(filter, 0, 1_000).await });
        let ids: Vec<_> = page.expect("it reads").expect("it reads").jobs.iter().map(|job| job.id).collect();
        let mut payloads = Vec::new();
        for id in ids {
            let job = self.ask(|engine| async move { engine.job(id, NO_WAIT).await });
            match job.expect("it reads").expect("it reads").expect("it is there").payload {
                Stored::Here(envelope) => {
                    payloads.push(String::from_utf8(envelope.payload.to_vec()).expect("text"));
                }
                other => panic!("{other:?}"),
            }
        }
        payloads
    }

    /// Does a step of the day under its own key; what it answered, in words. None if the disk fails.
    fn step(&mut self, step: &Step) -> Option<(String, bool)> {
        let step_key = key(&format!("{step:?}"), 1);
        Some(match step {
            Step::Configure(pool) => {
                let config = PoolConfig {
                    waitlist_max: 9,
                    offer_ms: OFFER_MS,
                    offer_queue: Some("offers".into()),
                    ..PoolConfig::of(SEATS)
                };
                let done =
                    self.ask(|engine| async move { engine.configure_pool(pool, config, step_key).await })?;
                let done = done.ok()?;
                ("configured".into(), done.replayed)
            }
            Step::Enrol(student) => self.transact(enrolment(*student), step_key)?,
            Step::Confirm(student) => {
                let grant = self.holder(*student)?.grants.first()?.id;
                let pool = Operation::Pool(PoolOperation::Confirm(grant));
                self.transact(with_mail(Vec::new(), pool, *student), step_key)?
            }
            Step::Join(student) => self.pools(PoolOperation::Join(wish_of(*student)), step_key)?,
            Step::Drop(grant) => self.pools(PoolOperation::Release(*grant), step_key)?,
            Step::Swap(grant) => {
                let (units, group, pool) = (None, None, String::from("other"));
                let swap = Swap { give: *grant, pool, units, group, when_offered: false };
                self.pools(PoolOperation::Swap(swap), step_key)?
            }
        })
    }

    fn transact(
        &mut self,
        ask: Transaction,
        key: Option<tidegate_engine::IdempotencyKey>,
    ) -> Option<(String, bool)> {
        let told = self.ask(|engine| async move { engine.transact(ask, key).await })?;
        match told {
            Ok(answer) => Some((format!("{:?}", answer.value), answer.replayed)),
            Err(tidegate_engine::CallError::OperationRefused { operation, refusal, replayed }) => {
                Some((format!("{operation} {}", refusal.code()), replayed))
            }
            Err(_) => None,
        }
    }

    fn pools(
        &mut self,
        operation: PoolOperation,
        key: Option<tidegate_engine::IdempotencyKey>,
    ) -> Option<(String, bool)> {
        let answer = self.ask(|engine| async move { engine.pools(vec![operation], key).await })?.ok()?;
        Some((format!("{:?}", answer.value[0].item), answer.replayed))
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Configure(&'static str),
    Enrol(usize),
    Join(usize),
    Drop(GrantId),
    Swap(GrantId),
    /// Takes the offer that this student has.
    Confirm(usize),
}

fn name(student: usize) -> String {
    format!("student-{student}")
}

fn wish_of(student: usize) -> Wish {
    Wish { pool: "seats".into(), holder: name(student), units: 1, group: None, hold_ms: None }
}

fn with_mail(conditions: Vec<Condition>, operation: Operation, student: usize) -> Transaction {
    let mail = EnqueueOne { queue: "mail".into(), kind: "welcome".into(), job: NewJob::new(0) };
    let blobs = vec![Envelope::default(), Envelope::json(format!("\"{}\"", name(student)))];
    let operations = vec![operation, Operation::Enqueue(mail)];
    Transaction { command: command::Transaction { conditions, operations }, blobs }
}

fn enrolment(student: usize) -> Transaction {
    let lacks = Condition::HasNone { holder: name(student), pools: vec!["seats".into()] };
    with_mail(vec![lacks], Operation::Pool(PoolOperation::Take(wish_of(student))), student)
}

/// Lives the day, as far as the disk lets it; returns each step whose answer came, and the answer.
fn live(disk: &SimulatedDisk) -> Vec<(Step, String)> {
    let mut acknowledged = Vec::new();
    if let Some(mut world) = World::open(disk) {
        let _ = live_in(&mut world, &mut acknowledged);
    }
    acknowledged
}

fn live_in(world: &mut World, acknowledged: &mut Vec<(Step, String)>) -> Option<()> {
    let mut go = |world: &mut World, step: Step| {
        let (answer, replayed) = world.step(&step)?;
        assert!(!replayed, "{step:?} was not done before");
        acknowledged.push((step, answer));
        Some(())
    };
    go(world, Step::Configure("seats"))?;
    go(world, Step::Configure("other"))?;
    for student in 0..4 {
        go(world, Step::Enrol(student))?;
    }
    for student in 2..STUDENTS {
        go(world, Step::Join(student))?;
    }
    go(world, Step::Drop(GrantId::new(0, 1)))?;
    // The offer to student 2 lapses, and student 3 has it: time alone does it, in a turn that nobody asked for.
    world.clock.pass(OFFER_MS);
    world.turn()?;
    go(world, Step::Confirm(3))?;
    go(world, Step::Swap(GrantId::new(0, 2)))?;
    go(world, Step::Confirm(4))
}

/// What a crash left is sound, and what was acknowledged is there. Returns how many are enrolled in both pools.
fn check_left(disk: &SimulatedDisk, acknowledged: &[(Step, String)], story: &str) -> usize {
    let mut world = World::open(disk).unwrap_or_else(|| panic!("{story}: it opens"));
    let holders: Vec<HolderView> =
        (0..STUDENTS).map(|student| world.holder(student).expect("it reads")).collect();
    for seen in world.engine.all_pools() {
        let view = &seen.view;
        assert!(view.held + view.taken <= u64::from(SEATS), "{story}: oversold: {view:?}");
        let of_pool =
            holders.iter().flat_map(|holder| &holder.grants).filter(|grant| grant.pool == view.name);
        let units: u64 = of_pool.map(|grant| u64::from(grant.units)).sum();
        assert_eq!(view.held + view.taken, units, "{story}: somebody has what nobody counts");
        let now = world.ask(|engine| {
            let name = Arc::clone(&view.name);
            async move { engine.pool_now(&name).await }
        });
        assert_eq!(now.unwrap().unwrap().as_ref(), Some(&***view), "{story}: what is shown is what is");
    }
    // Each grant was given once, in the order of the numbers of what happened.
    let mut given: Vec<(u64, u64)> = Vec::new();
    let (mut mails, mut offers) = (Vec::new(), 0);
    for (student, holder) in holders.iter().enumerate() {
        for entry in &holder.story {
            match entry.happened {
                Happened::Held(_) | Happened::Taken => given.push((entry.number, entry.grant)),
                Happened::Offered(_) => {
                    given.push((entry.number, entry.grant));
                    assert_eq!(entry.jobs.len(), 1, "{story}: an offer has its job");
                    offers += 1;
                }
                Happened::Enqueued => mails.push(format!("\"{}\"", name(student))),
                _ => {}
            }
        }
    }
    given.sort_unstable();
    let grants: Vec<u64> = given.iter().map(|&(_, grant)| grant).collect();
    assert!(grants.windows(2).all(|pair| pair[0] < pair[1]), "{story}: {grants:?} do not rise");
    let told = world.payloads("offers");
    assert_eq!(told.len(), offers, "{story}: {told:?}");
    let distinct: BTreeSet<&String> = told.iter().collect();
    assert_eq!(distinct.len(), told.len(), "{story}: an offer is told once");
    // Nobody is enrolled without mail, and nobody has mail without having been enrolled.
    let mut found = world.payloads("mail");
    found.sort();
    mails.sort();
    assert_eq!(found, mails, "{story}: half enrolled");
    // Whoever asks again is told the same, and nothing is done again.
    for (step, answer) in acknowledged.iter().filter(|(step, _)| !matches!(step, Step::Confirm(_))) {
        let again = world.step(step).unwrap_or_else(|| panic!("{story}: {step:?} again"));
        assert_eq!(again, (answer.clone(), true), "{story}: {step:?}");
    }
    let taken: u64 = world.engine.all_pools().iter().map(|seen| seen.view.taken).sum();
    taken as usize
}

#[test]
fn after_a_crash_at_any_operation_nobody_is_half_enrolled() {
    let whole = SimulatedDisk::new();
    let acknowledged = live(&whole);
    assert_eq!(acknowledged.len(), 14, "nothing is wrong with this disk: {acknowledged:?}");
    let refused = |student| {
        acknowledged.iter().any(|(step, answer)| {
            matches!(step, Step::Enrol(who) if *who == student) && answer == "0 sold_out"
        })
    };
    assert!(refused(2) && refused(3));
    let enrolled = check_left(&whole.after_crash(Survival::Nothing), &acknowledged, "no crash");
    assert_eq!(enrolled, 3, "two seats, and one in the other pool");
    let (operations, mut ahead) = (whole.operations(), 0);
    for operation in 1..=operations {
        let disk = SimulatedDisk::new();
        disk.crash_at(operation);
        let acknowledged = live(&disk);
        let some = (0..2).map(|way| Survival::Some(operation * 2 + way));
        for survival in [Survival::Nothing, Survival::Everything].into_iter().chain(some) {
            let story = format!("crash at {operation} of {operations}, {survival:?}");
            let enrolled = check_left(&disk.after_crash(survival), &acknowledged, &story);
            let known = acknowledged.iter().filter(|(_, answer)| answer.contains("state: Taken")).count();
            ahead += usize::from(enrolled > known);
        }
    }
    assert!(ahead > 0, "some were enrolled that nobody had been told of");
}
