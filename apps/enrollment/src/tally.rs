//! The numbers of the day, for the registrar: what was asked, what came of it, and how long it took. They begin with the
//! process; what is durable is with the seats.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::seats::Moment;

/// Seconds that the picture goes back.
const SECONDS: usize = 120;
/// The longest answer that is told apart.
const LONGEST_US: u64 = 60_000_000;

/// One second of the day.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Second {
    /// Which, since 1970.
    pub at: u64,
    /// Changes that were done: enrolments, drops, swaps, places in line.
    pub done: u32,
    /// Changes that were refused.
    pub refused: u32,
    /// Times that somebody looked.
    pub reads: u32,
}

/// What the registrar sees.
#[derive(Debug, Serialize)]
pub struct Picture {
    /// Since when the numbers count.
    pub since: Moment,
    /// What was done, by name.
    pub done: BTreeMap<&'static str, u64>,
    /// What was refused, by code.
    pub refused: BTreeMap<&'static str, u64>,
    /// Times that somebody looked.
    pub reads: u64,
    /// Half of the clicks were answered within so many milliseconds.
    pub p50_ms: f64,
    /// All but one in a hundred were.
    pub p99_ms: f64,
    /// The last two minutes.
    pub seconds: Vec<Second>,
}

/// Counts.
#[derive(Debug)]
pub struct Tally(Mutex<Counts>);

#[derive(Debug)]
struct Counts {
    since: Moment,
    done: BTreeMap<&'static str, u64>,
    refused: BTreeMap<&'static str, u64>,
    reads: u64,
    took_us: Histogram<u64>,
    seconds: VecDeque<Second>,
}

impl Tally {
    /// Nothing yet.
    ///
    /// # Panics
    /// Never: the histogram's bounds are right.
    #[must_use]
    pub fn new(now: Moment) -> Self {
        Self(Mutex::new(Counts {
            since: now,
            done: BTreeMap::new(),
            refused: BTreeMap::new(),
            reads: 0,
            took_us: Histogram::new_with_bounds(1, LONGEST_US, 2).expect("bounds of a histogram"),
            seconds: VecDeque::new(),
        }))
    }

    /// A change was asked for, and answered after so long: done, or refused with a code.
    pub fn answered(&self, what: &'static str, refused: Option<&'static str>, took: Duration, now: Moment) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.took_us.saturating_record(took.as_micros().min(LONGEST_US.into()) as u64);
        let second = counts.second(now);
        match refused {
            None => {
                second.done += 1;
                *counts.done.entry(what).or_default() += 1;
            }
            Some(code) => {
                second.refused += 1;
                *counts.refused.entry(code).or_default() += 1;
            }
        }
    }

    /// Somebody looked.
    pub fn read(&self, now: Moment) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.reads += 1;
        counts.second(now).reads += 1;
    }

    /// All of it.
    #[must_use]
    pub fn picture(&self, now: Moment) -> Picture {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.second(now);
        let ms = |quantile| counts.took_us.value_at_quantile(quantile) as f64 / 1_000.0;
        Picture {
            since: counts.since,
            done: counts.done.clone(),
            refused: counts.refused.clone(),
            reads: counts.reads,
            p50_ms: ms(0.5),
            p99_ms: ms(0.99),
            seconds: counts.seconds.iter().copied().collect(),
        }
    }
}

impl Counts {
    /// The second that `now` is in. A gap is filled, so that the picture's seconds are seconds.
    fn second(&mut self, now: Moment) -> &mut Second {
        let at = now / 1_000;
        let last = self.seconds.back().map_or(at, |second| second.at);
        let first =
            if self.seconds.is_empty() { at } else { (last + 1).max(at.saturating_sub(SECONDS as u64)) };
        for at in first..=at {
            self.seconds.push_back(Second { at, ..Second::default() });
        }
        while self.seconds.len() > SECONDS {
            self.seconds.pop_front();
        }
        // A clock that was set back counts for the last second there is.
        self.seconds.back_mut().expect("one was there or was just added")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_second_is_in_the_picture() {
        let tally = Tally::new(0);
        tally.answered("enrol", None, Duration::from_millis(2), 1_000);
        tally.answered("enrol", Some("sold_out"), Duration::from_millis(4), 1_900);
        tally.read(4_000);
        let picture = tally.picture(4_500);
        let seconds: Vec<_> = picture
            .seconds
            .iter()
            .map(|second| (second.at, second.done, second.refused, second.reads))
            .collect();
        assert_eq!(seconds, [(1, 1, 1, 0), (2, 0, 0, 0), (3, 0, 0, 0), (4, 0, 0, 1)]);
        assert_eq!((picture.done["enrol"], picture.refused["sold_out"], picture.reads), (1, 1, 1));
        assert!(picture.p99_ms >= picture.p50_ms && picture.p50_ms >= 2.0);
        assert_eq!(tally.picture(4_000_000).seconds.len(), SECONDS);
    }
}
