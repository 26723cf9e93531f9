//! The same calls over HTTP and on an embedded engine bring the same answers and the same refusals.

mod support;

use std::time::Duration;

use support::House;
use tidegate::api::dead::{DeleteDeadRequest, RedriveRequest};
use tidegate::api::enqueue::{NewJob, Retry};
use tidegate::api::job::EditJob;
use tidegate::api::lease::LeaseRequest;
use tidegate::api::pool::condition::Condition;
use tidegate::api::pool::config::{PoolConfig, Quota};
use tidegate::api::pool::query::{GrantsQuery, PageQuery, PoolsQuery};
use tidegate::api::pool::request::{PoolRequest, Take};
use tidegate::api::query::{DeadQuery, JobsQuery};
use tidegate::api::queue::QueueConfig;
use tidegate::api::settle::{AttemptError, Complete, Extend, Fail, Release};
use tidegate::api::value::RawJson;
use tidegate::api::words::{GrantState, JobState, Opening};
use tidegate::api::work::WorkRequest;
use tidegate::{Client, Error};

/// What was asked, and what came.
type Told = Vec<(&'static str, String)>;

fn tell<T: std::fmt::Debug>(told: &mut Told, what: &'static str, answer: Result<T, Error>) -> Option<T> {
    told.push((what, format!("{answer:?}")));
    answer.ok()
}

/// What was told last is a refusal, and of this field.
fn refused_for(told: &Told, field: &str) {
    let (what, text) = told.last().expect("something was told");
    assert!(text.contains(&format!("field: Some({field:?})")), "{what}: {text}");
}

fn job<'a>(kind: &'a str, payload: &str) -> NewJob<'a> {
    let payload = RawJson::of(payload).expect("text is JSON");
    NewJob { kind: Some(kind.into()), payload: Some(payload), ..NewJob::default() }
}

fn lease<'a>(queue: &'a str, max: u32) -> LeaseRequest<'a> {
    LeaseRequest {
        queues: vec![queue.into()],
        max: Some(max),
        worker: Some("w".into()),
        ..LeaseRequest::default()
    }
}

