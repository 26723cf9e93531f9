//! Rounds and answers: the order of items survives their being sorted into the API's lists and back.

use serde_json::json;

use super::*;
use crate::worker::{
    child::{Program, Stdout},
    ledger::{LeaseAsk, Report},
};

fn key(job: &str, token: u64) -> LeaseKey {
    LeaseKey { job: job.parse().expect("a job id"), token }
}

fn report(job: &str, report: Verdict) -> Report<Verdict> {
    Report { key: key(job, 7), report, sent_before: false }
}

fn failed(fatal: bool) -> Verdict {
    Verdict::Failed { message: "no".into(), kind: "exit-1".into(), retry_after_ms: None, fatal }
}

fn completed(result: &str) -> Verdict {
    Verdict::Completed { result: serde_json::from_str(result).ok(), result_refused: None }
}

fn options() -> Options {
    Options {
        queues: vec!["a".into(), "b".into()],
        kinds: Vec::new(),
        slots: 4,
        lease: Duration::from_secs(30),
        grace: Duration::from_secs(30),
        retry_later: Duration::from_secs(60),
        until_empty: false,
        name: "w".into(),
        program: Program { command: "true".into(), arguments: Vec::new(), stdout: Stdout::Inherit },
    }
}

#[test]
fn a_round_says_only_what_there_is_to_say() {
    let round = Round {
        reports: vec![
            report("0-1", failed(true)),
            report("0-2", completed("[1]")),
            report("0-3", Verdict::Released),
        ],
        heartbeats: vec![key("0-4", 9)],
        lease: Some(LeaseAsk { max: 2, wait: true }),
    };
    let options = options();
    let written = serde_json::to_value(request(&round, &options, Duration::from_secs(2))).expect("JSON");
    let expected = json!({
        "complete": [{ "id": "0-2", "token": 7, "result": [1] }],
        "fail": [{ "id": "0-1", "token": 7, "error": { "message": "no", "kind": "exit-1" }, "fatal": true }],
        "extend": [{ "id": "0-4", "token": 9, "lease_ms": 30000 }],
        "release": [{ "id": "0-3", "token": 7 }],
        "lease": { "queues": ["a", "b"], "max": 2, "wait_ms": 2000, "lease_ms": 30000, "worker": "w" },
    });
    assert_eq!(written, expected);

    let quiet =
        Round { reports: Vec::new(), heartbeats: Vec::new(), lease: Some(LeaseAsk { max: 1, wait: false }) };
    let written = serde_json::to_value(request(&quiet, &options, Duration::from_secs(2))).expect("JSON");
    assert_eq!(written.as_object().expect("an object").keys().collect::<Vec<_>>(), ["lease"]);
    assert_eq!(written["lease"]["wait_ms"], 0);
}

#[test]
fn answers_find_the_items_they_belong_to() {
    let round = Round {
        reports: vec![
            report("0-1", failed(false)),
            report("0-2", completed("1")),
            report("0-3", failed(false)),
        ],
        heartbeats: vec![key("0-4", 9)],
        lease: None,
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
    assert_eq!(codes(&matched.answer.reports), [None, None, Some("stale_token")]);
    assert_eq!(codes(&matched.answer.heartbeats), [Some("job_ended")]);
}

#[test]
fn an_answer_that_leaves_an_item_out_is_none() {
    let round = Round { reports: vec![report("0-1", completed("1"))], heartbeats: Vec::new(), lease: None };
    assert!(matched(&round, WorkAnswer::default()).is_none());
    let round = Round { reports: Vec::new(), heartbeats: vec![key("0-1", 1)], lease: None };
    assert!(matched(&round, WorkAnswer::default()).is_none());
}

#[test]
fn a_child_gets_the_payload_as_it_was_given_and_the_job_in_its_environment() {
    let leased = |extra: serde_json::Value| -> LeasedJob {
        let mut job = json!({
            "id": "0-5", "queue": "a", "kind": "k", "priority": 5, "attempt": 2, "max_attempts": 5, "token": 9,
            "lease_expires_at": "2026-11-22T13:00:30.000Z", "enqueued_at": "2026-11-22T13:00:00.000Z",
        });
        job.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        serde_json::from_str(&job.to_string()).expect("a leased job")
    };
    let stdin = |job: &LeasedJob| input(job, "w", "http://s").map(|input| input.stdin).expect("an input");
    assert_eq!(stdin(&leased(json!({ "payload": { "to": "ann" } }))), br#"{"to":"ann"}"#);
    assert_eq!(stdin(&leased(json!({ "payload_base64": "AAEC/w==" }))), [0, 1, 2, 255]);
    assert_eq!(stdin(&leased(json!({}))), b"null");
    assert!(input(&leased(json!({ "payload_base64": "?" })), "w", "http://s").is_err());

    let job = leased(json!({ "traceparent": "00-1", "metadata": { "tenant": "t1" }, "ordering_key": "c 7" }));
    let environment: BTreeMap<_, _> = environment(&job, "w", "http://s").into_iter().collect();
    let expected = [
        ("TIDEGATE_ATTEMPT", "2"),
        ("TIDEGATE_ENQUEUED_AT", "2026-11-22T13:00:00.000Z"),
        ("TIDEGATE_JOB_ID", "0-5"),
        ("TIDEGATE_KIND", "k"),
        ("TIDEGATE_MAX_ATTEMPTS", "5"),
        ("TIDEGATE_METADATA", r#"{"tenant":"t1"}"#),
        ("TIDEGATE_ORDERING_KEY", "c 7"),
        ("TIDEGATE_PRIORITY", "5"),
        ("TIDEGATE_QUEUE", "a"),
        ("TIDEGATE_SERVER", "http://s"),
        ("TIDEGATE_TOKEN", "9"),
        ("TIDEGATE_WORKER", "w"),
        ("TRACEPARENT", "00-1"),
    ];
    assert_eq!(environment, expected.map(|(name, value)| (name, value.to_owned())).into());
}
