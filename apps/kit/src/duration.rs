//! Durations as people write them: `250ms`, `3s`, `10m`, `1h`; and as they read them.

use std::time::Duration;

/// Reads a duration; it has a unit.
///
/// # Errors
/// In words, for whoever wrote it.
pub fn parse(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let wrong = || format!("{text:?} is no duration; write 250ms, 3s, 10m or 1h");
    let number: u32 = number.parse().map_err(|_| wrong())?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    Ok(Duration::from_millis(u64::from(number) * unit_ms))
}

/// A duration as `parse` reads it; what is below a millisecond is left out.
#[must_use]
pub fn write(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let (unit, factor) =
        units.into_iter().find(|(_, factor)| ms.is_multiple_of(*factor) && ms > 0).unwrap_or(("s", 1_000));
    format!("{}{unit}", ms / factor)
}

/// A latency for the eye, with three digits or so: `0.42 ms`, `12.3 ms`, `1.40 s`.
#[must_use]
pub fn latency(us: u64) -> String {
    let ms = us as f64 / 1_000.0;
    match us {
        0..10_000 => format!("{ms:.2} ms"),
        10_000..100_000 => format!("{ms:.1} ms"),
        100_000..1_000_000 => format!("{ms:.0} ms"),
        1_000_000..10_000_000 => format!("{:.2} s", ms / 1_000.0),
        _ => format!("{:.1} s", ms / 1_000.0),
    }
}

/// A span for the eye: `84.2 s`, `12 m 5 s`.
#[must_use]
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds < 120.0 {
        true => format!("{seconds:.1} s"),
        false => format!("{} m {} s", seconds as u64 / 60, seconds as u64 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_written_as_it_is_read() {
        for text in ["250ms", "3s", "10m", "1h", "1500ms", "90s", "0s"] {
            assert_eq!(write(parse(text).expect("a duration")), text);
        }
        for text in ["", "s", "3", "-1s", "1.5s", "3 s", "1d", "99999999999s"] {
            parse(text).expect_err(text);
        }
    }

    #[test]
    fn the_eye_gets_about_three_digits() {
        let found = [420, 12_345, 140_200, 1_400_000, 84_200_000].map(latency);
        assert_eq!(found, ["0.42 ms", "12.3 ms", "140 ms", "1.40 s", "84.2 s"]);
        assert_eq!(span(Duration::from_millis(84_240)), "84.2 s");
        assert_eq!(span(Duration::from_secs(725)), "12 m 5 s");
    }
}
