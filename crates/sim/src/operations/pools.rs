//! What callers do with pools: mostly sensible, sometimes late, of the wrong pool, or twice.

use tidegate_core::command::{self, Operation};
use tidegate_core::limits::AHEAD_MS_MAX;
use tidegate_core::pool::command::{Condition, PoolOperation, Swap, Wish};
use tidegate_core::pool::view::LinePlace;
use tidegate_core::pool::{Attribute, GrantId, GrantState, Opening, PoolConfig, Quota};
use tidegate_core::view::JobState;
use tidegate_engine::{Envelope, Transaction};

use super::{Family, Scene, transaction};
use crate::call::Call;
use crate::pools::call::PoolCall;
use crate::twin::pools::Grant;

/// All families of calls about pools.
pub const POOL_FAMILIES: [Family; 11] = [
    Family { name: "pool operations", usual: 30, make: operations },
    Family { name: "configure a pool", usual: 6, make: configure },
    Family { name: "resize a pool", usual: 3, make: resize },
    Family { name: "delete a pool", usual: 2, make: delete },
    Family { name: "a transaction with pools", usual: 12, make: with_pools },
    Family { name: "read a pool", usual: 2, make: read_pool },
    Family { name: "read a grant", usual: 2, make: read_grant },
    Family { name: "read a holder", usual: 2, make: read_holder },
    Family { name: "read a draw", usual: 2, make: entrants },
    Family { name: "list a pool's grants", usual: 2, make: grants },
    Family { name: "list a line", usual: 2, make: line },
];

/// Of the moments ahead at which pools open and close most are multiples of this, so that those of several coincide.
const TOGETHER: u64 = 60_000;

fn call(ask: PoolCall) -> Option<Call> {
    Some(Call::Pools { ask, key: None })
}

fn pool(scene: &mut Scene<'_>) -> String {
    let number = scene.chance.below(scene.plan.pools.pools);
    // Half of them are in one place.
    if number.is_multiple_of(2) { format!("pool-{number}") } else { format!("pool-{number}@here") }
}

/// A pool that is there, now and then one that nobody has made.
fn any_pool(scene: &mut Scene<'_>) -> String {
    let pools: Vec<String> = scene.twin.pools.pools.keys().cloned().collect();
    match scene.chance.pick(&pools).cloned() {
        Some(there) if !scene.chance.percent(4) => there,
        _ => pool(scene),
    }
}

fn holder(scene: &mut Scene<'_>) -> String {
    format!("holder-{}", scene.chance.below(scene.plan.pools.holders))
}

fn group(scene: &mut Scene<'_>) -> Option<String> {
    if scene.chance.below(100) >= scene.plan.pools.quotas {
        return scene.chance.percent(2).then(|| "strangers".into());
    }
    Some(["a", "b", "strangers"][scene.chance.weighted(&[10, 5, 1])].into())
}

fn units(scene: &mut Scene<'_>) -> u32 {
    if scene.chance.percent(scene.plan.pools.several) { scene.chance.between(2, 3) as u32 } else { 1 }
}

fn wish(scene: &mut Scene<'_>) -> Wish {
    Wish {
        pool: any_pool(scene),
        holder: holder(scene),
        units: units(scene),
        group: group(scene),
        hold_ms: None,
    }
}

/// A grant, mostly one that is there and like this.
fn grant(scene: &mut Scene<'_>, like: impl Fn(&Grant) -> bool) -> GrantId {
    let grants = scene.twin.pools.grants.iter();
    let grants: Vec<u64> = grants.filter(|(_, grant)| like(grant)).map(|(&sequence, _)| sequence).collect();
    let ended: Vec<u64> = scene.twin.pools.ended.iter().map(|ended| ended.grant).collect();
    let sequence = match scene.chance.below(20) {
        0 => None,
        1 | 2 => scene.chance.pick(&ended).copied(),
        _ => scene.chance.pick(&grants).or_else(|| scene.chance.pick(&ended)).copied(),
    };
    GrantId::new(0, sequence.unwrap_or_else(|| scene.chance.between(1, 300)))
}

