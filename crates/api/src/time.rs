//! Moments on the wire: RFC 3339, written in UTC with exactly three decimals.
//!
//! A moment is a count of milliseconds since 1970-01-01T00:00:00Z. Reading takes any offset and any number of
//! decimals (what is finer than a millisecond is cut); writing is always `2026-11-22T13:00:00.123Z`. The
//! arithmetic is that of the proleptic Gregorian calendar; there are no time zones and no clock in this file.

use std::fmt;
use std::str::FromStr;

/// A moment, in milliseconds since the Unix epoch; at most the last millisecond of the year 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// The text is not a moment that the wire can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotATimestamp;

/// The length of every written moment.
const WRITTEN_BYTES: usize = "2026-11-22T13:00:00.123Z".len();
const DAY_MS: u64 = 86_400_000;

impl Timestamp {
    /// The last moment: 9999-12-31T23:59:59.999Z.
    pub const MAX: Self = Self(253_402_300_799_999);
    /// How a moment is written, in words for a refusal.
    pub const ALLOWED: &'static str =
        "an RFC 3339 time between 1970 and 9999, as in \"2026-11-22T13:00:00.123Z\"";

    /// The moment `ms` milliseconds after the Unix epoch; moments after the year 9999 become [`Timestamp::MAX`].
    pub fn from_unix_ms(ms: u64) -> Self {
        Self(ms.min(Self::MAX.0))
    }

    /// Milliseconds since the Unix epoch.
    pub fn unix_ms(self) -> u64 {
        self.0
    }

    /// Appends the moment's text to `out`: 24 bytes, without quotes.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_text());
    }

    fn to_text(self) -> [u8; WRITTEN_BYTES] {
        let (year, month, day) = civil_from_days(self.0 / DAY_MS);
        let ms = self.0 % DAY_MS;
        let mut text = *b"0000-00-00T00:00:00.000Z";
        write_digits(&mut text[0..4], year);
        write_digits(&mut text[5..7], month);
        write_digits(&mut text[8..10], day);
        write_digits(&mut text[11..13], ms / 3_600_000);
        write_digits(&mut text[14..16], ms / 60_000 % 60);
        write_digits(&mut text[17..19], ms / 1_000 % 60);
        write_digits(&mut text[20..23], ms % 1_000);
        text
    }
}

impl FromStr for Timestamp {
    type Err = NotATimestamp;

    fn from_str(text: &str) -> Result<Self, NotATimestamp> {
        read_timestamp(text.as_bytes()).ok_or(NotATimestamp)
    }
}

fn read_timestamp(text: &[u8]) -> Option<Timestamp> {
    let mut rest = text;
    let year = read_digits(&mut rest, 4)?;
    read_byte(&mut rest, b"-")?;
    let month = read_digits(&mut rest, 2)?;
    read_byte(&mut rest, b"-")?;
    let day = read_digits(&mut rest, 2)?;
    read_byte(&mut rest, b"Tt ")?;
    let hour = read_digits(&mut rest, 2)?;
    read_byte(&mut rest, b":")?;
    let minute = read_digits(&mut rest, 2)?;
    read_byte(&mut rest, b":")?;
    let second = read_digits(&mut rest, 2)?;
    let ms = read_fraction_ms(&mut rest)?;
    let offset_ms = read_offset_ms(&mut rest)?;

    let date_exists =
        year >= 1970 && (1..=12).contains(&month) && day >= 1 && day <= days_of_month(year, month);
    // A leap second (60) is read as the second that follows it: our count of milliseconds has no room for it.
    if !date_exists || hour > 23 || minute > 59 || second > 60 || !rest.is_empty() {
        return None;
    }
    let local_ms =
        days_from_civil(year, month, day) * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1_000 + ms;
    let unix_ms = local_ms.checked_add_signed(-offset_ms)?;
    (unix_ms <= Timestamp::MAX.0).then_some(Timestamp(unix_ms))
}

/// Reads exactly `count` digits.
fn read_digits(rest: &mut &[u8], count: usize) -> Option<u64> {
    let (digits, after) = rest.split_at_checked(count)?;
    *rest = after;
    digits
        .iter()
        .try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + u64::from(digit - b'0')))
}

/// Reads one byte, which must be one of `allowed`.
fn read_byte(rest: &mut &[u8], allowed: &[u8]) -> Option<u8> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    allowed.contains(first).then_some(*first)
}

