//! How fast lists of jobs are read and their answers written, on one core.
//!
//! `cargo run --release -p tidegate-api --example parse`

#![allow(clippy::print_stdout, reason = "an example talks to a terminal")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use tidegate_api::enqueue::NewJob;
use tidegate_api::id::JobId;
use tidegate_api::read::{read_list, read_utf8};
use tidegate_api::settle::{Complete, read_jobs};
use tidegate_api::time::Timestamp;
use tidegate_api::words::JobState;
use tidegate_api::write::{self, LeasedJobParts, Payload};

fn main() {
    let payload = format!(r#"{{"to":"{}"}}"#, "a".repeat(247));
    let bare = list_of(&format!(r#"{{"payload":{payload}}}"#));
    let full = list_of(&format!(
        r#"{{"kind":"welcome","payload":{payload},"priority":3,"ordering_key":"customer-7","retry":{{"max_attempts":3}}}}"#
    ));
    let one_bad = bare.replacen(r#"{"payload""#, r#"{"pay_load":1,"payload""#, 1);
    let complete = format!(r#"{{"jobs":{}}}"#, list_of(r#"{"id":"0-123456789","token":123456789}"#));

    measure("read bare jobs", || read_list::<NewJob<'_>>(read_utf8(bare.as_bytes()).unwrap()).unwrap().len());
    measure("read full jobs", || read_list::<NewJob<'_>>(read_utf8(full.as_bytes()).unwrap()).unwrap().len());
    measure("read bare jobs, one bad", || read_list::<NewJob<'_>>(&one_bad).unwrap().len());
    measure("read completions", || read_jobs::<Complete<'_>>(&complete).unwrap().len());

    let mut out = Vec::new();
    let id = |i| JobId { shard: 0, sequence: 123_456_789 + i };
    measure("write enqueue results", || {
        out.clear();
        write::object_of_list(&mut out, "results", 0..100, |out, i| {
            write::enqueued_item(out, id(i), JobState::Ready, false);
        });
        black_box(&out);
        100
    });
    measure("write leased jobs", || {
        out.clear();
        write::object_of_list(&mut out, "jobs", 0..100, |out, i| {
            let now = Timestamp::from_unix_ms(1_795_352_400_123 + i);
            let job = LeasedJobParts {
                id: id(i),
                queue: "emails",
                kind: "welcome",
                payload: Payload::Json(payload.as_bytes()),
                priority: 5,
                attempt: 1,
                max_attempts: 5,
                token: 123_456_789,
                lease_expires_at: now,
                enqueued_at: now,
                ordering_key: None,
                fairness_key: None,
                dependency: None,
                traceparent: None,
                metadata: &[],
                progress: None,
            };
            write::leased_job(out, &job);
        });
        black_box(&out);
        100
    });
}

fn list_of(item: &str) -> String {
    format!("[{}]", vec![item; 100].join(","))
}

/// Repeats for two seconds what handles so many jobs at a time.
fn measure(name: &str, mut jobs: impl FnMut() -> usize) {
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(2) {
        for _ in 0..100 {
            count += black_box(jobs());
        }
    }
    println!("{name:26} {:6.2} million jobs/s", count as f64 / start.elapsed().as_secs_f64() / 1e6);
}