/// As [`grant`], or a wish where there is no such grant.
fn with_grant(
    scene: &mut Scene<'_>,
    like: impl Fn(&Grant) -> bool,
    of: impl FnOnce(&mut Scene<'_>, GrantId) -> PoolOperation,
) -> PoolOperation {
    let is_there = scene.twin.pools.grants.values().any(&like);
    if !is_there && scene.chance.percent(80) {
        return PoolOperation::Take(wish(scene));
    }
    let id = grant(scene, like);
    of(scene, id)
}

/// Pools that a grant of `mine` may be swapped for; of those, half of the time, the ones that are to be waited for.
fn others(scene: &mut Scene<'_>, mine: Option<&String>) -> Vec<String> {
    let to_be_waited_for = scene.chance.percent(50);
    let pools = &scene.twin.pools;
    let others = pools.pools.iter().filter(|(name, pool)| {
        let is_full = pools.granted(name) >= u64::from(pool.config.capacity);
        let is_waited_for = pool.config.waitlist_max > 0 && (is_full || !pool.opened);
        Some(*name) != mine && (is_waited_for || !to_be_waited_for)
    });
    others.map(|(name, _)| name.clone()).collect()
}

fn operation(scene: &mut Scene<'_>) -> PoolOperation {
    match scene.chance.weighted(&[20, 14, 14, 5, 14, 8, 18, 5]) {
        0 => {
            let hold_ms = scene.chance.percent(30).then(|| scene.chance.between(500, 60_000));
            PoolOperation::Hold(Wish { hold_ms, ..wish(scene) })
        }
        1 => PoolOperation::Take(wish(scene)),
        2 => {
            let offers = scene.chance.percent(40);
            let like = |grant: &Grant| grant.state == GrantState::Held && (grant.waiter > 0 || !offers);
            with_grant(scene, like, |_, id| PoolOperation::Confirm(id))
        }
        3 => with_grant(
            scene,
            |grant| grant.state == GrantState::Held,
            |scene, id| {
                let hold_ms = scene.chance.percent(60).then(|| scene.chance.between(500, 90_000));
                PoolOperation::Extend(id, hold_ms)
            },
        ),
        4 => with_grant(scene, |_| true, |_, id| PoolOperation::Release(id)),
        5 => {
            let state = if scene.chance.percent(30) { GrantState::Held } else { GrantState::Taken };
            with_grant(
                scene,
                |grant| grant.state == state,
                |scene, give| {
                    let mine = scene.twin.pools.grants.get(&give.sequence()).map(|grant| grant.pool.clone());
                    let others: Vec<String> = others(scene, mine.as_ref());
                    let other = scene.chance.pick(&others).cloned().filter(|_| scene.chance.percent(90));
                    PoolOperation::Swap(Swap {
                        give,
                        pool: other.unwrap_or_else(|| any_pool(scene)),
                        units: scene.chance.percent(30).then(|| units(scene)),
                        group: group(scene),
                        when_offered: scene.chance.percent(60),
                    })
                },
            )
        }
        6 => {
            let mut wish = wish(scene);
            let ahead = scene.twin.pools.pools.iter().filter(|(_, pool)| pool.seed.is_some() && !pool.opened);
            let ahead: Vec<String> = ahead.map(|(name, _)| name.clone()).collect();
            if let Some(drawn) = scene.chance.pick(&ahead).filter(|_| scene.chance.percent(60)) {
                wish.pool.clone_from(drawn);
            }
            PoolOperation::Join(wish)
        }
        _ => {
            let line: Vec<(String, String)> = scene
                .twin
                .pools
                .line
                .iter()
                .map(|place| (place.pool.clone(), place.holder.clone()))
                .collect();
            match scene.chance.pick(&line).cloned() {
                Some((pool, holder)) if !scene.chance.percent(10) => PoolOperation::Leave { pool, holder },
                _ => PoolOperation::Leave { pool: any_pool(scene), holder: holder(scene) },
            }
        }
    }
}

fn operations(scene: &mut Scene<'_>) -> Option<Call> {
    // A world's pools are made early.
    let there = scene.twin.pools.pools.len() as u64;
    if scene.chance.below(scene.plan.pools.pools) >= there && scene.chance.percent(60) {
        return configure(scene);
    }
    let count = if scene.chance.percent(70) { 1 } else { scene.chance.between(2, 6) };
    call(PoolCall::Operations((0..count).map(|_| operation(scene)).collect()))
}

/// A moment at which a pool opens or closes, this far behind or ahead.
fn moment(scene: &mut Scene<'_>, ahead: bool) -> u64 {
    let now = scene.twin.now;
    let at = match scene.chance.below(30) {
        0 => now + 2 * AHEAD_MS_MAX,
        _ if ahead => now + scene.chance.between(1, 90_000),
        _ => now.saturating_sub(scene.chance.between(1, 90_000)),
    };
    if ahead && scene.chance.percent(70) { at.next_multiple_of(TOGETHER) } else { at }
}

fn quotas(scene: &mut Scene<'_>) -> Vec<Quota> {
    if !scene.chance.percent(scene.plan.pools.quotas) {
        return Vec::new();
    }
    let quota = |scene: &mut Scene<'_>, group: &str| Quota {
        group: group.into(),
        units_max: scene.chance.below(4) as u32,
    };
    let mut quotas = vec![quota(scene, "a")];
    if scene.chance.percent(60) {
        quotas.push(quota(scene, "b"));
    }
    quotas
}

