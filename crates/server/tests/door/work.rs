//! A worker's calls.

use serde_json::json;

use crate::support::House;

#[test]
fn a_leased_job_has_what_its_worker_needs() {
    let house = House::open();
    let id = house.enqueue(
        "emails",
        r#"{"kind":"welcome","payload":{"to":"ada"},"ordering_key":"k \"1\"","fairness_key":"f","dependency":"smtp",
            "traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","metadata":{"a":"1","b":"\n"}}"#,
    );
    let said =
        house.post("/v1/leases", r#"{"queues":["other","emails"],"max":10,"lease_ms":60000,"worker":"w1"}"#);
    let mut job = said.json["jobs"][0].clone();
    assert!(job["lease_expires_at"].take().is_string() && job["enqueued_at"].take().is_string());
    let token = job["token"].take().as_u64().unwrap();
    let expected = json!({
        "id": id, "queue": "emails", "kind": "welcome", "payload": {"to": "ada"}, "priority": 5, "attempt": 1,
        "max_attempts": 5, "token": null, "lease_expires_at": null, "enqueued_at": null, "ordering_key": "k \"1\"",
        "fairness_key": "f", "dependency": "smtp",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "metadata": {"a": "1", "b": "\n"},
    });
    assert_eq!(job, expected);
    let shown = house.get(&format!("/v1/jobs/{id}")).json;
    assert_eq!((&shown["state"], &shown["worker"]), (&json!("leased"), &json!("w1")));
    assert!(token > 0);
}

