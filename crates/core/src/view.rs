//! Views: what can be asked. They are copies, made when asked for; nothing in here is the truth itself.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::id::{Blob, JobId, Time, Token};
use crate::policy::{OnFailure, QueueConfig};
use crate::record::{EndReason, Failure};

/// Where a job is in its life. At every instant it is in exactly one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum JobState {
    /// It waits for its time: `run_at`, or a retry.
    Scheduled = 0,
    /// It may be handed out (unless its queue or key holds it back; see [`WaitingFor`]).
    Ready = 1,
    /// A worker has it.
    Leased = 2,
    /// Done.
    Completed = 3,
    /// Given up on; a dead letter.
    Dead = 4,
    /// Called off.
    Cancelled = 5,
}

impl JobState {
    /// All states, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Scheduled, Self::Ready, Self::Leased, Self::Completed, Self::Dead, Self::Cancelled];

    /// The word used everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Ready => "ready",
            Self::Leased => "leased",
            Self::Completed => "completed",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// Completed, dead or cancelled.
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Dead | Self::Cancelled)
    }

    /// The state numbered so in a log; a number from a newer binary is none of them.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }
}

/// Why a job is not running yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitingFor {
    /// Its `run_at`.
    RunAt,
    /// The delay after a failed attempt.
    Retry,
    /// A worker that leases it.
    Worker,
    /// Someone to resume its queue.
    QueuePaused,
    /// The job of its ordering key that is before it.
    KeyBusy,
    /// Someone to resume its ordering key.
    KeyPaused,
    /// Someone to decide about the dead job that parked its ordering key.
    KeyParked,
}

impl WaitingFor {
    /// The word used everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RunAt => "run_at",
            Self::Retry => "retry",
            Self::Worker => "worker",
            Self::QueuePaused => "queue_paused",
            Self::KeyBusy => "key_busy",
            Self::KeyPaused => "key_paused",
            Self::KeyParked => "key_parked",
        }
    }
}

/// Everything about one job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobView {
    /// The job.
    pub id: JobId,
    /// Its queue.
    pub queue: Arc<str>,
    /// Its kind.
    pub kind: Arc<str>,
    /// Its state.
    pub state: JobState,
    /// Priority, 0..=9.
    pub priority: u8,
    /// Attempts so far, the running one included.
    pub attempt: u16,
    /// How many there may be.
    pub max_attempts: u16,
    /// When it was accepted.
    pub enqueued_at: Time,
    /// While scheduled: when it may start.
    pub run_at: Option<Time>,
    /// While leased: when the lease lapses.
    pub lease_expires_at: Option<Time>,
    /// While leased: the token.
    pub token: Option<Token>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// When it dies if it has not started.
    pub expires_at: Option<Time>,
    /// Where the payload is; empty once completed or cancelled.
    pub payload: Blob,
    /// Where the result is, if there is one.
    pub result: Blob,
    /// Ordering key.
    pub ordering_key: Option<Box<str>>,
    /// What a failure does to its ordering key.
    pub on_failure: Option<OnFailure>,
    /// Fairness key.
    pub fairness_key: Option<Box<str>>,
    /// Unique key.
    pub unique_key: Option<Box<str>>,
    /// Dependency.
    pub dependency: Option<Box<str>>,
    /// Who has it, while leased.
    pub worker: Option<Box<str>>,
    /// What its worker last reported.
    pub progress: Option<Box<[u8]>>,
    /// Every failed attempt.
    pub failures: Vec<Failure>,
    /// Why it is dead or cancelled.
    pub reason: EndReason,
    /// The cause it is counted under, if dead.
    pub cause: Option<u64>,
    /// Why it is not running yet.
    pub waiting_for: Option<WaitingFor>,
    /// While ready: how many are handed out before it, plus one. An upper bound when jobs between were cancelled.
    pub position: Option<u64>,
}

/// Counts of a queue, by state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    /// One for each state, by its number.
    pub by_state: [u64; 6],
}

impl Counts {
    /// How many jobs are in `state`.
    pub const fn of(&self, state: JobState) -> u64 {
        self.by_state[state as usize]
    }

    /// Jobs that have not ended.
    pub const fn unfinished(&self) -> u64 {
        self.by_state[0] + self.by_state[1] + self.by_state[2]
    }
}

/// Everything about one queue.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueView {
    /// Its name.
    pub name: Arc<str>,
    /// Its configuration.
    pub config: QueueConfig,
    /// Whether it is paused.
    pub paused: bool,
    /// Its jobs by state.
    pub counts: Counts,
    /// When the first job in line was accepted, if one is ready.
    pub oldest_ready_at: Option<Time>,
    /// Jobs accepted since the shard was opened; for rates.
    pub arrived: u64,
    /// Jobs completed since the shard was opened; for rates.
    pub completed: u64,
    /// Ordering keys that someone paused.
    pub keys_paused: u64,
    /// Ordering keys that a dead job parked.
    pub keys_parked: u64,
    /// The redrive under way or last ended.
    pub redrive: Option<Box<RedriveView>>,
}

/// How a redrive goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedriveView {
    /// Its number.
    pub redrive: u64,
    /// None while it is under way.
    pub end: Option<crate::record::RedriveEnd>,
    /// When it began.
    pub started_at: Time,
    /// Moved so far.
    pub moved: u64,
    /// Of those, died again.
    pub dead_again: u64,
    /// At most so many a second; 0 is as fast as turns go.
    pub rate_per_s: u32,
    /// It stops when so many have died again; 0 never.
    pub stop_after_dead: u32,
}

/// Dead letters with one cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// A hash of reason, job kind, error kind and message with its numbers blanked: the same cause, the same id.
    pub cause: u64,
    /// Why they are dead.
    pub reason: EndReason,
    /// The jobs' kind.
    pub kind: String,
    /// The error's class, if workers named it.
    pub error_kind: Option<String>,
    /// The latest one's message.
    pub message: String,
    /// How many there are.
    pub count: u64,
    /// When the first of them died.
    pub first_at: Time,
    /// When the latest died.
    pub last_at: Time,
    /// The latest of them.
    pub sample: JobId,
}

/// Which jobs a listing shows. All named parts must hold.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct JobFilter {
    /// In this queue.
    pub queue: Option<String>,
    /// In this state.
    pub state: Option<JobState>,
    /// Of this kind.
    pub kind: Option<String>,
    /// With this ordering key.
    pub ordering_key: Option<String>,
    /// Dead of this cause.
    pub cause: Option<u64>,
    /// Ended for this reason.
    pub reason: Option<EndReason>,
    /// Accepted before this moment.
    pub enqueued_before: Option<Time>,
}

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct JobPage {
    /// The jobs, by rising id. May be fewer than asked for while there are more: a page looks at a bounded number of jobs.
    pub jobs: Vec<JobView>,
    /// Where the next page begins; none at the end.
    pub next: Option<u64>,
}
