//! What the client makes of a transaction's answers, over a real socket.

use tidegate::Client;
use tidegate::api::enqueue::NewJob;
use tidegate::api::settle::Complete;
use tidegate::api::transaction::{EnqueueOperation, Operation, TransactionAnswer, TransactionRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Sends a transaction of two operations to a server that gives this answer; also what the server received.
async fn transact(status: &str, body: &str) -> (String, Result<TransactionAnswer, tidegate::Error>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut received = Vec::new();
        while !received.ends_with(b"]}") {
            assert!(stream.read_buf(&mut received).await.expect("bytes") > 0, "the request is whole");
        }
        stream.write_all(answer.as_bytes()).await.expect("the client reads");
        String::from_utf8(received).expect("text")
    });
    let job = NewJob { kind: Some("receipt".into()), ..NewJob::default() };
    let id = "0-7".parse().expect("an id");
    let request = TransactionRequest {
        operations: vec![
            Operation::Complete(Complete { id, token: 12, result: None }),
            Operation::Enqueue(Box::new(EnqueueOperation { queue: "mail".into(), job })),
        ],
        ..TransactionRequest::default()
    };
    let outcome = Client::connect(&url).expect("an address").transact(&request).await;
    (server.await.expect("no panic"), outcome)
}

#[tokio::test]
async fn operations_are_sent_in_order_and_answered_in_order() {
    let results =
        r#"{"results":[{"id":"0-7","state":"completed"},{"id":"0-8","queue":"mail","state":"ready"}]}"#;
    let (received, outcome) = transact("200 OK", results).await;
    let body =
        r#"{"do":[{"complete":{"id":"0-7","token":12}},{"enqueue":{"queue":"mail","kind":"receipt"}}]}"#;
    assert!(received.starts_with("POST /v1/transactions HTTP/1.1\r\n"), "{received}");
    assert!(received.ends_with(body), "{received}");
    let results = outcome.expect("a good answer").results;
    let [Some(done), Some(enqueued)] = [results[0].job(), results[1].job()] else {
        panic!("both are jobs: {results:?}")
    };
    assert_eq!(done.queue, None);
    assert_eq!((enqueued.id.to_string().as_str(), enqueued.queue.as_deref()), ("0-8", Some("mail")));
}

#[tokio::test]
async fn a_refusal_says_which_operation_it_means() {
    let problem = r#"{"type":"/problems/queue_full","title":"t","status":429,"code":"queue_full","detail":"full",
        "operation":1}"#;
    let error = transact("429 Too Many Requests", problem).await.1.expect_err("a refusal");
    let problem = error.problem().unwrap_or_else(|| panic!("{error}"));
    assert_eq!((problem.refusal.code.as_str(), problem.refusal.operation), ("queue_full", Some(1)));
}

#[tokio::test]
async fn an_answer_that_leaves_an_operation_out_is_none() {
    let results = r#"{"results":[{"id":"0-7","state":"completed"}]}"#;
    let error = transact("200 OK", results).await.1.expect_err("one of two is not an answer");
    assert!(matches!(error, tidegate::Error::Unreadable { status: 200, .. }), "{error:?}");
}
