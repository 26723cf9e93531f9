//! Transactions: through a shard's turns, over its log, and over a crash at every operation of its disk.

mod common;

use std::sync::Arc;

use common::*;
use tidegate_core::command::{Complete, EnqueueOne, NewJob, Operation};
use tidegate_core::outcome::Item;
use tidegate_core::view::{JobFilter, JobState};
use tidegate_core::{JobId, Refusal, Token};
use tidegate_engine::{
    CallError, Clock, Engine, Envelope, Options, Place, Solo, Stored, Transaction, shard_of,
};
use tidegate_log::disk::simulated::{SimulatedDisk, Survival};
use tidegate_log::{LocalLog, LocalOptions, Log, Opened};

/// A transaction in the making.
#[derive(Default)]
struct Asks(Transaction);

impl Asks {
    fn enqueue(self, queue: &str, payload: &str) -> Self {
        let one = EnqueueOne { queue: queue.into(), kind: "default".into(), job: NewJob::new(0) };
        self.with(Operation::Enqueue(one), Envelope::json(payload.to_owned()))
    }

    fn complete(self, id: JobId, token: Token, result: Option<&str>) -> Self {
        let result = result.map_or_else(Envelope::default, |result| Envelope::json(result.to_owned()));
        self.with(Operation::Complete(Complete { id, token, result_len: 0 }), result)
    }

    fn with(mut self, operation: Operation, blob: Envelope) -> Self {
        self.0.command.operations.push(operation);
        self.0.blobs.push(blob);
        self
    }
}

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
        Self::open_with_reserve(disk, 0)
    }

    fn open_with_reserve(disk: &SimulatedDisk, disk_reserve_bytes: u64) -> Option<Self> {
        let log_options =
            LocalOptions { segment_bytes: 4_096, recent_bytes: 2_000, spares: 0, identity: Some(7) };
        let Opened { log, recovery } = LocalLog::open_stepped(Arc::new(disk.clone()), log_options).ok()?;
        let log = Arc::new(log);
        let clock = Arc::new(HandClock::new());
        let options = Options { clock: clock.clone(), readers: 0, disk_reserve_bytes, ..options() };
        let opened = Opened { log: Arc::clone(&log) as Arc<dyn Log>, recovery };
        let (engine, solo) = Engine::solo(opened, options).ok()?;
        let mut world = Self { engine, solo, log, clock };
        world.turn()?;
        Some(world)
    }

    /// Runs turns, and the log's writer, until there is nothing more to do; none if the disk fails.
    fn turn(&mut self) -> Option<()> {
        while self.solo.turn(self.clock.now()).ok()?.more {}
        while self.log.step() {}
        Some(())
    }

    /// Asks, and brings the answer if the disk lets it.
    fn ask<T, F: Future<Output = Result<T, CallError>>>(
        &mut self,
        call: impl FnOnce(Engine) -> F,
    ) -> Option<T> {
        let asked = Asked::new(call(self.engine.clone()));
        self.turn()?;
        asked.answer().ok()
    }

    fn transact(&mut self, asks: Asks, name: &str, fingerprint: u64) -> Option<(Vec<Item>, bool)> {
        let key = key(name, fingerprint);
        let answer = self.ask(|engine| async move { engine.transact(asks.0, key).await })?;
        Some((answer.value, answer.replayed))
    }

    fn jobs_of(&mut self, queue: &str) -> Vec<JobId> {
        let filter = JobFilter { queue: Some(queue.into()), ..JobFilter::default() };
        let page = self.ask(|engine| async move { engine.list(filter, 0, 1_000).await });
        page.expect("a read").jobs.iter().map(|job| job.id).collect()
    }

    /// What a job brings, or has left.
    fn blob_of(&mut self, id: JobId) -> (JobState, Option<String>) {
        let job = self.ask(|engine| async move { engine.job(id, NO_WAIT).await });
        let job = job.expect("a read").expect("the job is there");
        let stored = if job.view.state == JobState::Completed { job.result } else { job.payload };
        let text = match stored {
            Stored::Here(envelope) => {
                Some(String::from_utf8(envelope.payload.to_vec()).expect("the tests' blobs are text"))
            }
            Stored::None => None,
            Stored::Damaged(what) => panic!("{what}"),
        };
        (job.view.state, text)
    }
}