/// Every call of the API, good and bad, in an order that gives each something to say.
async fn conversation(client: &Client) -> Told {
    let mut told = Told::new();
    let t = &mut told;
    let nothing = JobsQuery::default();
    tell(t, "no queue", client.show_queue("q").await);
    tell(t, "a queue's name", client.show_queue("not a name!").await);
    let retry = Retry { max_attempts: Some(2), delay_ms: Some(0), ..Retry::default() };
    let config = QueueConfig { retry: Some(retry), jobs_max: Some(8), ..QueueConfig::default() };
    tell(t, "configure", client.configure("q", &config).await.map(|queue| queue.config));
    let bad = QueueConfig { lease_ms: Some(1), ..QueueConfig::default() };
    tell(t, "configure badly", client.configure("q", &bad).await);
    tell(t, "enqueue", client.enqueue("q", &job("a", "1")).await);
    let unique = client.queue("q").job("a", &2).unique_key("u").priority(3).metadata("m", "n");
    tell(t, "unique", unique.clone().enqueue().await);
    tell(t, "unique again", unique.enqueue().await);
    tell(t, "bad priority", client.enqueue("q", &NewJob { priority: Some(12), ..job("a", "1") }).await);
    tell(t, "bad kind", client.queue("q").enqueue("no kind!", &0).await);
    tell(t, "bad queue", client.queue("no queue!").job("a", &0).enqueue().await);
    let list = [job("a", "3"), NewJob { priority: Some(12), ..job("a", "4") }, job("b", "5")];
    tell(t, "enqueue a list", client.enqueue_list("q", &list).await);
    tell(t, "bytes", client.queue("q").job_of_bytes("b", &[0, 255]).enqueue().await);
    let keyed = client.with_idempotency_key("order-7").expect("a key");
    tell(t, "keyed", keyed.enqueue("q", &job("k", "6")).await);
    tell(t, "keyed again", keyed.enqueue("q", &job("k", "6")).await);
    tell(t, "keyed otherwise", keyed.enqueue("q", &job("k", "7")).await);
    tell(t, "full", client.enqueue_list("q", &vec![job("f", "8"); 4]).await);

    let leased = tell(t, "lease", client.lease(&lease("q", 4)).await).expect("there are jobs");
    tell(t, "lease nothing", client.lease(&LeaseRequest { max: Some(0), ..lease("q", 1) }).await);
    let items = |n: usize| (leased[n].id, leased[n].token);
    let ((a, a_token), (b, b_token), (c, c_token), (d, d_token)) = (items(0), items(1), items(2), items(3));
    let result = RawJson::of(&[1, 2]).expect("numbers are JSON");
    let done = [
        Complete { id: a, token: a_token, result: Some(result) },
        Complete { id: b, token: b_token + 1_000, result: None },
        Complete { id: b, token: 0, result: None },
    ];
    tell(t, "complete", client.complete(&done).await);
    let error = |message| AttemptError { message, kind: Some("smtp".into()), dependency: None };
    let failed =
        [Fail { id: b, token: b_token, error: error("no".into()), retry_after_ms: None, fatal: Some(true) }];
    tell(t, "fail", client.fail(&failed).await);
    let note = RawJson::of("half").expect("text is JSON");
    let extend = [Extend { id: c, token: c_token, lease_ms: None, progress: Some(note) }];
    tell(t, "extend", client.extend(&extend).await);
    tell(t, "release", client.release(&[Release { id: d, token: d_token }]).await);
    let work = WorkRequest {
        complete: Some(vec![Complete { id: c, token: c_token, result: None }]),
        release: Some(vec![]),
        lease: Some(lease("q", 1)),
        ..WorkRequest::default()
    };
    tell(t, "work", client.work(&work).await);
    tell(t, "work on nothing", client.work(&WorkRequest::default()).await);

    tell(t, "job", client.job(a, Duration::ZERO).await);
    tell(t, "dead job", client.job(b, Duration::from_secs(60)).await);
    tell(t, "no job", client.job("0-999".parse().expect("an id"), Duration::ZERO).await);
    tell(t, "wait too long", client.job(a, Duration::from_secs(61)).await);
    tell(t, "cancel", client.cancel(d).await);
    tell(t, "cancel again", client.cancel(d).await);
    tell(t, "cancel what has ended", client.cancel(a).await);
    let payload = EditJob { payload: Some(RawJson::of("mended").expect("text")), ..EditJob::default() };
    tell(t, "edit", client.edit(b, &payload).await);
    tell(t, "edit what lives", client.edit(a, &payload).await);
    tell(t, "edit to nothing", client.edit(b, &EditJob::default()).await);
    tell(t, "jobs", client.jobs(&nothing).await);
    let page = tell(t, "page", client.jobs(&JobsQuery { limit: Some(2), ..nothing.clone() }).await);
    let cursor = page.expect("a page").cursor;
    tell(t, "next page", client.jobs(&JobsQuery { cursor, limit: Some(2), ..nothing.clone() }).await);
    tell(t, "bad cursor", client.jobs(&JobsQuery { cursor: Some("x".into()), ..nothing.clone() }).await);
    tell(
        t,
        "dead of a state",
        client.jobs(&JobsQuery { state: Some(JobState::Dead), ..nothing.clone() }).await,
    );
    tell(t, "of no queue", client.jobs(&JobsQuery { queue: Some("none".into()), ..nothing }).await);
    let (p, q) = (client.queue("p"), client.queue("q"));
    let both = client.transaction().enqueue(p.job("a", &1)).enqueue(q.job("a", &2).priority(9));
    tell(t, "transaction", both.clone().idempotency_key("both").commit().await);
    tell(t, "transaction again", both.clone().idempotency_key("both").commit().await);
    tell(t, "transaction in part", both.enqueue(q.job("no kind!", &3)).commit().await);
    tell(t, "transaction of nothing", client.transaction().commit().await);
    let held = client.lease(&lease("p", 1)).await.expect("a lease");
    let (id, token) = (held[0].id, held[0].token);
    let follow = |token| client.transaction().complete_with(id, token, &"done").enqueue(p.job("b", &4));
    tell(t, "complete and enqueue with a stale token", follow(token + 1).commit().await);
    tell(t, "complete and enqueue", follow(token).commit().await);
    tell(t, "complete and enqueue again", follow(token).commit().await);
    tell(t, "a key within", client.transaction().enqueue(p.job("b", &4).idempotency_key("k")).commit().await);

    tell(t, "dead", client.dead("q", &DeadQuery::default()).await);
    tell(t, "causes", client.dead_causes("q").await);
    tell(t, "causes of none", client.dead_causes("none").await);
    tell(t, "pause", client.pause("q").await.map(|queue| queue.paused));
    tell(t, "resume", client.resume("q").await.map(|queue| queue.paused));
    tell(t, "pause key", client.pause_key("q", "k").await);
    tell(t, "resume key", client.resume_key("q", "k").await);
    tell(t, "pause none", client.pause("none").await.map(|queue| queue.paused));
    let redrive = client.redrive("q", &RedriveRequest::default()).await;
    tell(t, "redrive", redrive.map(|redrive| redrive.queue));
    tell(t, "redrive none", client.redrive("none", &RedriveRequest::default()).await);
    tell(t, "delete dead", client.delete_dead("q", &DeleteDeadRequest::default()).await);
    tell(t, "healthy", client.healthy().await);
    tell(t, "ready", client.ready().await);
    // A pause shows the queue as it is now.
    tell(t, "counts", client.pause("q").await.map(|queue| queue.counts));
    told
}

