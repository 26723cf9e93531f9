//! The worker for any language: leases jobs, runs a program for each, says how it went.
//!
//! It promises that a finished job is reported until the server has taken or refused the report, across restarts of the
//! server; that a job whose lease was lost is stopped; and that a worker which is told to stop takes nothing new and
//! leaves nothing behind: what runs may finish within the grace, the rest is given back.
//!
//! The parts: `ledger.rs` knows what is held and owed, `child.rs` runs one process, `verdict.rs` judges its end,
//! `round.rs` puts the ledger's words into the API's and back, `journal.rs` tells people and programs. This file ties
//! them to the clock, the signals and the network.

mod backoff;
mod child;
mod journal;
mod ledger;
mod round;
mod verdict;

use std::{
    collections::BTreeMap,
    future, io,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tidegate::{
    Client,
    api::{lease::LeasedJob, work::WorkAnswer},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    task::JoinSet,
};

pub(crate) use self::child::{Program, Stdout, find_command};
use self::{
    backoff::Backoff,
    child::Ended,
    journal::Journal,
    ledger::{Effect, LeaseKey, Ledger, Round},
    verdict::{Verdict, judge},
};
use crate::output::Style;

/// How long the server may wait for a job before it answers; also about the longest that a stop takes when nothing runs.
const POLL: Duration = Duration::from_secs(2);
/// After the grace, what is still to be reported is tried for so long.
const REPORT_PATIENCE: Duration = Duration::from_secs(10);
/// After a program could not be started, nothing new is leased for so long.
const SPAWN_PAUSE: Duration = Duration::from_secs(1);

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
    let mut stops = Stops::listen().context("cannot listen for signals")?;
    let mut worker = Worker::new(options, client, style);
    worker.run(&mut stops).await
}

struct Worker {
    options: Arc<Options>,
    client: Client,
    journal: Journal,
    ledger: Ledger<Verdict>,
    children: JoinSet<(LeaseKey, Duration, io::Result<Ended>)>,
    /// Dropping one stops its child.
    stops: BTreeMap<LeaseKey, oneshot::Sender<()>>,
    rounds: JoinSet<(Round<Verdict>, Result<WorkAnswer, tidegate::Error>)>,
    backoff: Backoff,
    /// No call is made before this moment.
    pause_until: Option<Instant>,
    /// When children that still run are stopped.
    grace_end: Option<Instant>,
    /// Why the worker cannot go on.
    failure: Option<tidegate::Error>,
}

impl Worker {
    fn new(options: Options, client: Client, style: Style) -> Worker {
        Worker {
            ledger: Ledger::new(options.slots, options.lease),
            journal: Journal::new(style),
            options: Arc::new(options),
            client,
            children: JoinSet::new(),
            stops: BTreeMap::new(),
            rounds: JoinSet::new(),
            backoff: Backoff::default(),
            pause_until: None,
            grace_end: None,
            failure: None,
        }
    }

    async fn run(&mut self, stops: &mut Stops) -> anyhow::Result<()> {
        self.journal.working(&self.options, self.client.server())?;
        loop {
            let now = Instant::now();
            if self.grace_end.is_some_and(|end| end <= now) {
                self.stops.clear();
            }
            if self.ledger.is_stopping() && self.ledger.is_idle() {
                break;
            }
            if self.grace_end.is_some_and(|end| end + REPORT_PATIENCE <= now) && self.children.is_empty() {
                break;
            }
            self.start_rounds(now);
            let wake = self.next_wake(now);
            tokio::select! {
                Some(ended) = self.children.join_next() => {
                    let (key, ran, outcome) = ended.context("a child's task ended badly")?;
                    self.child_ended(key, ran, outcome)?;
                }
                Some(answered) = self.rounds.join_next() => {
                    let (round, answer) = answered.context("a call's task ended badly")?;
                    self.round_ended(round, answer)?;
                }
                () = stops.told() => self.stop(true)?,
                () = sleep_until(wake) => {}
            }
        }
        self.farewell()
    }

    fn farewell(&mut self) -> anyhow::Result<()> {
        let unsent = self.ledger.unsent();
        self.journal.stopped(unsent)?;
        if let Some(failure) = self.failure.take() {
            return Err(failure.into());
        }
        if unsent > 0 {
            bail!(
                "{unsent} finished jobs could not be reported; they will run again when their leases lapse"
            );
        }
        Ok(())
    }

    /// Takes nothing new from now on. Asked a second time, stops what runs.
    fn stop(&mut self, by_signal: bool) -> io::Result<()> {
        let now = Instant::now();
        if self.ledger.is_stopping() && by_signal {
            self.grace_end = Some(now);
            return Ok(());
        }
        self.ledger.stop();
        self.grace_end = Some(now + self.options.grace);
        self.journal.stopping(self.ledger.running(), self.options.grace)
    }

