//! The seeds that every change must pass. `make sim` runs more, and longer ones.

use tidegate_sim::{Coverage, Ran, jobs, run, run_many};

const SEEDS: u64 = 300;
const STEPS: u64 = 2_000;
/// And some long ones: there are things that only a shard comes to that has lived for a while.
const LONG_SEEDS: std::ops::Range<u64> = 2_001..2_056;
const LONG_STEPS: u64 = 6_000;
/// A long one in which a redrive stops as its jobs died again: hardly any other comes to that.
const RARE_SEED: u64 = 3_000;

fn nothing_found(ran: Ran) -> Ran {
    if let Some(found) = &ran.found {
        let (seed, steps, step, what) = (ran.seed, ran.steps, found.step, &found.what);
        let before = found.story.join("\n  ");
        panic!(
            "before it:\n  {before}\n\nseed {seed}, step {step}: {what}\n\n\
             again, and shorter: cargo run --release -p tidegate-sim -- --seed {seed} --steps {steps}"
        );
    }
    ran
}

/// One test, so that what it must reach is reached by the seeds it has run.
#[test]
fn nothing_is_found_and_everything_in_the_table_is_reached() {
    let mut coverage = Coverage::default();
    go_on(&mut coverage, 1..SEEDS + 1, STEPS);
    go_on(&mut coverage, LONG_SEEDS, LONG_STEPS);
    go_on(&mut coverage, RARE_SEED..RARE_SEED + 1, LONG_STEPS);
    assert!(coverage.missing().is_empty(), "never reached: {:?}\n{coverage}", coverage.missing());
    assert!(coverage.unforeseen().is_empty(), "no table names {:?}\n{coverage}", coverage.unforeseen());
}

/// Runs these, finds nothing, and adds what they have reached.
fn go_on(coverage: &mut Coverage, seeds: std::ops::Range<u64>, steps: u64) {
    let mut found: Option<Ran> = None;
    run_many(
        seeds,
        jobs(),
        |seed| run(seed, steps),
        |ran| {
            coverage.add(&ran.coverage);
            if ran.found.is_some() && found.as_ref().is_none_or(|first| ran.seed < first.seed) {
                found = Some(ran);
            }
            found.is_none()
        },
    );
    found.map(nothing_found);
}

/// It found that pools which a damaged disk had lost were shown after the recovery.
#[test]
fn nothing_is_found_where_a_disk_has_lost_a_pool() {
    nothing_found(run(690, STEPS));
}

/// It found that whoever waited for two queues was served before him who had waited longer for one of them.
#[test]
fn nothing_is_found_in_a_history_that_showed_something_once() {
    nothing_found(run(51, 4_000));
}

#[test]
fn the_same_seed_gives_the_same_answers_and_the_same_bytes() {
    for seed in 1_001..=1_010 {
        let (first, second) = (nothing_found(run(seed, STEPS)), nothing_found(run(seed, STEPS)));
        assert_eq!(first, second, "seed {seed}");
    }
    assert_ne!(run(1_001, STEPS).digest, run(1_002, STEPS).digest, "another seed is another world");
}
