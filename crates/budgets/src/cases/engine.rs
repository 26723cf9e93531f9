//! From a call to its answer, with the log in memory and the turns run here: inbox, turn, frame, outbox, payloads.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tidegate_core::Time;
use tidegate_core::command::{self, Complete, Lease, NewJob};
use tidegate_core::policy::QueueConfig;
use tidegate_core::state::StateLimits;
use tidegate_engine::{Clock, Engine, Enqueue, Envelope, Leased, Now, Options, Solo, Work};
use tidegate_log::{Log, MemoryLog, Opened};

use super::{EPOCH_MS, JOBS_BEFORE, JOBS_PER_ROUND, RETAIN_MAX, payload};

/// A clock that somebody else moves.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Now {
        at(0)
    }
}

fn at(ms: u64) -> Now {
    Now { wall: Time(EPOCH_MS + ms), steady_ms: ms }
}

struct House {
    engine: Engine,
    solo: Solo,
    turns: u64,
    payload: Bytes,
}

impl House {
    fn new() -> Self {
        let Opened { log, recovery } = MemoryLog::open();
        let opened = Opened { log: Arc::new(log) as Arc<dyn Log>, recovery };
        let options = Options {
            readers: 0,
            seed: Some(1),
            clock: Arc::new(Still),
            state: StateLimits { hash_seed: 1, ..StateLimits::default() },
            ..Options::default()
        };
        let (engine, solo) = Engine::solo(opened, options).expect("a log in memory opens");
        let mut house = Self { engine, solo, turns: 0, payload: payload().into() };
        let config = QueueConfig { retain_max: RETAIN_MAX, ..QueueConfig::DEFAULT };
        let engine = house.engine.clone();
        house.ask([engine.configure_queue("mail", config, None)]);
        house
    }

    fn filled() -> Self {
        let mut house = Self::new();
        for _ in 0..JOBS_BEFORE / JOBS_PER_ROUND {
            house.enqueue(1, JOBS_PER_ROUND);
        }
        house
    }

    /// Makes calls, has one turn decide all of them, and hears their answers.
    fn ask<T, E: std::fmt::Debug>(
        &mut self,
        calls: impl IntoIterator<Item = impl Future<Output = Result<T, E>>>,
    ) -> Vec<T> {
        let mut context = Context::from_waker(Waker::noop());
        let mut calls: Vec<_> = calls.into_iter().map(Box::pin).collect();
        for call in &mut calls {
            assert!(call.as_mut().poll(&mut context).is_pending(), "a call waits for its turn");
        }
        self.turns += 1;
        self.solo.turn(at(self.turns)).expect("a log in memory takes every frame");
        let mut answers = Vec::with_capacity(calls.len());
        for call in &mut calls {
            match call.as_mut().poll(&mut context) {
                Poll::Ready(answer) => answers.push(answer.expect("the call is sound")),
                Poll::Pending => panic!("what is in memory is durable at once"),
            }
        }
        answers
    }

    fn enqueue(&mut self, calls: usize, jobs: usize) {
        let call = || {
            let mut enqueue = command::Enqueue::new("mail");
            let kind = enqueue.kind("welcome");
            enqueue.jobs = (0..jobs).map(|_| NewJob { kind, ..NewJob::new(0) }).collect();
            let payloads = (0..jobs).map(|_| Envelope::json(self.payload.clone())).collect();
            Enqueue { command: enqueue, payloads }
        };
        let engine = self.engine.clone();
        let calls: Vec<_> = (0..calls).map(|_| engine.enqueue(call(), None)).collect();
        self.ask(calls);
    }

    fn lease(&mut self) -> Vec<Leased> {
        let lease = Lease {
            queues: vec!["mail".into()],
            max: JOBS_PER_ROUND as u32,
            lease_ms: None,
            worker: "w-1".into(),
            kinds: Vec::new(),
        };
        let engine = self.engine.clone();
        let answer = self.ask([engine.lease(lease, Duration::ZERO, None)]).remove(0);
        assert_eq!(answer.value.leased.len(), JOBS_PER_ROUND, "a round's jobs are there to be leased");
        answer.value.leased
    }

    fn complete(&mut self, jobs: &[Complete]) {
        let work = Work::from(command::Work { complete: jobs.to_vec(), ..Default::default() });
        let engine = self.engine.clone();
        self.ask([engine.work(work, Duration::ZERO, None)]);
    }
}

pub(super) fn enqueue(rounds: usize) {
    let mut house = House::new();
    for _ in 0..rounds {
        house.enqueue(1, JOBS_PER_ROUND);
    }
}

pub(super) fn enqueue_single(rounds: usize) {
    let mut house = House::new();
    for _ in 0..rounds {
        house.enqueue(JOBS_PER_ROUND, 1);
    }
}

pub(super) fn lease(rounds: usize) {
    let mut house = House::filled();
    for _ in 0..rounds {
        house.lease();
    }
}

pub(super) fn complete(rounds: usize) {
    let mut house = House::filled();
    let done = |jobs: Vec<Leased>| -> Vec<Complete> {
        jobs.iter()
            .map(|leased| Complete { id: leased.job.id, token: leased.job.token, result_len: 0 })
            .collect()
    };
    // All are leased before, whatever the rounds.
    let leased: Vec<Vec<Complete>> = (0..JOBS_BEFORE / JOBS_PER_ROUND).map(|_| done(house.lease())).collect();
    for jobs in &leased[..rounds] {
        house.complete(jobs);
    }
}
