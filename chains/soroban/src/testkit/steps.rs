//! The steps of verifying, each by itself: for whoever measures where the time of a ledger goes.

use stellar_xdr::{ContractEvent, ScVal, TransactionEnvelope, TransactionResultPair};

use crate::evidence::{Applied, Verified, commitment, signature_holds};
use crate::ledger::{Ledger, TxSet};
use crate::networks::SorobanNetwork;

/// What is computed to prove a ledger, in the order of [`crate::evidence::verify`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Header,
    Set,
    Results,
    Signature,
    Names,
    Events,
}

impl Step {
    pub const ALL: [Self; 6] = [Self::Header, Self::Set, Self::Results, Self::Signature, Self::Names, Self::Events];

    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Header => "header hash",
            Self::Set => "transaction set hash",
            Self::Results => "results hash",
            Self::Signature => "validator's signature",
            Self::Names => "envelope hashes",
            Self::Events => "event preimages",
        }
    }
}

/// A ledger laid out so that each step can be taken alone.
#[derive(Debug)]
pub struct Steps {
    ledger: Ledger,
    envelopes: Vec<TransactionEnvelope>,
    calls: Vec<(Option<ScVal>, Vec<ContractEvent>)>,
}

impl Steps {
    /// A ledger and the same one verified.
    #[must_use]
    pub fn of(ledger: &Ledger, verified: &Verified) -> Self {
        let calls = verified.applied.iter().flat_map(Applied::committed_calls).collect();
        Self { ledger: ledger.clone(), envelopes: TxSet::clone(&ledger.set).into_envelopes(), calls }
    }

    /// Takes a step. What comes back depends on every hash, so that none can be left out.
    #[must_use]
    pub fn take(&self, step: Step, network: &SorobanNetwork, buffer: &mut Vec<u8>) -> u8 {
        let folded = |sum: u8, hash: amn_core::block::Hash| sum ^ hash.0[0];
        match step {
            Step::Header => commitment::header(self.ledger.header(), buffer).0[0],
            Step::Set => commitment::set(&self.ledger.set, buffer).0[0],
            Step::Results => {
                let results: Vec<&TransactionResultPair> =
                    self.ledger.processed.iter().map(|one| &one.result).collect();
                commitment::results(&results, buffer).0[0]
            }
            Step::Signature => u8::from(signature_holds(network, self.ledger.header())),
            Step::Names => self.envelopes.iter().fold(0, |sum, envelope| {
                let sum = folded(sum, commitment::transaction(network.network_id, envelope, buffer));
                // The transaction inside a fee-bump has a name of its own, which the result repeats.
                let TransactionEnvelope::TxFeeBump(bump) = envelope else { return sum };
                let stellar_xdr::FeeBumpTransactionInnerTx::Tx(inner) = &bump.tx.inner_tx;
                folded(sum, commitment::inner(network.network_id, inner, buffer))
            }),
            Step::Events => self
                .calls
                .iter()
                .fold(0, |sum, (returned, events)| folded(sum, commitment::events(returned.as_ref(), events, buffer))),
        }
    }

    /// How many transactions it has, and how many contract calls that succeeded.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.envelopes.len(), self.calls.len())
    }
}
