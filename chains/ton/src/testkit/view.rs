//! A history as one node sees it while it answers one question.

use std::sync::Arc;

use amn_core::block::Hash;
use tycho_types::boc::Boc;
use tycho_types::cell::{Cell, CellBuilder};

use super::fault::Fault;
use super::history::{Block, Committed, History, Id, Kept, kept};
use crate::address::Account;

pub(super) struct View<'a> {
    pub history: &'a History,
    pub faults: &'a [Fault],
    /// The seqno of its newest masterchain block; 0 where it has none.
    pub reach: u32,
}

impl<'a> View<'a> {
    pub fn new(history: &'a History, faults: &'a [Fault]) -> Self {
        let mut view = Self { history, faults, reach: 0 };
        view.reach = view.head().map_or(0, |head| head.block.id.seqno);
        view
    }

    pub fn suffers(&self, wanted: impl Fn(&Fault) -> bool) -> bool {
        self.faults.iter().any(wanted)
    }

    /// Its newest masterchain block, as far as it has come.
    pub fn head(&self) -> Option<&'a Arc<Committed>> {
        let mut head = self.history.tip()?.block.id.seqno;
        for fault in self.faults {
            head = match fault {
                Fault::Stalled(at) => head.min(*at),
                Fault::Behind(by) => head.saturating_sub(*by),
                _ => head,
            };
        }
        self.history.blocks.range(..=head).next_back().map(|(_, committed)| committed)
    }

    /// What it says its newest masterchain block is.
    pub fn said(&self) -> Option<Id> {
        let mut id = self.shown(&self.head()?.block).id;
        for fault in self.faults {
            if let Fault::Ahead(by) = fault {
                id.seqno += by;
            }
        }
        Some(id)
    }

    /// A masterchain block that it has.
    pub fn committed(&self, seqno: u32) -> Option<&Arc<Committed>> {
        self.history.blocks.get(&seqno).filter(|committed| self.has(committed.block.height))
    }

    /// Masterchain blocks it has, oldest first.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = &Arc<Committed>> {
        self.history.blocks.values().filter(|committed| self.has(committed.block.height))
    }

    fn has(&self, height: u32) -> bool {
        height <= self.reach && !self.suffers(|fault| matches!(fault, Fault::Hole(hole) if *hole == height))
    }

    /// A block that it has, by name.
    pub fn block(&self, workchain: i8, shard: u64, seqno: u32) -> Option<&Arc<Block>> {
        self.history.block(workchain, shard, seqno).filter(|block| self.has(block.height))
    }

    /// A block as it tells of it.
    pub fn shown(&self, block: &Block) -> Block {
        let mut block = block.clone();
        for fault in self.faults {
            if let Fault::Fork(at) = fault {
                let other = |id: &mut Id| {
                    if (id.workchain, id.seqno) == (-1, *at) {
                        id.root = Hash(id.root.0.map(|byte| !byte));
                        id.file = Hash(id.file.0.map(|byte| !byte));
                    }
                };
                other(&mut block.id);
                block.on.iter_mut().for_each(other);
            }
        }
        block
    }

    pub fn global_id(&self) -> i32 {
        self.faults.iter().fold(self.history.global_id, |id, fault| match fault {
            Fault::GlobalId(other) => *other,
            _ => id,
        })
    }

    /// How many transactions a block has, as its row says.
    pub fn count(&self, block: &Block) -> i64 {
        let lost = |kept: &&Arc<Kept>| {
            self.suffers(|fault| matches!(fault, Fault::Lost(hash) if *hash == kept.at.hash)) || self.is_withheld(kept)
        };
        let forged = self.faults.iter().filter(|fault| self.forged_in(block, fault).is_some()).count();
        let there = block.transactions.len() - block.transactions.iter().filter(lost).count() + forged;
        self.faults.iter().fold(i64::try_from(there).unwrap_or(i64::MAX), |count, fault| match fault {
            Fault::CountsMore(by) => count + by,
            _ => count,
        })
    }

    /// The transactions of a block, as its lists show them.
    pub fn inside(&self, block: &Block) -> Vec<Arc<Kept>> {
        let mut list: Vec<_> =
            block.transactions.iter().filter(|kept| !self.is_missing(kept)).map(|kept| self.told(kept)).collect();
        list.extend(self.faults.iter().filter_map(|fault| self.forged_in(block, fault)));
        list
    }

    fn is_missing(&self, kept: &Arc<Kept>) -> bool {
        let is = |fault: &Fault| matches!(fault, Fault::Omitted(hash) | Fault::Lost(hash) if *hash == kept.at.hash);
        self.suffers(is) || self.is_withheld(kept)
    }

    fn is_withheld(&self, kept: &Arc<Kept>) -> bool {
        let newest = || self.history.life(&kept.account).last().is_some_and(|newest| newest.at == kept.at);
        self.suffers(|fault| matches!(fault, Fault::Withheld(account) if *account == kept.account)) && newest()
    }

    /// The forged transaction that it puts into a block.
    fn forged_in(&self, block: &Block, fault: &Fault) -> Option<Arc<Kept>> {
        match fault {
            Fault::Forged { account, height, made } if block.height == *height => {
                let fits = block.id.workchain == account.workchain && super::history::holds(block.id.shard, account);
                // Of several blocks of its shard that one masterchain block commits, the last.
                let last = self
                    .history
                    .blocks
                    .get(height)?
                    .blocks()
                    .filter(|other| other.id.workchain == block.id.workchain && other.id.shard == block.id.shard);
                let is_last = last.last().is_some_and(|last| last.id == block.id);
                let forged = kept(*account, &made.cell);
                (fits && is_last).then(|| Arc::new(Kept { height: *height, block: block.id, ..Kept::clone(&forged) }))
            }
            _ => None,
        }
    }

    /// A transaction as it tells of it.
    fn told(&self, true_one: &Arc<Kept>) -> Arc<Kept> {
        for fault in self.faults {
            if let Fault::Instead(hash, made) = fault
                && *hash == true_one.at.hash
            {
                let other = kept(true_one.account, &made.cell);
                return Arc::new(Kept { height: true_one.height, block: true_one.block, ..Kept::clone(&other) });
            }
        }
        true_one.clone()
    }

    /// What it says happened to an account, oldest first.
    pub fn life(&self, account: &Account) -> Vec<Arc<Kept>> {
        let lost = |kept: &Arc<Kept>| {
            self.suffers(|fault| matches!(fault, Fault::Lost(hash) if *hash == kept.at.hash)) || self.is_withheld(kept)
        };
        let known = self.history.life(account).iter();
        let known = known.filter(|kept| kept.cell.is_none() || self.has(kept.height));
        let mut life: Vec<_> = known.filter(|kept| !lost(kept)).map(|kept| self.told(kept)).collect();
        for fault in self.faults {
            if let Fault::Forged { account: of, height, made } = fault
                && of == account
                && *height <= self.reach
            {
                let forged = kept(*of, &made.cell);
                life.push(Arc::new(Kept { height: *height, ..Kept::clone(&forged) }));
            }
        }
        life.sort_by_key(|kept| kept.at.lt);
        life
    }

    /// The newest transaction of an account, as it says.
    pub fn newest(&self, account: &Account) -> Option<Arc<Kept>> {
        let behind = self.faults.iter().fold(0, |most: u32, fault| match fault {
            Fault::StatesBehind(by) => most.max(*by),
            _ => most,
        });
        let upto = self.reach.saturating_sub(behind);
        self.life(account).into_iter().rfind(|kept| kept.height <= upto)
    }

    /// A transaction by its hash.
    pub fn by_hash(&self, hash: &Hash) -> Option<Arc<Kept>> {
        let account = self.history.by_hash(hash).map(|kept| kept.account).or_else(|| {
            self.faults.iter().find_map(|fault| match fault {
                Fault::Forged { account, made, .. } if made.at.hash == *hash => Some(*account),
                Fault::Instead(instead, made) if made.at.hash == *hash => {
                    self.history.by_hash(instead).map(|kept| kept.account)
                }
                _ => None,
            })
        })?;
        self.life(&account).into_iter().find(|kept| kept.at.hash == *hash)
    }

    /// The cells of a transaction as it gives them; `None` where it has them not.
    pub fn raw(&self, asked: &Kept) -> Option<Vec<u8>> {
        let cell = asked.cell.as_ref()?;
        let mut bytes = Boc::encode(cell);
        for fault in self.faults {
            match fault {
                Fault::NotInDatabase => return None,
                // The last byte of a bag is data, of its deepest cell.
                Fault::Flipped(hash) if *hash == asked.at.hash => {
                    bytes.iter_mut().rev().take(1).for_each(|byte| *byte ^= 1);
                }
                Fault::CellsOfOther(hash) if *hash == asked.at.hash => {
                    let others = self.history.accounts().flat_map(|account| self.history.life(account));
                    let other = others.filter(|kept| kept.at != asked.at).find_map(|kept| kept.cell.as_ref());
                    bytes = other.map(Boc::encode).unwrap_or_default();
                }
                Fault::CutOut(hash) if *hash == asked.at.hash => {
                    bytes = cut_out(cell).map(Boc::encode).unwrap_or_default();
                }
                Fault::Undecodable(hash) if *hash == asked.at.hash => bytes.truncate(bytes.len() / 2),
                _ => {}
            }
        }
        Some(bytes)
    }
}

/// The same cell with its first reference cut out.
fn cut_out(cell: &Cell) -> Option<Cell> {
    let slice = cell.as_slice().ok()?;
    let mut builder = CellBuilder::new();
    builder.store_slice_data(slice).ok()?;
    for (index, reference) in cell.references().cloned().enumerate() {
        let reference = if index == 0 {
            let mut pruned = CellBuilder::new();
            pruned.set_exotic(true);
            // A pruned branch, of level one.
            pruned.store_u16(0x0101).ok()?;
            pruned.store_u256(reference.repr_hash()).ok()?;
            pruned.store_u16(reference.repr_depth()).ok()?;
            pruned.build().ok()?
        } else {
            reference
        };
        builder.store_reference(reference).ok()?;
    }
    builder.build().ok()
}
