//! Who stood behind a ledger: the validator whose value closed the next one, and so on up the chain.
//!
//! A validator proposes transactions for the ledger that it has closed itself, names it in their set, and
//! signs the set. So its signature in ledger n + 1 says: I closed n, with this hash, these results and these
//! events. A node cannot forge that. Signatures of later ledgers say it too, of every ledger below them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use amn_core::block::{BlockRef, Header};
use ring::signature::{ED25519, UnparsedPublicKey};
use stellar_strkey::ed25519;
use stellar_xdr::{NodeId, PublicKey, StellarValue, StellarValueExt, Uint256};

use super::{Lie, Verified, commitment};
use crate::ledger::milliseconds;
use crate::networks::SorobanNetwork;

/// Ledgers remembered to count who attested them: more than a day of the public network, some 60 bytes each, so that
/// who catches up over a day need not read it twice.
const REMEMBERED_MAX: usize = 20_000;

/// Ledgers above one that are asked who attested it: ten minutes of the public network. Whoever has not signed by then
/// is not running.
pub const COUNTED_ABOVE: usize = 128;

/// A validator that attests the parent of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attester {
    pub validator: [u8; 32],
    /// Who runs it; `None` for a validator that the network's file does not know, and that counts for nothing.
    pub organisation: Option<Arc<str>>,
}

/// Checks the signature under the value that validators agreed on. A value without transactions (CAP-83) signs
/// a set that is not shown, and so attests nothing; the oldest values are not signed at all.
pub fn of_value(network: &SorobanNetwork, sequence: u32, value: &StellarValue) -> Result<Option<Attester>, Lie> {
    let (signature, set, attests) = match &value.ext {
        StellarValueExt::Basic => return Ok(None),
        StellarValueExt::Signed(signature) => (signature, &value.tx_set_hash, true),
        StellarValueExt::SignedMs(signed) => (&signed.lc_value_signature, &value.tx_set_hash, true),
        StellarValueExt::EmptyTxSet(empty) => (&empty.lc_value_signature, &empty.tx_set_hash, false),
        StellarValueExt::EmptyTxSetMs(empty) => (&empty.lc_value_signature, &empty.tx_set_hash, false),
    };
    let NodeId(PublicKey::PublicKeyTypeEd25519(Uint256(validator))) = &signature.node_id;
    let signed = commitment::value(network.network_id, set.0, value.close_time.0, milliseconds(value));
    let key = UnparsedPublicKey::new(&ED25519, validator);
    key.verify(&signed, signature.signature.0.as_slice()).map_err(|_| {
        let validator = ed25519::PublicKey(*validator).to_string().as_str().to_owned();
        Lie::ValueSignature { sequence, validator }
    })?;
    let organisation = network.organisations.of(validator).cloned();
    Ok(attests.then_some(Attester { validator: *validator, organisation }))
}

/// The newest ledgers of one chain, and which organisation each of them speaks for.
#[derive(Clone, Debug, Default)]
pub struct Attestations {
    /// Oldest first; each stands on the one before it. The oldest is the parent of the first that was read.
    newest: VecDeque<(BlockRef, Option<Arc<str>>)>,
}

impl Attestations {
    /// Adds a ledger; see [`Self::add`].
    pub fn extend(&mut self, ledger: &Verified) {
        let organisation = ledger.attester.as_ref().and_then(|attester| attester.organisation.clone());
        self.add(&ledger.header, organisation);
    }

    /// Adds a ledger by its header and whom it speaks for. One that stands on a ledger below the newest replaces what
    /// was above that; one further up that stands on none of them starts the count anew; one that was read again, or
    /// lies further down, changes nothing.
    pub fn add(&mut self, header: &Header, organisation: Option<Arc<str>>) {
        let parent = BlockRef { height: header.at.height.back(1), hash: header.parent };
        if self.place(header.at).is_some() {
            return;
        }
        match self.place(parent) {
            Some(place) => self.newest.truncate(place.saturating_add(1)),
            None if self.newest.back().is_some_and(|(at, _)| at.height >= header.at.height) => return,
            None => {
                self.newest.clear();
                self.newest.push_back((parent, None));
            }
        }
        self.newest.push_back((header.at, organisation));
        while self.newest.len() > REMEMBERED_MAX {
            self.newest.pop_front();
        }
    }

    /// How many organisations built on this very ledger; zero where it is not among the newest.
    #[must_use]
    pub fn of(&self, ledger: BlockRef) -> u32 {
        u32::try_from(self.who(ledger).len()).unwrap_or(u32::MAX)
    }

    /// Which organisations built on this ledger, by name.
    #[must_use]
    pub fn who(&self, ledger: BlockRef) -> BTreeSet<Arc<str>> {
        let Some(place) = self.place(ledger) else { return BTreeSet::new() };
        let above = self.newest.iter().skip(place.saturating_add(1)).take(COUNTED_ABOVE);
        above.filter_map(|(_, organisation)| organisation.clone()).collect()
    }

    /// Whether it knows the ledger, and so all that stand on it.
    #[must_use]
    pub fn knows(&self, ledger: BlockRef) -> bool {
        self.place(ledger).is_some()
    }

    /// Heights follow one another without a gap, so that each has its place.
    fn place(&self, ledger: BlockRef) -> Option<usize> {
        let (first, _) = self.newest.front()?;
        let place = usize::try_from(ledger.height.0.checked_sub(first.height.0)?).ok()?;
        self.newest.get(place).filter(|(at, _)| *at == ledger).map(|_| place)
    }
}
