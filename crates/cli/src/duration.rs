//! Durations as people write them: `250ms`, `30s`, `5m`, `2h`, `7d`; a bare number is milliseconds.

use std::{fmt, str::FromStr, time::Duration};

/// A span of whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Millis(pub(crate) u64);

/// Units from large to small, so that the first that divides evenly is the one to write.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Millis {
    pub(crate) fn as_duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl FromStr for Millis {
    type Err = String;

    fn from_str(text: &str) -> Result<Millis, String> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let wrong = || format!("{text:?} is no duration; write 250ms, 30s, 5m, 2h or 7d");
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let factor = match unit {
            "" => 1,
            unit => UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1,
        };
        number
            .checked_mul(factor)
            .map(Millis)
            .ok_or_else(|| format!("{text:?} is longer than time can be counted"))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let (unit, factor) =
            UNITS.iter().find(|(_, factor)| self.0.is_multiple_of(*factor)).expect("1 divides all");
        write!(f, "{}{unit}", self.0 / factor)
    }
}

/// A span for the eye: the two largest units, such as `2h 5m` or `1.4s`.
pub(crate) fn rough(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{}m {}s", ms / 60_000, ms % 60_000 / 1_000),
        3_600_000..86_400_000 => format!("{}h {}m", ms / 3_600_000, ms % 3_600_000 / 60_000),
        _ => format!("{}d {}h", ms / 86_400_000, ms % 86_400_000 / 3_600_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<u64>) {
        assert_eq!(text.parse::<Millis>().ok().map(|millis| millis.0), expected, "{text:?}");
    }

    #[test]
    fn a_duration_has_a_unit_or_is_in_milliseconds() {
        check("250ms", Some(250));
        check("1500", Some(1_500));
        check("30s", Some(30_000));
        check("5m", Some(300_000));
        check("2h", Some(7_200_000));
        check("7d", Some(604_800_000));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in
            ["", "s", "-1s", "1.5s", "1 s", "1w", "30 seconds", "99999999999999999999", "999999999999999d"]
        {
            check(text, None);
        }
    }

    #[test]
    fn a_duration_is_written_as_it_can_be_read() {
        for ms in [0, 1, 999, 1_000, 1_500, 60_000, 90_000, 7_200_000, 86_400_000] {
            check(&Millis(ms).to_string(), Some(ms));
        }
        assert_eq!(Millis(90_000).to_string(), "90s");
    }

    #[test]
    fn a_rough_span_has_at_most_two_units() {
        let found: Vec<String> = [7, 1_449, 125_000, 7_500_000, 180_000_000].map(rough).into();
        assert_eq!(found, ["7ms", "1.4s", "2m 5s", "2h 5m", "2d 2h"]);
    }
}
