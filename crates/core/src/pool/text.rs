//! The one text that the rules write themselves: what the job of an offer carries.

use alloc::format;
use alloc::string::String;

use super::GrantId;
use crate::id::Time;

/// An offer as JSON, for whoever tells the holder.
pub(crate) fn offer_payload(
    grant: GrantId,
    pool: &str,
    holder: &str,
    units: u32,
    expires_at: Time,
) -> String {
    let mut text = format!("{{\"grant\":\"{grant}\",\"fence\":{},\"units\":{units}", grant.fence());
    for (name, value) in [("pool", pool), ("holder", holder)] {
        text.push_str(&format!(",\"{name}\":"));
        push_json(&mut text, value);
    }
    text.push_str(",\"expires_at\":\"");
    push_moment(&mut text, expires_at);
    text.push_str("\"}");
    text
}

fn push_json(text: &mut String, value: &str) {
    text.push('"');
    for char in value.chars() {
        match char {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            char if char < ' ' => text.push_str(&format!("\\u{:04x}", u32::from(char))),
            char => text.push(char),
        }
    }
    text.push('"');
}

/// A moment as RFC 3339 writes it, to the millisecond, in UTC.
fn push_moment(text: &mut String, at: Time) {
    let (days, of_day) = (at.0 / 86_400_000, at.0 % 86_400_000);
    // The civil date of a day number (Hinnant's algorithm): years that begin in March put the leap day last.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, ms) = (of_day / 1_000 % 60, of_day % 1_000);
    text.push_str(&format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_json_with_a_moment_that_people_can_read() {
        let holder = "s 1\\\u{1f}\n\u{7f}é";
        let text = offer_payload(GrantId::new(0, 7), "cs\"101", holder, 2, Time(1_700_000_000_123));
        assert_eq!(
            text,
            "{\"grant\":\"0-7\",\"fence\":7,\"units\":2,\"pool\":\"cs\\\"101\",\
             \"holder\":\"s 1\\\\\\u001f\\u000a\u{7f}é\",\
             \"expires_at\":\"2023-11-14T22:13:20.123Z\"}"
        );
    }

    #[test]
    fn moments_are_dates() {
        for (ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_735_689_600_000, "2025-01-01T00:00:00.000Z"),
        ] {
            let mut text = String::new();
            push_moment(&mut text, Time(ms));
            assert_eq!(text, expected);
        }
    }

    /// By counting days: more than the four hundred years in which leap years repeat.
    #[test]
    fn every_month_has_its_days() {
        let mut days = 0;
        for year in 1970_u64..2_410 {
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let february = if is_leap { 29 } else { 28 };
            for (month, length) in (1..).zip([31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
                for day in [1, length] {
                    let mut text = String::new();
                    push_moment(&mut text, Time((days + day - 1) * 86_400_000));
                    assert_eq!(text, format!("{year}-{month:02}-{day:02}T00:00:00.000Z"));
                }
                days += length;
            }
        }
    }
}
