//! What a shard keeps of pools is bounded, and who is refused for it is only who would make it more.

use crate::support::World;
use crate::support::pools::SEED;
use crate::support::script::check_in;
use tidegate_core::command::Command;
use tidegate_core::limits::STORY_MS;
use tidegate_core::outcome::{Item, Outcome, Refusal};
use tidegate_core::pool::command::{PoolOperation, Wish};
use tidegate_core::pool::view::PoolItem;
use tidegate_core::pool::{Attribute, PoolConfig};
use tidegate_core::state::{PoolLimits, StateLimits};

fn with_limits(pools: PoolLimits) -> World {
    World::with_limits(StateLimits { pools, ..StateLimits::default() })
}

#[test]
fn what_a_shard_keeps_of_pools_is_bounded() {
    let limits =
        PoolLimits { pools_max: 2, grants_max: 3, waiters_max: 1, holders_max: 4, ..PoolLimits::default() };
    check_in(
        with_limits(limits),
        "pool seats=3 waitlist=5
         pool name=a seats=9 limit=9 waitlist=5
         pool name=b                        -> refused too_many_pools 2
         all take a ; take b ; take c       -> 1 taken, 2 taken, 3 taken
         take a pool=a                      -> refused too_many_grants 3
         join d                             -> waits 1 behind 0
         join a pool=a                      -> refused too_many_grants 1
         join e                             -> refused too_many_holders 4
         holder e story                     -> refused join too_many_holders p
         give_back 1                                          # and d is offered it
         join e                             -> waits 2 behind 0
         take a pool=a                      -> refused too_many_holders 4
         leave e
         delete_pool pool=a
         pool name=b
         holder d grants                    -> 4
         confirm 4                          -> 4 taken
         give_back 4
         take d pool=b                      -> 5 taken",
    );
}

/// Who was merely refused was a holder for a week, and when there were as many as a shard knows nobody new was given anything.
#[test]
fn who_was_only_refused_takes_nobodys_place() {
    let limits = PoolLimits { holders_max: 3, ..PoolLimits::default() };
    check_in(
        with_limits(limits),
        "pool seats=1
         pool name=b seats=9 waitlist=9
         take zoe                           -> 1 taken
         all take x ; take y ; leave z      -> 2 times refused sold_out 0, refused not_waiting
         take anna pool=b                   -> 2 taken
         take bert pool=b                   -> 3 taken
         take carl pool=b                   -> refused too_many_holders 3
         give_back 2
         take x pool=b                      -> 4 taken
         take anna pool=b                   -> refused too_many_holders 3
         holder x story                     -> refused take sold_out p; taken 4 b",
    );
}

/// How much more memory a shard takes after both scripts than after the first alone.
fn growth(before: &str, script: &str) -> u64 {
    let without = check_in(World::new(), before).state.memory_bytes();
    check_in(World::new(), &format!("{before}\n{script}")).state.memory_bytes() - without
}

#[test]
fn names_and_what_a_pool_says_count() {
    let long = "x".repeat(1_000);
    let refused = format!("take {long} -> refused sold_out 0");
    for (what, before, plain, longer) in [
        ("a pool's name", "configure", "pool name=a", format!("pool name={long}")),
        ("an attribute", "configure", "pool says=a:b", format!("pool says=a:{long}")),
        ("a group", "configure", "pool quotas=g:1", format!("pool quotas={long}:1")),
        ("an offer queue", "configure", "pool offers=q", format!("pool offers={long}")),
        ("who has", "pool seats=1", "take a", format!("take {long}")),
        ("who waits", "pool seats=1 waitlist=1\ntake zoe", "join a", format!("join {long}")),
        ("who is refused", "pool seats=1\ntake zoe", "take a -> refused sold_out 0", refused),
    ] {
        let grown = growth(before, &longer) - growth(before, plain);
        assert!((990..=2_100).contains(&grown), "{what}: {grown} bytes more for a text of {}", long.len());
    }
    let had = growth("pool seats=1", &format!("take {long}\ngive_back 1"))
        - growth("pool seats=1", "take a\ngive_back 1");
    assert_eq!(had, 2 * 999, "who had something is a holder, and named with the grant that has ended");
    let group =
        growth("configure", &format!("pool quotas={long}:1")) - growth("configure", "pool quotas=g:1");
    assert_eq!(group, 2 * 999, "a group is in the quotas and in the counts");
    let grown = growth("pool seats=1", "transact take anna ; enqueue ; enqueue")
        - growth("pool seats=1", "transact take anna ; enqueue");
    assert_eq!(grown, 76 + 8, "a job, and its number in the story");
}

