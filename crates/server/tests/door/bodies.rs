//! Bodies: their limits are kept before memory is taken.

use tidegate_api::limits::{BODY_BYTES_MAX, LIST_ITEMS_MAX, PAYLOAD_BYTES_MAX};
use tidegate_server::Options;

use crate::support::{House, JSON};

const JOBS: &str = "/v1/queues/q/jobs";

#[test]
fn a_body_that_announces_too_much_is_refused_unread() {
    let house = House::open();
    let mut connection = house.connect();
    let head = format!(
        "POST {JOBS} HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        BODY_BYTES_MAX + 1
    );
    connection.write(head.as_bytes());
    // Not a byte of the body is sent, and the answer is there.
    assert_eq!(connection.hear("POST", JOBS).code(), "body_too_large");
}

#[test]
fn a_body_that_does_not_say_its_length_is_counted_as_it_comes() {
    let house = House::open();
    let mut connection = house.connect();
    let head = format!(
        "POST {JOBS} HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    connection.write(head.as_bytes());
    let piece = format!("{:x}\r\n{}\r\n", 1 << 20, " ".repeat(1 << 20));
    for _ in 0..=BODY_BYTES_MAX >> 20 {
        connection.write(piece.as_bytes());
    }
    assert_eq!(connection.hear("POST", JOBS).code(), "body_too_large");

    let mut connection = house.connect();
    connection.write(head.as_bytes());
    connection.write(b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n");
    assert_eq!(connection.hear("POST", JOBS).status, 201);
}

#[test]
fn a_body_of_exactly_the_limit_is_taken() {
    let house = House::open();
    let body = format!("{{}}{}", " ".repeat(BODY_BYTES_MAX - 2));
    assert_eq!(house.post(JOBS, body).status, 201);
}

#[test]
fn the_longest_payload_comes_back_whole() {
    let house = House::open();
    let payload = format!("\"{}\"", "x".repeat(PAYLOAD_BYTES_MAX - 2));
    let id = house.enqueue("q", &format!("{{\"payload\":{payload}}}"));
    assert!(house.get(&format!("/v1/jobs/{id}")).text.contains(&payload));
    let longer = payload.replacen('x', "xx", 1);
    let said = house.post(JOBS, format!("{{\"payload\":{longer}}}"));
    assert_eq!((said.status, said.code()), (413, "payload_too_large"));
}

#[test]
fn a_list_of_a_thousand_is_taken_and_one_more_is_not() {
    let house = House::open();
    let list = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
    let said = house.post(JOBS, list(LIST_ITEMS_MAX));
    assert_eq!(said.json["results"].as_array().unwrap().len(), LIST_ITEMS_MAX);
    assert_eq!(house.post(JOBS, list(LIST_ITEMS_MAX + 1)).code(), "too_many_items");
    assert_eq!(
        house.get("/v1/jobs?limit=1000&queue=q").json["jobs"].as_array().unwrap().len(),
        LIST_ITEMS_MAX
    );
}

#[test]
fn bodies_share_a_room_and_what_does_not_fit_is_refused() {
    let options = Options { bodies_bytes_max: 1 << 20, ..Options::default() };
    let house = House::with(Default::default(), options);
    let mut holding = house.connect();
    let bytes = 900 << 10;
    let head = format!(
        "POST {JOBS} HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\nexpect: 100-continue\r\n\
         content-length: {bytes}\r\n\r\n"
    );
    holding.write(head.as_bytes());
    // The body is asked for once it has its room.
    holding.hear_continue();
    let large = format!("{{}}{}", " ".repeat(500 << 10));
    let said = house.post(JOBS, &large);
    assert_eq!((said.code(), said.header("retry-after")), ("inbox_full", Some("1")));
    assert_eq!(house.post(JOBS, "{}").status, 201, "a small one still fits");
    holding.write(format!("{{}}{}", " ".repeat(bytes - 2)).as_bytes());
    assert_eq!(holding.hear("POST", JOBS).status, 201);
    assert_eq!(house.post(JOBS, &large).status, 201, "the room is free again");
}

#[test]
fn the_media_type_must_be_json_if_it_is_said() {
    let house = House::open();
    for (media_type, status) in [
        ("application/json", 201),
        ("application/json; charset=utf-8", 201),
        ("Application/JSON", 201),
        ("text/plain", 415),
        ("application/jsonx", 415),
        ("multipart/form-data; boundary=b", 415),
    ] {
        assert_eq!(
            house.ask("POST", JOBS, &[("content-type", media_type)], "{}").status,
            status,
            "{media_type}"
        );
    }
    let ndjson = ("content-type", "application/x-ndjson");
    assert_eq!(house.ask("POST", "/v1/leases", &[ndjson], "{}").code(), "unsupported_media_type");
    assert_eq!(house.ask("POST", "/v1/queues/q/pause", &[ndjson], "").code(), "unsupported_media_type");
}

#[test]
fn what_curl_says_by_itself_is_taken_for_json_but_not_from_a_browser() {
    let house = House::open();
    let form = ("content-type", "application/x-www-form-urlencoded");
    let page = ("origin", "https://elsewhere.example");
    for (headers, status) in
        [(&[form][..], 201), (&[], 201), (&[page, form], 415), (&[page], 415), (&[page, JSON], 201)]
    {
        assert_eq!(house.ask("POST", JOBS, headers, "{}").status, status, "{headers:?}");
    }
    assert_eq!(house.ask("POST", "/v1/jobs/0-1/cancel", &[page], "").status, 415, "nor without a body");
}

#[test]
fn a_malformed_body_changes_nothing() {
    let house = House::open();
    for body in ["", "{", "[{},{}", "[{},{]", "{}{}", "\u{feff}{}", "nonsense"] {
        let said = house.ask("POST", JOBS, &[JSON], body);
        assert_eq!((said.status, said.code()), (400, "invalid_json"), "{body:?}");
    }
    assert_eq!(house.get("/v1/jobs").json["jobs"].as_array().unwrap().len(), 0);
}
