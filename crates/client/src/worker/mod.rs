//! The worker: leases jobs, runs a handler for each, says how it went.
//!
//! It promises that a finished job is reported until the server has taken or refused the report, across restarts of the
//! server; that leases are extended while their jobs are here; that the future of a handler whose lease was lost is
//! dropped; and that a worker which is told to stop takes nothing new and leaves nothing behind: what runs may finish
//! within the grace, the rest is given back.
//!
//! | file | what it is |
//! |---|---|
//! | `ledger` | what is held and owed, and the next call to make; no clock, no socket |
//! | `line` | slots, prefetched jobs, filling batches; what starts when |
//! | `turns` | whose turn it is among queues with weights |
//! | `round` | the ledger's words as the API's, and back |
//! | `handler`, `job`, `failure`, `outcome` | what a handler gets and says |
//! | `desk` | how the handlers' tasks report to the loop |
//! | `run` | the loop that ties all this to the clock, the tasks and the network |
//! | `unhandled` | looking for jobs that nobody here has a handler for |
//! | `signals`, `event` | stops, and what is told to listeners |

mod desk;
mod event;
mod failure;
mod handler;
mod job;
mod ledger;
mod line;
mod outcome;
mod round;
mod run;
mod signals;
mod turns;
mod unhandled;

use std::{fmt, io, sync::Arc, time::Duration};

use serde::Serialize;
use tidegate_api::limits;

use self::{
    event::Listener,
    handler::{Handler, Handlers},
    round::Terms,
    run::{Run, Until},
    signals::{Signals, Stops},
};
pub use self::{
    event::WorkerEvent,
    failure::Failure,
    handler::BatchOptions,
    job::{Job, Payload, ProgressError, RawPayload},
    outcome::Outcome,
};
use crate::{Client, Error, settings::LONGEST};

/// Handlers at once, and jobs ahead, at most.
const JOBS_MAX: usize = 10_000;
/// Handlers at once, unless something is said.
const CONCURRENCY_DEFAULT: usize = 16;
/// How long handlers may go on once the worker is told to stop, unless something is said.
const GRACE_DEFAULT: Duration = Duration::from_secs(30);

/// Works jobs off: leases them, runs a handler for each, and reports what it came to.
///
/// ```no_run
/// use std::sync::Arc;
/// use tidegate::{Client, Failure, Job, Worker};
///
/// #[derive(serde::Deserialize)]
/// struct SendEmail { to: String }
///
/// struct Mailer;
/// impl Mailer {
///     async fn send(&self, to: &str) -> std::io::Result<()> { Ok(()) }
/// }
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::connect("http://127.0.0.1:7420")?;
/// let worker = Worker::new(&client)
///     .queue("mail")
///     .concurrency(64)
///     .state(Arc::new(Mailer))
///     .handle("send_email", |job: Job<SendEmail>, mailer: Arc<Mailer>| async move {
///         mailer.send(&job.payload().to).await?;
///         Ok(())
///     });
/// worker.run().await?;
/// # Ok(())
/// # }
/// ```
///
/// **Delivery is at least once.** A job whose worker dies, or whose lease lapses, runs again. The job's id and token
/// help to make effects happen once.
///
/// **Leases** are extended at a third of their length, as long as a job is here. If the server says that a lease is over
/// (the job was cancelled, or lapsed while the server could not be reached), the handler's future is dropped at its
/// next `await`, and nothing is reported.
///
/// **Handlers** run as tasks of the runtime that [`run`](Self::run) is awaited in. A panic is a failure of kind `panic`
/// with the panic's message.
///
/// **Kinds** without a handler are never asked for; they are left for other workers. If a poll finds nothing while such
/// jobs are ready, that is told once as [`WorkerEvent::UnhandledKind`] and as a warning of `tracing`.
///
/// **When the server is away**, handlers go on, and what is owed to it is tried until it is back. If the answer to a lease
/// is lost on the way, which takes a broken connection or a killed server, the jobs it brought are ready again when their
/// leases lapse, and those attempts count.
pub struct Worker<S = ()> {
    setup: Setup,
    state: S,
}

#[derive(Clone)]
struct Setup {
    client: Client,
    /// With their weights.
    queues: Vec<(String, u32)>,
    name: String,
    concurrency: usize,
    lease: Duration,
    prefetch: usize,
    grace: Duration,
    handlers: Handlers,
    only_kinds: Vec<String>,
    listener: Listener,
}

/// What a worker has done, as far as the server has taken it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ran {
    /// Attempts that did what they should.
    pub completed: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Jobs that were given back.
    pub released: u64,
}

/// Why a worker did not run, or did not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// It was given no queue, or more than 64.
    #[error("a worker has 1 to 64 queues, not {0}")]
    Queues(usize),
    /// It was given no handler, or handlers for more than 64 kinds and none for any.
    #[error("a worker has handlers for 1 to 64 kinds, or one for any, not for {0} kinds")]
    Kinds(usize),
    /// The process cannot listen for signals.
    #[error("cannot listen for signals: {0}")]
    Signals(#[source] io::Error),
    /// The server refuses what this worker asks; asking again would not help.
    #[error(transparent)]
    Refused(Error),
    /// Finished jobs could not be reported before the worker had to end.
    #[error("{jobs} finished jobs could not be reported; they will run again when their leases lapse")]
    Unreported {
        /// How many.
        jobs: usize,
    },
}

