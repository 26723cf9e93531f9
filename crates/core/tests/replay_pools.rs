//! Random histories of pools: a replay, whole or from a walk on, gives the state that grew live; and after every step what pools
//! promise is so.

mod support;

use std::collections::BTreeMap;

use proptest::prelude::*;
use support::{World, differences, job};
use tidegate_core::command::{Command, EnqueueOne, IdempotencyKey, Operation, Request, Transaction};
use tidegate_core::outcome::{Item, Outcome};
use tidegate_core::pool::command::{Condition, PoolOperation, Swap, Wish};
use tidegate_core::pool::view::{Happened, HolderView, PoolItem, PoolView};
use tidegate_core::pool::{GrantId, GrantState, Opening, PoolConfig, Quota};
use tidegate_core::state::{PoolLimits, StateLimits};

/// Ended grants that are remembered where bounds are tight.
const TIGHT: usize = 4;

/// Bounds so tight that every history meets them.
fn tight() -> World {
    let pools = PoolLimits {
        grants_max: 6,
        waiters_max: 5,
        story_entries_max: 30,
        story_entries_per_holder: 12,
        story_refusals_max: 12,
        story_refusals_per_holder: 4,
        story_living_per_holder: 5,
        ended_grants_max: TIGHT,
        ..PoolLimits::default()
    };
    World::with_limits(StateLimits { pools, ..StateLimits::default() })
}

const POOLS: u8 = 3;
const HOLDERS: u8 = 5;

#[derive(Clone, Debug)]
enum One {
    Hold { pool: u8, holder: u8, units: u8, group: bool, ms: Option<u16> },
    Take { pool: u8, holder: u8, units: u8, group: bool },
    Join { pool: u8, holder: u8, units: u8, group: bool },
    Leave { pool: u8, holder: u8 },
    Confirm { nth: u8 },
    Extend { nth: u8, ms: Option<u16> },
    Release { nth: u8 },
    Swap { nth: u8, pool: u8, when_offered: bool },
}

#[derive(Clone, Debug)]
enum Op {
    Configure {
        pool: u8,
        capacity: u8,
        opens_in: Option<u16>,
        closes_in: Option<u16>,
        tells: bool,
        offer_ms: u16,
    },
    Resize {
        pool: u8,
        capacity: u8,
    },
    Delete {
        pool: u8,
    },
    Pools {
        ones: Vec<One>,
        key: Option<u8>,
    },
    Transact {
        ones: Vec<One>,
        lacks: Option<(u8, u8)>,
        enqueues: bool,
        key: Option<u8>,
    },
    Wait {
        ms: u32,
    },
}

