//! The engine with its threads, on real files.

mod common;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::*;
use tidegate_core::JobId;
use tidegate_core::command::{self, Lease};
use tidegate_core::outcome::Item;
use tidegate_core::policy::{QueueConfig, Retry};
use tidegate_core::pool::PoolConfig;
use tidegate_core::pool::command::{PoolOperation, Wish};
use tidegate_core::pool::view::PoolItem;
use tidegate_core::view::{JobFilter, JobState};
use tidegate_engine::limits::READ_PAUSE_MS;
use tidegate_engine::{
    CallError, Engine, Envelope, LogSource, OpenError, Options, PAYLOAD_DAMAGED, ShardState, ShardStatus,
    Stored, Worked, shard_of,
};
use tidegate_log::disk::simulated::SimulatedDisk;
use tidegate_log::{LocalLog, LocalOptions, Log, Opened};

/// Opens an engine on a directory, lets `script` work with it, and closes it.
fn check<T>(directory: &Path, options: Options, script: impl AsyncFnOnce(&Engine) -> T) -> T {
    let engine = Engine::open(directory, options).expect("the engine opens");
    wait(async {
        let result = script(&engine).await;
        engine.close().await.expect("the engine closes");
        result
    })
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Small segments and nothing kept in memory: every payload is read from a file.
fn tight() -> Options {
    let log = LocalOptions { segment_bytes: 64 << 10, recent_bytes: 0, ..LocalOptions::default() };
    Options { log, ..options() }
}

#[test]
fn a_restart_keeps_everything() {
    let directory = directory();
    let (first, held) = check(directory.path(), options(), async |engine| {
        let first = engine.enqueue(jobs("a", &["1", "2", "3"]), key("k", 1)).await.expect("enqueued");
        let held = engine.lease(wish(&["a"], 1), NO_WAIT, None).await.expect("leased").value;
        engine
            .pause(command::Pause { queue: "b".into(), ordering_key: None, paused: true }, None)
            .await
            .expect_err("no queue");
        engine.configure_queue("b", tidegate_core::policy::QueueConfig::DEFAULT, None).await.expect("made");
        (first, held)
    });
    check(directory.path(), options(), async |engine| {
        let again = engine.enqueue(jobs("a", &["1", "2", "3"]), key("k", 1)).await.expect("asked again");
        assert!(again.replayed && again.value == first.value, "the key was kept with its answer");
        let mismatch = engine.enqueue(jobs("a", &["4"]), key("k", 2)).await.expect_err("another body");
        assert!(matches!(mismatch, CallError::Refused { .. }));
        let names: Vec<_> = engine.queues().iter().map(|queue| queue.view.name.to_string()).collect();
        assert_eq!(names, ["a", "b"], "the first snapshot is there when the engine is");
        let settled = engine.work(complete(&held.leased), NO_WAIT, None).await.expect("settled").value;
        assert_eq!(ids(&settled.complete), [JobId::new(0, 1)], "the lease outlived the restart");
        assert_eq!(work_off(engine, "a").await.expect("worked off"), ["2", "3"]);
    });
}

#[test]
fn an_engine_that_is_dropped_has_closed_when_it_is_gone() {
    let directory = directory();
    let engine = Engine::open(directory.path(), options()).expect("the engine opens");
    wait(engine.enqueue(jobs("a", &["1"]), None)).expect("enqueued");
    drop(engine);
    let all = check(directory.path(), options(), async |engine| work_off(engine, "a").await);
    assert_eq!(all.expect("worked off"), ["1"]);
}

#[test]
fn a_directory_in_use_is_refused_by_name() {
    let directory = directory();
    let _owner = Engine::open(directory.path(), options()).expect("the engine opens");
    let refused = Engine::open(directory.path(), options()).expect_err("it is in use");
    let OpenError::Log { source: tidegate_log::OpenError::InUse { directory: named, pid }, .. } = refused
    else {
        panic!("{refused}");
    };
    assert!(named.starts_with(directory.path()));
    assert_eq!(pid, Some(std::process::id()));
}

#[test]
fn another_number_of_shards_is_refused_by_name() {
    let directory = directory();
    check(directory.path(), Options { shards: 2, ..options() }, async |_| {});
    let refused = Engine::open(directory.path(), options()).expect_err("it was made for two");
    assert!(matches!(refused, OpenError::ShardCount { found: 2, asked: 1, .. }), "{refused}");
}

#[test]
fn payloads_come_from_segments_when_memory_has_let_them_go() {
    let directory = directory();
    let payloads: Vec<String> =
        (0..1_000).map(|n| format!("{{\"n\":{n},\"pad\":\"{}\"}}", "x".repeat(200))).collect();
    let texts: Vec<&str> = payloads.iter().map(String::as_str).collect();
    check(directory.path(), tight(), async |engine| {
        for batch in texts.chunks(10) {
            engine.enqueue(jobs("a", batch), None).await.expect("enqueued");
        }
        assert_eq!(work_off(engine, "a").await.expect("worked off"), payloads);
    });
}

#[test]
fn everything_about_a_payload_comes_back() {
    let directory = directory();
    let payload = Envelope {
        metadata: vec![tidegate_engine::Metadata { name: "tenant".into(), value: "a".into() }],
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        ..Envelope::bytes(vec![0, 159, 146, 150])
    };
    let sent = payload.clone();
    check(directory.path(), tight(), async |engine| {
        let mut enqueue = jobs("a", &["0"]);
        enqueue.payloads = vec![sent];
        engine.enqueue(enqueue, None).await.expect("enqueued");
    });
    check(directory.path(), tight(), async |engine| {
        let worked = engine.lease(wish(&["a"], 1), NO_WAIT, None).await.expect("leased").value;
        assert_eq!(worked.leased[0].payload, payload);
        let job = engine.job(worked.leased[0].job.id, NO_WAIT).await.expect("a read").expect("a job");
        assert_eq!(job.payload, Stored::Here(payload));
    });
}

#[test]
fn a_damaged_payload_ends_as_a_dead_letter_that_says_so() {
    let directory = directory();
    check(directory.path(), tight(), async |engine| {
        engine
            .enqueue(jobs("a", &["\"sound before\"", "\"damage me\"", "\"sound behind\""]), None)
            .await
            .expect("enqueued");
        flip(&directory.path().join("shard-0"), b"damage me");
        let worked = engine.lease(wish(&["a"], 10), NO_WAIT, None).await.expect("leased").value;
        assert_eq!(texts(&worked), ["\"sound before\"", "\"sound behind\""]);
        assert_eq!(worked.damaged.len(), 1);
        assert!(worked.damaged[0].why.contains(".segment"), "the file is named: {}", worked.damaged[0].why);
        let id = worked.damaged[0].id;
        // A wait for the end of the job: failing it is a call of its own.
        let job = engine.job(id, LONG).await.expect("a read").expect("the job is not lost");
        assert_eq!(job.view.state, JobState::Dead);
        assert_eq!(job.view.failures[0].kind.as_deref(), Some(PAYLOAD_DAMAGED));
        assert!(matches!(job.payload, Stored::Damaged(_)));
        let edited = engine.edit(id, Envelope::json("\"mended\""), None).await.expect("edited").value;
        assert_eq!(ids(&[edited]), [id]);
        let filter = command::DeadFilter { queue: "a".into(), ..Default::default() };
        let redrive = command::Redrive { filter, rate_per_s: None, stop_after_dead: 0 };
        engine.redrive(redrive, None).await.expect("redriven");
        let worked = engine.lease(wish(&["a"], 10), LONG, None).await.expect("leased").value;
        assert_eq!(texts(&worked), ["\"mended\""]);
    });
}

/// A log on a simulated disk that keeps nothing in memory; each opening goes on with what is there.
fn on(disk: &SimulatedDisk) -> LogSource {
    let disk = disk.clone();
    Box::new(move || {
        let options = LocalOptions { recent_bytes: 0, spares: 0, ..LocalOptions::default() };
        let Opened { log, recovery } = LocalLog::open_on(Arc::new(disk.clone()), options)?;
        Ok(Opened { log: Arc::new(log) as Arc<dyn Log>, recovery })
    })
}

/// Seen live: while the disk refused to read, all jobs of each lease were failed, and jobs with one attempt died of it.
#[test]
fn a_disk_that_refuses_to_read_costs_no_attempt() {
    let disk = SimulatedDisk::new();
    let clock = Arc::new(HandClock::new());
    let open = || {
        let options = Options { clock: clock.clone(), ..options() };
        Engine::start(vec![on(&disk)], options).expect("the engine starts")
    };
    let expected = ["\"1\"", "\"2\"", "\"3\""];
    wait(async {
        let engine = open();
        let once = Retry { max_attempts: 1, ..Retry::DEFAULT };
        engine
            .configure_queue("a", QueueConfig { retry: once, ..QueueConfig::DEFAULT }, None)
            .await
            .expect("made");
        engine.enqueue(jobs("a", &expected), None).await.expect("enqueued");
        engine.close().await.expect("the engine closes");

        // After a restart nothing of it is in memory.
        let engine = open();
        disk.fail_reads(0, u64::MAX);
        let worked = engine.lease(wish(&["a"], 10), NO_WAIT, None).await.expect("an answer").value;
        assert_eq!((worked.leased.len(), worked.damaged.len(), worked.unread.len()), (0, 0, 3), "{worked:?}");
        assert!(worked.unread[0].why.contains("refuses to read"), "{}", worked.unread[0].why);
        assert_eq!(engine.status().shards[0].reads_refused, 3);
        let job = engine.job(JobId::new(0, 1), NO_WAIT).await.expect("a read").expect("a job");
        assert!(matches!(&job.payload, Stored::Damaged(why) if why.contains("refuses to read")), "{job:?}");
        // They rest, so that whoever asks at once is not given the same again.
        let again = engine.lease(wish(&["a"], 10), NO_WAIT, None).await.expect("an answer").value;
        assert_eq!(again, Worked::default());
        // A repeated call may have better luck: what it gets is its own and does not go back.
        clock.pass(READ_PAUSE_MS);
        let ask = || engine.lease(wish(&["a"], 1), NO_WAIT, key("k", 1));
        let unlucky = ask().await.expect("an answer").value;
        assert_eq!((unlucky.leased.len(), unlucky.unread.len()), (0, 1));
        disk.fail_reads(0, 0);
        let lucky = ask().await.expect("an answer");
        assert!(lucky.replayed);
        assert_eq!(texts(&lucky.value), expected[..1]);
        clock.pass(READ_PAUSE_MS);
        let settled = engine.work(complete(&lucky.value.leased), NO_WAIT, None).await.expect("settled").value;
        assert_eq!(ids(&settled.complete), [JobId::new(0, 1)]);
        // What rests when the engine is closed goes back then.
        disk.fail_reads(0, u64::MAX);
        let worked = engine.lease(wish(&["a"], 10), NO_WAIT, None).await.expect("an answer").value;
        assert_eq!(worked.unread.len(), 2);
        engine.close().await.expect("the engine closes");

        disk.fail_reads(0, 0);
        let engine = open();
        let worked = engine.lease(wish(&["a"], 10), NO_WAIT, None).await.expect("leased").value;
        assert_eq!(texts(&worked), expected[1..]);
        assert!(worked.leased.iter().all(|leased| leased.job.attempt == 1), "{worked:?}");
        engine.close().await.expect("the engine closes");
    });
}

#[test]
fn a_log_is_not_cleaned_while_the_disk_refuses_to_read_and_loses_nothing() {
    let disk = SimulatedDisk::new();
    let clock = Arc::new(HandClock::new());
    let cleaning = tidegate_engine::Cleaning { slack_bytes: 64 << 10, step_bytes: 16 << 10, pause_ms: 1 };
    let small =
        LocalOptions { segment_bytes: 64 << 10, recent_bytes: 0, spares: 0, ..LocalOptions::default() };
    let platter = disk.clone();
    let source: LogSource = Box::new(move || {
        let Opened { log, recovery } = LocalLog::open_on(Arc::new(platter.clone()), small.clone())?;
        Ok(Opened { log: Arc::new(log) as Arc<dyn Log>, recovery })
    });
    let options = Options { clock: clock.clone(), cleaning, ..options() };
    let engine = Engine::start(vec![source], options).expect("the engine starts");
    let pad = format!("\"{}\"", "x".repeat(30_000));
    wait(async {
        engine.enqueue(jobs("stays", &["\"kept\""]), None).await.expect("enqueued");
        // Jobs that are cancelled unread: nobody but the walk reads.
        let passes = async || {
            let items = engine.enqueue(jobs("passes", &[&pad]), None).await.expect("enqueued").value;
            engine.cancel(ids(&items)[0], None).await.expect("cancelled");
            clock.pass(100);
        };
        disk.fail_reads(0, u64::MAX);
        while engine.status().shards[0].reads_refused < 3 {
            passes().await;
        }
        assert_eq!(engine.status().shards[0].cleanings, 0);
        disk.fail_reads(0, 0);
        while engine.status().shards[0].cleanings == 0 {
            passes().await;
        }
        assert_eq!(work_off(&engine, "stays").await.expect("worked off"), ["\"kept\""]);
        engine.close().await.expect("the engine closes");
    });
}

/// Flips a bit of the first place in a log's files that holds `text`.
fn flip(log: &Path, text: &[u8]) {
    for entry in fs::read_dir(log).expect("the log's directory").map(|entry| entry.expect("an entry").path())
    {
        // A spare segment may get its name at this moment.
        let Ok(bytes) = fs::read(&entry) else { continue };
        if let Some(at) = bytes.windows(text.len()).position(|window| window == text) {
            let file = fs::OpenOptions::new().write(true).open(&entry).expect("a file to damage");
            file.write_all_at(&[bytes[at] ^ 1], at as u64).expect("damage");
            return;
        }
    }
    panic!("no file of the log holds the text");
}

#[test]
fn a_full_disk_refuses_new_work_and_lets_old_work_be_finished() {
    let directory = directory();
    let first = check(directory.path(), options(), async |engine| {
        engine.enqueue(jobs("a", &["1"]), key("k", 1)).await.expect("enqueued")
    });
    // A reserve that no disk has.
    let full = Options { disk_reserve_bytes: u64::MAX, ..options() };
    check(directory.path(), full, async |engine| {
        let refused = engine.enqueue(jobs("a", &["2"]), None).await.expect_err("there is no room");
        assert!(
            matches!(refused, CallError::DiskFull { .. }) && refused.retry_after_ms().is_some(),
            "{refused}"
        );
        assert!(engine.status().shards[0].disk_full);
        let again = engine.enqueue(jobs("a", &["1"]), key("k", 1)).await.expect("its answer takes no room");
        assert!(again.replayed && again.value == first.value, "what was accepted stays accepted");
        assert_eq!(work_off(engine, "a").await.expect("worked off"), ["1"]);
    });
    check(directory.path(), options(), async |engine| {
        engine.enqueue(jobs("a", &["2"]), None).await.expect("there is room again");
    });
}

#[test]
fn a_full_disk_takes_no_configurations_and_remembers_nothing_that_changed_nothing() {
    let directory = directory();
    let wish_of = |holder: &str| Wish {
        pool: "seats".into(),
        holder: holder.into(),
        units: 1,
        group: None,
        hold_ms: None,
    };
    let leave = |holder: &str| PoolOperation::Leave { pool: "seats".into(), holder: holder.into() };
    let config = PoolConfig { waitlist_max: 5, ..PoolConfig::of(1) };
    let pause = |ordering_key: Option<&str>, paused| command::Pause {
        queue: "a".into(),
        ordering_key: ordering_key.map(Into::into),
        paused,
    };
    check(directory.path(), options(), async |engine| {
        engine.enqueue(jobs("a", &["1"]), None).await.expect("enqueued");
        engine.configure_pool("seats", config.clone(), None).await.expect("configured");
        let asks = vec![PoolOperation::Take(wish_of("anna")), PoolOperation::Join(wish_of("bert"))];
        engine.pools(asks, None).await.expect("decided");
    });
    let full = Options { disk_reserve_bytes: u64::MAX, ..options() };
    check(directory.path(), full, async |engine| {
        let other = PoolConfig { capacity: 9, ..config.clone() };
        let refused = [
            engine.configure_pool("seats", other.clone(), None).await.map(drop),
            engine.configure_pool("new", other, key("new", 1)).await.map(drop),
            engine.resize_pool("seats", 2, None).await.map(drop),
            engine.configure_queue("new", QueueConfig::DEFAULT, None).await.map(drop),
            engine.pause(pause(Some("k"), true), None).await.map(drop),
            engine.edit(JobId::new(0, 1), Envelope::json("2"), None).await.map(drop),
            engine.pools(vec![PoolOperation::Join(wish_of("carl"))], None).await.map(drop),
        ];
        for (n, refused) in refused.into_iter().enumerate() {
            assert!(matches!(refused, Err(CallError::DiskFull { .. })), "{n}: {refused:?}");
        }
        let frames = || engine.status().shards[0].last;
        let before = frames();
        // What is so already can be said again: a worker that starts does.
        engine.configure_queue("a", QueueConfig::DEFAULT, key("same", 1)).await.expect("it is so");
        engine.configure_pool("seats", config.clone(), None).await.expect("it is so");
        engine.resize_pool("seats", 1, None).await.expect("it is so");
        for n in 0..3 {
            let holder = format!("nobody-{n}");
            for key in [None, key(&holder, 1), key(&holder, 1)] {
                let told = engine.pools(vec![leave(&holder)], key).await.expect("decided");
                assert!(!told.replayed && matches!(told.value[0].item, Item::Refused(_)), "{told:?}");
            }
            for _ in 0..2 {
                let refused = engine.cancel(JobId::new(0, 99), key(&format!("cancel {n}"), 1)).await;
                assert!(matches!(refused, Err(CallError::Refused { replayed: false, .. })), "{refused:?}");
            }
            let resumed = engine.pause(pause(None, false), key(&format!("resume {n}"), 1)).await;
            assert!(!resumed.expect("it is not paused").replayed);
        }
        assert_eq!(frames(), before, "nothing was written of what changed nothing");
        assert_eq!(engine.holder("nobody-1").await.expect("read"), None, "no story begins");
        // What gives back is done, and remembered.
        for replayed in [false, true] {
            let left = engine.pools(vec![leave("bert")], key("leave", 1)).await.expect("decided");
            assert_eq!(left.replayed, replayed);
            assert!(matches!(left.value[0].item, Item::Pool(PoolItem::Left { .. })), "{left:?}");
        }
        let anna = engine.holder("anna").await.expect("read").expect("she has a unit").grants[0].id;
        engine.pools(vec![PoolOperation::Release(anna)], None).await.expect("given back");
        engine.delete_pool("seats", key("delete", 1)).await.expect("deleted");
        engine.pause(pause(None, true), None).await.expect("paused");
        engine.pause(pause(None, false), None).await.expect("resumed");
        engine.cancel(JobId::new(0, 1), None).await.expect("cancelled");
    });
    check(directory.path(), options(), async |engine| {
        assert_eq!(engine.pool("seats"), None);
        engine.configure_pool("seats", config.clone(), None).await.expect("there is room again");
    });
}

#[test]
fn several_shards_are_one_engine() {
    let directory = directory();
    let options = || Options { shards: 4, ..options() };
    let queues: Vec<String> = (0..8).map(|n| format!("queue-{n}")).collect();
    let names: Vec<&str> = queues.iter().map(String::as_str).collect();
    assert!(
        (0..4).all(|shard| queues.iter().any(|queue| shard_of(queue, 4) == shard)),
        "every shard has one"
    );
    check(directory.path(), options(), async |engine| {
        for queue in &names {
            let items = engine.enqueue(jobs(queue, &[queue, queue]), None).await.expect("enqueued").value;
            assert!(ids(&items).iter().all(|id| id.shard() == shard_of(queue, 4)));
        }
    });
    check(directory.path(), options(), async |engine| {
        let worked = engine.lease(wish(&names, 100), NO_WAIT, None).await.expect("leased").value;
        assert_eq!(worked.leased.len(), 16);
        let mut round = complete(&worked.leased);
        round.command.complete[3].token = tidegate_core::Token(999);
        let stranger = JobId::new(9, 1);
        round.command.complete.push(command::Complete {
            id: stranger,
            token: tidegate_core::Token(1),
            result_len: 0,
        });
        let settled = engine.work(round, NO_WAIT, None).await.expect("settled").value.complete;
        let refused = |at: usize| matches!(settled[at], tidegate_core::outcome::Item::Refused(_));
        assert!(refused(3) && refused(16), "{settled:?}");
        assert_eq!(
            settled.iter().filter(|item| matches!(item, tidegate_core::outcome::Item::Is { .. })).count(),
            15
        );

        let mut seen = Vec::new();
        let mut cursor = Some(0);
        while let Some(at) = cursor {
            let page = engine.list(JobFilter::default(), at, 3).await.expect("a page");
            seen.extend(page.jobs.iter().map(|job| job.id));
            cursor = page.next;
        }
        assert_eq!(seen.len(), 16);
        assert!(seen.is_sorted() && engine.queues().len() == 8);
    });
}

#[test]
fn a_long_poll_over_several_shards_hears_from_any() {
    let directory = directory();
    let queues: Vec<String> = (0..8).map(|n| format!("queue-{n}")).collect();
    let names: Vec<&str> = queues.iter().map(String::as_str).collect();
    check(directory.path(), Options { shards: 4, ..options() }, async |engine| {
        for queue in &names {
            let waiting = engine.lease(wish(&names, 1), LONG, None);
            let (worked, enqueued) = both(waiting, engine.enqueue(jobs(queue, &[queue]), None)).await;
            enqueued.expect("enqueued");
            assert_eq!(texts(&worked.expect("leased").value), [*queue]);
        }
    });
}

/// Waits for two futures, of which the first is polled first.
async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (std::pin::pin!(a), std::pin::pin!(b));
    let (mut a_is, mut b_is) = (None, None);
    std::future::poll_fn(|context| {
        if a_is.is_none()
            && let std::task::Poll::Ready(value) = a.as_mut().poll(context)
        {
            a_is = Some(value);
        }
        if b_is.is_none()
            && let std::task::Poll::Ready(value) = b.as_mut().poll(context)
        {
            b_is = Some(value);
        }
        if a_is.is_some() && b_is.is_some() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    (a_is.expect("it is there"), b_is.expect("it is there"))
}

#[test]
fn a_shard_starts_over_by_itself_after_its_log_failed() {
    let (source, log) = watched_memory();
    let restart = tidegate_engine::Restart { tries_max: 5, delay_ms: 1, delay_ms_max: 1 };
    let engine = Engine::start(vec![source], Options { restart, ..options() }).expect("the engine starts");
    wait(async {
        engine.enqueue(jobs("a", &["kept"]), None).await.expect("enqueued");
        log.current().hold();
        let lost = both(engine.enqueue(jobs("a", &["lost"]), None), async {
            log.frames(3);
            log.current().fail("no such luck");
        });
        let (lost, ()) = lost.await;
        assert!(matches!(lost, Err(CallError::OutcomeUnknown { .. })), "{lost:?}");
        // It comes back without being asked to.
        let is_back = |shard: &ShardStatus| shard.state == ShardState::Serving && shard.restarts == 1;
        while !is_back(&engine.status().shards[0]) {
            std::thread::yield_now();
        }
        assert_eq!(work_off(&engine, "a").await.expect("worked off"), ["kept"]);
        engine.close().await.expect("the engine closes");
    });
}

#[test]
fn a_slow_disk_fills_the_inbox_and_then_the_door_says_no() {
    let (source, log) = watched_memory();
    let bounds = Options { in_flight_bytes_max: 1, inbox_calls_max: 3, ..options() };
    let engine = Engine::start(vec![source], bounds).expect("the engine starts");
    log.current().hold();
    let enqueue = || engine.enqueue(jobs("a", &["1"]), None);
    let mut asked = vec![Asked::new(enqueue())];
    // The seed of a new log, and the first call; from now on too much is in flight.
    log.frames(2);
    asked.extend((0..3).map(|_| Asked::new(enqueue())));
    let refused = wait(enqueue());
    assert!(matches!(refused, Err(CallError::InboxFull { calls: 3, .. })), "{refused:?}");
    assert_eq!(log.current().status().last.0, 2, "no turn while too much is in flight");
    log.current().release();
    wait(async {
        for asked in asked {
            asked.finish().await.expect("enqueued");
        }
    });
}

#[test]
fn a_shard_that_cannot_start_over_says_why_and_gives_up() {
    let (mut source, log) = watched_memory();
    let broken = Arc::new(AtomicBool::new(false));
    let breaks = Arc::clone(&broken);
    let source: LogSource = Box::new(move || {
        if breaks.load(Ordering::SeqCst) {
            return Err(tidegate_log::OpenError::Options("the disk is gone".into()));
        }
        source()
    });
    let restart = tidegate_engine::Restart { tries_max: 2, delay_ms: 1, delay_ms_max: 1 };
    let engine = Engine::start(vec![source], Options { restart, ..options() }).expect("the engine starts");
    wait(async {
        engine.enqueue(jobs("a", &["1"]), None).await.expect("enqueued");
        broken.store(true, Ordering::SeqCst);
        log.current().fail("no such luck");
        while !matches!(&engine.status().shards[0].state, ShardState::Stopped(why) if why.contains("the disk is gone"))
        {
            std::thread::yield_now();
        }
        let refused = engine.enqueue(jobs("a", &["2"]), None).await.expect_err("it has given up");
        assert!(
            matches!(&refused, CallError::Unavailable { why, .. } if why.contains("the disk is gone")),
            "{refused}"
        );
        engine.readiness(LONG).await.expect_err("it is not ready");
        engine.close().await.expect_err("it did not end well");
    });
}

#[test]
fn closing_answers_everybody() {
    let engine = Engine::memory(options()).expect("the engine starts");
    wait(async {
        let items = engine.enqueue(jobs("a", &["1"]), None).await.expect("enqueued").value;
        let held = engine.lease(wish(&["a"], 1), NO_WAIT, None).await.expect("leased");
        assert_eq!(held.value.leased.len(), 1);
        let ((worked, job), closed) = both(
            both(engine.lease(wish(&["a"], 1), LONG, None), engine.job(ids(&items)[0], LONG)),
            engine.close(),
        )
        .await;
        closed.expect("the engine closes");
        assert_eq!(worked.expect("an answer").value.leased, []);
        assert_eq!(job.expect("an answer").expect("a job").view.state, JobState::Leased);
        let late = engine.enqueue(jobs("a", &["2"]), None).await;
        assert_eq!(late, Err(CallError::ShuttingDown));
    });
}

#[test]
fn calls_are_good_on_any_thread() {
    fn movable<T: Send>(_: &T) {}
    let engine = Engine::memory(options()).expect("the engine starts");
    movable(&engine.enqueue(jobs("a", &["1"]), None));
    movable(&engine.work(complete(&[]), NO_WAIT, None));
    movable(&engine.job(JobId::new(0, 1), NO_WAIT));
    movable(&engine.readiness(NO_WAIT));
    movable(&engine.close());
}

#[test]
fn cleaning_trims_the_log_and_loses_nothing() {
    let directory = directory();
    let clock = Arc::new(HandClock::new());
    let cleaning = tidegate_engine::Cleaning { slack_bytes: 256 << 10, step_bytes: 16 << 10, pause_ms: 1 };
    let options = || Options { cleaning, clock: clock.clone(), ..tight() };
    let pad = "x".repeat(1_000);
    let numbered = |n: u64| format!("\"{n} {pad}\"");
    let old: Vec<String> = (0..20).map(numbered).collect();
    let (held, bytes) = check(directory.path(), options(), async |engine| {
        // A few that stay: some wait, one is leased, one has its answer kept.
        let texts: Vec<&str> = old.iter().map(String::as_str).collect();
        engine.enqueue(jobs("stays", &texts), key("k", 1)).await.expect("enqueued");
        let held =
            engine.lease(Lease { lease_ms: Some(43_200_000), ..wish(&["stays"], 1) }, NO_WAIT, None).await;
        let held = held.expect("leased").value;
        // Many that pass.
        let mut rounds = 0;
        while engine.status().shards[0].cleanings < 3 {
            let passing: Vec<String> = (0..50).map(|n| numbered(1_000 + n)).collect();
            let texts: Vec<&str> = passing.iter().map(String::as_str).collect();
            engine.enqueue(jobs("passes", &texts), None).await.expect("enqueued");
            assert_eq!(work_off(engine, "passes").await.expect("worked off"), passing);
            clock.pass(100);
            rounds += 1;
            assert!(rounds < 10_000, "the log is never cleaned: {:?}", engine.status());
        }
        (held, rounds * 50 * 1_000)
    });
    let on_disk: u64 = fs::read_dir(directory.path().join("shard-0"))
        .expect("the log's directory")
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".segment"))
        .map(|entry| entry.metadata().expect("metadata").len())
        .sum();
    assert!(on_disk < bytes, "{on_disk} bytes are left of more than {bytes}");
    check(directory.path(), options(), async |engine| {
        let texts: Vec<&str> = old.iter().map(String::as_str).collect();
        let again = engine.enqueue(jobs("stays", &texts), key("k", 1)).await.expect("asked again");
        assert!(again.replayed, "the kept answer was carried on");
        let settled = engine.work(complete(&held.leased), NO_WAIT, None).await.expect("settled").value;
        assert_eq!(ids(&settled.complete), [JobId::new(0, 1)], "the lease was carried on");
        assert_eq!(work_off(engine, "stays").await.expect("worked off"), old[1..]);
        let new = engine.enqueue(jobs("new", &["1"]), None).await.expect("enqueued").value;
        assert!(ids(&new)[0].sequence() > 20, "ids go on");
    });
}

