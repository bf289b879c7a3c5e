//! Chance that can be had again: every throw follows from a seed.

/// SplitMix64: small, and the same on every machine and in every version of every library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dice {
    state: u64,
}

impl Dice {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Dice of their own for what these parts name.
    #[must_use]
    pub fn of(seed: u64, parts: &[&[u8]]) -> Self {
        // FNV-1a, with a mark between the parts so that they cannot run into each other.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for part in parts {
            for byte in part.iter().chain(&[0xff]) {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        let mut dice = Self::new(seed ^ hash);
        dice.throw();
        dice
    }

    pub fn throw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 where `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.throw().checked_rem(end).unwrap_or(0)
    }

    /// A place in a list of this length.
    pub fn place(&mut self, length: usize) -> usize {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        usize::try_from(self.below(length)).unwrap_or(0)
    }

    /// True so many times in a thousand.
    pub fn permille(&mut self, chance: u32) -> bool {
        self.below(1_000) < u64::from(chance)
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.throw().to_le_bytes()[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_throws_the_same_and_another_throws_otherwise() {
        let throws = |seed, parts: &[&[u8]]| {
            let mut dice = Dice::of(seed, parts);
            std::array::from_fn::<u64, 4, _>(|_| dice.throw())
        };
        assert_eq!(throws(7, &[b"a", b"b"]), throws(7, &[b"a", b"b"]));
        assert_ne!(throws(7, &[b"a", b"b"]), throws(8, &[b"a", b"b"]));
        assert_ne!(throws(7, &[b"ab", b""]), throws(7, &[b"a", b"b"]));
    }

    #[test]
    fn a_chance_in_a_thousand_comes_about_so_often() {
        let mut dice = Dice::new(1);
        let hits = (0..10_000).filter(|_| dice.permille(200)).count();
        assert!((1_800..2_200).contains(&hits), "{hits}");
        assert!(!dice.permille(0) && dice.permille(1_000));
        assert_eq!((dice.below(0), dice.place(0)), (0, 0));
    }
}