/// Rounds of one life.
const ROUNDS: usize = 5;

/// The follow-ups of a round: queue and payload. Their sizes put frames within a sector, over several, and over more than a
/// segment.
fn follow_ups(round: usize) -> [(&'static str, String); 3] {
    let pad = "x".repeat([10, 700, 3, 5_000, 60][round]);
    [("mail", format!("\"mail {round} {pad}\"")), ("stock", format!("{round}")), ("mail", "null".into())]
}

/// Takes one order after another and ends each in a transaction with its follow-ups, as far as the disk lets it. Returns
/// the order and the token of each round whose answer came.
fn live(disk: &SimulatedDisk) -> Vec<(JobId, Token)> {
    let mut acknowledged = Vec::new();
    let Some(mut world) = World::open(disk) else { return acknowledged };
    for round in 0..ROUNDS {
        let Some(order) = transact_round(&mut world, round) else { break };
        acknowledged.push(order);
    }
    acknowledged
}

fn transact_round(world: &mut World, round: usize) -> Option<(JobId, Token)> {
    let order = round.to_string();
    world.ask(|engine| async move { engine.enqueue(jobs("orders", &[&order]), None).await })?;
    let wish = wish(&["orders"], 1);
    let leased = world.ask(|engine| async move { engine.lease(wish, NO_WAIT, None).await })?;
    let job = &leased.value.leased.first()?.job;
    let (id, token) = (job.id, job.token);
    let (items, replayed) = world.transact(round_of(round, id, token), &format!("round-{round}"), 1)?;
    assert_eq!((items.len(), replayed), (4, false));
    Some((id, token))
}

fn round_of(round: usize, id: JobId, token: Token) -> Asks {
    let [first, second, third] = follow_ups(round);
    let asks = Asks::default().enqueue(first.0, &first.1).enqueue(second.0, &second.1);
    asks.complete(id, token, Some(&format!("{{\"round\":{round}}}"))).enqueue(third.0, &third.1)
}

/// What a crash left: of each round all or nothing, and of each acknowledged one all.
fn check_left(disk: &SimulatedDisk, acknowledged: &[(JobId, Token)], story: &str) -> usize {
    let mut world = World::open(disk).unwrap_or_else(|| panic!("{story}: it opens"));
    let orders = world.jobs_of("orders");
    let completed: Vec<JobId> =
        orders.into_iter().filter(|&order| world.blob_of(order).0 == JobState::Completed).collect();
    assert!(completed.len() >= acknowledged.len(), "{story}: what was acknowledged is there");
    for (round, &order) in completed.iter().enumerate() {
        let result = world.blob_of(order).1;
        assert_eq!(result, Some(format!("{{\"round\":{round}}}")), "{story}: a result is its own job's");
    }
    for queue in ["mail", "stock"] {
        let expected: Vec<(JobState, Option<String>)> = (0..completed.len())
            .flat_map(follow_ups)
            .filter(|(of, _)| *of == queue)
            .map(|(_, payload)| (JobState::Ready, Some(payload)))
            .collect();
        let found: Vec<_> = world.jobs_of(queue).into_iter().map(|id| world.blob_of(id)).collect();
        assert!(found == expected, "{story}: {queue} has {found:?}, {completed:?} are completed");
    }
    // Whoever asks again is told the same, and nothing is done again.
    let (mail, stock) = (world.jobs_of("mail"), world.jobs_of("stock"));
    for (round, &(id, token)) in acknowledged.iter().enumerate() {
        let asks = round_of(round, id, token);
        let (items, replayed) =
            world.transact(asks, &format!("round-{round}"), 1).unwrap_or_else(|| panic!("{story}: again"));
        assert!(replayed && items.len() == 4, "{story}: {items:?}");
    }
    assert_eq!((world.jobs_of("mail"), world.jobs_of("stock")), (mail, stock), "{story}: nothing twice");
    completed.len()
}

#[test]
fn after_a_crash_at_any_operation_a_transaction_is_there_whole_or_not_at_all() {
    let whole = SimulatedDisk::new();
    let acknowledged = live(&whole);
    assert_eq!(acknowledged.len(), ROUNDS, "nothing is wrong with this disk");
    assert_eq!(check_left(&whole.after_crash(Survival::Nothing), &acknowledged, "no crash"), ROUNDS);
    let (operations, mut torn, mut found) = (whole.operations(), 0, [0; ROUNDS + 1]);
    for operation in 1..=operations {
        let disk = SimulatedDisk::new();
        disk.crash_at(operation);
        let acknowledged = live(&disk);
        let some = (0..4).map(|way| Survival::Some(operation * 4 + way));
        for survival in [Survival::Nothing, Survival::Everything].into_iter().chain(some) {
            let story = format!("crash at {operation} of {operations}, {survival:?}");
            let left = check_left(&disk.after_crash(survival), &acknowledged, &story);
            found[left] += 1;
            torn += usize::from(left > acknowledged.len());
        }
    }
    assert!(found.iter().all(|&times| times > 0), "crashes fell into every round: {found:?}");
    assert!(torn > 0, "some transactions were there that nobody had been told of");
}

#[test]
fn payloads_and_results_of_one_transaction_are_each_with_their_own_job() {
    let mut world = World::open(&SimulatedDisk::new()).expect("a new disk");
    world.ask(|engine| async move { engine.enqueue(jobs("a", &["1", "2"]), None).await }).expect("enqueued");
    let wish = wish(&["a"], 2);
    let leased = world.ask(|engine| async move { engine.lease(wish, NO_WAIT, None).await }).expect("leased");
    let [first, second] = &leased.value.leased[..] else { panic!("both are leased") };
    let frames = world.log.status().last;
    let asks = Asks::default()
        .complete(first.job.id, first.job.token, None)
        .enqueue("b", "\"early\"")
        .complete(second.job.id, second.job.token, Some("\"done\""))
        .enqueue("c", "\"late\"");
    let asked = asks.0.clone();
    let (items, _) = world.transact(asks, "k", 1).expect("done");
    assert_eq!(world.log.status().last, frames.next(), "it was one frame");
    let found: Vec<_> = ids(&items).into_iter().map(|id| world.blob_of(id)).collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        found,
        [
            (JobState::Completed, None),
            (JobState::Ready, text("\"early\"")),
            (JobState::Completed, text("\"done\"")),
            (JobState::Ready, text("\"late\"")),
        ]
    );
    let again = world.ask(|engine| async move { engine.transact(asked, key("k", 1)).await }).expect("again");
    assert_eq!((again.value, again.replayed), (items, true));
}

