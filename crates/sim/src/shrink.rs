//! From a long history that shows something to a short one that shows the same.
//!
//! Steps are left out, many at a time and then few, for as long as a finding of the same kind comes of what is left (delta
//! debugging). Each step has its own chance, so those that are left choose as before. Promises: what comes back was run and
//! shows it; the search ends when it is told to. Left out: a shortest history; that would take for ever.

use std::ops::RangeInclusive;

use crate::STEPS_MAX;
use crate::run::{Found, Ran, run_list};

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

/// Shrinks a run of the steps `only` that found something, trying `jobs` histories at a time. `go_on` hears after every such round
/// how many steps are left and how many histories were tried, and says whether to try others.
pub fn shrink(ran: &Ran, only: &[u64], jobs: usize, mut go_on: impl FnMut(usize, u64) -> bool) -> Shrunk {
    let mut best = Shrunk { steps: only.to_vec(), ran: ran.clone(), tried: 0 };
    let Some(first) = &ran.found else { return best };
    let kind = first.kind();
    // A finding before the end is looked for before the end.
    let end = (first.step > ran.steps).then_some(ran.steps + 1);
    let shows = |steps: &[u64]| {
        let tried = run_list(ran.seed, ran.steps, steps.iter().copied().chain(end));
        tried.found.as_ref().is_some_and(|found| found.kind() == kind).then_some(tried)
    };
    forget_later(&mut best.steps, first);
    let mut size = best.steps.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        let mut shorter = false;
        while from < best.steps.len() {
            // The next spans, each left out of what is left so far.
            let spans: Vec<usize> = (from..best.steps.len()).step_by(size).take(jobs.max(1)).collect();
            let without = |from: usize| {
                let to = best.steps.len().min(from + size);
                best.steps[..from].iter().chain(&best.steps[to..]).copied().collect::<Vec<u64>>()
            };
            let rests: Vec<Vec<u64>> = spans.iter().map(|&from| without(from)).collect();
            let tried: Vec<Option<Ran>> = std::thread::scope(|scope| {
                let others: Vec<_> = rests[1..].iter().map(|rest| scope.spawn(|| shows(rest))).collect();
                let mut tried = vec![shows(&rests[0])];
                tried.extend(others.into_iter().map(|other| other.join().unwrap_or(None)));
                tried
            });
            best.tried += tried.len() as u64;
            from = match tried.into_iter().zip(rests).zip(&spans).find(|((tried, _), _)| tried.is_some()) {
                Some(((Some(ran), rest), &span)) => {
                    best.steps = rest;
                    forget_later(&mut best.steps, ran.found.as_ref().expect("it shows it"));
                    best.ran = ran;
                    shorter = true;
                    span
                }
                _ => from + size * spans.len(),
            };
            if !go_on(best.steps.len(), best.tried) {
                return best;
            }
        }
        if !(shorter && size == 1) {
            size = if size > 1 { size.div_ceil(2) } else { 0 };
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
        let (from, to) = (from.parse::<u64>().ok()?, to.parse::<u64>().ok()?);
        if to > STEPS_MAX {
            return None;
        }
        steps.extend(from..=to);
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
        assert_eq!((read("1,x"), read("3,2"), read("2,2"), read("1-999999999999")), (None, None, None, None));
    }
}
