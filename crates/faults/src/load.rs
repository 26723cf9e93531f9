//! The load: producers and workers, as tasks here and as processes that can be killed and stopped.
//!
//! A producer does not give up before it knows what became of a call: after silence it asks again under the same key, and
//! now and then it asks again though it knows. A worker does with a job what follows from the job's name and token:
//! mostly completes it, sometimes fails it, gives it back, extends it or lets its lease lapse; and sometimes it says
//! something under a token that is over.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tidegate::{Client, api::refusal::Code};
use tokio::task::JoinHandle;

use crate::caller::{Caller, Draft};
use crate::chance::{Chance, digest};
use crate::history::{Answer, History, How, Leased};

/// How long a call may take. Shorter than the server is stopped, so that callers give up on it.
const DEADLINE: Duration = Duration::from_secs(3);
/// How long a producer goes on asking about a call after it was told to stop.
const ASKS_ON: Duration = Duration::from_secs(60);
/// How long a worker asks the server to wait for jobs.
const WAIT_MS: u64 = 300;
/// Jobs that a worker leases at once, at most.
const LEASE_JOBS: u64 = 6;
/// Unfinished jobs at which producers rest, so that the end is not one long draining.
const BACKLOG_MAX: u64 = 1_500;

/// What the tasks here have reached, and whether they are to go on.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) accepted: AtomicU64,
    pub(crate) ended: AtomicU64,
    /// Calls that were accepted, asked again, and answered again.
    pub(crate) answered_again: AtomicU64,
    /// By producer.
    told: Mutex<Vec<Told>>,
    /// Unfinished jobs in the queue, as it last said.
    backlog: AtomicU64,
    stop_producing: AtomicBool,
    stop_working: AtomicBool,
}

/// How often a producer was told something. A producer asks one thing after the other: what it asks after it was told so was
/// asked after that.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Told {
    /// That the disk is full. What was accepted before is counted by then.
    pub(crate) disk_full: u64,
    /// Nothing certain, or that it may come again.
    pub(crate) in_vain: u64,
}

impl Progress {
    /// What each producer was told so far.
    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How much more often each producer was told nothing certain than it had been `before`.
    pub(crate) fn in_vain_since(&self, before: &[Told]) -> Vec<u64> {
        self.told().iter().zip(before).map(|(now, before)| now.in_vain - before.in_vain).collect()
    }

    fn tell(&self, producer: usize, told: impl FnOnce(&mut Told)) {
        told(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner)[producer]);
    }
}

/// How much there is to do.
#[derive(Debug, Clone)]
pub(crate) struct Demand {
    pub(crate) producers: u32,
    pub(crate) workers: u32,
    pub(crate) lease_ms: u64,
    /// How long a worker works on what it leased.
    pub(crate) work_ms: u64,
    /// The longest payload, about.
    pub(crate) payload_bytes: u64,
    /// The pause between two calls of a producer.
    pub(crate) pause_ms: u64,
}

/// Producers and workers as tasks.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) progress: Arc<Progress>,
    producers: Vec<JoinHandle<()>>,
    workers: Vec<JoinHandle<()>>,
    watcher: JoinHandle<()>,
}

/// What a worker's process is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorkerSettings {
    /// The server's address.
    pub url: String,
    /// The queue.
    pub queue: String,
    /// The worker's name.
    pub who: String,
    /// For how long it leases.
    pub lease_ms: u64,
    /// How long it works on what it leased.
    pub work_ms: u64,
    /// Where its history goes.
    pub history: PathBuf,
}

