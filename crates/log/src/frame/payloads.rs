//! The payloads area: a run of payloads, each behind a prefix of eight bytes.
//!
//! ```text
//!  ┌──────────────┬─────────┬───────────┐┌──────────────┬─────────┬─────
//!  │ checksum u32 │ len u32 │ len bytes ││ checksum u32 │ len u32 │ …
//!  └──────────────┴─────────┴───────────┘└──────────────┴─────────┴─────
//! ```
//! The checksum is CRC-32C over the length's four bytes and the payload.

use super::{FrameDefect, FrameHeader};
use crate::position::PayloadOffset;

/// Bytes in front of every payload.
pub const PAYLOAD_PREFIX_BYTES: usize = 8;

/// The prefix of `payload`.
pub(super) fn prefix_of(payload: &[u8]) -> [u8; PAYLOAD_PREFIX_BYTES] {
    let len =
        u32::try_from(payload.len()).expect("a payload is shorter than the longest frame").to_le_bytes();
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&len), payload);
    let mut prefix = [0; PAYLOAD_PREFIX_BYTES];
    prefix[..4].copy_from_slice(&checksum.to_le_bytes());
    prefix[4..].copy_from_slice(&len);
    prefix
}

/// Checks that `stored` is one payload with its prefix, `len` bytes long without it. `offset` only serves the
/// error.
///
/// # Errors
/// [`FrameDefect::PayloadAddress`] if the lengths differ, [`FrameDefect::Payload`] if the checksum does.
pub fn verify_payload(offset: PayloadOffset, len: u32, stored: &[u8]) -> Result<(), FrameDefect> {
    let address = FrameDefect::PayloadAddress { offset, len };
    let Some((prefix, payload)) = stored.split_at_checked(PAYLOAD_PREFIX_BYTES) else { return Err(address) };
    if payload.len() != len as usize || prefix[4..] != len.to_le_bytes() {
        return Err(address);
    }
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&prefix[4..]), payload);
    if prefix[..4] == checksum.to_le_bytes() { Ok(()) } else { Err(FrameDefect::Payload { offset }) }
}

/// Verifies a frame's whole payloads area and shows each payload, or what is wrong with it, with its offset
/// to `each`. A payload with a wrong length hides those behind it.
///
/// # Errors
/// The first defect: of a payload, of the count, or of the digest that binds them to the frame.
pub fn walk_payloads(
    header: &FrameHeader,
    area: &[u8],
    mut each: impl FnMut(PayloadOffset, Result<&[u8], &FrameDefect>),
) -> Result<(), FrameDefect> {
    let (mut at, mut digest, mut count) = (0, 0, 0u32);
    let mut first_defect = None;
    while at < area.len() {
        let offset = PayloadOffset(at as u32);
        let rest = &area[at..];
        let len = rest
            .get(4..PAYLOAD_PREFIX_BYTES)
            .map_or(0, |len| u32::from_le_bytes(len.try_into().expect("half a prefix is four bytes long")));
        let stored = rest.get(..PAYLOAD_PREFIX_BYTES + len as usize);
        let Some(stored) = stored else {
            let defect = FrameDefect::PayloadAddress { offset, len };
            each(offset, Err(&defect));
            return Err(first_defect.unwrap_or(defect));
        };
        match verify_payload(offset, len, stored) {
            Ok(()) => each(offset, Ok(&stored[PAYLOAD_PREFIX_BYTES..])),
            Err(defect) => {
                each(offset, Err(&defect));
                first_defect.get_or_insert(defect);
            }
        }
        digest = crc32c::crc32c_append(digest, &stored[..PAYLOAD_PREFIX_BYTES]);
        count += 1;
        at += stored.len();
    }
    let bound = digest == header.payloads_digest && count == header.payload_count;
    match first_defect {
        Some(defect) => Err(defect),
        None if bound => Ok(()),
        None => Err(FrameDefect::PayloadsDigest),
    }
}
