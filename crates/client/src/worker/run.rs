//! The worker's loop: ties the ledger and the line to the clock, the handlers' tasks and the network.
//!
//! One task owns all of it and waits for what comes first: a handler's end, an answer, a moment, a stop. It never waits
//! for one of them in particular, so neither a slow handler nor a server that is away holds the rest up.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tidegate_api::{lease::LeasedJob, refusal::Refused, work::WorkAnswer};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};

use super::{
    Ran, Setup, WorkerError, WorkerEvent,
    desk::{self, Desk, Ended, Jobs, Message},
    handler::{Arrived, Handler},
    job::Note,
    ledger::{Effect, LeaseKey, Ledger, Report, RoundAnswer},
    line::{Line, Unit},
    outcome::Outcome,
    round::{self, Round, Terms},
    signals::Stops,
    turns::{Ask, Turns},
    unhandled::{self, Found, Looks},
};
use crate::{
    Client, Error,
    retry::Backoff,
    trace::{self, TraceParent},
};

/// How long the server may wait for a job before it answers; also about the longest that a stop takes when nothing runs.
const POLL: Duration = Duration::from_secs(2);
/// After the last handler has ended, what is still to be reported is tried for so long.
const REPORT_PATIENCE: Duration = Duration::from_secs(10);
/// A server that has not answered so long after it should have is told to be away, though calls are still tried.
const LATE: Duration = Duration::from_secs(3);
/// However short the leases, a round may take so long: a third of it is what a busy disk may need for one answer.
const ROUND_DEADLINE_MIN: Duration = Duration::from_secs(3);
/// Messages taken from the desk at once.
const MESSAGES: usize = 1_024;
/// A lease's answer is cut at 16 MiB of payloads; one that is half of that may have been.
const FULL_BYTES: usize = 8 << 20;

/// What is reported of an attempt, and whose it is.
#[derive(Debug)]
pub(super) struct Debt {
    pub(super) job: Arc<LeasedJob>,
    pub(super) outcome: Outcome,
}

/// How long a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// It is told to stop.
    Told,
    /// Nothing is due any more.
    NothingIsDue,
}

/// A job that is held.
struct Task {
    job: Arc<LeasedJob>,
    running: Running,
}

enum Running {
    /// It waits for a slot.
    Not,
    Alone(AbortHandle),
    /// In a batch, of which so many leases still stand.
    InBatch(AbortHandle, Arc<AtomicUsize>),
}

/// How far the end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    NotYet,
    /// Handlers may go on until then.
    Grace(Instant),
    /// Handlers have ended or were cut off; what is still owed is tried until then.
    Reporting(Instant),
}

/// See the file's head.
pub(super) struct Run<'a> {
    setup: &'a Setup,
    /// For rounds: a single try takes a third of a lease at most, so that one which hangs loses none.
    client: Client,
    until: Until,
    terms: Arc<Terms>,
    ledger: Ledger<Debt, Note>,
    line: Line<(LeaseKey, Arrived)>,
    turns: Turns,
    tasks: HashMap<LeaseKey, Task>,
    desk: mpsc::UnboundedSender<Message>,
    inbox: mpsc::UnboundedReceiver<Message>,
    rounds: JoinSet<Answered>,
    looks: Looks,
    looking: JoinSet<Result<Vec<Found>, Error>>,
    backoff: Backoff,
    /// No call is made before this moment.
    pause_until: Option<Instant>,
    away: bool,
    /// When the answers of the main round and of the side round that are under way are late.
    late: [Option<Instant>; 2],
    /// When the server last answered.
    answered_at: Instant,
    /// Handlers that ended and reports that were taken: after each there may be jobs that were not due before.
    news: u64,
    /// A lease found nothing, and there was no news since it was asked. Only told in a run that ends by itself.
    found_nothing: bool,
    ending: Ending,
    /// Why the worker cannot go on.
    failure: Option<Error>,
    ran: Ran,
}

/// A round that is over.
struct Answered {
    round: Round,
    ask: Ask,
    /// What `Run::news` was when it was asked.
    news: u64,
    /// The answer, or none if it does not fit what was asked.
    answer: Result<Option<RoundAnswer<Arrived>>, Error>,
}

