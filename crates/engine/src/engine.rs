//! The engine as its users see it: typed calls, each a future that any executor can wait for.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use tidegate_core::JobId;
use tidegate_core::command::{self, Command, DeadFilter, Lease, Pause, Redrive};
use tidegate_core::outcome::{Item, Outcome, Refusal};
use tidegate_core::policy::QueueConfig;
use tidegate_core::view::{Cause, JobFilter, JobState};
use tidegate_log::{LocalLog, Log, MemoryLog, Opened};
use tokio::sync::oneshot;

use crate::calls::{
    Answer, Ask, Deleted, Enqueue, IdempotencyKey, Job, Page, Queue, Redriving, Stored, Work, Worked,
};
use crate::delivery::{Delivery, Reply, Told};
use crate::envelope::Envelope;
use crate::error::{CallError, CloseError, OpenError};
use crate::fingerprint::shard_of;
use crate::inbox::Call;
use crate::layout;
use crate::limits::{self, WAIT_MS_MAX};
use crate::options::Options;
use crate::payloads::{Read, ReaderThreads, Readers};
use crate::published::Status;
use crate::shard::Doors;
use crate::solo::Solo;
use crate::thread::{Ended, ShardThread};

/// Opens a shard's log: once at the start and once after each failure, when everything of the old one has
/// been dropped.
pub type LogSource = Box<dyn FnMut() -> Result<Opened<Arc<dyn Log>>, tidegate_log::OpenError> + Send>;

/// What a call takes of an inbox's room beside what it holds, in bytes.
const CALL_BYTES: usize = 256;

/// An engine. Clones share it; when the last one goes, it is closed as [`Engine::close`] does, and nobody
/// hears how that went.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(crate) house: Arc<House>,
}

/// What the clones share.
#[derive(Debug)]
pub(crate) struct House {
    /// One for each shard, by number.
    pub(crate) doors: Vec<Doors>,
    readers: ReaderThreads,
    /// Empty in an engine whose turns somebody else runs.
    threads: Vec<ShardThread>,
    ended: Mutex<Vec<(u16, oneshot::Receiver<Ended>)>>,
}

/// What a readiness check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Milliseconds since a write last became durable, on the shard where that is longest.
    pub durable_ms_ago: u64,
    /// Whether a probe had to be written to find out.
    pub probed: bool,
}

