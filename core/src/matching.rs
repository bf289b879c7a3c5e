//! Whose money it is: a transfer meets the watches on the address it went to.

use crate::block::{Kind, Reference, Transfer};
use crate::deposit::{Owner, Unmatched};
use crate::id::IntentId;
use crate::intent::Intent;

/// A watch on an address: with a reference, or alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watched {
    pub reference: Option<Reference>,
    pub tenant: String,
    pub intent: IntentId,
}

/// The owner of a transfer and the tenant it is told to, or `None` where nobody watches its address.
///
/// An intent without reference owns its address alone and takes any reference; on a shared address
/// the reference decides. A wrong asset never belongs to an intent.
#[must_use]
pub fn owner<'a>(
    transfer: &Transfer,
    watches: &[Watched],
    intent: impl Fn(IntentId) -> Option<&'a Intent>,
) -> Option<(Owner, String)> {
    let first = watches.first()?;
    // Money that grew a balance, or that no block proves, without a sender we can name: for a person to look at,
    // whatever reference it carries.
    if transfer.id.kind == Kind::Internal && transfer.from.is_none() {
        return Some((Owner::Nobody(Unmatched::InternalTransfer), first.tenant.clone()));
    }
    let found = watches.iter().find(|w| w.reference.is_none() || w.reference == transfer.reference);
    let Some(watch) = found else {
        let why = match &transfer.reference {
            None => Unmatched::MissingReference,
            Some(reference) if reference.contradicts_itself() => Unmatched::ContradictoryReference,
            Some(_) => Unmatched::UnknownReference,
        };
        return Some((Owner::Nobody(why), first.tenant.clone()));
    };
    let owner = match intent(watch.intent) {
        Some(intent) if intent.terms.asset == transfer.asset => Owner::Intent(watch.intent),
        _ => Owner::Nobody(Unmatched::WrongAsset),
    };
    Some((owner, watch.tenant.clone()))
}

impl Transfer {
    /// Whether the other is the same money moving to the same place: what a name must keep.
    #[must_use]
    pub fn same_content(&self, other: &Self) -> bool {
        self.asset == other.asset
            && self.to == other.to
            && self.amount == other.amount
            && self.reference == other.reference
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::block::{Address, AssetId, Hash, TransferId};
    use crate::intent::{Progress, Terms};
    use crate::money::Amount;
    use crate::source::WatchVersion;

    fn intent(id: u128, asset: &str) -> Intent {
        Intent {
            id: IntentId(id),
            terms: Terms {
                tenant: "seller".into(),
                asset: AssetId::new(asset),
                address: Address::new("0xA"),
                reference: None,
                due: Amount::new(100),
                tolerance: Amount::ZERO,
                expires_at: None,
                require: crate::confirmation::Require::default(),
                metadata: BTreeMap::new(),
            },
            progress: Progress::default(),
            watch: WatchVersion(1),
            backfill: None,
        }
    }

    fn transfer(asset: &str, reference: Option<&str>) -> Transfer {
        Transfer {
            id: TransferId { tx: Hash([1; 32]), kind: Kind::Token, index: 0 },
            asset: AssetId::new(asset),
            from: None,
            to: Address::new("0xA"),
            reference: reference.map(Reference::new),
            amount: Amount::new(100),
        }
    }

    fn watch(reference: Option<&str>, intent: u128) -> Watched {
        Watched { reference: reference.map(Reference::new), tenant: "seller".into(), intent: IntentId(intent) }
    }

    #[test]
    fn nobody_watches_so_nobody_is_told() {
        assert_eq!(owner(&transfer("usdc", None), &[], |_| None), None);
    }

    #[test]
    fn an_intent_without_reference_takes_any_reference() {
        let one = intent(1, "usdc");
        for reference in [None, Some("memo")] {
            let got = owner(&transfer("usdc", reference), &[watch(None, 1)], |_| Some(&one));
            assert_eq!(got, Some((Owner::Intent(IntentId(1)), "seller".into())));
        }
    }

    #[test]
    fn on_a_shared_address_the_reference_decides() {
        let (one, two) = (intent(1, "usdc"), intent(2, "usdc"));
        let watches = [watch(Some("a"), 1), watch(Some("b"), 2)];
        let get = |reference| {
            owner(&transfer("usdc", reference), &watches, |id| Some(if id.0 == 1 { &one } else { &two })).unwrap().0
        };
        assert_eq!(get(Some("b")), Owner::Intent(IntentId(2)));
        assert_eq!(get(None), Owner::Nobody(Unmatched::MissingReference));
        assert_eq!(get(Some("c")), Owner::Nobody(Unmatched::UnknownReference));
    }

    #[test]
    fn money_that_nobody_can_prove_is_for_a_person_whatever_reference_it_carries() {
        let one = intent(1, "usdc");
        for (watches, reference) in
            [(watch(Some("a"), 1), None), (watch(Some("a"), 1), Some("a")), (watch(None, 1), None)]
        {
            let mut unproven = transfer("usdc", reference);
            unproven.id.kind = Kind::Internal;
            let got = owner(&unproven, &[watches], |_| Some(&one));
            assert_eq!(got, Some((Owner::Nobody(Unmatched::InternalTransfer), "seller".into())));
        }
    }

    #[test]
    fn another_asset_is_kept_and_pays_nobody() {
        let one = intent(1, "usdc");
        let got = owner(&transfer("usdt", None), &[watch(None, 1)], |_| Some(&one));
        assert_eq!(got, Some((Owner::Nobody(Unmatched::WrongAsset), "seller".into())));
    }
}
