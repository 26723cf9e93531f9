//! What may be asked of a shard. Commands are verbs; they have been checked for syntax and size by the door, and are
//! judged for meaning by [`crate::State::decide`].

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::id::{JobId, Time, Token, When};
use crate::limits;
use crate::policy::{OnFailure, QueueConfig, Retry, Unique};
use crate::pool::PoolConfig;
use crate::pool::command::{Condition, PoolOperation};

/// A command, and the idempotency key it came with.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The caller's key, if it gave one. Reads ignore it.
    pub idempotency: Option<IdempotencyKey>,
    /// What to do.
    pub command: Command,
}

/// An idempotency key and the fingerprint of the request that bears it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The key, 1..=255 bytes.
    pub key: String,
    /// A hash of method, path and body: the same key with another fingerprint is refused.
    pub fingerprint: [u64; 2],
}

impl IdempotencyKey {
    /// The key of the `part`-th command that a request under this key becomes. A caller's key is printable, so none is
    /// another one's part.
    #[must_use]
    pub fn part(&self, part: usize) -> Self {
        match part {
            0 => self.clone(),
            part => Self { key: alloc::format!("{}\n{part}", self.key), fingerprint: self.fingerprint },
        }
    }
}

/// Something to decide.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Accept jobs.
    Enqueue(Enqueue),
    /// A worker's round trip: settle what it has done and lease more.
    Work(Work),
    /// End a job that has not ended.
    Cancel(JobId),
    /// Give a dead job another payload.
    Edit(Edit),
    /// Create a queue, or give it a new configuration.
    ConfigureQueue {
        /// The queue's name.
        queue: String,
        /// Its whole configuration.
        config: QueueConfig,
    },
    /// Stop or start handing out a queue's jobs, or one ordering key's.
    Pause(Pause),
    /// Move dead letters back, at a rate.
    Redrive(Redrive),
    /// Delete dead letters, at most [`limits::REDRIVE_PER_TURN`] by one command; the caller repeats while there are more.
    DeleteDead(DeadFilter),
    /// Several operations, all or none of them.
    Transaction(Transaction),
    /// Create a pool, or give it a new configuration.
    ConfigurePool {
        /// The pool's name.
        pool: String,
        /// Its whole configuration.
        config: Box<PoolConfig>,
        /// Only over the pool of this version; 0: only if there is none. What is so already is so.
        if_version: Option<u64>,
        /// 32 bytes that nobody could have guessed, for an opening that draws the order. Used only if one needs a seed.
        seed: [u8; 32],
    },
    /// Change a pool's capacity alone.
    ResizePool {
        /// The pool.
        pool: String,
        /// Units there are from now on.
        capacity: u32,
    },
    /// Delete a pool of which nobody has or waits for anything.
    DeletePool {
        /// The pool.
        pool: String,
    },
    /// Up to [`limits::POOL_OPERATIONS_MAX`] operations on pools, each with an outcome of its own.
    Pools(Vec<PoolOperation>),
}

/// Accept up to [`limits::BATCH_JOBS_MAX`] jobs into one queue. Each has an outcome of its own.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Enqueue {
    /// The queue; created with defaults if there is none.
    pub queue: String,
    /// The distinct kinds of the batch; each job names one by its index here.
    pub kinds: Vec<String>,
    /// The jobs.
    pub jobs: Vec<NewJob>,
}

impl Enqueue {
    /// An empty batch for `queue`.
    pub fn new(queue: impl Into<String>) -> Self {
        Self { queue: queue.into(), ..Self::default() }
    }

    /// The index of `kind` in this batch, added if it is new. Batches are mostly of one kind, so the last is tried first.
    pub fn kind(&mut self, kind: &str) -> u16 {
        if let Some(index) = self.kinds.iter().rposition(|known| known == kind) {
            return index as u16;
        }
        self.kinds.push(kind.into());
        (self.kinds.len() - 1) as u16
    }
}

/// A job to accept.
#[derive(Clone, Debug, PartialEq)]
pub struct NewJob {
    /// Index into [`Enqueue::kinds`].
    pub kind: u16,
    /// 0 (first) to 9.
    pub priority: u8,
    /// Bytes the payload takes in the log, checksum included.
    pub blob_len: u32,
    /// Not to start before; none means at once.
    pub run_at: Option<When>,
    /// What most jobs do not have.
    pub more: Option<Box<NewJobMore>>,
}

impl NewJob {
    /// A job of the batch's first kind with default priority.
    pub fn new(blob_len: u32) -> Self {
        Self { kind: 0, priority: limits::PRIORITY_DEFAULT, blob_len, run_at: None, more: None }
    }
}