/// Every call about pools, likewise.
async fn conversation_about_pools(client: &Client) -> Told {
    let mut told = Told::new();
    let t = &mut told;
    let (a, b) = (client.pool("a@x"), client.pool("b@x"));
    tell(t, "no pool", a.show().await);
    tell(t, "a pool's name", client.pool("not a name!").show().await);
    let quotas = Some(vec![Quota { group: "staff".into(), units_max: 1 }]);
    let offer_queue = Some("offers@x".to_owned());
    let config = PoolConfig { waitlist_max: Some(3), quotas, offer_queue, ..PoolConfig::of(2) };
    tell(t, "configure", a.configure(&config).await);
    tell(t, "configure badly", a.configure(&PoolConfig { hold_ms: Some(1), ..PoolConfig::of(2) }).await);
    tell(t, "configure the other", b.configure(&PoolConfig::of(1)).await);
    tell(t, "configure what is so", a.configure(&config.if_version(0)).await);
    tell(t, "configure over it", a.configure(&PoolConfig::of(9).if_version(0)).await);
    tell(t, "configure over none", client.pool("c@x").configure(&PoolConfig::of(9).if_version(4)).await);
    let anna = tell(t, "hold", a.hold("anna").hold_for(Duration::from_secs(60)).await).expect("held");
    tell(t, "hold too much", a.hold("anna").await);
    tell(t, "hold badly", a.hold("bert").units(0).await);
    tell(t, "hold shortly", a.hold("bert").hold_for(Duration::ZERO).await);
    let keyed = a.take("bert").group("staff").idempotency_key("bert-1");
    let bert = tell(t, "take", keyed.clone().await).expect("taken");
    tell(t, "take again", keyed.clone().await);
    tell(t, "take otherwise", keyed.units(2).await);
    tell(t, "quota", a.take("carl").group("staff").await);
    tell(t, "no such group", a.take("carl").group("guests").await);
    tell(t, "sold out", a.take("carl").await);
    tell(t, "no line", b.join("carl").await);
    tell(t, "join", a.join("carl").await);
    tell(t, "join again", a.join("carl").await);
    tell(t, "join behind", a.join("dora").await);
    tell(t, "leave", a.leave("dora").await);
    tell(t, "leave again", a.leave("dora").await);
    tell(t, "show grant", client.grant(anna.id).show().await);
    tell(t, "extend", client.grant(anna.id).extend(None).await.map(|grant| (grant.state, grant.version)));
    tell(t, "confirm", client.grant(anna.id).confirm().await);
    tell(t, "confirm again", client.grant(anna.id).confirm().await);
    tell(t, "extend what is taken", client.grant(anna.id).extend(None).await);
    tell(t, "swap within", client.grant(anna.id).swap("a@x").await);
    let swapped = tell(t, "swap", client.grant(anna.id).swap("b@x").await).expect("swapped");
    tell(t, "what was given", client.grant(anna.id).show().await);
    tell(t, "release what was given", client.grant(anna.id).release().await);
    tell(t, "swap for what is not free", client.grant(bert.id).swap("b@x").await);
    tell(t, "swap when offered, without a line", client.grant(bert.id).swap_when_offered("b@x").await);
    let offer = client.holder("carl").await.expect("a story").grants.remove(0);
    tell(t, "decline", client.grant(offer.id).release().await);
    tell(t, "resize below", b.resize(0).await);
    tell(t, "resize", b.resize(4).await);
    tell(t, "delete in use", b.delete().await);
    let take = |pool: &'static str, holder: &'static str| {
        PoolRequest::Take(Take { pool: pool.into(), holder: holder.into(), units: None, group: None })
    };
    let list = [take("b@x", "emma"), take("none", "emma"), take("b@x", ""), take("b@x", "emma")];
    tell(t, "a list", client.pool_requests(&list).await);
    let both = client.transaction().when(Condition::has_none("fred", ["a@x", "b@x"])).take(b.take("fred"));
    let both = both.enqueue(client.queue("mails@x").job("welcome", &"fred"));
    tell(t, "transaction", both.clone().commit().await);
    tell(t, "condition", both.clone().commit().await);
    tell(t, "operation", client.transaction().take(b.take("gina")).hold(b.hold("emma")).commit().await);
    tell(
        t,
        "version",
        client.transaction().when(Condition::pool_version("b@x", 1)).take(b.take("h")).commit().await,
    );
    tell(t, "a key within", client.transaction().take(b.take("h").idempotency_key("k")).commit().await);
    tell(t, "release", client.grant(swapped.id).release().await);
    tell(t, "no grant", client.grant("0-999999".parse().expect("an id")).confirm().await);
    tell(t, "no grant's shard", client.grant("9-1".parse().expect("an id")).show().await);
    for holder in ["anna", "bert", "carl", "dora", "nobody", ""] {
        tell(t, "story", client.holder(holder).await);
    }
    let one = PageQuery { limit: Some(1), ..PageQuery::default() };
    tell(t, "a page of a holder", client.holder_page("anna", &one).await);
    for cursor in ["x", "1-1", "1-1-", "-1-1", "1-x-1", "1-1-1-1", "10000-1-1", "0-1-100000000"] {
        let query = PageQuery { cursor: Some(cursor.into()), ..PageQuery::default() };
        tell(t, "no cursor of a holder", client.holder_page("anna", &query).await);
        refused_for(t, "cursor");
    }
    for pool in [&a, &b, &client.pool("none"), &client.pool("watch")] {
        tell(t, "grants", pool.grants().await);
        tell(t, "line", pool.line().await);
    }
    let held = GrantsQuery { state: Some(GrantState::Held), ..GrantsQuery::default() };
    tell(t, "held", client.list_grants("b@x", &held).await);
    let over = GrantsQuery { state: Some(GrantState::Lapsed), ..GrantsQuery::default() };
    tell(t, "grants that are over", client.list_grants("b@x", &over).await);
    let one = GrantsQuery { limit: Some(1), ..GrantsQuery::default() };
    let first = tell(t, "a page of grants", client.list_grants("b@x", &one).await).expect("a page");
    assert!(first.cursor.is_some(), "there are more");
    tell(t, "the next", client.list_grants("b@x", &GrantsQuery { cursor: first.cursor, ..one }).await);
    let badly = GrantsQuery { cursor: Some("x".into()), ..GrantsQuery::default() };
    tell(t, "no cursor of grants", client.list_grants("b@x", &badly).await);
    for cursor in ["x", "1", "1-", "-1", "1-x", "g-1", "1-1-1", "+1-1"] {
        let query = PageQuery { cursor: Some(cursor.into()), ..PageQuery::default() };
        tell(t, "no cursor of a line", client.list_line("b@x", &query).await);
        refused_for(t, "cursor");
    }
    for name in ["watch", "requests"] {
        let pool = client.pool(name);
        tell(t, "configure what is no name", pool.configure(&PoolConfig::of(1)).await);
        refused_for(t, "pool");
        tell(t, "show what is no name", pool.show().await);
        refused_for(t, "pool");
        tell(t, "delete what is no name", pool.delete().await);
        refused_for(t, "pool");
        tell(t, "resize what is no name", pool.resize(1).await);
        tell(t, "take of what is no name", pool.take("anna").await);
        tell(t, "leave what is no name", pool.leave("anna").await);
        tell(t, "entrants of what is no name", pool.entrants().await);
        refused_for(t, "pool");
        tell(t, "a list with what is no name", client.pool_requests(&[take(name, "anna")]).await);
        tell(t, "swap for what is no name", client.grant(bert.id).swap(name).await);
        refused_for(t, "pool");
        tell(
            t,
            "transaction with what is no name",
            client.transaction().take(pool.take("anna")).commit().await,
        );
        refused_for(t, "do[0].take.pool");
    }
    tell(t, "entrants", a.entrants().await);
    tell(t, "entrants of none", client.pool("none").entrants().await);
    tell(t, "some", client.pools(["b@x", "none", "a@x"]).await);
    tell(t, "twice", client.pools(["b@x", "b@x"]).await);
    let page = PoolsQuery { limit: Some(1), ..PoolsQuery::default() };
    let first = tell(t, "page", client.list_pools(&page).await).expect("a page");
    tell(t, "next page", client.list_pools(&PoolsQuery { cursor: first.cursor, ..page }).await);
    tell(
        t,
        "shuffle",
        client
            .pool("s")
            .configure(&PoolConfig { opening: Some(Opening::Shuffle), ..PoolConfig::of(1) })
            .await,
    );
    client.pool("gone").configure(&PoolConfig::of(1)).await.expect("configured");
    tell(t, "delete", client.pool("gone").delete().await);
    tell(t, "delete again", client.pool("gone").delete().await);
    let mut watch = client.watch_pools(["a@x", "none"]).expect("names");
    let (one, other) = (watch.next().await, watch.next().await);
    tell(t, "watch", one);
    tell(t, "watch what is not there", other);
    a.take("ida").await.expect("taken");
    tell(t, "watch a change", watch.next().await);
    tell(t, "watch badly", client.watch_pools(["not a name!"]).map(drop));
    told
}

