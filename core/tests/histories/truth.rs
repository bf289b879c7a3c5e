//! The chain as it is: a tree of blocks whose hash is the digest of their content, one branch of which
//! is canonical. What anybody reads, and when, is the world's affair.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher};

use amn_core::block::{
    Address, AssetId, Block, BlockHash, BlockRef, Evidence, Hash, Header, Height, Kind, Reference, Takeback, Transfer,
    TransferId,
};
use amn_core::contract::{ContractEvent, Topic};
use amn_core::money::Amount;
use serde_json::Value;

use super::facts::seconds;

pub struct Truth {
    /// The canonical branch from the first block on; a block's place is its height above the first.
    pub branch: Vec<Block>,
    /// What the last fork left behind, and the height it parted at.
    pub dead: Option<(usize, Vec<Block>)>,
    /// Every block there ever was.
    archive: BTreeMap<BlockHash, Block>,
    /// How many payments there ever were: each has a name of its own.
    names: u64,
    forks: u64,
}

pub const FIRST: u64 = 1_000;

impl Truth {
    pub fn new() -> Self {
        let mut truth = Self { branch: Vec::new(), dead: None, archive: BTreeMap::new(), names: 0, forks: 0 };
        truth.grow(0, Vec::new(), Vec::new());
        truth
    }

    pub fn head(&self) -> &Block {
        self.branch.last().expect("the first block is never undone")
    }

    pub fn at(&self, height: Height) -> Option<&Block> {
        usize::try_from(height.0.checked_sub(FIRST)?).ok().and_then(|place| self.branch.get(place))
    }

    /// A block `after` seconds later, on the head.
    pub fn grow(&mut self, after: i64, transfers: Vec<Transfer>, takebacks: Vec<Takeback>) {
        let said = said_beside(&transfers);
        self.grow_saying(after, transfers, takebacks, said);
    }

    /// The same, where contracts say these things.
    pub fn grow_saying(
        &mut self,
        after: i64,
        transfers: Vec<Transfer>,
        takebacks: Vec<Takeback>,
        contract_events: Vec<ContractEvent>,
    ) {
        let below = self.branch.last().map(|block| block.header);
        let parent = below.map_or(Hash([0; 32]), |h| h.at.hash);
        let height = below.map_or(Height(FIRST), |h| h.at.height.next());
        let time =
            below.map_or(seconds(0), |h| amn_core::timestamp::Timestamp::from_millis(h.time.millis() + after * 1_000));
        let content =
            format!("{parent} {height} {time} {} {transfers:?} {takebacks:?} {contract_events:?}", self.forks);
        let at = BlockRef { height, hash: digest(&content) };
        let header = Header { at, parent, time };
        let (observations, evidence) = (Vec::new(), Evidence::default());
        let block = Block { header, transfers, takebacks, contract_events, observations, evidence };
        self.archive.insert(at.hash, block.clone());
        self.branch.push(block);
    }

    /// Takes the last blocks off, at most all but the first; they are remembered as the dead branch.
    pub fn fork(&mut self, depth: usize) -> Vec<Block> {
        let keep = self.branch.len().saturating_sub(depth).max(1);
        let dead = self.branch.split_off(keep);
        self.forks += 1;
        self.dead = Some((keep, dead.clone()));
        dead
    }

    /// The dead branch is the canonical one again, as it was.
    pub fn return_to_dead(&mut self) -> bool {
        let Some((keep, blocks)) = self.dead.take() else { return false };
        let stands = keep <= self.branch.len()
            && blocks
                .first()
                .is_some_and(|b| self.branch.get(keep - 1).is_some_and(|p| p.header.at.hash == b.header.parent));
        if stands {
            let left = self.branch.split_off(keep);
            self.branch.extend(blocks);
            self.dead = (!left.is_empty()).then_some((keep, left));
        }
        stands
    }

    /// A block and everything it stands on, newest first.
    pub fn down_from(&self, block: BlockHash) -> impl Iterator<Item = &Block> {
        std::iter::successors(self.archive.get(&block), |above| self.archive.get(&above.header.parent))
    }

    /// Whether `block` is `of` or stands on it.
    pub fn descends(&self, block: BlockHash, of: BlockRef) -> bool {
        self.down_from(block).take_while(|b| b.header.at.height >= of.height).any(|b| b.header.at == of)
    }

    pub fn payment(&mut self, to: &str, asset: &str, amount: u128, reference: Option<&str>) -> Transfer {
        self.names += 1;
        let tx = digest(&format!("payment {}", self.names));
        let id = TransferId { tx, kind: Kind::Token, index: 0 };
        transfer(id, to, asset, amount, reference)
    }
}

/// What contracts said in the transactions of these payments: it moves, changes and goes with them. Most call one of
/// three contracts; what is said follows from the payment, so that a name with other content says something else.
fn said_beside(transfers: &[Transfer]) -> Vec<ContractEvent> {
    let mut said = Vec::new();
    for transfer in transfers {
        let dice = transfer.id.tx.0;
        let calls = usize::from(dice[0] % 3);
        for index in 0..u32::try_from(calls).unwrap_or(0) {
            let contract = ["K0", "K1", "K2"][usize::from(dice[1]) % 3];
            let topics = ["symbol:funded", "symbol:released"][usize::from(dice[2]) % 2];
            let topic = Topic { spelled: Some(topics.into()), shown: Value::from(&topics[7..]) };
            said.push(ContractEvent {
                tx: transfer.id.tx,
                operation: 0,
                index,
                ordinal: u32::try_from(said.len()).unwrap_or(u32::MAX),
                contract: Address::new(contract),
                topics: if dice[3] % 8 == 0 { Vec::new() } else { vec![topic] },
                data: Value::from(transfer.amount.units().to_string()),
            });
        }
    }
    said
}

pub fn transfer(id: TransferId, to: &str, asset: &str, amount: u128, reference: Option<&str>) -> Transfer {
    Transfer {
        id,
        asset: AssetId::new(asset),
        from: Some(Address::new("payer")),
        to: Address::new(to),
        reference: reference.map(Reference::new),
        amount: Amount::new(amount),
    }
}

/// Names content: nobody here looks for collisions, and a slow hash would be most of the test's time.
pub fn digest(content: &str) -> Hash {
    let mut bytes = [0; 32];
    for (salt, part) in bytes.chunks_exact_mut(8).enumerate() {
        let mut hasher = DefaultHasher::new();
        (salt, content).hash(&mut hasher);
        part.copy_from_slice(&hasher.finish().to_be_bytes());
    }
    Hash(bytes)
}
