//! Pools over real sockets, where the server comes and goes: watching goes on, locks are kept and lost.

mod support;

use std::time::Duration;

use support::{House, PATIENCE};
use tidegate::api::pool::config::{PoolConfig, Quota};
use tidegate::api::refusal::Code;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_over_a_restart_and_never_goes_back() {
    let mut house = House::open().await;
    let seats = house.client.pool("seats");
    seats.configure(&PoolConfig::of(100)).await.expect("configured");
    let mut watch = house.client.watch_pools(["seats"]).expect("a name");
    let mut last = 0;
    for round in 0..3 {
        for student in 0..5 {
            seats.take(format!("student-{round}-{student}")).await.expect("taken");
        }
        let taken = (round + 1) * 5;
        loop {
            let news =
                timeout(PATIENCE, watch.next()).await.expect("news come").expect("the server is there");
            let pool = news.pool.as_ref().expect("the pool is there");
            assert!(pool.version > last, "{} after {last}", pool.version);
            // What is left out is counted: the first news are about how it stands.
            assert!(last == 0 || pool.version == last + 1 + news.missed, "{news:?}");
            last = pool.version;
            if pool.taken == taken {
                break;
            }
        }
        house.stop().await;
        house.start().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_passes_to_who_waits_with_a_higher_number() {
    let house = House::open().await;
    let lock = house.client.lock("report");
    let first = lock.acquire().await.expect("nobody has it");
    let waiting = tokio::spawn({
        let lock = lock.clone();
        async move { lock.acquire().await.expect("it comes") }
    });
    let pool = house.client.pool("report");
    let mut watch = house.client.watch_pools(["report"]).expect("a name");
    while timeout(PATIENCE, watch.next())
        .await
        .expect("news")
        .expect("answered")
        .pool
        .expect("a pool")
        .waiting
        == 0
    {}
    assert!(lock.try_acquire().await.expect("answered").is_none(), "somebody has it, somebody waits");
    let fence = first.fence();
    first.release().await.expect("it was ours");
    let second = timeout(PATIENCE, waiting).await.expect("it comes").expect("no panic");
    assert!(second.fence() > fence && !second.is_lost());

    // One that is dropped is given back.
    drop(second);
    while timeout(PATIENCE, watch.next()).await.expect("news").expect("answered").pool.expect("a pool").held
        > 0
    {}
    let shown = pool.show().await.expect("the pool is there");
    assert_eq!((shown.free, shown.held, shown.taken), (1, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_outlives_its_time_as_long_as_it_is_extended() {
    let house = House::open().await;
    // So long that it is not lost while a machine stands still for some seconds.
    let lock = house.client.lock("report").time_to_live(Duration::from_secs(12));
    let held = lock.acquire().await.expect("nobody has it");
    let end = async || {
        let grant = house.client.grant(held.grant().id).show().await.expect("it is known");
        grant.expires_at.expect("it is held")
    };
    // Its end moves on and on; whoever asks meanwhile is refused by the engine, which has the say.
    let mut known = end().await;
    for _ in 0..2 {
        while end().await <= known {
            assert!(lock.try_acquire().await.expect("answered").is_none());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        known = end().await;
    }
    assert!(!held.is_lost());
    held.release().await.expect("still ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_lost_when_nobody_answers_before_its_end_and_when_it_is_taken_away() {
    let mut house = House::open().await;
    let held =
        house.client.lock("report").time_to_live(Duration::from_secs(1)).acquire().await.expect("free");
    house.stop().await;
    timeout(PATIENCE, held.lost()).await.expect("it is known to be lost");
    assert!(held.is_lost());
    drop(held);

    house.start().await;
    let lock = house.client.lock("report").time_to_live(Duration::from_secs(9));
    let held = lock.acquire().await.expect("it lapsed");
    house.client.grant(held.grant().id).release().await.expect("somebody gives it back");
    timeout(PATIENCE, held.lost()).await.expect("the next extension says so");
    assert_eq!(held.release().await.expect_err("it is over").code(), Some(Code::GrantEnded));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_waiting_is_in_nobodys_way() {
    let house = House::open().await;
    // Offers stand for an hour: nobody waits for one to lapse.
    let lock = house.client.lock("report").time_to_live(Duration::from_secs(3_600));
    let held = lock.acquire().await.expect("nobody has it");
    let mut watch = house.client.watch_pools(["report"]).expect("a name");
    let mut stands = async |what: &str, so: fn(&tidegate::api::pool::view::Pool) -> bool| loop {
        let news =
            timeout(PATIENCE, watch.next()).await.unwrap_or_else(|_| panic!("waited too long: {what}"));
        if so(&news.expect("answered").pool.expect("a pool")) {
            return;
        }
    };
    for round in 0..3 {
        let waiting = tokio::spawn({
            let lock = lock.clone();
            async move { lock.acquire().await.map(drop) }
        });
        stands("somebody waits", |pool| pool.waiting == 1).await;
        waiting.abort();
        assert!(waiting.await.expect_err("given up").is_cancelled(), "round {round}");
        stands("nobody waits", |pool| pool.waiting == 0).await;
    }
    held.release().await.expect("ours");
    let next = timeout(PATIENCE, lock.acquire()).await.expect("at once").expect("nobody is before us");
    drop(next);
    stands("it is given back", |pool| pool.held == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_a_client_with_a_key_is_acquired_again_and_again() {
    let house = House::open().await;
    let keyed = house.client.with_idempotency_key("mine").expect("a key");
    let lock = keyed.lock("report");
    let mut fence = 0;
    for _ in 0..3 {
        let held = lock.acquire().await.expect("free");
        assert!(held.fence() > fence, "a hold of its own, not an earlier one's answer");
        fence = held.fence();
        held.release().await.expect("ours");
        assert!(lock.try_acquire().await.expect("answered").is_some_and(|held| held.fence() > fence));
        fence += 1;
        // It is given back in the background.
        while house.client.pool("report").show().await.expect("there").held > 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_semaphore_has_as_many_as_it_has() {
    let house = House::open().await;
    let gpus = house.client.semaphore("gpus", 2);
    let (one, two) = (gpus.acquire().await.expect("free"), gpus.acquire().await.expect("free"));
    assert!(gpus.try_acquire().await.expect("answered").is_none());
    one.release().await.expect("ours");
    assert!(gpus.try_acquire().await.expect("answered").is_some());
    two.release().await.expect("ours");
}

/// An hour after a grant has ended nobody remembers it; its holder may still ask again what it was told.
#[tokio::test]
async fn what_was_given_is_told_again_in_full_when_the_grant_is_long_forgotten() {
    let engine = tidegate::testing::Engine::new();
    let client = engine.client();
    let seats = client.pool("seats");
    let quotas = Some(vec![Quota { group: "staff".into(), units_max: 5 }]);
    seats.configure(&PoolConfig { quotas, ..PoolConfig::of(5) }).await.expect("configured");
    let ask = || seats.hold("anna").group("staff").idempotency_key("anna-1");
    let keyed = |key| client.with_idempotency_key(key).expect("a key");
    let held = ask().await.expect("free");
    engine.advance(Duration::from_secs(7)).await;
    let released = keyed("anna-2").grant(held.id).release().await.expect("hers");
    assert_eq!((held.granted_at, released.units), (released.granted_at, 1));
    assert!(held.granted_at.is_some());
    engine.advance(Duration::from_secs(2 * 3_600)).await;
    let forgotten = client.grant(held.id).show().await.expect_err("too long ago");
    assert_eq!(forgotten.code(), Some(Code::GrantUnknown));
    assert_eq!(ask().await.expect("the same answer"), held);
    // A step that names nothing but the grant can say less, but nothing wrong.
    let again = keyed("anna-2").grant(held.id).release().await.expect("the same answer");
    assert_eq!((again.units, again.granted_at, again.state), (1, held.granted_at, released.state));
}