fn one() -> impl Strategy<Value = One> {
    let (pool, holder, units) = (0..POOLS, 0..HOLDERS, 1u8..4);
    let wish = (pool, holder, units, any::<bool>());
    prop_oneof![
        3 => (wish.clone(), prop::option::of(1u16..3_000))
            .prop_map(|((pool, holder, units, group), ms)| One::Hold { pool, holder, units, group, ms }),
        2 => wish.clone().prop_map(|(pool, holder, units, group)| One::Take { pool, holder, units, group }),
        4 => wish.prop_map(|(pool, holder, units, group)| One::Join { pool, holder, units, group }),
        1 => (0..POOLS, 0..HOLDERS).prop_map(|(pool, holder)| One::Leave { pool, holder }),
        3 => any::<u8>().prop_map(|nth| One::Confirm { nth }),
        1 => (any::<u8>(), prop::option::of(1u16..3_000)).prop_map(|(nth, ms)| One::Extend { nth, ms }),
        4 => any::<u8>().prop_map(|nth| One::Release { nth }),
        2 => (any::<u8>(), 0..POOLS, any::<bool>())
            .prop_map(|(nth, pool, when_offered)| One::Swap { nth, pool, when_offered }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let later = || prop::option::weighted(0.3, 1u16..3_000);
    prop_oneof![
        2 => (0..POOLS, 0u8..6, later(), later(), any::<bool>(), 1u16..2_000).prop_map(
            |(pool, capacity, opens_in, closes_in, tells, offer_ms)| {
                Op::Configure { pool, capacity, opens_in, closes_in, tells, offer_ms }
            }
        ),
        1 => (0..POOLS, 0u8..6).prop_map(|(pool, capacity)| Op::Resize { pool, capacity }),
        1 => (0..POOLS).prop_map(|pool| Op::Delete { pool }),
        12 => (prop::collection::vec(one(), 1..4), prop::option::weighted(0.2, 0u8..6))
            .prop_map(|(ones, key)| Op::Pools { ones, key }),
        5 => (
            prop::collection::vec(one(), 1..4),
            prop::option::weighted(0.5, (0..HOLDERS, 0..POOLS)),
            any::<bool>(),
            prop::option::weighted(0.2, 0u8..6)
        )
            .prop_map(|(ones, lacks, enqueues, key)| Op::Transact { ones, lacks, enqueues, key }),
        4 => (0u32..1_500).prop_map(|ms| Op::Wait { ms }),
        1 => (0u32..40 * 86_400_000).prop_map(|ms| Op::Wait { ms }),
    ]
}

fn pool_name(pool: u8) -> String {
    format!("pool-{pool}@x")
}

fn holder_name(holder: u8) -> String {
    format!("holder-{holder}")
}

/// Pool 0 is a draw, pool 1 has a quota, pool 2 any number for anyone.
fn config(pool: u8) -> PoolConfig {
    PoolConfig {
        holder_units_max: [1, 3, 0][usize::from(pool)],
        waitlist_max: 3,
        hold_ms: 1_000,
        hold_ms_max: 2_500,
        opening: if pool == 0 { Opening::Shuffle } else { Opening::Fifo } as i32,
        quotas: if pool == 1 { vec![Quota { group: "g".into(), units_max: 2 }] } else { Vec::new() },
        ..PoolConfig::of(0)
    }
}

/// What the world had at one moment, from what it shows.
struct Seen {
    pools: Vec<PoolView>,
    holders: Vec<HolderView>,
}

impl Seen {
    fn of(world: &World) -> Self {
        let holder = |n| world.state.holder(&holder_name(n)).unwrap_or_default();
        Self { pools: world.state.pool_page("", 100).pools, holders: (0..HOLDERS).map(holder).collect() }
    }

    fn grants(&self) -> Vec<GrantId> {
        let mut grants: Vec<_> =
            self.holders.iter().flat_map(|holder| &holder.grants).map(|grant| grant.id).collect();
        grants.sort_unstable();
        grants
    }

    fn last_number(&self) -> u64 {
        let stories = self.holders.iter().filter_map(|holder| holder.story.last());
        stories.map(|entry| entry.number).max().unwrap_or(0)
    }
}

fn operation(seen: &Seen, one: &One) -> Option<PoolOperation> {
    let grants = seen.grants();
    let nth = |nth: u8| (!grants.is_empty()).then(|| grants[usize::from(nth) % grants.len()]);
    let wish = |pool: u8, holder: u8, units: u8, group: bool, ms: Option<u16>| Wish {
        pool: pool_name(pool),
        holder: holder_name(holder),
        units: u32::from(units),
        group: (group && pool == 1).then(|| "g".into()),
        hold_ms: ms.map(u64::from),
    };
    Some(match *one {
        One::Hold { pool, holder, units, group, ms } => {
            PoolOperation::Hold(wish(pool, holder, units, group, ms))
        }
        One::Take { pool, holder, units, group } => {
            PoolOperation::Take(wish(pool, holder, units, group, None))
        }
        One::Join { pool, holder, units, group } => {
            PoolOperation::Join(wish(pool, holder, units, group, None))
        }
        One::Leave { pool, holder } => {
            PoolOperation::Leave { pool: pool_name(pool), holder: holder_name(holder) }
        }
        One::Confirm { nth: n } => PoolOperation::Confirm(nth(n)?),
        One::Extend { nth: n, ms } => PoolOperation::Extend(nth(n)?, ms.map(u64::from)),
        One::Release { nth: n } => PoolOperation::Release(nth(n)?),
        One::Swap { nth: n, pool, when_offered } => {
            let pool = pool_name(pool);
            PoolOperation::Swap(Swap { give: nth(n)?, pool, units: None, group: None, when_offered })
        }
    })
}

fn command(world: &World, seen: &Seen, op: &Op) -> Option<Command> {
    Some(match op {
        Op::Wait { .. } => return None,
        Op::Configure { pool, capacity, opens_in, closes_in, tells, offer_ms } => {
            let moment = |ms: Option<u16>| ms.map_or(0, |ms| world.now.plus(u64::from(ms)).0);
            let config = PoolConfig {
                capacity: u32::from(*capacity),
                opens_at: moment(*opens_in),
                closes_at: moment(*closes_in),
                offer_queue: tells.then(|| "tell".into()),
                offer_ms: u64::from(*offer_ms),
                ..config(*pool)
            };
            Command::ConfigurePool {
                pool: pool_name(*pool),
                config: Box::new(config),
                if_version: None,
                seed: [*capacity; 32],
            }
        }
        Op::Resize { pool, capacity } => {
            Command::ResizePool { pool: pool_name(*pool), capacity: u32::from(*capacity) }
        }
        Op::Delete { pool } => Command::DeletePool { pool: pool_name(*pool) },
        Op::Pools { ones, .. } => {
            Command::Pools(ones.iter().filter_map(|one| operation(seen, one)).collect())
        }
        Op::Transact { ones, lacks, enqueues, .. } => {
            let pools = ones.iter().filter_map(|one| operation(seen, one)).map(Operation::Pool);
            let enqueue = EnqueueOne { queue: "next".into(), kind: "work".into(), job: job() };
            let enqueue = enqueues.then_some(Operation::Enqueue(enqueue));
            let lacks = lacks.iter().map(|&(holder, pool)| Condition::HasNone {
                holder: holder_name(holder),
                pools: vec![pool_name(pool)],
            });
            Command::Transaction(Transaction {
                conditions: lacks.collect(),
                operations: pools.chain(enqueue).collect(),
            })
        }
    })
}

fn step(world: &mut World, op: &Op) {
    // What time brings is not the command's doing.
    world.after(if let Op::Wait { ms } = op { u64::from(*ms) } else { 0 });
    let before = Seen::of(world);
    let Some(command) = command(world, &before, op) else {
        check_sound(world);
        return;
    };
    let key = match op {
        Op::Pools { key, .. } => key.map(|key| (key, 1)),
        Op::Transact { key, .. } => key.map(|key| (key, 2)),
        _ => None,
    };
    let idempotency =
        key.map(|(key, what)| IdempotencyKey { key: format!("k-{key}"), fingerprint: [what, 0] });
    let without_key = idempotency.is_none();
    let digest = world.state.digest_text();
    let decided = world.turn(|state, turn| state.decide(Request { idempotency, command }, turn));
    let refused =
        matches!(decided.outcome, Outcome::TransactionRefused { .. } | Outcome::ConditionRefused { .. });
    if decided.replayed {
        assert_eq!(world.state.digest_text(), digest, "an answer that is brought back does nothing");
    } else if refused && without_key {
        let (a, b) = (
            support::pools::without_stories(&digest),
            support::pools::without_stories(&world.state.digest_text()),
        );
        assert!(a == b, "a refusal left a trace:\n{}", differences(&a, &b));
    } else if let Outcome::Pooled(items) | Outcome::Transacted(items) = &decided.outcome {
        check_items(world, items);
    }
    // A line that found no room in the shard is served when there is, in the next turn.
    world.after(0);
    check_offers(world, &before);
    check_sound(world);
    check_moved_on(&before, &Seen::of(world));
}

/// What an item says last of a grant is how it is.
fn check_items(world: &World, items: &[Item]) {
    let mut last = BTreeMap::new();
    for item in items {
        match item {
            Item::Pool(PoolItem::Grant { id, state, .. }) => last.insert(*id, Some(*state)),
            Item::Pool(PoolItem::Ended { id, .. }) => last.insert(*id, None),
            _ => None,
        };
    }
    for (id, state) in last {
        let Some(view) = world.state.grant(id) else {
            assert_eq!(
                world.limits.pools.ended_grants_max, TIGHT,
                "a grant that was just spoken of is known"
            );
            continue;
        };
        // A later operation of the same list may have ended it, or taken it by swapping.
        assert!(view.state.is_none() || view.state == state, "{view:?} is not {state:?}");
    }
}

/// Whoever was offered something stood before everybody in its line who still waits for the same.
fn check_offers(world: &World, before: &Seen) {
    let now = Seen::of(world);
    let since = before.last_number();
    for holder in &now.holders {
        let offers = holder.story.iter().filter(|entry| entry.number > since);
        for offer in offers.filter(|entry| matches!(entry.happened, Happened::Offered(_))) {
            let Some(grant) = world.state.grant(GrantId::new(0, offer.grant)) else { continue };
            let pool = now.pools.iter().find(|pool| pool.name == offer.pool);
            if pool.is_none_or(|pool| pool.config.opening == Opening::Shuffle as i32) {
                continue;
            }
            let rivals = now.holders.iter().flat_map(|holder| &holder.waiting);
            let alike = rivals.filter(|rival| {
                rival.pool == offer.pool && rival.units == offer.units && rival.group == grant.group
            });
            for rival in alike.filter(|_| grant.end.is_none()) {
                assert!(rival.number > offer.value, "{rival:?} stood before {offer:?}");
            }
        }
    }
}

fn check_sound(world: &World) {
    let now = Seen::of(world);
    for pool in &now.pools {
        let name = &pool.name;
        assert!(pool.held + pool.taken <= u64::from(pool.config.capacity), "{name} is oversold: {pool:?}");
        let grants = || now.holders.iter().flat_map(|holder| &holder.grants).filter(|g| g.pool == *name);
        let of = |state| grants().filter(|g| g.state == Some(state)).map(|g| u64::from(g.units)).sum::<u64>();
        assert_eq!(
            (pool.held, pool.taken),
            (of(GrantState::Held), of(GrantState::Taken)),
            "{name} is miscounted"
        );
        let waits = || now.holders.iter().flat_map(|holder| &holder.waiting).filter(|w| w.pool == *name);
        assert_eq!(pool.waiting as usize, waits().count(), "the line of {name} is miscounted");
        assert!(pool.waiting <= pool.config.waitlist_max);
        assert!(!pool.closed || pool.waiting == 0, "{name} has closed, and its line waits");
        for holder in &now.holders {
            let has: u32 = holder.grants.iter().filter(|g| g.pool == *name).map(|g| g.units).sum();
            let limit = pool.config.holder_units_max;
            assert!(limit == 0 || has <= limit, "a holder has {has} of {name}");
        }
        let of_group: u32 = grants().filter(|g| g.group.is_some()).map(|g| g.units).sum();
        let quota = pool.config.quota("g").unwrap_or(u32::MAX);
        assert!(of_group <= quota, "group g has {of_group} of {name}");
        for wait in waits().filter(|_| pool.opened && !pool.closed) {
            let room = if wait.group.is_some() { u64::from(quota - of_group) } else { u64::MAX };
            let fits = u64::from(wait.units) <= pool.free().min(room);
            let is_full = now.grants().len() >= world.limits.pools.grants_max as usize;
            assert!(!fits || is_full, "{wait:?} waits while there is room: {pool:?}");
        }
        assert_eq!(pool.seed.is_some(), pool.opened && pool.commitment.is_some());
    }
    for grant in now.holders.iter().flat_map(|holder| &holder.grants) {
        assert!(grant.expires_at.is_none_or(|at| at > world.state.now()), "{grant:?} should have lapsed");
        assert!(grant.expires_at <= grant.extendable_until);
    }
    for holder in &now.holders {
        assert!(holder.story.iter().map(|entry| entry.number).is_sorted());
        let offers = holder.grants.iter().filter_map(|grant| grant.gives);
        let mut gives: Vec<GrantId> =
            offers.chain(holder.waiting.iter().filter_map(|wait| wait.gives)).collect();
        let mine = |gives: &GrantId| holder.grants.iter().any(|grant| grant.id == *gives);
        assert!(gives.iter().all(mine), "{gives:?} is to be given up, and {holder:?} does not have it");
        gives.sort_unstable();
        assert!(gives.windows(2).all(|two| two[0] != two[1]), "{gives:?}: one is promised twice");
    }
}

/// Numbers only rise: of grants, of pools' versions, of what happened.
fn check_moved_on(before: &Seen, now: &Seen) {
    let known = before.grants();
    let highest = before.holders.iter().flat_map(|holder| &holder.story).map(|entry| entry.grant).max();
    for grant in now.grants() {
        assert!(known.contains(&grant) || grant.sequence() > highest.unwrap_or(0), "{grant} is not new");
    }
    for pool in &before.pools {
        if let Some(now) = now.pools.iter().find(|now| now.name == pool.name) {
            let same = PoolView { version: now.version, ..pool.clone() } == *now;
            assert!(
                now.version > pool.version || same && now.version == pool.version,
                "{pool:?} became {now:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(300), ..ProptestConfig::default() })]

    #[test]
    fn a_replay_gives_the_same_pools(ops in prop::collection::vec(op(), 1..100), is_tight in any::<bool>()) {
        let mut world = if is_tight { tight() } else { World::new() };
        ops.iter().for_each(|op| step(&mut world, op));
        let live = world.state.digest_text();
        let replayed = world.replayed_from(0).digest_text();
        prop_assert!(live == replayed, "{}", differences(&live, &replayed));
    }

    #[test]
    fn after_a_walk_the_head_of_the_log_is_not_needed_for_pools(
        before in prop::collection::vec(op(), 1..60),
        kept in prop::collection::vec(op(), 0..20),
        during in prop::collection::vec(op(), 1..60),
        after in prop::collection::vec(op(), 0..20),
        is_tight in any::<bool>(),
    ) {
        let mut world = if is_tight { tight() } else { World::new() };
        before.iter().for_each(|op| step(&mut world, op));
        let target = world.next_frame();
        kept.iter().for_each(|op| step(&mut world, op));
        let mut during = during.iter();
        world.walk(target, |world| {
            if let Some(op) = during.next() { step(world, op); }
        });
        after.iter().for_each(|op| step(&mut world, op));
        let live = world.state.digest_text();
        let replayed = world.replayed_from(target).digest_text();
        prop_assert!(live == replayed, "target {target}\n{}", differences(&live, &replayed));
    }
}
