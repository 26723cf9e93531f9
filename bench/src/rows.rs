//! The workloads. Each is the same for every system, checks at its end that nothing was lost or doubled, and fails if
//! anything was.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::{
    floor::Floor,
    intake::Intake,
    jobs::{LIST_JOBS, MARKED_FIRST},
    peers::{Lanes, Load, Name, Peer, Producer, Worker},
    stats::{median, range},
};

/// The workloads by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Row {
    /// Lists of 100 jobs as fast as they are acknowledged
    Lists,
    /// Single jobs, 1,024 under way, each acknowledged by itself
    Singles,
    /// The same for Tidegate without its client, which gathers: one HTTP request each
    Plain,
    /// Enqueue, lease, complete: 4 producers and 4 workers at once
    Life,
    /// 2,000 single jobs a second by the clock: from due to delivered
    Latency,
    /// A long queue: rate of its last tenth, memory, how it begins to be worked off
    Backlog,
    /// 200 urgent jobs into a long queue that is being worked off
    Priority,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().expect("every row has a name").get_name())
    }
}

/// How much is done.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scale {
    /// Seconds of each run that goes by time.
    pub(crate) seconds: f64,
    /// Runs of each system in each row, but for `backlog`, which is run once.
    pub(crate) runs: usize,
    pub(crate) backlog_jobs: u64,
    pub(crate) priority_jobs: u64,
    pub(crate) urgent_jobs: usize,
    /// A queue is filled for at most so long, however few jobs it then has.
    pub(crate) fill_seconds: f64,
}

impl Scale {
    pub(crate) const FULL: Scale = Scale {
        seconds: 5.0,
        runs: 3,
        backlog_jobs: 2_000_000,
        priority_jobs: 1_500_000,
        urgent_jobs: 200,
        fill_seconds: 45.0,
    };
    pub(crate) const QUICK: Scale = Scale {
        seconds: 1.5,
        runs: 1,
        backlog_jobs: 100_000,
        priority_jobs: 200_000,
        urgent_jobs: 100,
        fill_seconds: 6.0,
    };
}

/// What one run of one system in one row gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) row: Row,
    pub(crate) peer: Name,
    pub(crate) values: BTreeMap<String, f64>,
    /// What must not be. A run with any is worth nothing.
    pub(crate) faults: Vec<String>,
}

/// Single jobs a second of `latency`.
const CLOCK_RATE: f64 = 2_000.0;
/// Between two urgent jobs.
const URGENT_EVERY: Duration = Duration::from_millis(5);
/// Producers of `life` pause while more jobs than this are not completed.
const UNFINISHED_MAX: u64 = 20_000;
const WORKERS: usize = 4;
/// Producers of `life`, and the lists that each has under way.
const LIFE: Lanes = Lanes { connections: 4, depth: 2 };
/// How long jobs may take to arrive after the last was sent, and counts to settle.
const PATIENCE: Duration = Duration::from_secs(60);
/// The last tenth of a backlog may take so long.
const TENTH_SECONDS: f64 = 8.0;
/// Single deliveries from a full queue; their median counts.
const FIRST_DELIVERIES: usize = 21;
/// A backlog is worked off for so long.
const DRAIN: Duration = Duration::from_secs(3);
/// Room in the bitmap for jobs of a run that goes by time: more than any machine gives in it.
const NUMBERS_MAX: u64 = 1 << 27;

impl Row {
    /// Whether this system has such a row. What everybody else does in `plain` is what they do in `singles`.
    pub(crate) fn is_of(self, name: Name) -> bool {
        self != Row::Plain || name == Name::Tidegate
    }

    /// Runs it once.
    pub(crate) async fn measure(self, name: Name, peer: &mut dyn Peer, queue: &str, scale: &Scale) -> Sample {
        let mut run = Run { queue, scale, values: BTreeMap::new(), faults: Vec::new() };
        let outcome = match self {
            Row::Lists => run.ingest(peer, Load::Lists, LIST_JOBS).await,
            Row::Singles => run.ingest(peer, Load::Singles, 1).await,
            Row::Plain => run.ingest(peer, Load::Plain, 1).await,
            Row::Life => run.life(peer).await,
            Row::Latency => run.latency(peer).await,
            Row::Backlog => run.backlog(peer).await,
            Row::Priority => run.priority(peer).await,
        };
        if let Err(error) = outcome {
            run.faults.push(format!("{error:#}"));
        }
        Sample { row: self, peer: name, values: run.values, faults: run.faults }
    }
}

