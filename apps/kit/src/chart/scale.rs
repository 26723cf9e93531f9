//! An axis: from values to places, with ticks at numbers a reader counts in.

use crate::words::thousands;

/// Ticks on an axis of time, at most.
const TIME_TICKS_MAX: f64 = 12.0;
/// Seconds that a time axis counts in.
const TIME_STEPS: [f64; 14] =
    [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0, 1_800.0, 3_600.0];

/// An axis.
#[derive(Debug)]
pub struct Scale {
    /// The values at the axis' beginning and end.
    span: (f64, f64),
    /// Between two ticks of an axis whose steps are even.
    step: f64,
    place: (f64, f64),
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Unit {
    Count,
    Time,
    /// Milliseconds; each step is ten times the one before.
    Latency,
}

impl Scale {
    /// An axis of whole numbers from zero up to a tick that is not below `most`, in at most so many steps.
    #[must_use]
    pub fn count(most: f64, steps: f64, place: (f64, f64)) -> Scale {
        let most = most.max(1.0);
        // Room of a fiftieth above the highest point.
        let step = round_step(most * 1.02 / steps).max(1.0);
        Scale { span: (0.0, (most * 1.02 / step).ceil() * step), step, place, unit: Unit::Count }
    }

    /// An axis of latencies in powers of ten, from one that is not over `least` to one that is not below `most`, in
    /// milliseconds.
    #[must_use]
    pub fn latency(least: f64, most: f64, place: (f64, f64)) -> Scale {
        let (from, to) = (least.max(0.01).log10().floor(), most.max(0.1).log10().ceil());
        Scale { span: (from, to.max(from + 1.0)), step: 1.0, place, unit: Unit::Latency }
    }

    /// An axis of time up to `end` seconds.
    #[must_use]
    pub fn time(end: f64, place: (f64, f64)) -> Scale {
        let end = end.max(1.0);
        let fits = |step: &&f64| end / **step <= TIME_TICKS_MAX;
        let longest = TIME_STEPS[TIME_STEPS.len() - 1];
        let step = TIME_STEPS.iter().find(fits).copied();
        let step = step.unwrap_or_else(|| (end / TIME_TICKS_MAX / longest).ceil() * longest);
        Scale { span: (0.0, end), step, place, unit: Unit::Time }
    }

    /// Where a value is; what is beyond the axis is at its end.
    #[must_use]
    pub fn at(&self, value: f64) -> f64 {
        let value = if self.unit == Unit::Latency { value.max(1e-6).log10() } else { value };
        let share = ((value - self.span.0) / (self.span.1 - self.span.0)).clamp(0.0, 1.0);
        self.place.0 + share * (self.place.1 - self.place.0)
    }

    /// Where the axis begins.
    #[must_use]
    pub fn begin(&self) -> f64 {
        self.place.0
    }

    /// Each tick with its text.
    #[must_use]
    pub fn ticks(&self) -> Vec<(f64, String)> {
        let count = ((self.span.1 - self.span.0) / self.step + 1e-9).floor() as usize;
        let value = |tick: usize| self.span.0 + tick as f64 * self.step;
        let shown = |value: f64| if self.unit == Unit::Latency { 10f64.powf(value) } else { value };
        (0..=count).map(value).map(shown).map(|value| (value, self.text(value))).collect()
    }

    fn text(&self, value: f64) -> String {
        match self.unit {
            Unit::Count => thousands(value.round() as u64),
            Unit::Time if self.step >= 60.0 => format!("{} min", value / 60.0),
            Unit::Time => format!("{value} s"),
            Unit::Latency if value >= 999.0 => format!("{} s", (value / 1_000.0).round()),
            Unit::Latency => format!("{} ms", (value * 100.0).round() / 100.0),
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
            texts(&Scale::count(81_230.0, 6.0, place)),
            ["0", "20,000", "40,000", "60,000", "80,000", "100,000"]
        );
        assert_eq!(texts(&Scale::count(10_000.0, 4.0, place)), ["0", "5,000", "10,000", "15,000"]);
        assert_eq!(texts(&Scale::count(0.0, 6.0, place)), ["0", "1", "2"]);
        assert_eq!(texts(&Scale::time(13.0, place)), ["0 s", "2 s", "4 s", "6 s", "8 s", "10 s", "12 s"]);
        assert_eq!(texts(&Scale::time(250.0, place)).last().expect("a tick"), "240 s");
        assert_eq!(texts(&Scale::time(700.0, place)).last().expect("a tick"), "11 min");
        let latencies = Scale::latency(0.4, 2_300.0, place);
        assert_eq!(texts(&latencies), ["0.1 ms", "1 ms", "10 ms", "100 ms", "1 s", "10 s"]);
    }

    #[test]
    fn values_are_placed_within_the_axis() {
        let scale = Scale::count(98.0, 4.0, (400.0, 100.0));
        assert_eq!((scale.at(0.0), scale.at(50.0), scale.at(1e9)), (400.0, 250.0, 100.0));
        let latencies = Scale::latency(1.0, 100.0, (400.0, 100.0));
        assert_eq!((latencies.at(0.0), latencies.at(10.0), latencies.at(100.0)), (400.0, 250.0, 100.0));
    }
}
