//! Calls that concern several shards, of which one lags or fails.

mod common;

use common::*;
use tidegate_core::JobId;
use tidegate_core::outcome::{Item, Refusal};
use tidegate_core::pool::command::{PoolOperation, Wish};
use tidegate_core::pool::refusal::Why;
use tidegate_core::pool::view::PoolItem;
use tidegate_core::pool::{GrantId, PoolConfig};
use tidegate_engine::{CallError, Engine, Options, Place, PoolAnswer, Restart, ShardState, shard_of};
use tidegate_log::Log;

/// Two shards over memory logs, and a queue in each.
struct World {
    engine: Engine,
    logs: [Watched; 2],
    queues: [String; 2],
}

impl World {
    fn new() -> Self {
        let ((first, first_log), (second, second_log)) = (watched_memory(), watched_memory());
        // Whatever fails stays down for the length of a test.
        let restart = Restart { tries_max: 1, delay_ms: 3_600_000, delay_ms_max: 3_600_000 };
        let options = Options { shards: 2, restart, ..options() };
        let engine = Engine::start(vec![first, second], options).expect("the engine starts");
        let queue = |shard| {
            let mut names = (0..).map(|n| format!("queue-{n}"));
            names.find(|name| shard_of(name, 2) == shard).expect("some name is in each shard")
        };
        let queues = [queue(0), queue(1)];
        let world = Self { engine, logs: [first_log, second_log], queues };
        for queue in &world.queues {
            wait(world.engine.enqueue(jobs(queue, &[queue]), None)).expect("enqueued");
        }
        world
    }

    /// Makes a pool of one unit in each shard; both are named as the shard's queue is.
    fn with_pools() -> Self {
        let world = Self::new();
        for pool in &world.queues {
            wait(world.engine.configure_pool(pool, PoolConfig::of(1), None)).expect("configured");
        }
        world
    }

    fn take(&self, shard: usize, holder: &str) -> PoolOperation {
        let pool = self.queues[shard].clone();
        PoolOperation::Take(Wish { pool, holder: holder.into(), units: 1, group: None, hold_ms: None })
    }

    fn free(&self) -> [u64; 2] {
        [0, 1].map(|shard: usize| self.engine.pool(&self.queues[shard]).expect("it is shown").view.free())
    }

    /// Takes down a shard for the rest of the test.
    fn fail(&self, shard: usize) {
        self.logs[shard].current().fail("no such luck");
        while !matches!(self.engine.status().shards[shard].state, ShardState::Restarting(_)) {
            std::thread::yield_now();
        }
    }

    fn leased(&self, shard: usize) -> tidegate_engine::Worked {
        wait(self.engine.lease(wish(&[&self.queues[shard]], 1), NO_WAIT, None)).expect("leased").value
    }
}

#[test]
fn jobs_of_one_shard_go_back_if_the_caller_leaves_while_another_is_asked() {
    let world = World::new();
    let log = world.logs[1].current();
    log.hold();
    let last = log.status().last;
    let [a, b] = &world.queues;
    let mut asked = Asked::new(world.engine.lease(wish(&[a, b], 10), NO_WAIT, None));
    while log.status().last == last {
        asked.waits("the second shard's log is held");
        std::thread::yield_now();
    }
    drop(asked);
    let back = world.leased(0);
    assert_eq!(texts(&back), [a.as_str()], "the first shard's job was given back");
    assert_eq!(back.leased[0].job.attempt, 1, "no attempt was burned");
    log.release();
}

#[test]
fn what_was_settled_is_told_though_the_lease_behind_it_fails() {
    let world = World::new();
    let held = world.leased(0);
    world.fail(1);
    let lease = wish(&[&world.queues[1]], 1);
    let refused = wait(world.engine.lease(lease.clone(), NO_WAIT, None));
    assert!(matches!(refused, Err(CallError::Unavailable { .. })), "{refused:?}");
    let mut round = complete(&held.leased);
    round.command.lease = Some(lease);
    let worked = wait(world.engine.work(round, NO_WAIT, None)).expect("settled").value;
    assert_eq!(ids(&worked.complete), [JobId::new(0, 1)]);
    assert_eq!(worked.leased, []);
}

