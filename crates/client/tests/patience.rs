//! Deadlines and bounds over a server that is slow, silent or says too much: everybody has their own patience.

mod support;

use std::future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::{House, Working, message};
use tidegate::api::words::JobState;
use tidegate::{BatchOptions, Client, Error, Failure, Job, Worker};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, mpsc};

/// A client of a server that says of every request that it came, and gives it this answer when there is a permit.
async fn answering(answer: Vec<u8>) -> (Client, mpsc::UnboundedReceiver<()>, Arc<Semaphore>) {
    let (tell, came) = mpsc::unbounded_channel();
    let permits = Arc::new(Semaphore::new(0));
    let given = Arc::clone(&permits);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (answer, tell, given) = (answer.clone(), tell.clone(), Arc::clone(&given));
            tokio::spawn(async move {
                let mut request = vec![0; 1 << 16];
                while stream.read(&mut request).await.is_ok_and(|bytes| bytes > 0) {
                    // The test may have heard enough.
                    let _ = tell.send(());
                    given.acquire().await.expect("it is never closed").forget();
                    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length";
                    let head = format!("{head}: {}\r\n\r\n", answer.len());
                    // Whoever asked may be gone.
                    let _ = stream.write_all(head.as_bytes()).await;
                    let _ = stream.write_all(&answer).await;
                }
            });
        }
    });
    (Client::connect(&format!("http://{address}")).expect("an address"), came, permits)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hurry_of_one_caller_is_not_everybodys() {
    let answer = br#"{"results":[{"id":"0-5","state":"ready"}]}"#.to_vec();
    let (client, mut came, permits) = answering(answer).await;
    const HURRY: Duration = Duration::from_millis(300);
    let hurried = client.with_deadline(HURRY).queue("q").enqueue("k", &1).await;
    hurried.expect_err("there is no answer before its deadline");
    while came.try_recv().is_ok() {}
    let patient = tokio::spawn(async move { client.queue("q").enqueue("k", &2).await });
    came.recv().await.expect("it asks");
    // Whoever had the other's deadline would have given up.
    tokio::time::sleep(2 * HURRY).await;
    permits.add_permits(100);
    patient.await.expect("no panic").expect("half a minute is long enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_end_is_not_kept() {
    let (client, _, permits) = answering(vec![b' '; (64 << 20) + 1]).await;
    permits.add_permits(100);
    let error = client.queues().await.expect_err("it is too long");
    assert!(matches!(error, Error::Unreadable { status: 200, .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_said_of_time_nothing_overflows() {
    let house = House::open().await;
    let client = house.client.with_deadline(Duration::MAX);
    let id = client.queue("q").enqueue("k", &1).await.expect("accepted").id;
    let error = client.job(id, Duration::MAX).await.expect_err("no server waits so long");
    assert_eq!(error.refusal().and_then(|refusal| refusal.field.as_deref()), Some("wait_ms"), "{error}");
    let worker = Worker::new(&client).queue("q").grace(Duration::MAX).handle_batch(
        "k",
        BatchOptions::up_to(2).linger(Duration::MAX),
        |jobs: Vec<Job<u8>>, ()| async move { vec![Ok::<_, Failure>(()); jobs.len()] },
    );
    let working = Working::start(worker);
    client.queue("q").enqueue("k", &2).await.expect("accepted");
    assert_eq!(house.ended(id).await.state, JobState::Completed);
    working.stop().await.0.expect("a good end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workers_rounds_do_not_share_its_clients_key() {
    let house = House::open().await;
    house.enqueue_many("q", "k", 3).await;
    let keyed = house.client.with_idempotency_key("mine").expect("a key");
    let worker =
        Worker::new(&keyed).queue("q").concurrency(1).handle("k", |_: Job<u8>, ()| async move { Ok(()) });
    let ran = tokio::time::timeout(support::PATIENCE, worker.run_due()).await.expect("it ends");
    assert_eq!(ran.expect("a good end").completed, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_nothing_to_do_notices_a_silent_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    // Connections are taken and never answered, and no call ends while this test waits.
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let client = Client::connect(&url).expect("an address").with_deadline(Duration::MAX);
    let worker = Worker::new(&client)
        .queue("q")
        .lease(Duration::from_secs(43_200))
        .handle("k", |_: Job<u8>, ()| future::pending::<Result<(), Failure>>());
    Working::start(worker).tells("server away").await;
}

/// A line to `server` that never passes the first request with a heartbeat on, and says of each later one when it is
/// answered.
async fn swallows_a_heartbeat(server: SocketAddr) -> (Client, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (tell, answered) = mpsc::unbounded_channel();
    let swallowed = Arc::new(AtomicBool::new(false));
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let (tell, swallowed) = (tell.clone(), Arc::clone(&swallowed));
            let mut far = TcpStream::connect(server).await.expect("the server is there");
            tokio::spawn(async move {
                while let Some(request) = message(&mut near).await {
                    let beats = String::from_utf8_lossy(&request).contains("\"extend\"");
                    if beats && !swallowed.swap(true, Ordering::SeqCst) {
                        future::pending::<()>().await;
                    }
                    far.write_all(&request).await.expect("the server reads");
                    let Some(answer) = message(&mut far).await else { return };
                    if near.write_all(&answer).await.is_err() {
                        return;
                    }
                    if beats {
                        // The test may have heard enough.
                        let _ = tell.send(());
                    }
                }
            });
        }
    });
    (Client::connect(&url).expect("an address"), answered)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_that_gets_no_answer_costs_no_lease() {
    let house = House::open().await;
    let (client, mut answered) = swallows_a_heartbeat(house.address).await;
    let open = Arc::new(Notify::new());
    let worker = Worker::new(&client)
        .queue("q")
        .concurrency(1)
        // The first one is due after a third and is given up after another; the last is for a machine that stands still.
        .lease(Duration::from_secs(15))
        .state(Arc::clone(&open))
        .handle("k", |_: Job<u8>, open: Arc<Notify>| async move {
            open.notified().await;
            Ok(())
        });
    let id = house.enqueue("q", "k", 1.into()).await;
    let working = Working::start(worker);
    answered.recv().await.expect("a heartbeat is said again");
    open.notify_one();
    assert_eq!((house.ended(id).await.state, house.job(id).await.attempt), (JobState::Completed, 1));
    let (ended, told) = working.stop().await;
    ended.expect("a good end");
    assert!(!told.iter().any(|line| line.starts_with("lost")), "{told:#?}");
}
