//! What readers take without asking the shard: snapshots of its queues, and figures for metrics.
//!
//! A snapshot is made in a turn and published when that turn is durable, so it never shows what a crash could
//! take back. Left out: history. Rates are means that weigh the last ten seconds most; they fade with the
//! time since the snapshot.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tidegate_core::Time;
use tidegate_core::view::{JobState, QueueView};
use tidegate_log::{LogStatus, RecoveryReport, Sequence};

use crate::availability::Availability;
use crate::calls::Queue;
use crate::clock::Clock;
use crate::rates::Rate;

/// Everything worth measuring about an engine.
#[derive(Clone, Debug)]
pub struct Status {
    /// One for each shard, by number.
    pub shards: Vec<ShardStatus>,
}

/// Whether a shard serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardState {
    /// It opens its log.
    Starting,
    /// It serves.
    Serving,
    /// Its log failed; it starts over from it. Calls are told `Unavailable`.
    Restarting(Arc<str>),
    /// It gave up starting over.
    Stopped(Arc<str>),
    /// It was closed.
    Closed,
}

/// Figures of one shard.
#[derive(Clone, Debug)]
pub struct ShardStatus {
    /// Whether it serves.
    pub state: ShardState,
    /// What its log found when it was last opened.
    pub recovery: Option<RecoveryReport>,
    /// The highest durable sequence.
    pub durable: u64,
    /// The last sequence submitted.
    pub last: u64,
    /// Milliseconds since a write last became durable; none if none has since the engine was opened.
    pub durable_ms_ago: Option<u64>,
    /// Bytes of the log's frames, as of the last look (once a second while there is work).
    pub log_bytes: u64,
    /// Bytes free on the log's disk, as of the last look.
    pub free_bytes: u64,
    /// Bytes submitted and not yet durable, as of the last turn.
    pub in_flight_bytes: u64,
    /// Whether what is new is refused because the disk is nearly full.
    pub disk_full: bool,
    /// Calls in the inbox.
    pub inbox_calls: usize,
    /// Bytes of them.
    pub inbox_bytes: usize,
    /// Callers kept waiting, as of the last turn.
    pub waiters: u64,
    /// Jobs held, finished ones included, as of the last turn.
    pub jobs: u64,
    /// Turns since the engine was opened.
    pub turns: u64,
    /// Times the shard has started over after its log failed.
    pub restarts: u64,
    /// Times the log has been cleaned: everything alive in its oldest part written anew and that part let go.
    pub cleanings: u64,
    /// Payloads that the disk has refused to read since the engine was opened. Their jobs went back untried.
    pub reads_refused: u64,
}

/// A shard's queues at one moment, by name.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Rises from one snapshot to the next, restarts included; see [`Published::next_snapshot`].
    pub(crate) number: u64,
    pub(crate) as_of: Time,
    pub(crate) queues: Vec<(QueueView, Rate)>,
}

/// See the module. One for each shard; it outlives restarts.
#[derive(Debug)]
pub(crate) struct Published {
    clock: Arc<dyn Clock>,
    snapshot: RwLock<Arc<Snapshot>>,
    snapshots: AtomicU64,
    durable: AtomicU64,
    /// The steady clock when something last became durable, plus one; 0 for never.
    durable_at: AtomicU64,
    waits_for_log: AtomicBool,
    /// Reads of payloads that the disk has refused.
    reads_refused: AtomicU64,
    figures: Mutex<Figures>,
    pools: Arc<Availability>,
}

/// What the shard's thread says about itself.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) state: ShardState,
    pub(crate) recovery: Option<RecoveryReport>,
    pub(crate) log: Option<LogStatus>,
    pub(crate) disk_full: bool,
    pub(crate) last: u64,
    pub(crate) in_flight_bytes: u64,
    pub(crate) waiters: u64,
    pub(crate) jobs: u64,
    pub(crate) turns: u64,
    pub(crate) restarts: u64,
    pub(crate) cleanings: u64,
}

