//! The simulator finds bugs: each of those that are put in on purpose, within so many seeds; and tells them in few steps.
#![cfg(feature = "sabotage")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use tidegate_sim::run::panics_are_findings;
use tidegate_sim::shrink::shrink;
use tidegate_sim::{Ran, jobs, run, run_many, run_steps, sabotage};

/// Seeds within which every bug is found.
const SEEDS: u64 = 300;
const STEPS: u64 = 4_000;
/// Bugs of each room whose histories are shrunk as well; to so many steps, with so many tries.
const SHRUNK: [&str; 4] =
    ["stale_token_accepted", "attempts_off_by_one", "directory_sync_skipped", "answer_before_durable"];
const SHRUNK_STEPS_MAX: usize = 40;
const TRIES_MAX: u64 = 3_000;

/// The first seed that finds something, or of several at a time one of the first.
fn first_found() -> Option<Ran> {
    let mut first: Option<Ran> = None;
    run_many(
        1..SEEDS + 1,
        jobs(),
        |seed| run(seed, STEPS),
        |ran| {
            if ran.found.is_some() && first.as_ref().is_none_or(|first| ran.seed < first.seed) {
                first = Some(ran);
            }
            first.is_none()
        },
    );
    first
}

/// A short history that shows the same, and does so again.
fn shrinks(name: &str, ran: &Ran, table: &mut String) {
    let kind = ran.found.as_ref().expect("something was found").kind();
    let all: Vec<u64> = (1..=STEPS).collect();
    let shrunk = shrink(ran, &all, jobs(), |left, tried| left > 1 && tried < TRIES_MAX);
    let found = shrunk.ran.found.as_ref().expect("what comes back shows something");
    assert_eq!(found.kind(), kind, "{name}");
    let left = shrunk.steps.len();
    assert!(left <= SHRUNK_STEPS_MAX, "{name}: {left} steps are left after {} tries", shrunk.tried);
    let again = run_steps(ran.seed, ran.steps, shrunk.steps.iter().copied());
    assert_eq!(again, shrunk.ran, "{name}: the same steps, the same finding");
    let _ = writeln!(table, "  shrunk to {left} steps with {} tries", shrunk.tried);
}

/// One test: a bug is in for the whole process.
#[test]
fn every_deliberate_bug_is_found() {
    // A bug may well end in a panic; it is what was found.
    let hook = std::panic::take_hook();
    panics_are_findings();
    let mut table = String::new();
    let mut missed = Vec::new();
    let mut to_shrink = Vec::new();
    // The histories that found something, each as far as any bug needed it.
    let mut histories: BTreeMap<u64, u64> = BTreeMap::new();
    // Some of them, if somebody says so: BUGS=one,another
    let wanted = std::env::var("BUGS").ok();
    let is_wanted = |name: &str| wanted.as_ref().is_none_or(|wanted| wanted.split(',').any(|it| it == name));
    for (name, what) in sabotage::bugs().into_iter().filter(|(name, _)| is_wanted(name)) {
        sabotage::choose(name);
        let Some(ran) = first_found() else {
            missed.push(format!("{name} ({what})"));
            continue;
        };
        let found = ran.found.as_ref().expect("it was chosen for that");
        let steps = histories.entry(ran.seed).or_default();
        *steps = (*steps).max(found.step.min(STEPS));
        let first: String = found.what.lines().next().unwrap_or_default().chars().take(90).collect();
        let _ = writeln!(table, "{name}: seed {}, step {}: {first}", ran.seed, found.step);
        if SHRUNK.contains(&name) {
            to_shrink.push((name, ran));
        }
    }
    // What was found is the bug's: the same histories without it show nothing.
    sabotage::choose("");
    let sound = histories.iter().find_map(|(&seed, &steps)| run_steps(seed, STEPS, 1..=steps).found);
    std::panic::set_hook(hook);
    assert!(missed.is_empty(), "not found within {SEEDS} seeds: {missed:#?}\nfound:\n{table}");
    assert_eq!(sound, None, "and without them nothing is");
    assert!(wanted.is_some() || to_shrink.len() == SHRUNK.len(), "all of these are bugs");
    for (name, ran) in to_shrink {
        sabotage::choose(name);
        shrinks(name, &ran, &mut table);
    }
    sabotage::choose("");
    let _ = std::io::stdout().write_all(table.as_bytes());
}
