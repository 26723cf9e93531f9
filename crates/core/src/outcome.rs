//! Outcomes: the answers to commands. A refusal is an outcome with a name, not an error.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::id::{Blob, JobId, Time, Token};
use crate::pool::refusal::PoolRefusal;
use crate::pool::view::{PoolItem, PoolView};
use crate::view::{JobState, RedriveView};

/// The answer to a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// One item for each job of an enqueue, in order.
    Enqueued(Vec<Item>),
    /// The parts of a worker's round trip, each in the order asked.
    Worked(Worked),
    /// What became of one job: cancel, edit.
    Settled(Item),
    /// The queue or key is as asked.
    Done,
    /// A redrive is under way (or, if little was to be moved, already done).
    Redriving(Box<RedriveView>),
    /// So many dead letters were deleted; `more` says whether the same command would find others.
    Deleted {
        /// Deleted now.
        deleted: u64,
        /// Ask again.
        more: bool,
    },
    /// All operations of a transaction were done; one item for each, in order. None of the items is a refusal.
    Transacted(Vec<Item>),
    /// One operation of a transaction was refused, and so nothing was done.
    TransactionRefused {
        /// Which operation, from 0.
        operation: u32,
        /// Why.
        refusal: Refusal,
    },
    /// A condition of a transaction does not hold, and so nothing was done.
    ConditionRefused {
        /// Which condition, from 0.
        condition: u32,
        /// What is so instead.
        refusal: Refusal,
    },
    /// One item for each operation on a pool, in order.
    Pooled(Vec<Item>),
    /// A pool is configured as asked.
    PoolConfigured {
        /// The pool as that has left it.
        view: Box<PoolView>,
        /// When that was.
        at: Time,
    },
    /// The command was refused as a whole.
    Refused(Refusal),
}

/// What became of one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// It is now so.
    Is {
        /// The job.
        id: JobId,
        /// Its state.
        state: JobState,
        /// With `scheduled`: when it may start. With `leased`: when the lease lapses.
        at: Option<Time>,
    },
    /// Its unique key is taken by this job, which is the answer.
    Duplicate {
        /// The job that has the key.
        id: JobId,
        /// Its state.
        state: JobState,
    },
    /// What became of an operation on a pool.
    Pool(PoolItem),
    /// Nothing happened, and why.
    Refused(Refusal),
}

/// The parts of a worker's round trip.
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
    pub leased: Vec<LeasedJob>,
}

/// A job as its worker gets it; the payload is read from where `blob` says.
#[derive(Clone, Debug, PartialEq)]
pub struct LeasedJob {
    /// The job.
    pub id: JobId,
    /// The fencing token of this lease.
    pub token: Token,
    /// When the lease lapses.
    pub lease_expires_at: Time,
    /// The queue.
    pub queue: Arc<str>,
    /// The kind.
    pub kind: Arc<str>,
    /// Where the payload is.
    pub blob: Blob,
    /// When it was accepted.
    pub enqueued_at: Time,
    /// Which attempt this is, from 1.
    pub attempt: u16,
    /// How many there may be (more after a redrive).
    pub max_attempts: u16,
    /// Priority.
    pub priority: u8,
    /// What most jobs do not have.
    pub more: Option<Box<LeasedMore>>,
}

/// What most leased jobs do not have.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct LeasedMore {
    /// Ordering key.
    pub ordering_key: Option<Box<str>>,
    /// Fairness key.
    pub fairness_key: Option<Box<str>>,
    /// Dependency.
    pub dependency: Option<Box<str>>,
    /// What an earlier attempt left.
    pub progress: Option<Box<[u8]>>,
}

/// Why nothing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such job (or it ended long ago and is no longer kept).
    JobNotFound,
    /// No such queue.
    QueueNotFound,
    /// The lease is over: the job was handed out again under a higher token, or its lease lapsed.
    StaleToken,
    /// The job is not leased.
    NotLeased(JobState),
    /// The job has ended.
    JobEnded(JobState),
    /// The job is not dead.
    NotDead(JobState),
    /// Its unique key is taken by this job.
    UniqueConflict(JobId),
    /// The queue holds as many unfinished jobs as its `jobs_max` allows.
    QueueFull(u64),
    /// The shard holds as many jobs as it can.
    ShardFull(u64),
    /// The shard has as many queues as it can.
    TooManyQueues,
    /// The shard has jobs of as many kinds as it can.
    TooManyKinds,
    /// `run_at` or `expires_at` is further ahead than 366 days.
    TooFarAhead,
    /// `expires_at` is not after now, or not after `run_at`.
    AlreadyExpired,
    /// The idempotency key came before with another request.
    IdempotencyMismatch,
    /// There is no room for another idempotency key; room comes at this moment.
    IdempotencyFull(Time),
    /// It cannot be together with this earlier operation of the same transaction.
    Contradicts(u32),
    /// Something about a pool.
    Pool(PoolRefusal),
}

impl Refusal {
    /// The stable name, as every door says it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::JobNotFound => "job_not_found",
            Self::QueueNotFound => "queue_not_found",
            Self::StaleToken => "stale_token",
            Self::NotLeased(_) => "not_leased",
            Self::JobEnded(_) => "job_ended",
            Self::NotDead(_) => "not_dead",
            Self::UniqueConflict(_) => "unique_conflict",
            Self::QueueFull(_) => "queue_full",
            Self::ShardFull(_) => "shard_full",
            Self::TooManyQueues => "too_many_queues",
            Self::TooManyKinds => "too_many_kinds",
            Self::TooFarAhead => "too_far_ahead",
            Self::AlreadyExpired => "already_expired",
            Self::IdempotencyMismatch => "idempotency_mismatch",
            Self::IdempotencyFull(_) => "idempotency_full",
            Self::Contradicts(_) => "invalid_value",
            Self::Pool(refusal) => refusal.why.code(),
        }
    }
}
