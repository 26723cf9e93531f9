//! Policies: retry, what a failure does to an ordering key, uniqueness, a queue's configuration.
//!
//! A policy is written to the log whole when it is given, defaults resolved, so that an upgrade which changes a
//! default leaves an old log's state as it was.

use alloc::string::String;

use crate::limits;

/// When and how often a failed job is tried again.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Retry {
    /// All attempts a job may have, the first included; 1..=100.
    #[prost(uint32, tag = "1")]
    pub max_attempts: u32,
    /// Delay after the first failure, in ms.
    #[prost(uint64, tag = "2")]
    pub delay_ms: u64,
    /// What each further delay is multiplied by, in thousandths; 1000..=10000.
    #[prost(uint32, tag = "3")]
    pub factor_permille: u32,
    /// The longest delay, in ms; jitter included.
    #[prost(uint64, tag = "4")]
    pub delay_ms_max: u64,
    /// A delay is lengthened by up to this share of itself, so that jobs which failed together do not return
    /// together; 0..=100.
    #[prost(uint32, tag = "5")]
    pub jitter_percent: u32,
}

impl Retry {
    /// 5 attempts; 30 s, doubled, at most 1 h, with 20 % jitter.
    pub const DEFAULT: Self = Self {
        max_attempts: 5,
        delay_ms: 30_000,
        factor_permille: 2_000,
        delay_ms_max: 3_600_000,
        jitter_percent: 20,
    };

    /// The delay after the `attempt`-th failed attempt (from 1), with `chance` (any hash) as the jitter's draw.
    pub fn delay_after(&self, attempt: u32, chance: u64) -> u64 {
        let mut delay = u128::from(self.delay_ms);
        let max = u128::from(self.delay_ms_max);
        for _ in 1..attempt.max(1) {
            if delay >= max {
                break;
            }
            delay = delay * u128::from(self.factor_permille) / 1_000;
        }
        let delay = delay.min(max) as u64;
        let spread = (u128::from(delay) * u128::from(self.jitter_percent) / 100) as u64;
        let jitter = chance % spread.saturating_add(1);
        delay.saturating_add(jitter).min(self.delay_ms_max)
    }
}

/// What an ordering key does while its first job waits for a retry, or is dead.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum OnFailure {
    /// The key waits for the retry; a dead job is passed.
    Block = 0,
    /// The key goes on; the retried job runs again before what is behind it, when its time has come.
    Skip = 1,
    /// As `Block`, and a dead job parks the key until someone decides (redrive, delete, or resume the key).
    Park = 2,
}

/// How long a unique key is taken by its job.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum UniqueUntil {
    /// Until the job ends: completed, dead or cancelled.
    Completed = 0,
    /// Until the job's first attempt starts.
    Started = 1,
    /// For a time from acceptance, whatever becomes of the job.
    Duration = 2,
}

/// What happens to a new job whose unique key is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnConflict {
    /// The job that has the key is the answer; nothing is enqueued.
    Return,
    /// The new job is refused.
    Reject,
    /// The job that has the key is cancelled and the new one takes its place; refused while that job is leased.
    Replace,
}

/// A queue's configuration.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct QueueConfig {
    /// Retry policy of jobs that bring none.
    #[prost(message, required, tag = "1")]
    pub retry: Retry,
    /// Lease of calls that name none, in ms.
    #[prost(uint64, tag = "2")]
    pub lease_ms: u64,
    /// What ordered jobs that do not say otherwise do on failure.
    #[prost(enumeration = "OnFailure", tag = "3")]
    pub on_failure: i32,
    /// Unfinished jobs the queue may hold (scheduled, ready, leased); 0 is no bound of its own.
    #[prost(uint64, tag = "4")]
    pub jobs_max: u64,
    /// How long completed and cancelled jobs can still be asked for, in ms.
    #[prost(uint64, tag = "5")]
    pub retain_ms: u64,
    /// How many of them at most.
    #[prost(uint64, tag = "6")]
    pub retain_max: u64,
}

impl QueueConfig {
    /// What a queue that is created by its first job gets.
    pub const DEFAULT: Self = Self {
        retry: Retry::DEFAULT,
        lease_ms: limits::LEASE_MS_DEFAULT,
        on_failure: OnFailure::Block as i32,
        jobs_max: 0,
        retain_ms: 3_600_000,
        retain_max: 100_000,
    };
}

/// A wish for uniqueness, as a job carries it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unique {
    /// The key, unique within the queue.
    pub key: String,
    /// How long the key is taken.
    pub until: UniqueUntil,
    /// With [`UniqueUntil::Duration`]: how long, in ms; at most [`KEPT_MS_MAX`](crate::limits::KEPT_MS_MAX) counts.
    pub duration_ms: u64,
    /// What happens on conflict.
    pub on_conflict: OnConflict,
}
