//! An axis: from values to places, with ticks at numbers a reader counts in.

use crate::surge::report::thousands;

/// Ticks on an axis, at most.
const TICKS_MAX: f64 = 6.0;
const FEW_TICKS_MAX: f64 = 3.0;
const TIME_TICKS_MAX: f64 = 12.0;
/// Seconds that a time axis counts in.
const TIME_STEPS: [f64; 14] =
    [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0, 1_800.0, 3_600.0];

/// A linear axis that begins at zero.
pub(super) struct Scale {
    /// The value at the axis' end.
    end: f64,
    /// Between two ticks.
    step: f64,
    place: (f64, f64),
    unit: Unit,
}

enum Unit {
    Count,
    Time,
}

impl Scale {
    /// An axis of whole numbers up to a tick that is not below `most`.
    pub(super) fn count(most: f64, place: (f64, f64)) -> Scale {
        Scale::whole(most, TICKS_MAX, place)
    }

    /// The same for a low frame.
    pub(super) fn few_counts(most: f64, place: (f64, f64)) -> Scale {
        Scale::whole(most, FEW_TICKS_MAX, place)
    }

    fn whole(most: f64, ticks: f64, place: (f64, f64)) -> Scale {
        let most = most.max(1.0);
        // Room of a fiftieth above the highest point.
        let step = round_step(most * 1.02 / ticks).max(1.0);
        Scale { end: (most * 1.02 / step).ceil() * step, step, place, unit: Unit::Count }
    }

    /// An axis of time up to `end` seconds.
    pub(super) fn time(end: f64, place: (f64, f64)) -> Scale {
        let end = end.max(1.0);
        let fits = |step: &&f64| end / **step <= TIME_TICKS_MAX;
        let longest = TIME_STEPS[TIME_STEPS.len() - 1];
        let step = TIME_STEPS.iter().find(fits).copied();
        let step = step.unwrap_or_else(|| (end / TIME_TICKS_MAX / longest).ceil() * longest);
        Scale { end, step, place, unit: Unit::Time }
    }

    /// Where a value is; what is beyond the axis is at its end.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = (value / self.end).clamp(0.0, 1.0);
        self.place.0 + share * (self.place.1 - self.place.0)
    }

    /// Each tick with its text.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let count = (self.end / self.step + 1e-9).floor() as usize;
        (0..=count).map(|tick| tick as f64 * self.step).map(|value| (value, self.text(value))).collect()
    }

    fn text(&self, value: f64) -> String {
        match self.unit {
            Unit::Count => thousands(value.round() as u64),
            Unit::Time if self.step >= 60.0 => format!("{} min", value / 60.0),
            Unit::Time => format!("{value} s"),
        }
    }
}

/// 1, 2 or 5 times a power of ten, not below `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    steps.into_iter().find(|step| *step >= least * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(scale: &Scale) -> Vec<String> {
        scale.ticks().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_numbers_up_to_the_highest_value() {
        let place = (0.0, 100.0);
        assert_eq!(
            texts(&Scale::count(81_230.0, place)),
            ["0", "20,000", "40,000", "60,000", "80,000", "100,000"]
        );
        assert_eq!(texts(&Scale::few_counts(10_000.0, place)), ["0", "5,000", "10,000", "15,000"]);
        assert_eq!(texts(&Scale::count(0.0, place)), ["0", "1", "2"]);
        assert_eq!(texts(&Scale::time(13.0, place)), ["0 s", "2 s", "4 s", "6 s", "8 s", "10 s", "12 s"]);
        assert_eq!(texts(&Scale::time(250.0, place)).last().expect("a tick"), "240 s");
        assert_eq!(texts(&Scale::time(700.0, place)).last().expect("a tick"), "11 min");
    }

    #[test]
    fn values_are_placed_within_the_axis() {
        let scale = Scale::count(98.0, (400.0, 100.0));
        assert_eq!((scale.at(0.0), scale.at(50.0), scale.at(1e9)), (400.0, 250.0, 100.0));
    }
}
