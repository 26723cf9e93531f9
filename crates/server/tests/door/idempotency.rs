//! The same key and body have the same answer, also after a restart.

use crate::support::{House, JSON, Said};

/// Asks twice under one key: the answers are equal, and the second says that it is one.
fn check(house: &House, method: &str, path: &str, body: &str) -> Said {
    let key = format!("\"{method} {path} {}\"", body.len());
    let headers = [JSON, ("idempotency-key", key.as_str())];
    let first = house.ask(method, path, &headers, body);
    let again = house.ask(method, path, &headers, body);
    assert!(!first.is_replayed() && again.is_replayed(), "{method} {path}: {first:?} {again:?}");
    assert_eq!(first.status, again.status, "{method} {path}");
    let other = house.ask(method, path, &headers, format!("{body} "));
    assert_eq!((other.status, other.code()), (422, "idempotency_mismatch"), "{method} {path}");
    assert_eq!(other.header("idempotent-replayed"), None);
    first
}

#[test]
fn every_call_that_changes_something_is_done_once_under_its_key() {
    let house = House::open();
    let equal = |first: Said, again: Said| assert_eq!(first.text, again.text);
    let jobs = "/v1/queues/q/jobs";
    let key = [JSON, ("idempotency-key", "k")];
    equal(house.ask("POST", jobs, &key, "{}"), house.ask("POST", jobs, &key, "{}"));
    check(&house, "POST", jobs, r#"{"payload":1}"#);
    check(&house, "POST", jobs, r#"[{},{"priority":12},{}]"#);
    assert_eq!(house.get("/v1/jobs").json["jobs"].as_array().unwrap().len(), 4);

    let leased = check(&house, "POST", "/v1/leases", r#"{"queues":["q"],"max":4}"#);
    let token = |i: usize| leased.json["jobs"][i]["token"].as_u64().unwrap();
    let id = |i: usize| leased.json["jobs"][i]["id"].as_str().unwrap();
    let item =
        |i: usize, rest: &str| format!(r#"{{"jobs":[{{"id":"{}","token":{}{rest}}}]}}"#, id(i), token(i));
    check(&house, "POST", "/v1/jobs/extend", &item(0, ""));
    let completed = check(&house, "POST", "/v1/jobs/complete", &item(0, ""));
    assert_eq!(completed.json["results"][0]["state"], "completed");
    check(&house, "POST", "/v1/jobs/fail", &item(1, r#","error":{"message":"m"},"fatal":true"#));
    check(&house, "POST", "/v1/jobs/release", &item(2, ""));
    let asked = format!(
        r#"{{"do":[{{"complete":{{"id":"{}","token":{}}}}},{{"enqueue":{{"queue":"q"}}}}]}}"#,
        id(3),
        token(3)
    );
    let done = check(&house, "POST", "/v1/transactions", &asked);
    assert_eq!(done.json["results"][0]["state"], "completed");
    check(&house, "POST", &format!("/v1/jobs/{}/edit", id(1)), r#"{"payload":2}"#);
    check(&house, "POST", &format!("/v1/jobs/{}/cancel", id(2)), "{}");
    check(&house, "PUT", "/v1/queues/q", r#"{"lease_ms":1000}"#);
    check(&house, "POST", "/v1/queues/q/pause", "{}");
    check(&house, "POST", "/v1/queues/q/resume", "{}");
    let redriven = check(&house, "POST", "/v1/queues/q/dead/redrive", r#"{"kind":"none"}"#);
    assert_eq!(redriven.status, 202);
    let deleted = check(&house, "POST", "/v1/queues/q/dead/delete", r#"{"all":true}"#);
    assert_eq!(deleted.json["deleted"], 1);
}

#[test]
fn a_key_is_remembered_across_a_restart() {
    let house = House::open();
    let headers = [JSON, ("idempotency-key", "order-7")];
    let first = house.ask("POST", "/v1/queues/q/jobs", &headers, r#"[{},{"unique":{"key":"u"}}]"#);
    let house = house.restart();
    let again = house.ask("POST", "/v1/queues/q/jobs", &headers, r#"[{},{"unique":{"key":"u"}}]"#);
    assert_eq!(first.text, again.text);
    assert!(again.is_replayed());
    assert_eq!(house.get("/v1/jobs").json["jobs"].as_array().unwrap().len(), 2);
    assert_eq!(house.ask("POST", "/v1/queues/q/jobs", &headers, "{}").code(), "idempotency_mismatch");
}

#[test]
fn a_refusal_of_the_rules_is_an_answer_and_is_remembered_too() {
    let house = House::open();
    let headers = [JSON, ("idempotency-key", "k")];
    let ask = || house.ask("POST", "/v1/queues/q/pause", &headers, "{}");
    let first = ask();
    assert_eq!(first.code(), "queue_not_found");
    house.enqueue("q", "{}");
    let again = ask();
    assert_eq!((again.code(), again.is_replayed()), ("queue_not_found", true));
}

#[test]
fn the_same_key_quoted_and_bare_is_one_key() {
    let house = House::open();
    let ask = |key: &str| house.ask("POST", "/v1/queues/q/jobs", &[JSON, ("idempotency-key", key)], "{}");
    assert_eq!(ask("abc").text, ask("\"abc\"").text);
}

#[test]
fn the_answer_about_a_pool_is_the_first_one_whatever_has_become_of_it() {
    let house = House::open();
    let ask = |house: &House, method: &str, path: &str, key: &str, body: &str| {
        let said = house.ask(method, path, &[JSON, ("idempotency-key", key)], body);
        assert!(said.status < 300, "{said:?}");
        said
    };
    let put =
        |house: &House| ask(house, "PUT", "/v1/pools/z", "Z1", r#"{"capacity":1,"attributes":{"a":"b"}}"#);
    let resize = |house: &House| ask(house, "POST", "/v1/pools/z/resize", "Z2", r#"{"capacity":5}"#);
    let hold = |house: &House| ask(house, "POST", "/v1/pools/z/hold", "Z3", r#"{"holder":"anna"}"#);
    let firsts = [put(&house), resize(&house), hold(&house)];
    assert_eq!((&firsts[0].json["config"]["capacity"], &firsts[1].json["free"]), (&1.into(), &5.into()));
    assert!(firsts[2].json["extendable_until"].is_string(), "{:?}", firsts[2]);
    let check = |house: &House, what: &str| {
        for (first, again) in firsts.iter().zip([put(house), resize(house), hold(house)]) {
            assert_eq!((first.status, &first.text), (again.status, &again.text), "{what}");
            assert!(again.is_replayed(), "{what}");
        }
    };
    check(&house, "at once");
    let id = firsts[2].json["id"].as_str().unwrap();
    ask(&house, "POST", &format!("/v1/grants/{id}/confirm"), "Z4", "");
    check(&house, "when the hold is a take");
    ask(&house, "POST", &format!("/v1/grants/{id}/release"), "Z5", "");
    check(&house, "when it is given back");
    ask(&house, "DELETE", "/v1/pools/z", "Z6", "");
    check(&house, "when the pool is gone");
    check(&house.restart(), "after a restart");
}