fn configure(scene: &mut Scene<'_>) -> Option<Call> {
    let (pool, plan) = (pool(scene), scene.plan.pools.clone());
    let known = scene.twin.pools.pools.get(&pool).map(|pool| pool.config.clone());
    let version = scene.twin.pools.pools.get(&pool).map_or(0, |pool| pool.version);
    let is_new = known.is_none();
    let mut config = known.unwrap_or_else(|| PoolConfig::of(0));
    // Of one that is there, most is left as it is.
    let changes = |scene: &mut Scene<'_>| is_new || scene.chance.percent(25);
    if changes(scene) {
        config.capacity = scene.chance.between(1, plan.capacity_max) as u32;
    }
    if changes(scene) {
        config.holder_units_max = [0, 1, 1, 2, 4][scene.chance.below(5) as usize];
    }
    if changes(scene) {
        config.hold_ms = scene.chance.between(1_000, 30_000) * plan.patience;
        config.hold_ms_max = config.hold_ms + scene.chance.below(60_000);
        config.offer_ms = scene.chance.between(1_000, 100_000) * plan.patience;
    }
    if changes(scene) {
        let opens = scene.chance.percent(plan.ahead.max(15));
        let shuffle = scene.chance.percent(plan.drawn);
        let ahead = scene.chance.percent(if shuffle { plan.ahead.max(60) } else { plan.ahead });
        config.opens_at = if opens || shuffle { moment(scene, ahead) } else { 0 };
        config.opening = if shuffle { Opening::Shuffle } else { Opening::Fifo } as i32;
    }
    if changes(scene) {
        let lined = scene.chance.percent(plan.lined) || config.opening == Opening::Shuffle as i32;
        config.waitlist_max = if lined { [1, 3, 8, 50][scene.chance.below(4) as usize] } else { 0 };
    }
    if changes(scene) {
        let closes = scene.chance.percent(plan.closing);
        let ahead = scene.chance.percent(70);
        config.closes_at = if closes { moment(scene, ahead) } else { 0 };
    }
    if changes(scene) {
        config.offer_queue = scene.chance.percent(plan.telling).then(|| scene.queue());
    }
    if changes(scene) {
        config.quotas = quotas(scene);
    }
    if scene.chance.percent(10) {
        let value = scene.chance.below(9).to_string();
        config.attributes = vec![Attribute { name: "room".into(), value }];
    }
    // By what was drawn for it anyway, so that a seed's other calls are what they would be without.
    let if_version = match config.hold_ms_max % 8 {
        0..=2 => Some(version),
        3 => Some(version.saturating_sub(1)),
        _ => None,
    };
    call(PoolCall::Configure { pool, config, if_version })
}

fn resize(scene: &mut Scene<'_>) -> Option<Call> {
    let capacity = scene.chance.below(scene.plan.pools.capacity_max + 2) as u32;
    call(PoolCall::Resize { pool: any_pool(scene), capacity })
}

fn delete(scene: &mut Scene<'_>) -> Option<Call> {
    call(PoolCall::Delete { pool: any_pool(scene) })
}

