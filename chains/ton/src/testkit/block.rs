//! Whole shard blocks of invented transactions, for what reads a block as one bag.

use std::collections::BTreeMap;

use tycho_types::boc::Boc;
use tycho_types::cell::{CellBuilder, HashBytes, Lazy, LazyExotic};
use tycho_types::dict::AugDict;
use tycho_types::error::Error;
use tycho_types::merkle::MerkleUpdate;
use tycho_types::models::{
    AccountBlock, AccountBlocks, Block, BlockExtra, BlockInfo, BlockRef, CurrencyCollection, HashUpdate, ShardIdent,
    ValueFlow,
};

use super::Made;
use crate::address::Account;

/// The network's number in invented blocks: that of the main one.
const GLOBAL_ID: i32 = -239;

/// Every transaction's fee, as lives are invented with it.
const FEES: u128 = 1_000;

/// A block of the one shard of workchain 0, with these transactions in it, as the bag that holds it.
pub fn shard_block(seqno: u32, transactions: &[(Account, &Made)]) -> Result<Vec<u8>, Error> {
    let mut accounts: BTreeMap<Account, Vec<&Made>> = BTreeMap::new();
    for (account, made) in transactions {
        accounts.entry(*account).or_default().push(made);
    }
    let mut blocks = AccountBlocks::new();
    for (account, made) in accounts {
        let fees = CurrencyCollection::new(FEES.saturating_mul(made.len() as u128));
        blocks.set(HashBytes(account.id), fees, account_block(account, &made)?)?;
    }
    let lts = || transactions.iter().map(|(_, made)| made.at.lt);
    let before = |seqno: u32| BlockRef {
        end_lt: 0,
        seqno: seqno.saturating_sub(1),
        root_hash: HashBytes([6; 32]),
        file_hash: HashBytes([7; 32]),
    };
    let info = BlockInfo {
        seqno,
        vert_seqno: 1,
        shard: ShardIdent::BASECHAIN,
        gen_utime: 1_760_000_000,
        start_lt: lts().min().unwrap_or_default(),
        end_lt: lts().max().unwrap_or_default().saturating_add(1),
        master_ref: Some(Lazy::new(&before(seqno))?),
        prev_ref: CellBuilder::build_from(before(seqno))?,
        ..BlockInfo::default()
    };
    let extra = BlockExtra { account_blocks: Lazy::new(&blocks)?, ..BlockExtra::default() };
    let block = Block {
        global_id: GLOBAL_ID,
        info: Lazy::new(&info)?,
        value_flow: Lazy::new(&ValueFlow::default())?,
        state_update: LazyExotic::new(&MerkleUpdate::default())?,
        out_msg_queue_updates: None,
        extra: Lazy::new(&extra)?,
    };
    Ok(Boc::encode(CellBuilder::build_from(&block)?))
}

fn account_block(account: Account, made: &[&Made]) -> Result<AccountBlock, Error> {
    let mut transactions = AugDict::new();
    for made in made {
        transactions.set(made.at.lt, CurrencyCollection::new(FEES), Lazy::from_raw(made.cell.clone())?)?;
    }
    let state_update = Lazy::new(&HashUpdate { old: HashBytes([1; 32]), new: HashBytes([2; 32]) })?;
    Ok(AccountBlock { account: HashBytes(account.id), transactions, state_update })
}
