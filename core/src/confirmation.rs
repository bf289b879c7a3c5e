//! When a deposit may be believed: terms that must all hold, and the tiers that add terms for more money.

use serde::{Deserialize, Serialize};

use crate::block::{AssetId, Header, Height, Inclusion};
use crate::money::Amount;
use crate::timestamp::Timestamp;

/// What the network itself says of a block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tag {
    Safe,
    Finalized,
}

impl Tag {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Finalized => "finalized",
        }
    }
}

/// Terms that must all hold before a deposit settles. A missing term asks nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Require {
    /// Organisations whose validators signed the block (families that have them).
    #[serde(default)]
    pub attestations: Option<u32>,
    /// `tip − height + 1`; 1 = in the tip block.
    #[serde(default)]
    pub confirmations: Option<u64>,
    #[serde(default)]
    pub inclusion: Option<Inclusion>,
    /// Distinct operators that gave the block's hash.
    #[serde(default)]
    pub operators: Option<u32>,
    /// Chain time between the block and the tip, in seconds. No wall clock settles anything.
    #[serde(default)]
    pub seconds: Option<u64>,
    #[serde(default)]
    pub tag: Option<Tag>,
}

impl Require {
    /// Both, term by term the stricter.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            attestations: self.attestations.max(other.attestations),
            confirmations: self.confirmations.max(other.confirmations),
            inclusion: self.inclusion.max(other.inclusion),
            operators: self.operators.max(other.operators),
            seconds: self.seconds.max(other.seconds),
            tag: self.tag.max(other.tag),
        }
    }
}

/// More terms for more money.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// `None`: any asset, compared in its own smallest units; name the asset wherever decimals differ.
    #[serde(default)]
    pub asset: Option<AssetId>,
    /// From this amount on, in smallest units.
    pub at_least: Amount,
    pub require: Require,
}

/// The policy of a network.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    pub require: Require,
    #[serde(default)]
    pub tiers: Vec<Tier>,
}

impl Policy {
    /// What `amount` of `asset` requires: the base terms AND those of every tier it reaches.
    #[must_use]
    pub fn for_amount(&self, asset: &AssetId, amount: Amount) -> Require {
        self.tiers
            .iter()
            .filter(|tier| tier.asset.as_ref().is_none_or(|of| of == asset) && amount >= tier.at_least)
            .fold(self.require, |all, tier| all.and(tier.require))
    }
}

/// Where the chain stands, as far as terms care.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct View {
    pub tip: Header,
    pub safe: Option<Height>,
    pub finalized: Option<Height>,
}

impl View {
    /// The height the tag has reached. What is finalized is safe.
    #[must_use]
    pub fn tagged(&self, tag: Tag) -> Option<Height> {
        match tag {
            Tag::Safe => self.safe.max(self.finalized),
            Tag::Finalized => self.finalized,
        }
    }

    /// `tip − height + 1`: 1 for the tip block, 0 above it.
    #[must_use]
    pub fn confirmations(&self, height: Height) -> u64 {
        self.tip.at.height.next().above(height)
    }
}

/// What is known of one deposit, as far as terms care.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    pub height: Height,
    pub time: Timestamp,
    pub inclusion: Inclusion,
    pub operators: u32,
    pub attestations: Option<u32>,
}

/// One term, with what it asks and what there is: the answer to "why not yet?".
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Term {
    pub term: &'static str,
    pub required: String,
    pub actual: String,
    pub met: bool,
}

/// Every named term with whether it holds. All met = settled.
#[must_use]
pub fn terms(require: &Require, known: &Known, view: &View) -> Vec<Term> {
    let mut list = Vec::new();
    let mut add = |term, required: String, actual: String, met| {
        list.push(Term { term, required, actual, met });
    };
    if let Some(asked) = require.confirmations {
        let actual = view.confirmations(known.height);
        add("confirmations", asked.to_string(), actual.to_string(), actual >= asked);
    }
    if let Some(tag) = require.tag {
        let reached = view.tagged(tag);
        let met = reached.is_some_and(|height| known.height <= height);
        let actual =
            reached.map_or_else(|| "unknown".to_owned(), |height| format!("{tag:?} at {height}").to_lowercase());
        add("tag", format!("{} at {}", tag.as_str(), known.height), actual, met);
    }
    if let Some(asked) = require.seconds {
        let actual = view.tip.time.seconds_since(known.time);
        add("seconds", asked.to_string(), actual.to_string(), actual >= asked);
    }
    if let Some(asked) = require.inclusion {
        add("inclusion", asked.as_str().to_owned(), known.inclusion.as_str().to_owned(), known.inclusion >= asked);
    }
    if let Some(asked) = require.operators {
        add("operators", asked.to_string(), known.operators.to_string(), known.operators >= asked);
    }
    if let Some(asked) = require.attestations {
        let actual = known.attestations.unwrap_or(0);
        add("attestations", asked.to_string(), actual.to_string(), actual >= asked);
    }
    list
}