fn condition(scene: &mut Scene<'_>) -> Condition {
    let pools = |scene: &mut Scene<'_>| {
        let count = scene.chance.between(1, 2);
        (0..count).map(|_| any_pool(scene)).collect()
    };
    match scene.chance.below(5) {
        0 => {
            let pool = any_pool(scene);
            let version = scene.twin.pools.pools.get(&pool).map_or(1, |pool| pool.version);
            Condition::PoolVersion { pool, version: version - u64::from(scene.chance.percent(20)) }
        }
        1 => Condition::HasAll { holder: holder(scene), pools: pools(scene) },
        2 => Condition::HasNone { holder: holder(scene), pools: pools(scene) },
        3 => Condition::UnitsBelow {
            holder: holder(scene),
            place: scene.chance.percent(40).then(|| "here".into()),
            units: scene.chance.between(1, 4),
        },
        _ => {
            let id = scene.job(|_| true);
            let state = scene.twin.jobs.get(&id.sequence()).map(|job| job.state);
            let other = JobState::ALL[scene.chance.below(6) as usize];
            let state = state.filter(|_| scene.chance.percent(80)).unwrap_or(other);
            Condition::Job { id, state }
        }
    }
}

/// Seats and what goes with them, in one: conditions, operations on pools, and jobs.
fn with_pools(scene: &mut Scene<'_>) -> Option<Call> {
    let mut command = command::Transaction::default();
    let mut blobs = Vec::new();
    let conditions = [0, 0, 1, 1, 2][scene.chance.below(5) as usize];
    command.conditions.extend((0..conditions).map(|_| condition(scene)));
    let one_holder = scene.chance.percent(50).then(|| holder(scene));
    for _ in 0..scene.chance.between(1, 4) {
        if scene.chance.percent(40) {
            let (operation, blob) = transaction::operation(scene);
            command.operations.push(operation);
            blobs.push(blob);
            continue;
        }
        let mut operation = operation(scene);
        if let (
            Some(name),
            PoolOperation::Hold(wish) | PoolOperation::Take(wish) | PoolOperation::Join(wish),
        ) = (&one_holder, &mut operation)
        {
            wish.holder.clone_from(name);
        }
        command.operations.push(Operation::Pool(operation));
        blobs.push(Envelope::default());
    }
    Some(Call::Transact { ask: Transaction { command, blobs }, key: None })
}

fn read_pool(scene: &mut Scene<'_>) -> Option<Call> {
    call(PoolCall::Pool { name: any_pool(scene) })
}

fn read_grant(scene: &mut Scene<'_>) -> Option<Call> {
    call(PoolCall::Grant { id: grant(scene, |_| true) })
}

fn read_holder(scene: &mut Scene<'_>) -> Option<Call> {
    let name = if scene.chance.percent(5) { "nobody".into() } else { holder(scene) };
    call(PoolCall::Holder { name })
}

fn entrants(scene: &mut Scene<'_>) -> Option<Call> {
    let drawn = scene.twin.pools.pools.iter().filter(|(_, pool)| pool.seed.is_some());
    let drawn: Vec<String> = drawn.map(|(name, _)| name.clone()).collect();
    let pool = match scene.chance.pick(&drawn).cloned() {
        Some(drawn) if scene.chance.percent(80) => drawn,
        _ => any_pool(scene),
    };
    let from = if scene.chance.percent(30) { scene.chance.below(10) } else { 0 };
    call(PoolCall::Entrants { pool, from, limit: scene.chance.between(1, 20) as usize })
}

fn grants(scene: &mut Scene<'_>) -> Option<Call> {
    let pool = any_pool(scene);
    let state = [None, None, Some(GrantState::Held), Some(GrantState::Taken)][scene.chance.below(4) as usize];
    let from = if scene.chance.percent(40) { grant(scene, |_| true).sequence() } else { 0 };
    call(PoolCall::Grants { pool, state, from, limit: scene.chance.between(1, 6) as usize })
}

fn line(scene: &mut Scene<'_>) -> Option<Call> {
    // Most pools have no line.
    let line = scene.twin.pools.line.iter().filter(|place| place.waiting);
    let line: Vec<(String, u64, u64)> =
        line.map(|place| (place.pool.clone(), place.rank, place.number)).collect();
    let (pool, rank, number) = match scene.chance.pick(&line).cloned() {
        Some(place) if !scene.chance.percent(15) => place,
        _ => (any_pool(scene), 0, scene.chance.below(9)),
    };
    let from = match scene.chance.below(5) {
        0 => LinePlace { rank, number },
        1 => LinePlace { rank: 0, number },
        _ => LinePlace::default(),
    };
    call(PoolCall::Line { pool, from, limit: scene.chance.between(1, 4) as usize })
}
