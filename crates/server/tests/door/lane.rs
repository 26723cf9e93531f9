//! The short way and the general server: one connection, one order, the same answers.
//!
//! A request is the general server's if it says `te: trailers`, which means nothing here.

use tidegate_server::Options;

use crate::refusals::breakable;
use crate::support::{House, JSON, Said, request, until};

const JOBS: &str = "/v1/queues/q/jobs";
const GENERAL: (&str, &str) = ("te", "trailers");

/// An answer without what differs from moment to moment.
fn steady(said: &Said) -> (u16, Vec<(String, String)>, String) {
    let mut headers = said.headers.clone();
    headers.retain(|(name, _)| name != "date");
    headers.sort();
    (said.status, headers, said.text.clone())
}

/// Method, path, headers, body.
type Asked = (&'static str, &'static str, Vec<(&'static str, &'static str)>, String);

/// Path, headers, body.
type Posted = (&'static str, Vec<(&'static str, &'static str)>, &'static str);

/// What a new server says to these requests, one after the other on one connection.
fn conversation(requests: &[Asked], general: bool) -> Vec<Said> {
    let house = House::open();
    let mut connection = house.connect();
    let mut answers = Vec::new();
    for (method, path, headers, body) in requests {
        let mut headers = headers.clone();
        headers.extend(general.then_some(GENERAL));
        connection.send(method, path, &headers, body.as_bytes());
        answers.push(connection.hear(method, path));
    }
    answers
}