impl Engine {
    /// Opens, or makes, the data directory at `path`, with one log for each shard, and replays what is there.
    /// Blocks until it is ready to serve.
    ///
    /// # Errors
    /// [`OpenError`]; a directory in use is named, with its owner.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        check(&options)?;
        let directories = layout::prepare(path.as_ref(), options.shards)?;
        let sources = directories.into_iter().map(|directory| -> LogSource {
            let log_options = options.log.clone();
            Box::new(move || {
                let Opened { log, recovery } = LocalLog::open(&directory, log_options.clone())?;
                Ok(Opened { log: Arc::new(log) as Arc<dyn Log>, recovery })
            })
        });
        Self::start(sources.collect(), options)
    }

    /// An engine that keeps nothing when it goes: "durable" means "in memory" here.
    ///
    /// # Errors
    /// [`OpenError::Options`], or a thread that could not be started.
    pub fn memory(options: Options) -> Result<Self, OpenError> {
        check(&options)?;
        let sources = (0..options.shards).map(|_| -> LogSource {
            let mut opened: Option<MemoryLog> = None;
            Box::new(move || {
                let Opened { log, recovery } =
                    opened.as_ref().map_or_else(MemoryLog::open, MemoryLog::reopen);
                opened = Some(log.clone());
                Ok(Opened { log: Arc::new(log) as Arc<dyn Log>, recovery })
            })
        });
        Self::start(sources.collect(), options)
    }

    /// An engine on given logs, one for each shard; `options.shards` must be their number.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn start(sources: Vec<LogSource>, options: Options) -> Result<Self, OpenError> {
        check(&options)?;
        if sources.len() != usize::from(options.shards) {
            return Err(OpenError::Options("there must be one log for each shard".into()));
        }
        let io = |doing, what: &str| {
            let file = what.into();
            move |source| OpenError::Io { doing, file, source }
        };
        let readers = ReaderThreads::start(options.readers).map_err(io("starting", "reader threads"))?;
        let options = Arc::new(options);
        let (opened, openings) = mpsc::channel();
        let (mut threads, mut ended) = (Vec::new(), Vec::new());
        for (number, source) in (0..).zip(sources) {
            let (end, ending) = oneshot::channel();
            let thread = ShardThread::start(
                number,
                source,
                Arc::clone(&options),
                readers.readers(),
                opened.clone(),
                end,
            );
            threads.push(thread.map_err(io("starting", "a shard's thread"))?);
            ended.push((number, ending));
        }
        drop(opened);
        // Every thread says once how its opening went; those that did open are closed again if another did
        // not.
        for opening in openings.iter().take(threads.len()) {
            opening?;
        }
        let doors = threads.iter().map(|thread| thread.doors.clone()).collect();
        Ok(Self { house: Arc::new(House { doors, readers, threads, ended: Mutex::new(ended) }) })
    }

    /// One shard on one opened log, without a thread: calls go into its inbox, and whoever holds the [`Solo`]
    /// runs its turns. For simulations and tests, where nothing may happen by itself. With `options.readers`
    /// at 0 payloads are read where their call is awaited.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn solo(opened: Opened<Arc<dyn Log>>, options: Options) -> Result<(Self, Solo), OpenError> {
        check(&options)?;
        let options = Arc::new(options);
        let readers = ReaderThreads::none();
        let doors = Doors::new(&options, readers.readers());
        let solo = Solo::open(opened, options, doors.clone())?;
        let house = House { doors: vec![doors], readers, threads: Vec::new(), ended: Mutex::new(Vec::new()) };
        Ok((Self { house: Arc::new(house) }, solo))
    }

    /// Accepts jobs into one queue. One item for each, in order.
    ///
    /// # Errors
    /// [`CallError`]. Refusals of single jobs are items.
    ///
    /// # Panics
    /// If there is not one payload for each job.
    pub async fn enqueue(
        &self,
        enqueue: Enqueue,
        key: Option<IdempotencyKey>,
    ) -> Result<Answer<Vec<Item>>, CallError> {
        let mut enqueue = enqueue;
        assert_eq!(enqueue.command.jobs.len(), enqueue.payloads.len(), "every job has one payload");
        let bytes = enqueue.measure();
        let Enqueue { command, payloads } = enqueue;
        let shard = self.shard_of(&command.queue);
        match self.decide(shard, Command::Enqueue(command), payloads, bytes, key).await? {
            (Outcome::Enqueued(value), replayed) => Ok(Answer { value, replayed }),
            other => unexpected(other),
        }
    }

    /// A worker's round trip: settles what it has done and leases more, waiting up to `wait` (at most 60 s)
    /// if there is nothing to hand out. What was settled is settled at once, however long the lease waits.
    ///
    /// With a key and a wait, settling and leasing are remembered each for itself, so that neither is done
    /// twice. If the future is dropped before it is ready, the jobs it would have brought are given back, no
    /// attempt counted.
    ///
    /// With several shards the call is split, and not one turn: each shard does its part, and the lease
    /// follows.
    ///
    /// # Errors
    /// [`CallError`]. With several shards, some of them may have done their part.
    ///
    /// # Panics
    /// If `results` is neither empty nor as long as `complete`.
    pub async fn work(
        &self,
        work: Work,
        wait: Duration,
        key: Option<IdempotencyKey>,
    ) -> Result<Answer<Worked>, CallError> {
        let jobs = work.command.complete.len();
        assert!(work.results.is_empty() || work.results.len() == jobs, "every result has its job");
        if self.shards() == 1 {
            self.work_at(0, work, wait, key).await
        } else {
            self.work_split(work, wait, key).await
        }
    }

    /// [`work`](Self::work) with nothing to settle.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn lease(
        &self,
        lease: Lease,
        wait: Duration,
        key: Option<IdempotencyKey>,
    ) -> Result<Answer<Worked>, CallError> {
        self.work(command::Work { lease: Some(lease), ..Default::default() }.into(), wait, key).await
    }

    /// Everything about a job; none if there is none. With a `wait` (at most 60 s), once it has ended or the
    /// wait is over.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn job(&self, id: JobId, wait: Duration) -> Result<Option<Job>, CallError> {
        if id.shard() >= self.shards() {
            return Ok(None);
        }
        let mut delivery = self.ask(id.shard(), Ask::Job { id, wait_ms: wait_ms(wait) }, 0).await?;
        let read = self.readers().read(delivery.take_pinned()).await;
        let Told::Job(job) = delivery.take() else { unreachable!("a job was asked for") };
        Ok(job.map(|(view, _)| {
            let (has_payload, has_result) = (view.payload.len > 0, view.result.len > 0);
            let mut read = read.into_iter();
            let mut next = |kept: bool| read.next().filter(|_| kept).map_or(Stored::None, Stored::from);
            Job { payload: next(has_payload), result: next(has_result), view: *view }
        }))
    }

    /// A page of jobs by rising id, at most `limit` (1..=1000). `cursor` is 0 for the first page and then
    /// what the page before said.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn list(&self, filter: JobFilter, cursor: u64, limit: usize) -> Result<Page, CallError> {
        // A cursor is a shard and a place within it, as a job's id is.
        const PLACE_BITS: u32 = 48;
        let only = filter.queue.as_deref().map(|queue| self.shard_of(queue));
        let first = (cursor >> PLACE_BITS) as u16;
        let shard = only.unwrap_or(first);
        if shard >= self.shards() {
            return Ok(Page::default());
        }
        let place = cursor & ((1 << PLACE_BITS) - 1);
        let ask = Ask::List { filter: Box::new(filter), cursor: place, limit };
        let Told::Page(page) = self.ask(shard, ask, 0).await?.take() else {
            unreachable!("a page was asked for")
        };
        let next = match page.next {
            Some(place) => Some(u64::from(shard) << PLACE_BITS | place),
            None if only.is_none() && shard + 1 < self.shards() => Some(u64::from(shard + 1) << PLACE_BITS),
            None => None,
        };
        Ok(Page { jobs: page.jobs, next })
    }

    /// [`list`](Self::list) of dead letters only.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn dead(&self, filter: JobFilter, cursor: u64, limit: usize) -> Result<Page, CallError> {
        self.list(JobFilter { state: Some(JobState::Dead), ..filter }, cursor, limit).await
    }

    /// The causes of a queue's dead letters; none if there is no such queue.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn causes(&self, queue: &str) -> Result<Option<Vec<Cause>>, CallError> {
        match self.ask(self.shard_of(queue), Ask::Causes { queue: queue.into() }, 0).await?.take() {
            Told::Causes(causes) => Ok(causes),
            _ => unreachable!("causes were asked for"),
        }
    }

    /// Ends a job that has not ended.
    ///
    /// # Errors
    /// [`CallError`]. That the job has ended is an item.
    pub async fn cancel(&self, id: JobId, key: Option<IdempotencyKey>) -> Result<Answer<Item>, CallError> {
        self.settle(id, Command::Cancel(id), Vec::new(), key).await
    }

    /// Gives a dead job another payload.
    ///
    /// # Errors
    /// [`CallError`]. That the job is not dead is an item.
    pub async fn edit(
        &self,
        id: JobId,
        payload: Envelope,
        key: Option<IdempotencyKey>,
    ) -> Result<Answer<Item>, CallError> {
        let command = Command::Edit(command::Edit { id, blob_len: payload.stored_len() });
        self.settle(id, command, vec![payload], key).await
    }

    /// Creates a queue, or gives it a new configuration.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn configure_queue(
        &self,
        queue: &str,
        config: QueueConfig,
        key: Option<IdempotencyKey>,
    ) -> Result<Answer<()>, CallError> {
        let command = Command::ConfigureQueue { queue: queue.into(), config };
        self.done(self.shard_of(queue), command, key).await
    }

    /// Stops or starts handing out a queue's jobs, or one ordering key's.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn pause(&self, pause: Pause, key: Option<IdempotencyKey>) -> Result<Answer<()>, CallError> {
        self.done(self.shard_of(&pause.queue), Command::Pause(pause), key).await
    }

    /// Moves dead letters back, at a rate.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn redrive(
        &self,
        redrive: Redrive,
        key: Option<IdempotencyKey>,
    ) -> Result<Answer<Redriving>, CallError> {
        let shard = self.shard_of(&redrive.filter.queue);
        match self.decide(shard, Command::Redrive(redrive), Vec::new(), 0, key).await? {
            (Outcome::Redriving(view), replayed) => Ok(Answer { value: *view, replayed }),
            other => unexpected(other),
        }
    }

    /// Deletes dead letters, a bounded number at a time.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn delete_dead(
        &self,
        filter: DeadFilter,
        key: Option<IdempotencyKey>,
    ) -> Result<Answer<Deleted>, CallError> {
        let shard = self.shard_of(&filter.queue);
        match self.decide(shard, Command::DeleteDead(filter), Vec::new(), 0, key).await? {
            (Outcome::Deleted { deleted, more }, replayed) => {
                Ok(Answer { value: Deleted { deleted, more }, replayed })
            }
            other => unexpected(other),
        }
    }

    /// All queues by name, as of the last snapshot: some tens of milliseconds old, and durable. Asks no
    /// shard.
    #[must_use]
    pub fn queues(&self) -> Vec<Queue> {
        let mut queues: Vec<Queue> =
            self.house.doors.iter().flat_map(|doors| doors.published.queues()).collect();
        queues.sort_by(|a, b| a.view.name.cmp(&b.view.name));
        queues
    }

    /// One queue, as of the last snapshot. Asks no shard.
    #[must_use]
    pub fn queue(&self, name: &str) -> Option<Queue> {
        self.doors(self.shard_of(name)).published.queue(name)
    }

    /// One queue as it is now: what this caller changed before is in it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn queue_now(&self, name: &str) -> Result<Option<Queue>, CallError> {
        match self.ask(self.shard_of(name), Ask::Queue { name: name.into() }, 0).await?.take() {
            Told::Queue(queue) => Ok(queue.map(|queue| *queue)),
            _ => unreachable!("a queue was asked for"),
        }
    }

    /// Whether every shard can write: each has made something durable within the last `within`, or makes a
    /// probe durable now.
    ///
    /// # Errors
    /// [`CallError`] of the shard that cannot. A disk that hangs makes this hang: give it a timeout.
    pub async fn readiness(&self, within: Duration) -> Result<Readiness, CallError> {
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let mut readiness = Readiness { durable_ms_ago: 0, probed: false };
        for (shard, doors) in (0..).zip(&self.house.doors) {
            doors.inbox.admits()?;
            if doors.published.durable_ms_ago().is_none_or(|ago| ago > within_ms) {
                self.ask(shard, Ask::Probe, 0).await?;
                readiness.probed = true;
            }
            let ago = doors.published.durable_ms_ago().unwrap_or(0);
            readiness.durable_ms_ago = readiness.durable_ms_ago.max(ago);
        }
        Ok(readiness)
    }

    /// Figures for metrics. Asks no shard.
    #[must_use]
    pub fn status(&self) -> Status {
        let shards = self.house.doors.iter().map(|doors| doors.published.status(doors.inbox.depth()));
        Status { shards: shards.collect() }
    }

    /// The number of shards.
    #[must_use]
    pub fn shards(&self) -> u16 {
        self.house.doors.len() as u16
    }

    /// Takes no more calls, decides and answers those it has taken, answers those who wait, and closes the
    /// logs. Closing twice is fine; only the first call waits for the end.
    ///
    /// # Errors
    /// [`CloseError`] of the first shard that could not make its last frames durable.
    pub async fn close(&self) -> Result<(), CloseError> {
        for doors in &self.house.doors {
            doors.inbox.close();
        }
        let ended = std::mem::take(&mut *self.house.ended.lock().unwrap_or_else(PoisonError::into_inner));
        let mut first = Ok(());
        for (shard, ending) in ended {
            let end = ending.await.unwrap_or_else(|_| Err("its thread is gone".into()));
            first = first.and(end.map_err(|why| CloseError { shard, why }));
        }
        first
    }

    /// The shard a queue is in.
    pub(crate) fn shard_of(&self, queue: &str) -> u16 {
        shard_of(queue, self.shards())
    }

    pub(crate) fn readers(&self) -> &Readers {
        self.house.readers.readers()
    }

    pub(crate) fn doors(&self, shard: u16) -> &Doors {
        &self.house.doors[usize::from(shard)]
    }

    /// A command about one job.
    async fn settle(
        &self,
        id: JobId,
        command: Command,
        blobs: Vec<Envelope>,
        key: Option<IdempotencyKey>,
    ) -> Result<Answer<Item>, CallError> {
        if id.shard() >= self.shards() {
            return Ok(Answer { value: Item::Refused(Refusal::JobNotFound), replayed: false });
        }
        let bytes = blobs.iter().map(|blob| blob.stored_len() as usize).sum();
        match self.decide(id.shard(), command, blobs, bytes, key).await? {
            (Outcome::Settled(value), replayed) => Ok(Answer { value, replayed }),
            other => unexpected(other),
        }
    }

    /// A command that is done or refused.
    pub(crate) async fn done(
        &self,
        shard: u16,
        command: Command,
        key: Option<IdempotencyKey>,
    ) -> Result<Answer<()>, CallError> {
        match self.decide(shard, command, Vec::new(), 0, key).await? {
            (Outcome::Done, replayed) => Ok(Answer { value: (), replayed }),
            other => unexpected(other),
        }
    }

    /// Has a command decided. `bytes` is what its blobs and the rest of it hold.
    pub(crate) async fn decide(
        &self,
        shard: u16,
        command: Command,
        blobs: Vec<Envelope>,
        bytes: usize,
        key: Option<IdempotencyKey>,
    ) -> Result<(Outcome, bool), CallError> {
        let ask = Ask::Decide { key, command: Box::new(command), blobs, wait_ms: 0 };
        outcome_of(self.ask(shard, ask, bytes).await?)
    }

    /// Asks a shard and waits for its answer. `bytes` is what the call holds beside itself.
    pub(crate) async fn ask(&self, shard: u16, ask: Ask, bytes: usize) -> Result<Delivery, CallError> {
        // A shard answers everybody before it goes, unless a bug takes it down; then nobody knows.
        let gone = || Err(CallError::OutcomeUnknown { why: "the shard went away".into() });
        self.send(shard, ask, bytes)?.await.unwrap_or_else(|_| gone())
    }

    /// Asks a shard; the answer comes out of the receiver.
    pub(crate) fn send(
        &self,
        shard: u16,
        ask: Ask,
        bytes: usize,
    ) -> Result<oneshot::Receiver<Result<Delivery, CallError>>, CallError> {
        let bytes_max = limits::CALL_BYTES;
        if bytes > bytes_max {
            return Err(CallError::CallTooLarge { bytes, bytes_max });
        }
        let (reply, answer) = Reply::new();
        self.doors(shard).inbox.offer(Call { ask, bytes: CALL_BYTES + bytes, reply: Some(reply) })?;
        Ok(answer)
    }
}

