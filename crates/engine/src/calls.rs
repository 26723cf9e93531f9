//! What callers say and hear: the commands of the core with their payloads, and answers with theirs.

use tidegate_core::command::Operation;
use tidegate_core::outcome::{self, Item};
use tidegate_core::pool::view::GrantView;
use tidegate_core::view::{JobView, QueueView, RedriveView};
use tidegate_core::{Command, JobId, Time, command, limits};

use crate::envelope::Envelope;

pub use tidegate_core::command::IdempotencyKey;

/// An answer, and whether it is the repeated answer of an earlier call with the same idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// The answer.
    pub value: T,
    /// Whether an earlier call had it first.
    pub replayed: bool,
}

impl<T> Answer<T> {
    /// The same answer with its value turned into another.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Answer<U> {
        Answer { value: f(self.value), replayed: self.replayed }
    }
}

/// Jobs to enqueue and their payloads, one for each job and in the same order. The engine fills in every
/// [`NewJob::blob_len`](command::NewJob::blob_len); what stands there does not matter.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Enqueue {
    /// The queue, the kinds and the jobs.
    pub command: command::Enqueue,
    /// Their payloads.
    pub payloads: Vec<Envelope>,
}

/// A worker's round trip and the results of the jobs it completes. `results` is empty if no job has one, and
/// otherwise has one envelope (an empty one for no result) for each item of
/// [`complete`](command::Work::complete). The engine fills in every
/// [`Complete::result_len`](command::Complete::result_len).
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Work {
    /// What to settle and what to lease.
    pub command: command::Work,
    /// Results of the completed jobs.
    pub results: Vec<Envelope>,
}

impl From<command::Work> for Work {
    fn from(command: command::Work) -> Self {
        Self { command, results: Vec::new() }
    }
}

/// A transaction and its blobs, one for each operation and in the same order: a new job's payload, or a completed job's
/// result (an empty one for none). The engine fills in every length.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Transaction {
    /// The operations.
    pub command: command::Transaction,
    /// Their payloads and results.
    pub blobs: Vec<Envelope>,
}

/// What a transaction did.
#[derive(Clone, Debug, PartialEq)]
pub struct Transacted {
    /// One for each operation, in order; none of them is a refusal.
    pub items: Vec<Item>,
    /// The grant that each is about, if it is about one that is still known.
    pub grants: Vec<Option<GrantView>>,
}

/// What each item of a call takes in the log beside its blob, in bytes, at most nearly.
const ITEM_BYTES: usize = 64;
/// What an operation on a pool takes with what follows from it: names, an offer, the job that tells of it.
pub(crate) const POOL_BYTES: usize = 1_024;
/// What a job's rarer wishes take: keys and names.
const MORE_BYTES: usize = 1_024;

impl Enqueue {
    /// Says in the command how long its payloads are, and returns what all of it takes in the log, in bytes.
    pub(crate) fn measure(&mut self) -> usize {
        let jobs = self.command.jobs.iter_mut().zip(&self.payloads);
        jobs.map(|(job, payload)| measure_job(job, payload)).sum()
    }
}

fn measure_job(job: &mut command::NewJob, payload: &Envelope) -> usize {
    job.blob_len = payload.stored_len();
    job.blob_len as usize + ITEM_BYTES + if job.more.is_some() { MORE_BYTES } else { 0 }
}

impl Transaction {
    /// Says in the command how long its blobs are, and returns what all of it takes in the log, in bytes.
    pub(crate) fn measure(&mut self) -> usize {
        let operations = self.command.operations.iter_mut().zip(&self.blobs);
        operations
            .map(|(operation, blob)| match operation {
                Operation::Enqueue(one) => measure_job(&mut one.job, blob) + one.queue.len() + one.kind.len(),
                Operation::Complete(complete) => {
                    complete.result_len = blob.stored_len();
                    complete.result_len as usize + ITEM_BYTES
                }
                Operation::Pool(_) => POOL_BYTES,
            })
            .sum()
    }
}

impl Work {
    /// Says in the command how long its results are, and returns what all of it takes in the log, in bytes.
    pub(crate) fn measure(&mut self) -> usize {
        let mut results = self.results.iter();
        let command = &mut self.command;
        let complete = command.complete.iter_mut().map(|complete| {
            complete.result_len = results.next().map_or(0, Envelope::stored_len);
            complete.result_len as usize
        });
        let blobs: usize = complete.sum();
        let fail =
            command.fail.iter().map(|fail| fail.message.len().min(limits::ERROR_MESSAGE_MAX) + MORE_BYTES);
        let extend =
            command.extend.iter().map(|extend| extend.progress.as_ref().map_or(0, |bytes| bytes.len()));
        let items = command.complete.len() + command.extend.len() + command.release.len();
        blobs + fail.sum::<usize>() + extend.sum::<usize>() + items * ITEM_BYTES
    }
}