#[test]
fn what_is_gone_takes_nothing() {
    let world = check_in(
        World::new(),
        &format!(
            "pool name=a seats=2 limit=2 waitlist=5 quotas=g:1 says=room:A1
             pool name=c seats=1 waitlist=5 opens_in=100 shuffle
             hold anna pool=a group=g
             join bert pool=a group=g
             all join anna pool=c ; join carl pool=c
             after 100
             take dora pool=c               -> refused sold_out 0
             leave bert pool=a
             give_back 1
             after 400000
             after 400000
             delete_pool pool=a
             delete_pool pool=c
             after {STORY_MS}"
        ),
    );
    assert_eq!(world.state.memory_bytes(), 0);
}

fn take(world: &mut World, holder: &str) -> Item {
    let wish = Wish { pool: "p".into(), holder: holder.into(), units: 1, group: None, hold_ms: None };
    match world.decide(Command::Pools(vec![PoolOperation::Take(wish)])) {
        Outcome::Pooled(items) => items[0],
        other => panic!("operations answer with items, not {other:?}"),
    }
}

#[test]
fn a_shard_refuses_what_takes_of_pools_beyond_its_memory() {
    let mut world = World::with_limits(StateLimits { memory_bytes_max: 10_000, ..StateLimits::default() });
    let configure = |pool: &str, capacity| Command::ConfigurePool {
        pool: pool.into(),
        config: Box::new(PoolConfig::of(capacity)),
        if_version: None,
        seed: SEED,
    };
    assert!(matches!(world.decide(configure("p", 1_000)), Outcome::PoolConfigured { .. }));
    let mut grants = Vec::new();
    let refused = loop {
        assert!(grants.len() < 100, "there is an end to it");
        match take(&mut world, &format!("h-{}", grants.len())) {
            Item::Pool(PoolItem::Grant { id, .. }) => grants.push(id),
            other => break other,
        }
    };
    assert!(matches!(refused, Item::Refused(Refusal::ShardFull(_))), "{refused:?}");
    assert!(world.state.memory_bytes() < 11_000, "{}", world.state.memory_bytes());
    assert!(matches!(world.decide(configure("q", 1)), Outcome::Refused(Refusal::ShardFull(_))));
    assert!(matches!(world.enqueue("q", crate::support::job()), Item::Refused(Refusal::ShardFull(_))));
    // What takes nothing is done, and with time there is room again.
    assert!(matches!(world.decide(configure("p", 2_000)), Outcome::PoolConfigured { .. }));
    world.decide(Command::Pools(grants.into_iter().map(PoolOperation::Release).collect()));
    assert_eq!(world.state.pool("p").map(|pool| pool.taken), Some(0));
    world.after(STORY_MS);
    assert!(matches!(take(&mut world, "h"), Item::Pool(PoolItem::Grant { .. })));
}

#[test]
fn a_pool_may_say_no_more_of_itself_where_there_is_no_memory_but_less() {
    let mut world = World::with_limits(StateLimits { memory_bytes_max: 2_000, ..StateLimits::default() });
    let mut says = |texts: usize| {
        let said = |n| Attribute { name: format!("a-{n}"), value: "x".repeat(500) };
        let config = PoolConfig { attributes: (0..texts).map(said).collect(), ..PoolConfig::of(1) };
        world.decide(Command::ConfigurePool {
            pool: "p".into(),
            config: Box::new(config),
            seed: SEED,
            if_version: None,
        })
    };
    assert!(matches!(says(2), Outcome::PoolConfigured { .. }), "it is full only afterwards");
    assert!(matches!(says(3), Outcome::Refused(Refusal::ShardFull(_))));
    assert!(matches!(says(1), Outcome::PoolConfigured { .. }));
    assert!(matches!(says(3), Outcome::PoolConfigured { .. }), "there is room again");
}
