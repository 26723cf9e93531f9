//! How fast lines move, and what may honestly be said about when somebody's turn comes.
//!
//! An estimate is reckoned from the offers that this line was seen to make: so many in so long. With fewer than
//! [`OFFERS_MIN`] of them nothing is known, and that is what is said.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::catalogue::SectionId;
use crate::seats::Moment;

/// Offers from which a pace may be reckoned.
pub const OFFERS_MIN: usize = 3;
/// Offers of a line that are remembered.
const REMEMBERED: usize = 50;
/// How long they are.
const REMEMBERED_MS: u64 = 2 * 3_600_000;

/// When somebody's turn may come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// Seconds from now, from and to; none if it is not known yet.
    pub seconds: Option<(u64, u64)>,
    /// How it was reckoned, or why it is not known.
    pub how: String,
}

/// The offers of all lines that this process has seen.
#[derive(Debug, Default)]
pub struct Pace {
    lines: Mutex<HashMap<SectionId, VecDeque<Moment>>>,
}

impl Pace {
    /// A line made an offer.
    pub fn offered(&self, section: &SectionId, now: Moment) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.entry(section.clone()).or_default();
        line.push_back(now);
        if line.len() > REMEMBERED {
            line.pop_front();
        }
    }

    /// What can be said to somebody with so many before them.
    #[must_use]
    pub fn estimate(&self, section: &SectionId, ahead: u32, now: Moment) -> Estimate {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let offers = lines.get_mut(section).map_or(&[][..], |line| {
            while line.front().is_some_and(|first| first + REMEMBERED_MS < now) {
                line.pop_front();
            }
            line.make_contiguous()
        });
        estimate(offers, ahead, now)
    }
}

/// The pace of `offers` carried on. The time since the first of them counts to now: a line that has stopped moving slows the
/// estimate down with every minute.
fn estimate(offers: &[Moment], ahead: u32, now: Moment) -> Estimate {
    let count = offers.len();
    let Some(first) = offers.first().filter(|_| count >= OFFERS_MIN) else {
        let seen = match count {
            0 => "no offer was seen in this line yet".to_owned(),
            1 => "only one offer was seen in this line".to_owned(),
            _ => format!("only {count} offers were seen in this line"),
        };
        return Estimate {
            seconds: None,
            how: format!("Not known yet: {seen}, and {OFFERS_MIN} are needed."),
        };
    };
    let span = now.saturating_sub(*first).max(1);
    let each = span / count as u64;
    let expected = each * (u64::from(ahead) + 1) / 1_000;
    let how = format!(
        "Reckoned from the last {count} offers in this line, in {}. It is a guess: half of it or twice as long is as likely.",
        minutes(span)
    );
    Estimate { seconds: Some((expected / 2, expected * 2)), how }
}

fn minutes(span_ms: u64) -> String {
    match span_ms / 60_000 {
        0 => format!("{} s", span_ms / 1_000),
        minutes => format!("{minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_said() {
        for offers in [&[][..], &[1_000], &[1_000, 2_000]] {
            let told = estimate(offers, 0, 60_000);
            assert_eq!(told.seconds, None);
            assert!(told.how.starts_with("Not known yet"), "{}", told.how);
        }
    }

    #[test]
    fn the_pace_that_was_seen_is_carried_on() {
        // Four offers in four minutes, and two before: about three minutes.
        let offers = [0, 60_000, 120_000, 180_000];
        assert_eq!(estimate(&offers, 2, 240_000).seconds, Some((90, 360)));
        // The same line an hour later without another offer is no such line any more.
        assert_eq!(estimate(&offers, 2, 3_600_000).seconds, Some((1_350, 5_400)));
    }

    #[test]
    fn old_offers_are_forgotten() {
        let (pace, section) = (Pace::default(), SectionId::from("cs101-1"));
        for at in [0, 1_000, 2_000] {
            pace.offered(&section, at);
        }
        assert!(pace.estimate(&section, 0, 4_000).seconds.is_some());
        assert!(pace.estimate(&section, 0, 4_000 + REMEMBERED_MS).seconds.is_none());
        assert!(pace.estimate(&"cs101-2".into(), 0, 4_000).seconds.is_none(), "each line has its own pace");
    }
}
