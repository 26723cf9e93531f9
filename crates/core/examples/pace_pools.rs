//! What the rules of pools alone cost, on one hot pool: take, and give back with a line behind it, in lists of 100; records
//! encoded as a turn would.
//!
//! `cargo run --release -p tidegate-core --example pace_pools [HOLDERS]`
#![allow(clippy::print_stdout, reason = "it is what this program is for")]

use std::time::Instant;

use tidegate_core::command::{Command, Request};
use tidegate_core::id::Time;
use tidegate_core::outcome::{Item, Outcome};
use tidegate_core::pool::command::{PoolOperation, Wish};
use tidegate_core::pool::view::PoolItem;
use tidegate_core::pool::{GrantId, PoolConfig};
use tidegate_core::record::Record;
use tidegate_core::state::{Sink, State, StateLimits, Turn};

/// Encodes as a turn does, and counts bytes.
#[derive(Default)]
struct Encode {
    buffer: Vec<u8>,
    bytes: usize,
}

impl Sink for Encode {
    fn record(&mut self, record: &Record) {
        self.buffer.clear();
        record.encode(&mut self.buffer);
        self.bytes += self.buffer.len();
    }
}

struct World {
    state: State,
    sink: Encode,
    frame: u64,
}

impl World {
    fn decide(&mut self, command: Command) -> Outcome {
        self.frame += 1;
        self.state.begin_turn(self.frame, Time(1_700_000_000_000 + self.frame / 10));
        let mut turn = Turn::new(&mut self.sink);
        self.state.expire(&mut turn);
        self.state.decide(Request { idempotency: None, command }, &mut turn).outcome
    }

    /// Does operations in lists of 100, and says how fast that went; returns the grants that came of it.
    fn run(&mut self, what: &str, operations: Vec<PoolOperation>) -> Vec<GrantId> {
        let (count, started, bytes) = (operations.len() as u64, Instant::now(), self.sink.bytes);
        let mut grants = Vec::with_capacity(operations.len());
        let mut rest = operations.into_iter().peekable();
        while rest.peek().is_some() {
            let list: Vec<PoolOperation> = rest.by_ref().take(100).collect();
            let Outcome::Pooled(items) = self.decide(Command::Pools(list)) else {
                panic!("one item for each")
            };
            grants.extend(items.iter().filter_map(|item| match item {
                Item::Pool(PoolItem::Grant { id, .. }) => Some(*id),
                Item::Refused(refusal) => panic!("nobody is refused here: {refusal:?}"),
                Item::Pool(_) | Item::Is { .. } | Item::Duplicate { .. } => None,
            }));
        }
        let per_s = count as f64 / started.elapsed().as_secs_f64();
        let bytes = (self.sink.bytes - bytes) as u64 / count.max(1);
        println!("{what:<28} {per_s:>12.0}/s {bytes:>6} bytes of records each");
        grants
    }
}

fn main() {
    let holders: u32 =
        std::env::args().nth(1).map_or(500_000, |text| text.parse().expect("a number of holders"));
    let mut world = World { state: State::new(0, StateLimits::default()), sink: Encode::default(), frame: 0 };
    let waitlist_max = tidegate_core::limits::WAITLIST_MAX;
    let config = PoolConfig { waitlist_max, ..PoolConfig::of(holders) };
    world.decide(Command::ConfigurePool {
        pool: "seats".into(),
        config: Box::new(config),
        if_version: None,
        seed: [0; 32],
    });
    let wish = |n: u32| Wish {
        pool: "seats".into(),
        holder: format!("student-{n}"),
        units: 1,
        group: None,
        hold_ms: None,
    };
    let grants = world.run("take", (0..holders).map(|n| PoolOperation::Take(wish(n))).collect());
    let waiting = holders.min(waitlist_max);
    world.run("join", (0..waiting).map(|n| PoolOperation::Join(wish(holders + n))).collect());
    let (offered, rest) = grants.split_at(waiting as usize);
    world.run("release, and offer the next", offered.iter().map(|&id| PoolOperation::Release(id)).collect());
    world.run("release", rest.iter().map(|&id| PoolOperation::Release(id)).collect());
    let held = world.run("hold", (0..holders - waiting).map(|n| PoolOperation::Hold(wish(n))).collect());
    world.run("confirm", held.into_iter().map(PoolOperation::Confirm).collect());
    println!("{} bytes in memory, by estimate", world.state.pool_bytes());
}