impl Worker {
    /// A worker with nothing to do yet: give it queues and handlers. An idempotency key of the client is for one intention,
    /// and a worker's calls are many: they do not carry it.
    pub fn new(client: &Client) -> Worker {
        let setup = Setup {
            client: client.without_idempotency_key(),
            queues: Vec::new(),
            name: Worker::default_name(),
            concurrency: CONCURRENCY_DEFAULT,
            lease: Duration::from_millis(limits::LEASE_MS_DEFAULT),
            prefetch: 0,
            grace: GRACE_DEFAULT,
            handlers: Handlers::default(),
            only_kinds: Vec::new(),
            listener: Listener::default(),
        };
        Worker { setup, state: () }
    }

    /// What a worker is called that was given no name: the machine's name and the process's number.
    pub fn default_name() -> String {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = if host.trim().is_empty() { "worker" } else { host.trim() };
        format!("{host}-{}", std::process::id())
    }
}

impl<S: Clone + Send + Sync + 'static> Worker<S> {
    /// Takes jobs from this queue too.
    #[must_use]
    pub fn queue(self, name: impl Into<String>) -> Self {
        self.weighted_queue(name, 1)
    }

    /// Takes jobs from this queue too, with a weight of 1 or more.
    ///
    /// While several queues have plenty, each gets its weight's share of the jobs taken; one without jobs, or paused, holds
    /// none up. Among queues of equal weight the highest priority goes first over all of them; with unequal weights
    /// priorities order the jobs of each queue only.
    #[must_use]
    pub fn weighted_queue(mut self, name: impl Into<String>, weight: u32) -> Self {
        let name = name.into();
        self.setup.queues.retain(|(known, _)| *known != name);
        self.setup.queues.push((name, weight.max(1)));
        self
    }

    /// What the worker is called, beside the jobs it has; at most 128 bytes. Default: the machine's name and the
    /// process's number.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.setup.name = name.into();
        self
    }

    /// Handlers at once, 1 to 10,000; default 16. A batch counts as one.
    #[must_use]
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.setup.concurrency = handlers.clamp(1, JOBS_MAX);
        self
    }

    /// How long a job is this worker's without a sign of life, 1 s to 12 h; default 30 s. Extended at a third of it.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        let (shortest, longest) = (*limits::LEASE_MS.start(), *limits::LEASE_MS.end());
        self.setup.lease = lease.clamp(Duration::from_millis(shortest), Duration::from_millis(longest));
        self
    }

    /// Jobs leased ahead of free slots, up to 10,000; default 0.
    ///
    /// With short jobs this hides the way to the server. With long ones it keeps jobs from workers that are free. Those
    /// that wait here are extended as well, and given back when the worker stops.
    #[must_use]
    pub fn prefetch(mut self, jobs: usize) -> Self {
        self.setup.prefetch = jobs.min(JOBS_MAX);
        self
    }

    /// How long handlers may go on once the worker is told to stop; default 30 s, at most a year. Then their futures are dropped and their
    /// jobs given back.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.setup.grace = grace.min(LONGEST);
        self
    }

    /// What handlers share, such as an `Arc` of the application: the second argument of those that are added after this.
    #[must_use]
    pub fn state<T: Clone + Send + Sync + 'static>(self, state: T) -> Worker<T> {
        Worker { setup: self.setup, state }
    }

    /// Handles jobs of a kind. A second handler for a kind takes the place of the first.
    ///
    /// What the handler returns is kept as the job's result, if it is not `()`: any JSON of at most 64 KiB; a longer
    /// one is a fatal failure of kind `result`. A payload that is no `P` is a fatal failure of kind `payload`, which can be
    /// edited and redriven.
    ///
    /// The handler runs inside the job's trace: see [`trace::current`](crate::trace::current).
    #[must_use]
    pub fn handle<P, R, F, Fut>(mut self, kind: impl Into<String>, handler: F) -> Self
    where
        P: Payload,
        R: Serialize,
        F: Fn(Job<P>, S) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, Failure>> + Send + 'static,
    {
        self.setup.handlers.set(kind.into(), Handler::one(handler, self.state.clone()));
        self
    }

    /// Handles jobs of a kind in batches: as many as there may be, or as many as came within the linger.
    ///
    /// The handler returns one result for each job it got, in order. Jobs whose payload cannot be read fail by themselves.
    /// A panic fails every job of the batch; so does a list of another length. The batch goes on while at least one of
    /// its leases stands; what it says about jobs whose lease was lost is not reported. There is no trace scope.
    ///
    /// To fill a batch, the worker leases up to a batch more than it has free slots.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tidegate::{BatchOptions, Client, Failure, Job, Worker};
    /// # #[derive(serde::Deserialize)]
    /// # struct Doc { id: u64 }
    /// # async fn index(ids: &[u64]) -> Vec<bool> { vec![true; ids.len()] }
    /// # fn example(worker: Worker) -> Worker {
    /// worker.handle_batch(
    ///     "index",
    ///     BatchOptions::up_to(100).linger(Duration::from_millis(50)),
    ///     |jobs: Vec<Job<Doc>>, ()| async move {
    ///         let ids: Vec<u64> = jobs.iter().map(|job| job.payload().id).collect();
    ///         let indexed = index(&ids).await.into_iter();
    ///         indexed.map(|good| if good { Ok(()) } else { Err(Failure::retry("not indexed")) }).collect()
    ///     },
    /// )
    /// # }
    /// ```
    #[must_use]
    pub fn handle_batch<P, R, F, Fut>(
        mut self,
        kind: impl Into<String>,
        options: BatchOptions,
        handler: F,
    ) -> Self
    where
        P: Payload,
        R: Serialize,
        F: Fn(Vec<Job<P>>, S) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Vec<Result<R, Failure>>> + Send + 'static,
    {
        let number = self.setup.handlers.batches.len();
        self.setup.handlers.batches.push(options.rule);
        self.setup.handlers.set(kind.into(), Handler::batch(number, handler, self.state.clone()));
        self
    }

    /// Handles jobs of every kind that has no handler of its own; [`RawPayload`] takes whatever they bring.
    #[must_use]
    pub fn handle_any<P, R, F, Fut>(mut self, handler: F) -> Self
    where
        P: Payload,
        R: Serialize,
        F: Fn(Job<P>, S) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, Failure>> + Send + 'static,
    {
        self.setup.handlers.set_any(Handler::one(handler, self.state.clone()));
        self
    }

    /// Asks only for these kinds (1 to 64), though there are handlers for others or for any.
    #[must_use]
    pub fn only_kinds(mut self, kinds: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.setup.only_kinds = kinds.into_iter().map(Into::into).collect();
        self
    }

    /// Tells this function what happens, as it happens, on the worker's own task: it should be quick,
    /// and must neither block nor panic.
    #[must_use]
    pub fn on_event(mut self, listener: impl Fn(&WorkerEvent) + Send + Sync + 'static) -> Self {
        self.setup.listener = Listener(Some(Arc::new(listener)));
        self
    }

    /// Works until the process gets SIGTERM or Ctrl-C. Then nothing new is taken, handlers may end within the grace, and
    /// what was not begun is given back. A second signal ends the grace at once.
    ///
    /// Must be awaited in a Tokio runtime with time and IO. If the future is dropped before it is ready, handlers are
    /// dropped too, and their leases lapse.
    ///
    /// # Errors
    /// [`WorkerError`]. That the server is away is none, however long; except that at the end, reports are tried for 10 s
    /// only.
    pub async fn run(&self) -> Result<(), WorkerError> {
        let signals = Signals::listen().map_err(WorkerError::Signals)?;
        self.setup.run(Until::Told, Stops::Signals(signals)).await.map(drop)
    }

    /// Works until this future ends, and then stops as [`run`](Self::run) does.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_until(&self, stop: impl Future<Output = ()> + Send) -> Result<(), WorkerError> {
        self.setup.run(Until::Told, Stops::Until(Box::pin(stop))).await.map(drop)
    }

    /// Runs every job that is due now, and what those enqueue, until nothing is due; says how many there were. Retries
    /// that are to come later are left.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_due(&self) -> Result<Ran, WorkerError> {
        self.setup.run(Until::NothingIsDue, Stops::Told).await
    }
}