/// Reads `.` and at least one decimal, if there is a point, and cuts to milliseconds.
fn read_fraction_ms(rest: &mut &[u8]) -> Option<u64> {
    let Some((b'.', after)) = rest.split_first() else { return Some(0) };
    let count = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (decimals, after) = after.split_at(count);
    *rest = after;
    let thousandths = decimals.iter().chain(b"00").take(3);
    (count > 0).then(|| thousandths.fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}

/// Reads `Z` or `+hh:mm` or `-hh:mm`: how far the written time is ahead of UTC.
fn read_offset_ms(rest: &mut &[u8]) -> Option<i64> {
    let sign = match read_byte(rest, b"Zz+-")? {
        b'+' => 1,
        b'-' => -1,
        _ => return Some(0),
    };
    let hours = read_digits(rest, 2)?;
    read_byte(rest, b":")?;
    let minutes = read_digits(rest, 2)?;
    (hours <= 23 && minutes <= 59).then(|| sign * (hours * 60 + minutes) as i64 * 60_000)
}

fn write_digits(out: &mut [u8], mut value: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of_month(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days before March 1st of year 0 … before 1970-01-01: the calendar is counted in years that begin in March,
/// so that the leap day is a year's last and months have a regular pattern of lengths (153 days in five).
const MARCH_ZERO_TO_EPOCH_DAYS: u64 = 719_468;
const ERA_DAYS: u64 = 146_097; // 400 years

fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - MARCH_ZERO_TO_EPOCH_DAYS
}

fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + MARCH_ZERO_TO_EPOCH_DAYS;
    let day_of_era = days % ERA_DAYS;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (days / ERA_DAYS * 400 + year_of_era + u64::from(month <= 2), month, day)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_text()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Display for NotATimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this is not {}", Timestamp::ALLOWED)
    }
}

impl std::error::Error for NotATimestamp {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected_ms: Option<u64>) {
        assert_eq!(text.parse().ok().map(Timestamp::unix_ms), expected_ms, "{text:?}");
    }

    #[test]
    fn known_moments_are_read() {
        check("1970-01-01T00:00:00Z", Some(0));
        check("2000-02-29T12:34:56.789Z", Some(951_827_696_789));
        check("2026-11-22T13:00:00.123Z", Some(1_795_352_400_123));
        check("2026-11-22t14:30:00.123+01:30", Some(1_795_352_400_123));
        check("2026-11-22 08:00:00.123-05:00", Some(1_795_352_400_123));
        check("9999-12-31T23:59:59.999Z", Some(Timestamp::MAX.unix_ms()));
    }

    #[test]
    fn decimals_finer_than_a_millisecond_are_cut() {
        check("1970-01-01T00:00:00.1Z", Some(100));
        check("1970-01-01T00:00:00.0019999Z", Some(1));
    }

    #[test]
    fn a_leap_second_is_read_as_the_second_after_it() {
        check("2016-12-31T23:59:60Z", Some(1_483_228_800_000));
    }

    #[test]
    fn what_is_not_a_moment_is_refused() {
        for text in [
            "",
            "2026-11-22",
            "2026-11-22T13:00:00",
            "2026-11-22T13:00Z",
            "2026-11-22T13:00:00.Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T13:60:00Z",
            "2026-11-22T13:00:61Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "2026-11-22T13:00:00+24:00",
            "2026-11-22T13:00:00+0100",
            "2026-11-22T13:00:00Zz",
            "+026-11-22T13:00:00Z",
            "２026-11-22T13:00:00Z",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn every_day_of_eight_thousand_years_follows_the_one_before() {
        let mut expected = (1970, 1, 1);
        for days in 0..=Timestamp::MAX.0 / DAY_MS {
            assert_eq!(civil_from_days(days), expected);
            let (year, month, day) = expected;
            assert_eq!(days_from_civil(year, month, day), days);
            expected = match (month, day == days_of_month(year, month)) {
                (12, true) => (year + 1, 1, 1),
                (_, true) => (year, month + 1, 1),
                (_, false) => (year, month, day + 1),
            };
        }
        assert_eq!(expected, (10_000, 1, 1));
    }

    proptest! {
        #[test]
        fn a_moment_survives_being_written_and_read(ms in 0..=Timestamp::MAX.0) {
            let moment = Timestamp::from_unix_ms(ms);
            prop_assert_eq!(moment.to_string().parse(), Ok(moment));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "[0-9TZ:+. -]{0,40}|.{0,40}") {
            let _ = text.parse::<Timestamp>();
        }
    }
}