/// The answer to a [`Work`]; each list in the order asked.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Worked {
    /// For each job to complete.
    pub complete: Vec<Item>,
    /// For each job that failed.
    pub fail: Vec<Item>,
    /// For each lease to prolong.
    pub extend: Vec<Item>,
    /// For each job given back.
    pub release: Vec<Item>,
    /// The jobs handed out.
    pub leased: Vec<Leased>,
    /// Jobs that were to be handed out and whose stored payload is not what was written. The engine has already failed them: they
    /// are dead letters that say why.
    pub damaged: Vec<DamagedJob>,
    /// Jobs that were to be handed out and whose payload the disk refused to read. The engine gives them back by itself, no
    /// attempt counted, so that they can be handed out again a second later.
    pub unread: Vec<UnreadJob>,
}

/// A job in its worker's hands.
#[derive(Clone, Debug, PartialEq)]
pub struct Leased {
    /// The job.
    pub job: outcome::LeasedJob,
    /// Its payload.
    pub payload: Envelope,
}

/// A job whose stored payload is not what was written. It has been failed for good with the error kind
/// [`PAYLOAD_DAMAGED`](crate::PAYLOAD_DAMAGED): it is a dead letter, its payload can be edited, and it can be
/// redriven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedJob {
    /// The job.
    pub id: JobId,
    /// What was found, with file and offset.
    pub why: String,
}

/// A job whose payload the disk refused to read. Nothing is known to be wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadJob {
    /// The job.
    pub id: JobId,
    /// What the system said, with file and offset.
    pub why: String,
}

/// Everything about one job, payload and result included.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// What the core knows.
    pub view: JobView,
    /// The payload, while it is kept (unfinished and dead jobs).
    pub payload: Stored,
    /// The result, if the job completed with one.
    pub result: Stored,
}

/// A blob, as it could be read.
#[derive(Clone, Debug, PartialEq)]
pub enum Stored {
    /// There is none, or it is no longer kept.
    None,
    /// Here it is.
    Here(Envelope),
    /// It is in the log and cannot be read; the text says what was found and where.
    Damaged(String),
}

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Page {
    /// The jobs. May be fewer than asked for while there are more.
    pub jobs: Vec<JobView>,
    /// Where the next page begins; none at the end. Opaque, below 2^64.
    pub next: Option<u64>,
}

/// How many dead letters were deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// Deleted now.
    pub deleted: u64,
    /// Whether the same call would find others.
    pub more: bool,
}

/// A queue as it was a moment ago, or is now; all of it durable.
#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    /// What the core knows.
    pub view: QueueView,
    /// Jobs accepted per second: a mean that weighs the last ten seconds most.
    pub arrival_per_s: f64,
    /// Jobs completed per second, likewise.
    pub completion_per_s: f64,
    /// How long what is ready or leased would take at these rates, in ms; none while the queue does not
    /// shrink.
    pub drain_ms: Option<u64>,
    /// The moment this describes.
    pub as_of: Time,
}

/// A redrive's answer.
pub type Redriving = RedriveView;

/// What a shard can be asked to do or tell; the typed calls of [`Engine`](crate::Engine) make one of these.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Decide a command. `blobs` belong to its jobs or results; `wait_ms` is for a lease that finds nothing.
    Decide { key: Option<IdempotencyKey>, command: Box<Command>, blobs: Vec<Envelope>, wait_ms: u64 },
    /// Show a job, once it has ended or the wait is over.
    Job { id: JobId, wait_ms: u64 },
    /// Show a page of jobs.
    List { filter: Box<tidegate_core::view::JobFilter>, cursor: u64, limit: usize },
    /// Show a queue as it is now.
    Queue { name: String },
    /// Show the causes of a queue's dead letters.
    Causes { queue: String },
    /// Say when one of these queues has something to hand out, or the wait is over.
    Watch { queues: Vec<String>, kinds: Vec<String>, wait_ms: u64 },
    /// Show something about pools.
    Pool(crate::pools::PoolAsk),
    /// Give these jobs back, no attempt counted, when the disk that refused to read their payloads has had a rest.
    HandBack { release: Vec<command::Release> },
    /// Write something, to see whether the log takes it.
    Probe,
}