    /// The next moment at which something is due by time alone.
    fn next_wake(&self, now: Instant) -> Option<Instant> {
        let heartbeat = self.ledger.next_heartbeat().map(|due| due.max(self.pause_until.unwrap_or(due)));
        let grace = self.grace_end.map(|end| if end > now { end } else { end + REPORT_PATIENCE });
        let pause = self.pause_until.filter(|until| *until > now);
        // With both rounds under way a due heartbeat waits for one of them to end, not for the clock.
        let heartbeat = heartbeat.filter(|due| *due > now || self.rounds.is_empty());
        [heartbeat, grace.filter(|end| *end > now), pause].into_iter().flatten().min()
    }

    fn start_rounds(&mut self, now: Instant) {
        if self.pause_until.is_some_and(|until| until > now) {
            return;
        }
        self.pause_until = None;
        while let Some(round) = self.ledger.next_round(now) {
            let (client, options) = (self.client.clone(), Arc::clone(&self.options));
            self.rounds.spawn(async move {
                let request = round::request(&round, &options, POLL);
                let answer = client.work(&request).await;
                drop(request);
                (round, answer)
            });
        }
    }

    fn round_ended(
        &mut self,
        round: Round<Verdict>,
        answer: Result<WorkAnswer, tidegate::Error>,
    ) -> io::Result<()> {
        let error = match answer {
            Ok(answer) => match round::matched(&round, answer) {
                Some(answer) => return self.round_answered(round, answer),
                None => {
                    return self.round_unanswered(
                        round,
                        "the answer does not fit what was asked".into(),
                        None,
                    );
                }
            },
            Err(error) => error,
        };
        if error.is_temporary() {
            return self.round_unanswered(round, error.to_string(), error.retry_after());
        }
        // The server will never take such a call. A first one may be about what was asked for, so what was to be
        // reported is said once more without asking.
        if self.failure.is_none() {
            self.ledger.unanswered(round);
            self.failure = Some(error);
            return self.stop(false);
        }
        for report in self.ledger.given_up(round) {
            self.journal.given_up(report.key, &error)?;
        }
        Ok(())
    }

    fn round_unanswered(
        &mut self,
        round: Round<Verdict>,
        why: String,
        asks: Option<Duration>,
    ) -> io::Result<()> {
        let pause = self.backoff.failed(asks);
        self.pause_until = Some(Instant::now() + pause);
        self.ledger.unanswered(round);
        self.journal.server_away(&why)
    }

    fn round_answered(&mut self, round: Round<Verdict>, answer: round::Matched) -> io::Result<()> {
        self.backoff.succeeded();
        self.journal.server_back()?;
        let found_nothing = round.lease.is_some_and(|lease| lease.wait) && answer.jobs.is_empty();
        let mut jobs = answer.jobs;
        for effect in self.ledger.answered(Instant::now(), round, answer.answer, || Verdict::Released) {
            match effect {
                Effect::Start(key) => {
                    let job = jobs.remove(&key).expect("what is started has just been leased");
                    self.start_child(key, job)?;
                }
                Effect::Stop(key, refusal) => {
                    self.journal.lost(key, &refusal)?;
                    self.stops.remove(&key);
                }
                Effect::Accepted(report) => self.journal.accepted(report.key, &report.report)?,
                Effect::Refused(report, refusal) => self.journal.refused(&report, &refusal)?,
            }
        }
        if found_nothing
            && self.options.until_empty
            && self.ledger.running() == 0
            && !self.ledger.is_stopping()
        {
            self.stop(false)?;
        }
        Ok(())
    }

    fn start_child(&mut self, key: LeaseKey, job: LeasedJob) -> io::Result<()> {
        self.journal.started(key, &job)?;
        let input = match round::input(&job, &self.options.name, self.client.server()) {
            Ok(input) => input,
            Err(verdict) => {
                self.ledger.finished(key, verdict);
                return Ok(());
            }
        };
        let (stop, stopped) = oneshot::channel();
        self.stops.insert(key, stop);
        let options = Arc::clone(&self.options);
        self.children.spawn(async move {
            let start = Instant::now();
            let outcome = child::run(&options.program, input, stopped).await;
            (key, start.elapsed(), outcome)
        });
        Ok(())
    }

    fn child_ended(&mut self, key: LeaseKey, ran: Duration, outcome: io::Result<Ended>) -> io::Result<()> {
        self.stops.remove(&key);
        let verdict = match outcome {
            Ok(ended) => judge(ended, self.options.retry_later.as_millis() as u64),
            Err(error) => {
                // Not the job's fault: it goes back uncounted, and this worker takes a breath.
                self.journal.cannot_run(key, &error)?;
                self.pause_until = Some(Instant::now() + SPAWN_PAUSE);
                Verdict::Released
            }
        };
        self.journal.ended(key, ran, &verdict)?;
        self.ledger.finished(key, verdict);
        Ok(())
    }
}

/// Waits for a moment; forever if there is none.
async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => future::pending().await,
    }
}

/// The signals that ask a worker to stop.
struct Stops {
    terminate: Signal,
    interrupt: Signal,
}

impl Stops {
    fn listen() -> io::Result<Stops> {
        Ok(Stops { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
