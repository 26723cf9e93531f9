//! One seed from its beginning to its end.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::coverage::Coverage;
use crate::world::World;

/// What became of a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// The seed.
    pub seed: u64,
    /// Steps that were asked for.
    pub steps: u64,
    /// What was reached.
    pub coverage: Coverage,
    /// A digest of all answers and of the disk at the end.
    pub digest: u64,
    /// What was found, if anything was.
    pub found: Option<Found>,
}

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// At which step; one more than there are if it was at the end.
    pub step: u64,
    /// What.
    pub what: String,
    /// What happened before, in words.
    pub story: Vec<String>,
}

impl Found {
    /// What kind of a finding it is: its first words, without numbers and without what was said in the case at hand. Two
    /// histories with one kind most likely show one fault.
    #[must_use]
    pub fn kind(&self) -> String {
        let line = self.what.lines().next().unwrap_or_default();
        let words = line.split(['(', '{', '[', '"']).next().unwrap_or_default();
        let mut kind = String::new();
        for c in words.chars() {
            match c.is_ascii_digit() {
                true if kind.ends_with('#') => {}
                true => kind.push('#'),
                false => kind.push(c),
            }
        }
        // Which of two moments it was seen at is chance.
        let kind = kind.trim().trim_start_matches("after the turn of frame #: ");
        kind.trim_start_matches("after the recovery of frame #: ").to_owned()
    }
}

/// Runs a seed.
#[must_use]
pub fn run(seed: u64, steps: u64) -> Ran {
    run_steps(seed, steps, 1..=steps)
}

/// Runs only some steps of a seed, in rising order; then its end.
#[must_use]
pub fn run_steps(seed: u64, steps: u64, only: impl IntoIterator<Item = u64>) -> Ran {
    let mut ran = Ran { seed, steps, coverage: Coverage::default(), digest: 0, found: None };
    let mut world = match World::new(seed) {
        Ok(world) => world,
        Err(what) => {
            ran.found = Some(Found { step: 0, what, story: Vec::new() });
            return ran;
        }
    };
    for step in only.into_iter().chain([steps + 1]) {
        let happened =
            catch_unwind(AssertUnwindSafe(|| if step <= steps { world.step(step) } else { world.drain(step) }));
        let what = match happened {
            Ok(Ok(())) => continue,
            Ok(Err(what)) => what,
            Err(panic) => format!("panicked: {}", message(&*panic)),
        };
        ran.found = Some(Found { step, what, story: world.story() });
        break;
    }
    ran.coverage = world.reached();
    if ran.found.is_none() {
        ran.digest = world.digest();
    } else {
        // It is in an unknown state; nothing of it may run again, its ends included.
        std::mem::forget(world);
    }
    ran
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word").to_owned()
}
