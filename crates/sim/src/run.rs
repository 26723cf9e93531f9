//! One seed from its beginning to its end.

use std::cell::RefCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

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
    run_list(seed, steps, only.into_iter().chain([steps + 1]))
}

/// Runs these steps of a seed; the one behind the last is its end.
pub(crate) fn run_list(seed: u64, steps: u64, list: impl IntoIterator<Item = u64>) -> Ran {
    let mut ran = Ran { seed, steps, coverage: Coverage::default(), digest: 0, found: None };
    let mut world = match World::new(seed) {
        Ok(world) => world,
        Err(what) => {
            ran.found = Some(Found { step: 0, what, story: Vec::new() });
            return ran;
        }
    };
    for step in list {
        let happened =
            catch_unwind(AssertUnwindSafe(
                || if step <= steps { world.step(step) } else { world.drain(step) },
            ));
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

/// Runs many seeds, `jobs` at a time, and hands over each as it ends, in no order, for as long as `each` wants more.
pub fn run_many(
    seeds: Range<u64>,
    jobs: usize,
    run: impl Fn(u64) -> Ran + Sync,
    each: impl FnMut(Ran) -> bool + Send,
) {
    let next = AtomicU64::new(seeds.start);
    let each = Mutex::new(each);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let ran = run(seed);
            let mut each = each.lock().unwrap_or_else(PoisonError::into_inner);
            if !each(ran) {
                next.store(seeds.end, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..jobs {
            scope.spawn(work);
        }
        work();
    });
}

/// How many seeds run at a time: as many as there are processors.
#[must_use]
pub fn jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

thread_local! {
    /// Where this thread panicked last.
    static PANICKED_AT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic is a finding like others: from now on it is not printed, and what is found says where it was.
pub fn panics_are_findings() {
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(|at| format!("{}:{}", at.file(), at.line()));
        PANICKED_AT.set(at);
    }));
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word");
    match PANICKED_AT.take() {
        Some(at) => format!("{text}, at {at}"),
        None => text.to_owned(),
    }
}
