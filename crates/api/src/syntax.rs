//! The checks of single values: names, keys, ranges, sizes.
//!
//! Each takes the path of the field it looks at, and its refusal says the path, the value and what is allowed.
//! The limits come from [`crate::limits`].

use std::ops::RangeInclusive;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::limits;
use crate::refusal::{Refusal, Refused};
use crate::value::{Metadata, RawJson, Text};

/// What a check says.
pub type Checked = Result<(), Refused>;

/// How names are written, in words.
pub const NAME_ALLOWED: &str = "1 to 128 characters of A-Z a-z 0-9 . _ : - with at most one @ between them";
/// How the place in a name is written, in words.
pub const PLACE_ALLOWED: &str = "1 to 128 characters of A-Z a-z 0-9 . _ : -";
/// How base64 is written, in words.
pub const BASE64_ALLOWED: &str = "standard base64 with padding (RFC 4648, section 4)";

/// A name of a queue, a pool, a group, a kind or a dependency.
pub fn name(field: &str, value: &str) -> Checked {
    ensure(is_name(value), || Refusal::invalid_value(field, value, NAME_ALLOWED))
}

/// Words that stand in paths where a pool's name could. No pool is called so, whichever way it is asked for.
pub const POOL_WORDS: [&str; 2] = ["watch", "requests"];

/// A pool's name, under the field `pool`.
pub fn pool_name(value: &str) -> Checked {
    name("pool", value)?;
    ensure(!POOL_WORDS.contains(&value), || {
        let allowed = "a name other than `watch` and `requests`, which are paths of their own";
        Refusal::invalid_value("pool", value, allowed)
    })
}

