//! Pools through a shard's turns and over its log: offers that are jobs, what is shown and when, and what lies in which shard.

mod common;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use common::*;
use tidegate_core::command::{self, EnqueueOne, NewJob, Operation};
use tidegate_core::outcome::{Item, Refusal};
use tidegate_core::pool::command::{Condition, PoolOperation, Swap, Wish};
use tidegate_core::pool::refusal::Why;
use tidegate_core::pool::view::{Happened, LinePlace, PoolItem};
use tidegate_core::pool::{GrantId, GrantState, Opening, PoolConfig};
use tidegate_engine::{
    Answer, CallError, Clock, Engine, Envelope, Options, Place, PoolAnswer, PoolWatch, Solo, Transaction,
    shard_of,
};
use tidegate_log::disk::simulated::SimulatedDisk;
use tidegate_log::{LocalLog, LocalOptions, Log, Opened};

/// One shard on a simulated disk; the log's writer and the turns are in the hands of a script.
struct World {
    engine: Engine,
    solo: Solo,
    log: Arc<LocalLog>,
    clock: Arc<HandClock>,
}

impl World {
    fn open(disk: &SimulatedDisk) -> Self {
        let mut world = Self::open_at(disk, Arc::new(HandClock::new()));
        world.decide();
        world.sync();
        world
    }

    /// Opened, and its first turn not run yet.
    fn open_at(disk: &SimulatedDisk, clock: Arc<HandClock>) -> Self {
        let log_options =
            LocalOptions { segment_bytes: 4_096, recent_bytes: 2_000, spares: 0, identity: Some(7) };
        let Opened { log, recovery } =
            LocalLog::open_stepped(Arc::new(disk.clone()), log_options).expect("the log opens");
        let log = Arc::new(log);
        let options = Options { clock: clock.clone(), readers: 0, ..options() };
        let opened = Opened { log: Arc::clone(&log) as Arc<dyn Log>, recovery };
        let (engine, solo) = Engine::solo(opened, options).expect("the engine opens");
        Self { engine, solo, log, clock }
    }

    /// Runs turns until there is nothing more to do. Nothing of it is durable before [`sync`](Self::sync).
    fn decide(&mut self) {
        while self.solo.turn(self.clock.now()).expect("the log takes it").more {}
    }

    fn sync(&self) {
        while self.log.step() {}
    }

    fn ask<T, F: Future<Output = T>>(&mut self, call: impl FnOnce(Engine) -> F) -> T {
        let asked = Asked::new(call(self.engine.clone()));
        self.decide();
        self.sync();
        asked.answer()
    }

    fn configure(&mut self, pool: &'static str, config: PoolConfig) {
        self.ask(|engine| async move { engine.configure_pool(pool, config, None).await })
            .expect("configured");
    }

    fn pools(&mut self, operations: Vec<PoolOperation>) -> Vec<PoolAnswer> {
        self.ask(|engine| async move { engine.pools(operations, None).await }).expect("decided").value
    }

    fn one(&mut self, operation: PoolOperation) -> PoolAnswer {
        self.pools(vec![operation]).remove(0)
    }
}

fn wish_for(pool: &str, holder: &str) -> Wish {
    Wish { pool: pool.into(), holder: holder.into(), units: 1, group: None, hold_ms: None }
}

fn take(pool: &str, holder: &str) -> PoolOperation {
    PoolOperation::Take(wish_for(pool, holder))
}

fn grant_of(answer: &PoolAnswer) -> GrantId {
    match answer.item {
        Item::Pool(PoolItem::Grant { id, .. }) => id,
        ref other => panic!("no grant: {other:?}"),
    }
}

fn why(answer: &PoolAnswer) -> Why {
    match answer.item {
        Item::Refused(Refusal::Pool(refusal)) => refusal.why,
        ref other => panic!("not refused: {other:?}"),
    }
}

fn heard(watch: &mut PoolWatch) -> Vec<(u64, u64)> {
    match pin!(watch.next()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => Vec::new(),
        Poll::Ready(news) => {
            let told = |news: &tidegate_engine::PoolNews| {
                news.seen.as_ref().map_or((0, 0), |seen| (seen.view.version, seen.view.free()))
            };
            news.iter().map(told).collect()
        }
    }
}