/// Whether every named term holds. The same rules as [`terms`], without the words.
#[must_use]
pub fn is_settled(require: &Require, known: &Known, view: &View) -> bool {
    require.confirmations.is_none_or(|asked| view.confirmations(known.height) >= asked)
        && require.tag.is_none_or(|tag| view.tagged(tag).is_some_and(|reached| known.height <= reached))
        && require.seconds.is_none_or(|asked| view.tip.time.seconds_since(known.time) >= asked)
        && require.inclusion.is_none_or(|asked| known.inclusion >= asked)
        && require.operators.is_none_or(|asked| known.operators >= asked)
        && require.attestations.is_none_or(|asked| known.attestations.unwrap_or(0) >= asked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{BlockRef, Hash};

    fn at(height: u64, seconds: i64) -> Header {
        Header {
            at: BlockRef { height: Height(height), hash: Hash([0; 32]) },
            parent: Hash([0; 32]),
            time: Timestamp::from_seconds(seconds),
        }
    }

    fn known(height: u64, seconds: i64) -> Known {
        let time = Timestamp::from_seconds(seconds);
        Known { height: Height(height), time, inclusion: Inclusion::Proven, operators: 2, attestations: None }
    }

    fn settles(require: Require, known: Known, view: &View) -> bool {
        let all = terms(&require, &known, view).iter().all(|term| term.met);
        assert_eq!(all, is_settled(&require, &known, view), "the words and the verdict disagree");
        all
    }

    #[test]
    fn the_tip_block_has_one_confirmation() {
        let view = View { tip: at(100, 1_000), safe: None, finalized: None };
        assert_eq!(view.confirmations(Height(100)), 1);
        assert_eq!(view.confirmations(Height(89)), 12);
        assert_eq!(view.confirmations(Height(101)), 0);
    }

    #[test]
    fn every_named_term_must_hold() {
        let view = View { tip: at(100, 1_000), safe: Some(Height(95)), finalized: Some(Height(90)) };
        let base = Require { confirmations: Some(5), seconds: Some(50), operators: Some(2), ..Require::default() };
        assert!(settles(base, known(96, 950), &view));
        assert!(!settles(base, known(97, 950), &view), "four confirmations of five");
        assert!(!settles(base, known(96, 951), &view), "49 seconds of 50");
        assert!(!settles(Require { operators: Some(3), ..base }, known(96, 950), &view));
        assert!(!settles(Require { tag: Some(Tag::Safe), ..base }, known(96, 950), &view));
        assert!(settles(Require { tag: Some(Tag::Safe), ..base }, known(95, 950), &view));
        assert!(!settles(Require { tag: Some(Tag::Finalized), ..base }, known(95, 950), &view));
        assert!(!settles(Require { attestations: Some(1), ..base }, known(96, 950), &view));
    }

    #[test]
    fn a_tag_the_network_cannot_say_is_never_met() {
        let view = View { tip: at(1_000_000, 9_000_000), safe: None, finalized: None };
        assert!(!settles(Require { tag: Some(Tag::Safe), ..Require::default() }, known(1, 0), &view));
    }

    #[test]
    fn what_is_finalized_is_safe_though_safe_lags_behind() {
        let view = View { tip: at(100, 1_000), safe: Some(Height(80)), finalized: Some(Height(90)) };
        assert!(settles(Require { tag: Some(Tag::Safe), ..Require::default() }, known(90, 0), &view));
    }

    #[test]
    fn a_tier_adds_terms_and_takes_none_away() {
        let usdc = AssetId::new("eip155:1/erc20:0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48");
        let base = Require { confirmations: Some(12), operators: Some(2), ..Require::default() };
        let tier = |at_least, require| Tier { asset: Some(usdc.clone()), at_least: Amount::new(at_least), require };
        let policy = Policy {
            require: base,
            tiers: vec![
                tier(1_000, Require { confirmations: Some(3), seconds: Some(60), ..Require::default() }),
                tier(10_000, Require { tag: Some(Tag::Finalized), ..Require::default() }),
            ],
        };
        assert_eq!(policy.for_amount(&usdc, Amount::new(999)), base);
        let middle = policy.for_amount(&usdc, Amount::new(1_000));
        assert_eq!((middle.confirmations, middle.seconds, middle.tag), (Some(12), Some(60), None));
        assert_eq!(policy.for_amount(&usdc, Amount::new(10_000)).tag, Some(Tag::Finalized));
        assert_eq!(policy.for_amount(&AssetId::new("eip155:1/slip44:60"), Amount::MAX), base);
    }
}
