//! A worker that is stopped by the process's signals. The only test of its file: signals are the whole process's.
#![cfg(unix)]

mod support;

use std::{future, process::Command};

use serde_json::json;
use support::House;
use tidegate::{Failure, Job, Worker, WorkerEvent, api::words::JobState};
use tokio::sync::mpsc;

fn signal(name: &str) {
    let pid = std::process::id().to_string();
    let sent = Command::new("kill").args([name, &pid]).status().expect("kill runs");
    assert!(sent.success(), "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_signal_begins_the_grace_and_the_second_ends_it() {
    let house = House::open().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    // The grace is the default, which is longer than a test would wait.
    let worker = Worker::new(&house.client)
        .queue("q")
        .handle("k", |_: Job<u8>, ()| future::pending::<Result<(), Failure>>())
        .on_event(move |event| {
            let word = match event {
                WorkerEvent::Started { .. } => "started",
                WorkerEvent::Stopping { .. } => "stopping",
                WorkerEvent::Released { .. } => "released",
                _ => return,
            };
            tell.send(word).expect("the test listens");
        });
    let id = house.enqueue("q", "k", json!(0)).await;
    let running = tokio::spawn(async move { worker.run().await });
    assert_eq!(told.recv().await, Some("started"));
    signal("-TERM");
    assert_eq!(told.recv().await, Some("stopping"));
    signal("-INT");
    assert_eq!(told.recv().await, Some("released"));
    running.await.expect("no panic").expect("a good end");
    assert_eq!(house.job(id).await.state, JobState::Ready);
}
