//! What handlers can say, and what becomes of it: every verdict over a real server.

mod support;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use support::{House, Working};
use tidegate::{
    Client, Failure, Job, ProgressError, RawPayload, Worker,
    api::{enqueue::NewJob, job::JobError, words::JobState},
    trace::{self, TraceParent},
};

#[derive(Debug, serde::Deserialize)]
struct Mail {
    to: String,
}

/// The last error of a job, without its time.
fn last_error(job: &tidegate::api::job::Job) -> (String, Option<String>, Option<String>) {
    let JobError { message, kind, dependency, .. } = job.errors.last().expect("an error").clone();
    (message, kind, dependency)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handlers_value_is_the_jobs_result() {
    let house = House::open().await;
    let worker = Worker::new(&house.client)
        .queue("mail")
        .state(Arc::new("hello ".to_owned()))
        .handle("greet", |job: Job<Mail>, greeting: Arc<String>| async move {
            Ok(format!("{greeting}{}", job.into_payload().to))
        })
        .handle("quiet", |_: Job<()>, _| async move { Ok(()) });
    let working = Working::start(worker);
    let greet = house.enqueue("mail", "greet", json!({ "to": "ann" })).await;
    let quiet = house.enqueue("mail", "quiet", json!(null)).await;
    let job = house.ended(greet).await;
    assert_eq!(job.result.expect("a result").get(), "\"hello ann\"");
    let job = house.ended(quiet).await;
    assert_eq!((job.state, job.result.is_none()), (JobState::Completed, true));
    let (ended, _) = working.stop().await;
    ended.expect("a good end");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_fail_reaches_the_job() {
    let house = House::open().await;
    house.retries("q", 1).await;
    let worker = Worker::new(&house.client)
        .queue("q")
        .handle("error", |_: Job<()>, ()| async move {
            std::fs::read("/there/is/no/such/file")?;
            Ok(())
        })
        .handle("retry", |_: Job<()>, ()| async move {
            Err::<(), _>(Failure::retry("no luck").kind("luck").dependency("fortune"))
        })
        .handle("fatal", |_: Job<()>, ()| async move { Err::<(), _>(Failure::fatal("never").kind("no way")) })
        .handle("panic", |job: Job<u32>, ()| async move {
            assert!(*job.payload() > 7, "{} is too little", job.payload());
            Ok(())
        })
        .handle("typed", |_: Job<Mail>, ()| async move { Ok(()) })
        .handle("large", |_: Job<()>, ()| async move { Ok("x".repeat(70_000)) });
    let working = Working::start(worker);
    let name = std::any::type_name::<Mail>();
    for (kind, payload, message, error_kind, reason) in [
        (
            "error",
            json!(null),
            "No such file or directory (os error 2)".to_owned(),
            None,
            "attempts_exhausted",
        ),
        ("retry", json!(null), "no luck".to_owned(), Some("luck"), "attempts_exhausted"),
        ("fatal", json!(null), "never".to_owned(), Some("no_way"), "fatal"),
        ("panic", json!(7), "7 is too little".to_owned(), Some("panic"), "attempts_exhausted"),
        (
            "typed",
            json!({ "to": 1 }),
            format!(
                "the payload is no {name}: invalid type: integer `1`, expected a string at line 1 column 7"
            ),
            Some("payload"),
            "fatal",
        ),
        (
            "large",
            json!(null),
            "`result` has 70002 bytes; at most 65536 are taken.".to_owned(),
            Some("result"),
            "fatal",
        ),
    ] {
        let id = house.enqueue("q", kind, payload).await;
        let job = house.ended(id).await;
        let dependency = (kind == "retry").then(|| "fortune".to_owned());
        assert_eq!(last_error(&job), (message, error_kind.map(str::to_owned), dependency), "{kind}");
        assert_eq!(serde_json::to_value(job.reason).expect("JSON"), json!(reason), "{kind}");
    }
    working.stop().await.0.expect("a good end");
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_and_release_leave_the_job_for_later() {
    let mut house = House::open().await;
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let worker = Worker::new(&house.client)
        .queue("q")
        .state(Arc::clone(&attempts))
        .handle("later", |_: Job<()>, _| async move {
            Err::<(), _>(Failure::retry_after(Duration::from_secs(3_600), "busy"))
        })
        .handle("back", |job: Job<()>, attempts| async move {
            let mut attempts = attempts.lock().expect("no panic");
            attempts.push(job.attempt());
            if attempts.len() < 3 { Err(Failure::release()) } else { Ok(()) }
        });
    let mut working = Working::start(worker);
    let later = house.enqueue("q", "later", json!(null)).await;
    working.tells(&format!("failed {later} busy")).await;
    let job = house.job(later).await;
    assert_eq!(job.state, JobState::Scheduled);
    let wait_ms = job.run_at.expect("a time").unix_ms() - job.errors[0].at.unix_ms();
    assert_eq!(wait_ms, 3_600_000);

    let back = house.enqueue("q", "back", json!(null)).await;
    assert_eq!(house.ended(back).await.state, JobState::Completed);
    assert_eq!(*attempts.lock().expect("no panic"), [1, 1, 1], "given back is not tried");
    working.stop().await.0.expect("a good end");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_seen_at_once_and_is_the_next_attempts_checkpoint() {
    let house = House::open().await;
    house.retries("q", 2).await;
    let client = house.client.clone();
    let worker = Worker::new(&house.client).queue("q").state(client).handle(
        "steps",
        |job: Job<()>, client: Client| async move {
            match job.checkpoint::<u32>() {
                None => {
                    job.progress(&1).await?;
                    job.progress(&40).await?;
                    let seen = client.job(job.id(), Duration::ZERO).await?.progress.expect("progress");
                    assert_eq!(seen.get(), "40");
                    let too_long = job.progress(&"x".repeat(5_000)).await;
                    assert!(matches!(too_long, Err(ProgressError::Unfit(_))), "{too_long:?}");
                    Err(Failure::retry("broken off"))
                }
                Some(step) => {
                    assert!(job.is_last_attempt());
                    Ok(json!({ "from": step, "attempt": job.attempt() }))
                }
            }
        },
    );
    let working = Working::start(worker);
    let id = house.enqueue("q", "steps", json!(null)).await;
    let job = house.ended(id).await;
    assert_eq!(job.result.expect("a result").get(), r#"{"attempt":2,"from":40}"#, "{:?}", job.errors);
    assert_eq!(last_error(&house.job(id).await).0, "broken off");
    working.stop().await.0.expect("a good end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_payload_comes_as_it_was_enqueued_and_any_takes_what_is_left() {
    let house = House::open().await;
    let worker = Worker::new(&house.client)
        .queue("q")
        .handle("own", |_: Job<RawPayload>, ()| async move { Ok("own".to_owned()) })
        .handle_any(|job: Job<RawPayload>, ()| async move {
            let json = job.payload().as_json().map(str::to_owned);
            Ok(format!("{} {json:?} {:?}", job.kind(), job.payload().as_bytes()))
        });
    let working = Working::start(worker);
    let bytes = NewJob { payload_base64: Some("AAEC/w==".into()), ..NewJob::default() };
    let bytes = house.client.enqueue("q", &bytes).await.expect("accepted").id;
    let text = house.enqueue("q", "text", json!([1])).await;
    let own = house.enqueue("q", "own", json!([1])).await;
    for (id, expected) in
        [(bytes, "default None [0, 1, 2, 255]"), (text, "text Some(\"[1]\") [91, 49, 93]"), (own, "own")]
    {
        let result = house.ended(id).await.result.expect("a result");
        assert_eq!(serde_json::from_str::<String>(result.get()).expect("text"), expected);
    }
    working.stop().await.0.expect("a good end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_runs_in_its_jobs_trace_and_what_it_enqueues_goes_on_in_it() {
    let house = House::open().await;
    let worker = Worker::new(&house.client).queue("q").state(house.client.clone()).handle(
        "k",
        |_: Job<()>, client: Client| async move {
            let next = client.queue("next").enqueue("k", &()).await?;
            Ok((trace::current().map(|current| current.to_string()), next.id.to_string()))
        },
    );
    let working = Working::start(worker);
    let parent: TraceParent =
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().expect("a good one");
    let traced = house.client.queue("q").job("k", &()).traceparent(parent.to_string()).enqueue();
    let traced = traced.await.expect("accepted").id;
    let plain = house.client.queue("q").enqueue("k", &()).await.expect("accepted").id;

    let result = house.ended(traced).await.result.expect("a result");
    let (inside, next): (Option<String>, String) = serde_json::from_str(result.get()).expect("a pair");
    let inside: TraceParent = inside.expect("a trace").parse().expect("a good one");
    assert_eq!((inside.trace_id(), inside.flags()), (parent.trace_id(), parent.flags()));
    assert_ne!(inside.parent_id(), parent.parent_id());
    let next = house.job(next.parse().expect("an id")).await;
    assert_eq!(next.traceparent, Some(inside.to_string()));

    let result = house.ended(plain).await.result.expect("a result");
    let (outside, _): (Option<String>, String) = serde_json::from_str(result.get()).expect("a pair");
    assert_eq!(outside, None);
    working.stop().await.0.expect("a good end");
}