/// The rarer wishes of a new job.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct NewJobMore {
    /// Dead, with reason `expired`, if it has not started by then.
    pub expires_at: Option<When>,
    /// Jobs of one key run one at a time, in order of acceptance.
    pub ordering_key: Option<String>,
    /// What a failure does to the key; the queue's default if none.
    pub on_failure: Option<OnFailure>,
    /// Whose job it is, for fair turns.
    pub fairness_key: Option<String>,
    /// One job per key.
    pub unique: Option<Unique>,
    /// The queue's policy if none.
    pub retry: Option<Retry>,
    /// What the job depends on from outside.
    pub dependency: Option<String>,
}

/// Up to [`limits::TRANSACTION_OPERATIONS_MAX`] operations, all or none of them. Each is judged against the state as it was
/// before the transaction, and so are the conditions.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Transaction {
    /// What must be so.
    pub conditions: Vec<Condition>,
    /// What to do. The answer has one item for each, in order.
    pub operations: Vec<Operation>,
}

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Accept a job.
    Enqueue(EnqueueOne),
    /// End a job that was done.
    Complete(Complete),
    /// Do something with a pool.
    Pool(PoolOperation),
}

/// Accept one job.
#[derive(Clone, Debug, PartialEq)]
pub struct EnqueueOne {
    /// The queue; created with defaults if there is none.
    pub queue: String,
    /// The job's kind.
    pub kind: String,
    /// The job. Its [`kind`](NewJob::kind) is not looked at.
    pub job: NewJob,
}

impl Transaction {
    /// Whether it brings new work.
    pub fn enqueues(&self) -> bool {
        self.operations.iter().any(|operation| match operation {
            Operation::Enqueue(_) => true,
            Operation::Pool(pool) => pool.takes(),
            Operation::Complete(_) => false,
        })
    }
}

/// Settle and lease in one turn. Parts are decided in the order of the fields.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Work {
    /// Jobs that were done.
    pub complete: Vec<Complete>,
    /// Jobs that failed.
    pub fail: Vec<Fail>,
    /// Leases to prolong.
    pub extend: Vec<Extend>,
    /// Jobs to give back untried.
    pub release: Vec<Release>,
    /// More jobs, please.
    pub lease: Option<Lease>,
}

/// A lease as its worker names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// The job.
    pub id: JobId,
    /// The token the lease came with.
    pub token: Token,
}

/// A job that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complete {
    /// The job.
    pub id: JobId,
    /// The token the lease came with.
    pub token: Token,
    /// Bytes the result takes in the log, checksum included; 0 for none.
    pub result_len: u32,
}

/// A job that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fail {
    /// The job.
    pub id: JobId,
    /// The token the lease came with.
    pub token: Token,
    /// What happened; cut to [`limits::ERROR_MESSAGE_MAX`] bytes.
    pub message: String,
    /// The error's class, if the worker knows it.
    pub kind: Option<String>,
    /// The dependency that failed, if one did.
    pub dependency: Option<String>,
    /// Try again after this many ms, whatever the policy says.
    pub retry_after_ms: Option<u64>,
    /// Do not try again.
    pub fatal: bool,
}

/// A lease to prolong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extend {
    /// The job.
    pub id: JobId,
    /// The token the lease came with.
    pub token: Token,
    /// From now, in ms; the queue's lease if none.
    pub lease_ms: Option<u64>,
    /// Kept with the job and handed to its next attempt.
    pub progress: Option<Box<[u8]>>,
}

/// A wish for jobs.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Lease {
    /// The queues to take from, 1..=64, all of this shard.
    pub queues: Vec<String>,
    /// At most so many jobs, 1..=1000.
    pub max: u32,
    /// How long each is held before it must be prolonged or settled, in ms; each queue's own if none.
    pub lease_ms: Option<u64>,
    /// Who asks.
    pub worker: String,
    /// Only jobs of these kinds; any if empty.
    pub kinds: Vec<String>,
}

/// Give a dead job another payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The job.
    pub id: JobId,
    /// Bytes the new payload takes in the log, checksum included.
    pub blob_len: u32,
}

/// Stop or start handing out jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// The queue.
    pub queue: String,
    /// One ordering key of it; the whole queue if none. Resuming a key also ends its being parked.
    pub ordering_key: Option<String>,
    /// Pause or resume.
    pub paused: bool,
}

/// Which dead letters of a queue are meant. All named parts must hold; none named means all.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DeadFilter {
    /// The queue.
    pub queue: String,
    /// These jobs only, at most [`limits::BULK_IDS_MAX`].
    pub ids: Vec<JobId>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Dead of this cause (see [`crate::view::Cause`]).
    pub cause: Option<u64>,
    /// Dead for this reason.
    pub reason: Option<crate::record::EndReason>,
    /// That died before this moment.
    pub before: Option<Time>,
}

/// Move dead letters back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redrive {
    /// Which.
    pub filter: DeadFilter,
    /// At most so many a second; as fast as turns go if none.
    pub rate_per_s: Option<u32>,
    /// Stop when so many of the moved have died again; 0 never stops.
    pub stop_after_dead: u32,
}
