//! How fast the engine is without a door: `cargo run --release -p tidegate-engine --example load [WORKLOAD]
//! [SECONDS]`.
//!
//! Payloads of 256 bytes, one shard, a new directory under the system's temporary one (or under `LOAD_DIR`),
//! every answer after an fdatasync; with `LOAD_MEMORY` set, no disk at all, which shows what the disk costs.
//! Figures are printed, never judged: `tidegate bench` measures the server as its users see it.
#![allow(clippy::print_stdout, reason = "printing is what this program is for")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidegate_core::command::{self, Complete, Lease, NewJob};
use tidegate_engine::{Engine, Enqueue, Envelope, Options, Work};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let mut args = std::env::args().skip(1);
    let workload = args.next().unwrap_or_else(|| "all".into());
    let seconds = Duration::from_secs(args.next().map_or(3, |text| text.parse().expect("seconds")));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build();
    let runtime = runtime.expect("a runtime");
    let wanted = |name: &str| workload == "all" || workload == name;
    if wanted("lists") {
        runtime.block_on(enqueue("enqueue in lists of 100, 8 callers", 8, 100, seconds));
        runtime.block_on(enqueue("enqueue in lists of 100, 32 callers", 32, 100, seconds));
    }
    if wanted("singles") {
        runtime.block_on(enqueue("enqueue one by one, 64 callers", 64, 1, seconds));
        runtime.block_on(enqueue("enqueue one by one, 256 callers", 256, 1, seconds));
    }
    if wanted("life") {
        runtime.block_on(life(seconds));
    }
    if wanted("latency") {
        runtime.block_on(latency(seconds));
    }
    if let Some(count) = workload.strip_prefix("backlog=") {
        let count = count.parse().expect("a number of jobs");
        backlog(&runtime, count);
    }
}

fn open(directory: &tempfile::TempDir) -> Engine {
    match std::env::var_os("LOAD_MEMORY") {
        Some(_) => Engine::memory(Options::default()),
        None => Engine::open(directory.path(), Options::default()),
    }
    .expect("the engine opens")
}

fn directory() -> tempfile::TempDir {
    let root = std::env::var_os("LOAD_DIR").map_or_else(std::env::temp_dir, Into::into);
    tempfile::tempdir_in(root).expect("a temporary directory")
}

fn payload() -> Bytes {
    Bytes::from(format!("\"{}\"", "x".repeat(254)))
}

fn list(payload: &Bytes, count: usize) -> Enqueue {
    let mut command = command::Enqueue::new("load");
    command.kind("default");
    command.jobs = (0..count).map(|_| NewJob::new(0)).collect();
    Enqueue { command, payloads: vec![Envelope::json(payload.clone()); count] }
}

