//! The worker for any language: runs a program for each job.
//!
//! Leasing, heartbeats, reporting and stopping are the SDK's [`Worker`]; this is a handler for it and a listener to its
//! events. It adds what processes need: a child whose job is lost is stopped, and so are those that still run when the
//! grace is over; its job is given back only when the child has ended, so that no two run at once; and when the worker
//! returns, all its children have ended.
//!
//! The parts: `child.rs` runs one process, `input.rs` says what it finds, `verdict.rs` judges its end, `journal.rs` tells
//! people and programs.

mod child;
mod input;
mod journal;
mod verdict;

use std::{
    collections::HashMap,
    future, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context;
use serde_json::value::RawValue;
use tidegate::{Client, Failure, Job, RawPayload, Worker, WorkerError, WorkerEvent, api::id::JobId};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch},
};

pub(crate) use self::child::{Program, Stdout, find_command};
use self::{
    child::Input,
    journal::{Journal, told},
    verdict::{Verdict, judge},
};
use crate::output::Style;

/// After a program could not be started, its slot takes nothing for so long.
const SPAWN_PAUSE: Duration = Duration::from_secs(1);
/// After the grace, the SDK's worker waits so long for children that were told to stop; each ends within its own
/// patience, which is shorter.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// What a worker is to do.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) queues: Vec<String>,
    /// Only jobs of these kinds; any if empty.
    pub(crate) kinds: Vec<String>,
    /// Children at once.
    pub(crate) slots: usize,
    pub(crate) lease: Duration,
    /// How long children may go on after the worker was told to stop.
    pub(crate) grace: Duration,
    /// How long a job is left alone whose child exited with 75.
    pub(crate) retry_later: Duration,
    /// Stop when there is nothing to do.
    pub(crate) until_empty: bool,
    /// The worker's name, for people.
    pub(crate) name: String,
    pub(crate) program: Program,
}

/// Works until it is told to stop, or until there is nothing left if that was asked for.
pub(crate) async fn run(options: Options, client: Client, style: Style) -> anyhow::Result<()> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let shared = Arc::new(Shared::new(options, client.server(), style));
    shared.journal.working(&shared.options, client.server())?;
    let worker = worker(&shared, &client);
    let ended = tokio::select! {
        ended = worker.run_until(shared.stop.notified()) => ended,
        () = shared.watch_the_end(&mut signals) => unreachable!("it watches for ever"),
    };
    // Children of lost leases may still be on their way out.
    let all = u32::try_from(shared.options.slots).expect("slots are few");
    drop(shared.slots.acquire_many(all).await);
    if let Some(trouble) = shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(trouble.into());
    }
    match ended {
        Ok(()) => Ok(()),
        Err(WorkerError::Refused(error)) => Err(error.into()),
        Err(error) => Err(error.into()),
    }
}

fn worker(shared: &Arc<Shared>, client: &Client) -> Worker<Arc<Shared>> {
    let (options, listener) = (&shared.options, Arc::clone(shared));
    let worker = Worker::new(client)
        .name(&options.name)
        .concurrency(options.slots)
        .lease(options.lease)
        .grace(options.grace.saturating_add(STOP_PATIENCE))
        .only_kinds(&options.kinds)
        .on_event(move |event| listener.heard(event))
        .state(Arc::clone(shared))
        .handle_any(|job: Job<RawPayload>, shared: Arc<Shared>| async move { shared.work(job).await });
    options.queues.iter().fold(worker, |worker, queue| worker.queue(queue))
}

/// One attempt.
type Attempt = (JobId, u64);

/// What was told of attempts whose end the server has not taken yet. An attempt is here from its beginning until
/// nothing more will be heard of it, so that the end of a child whose lease is lost already leaves nothing.
#[derive(Default)]
struct Told(Mutex<HashMap<Attempt, Option<String>>>);

impl Told {
    fn begun(&self, attempt: Attempt) {
        self.attempts().insert(attempt, None);
    }

    /// The attempt's child has ended, and this is told of it.
    fn ended(&self, attempt: Attempt, told: String) {
        if let Some(place) = self.attempts().get_mut(&attempt) {
            *place = Some(told);
        }
    }

    /// What was told when the attempt ended; one that was never begun, or was cut off, was given back.
    fn take(&self, attempt: Attempt) -> String {
        let told_then = self.attempts().remove(&attempt).flatten();
        told_then.unwrap_or_else(|| told(&Verdict::Released))
    }

    fn attempts(&self) -> MutexGuard<'_, HashMap<Attempt, Option<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What children, signals and events share.
struct Shared {
    options: Options,
    server: String,
    journal: Journal,
    /// One permit for each child at once. A child keeps it to its end, also when its job is lost.
    slots: Arc<Semaphore>,
    /// Stops the worker.
    stop: Notify,
    /// Stops all children.
    stop_children: watch::Sender<bool>,
    /// The grace has begun.
    grace: Notify,
    told: Told,
    /// What could not be told.
    trouble: Mutex<Option<io::Error>>,
}

impl Shared {
    fn new(options: Options, server: &str, style: Style) -> Shared {
        Shared {
            server: server.to_owned(),
            journal: Journal::new(style),
            slots: Arc::new(Semaphore::new(options.slots)),
            stop: Notify::new(),
            stop_children: watch::Sender::new(false),
            grace: Notify::new(),
            told: Told::default(),
            trouble: Mutex::new(None),
            options,
        }
    }

