//! Ledgers that liars change, with everybody in them watched.

use amn_core::block::{Block, BlockRef};
use amn_core::source::Watch;
use amn_soroban::decode;
use amn_soroban::evidence::verify;
use amn_soroban::ledger::Ledger;
use amn_soroban::networks::SorobanNetwork;
use amn_soroban::testkit::forge::Forged;
use amn_soroban::testkit::{History, tamper};

use crate::scene::*;
use crate::second_reader;
use crate::support::*;

/// What becomes of a forged ledger.
#[derive(Debug)]
pub enum Outcome {
    /// It does not decode, or contradicts itself; by the name of what is wrong.
    Refused(&'static str),
    /// It reads as proven: the ledger it claims to be, and what it pays.
    Read(Box<(BlockRef, Block)>),
}

/// A ledger, everybody in it watched.
pub struct Victim {
    pub bytes: Vec<u8>,
    pub network: SorobanNetwork,
    watch: Watch,
    pub parent: BlockRef,
    pub honest: Block,
}

impl Victim {
    /// A ledger of the public network, where it is on this machine.
    pub fn real() -> Option<Self> {
        let bytes = real("pubnet-ledger-63092990.xdr.gz")?;
        let found = second_reader::read(&Forged::of(&bytes).meta, pubnet().network_id);
        let victim = Self::new(bytes, listing(pubnet(), &found), everybody(&found));
        assert!(victim.honest.transfers.len() > 100);
        Some(victim)
    }

    /// The invented ledger in which every way to tamper finds something, and the empty one that stands on it.
    pub fn invented(protocol: u32) -> (Self, Vec<u8>) {
        let scene = scene(protocol);
        let of = tamper::Victim {
            payer: PAYER,
            shop: SHOP,
            escrow: ESCROW,
            asset: scene.usd.clone(),
            token: scene.token(),
            amount: 25_000_000,
        };
        let mut history = History::new(PASSPHRASE, protocol);
        let closed = history.close(&tamper::victim(&of));
        let victim = Self::new(closed.bytes(), scene.network, watch([SHOP, ESCROW]));
        assert_eq!(victim.honest.transfers.len(), 9, "{:?}", victim.honest);
        assert!(victim.honest.observations.is_empty(), "{:?}", victim.honest.observations);
        (victim, history.close(&[]).bytes())
    }

    fn new(bytes: Vec<u8>, network: SorobanNetwork, watch: Watch) -> Self {
        let ledger = Ledger::decode(&bytes).unwrap();
        let parent = ledger.parent();
        let honest = decode::block(&network.registry, &watch, &verify(&network, ledger, Some(parent)).unwrap());
        Self { bytes, network, watch, parent, honest }
    }

    pub fn judge(&self, bytes: &[u8]) -> Outcome {
        let ledger = match Ledger::decode(bytes) {
            Ok(ledger) => ledger,
            Err(error) => return Outcome::Refused(error.name()),
        };
        match verify(&self.network, ledger, Some(self.parent)) {
            Err(lie) => Outcome::Refused(lie.name()),
            Ok(verified) => {
                let block = decode::block(&self.network.registry, &self.watch, &verified);
                Outcome::Read(Box::new((verified.header.at, block)))
            }
        }
    }
}
