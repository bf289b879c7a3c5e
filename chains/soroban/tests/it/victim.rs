//! A real ledger that liars change, with everybody in it watched.

use amn_core::block::{Block, BlockRef};
use amn_core::source::Watch;
use amn_soroban::decode;
use amn_soroban::evidence::{Lie, verify};
use amn_soroban::ledger::{Ledger, LedgerError};
use amn_soroban::networks::SorobanNetwork;

use amn_soroban::testkit::forge::Forged;
use crate::second_reader;
use crate::support::*;

/// What becomes of a forged ledger.
#[derive(Debug)]
pub enum Outcome {
    Unreadable(LedgerError),
    Refused(Lie),
    /// It reads as proven: the ledger it claims to be, and what it pays.
    Read(Box<(BlockRef, Block)>),
}

/// A real ledger, everybody in it watched.
pub struct Victim {
    pub bytes: Vec<u8>,
    network: SorobanNetwork,
    watch: Watch,
    parent: BlockRef,
    pub honest: Block,
}

impl Victim {
    pub fn load() -> Option<Self> {
        let bytes = real("pubnet-ledger-63092990.xdr.gz")?;
        let found = second_reader::read(&Forged::of(&bytes).meta, pubnet().network_id);
        let (network, watch) = (listing(pubnet(), &found), everybody(&found));
        let ledger = Ledger::decode(&bytes).unwrap();
        let parent = ledger.parent();
        let honest = decode::block(&network.registry, &watch, &verify(&network, ledger, Some(parent)).unwrap());
        assert!(honest.transfers.len() > 100);
        Some(Self { bytes, network, watch, parent, honest })
    }

    pub fn judge(&self, bytes: &[u8]) -> Outcome {
        let ledger = match Ledger::decode(bytes) {
            Ok(ledger) => ledger,
            Err(error) => return Outcome::Unreadable(error),
        };
        match verify(&self.network, ledger, Some(self.parent)) {
            Err(lie) => Outcome::Refused(lie),
            Ok(verified) => {
                let block = decode::block(&self.network.registry, &self.watch, &verified);
                Outcome::Read(Box::new((verified.header.at, block)))
            }
        }
    }

    pub fn change(&self, change: impl FnOnce(&mut Forged)) -> Outcome {
        let mut forged = Forged::of(&self.bytes);
        change(&mut forged);
        let bytes = forged.bytes();
        assert_ne!(bytes, self.bytes, "the change changed nothing");
        self.judge(&bytes)
    }
}
