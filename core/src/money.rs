//! Money: a checked count of the smallest unit of an asset. No float, no rounding, no wrapping.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A count of the smallest unit of an asset (wei, stroop, nanoton, 10^-6 USDC).
///
/// JSON carries it as a decimal string, because 2^53 is not enough for money.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(u128);

/// Why a text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    #[error("an amount is a decimal count of the smallest unit, digits only; got {0:?}")]
    NotDigits(String),
    #[error("an amount has at most 39 digits and fits 128 bits; got {0:?}")]
    TooLarge(String),
}

impl Amount {
    pub const ZERO: Self = Self(0);
    pub const MAX: Self = Self(u128::MAX);

    /// An amount of so many smallest units.
    #[must_use]
    pub const fn new(units: u128) -> Self {
        Self(units)
    }

    /// The count of smallest units.
    #[must_use]
    pub const fn units(self) -> u128 {
        self.0
    }

    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, or `None` where it exceeds 128 bits.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// What remains of `self` after `other` is taken, at least zero: a shortfall or an excess.
    #[must_use]
    pub const fn beyond(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The sum of many amounts, held at the largest amount where it would exceed it. Used only to
    /// compare what arrived with what is due: a sum past 2^128 is "enough" either way.
    #[must_use]
    pub fn total(amounts: impl IntoIterator<Item = Self>) -> Self {
        Self(amounts.into_iter().fold(0, |sum: u128, a| sum.saturating_add(a.0)))
    }

    /// The amount as people write it: `25.5` for 25500000 of an asset with 6 decimals. For reading
    /// only; nothing parses it back.
    #[must_use]
    pub fn in_units_of(self, decimals: u8) -> String {
        let digits = format!("{:0>width$}", self.0, width = usize::from(decimals).saturating_add(1));
        let (whole, part) = digits.split_at(digits.len().saturating_sub(usize::from(decimals)));
        let part = part.trim_end_matches('0');
        if part.is_empty() { whole.to_owned() } else { format!("{whole}.{part}") }
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        // Leading zeros are refused: one amount has one spelling, so equal bytes mean equal money.
        let plain =
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        if !plain {
            return Err(AmountError::NotDigits(clip(text)));
        }
        text.parse().map(Self).map_err(|_| AmountError::TooLarge(clip(text)))
    }
}

/// At most the first 60 characters, so that an error never carries a whole body.
fn clip(text: &str) -> String {
    text.chars().take(60).collect()
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_reads_back_as_it_was_written() {
        for text in ["0", "1", "25000000", "340282366920938463463374607431768211455"] {
            assert_eq!(text.parse::<Amount>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_not_a_plain_count_is_refused_by_name() {
        for text in ["", "-1", "+1", "1.0", "1e6", " 1", "01", "0x10", "１"] {
            assert!(matches!(text.parse::<Amount>(), Err(AmountError::NotDigits(_))), "{text:?}");
        }
        let large = "340282366920938463463374607431768211456";
        assert!(matches!(large.parse::<Amount>(), Err(AmountError::TooLarge(_))));
    }

    #[test]
    fn people_read_amounts_in_whole_coins() {
        assert_eq!(Amount::new(25_500_000).in_units_of(6), "25.5");
        assert_eq!(Amount::new(370).in_units_of(6), "0.00037");
        assert_eq!(Amount::new(7).in_units_of(0), "7");
        assert_eq!(Amount::ZERO.in_units_of(18), "0");
    }
}