impl Setup {
    async fn run(&self, until: Until, stops: Stops<'_>) -> Result<Ran, WorkerError> {
        if !limits::LEASE_QUEUES.contains(&(self.queues.len() as u64)) {
            return Err(WorkerError::Queues(self.queues.len()));
        }
        let kinds = self.asked_kinds().map(|kinds| kinds.len());
        if let Some(kinds) = kinds.filter(|kinds| !limits::LEASE_KINDS.contains(&(*kinds as u64))) {
            return Err(WorkerError::Kinds(kinds));
        }
        Run::new(self, until).run(stops).await
    }

    /// The kinds that leases ask for; none if they ask for any.
    fn asked_kinds(&self) -> Option<Vec<String>> {
        match self.only_kinds.is_empty() {
            true => self.handlers.kinds(),
            false => {
                let handled = |kind: &&String| self.handlers.get(kind).is_some();
                Some(self.only_kinds.iter().filter(handled).cloned().collect())
            }
        }
    }

    fn terms(&self) -> Terms {
        Terms {
            queues: self.queues.iter().map(|(name, _)| name.clone()).collect(),
            kinds: self.asked_kinds().unwrap_or_default(),
            lease: self.lease,
            worker: self.name.clone(),
        }
    }
}

impl<S> fmt::Debug for Worker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("name", &self.setup.name)
            .field("queues", &self.setup.queues)
            .field("kinds", &self.setup.handlers.kinds())
            .field("concurrency", &self.setup.concurrency)
            .field("listener", &self.setup.listener)
            .finish_non_exhaustive()
    }
}
