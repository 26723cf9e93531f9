//! Jobs that travel together, and calls that are tried again: over a real server, behind a line that misbehaves.

mod support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use support::{House, message, own_port};
use tidegate::api::enqueue::NewJob;
use tidegate::api::id::JobId;
use tidegate::api::lease::LeaseRequest;
use tidegate::api::pool::config::PoolConfig;
use tidegate::api::pool::grant::PoolResult;
use tidegate::api::pool::request::{PoolRequest, Take};
use tidegate::api::queue::QueueConfig;
use tidegate::api::refusal::Code;
use tidegate::api::settle::{Complete, Release, SettleResult};
use tidegate::{Client, Error, Failure, Job, Worker};
use tidegate_engine::shard_of;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// A line to a server that counts requests, and those with an idempotency key, and cuts the connection in place of passing on certain answers.
struct Line {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    keys: Arc<AtomicUsize>,
}

impl Line {
    /// A line to `server`; `cut` says of the n-th request, from 0, whether its answer is lost.
    async fn to(server: SocketAddr, cut: fn(usize) -> bool) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(AtomicUsize::new(0));
        let keys = Arc::default();
        let counted = (Arc::clone(&requests), Arc::clone(&keys));
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(server).await.expect("the server is there");
                tokio::spawn(carry(near, far, counted.clone(), cut));
            }
        });
        Line { address, requests, keys }
    }

    fn client(&self) -> Client {
        Client::connect(&format!("http://{}", self.address)).expect("an address")
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    fn keys(&self) -> usize {
        self.keys.load(Ordering::SeqCst)
    }
}

/// Carries requests and answers one after the other, as HTTP/1.1 without pipelining has them.
async fn carry(
    mut near: TcpStream,
    mut far: TcpStream,
    (requests, keys): (Arc<AtomicUsize>, Arc<AtomicUsize>),
    cut: fn(usize) -> bool,
) {
    loop {
        let Some(request) = message(&mut near).await else { return };
        let number = requests.fetch_add(1, Ordering::SeqCst);
        if String::from_utf8_lossy(&request).contains("\r\nidempotency-key: ") {
            keys.fetch_add(1, Ordering::SeqCst);
        }
        far.write_all(&request).await.expect("the server reads");
        let Some(answer) = message(&mut far).await else { return };
        if cut(number) || near.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// Enqueues so many jobs at the same time, and gives their ids.
async fn enqueue_together(client: &Client, jobs: u64) -> BTreeSet<JobId> {
    let queue = client.queue("q");
    let callers: Vec<_> = (0..jobs)
        .map(|number| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.enqueue("a", &number).await })
        })
        .collect();
    let mut ids = BTreeSet::new();
    for caller in callers {
        ids.insert(caller.await.expect("no panic").expect("accepted").id);
    }
    ids
}