#[test]
fn a_damaged_payload_is_carried_on_as_damaged_when_the_log_is_cleaned() {
    let directory = directory();
    let clock = Arc::new(HandClock::new());
    let cleaning = tidegate_engine::Cleaning { slack_bytes: 256 << 10, step_bytes: 16 << 10, pause_ms: 1 };
    let options = || Options { cleaning, clock: clock.clone(), ..tight() };
    let pad = "x".repeat(60_000);
    check(directory.path(), options(), async |engine| {
        engine.enqueue(jobs("stays", &["\"damage me\"", "\"sound\""]), None).await.expect("enqueued");
        flip(&directory.path().join("shard-0"), b"damage me");
        for round in 0.. {
            if engine.status().shards[0].cleanings >= 1 {
                break;
            }
            assert!(round < 10_000, "the log is never cleaned: {:?}", engine.status());
            engine.enqueue(jobs("passes", &[&pad]), None).await.expect("enqueued");
            work_off(engine, "passes").await.expect("worked off");
            clock.pass(100);
        }
    });
    check(directory.path(), options(), async |engine| {
        let worked = engine.lease(wish(&["stays"], 10), NO_WAIT, None).await.expect("leased").value;
        assert_eq!(texts(&worked), ["\"sound\""]);
        assert_eq!(worked.damaged.len(), 1);
        let job = engine.job(worked.damaged[0].id, LONG).await.expect("a read").expect("the job is not lost");
        assert_eq!(job.view.state, JobState::Dead);
    });
}

