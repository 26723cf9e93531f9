//! The load: every upload is sent when it is due, over a few hundred connections, until each has its answer.
//!
//! It promises an open loop. An upload is due at its moment whatever became of those before it; if no connection is
//! free it waits in line, and its latency runs from the moment it was due. An upload that gets no answer, or is told
//! to come back, is sent again with the same key and counts once. It gives up an upload after [`PATIENCE`], and
//! everything that is left when the service has answered nobody for so long.
//!
//! All connections live on one thread, so locks here are never contended. A second thread only sleeps: it wakes the
//! first when an upload is due, more exactly than the runtime's timers of one millisecond would.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    mem,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use app_kit::wire::{Broken, Connection, Head, Response};
use hdrhistogram::Histogram;
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{sleep, sleep_until, timeout_at},
};

use super::{id::id, plan::Plan, request::Requests};

/// So long an upload is sent again and again before it is given up.
const PATIENCE: Duration = Duration::from_secs(120);
/// Before a connection is tried again: doubled each time up to the second value.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));
/// Before an upload is sent again if the service did not say when: doubled each time up to the second value.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// Due moments that lie closer together than this are served by one wake-up.
const WAKE_EVERY: Duration = Duration::from_micros(250);
/// While uploads are overdue the pace has little to do.
const OVERDUE_EVERY: Duration = Duration::from_millis(2);
/// How often it is asked whether the service answers at all.
const GIVE_UP_EVERY: Duration = Duration::from_secs(1);
/// Surprising answers that are kept as examples.
const EXAMPLES_MAX: usize = 10;
/// Latencies up to here are told apart; a longer one counts as this.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// What became of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Not answered yet.
    Open,
    /// 202, with this id.
    Accepted(Box<str>),
    /// Another answer, which is final.
    Refused(u16),
    /// No answer within all patience: it may have been accepted or not.
    Unanswered,
}

/// What one phase came to.
#[derive(Debug, Clone)]
pub(crate) struct PhaseTally {
    /// From due to accepted.
    pub(crate) latency_us: Histogram<u32>,
    /// Uploads of this phase that were refused or not answered.
    pub(crate) errors: u64,
    /// Uploads of any phase that were accepted while this one lasted.
    pub(crate) accepted_meanwhile: u64,
}

/// What the load came to.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    pub(crate) fates: Vec<Fate>,
    pub(crate) phases: [PhaseTally; 3],
    pub(crate) accepted: u64,
    /// How often an upload was sent again, by cause.
    pub(crate) retries: BTreeMap<&'static str, u64>,
    /// Acceptances that the service had given before.
    pub(crate) replayed: u64,
    /// The first refusals and strange answers, in words.
    pub(crate) examples: Vec<String>,
}

/// A load that is under way. A clone is the same load.
#[derive(Clone)]
pub(crate) struct Load {
    shared: Arc<Shared>,
}

struct Shared {
    plan: Plan,
    start: Instant,
    address: SocketAddr,
    requests: Requests,
    state: Mutex<State>,
    /// An upload has become due.
    tick: Notify,
    /// One connection may look into the line again.
    work: Notify,
}

struct State {
    /// The next upload that has never been sent, and when it is due.
    next: usize,
    next_due: Instant,
    /// Uploads to be sent again, the earliest first.
    again: BinaryHeap<Reverse<(Instant, Attempt)>>,
    /// Connections that have nothing to do.
    idle: usize,
    /// Uploads without a final answer.
    open: usize,
    last_answer: Instant,
    tally: Tally,
}

/// One upload on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Attempt {
    upload: usize,
    tries: u32,
    give_up: Instant,
}

/// What a connection is to do next.
enum Next {
    Send(Attempt),
    /// Wait until woken; the connection counts as idle.
    Wait,
    End,
}

impl Load {
    /// A load that starts at `start`.
    pub(crate) fn new(plan: Plan, start: Instant, address: SocketAddr, requests: Requests) -> Load {
        let tally = || PhaseTally {
            latency_us: Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("the bounds are in order"),
            errors: 0,
            accepted_meanwhile: 0,
        };
        let uploads = plan.uploads();
        let state = State {
            next: 0,
            next_due: start,
            again: BinaryHeap::new(),
            idle: 0,
            open: uploads,
            last_answer: start,
            tally: Tally {
                fates: vec![Fate::Open; uploads],
                phases: [tally(), tally(), tally()],
                accepted: 0,
                retries: BTreeMap::new(),
                replayed: 0,
                examples: Vec::new(),
            },
        };
        let (tick, work) = (Notify::new(), Notify::new());
        Load {
            shared: Arc::new(Shared { plan, start, address, requests, state: Mutex::new(state), tick, work }),
        }
    }

