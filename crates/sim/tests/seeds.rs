//! The seeds that every change must pass. `make sim` runs more.

use tidegate_sim::{Coverage, Ran, run};

const SEEDS: u64 = 100;
const STEPS: u64 = 2_000;

fn nothing_found(ran: Ran) -> Ran {
    if let Some(found) = &ran.found {
        let (seed, steps, step, what) = (ran.seed, ran.steps, found.step, &found.what);
        let before = found.story.join("\n  ");
        panic!(
            "before it:\n  {before}\n\nseed {seed}, step {step}: {what}\n\n\
             again: cargo run --release -p tidegate-sim -- --seed {seed} --steps {steps}"
        );
    }
    ran
}

/// One test, so that what it must reach is reached by the seeds it has run.
#[test]
fn nothing_is_found_and_every_command_refusal_and_fault_is_reached() {
    let mut coverage = Coverage::default();
    for seed in 1..=SEEDS {
        coverage.add(&nothing_found(run(seed, STEPS)).coverage);
    }
    assert!(coverage.missing().is_empty(), "never reached: {:?}\n{coverage}", coverage.missing());
}

#[test]
fn the_same_seed_gives_the_same_answers_and_the_same_bytes() {
    for seed in 1_001..=1_010 {
        let (first, second) = (nothing_found(run(seed, STEPS)), nothing_found(run(seed, STEPS)));
        assert_eq!(first, second, "seed {seed}");
    }
    assert_ne!(run(1_001, STEPS).digest, run(1_002, STEPS).digest, "another seed is another world");
}