struct Run<'a> {
    queue: &'a str,
    scale: &'a Scale,
    values: BTreeMap<String, f64>,
    faults: Vec<String>,
}

impl Run<'_> {
    fn value(&mut self, name: &str, value: f64) {
        self.values.insert(name.to_owned(), value);
    }

    async fn ingest(&mut self, peer: &mut dyn Peer, load: Load, per_call: usize) -> anyhow::Result<()> {
        peer.open(self.queue).await?;
        let until = Until { jobs: u64::MAX, seconds: self.scale.seconds };
        let flood = flood(peer, self.queue, load, per_call, 0, until).await?;
        self.value("jobs_per_s", flood.jobs as f64 / flood.seconds);
        self.check_left(peer, flood.jobs).await?;
        peer.remove(self.queue).await
    }

    async fn life(&mut self, peer: &mut dyn Peer) -> anyhow::Result<()> {
        peer.open(self.queue).await?;
        let floor = Floor::new(NUMBERS_MAX, 0);
        let producers = producers(peer, self.queue, Load::Lists, LIFE.connections).await?;
        let workers = workers(peer, self.queue, false).await?;
        let start = Instant::now();
        let deadline = start + Duration::from_secs_f64(self.scale.seconds);
        let intake =
            Intake::new(0, NUMBERS_MAX, Some(deadline)).held_back_by(Arc::clone(&floor), UNFINISHED_MAX);
        let intake = Arc::new(intake);
        let producers = spawn_producers(producers, &intake, LIST_JOBS, LIFE.depth);
        let workers = spawn_workers(workers, &floor);
        tokio::time::sleep_until(deadline.into()).await;
        self.value("jobs_per_s", floor.completed() as f64 / start.elapsed().as_secs_f64());
        finish(producers).await?;
        floor.stop();
        finish(workers).await?;
        self.check_floor(&floor);
        self.check_left(peer, intake.acknowledged() - floor.completed()).await?;
        peer.remove(self.queue).await
    }

    async fn latency(&mut self, peer: &mut dyn Peer) -> anyhow::Result<()> {
        peer.open(self.queue).await?;
        let jobs = (CLOCK_RATE * self.scale.seconds) as usize;
        let floor = Floor::new(0, jobs);
        let workers = workers(peer, self.queue, false).await?;
        let workers = spawn_workers(workers, &floor);
        let acknowledged =
            self.marked(peer, &floor, false, Duration::from_secs_f64(1.0 / CLOCK_RATE), jobs).await?;
        floor.stop();
        finish(workers).await?;
        self.value("p50_us", floor.delivery_us(50.0) as f64);
        self.value("p99_us", floor.delivery_us(99.0) as f64);
        self.check_floor(&floor);
        self.check_left(peer, acknowledged - floor.completed()).await?;
        peer.remove(self.queue).await
    }

    async fn backlog(&mut self, peer: &mut dyn Peer) -> anyhow::Result<()> {
        peer.open(self.queue).await?;
        let goal = self.scale.backlog_jobs;
        let tenth = (goal / 10).max(LIST_JOBS as u64);
        let filled = self.fill(peer, goal - tenth).await?;
        let until = Until { jobs: tenth, seconds: TENTH_SECONDS };
        let last = flood(peer, self.queue, Load::Lists, LIST_JOBS, filled.given, until).await?;
        let jobs = filled.jobs + last.jobs;
        self.value("last_tenth_jobs_per_s", last.jobs as f64 / last.seconds);
        self.value("jobs", jobs as f64);
        self.check_left(peer, jobs).await?;
        let resident = peer.resident_bytes() as f64;
        self.value("resident_bytes", resident);
        self.value("resident_bytes_per_job", resident / jobs as f64);

        let floor = Floor::new(filled.given + last.given, 0);
        self.first_deliveries(peer, &floor).await?;
        let workers = workers(peer, self.queue, false).await?;
        let (before, start) = (floor.completed(), Instant::now());
        let workers = spawn_workers(workers, &floor);
        tokio::time::sleep(DRAIN).await;
        self.value("drain_jobs_per_s", (floor.completed() - before) as f64 / start.elapsed().as_secs_f64());
        floor.stop();
        finish(workers).await?;
        self.check_floor(&floor);
        self.check_left(peer, jobs - floor.completed()).await?;
        peer.remove(self.queue).await
    }

    /// One worker after the other comes to the full queue, takes one job, completes it and goes: from its asking to the
    /// job's arrival.
    async fn first_deliveries(&mut self, peer: &dyn Peer, floor: &Arc<Floor>) -> anyhow::Result<()> {
        let mut us = Vec::with_capacity(FIRST_DELIVERIES);
        for _ in 0..FIRST_DELIVERIES {
            let worker = peer.worker(self.queue, false).await.context("no worker")?;
            floor.stop_at_next();
            let start = Instant::now();
            tokio::time::timeout(PATIENCE, worker.work(Arc::clone(floor), 1))
                .await
                .context("nothing arrived")??;
            let arrived = floor.stopped_by().context("a worker went without a job")?;
            us.push(arrived.duration_since(start).as_nanos() as f64 / 1_000.0);
        }
        self.value("first_us", median(&us).context("no delivery")?);
        let (_, slowest) = range(&us).context("no delivery")?;
        self.value("slowest_first_us", slowest);
        floor.go_on();
        Ok(())
    }

    async fn priority(&mut self, peer: &mut dyn Peer) -> anyhow::Result<()> {
        peer.open(self.queue).await?;
        let filled = self.fill(peer, self.scale.priority_jobs).await?;
        self.value("jobs", filled.jobs as f64);
        let floor = Floor::new(filled.given, self.scale.urgent_jobs);
        let workers = workers(peer, self.queue, true).await?;
        let start = Instant::now();
        let workers = spawn_workers(workers, &floor);
        let urgent = self.marked(peer, &floor, true, URGENT_EVERY, self.scale.urgent_jobs).await?;
        self.value("drain_jobs_per_s", floor.completed() as f64 / start.elapsed().as_secs_f64());
        floor.stop();
        finish(workers).await?;
        self.value("p50_us", floor.delivery_us(50.0) as f64);
        self.value("p99_us", floor.delivery_us(99.0) as f64);
        self.check_floor(&floor);
        let left = filled.jobs + urgent - floor.completed();
        self.check_left(peer, left).await?;
        if left == 0 {
            self.faults.push("the queue ran empty; there was nothing to overtake".into());
        }
        peer.remove(self.queue).await
    }

    /// Fills the queue, without syncs where that has to be, and with them again afterwards.
    async fn fill(&mut self, peer: &mut dyn Peer, jobs: u64) -> anyhow::Result<Flood> {
        let without_sync = peer.sync(false).await?;
        let until = Until { jobs, seconds: self.scale.fill_seconds };
        let flood = flood(peer, self.queue, Load::Lists, LIST_JOBS, 0, until).await?;
        if without_sync {
            peer.sync(true).await?;
            peer.in_force().await.context("started over with syncs")?;
        }
        Ok(flood)
    }

    /// Sends marked jobs by the clock and waits until they are acknowledged and have arrived; how many were
    /// acknowledged.
    async fn marked(
        &mut self,
        peer: &dyn Peer,
        floor: &Arc<Floor>,
        urgent: bool,
        every: Duration,
        jobs: usize,
    ) -> anyhow::Result<u64> {
        let lanes = peer.lanes(Load::Clock);
        let load = if urgent { Load::Urgent } else { Load::Clock };
        let producers = producers(peer, self.queue, load, lanes.connections).await?;
        let intake = Arc::new(Intake::new(MARKED_FIRST, jobs as u64, None).by_clock());
        let clock = {
            let (intake, floor) = (Arc::clone(&intake), Arc::clone(floor));
            let thread = std::thread::Builder::new().name("clock".into());
            thread.spawn(move || intake.pace(every, |number, due| floor.due(number, due)))?
        };
        let outcome = finish(spawn_producers(producers, &intake, 1, lanes.depth)).await;
        intake.close();
        let clock = tokio::task::spawn_blocking(move || clock.join()).await?;
        clock.map_err(|_| anyhow::anyhow!("the clock ended badly"))?;
        outcome?;
        let arrived = floor.all_marked(PATIENCE).await;
        if arrived != jobs {
            self.faults.push(format!("{jobs} marked jobs were sent, {arrived} arrived"));
        }
        Ok(intake.acknowledged())
    }

    /// Nothing came twice or from nowhere, and whatever was delivered was completed.
    fn check_floor(&mut self, floor: &Floor) {
        self.faults.extend(floor.faults());
        let (delivered, completed) = (floor.delivered(), floor.completed());
        if delivered != completed {
            self.faults.push(format!("{delivered} jobs were delivered and {completed} completed"));
        }
    }

    /// The system has what it acknowledged, less what was completed: no more and no less.
    async fn check_left(&mut self, peer: &dyn Peer, expected: u64) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            let left = peer.left(self.queue).await.context("cannot count what is left")?;
            if left == expected {
                return Ok(());
            }
            if start.elapsed() > PATIENCE / 3 {
                self.faults.push(format!("{left} jobs are left, {expected} were to be"));
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// When a flood ends: whatever comes first.
#[derive(Clone, Copy)]
struct Until {
    jobs: u64,
    seconds: f64,
}

/// What a flood did. Every job counted was acknowledged.
struct Flood {
    jobs: u64,
    given: u64,
    seconds: f64,
}

async fn flood(
    peer: &dyn Peer,
    queue: &str,
    load: Load,
    per_call: usize,
    first: u64,
    until: Until,
) -> anyhow::Result<Flood> {
    let lanes = peer.lanes(load);
    let producers = producers(peer, queue, load, lanes.connections).await?;
    let start = Instant::now();
    let deadline = start + Duration::from_secs_f64(until.seconds);
    let intake = Arc::new(Intake::new(first, until.jobs, Some(deadline)));
    finish(spawn_producers(producers, &intake, per_call, lanes.depth)).await?;
    let seconds = start.elapsed().as_secs_f64();
    let (jobs, given) = (intake.acknowledged(), intake.given());
    anyhow::ensure!(jobs == given, "{given} jobs were sent and {jobs} acknowledged");
    Ok(Flood { jobs, given, seconds })
}

async fn producers(
    peer: &dyn Peer,
    queue: &str,
    load: Load,
    count: usize,
) -> anyhow::Result<Vec<Box<dyn Producer>>> {
    let mut producers = Vec::new();
    for _ in 0..count {
        producers.push(peer.producer(queue, load).await.context("no producer")?);
    }
    Ok(producers)
}

async fn workers(peer: &dyn Peer, queue: &str, urgent: bool) -> anyhow::Result<Vec<Box<dyn Worker>>> {
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(peer.worker(queue, urgent).await.context("no worker")?);
    }
    Ok(workers)
}

type Tasks = JoinSet<anyhow::Result<()>>;

fn spawn_producers(
    producers: Vec<Box<dyn Producer>>,
    intake: &Arc<Intake>,
    per_call: usize,
    depth: usize,
) -> Tasks {
    producers.into_iter().map(|producer| producer.produce(Arc::clone(intake), per_call, depth)).collect()
}

fn spawn_workers(workers: Vec<Box<dyn Worker>>, floor: &Arc<Floor>) -> Tasks {
    workers.into_iter().map(|worker| worker.work(Arc::clone(floor), LIST_JOBS)).collect()
}

/// Waits for all and gives the first failure.
async fn finish(mut tasks: Tasks) -> anyhow::Result<()> {
    while let Some(task) = tasks.join_next().await {
        task.context("a task of the generator ended badly")??;
    }
    Ok(())
}