/// A list of names; the refusal says which of them it means.
pub fn names(field: &str, values: &[Text<'_>]) -> Checked {
    match values.iter().position(|value| !is_name(value)) {
        Some(i) => name(&format!("{field}[{i}]"), &values[i]),
        None => Ok(()),
    }
}

/// What stands behind the `@` of names: it says what lies together.
pub fn place(field: &str, value: &str) -> Checked {
    ensure(is_name(value) && !value.contains('@'), || Refusal::invalid_value(field, value, PLACE_ALLOWED))
}

fn is_name(value: &str) -> bool {
    let of_its_alphabet =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-' | b'@');
    limits::NAME_BYTES.contains(&(value.len() as u64))
        && value.bytes().all(of_its_alphabet)
        && value
            .split_once('@')
            .is_none_or(|(name, place)| !name.is_empty() && !place.is_empty() && !place.contains('@'))
}

/// An ordering key, a fairness key or a unique key.
pub fn key(field: &str, value: &str) -> Checked {
    text(field, value, &limits::KEY_BYTES)
}

/// Text without control characters, of so many bytes.
pub fn text(field: &str, value: &str, bytes: &RangeInclusive<u64>) -> Checked {
    // The fast path of nearly every key: printable ASCII, looked at byte by byte.
    let printable =
        value.bytes().all(|byte| matches!(byte, b' '..=b'~')) || !value.chars().any(char::is_control);
    let right = bytes.contains(&(value.len() as u64)) && printable;
    ensure(right, || Refusal::invalid_value(field, value, text_allowed(bytes)))
}

/// What [`text`] allows, in words.
pub fn text_allowed(bytes: &RangeInclusive<u64>) -> String {
    format!("{} bytes of text without control characters", range_allowed(bytes))
}

/// A number within its range.
pub fn range(field: &str, value: u64, range: &RangeInclusive<u64>) -> Checked {
    ensure(range.contains(&value), || Refusal::invalid_value(field, value, range_allowed(range)))
}

/// A number within its range, decimals allowed.
pub fn range_f64(field: &str, value: f64, range: &RangeInclusive<f64>) -> Checked {
    ensure(range.contains(&value), || Refusal::invalid_value(field, value, range_f64_allowed(range)))
}

/// What [`range()`] allows, in words.
pub fn range_allowed(range: &RangeInclusive<u64>) -> String {
    format!("{} to {}", range.start(), range.end())
}

/// What [`range_f64`] allows, in words.
pub fn range_f64_allowed(range: &RangeInclusive<f64>) -> String {
    format!("{} to {}", range.start(), range.end())
}

/// A list with as many items as it may have.
pub fn items(field: &str, count: usize, range: &RangeInclusive<u64>) -> Checked {
    if count as u64 > *range.end() {
        return Err(Box::new(Refusal::too_many_items(field, count, *range.end() as usize)));
    }
    ensure(range.contains(&(count as u64)), || {
        Refusal::invalid_value(field, count, format!("a list of {} items", range_allowed(range)))
    })
}

/// JSON whose text is neither too long nor nested too deep: whoever leases it must be able to read it.
pub fn json(field: &str, value: &RawJson<'_>, bytes_max: usize) -> Checked {
    let text = value.text();
    ensure(text.len() <= bytes_max, || Refusal::payload_too_large(field, text.len(), bytes_max))?;
    ensure(!is_deeper_than(text, limits::JSON_DEPTH_MAX), || {
        let allowed = format!("JSON nested at most {} deep", limits::JSON_DEPTH_MAX);
        Refusal::invalid_value(field, "JSON nested deeper", allowed)
    })
}

/// Whether a JSON text has more than `depth` objects and lists within one another. A text with no more brackets than that
/// cannot, which is one quick look and true of nearly all.
fn is_deeper_than(text: &str, depth: usize) -> bool {
    if memchr::memchr2_iter(b'[', b'{', text.as_bytes()).take(depth + 1).count() <= depth {
        return false;
    }
    let (mut open, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                open += 1;
                if open > depth {
                    return true;
                }
            }
            b']' | b'}' if !in_text => open = open.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Bytes in base64 that decode to at most `bytes_max`. The decoding itself is [`decode_base64`].
pub fn base64(field: &str, value: &str, bytes_max: usize) -> Checked {
    // Judged by its length before memory is taken for what it decodes to.
    let bytes = base64::decoded_len_estimate(value.len())
        .saturating_sub(value.len() - value.trim_end_matches('=').len());
    ensure(bytes <= bytes_max, || Refusal::payload_too_large(field, bytes, bytes_max))?;
    decode_base64(field, value).map(drop)
}

/// The bytes that `value` says in base64.
pub fn decode_base64(field: &str, value: &str) -> Result<Vec<u8>, Refused> {
    BASE64.decode(value).map_err(|_| Box::new(Refusal::invalid_value(field, value, BASE64_ALLOWED)))
}

/// The base64 of `bytes`.
pub fn encode_base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Appends the base64 of `bytes` to `out`.
pub(crate) fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written =
        BASE64.encode_slice(bytes, &mut out[start..]).expect("base64 makes 4 bytes of every 3 begun");
    debug_assert_eq!(start + written, out.len());
}

/// Metadata with as many entries and bytes as it may have, and no name twice.
pub fn metadata(field: &str, value: &Metadata<'_>) -> Checked {
    let entries = value.entries().len();
    ensure(entries <= limits::METADATA_ENTRIES_MAX, || {
        Refusal::too_many_items(field, entries, limits::METADATA_ENTRIES_MAX)
    })?;
    ensure(value.bytes() <= limits::METADATA_BYTES_MAX, || {
        Refusal::payload_too_large(field, value.bytes(), limits::METADATA_BYTES_MAX)
    })?;
    ensure(!value.has_duplicates(), || {
        Refusal::invalid_value(field, serde_json::json!(value), "every name once")
    })
}

/// A pool's attributes: as many as it may have, each with a name and a value that is not too long, and no name twice.
pub fn attributes(field: &str, value: &Metadata<'_>) -> Checked {
    let entries = value.entries().len();
    ensure(entries <= limits::ATTRIBUTES_MAX, || {
        Refusal::too_many_items(field, entries, limits::ATTRIBUTES_MAX)
    })?;
    for (attribute, value) in value.entries() {
        ensure(is_name(attribute), || Refusal::invalid_value(field, &**attribute, NAME_ALLOWED))?;
        ensure(value.len() <= limits::ATTRIBUTE_BYTES_MAX, || {
            let path = format!("{field}.{attribute}");
            Refusal::payload_too_large(&path, value.len(), limits::ATTRIBUTE_BYTES_MAX)
        })?;
    }
    ensure(!value.has_duplicates(), || {
        Refusal::invalid_value(field, serde_json::json!(value), "every name once")
    })
}

/// A W3C `traceparent`: version, trace id, parent id and flags in lower-case hexadecimal.
pub fn traceparent(field: &str, value: &str) -> Checked {
    const ALLOWED: &str =
        "a W3C traceparent, as in \"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"";
    let hex = |part: Option<&str>, len: usize| {
        part.is_some_and(|part| {
            part.len() == len && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    let mut parts = value.splitn(4, '-');
    let head = hex(parts.next(), 2) && hex(parts.next(), 32) && hex(parts.next(), 16);
    let right = head
        && parts
            .next()
            .is_some_and(|rest| hex(rest.get(..2), 2) && matches!(rest.as_bytes().get(2), None | Some(b'-')))
        && !value.starts_with("ff")
        && value.bytes().all(|byte| matches!(byte, b'!'..=b'~'))
        && limits::TRACEPARENT_BYTES.contains(&(value.len() as u64));
    ensure(right, || Refusal::invalid_value(field, value, ALLOWED))
}

/// What `value` says, if it can be read as a `T`.
pub fn parsed<T: FromStr>(field: &str, value: &str, allowed: &str) -> Result<T, Refused> {
    value.parse().map_err(|_| Box::new(Refusal::invalid_value(field, value, allowed)))
}

/// One of a few words.
pub fn word(field: &str, value: &str, words: &[&str]) -> Checked {
    ensure(words.contains(&value), || Refusal::invalid_value(field, value, words.join(", ")))
}

/// Two fields of which at most one may be there.
pub fn not_both(field: &str, is_there: bool, other: &str, other_is_there: bool) -> Checked {
    ensure(!(is_there && other_is_there), || {
        Refusal::contradiction(field, format!("`{field}` and `{other}` exclude each other."))
    })
}

/// `right`, or the refusal that `refusal` makes.
pub fn ensure(right: bool, refusal: impl FnOnce() -> Refusal) -> Checked {
    if right { Ok(()) } else { Err(Box::new(refusal())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Code;

    fn code(checked: Checked) -> Option<Code> {
        checked.err().map(|refused| refused.code)
    }

    #[test]
    fn a_name_is_of_its_alphabet_and_not_too_long() {
        let long = "a".repeat(129);
        for (value, expected) in [
            ("emails", None),
            ("A.b_c:d-9", None),
            ("seats@autumn", None),
            ("a@b@c", Some(Code::InvalidValue)),
            ("@b", Some(Code::InvalidValue)),
            ("a@", Some(Code::InvalidValue)),
            (&long[..128], None),
            (&long[..], Some(Code::InvalidValue)),
            ("", Some(Code::InvalidValue)),
            ("a b", Some(Code::InvalidValue)),
            ("a/b", Some(Code::InvalidValue)),
            ("ä", Some(Code::InvalidValue)),
        ] {
            assert_eq!(code(name("kind", value)), expected, "{value:?}");
        }
    }

    #[test]
    fn a_pool_has_a_name_that_is_no_word_of_a_path() {
        for (value, expected) in [
            ("seats@autumn", None),
            ("watch@autumn", None),
            ("Watch", None),
            ("watch", Some(Code::InvalidValue)),
            ("requests", Some(Code::InvalidValue)),
            ("a b", Some(Code::InvalidValue)),
        ] {
            assert_eq!(code(pool_name(value)), expected, "{value:?}");
        }
    }

    #[test]
    fn a_key_is_any_text_without_control_characters() {
        let long = "ä".repeat(129);
        for (value, expected) in [
            ("customer 7", None),
            ("客户", None),
            (&long[..256], None),
            (&long[..], Some(Code::InvalidValue)),
            ("", Some(Code::InvalidValue)),
            ("a\nb", Some(Code::InvalidValue)),
            ("a\u{85}b", Some(Code::InvalidValue)),
            ("a\u{7f}b", Some(Code::InvalidValue)),
        ] {
            assert_eq!(code(key("ordering_key", value)), expected, "{value:?}");
        }
    }

    #[test]
    fn base64_is_judged_by_what_it_decodes_to() {
        for (value, bytes_max, expected) in [
            ("", 0, None),
            ("AAAA", 3, None),
            ("AAAA", 2, Some(Code::PayloadTooLarge)),
            ("AA==", 1, None),
            ("AAA=", 2, None),
            ("AA", 3, Some(Code::InvalidValue)),
            ("A-_=", 3, Some(Code::InvalidValue)),
            ("====", 3, Some(Code::InvalidValue)),
        ] {
            assert_eq!(code(base64("payload_base64", value, bytes_max)), expected, "{value:?}");
        }
    }

    #[test]
    fn base64_survives_being_written_and_read() {
        for len in 0..10 {
            let bytes: Vec<u8> = (0..len).collect();
            let mut written = b"x".to_vec();
            write_base64(&mut written, &bytes);
            assert_eq!(written[1..], *encode_base64(&bytes).as_bytes());
            assert_eq!(decode_base64("f", &encode_base64(&bytes)).unwrap(), bytes);
        }
    }

    #[test]
    fn a_traceparent_is_as_the_standard_says() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let newer = format!("01{}-more", &good[2..]);
        let upper = good.to_uppercase();
        let forbidden = format!("ff{}", &good[2..]);
        let longer = format!("{good}0");
        for (value, right) in [
            (good, true),
            (&newer, true),
            (&good[..54], false),
            (&upper, false),
            (&forbidden, false),
            (&longer, false),
            ("", false),
        ] {
            assert_eq!(traceparent("traceparent", value).is_ok(), right, "{value:?}");
        }
    }

    #[test]
    fn json_is_nested_no_deeper_than_its_bound() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(!is_deeper_than(&nested(100), 100));
        assert!(is_deeper_than(&nested(101), 100));
        let wide = format!("[{}]", vec!["{}"; 500].join(","));
        assert!(!is_deeper_than(&wide, 100), "many are not deep");
        let text = format!("\"\\\"{}\"", "[".repeat(500));
        assert!(!is_deeper_than(&text, 100), "brackets in a text do not nest");
    }

    #[test]
    fn metadata_has_a_bound_of_entries_and_of_bytes() {
        let of = |count: usize, value: &str| -> Metadata<'static> {
            (0..count).map(|i| (format!("name{i:03}"), value.to_owned())).collect()
        };
        assert_eq!(code(metadata("metadata", &of(64, "v"))), None);
        assert_eq!(code(metadata("metadata", &of(65, "v"))), Some(Code::TooManyItems));
        assert_eq!(code(metadata("metadata", &of(8, &"v".repeat(1024 - 7)))), None);
        assert_eq!(code(metadata("metadata", &of(8, &"v".repeat(1024 - 6)))), Some(Code::PayloadTooLarge));
        let twice: Metadata<'_> = [("a", "1"), ("a", "2")].into_iter().collect();
        assert_eq!(code(metadata("metadata", &twice)), Some(Code::InvalidValue));
    }
}
