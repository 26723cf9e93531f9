//! Enqueueing, showing, listing, cancelling, editing.

use serde_json::json;

use crate::support::House;

#[test]
fn an_accepted_job_can_be_seen_with_everything_it_was_given() {
    let house = House::open();
    let said = house.post(
        "/v1/queues/emails/jobs",
        r#"{"kind":"welcome","payload":{ "to": 1.0 },"priority":2,"run_at":"2120-01-01T01:00:00+01:00",
            "ordering_key":"customer 7","on_failure":"park","fairness_key":"t1","unique":{"key":"u1"},
            "retry":{"max_attempts":3},"dependency":"smtp","metadata":{"tenant":"t1"},
            "traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}"#
            .replace("2120-01-01T01:00:00+01:00", &in_a_day()),
    );
    assert_eq!(said.status, 201);
    let id = said.json["id"].as_str().unwrap();
    assert_eq!(said.json, json!({ "id": id, "queue": "emails", "state": "scheduled" }));

    let said = house.get(&format!("/v1/jobs/{id}"));
    assert!(said.text.contains(r#""payload":{ "to": 1.0 }"#), "byte for byte: {}", said.text);
    let mut job = said.json.clone();
    assert!(job["enqueued_at"].take().is_string() && job["run_at"].take().is_string());
    let expected = json!({
        "id": id, "queue": "emails", "kind": "welcome", "state": "scheduled", "priority": 2, "payload": {"to": 1.0},
        "attempt": 0, "max_attempts": 3, "enqueued_at": null, "run_at": null, "ordering_key": "customer 7",
        "on_failure": "park", "fairness_key": "t1", "unique_key": "u1", "dependency": "smtp",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "metadata": {"tenant": "t1"},
        "waiting_for": "run_at",
    });
    assert_eq!(job, expected);
}

fn in_a_day() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    tidegate_api::time::Timestamp::from_unix_ms(now + 86_400_000).to_string()
}

#[test]
fn a_list_of_jobs_has_an_outcome_for_each() {
    let house = House::open();
    let said = house.post(
        "/v1/queues/emails/jobs",
        r#"[{}, {"prioritty":1}, {"delay_ms":60000}, 7, {"unique":{"key":"u"}}, {"unique":{"key":"u"}},
            {"unique":{"key":"u","on_conflict":"reject"}}]"#,
    );
    assert_eq!(said.status, 200);
    let results = said.json["results"].as_array().unwrap();
    let short: Vec<String> = results
        .iter()
        .map(|result| match (result["error"]["code"].as_str(), result["state"].as_str()) {
            (Some(code), None) => code.to_owned(),
            (None, Some(state)) => format!("{} {state} {}", result["id"], result["duplicate"]),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        short,
        [
            r#""0-1" ready null"#,
            "unknown_field",
            r#""0-2" scheduled null"#,
            "wrong_type",
            r#""0-3" ready null"#,
            r#""0-3" ready true"#,
            "unique_conflict"
        ]
    );
    assert_eq!(results[1]["error"]["nearest"], "priority");
    assert_eq!(house.post("/v1/queues/emails/jobs", "[]").json, json!({ "results": [] }));
    assert_eq!(house.post("/v1/queues/emails/jobs", "[7]").json["results"][0]["error"]["code"], "wrong_type");
}

#[test]
fn a_job_that_is_there_already_is_answered_in_place_of_a_new_one() {
    let house = House::open();
    let id = house.enqueue("emails", r#"{"unique":{"key":"u"}}"#);
    let said = house.post("/v1/queues/emails/jobs", r#"{"unique":{"key":"u"}}"#);
    assert_eq!(said.status, 200);
    assert_eq!(said.json, json!({ "id": id, "queue": "emails", "state": "ready", "duplicate": true }));
}

#[test]
fn bytes_come_back_as_bytes_and_nothing_as_null() {
    let house = House::open();
    let bytes = house.enqueue("q", r#"{"payload_base64":"AP8="}"#);
    let empty = house.enqueue("q", r#"{"payload_base64":""}"#);
    let nothing = house.enqueue("q", "{}");
    let null = house.enqueue("q", r#"{"payload":null}"#);
    let show = |id: &str| {
        let job = house.get(&format!("/v1/jobs/{id}")).json;
        (job.get("payload").cloned(), job.get("payload_base64").cloned())
    };
    assert_eq!(show(&bytes), (None, Some("AP8=".into())));
    assert_eq!(show(&empty), (None, Some("".into())));
    assert_eq!(show(&nothing).1, None);
    assert_eq!(house.get(&format!("/v1/jobs/{nothing}")).json["payload"], json!(null));
    let leased = house.post("/v1/leases", r#"{"queues":["q"],"max":10}"#);
    let payloads: Vec<_> = leased.json["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| (job.get("payload").cloned(), job.get("payload_base64").cloned()))
        .collect();
    assert_eq!(
        payloads,
        [
            (None, Some("AP8=".into())),
            (None, Some("".into())),
            (Some(json!(null)), None),
            (Some(json!(null)), None)
        ]
    );
    assert_eq!(show(&null), show(&nothing));
}

#[test]
fn a_wait_for_a_jobs_end_is_answered_when_it_ends() {
    let house = House::open();
    let id = house.enqueue("q", "{}");
    let mut waiting = house.connect();
    let path = format!("/v1/jobs/{id}?wait_ms=60000");
    waiting.send("GET", &path, &[], b"");
    crate::support::until("somebody waits", || house.engine.status().shards[0].waiters == 1);
    let (leased, token) = house.lease("q");
    house.post(
        "/v1/jobs/complete",
        format!(r#"{{"jobs":[{{"id":"{leased}","token":{token},"result":{{"n":1}}}}]}}"#),
    );
    let said = waiting.hear("GET", &path);
    assert_eq!((&said.json["state"], &said.json["result"]), (&json!("completed"), &json!({ "n": 1 })));
    assert!(said.json["ended_at"].is_string() && said.json.get("payload").is_none());
}

#[test]
fn a_wait_that_is_over_is_answered_with_the_state_as_it_is() {
    let house = House::open();
    let id = house.enqueue("q", "{}");
    let said = house.get(&format!("/v1/jobs/{id}?wait_ms=1"));
    assert_eq!((&said.json["state"], &said.json["position"]), (&json!("ready"), &json!(1)));
}

#[test]
fn a_cancelled_job_is_nobodys() {
    let house = House::open();
    let id = house.enqueue("q", "{}");
    let (_, token) = house.lease("q");
    let said = house.ask("POST", &format!("/v1/jobs/{id}/cancel"), &[], "");
    assert_eq!((said.status, said.json), (200, json!({ "id": id, "state": "cancelled" })));
    let late = house.post("/v1/jobs/complete", format!(r#"{{"jobs":[{{"id":"{id}","token":{token}}}]}}"#));
    assert!(late.json["results"][0]["error"]["code"].is_string(), "{late:?}");
    assert_eq!(house.get(&format!("/v1/jobs/{id}")).json["reason"], "cancelled");
    let again = house.ask("POST", &format!("/v1/jobs/{id}/cancel"), &[], "");
    assert_eq!(
        (again.status, &again.json["state"]),
        (200, &json!("cancelled")),
        "it is as was asked already"
    );
}

#[test]
fn jobs_are_listed_by_what_is_asked_for_page_by_page() {
    let house = House::open();
    house.post(
        "/v1/queues/a/jobs",
        r#"[{"kind":"x"},{"kind":"y"},{"kind":"x","ordering_key":"k"},{"delay_ms":60000}]"#,
    );
    house.enqueue("b", "{}");
    let ids = |query: &str| -> Vec<String> {
        let said = house.get(&format!("/v1/jobs?{query}"));
        assert_eq!(said.status, 200, "{said:?}");
        said.json["jobs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|job| job["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(""), ["0-1", "0-2", "0-3", "0-4", "0-5"]);
    assert_eq!(ids("queue=b"), ["0-5"]);
    assert_eq!(ids("queue=a&kind=x"), ["0-1", "0-3"]);
    assert_eq!(ids("state=scheduled"), ["0-4"]);
    assert_eq!(ids("queue=a&ordering_key=k"), ["0-3"]);
    assert_eq!(ids("older_than_ms=3600000"), [""; 0]);

    let mut pages = Vec::new();
    let mut path = "/v1/jobs?queue=a&limit=2".to_owned();
    loop {
        let said = house.get(&path);
        pages.push(said.json["jobs"].as_array().unwrap().len());
        let Some(cursor) = said.json["cursor"].as_str() else { break };
        path = format!("/v1/jobs?queue=a&limit=2&cursor={cursor}");
    }
    assert_eq!(pages.iter().sum::<usize>(), 4, "{pages:?}");
    assert!(pages.iter().all(|jobs| *jobs <= 2), "{pages:?}");
    assert_eq!(house.get("/v1/jobs?queue=nowhere").code(), "queue_not_found");
}
