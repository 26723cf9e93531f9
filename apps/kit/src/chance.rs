//! Chance that can be repeated: the same seed and the same purpose draw the same numbers, on any machine.

use std::time::Duration;

/// A stream of numbers (SplitMix64).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The stream of a seed for one purpose. What one purpose draws does not move what another does.
    #[must_use]
    pub fn new(seed: u64, purpose: &str, number: u64) -> Chance {
        // FNV-1a; all that is asked of it is that different purposes begin at different places.
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let bytes = purpose.bytes().chain(number.to_le_bytes());
        Chance(bytes.fold(seed ^ 0xcbf2_9ce4_8422_2325, hash))
    }

    /// The stream that begins at a number.
    #[must_use]
    pub fn from_number(number: u64) -> Chance {
        Chance(number)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 (included) to 1 (not included).
    pub fn share(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with this probability.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.share() < probability
    }

    /// Below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.number()) * end as u128) >> 64) as usize
    }

    /// A span between these.
    pub fn span(&mut self, from: Duration, to: Duration) -> Duration {
        from + (to - from).mul_f64(self.share())
    }

    /// How many, if there are so many on average (Poisson).
    pub fn count(&mut self, mean: f64) -> u32 {
        let (least, mut product, mut count) = ((-mean).exp(), self.share(), 0);
        while product > least {
            product *= self.share();
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_purpose_draw_the_same() {
        let draw = |seed, purpose, number| -> Vec<u64> {
            let mut chance = Chance::new(seed, purpose, number);
            (0..5).map(|_| chance.number()).collect()
        };
        assert_eq!(draw(7, "student", 3), draw(7, "student", 3));
        for other in [draw(8, "student", 3), draw(7, "kills", 3), draw(7, "student", 4)] {
            assert_ne!(draw(7, "student", 3), other);
        }
    }

    #[test]
    fn what_is_drawn_is_what_it_says() {
        let mut chance = Chance::new(1, "test", 0);
        let draws = 20_000;
        let happened = (0..draws).filter(|_| chance.happens(0.3)).count();
        assert!((5_600..6_400).contains(&happened), "{happened}");
        let counted: u32 = (0..draws).map(|_| chance.count(5.0)).sum();
        assert!((98_000..102_000).contains(&counted), "{counted}");
        assert!((0..draws).all(|_| chance.below(7) < 7));
        let (from, to) = (Duration::from_millis(40), Duration::from_millis(250));
        assert!((0..draws).map(|_| chance.span(from, to)).all(|span| (from..to).contains(&span)));
    }
}
