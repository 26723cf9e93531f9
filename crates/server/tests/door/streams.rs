//! NDJSON streams.

use serde_json::json;
use tidegate_api::limits::LINE_BYTES_MAX;

use crate::support::{House, NDJSON};

const JOBS: &str = "/v1/queues/q/jobs";

#[test]
fn a_stream_is_answered_line_by_line_in_order() {
    let house = House::open();
    let said = house.ask("POST", JOBS, &[NDJSON], "{\"kind\":\"a\"}\n\n{\"kind\":\"b c\"}\r\n{nonsense\n{}");
    assert_eq!((said.status, said.header("content-type")), (200, Some("application/x-ndjson")));
    let lines = said.lines();
    assert_eq!(lines[0], json!({ "id": "0-1", "state": "ready" }));
    assert_eq!(lines[1]["error"]["field"], "kind");
    assert_eq!(lines[2]["error"]["code"], "invalid_json");
    assert_eq!(lines[3], json!({ "id": "0-2", "state": "ready" }));
    assert_eq!(lines.len(), 4);
    assert_eq!(house.ask("POST", JOBS, &[NDJSON], "").text, "");
}

#[test]
fn a_stream_may_be_longer_than_a_list() {
    let house = House::open();
    let body: String = (0..5_500).map(|n| format!("{{\"payload\":{n}}}\n")).collect();
    let lines = house.ask("POST", JOBS, &[NDJSON], body).lines();
    assert_eq!(lines.len(), 5_500);
    for (n, line) in lines.iter().enumerate() {
        assert_eq!(line["id"], format!("0-{}", n + 1));
    }
    assert_eq!(house.get("/v1/jobs/0-5000").json["payload"], 4_999);
}

#[test]
fn a_trickle_is_answered_as_it_comes() {
    let house = House::open();
    let mut connection = house.connect();
    let head = format!(
        "POST {JOBS} HTTP/1.1\r\nhost: tidegate\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    connection.write(head.as_bytes());
    connection.write(b"3\r\n{}\n\r\n");
    // The answer to the first line is there before the second is sent.
    while !String::from_utf8_lossy(connection.peek()).contains("0-1") {
        assert!(connection.hear_more());
    }
    connection.write(b"3\r\n{}\n\r\n0\r\n\r\n");
    let lines = connection.hear("POST", JOBS).lines();
    assert_eq!(lines[1]["id"], "0-2");
}

#[test]
fn a_line_that_is_too_long_is_refused_alone() {
    let house = House::open();
    let long = format!("{{\"payload\":\"{}\"}}", "x".repeat(LINE_BYTES_MAX));
    let lines = house.ask("POST", JOBS, &[NDJSON], format!("{{}}\n{long}\n{{}}\n")).lines();
    let codes: Vec<_> = lines.iter().map(|line| line["error"]["code"].as_str()).collect();
    assert_eq!(codes, [None, Some("body_too_large"), None]);
}

#[test]
fn the_same_stream_under_the_same_key_is_the_same_jobs() {
    let house = House::open();
    let headers = [NDJSON, ("idempotency-key", "stream-1")];
    let body: String = (0..2_300).map(|n| format!("{{\"payload\":{n}}}\n")).collect();
    let first = house.ask("POST", JOBS, &headers, &body);
    let again = house.ask("POST", JOBS, &headers, &body);
    assert_eq!(first.text, again.text);
    assert_eq!((first.is_replayed(), again.is_replayed()), (false, true));
    let lines = first.lines();
    assert!(
        lines.len() == 2_300 && lines.iter().all(|line| line["state"] == "ready"),
        "every chunk was accepted"
    );
    let other = house.ask("POST", JOBS, &headers, "{}\n");
    assert_eq!((other.status, other.code()), (422, "idempotency_mismatch"));
    // What was cut off is taken up where it was: chunks that were accepted are recalled, the rest is new.
    let longer = format!("{body}{{}}\n");
    let grown = house.ask("POST", JOBS, &[NDJSON, ("idempotency-key", "stream-2")], &body[..body.len() / 2]);
    assert!(grown.lines().len() > 1_000);
    let lines = house.ask("POST", JOBS, &[NDJSON, ("idempotency-key", "stream-2")], longer).lines();
    assert_eq!(lines[..1_000], grown.lines()[..1_000]);
}

#[test]
fn under_a_key_it_does_not_matter_in_which_pieces_a_stream_comes() {
    let house = House::open();
    let headers = [NDJSON, ("idempotency-key", "k")];
    let whole = house.ask("POST", JOBS, &headers, "{}\n{}\n{}\n");
    let mut connection = house.connect();
    let head = format!(
        "POST {JOBS} HTTP/1.1\r\nhost: h\r\ncontent-type: application/x-ndjson\r\nidempotency-key: k\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
    connection.write(head.as_bytes());
    for _ in 0..3 {
        connection.write(b"3\r\n{}\n\r\n");
        // Meanwhile the server has all the time to take the pause for an end.
        (0..20).for_each(|_| assert_eq!(house.get("/healthz").status, 200));
    }
    connection.write(b"0\r\n\r\n");
    let pieces = connection.hear("POST", JOBS);
    assert_eq!((pieces.text.as_str(), pieces.is_replayed()), (whole.text.as_str(), true));
}

#[test]
fn a_stream_that_breaks_off_keeps_what_was_accepted() {
    let house = House::open();
    let mut connection = house.connect();
    let head = format!(
        "POST {JOBS} HTTP/1.1\r\nhost: tidegate\r\ncontent-type: application/x-ndjson\r\ncontent-length: 1000\r\n\r\n{{}}\n"
    );
    connection.write(head.as_bytes());
    while !String::from_utf8_lossy(connection.peek()).contains("0-1") {
        assert!(connection.hear_more());
    }
    drop(connection);
    assert_eq!(house.state("0-1"), "ready");
}