/// The first turn wrote that a hold had lapsed, and until that was synced every pool was answered as one that does not exist.
#[test]
fn what_was_replayed_is_shown_while_the_first_frame_is_in_flight() {
    let disk = SimulatedDisk::new();
    let mut world = World::open(&disk);
    world.configure("keep", PoolConfig::of(8));
    world.configure("p", PoolConfig::of(1));
    world.one(PoolOperation::Hold(Wish { hold_ms: Some(1_000), ..wish_for("p", "anna") }));
    let clock = Arc::clone(&world.clock);
    drop(world);
    clock.pass(5_000);
    let mut world = World::open_at(&disk, clock);
    let mut watch = world.engine.watch_pools(vec![("keep".into(), Some(1)), ("p".into(), Some(2))]);
    world.decide();
    assert_eq!(world.engine.pool("keep").expect("it exists").view.version, 1);
    let before = world.engine.pool("p").expect("it exists");
    assert_eq!((before.view.version, before.view.held), (3, 1), "that it has lapsed is not durable");
    assert_eq!(heard(&mut watch), [(3, 0)], "nobody is told that a pool has gone");
    world.sync();
    assert_eq!(heard(&mut watch), [(4, 1)]);
    assert_eq!(heard(&mut watch), []);
}

#[test]
fn an_offer_is_a_job_that_says_so_whether_somebody_gave_back_or_time_did() {
    let mut world = World::open(&SimulatedDisk::new());
    let config = PoolConfig {
        waitlist_max: 5,
        offer_ms: 1_000,
        offer_queue: Some("offers".into()),
        ..PoolConfig::of(1)
    };
    world.configure("seats", config);
    let taken = world.one(take("seats", "anna"));
    assert_eq!(taken.grant.as_ref().map(|grant| &*grant.holder), Some("anna"));
    world.one(PoolOperation::Join(wish_for("seats", "bert")));
    world.one(PoolOperation::Join(wish_for("seats", "carl")));
    let ended = world.one(PoolOperation::Release(grant_of(&taken)));
    assert!(matches!(ended.item, Item::Pool(PoolItem::Ended { .. })), "{ended:?}");
    for holder in ["bert", "carl"] {
        let lease = wish(&["offers"], 9);
        let worked =
            world.ask(|engine| async move { engine.lease(lease, NO_WAIT, None).await }).expect("leased");
        let told = texts(&worked.value);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(&format!("\"pool\":\"seats\",\"holder\":\"{holder}\"")), "{told:?}");
        world.clock.pass(1_000);
        world.decide();
        world.sync();
    }
}