fn is_grant(answer: &Result<PoolAnswer, CallError>) -> bool {
    matches!(answer, Ok(PoolAnswer { item: Item::Pool(PoolItem::Grant { .. }), grant: Some(_) }))
}

/// Each shard remembered the key for itself: a list over both could be refused by one and done by the other.
#[test]
fn a_list_about_pools_is_in_one_shard_if_it_has_a_key() {
    let world = World::with_pools();
    let one = vec![world.take(1, "anna")];
    wait(world.engine.pools(one, key("k", 1))).expect("it is in one shard");
    let both = |holder| vec![world.take(0, holder), world.take(0, "carl"), world.take(1, holder)];
    let [one, other] = [0, 1].map(|shard: usize| Place::Pool(world.queues[shard].clone()));
    let expected = CallError::SpansShards { one, other, operation: 2 };
    for key in [key("k", 2), key("l", 1)] {
        assert_eq!(wait(world.engine.pools(both("bert"), key)), Err(expected.clone()));
    }
    assert_eq!(world.free(), [1, 0], "nothing was done anywhere");
    let done =
        wait(world.engine.pools(both("bert"), None)).expect("without a key there is nothing to remember");
    assert!(!done.replayed);
    assert_eq!(world.free(), [0, 0]);
    let again = wait(world.engine.pools(vec![world.take(1, "anna")], key("k", 1))).expect("told again");
    assert!(again.replayed);
}

#[test]
fn what_one_shard_has_granted_is_told_though_another_takes_nothing() {
    let world = World::with_pools();
    world.fail(1);
    let unknown = PoolOperation::Confirm(GrantId::new(9, 1));
    let asks = vec![world.take(1, "anna"), world.take(0, "anna"), unknown, world.take(0, "bert")];
    let answers = wait(world.engine.pools_each(asks.clone(), None)).expect("one shard serves").value;
    assert!(matches!(answers[0], Err(CallError::Unavailable { .. })), "{answers:?}");
    assert!(is_grant(&answers[1]), "{answers:?}");
    let whys = [&answers[2], &answers[3]].map(|answer| match answer {
        Ok(PoolAnswer { item: Item::Refused(Refusal::Pool(refusal)), .. }) => refusal.why,
        other => panic!("not refused: {other:?}"),
    });
    assert_eq!(whys, [Why::GrantUnknown, Why::SoldOut]);
    // If no shard takes anything, the whole was not done.
    let nothing = wait(world.engine.pools_each(vec![world.take(1, "anna")], None));
    assert!(matches!(nothing, Err(CallError::Unavailable { .. })), "{nothing:?}");
    let hidden = wait(world.engine.pools(asks, None));
    assert!(matches!(hidden, Err(CallError::Unavailable { .. })), "{hidden:?}");
}

/// One shard fails after it has decided its part.
#[test]
fn what_one_shard_has_granted_is_told_though_another_does_not_know() {
    let world = World::with_pools();
    let log = world.logs[1].current();
    log.hold();
    let last = log.status().last;
    let mut asked =
        Asked::new(world.engine.pools_each(vec![world.take(0, "anna"), world.take(1, "anna")], None));
    while log.status().last == last {
        asked.waits("the second shard's log is held");
        std::thread::yield_now();
    }
    log.fail("no such luck");
    let answers = wait(asked.finish()).expect("one shard serves").value;
    assert!(is_grant(&answers[0]), "{answers:?}");
    assert!(matches!(answers[1], Err(CallError::OutcomeUnknown { .. })), "{answers:?}");
}

/// A call of which only one half was said before is not a repeated answer.
#[test]
fn an_answer_is_repeated_if_all_of_it_was_said_before() {
    let world = World::new();
    let held = [0, 1].map(|shard| world.leased(shard).leased);
    let one = wait(world.engine.work(complete(&held[0]), NO_WAIT, key("k", 1))).expect("settled");
    assert!(!one.replayed);
    let both: Vec<_> = held.iter().flatten().cloned().collect();
    for replayed in [false, true] {
        let all = wait(world.engine.work(complete(&both), NO_WAIT, key("k", 1))).expect("settled");
        assert_eq!((ids(&all.value.complete).len(), all.replayed), (2, replayed));
    }
}