async fn ready(house: &House) -> u64 {
    house.client.pause("q").await.expect("the queue is there").counts.ready
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_come_together_travel_together() {
    let house = House::open().await;
    let line = Line::to(house.address, |_| false).await;
    let ids = enqueue_together(&line.client(), 2_500).await;
    assert_eq!((ids.len(), ready(&house).await), (2_500, 2_500));
    assert!(line.requests() < 250, "{} requests are no lists", line.requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_comes_alone_goes_at_once() {
    let house = House::open().await;
    let line = Line::to(house.address, |_| false).await;
    let queue = line.client().queue("q");
    for number in 0..20 {
        queue.enqueue("a", &number).await.expect("accepted");
        assert_eq!(line.requests(), number + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_makes_no_second_job() {
    let house = House::open().await;
    let line = Line::to(house.address, |number| number % 2 == 0).await;
    let client = line.client();
    let ids = enqueue_together(&client, 500).await;
    assert_eq!((ids.len(), ready(&house).await), (500, 500));
    let single = client.enqueue("q", &NewJob::default()).await.expect("accepted");
    assert!(!ids.contains(&single.id));
    assert_eq!(ready(&house).await, 501);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_retries_a_lost_answer_is_told() {
    let house = House::open().await;
    let line = Line::to(house.address, |_| true).await;
    let error = line.client().without_retries().queue("q").enqueue("a", &1).await.expect_err("no answer");
    assert!(matches!(error, Error::Transport { .. }), "{error:?}");
    assert_eq!((line.requests(), ready(&house).await), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_within_the_deadline_is_waited_for() {
    let mut house = House::open().await;
    let client = house.client.clone();
    client.queue("q").enqueue("a", &0).await.expect("accepted");
    house.stop().await;
    let waiting = tokio::spawn(async move { enqueue_together(&client, 100).await });
    house.start().await;
    assert_eq!(waiting.await.expect("no panic").len(), 100);
    assert_eq!(ready(&house).await, 101);
}

#[tokio::test]
async fn a_server_that_stays_away_is_given_up_at_the_deadline() {
    let (_port, address) = own_port();
    let listener = TcpListener::bind(address).await.expect("our own port");
    // Connections are taken and never answered.
    let client = Client::connect(&format!("http://{address}")).expect("an address");
    let client = client.with_deadline(Duration::from_millis(300));
    let error = client.queue("q").enqueue("a", &1).await.expect_err("nobody answers");
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    let error =
        client.queue("q").job("a", &1).idempotency_key("k").enqueue().await.expect_err("nobody answers");
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    drop(listener);
    let error =
        client.queue("q").job("a", &1).idempotency_key("k").enqueue().await.expect_err("nobody is there");
    assert!(error.is_temporary(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_told_at_once_and_each_job_hears_its_own_answer() {
    let house = House::open().await;
    let line = Line::to(house.address, |_| false).await;
    let config = QueueConfig { jobs_max: Some(10), ..QueueConfig::default() };
    house.client.configure("q", &config).await.expect("configured");
    let queue = line.client().queue("q");
    let callers: Vec<_> = (0..30)
        .map(|number| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.enqueue("a", &number).await })
        })
        .collect();
    let (mut accepted, mut refused) = (0, 0);
    for caller in callers {
        match caller.await.expect("no panic") {
            Ok(_) => accepted += 1,
            Err(error) => {
                assert_eq!(error.code(), Some(Code::QueueFull), "{error}");
                refused += 1;
            }
        }
    }
    assert_eq!((accepted, refused), (10, 20));
    assert!(line.requests() <= 30, "a refusal is not tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_by_field_and_before_anything_is_sent_if_it_is_no_json() {
    let house = House::open().await;
    let line = Line::to(house.address, |_| false).await;
    let queue = line.client().queue("q");
    let error = queue.job("a", &1).priority(12).enqueue().await.expect_err("no such priority");
    let refusal = error.refusal().expect("a refusal");
    assert_eq!((refusal.code, refusal.field.as_deref()), (Code::InvalidValue, Some("priority")));
    let before = line.requests();
    let no_json = std::collections::BTreeMap::from([((1, 2), 3)]);
    let error = queue.enqueue("a", &no_json).await.expect_err("a pair is no member's name");
    assert!(matches!(&error, Error::Payload { kind, .. } if kind == "a"), "{error:?}");
    let error = queue.job("a", &1).idempotency_key("ä").enqueue().await.expect_err("no key");
    assert!(matches!(error, Error::IdempotencyKey(_)), "{error:?}");
    assert_eq!(line.requests(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_is_told_unless_it_had_a_key() {
    let house = House::open().await;
    house.enqueue_many("q", "k", 2).await;
    let lease = LeaseRequest { queues: vec!["q".into()], max: Some(1), ..LeaseRequest::default() };
    let line = Line::to(house.address, |_| true).await;
    let error = line.client().lease(&lease).await.expect_err("no answer");
    assert!(matches!(error, Error::Transport { .. }), "{error:?}");
    assert_eq!((line.requests(), ready(&house).await), (1, 1), "it takes no other job");
    house.client.resume("q").await.expect("resumed");

    let line = Line::to(house.address, |number| number == 0).await;
    let keyed = line.client().with_idempotency_key("mine").expect("a key");
    assert_eq!(keyed.lease(&lease).await.expect("the same answer").len(), 1);
    assert_eq!((line.requests(), ready(&house).await), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_workers_say_only_what_comes_to_the_same_is_said_again() {
    let house = House::open().await;
    house.enqueue_many("q", "k", 2).await;
    let lease = LeaseRequest { queues: vec!["q".into()], max: Some(2), ..LeaseRequest::default() };
    let jobs = house.client.lease(&lease).await.expect("two jobs");
    let line = Line::to(house.address, |number| number != 1).await;
    let done = Complete { id: jobs[0].id, token: jobs[0].token, result: None };
    let done = line.client().complete(&[done]).await.expect("an answer to the second try");
    assert!(matches!(done[0], SettleResult::Settled { .. }), "{done:?}");
    let back = Release { id: jobs[1].id, token: jobs[1].token };
    line.client().release(&[back]).await.expect_err("no answer");
    assert_eq!((line.requests(), ready(&house).await), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workers_calls_leave_the_room_for_keys_to_others() {
    let house = House::open().await;
    house.enqueue_many("q", "k", 2_000).await;
    let line = Line::to(house.address, |_| false).await;
    let worker = Worker::new(&line.client()).queue("q").handle("k", |job: Job<u64>, ()| async move {
        if job.into_payload() == 0 { Err(Failure::fatal("zero")) } else { Ok(()) }
    });
    assert_eq!(worker.run_due().await.expect("a good end").completed, 1_999);
    assert_eq!(line.keys(), 0);
    line.client().queue("q").enqueue("k", &1).await.expect("accepted");
    assert_eq!(line.keys(), 1);
}

/// A take of one unit of each of these pools.
fn takes(pools: &[String]) -> Vec<PoolRequest<'_>> {
    let take = |pool: &'_ String| Take {
        pool: pool.clone().into(),
        holder: "anna".into(),
        units: None,
        group: None,
    };
    pools.iter().map(|pool| PoolRequest::Take(take(pool))).collect()
}

/// A house of several shards, and a pool in each of them.
async fn with_a_pool_in_each_shard() -> (House, Vec<String>) {
    const SHARDS: u16 = 4;
    let house = House::with_shards(SHARDS).await;
    let name = |shard| (0..).map(|n| format!("p{n}")).find(|name| shard_of(name, SHARDS) == shard);
    let pools: Vec<String> = (0..SHARDS).map(|shard| name(shard).expect("one of them")).collect();
    for pool in &pools {
        let config = PoolConfig { holder_units_max: Some(0), ..PoolConfig::of(10) };
        house.client.pool(pool).configure(&config).await.expect("configured");
    }
    (house, pools)
}

/// How many units of each pool are taken.
async fn taken(house: &House, pools: &[String]) -> Vec<u64> {
    let seen = house.client.pools(pools).await.expect("answered");
    seen.pools.iter().map(|pool| pool.taken).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_over_several_shards_is_done_without_a_key_and_one_within_a_shard_under_one() {
    let (house, pools) = with_a_pool_in_each_shard().await;
    let line = Line::to(house.address, |number| number == 3).await;
    let client = line.client();
    let results = client.pool_requests(&takes(&pools)).await.expect("each shard does its part");
    for (result, pool) in results.iter().zip(&pools) {
        assert!(matches!(result, PoolResult::Grant(grant) if grant.pool == *pool), "{result:?}");
    }
    assert_eq!((results.len(), taken(&house, &pools).await), (4, vec![1; 4]));
    assert_eq!((line.requests(), line.keys()), (2, 1), "the server says that no key holds for all");
    // The answer to the fourth request is lost.
    for _ in 0..2 {
        let results = client.pool_requests(&takes(&pools[..1])).await.expect("one shard, one key");
        assert!(matches!(results[..], [PoolResult::Grant(_)]), "{results:?}");
    }
    assert_eq!((line.requests(), line.keys()), (5, 4));
    assert_eq!(taken(&house, &pools).await, [3, 1, 1, 1], "nothing is done twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_over_several_shards_is_not_said_again_when_its_answer_is_lost() {
    let (house, pools) = with_a_pool_in_each_shard().await;
    let line = Line::to(house.address, |number| number == 1).await;
    let error = line.client().pool_requests(&takes(&pools)).await.expect_err("the answer is lost");
    assert!(matches!(error, Error::Transport { .. }), "{error:?}");
    assert_eq!((line.requests(), taken(&house, &pools).await), (2, vec![1; 4]));
    let keyed = house.client.with_idempotency_key("mine").expect("a key");
    let error = keyed.pool_requests(&takes(&pools)).await.expect_err("a key is for one shard");
    assert_eq!(error.code(), Some(Code::TransactionSpansShards));
    assert_eq!(taken(&house, &pools).await, [1; 4]);
}
