//! The stage of a scenario: a folder, a server, a history, load; and the end that all scenarios share.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tidegate::api::{enqueue::Retry, queue::QueueConfig};

use crate::audit;
use crate::chance::Chance;
use crate::checker::{self, Verdict};
use crate::history::{self, Event, History};
use crate::load::{Demand, Load, WorkerSettings};
use crate::server::{Process, Server};

/// The queue that producers and workers use.
pub(crate) const QUEUE: &str = "surge";
/// The folder of the histories, in the scenario's.
pub(crate) const HISTORY: &str = "history";
/// How long something may take that must happen.
const PATIENCE: Duration = Duration::from_secs(90);
/// Finished jobs are kept for the audit, however far the clock is moved: most of a year.
const RETAIN_MS: u64 = 300 * 86_400_000;

/// What all scenarios of a run have in common.
#[derive(Debug, Clone)]
pub struct Run {
    /// The server's binary.
    pub server: PathBuf,
    /// This program, which is also the workers'.
    pub program: PathBuf,
    /// What the draws follow from.
    pub seed: u64,
    /// How often the server is killed under load.
    pub rounds: u32,
    /// Told what happens, for people.
    pub tell: fn(&str),
}

pub(crate) struct Stage {
    pub(crate) run: Run,
    histories: PathBuf,
    pub(crate) history: Arc<History>,
    pub(crate) server: Server,
    pub(crate) chance: Chance,
    pub(crate) load: Load,
    pub(crate) workers: Vec<Worker>,
}

/// A worker in a process of its own.
pub(crate) struct Worker {
    settings: WorkerSettings,
    pub(crate) process: Process,
}

impl Stage {
    /// A server with its data in `data`, and load upon it.
    pub(crate) async fn set(
        run: &Run,
        folder: &Path,
        data: PathBuf,
        environment: Vec<(String, String)>,
        demand: &Demand,
    ) -> anyhow::Result<Self> {
        let histories = folder.join(HISTORY);
        std::fs::create_dir_all(&histories)?;
        let history = Arc::new(History::open(&histories.join("here.jsonl"))?);
        let mut server = Server::new(&run.server, data, folder.join("server.log"))?;
        server.environment = environment;
        server.start_ready().await?;
        let retry = Retry {
            max_attempts: Some(100),
            delay_ms: Some(50),
            factor: Some(1.0),
            delay_max_ms: Some(1_000),
            jitter_percent: Some(0),
        };
        let config = QueueConfig {
            retry: Some(retry),
            retain_ms: Some(RETAIN_MS),
            retain_max: Some(1_000_000),
            ..QueueConfig::default()
        };
        server.client()?.configure(QUEUE, &config).await?;
        let load = Load::start(&server.url(), QUEUE, &history, run.seed, demand)?;
        Ok(Self {
            run: run.clone(),
            histories,
            history,
            server,
            chance: Chance::new(run.seed, "stage"),
            load,
            workers: Vec::new(),
        })
    }

    /// Says what happens, to people and to the history.
    pub(crate) fn note(&self, text: impl Into<String>) {
        let text = text.into();
        (self.run.tell)(&text);
        self.history.add("scenario", Event::Note(text));
    }

    /// Adds a worker in a process of its own.
    pub(crate) fn add_worker(&mut self, lease_ms: u64, work_ms: u64) -> anyhow::Result<()> {
        let who = format!("{QUEUE}-x{}", self.workers.len());
        let settings = WorkerSettings {
            url: self.server.url(),
            queue: QUEUE.into(),
            history: self.histories.join(format!("{who}.jsonl")),
            who,
            lease_ms,
            work_ms,
        };
        let process = start_worker(&self.run.program, &settings)?;
        self.workers.push(Worker { settings, process });
        Ok(())
    }

    /// SIGKILL to a worker, and another in its place.
    pub(crate) fn replace_worker(&mut self, index: usize) -> anyhow::Result<()> {
        let program = self.run.program.clone();
        let worker = &mut self.workers[index];
        worker.process.kill()?;
        worker.settings.history.set_extension(format!("{}.jsonl", history::now()));
        worker.process = start_worker(&program, &worker.settings)?;
        Ok(())
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.load.progress.accepted.load(Ordering::Relaxed)
    }

    /// Waits until so many more jobs were accepted and so many more were ended.
    pub(crate) async fn wait_more(&self, accepted: u64, ended: u64) -> anyhow::Result<()> {
        let progress = &self.load.progress;
        let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (accepted, ended) = (now(&progress.accepted) + accepted, now(&progress.ended) + ended);
        self.wait_for("jobs to be accepted and worked off", || {
            now(&progress.accepted) >= accepted && now(&progress.ended) >= ended
        })
        .await
    }

    /// Waits for something that must happen.
    pub(crate) async fn wait_for(
        &self,
        what: &str,
        mut happened: impl FnMut() -> bool,
    ) -> anyhow::Result<()> {
        let since = Instant::now();
        while !happened() {
            if since.elapsed() > PATIENCE {
                bail!("waited in vain for {what}; the server's last words:\n{}", self.server.last_words());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// The faults are over: everything is worked off, looked at, and checked.
    pub(crate) async fn end(mut self) -> anyhow::Result<Verdict> {
        self.note("the faults are over: draining");
        self.server.wait_ready().await?;
        // However few calls a slow machine has made until now.
        let again = &self.load.progress.answered_again;
        self.wait_for("a call that is answered again", || again.load(Ordering::Relaxed) > 0).await?;
        self.load.stop_producing().await?;
        let client = self.server.client()?;
        audit::wait_drained(&client, QUEUE).await.with_context(|| self.server.last_words())?;
        self.load.stop_working().await?;
        for worker in &mut self.workers {
            worker.process.kill()?;
        }
        audit::wait_drained(&client, QUEUE).await?;
        audit::audit(&client, QUEUE, &self.history).await?;
        self.server.stop().await?;
        self.server.verify()?;
        let verdict = checker::check(&history::read(&self.histories)?);
        if verdict.figures.completed == 0 || verdict.figures.answered_again == 0 {
            bail!("too little happened to show anything: {:?}", verdict.figures);
        }
        Ok(verdict)
    }
}

fn start_worker(program: &Path, settings: &WorkerSettings) -> anyhow::Result<Process> {
    let settings = serde_json::to_string(settings)?;
    Process::start(Command::new(program).args(["--worker", &settings]).stdin(Stdio::null()))
}
