//! Connections: pipelining, HTTP/2, their bound, and the graceful end.

use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tidegate_server::Options;

use crate::support::{House, JSON, request, until};

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
