//! What the twin keeps.

use tidegate_core::command::DeadFilter;
use tidegate_core::outcome::{Item, Refusal};
use tidegate_core::policy::{OnFailure, QueueConfig, Retry, UniqueUntil};
use tidegate_core::record::{EndReason, Failure, RedriveEnd};
use tidegate_core::view::JobState;
use tidegate_engine::Envelope;

use crate::call::Worked;

/// A job.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Job {
    pub sequence: u64,
    /// The number in its first payload: what its caller would know it by.
    pub born: u64,
    pub queue: String,
    pub kind: String,
    pub state: JobState,
    pub priority: u8,
    pub attempt: u16,
    /// Attempts before the last redrive.
    pub forgiven: u16,
    pub enqueued_at: u64,
    /// Scheduled: when it starts. Leased: when it lapses. Ended: when it ended.
    pub time: u64,
    /// Its place among the ready jobs of its queue and priority; none if it is not among them.
    pub place: Option<i64>,
    /// The token of the lease that stands, or that completed it.
    pub token: u64,
    pub worker: Option<String>,
    pub expires_at: u64,
    pub key: Option<String>,
    pub on_failure: OnFailure,
    pub fairness_key: Option<String>,
    pub dependency: Option<String>,
    pub unique: Option<(String, UniqueUntil)>,
    pub retry: Option<Retry>,
    pub progress: Option<Vec<u8>>,
    pub failures: Vec<Failure>,
    pub reason: EndReason,
    /// The redrive that brought it back last.
    pub redrive: u64,
    /// Its place among the dead of its queue.
    pub death: u64,
    pub payload: Envelope,
    pub result: Option<Envelope>,
    /// When its timer fires, and its place among those of the same moment.
    pub timer_due: u64,
    pub timer_stamp: u64,
    /// The same for its expiry.
    pub expiry_due: u64,
    pub expiry_stamp: u64,
    /// Its place among those that ended in the same moment.
    pub end_stamp: u64,
}

/// A queue.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Queue {
    pub config: QueueConfig,
    pub paused: bool,
    pub next_places: [i64; 10],
    pub next_death: u64,
    pub redrive: Option<Redriving>,
}

impl Queue {
    /// A queue as its first job makes it.
    #[must_use]
    pub fn new(config: QueueConfig) -> Self {
        Self { config, paused: false, next_places: [0; 10], next_death: 1, redrive: None }
    }
}

/// A redrive.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Redriving {
    pub number: u64,
    pub filter: DeadFilter,
    /// Sequences, sorted.
    pub ids: Vec<u64>,
    pub rate_per_s: u32,
    pub stop_after_dead: u32,
    pub started_at: u64,
    pub until: u64,
    pub cursor: u64,
    pub moved: u64,
    pub dead_again: u64,
    pub end: Option<RedriveEnd>,
}

/// What somebody decided about an ordering key.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct KeyState {
    pub paused: bool,
    /// The dead job that parked it; 0 if none.
    pub parked_by: u64,
}

/// Who has a unique key.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct UniqueHolder {
    pub job: u64,
    /// With a duration, until when; else 0.
    pub expires_at: u64,
    /// The state in which the job was forgotten.
    pub ended: Option<JobState>,
}

/// An answer kept under an idempotency key.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Kept {
    pub fingerprint: [u64; 2],
    pub kept_at: u64,
    pub expires_at: u64,
    pub stamp: u64,
    pub said: Said,
}

/// What was decided.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Said {
    Items(Vec<Item>),
    /// Of operations on pools.
    Pooled(Vec<Item>),
    /// With the jobs leased and their tokens.
    Worked(Worked, Vec<(u64, u64)>),
    Item(Item),
    Done,
    /// A redrive's number.
    Redriving(u64),
    Deleted {
        deleted: u64,
        more: bool,
    },
    Refused(Refusal),
    OperationRefused {
        operation: u32,
        refusal: Refusal,
    },
    ConditionRefused {
        condition: u32,
        refusal: Refusal,
    },
}
