//! Draws that follow from a seed: which faults, when, and what a worker does with a job.

/// A sequence of draws. The same seed gives the same draws.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// Draws that follow from a seed and a name, so that two who draw at the same time do not draw the same.
    pub fn new(seed: u64, name: &str) -> Self {
        Self(seed ^ digest(name.as_bytes()))
    }

    /// 64 bits (splitmix64).
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A digest of bytes (FNV-1a), for telling whether a payload is what was sent.
pub fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |digest, &byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