#[test]
fn both_ways_give_the_same_answers() {
    let long = format!("[{}]", vec![r#"{"payload":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}"#; 400].join(","));
    let key = ("idempotency-key", "one");
    let post = |path, headers: Vec<(&'static str, &'static str)>, body: &str| {
        ("POST", path, headers, body.to_owned())
    };
    let requests = [
        post(JOBS, vec![JSON], r#"{"kind":"k","payload":{"a":1}}"#),
        post(JOBS, vec![JSON, key], "{}"),
        post(JOBS, vec![JSON, key], "{}"),
        post(JOBS, vec![JSON, key], r#"{"priority":1}"#),
        post(JOBS, vec![], "{}"),
        post(JOBS, vec![("origin", "http://elsewhere")], "{}"),
        post(JOBS, vec![("content-type", "text/plain")], "{}"),
        post(JOBS, vec![JSON], "{nonsense"),
        post(JOBS, vec![JSON], ""),
        post(JOBS, vec![JSON], &long),
        post("/v1/queues/not%20a%20name/jobs", vec![JSON], "{}"),
        post("/v1/nothing", vec![JSON], "{}"),
        ("PUT", "/v1/queues/q", vec![JSON], r#"{"jobs_max":"many"}"#.to_owned()),
        ("GET", "/v1/jobs?queue=q&limit=3&state=dead", vec![], String::new()),
        ("GET", "/v1/jobs/0-9999", vec![], String::new()),
        post("/v1/work", vec![JSON], r#"{"complete":[{"id":"0-1","token":1}]}"#),
        post("/v1/transactions", vec![JSON], r#"{"operations":[{"enqueue":{"queue":"q"}}]}"#),
    ];
    let (short, general) = (conversation(&requests, false), conversation(&requests, true));
    for ((short, general), request) in short.iter().zip(&general).zip(&requests) {
        assert_eq!(steady(short), steady(general), "{request:?}");
        assert!(short.header("date").is_some_and(|date| date.ends_with(" GMT")), "{short:?}");
    }
    assert!(general[2].is_replayed() && short[2].is_replayed());
}

#[test]
fn the_general_server_goes_on_where_the_short_way_ends() {
    let house = House::open();
    let plain = |n: u32| request("POST", JOBS, &[JSON], format!("{{\"payload\":{n}}}").as_bytes());
    let chunked = b"POST /v1/queues/q/jobs HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n\
        transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    let mut connection = house.connect();
    connection.write(&[plain(1), plain(2), chunked.to_vec(), plain(4)].concat());
    let ids: Vec<String> =
        (0..4).map(|_| connection.hear("POST", JOBS).json["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, ["0-1", "0-2", "0-3", "0-4"]);
}

#[test]
fn a_request_is_the_same_however_it_is_cut() {
    let house = House::open();
    let whole = request("POST", JOBS, &[JSON], br#"{"kind":"k","payload":{"a":[1,2,3]}}"#);
    for cut in 1..whole.len() {
        let mut connection = house.connect();
        connection.write(&whole[..cut]);
        connection.write(&whole[cut..]);
        assert_eq!(connection.hear("POST", JOBS).status, 201, "cut at {cut}");
    }
}

#[test]
fn enqueues_in_a_row_have_their_effects_and_answers_in_order() {
    let house = House::open();
    let mut connection = house.connect();
    // More than may be under way at a time, refused ones among them, and then other requests about what they did.
    let mut row = Vec::new();
    for n in 0..200 {
        let body = if n % 10 == 3 { "{nonsense".to_owned() } else { format!("{{\"kind\":\"k{n}\"}}") };
        row.extend(request("POST", JOBS, &[JSON], body.as_bytes()));
    }
    row.extend(request("POST", "/v1/queues/other/jobs", &[JSON], b"{}"));
    row.extend(request("GET", "/v1/jobs/0-180", &[], b""));
    row.extend(request("POST", JOBS, &[JSON], b"{}"));
    connection.write(&row);
    let mut next = 0;
    for n in 0..200 {
        let said = connection.hear("POST", JOBS);
        if n % 10 == 3 {
            assert_eq!(said.status, 400, "{n}: {}", said.text);
        } else {
            next += 1;
            assert_eq!(said.json["id"], format!("0-{next}"), "{n}");
        }
    }
    assert_eq!(connection.hear("POST", JOBS).json["id"], "0-181");
    assert_eq!(connection.hear("GET", "/v1/jobs/0-180").json["kind"], "k199");
    assert_eq!(connection.hear("POST", JOBS).json["id"], "0-182");
}

/// What is taken together is answered as it is one by one behind the general server.
#[test]
fn a_row_is_answered_as_its_requests_are_alone() {
    let unique = r#"{"unique":{"key":"u"}}"#;
    let rejects = r#"{"unique":{"key":"u","on_conflict":"reject"}}"#;
    let key = ("idempotency-key", "one");
    let list = r#"[{},{"kind":7}]"#;
    let requests: Vec<Posted> = vec![
        (JOBS, vec![JSON], r#"{"kind":"k","payload":{"a":1}}"#),
        (JOBS, vec![JSON], unique),
        (JOBS, vec![JSON], unique),
        (JOBS, vec![JSON], rejects),
        (JOBS, vec![JSON], "{nonsense"),
        (JOBS, vec![JSON], r#"{"priority":17}"#),
        (JOBS, vec![JSON], r#"{"payload_base64":"?"}"#),
        (JOBS, vec![JSON, key], "{}"),
        (JOBS, vec![JSON, key], "{}"),
        (JOBS, vec![JSON, key], r#"{"priority":1}"#),
        (JOBS, vec![JSON], list),
        (JOBS, vec![JSON], " {\n}"),
        (JOBS, vec![JSON, ("origin", "http://elsewhere")], "{}"),
        (JOBS, vec![("origin", "http://elsewhere")], "{}"),
        (JOBS, vec![("content-type", "application/json; charset=utf-8")], r#"{"delay_ms":60000}"#),
        ("/v1/queues/other/jobs", vec![JSON], "{}"),
        ("/v1/queues/not%20a%20name/jobs", vec![JSON], "{}"),
        (JOBS, vec![JSON], r#"{"kind":"last"}"#),
    ];
    let listen = |in_a_row: bool, general: Option<(&'static str, &'static str)>| -> Vec<Said> {
        let house = House::open();
        let mut connection = house.connect();
        let texts = requests.iter().map(|(path, headers, body)| {
            let headers: Vec<_> = headers.iter().copied().chain(general).collect();
            request("POST", path, &headers, body.as_bytes())
        });
        let texts: Vec<Vec<u8>> = texts.collect();
        if in_a_row {
            connection.write(&texts.concat());
            return requests.iter().map(|(path, ..)| connection.hear("POST", path)).collect();
        }
        let mut one = |(text, (path, ..)): (&Vec<u8>, &(&str, _, _))| {
            connection.write(text);
            connection.hear("POST", path)
        };
        texts.iter().zip(&requests).map(&mut one).collect()
    };
    let (row, alone) = (listen(true, None), listen(false, None));
    let general = listen(false, Some(GENERAL));
    for (((row, alone), general), request) in row.iter().zip(&alone).zip(&general).zip(&requests) {
        assert_eq!(steady(row), steady(general), "{request:?}");
        assert_eq!(steady(alone), steady(general), "{request:?}");
    }
    let statuses: Vec<u16> = row.iter().map(|said| said.status).collect();
    let expected = [201, 201, 200, 409, 400, 400, 400, 201, 201, 422, 200, 201, 201, 415, 201, 201, 400, 201];
    assert_eq!(statuses, expected);
    assert_eq!(row.last().unwrap().json["id"], "0-9");
}

#[test]
fn enqueues_in_a_row_do_not_wait_for_each_other() {
    let (house, log) = breakable(false);
    log.hold();
    let mut connection = house.connect();
    let row: Vec<u8> = (0..20).flat_map(|_| request("POST", JOBS, &[JSON], b"{}")).collect();
    connection.write(&row);
    until("all are decided, and none is durable", || house.engine.status().shards[0].jobs == 20);
    log.release();
    for n in 1..=20 {
        assert_eq!(connection.hear("POST", JOBS).json["id"], format!("0-{n}"));
    }
}

#[test]
fn an_answer_is_not_kept_back_by_the_request_behind_it() {
    let house = House::open();
    let mut connection = house.connect();
    let waits = request("POST", "/v1/leases", &[JSON], br#"{"queues":["empty"],"wait_ms":60000}"#);
    connection.write(&[request("POST", JOBS, &[JSON], b"{}"), waits].concat());
    assert_eq!(connection.hear("POST", JOBS).status, 201);
    house.enqueue("empty", "{}");
    assert_eq!(connection.hear("POST", "/v1/leases").json["jobs"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_connection_that_asks_to_be_closed_is() {
    let house = House::open();
    let mut connection = house.connect();
    connection.send("POST", JOBS, &[JSON, ("connection", "close")], b"{}");
    assert_eq!(connection.hear("POST", JOBS).status, 201);
    assert!(!connection.hear_more());
}

#[test]
fn a_rest_that_does_not_come_does_not_hold_up_the_end() {
    let grace = std::time::Duration::from_secs(3_600);
    let options = Options { grace, ..Options::default() };
    let mut house = House::with(tidegate_engine::Options::default(), options);
    let mut connection = house.connect();
    let whole = request("POST", JOBS, &[JSON], b"{}");
    connection.write(&whole);
    assert_eq!(connection.hear("POST", JOBS).status, 201);
    connection.write(&whole[..whole.len() - 1]);
    house.stop().unwrap();
    assert!(!connection.hear_more());
}

#[test]
fn a_connection_that_spoke_http1_does_not_change_to_http2() {
    let house = House::open();
    let mut connection = house.connect();
    connection.send("POST", JOBS, &[JSON], b"{}");
    assert_eq!(connection.hear("POST", JOBS).status, 201);
    connection.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    while connection.hear_more() {}
    // The connection is closed without a word; an HTTP/2 server would begin with its settings.
    assert!(connection.heard.is_empty(), "{:?}", connection.heard);
}

#[test]
fn what_is_not_http_is_told_so() {
    let house = House::open();
    for head in [
        "nonsense\r\n\r\n",
        "POST /v1/a b HTTP/1.1\r\n\r\n",
        "GET /v1/jobs HTTP/1.1\r\nbad header\r\n\r\n",
        "POST /v1/queues/q/jo`s HTTP/1.1\r\n\r\n",
    ] {
        let mut connection = house.connect();
        connection.write(head.as_bytes());
        while connection.hear_more() {}
        let heard = String::from_utf8_lossy(&connection.heard);
        assert!(heard.starts_with("HTTP/1.1 400"), "{head:?} is answered {heard:?}");
    }
}
