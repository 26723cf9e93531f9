//! Transactions.

use serde_json::json;
use tidegate_engine::{Options as EngineOptions, shard_of};
use tidegate_server::Options;

use crate::support::{House, JSON, Said, until};

const PATH: &str = "/v1/transactions";

fn transact(house: &House, operations: &str) -> Said {
    house.post(PATH, format!(r#"{{"do":[{operations}]}}"#))
}

/// How many jobs there are.
fn jobs(house: &House) -> usize {
    house.get("/v1/jobs").json["jobs"].as_array().unwrap().len()
}

#[test]
fn a_job_is_completed_and_what_follows_is_enqueued_at_once() {
    let house = House::open();
    house.enqueue("orders", r#"{"payload":7}"#);
    let (id, token) = house.lease("orders");
    let said = transact(
        &house,
        &format!(
            r#"{{"enqueue":{{"queue":"mail","kind":"receipt","payload":{{"order": 7}},"metadata":{{"a":"b"}}}}}},
               {{"complete":{{"id":"{id}","token":{token},"result":{{"paid": true}}}}}},
               {{"enqueue":{{"queue":"stock","delay_ms":60000,"payload_base64":"AP8="}}}}"#
        ),
    );
    let expected = json!({ "results": [
        { "id": "0-2", "queue": "mail", "state": "ready" },
        { "id": id, "state": "completed" },
        { "id": "0-3", "queue": "stock", "state": "scheduled" },
    ] });
    assert_eq!((said.status, &said.json), (200, &expected));
    assert_eq!(house.get(&format!("/v1/jobs/{id}")).json["result"], json!({ "paid": true }));
    let mail = house.get("/v1/jobs/0-2").json;
    assert_eq!((&mail["kind"], &mail["payload"]), (&json!("receipt"), &json!({ "order": 7 })));
    assert_eq!(mail["metadata"], json!({ "a": "b" }));
    assert_eq!(house.get("/v1/jobs/0-3").json["payload_base64"], "AP8=");
}

#[test]
fn one_that_is_refused_is_named_and_nothing_is_done() {
    let house = House::open();
    house.put("/v1/queues/full", r#"{"jobs_max":1}"#);
    house.enqueue("full", r#"{"unique":{"key":"u"}}"#);
    let (id, token) = house.lease("full");
    let done = format!(r#"{{"complete":{{"id":"{id}","token":{token}}}}}"#);
    for (refused, status, code) in [
        (r#"{"enqueue":{"queue":"full"}}"#, 429, "queue_full"),
        (r#"{"complete":{"id":"0-9","token":1}}"#, 404, "job_not_found"),
        (r#"{"complete":{"id":"7-9","token":1}}"#, 404, "job_not_found"),
        (r#"{"enqueue":{"queue":"q","expires_at":"2001-01-01T00:00:00Z"}}"#, 400, "already_expired"),
    ] {
        let said = transact(&house, &format!(r#"{{"enqueue":{{"queue":"mail"}}}},{done},{refused}"#));
        assert_eq!((said.status, said.code()), (status, code));
        assert_eq!(said.json["operation"], 2, "{said:?}");
        assert!(said.json["detail"].as_str().unwrap().starts_with("`do[2]` is refused"), "{said:?}");
        assert_eq!(said.header("retry-after").is_some(), status == 429);
    }
    house.put("/v1/queues/full", r#"{"jobs_max":5}"#);
    let conflict = r#"{"enqueue":{"queue":"full","unique":{"key":"u","on_conflict":"reject"}}}"#;
    let said = transact(&house, &format!(r#"{conflict},{{"enqueue":{{"queue":"mail"}}}}"#));
    assert_eq!((said.status, said.code(), &said.json["operation"]), (409, "unique_conflict", &json!(0)));
    assert_eq!(said.json["value"], id);
    let stale = format!(r#"{{"complete":{{"id":"{id}","token":{}}}}}"#, token + 1);
    assert_eq!(transact(&house, &stale).code(), "stale_token");
    assert_eq!(jobs(&house), 1);
    assert_eq!(house.state(&id), "leased");
    assert_eq!(house.get("/v1/queues/mail").code(), "queue_not_found");
}

#[test]
fn a_door_that_refuses_one_operation_names_it_too() {
    let house = House::open();
    let said = transact(&house, r#"{"enqueue":{"queue":"q"}},{"enqueue":{"queue":"q","priority":12}}"#);
    assert_eq!((said.status, said.code()), (400, "invalid_value"));
    assert_eq!((&said.json["operation"], &said.json["field"]), (&json!(1), &json!("do[1].enqueue.priority")));
    let twice = r#"{"enqueue":{"queue":"q","unique":{"key":"u"}}}"#;
    let said = transact(&house, &format!("{twice},{twice}"));
    assert_eq!(said.json["field"], "do[1].enqueue.unique.key");
    let said = house.post(PATH, r#"{"do":[{"enqueue":{"queue":"q"}}],"when":[]}"#);
    assert_eq!((said.code(), &said.json["field"]), ("unknown_field", &json!("when")));
    assert_eq!(transact(&house, "").code(), "invalid_value");
    assert_eq!(transact(&house, &vec![r#"{"enqueue":{"queue":"q"}}"#; 101].join(",")).status, 413);
    assert_eq!(jobs(&house), 0);
}

#[test]
fn a_held_unique_key_is_answered_with_its_holder() {
    let house = House::open();
    let id = house.enqueue("q", r#"{"unique":{"key":"u"}}"#);
    let said =
        transact(&house, r#"{"enqueue":{"queue":"q"}},{"enqueue":{"queue":"q","unique":{"key":"u"}}}"#);
    let holder = json!({ "id": id, "queue": "q", "state": "ready", "duplicate": true });
    assert_eq!((said.status, &said.json["results"][1]), (200, &holder));
    assert_eq!(jobs(&house), 2);
}

#[test]
fn a_refusal_is_remembered_under_its_key_unless_it_only_said_not_now() {
    let house = House::open();
    let ask = |key: &str, body: &str| house.ask("POST", PATH, &[JSON, ("idempotency-key", key)], body);
    let unknown = r#"{"do":[{"enqueue":{"queue":"q"}},{"complete":{"id":"0-9","token":1}}]}"#;
    let (first, again) = (ask("a", unknown), ask("a", unknown));
    assert_eq!((first.code(), first.is_replayed()), ("job_not_found", false));
    assert!(again.is_replayed() && again.text == first.text && again.status == 404, "{again:?}");

    house.put("/v1/queues/full", r#"{"jobs_max":1}"#);
    let id = house.enqueue("full", "{}");
    let full = r#"{"do":[{"enqueue":{"queue":"q"}},{"enqueue":{"queue":"full"}}]}"#;
    assert_eq!(ask("b", full).code(), "queue_full");
    house.post(&format!("/v1/jobs/{id}/cancel"), "");
    let done = ask("b", full);
    assert_eq!((done.status, done.is_replayed()), (200, false));
    let again = ask("b", full);
    assert!(again.is_replayed() && again.text == done.text, "{again:?}");
}

#[test]
fn who_waits_for_work_gets_it_from_a_transaction() {
    let house = House::open();
    let mut waiting = house.connect();
    waiting.send("POST", "/v1/leases", &[JSON], br#"{"queues":["q"],"wait_ms":60000}"#);
    until("somebody waits", || house.engine.status().shards[0].waiters == 1);
    transact(&house, r#"{"enqueue":{"queue":"other"}},{"enqueue":{"queue":"q","payload":[1]}}"#);
    let job = waiting.hear("POST", "/v1/leases").json["jobs"][0].clone();
    assert_eq!((&job["id"], &job["payload"]), (&json!("0-2"), &json!([1])));
}

#[test]
fn what_lies_in_two_shards_is_refused_by_both_names() {
    let house = House::with(EngineOptions { shards: 2, ..EngineOptions::default() }, Options::default());
    let of = |shard| (0..).map(|n| format!("q{n}")).find(|name| shard_of(name, 2) == shard).unwrap();
    let (here, there) = (of(0), of(1));
    let said = transact(
        &house,
        &format!(r#"{{"enqueue":{{"queue":"{here}"}}}},{{"enqueue":{{"queue":"{there}"}}}}"#),
    );
    assert_eq!((said.status, said.code()), (422, "transaction_spans_shards"));
    assert_eq!(said.json["operation"], 1);
    let detail = said.json["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("Queue {here} and queue {there} are in different shards")), "{detail}");
    assert_eq!(jobs(&house), 0);
}