    /// Sends everything over so many connections; ends when every upload has its fate.
    pub(crate) async fn run(&self, connections: usize) -> Tally {
        let mut lanes = JoinSet::new();
        for number in 0..connections {
            lanes.spawn(Lane::new(Arc::clone(&self.shared), number).run());
        }
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || tick_when_due(&shared));
        tokio::select! {
            () = wake_idle(&self.shared) => {}
            // A lane ends when everything has; the others may still wait for a service that is gone.
            Some(ended) = lanes.join_next() => ended.expect("a lane does not panic"),
        }
        drop(lanes);
        let mut state = self.shared.state();
        // Nobody asks for a single upload any more, and there may be millions.
        let fates = mem::take(&mut state.tally.fates);
        Tally { fates, ..state.tally.clone() }
    }

    /// Accepted so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.shared.state().tally.accepted
    }

    /// Uploads that are due and have no final answer yet.
    pub(crate) fn waiting(&self, now: Instant) -> u64 {
        let state = self.shared.state();
        let never_sent = state.next..self.shared.plan.uploads();
        let in_line = never_sent.clone().take_while(|upload| self.shared.due(*upload) <= now).count();
        (state.open + in_line - never_sent.len()) as u64
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    fn due(&self, upload: usize) -> Instant {
        self.start + self.plan.due(upload)
    }

    /// What a connection is to do now. If there is more to do than that, the next idle one is woken.
    fn next(&self, now: Instant) -> Next {
        let mut state = self.state();
        if state.open == 0 {
            return Next::End;
        }
        let Some(attempt) = self.take(&mut state, now) else {
            state.idle += 1;
            return Next::Wait;
        };
        if state.idle > 0 && self.is_due(&state, now) {
            self.work.notify_one();
        }
        Next::Send(attempt)
    }

    fn take(&self, state: &mut State, now: Instant) -> Option<Attempt> {
        if state.again.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            return state.again.pop().map(|Reverse((_, attempt))| attempt);
        }
        if !self.is_due(state, now) {
            return None;
        }
        let attempt = Attempt { upload: state.next, tries: 0, give_up: now + PATIENCE };
        state.next += 1;
        if state.next < self.plan.uploads() {
            state.next_due = self.due(state.next);
        }
        Some(attempt)
    }

    fn is_due(&self, state: &State, now: Instant) -> bool {
        let again = state.again.peek().is_some_and(|Reverse((at, _))| *at <= now);
        again || (state.next < self.plan.uploads() && state.next_due <= now)
    }

    /// An answer has come.
    fn answered(&self, attempt: Attempt, answer: &Response<'_>, now: Instant) {
        let mut state = self.state();
        state.last_answer = now;
        if state.tally.fates[attempt.upload] != Fate::Open {
            return;
        }
        let Head { status, retry_after, replayed, .. } = answer.head;
        match (status, id(answer.body)) {
            (202, Some(id)) => {
                state.tally.replayed += u64::from(replayed);
                self.accepted(&mut state, attempt.upload, id, now);
            }
            (429 | 503, _) => {
                let cause = if status == 429 { "429 too many" } else { "503 busy" };
                let wait = retry_after.unwrap_or_else(|| doubled(RETRY, attempt.tries));
                self.send_again(&mut state, attempt, cause, wait, now);
            }
            _ => {
                let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(300)]).into_owned();
                state.example(format!("upload {} was answered {status}: {body}", attempt.upload));
                self.settled(&mut state, attempt.upload, Fate::Refused(status));
            }
        }
    }

    /// A request was sent and not answered.
    fn broke(&self, attempt: Attempt, broken: &Broken, now: Instant) {
        let mut state = self.state();
        if let Broken::Malformed(malformed) = broken {
            state.example(format!("upload {}: {malformed}", attempt.upload));
        }
        self.send_again(&mut state, attempt, "connection broke", doubled(RETRY, attempt.tries), now);
    }

    fn given_up(&self, attempt: Attempt) {
        self.settled(&mut self.state(), attempt.upload, Fate::Unanswered);
    }

    fn accepted(&self, state: &mut State, upload: usize, id: &str, now: Instant) {
        let latency = now.saturating_duration_since(self.due(upload)).as_micros() as u64;
        let phase = self.plan.phase_of(upload);
        let meanwhile = self.plan.phase_at(now - self.start);
        state.tally.phases[phase as usize].latency_us.saturating_record(latency.max(1));
        if now - self.start <= self.plan.span(meanwhile).1 {
            state.tally.phases[meanwhile as usize].accepted_meanwhile += 1;
        }
        state.tally.accepted += 1;
        self.settled(state, upload, Fate::Accepted(id.into()));
    }

    fn settled(&self, state: &mut State, upload: usize, fate: Fate) {
        if state.tally.fates[upload] != Fate::Open {
            return;
        }
        if !matches!(fate, Fate::Accepted(_)) {
            state.tally.phases[self.plan.phase_of(upload) as usize].errors += 1;
        }
        state.tally.fates[upload] = fate;
        state.open -= 1;
        if state.open == 0 {
            self.work.notify_waiters();
            self.tick.notify_one();
        }
    }

    fn send_again(
        &self,
        state: &mut State,
        attempt: Attempt,
        cause: &'static str,
        wait: Duration,
        now: Instant,
    ) {
        // Those that are told the same time come back one after the other, within an eighth of it.
        let at = now + wait + wait.mul_f64((attempt.upload % 64) as f64 / 512.0);
        if at >= attempt.give_up {
            return self.settled(state, attempt.upload, Fate::Unanswered);
        }
        *state.tally.retries.entry(cause).or_default() += 1;
        state.again.push(Reverse((at, Attempt { tries: attempt.tries + 1, ..attempt })));
        self.tick.notify_one();
    }
}