#[test]
fn a_lease_waits_for_a_job_and_no_longer_than_it_says() {
    let house = House::open();
    let mut waiting = house.connect();
    waiting.send("POST", "/v1/leases", &[crate::support::JSON], br#"{"queues":["q"],"wait_ms":60000}"#);
    crate::support::until("somebody waits", || house.engine.status().shards[0].waiters == 1);
    let id = house.enqueue("q", "{}");
    assert_eq!(waiting.hear("POST", "/v1/leases").json["jobs"][0]["id"], id);
    assert_eq!(house.post("/v1/leases", r#"{"queues":["q"],"wait_ms":1}"#).json, json!({ "jobs": [] }));
}

#[test]
fn a_worker_that_goes_away_while_it_waits_takes_no_job_with_it() {
    let house = House::open();
    let mut waiting = house.connect();
    waiting.send("POST", "/v1/leases", &[crate::support::JSON], br#"{"queues":["q"],"wait_ms":60000}"#);
    crate::support::until("somebody waits", || house.engine.status().shards[0].waiters == 1);
    drop(waiting);
    let id = house.enqueue("q", "{}");
    crate::support::until("the job is here", || {
        let said = house.post("/v1/leases", r#"{"queues":["q"],"wait_ms":100}"#);
        let job = &said.json["jobs"][0];
        job["id"] == id && job["attempt"] == 1
    });
}

#[test]
fn only_kinds_that_are_asked_for_are_handed_out() {
    let house = House::open();
    house.post("/v1/queues/q/jobs", r#"[{"kind":"x"},{"kind":"y"}]"#);
    let said = house.post("/v1/leases", r#"{"queues":["q"],"max":10,"kinds":["y"]}"#);
    let kinds: Vec<_> = said.json["jobs"].as_array().unwrap().iter().map(|job| job["kind"].clone()).collect();
    assert_eq!(kinds, ["y"]);
}

#[test]
fn every_item_of_a_settling_list_has_its_outcome() {
    let house = House::open();
    house.post("/v1/queues/q/jobs", "[{},{}]");
    let (first, token) = house.lease("q");
    let body = format!(
        r#"{{"jobs":[{{"id":"{first}","token":{token}}},{{"id":"{first}","token":{token}}},{{"id":"0-2","token":{token}}},
            {{"id":"0-99","token":1}},{{"id":"7-1","token":1}},{{"id":"nonsense","token":1}},{{"id":"{first}"}}]}}"#
    );
    let said = house.post("/v1/jobs/complete", body);
    let results = said.json["results"].as_array().unwrap();
    assert_eq!(results[0], json!({ "id": first, "state": "completed" }));
    assert_eq!(results[1], results[0], "what was done can be said twice");
    let codes: Vec<_> = results[2..]
        .iter()
        .map(|result| (result["id"].as_str().unwrap(), result["error"]["code"].as_str().unwrap()))
        .collect();
    let expected = [
        ("0-2", "not_leased"),
        ("0-99", "job_not_found"),
        ("7-1", "job_not_found"),
        ("nonsense", "invalid_value"),
        ("0-1", "missing_field"),
    ];
    assert_eq!(codes, expected);
}

#[test]
fn a_failed_job_is_tried_again_until_it_is_dead() {
    let house = House::open();
    let id = house.enqueue("q", r#"{"retry":{"max_attempts":2,"delay_ms":0}}"#);
    let fail = |token: u64, rest: &str| {
        let error = r#"{"message":"refused","kind":"smtp","dependency":"mail"}"#;
        let body = format!(r#"{{"jobs":[{{"id":"{id}","token":{token},"error":{error}{rest}}}]}}"#);
        house.post("/v1/jobs/fail", body).json["results"][0].clone()
    };
    let (_, first) = house.lease("q");
    let result = fail(first, "");
    assert!(["ready", "scheduled"].contains(&result["state"].as_str().unwrap()), "{result}");
    let (_, second) = house.lease("q");
    assert!(second > first, "tokens rise");
    assert_eq!(fail(first, "")["error"]["code"], "stale_token");
    assert_eq!(fail(second, ""), json!({ "id": id, "state": "dead" }));
    let job = house.get(&format!("/v1/jobs/{id}")).json;
    assert_eq!((&job["reason"], &job["attempt"]), (&json!("attempts_exhausted"), &json!(2)));
    let errors = job["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 2);
    assert_eq!(errors[1]["message"], "refused");
    assert_eq!((&errors[1]["kind"], &errors[1]["dependency"]), (&json!("smtp"), &json!("mail")));
}

#[test]
fn a_retry_says_when_it_is() {
    let house = House::open();
    let id = house.enqueue("q", "{}");
    let (_, token) = house.lease("q");
    let body = format!(
        r#"{{"jobs":[{{"id":"{id}","token":{token},"error":{{"message":"m"}},"retry_after_ms":3600000}}]}}"#
    );
    let result = house.post("/v1/jobs/fail", body).json["results"][0].clone();
    assert_eq!(result["state"], "scheduled");
    assert_eq!(house.get(&format!("/v1/jobs/{id}")).json["run_at"], result["run_at"]);
    assert_eq!(house.get(&format!("/v1/jobs/{id}")).json["waiting_for"], "retry");
}

#[test]
fn a_heartbeat_prolongs_the_lease_and_its_progress_is_handed_on() {
    let house = House::open();
    let id = house.enqueue("q", "{}");
    let (_, token) = house.lease("q");
    let body = format!(
        r#"{{"jobs":[{{"id":"{id}","token":{token},"lease_ms":3600000,"progress":{{"done":0.50}}}}]}}"#
    );
    let result = house.post("/v1/jobs/extend", body).json["results"][0].clone();
    assert_eq!(result["state"], "leased");
    let job = house.get(&format!("/v1/jobs/{id}"));
    assert_eq!(job.json["lease_expires_at"], result["lease_expires_at"]);
    assert!(job.text.contains(r#""progress":{"done":0.50}"#), "{}", job.text);
    let said = house.post("/v1/jobs/release", format!(r#"{{"jobs":[{{"id":"{id}","token":{token}}}]}}"#));
    assert_eq!(said.json["results"][0], json!({ "id": id, "state": "ready" }));
    let again = house.post("/v1/leases", r#"{"queues":["q"]}"#).json["jobs"][0].clone();
    assert_eq!(
        (&again["attempt"], &again["progress"]),
        (&json!(1), &json!({ "done": 0.5 })),
        "a release counts no attempt"
    );
}

#[test]
fn everything_is_said_in_one_round_trip() {
    let house = House::open();
    house.post("/v1/queues/q/jobs", r#"[{},{},{},{},{"payload":"last"}]"#);
    let leased = house.post("/v1/leases", r#"{"queues":["q"],"max":4}"#).json;
    let token = |i: usize| leased["jobs"][i]["token"].as_u64().unwrap();
    let body = format!(
        r#"{{"complete":[{{"id":"0-1","token":{},"result":1}},{{"id":"0-9","token":1}}],
             "fail":[{{"id":"0-2","token":{},"error":{{"message":"m"}},"fatal":true}},{{"id":"0-2"}}],
             "extend":[{{"id":"0-3","token":{}}}],"release":[{{"id":"0-4","token":{}}}],
             "lease":{{"queues":["q"],"max":10}}}}"#,
        token(0),
        token(1),
        token(2),
        token(3)
    );
    let said = house.post("/v1/work", body).json;
    assert_eq!(said["complete"][0], json!({ "id": "0-1", "state": "completed" }));
    assert_eq!(said["complete"][1]["error"]["code"], "job_not_found");
    assert_eq!(said["fail"][0], json!({ "id": "0-2", "state": "dead" }));
    assert_eq!(said["fail"][1]["error"]["code"], "missing_field");
    assert_eq!(said["extend"][0]["state"], "leased");
    assert_eq!(said["release"][0], json!({ "id": "0-4", "state": "ready" }));
    let mut ids: Vec<_> =
        said["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["0-4", "0-5"], "what was released is leased again at once");
    assert_eq!(house.get("/v1/jobs/0-1").json["result"], 1);
}

#[test]
fn only_the_parts_that_were_asked_are_answered() {
    let house = House::open();
    assert_eq!(house.post("/v1/work", "{}").json, json!({}));
    assert_eq!(house.post("/v1/work", r#"{"complete":[],"lease":null}"#).json, json!({ "complete": [] }));
    assert_eq!(house.post("/v1/work", r#"{"lease":{"queues":["q"]}}"#).json, json!({ "jobs": [] }));
}
