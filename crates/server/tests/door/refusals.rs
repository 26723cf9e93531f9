//! Every code is said, each by a situation of its own.

use std::sync::Arc;
use std::time::Duration;

use tidegate_api::refusal::Code;
use tidegate_core::state::{PoolLimits, StateLimits};
use tidegate_engine::{Engine, LogSource, Restart};
use tidegate_log::{Log, MemoryLog, Opened};
use tidegate_server::Options;

use crate::support::{House, JSON, NDJSON, Said, until};

const JOBS: &str = "/v1/queues/q/jobs";

type EngineOptions = tidegate_engine::Options;

/// The code of a whole refusal, or of the first item that was refused.
fn code(said: &Said) -> Code {
    let item = || {
        ["results", "complete", "fail"].iter().find_map(|list| {
            let items = said.json[*list].as_array()?;
            items.iter().find_map(|item| item["error"].get("code")).cloned()
        })
    };
    let code = said.json.get("code").cloned().or_else(item).unwrap_or_else(|| panic!("no refusal: {said:?}"));
    serde_json::from_value(code).unwrap()
}

/// A code and what it is said to.
type Situation = (Code, fn() -> Said);

/// A situation for every code but one: the server's own mistakes have none.
const SITUATIONS: &[Situation] = &[
    (Code::InvalidJson, || House::open().post(JOBS, "{")),
    (Code::UnknownField, || House::open().post(JOBS, r#"{"prioritty":1}"#)),
    (Code::WrongType, || House::open().post(JOBS, r#"{"priority":"1"}"#)),
    (Code::MissingField, || House::open().post("/v1/leases", "{}")),
    (Code::InvalidValue, || House::open().post(JOBS, r#"{"priority":12}"#)),
    (Code::BodyTooLarge, || House::open().post(JOBS, " ".repeat((16 << 20) + 1))),
    (Code::PayloadTooLarge, || {
        House::open().post(JOBS, format!("{{\"payload\":\"{}\"}}", "x".repeat(1 << 20)))
    }),
    (Code::TooManyItems, || House::open().post(JOBS, format!("[{}{{}}]", "{},".repeat(1_000)))),
    (Code::BodyTimeout, body_timeout),
    (Code::UnsupportedMediaType, || House::open().ask("POST", JOBS, &[("content-type", "text/plain")], "{}")),
    (Code::NotFound, || House::open().get("/v1/queue")),
    (Code::MethodNotAllowed, || House::open().ask("DELETE", "/v1/queues/q", &[], "")),
    (Code::JobNotFound, || House::open().get("/v1/jobs/0-1")),
    (Code::QueueNotFound, || House::open().get("/v1/queues/q")),
    (Code::StaleToken, stale_token),
    (Code::NotLeased, || {
        let house = House::open();
        house.enqueue("q", "{}");
        house.post("/v1/jobs/complete", r#"{"jobs":[{"id":"0-1","token":1}]}"#)
    }),
    (Code::JobEnded, || {
        let house = House::open();
        house.enqueue("q", "{}");
        let (id, token) = house.lease("q");
        house.post("/v1/jobs/complete", format!(r#"{{"jobs":[{{"id":"{id}","token":{token}}}]}}"#));
        house.post(&format!("/v1/jobs/{id}/cancel"), "")
    }),
    (Code::UniqueConflict, || {
        let house = House::open();
        house.enqueue("q", r#"{"unique":{"key":"u"}}"#);
        house.post(JOBS, r#"{"unique":{"key":"u","on_conflict":"reject"}}"#)
    }),
    (Code::QueueFull, || {
        let house = House::open();
        house.put("/v1/queues/q", r#"{"jobs_max":1}"#);
        house.enqueue("q", "{}");
        house.post(JOBS, "{}")
    }),
    (Code::ShardFull, || {
        let house = House::with(
            with_state(StateLimits { jobs_max: 1, ..StateLimits::default() }),
            Options::default(),
        );
        house.enqueue("q", "{}");
        house.post(JOBS, "{}")
    }),
    (Code::InboxFull, || {
        let options = Options { bodies_bytes_max: 1 << 10, ..Options::default() };
        House::with(EngineOptions::default(), options).post(JOBS, format!("{{}}{}", " ".repeat(1 << 10)))
    }),
    (Code::WaitersFull, waiters_full),
    (Code::DiskFull, || {
        let engine = EngineOptions { disk_reserve_bytes: u64::MAX, ..EngineOptions::default() };
        House::with(engine, Options::default()).post(JOBS, "{}")
    }),
    (Code::IdempotencyMismatch, || {
        let house = House::open();
        let headers = [JSON, ("idempotency-key", "k")];
        house.ask("POST", JOBS, &headers, "{}");
        house.ask("POST", JOBS, &headers, r#"{"priority":1}"#)
    }),
    (Code::TransactionSpansShards, || {
        let house = House::with(EngineOptions { shards: 2, ..EngineOptions::default() }, Options::default());
        house.post(
            "/v1/transactions",
            r#"{"do":[{"complete":{"id":"0-1","token":1}},{"complete":{"id":"1-1","token":1}}]}"#,
        )
    }),
    (Code::IdempotencyFull, || {
        let limits = StateLimits { idempotency_records_max: 1, ..StateLimits::default() };
        let house = House::with(with_state(limits), Options::default());
        house.ask("POST", JOBS, &[JSON, ("idempotency-key", "a")], "{}");
        house.ask("POST", JOBS, &[JSON, ("idempotency-key", "b")], "{}")
    }),
    (Code::NotDead, || {
        let house = House::open();
        house.enqueue("q", "{}");
        house.post("/v1/jobs/0-1/edit", r#"{"payload":1}"#)
    }),
    (Code::TooManyQueues, || {
        let house = House::open();
        let mut connection = house.connect();
        let paths: Vec<String> =
            (0..tidegate_core::limits::QUEUES_MAX).map(|n| format!("/v1/queues/q{n}")).collect();
        for paths in paths.chunks(100) {
            paths.iter().for_each(|path| connection.send("PUT", path, &[JSON], b"{}"));
            paths.iter().for_each(|path| assert_eq!(connection.hear("PUT", path).status, 200));
        }
        house.put("/v1/queues/one-more", "{}")
    }),
    (Code::TooManyKinds, || {
        let house = House::open();
        let lines: String =
            (0..tidegate_core::limits::KINDS_MAX).map(|n| format!("{{\"kind\":\"k{n}\"}}\n")).collect();
        house.ask("POST", JOBS, &[NDJSON], lines);
        house.post(JOBS, r#"{"kind":"one-more"}"#)
    }),
    (Code::TooFarAhead, || House::open().post(JOBS, r#"{"run_at":"2999-01-01T00:00:00Z"}"#)),
    (Code::AlreadyExpired, || House::open().post(JOBS, r#"{"expires_at":"2001-01-01T00:00:00Z"}"#)),
    (Code::PoolNotFound, || House::open().get("/v1/pools/p")),
    (Code::GrantUnknown, || House::open().post("/v1/grants/0-1/confirm", "")),
    (Code::HoldLapsed, || {
        let house = with_pool(r#"{"capacity":1,"hold_ms":1000}"#);
        house.post("/v1/pools/p/hold", r#"{"holder":"h"}"#);
        until("it has lapsed", || house.get("/v1/grants/0-1").json["state"] == "lapsed");
        house.post("/v1/grants/0-1/confirm", "")
    }),
    (Code::GrantEnded, || {
        let house = taken(r#"{"capacity":1}"#);
        house.post("/v1/grants/0-1/release", "");
        house.post("/v1/grants/0-1/release", "")
    }),
    (Code::NotHeld, || taken(r#"{"capacity":1}"#).post("/v1/grants/0-1/extend", "")),
    (Code::IsOffer, || {
        let house = with_pool(r#"{"capacity":1,"waitlist_max":1,"offer_queue":"q"}"#);
        house.post("/v1/pools/p/join", TAKE);
        house.post("/v1/grants/0-1/extend", "")
    }),
    (Code::NotOpen, || {
        let ahead = tidegate_api::time::Timestamp::from_unix_ms(unix_ms() + 3_600_000);
        with_pool(&format!(r#"{{"capacity":1,"opens_at":"{ahead}"}}"#)).post("/v1/pools/p/take", TAKE)
    }),
    (Code::Closed, || {
        with_pool(r#"{"capacity":1,"closes_at":"2001-01-01T00:00:00Z"}"#).post("/v1/pools/p/take", TAKE)
    }),
    (Code::SoldOut, || with_pool(r#"{"capacity":0}"#).post("/v1/pools/p/take", TAKE)),
    (Code::LimitReached, || taken(r#"{"capacity":2}"#).post("/v1/pools/p/take", TAKE)),
    (Code::QuotaFull, || {
        with_pool(r#"{"capacity":2,"quotas":[{"group":"g","units_max":0}]}"#)
            .post("/v1/pools/p/take", r#"{"holder":"h","group":"g"}"#)
    }),
    (Code::WaitlistFull, || {
        let house = with_pool(r#"{"capacity":0,"waitlist_max":1}"#);
        house.post("/v1/pools/p/join", TAKE);
        house.post("/v1/pools/p/join", r#"{"holder":"other"}"#)
    }),
    (Code::WaitlistOff, || with_pool(r#"{"capacity":0}"#).post("/v1/pools/p/join", TAKE)),
    (Code::BelowGranted, || taken(r#"{"capacity":1}"#).post("/v1/pools/p/resize", r#"{"capacity":0}"#)),
    (Code::PoolInUse, || taken(r#"{"capacity":1}"#).ask("DELETE", "/v1/pools/p", &[], "")),
    (Code::GroupUnknown, || {
        with_pool(r#"{"capacity":1}"#).post("/v1/pools/p/take", r#"{"holder":"h","group":"g"}"#)
    }),
    (Code::NotWaiting, || with_pool(r#"{"capacity":0}"#).post("/v1/pools/p/leave", TAKE)),
    (Code::AlreadyWaiting, || {
        let house = taken(r#"{"capacity":1}"#);
        house.put("/v1/pools/other", r#"{"capacity":0,"waitlist_max":1}"#);
        house.post("/v1/pools/other/join", TAKE);
        house.post("/v1/grants/0-1/swap", r#"{"pool":"other","when_offered":true}"#)
    }),
    (Code::NeverFits, || {
        with_pool(r#"{"capacity":1,"holder_units_max":0,"waitlist_max":1}"#)
            .post("/v1/pools/p/join", r#"{"holder":"h","units":2}"#)
    }),
    (Code::SamePool, || taken(r#"{"capacity":2}"#).post("/v1/grants/0-1/swap", r#"{"pool":"p"}"#)),
    (Code::TooManyPools, || {
        let house = with_pool_limits(PoolLimits { pools_max: 1, ..PoolLimits::default() });
        house.put("/v1/pools/p", r#"{"capacity":1}"#);
        house.put("/v1/pools/other", r#"{"capacity":1}"#)
    }),
    (Code::TooManyHolders, || {
        let house = with_pool_limits(PoolLimits { holders_max: 1, ..PoolLimits::default() });
        house.put("/v1/pools/p", r#"{"capacity":2}"#);
        house.post("/v1/pools/p/take", TAKE);
        house.post("/v1/pools/p/take", r#"{"holder":"other"}"#)
    }),
    (Code::TooManyGrants, || {
        let house = with_pool_limits(PoolLimits { grants_max: 1, ..PoolLimits::default() });
        house.put("/v1/pools/p", r#"{"capacity":2,"holder_units_max":0}"#);
        house.post("/v1/pools/p/take", TAKE);
        house.post("/v1/pools/p/take", TAKE)
    }),
    (Code::HasPool, || on_condition(r#"{"has_none":{"holder":"h","pools":["p"]}}"#)),
    (Code::LacksPool, || on_condition(r#"{"has_all":{"holder":"other","pools":["p"]}}"#)),
    (Code::UnitsReached, || on_condition(r#"{"units_below":{"holder":"h","units":1}}"#)),
    (Code::VersionChanged, || on_condition(r#"{"pool_version":{"pool":"p","version":1}}"#)),
    (Code::JobStateChanged, || {
        let house = House::open();
        house.enqueue("q", "{}");
        house.post(
            "/v1/transactions",
            r#"{"if":[{"job_is":{"id":"0-1","state":"dead"}}],"do":[{"enqueue":{"queue":"q"}}]}"#,
        )
    }),
    (Code::NeverOpen, || {
        let config = r#"{"capacity":1,"opens_at":"2001-01-02T00:00:00Z","closes_at":"2001-01-01T00:00:00Z"}"#;
        House::open().put("/v1/pools/p", config)
    }),
    (Code::OutcomeUnknown, outcome_unknown),
    (Code::Unavailable, unavailable),
    (Code::ShuttingDown, || {
        let house = House::open();
        house.wait_for(house.engine.close()).unwrap();
        house.post(JOBS, "{}")
    }),
    (Code::NotReady, || {
        let house = House::open();
        house.wait_for(house.engine.close()).unwrap();
        house.get("/readyz")
    }),
    (Code::TooManyConnections, || {
        let house =
            House::with(EngineOptions::default(), Options { connections_max: 0, ..Options::default() });
        house.connect().hear("GET", "/healthz")
    }),
];

#[test]
fn every_code_is_said_where_it_belongs() {
    for expected in Code::ALL.iter().filter(|code| **code != Code::Internal) {
        let (_, situation) = SITUATIONS
            .iter()
            .find(|(code, _)| code == expected)
            .unwrap_or_else(|| panic!("there is no situation for {expected}"));
        let said = situation();
        assert_eq!(code(&said), *expected, "{said:?}");
    }
}

fn with_state(state: StateLimits) -> EngineOptions {
    EngineOptions { state, ..EngineOptions::default() }
}

const TAKE: &str = r#"{"holder":"h"}"#;

fn unix_ms() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64
}

fn with_pool(config: &str) -> House {
    let house = House::open();
    let said = house.put("/v1/pools/p", config);
    assert_eq!(said.status, 200, "{said:?}");
    house
}

/// A house where `h` has the grant 0-1, one unit of `p`.
fn taken(config: &str) -> House {
    let house = with_pool(config);
    assert_eq!(house.post("/v1/pools/p/take", TAKE).status, 201);
    house
}

fn with_pool_limits(pools: PoolLimits) -> House {
    House::with(with_state(StateLimits { pools, ..StateLimits::default() }), Options::default())
}

/// A transaction on a condition that does not hold when `h` has a unit of `p`.
fn on_condition(condition: &str) -> Said {
    taken(r#"{"capacity":2}"#).post(
        "/v1/transactions",
        format!(r#"{{"if":[{condition}],"do":[{{"take":{{"pool":"p","holder":"other"}}}}]}}"#),
    )
}

fn body_timeout() -> Said {
    let options = Options { body_piece_timeout: Duration::from_millis(10), ..Options::default() };
    let house = House::with(EngineOptions::default(), options);
    let mut connection = house.connect();
    connection.write(
        format!(
            "POST {JOBS} HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{"
        )
        .as_bytes(),
    );
    connection.hear("POST", JOBS)
}

fn stale_token() -> Said {
    let house = House::open();
    house.enqueue("q", "{}");
    let (id, token) = house.lease("q");
    let item = format!(r#"{{"jobs":[{{"id":"{id}","token":{token}}}]}}"#);
    house.post("/v1/jobs/release", &item);
    house.lease("q");
    house.post("/v1/jobs/complete", &item)
}

fn waiters_full() -> Said {
    let engine = EngineOptions { waiters_max: 1, ..EngineOptions::default() };
    let house = House::with(engine, Options::default());
    let lease = r#"{"queues":["q"],"wait_ms":60000}"#;
    let mut waiting = house.connect();
    waiting.send("POST", "/v1/leases", &[JSON], lease.as_bytes());
    until("somebody waits", || house.engine.status().shards[0].waiters == 1);
    house.post("/v1/leases", lease)
}

/// A house over a log in memory that the test can break. It comes back only if `reopens`.
pub(crate) fn breakable(reopens: bool) -> (House, MemoryLog) {
    let Opened { log, recovery } = MemoryLog::open();
    let mut first = Some(Opened { log: Arc::new(log.clone()) as Arc<dyn Log>, recovery });
    let again = log.clone();
    let source: LogSource = Box::new(move || {
        if let Some(opened) = first.take() {
            return Ok(opened);
        }
        if !reopens {
            let source = std::io::Error::other("the disk is gone");
            return Err(tidegate_log::OpenError::Io { doing: "opening", file: "log".into(), source });
        }
        let Opened { log, recovery } = again.reopen();
        Ok(Opened { log: Arc::new(log) as Arc<dyn Log>, recovery })
    });
    let restart = Restart { tries_max: 3, delay_ms: 1, delay_ms_max: 1 };
    let engine = Engine::start(vec![source], EngineOptions { restart, ..EngineOptions::default() }).unwrap();
    (House::over(engine, Options::default(), None), log)
}

fn outcome_unknown() -> Said {
    let (house, log) = breakable(true);
    log.hold();
    let mut connection = house.connect();
    connection.send("POST", JOBS, &[JSON], b"{}");
    until("the job is in the log and not durable", || {
        house.engine.status().shards[0].last > house.engine.status().shards[0].durable
    });
    log.fail("the test broke it");
    connection.hear("POST", JOBS)
}

fn unavailable() -> Said {
    let (house, log) = breakable(false);
    log.fail("the test broke it");
    let mut said = house.post(JOBS, "{}");
    until("the shard has given up", || {
        said = house.post(JOBS, "{}");
        code(&said) == Code::Unavailable
    });
    said
}

#[test]
fn a_path_takes_its_methods_only_and_says_which() {
    let house = House::open();
    for (method, path, allowed) in [
        ("DELETE", "/v1/queues/q", "GET, HEAD, PUT"),
        ("GET", "/v1/queues/q/jobs", "POST"),
        ("PUT", "/v1/jobs", "GET, HEAD"),
        ("GET", "/v1/jobs/complete", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
        ("POST", "/v1/pools/p", "GET, HEAD, PUT, DELETE"),
        ("DELETE", "/v1/pools", "GET, HEAD"),
        ("PUT", "/v1/grants/0-1/confirm", "POST"),
    ] {
        let said = house.ask(method, path, &[], "");
        assert_eq!((said.status, said.header("allow")), (405, Some(allowed)), "{method} {path}");
    }
    assert!(house.get("/v1/qeues").json["detail"].as_str().unwrap().contains("/v1/queues"));
}

#[test]
fn names_ids_and_parameters_of_a_path_are_checked() {
    let house = House::open();
    for (path, code, field) in [
        ("/v1/queues/a%20b", "invalid_value", "queue"),
        ("/v1/queues/", "invalid_value", "queue"),
        ("/v1/jobs/7", "invalid_value", "id"),
        ("/v1/jobs/0-1?wait_ms=60001", "invalid_value", "wait_ms"),
        ("/v1/jobs?stat=ready", "unknown_field", "stat"),
        ("/v1/jobs?cursor=nonsense", "invalid_value", "cursor"),
        ("/v1/queues/q/dead?cause=1", "invalid_value", "cause"),
    ] {
        let said = house.get(path);
        assert_eq!((said.status, said.code()), (400, code), "{path}");
        assert_eq!(said.json["field"], field, "{path}");
    }
    assert_eq!(house.get("/v1/queues?state=ready").code(), "unknown_field");
    let long = format!("/v1/queues/{}", "a".repeat(129));
    assert_eq!(house.put(&long, "{}").code(), "invalid_value");
    assert_eq!(house.put(&long[..long.len() - 1], "{}").status, 200);
}

#[test]
fn an_idempotency_key_that_is_none_is_refused() {
    let house = House::open();
    for key in ["", "\"open", &"k".repeat(256)] {
        let said = house.ask("POST", JOBS, &[JSON, ("idempotency-key", key)], "{}");
        assert_eq!(
            (said.code(), &said.json["field"]),
            ("invalid_value", &"Idempotency-Key".into()),
            "{key:?}"
        );
    }
}
