//! What the tests share: jobs and leases in few words, and futures that are polled by hand.
#![allow(dead_code)]

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tidegate_core::command::{self, Complete, Lease, NewJob, Release};
use tidegate_core::outcome::Item;
use tidegate_core::{JobId, Time, Token};
use tidegate_engine::{
    CallError, Clock, Engine, Enqueue, Envelope, IdempotencyKey, Leased, LogSource, Now, Options, Work,
    Worked,
};
use tidegate_log::{Log, MemoryLog, Opened};

/// Jobs for `queue`, one for each payload.
pub(crate) fn jobs(queue: &str, payloads: &[&str]) -> Enqueue {
    let mut command = command::Enqueue::new(queue);
    command.kind("default");
    command.jobs = payloads.iter().map(|_| NewJob::new(0)).collect();
    let payloads = payloads.iter().map(|payload| Envelope::json(payload.to_string())).collect();
    Enqueue { command, payloads }
}

/// A wish for `max` jobs of `queues`.
pub(crate) fn wish(queues: &[&str], max: u32) -> Lease {
    let queues = queues.iter().map(|&queue| queue.to_owned()).collect();
    Lease { queues, max, worker: "w".into(), ..Lease::default() }
}

/// A round trip that completes these jobs.
pub(crate) fn complete(leased: &[Leased]) -> Work {
    let complete =
        leased.iter().map(|leased| Complete { id: leased.job.id, token: leased.job.token, result_len: 0 });
    command::Work { complete: complete.collect(), ..Default::default() }.into()
}

pub(crate) fn release(leased: &[Leased]) -> Work {
    let release = leased.iter().map(|leased| Release { id: leased.job.id, token: leased.job.token });
    command::Work { release: release.collect(), ..Default::default() }.into()
}

pub(crate) fn key(name: &str, fingerprint: u64) -> Option<IdempotencyKey> {
    Some(IdempotencyKey { key: name.into(), fingerprint: [fingerprint, 0] })
}

/// Payloads of leased jobs as text, in order.
pub(crate) fn texts(worked: &Worked) -> Vec<String> {
    worked.leased.iter().map(text).collect()
}

pub(crate) fn text(leased: &Leased) -> String {
    String::from_utf8(leased.payload.payload.to_vec()).expect("the tests' payloads are text")
}

/// The ids of accepted jobs.
pub(crate) fn ids(items: &[Item]) -> Vec<JobId> {
    items
        .iter()
        .map(|item| match item {
            Item::Is { id, .. } => *id,
            other => panic!("not accepted: {other:?}"),
        })
        .collect()
}

pub(crate) fn tokens(worked: &Worked) -> Vec<Token> {
    worked.leased.iter().map(|leased| leased.job.token).collect()
}

/// Waits for a future on this thread.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

pub(crate) const NO_WAIT: Duration = Duration::ZERO;
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A call that has been made and may have been answered.
pub(crate) struct Asked<'a, T>(Pin<Box<dyn Future<Output = T> + 'a>>);

impl<'a, T> Asked<'a, T> {
    /// Makes the call: it is in the inbox when this returns.
    pub(crate) fn new(future: impl Future<Output = T> + 'a) -> Self {
        let mut asked = Self(Box::pin(future));
        assert!(asked.poll().is_none(), "no call is answered before a turn");
        asked
    }

    fn poll(&mut self) -> Option<T> {
        match self.0.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    /// The answer; panics if there is none yet.
    #[track_caller]
    pub(crate) fn answer(mut self) -> T {
        self.poll().expect("the call is answered by now")
    }

    /// Waits for the answer.
    pub(crate) async fn finish(self) -> T {
        self.0.await
    }

    /// Asserts that there is no answer yet.
    #[track_caller]
    pub(crate) fn waits(&mut self, why: &str) {
        assert!(self.poll().is_none(), "answered too early: {why}");
    }
}

/// A clock that goes when it is told to.
#[derive(Debug)]
pub(crate) struct HandClock {
    wall: AtomicU64,
    steady: AtomicU64,
    changed: Mutex<()>,
}

impl HandClock {
    pub(crate) const START: u64 = 1_000_000;

    pub(crate) fn new() -> Self {
        Self { wall: AtomicU64::new(Self::START), steady: AtomicU64::new(0), changed: Mutex::new(()) }
    }

    /// Time passes.
    pub(crate) fn pass(&self, ms: u64) {
        let _both = self.changed.lock().expect("no test panics in here");
        self.wall.fetch_add(ms, Ordering::SeqCst);
        self.steady.fetch_add(ms, Ordering::SeqCst);
    }

    /// Someone sets the wall clock back.
    pub(crate) fn set_back(&self, ms: u64) {
        self.wall.fetch_sub(ms, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Now {
        let _both = self.changed.lock().expect("no test panics in here");
        Now { wall: Time(self.wall.load(Ordering::SeqCst)), steady_ms: self.steady.load(Ordering::SeqCst) }
    }
}

/// Options for tests: everything as in life, and a seed.
pub(crate) fn options() -> Options {
    Options { seed: Some(7), ..Options::default() }
}

/// Leases and completes until nothing comes any more; returns all payloads.
pub(crate) async fn work_off(engine: &Engine, queue: &str) -> Result<Vec<String>, CallError> {
    let mut all = Vec::new();
    loop {
        let worked = engine.lease(wish(&[queue], 100), NO_WAIT, None).await?.value;
        if worked.leased.is_empty() {
            return Ok(all);
        }
        all.extend(texts(&worked));
        let settled = engine.work(complete(&worked.leased), NO_WAIT, None).await?.value;
        ids(&settled.complete);
    }
}

/// A memory log as a shard opens it, again and again, and a test sees it.
pub(crate) fn watched_memory() -> (LogSource, Watched) {
    let seen = Watched::default();
    let sees = seen.clone();
    let source = Box::new(move || {
        let mut current = sees.0.lock().expect("no test panics in here");
        let Opened { log, recovery } = current.as_ref().map_or_else(MemoryLog::open, MemoryLog::reopen);
        *current = Some(log.clone());
        Ok(Opened { log: Arc::new(log) as Arc<dyn Log>, recovery })
    });
    (source, seen)
}

#[derive(Clone, Default)]
pub(crate) struct Watched(Arc<Mutex<Option<MemoryLog>>>);

impl Watched {
    pub(crate) fn current(&self) -> MemoryLog {
        self.0.lock().expect("no test panics in here").clone().expect("it has been opened")
    }

    /// Waits until the log has been given so many frames.
    pub(crate) fn frames(&self, count: u64) {
        while self.current().status().last.0 < count {
            std::thread::yield_now();
        }
    }
}

/// Enqueues jobs that must start within `ms`.
pub(crate) fn short_lived(queue: &str, payloads: &[&str], ms: u64) -> Enqueue {
    let mut enqueue = jobs(queue, payloads);
    for job in &mut enqueue.command.jobs {
        let expires_at = Some(tidegate_core::id::When::In(ms));
        job.more = Some(Box::new(command::NewJobMore { expires_at, ..Default::default() }));
    }
    enqueue
}
