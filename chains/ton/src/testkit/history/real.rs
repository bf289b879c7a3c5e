//! A history that begins with a real shard block, read elsewhere.

use std::sync::Arc;

use amn_core::block::Hash;
use sha2::{Digest as _, Sha256};
use tycho_types::models::AccountStatus;

use super::{Block, History, Id, Kept, Tip, kept, shards};
use crate::block::ShardBlock;
use crate::transaction::Link;

/// How many masterchain blocks after the one a shard block looked at commits it: seen in real ones.
const COMMITTED_AFTER: u32 = 5;

/// How long before the history the transactions lie that are known by name alone.
const BEFORE: u32 = 50;

impl History {
    /// A masterchain block below, invented; a real shard block and the invented one that commits it. What closes next
    /// stands on it. Of an account's transaction before its first in the block nothing but the name is known.
    pub fn of_real(bytes: &[u8]) -> Result<Self, String> {
        let read = ShardBlock::decode(bytes).map_err(|error| error.to_string())?;
        let cells = ShardBlock::cells(bytes).map_err(|error| error.to_string())?;
        let (looked_at, root) = read.masterchain.ok_or("a block of the masterchain itself")?;
        let id = Id {
            workchain: read.name.workchain,
            shard: read.name.shard,
            seqno: read.name.seqno,
            root: read.name.root,
            file: Hash(Sha256::digest(bytes).into()),
        };
        let mut history = Self::empty(read.global_id, looked_at + COMMITTED_AFTER - 1, read.time.saturating_sub(1));
        history.lt = read.start_lt.saturating_sub(1_000);
        history.covered = history.lt;
        let on: Vec<Id> = read
            .on
            .iter()
            .map(|(seqno, root)| Id { seqno: *seqno, root: *root, file: Hash(Sha256::digest(root.0).into()), ..id })
            .collect();
        history.tips = shards::others(id.shard)
            .into_iter()
            .map(|shard| Tip { shard, on: vec![history.genesis(shard)], after_split: false })
            .collect();
        history.tips.push(Tip { shard: id.shard, on: on.clone(), after_split: false });
        history.tips.sort_by_key(|tip| tip.shard);
        history.commit();
        history.clock = u64::from(read.time) * 1_000;

        let transactions: Vec<_> =
            read.transactions.iter().zip(&cells).map(|(read, cell)| kept(read.account, cell)).collect();
        for name in before(&transactions, &id, looked_at) {
            history.enter(name);
        }
        history.lt = read.end_lt;
        history.covered = read.end_lt;
        history.made.push(Block {
            id,
            on,
            after_split: false,
            time: read.time,
            start_lt: read.start_lt,
            end_lt: read.end_lt,
            master: (looked_at, root),
            height: history.next,
            transactions,
        });
        let place = history.place(id.shard);
        history.tips[place].on = vec![id];
        history.commit();
        Ok(history)
    }
}

/// What the first transaction of each account stands on.
fn before(transactions: &[Arc<Kept>], id: &Id, looked_at: u32) -> Vec<Arc<Kept>> {
    let names: std::collections::HashSet<Link> = transactions.iter().map(|kept| kept.at).collect();
    let unknown = transactions.iter().filter(|kept| kept.before.lt > 0 && !names.contains(&kept.before));
    unknown
        .map(|first| {
            Arc::new(Kept {
                account: first.account,
                at: first.before,
                before: Link { lt: 0, hash: Hash([0; 32]) },
                now: first.now.saturating_sub(60),
                was: AccountStatus::Active,
                ends: first.was,
                cell: None,
                height: looked_at.saturating_sub(BEFORE),
                block: Id { seqno: id.seqno.saturating_sub(BEFORE), ..*id },
            })
        })
        .collect()
}