impl Drop for House {
    /// Closes all shards before it waits for any.
    fn drop(&mut self) {
        for thread in &self.threads {
            thread.close();
        }
    }
}

impl From<Read> for Stored {
    fn from(read: Read) -> Self {
        match read {
            Ok(envelope) => Self::Here(envelope),
            Err(unreadable) => Self::Damaged(unreadable.why),
        }
    }
}

fn check(options: &Options) -> Result<(), OpenError> {
    options.defect().map_or(Ok(()), |defect| Err(OpenError::Options(defect)))
}

pub(crate) fn outcome_of(delivery: Delivery) -> Result<(Outcome, bool), CallError> {
    outcome_of_told(delivery.take())
}

pub(crate) fn outcome_of_told(told: Told) -> Result<(Outcome, bool), CallError> {
    match told {
        Told::Decided { outcome: Outcome::Refused(refusal), replayed, .. } => {
            Err(CallError::Refused { refusal, replayed })
        }
        Told::Decided { outcome: Outcome::TransactionRefused { operation, refusal }, replayed, .. } => {
            Err(CallError::OperationRefused { operation, refusal, replayed })
        }
        Told::Decided { outcome: Outcome::ConditionRefused { condition, refusal }, replayed, .. } => {
            Err(CallError::ConditionRefused { condition, refusal, replayed })
        }
        Told::Decided { outcome, replayed, .. } => Ok((outcome, replayed)),
        _ => unreachable!("a command was decided"),
    }
}

/// The core answers each command with its own outcome. A repeated answer under a key that came with another
/// command of the same fingerprint would be another one; the fingerprint covers the path, so only a caller
/// that makes up fingerprints sees it.
pub(crate) fn unexpected<T>((_, replayed): (Outcome, bool)) -> Result<T, CallError> {
    Err(CallError::Refused { refusal: Refusal::IdempotencyMismatch, replayed })
}

pub(crate) fn wait_ms(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).min(WAIT_MS_MAX)
}
