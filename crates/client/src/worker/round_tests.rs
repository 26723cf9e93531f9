//! Rounds and answers: the order of items survives their being sorted into the API's lists and back.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::*;
use crate::worker::{
    failure::Failure,
    ledger::{Beat, Report},
};

fn key(job: &str, token: u64) -> LeaseKey {
    LeaseKey { job: job.parse().expect("a job id"), token }
}

fn leased(id: &str) -> LeasedJob {
    let job = json!({
        "id": id, "queue": "a", "kind": "k", "priority": 5, "attempt": 2, "max_attempts": 5, "token": 9,
        "lease_expires_at": "2026-11-22T13:00:30.000Z", "enqueued_at": "2026-11-22T13:00:00.000Z",
    });
    serde_json::from_str(&job.to_string()).expect("a leased job")
}

fn report(job: &str, outcome: Outcome) -> Report<Debt> {
    let debt = Debt { job: Arc::new(leased(job)), outcome };
    Report { key: key(job, 7), report: debt, bytes: 0, sent_before: false }
}

fn failed() -> Outcome {
    Outcome::Failed(Failure::retry("no"))
}

fn completed(result: &str) -> Outcome {
    Outcome::Completed { result: serde_json::from_str(result).ok() }
}

fn beat(job: &str, token: u64) -> Beat<Note> {
    Beat { key: key(job, token), progress: None }
}

fn terms() -> Terms {
    Terms {
        queues: vec!["a".into(), "b".into()],
        kinds: Vec::new(),
        lease: Duration::from_secs(30),
        worker: "w".into(),
    }
}

fn written(round: &Round, ask: Ask) -> serde_json::Value {
    serde_json::to_value(request(round, &terms(), ask, Duration::from_secs(2))).expect("JSON")
}

#[test]
fn a_round_says_only_what_there_is_to_say() {
    let note = Note { json: serde_json::from_str("[4]").expect("JSON"), waiting: Vec::new() };
    let round = Round {
        reports: vec![
            report("0-1", Outcome::Failed(Failure::fatal("no").kind("k").dependency("smtp"))),
            report("0-2", completed("[1]")),
            report("0-3", Outcome::Released),
            report("0-6", Outcome::Failed(Failure::retry_after(Duration::from_secs(60), "later"))),
        ],
        beats: vec![beat("0-4", 9), Beat { key: key("0-5", 9), progress: Some(note) }],
        lease: Some(2),
        main: true,
        since: Instant::now(),
    };
    let expected = json!({
        "complete": [{ "id": "0-2", "token": 7, "result": [1] }],
        "fail": [
            { "id": "0-1", "token": 7, "error": { "message": "no", "kind": "k", "dependency": "smtp" }, "fatal": true },
            { "id": "0-6", "token": 7, "error": { "message": "later" }, "retry_after_ms": 60000 },
        ],
        "extend": [
            { "id": "0-4", "token": 9, "lease_ms": 30000 },
            { "id": "0-5", "token": 9, "lease_ms": 30000, "progress": [4] },
        ],
        "release": [{ "id": "0-3", "token": 7 }],
        "lease": { "queues": ["a", "b"], "max": 2, "wait_ms": 2000, "lease_ms": 30000, "worker": "w" },
    });
    assert_eq!(written(&round, Ask::All), expected);

    let quiet =
        Round { reports: Vec::new(), beats: Vec::new(), lease: Some(1), main: false, since: Instant::now() };
    let written = written(&quiet, Ask::One(1));
    assert_eq!(written.as_object().expect("an object").keys().collect::<Vec<_>>(), ["lease"]);
    assert_eq!(written["lease"]["queues"], json!(["b"]));
}

#[test]
fn what_is_too_much_for_the_server_is_cut() {
    let long = Failure::retry_after(Duration::MAX, "ä".repeat(1_000));
    let round = Round {
        reports: vec![report("0-1", Outcome::Failed(long))],
        beats: Vec::new(),
        lease: None,
        main: false,
        since: Instant::now(),
    };
    let fail = &written(&round, Ask::All)["fail"][0];
    assert_eq!(fail["error"]["message"].as_str().expect("text").len(), limits::ERROR_MESSAGE_BYTES_KEPT);
    assert_eq!(fail["retry_after_ms"], *limits::DELAY_MS.end());
}

#[test]
fn answers_find_the_items_they_belong_to() {
    let round = Round {
        reports: vec![report("0-1", failed()), report("0-2", completed("1")), report("0-3", failed())],
        beats: vec![beat("0-4", 9)],
        lease: None,
        main: false,
        since: Instant::now(),
    };
    let answer = serde_json::from_value(json!({
        "complete": [{ "id": "0-2", "state": "completed" }],
        "fail": [
            { "id": "0-1", "state": "dead" },
            { "id": "0-3", "error": { "code": "stale_token", "detail": "late" } },
        ],
        "extend": [{ "id": "0-4", "error": { "code": "job_ended", "detail": "cancelled" } }],
    }));
    let matched = matched(&round, answer.expect("an answer")).expect("one for each");
    let codes = |answers: &[ItemAnswer]| {
        answers.iter().map(|answer| answer.as_ref().err().map(|e| e.code.as_str())).collect::<Vec<_>>()
    };
    assert_eq!(codes(&matched.reports), [None, None, Some("stale_token")]);
    assert_eq!(codes(&matched.beats), [Some("job_ended")]);
}

#[test]
fn an_answer_that_leaves_an_item_out_is_none() {
    let round = Round {
        reports: vec![report("0-1", completed("1"))],
        beats: Vec::new(),
        lease: None,
        main: false,
        since: Instant::now(),
    };
    assert!(matched(&round, WorkAnswer::default()).is_none());
    let round = Round {
        reports: Vec::new(),
        beats: vec![beat("0-1", 1)],
        lease: None,
        main: false,
        since: Instant::now(),
    };
    assert!(matched(&round, WorkAnswer::default()).is_none());
}
