//! From a long history that shows something to a short one that shows the same.
//!
//! Steps are left out, many at a time and then few, for as long as a finding of the same kind comes of what is left (delta
//! debugging). Each step has its own chance, so those that are left choose as before. Promises: what comes back was run and
//! shows it; the search ends when it is told to. Left out: a shortest history; that would take for ever.

use std::ops::RangeInclusive;

use crate::run::{Found, Ran, run_steps};

/// A shorter history.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The steps that are left.
    pub steps: Vec<u64>,
    /// What came of them.
    pub ran: Ran,
    /// How many histories were tried.
    pub tried: u64,
}

/// Shrinks a run of the steps `only` that found something. `go_on` hears after every try how many steps are left and how many
/// histories were tried, and says whether to try another.
pub fn shrink(ran: &Ran, only: &[u64], mut go_on: impl FnMut(usize, u64) -> bool) -> Shrunk {
    let mut best = Shrunk { steps: only.to_vec(), ran: ran.clone(), tried: 0 };
    let Some(first) = &ran.found else { return best };
    let kind = first.kind();
    forget_later(&mut best.steps, first);
    let mut size = best.steps.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        let mut shorter = false;
        while from < best.steps.len() {
            let to = best.steps.len().min(from + size);
            let rest: Vec<u64> = best.steps[..from].iter().chain(&best.steps[to..]).copied().collect();
            best.tried += 1;
            let tried = run_steps(ran.seed, ran.steps, rest.iter().copied());
            match &tried.found {
                Some(found) if found.kind() == kind => {
                    best.steps = rest;
                    forget_later(&mut best.steps, found);
                    best.ran = tried;
                    shorter = true;
                }
                _ => from = to,
            }
            if !go_on(best.steps.len(), best.tried) {
                return best;
            }
        }
        if !(shorter && size == 1) {
            size /= 2;
        }
    }
    best
}

/// What comes after a finding has no part in it.
fn forget_later(steps: &mut Vec<u64>, found: &Found) {
    steps.retain(|&step| step <= found.step);
}

/// Steps as they are said on the command line: `3,7-9`.
#[must_use]
pub fn spell(steps: &[u64]) -> String {
    let mut runs: Vec<RangeInclusive<u64>> = Vec::new();
    for &step in steps {
        match runs.last_mut() {
            Some(run) if *run.end() + 1 == step => *run = *run.start()..=step,
            _ => runs.push(step..=step),
        }
    }
    let words = runs.iter().map(|run| match run.start() == run.end() {
        true => run.start().to_string(),
        false => format!("{}-{}", run.start(), run.end()),
    });
    words.collect::<Vec<_>>().join(",")
}

/// Reads what [`spell`] says.
#[must_use]
pub fn read(words: &str) -> Option<Vec<u64>> {
    let mut steps = Vec::new();
    for word in words.split(',').filter(|word| !word.is_empty()) {
        let (from, to) = word.split_once('-').unwrap_or((word, word));
        steps.extend(from.parse::<u64>().ok()?..=to.parse::<u64>().ok()?);
    }
    steps.is_sorted_by(|a, b| a < b).then_some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_as_they_are_spelled() {
        for steps in [vec![], vec![4], vec![1, 2, 3], vec![1, 3, 4, 9, 10, 12]] {
            assert_eq!(read(&spell(&steps)), Some(steps));
        }
        assert_eq!(spell(&[1, 3, 4, 9, 10, 12]), "1,3-4,9-10,12");
        assert_eq!((read("1,x"), read("3,2"), read("2,2")), (None, None, None));
    }
}