impl State {
    fn example(&mut self, text: String) {
        if self.tally.examples.len() < EXAMPLES_MAX {
            self.tally.examples.push(text);
        }
    }
}

/// Sleeps until an upload is due, and says so, until all have been taken or settled.
fn tick_when_due(shared: &Shared) {
    let mut wake_at = shared.start;
    loop {
        thread::sleep(wake_at.saturating_duration_since(Instant::now()));
        shared.tick.notify_one();
        let now = Instant::now();
        let state = shared.state();
        if state.open == 0 || state.next >= shared.plan.uploads() {
            return;
        }
        // What is overdue waits for a connection, and each takes the next as soon as it is free.
        wake_at =
            if state.next_due > now { state.next_due.max(now + WAKE_EVERY) } else { now + OVERDUE_EVERY };
    }
}

/// Wakes an idle connection whenever there is something to send, until everything is settled.
async fn wake_idle(shared: &Shared) {
    loop {
        let now = Instant::now();
        let again_at = {
            let mut state = shared.state();
            if now.saturating_duration_since(state.last_answer.max(state.next_due)) > PATIENCE {
                shared.give_everything_up(&mut state);
            }
            if state.open == 0 {
                return;
            }
            if state.idle > 0 && shared.is_due(&state, now) {
                shared.work.notify_one();
            }
            state.again.peek().map(|Reverse((at, _))| *at)
        };
        let latest = now + GIVE_UP_EVERY;
        let look_again_at = again_at.map_or(latest, |at| at.clamp(now + WAKE_EVERY, latest));
        tokio::select! {
            () = shared.tick.notified() => {}
            () = sleep_until(look_again_at.into()) => {}
        }
    }
}

impl Shared {
    fn give_everything_up(&self, state: &mut State) {
        state.example(format!("the service has answered nothing for {} s", PATIENCE.as_secs()));
        for upload in 0..self.plan.uploads() {
            self.settled(state, upload, Fate::Unanswered);
        }
    }
}

/// One connection's life: it takes what is to be sent, sends it, and waits for the answer.
struct Lane {
    shared: Arc<Shared>,
    number: usize,
    connection: Option<Connection>,
    head: Vec<u8>,
}

impl Lane {
    fn new(shared: Arc<Shared>, number: usize) -> Lane {
        Lane { shared, number, connection: None, head: Vec::new() }
    }

    async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            // Asked for before looking, so that no wake-up falls between the look and the wait.
            let mut woken = std::pin::pin!(shared.work.notified());
            woken.as_mut().enable();
            match shared.next(Instant::now()) {
                Next::Send(attempt) => self.send(attempt).await,
                Next::Wait => {
                    woken.await;
                    shared.state().idle -= 1;
                }
                Next::End => return,
            }
        }
    }

    async fn send(&mut self, attempt: Attempt) {
        let shared = Arc::clone(&self.shared);
        let Ok(mut connection) = timeout_at(attempt.give_up.into(), self.connected()).await else {
            return shared.given_up(attempt);
        };
        let tail = shared.requests.write(attempt.upload, &mut self.head);
        match timeout_at(attempt.give_up.into(), connection.exchange(&self.head, tail)).await {
            Ok(Ok(answer)) => {
                let closes = answer.head.closes;
                shared.answered(attempt, &answer, Instant::now());
                self.connection = (!closes).then_some(connection);
            }
            Ok(Err(broken)) => shared.broke(attempt, &broken, Instant::now()),
            Err(_) => shared.given_up(attempt),
        }
    }

    /// The connection, or a new one as soon as the service takes it.
    async fn connected(&mut self) -> Connection {
        let mut tries = 0;
        loop {
            if let Some(connection) = self.connection.take().filter(|connection| !connection.is_closed()) {
                return connection;
            }
            match Connection::open(self.shared.address).await {
                Ok(connection) => return connection,
                // Nobody listens: the service is being started again.
                Err(_) => {
                    let wait = doubled(RECONNECT, tries);
                    sleep(wait + wait.mul_f64((self.number % 16) as f64 / 32.0)).await;
                    tries += 1;
                }
            }
        }
    }
}

/// The first value, doubled so many times, but not over the second.
fn doubled((first, most): (Duration, Duration), times: u32) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(most)
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
