//! What kind of a world a seed makes: how often each thing happens, zero included, and how narrow the bounds are.
//!
//! A world in which everything happens all the time finds less than many worlds that each leave something out.

use tidegate_core::state::StateLimits;

use crate::chance::Chance;
use crate::operations;
use crate::pools::plan::PoolPlan;

/// See the module.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Plan {
    /// How often each family of operations is chosen; as [`operations::FAMILIES`].
    pub families: Vec<u64>,
    /// How often each kind of event is chosen; as [`Event::ALL`].
    pub events: Vec<u64>,
    /// How often each fault is chosen; as [`Fault::ALL`].
    pub faults: Vec<u64>,
    pub queues: u64,
    pub ordering_keys: u64,
    pub unique_keys: u64,
    /// Of a hundred jobs, how many have an ordering key, a unique key, an expiry, a delay, a policy.
    pub ordered: u64,
    pub unique: u64,
    pub expiring: u64,
    pub delayed: u64,
    pub with_retry: u64,
    /// Of a hundred calls, how many come with an idempotency key, and how many repeat one.
    pub keyed: u64,
    pub repeated: u64,
    /// Of a hundred settlements, how many name a token that was never given.
    pub forged: u64,
    /// Of a hundred answers, how many nobody picks up.
    pub abandoned: u64,
    /// Of a hundred leases, how many wait.
    pub polls: u64,
    pub payload_max: u64,
    pub inbox_calls_max: usize,
    pub waiters_max: usize,
    pub spares: usize,
    pub slack_bytes: u64,
    pub step_bytes: usize,
    /// Bytes that all files may take; 0 for as many as they like.
    pub disk_bytes: u64,
    pub disk_reserve_bytes: u64,
    pub state: StateLimits,
    /// Of a hundred payloads and results, how many have metadata, a trace, or are no JSON.
    pub with_metadata: u64,
    /// Of a thousand steps, before how many the disk begins to refuse to read for a while.
    pub reads_fail: u64,
    pub pools: PoolPlan,
}

/// Sets a generator apart from all others of its seed.
const APART: u64 = 0x7265_6164_7320_6661;

/// What can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Event {
    Call,
    Turn,
    LogStep,
    TimePasses,
    CallerLeaves,
    SpareFilled,
    Fault,
    ClockSet,
    Flood,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Call,
        Self::Turn,
        Self::LogStep,
        Self::TimePasses,
        Self::CallerLeaves,
        Self::SpareFilled,
        Self::Fault,
        Self::ClockSet,
        Self::Flood,
    ];
}

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Fault {
    ProcessDies,
    ProcessIsStopped,
    PowerFails,
    PowerFailsSoon,
    WriteFails,
    WriteIsShort,
    SyncFails,
    DiskFillsUp,
    SyncIsSlow,
    BitFlips,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::ProcessDies,
        Self::ProcessIsStopped,
        Self::PowerFails,
        Self::PowerFailsSoon,
        Self::WriteFails,
        Self::WriteIsShort,
        Self::SyncFails,
        Self::DiskFillsUp,
        Self::SyncIsSlow,
        Self::BitFlips,
    ];
}

impl Plan {
    /// Whether bits flip in this world.
    #[must_use]
    pub fn flips(&self) -> bool {
        let at = Fault::ALL.iter().position(|&fault| fault == Fault::BitFlips);
        at.is_some_and(|at| self.faults[at] > 0)
    }

    /// The plan of a seed.
    #[must_use]
    pub fn new(seed: u64, chance: &mut Chance) -> Self {
        let usual: Vec<u64> = operations::POOL_FAMILIES.iter().map(|family| family.usual).collect();
        let pools = PoolPlan::new(seed, &usual);
        // Mostly something, sometimes nothing, now and then a lot.
        let mut weight = |usual: u64| match chance.below(8) {
            0 => 0,
            1 => usual * 4,
            _ => chance.between(1, usual * 2),
        };
        let mut families: Vec<u64> = operations::FAMILIES.iter().map(|family| weight(family.usual)).collect();
        // Without jobs there is nothing to see.
        families[0] = families[0].max(6);
        families[1] = families[1].max(3);
        let mut events: Vec<u64> = [120, 60, 60, 30, 4, 4, 2, 2, 1].into_iter().map(&mut weight).collect();
        for (event, least) in events.iter_mut().zip([60, 30, 30, 8]) {
            *event = (*event).max(least);
        }
        let faults = [2, 2, 3, 6, 2, 2, 2, 1, 2, 3].into_iter().map(&mut weight).collect();
        let rare = |chance: &mut Chance, yes: u64, no: u64| if chance.percent(25) { yes } else { no };
        let small_disk = chance.percent(15);
        Self {
            families,
            events,
            faults,
            queues: chance.between(1, 4),
            ordering_keys: chance.between(1, 4),
            unique_keys: chance.between(1, 5),
            ordered: [0, 30, 60, 95][chance.below(4) as usize],
            unique: [0, 15, 30, 70][chance.below(4) as usize],
            expiring: [0, 10, 25, 50][chance.below(4) as usize],
            delayed: [0, 15, 30, 60][chance.below(4) as usize],
            with_retry: [20, 50, 80][chance.below(3) as usize],
            keyed: [0, 20, 60][chance.below(3) as usize],
            repeated: [5, 15, 40][chance.below(3) as usize],
            forged: [0, 5, 15][chance.below(3) as usize],
            abandoned: [0, 3, 12][chance.below(3) as usize],
            polls: [0, 25, 60][chance.below(3) as usize],
            payload_max: [20, 300, 3_000, 6_000][chance.below(4) as usize],
            inbox_calls_max: rare(chance, 4, 64) as usize,
            waiters_max: rare(chance, 2, 32) as usize,
            spares: chance.below(3) as usize,
            slack_bytes: [500, 2_048, 30_000][chance.below(3) as usize],
            step_bytes: [600, 4_096, 16_384][chance.below(3) as usize],
            disk_bytes: if small_disk { chance.between(60_000, 140_000) } else { 0 },
            disk_reserve_bytes: if small_disk { chance.between(10_000, 40_000) } else { 0 },
            state: StateLimits {
                jobs_max: [50, 150, 300][chance.below(3) as usize],
                idempotency_ms: [60_000, 3_600_000, 86_400_000][chance.below(3) as usize],
                idempotency_records_max: rare(chance, 6, 10_000) as usize,
                queues_max: if chance.percent(8) { chance.between(1, 2) as usize } else { 100 },
                kinds_max: if chance.percent(8) { chance.between(1, 2) as usize } else { 100 },
                pools: pools.limits,
                ..StateLimits::default()
            },
            with_metadata: [0, 30, 80][Chance::of_step(seed, APART + 1).below(3) as usize],
            reads_fail: [0, 0, 3, 12][Chance::of_step(seed, APART).below(4) as usize],
            pools,
        }
    }

    /// Whether the disk begins to refuse to read before this step, and for how many steps. Drawn apart, so that everything else is
    /// as it would be without.
    #[must_use]
    pub fn reads_fail_before(&self, seed: u64, step: u64) -> Option<u64> {
        let mut chance = Chance::of_step(seed ^ APART, step);
        (chance.below(1_000) < self.reads_fail).then(|| chance.between(2, 60))
    }
}