    /// Runs a job's child. If this is dropped, the child is told to stop, and goes on holding its slot until it has.
    async fn work(self: Arc<Self>, job: Job<RawPayload>) -> Result<Option<Box<RawValue>>, Failure> {
        let attempt = (job.id(), job.token());
        let slot = Arc::clone(&self.slots).acquire_owned().await.expect("the slots are never closed");
        let environment = input::environment(job.info(), &self.options.name, &self.server);
        let input = Input { stdin: job.into_payload().into_bytes(), environment };
        let (stop, stopped) = oneshot::channel();
        let mut child = tokio::spawn(Arc::clone(&self).run_child(attempt, input, stopped, slot));
        let ended = tokio::select! {
            ended = &mut child => ended,
            () = self.children_stop() => {
                drop(stop);
                child.await
            }
        };
        let verdict = ended.expect("a child's task does not panic");
        self.told.ended(attempt, told(&verdict));
        match verdict {
            Verdict::Completed { result, .. } => Ok(result),
            Verdict::Failed { message, kind, retry_after_ms, fatal } => Err(match retry_after_ms {
                _ if fatal => Failure::fatal(message),
                Some(ms) => Failure::retry_after(Duration::from_millis(ms), message),
                None => Failure::retry(message),
            }
            .kind(kind)),
            Verdict::Released => Err(Failure::release()),
        }
    }

    async fn run_child(
        self: Arc<Self>,
        attempt: Attempt,
        input: Input,
        stopped: oneshot::Receiver<()>,
        slot: OwnedSemaphorePermit,
    ) -> Verdict {
        let start = Instant::now();
        let outcome = child::run(&self.options.program, input, stopped).await;
        let ran = start.elapsed();
        let could_run = outcome.is_ok();
        let verdict = match outcome {
            Ok(ended) => judge(ended, self.options.retry_later.as_millis() as u64),
            Err(error) => {
                // Not the job's fault: it goes back uncounted.
                self.say(self.journal.cannot_run(attempt, &error));
                Verdict::Released
            }
        };
        self.say(self.journal.ended(attempt, ran, &verdict));
        if !could_run {
            // This slot takes a breath, unless everything stops.
            let _ = tokio::time::timeout(SPAWN_PAUSE, self.children_stop()).await;
        }
        drop(slot);
        verdict
    }

    /// Waits until all children are to stop.
    async fn children_stop(&self) {
        let mut stop_children = self.stop_children.subscribe();
        drop(stop_children.wait_for(|stop| *stop).await);
    }

    fn heard(&self, event: &WorkerEvent) {
        let said = match event {
            WorkerEvent::Started { job, .. } => {
                self.told.begun((job.id, job.token));
                self.journal.started(job)
            }
            WorkerEvent::Completed { job, .. }
            | WorkerEvent::Failed { job, .. }
            | WorkerEvent::Released { job, .. } => {
                let attempt = (job.id, job.token);
                self.journal.accepted(attempt, &self.told.take(attempt))
            }
            WorkerEvent::Refused { job, refusal, sent_before, .. } => {
                let attempt = (job.id, job.token);
                self.journal.refused(attempt, &self.told.take(attempt), *sent_before, refusal)
            }
            WorkerEvent::Lost { job, refusal, .. } => {
                let attempt = (job.id, job.token);
                self.told.take(attempt);
                self.journal.lost(attempt, refusal)
            }
            WorkerEvent::GivenUp { job, why, .. } => {
                let attempt = (job.id, job.token);
                self.told.take(attempt);
                self.journal.given_up(attempt, why)
            }
            WorkerEvent::ServerAway { why, .. } => self.journal.server_away(why),
            WorkerEvent::ServerBack => self.journal.server_back(),
            WorkerEvent::Idle => {
                if self.options.until_empty {
                    self.stop.notify_one();
                }
                Ok(())
            }
            WorkerEvent::Stopping { running, .. } => {
                self.grace.notify_one();
                self.journal.stopping(*running, self.options.grace)
            }
            WorkerEvent::Stopped { unreported, .. } => self.journal.stopped(*unreported),
            _ => Ok(()),
        };
        self.say(said);
    }

    /// A worker whose words nobody hears stops.
    fn say(&self, said: io::Result<()>) {
        if let Err(error) = said {
            self.trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            self.stop.notify_one();
            self.stop_children.send_replace(true);
        }
    }

    /// Stops the worker at the first signal, and all children at the second or when the grace is over.
    async fn watch_the_end(&self, signals: &mut Signals) {
        tokio::select! {
            () = signals.told() => {
                self.stop.notify_one();
                self.grace.notified().await;
            }
            () = self.grace.notified() => {}
        }
        tokio::select! {
            () = signals.told() => {}
            () = tokio::time::sleep(self.options.grace) => {}
        }
        self.stop_children.send_replace(true);
        future::pending().await
    }
}

/// The signals that ask a worker to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_attempt_that_is_over_nothing_is_kept() {
        let told = Told::default();
        let attempt = |token| ("0-7".parse().expect("an id"), token);
        told.begun(attempt(1));
        told.ended(attempt(1), "completed".to_owned());
        assert_eq!(told.take(attempt(1)), "completed");
        // Its lease is lost, and then its child ends.
        told.begun(attempt(2));
        told.take(attempt(2));
        told.ended(attempt(2), "completed".to_owned());
        assert!(told.attempts().is_empty());
        assert_eq!(told.take(attempt(3)), super::told(&Verdict::Released));
    }
}
