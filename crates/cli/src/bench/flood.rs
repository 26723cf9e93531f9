//! The flood: a number of connections, each with a number of requests under way, as fast as answers come.
//!
//! As soon as an answer is there its place is taken by the next request; what one read brings is answered with one
//! write. That is a closed loop: the server sets the pace, and the time of an answer includes the waiting in line
//! that the depth itself makes.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use super::{
    connection::{Connection, Good, Shape},
    progress::Progress,
    request::Requests,
};

/// How many requests are under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Width {
    pub(crate) connections: usize,
    /// Requests under way on each.
    pub(crate) depth: usize,
}

/// When the flood ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Elapsed(Duration),
    Sent { requests: u64 },
}

/// What a flood did. Every job counted was acknowledged.
pub(crate) struct Flooded {
    pub(crate) jobs: u64,
    pub(crate) elapsed: Duration,
    /// Microseconds from a request's sending to its answer.
    pub(crate) answer_us: Histogram<u64>,
}

impl Flooded {
    pub(crate) fn jobs_per_s(&self) -> f64 {
        self.jobs as f64 / self.elapsed.as_secs_f64()
    }

    /// Joins the slices of an interleaved measurement.
    pub(crate) fn add(&mut self, other: Flooded) {
        self.jobs += other.jobs;
        self.elapsed += other.elapsed;
        self.answer_us.add(other.answer_us).expect("histograms of one make fit together");
    }

    /// A flood of nothing.
    pub(crate) fn none() -> Flooded {
        Flooded { jobs: 0, elapsed: Duration::ZERO, answer_us: histogram() }
    }
}

/// Microseconds up to a minute in three digits; longer times count as a minute.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are sound")
}

/// Adds a time to a histogram.
pub(crate) fn record(histogram: &mut Histogram<u64>, time: Duration) {
    histogram.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
}

/// Sends until the end and waits for every answer.
pub(crate) async fn flood(
    server: SocketAddr,
    requests: &Arc<Requests>,
    shape: Shape,
    width: Width,
    until: Until,
    progress: &Progress,
) -> anyhow::Result<Flooded> {
    let mut connections = Vec::new();
    for _ in 0..width.connections {
        connections.push(Connection::open(server).await?);
    }
    let start = Instant::now();
    let (deadline, budget) = match until {
        Until::Elapsed(time) => (Some(start + time), u64::MAX),
        Until::Sent { requests } => (None, requests),
    };
    let budget = Arc::new(AtomicU64::new(budget));
    let mut tasks = JoinSet::new();
    for connection in connections {
        let lane = Lane {
            connection,
            requests: Arc::clone(requests),
            good: Good { status: requests.status, shape },
            depth: width.depth,
            deadline,
            budget: Arc::clone(&budget),
            progress: progress.clone(),
        };
        tasks.spawn(lane.run());
    }
    let mut total = Flooded::none();
    while let Some(lane) = tasks.join_next().await {
        total.add(lane.context("a connection's task ended badly")??);
    }
    total.elapsed = start.elapsed();
    Ok(total)
}

/// One connection of a flood.
struct Lane {
    connection: Connection,
    requests: Arc<Requests>,
    good: Good,
    depth: usize,
    deadline: Option<Instant>,
    /// Requests that may still be sent, shared by all lanes.
    budget: Arc<AtomicU64>,
    progress: Progress,
}

impl Lane {
    async fn run(mut self) -> anyhow::Result<Flooded> {
        let mut lane = Flooded::none();
        let mut under_way: VecDeque<Instant> = VecDeque::with_capacity(self.depth);
        loop {
            let now = Instant::now();
            let count = self.may_send(self.depth - under_way.len(), now);
            if count > 0 {
                self.connection.send(self.requests.first(count)).await?;
                under_way.extend(std::iter::repeat_n(now, count));
            }
            if under_way.is_empty() {
                return Ok(lane);
            }
            self.connection.receive().await?;
            let now = Instant::now();
            let mut answers = 0;
            while self.connection.next(self.good)?.is_some() {
                let sent = under_way.pop_front().context("the server answered more than it was asked")?;
                record(&mut lane.answer_us, now - sent);
                answers += 1;
            }
            lane.jobs += answers * self.requests.jobs;
            self.progress.add(answers * self.requests.jobs);
        }
    }

    /// How many of so many requests may be sent now.
    fn may_send(&self, wished: usize, now: Instant) -> usize {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            return 0;
        }
        let take = |left: u64| Some(left - left.min(wished as u64));
        let before =
            self.budget.fetch_update(Relaxed, Relaxed, take).expect("the closure always has a value");
        before.min(wished as u64) as usize
    }
}
