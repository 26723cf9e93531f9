//! Queues and dead letters.

use serde_json::{Value, json};

use crate::support::{House, JSON, until};

#[test]
fn a_queue_shows_how_it_stands() {
    let house = House::open();
    house.post("/v1/queues/q/jobs", r#"[{},{},{"delay_ms":60000}]"#);
    house.lease("q");
    let mut queue = Value::Null;
    until("the snapshot shows the lease", || {
        queue = house.get("/v1/queues/q").json;
        queue["counts"]["leased"] == 1
    });
    assert_eq!(
        queue["counts"],
        json!({ "scheduled": 1, "ready": 1, "leased": 1, "completed": 0, "dead": 0, "cancelled": 0 })
    );
    assert_eq!((&queue["name"], &queue["paused"]), (&json!("q"), &json!(false)));
    assert_eq!(
        queue["config"],
        json!({
            "retry": { "max_attempts": 5, "delay_ms": 30000, "factor": 2.0, "delay_max_ms": 3600000, "jitter_percent": 20 },
            "lease_ms": 30000, "on_failure": "block", "retain_ms": 3600000, "retain_max": 100000,
        })
    );
    assert!(
        queue["oldest_ready_age_ms"].is_u64()
            && queue["as_of"].is_string()
            && queue["arrival_per_s"].is_f64()
    );
    // A queue that no snapshot has yet is shown as it is now; the list has snapshots only, and may be a moment behind.
    until("the list shows the same", || {
        let listed = &house.get("/v1/queues").json["queues"][0];
        (&listed["name"], &listed["counts"]) == (&queue["name"], &queue["counts"])
    });
}

#[test]
fn a_configuration_is_whole_and_what_it_leaves_out_is_the_default() {
    let house = House::open();
    let said = house
        .put("/v1/queues/q", r#"{"retry":{"max_attempts":2,"factor":1.5},"lease_ms":5000,"jobs_max":7}"#);
    assert_eq!(said.status, 200);
    let config = &said.json["config"];
    assert_eq!(
        config["retry"],
        json!({
            "max_attempts": 2, "delay_ms": 30000, "factor": 1.5, "delay_max_ms": 3600000, "jitter_percent": 20,
        })
    );
    assert_eq!((&config["lease_ms"], &config["jobs_max"]), (&json!(5000), &json!(7)));
    let config = &house.put("/v1/queues/q", "{}").json["config"];
    assert_eq!((&config["lease_ms"], config.get("jobs_max")), (&json!(30000), None));
}

#[test]
fn a_paused_queue_hands_out_nothing_until_it_is_resumed() {
    let house = House::open();
    let id = house.enqueue("q", "{}");
    let said = house.ask("POST", "/v1/queues/q/pause", &[], "");
    assert_eq!((said.status, &said.json["paused"]), (200, &json!(true)));
    assert_eq!(house.post("/v1/leases", r#"{"queues":["q"]}"#).json, json!({ "jobs": [] }));
    assert_eq!(house.get(&format!("/v1/jobs/{id}")).json["waiting_for"], "queue_paused");
    assert_eq!(house.post("/v1/queues/q/resume", "{}").json["paused"], false);
    assert_eq!(house.lease("q").0, id);
}

#[test]
fn an_ordering_key_can_be_paused_alone() {
    let house = House::open();
    house.post("/v1/queues/q/jobs", r#"[{"ordering_key":"a"},{"ordering_key":"b"}]"#);
    let said = house.post("/v1/queues/q/pause", r#"{"ordering_key":"a"}"#);
    assert_eq!(said.json, json!({ "queue": "q", "ordering_key": "a", "paused": true }));
    assert_eq!(house.get("/v1/jobs/0-1").json["waiting_for"], "key_paused");
    assert_eq!(house.lease("q").0, "0-2");
    assert_eq!(house.post("/v1/queues/q/resume", r#"{"ordering_key":"a"}"#).json["paused"], false);
    assert_eq!(house.lease("q").0, "0-1");
}

/// Has so many jobs of a kind die with a message.
fn kill(house: &House, queue: &str, kind: &str, count: usize, message: &str) {
    let jobs = vec![format!(r#"{{"kind":"{kind}"}}"#); count].join(",");
    house.post(&format!("/v1/queues/{queue}/jobs"), format!("[{jobs}]"));
    let leased =
        house.post("/v1/leases", format!(r#"{{"queues":["{queue}"],"kinds":["{kind}"],"max":1000}}"#)).json;
    let fails: Vec<String> = leased["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| {
            format!(
                r#"{{"id":{},"token":{},"error":{{"message":"{message}"}},"fatal":true}}"#,
                job["id"], job["token"]
            )
        })
        .collect();
    assert_eq!(fails.len(), count);
    house.post("/v1/jobs/fail", format!(r#"{{"jobs":[{}]}}"#, fails.join(",")));
}

#[test]
fn dead_letters_are_listed_and_grouped_by_cause() {
    let house = House::open();
    kill(&house, "q", "x", 3, "no route");
    kill(&house, "q", "y", 1, "out of ink");
    let dead = house.get("/v1/queues/q/dead").json;
    assert_eq!(dead["jobs"].as_array().unwrap().len(), 4);
    assert_eq!(house.get("/v1/queues/q/dead?kind=y").json["jobs"][0]["id"], "0-4");
    assert_eq!(house.get("/v1/queues/q/dead?reason=expired").json["jobs"], json!([]));

    let causes = house.get("/v1/queues/q/dead/causes").json;
    let causes = causes["causes"].as_array().unwrap();
    let told: Vec<_> = causes
        .iter()
        .map(|cause| (cause["kind"].as_str(), cause["message"].as_str(), cause["count"].as_u64()))
        .collect();
    assert_eq!(told, [(Some("x"), Some("no route"), Some(3)), (Some("y"), Some("out of ink"), Some(1))]);
    let cause = causes[0]["cause"].as_str().unwrap();
    assert_eq!(
        house.get(&format!("/v1/queues/q/dead?cause={cause}")).json["jobs"].as_array().unwrap().len(),
        3
    );
    assert_eq!(house.get("/v1/queues/nowhere/dead").code(), "queue_not_found");
    assert_eq!(house.get("/v1/queues/nowhere/dead/causes").code(), "queue_not_found");
}

#[test]
fn redriven_jobs_go_back_to_work() {
    let house = House::open();
    kill(&house, "q", "x", 3, "m");
    kill(&house, "q", "y", 1, "m");
    let said = house.post("/v1/queues/q/dead/redrive", r#"{"kind":"x"}"#);
    assert_eq!((said.status, &said.json["redrive"]["queue"]), (202, &json!("q")));
    until("all were moved", || house.get("/v1/queues/q").json["redrive"]["moved"] == 3);
    let leased = house.post("/v1/leases", r#"{"queues":["q"],"max":10,"wait_ms":1000}"#).json;
    assert_eq!(leased["jobs"].as_array().unwrap().len(), 3);
    assert_eq!(house.get("/v1/queues/q/dead").json["jobs"].as_array().unwrap().len(), 1);
}

#[test]
fn a_dead_job_can_be_given_another_payload() {
    let house = House::open();
    kill(&house, "q", "x", 1, "m");
    let said = house.post("/v1/jobs/0-1/edit", r#"{"payload":{"to":"bob"}}"#);
    assert_eq!(
        (said.status, &said.json["payload"], &said.json["state"]),
        (200, &json!({ "to": "bob" }), &json!("dead"))
    );
    house.post("/v1/queues/q/dead/redrive", "");
    let leased = house.post("/v1/leases", r#"{"queues":["q"],"wait_ms":60000}"#).json;
    assert_eq!(leased["jobs"][0]["payload"], json!({ "to": "bob" }));
}

#[test]
fn deleting_dead_jobs_says_how_many_there_were() {
    let house = House::open();
    kill(&house, "q", "x", 1_000, "m");
    kill(&house, "q", "x", 1_000, "m");
    kill(&house, "q", "y", 1, "m");
    let keyed = [JSON, ("idempotency-key", "k")];
    let ask = || house.ask("POST", "/v1/queues/q/dead/delete", &keyed, r#"{"kind":"x"}"#);
    assert_eq!(
        ask().json,
        json!({ "deleted": 2_000 }),
        "in as many commands as it takes, each under a key of its own"
    );
    assert_eq!(ask().json, json!({ "deleted": 2_000 }), "and remembered as a whole");
    assert_eq!(house.post("/v1/queues/q/dead/delete", r#"{"ids":["0-2001"]}"#).json, json!({ "deleted": 1 }));
    assert_eq!(house.post("/v1/queues/q/dead/delete", r#"{"all":true}"#).json, json!({ "deleted": 0 }));
}

#[test]
fn it_lives_it_is_ready_and_it_describes_itself() {
    let house = House::open();
    assert_eq!((house.get("/healthz").status, house.get("/readyz").status), (200, 200));
    assert_eq!(house.get("/openapi.json").json, tidegate_api::openapi::document(env!("CARGO_PKG_VERSION")));
    assert_eq!(house.get("/healthz?from=balancer").status, 200);
    let said = house.ask("HEAD", "/healthz", &[], "");
    assert_eq!((said.status, said.header("content-length")), (200, Some("3")));
}