/// A worker's process: works until it is killed.
///
/// # Errors
/// An address that is none, or a history that cannot be written.
pub async fn work(settings: WorkerSettings) -> anyhow::Result<()> {
    let client = Client::connect(&settings.url)?.with_deadline(DEADLINE);
    let history = Arc::new(History::open(&settings.history)?);
    let caller = Caller::new(client, history, settings.who, settings.queue);
    // Nobody may be left behind when the scenario's process is killed.
    let parent = rustix::process::getppid();
    let orphaned = async {
        while rustix::process::getppid() == parent {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::select! {
        () = run_worker(caller, Arc::default(), settings.lease_ms, settings.work_ms) => {}
        () = orphaned => {}
    }
    Ok(())
}

/// Looks how many jobs are unfinished, so that producers can rest.
async fn watch(client: Client, queue: String, progress: Arc<Progress>) {
    let client = client.with_deadline(Duration::from_secs(1)).without_retries();
    loop {
        if let Ok(queue) = client.show_queue(&queue).await {
            let counts = queue.counts;
            progress.backlog.store(counts.scheduled + counts.ready + counts.leased, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

impl Load {
    pub(crate) fn start(
        url: &str,
        queue: &str,
        history: &Arc<History>,
        seed: u64,
        demand: &Demand,
    ) -> anyhow::Result<Self> {
        let told = Mutex::new(vec![Told::default(); demand.producers as usize]);
        let progress = Arc::new(Progress { told, ..Progress::default() });
        let caller = |who: String| -> anyhow::Result<Caller> {
            let client = Client::connect(url)?.with_deadline(DEADLINE);
            Ok(Caller::new(client, Arc::clone(history), who, queue.to_owned()))
        };
        let watcher = tokio::spawn(watch(Client::connect(url)?, queue.to_owned(), Arc::clone(&progress)));
        let mut load = Self { progress, producers: Vec::new(), workers: Vec::new(), watcher };
        for number in 0..demand.producers {
            let who = format!("{queue}-p{number}");
            let chance = Chance::new(seed, &who);
            let (number, demand) = (number as usize, demand.clone());
            let producer = Producer { caller: caller(who.clone())?, number, who, chance, demand };
            load.producers.push(tokio::spawn(producer.run(Arc::clone(&load.progress))));
        }
        for number in 0..demand.workers {
            let caller = caller(format!("{queue}-w{number}"))?;
            let progress = Arc::clone(&load.progress);
            load.workers.push(tokio::spawn(run_worker(caller, progress, demand.lease_ms, demand.work_ms)));
        }
        Ok(load)
    }

    /// Ends the producers, each when it knows what became of its last call.
    pub(crate) async fn stop_producing(&mut self) -> anyhow::Result<()> {
        self.progress.stop_producing.store(true, Ordering::Relaxed);
        for producer in self.producers.drain(..) {
            producer.await?;
        }
        Ok(())
    }

    /// Ends the workers, each after its call.
    pub(crate) async fn stop_working(&mut self) -> anyhow::Result<()> {
        self.progress.stop_working.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            worker.await?;
        }
        Ok(())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for task in self.producers.drain(..).chain(self.workers.drain(..)) {
            task.abort();
        }
        self.watcher.abort();
    }
}

/// What became of a call.
#[derive(Debug, Default)]
struct Known {
    accepted: u64,
    /// Something was refused because the disk is full.
    disk_full: bool,
}

struct Producer {
    caller: Caller,
    number: usize,
    who: String,
    chance: Chance,
    demand: Demand,
}

impl Producer {
    async fn run(mut self, progress: Arc<Progress>) {
        // With whether it was accepted.
        let mut sent: Vec<(String, Vec<Draft>, bool)> = Vec::new();
        let (mut calls, mut jobs) = (0, 0);
        while !progress.stop_producing.load(Ordering::Relaxed) {
            if progress.backlog.load(Ordering::Relaxed) < BACKLOG_MAX {
                let again = !sent.is_empty() && self.chance.percent(5);
                let known = if again {
                    let (key, drafts, was_accepted) =
                        sent[self.chance.below(sent.len() as u64) as usize].clone();
                    let known = self.ask_until_known(&key, &drafts, &progress).await;
                    let again = was_accepted && known.accepted > 0;
                    progress.answered_again.fetch_add(u64::from(again), Ordering::Relaxed);
                    known
                } else {
                    calls += 1;
                    let key = format!("{}-{calls}", self.who);
                    let drafts = self.draft(&mut jobs);
                    let known = self.ask_until_known(&key, &drafts, &progress).await;
                    progress.accepted.fetch_add(known.accepted, Ordering::Relaxed);
                    sent.push((key, drafts, known.accepted > 0));
                    known
                };
                if known.disk_full {
                    progress.tell(self.number, |told| told.disk_full += 1);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(self.demand.pause_ms.max(1))).await;
        }
    }

    fn draft(&mut self, jobs: &mut u64) -> Vec<Draft> {
        let count = 1 + self.chance.below(8);
        let mut drafts = Vec::new();
        for _ in 0..count {
            *jobs += 1;
            // A key is one producer's, so that the order in which its jobs are accepted is the order in which it asks.
            let key = self.chance.percent(60).then(|| format!("{}-k{}", self.who, self.chance.below(8)));
            let delay_ms =
                if key.is_none() && self.chance.percent(10) { 100 + self.chance.below(900) } else { 0 };
            let bytes = self.chance.below(self.demand.payload_bytes.max(1)) as usize;
            drafts.push(Draft::new(format!("{}-{jobs}", self.who), bytes, key, delay_ms));
        }
        drafts
    }

    /// Asks until something certain is heard, or it is told to stop and nothing is.
    async fn ask_until_known(&mut self, key: &str, drafts: &[Draft], progress: &Progress) -> Known {
        let mut told_to_stop = None;
        loop {
            // Half of the calls are left to the client's own tries; of the others every try is in the history.
            let once = self.chance.percent(50);
            match self.caller.enqueue(key, once, drafts).await {
                Answer::Enqueued(results) => {
                    return Known {
                        accepted: results.iter().filter(|result| result.is_ok()).count() as u64,
                        disk_full: results.contains(&Err(Code::DiskFull)),
                    };
                }
                Answer::Refused(Code::DiskFull) => return Known { accepted: 0, disk_full: true },
                // Nothing was done, this time, or perhaps; an earlier try may have been.
                Answer::Refused(_) | Answer::Unknown(_) => {
                    progress.tell(self.number, |told| told.in_vain += 1);
                }
                _ => return Known::default(),
            }
            if progress.stop_producing.load(Ordering::Relaxed) {
                let since = *told_to_stop.get_or_insert_with(Instant::now);
                if since.elapsed() > ASKS_ON {
                    return Known::default();
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What a worker does with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    Complete,
    ExtendAndComplete,
    Fail,
    FailAndComplete,
    Fatal,
    Release,
    Forget,
}

fn plan(job: &Leased) -> Plan {
    let name = job.name.as_deref().unwrap_or_default();
    // A job that is to die does so whoever gets it; everything else differs from lease to lease, and only early on.
    if digest(name.as_bytes()) % 100 < 2 {
        return Plan::Fatal;
    }
    match (Chance::new(job.token, name).below(100), job.attempt) {
        (_, 4..) => Plan::Complete,
        (0..8, _) => Plan::Fail,
        (8..11, _) => Plan::FailAndComplete,
        (11..15, _) => Plan::Release,
        (15..17, _) => Plan::Forget,
        (17..22, _) => Plan::ExtendAndComplete,
        _ => Plan::Complete,
    }
}

async fn run_worker(mut caller: Caller, progress: Arc<Progress>, lease_ms: u64, work_ms: u64) {
    let mut chance = Chance::new(0, &caller.queue);
    while !progress.stop_working.load(Ordering::Relaxed) {
        let max = 1 + chance.below(LEASE_JOBS) as u32;
        match caller.lease(max, WAIT_MS, lease_ms).await {
            Answer::Leased(jobs) if jobs.is_empty() => {}
            Answer::Leased(jobs) => {
                let pause = work_ms + chance.below(4);
                tokio::time::sleep(Duration::from_millis(pause)).await;
                settle(&mut caller, &jobs, lease_ms, &progress).await;
            }
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn settle(caller: &mut Caller, jobs: &[Leased], lease_ms: u64, progress: &Progress) {
    let planned = |plans: &[Plan]| -> Vec<Leased> {
        jobs.iter().filter(|job| plans.contains(&plan(job))).cloned().collect()
    };
    let steps = [
        (planned(&[Plan::ExtendAndComplete]), How::Extend(lease_ms)),
        (planned(&[Plan::Complete, Plan::ExtendAndComplete]), How::Complete),
        (planned(&[Plan::Fail, Plan::FailAndComplete]), How::Fail),
        (planned(&[Plan::Fatal]), How::Fatal),
        (planned(&[Plan::Release]), How::Release),
        // Under a token that is over by now; nothing may come of it.
        (planned(&[Plan::FailAndComplete]), How::Complete),
    ];
    for (jobs, how) in steps {
        if jobs.is_empty() {
            continue;
        }
        if let Answer::Settled(results) = caller.settle(&jobs, how).await
            && matches!(how, How::Complete | How::Fatal)
        {
            let ended = results.iter().filter(|result| result.is_ok()).count();
            progress.ended.fetch_add(ended as u64, Ordering::Relaxed);
        }
    }
}