#[test]
fn what_is_shown_is_durable_and_a_watcher_hears_of_it_then() {
    let mut world = World::open(&SimulatedDisk::new());
    world.configure("seats", PoolConfig::of(2));
    let mut watch = world.engine.watch_pools(vec![("seats".into(), None)]);
    assert_eq!(heard(&mut watch), [(1, 2)]);
    let engine = world.engine.clone();
    let asked = Asked::new(engine.pools(vec![take("seats", "anna")], None));
    world.decide();
    let free = |world: &World| world.engine.pool("seats").expect("it is shown").view.free();
    assert_eq!((free(&world), heard(&mut watch)), (2, Vec::new()), "it could still be lost");
    world.sync();
    assert_eq!((free(&world), heard(&mut watch)), (1, vec![(2, 1)]));
    let Answer { value, replayed } = asked.answer().expect("decided");
    assert_eq!((value.len(), replayed), (1, false));
    let names: Vec<_> = world.engine.all_pools().iter().map(|seen| seen.view.name.to_string()).collect();
    assert_eq!(names, ["seats"]);
    world.ask(|engine| async move { engine.resize_pool("seats", 3, None).await }).expect("resized");
    assert_eq!(heard(&mut watch), [(3, 2)]);
    let in_use = world.ask(|engine| async move { engine.delete_pool("seats", None).await });
    let below = world.ask(|engine| async move { engine.resize_pool("seats", 0, None).await });
    for (refused, why) in [(in_use, Why::PoolInUse), (below.map(|below| below.map(drop)), Why::BelowGranted)]
    {
        match refused {
            Err(CallError::Refused { refusal: Refusal::Pool(refusal), .. }) => assert_eq!(refusal.why, why),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_restart_finds_grants_lines_and_stories_and_shows_the_pools() {
    let disk = SimulatedDisk::new();
    let mut world = World::open(&disk);
    world.configure("seats", PoolConfig { waitlist_max: 5, ..PoolConfig::of(1) });
    let taken = grant_of(&world.one(take("seats", "anna")));
    world.one(take("seats", "bert"));
    world.one(PoolOperation::Join(wish_for("seats", "bert")));
    drop(world);
    let mut world = World::open(&disk);
    let seen = world.engine.pool("seats").expect("it is shown after a restart");
    assert_eq!((seen.view.taken, seen.view.waiting, seen.view.version), (1, 1, 3));
    let grant = world.ask(|engine| async move { engine.grant(taken).await }).unwrap().expect("it is kept");
    assert_eq!((&*grant.holder, grant.state), ("anna", Some(GrantState::Taken)));
    world.one(PoolOperation::Release(taken));
    let bert = world.ask(|engine| async move { engine.holder("bert").await }).unwrap().expect("it is known");
    let happened: Vec<_> = bert.story.iter().map(|entry| entry.happened).collect();
    assert!(
        matches!(happened[..], [Happened::Refused(..), Happened::Joined, Happened::Offered(_)]),
        "{happened:?}"
    );
    assert_eq!(bert.grants.len(), 1);
    assert_eq!(world.ask(|engine| async move { engine.holder("zoe").await }).unwrap(), None);
}

#[test]
fn a_draw_has_a_seed_of_its_own_that_is_shown_at_the_opening() {
    let mut world = World::open(&SimulatedDisk::new());
    let opens_at = world.clock.now().wall.plus(1_000).0;
    let opening = Opening::Shuffle as i32;
    for pool in ["a", "b"] {
        world.configure(pool, PoolConfig { waitlist_max: 5, opens_at, opening, ..PoolConfig::of(0) });
    }
    world.one(PoolOperation::Join(wish_for("a", "anna")));
    let before = world.engine.pool("a").unwrap().view;
    assert!(before.commitment.is_some() && before.seed.is_none(), "{before:?}");
    let entrants = |world: &mut World| {
        world
            .ask(|engine| async move { engine.entrants("a", 0, 10).await })
            .unwrap()
            .expect("the pool is there")
    };
    assert_eq!(entrants(&mut world), []);
    world.clock.pass(1_000);
    world.decide();
    world.sync();
    let after = world.engine.pool("a").unwrap().view;
    let seed = after.seed.expect("it is shown");
    assert_eq!(Some(tidegate_core::pool::order::commitment(&seed)), before.commitment);
    assert_ne!(world.engine.pool("b").unwrap().view.seed, Some(seed));
    assert_eq!(entrants(&mut world).len(), 1);
}

/// Lists are of what is durable, in whichever shard the pool is.
#[test]
fn who_has_units_and_who_waits_is_listed_when_it_is_durable() {
    let mut world = World::open(&SimulatedDisk::new());
    world.configure("seats", PoolConfig { waitlist_max: 5, ..PoolConfig::of(1) });
    let lists = |world: &mut World| {
        let grants = world.ask(|engine| async move { engine.grants("seats", None, 0, 9).await });
        let line = world.ask(|engine| async move { engine.line("seats", LinePlace::default(), 9).await });
        let grants = grants.expect("answered").expect("the pool is there").grants;
        let line = line.expect("answered").expect("the pool is there").line;
        (
            grants.iter().map(|grant| grant.holder.to_string()).collect::<Vec<_>>(),
            line.iter().map(|one| one.holder.to_string()).collect::<Vec<_>>(),
        )
    };
    let anna = grant_of(&world.one(take("seats", "anna")));
    world.one(PoolOperation::Join(wish_for("seats", "bert")));
    world.one(PoolOperation::Join(wish_for("seats", "carl")));
    assert_eq!(lists(&mut world), (vec!["anna".into()], vec!["bert".into(), "carl".into()]));
    world.one(PoolOperation::Release(anna));
    assert_eq!(lists(&mut world), (vec!["bert".into()], vec!["carl".into()]));
    let none = world.ask(|engine| async move { engine.grants("none", None, 0, 9).await });
    assert_eq!(none, Ok(None));
    let none = world.ask(|engine| async move { engine.line("none", LinePlace::default(), 9).await });
    assert_eq!(none, Ok(None));
}

fn transaction(conditions: Vec<Condition>, operations: Vec<Operation>) -> Transaction {
    let blob = |operation: &Operation| match operation {
        Operation::Enqueue(_) => Envelope::json("{}"),
        _ => Envelope::default(),
    };
    let blobs = operations.iter().map(blob).collect();
    Transaction { command: command::Transaction { conditions, operations }, blobs }
}

fn enqueue(queue: &str) -> Operation {
    Operation::Enqueue(EnqueueOne { queue: queue.into(), kind: "work".into(), job: NewJob::new(0) })
}

#[test]
fn a_transaction_brings_its_grants_and_names_what_refused_it() {
    let mut world = World::open(&SimulatedDisk::new());
    world.configure("seats", PoolConfig::of(1));
    let lacks = || Condition::HasNone { holder: "anna".into(), pools: vec!["seats".into()] };
    let ask = || transaction(vec![lacks()], vec![Operation::Pool(take("seats", "anna")), enqueue("mail")]);
    let done = world.ask(|engine| async move { engine.transact_and_show(ask(), key("k", 1)).await });
    let done = done.expect("done").value;
    assert_eq!(done.grants[0].as_ref().map(|grant| &*grant.pool), Some("seats"));
    assert!(done.grants[1].is_none());
    let again = world.ask(|engine| async move { engine.transact_and_show(ask(), key("k", 1)).await });
    assert_eq!(again.map(|again| (again.value, again.replayed)), Ok((done, true)));
    match world.ask(|engine| async move { engine.transact(ask(), None).await }) {
        Err(CallError::ConditionRefused {
            condition: 0,
            refusal: Refusal::Pool(refusal),
            replayed: false,
        }) => {
            assert_eq!(refusal.why, Why::HasPool);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_with_one_place_are_together_and_others_are_refused_by_name() {
    let engine = Engine::memory(Options { shards: 8, ..options() }).expect("an engine");
    let elsewhere =
        (0..).map(|n| format!("q{n}")).find(|name| shard_of(name, 8) != shard_of("x", 8)).unwrap();
    wait(async {
        let tells = |queue: &str| PoolConfig { offer_queue: Some(queue.into()), ..PoolConfig::of(1) };
        engine.configure_pool("a@x", tells("offers@x"), None).await.expect("they are in one place");
        engine.configure_pool("b@x", PoolConfig::of(1), None).await.expect("configured");
        engine.configure_pool(&elsewhere, PoolConfig::of(1), None).await.expect("configured");
        assert_eq!(
            engine.configure_pool("c@x", tells(&elsewhere), None).await,
            Err(CallError::SpansShards {
                one: Place::Pool("c@x".into()),
                other: Place::Queue(elsewhere.clone()),
                operation: 0
            })
        );
        let operations = vec![take("a@x", "anna"), take(&elsewhere, "anna"), take("a@x", "bert")];
        let answers = engine.pools(operations, None).await.expect("decided");
        let (a, c) = (grant_of(&answers.value[0]), grant_of(&answers.value[1]));
        assert_ne!(a.shard(), c.shard());
        assert_eq!(why(&answers.value[2]), Why::SoldOut);
        let swap = |pool: &str| {
            let pool = pool.to_owned();
            PoolOperation::Swap(Swap { give: a, pool, units: None, group: None, when_offered: false })
        };
        let spans = transaction(Vec::new(), vec![Operation::Pool(swap(&elsewhere))]);
        assert_eq!(
            engine.transact(spans, None).await,
            Err(CallError::SpansShards {
                one: Place::Grant(a),
                other: Place::Pool(elsewhere.clone()),
                operation: 0
            })
        );
        // Alone it is not asked of the grant's shard, where there is no such pool; what stands beside it in a list is done.
        let alone = engine.pools(vec![swap(&elsewhere)], None).await;
        assert!(matches!(alone, Err(CallError::SpansShards { .. })), "{alone:?}");
        let each =
            engine.pools_each(vec![swap(&elsewhere), take("a@x", "carl")], None).await.expect("asked").value;
        assert!(matches!(&each[0], Err(CallError::SpansShards { operation: 0, .. })), "{each:?}");
        assert_eq!(why(each[1].as_ref().expect("decided")), Why::SoldOut);
        let below = |place: Option<&str>| Condition::UnitsBelow {
            holder: "anna".into(),
            place: place.map(Into::into),
            units: 9,
        };
        let together = vec![Operation::Pool(swap("b@x")), enqueue("mail@x")];
        engine.transact(transaction(vec![below(Some("x"))], together), None).await.expect("one place");
        let everywhere = engine.transact(transaction(vec![below(None)], vec![]), None).await;
        assert!(matches!(everywhere, Err(CallError::SpansShards { .. })), "{everywhere:?}");
        let anna = engine.holder("anna").await.expect("read").expect("she is known");
        assert_eq!((anna.grants.len(), anna.story.len()), (2, 5), "{anna:?}");
        let unknown = engine.pools(vec![PoolOperation::Confirm(GrantId::new(99, 1))], None).await;
        assert_eq!(why(&unknown.expect("decided").value[0]), Why::GrantUnknown);
        engine.close().await.expect("closed");
    });
}