async fn enqueue(name: &str, callers: usize, count: usize, limit: Duration) {
    let directory = directory();
    let engine = open(&directory);
    let (jobs, started) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (engine, jobs, payload) = (engine.clone(), jobs.clone(), payload());
            tokio::spawn(async move {
                while started.elapsed() < limit {
                    engine.enqueue(list(&payload, count), None).await.expect("enqueued");
                    jobs.fetch_add(count as u64, Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no task panics");
    }
    report(name, jobs.load(Relaxed), started.elapsed(), &engine);
}

async fn life(limit: Duration) {
    let directory = directory();
    let engine = open(&directory);
    let (sent, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let over = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let (engine, sent, done, over) = (engine.clone(), sent.clone(), done.clone(), over.clone());
        tasks.push(tokio::spawn(async move {
            let payload = payload();
            while !over.load(Relaxed) {
                if sent.load(Relaxed) - done.load(Relaxed) > 20_000 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    continue;
                }
                engine.enqueue(list(&payload, 100), None).await.expect("enqueued");
                sent.fetch_add(100, Relaxed);
            }
        }));
    }
    for worker in 0..4 {
        let (engine, done, over) = (engine.clone(), done.clone(), over.clone());
        tasks.push(tokio::spawn(async move {
            let lease = Lease {
                queues: vec!["load".into()],
                max: 100,
                worker: format!("w{worker}"),
                ..Lease::default()
            };
            let mut complete = Vec::new();
            while !over.load(Relaxed) {
                let settled = complete.len() as u64;
                let work = command::Work { complete, lease: Some(lease.clone()), ..command::Work::default() };
                let answer =
                    engine.work(Work::from(work), Duration::from_millis(100), None).await.expect("worked");
                done.fetch_add(settled, Relaxed);
                complete = answer
                    .value
                    .leased
                    .iter()
                    .map(|leased| Complete { id: leased.job.id, token: leased.job.token, result_len: 0 })
                    .collect();
            }
        }));
    }
    tokio::time::sleep(limit).await;
    over.store(true, Relaxed);
    for task in tasks {
        task.await.expect("no task panics");
    }
    report(
        "whole life, lists of 100, 2 producers, 4 workers",
        done.load(Relaxed),
        started.elapsed(),
        &engine,
    );
}

async fn latency(limit: Duration) {
    let directory = directory();
    let engine = open(&directory);
    let started = Instant::now();
    let (worker, over) = (engine.clone(), Arc::new(AtomicBool::new(false)));
    let ends = over.clone();
    let delivered = tokio::spawn(async move {
        let lease = Lease { queues: vec!["load".into()], max: 100, worker: "w".into(), ..Lease::default() };
        let (mut complete, mut micros) = (Vec::new(), Vec::new());
        while !ends.load(Relaxed) {
            let work = command::Work { complete, lease: Some(lease.clone()), ..command::Work::default() };
            let answer =
                worker.work(Work::from(work), Duration::from_millis(100), None).await.expect("worked");
            let now = started.elapsed().as_micros() as u64;
            complete = Vec::new();
            for leased in answer.value.leased {
                let text = std::str::from_utf8(&leased.payload.payload).expect("text");
                micros.push(now - text.parse::<u64>().expect("a moment"));
                complete.push(Complete { id: leased.job.id, token: leased.job.token, result_len: 0 });
            }
        }
        micros
    });
    let mut next = Instant::now();
    while started.elapsed() < limit {
        // Bursts of what is due: an executor's timers are coarser than half a millisecond.
        tokio::time::sleep_until(next.into()).await;
        while next <= Instant::now() {
            let engine = engine.clone();
            let moment = Bytes::from(started.elapsed().as_micros().to_string());
            tokio::spawn(async move { engine.enqueue(list(&moment, 1), None).await.expect("enqueued") });
            next += Duration::from_micros(500);
        }
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    over.store(true, Relaxed);
    let mut micros = delivered.await.expect("the worker does not panic");
    micros.sort_unstable();
    let at = |share: f64| micros[((micros.len() - 1) as f64 * share) as usize];
    println!(
        "2,000 singles/s, enqueue to delivery: {} jobs, p50 {} µs, p99 {} µs, max {} µs",
        micros.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

fn backlog(runtime: &tokio::runtime::Runtime, count: u64) {
    let directory = directory();
    let engine = open(&directory);
    let tenth = count / 10;
    let mut rates = Vec::new();
    for _ in 0..10 {
        let (started, left) = (Instant::now(), Arc::new(AtomicU64::new(tenth / 100)));
        runtime.block_on(async {
            let tasks: Vec<_> = (0..8)
                .map(|_| {
                    let (engine, left, payload) = (engine.clone(), left.clone(), payload());
                    tokio::spawn(async move {
                        while left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
                            engine.enqueue(list(&payload, 100), None).await.expect("enqueued");
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("no task panics");
            }
        });
        rates.push(tenth as f64 / started.elapsed().as_secs_f64());
    }
    let status = engine.status();
    println!("backlog of {count}: first tenth {:.0} jobs/s, last tenth {:.0} jobs/s", rates[0], rates[9]);
    println!(
        "  RSS {} MiB, log {} MiB, cleanings {}",
        rss_mib(),
        status.shards[0].log_bytes >> 20,
        status.shards[0].cleanings
    );
    drop(engine);
    let started = Instant::now();
    let engine = Engine::open(directory.path(), Options::default()).expect("the engine opens again");
    println!(
        "  restart to ready {:.2} s, jobs {}",
        started.elapsed().as_secs_f64(),
        engine.status().shards[0].jobs
    );
}

fn rss_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) >> 10
}

fn report(name: &str, jobs: u64, elapsed: Duration, engine: &Engine) {
    let shard = &engine.status().shards[0];
    println!(
        "{name}: {:.0} jobs/s; {:.0} turns/s, {:.0} frames/s, log {} MiB, cleanings {}",
        jobs as f64 / elapsed.as_secs_f64(),
        shard.turns as f64 / elapsed.as_secs_f64(),
        shard.last as f64 / elapsed.as_secs_f64(),
        shard.log_bytes >> 20,
        shard.cleanings,
    );
}
