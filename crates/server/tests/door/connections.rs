//! Connections: pipelining, HTTP/2, their bound, and the graceful end.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tidegate_server::Options;

use crate::support::{Connection, House, JSON, request, until};

const JOBS: &str = "/v1/queues/q/jobs";

#[test]
fn requests_that_come_together_are_answered_in_order() {
    let house = House::open();
    let mut connection = house.connect();
    let requests: Vec<u8> = (0..200)
        .flat_map(|n| request("POST", JOBS, &[JSON], format!("{{\"payload\":{n}}}").as_bytes()))
        .collect();
    connection.write(&requests);
    let ids: Vec<u64> = (0..200)
        .map(|_| {
            let said = connection.hear("POST", JOBS);
            said.json["id"].as_str().unwrap().strip_prefix("0-").unwrap().parse().unwrap()
        })
        .collect();
    assert!(ids.is_sorted() && ids.len() == 200, "{ids:?}");
}

#[test]
fn a_connection_is_used_again_after_a_refusal() {
    let house = House::open();
    let mut connection = house.connect();
    connection.send("POST", JOBS, &[JSON], b"{nonsense");
    assert_eq!(connection.hear("POST", JOBS).status, 400);
    connection.send("GET", "/v1/nothing", &[], b"");
    assert_eq!(connection.hear("GET", "/v1/nothing").status, 404);
    connection.send("POST", JOBS, &[JSON], b"{}");
    assert_eq!(connection.hear("POST", JOBS).status, 201);
}

#[test]
fn http_2_is_spoken_on_the_same_port() {
    let house = House::open();
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Full<bytes::Bytes>> =
        Client::builder(TokioExecutor::new()).http2_only(true).build(connector);
    let uri = format!("http://{}{JOBS}", house.address);
    let answer = house.wait_for(async {
        let asked = (0..50).map(|_| {
            let request = http::Request::post(&uri).header("content-type", "application/json");
            client.request(request.body(Full::from("{}")).unwrap())
        });
        let mut last = None;
        for asked in asked.collect::<Vec<_>>() {
            last = Some(asked.await.unwrap());
        }
        last.unwrap()
    });
    assert_eq!((answer.status().as_u16(), answer.version()), (201, http::Version::HTTP_2));
    let body = house.wait_for(answer.into_body().collect()).unwrap().to_bytes();
    assert!(body.starts_with(br#"{"id":"0-"#));
}

#[test]
fn a_connection_too_many_is_told_so() {
    let house = House::with(Default::default(), Options { connections_max: 2, ..Options::default() });
    let mut connections: Vec<_> = (0..2).map(|_| house.connect()).collect();
    for connection in &mut connections {
        connection.send("GET", "/healthz", &[], b"");
        assert_eq!(connection.hear("GET", "/healthz").status, 200);
    }
    let said = house.connect().hear("GET", "/healthz");
    assert_eq!((said.status, said.code()), (503, "too_many_connections"));
    drop(connections.pop());
    until("there is room again", || {
        let mut connection = house.connect();
        connection.send("GET", "/healthz", &[], b"");
        connection.hear_unchecked(false).status == 200
    });
}

/// A job whose answer is far longer than 64 KiB, and the path to ask for it.
fn long_job(house: &House) -> String {
    format!("/v1/jobs/{}", house.enqueue("q", &format!(r#"{{"payload":"{}"}}"#, "x".repeat(900 << 10))))
}

/// So many answers that no socket has room for them, on their way to somebody who does not read.
fn ask_without_reading(house: &House, path: &str) -> Connection {
    let mut connection = house.connect();
    for _ in 0..60 {
        connection.send("GET", path, &[], b"");
    }
    connection
}

#[test]
fn who_does_not_read_is_given_up() {
    let options =
        Options { connections_max: 1, answer_patience: Duration::from_millis(100), ..Options::default() };
    let house = House::with(Default::default(), options);
    // One is answered on the short way, the other by the general server.
    let is_served = |connection: &Connection| {
        let mut start = [0; 12];
        connection.stream.peek(&mut start).is_ok_and(|_| start == *b"HTTP/1.1 200")
    };
    for path in [long_job(&house), "/openapi.json".to_owned()] {
        // Until the connection of the request before is counted no longer.
        let mut connections = std::iter::repeat_with(|| ask_without_reading(&house, &path));
        let _held = connections.find(is_served);
        until("whoever does not read is gone", || {
            let mut connection = house.connect();
            connection.send("GET", "/healthz", &[], b"");
            connection.hear_unchecked(false).status == 200
        });
    }
}

#[test]
fn long_answers_that_nobody_reads_are_bounded() {
    let options = Options { answers_bytes_max: 1 << 20, ..Options::default() };
    let house = House::with(Default::default(), options);
    let path = long_job(&house);
    assert_eq!(house.get(&path).status, 200);
    let unread = ask_without_reading(&house, &path);
    // One may be refused because of an answer that goes out just now; ten in a row because of one that does not.
    until("an answer lies there", || (0..10).all(|_| house.get(&path).status == 429));
    let said = house.get(&path);
    assert_eq!((said.code(), said.header("retry-after")), ("inbox_full", Some("1")));
    let small = house.enqueue("q", "{}");
    assert_eq!(house.get(&format!("/v1/jobs/{small}")).status, 200, "short answers are not counted");
    assert_eq!(format!("/v1/jobs/{}", house.lease("q").0), path, "what changes something is answered");
    drop(unread);
    until("the answer is let go", || house.get(&path).status == 200);
}

#[test]
fn who_does_not_speak_http_is_told_so_and_let_go() {
    let house = House::open();
    for (head, status) in [
        ("nonsense\r\n\r\n".to_owned(), "HTTP/1.1 400"),
        (format!("GET /healthz HTTP/1.1\r\nx: {}", "y".repeat(1 << 20)), "HTTP/1.1 431"),
    ] {
        let mut connection = house.connect();
        connection.write(head.as_bytes());
        while connection.hear_more() {}
        let heard = String::from_utf8_lossy(&connection.heard);
        // Whoever is still sending when the connection is closed may not hear it.
        assert!(heard.starts_with(status) || (heard.is_empty() && head.len() > 1 << 20), "{heard:?}");
    }
    assert_eq!(house.get("/healthz").status, 200);
}

#[test]
fn when_the_server_stops_those_who_wait_are_answered() {
    let mut house = House::open();
    let mut waiting = house.connect();
    waiting.send("POST", "/v1/leases", &[JSON], br#"{"queues":["q"],"wait_ms":60000}"#);
    let mut idle = house.connect();
    idle.send("GET", "/healthz", &[], b"");
    idle.hear("GET", "/healthz");
    until("somebody waits", || house.engine.status().shards[0].waiters == 1);
    house.stop().unwrap();
    let said = waiting.hear("POST", "/v1/leases");
    assert!(
        said.status == 200 && said.json["jobs"] == serde_json::json!([]) || said.code() == "shutting_down",
        "{said:?}"
    );
    assert!(!idle.hear_more(), "idle connections are closed");
}
