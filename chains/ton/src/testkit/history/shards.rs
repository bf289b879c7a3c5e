//! How the accounts of a workchain are shared out among shards, and how shards become more and fewer.

use amn_core::block::Hash;
use sha2::{Digest as _, Sha256};

use super::{History, MASTERCHAIN, Tip};
use crate::address::Account;

/// The full name of a block.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Id {
    pub workchain: i8,
    /// The accounts it is for, as a prefix that ends in a one.
    pub shard: u64,
    pub seqno: u32,
    pub root: Hash,
    pub file: Hash,
}

impl Default for Id {
    fn default() -> Self {
        Self { workchain: 0, shard: MASTERCHAIN, seqno: 0, root: Hash([0; 32]), file: Hash([0; 32]) }
    }
}

impl Id {
    /// The same name with the hashes of this content.
    pub(super) fn hashed(mut self, content: &[&[u8]]) -> Self {
        let root = content.iter().fold(Sha256::new(), Sha256::chain_update).finalize();
        self.root = Hash(root.into());
        self.file = Hash(Sha256::digest(self.root.0).into());
        self
    }
}

/// Whether an account belongs into a shard.
pub(in super::super) fn holds(shard: u64, account: &Account) -> bool {
    let (prefix, _) = account.id.split_at(8);
    let prefix = prefix.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let ending = shard & shard.wrapping_neg();
    // The bits above the one it ends in.
    (prefix ^ shard) & !(ending | (ending - 1)) == 0
}

/// The seqno of the block that stands on these.
pub(super) fn next(on: &[Id]) -> u32 {
    on.iter().map(|id| id.seqno).max().unwrap_or_default() + 1
}

/// The two halves of a shard.
pub(super) const fn halves(shard: u64) -> [u64; 2] {
    let half = (shard & shard.wrapping_neg()) >> 1;
    [shard - half, shard + half]
}

/// The shards beside this one that make up the workchain with it.
pub(super) fn others(shard: u64) -> Vec<u64> {
    let (mut others, mut shard) = (Vec::new(), shard);
    while shard != MASTERCHAIN {
        let ending = shard & shard.wrapping_neg();
        others.push(shard ^ (ending << 1));
        shard = (shard - ending) | (ending << 1);
    }
    others
}

impl History {
    /// The block that a shard's first one stands on, which is not served.
    pub(super) fn genesis(&self, shard: u64) -> Id {
        Id { shard, seqno: 1_000, ..Id::default() }.hashed(&[&self.global_id.to_be_bytes(), &shard.to_be_bytes()])
    }

    /// The shards as the next blocks will be of, by prefix.
    #[must_use]
    pub fn shards(&self) -> Vec<u64> {
        self.tips.iter().map(|tip| tip.shard).collect()
    }

    /// The next blocks are of its two halves.
    ///
    /// # Panics
    /// Where there is no such shard.
    pub fn split(&mut self, shard: u64) {
        let place = self.place(shard);
        let whole = self.tips.remove(place);
        for (index, half) in halves(shard).into_iter().enumerate() {
            self.tips.insert(place + index, Tip { shard: half, on: whole.on.clone(), after_split: true });
        }
    }

    /// The next block is of the shard that these are the halves of.
    ///
    /// # Panics
    /// Where its halves are not there, or no block was made of one of them.
    pub fn merge(&mut self, shard: u64) {
        let [left, right] = halves(shard).map(|half| {
            let place = self.place(half);
            self.tips.remove(place)
        });
        assert!(!left.after_split && !right.after_split, "a half without a block of its own");
        let on = [left.on, right.on].concat();
        self.tips.push(Tip { shard, on, after_split: false });
        self.tips.sort_by_key(|tip| tip.shard);
    }

    pub(super) fn place(&self, shard: u64) -> usize {
        let place = self.tips.iter().position(|tip| tip.shard == shard);
        place.unwrap_or_else(|| panic!("there is no shard {shard:016x}"))
    }
}