impl<'a> Run<'a> {
    pub(super) fn new(setup: &'a Setup, until: Until) -> Run<'a> {
        let (desk, inbox) = mpsc::unbounded_channel();
        let weights: Vec<u32> = setup.queues.iter().map(|(_, weight)| *weight).collect();
        Run {
            terms: Arc::new(setup.terms()),
            ledger: Ledger::new(setup.lease),
            line: Line::new(setup.concurrency, setup.prefetch, &setup.handlers.batches),
            turns: Turns::new(&weights),
            tasks: HashMap::new(),
            desk,
            inbox,
            rounds: JoinSet::new(),
            looks: Looks::default(),
            looking: JoinSet::new(),
            backoff: Backoff::default(),
            pause_until: None,
            away: false,
            late: [None; 2],
            answered_at: Instant::now(),
            news: 0,
            found_nothing: false,
            ending: Ending::NotYet,
            failure: None,
            ran: Ran::default(),
            client: setup.client.at_most(setup.lease.max(ROUND_DEADLINE_MIN)),
            setup,
            until,
        }
    }

    pub(super) async fn run(&mut self, mut stops: Stops<'_>) -> Result<Ran, WorkerError> {
        let mut messages = Vec::with_capacity(MESSAGES);
        let mut alarm = pin!(tokio::time::sleep(Duration::ZERO));
        loop {
            let now = Instant::now();
            self.start_handlers(now);
            self.end_grace(now);
            if self.is_done(now) {
                break;
            }
            self.start_rounds(now);
            self.notice_silence(now);
            let wake = self.next_wake(now);
            if let Some(wake) = wake.map(tokio::time::Instant::from)
                && alarm.deadline() != wake
            {
                alarm.as_mut().reset(wake);
            }
            tokio::select! {
                _ = self.inbox.recv_many(&mut messages, MESSAGES) => {
                    let now = Instant::now();
                    messages.drain(..).for_each(|message| self.heard(now, message));
                }
                Some(answered) = self.rounds.join_next() => {
                    self.round_ended(answered.expect("a call neither panics nor is cut off while it is waited for"));
                }
                Some(found) = self.looking.join_next() => self.looked(found.expect("a look does not panic")),
                () = stops.told() => self.told_to_stop(),
                () = alarm.as_mut(), if wake.is_some() => {}
            }
        }
        self.farewell()
    }

    fn is_done(&self, now: Instant) -> bool {
        let idle = self.ledger.is_idle();
        match self.ending {
            Ending::NotYet => {
                self.until == Until::NothingIsDue && self.found_nothing && idle && self.line.is_empty()
            }
            Ending::Grace(_) => idle,
            Ending::Reporting(end) => idle || end <= now,
        }
    }

    fn farewell(&mut self) -> Result<Ran, WorkerError> {
        // Handlers that could not be cut off are counted too: their leases lapse.
        let running = self.tasks.keys().filter(|key| self.ledger.holds(**key)).count();
        let unreported = self.ledger.owed() + running;
        self.tell(|| WorkerEvent::Stopped { unreported });
        match (self.failure.take(), unreported) {
            (Some(error), _) => Err(WorkerError::Refused(error)),
            (None, 0) => Ok(std::mem::take(&mut self.ran)),
            (None, _) => Err(WorkerError::Unreported { jobs: unreported }),
        }
    }

    fn tell(&self, event: impl FnOnce() -> WorkerEvent) {
        self.setup.listener.tell(event);
    }

    // ---- stopping

    /// Takes nothing new from now on. Told a second time, cuts off what runs.
    fn told_to_stop(&mut self) {
        match self.ending {
            Ending::NotYet => self.stop(),
            Ending::Grace(_) => self.ending = Ending::Grace(Instant::now()),
            Ending::Reporting(_) => {}
        }
    }

    fn stop(&mut self) {
        if self.ending != Ending::NotYet {
            return;
        }
        self.ledger.stop();
        for (key, arrived) in self.line.drain() {
            self.tasks.remove(&key);
            self.ledger.finished(key, Debt { job: arrived.job, outcome: Outcome::Released }, 0);
        }
        let (running, grace) = (self.line.running(), self.setup.grace);
        self.ending = Ending::Grace(Instant::now() + grace);
        self.tell(|| WorkerEvent::Stopping { running, grace });
    }

    /// When the grace is over, cuts off what still runs; each reports its end when its future is dropped.
    fn end_grace(&mut self, now: Instant) {
        let Ending::Grace(end) = self.ending else { return };
        if end > now && self.line.running() > 0 {
            return;
        }
        self.tasks.values().for_each(Task::abort);
        self.ending = Ending::Reporting(now + REPORT_PATIENCE);
    }

    /// The next moment at which something is due by time alone.
    fn next_wake(&self, now: Instant) -> Option<Instant> {
        let pause = self.pause_until;
        let ending = match self.ending {
            Ending::NotYet => None,
            Ending::Grace(end) | Ending::Reporting(end) => Some(end),
        };
        // What is due already waits for a round or a pause to end, not for the clock.
        let heartbeat = self.ledger.next_heartbeat();
        let late = self.next_late().filter(|_| !self.away);
        [heartbeat, pause, ending, late, self.line.next_due()]
            .into_iter()
            .flatten()
            .filter(|wake| *wake > now)
            .min()
    }

    // ---- handlers

    fn start_handlers(&mut self, now: Instant) {
        while let Some(unit) = self.line.next(now) {
            match unit {
                // Leases may have been lost while their jobs waited.
                Unit::One((key, arrived)) if self.ledger.holds(key) => self.start_one(key, arrived),
                Unit::One(_) => self.line.ended(),
                Unit::Batch(_, mut jobs) => {
                    jobs.retain(|(key, _)| self.ledger.holds(*key));
                    match jobs.is_empty() {
                        true => self.line.ended(),
                        false => self.start_batch(jobs),
                    }
                }
            }
        }
    }

    fn start_one(&mut self, key: LeaseKey, arrived: Arrived) {
        self.tell(|| WorkerEvent::Started { job: Arc::clone(&arrived.job) });
        let Some(Handler::One(handle)) = self.setup.handlers.get(&arrived.job.kind) else {
            unreachable!("a job that starts alone has a handler")
        };
        let parent = arrived.job.traceparent.as_ref().and_then(|text| text.parse::<TraceParent>().ok());
        let work = handle(arrived, Desk::new(key, self.desk.clone()));
        let task = desk::run_one(self.desk.clone(), key, work);
        let abort = match parent {
            Some(parent) => tokio::spawn(trace::scope(parent.child(), task)).abort_handle(),
            None => tokio::spawn(task).abort_handle(),
        };
        if let Some(task) = self.tasks.get_mut(&key) {
            task.running = Running::Alone(abort);
        }
    }

    fn start_batch(&mut self, jobs: Vec<(LeaseKey, Arrived)>) {
        let Some(Handler::Batch(_, handle)) = self.setup.handlers.get(&jobs[0].1.job.kind) else {
            unreachable!("a job that starts in a batch has a batch handler")
        };
        let keys: Vec<LeaseKey> = jobs.iter().map(|(key, _)| *key).collect();
        let with_desk = |(key, arrived): (LeaseKey, Arrived)| {
            self.tell(|| WorkerEvent::Started { job: Arc::clone(&arrived.job) });
            (arrived, Desk::new(key, self.desk.clone()))
        };
        let work = handle(jobs.into_iter().map(with_desk).collect());
        let abort = tokio::spawn(desk::run_batch(self.desk.clone(), keys.clone(), work)).abort_handle();
        let standing = Arc::new(AtomicUsize::new(keys.len()));
        for key in keys {
            if let Some(task) = self.tasks.get_mut(&key) {
                task.running = Running::InBatch(abort.clone(), Arc::clone(&standing));
            }
        }
    }

    fn heard(&mut self, now: Instant, message: Message) {
        match message {
            Message::Progress(key, note) => self.ledger.progressed(now, key, note),
            Message::Ended(Ended { jobs, ran }) => {
                self.tell_news();
                self.line.ended();
                match jobs {
                    Jobs::One(key, outcome) => self.ended(key, outcome, ran),
                    Jobs::Batch(jobs) => {
                        jobs.into_iter().for_each(|(key, outcome)| self.ended(key, outcome, ran));
                    }
                }
            }
        }
    }

    fn ended(&mut self, key: LeaseKey, outcome: Outcome, ran: Duration) {
        let Some(Task { job, .. }) = self.tasks.remove(&key) else { return };
        if self.ledger.holds(key) {
            self.tell(|| WorkerEvent::Ended { job: Arc::clone(&job), outcome: outcome.clone(), ran });
        }
        let bytes = outcome.bytes();
        self.ledger.finished(key, Debt { job, outcome }, bytes);
    }

    // ---- calls

    fn start_rounds(&mut self, now: Instant) {
        if self.pause_until.is_some_and(|until| until > now) {
            return;
        }
        self.pause_until = None;
        loop {
            // A run that ends by itself asks again only when something has happened.
            let room = if self.found_nothing { 0 } else { self.line.room() };
            let Some(round) = self.ledger.next_round(now, room) else { return };
            let ask = round.lease.map_or(Ask::All, |jobs| self.turns.next(now, jobs));
            // The next heartbeats wait for the answer to these.
            let waits = round.main && ask == Ask::All && round.beats.is_empty() && self.until == Until::Told;
            let wait = if waits { POLL } else { Duration::ZERO };
            self.late[usize::from(round.main)] = Some(now + wait + LATE);
            let (client, terms, news) = (self.client.clone(), Arc::clone(&self.terms), self.news);
            self.rounds.spawn(async move {
                let request = round::request(&round, &terms, ask, wait);
                let answer = client.work(&request).await;
                drop(request);
                let answer = answer.map(|answer: WorkAnswer| round::matched(&round, answer));
                Answered { round, ask, news, answer }
            });
        }
    }

    /// When the silence of a call that is under way has lasted too long.
    fn next_late(&self) -> Option<Instant> {
        let late = self.late.iter().copied().flatten().min()?;
        Some(late.max(self.answered_at + LATE))
    }

    /// The client tries a call again and again, and its error comes only when it gives up; people should know before.
    fn notice_silence(&mut self, now: Instant) {
        if self.next_late().is_some_and(|late| late <= now) {
            self.tell_away(format!("no answer from {} for {} s", self.setup.client.server(), LATE.as_secs()));
        }
    }

    fn tell_away(&mut self, why: String) {
        if !self.away {
            self.away = true;
            tracing::warn!(server = self.setup.client.server(), why, "the server does not answer a worker");
            self.tell(|| WorkerEvent::ServerAway { why });
        }
    }

    fn round_ended(&mut self, Answered { round, ask, news, answer }: Answered) {
        self.late[usize::from(round.main)] = None;
        let error = match answer {
            Ok(Some(answer)) => return self.round_answered(round, ask, news, answer),
            Ok(None) => {
                return self.round_unanswered(round, "the answer does not fit what was asked".into(), None);
            }
            Err(error) => error,
        };
        if error.is_temporary() {
            return self.round_unanswered(round, error.to_string(), error.retry_after());
        }
        // The server will never take such a call. A first one may be about what was asked for, so what was to be
        // reported is said once more without asking.
        if self.failure.is_none() {
            self.ledger.unanswered(Instant::now(), round);
            self.failure = Some(error);
            return self.stop();
        }
        for report in self.ledger.given_up(round) {
            self.tell(|| WorkerEvent::GivenUp { job: report.report.job, why: error.to_string() });
        }
    }

    fn round_unanswered(&mut self, round: Round, why: String, asks: Option<Duration>) {
        let now = Instant::now();
        self.pause(now, asks);
        self.ledger.unanswered(now, round);
        self.tell_away(why);
    }

    fn round_answered(&mut self, round: Round, ask: Ask, news: u64, answer: RoundAnswer<Arrived>) {
        let now = Instant::now();
        self.answered_at = now;
        if self.away {
            self.away = false;
            tracing::info!(server = self.setup.client.server(), "the server answers again");
            self.tell(|| WorkerEvent::ServerBack);
        }
        let came = answer.jobs.len();
        let bytes: usize = answer.jobs.iter().map(|(_, arrived)| arrived.payload.bytes()).sum();
        if let Some(asked) = round.lease {
            self.turns.answered(now, ask, came >= asked || bytes >= FULL_BYTES);
        }
        let polled = round.main && ask == Ask::All;
        // What the round itself reported was settled before it looked for jobs.
        let no_news = news == self.news;
        let release = |arrived: Arrived| Debt { job: arrived.job, outcome: Outcome::Released };
        let mut busy: Option<Refused> = None;
        for effect in self.ledger.answered(now, round, answer, release) {
            match effect {
                Effect::Arrived(key, arrived) => self.arrived(now, key, arrived),
                Effect::Lost(key, refusal) => self.lost(key, refusal),
                Effect::Kept(note) => note.kept(),
                Effect::Accepted(report) => self.accepted(report),
                Effect::Refused(report, refusal) => {
                    let Report { report: Debt { job, outcome }, sent_before, .. } = report;
                    self.tell(|| WorkerEvent::Refused { job, outcome, refusal, sent_before });
                }
                Effect::Busy(refusal) => busy = Some(refusal),
            }
        }
        match busy {
            Some(refusal) => self.pause(now, refusal.retry_after_ms.map(Duration::from_millis)),
            None => self.backoff.succeeded(),
        }
        if polled && came == 0 {
            self.found_nothing = no_news && self.until == Until::NothingIsDue;
            self.poll_found_nothing(now);
        }
    }

    fn poll_found_nothing(&mut self, now: Instant) {
        if self.until == Until::NothingIsDue {
            return;
        }
        if self.line.is_empty() && self.ending == Ending::NotYet {
            self.tell(|| WorkerEvent::Idle);
        }
        let Some(kinds) = self.setup.handlers.kinds() else { return };
        if self.looking.is_empty() && self.looks.is_due(now) {
            let (client, terms) = (self.setup.client.clone(), Arc::clone(&self.terms));
            self.looking.spawn(async move { unhandled::look(&client, &terms.queues, &kinds).await });
        }
    }

    fn looked(&mut self, found: Result<Vec<Found>, Error>) {
        // A server that cannot answer such a question is noticed elsewhere.
        for found in found.unwrap_or_default() {
            if self.looks.is_new(&found) {
                let (queue, kind) = found;
                tracing::warn!(
                    queue,
                    kind,
                    "there are ready jobs of a kind that this worker has no handler for"
                );
                self.tell(|| WorkerEvent::UnhandledKind { queue, kind });
            }
        }
    }

    fn arrived(&mut self, now: Instant, key: LeaseKey, arrived: Arrived) {
        let batch = match self.setup.handlers.get(&arrived.job.kind) {
            Some(Handler::One(_)) => None,
            Some(Handler::Batch(number, _)) => Some(*number),
            None => {
                // The server gave what was not asked for.
                self.ledger.finished(key, Debt { job: arrived.job, outcome: Outcome::Released }, 0);
                return;
            }
        };
        self.tasks.insert(key, Task { job: Arc::clone(&arrived.job), running: Running::Not });
        self.line.arrived(now, (key, arrived), batch);
    }

    fn lost(&mut self, key: LeaseKey, refusal: Refused) {
        let Some(task) = self.tasks.get(&key) else { return };
        let job = Arc::clone(&task.job);
        match &task.running {
            Running::Not => {
                self.tasks.remove(&key);
                self.ledger.forget(key);
            }
            Running::Alone(abort) => abort.abort(),
            // The others of its batch still count; who works for nobody is cut off.
            Running::InBatch(abort, standing) => {
                if standing.fetch_sub(1, Ordering::Relaxed) == 1 {
                    abort.abort();
                }
            }
        }
        self.tell(|| WorkerEvent::Lost { job, refusal });
    }

    fn accepted(&mut self, report: Report<Debt>) {
        self.tell_news();
        let Debt { job, outcome } = report.report;
        match &outcome {
            Outcome::Completed { .. } => self.ran.completed += 1,
            Outcome::Failed(_) => self.ran.failed += 1,
            Outcome::Released => self.ran.released += 1,
        }
        self.tell(|| match outcome {
            Outcome::Completed { .. } => WorkerEvent::Completed { job },
            Outcome::Failed(failure) => WorkerEvent::Failed { job, failure },
            Outcome::Released => WorkerEvent::Released { job },
        });
    }

    fn tell_news(&mut self) {
        self.news += 1;
        self.found_nothing = false;
    }

    /// Makes no call for a while. Never so long that leases would lapse for want of a heartbeat.
    fn pause(&mut self, now: Instant, asks: Option<Duration>) {
        let pause = self.backoff.failed(asks).min(self.setup.lease / 3);
        self.pause_until = Some(now + pause);
    }
}

impl Drop for Run<'_> {
    /// A run that is dropped in the middle leaves no handler behind.
    fn drop(&mut self) {
        self.tasks.values().for_each(Task::abort);
    }
}

impl Task {
    fn abort(&self) {
        match &self.running {
            Running::Not => {}
            Running::Alone(abort) | Running::InBatch(abort, _) => abort.abort(),
        }
    }
}
