//! Pools, grants, lines, holders: each call good and bad.

use serde_json::{Value, json};
use tidegate_engine::{Options as EngineOptions, shard_of};
use tidegate_server::Options;

use crate::support::{House, JSON, Said, until};

fn pool(house: &House, name: &str, config: &str) {
    let said = house.put(&format!("/v1/pools/{name}"), config);
    assert_eq!(said.status, 200, "{said:?}");
}

fn ask(house: &House, pool: &str, what: &str, body: &str) -> Said {
    house.post(&format!("/v1/pools/{pool}/{what}"), body)
}

/// Takes one unit and says the grant's id.
fn take(house: &House, pool: &str, holder: &str) -> String {
    let said = ask(house, pool, "take", &format!(r#"{{"holder":"{holder}"}}"#));
    assert_eq!((said.status, &said.json["state"]), (201, &json!("taken")), "{said:?}");
    said.json["id"].as_str().unwrap().to_owned()
}

fn grant(house: &House, id: &str, what: &str, body: &str) -> Said {
    house.post(&format!("/v1/grants/{id}/{what}"), body)
}

/// The members of an answer that are named.
fn some(json: &Value, names: &[&str]) -> Value {
    names.iter().map(|name| (name.to_string(), json[*name].clone())).collect()
}

#[test]
fn a_pool_is_configured_shown_resized_and_deleted() {
    let house = House::open();
    let config = r#"{"capacity":3,"waitlist_max":2,"hold_ms":60000,"holder_units_max":0,"offer_queue":"offers@s",
        "quotas":[{"group":"b","units_max":1},{"group":"a","units_max":2}],"attributes":{"title":"Datenbänke"}}"#;
    let made = house.put("/v1/pools/seats@s", config);
    let expected = json!({
        "capacity": 3, "holder_units_max": 0, "hold_ms": 60_000, "hold_ms_max": 3_600_000, "offer_ms": 300_000,
        "waitlist_max": 2, "opening": "fifo", "offer_queue": "offers@s", "attributes": { "title": "Datenbänke" },
        "quotas": [{ "group": "b", "units_max": 1 }, { "group": "a", "units_max": 2 }],
    });
    assert_eq!((made.status, &made.json["config"]), (200, &expected));
    ask(&house, "seats@s", "take", r#"{"holder":"h","units":2,"group":"a"}"#);
    ask(&house, "seats@s", "hold", r#"{"holder":"h"}"#);
    let shown = house.get("/v1/pools/seats%40s").json;
    assert_eq!(
        some(&shown, &["name", "state", "free", "held", "taken", "waiting", "version", "groups"]),
        json!({
            "name": "seats@s", "state": "open", "free": 0, "held": 1, "taken": 2, "waiting": 0, "version": 3,
            "groups": [{ "group": "b", "units": 0, "units_max": 1 }, { "group": "a", "units": 2, "units_max": 2 }],
        })
    );
    assert!(shown["as_of"].as_str().unwrap() >= made.json["as_of"].as_str().unwrap());
    // What is shown can be put back, and changes nothing.
    let again = house.put("/v1/pools/seats@s", shown["config"].to_string());
    assert_eq!((&again.json["version"], &again.json["config"]), (&shown["version"], &shown["config"]));

    let resized = ask(&house, "seats@s", "resize", r#"{"capacity":5}"#);
    assert_eq!(
        (resized.status, &resized.json["free"], &resized.json["version"]),
        (200, &json!(2), &json!(4))
    );
    let below = ask(&house, "seats@s", "resize", r#"{"capacity":2}"#);
    assert_eq!(
        (below.status, below.code(), &below.json["value"], &below.json["version"]),
        (409, "below_granted", &json!(3), &json!(4))
    );
    assert_eq!(ask(&house, "none", "resize", r#"{"capacity":2}"#).code(), "pool_not_found");
    let in_use = house.ask("DELETE", "/v1/pools/seats@s", &[], "");
    assert_eq!((in_use.status, in_use.code()), (409, "pool_in_use"));
    pool(&house, "empty", r#"{"capacity":0}"#);
    assert_eq!(house.ask("DELETE", "/v1/pools/empty", &[], "").json, json!({ "deleted": "empty" }));
    assert_eq!(house.get("/v1/pools/empty").code(), "pool_not_found");
    assert_eq!(house.ask("DELETE", "/v1/pools/empty", &[], "").code(), "pool_not_found");
}

#[test]
fn a_configuration_that_cannot_be_is_refused_by_its_field() {
    let house = House::open();
    for (config, code, field) in [
        ("{}", "missing_field", "capacity"),
        (r#"{"capacity":-1}"#, "invalid_value", "capacity"),
        (r#"{"capacity":1,"hold_ms":999}"#, "invalid_value", "hold_ms"),
        (r#"{"capacity":1,"hold_ms":5000,"hold_ms_max":4000}"#, "invalid_value", "hold_ms"),
        (r#"{"capacity":1,"opening":"shuffle","waitlist_max":1}"#, "invalid_value", "opening"),
        (
            r#"{"capacity":1,"opening":"shuffle","opens_at":"2999-01-01T00:00:00Z"}"#,
            "invalid_value",
            "opening",
        ),
        (r#"{"capacity":1,"quotas":[["g",1]]}"#, "wrong_type", "quotas[0]"),
        (
            r#"{"capacity":1,"quotas":[{"group":"g","units_max":1},{"group":"g","units_max":2}]}"#,
            "invalid_value",
            "quotas[1].group",
        ),
        (r#"{"capacity":1,"attributes":{"a":"1","a":"2"}}"#, "invalid_value", "attributes"),
        (r#"{"capacity":1,"offer_queue":"a b"}"#, "invalid_value", "offer_queue"),
        (r#"{"capasity":1}"#, "unknown_field", "capasity"),
    ] {
        let said = house.put("/v1/pools/p", config);
        assert_eq!((said.status, said.code(), &said.json["field"]), (400, code, &json!(field)), "{config}");
    }
    let too_long = format!(r#"{{"capacity":1,"attributes":{{"a":"{}"}}}}"#, "x".repeat(1_025));
    assert_eq!(house.put("/v1/pools/p", too_long).json["field"], "attributes.a");
    for (name, allowed) in [("watch", "GET, HEAD"), ("requests", "POST")] {
        let said = house.put(&format!("/v1/pools/{name}"), r#"{"capacity":1}"#);
        assert_eq!((said.status, said.header("allow")), (405, Some(allowed)), "{name}");
    }
    for name in ["w%61tch", "%72equests", "a@b@c", "@b", "a%20b"] {
        let said = house.put(&format!("/v1/pools/{name}"), r#"{"capacity":1}"#);
        assert_eq!((said.code(), &said.json["field"]), ("invalid_value", &json!("pool")), "{name}");
    }
    let house = House::with(EngineOptions { shards: 2, ..EngineOptions::default() }, Options::default());
    let of = |shard| (0..).map(|n| format!("n{n}")).find(|name| shard_of(name, 2) == shard).unwrap();
    let config = format!(r#"{{"capacity":1,"offer_queue":"q@{}"}}"#, of(1));
    let said = house.put(&format!("/v1/pools/p@{}", of(0)), &config);
    assert_eq!((said.code(), &said.json["field"]), ("invalid_value", &json!("offer_queue")), "{said:?}");
    assert_eq!(house.put(&format!("/v1/pools/p@{}", of(1)), &config).status, 200);
}

#[test]
fn a_list_over_several_shards_has_no_key() {
    let house = House::with(EngineOptions { shards: 2, ..EngineOptions::default() }, Options::default());
    let of = |shard| (0..).map(|n| format!("n{n}")).find(|name| shard_of(name, 2) == shard).unwrap();
    let [a, b] = [0, 1].map(of);
    pool(&house, &a, r#"{"capacity":1}"#);
    pool(&house, &b, r#"{"capacity":1}"#);
    let list = format!(
        r#"[{{"take":{{"holder":"x"}}}},{{"take":{{"pool":"{a}","holder":"x"}}}},{{"take":{{"pool":"{b}","holder":"x"}}}}]"#
    );
    let refused = house.ask("POST", "/v1/pools/requests", &[JSON, ("idempotency-key", "k")], &list);
    assert_eq!((refused.status, refused.code()), (422, "transaction_spans_shards"), "{refused:?}");
    assert!(refused.json.get("operation").is_none(), "an item of a list is no operation of a transaction");
    let detail = refused.json["detail"].as_str().unwrap();
    assert!(detail.contains(&a) && detail.contains(&b), "{detail}");
    let done = house.post("/v1/pools/requests", &list);
    let results = done.json["results"].as_array().unwrap();
    assert_eq!(results[0]["error"]["code"], "missing_field");
    assert!(
        results[1..].iter().all(|result| result["state"] == "taken"),
        "nothing was done before: {done:?}"
    );
}

#[test]
fn pools_are_shown_by_name_or_in_pages() {
    let house = House::open();
    for name in ["b", "a@x", "c", "d"] {
        pool(&house, name, r#"{"capacity":1}"#);
    }
    let names = |said: &Said| -> Vec<String> {
        let pools = said.json["pools"].as_array().unwrap();
        pools.iter().map(|pool| pool["name"].as_str().unwrap().to_owned()).collect()
    };
    let named = house.get("/v1/pools?names=c,nobody,a%40x,none");
    assert_eq!(names(&named), ["c", "a@x"]);
    assert_eq!(named.json["missing"], json!(["nobody", "none"]));
    assert_eq!(named.json["pools"][0], house.get("/v1/pools/c").json);
    let all = house.get("/v1/pools");
    assert_eq!(
        (names(&all), all.json.get("cursor"), all.json.get("missing")),
        (vec!["a@x".into(), "b".into(), "c".into(), "d".into()], None, None)
    );
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = house.get(&format!("/v1/pools?limit=3{cursor}"));
        found.extend(names(&page));
        match page.json["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(found, ["a@x", "b", "c", "d"]);
    for query in ["names=", "names=a,a", "names=a&limit=1", "limit=0", "cursor=%20", "name=a"] {
        assert_eq!(house.get(&format!("/v1/pools?{query}")).status, 400, "{query}");
    }
}

#[test]
fn units_are_held_confirmed_extended_and_given_back() {
    let house = House::open();
    pool(
        &house,
        "p",
        r#"{"capacity":2,"hold_ms":60000,"hold_ms_max":90000,"quotas":[{"group":"g","units_max":1}]}"#,
    );
    let held = ask(&house, "p", "hold", r#"{"holder":"anna","group":"g"}"#);
    assert_eq!(
        (
            held.status,
            some(&held.json, &["id", "pool", "holder", "units", "group", "state", "fence", "version"])
        ),
        (
            201,
            json!({ "id": "0-1", "pool": "p", "holder": "anna", "units": 1, "group": "g", "state": "held", "fence": 1, "version": 2 })
        )
    );
    let extended = grant(&house, "0-1", "extend", r#"{"hold_ms":80000}"#);
    assert_eq!((extended.status, &extended.json["state"]), (200, &json!("held")));
    assert!(extended.json["expires_at"].as_str() > held.json["expires_at"].as_str());
    assert_eq!(extended.json["extendable_until"], held.json["extendable_until"]);
    assert_eq!(grant(&house, "0-1", "extend", "").status, 200);
    let shown = house.get("/v1/grants/0-1").json;
    assert_eq!(shown["expires_at"], extended.json["expires_at"], "never earlier");

    let confirmed = grant(&house, "0-1", "confirm", "");
    assert_eq!(
        (confirmed.status, some(&confirmed.json, &["state", "holder", "group", "expires_at"])),
        (200, json!({ "state": "taken", "holder": "anna", "group": "g", "expires_at": null }))
    );
    assert_eq!(grant(&house, "0-1", "confirm", "{}").json, confirmed.json, "said twice, the same");
    assert_eq!(grant(&house, "0-1", "extend", "{}").code(), "not_held");
    let released = grant(&house, "0-1", "release", "");
    assert_eq!(
        (released.status, some(&released.json, &["state", "holder", "units", "pool"])),
        (200, json!({ "state": "released", "holder": "anna", "units": 1, "pool": "p" }))
    );
    let over = grant(&house, "0-1", "release", "");
    assert_eq!((over.status, over.code(), &over.json["value"]), (409, "grant_ended", &json!("released")));
    assert_eq!(house.get("/v1/grants/0-1").json["state"], "released");
    assert_eq!(
        (house.get("/v1/grants/0-9").status, house.get("/v1/grants/7-9").code()),
        (404, "grant_unknown")
    );
    assert_eq!(house.get("/v1/grants/nonsense").json["field"], "id");

    take(&house, "p", "bert");
    for (body, code, value) in [
        (r#"{"holder":"bert"}"#, "limit_reached", json!(1)),
        (r#"{"holder":"carl","units":2}"#, "limit_reached", json!(1)),
        (r#"{"holder":"carl","group":"x"}"#, "group_unknown", json!(null)),
    ] {
        let said = ask(&house, "p", "take", body);
        assert_eq!((said.status, said.code(), &said.json["value"]), (409, code, &value), "{body}");
        assert!(said.json["version"].as_u64().is_some(), "{said:?}");
    }
    take(&house, "p", "carl");
    let sold_out = ask(&house, "p", "take", r#"{"holder":"dora"}"#);
    assert_eq!((sold_out.code(), &sold_out.json["value"]), ("sold_out", &json!(0)));
    for (what, body, field) in [
        ("take", r#"{"holder":"dora","hold_ms":1000}"#, "hold_ms"),
        ("hold", r#"{"holder":"dora","hold_ms":1}"#, "hold_ms"),
        ("hold", r#"{"holder":"dora","units":0}"#, "units"),
        ("hold", r#"{"holder":""}"#, "holder"),
        ("leave", r#"{"holder":"dora","units":1}"#, "units"),
        ("join", r#"{}"#, "holder"),
    ] {
        let said = ask(&house, "p", what, body);
        assert_eq!((said.status, &said.json["field"]), (400, &json!(field)), "{what} {body}");
    }
}

#[test]
fn a_hold_lapses_at_its_deadline_and_what_is_free_then_is_offered() {
    let house = House::open();
    pool(&house, "p@s", r#"{"capacity":1,"waitlist_max":5,"offer_queue":"offers@s"}"#);
    // In one request, so that no time passes between.
    let both = house.post(
        "/v1/pools/requests",
        r#"[{"hold":{"pool":"p@s","holder":"anna","hold_ms":1000}},{"join":{"pool":"p@s","holder":"bert"}}]"#,
    );
    let [held, waits] = [0, 1].map(|at| &both.json["results"][at]);
    assert_eq!(
        waits,
        &json!({ "pool": "p@s", "holder": "bert", "state": "waiting", "number": 1, "ahead": 0, "version": 3 })
    );
    let job = house.post("/v1/leases", r#"{"queues":["offers@s"],"wait_ms":60000}"#).json["jobs"][0].clone();
    assert_eq!((&job["kind"], &job["payload"]["holder"]), (&json!("offer"), &json!("bert")));
    let offer = house.get(&format!("/v1/grants/{}", job["payload"]["grant"].as_str().unwrap())).json;
    assert_eq!(
        some(&offer, &["state", "holder", "offered", "offer_job"]),
        json!({ "state": "held", "holder": "bert", "offered": true, "offer_job": job["id"] })
    );
    let late = grant(&house, held["id"].as_str().unwrap(), "confirm", "");
    assert_eq!((late.status, late.code()), (409, "hold_lapsed"));
    let declined = grant(&house, offer["id"].as_str().unwrap(), "release", "");
    assert_eq!(declined.json["state"], "declined");
    // Nobody waits: who joins is offered at once.
    let offered = ask(&house, "p@s", "join", r#"{"holder":"carl"}"#);
    assert_eq!(
        (offered.status, some(&offered.json, &["state", "holder", "offered"])),
        (201, json!({ "state": "held", "holder": "carl", "offered": true }))
    );
}

#[test]
fn a_line_is_joined_and_left() {
    let house = House::open();
    pool(&house, "p", r#"{"capacity":0,"waitlist_max":2}"#);
    let join = |holder: &str| ask(&house, "p", "join", &format!(r#"{{"holder":"{holder}"}}"#));
    assert_eq!((join("anna").status, join("bert").json["ahead"].clone()), (202, json!(1)));
    assert_eq!(join("anna").json["number"], 1, "said twice, the same place");
    assert_eq!((join("carl").code(), &join("carl").json["value"]), ("waitlist_full", &json!(2)));
    let left = ask(&house, "p", "leave", r#"{"holder":"anna"}"#);
    assert_eq!(
        (left.status, some(&left.json, &["holder", "state", "number"])),
        (200, json!({ "holder": "anna", "state": "left", "number": 1 }))
    );
    assert_eq!(ask(&house, "p", "leave", r#"{"holder":"anna"}"#).code(), "not_waiting");
    pool(&house, "off", r#"{"capacity":0}"#);
    assert_eq!(ask(&house, "off", "join", r#"{"holder":"anna"}"#).code(), "waitlist_off");
}

#[test]
fn one_grant_is_given_for_another_or_kept() {
    let house = House::open();
    pool(&house, "a", r#"{"capacity":1}"#);
    pool(&house, "b", r#"{"capacity":1,"waitlist_max":5}"#);
    let mine = take(&house, "a", "anna");
    let theirs = take(&house, "b", "bert");
    let kept = grant(&house, &mine, "swap", r#"{"pool":"b"}"#);
    assert_eq!((kept.status, kept.code()), (409, "sold_out"));
    assert_eq!(house.get(&format!("/v1/grants/{mine}")).json["state"], "taken");
    assert_eq!(grant(&house, &mine, "swap", r#"{"pool":"a"}"#).code(), "same_pool");
    assert_eq!(grant(&house, &mine, "swap", r#"{"pool":"x"}"#).code(), "pool_not_found");
    let waits = grant(&house, &mine, "swap", r#"{"pool":"b","when_offered":true}"#);
    assert_eq!(
        (waits.status, some(&waits.json, &["pool", "holder", "state", "ahead"])),
        (202, json!({ "pool": "b", "holder": "anna", "state": "waiting", "ahead": 0 }))
    );
    let swap = |give: &str| format!(r#"{{"swap":{{"id":"{give}","pool":"b","when_offered":true}}}}"#);
    let listed = house.post("/v1/pools/requests", format!("[{}]", swap(&mine)));
    assert_eq!(listed.json["results"][0]["holder"], "anna", "{listed:?}");
    let together = house.post("/v1/transactions", format!(r#"{{"do":[{}]}}"#, swap(&mine)));
    assert_eq!(together.json["results"][0]["holder"], "anna", "{together:?}");
    grant(&house, &theirs, "release", "");
    let story = house.get("/v1/holders/anna").json;
    let offer = story["grants"].as_array().unwrap().iter().find(|grant| grant["pool"] == "b").unwrap();
    assert_eq!((&offer["offered"], &offer["gives"]), (&json!(true), &json!(mine)));
    let confirmed = grant(&house, offer["id"].as_str().unwrap(), "confirm", "");
    assert_eq!(confirmed.json["state"], "taken", "{confirmed:?}");
    assert_eq!(house.get(&format!("/v1/grants/{mine}")).json["state"], "swapped");
    let back = grant(&house, offer["id"].as_str().unwrap(), "swap", r#"{"pool":"a"}"#);
    assert_eq!(
        (back.status, some(&back.json, &["pool", "state", "holder"])),
        (201, json!({ "pool": "a", "state": "taken", "holder": "anna" }))
    );
}

#[test]
fn in_a_list_each_wish_is_for_itself() {
    let house = House::open();
    pool(&house, "p", r#"{"capacity":2,"waitlist_max":9}"#);
    let said = ask(
        &house,
        "p",
        "take",
        r#"[{"holder":"a"},{"holder":"b","units":0},{"holder":"c"},{"holder":"d"}]"#,
    );
    let results = &said.json["results"];
    assert_eq!((said.status, results.as_array().unwrap().len()), (200, 4));
    assert_eq!((&results[0]["holder"], &results[2]["holder"]), (&json!("a"), &json!("c")));
    assert_eq!(results[1]["error"]["field"], "units");
    assert_eq!(results[3]["error"]["code"], "sold_out");
    assert_eq!(ask(&house, "p", "take", "[]").json, json!({ "results": [] }));
    assert_eq!(
        ask(&house, "none", "hold", r#"[{"holder":"a"}]"#).json["results"][0]["error"]["code"],
        "pool_not_found"
    );
    let joined = ask(&house, "p", "join", r#"[{"holder":"e"},{"holder":"f"}]"#);
    assert_eq!(joined.json["results"][1]["ahead"], 1);
    let left = ask(&house, "p", "leave", r#"[{"holder":"e"},{"holder":"x"}]"#);
    assert_eq!(left.json["results"][0]["state"], "left");
    assert_eq!(left.json["results"][1]["error"]["code"], "not_waiting");
    let many = format!("[{}]", vec![r#"{"holder":"a"}"#; 1_001].join(","));
    assert_eq!(ask(&house, "p", "take", &many).code(), "too_many_items");

    pool(&house, "q", r#"{"capacity":1}"#);
    let said = house.post(
        "/v1/pools/requests",
        r#"[{"release":{"id":"0-1"}},{"hold":{"pool":"q","holder":"a","hold_ms":2000}},{"take":{"pool":"q","holder":"b"}},
            {"confirm":{"id":"9-9"}},{"extend":{"id":"0-1"},"release":{"id":"0-1"}},{"swap":{"id":"0-2","pool":"x"}},
            {"leave":{"pool":"p","holder":"f"}}]"#,
    );
    let results = &said.json["results"];
    assert_eq!(
        (said.status, &results[0]["state"], &results[1]["pool"]),
        (200, &json!("released"), &json!("q"))
    );
    for (index, code) in [
        (2, "sold_out"),
        (3, "grant_unknown"),
        (4, "invalid_value"),
        (5, "pool_not_found"),
        (6, "not_waiting"),
    ] {
        assert_eq!(results[index]["error"]["code"], code, "{said:?}");
    }
}

#[test]
fn a_transaction_takes_what_is_scarce_if_its_conditions_hold() {
    let house = House::open();
    for name in ["a@s", "b@s"] {
        pool(&house, name, r#"{"capacity":1}"#);
    }
    let enrol = |section: &str, student: &str, conditions: &str| {
        house.post(
            "/v1/transactions",
            format!(
                r#"{{"if":[{conditions}],"do":[{{"take":{{"pool":"{section}","holder":"{student}"}}}},
                    {{"enqueue":{{"queue":"mail@s","payload":"{student}"}}}}]}}"#
            ),
        )
    };
    let none = |student: &str| format!(r#"{{"has_none":{{"holder":"{student}","pools":["b@s","a@s"]}}}}"#);
    let done = enrol("a@s", "anna", &none("anna"));
    assert_eq!(done.status, 200, "{done:?}");
    assert_eq!(
        some(&done.json["results"][0], &["id", "pool", "holder", "state", "fence"]),
        json!({ "id": "0-1", "pool": "a@s", "holder": "anna", "state": "taken", "fence": 1 })
    );
    assert_eq!(done.json["results"][1], json!({ "id": "0-1", "queue": "mail@s", "state": "ready" }));
    let holds = |said: &Said, code: &str, value: Value| {
        assert_eq!((said.status, said.code()), (409, code), "{said:?}");
        assert_eq!((&said.json["condition"], &said.json["value"]), (&json!(0), &value), "{said:?}");
        assert!(said.json["detail"].as_str().unwrap().starts_with("`if[0]` does not hold"), "{said:?}");
        assert_eq!(said.json.get("operation"), None);
    };
    holds(&enrol("b@s", "anna", &none("anna")), "has_pool", json!("a@s"));
    let all = r#"{"has_all":{"holder":"anna","pools":["a@s","b@s"]}}"#;
    holds(&enrol("b@s", "anna", all), "lacks_pool", json!("b@s"));
    let below = r#"{"units_below":{"holder":"anna","units":1,"place":"s"}}"#;
    holds(&enrol("b@s", "anna", below), "units_reached", json!(1));
    let typo = enrol("b@s", "bert", r#"{"has_none":{"holder":"bert","pools":["a@s","c@s"]}}"#);
    assert_eq!((typo.status, typo.code()), (404, "pool_not_found"), "{typo:?}");
    assert_eq!((&typo.json["condition"], &typo.json["value"]), (&json!(0), &json!("c@s")), "{typo:?}");
    assert!(typo.json["detail"].as_str().unwrap().ends_with("There is no pool c@s."), "{typo:?}");
    let version = r#"{"pool_version":{"pool":"a@s","version":1}}"#;
    let changed = enrol("b@s", "bert", version);
    holds(&changed, "version_changed", json!(null));
    assert_eq!(changed.json["version"], 2);
    holds(
        &enrol("b@s", "bert", r#"{"job_is":{"id":"0-1","state":"completed"}}"#),
        "job_state_changed",
        json!("ready"),
    );
    let missing = enrol("b@s", "bert", r#"{"job_is":{"id":"0-9","state":"ready"}}"#);
    assert_eq!((missing.code(), &missing.json["condition"]), ("job_not_found", &json!(0)));
    let sold_out = enrol("a@s", "bert", r#"{"units_below":{"holder":"bert","units":5}}"#);
    assert_eq!((sold_out.code(), &sold_out.json["operation"]), ("sold_out", &json!(0)));
    let wrong = enrol("a@s", "bert", r#"{"units_below":{"holder":"bert","units":5,"place":"a@s"}}"#);
    assert_eq!((wrong.code(), &wrong.json["condition"]), ("invalid_value", &json!(0)));
    assert_eq!(wrong.json["field"], "if[0].units_below.place");
    assert_eq!(house.get("/v1/jobs").json["jobs"].as_array().unwrap().len(), 1, "nothing else happened");

    // Everything that can be done with a grant, with jobs beside it.
    let said = house.post(
        "/v1/transactions",
        r#"{"do":[{"swap":{"id":"0-1","pool":"b@s"}},{"hold":{"pool":"a@s","holder":"bert"}}]}"#,
    );
    assert_eq!(
        (said.status, said.code()),
        (409, "sold_out"),
        "what is given back is not there yet: {said:?}"
    );
    let twice = r#"{"do":[{"release":{"id":"0-1"}},{"release":{"id":"0-1"}}]}"#;
    let said = house.post("/v1/transactions", twice);
    assert_eq!((said.code(), &said.json["operation"]), ("invalid_value", &json!(1)));
    let swapped = house.post("/v1/transactions", r#"{"do":[{"swap":{"id":"0-1","pool":"b@s"}}]}"#);
    assert_eq!(swapped.json["results"][0]["holder"], "anna");
}

#[test]
fn a_holder_has_a_story_in_order() {
    let house = House::open();
    pool(&house, "p@s", r#"{"capacity":1,"waitlist_max":5}"#);
    let nobody = house.get("/v1/holders/nobody");
    assert_eq!(
        (nobody.status, &nobody.json),
        (200, &json!({ "holder": "nobody", "grants": [], "waiting": [], "story": [] }))
    );
    take(&house, "p@s", "anna");
    let name = "Bärbel%20%2F7";
    let holder = "Bärbel /7";
    ask(&house, "p@s", "take", &json!({ "holder": holder }).to_string());
    ask(&house, "p@s", "join", &json!({ "holder": holder }).to_string());
    let story = house.get(&format!("/v1/holders/{name}")).json;
    assert_eq!(story["holder"], holder);
    assert_eq!(
        some(&story["waiting"][0], &["pool", "holder", "state", "number", "ahead", "units"]),
        json!({ "pool": "p@s", "holder": holder, "state": "waiting", "number": 1, "ahead": 0, "units": 1 })
    );
    assert_eq!(
        some(&story["story"][0], &["what", "pool", "asked"]),
        json!({ "what": "refused", "pool": "p@s", "asked": "take" })
    );
    assert_eq!(story["story"][0]["error"]["code"], "sold_out");
    grant(&house, "0-1", "release", "");
    let offer =
        house.get(&format!("/v1/holders/{name}")).json["grants"][0]["id"].as_str().unwrap().to_owned();
    let done = house.post(
        "/v1/transactions",
        format!(r#"{{"do":[{{"confirm":{{"id":"{offer}"}}}},{{"enqueue":{{"queue":"mail@s"}}}}]}}"#),
    );
    assert_eq!(done.status, 200, "{done:?}");
    let story = house.get(&format!("/v1/holders/{name}")).json;
    let entries = story["story"].as_array().unwrap();
    let what: Vec<_> = entries.iter().map(|entry| entry["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["refused", "joined", "offered", "confirmed", "enqueued"]);
    assert_eq!((&entries[1]["joining"], &entries[2]["grant"]), (&json!(1), &json!(offer)));
    assert_eq!(entries[4]["jobs"], json!([done.json["results"][1]["id"]]));
    let numbers: Vec<_> = entries.iter().map(|entry| entry["number"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    let long = format!("/v1/holders/{}", "a".repeat(257));
    assert_eq!(house.get(&long).json["field"], "holder");
}

#[test]
fn what_a_holder_has_in_two_shards_comes_in_pages() {
    let house = House::with(EngineOptions { shards: 2, ..EngineOptions::default() }, Options::default());
    let names = [0, 1].map(|shard| {
        let mut names = (0..).map(|n| format!("p-{n}"));
        names.find(|name| shard_of(name, 2) == shard).unwrap()
    });
    for name in &names {
        pool(&house, name, r#"{"capacity":9,"holder_units_max":0}"#);
        for _ in 0..3 {
            take(&house, name, "anna");
        }
    }
    let (mut cursor, mut grants, mut stories) = (String::new(), Vec::new(), Vec::new());
    let mut sizes = Vec::new();
    loop {
        let page = house.get(&format!("/v1/holders/anna?limit=2{cursor}")).json;
        let of_page = page["grants"].as_array().unwrap_or_else(|| panic!("{page}"));
        sizes.push(of_page.len());
        grants.extend(of_page.iter().map(|grant| grant["id"].as_str().unwrap().to_owned()));
        stories.push(page["story"].as_array().unwrap().len());
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((sizes, stories), (vec![2, 2, 2], vec![6, 0, 0]), "{grants:?}");
    assert_eq!(grants, ["0-1", "0-2", "0-3", "1-1", "1-2", "1-3"]);
    assert_eq!(house.get("/v1/holders/anna").json["grants"].as_array().unwrap().len(), 6);
    assert_eq!(house.get("/v1/holders/anna?limit=1001").json["field"], "limit");
    assert_eq!(house.get("/v1/holders/anna?cursor=0-1").json["field"], "cursor");
}

#[test]
fn an_opening_that_draws_shows_its_seed_and_who_was_in_it() {
    let house = House::open();
    let config =
        |at: &str| format!(r#"{{"capacity":1,"waitlist_max":9,"opening":"shuffle","opens_at":"{at}"}}"#);
    let ahead = |ms: u64| tidegate_api::time::Timestamp::from_unix_ms(now_ms() + ms).to_string();
    pool(&house, "p", &config(&ahead(3_600_000)));
    let before = house.get("/v1/pools/p").json;
    assert_eq!((&before["state"], before.get("seed")), (&json!("upcoming"), None));
    assert_eq!(before["commitment"].as_str().unwrap().len(), 64);
    let early = ask(&house, "p", "take", r#"{"holder":"anna"}"#);
    assert_eq!((early.code(), &early.json["opens_at"]), ("not_open", &before["config"]["opens_at"]));
    for holder in ["anna", "bert", "carl"] {
        assert_eq!(ask(&house, "p", "join", &format!(r#"{{"holder":"{holder}"}}"#)).status, 202);
    }
    assert_eq!(house.get("/v1/pools/p/entrants").json, json!({ "entrants": [] }));
    // The registrar opens it now.
    pool(&house, "p", &config(&ahead(50)));
    until("it has opened", || house.get("/v1/pools/p").json["state"] == "open");
    let pool = house.get("/v1/pools/p").json;
    assert_eq!(pool["commitment"], before["commitment"], "the seed is the one that was committed to");
    assert_eq!(pool["seed"].as_str().unwrap().len(), 64);
    let (mut entrants, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = house.get(&format!("/v1/pools/p/entrants?limit=2{cursor}")).json;
        entrants.extend(page["entrants"].as_array().unwrap().clone());
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let holders: Vec<_> = entrants.iter().map(|entrant| entrant["holder"].as_str().unwrap()).collect();
    assert_eq!(holders, ["anna", "bert", "carl"]);
    let first = entrants.iter().min_by_key(|entrant| entrant["rank"].as_str().unwrap().to_owned()).unwrap();
    assert_eq!(first["waiting"], false, "the lowest rank was offered the unit");
    assert_eq!(entrants.iter().filter(|entrant| entrant["waiting"] == true).count(), 2);
    assert_eq!(house.get("/v1/pools/none/entrants").code(), "pool_not_found");
    assert_eq!(house.get("/v1/pools/p/entrants?cursor=x").json["field"], "cursor");
}

/// All pages of a list, one thing a page.
fn paged(house: &House, path: &str, list: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = house.get(&format!("{path}?limit=1{cursor}")).json;
        all.extend(page[list].as_array().unwrap_or_else(|| panic!("{page}")).clone());
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

#[test]
fn who_has_units_and_who_waits_is_listed_in_order_and_in_pages() {
    let house = House::open();
    pool(&house, "p", r#"{"capacity":3,"waitlist_max":9,"quotas":[{"group":"g","units_max":1}]}"#);
    assert_eq!(house.get("/v1/pools/p/grants").json, json!({ "grants": [] }));
    assert_eq!(house.get("/v1/pools/p/line").json, json!({ "line": [] }));
    let anna = ask(&house, "p", "take", r#"{"holder":"anna","group":"g"}"#).json;
    let bert = ask(&house, "p", "hold", r#"{"holder":"bert"}"#).json;
    let carl = ask(&house, "p", "take", r#"{"holder":"carl"}"#).json;
    for holder in ["dora", "emil", "fred"] {
        assert_eq!(ask(&house, "p", "join", &format!(r#"{{"holder":"{holder}"}}"#)).status, 202);
    }
    let grants = house.get("/v1/pools/p/grants").json;
    let without_version = |grant: &Value| {
        let mut grant = grant.clone();
        grant.as_object_mut().unwrap().remove("version");
        grant
    };
    let expected: Vec<Value> = [&anna, &bert, &carl].map(without_version).into();
    assert_eq!(grants, json!({ "grants": expected }));
    assert_eq!(
        some(&grants["grants"][0], &["holder", "units", "group", "state", "fence"]),
        json!({ "holder": "anna", "units": 1, "group": "g", "state": "taken", "fence": 1 })
    );
    assert_eq!(paged(&house, "/v1/pools/p/grants", "grants"), expected);
    assert_eq!(house.get("/v1/pools/p/grants?state=held").json["grants"], json!([expected[1]]));
    assert_eq!(house.get("/v1/pools/p/grants?state=taken").json["grants"], json!([expected[0], expected[2]]));

    // Who gives back makes room: the first in line has an offer, and waits no more.
    grant(&house, "0-2", "release", "");
    let line = house.get("/v1/pools/p/line").json;
    let ahead: Vec<Value> = line["line"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| some(one, &["holder", "ahead", "state", "number"]))
        .collect();
    assert_eq!(
        json!(ahead),
        json!([
            { "holder": "emil", "ahead": 0, "state": "waiting", "number": 2 },
            { "holder": "fred", "ahead": 1, "state": "waiting", "number": 3 },
        ])
    );
    let story = house.get("/v1/holders/emil").json;
    assert_eq!(line["line"][0], story["waiting"][0], "a holder hears the same of itself");
    assert_eq!(json!(paged(&house, "/v1/pools/p/line", "line")), line["line"]);
    let held = house.get("/v1/pools/p/grants?state=held").json;
    assert_eq!(
        some(&held["grants"][0], &["holder", "offered"]),
        json!({ "holder": "dora", "offered": true })
    );

    for list in ["grants", "line"] {
        assert_eq!(house.get(&format!("/v1/pools/none/{list}")).code(), "pool_not_found");
        for (query, field) in [("cursor=x", "cursor"), ("limit=0", "limit"), ("from=1", "from")] {
            assert_eq!(
                house.get(&format!("/v1/pools/p/{list}?{query}")).json["field"],
                field,
                "{list} {query}"
            );
        }
        assert_eq!(house.get(&format!("/v1/pools/watch/{list}")).json["field"], "pool");
        assert_eq!(
            house.ask("POST", &format!("/v1/pools/p/{list}"), &[JSON], "{}").code(),
            "method_not_allowed"
        );
    }
    assert_eq!(house.get("/v1/pools/p/grants?state=released").json["allowed"], "held, taken");
    assert_eq!(house.get("/v1/pools/p/line?cursor=1-1-1").json["field"], "cursor");
}

fn now_ms() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64
}

#[test]
fn a_wish_is_granted_once_under_its_key_and_answered_the_same_whatever_became_of_it() {
    let house = House::open();
    pool(&house, "p", r#"{"capacity":9,"holder_units_max":0,"waitlist_max":9}"#);
    let ask = |path: &str, body: &str| {
        let key = format!("{path} {body}");
        house.ask("POST", path, &[JSON, ("idempotency-key", &key)], body)
    };
    let same = |first: &Said, again: &Said| {
        assert!(!first.is_replayed() && again.is_replayed(), "{first:?} {again:?}");
        assert_eq!((first.status, &first.text), (again.status, &again.text));
    };
    for (path, body, status) in [
        ("/v1/pools/p/hold", r#"{"holder":"a"}"#, 201),
        ("/v1/pools/p/take", r#"[{"holder":"a"},{"units":1},{"holder":"b"}]"#, 200),
        ("/v1/grants/0-1/extend", r#"{"hold_ms":200000}"#, 200),
        ("/v1/grants/0-1/confirm", "", 200),
        ("/v1/grants/0-2/release", "", 200),
        ("/v1/pools/requests", r#"[{"take":{"pool":"p","holder":"c","units":6}}]"#, 200),
        ("/v1/pools/p/take", r#"{"holder":"d","units":5}"#, 409),
        ("/v1/pools/p/join", r#"{"holder":"d","units":5}"#, 202),
        ("/v1/pools/p/resize", r#"{"capacity":10}"#, 200),
        ("/v1/pools/p/leave", r#"{"holder":"d"}"#, 200),
    ] {
        let first = ask(path, body);
        assert_eq!(first.status, status, "{first:?}");
        let again = ask(path, body);
        if path.ends_with("resize") {
            // It shows the pool as it is now.
            assert!(again.is_replayed() && again.status == status);
        } else {
            same(&first, &again);
        }
    }
    let held = r#"{"holder":"z"}"#;
    let (first, mut text) = (ask("/v1/pools/p/hold", held), String::new());
    let id = first.json["id"].as_str().unwrap();
    grant(&house, id, "release", "");
    let again = ask("/v1/pools/p/hold", held);
    text.push_str(&again.text);
    assert_eq!(
        some(&again.json, &["id", "pool", "holder", "state", "expires_at", "units", "version"]),
        some(&first.json, &["id", "pool", "holder", "state", "expires_at", "units", "version"]),
        "{text}"
    );
    let key = [("idempotency-key", "gone")];
    pool(&house, "q", r#"{"capacity":1}"#);
    same(&house.ask("DELETE", "/v1/pools/q", &key, ""), &house.ask("DELETE", "/v1/pools/q", &key, ""));
    let put = [JSON, ("idempotency-key", "put")];
    let config = r#"{"capacity":4}"#;
    assert!(!house.ask("PUT", "/v1/pools/r", &put, config).is_replayed());
    assert!(house.ask("PUT", "/v1/pools/r", &put, config).is_replayed());
    let refused =
        r#"{"if":[{"has_all":{"holder":"a","pools":["r"]}}],"do":[{"take":{"pool":"r","holder":"a"}}]}"#;
    same(&ask("/v1/transactions", refused), &ask("/v1/transactions", refused));
}

#[test]
fn a_pool_is_configured_only_over_the_version_that_was_seen() {
    let house = House::open();
    let put = |config: Value| house.put("/v1/pools/seats", config.to_string());
    let none = put(json!({ "capacity": 2, "if_version": 7 }));
    assert_eq!(
        (none.status, none.code(), &none.json["detail"]),
        (409, "version_changed", &json!("There is no such pool."))
    );
    let made = put(json!({ "capacity": 2, "if_version": 0 }));
    assert_eq!((made.status, made.json["config"].get("if_version")), (200, None), "{made:?}");
    let seen = made.json["version"].as_u64().expect("a version");
    // Never over one that is there; what is so already is so.
    let over = put(json!({ "capacity": 9, "if_version": 0 }));
    assert_eq!(
        (over.status, over.code(), &over.json["version"]),
        (409, "version_changed", &json!(seen)),
        "{over:?}"
    );
    assert_eq!(put(json!({ "capacity": 2, "if_version": 0 })).json["version"], seen);
    // A resize between reading and writing stays.
    house.post("/v1/pools/seats/resize", r#"{"capacity":5}"#);
    let late = put(json!({ "capacity": 2, "waitlist_max": 3, "if_version": seen }));
    assert_eq!(
        (late.status, late.code(), &late.json["version"]),
        (409, "version_changed", &json!(seen + 1)),
        "{late:?}"
    );
    let shown = house.get("/v1/pools/seats").json;
    assert_eq!((&shown["config"]["capacity"], &shown["config"]["waitlist_max"]), (&json!(5), &json!(0)));
    let done = put(json!({ "capacity": 5, "waitlist_max": 3, "if_version": seen + 1 }));
    assert_eq!((done.status, &done.json["config"]["waitlist_max"]), (200, &json!(3)), "{done:?}");
    let bad = put(json!({ "capacity": 5, "if_version": -1 }));
    assert_eq!((bad.status, &bad.json["field"]), (400, &json!("if_version")), "{bad:?}");
}
