//! A worker and its leases over a real server: batches, prefetch, lost leases, restarts, other workers' kinds, weights,
//! and the end.

mod support;

use std::{
    collections::BTreeMap,
    future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use support::{House, Working};
use tidegate::{
    BatchOptions, Client, Failure, Job, ProgressError, Worker, WorkerError,
    api::{id::JobId, words::JobState},
};
use tokio::sync::{Notify, Semaphore, mpsc};

/// Long enough for a machine that stands still for some seconds; a third of it is waited for, since heartbeats come then.
const LEASE: Duration = Duration::from_secs(9);

/// Says when it is dropped.
struct Dropped(mpsc::UnboundedSender<JobId>, JobId);

impl Drop for Dropped {
    fn drop(&mut self) {
        // The test may be over.
        let _ = self.0.send(self.1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_batch_is_one_call_and_each_job_has_its_own_result() {
    let house = House::open().await;
    house.retries("docs", 1).await;
    let worker = Worker::new(&house.client).queue("docs").concurrency(1).handle_batch(
        "index",
        // It never starts unless it is full.
        BatchOptions::up_to(5).linger(Duration::from_secs(3_600)),
        |jobs: Vec<Job<usize>>, ()| async move {
            let all = jobs.len();
            let one = |job: Job<usize>| match job.into_payload() {
                3 => Err(Failure::fatal("three").kind("odd")),
                number => Ok(json!({ "number": number, "of": all })),
            };
            jobs.into_iter().map(one).collect()
        },
    );
    let working = Working::start(worker);
    let ids = house.enqueue_many("docs", "index", 5).await;
    for (number, id) in ids.into_iter().enumerate() {
        let job = house.ended(id).await;
        match number {
            3 => assert_eq!((job.state, &*job.errors[0].message), (JobState::Dead, "three")),
            _ => assert_eq!(
                job.result.expect("a result").get(),
                json!({ "number": number, "of": 5 }).to_string()
            ),
        }
    }
    working.stop().await.0.expect("a good end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_starts_after_its_linger_and_a_panic_or_a_wrong_count_fails_all_of_it() {
    let house = House::open().await;
    house.retries("q", 1).await;
    let options = BatchOptions::up_to(100).linger(Duration::from_millis(20));
    let worker = Worker::new(&house.client)
        .queue("q")
        .handle_batch("slow", options, |jobs: Vec<Job<usize>>, ()| async move {
            jobs.iter().map(|_| Ok::<_, Failure>("done")).collect()
        })
        .handle_batch("panics", options, |jobs: Vec<Job<usize>>, ()| async move {
            assert!(jobs.is_empty(), "not today");
            Vec::<Result<(), Failure>>::new()
        })
        .handle_batch("forgets", options, |_: Vec<Job<usize>>, ()| async move { vec![Ok(()); 7] })
        .handle_batch("reads", options, |jobs: Vec<Job<String>>, ()| async move { vec![Ok(()); jobs.len()] });
    let working = Working::start(worker);
    for (kind, count, expected) in [
        ("slow", 3, "Completed "),
        ("panics", 2, "Dead panic not today"),
        ("forgets", 1, "Dead batch the batch handler returned 7 results for 1 jobs"),
        ("reads", 1, "Dead payload the payload is no alloc::string::String: invalid type: integer `0`"),
    ] {
        for id in house.enqueue_many("q", kind, count).await {
            let job = house.ended(id).await;
            let error = job
                .errors
                .first()
                .map(|error| format!("{} {}", error.kind.as_deref().unwrap_or_default(), error.message));
            let told = format!("{:?} {}", job.state, error.unwrap_or_default());
            assert!(told.starts_with(expected), "{kind}: {told}");
        }
    }
    working.stop().await.0.expect("a good end");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_leased_ahead_are_kept_alive_and_given_back_on_stop() {
    let house = House::open().await;
    let open = Arc::new(Semaphore::new(0));
    let worker = Worker::new(&house.client)
        .queue("q")
        .concurrency(1)
        .prefetch(2)
        .lease(LEASE)
        .state(Arc::clone(&open))
        .handle("k", |_: Job<usize>, open: Arc<Semaphore>| async move {
            open.acquire().await?.forget();
            Ok(())
        });
    let ids = house.enqueue_many("q", "k", 4).await;
    let mut working = Working::start(worker);
    working.tells(&format!("started {}", ids[0])).await;
    // The ends of all three leases move on: each job was extended, and none has lapsed.
    let mut ends = Vec::new();
    for id in &ids[..3] {
        let job = house.job(*id).await;
        assert_eq!((job.state, job.attempt), (JobState::Leased, 1));
        ends.push(job.lease_expires_at.expect("a lease"));
    }
    for (id, end) in ids.iter().zip(ends) {
        while house.job(*id).await.lease_expires_at.expect("still leased") <= end {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(house.job(*id).await.attempt, 1);
    }
    assert_eq!(house.job(ids[3]).await.state, JobState::Ready, "there was no room for it");

    working.tell_to_stop();
    working.tells("stopping 1").await;
    for id in &ids[1..3] {
        working.tells(&format!("released {id}")).await;
        let job = house.job(*id).await;
        assert_eq!((job.state, job.attempt), (JobState::Ready, 0));
    }
    open.add_permits(1);
    let (ended, told) = working.stop().await;
    ended.expect("a good end");
    assert_eq!(house.job(ids[0]).await.state, JobState::Completed);
    assert!(!told.contains(&format!("started {}", ids[1])), "{told:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_whose_job_is_cancelled_is_dropped_and_nothing_is_reported() {
    let house = House::open().await;
    let (tell, mut dropped) = mpsc::unbounded_channel();
    let worker = Worker::new(&house.client).queue("q").lease(LEASE).state(tell).handle(
        "k",
        |job: Job<usize>, tell: mpsc::UnboundedSender<JobId>| async move {
            let _dropped = Dropped(tell, job.id());
            future::pending::<Result<(), Failure>>().await
        },
    );
    let mut working = Working::start(worker);
    let id = house.enqueue("q", "k", json!(0)).await;
    working.tells(&format!("started {id}")).await;
    house.client.cancel(id).await.expect("cancelled");
    assert_eq!(dropped.recv().await, Some(id));
    let (ended, told) = working.stop().await;
    ended.expect("a good end");
    let about_it: Vec<&String> = told.iter().filter(|line| line.contains(&id.to_string())).collect();
    assert_eq!(about_it, [&format!("started {id}"), &format!("lost {id} job_ended")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_batch_only_what_is_still_its_own_is_reported() {
    let house = House::open().await;
    let open = Arc::new(Notify::new());
    let worker = Worker::new(&house.client).queue("q").lease(LEASE).state(Arc::clone(&open)).handle_batch(
        "k",
        BatchOptions::up_to(2).linger(Duration::from_secs(3_600)),
        |jobs: Vec<Job<usize>>, open: Arc<Notify>| async move {
            open.notified().await;
            // Neither holds the batch up, nor ends it.
            assert_eq!(jobs[0].progress("half").await, Err(ProgressError::Lost));
            assert_eq!(jobs[1].progress("half").await, Ok(()));
            vec![Ok::<_, Failure>(()); jobs.len()]
        },
    );
    let mut working = Working::start(worker);
    let ids = house.enqueue_many("q", "k", 2).await;
    working.tells(&format!("started {}", ids[1])).await;
    house.client.cancel(ids[0]).await.expect("cancelled");
    working.tells(&format!("lost {} job_ended", ids[0])).await;
    open.notify_one();
    working.tells(&format!("completed {}", ids[1])).await;

    // If none is, the handler is dropped: the worker could not stop in time otherwise.
    let ids = house.enqueue_many("q", "k", 2).await;
    working.tells(&format!("started {}", ids[1])).await;
    for id in &ids {
        house.client.cancel(*id).await.expect("cancelled");
    }
    working.tells(&format!("lost {} job_ended", ids[1])).await;
    working.stop().await.0.expect("a good end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_in_the_midst_hears_of_everything() {
    let mut house = House::open().await;
    const JOBS: usize = 3_000;
    let runs = Arc::new(Mutex::new(vec![0_u32; JOBS]));
    let some = Arc::new(Notify::new());
    let worker = Worker::new(&house.client)
        .queue("q")
        .concurrency(8)
        .prefetch(8)
        .state((Arc::clone(&runs), Arc::clone(&some)))
        .handle("k", |job: Job<usize>, (runs, some): (Arc<Mutex<Vec<u32>>>, Arc<Notify>)| async move {
            let done = {
                let mut runs = runs.lock().expect("no panic");
                runs[*job.payload()] += 1;
                runs.iter().filter(|runs| **runs > 0).count()
            };
            if done % (JOBS / 3) == 0 {
                some.notify_one();
            }
            Ok(job.into_payload())
        });
    let ids = house.enqueue_many("q", "k", JOBS).await;
    let mut working = Working::start(worker);
    for _ in 0..2 {
        some.notified().await;
        house.stop().await;
        working.tells("server away").await;
        house.start().await;
        working.tells("server back").await;
    }
    for (number, id) in ids.iter().enumerate() {
        let job = house.ended(*id).await;
        assert_eq!(job.state, JobState::Completed, "{job:?}");
        assert_eq!(job.result.expect("a result").get(), number.to_string());
    }
    let (ended, told) = working.stop().await;
    ended.expect("a good end");
    // Nothing lapsed and nothing ran twice: the server was stopped in order, and every answer of its reached the worker
    // or was asked for again.
    assert!(runs.lock().expect("no panic").iter().all(|runs| *runs == 1), "{told:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_without_a_handler_is_shown_once_and_left() {
    let house = House::open().await;
    let others = house.enqueue_many("q", "somebody_elses", 3).await;
    let mine = house.enqueue("q", "mine", json!(0)).await;
    let worker = Worker::new(&house.client)
        .queue("q")
        .queue("none")
        .handle("mine", |_: Job<u8>, ()| async move { Ok(()) });
    let mut working = Working::start(worker);
    working.tells("unhandled q somebody_elses").await;
    assert_eq!(house.ended(mine).await.state, JobState::Completed);
    let (ended, told) = working.stop().await;
    ended.expect("a good end");
    assert_eq!(told.iter().filter(|line| line.starts_with("unhandled")).count(), 1);
    for id in others {
        let job = house.job(id).await;
        assert_eq!((job.state, job.attempt), (JobState::Ready, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_with_plenty_are_worked_by_weight_and_none_holds_another_up() {
    let house = House::open().await;
    house.enqueue_many("paused", "k", 10).await;
    house.client.pause("paused").await.expect("paused");
    for queue in ["heavy", "light"] {
        house.enqueue_many(queue, "k", 1_000).await;
    }
    let order = Arc::new(Mutex::new(Vec::new()));
    let worker = Worker::new(&house.client)
        .weighted_queue("paused", 10)
        .weighted_queue("empty", 10)
        .weighted_queue("heavy", 3)
        .weighted_queue("light", 1)
        .concurrency(4)
        .state(Arc::clone(&order))
        .handle("k", |job: Job<usize>, order: Arc<Mutex<Vec<String>>>| async move {
            order.lock().expect("no panic").push(job.queue().to_owned());
            Ok(())
        });
    let ran = worker.run_due().await.expect("a good end");
    assert_eq!(ran.completed, 2_000);
    let mut count = BTreeMap::new();
    for queue in order.lock().expect("no panic").iter().take(1_000) {
        *count.entry(queue.clone()).or_insert(0) += 1;
    }
    // 750 of the first 1,000 by weight; whatever the beginning and the pipelining do, it is far from half.
    let heavy = count["heavy"];
    assert!((680..=820).contains(&heavy), "{count:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_works_off_what_is_due_ends_with_what_those_enqueued() {
    let house = House::open().await;
    let worker = Worker::new(&house.client).queue("q").state(house.client.clone()).handle(
        "again",
        |job: Job<u32>, client: Client| async move {
            let left = job.into_payload();
            if left > 0 {
                let payload = Some(tidegate::api::value::RawJson::of(&(left - 1))?);
                let kind = Some("again".into());
                client
                    .enqueue("q", &tidegate::api::enqueue::NewJob { kind, payload, ..Default::default() })
                    .await?;
            }
            Ok(())
        },
    );
    assert_eq!(worker.run_due().await.expect("nothing to do").completed, 0);
    house.enqueue("q", "again", json!(5)).await;
    assert_eq!(worker.run_due().await.expect("all done").completed, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grace_is_bounded_and_what_is_cut_off_is_given_back() {
    let house = House::open().await;
    let worker = Worker::new(&house.client)
        .queue("q")
        .grace(Duration::from_millis(1))
        .handle("k", |_: Job<u8>, ()| future::pending::<Result<(), Failure>>());
    let mut working = Working::start(worker);
    let id = house.enqueue("q", "k", json!(0)).await;
    working.tells(&format!("started {id}")).await;
    let (ended, told) = working.stop().await;
    ended.expect("a good end");
    assert!(told.contains(&format!("released {id}")), "{told:#?}");
    let job = house.job(id).await;
    assert_eq!((job.state, job.attempt), (JobState::Ready, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_bounded_while_the_server_is_away() {
    let mut house = House::open().await;
    let open = Arc::new(Notify::new());
    let ran = Arc::new(AtomicUsize::new(0));
    let worker = Worker::new(&house.client)
        .queue("q")
        .grace(Duration::from_millis(1))
        .state((Arc::clone(&open), Arc::clone(&ran)))
        .handle("k", |_: Job<u8>, (open, ran): (Arc<Notify>, Arc<AtomicUsize>)| async move {
            open.notified().await;
            ran.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
    let mut working = Working::start(worker);
    let id = house.enqueue("q", "k", json!(0)).await;
    working.tells(&format!("started {id}")).await;
    house.stop().await;
    open.notify_one();
    working.tells(&format!("ended {id}")).await;
    let (ended, told) = working.stop().await;
    let error = ended.expect_err("it could not be reported");
    assert!(matches!(error, WorkerError::Unreported { jobs: 1 }), "{error}");
    assert_eq!(told.last().map(String::as_str), Some("stopped 1"));
    assert_eq!(ran.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_in_the_same_process_is_worked_like_a_server() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let client = Client::embedded(directory.path().join("data")).await.expect("an engine");
    let worker = Worker::new(&client).queue("q").handle("k", |job: Job<u32>, ()| async move {
        job.progress(&"half").await?;
        Ok(job.payload() + 1)
    });
    let working = Working::start(worker);
    let id = client.queue("q").enqueue("k", &41).await.expect("accepted").id;
    let job = client.job(id, support::PATIENCE).await.expect("known");
    assert_eq!(job.result.expect("a result").get(), "42");
    working.stop().await.0.expect("a good end");
    client.close().await.expect("a good end");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_never_takes_ends_the_worker_with_its_words() {
    let house = House::open().await;
    let worker =
        Worker::new(&house.client).queue("no such/name").handle_any(|_: Job<u8>, ()| async move { Ok(()) });
    let error = worker.run_until(future::pending()).await.expect_err("there can be no such queue");
    assert!(error.to_string().contains("lease.queues[0]"), "{error}");
    let error = Worker::new(&house.client).run_due().await.expect_err("no queue");
    assert!(matches!(error, WorkerError::Queues(0)));
    let error = Worker::new(&house.client).queue("q").run_due().await.expect_err("no handler");
    assert!(matches!(error, WorkerError::Kinds(0)));
}
