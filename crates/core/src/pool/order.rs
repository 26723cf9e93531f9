//! The order that an opening draws: a pure function, so that anyone can draw it again.
//!
//! Before anybody joins, the pool shows the SHA-256 of a **seed** of 32 bytes that nobody has seen. Whoever joins before the
//! opening gets a **rank**: the first eight bytes (big-endian) of `SHA-256(seed ‖ holder)`, halved. At the opening the seed
//! is shown, and the line is by rank; of two equal ranks the earlier join goes first. Who joins later stands behind.
//!
//! So the holder's name and the seed decide, and neither can be chosen for the other: the seed was fixed before, and names
//! were given without knowing it. Who runs the server could have looked at the seed; that is what the commitment cannot help
//! against, and why the list of all who joined is shown too.

use sha2::{Digest as _, Sha256};

/// Set in the rank of who joins after the opening: behind all ranks that were drawn.
pub const AFTER_OPENING: u64 = 1 << 63;

/// What is shown before the opening.
pub fn commitment(seed: &[u8; 32]) -> [u8; 32] {
    Sha256::digest(seed).into()
}

/// The rank of a holder who joined before the opening.
pub fn rank(seed: &[u8; 32], holder: &str) -> u64 {
    let hash = Sha256::new().chain_update(seed).chain_update(holder.as_bytes()).finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    u64::from_be_bytes(first) >> 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `printf … | sha256sum`, so that the rule is the one that people can follow with their own tools.
    #[test]
    fn the_order_is_what_sha256sum_says() {
        let seed = [b'x'; 32];
        let hex = |bytes: &[u8]| {
            bytes.iter().fold(alloc::string::String::new(), |text, byte| alloc::format!("{text}{byte:02x}"))
        };
        assert_eq!(hex(&commitment(&seed)), COMMITMENT);
        assert_eq!(rank(&seed, "s1"), RANK_S1 >> 1);
    }
    const COMMITMENT: &str = "c62e4615bd39e222572f3a1bf7c2132ea1e65b17ec805047bd6b2842c593493f";
    const RANK_S1: u64 = 0x6e1b_2678_22cb_235b;
}
