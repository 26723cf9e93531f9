//! The systems that are compared, behind one interface.
//!
//! Each is a file: how it is started so that what it acknowledges is synced, how that is read back from the running
//! server, and how jobs are given, worked off and counted in the form that suits it best. What "one call" is differs
//! from system to system, so each says it in words that go into the report.

mod beanstalkd;
mod nats;
mod postgres;
mod rabbitmq;
mod redis;
mod tidegate;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use async_trait::async_trait;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::{floor::Floor, intake::Intake};

/// The systems by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Name {
    /// This one, over HTTP
    Tidegate,
    /// Redis, a stream with a consumer group
    RedisStream,
    /// Redis, lists
    RedisList,
    /// RabbitMQ, a quorum queue
    Rabbitmq,
    /// PostgreSQL, a table and SKIP LOCKED
    Postgres,
    /// beanstalkd, a tube
    Beanstalkd,
    /// NATS JetStream, a work queue
    Nats,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Name::Tidegate => "Tidegate",
            Name::RedisStream => "Redis streams",
            Name::RedisList => "Redis lists",
            Name::Rabbitmq => "RabbitMQ",
            Name::Postgres => "PostgreSQL",
            Name::Beanstalkd => "beanstalkd",
            Name::Nats => "JetStream",
        })
    }
}

/// What a system says of itself, and how it is used here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Setting {
    pub(crate) version: String,
    /// What makes "acknowledged" mean "synced", as read back from the running server.
    pub(crate) durability: String,
    /// What a list of 100 is.
    pub(crate) list: String,
    /// What a single job is.
    pub(crate) single: String,
    /// How jobs are taken and completed.
    pub(crate) working: String,
    /// How urgent jobs are.
    pub(crate) urgent: String,
}

/// How many connections, and how many calls under way on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lanes {
    pub(crate) connections: usize,
    pub(crate) depth: usize,
}

impl Lanes {
    /// For single jobs at a steady pace, which ask little of a connection: the same for all but PostgreSQL, where a connection
    /// has one statement under way.
    pub(crate) const STEADY: Lanes = Lanes { connections: 4, depth: 4_096 };
}

/// What producers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// Lists of 100.
    Lists,
    /// Single jobs, 1,024 under way.
    Singles,
    /// Single jobs, 1,024 under way, by a client that gathers nothing; of Tidegate only.
    Plain,
    /// Single jobs by the clock.
    Clock,
    /// Single jobs by the clock that go first.
    Urgent,
}

/// A system under measurement.
#[async_trait]
pub(crate) trait Peer: Send + Sync {
    /// Reads the settings back, and fails if an acknowledgement would not mean a sync.
    async fn in_force(&self) -> anyhow::Result<Setting>;

    /// Makes a queue that is not there yet.
    async fn open(&self, queue: &str) -> anyhow::Result<()>;

    /// A producer for a queue, of the kind that suits the load.
    async fn producer(&self, queue: &str, load: Load) -> anyhow::Result<Box<dyn Producer>>;

    /// A worker for a queue; with `urgent` it looks for urgent jobs as well, where they are kept apart.
    async fn worker(&self, queue: &str, urgent: bool) -> anyhow::Result<Box<dyn Worker>>;

    /// Jobs that are accepted and not completed.
    async fn left(&self, queue: &str) -> anyhow::Result<u64>;

    /// Ends the queue.
    async fn remove(&self, queue: &str) -> anyhow::Result<()>;

    /// Starts over on the same data, without or again with syncs, so that filling a long queue does not take hours;
    /// `false` if it is quick enough as it is. Nothing is measured in between.
    async fn sync(&mut self, _on: bool) -> anyhow::Result<bool> {
        Ok(false)
    }

    /// What suits it.
    fn lanes(&self, load: Load) -> Lanes {
        match load {
            Load::Lists => Lanes { connections: 16, depth: 2 },
            Load::Singles | Load::Plain => Lanes { connections: 64, depth: 16 },
            Load::Clock | Load::Urgent => Lanes::STEADY,
        }
    }

    fn freeze(&self);
    fn thaw(&self);
    fn resident_bytes(&self) -> u64;
}

/// Gives jobs until the intake ends, and waits until all are acknowledged.
#[async_trait]
pub(crate) trait Producer: Send {
    /// `per_call` jobs to a call, `depth` calls under way.
    async fn produce(
        self: Box<Self>,
        intake: Arc<Intake>,
        per_call: usize,
        depth: usize,
    ) -> anyhow::Result<()>;
}

/// Works jobs off until told to stop; what it holds then, it still completes.
#[async_trait]
pub(crate) trait Worker: Send {
    /// At most `max` jobs are held at once.
    async fn work(self: Box<Self>, floor: Arc<Floor>, max: usize) -> anyhow::Result<()>;
}

/// Where programs are.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) tidegate: PathBuf,
    pub(crate) nats: PathBuf,
}

/// Starts a system with its data in a directory that is there and empty.
pub(crate) async fn start(name: Name, programs: &Programs, data: &Path) -> anyhow::Result<Box<dyn Peer>> {
    let started: anyhow::Result<Box<dyn Peer>> = async {
        Ok(match name {
            Name::Tidegate => Box::new(tidegate::start(programs, data).await?) as Box<dyn Peer>,
            Name::RedisStream => Box::new(redis::start(data, redis::Kind::Stream).await?),
            Name::RedisList => Box::new(redis::start(data, redis::Kind::List).await?),
            Name::Rabbitmq => Box::new(rabbitmq::start(data).await?),
            Name::Postgres => Box::new(postgres::start(data).await?),
            Name::Beanstalkd => Box::new(beanstalkd::start(data).await?),
            Name::Nats => Box::new(nats::start(programs, data).await?),
        })
    }
    .await;
    started.with_context(|| {
        format!("{name} did not start; what it said:\n{}", tail(&data.join(LOG)).unwrap_or_default())
    })
}

/// Where a server's own words go, in its directory.
const LOG: &str = "said.log";

fn tail(file: &Path) -> Option<String> {
    let said = std::fs::read_to_string(file).ok()?;
    let lines: Vec<&str> = said.lines().collect();
    Some(lines[lines.len().saturating_sub(12)..].join("\n"))
}

/// Asks again until it works, for at most so long.
async fn until_ready<T, F: Future<Output = anyhow::Result<T>>>(
    patience: Duration,
    mut ask: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        match tokio::time::timeout(Duration::from_secs(5), ask()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if start.elapsed() > patience => return Err(error.context("it is not ready")),
            Err(_) if start.elapsed() > patience => anyhow::bail!("it is not ready and does not answer"),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
