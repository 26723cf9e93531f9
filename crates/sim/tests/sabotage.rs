//! The simulator finds bugs: each of those that are put in on purpose, within so many seeds.
#![cfg(feature = "sabotage")]

use std::io::Write as _;

use tidegate_sim::{run, sabotage};

/// Seeds within which every bug is found.
const SEEDS: u64 = 100;
const STEPS: u64 = 4_000;

/// One test: a bug is in for the whole process.
#[test]
fn every_deliberate_bug_is_found() {
    // A bug may well end in a panic; it is what was found.
    std::panic::set_hook(Box::new(|_| {}));
    let found = sabotage::bugs().into_iter().map(|(name, what)| {
        sabotage::choose(name);
        let found = (1..=SEEDS).find_map(|seed| run(seed, STEPS).found.map(|found| (seed, found)));
        (name, what, found)
    });
    let mut table = String::new();
    let mut missed = Vec::new();
    for (name, what, found) in found {
        match found {
            Some((seed, found)) => {
                let first = found.what.lines().next().unwrap_or_default();
                let first: String = first.chars().take(90).collect();
                table.push_str(&format!("{name}: seed {seed}, step {}: {first}\n", found.step));
            }
            None => missed.push(format!("{name} ({what})")),
        }
    }
    sabotage::choose("");
    let sound = (1..=5).find_map(|seed| run(seed, STEPS).found);
    drop(std::panic::take_hook());
    assert!(missed.is_empty(), "not found within {SEEDS} seeds: {missed:#?}\nfound:\n{table}");
    assert_eq!(sound, None, "and without them nothing is");
    let _ = std::io::stdout().write_all(table.as_bytes());
}