impl Published {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let figures = Figures {
            state: ShardState::Starting,
            recovery: None,
            log: None,
            disk_full: false,
            last: 0,
            in_flight_bytes: 0,
            waiters: 0,
            jobs: 0,
            turns: 0,
            restarts: 0,
            cleanings: 0,
        };
        Self {
            clock,
            snapshot: RwLock::default(),
            snapshots: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            durable_at: AtomicU64::new(0),
            waits_for_log: AtomicBool::new(false),
            reads_refused: AtomicU64::new(0),
            figures: Mutex::new(figures),
            pools: Arc::new(Availability::new()),
        }
    }

    /// Pools, which are shown one by one.
    pub(crate) const fn pools(&self) -> &Arc<Availability> {
        &self.pools
    }

    /// The last snapshot.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The number of a snapshot that is made now.
    pub(crate) fn next_snapshot(&self) -> u64 {
        self.snapshots.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Publishes a snapshot, unless a newer one is out: the shard and its log's writer both let snapshots go,
    /// and either may be overtaken.
    pub(crate) fn set_snapshot(&self, snapshot: Arc<Snapshot>) {
        let mut published = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        if snapshot.number > published.number {
            *published = snapshot;
        }
    }

    /// The log is durable up to `sequence` since just now.
    pub(crate) fn advanced(&self, sequence: Sequence) {
        self.durable.store(sequence.0, Ordering::Relaxed);
        self.durable_at.store(self.clock.now().steady_ms + 1, Ordering::Relaxed);
    }

    /// Milliseconds since a write last became durable.
    pub(crate) fn durable_ms_ago(&self) -> Option<u64> {
        let at = self.durable_at.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.clock.now().steady_ms.saturating_sub(at))
    }

    /// Whether the shard's thread wants to hear of the log's progress.
    pub(crate) fn waits_for_log(&self) -> bool {
        self.waits_for_log.load(Ordering::SeqCst)
    }

    /// The disk has refused to read so many payloads.
    pub(crate) fn reads_refused(&self, payloads: u64) {
        self.reads_refused.fetch_add(payloads, Ordering::Relaxed);
    }

    pub(crate) fn set_waits_for_log(&self, waits: bool) {
        self.waits_for_log.store(waits, Ordering::SeqCst);
    }

    /// Changes the shard's figures.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Figures)) {
        change(&mut self.figures.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// All figures; the inbox knows its own.
    pub(crate) fn status(&self, (inbox_calls, inbox_bytes): (usize, usize)) -> ShardStatus {
        let figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ShardStatus {
            state: figures.state,
            recovery: figures.recovery,
            durable: self.durable.load(Ordering::Relaxed),
            last: figures.last,
            durable_ms_ago: self.durable_ms_ago(),
            log_bytes: figures.log.as_ref().map_or(0, |log| log.bytes),
            free_bytes: figures.log.as_ref().map_or(0, |log| log.free_bytes),
            in_flight_bytes: figures.in_flight_bytes,
            disk_full: figures.disk_full,
            inbox_calls,
            inbox_bytes,
            waiters: figures.waiters,
            jobs: figures.jobs,
            turns: figures.turns,
            restarts: figures.restarts,
            cleanings: figures.cleanings,
            reads_refused: self.reads_refused.load(Ordering::Relaxed),
        }
    }

    /// All queues of the last snapshot, with their rates as they are by now.
    pub(crate) fn queues(&self) -> Vec<Queue> {
        let (snapshot, now) = (self.snapshot(), self.clock.now().wall);
        snapshot.queues.iter().map(|(view, rate)| queue(view.clone(), rate, snapshot.as_of, now)).collect()
    }

    /// One of them.
    pub(crate) fn queue(&self, name: &str) -> Option<Queue> {
        let (snapshot, now) = (self.snapshot(), self.clock.now().wall);
        let index = snapshot.queues.binary_search_by(|(view, _)| (*view.name).cmp(name)).ok()?;
        let (view, rate) = &snapshot.queues[index];
        Some(queue(view.clone(), rate, snapshot.as_of, now))
    }
}

/// A queue as callers see it: its view of `as_of`, its rates of `now`.
pub(crate) fn queue(view: QueueView, rate: &Rate, as_of: Time, now: Time) -> Queue {
    let (arrival_per_s, completion_per_s) = rate.at(now.max(as_of));
    let waiting = view.counts.of(JobState::Ready) + view.counts.of(JobState::Leased);
    let shrinks_per_s = completion_per_s - arrival_per_s;
    let drain_ms = if waiting == 0 {
        Some(0)
    } else if shrinks_per_s > 0.0 {
        Some((waiting as f64 / shrinks_per_s * 1_000.0).ceil() as u64)
    } else {
        None
    };
    Queue { view, arrival_per_s, completion_per_s, drain_ms, as_of }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn an_overtaken_snapshot_does_not_come_back() {
        let published = Published::new(Arc::new(SystemClock::new()));
        // The clock stood still, or was set back by a restart: only the number tells.
        let make = |as_of| {
            let number = published.next_snapshot();
            Arc::new(Snapshot { number, as_of: Time(as_of), queues: Vec::new() })
        };
        let (older, newer, newest) = (make(5), make(5), make(4));
        published.set_snapshot(newer);
        published.set_snapshot(older);
        assert_eq!(published.snapshot().number, 2);
        published.set_snapshot(newest);
        assert_eq!(published.snapshot().as_of, Time(4));
    }
}