/// Moments, spans of time and the server's address are each run's own.
fn without_times(told: Told) -> Told {
    let blank = |text: String| {
        let mut blanked = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(at) = rest.find("Timestamp(") {
            let (before, after) = rest.split_at(at);
            blanked.push_str(before);
            blanked.push_str("Timestamp");
            rest = after.split_once(')').map_or("", |(_, rest)| rest);
        }
        blanked + rest
    };
    told.into_iter().map(|(what, text)| (what, blank(text))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn http_and_embedded_say_the_same() {
    let house = House::open().await;
    let mut over_http = without_times(conversation(&house.client).await);
    over_http.extend(without_times(conversation_about_pools(&house.client).await));
    let directory = tempfile::tempdir().expect("a directory");
    let client = Client::embedded(directory.path().join("data")).await.expect("the engine opens");
    let mut embedded = without_times(conversation(&client).await);
    embedded.extend(without_times(conversation_about_pools(&client).await));
    assert_eq!(over_http.len(), embedded.len());
    for (http, embedded) in over_http.iter().zip(&embedded) {
        assert_eq!(http, embedded);
    }
    client.close().await.expect("the engine closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_directory_is_one_processes_and_its_jobs_stay() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("data");
    let client = Client::embedded(&path).await.expect("the engine opens");
    let job = client.queue("q").enqueue("a", &1).await.expect("accepted");
    let second = Client::embedded(&path).await.expect_err("the directory is taken");
    assert!(matches!(&second, Error::Engine(why) if why.contains("in use")), "{second}");
    client.close().await.expect("the engine closes");
    let closed = client.without_retries().queue("q").enqueue("a", &2).await.expect_err("it is closed");
    assert_eq!(closed.code(), Some(tidegate::api::refusal::Code::ShuttingDown));
    drop(client);
    let client = Client::embedded(&path).await.expect("the engine opens again");
    assert_eq!(client.job(job.id, Duration::ZERO).await.expect("the job is there").state, JobState::Ready);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_used_over_http_is_known_to_the_embedded_engine_and_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine_options = tidegate_engine::Options::default;
    let path = directory.path().join("data");
    let first = {
        let engine = tidegate_engine::Engine::open(&path, engine_options()).expect("opens");
        let listen = "127.0.0.1:0".parse().expect("an address");
        let server = tidegate_server::Server::listen(listen, tidegate_server::Options::default())
            .await
            .expect("listens");
        let url = format!("http://{}", server.local_address());
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(server.serve(engine, async { drop(stopped.await) }));
        let queue = Client::connect(&url).expect("an address").queue("q");
        let first = queue.job("a", &1).idempotency_key("one").enqueue().await.expect("accepted");
        drop(stop);
        serving.await.expect("no panic").expect("ends well");
        first
    };
    let client = Client::embedded(&path).await.expect("the engine opens");
    let again = client.queue("q").job("a", &1).idempotency_key("one").enqueue().await.expect("answered");
    assert_eq!((again.id, client.show_queue("q").await.expect("there").counts.ready), (first.id, 1));
}