/// A disk whose syncs fail now and then, under the local log. Callers who hear that an outcome is unknown ask
/// again with the same key, as they are told to.
#[test]
fn failing_syncs_lose_nothing_and_do_nothing_twice() {
    let disk = SimulatedDisk::new();
    let platter = disk.clone();
    let source: LogSource = Box::new(move || {
        let options = LocalOptions { segment_bytes: 64 << 10, spares: 0, ..LocalOptions::default() };
        let Opened { log, recovery } = LocalLog::open_on(Arc::new(platter.clone()), options)?;
        Ok(Opened { log: Arc::new(log) as Arc<dyn Log>, recovery })
    });
    // Fewer tries than failures: each time it serves again, it has all of them again.
    let restart = tidegate_engine::Restart { tries_max: 2, delay_ms: 1, delay_ms_max: 1 };
    let engine = Engine::start(vec![source], Options { restart, ..options() }).expect("the engine starts");
    wait(async {
        let mut expected = Vec::new();
        for n in 0..60 {
            if n % 7 == 3 {
                disk.fail_next_sync();
            }
            let (text, name) = (n.to_string(), format!("key-{n}"));
            loop {
                match engine.enqueue(jobs("a", &[&text]), key(&name, n)).await {
                    Ok(answer) => break assert_eq!(answer.value.len(), 1),
                    Err(CallError::OutcomeUnknown { .. } | CallError::Unavailable { .. }) => {
                        std::thread::yield_now()
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            expected.push(text);
        }
        assert!(engine.status().shards[0].restarts >= 8, "the syncs did fail: {:?}", engine.status());
        assert_eq!(work_off(&engine, "a").await.expect("worked off"), expected);
        engine.close().await.expect("the engine closes");
    });
}

/// `/proc` takes no directories, whoever asks: as good as a read-only file system.
#[test]
fn a_directory_that_cannot_be_written_is_refused_by_its_name() {
    let refused =
        Engine::open("/proc/tidegate-data", Options::default()).expect_err("nothing can be made there");
    let said = refused.to_string();
    assert!(said.contains("/proc/tidegate-data"), "{said}");
}
