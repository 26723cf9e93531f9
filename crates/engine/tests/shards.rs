//! Calls that concern several shards, of which one lags or fails.

mod common;

use common::*;
use tidegate_core::JobId;
use tidegate_engine::{CallError, Engine, Options, Restart, ShardState, shard_of};
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
    world.logs[1].current().fail("no such luck");
    while !matches!(world.engine.status().shards[1].state, ShardState::Restarting(_)) {
        std::thread::yield_now();
    }
    let lease = wish(&[&world.queues[1]], 1);
    let refused = wait(world.engine.lease(lease.clone(), NO_WAIT, None));
    assert!(matches!(refused, Err(CallError::Unavailable { .. })), "{refused:?}");
    let mut round = complete(&held.leased);
    round.command.lease = Some(lease);
    let worked = wait(world.engine.work(round, NO_WAIT, None)).expect("settled").value;
    assert_eq!(ids(&worked.complete), [JobId::new(0, 1)]);
    assert_eq!(worked.leased, []);
}