#[test]
fn who_waits_hears_of_a_transaction_in_its_own_turn() {
    let mut world = World::open(&SimulatedDisk::new()).expect("a new disk");
    world.ask(|engine| async move { engine.enqueue(jobs("a", &["1"]), None).await }).expect("enqueued");
    let one = wish(&["a"], 1);
    let leased = world.ask(|engine| async move { engine.lease(one, NO_WAIT, None).await }).expect("leased");
    let held = &leased.value.leased[0].job;
    let engine = world.engine.clone();
    let mut poll = Asked::new(engine.lease(wish(&["b"], 5), LONG, None));
    let mut end = Asked::new(engine.job(held.id, LONG));
    world.turn().expect("the disk is well");
    poll.waits("there is nothing");
    end.waits("the job has not ended");
    let refused = Asks::default().enqueue("b", "1").complete(held.id, Token(99), None);
    assert!(world.transact(refused, "k", 1).is_none());
    poll.waits("nothing was done");
    end.waits("nothing was done");
    let asks = Asks::default().enqueue("b", "1").complete(held.id, held.token, None).enqueue("b", "2");
    world.transact(asks, "l", 1).expect("done");
    assert_eq!(texts(&poll.answer().expect("leased").value), ["1", "2"]);
    assert_eq!(end.answer().expect("a read").expect("a job").view.state, JobState::Completed);
}

