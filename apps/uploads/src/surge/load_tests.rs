//! The load against a listener of these tests that answers as each of them says.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::surge::{
    names::Run,
    pictures::Picture,
    plan::{Length, Phase, Shape},
};

const RUN: u32 = 5;

/// What the listener does with a request: by the request's number of all, and its key.
type Answer = dyn Fn(usize, &str) -> Option<String> + Send + Sync;

/// A listener that answers every request with what `answer` says, or closes the connection for `None`. The keys that
/// it saw, in order.
async fn listen(answer: Arc<Answer>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let keys = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&keys);
    let number = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&answer), Arc::clone(&seen), Arc::clone(&number)));
        }
    });
    (address, keys)
}

async fn serve(
    mut stream: TcpStream,
    answer: Arc<Answer>,
    seen: Arc<Mutex<Vec<String>>>,
    number: Arc<AtomicUsize>,
) {
    let mut received = Vec::new();
    loop {
        while !received.ends_with(b"--\r\n") {
            if stream.read_buf(&mut received).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let text = String::from_utf8_lossy(&received).into_owned();
        let (_, rest) = text.split_once("idempotency-key: ").expect("a key");
        let key = rest.split("\r\n").next().expect("a line").to_owned();
        seen.lock().expect("no panic").push(key.clone());
        let Some(answer) = answer(number.fetch_add(1, SeqCst), &key) else { return };
        stream.write_all(answer.as_bytes()).await.expect("the load reads");
        received.clear();
    }
}

fn answer(status: &str, headers: &str, body: &str) -> Option<String> {
    Some(format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()))
}

fn accepted(key: &str) -> Option<String> {
    answer("202 Accepted", "", &format!(r#"{{"id":"id-{key}"}}"#))
}

/// A load of 24 uploads: 2 calm, 20 in the surge, 2 calm.
async fn load(
    answer: impl Fn(usize, &str) -> Option<String> + Send + Sync + 'static,
) -> (Tally, Vec<String>) {
    let (address, keys) = listen(Arc::new(answer)).await;
    let shape = Shape { base: 40, peak: 400, calm: Duration::from_millis(50), length: Length::Until(24 + 4) };
    let plan = Plan::new(shape).expect("a plan");
    assert_eq!(plan.uploads(), 28);
    let picture = Picture { name: "a.jpg".into(), content_type: "image/jpeg", bytes: b"image".to_vec() };
    let requests = Requests::new(Run::new(RUN), "localhost", vec![picture]);
    let tally = Load::new(plan, Instant::now(), address, requests).run(4).await;
    let keys = keys.lock().expect("no panic").clone();
    (tally, keys)
}

fn key(upload: usize) -> String {
    Run::new(RUN).key(upload)
}

#[track_caller]
fn check_all_accepted(tally: &Tally) {
    for (upload, fate) in tally.fates.iter().enumerate() {
        assert_eq!(*fate, Fate::Accepted(format!("id-{}", key(upload)).into()));
    }
    assert_eq!(tally.accepted, tally.fates.len() as u64);
    let measured: u64 = tally.phases.iter().map(|phase| phase.latency_us.len()).sum();
    assert_eq!((measured, tally.examples.len()), (tally.accepted, 0));
}

#[tokio::test]
async fn every_upload_is_sent_once_with_its_own_key() {
    let (tally, keys) = load(|_, key| accepted(key)).await;
    check_all_accepted(&tally);
    let mut sorted = keys.clone();
    sorted.sort();
    assert_eq!(sorted, (0..28).map(key).collect::<Vec<_>>());
    assert!(tally.retries.is_empty());
    assert_eq!(tally.phases[Phase::Before as usize].latency_us.len(), 2);
}

#[tokio::test]
async fn an_upload_without_an_answer_is_sent_again_with_the_same_key_and_counts_once() {
    // The fourth request is lost with its connection; so is the second try of the same upload.
    let lost = Arc::new(Mutex::new((None, 0)));
    let state = Arc::clone(&lost);
    let (tally, keys) = load(move |number, key| {
        let mut lost = state.lock().expect("no panic");
        if number == 3 {
            lost.0 = Some(key.to_owned());
        }
        if lost.0.as_deref() == Some(key) && lost.1 < 2 {
            lost.1 += 1;
            return None;
        }
        accepted(key)
    })
    .await;
    check_all_accepted(&tally);
    let again = lost.lock().expect("no panic").0.clone().expect("one was lost");
    assert_eq!(keys.iter().filter(|key| **key == again).count(), 3);
    assert_eq!(tally.retries, BTreeMap::from([("connection broke", 2)]));
}

#[tokio::test]
async fn an_upload_that_is_told_to_come_back_does_so_and_its_latency_goes_on() {
    // Which request comes first is the machine's affair; what is said depends on the upload.
    let told = Mutex::new(BTreeSet::new());
    let (tally, keys) = load(move |_, key| {
        let again = !told.lock().expect("no panic").insert(key.to_owned());
        match (key, again) {
            (upload, false) if upload == self::key(0) => {
                answer("503 Service Unavailable", "retry-after: 1\r\n", "{}")
            }
            (upload, false) if upload == self::key(1) => {
                answer("429 Too Many Requests", "retry-after: 0\r\nconnection: close\r\n", "{}")
            }
            (upload, true) if upload == self::key(0) => {
                answer("202 Accepted", "idempotent-replayed: true\r\n", &format!(r#"{{"id":"id-{key}"}}"#))
            }
            _ => accepted(key),
        }
    })
    .await;
    check_all_accepted(&tally);
    assert_eq!(keys.len(), 30);
    assert_eq!(tally.retries, BTreeMap::from([("429 too many", 1), ("503 busy", 1)]));
    assert_eq!(tally.replayed, 1);
    assert!(tally.phases[0].latency_us.max() >= 1_000_000, "a second of waiting counts");
}

#[tokio::test]
async fn another_answer_is_final_and_an_error_of_its_phase() {
    let (tally, keys) = load(|_, key| match key.ends_with("0000001") {
        true => answer("415 Unsupported Media Type", "", r#"{"code":"unsupported_image"}"#),
        false => accepted(key),
    })
    .await;
    assert_eq!(tally.fates[1], Fate::Refused(415));
    assert_eq!(tally.phases.iter().map(|phase| phase.errors).collect::<Vec<_>>(), [1, 0, 0]);
    assert_eq!((keys.len(), tally.accepted), (28, 27));
    assert!(tally.examples[0].contains("unsupported_image"), "{:?}", tally.examples);
}

#[tokio::test]
async fn an_accepted_upload_without_an_id_is_an_error() {
    let (tally, _) = load(|_, key| match key.ends_with("0000000") {
        true => answer("202 Accepted", "", "{}"),
        false => accepted(key),
    })
    .await;
    assert_eq!((tally.fates[0].clone(), tally.accepted), (Fate::Refused(202), 27));
}
