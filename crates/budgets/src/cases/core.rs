//! The rules alone: decide and apply, and the records encoded as a turn would.

use tidegate_core::command::{Command, Complete, Enqueue, Lease, NewJob, Request, Work};
use tidegate_core::id::Time;
use tidegate_core::outcome::{LeasedJob, Outcome};
use tidegate_core::policy::QueueConfig;
use tidegate_core::record::Record;
use tidegate_core::state::{Sink, State, StateLimits, Turn};

use super::{EPOCH_MS, JOBS_BEFORE, JOBS_PER_ROUND, PAYLOAD_BYTES, RETAIN_MAX};

/// Encodes into one buffer.
#[derive(Default)]
struct Encode(Vec<u8>);

impl Sink for Encode {
    fn record(&mut self, record: &Record) {
        self.0.clear();
        record.encode(&mut self.0);
    }
}

struct Shard {
    state: State,
    sink: Encode,
    frame: u64,
}

impl Shard {
    fn new() -> Self {
        let limits = StateLimits { hash_seed: 1, ..StateLimits::default() };
        let mut shard = Self { state: State::new(0, limits), sink: Encode::default(), frame: 0 };
        let config = QueueConfig { retain_max: RETAIN_MAX, ..QueueConfig::DEFAULT };
        shard.turn(Command::ConfigureQueue { queue: "mail".into(), config });
        shard
    }

    fn filled() -> Self {
        let mut shard = Self::new();
        for _ in 0..JOBS_BEFORE / JOBS_PER_ROUND {
            shard.turn(jobs(JOBS_PER_ROUND));
        }
        shard
    }

    /// A turn of one command.
    fn turn(&mut self, command: Command) -> Outcome {
        self.frame += 1;
        self.state.begin_turn(self.frame, Time(EPOCH_MS + self.frame));
        let mut turn = Turn::new(&mut self.sink);
        self.state.expire(&mut turn);
        self.state.decide(Request { idempotency: None, command }, &mut turn).outcome
    }

    fn lease(&mut self) -> Vec<LeasedJob> {
        let lease = Lease {
            queues: vec!["mail".into()],
            max: JOBS_PER_ROUND as u32,
            lease_ms: None,
            worker: "w-1".into(),
            kinds: Vec::new(),
        };
        match self.turn(Command::Work(Work { lease: Some(lease), ..Work::default() })) {
            Outcome::Worked(worked) if worked.leased.len() == JOBS_PER_ROUND => worked.leased,
            other => panic!("a round's jobs are there to be leased: {other:?}"),
        }
    }

    fn complete(&mut self, jobs: &[LeasedJob]) {
        let complete = jobs.iter().map(|job| Complete { id: job.id, token: job.token, result_len: 0 });
        self.turn(Command::Work(Work { complete: complete.collect(), ..Work::default() }));
    }
}

fn jobs(count: usize) -> Command {
    let mut enqueue = Enqueue::new("mail");
    let kind = enqueue.kind("welcome");
    enqueue.jobs = (0..count).map(|_| NewJob { kind, ..NewJob::new(PAYLOAD_BYTES as u32 + 4) }).collect();
    Command::Enqueue(enqueue)
}

pub(super) fn enqueue(rounds: usize) {
    let mut shard = Shard::new();
    for _ in 0..rounds {
        shard.turn(jobs(JOBS_PER_ROUND));
    }
}

pub(super) fn enqueue_single(rounds: usize) {
    let mut shard = Shard::new();
    for _ in 0..rounds * JOBS_PER_ROUND {
        shard.turn(jobs(1));
    }
}

pub(super) fn lease(rounds: usize) {
    let mut shard = Shard::filled();
    for _ in 0..rounds {
        shard.lease();
    }
}

pub(super) fn complete(rounds: usize) {
    let mut shard = Shard::filled();
    // All are leased before, whatever the rounds.
    let leased: Vec<Vec<LeasedJob>> = (0..JOBS_BEFORE / JOBS_PER_ROUND).map(|_| shard.lease()).collect();
    for jobs in &leased[..rounds] {
        shard.complete(jobs);
    }
}
