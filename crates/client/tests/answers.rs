//! What the client makes of answers, good and bad, over a real socket.

use std::time::Duration;

use tidegate::{Client, Error, api::enqueue::NewJob};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// Enqueues one job at a server that answers with these bytes and closes; also what the server received.
async fn enqueue(
    answer: &'static str,
    configure: impl FnOnce(Client) -> Client,
) -> (String, Result<String, Error>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut received = Vec::new();
        // The request has come when its body, an empty object, has.
        while !received.ends_with(b"{}") {
            assert!(stream.read_buf(&mut received).await.expect("bytes") > 0, "the request is whole");
        }
        stream.write_all(answer.as_bytes()).await.expect("the client reads");
        String::from_utf8(received).expect("text")
    });
    let client = configure(Client::connect(&url).expect("an address"));
    let outcome = client.enqueue("a/b", &NewJob::default()).await;
    (server.await.expect("no panic"), outcome.map(|job| format!("{} {}", job.id, job.state)))
}

/// The error that an answer becomes.
async fn error_of(answer: &'static str) -> Error {
    enqueue(answer, |client| client.without_retries()).await.1.expect_err("no good answer")
}

#[tokio::test]
async fn a_good_answer_is_read_and_the_request_is_what_it_should_be() {
    let answer = "HTTP/1.1 201 Created\r\ncontent-length: 40\r\n\r\n{\"id\":\"0-7\",\"queue\":\"q\",\"state\":\"ready\"}";
    let (received, outcome) =
        enqueue(answer, |client| client.with_idempotency_key("order 7").expect("a right key")).await;
    assert_eq!(outcome.expect("a good answer"), "0-7 ready");
    let received = received.to_lowercase();
    assert!(received.starts_with("post /v1/queues/a%2fb/jobs http/1.1\r\n"), "{received}");
    assert!(received.contains("\r\nidempotency-key: \"order 7\"\r\n"), "{received}");
    assert!(received.contains("\r\ncontent-type: application/json\r\n"), "{received}");
}

#[tokio::test]
async fn a_refusal_is_told_from_silence_and_says_when_to_come_back() {
    let error = error_of(
        "HTTP/1.1 429 Too Many Requests\r\nretry-after: 3\r\ncontent-length: 92\r\n\r\n\
         {\"type\":\"/problems/queue_full\",\"title\":\"t\",\"status\":429,\"code\":\"queue_full\",\"detail\":\"full\"}",
    )
    .await;
    let problem = error.problem().unwrap_or_else(|| panic!("{error}"));
    assert_eq!(problem.refusal.code.as_str(), "queue_full");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
    assert!(error.is_temporary());
    assert_eq!(error.to_string(), "full (queue_full)");
}

#[tokio::test]
async fn an_answer_that_breaks_off_leaves_the_outcome_open() {
    let error = error_of("HTTP/1.1 201 Created\r\ncontent-length: 500\r\n\r\n{\"id\":").await;
    assert!(matches!(error, Error::Transport { .. }), "{error:?}");
    assert!(error.is_temporary());
}

#[tokio::test]
async fn somebody_elses_answer_is_not_taken_for_the_servers() {
    let error = error_of("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>").await;
    assert!(matches!(error, Error::Unreadable { status: 200, .. }), "{error:?}");
    assert!(!error.is_temporary());
    let error = error_of("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 6\r\n\r\n<html>").await;
    assert!(matches!(error, Error::Unreadable { status: 502, .. }), "{error:?}");
    assert!(error.is_temporary());
}

#[test]
fn a_key_that_no_header_can_carry_is_refused() {
    let client = Client::connect("http://127.0.0.1:1").expect("an address");
    for key in ["", "line\nbreak", "ä", &"x".repeat(256)] {
        assert!(client.with_idempotency_key(key).is_err(), "{key:?}");
    }
}
