//! Inputs that no source would send: every number at its edge, every promise broken.

use amn_core::block::{
    Address, AssetId, Block, BlockRef, Evidence, Hash, Header, Height, Kind, Takeback, Transfer, TransferId,
};
use amn_core::contract::{ContractEvent, ContractWatch};
use amn_core::engine::{Command, Halt, HaltReason, Input, State};
use amn_core::id::{DepositId, IntentId};
use amn_core::money::Amount;
use amn_core::source::{Coverage, Segment, Voucher, WatchVersion};
use amn_core::timestamp::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use crate::histories::facts::{self, ADDRESSES, FAKE, OTHER, USDC};
use crate::histories::truth::transfer;

/// Small numbers that are read as anything.
#[derive(Clone, Debug)]
pub struct Absurd(Vec<u8>);

pub fn absurd() -> impl Strategy<Value = Vec<Absurd>> {
    vec(vec(any::<u8>(), 40).prop_map(Absurd), 0..6)
}

/// Reads bytes as whatever is asked for, over and over.
struct Dice<'a>(std::iter::Cycle<std::slice::Iter<'a, u8>>, &'a State);

impl Dice<'_> {
    fn roll(&mut self, sides: usize) -> usize {
        usize::from(*self.0.next().unwrap_or(&0)) % sides.max(1)
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        let which = self.roll(of.len());
        of.get(which).cloned()
    }

    fn height(&mut self) -> Height {
        let tip = self.1.standing.tip.map_or(Height(0), |tip| tip.at.height);
        let near =
            [tip, tip.next(), tip.back(1), tip.back(7), Height(0), Height(1), Height(u64::MAX), Height(u64::MAX - 1)];
        self.one(&near).unwrap_or_default()
    }

    fn at(&mut self) -> BlockRef {
        let height = self.height();
        let hash = Hash([u8::try_from(self.roll(4)).unwrap_or(0); 32]);
        match (self.roll(2), self.1.headers.get(height)) {
            (0, Some(ours)) => ours.at,
            _ => BlockRef { height, hash },
        }
    }

    fn header(&mut self) -> Header {
        let (at, parent) = (self.at(), self.at().hash);
        let time = [i64::MIN, i64::MAX, 0, -1, facts::seconds(500).millis(), facts::seconds(5_000).millis()];
        Header { at, parent, time: Timestamp::from_millis(self.one(&time).unwrap_or(0)) }
    }

    fn id(&mut self) -> TransferId {
        let known: Vec<TransferId> = self.1.deposits.values().map(|d| d.transfer.id).collect();
        let tx = Hash([u8::try_from(self.roll(3)).unwrap_or(0); 32]);
        match self.roll(2) {
            0 => self.one(&known),
            _ => None,
        }
        .unwrap_or(TransferId { tx, kind: Kind::Internal, index: u32::MAX })
    }

    fn amount(&mut self) -> u128 {
        self.one(&[0, 1, 100, u128::MAX, u128::MAX - 1]).unwrap_or(0)
    }

    fn evidence(&mut self) -> Evidence {
        let operators = facts::operators(u8::try_from(self.roll(8)).unwrap_or(0));
        Evidence { operators, attestations: Some(u32::MAX), ..Evidence::default() }
    }

    fn block(&mut self) -> Block {
        let header = self.header();
        let transfers: Vec<Transfer> = (0..self.roll(4))
            .map(|_| {
                let to = self.one(&ADDRESSES).unwrap_or("A0");
                let asset = self.one(&[USDC, OTHER, FAKE]).unwrap_or(USDC);
                let reference = self.one(&[None, Some("a"), Some("")]).unwrap_or(None);
                transfer(self.id(), to, asset, self.amount(), reference)
            })
            .collect();
        let takebacks = (0..self.roll(2))
            .map(|_| Takeback {
                id: self.id(),
                asset: AssetId::new(USDC),
                from: Address::new(self.one(&ADDRESSES).unwrap_or("A0")),
                amount: Amount::new(self.amount()),
                later: transfers.last().map(|t| t.id).into_iter().collect(),
            })
            .collect();
        let (contract_events, evidence) = (self.contract_events(), self.evidence());
        Block { header, transfers, takebacks, contract_events, observations: Vec::new(), evidence }
    }

    fn contract_events(&mut self) -> Vec<ContractEvent> {
        let known: Vec<ContractEvent> = self
            .1
            .sightings
            .values()
            .map(|s| ContractEvent {
                tx: s.tx,
                operation: s.operation,
                index: s.index,
                ordinal: u32::MAX,
                contract: s.contract.clone(),
                topics: Vec::new(),
                data: s.data.clone(),
            })
            .collect();
        let new = ContractEvent {
            tx: Hash([u8::try_from(self.roll(3)).unwrap_or(0); 32]),
            operation: u32::MAX,
            index: u32::MAX,
            ordinal: u32::MAX,
            contract: Address::new("K0"),
            topics: Vec::new(),
            data: Value::Null,
        };
        (0..self.roll(3))
            .map(|_| match self.roll(2) {
                0 => self.one(&known),
                _ => None,
            })
            .map(|event| event.unwrap_or_else(|| new.clone()))
            .collect()
    }

    fn segment(&mut self) -> Segment {
        let coverage = self.one(&[Coverage::Linked, Coverage::Listed]).unwrap_or(Coverage::Linked);
        let mut blocks: Vec<Block> = (0..self.roll(4)).map(|_| self.block()).collect();
        let parent = self.at();
        let mut below = parent;
        if self.roll(3) > 0 {
            // Well formed, so that its content is looked at.
            for block in &mut blocks {
                block.header.at.height = below.height.next();
                block.header.parent = below.hash;
                below = block.header.at;
            }
        }
        let tip = match (self.roll(3), blocks.last()) {
            (0, _) | (_, None) => self.header(),
            (_, Some(last)) => last.header,
        };
        let watched = WatchVersion(self.one(&[0, 1, u64::MAX]).unwrap_or(0));
        let operators = self.evidence().operators;
        Segment { parent, blocks, tip, coverage, watched, operators, read_by: None, checkpoint: Vec::new() }
    }

    fn command(&mut self) -> Command {
        let intents: Vec<IntentId> = self.1.intents.keys().copied().chain([IntentId(0)]).collect();
        let deposits: Vec<DepositId> = self.1.deposits.keys().copied().chain([DepositId(0)]).collect();
        let intent = self.one(&intents).unwrap_or(IntentId(0));
        let deposit = self.one(&deposits).unwrap_or(DepositId(0));
        match self.roll(5) {
            0 => Command::Cancel { intent },
            1 => Command::Accept { intent },
            2 => Command::Assign { deposit, intent },
            3 => Command::Unassign { deposit },
            _ => Command::Resume { accept_fork: Some(self.at().hash) },
        }
    }

    fn input(&mut self) -> Input {
        match self.roll(9) {
            0 => Input::Start(self.header()),
            1 | 2 => Input::Extend(self.segment()),
            3 => Input::Replace { fork: self.at(), by: self.segment() },
            4 => {
                let vouchers = facts::operators(7).into_iter().map(|operator| Voucher { operator, block: self.at() });
                let vouchers = vouchers.collect();
                Input::Finality { safe: Some(self.at()), finalized: Some(self.at()), vouchers }
            }
            5 => Input::Evidence { of: self.id(), block: self.at(), is: self.evidence() },
            6 => {
                let blocks = vec![self.block(), self.block()];
                let intents = self.1.intents.keys().copied().collect();
                Input::Found { blocks, intents, contracts: vec![ContractWatch(u64::MAX)], through: self.at() }
            }
            7 => Input::Halt(Halt { reason: HaltReason::Pruned, detail: String::new() }),
            _ => Input::Command(self.command()),
        }
    }
}

impl Absurd {
    pub fn inputs(&self, state: &State) -> Vec<Input> {
        let mut dice = Dice(self.0.iter().cycle(), state);
        (0..4).map(|_| dice.input()).collect()
    }
}
