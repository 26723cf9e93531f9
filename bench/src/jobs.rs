//! What every system is given: payloads of one size, each with its number in it.
//!
//! The number is how the generator knows, whatever the system, that a job came back, and came back once. A payload is
//! a JSON object of exactly [`PAYLOAD_BYTES`] bytes; one template is stamped, so that making jobs costs the same for all.

use std::ops::Range;

use memchr::memmem;
use serde::Serialize;

/// Bytes of every payload.
pub(crate) const PAYLOAD_BYTES: usize = 256;
/// Jobs in a list.
pub(crate) const LIST_JOBS: usize = 100;
/// Jobs from this number on are marked: the time from their sending to their delivery is measured.
pub(crate) const MARKED_FIRST: u64 = 1_000_000_000;

const BEFORE: &[u8] = b"{\"mark\":\"";
const DIGITS: usize = 10;
const START: &[u8] = b"{\"mark\":\"0000000000\",\"text\":\"";
const END: &[u8] = b"\"}";

/// A payload as a program has it before it is JSON.
#[derive(Serialize)]
pub(crate) struct Fields<'a> {
    mark: String,
    text: &'a str,
}

impl Fields<'_> {
    /// The payload of this number, with the text that all have.
    pub(crate) fn of(number: u64, text: &str) -> Fields<'_> {
        Fields { mark: format!("{number:0DIGITS$}"), text }
    }
}

/// A payload to stamp numbers on.
#[derive(Clone)]
pub(crate) struct Payload([u8; PAYLOAD_BYTES]);

impl Payload {
    pub(crate) fn new() -> Payload {
        let mut bytes = [b' '; PAYLOAD_BYTES];
        bytes[..START.len()].copy_from_slice(START);
        let mut state = 7u32;
        for byte in &mut bytes[START.len()..PAYLOAD_BYTES - END.len()] {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = b'a' + ((state >> 24) % 26) as u8;
        }
        bytes[PAYLOAD_BYTES - END.len()..].copy_from_slice(END);
        Payload(bytes)
    }

    /// The payload of this number.
    pub(crate) fn of(&mut self, number: u64) -> &[u8; PAYLOAD_BYTES] {
        let mut rest = number;
        for digit in self.0[BEFORE.len()..BEFORE.len() + DIGITS].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        &self.0
    }

    /// The text that all payloads have.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.0[START.len()..PAYLOAD_BYTES - END.len()]).expect("it is ASCII")
    }

    /// The payloads of these numbers, each its own piece of memory.
    pub(crate) fn each(&mut self, numbers: Range<u64>) -> Vec<Vec<u8>> {
        numbers.map(|number| self.of(number).to_vec()).collect()
    }
}

/// The number on a payload.
pub(crate) fn number_on(payload: &[u8]) -> Option<u64> {
    let digits = payload.strip_prefix(BEFORE)?.get(..DIGITS)?;
    digits
        .iter()
        .try_fold(0u64, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0')))
}

/// Where payloads begin in what was received, and their numbers.
pub(crate) fn numbers_within(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    memmem::find_iter(bytes, BEFORE).filter_map(|at| number_on(&bytes[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_json_of_the_stated_size_and_has_its_number() {
        let mut payload = Payload::new();
        for number in [0, 7, 1_234_567_890, MARKED_FIRST] {
            let bytes = payload.of(number);
            assert_eq!(bytes.len(), PAYLOAD_BYTES);
            serde_json::from_slice::<serde_json::Value>(bytes).expect("JSON");
            assert_eq!(number_on(bytes), Some(number));
            let bytes = bytes.to_vec();
            assert_eq!(serde_json::to_vec(&Fields::of(number, payload.text())).expect("JSON"), bytes);
        }
    }

    #[test]
    fn numbers_are_found_among_other_bytes() {
        let mut payload = Payload::new();
        let mut bytes = b"noise {\"mark\":\"x".to_vec();
        bytes.extend_from_slice(payload.of(12));
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(payload.of(13));
        assert_eq!(numbers_within(&bytes).collect::<Vec<_>>(), [12, 13]);
    }
}
