//! How narrow pools are in a seed's world.

use tidegate_core::state::PoolLimits;

use crate::chance::Chance;

/// See the module. Its chance is a generator of its own, so that worlds without pools are what they were.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct PoolPlan {
    /// Of a hundred calls, how many are about pools; 0 in a world without.
    pub share: u64,
    /// How often each family of calls is chosen; as [`crate::operations::POOL_FAMILIES`].
    pub families: Vec<u64>,
    pub pools: u64,
    pub holders: u64,
    /// Of a hundred pools, how many have a line, quotas, an opening ahead, a draw at it, a closing, an offer queue.
    pub lined: u64,
    pub quotas: u64,
    pub ahead: u64,
    pub drawn: u64,
    pub closing: u64,
    pub telling: u64,
    /// How many times as long as the shortest holds and offers last.
    pub patience: u64,
    /// Units of a pool, at most.
    pub capacity_max: u64,
    /// Of a hundred wishes, how many are for more than one unit.
    pub several: u64,
    pub limits: PoolLimits,
}

impl PoolPlan {
    /// The plan of a seed.
    #[must_use]
    pub fn new(seed: u64, families: &[u64]) -> Self {
        let mut chance = Chance::of_step(seed, u64::MAX);
        let mut one_of = |list: &[u64]| list[chance.below(list.len() as u64) as usize];
        let share = one_of(&[0, 0, 20, 40, 75]);
        let families = families.iter().map(|usual| usual * one_of(&[0, 1, 1, 2, 2, 4])).collect();
        // Which of two lines is first when there is room for one grant is no rule, so there is one line.
        let grants_max = one_of(&[0, 0, 0, 0, 0, 0, 3, 6]);
        let usual = PoolLimits::default();
        let or = |small: u64, usual: u32| if small > 0 { small as u32 } else { usual };
        let limits = PoolLimits {
            pools_max: or(one_of(&[0, 0, 0, 0, 1, 2]), usual.pools_max),
            grants_max: or(grants_max, usual.grants_max),
            waiters_max: or(one_of(&[0, 0, 0, 0, 2, 4]), usual.waiters_max),
            holders_max: or(one_of(&[0, 0, 0, 0, 3, 6]), usual.holders_max),
            story_entries_max: one_of(&[12, 60, 200, 400]) as usize,
            story_entries_per_holder: one_of(&[3, 8, 20, 40]) as usize,
            ended_grants_max: one_of(&[2, 10, 60, 60]) as usize,
            // What was chosen above chooses these too, so that seeds bring the worlds they brought.
            ..usual
        };
        let limits = PoolLimits {
            story_refusals_max: limits.story_entries_max / 4,
            story_refusals_per_holder: limits.story_entries_per_holder.div_ceil(2),
            story_living_per_holder: limits.story_entries_per_holder,
            ..limits
        };
        Self {
            share,
            families,
            pools: if grants_max > 0 { 1 } else { one_of(&[1, 2, 3, 4]) },
            holders: one_of(&[2, 4, 6, 10]),
            lined: one_of(&[0, 50, 80, 100]),
            quotas: one_of(&[0, 0, 40, 90]),
            ahead: one_of(&[0, 10, 30, 60]),
            drawn: one_of(&[0, 40, 80]),
            closing: one_of(&[0, 0, 15, 40]),
            telling: one_of(&[0, 50, 90]),
            patience: one_of(&[1, 1, 20, 400]),
            capacity_max: one_of(&[1, 3, 6, 10]),
            several: one_of(&[0, 20, 50]),
            limits,
        }
    }
}
