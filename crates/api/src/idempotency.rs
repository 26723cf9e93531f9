//! The `Idempotency-Key` header.
//!
//! The IETF draft makes it a structured-field string, `"8e03978e"` with the quotes; many clients send it bare. Both are
//! taken and mean the same key.

use crate::limits;
use crate::refusal::{Refusal, Refused};

/// The request's header.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The answer's header, `true` when the answer is the first one's.
pub const IDEMPOTENT_REPLAYED: &str = "idempotent-replayed";

/// Reads the header's value: the key without quotes and escapes.
pub fn read_idempotency_key(header: &[u8]) -> Result<String, Refused> {
    let key = match header {
        [b'"', quoted @ .., b'"'] => unescape(quoted),
        [b'"', ..] => None,
        bare => Some(bare.to_vec()),
    };
    key.and_then(|key| String::from_utf8(key).ok()).filter(|key| is_key(key)).ok_or_else(|| {
        let allowed = "1 to 255 printable ASCII characters, bare or as a quoted string";
        Box::new(Refusal::invalid_value(
            "Idempotency-Key",
            String::from_utf8_lossy(header).into_owned(),
            allowed,
        ))
    })
}

fn is_key(key: &str) -> bool {
    limits::IDEMPOTENCY_KEY_BYTES.contains(&(key.len() as u64))
        && key.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Resolves `\"` and `\\`, the only escapes of a structured-field string; a quote without one does not belong inside.
fn unescape(quoted: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = quoted.iter().copied();
    let mut key = Vec::with_capacity(quoted.len());
    while let Some(byte) = bytes.next() {
        key.push(match byte {
            b'"' => return None,
            b'\\' => bytes.next().filter(|escaped| matches!(escaped, b'"' | b'\\'))?,
            other => other,
        });
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, expected: Option<&str>) {
        assert_eq!(read_idempotency_key(header.as_bytes()).ok().as_deref(), expected, "{header:?}");
    }

    #[test]
    fn a_key_is_the_same_bare_and_quoted() {
        check("8e03978e-40d5", Some("8e03978e-40d5"));
        check("\"8e03978e-40d5\"", Some("8e03978e-40d5"));
        check(r#""a \"b\" \\ c""#, Some(r#"a "b" \ c"#));
        check(r"bare \ stays", Some(r"bare \ stays"));
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        let long = "k".repeat(256);
        for header in ["", "\"\"", "\"", "\"open", r#""a"b""#, r#""a\""#, r#""a\n""#, "tab\t", "ä", &long] {
            check(header, None);
        }
        check(&long[..255], Some(&long[..255]));
    }
}
