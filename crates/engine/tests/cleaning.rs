//! When a log is cleaned and when it is left alone, and how soon a disk that fills is noticed: the local log
//! on a disk in memory.

mod common;

use std::sync::Arc;

use common::*;
use tidegate_core::command::{Fail, Pause};
use tidegate_core::{JobId, command};
use tidegate_engine::{CallError, Cleaning, Clock, Engine, LogSource, Options};
use tidegate_log::disk::simulated::SimulatedDisk;
use tidegate_log::{LocalLog, LocalOptions, Log, Opened};

fn open(disk: &SimulatedDisk) -> Result<Opened<Arc<dyn Log>>, tidegate_log::OpenError> {
    let options = LocalOptions { segment_bytes: 16 << 10, spares: 0, ..LocalOptions::default() };
    let Opened { log, recovery } = LocalLog::open_on(Arc::new(disk.clone()), options)?;
    Ok(Opened { log: Arc::new(log) as Arc<dyn Log>, recovery })
}

/// Fills a log, and then lets time pass in which nobody writes. The log is cleaned `cleanings` times and then
/// left alone.
fn check_idle(cleanings: u64, fill: impl AsyncFnOnce(&Engine)) {
    let disk = SimulatedDisk::new();
    let source: LogSource = Box::new(move || open(&disk));
    let clock = Arc::new(HandClock::new());
    let cleaning = Cleaning { slack_bytes: 64 << 10, step_bytes: 16 << 10, pause_ms: 1 };
    let options = Options { cleaning, clock: clock.clone(), ..options() };
    let engine = Engine::start(vec![source], options).expect("the engine starts");
    // So many looks at the log, with time for a walk in between. A read is a turn that writes nothing.
    let idle = async |looks: usize| {
        for _ in 0..looks * 50 {
            clock.pass(20);
            engine.job(JobId::new(0, 1), NO_WAIT).await.expect("a read");
        }
        engine.status().shards[0].clone()
    };
    wait(async {
        fill(&engine).await;
        let settled = idle(10).await;
        let later = idle(20).await;
        assert!(later.log_bytes > 128 << 10, "there is enough to be tempted: {later:?}");
        assert_eq!(settled.cleanings, cleanings);
        assert_eq!(later.cleanings, cleanings, "nothing was written, and nothing died: {later:?}");
        assert_eq!(later.last, settled.last);
        engine.close().await.expect("the engine closes");
    });
}

#[test]
fn kept_answers_are_not_rewritten_for_ever() {
    check_idle(0, async |engine| {
        for n in 0..1_000 {
            let name = format!("{n:0>200}");
            engine.enqueue(jobs("a", &["1"]), key(&name, n)).await.expect("enqueued");
        }
        work_off(engine, "a").await.expect("worked off");
    });
}

#[test]
fn failures_are_not_rewritten_for_ever() {
    check_idle(0, async |engine| {
        for _ in 0..200 {
            engine.enqueue(jobs("a", &["1"]), None).await.expect("enqueued");
            let held = engine.lease(wish(&["a"], 1), NO_WAIT, None).await.expect("leased").value;
            let fail = held.leased.iter().map(|leased| Fail {
                id: leased.job.id,
                token: leased.job.token,
                message: "x".repeat(1_000),
                kind: None,
                dependency: None,
                retry_after_ms: None,
                fatal: true,
            });
            let work = command::Work { fail: fail.collect(), ..Default::default() };
            engine.work(work.into(), NO_WAIT, None).await.expect("failed");
        }
    });
}

/// Paused keys are in no estimate: the log is cleaned once, in vain, and then not again before it has grown.
#[test]
fn a_walk_in_vain_is_not_repeated() {
    check_idle(1, async |engine| {
        engine.enqueue(jobs("a", &["1"]), None).await.expect("enqueued");
        for n in 0..1_000 {
            let ordering_key = Some(format!("{n:0>200}"));
            engine
                .pause(Pause { queue: "a".into(), ordering_key, paused: true }, None)
                .await
                .expect("paused");
        }
        work_off(engine, "a").await.expect("worked off");
    });
}

/// The clock stands still, so nothing but the shard's own writing makes it look at the disk.
#[test]
fn a_disk_that_fills_between_two_looks_refuses_new_work_before_it_fails() {
    let disk = SimulatedDisk::new();
    disk.limit(Some(512 << 10));
    let clock = Arc::new(HandClock::new());
    let options = Options { clock: clock.clone(), disk_reserve_bytes: 256 << 10, readers: 0, ..options() };
    let (engine, mut solo) = Engine::solo(open(&disk).expect("a new log"), options).expect("a new shard");
    let text = "x".repeat(10_000);
    let mut taken = 0;
    let refused = loop {
        let asked = Asked::new(engine.enqueue(jobs("a", &[&text]), None));
        solo.turn(clock.now()).expect("the log is not full");
        match wait(asked.finish()) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, CallError::DiskFull { .. }), "{refused}");
    assert!(taken > 10, "there was room for more than {taken}");
}
