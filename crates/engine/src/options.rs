//! How an engine is set up. Defaults suit a machine of its own; every bound can be lowered for an embedded
//! one.

use std::sync::Arc;

use tidegate_core::state::StateLimits;
use tidegate_log::LocalOptions;

use crate::clock::{Clock, SystemClock};
use crate::limits;

/// An engine's set-up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Shards, 1..=256; fixed when the data directory is made.
    pub shards: u16,
    /// The local log of each shard.
    pub log: LocalOptions,
    /// Bounds of each shard's state.
    pub state: StateLimits,
    /// Calls that may wait in each shard's inbox.
    pub inbox_calls_max: usize,
    /// Bytes of them.
    pub inbox_bytes_max: usize,
    /// Callers that each shard keeps waiting for jobs to lease or to end.
    pub waiters_max: usize,
    /// Bytes submitted to each log and not yet durable, above which the shard waits before its next turn.
    pub in_flight_bytes_max: u64,
    /// Bytes of free disk below which new work is refused.
    pub disk_reserve_bytes: u64,
    /// The shortest time between two published snapshots of a shard, in ms.
    pub snapshot_ms: u64,
    /// Threads that read payloads which are no longer in memory; 0..=64. With none, they are read where
    /// their call is awaited, on an executor's thread.
    pub readers: usize,
    /// How a shard starts over after its log has failed.
    pub restart: Restart,
    /// When a shard cleans its log.
    pub cleaning: Cleaning,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Seed of each new log; random if none. With shards, each takes the seed plus its number.
    pub seed: Option<u64>,
}

/// How a shard starts over after its log has failed: it drops what it knows, opens the log anew and replays
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// Tries before it gives up and answers `Unavailable` for ever. A try that serves resets the count.
    pub tries_max: u32,
    /// The pause before the first try, in ms; doubled for each further one.
    pub delay_ms: u64,
    /// The longest pause, in ms.
    pub delay_ms_max: u64,
}

/// When a shard cleans its log: everything alive in the oldest part is written anew, and then that part is
/// trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleaning {
    /// Bytes a log may hold beyond twice what is alive in it.
    pub slack_bytes: u64,
    /// Bytes that one step restates. Callers' writes pay for half as many.
    pub step_bytes: usize,
    /// The longest pause between two steps of a walk, however little callers write, in ms.
    pub pause_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            shards: 1,
            log: LocalOptions::default(),
            state: StateLimits::default(),
            inbox_calls_max: limits::INBOX_CALLS,
            inbox_bytes_max: limits::INBOX_BYTES,
            waiters_max: limits::WAITERS,
            in_flight_bytes_max: limits::IN_FLIGHT_BYTES,
            disk_reserve_bytes: limits::DISK_RESERVE_BYTES,
            snapshot_ms: limits::SNAPSHOT_MS,
            readers: limits::READERS,
            restart: Restart { tries_max: 20, delay_ms: 100, delay_ms_max: 10_000 },
            cleaning: Cleaning {
                slack_bytes: limits::CLEANING_SLACK_BYTES,
                step_bytes: limits::CLEANING_STEP_BYTES,
                pause_ms: limits::CLEANING_PAUSE_MS,
            },
            clock: Arc::new(SystemClock::new()),
            seed: None,
        }
    }
}

impl Options {
    /// What is wrong with the options, if anything is.
    pub(crate) fn defect(&self) -> Option<String> {
        let wrong = |name: &str, allowed: &str| Some(format!("`{name}` must be {allowed}"));
        if !(1..=limits::SHARDS_MAX).contains(&self.shards) {
            return wrong("shards", "1 to 256");
        }
        if self.inbox_calls_max == 0 {
            return wrong("inbox_calls_max", "at least 1");
        }
        if self.in_flight_bytes_max == 0
            || self.in_flight_bytes_max > tidegate_log::limits::IN_FLIGHT_BYTES_MAX
        {
            return wrong("in_flight_bytes_max", "1 byte to 64 MiB");
        }
        if self.readers > 64 {
            return wrong("readers", "0 to 64");
        }
        None
    }
}