#[test]
fn a_refusal_names_its_operation_and_is_told_again() {
    let mut world = World::open(&SimulatedDisk::new()).expect("a new disk");
    let engine = world.engine.clone();
    for replayed in [false, true] {
        let asks = Asks::default().enqueue("a", "1").complete(JobId::new(0, 9), Token(1), None);
        let asked = Asked::new(engine.transact(asks.0, key("k", 1)));
        world.turn().expect("the disk is well");
        let refused = asked.answer().expect_err("there is no such job");
        let expected = CallError::OperationRefused { operation: 1, refusal: Refusal::JobNotFound, replayed };
        assert_eq!(refused, expected);
    }
    assert_eq!(world.jobs_of("a"), []);
}

#[test]
fn a_full_disk_takes_no_new_jobs_and_lets_completions_through() {
    let disk = SimulatedDisk::new();
    let mut world = World::open(&disk).expect("a new disk");
    world.ask(|engine| async move { engine.enqueue(jobs("a", &["1"]), None).await }).expect("enqueued");
    let one = wish(&["a"], 1);
    let leased = world.ask(|engine| async move { engine.lease(one, NO_WAIT, None).await }).expect("leased");
    let (id, token) = (leased.value.leased[0].job.id, leased.value.leased[0].job.token);
    let disk = disk.after_crash(Survival::Everything);
    disk.limit(Some(1 << 30));
    // A reserve that this disk has not.
    let mut world = World::open_with_reserve(&disk, 2 << 30).expect("it opens");
    let engine = world.engine.clone();
    let asks = || Asks::default().complete(id, token, None);
    let refused = Asked::new(engine.transact(asks().enqueue("a", "2").0, None));
    world.turn().expect("the disk is well");
    assert!(matches!(refused.answer(), Err(CallError::DiskFull { .. })));
    let (items, _) = world.transact(asks(), "k", 1).expect("work that is there can be finished");
    assert_eq!(ids(&items), [id]);
}

#[test]
fn what_no_frame_could_hold_is_refused() {
    let engine = Engine::memory(options()).expect("an engine");
    let long = "x".repeat(11 << 20);
    let asks = Asks::default().enqueue("a", &long).complete(JobId::new(0, 1), Token(1), Some(&long));
    assert!(matches!(wait(engine.transact(asks.0, None)), Err(CallError::CallTooLarge { .. })));
}

#[test]
fn a_transaction_is_in_one_shard() {
    let engine = Engine::memory(Options { shards: 2, ..options() }).expect("an engine");
    let names = |shard| (0..).map(|n| format!("queue-{n}")).filter(move |name| shard_of(name, 2) == shard);
    let (here, there): (Vec<_>, Vec<_>) = (names(0).take(2).collect(), names(1).take(1).collect());
    let together = Asks::default().enqueue(&here[0], "1").enqueue(&here[1], "2");
    let items = wait(engine.transact(together.0, None)).expect("both are in one shard").value;
    assert_eq!(ids(&items), [JobId::new(0, 1), JobId::new(0, 2)]);

    let apart = Asks::default().enqueue(&here[0], "1").enqueue(&here[1], "2").enqueue(&there[0], "3");
    let (one, other) = (Place::Queue(here[0].clone()), Place::Queue(there[0].clone()));
    let expected = CallError::SpansShards { one, other, operation: 2 };
    assert_eq!(wait(engine.transact(apart.0, None)), Err(expected));

    let apart = Asks::default().complete(JobId::new(1, 1), Token(1), None).enqueue(&here[0], "1");
    let (one, other) = (Place::Job(JobId::new(1, 1)), Place::Queue(here[0].clone()));
    let expected = CallError::SpansShards { one, other, operation: 1 };
    assert_eq!(wait(engine.transact(apart.0, None)), Err(expected));

    let nowhere = Asks::default().enqueue(&here[0], "1").complete(JobId::new(2, 1), Token(1), None);
    let expected =
        CallError::OperationRefused { operation: 1, refusal: Refusal::JobNotFound, replayed: false };
    assert_eq!(wait(engine.transact(nowhere.0, None)), Err(expected));
    assert_eq!(wait(engine.transact(Transaction::default(), None)).expect("nothing is done").value, []);
}
