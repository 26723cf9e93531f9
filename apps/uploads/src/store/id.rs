//! Upload ids: 80 random bits, written as 16 letters and digits.
//!
//! They cannot be guessed, but they are no secrets: the service's list shows them to whoever reaches it.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;

/// The base 32 alphabet of RFC 4648, in lower case.
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const ID_BYTES: usize = 10;
const ID_LETTERS: usize = 16;

/// The name of one upload.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadId([u8; ID_BYTES]);

impl UploadId {
    /// A new one. The standard library's keyed hash has its keys from the system's random numbers; what it makes of
    /// two numbers is as random.
    #[must_use]
    pub fn random() -> UploadId {
        let state = RandomState::new();
        let (high, low) = (state.hash_one(0_u8).to_be_bytes(), state.hash_one(1_u8).to_be_bytes());
        let mut bytes = [0; ID_BYTES];
        bytes[..8].copy_from_slice(&high);
        bytes[8..].copy_from_slice(&low[..2]);
        UploadId(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8; ID_BYTES] {
        &self.0
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<UploadId> {
        bytes.try_into().ok().map(UploadId)
    }

    /// A hash without hashing: the bits are random already.
    pub(super) fn hash(&self) -> u64 {
        u64::from_le_bytes(*self.0.first_chunk().expect("an id has ten bytes"))
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut letters = [0; ID_LETTERS];
        for (five, letters) in self.0.as_chunks::<5>().0.iter().zip(letters.chunks_exact_mut(8)) {
            let bits = five.iter().fold(0_u64, |bits, &byte| bits << 8 | u64::from(byte));
            for (index, letter) in letters.iter_mut().enumerate() {
                *letter = LETTERS[(bits >> (35 - 5 * index) & 31) as usize];
            }
        }
        f.write_str(std::str::from_utf8(&letters).expect("letters are text"))
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not an upload's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the id of an upload: 16 of the letters a to z and the digits 2 to 7")]
pub struct NotAnUploadId;

impl FromStr for UploadId {
    type Err = NotAnUploadId;

    fn from_str(text: &str) -> Result<UploadId, NotAnUploadId> {
        let letters: &[u8; ID_LETTERS] = text.as_bytes().try_into().map_err(|_| NotAnUploadId)?;
        let mut bits = 0_u128;
        for letter in letters {
            let five = LETTERS.iter().position(|candidate| candidate == letter).ok_or(NotAnUploadId)?;
            bits = bits << 5 | five as u128;
        }
        let bytes = bits.to_be_bytes();
        Ok(UploadId(*bytes.last_chunk().expect("sixteen bytes are more than ten")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for _ in 0..1_000 {
            let id = UploadId::random();
            let text = id.to_string();
            assert_eq!(text.len(), ID_LETTERS);
            assert_eq!(text.parse(), Ok(id));
        }
        // RFC 4648 of the ten bytes "helloworld".
        assert_eq!(UploadId(*b"helloworld").to_string(), "nbswy3dpo5xxe3de");
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "nbswy3dpo5xxe3d",
            "nbswy3dpo5xxe3dee",
            "NBSWY3DPO5XXE3DE",
            "nbswy3dpo5xxe3d1",
            "../../../../etc/p",
        ] {
            assert_eq!(text.parse::<UploadId>(), Err(NotAnUploadId), "{text}");
        }
    }

    #[test]
    fn random_ids_differ() {
        let ids: std::collections::HashSet<UploadId> = (0..10_000).map(|_| UploadId::random()).collect();
        assert_eq!(ids.len(), 10_000);
    }
}
