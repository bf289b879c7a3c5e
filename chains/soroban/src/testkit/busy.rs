//! Ledgers as full as those of the public network: some 230 transactions, most of a megabyte.
//!
//! Three ledgers of June 2025 and 2026 have 228 to 250 transactions in 0.9 to 1.0 MB; four in ten of them succeed, one in
//! six is a fee-bump, one in forty calls a contract. Nine tenths of their bytes are what nodes show beside the
//! transactions: the entries that each of them changed. Nothing commits to those.

use stellar_xdr::{
    AccountEntry, AccountEntryExt, AccountEntryExtensionV1, AccountEntryExtensionV1Ext, AccountEntryExtensionV2,
    AccountEntryExtensionV2Ext, AccountEntryExtensionV3, AccountId, Asset, ExtensionPoint, LedgerCloseMeta,
    LedgerEntry, LedgerEntryChange, LedgerEntryChanges, LedgerEntryData, LedgerEntryExt, Liabilities, Memo, PublicKey,
    SequenceNumber, String32, Thresholds, TimePoint, TransactionMeta, TrustLineAsset, TrustLineEntry,
    TrustLineEntryExt, Uint256, VecM,
};

use super::chain::Closed;
use super::event::Token;
use super::transaction::{Tx, plain};
use crate::address::Place;

/// Transactions of a ledger of the public network.
pub const TRANSACTIONS: u32 = 230;

/// Entries that a node shows as changed by one transaction, its fee included: what makes it as many bytes as a real one.
const CHANGES: u32 = 24;

/// Transactions between strangers, other ones for each `seed`. `money` is the contract of the network's own money.
#[must_use]
pub fn strangers(count: u32, seed: u64, money: &Token) -> Vec<Tx> {
    (0..count)
        .map(|number| {
            let (from, to) = (stranger(seed, number, 1), stranger(seed, number, 2));
            let amount = 10_000_000 + i64::from(number);
            let tx = Tx::of(from);
            let tx = match number % 40 {
                0 => tx.call(vec![money.transfer(from, to, i128::from(amount))]),
                1..=8 => tx.send_by_path(plain(to), &Asset::Native, amount, amount - 1),
                // A memo goes with every other payment, as exchanges ask for it.
                _ if number % 2 == 0 => tx.pay(plain(to), &Asset::Native, amount).memo(Memo::Id(u64::from(number))),
                _ => tx.pay(plain(to), &Asset::Native, amount),
            };
            let tx = if number % 6 == 0 && number % 40 != 0 { tx.bumped_by(stranger(seed, number, 3)) } else { tx };
            if number % 5 < 2 || number % 40 == 0 { tx } else { tx.fails() }
        })
        .collect()
}

/// The account of somebody nobody knows.
fn stranger(seed: u64, number: u32, role: u8) -> Place {
    let mut key = [role; 32];
    key[..8].copy_from_slice(&seed.to_be_bytes());
    key[8..12].copy_from_slice(&number.to_be_bytes());
    Place::Account(key)
}

/// The same ledger with the entries that nodes show beside each transaction, in the newest form. No hash covers them.
#[must_use]
pub fn shown(mut closed: Closed) -> Closed {
    if let LedgerCloseMeta::V2(v2) = &mut closed.meta {
        let mut all = Vec::from(std::mem::take(&mut v2.tx_processing));
        for (number, one) in (0_u32..).zip(&mut all) {
            one.fee_processing = changes(number, 2);
            one.post_tx_apply_fee_processing = changes(number, 2);
            if let TransactionMeta::V4(meta) = &mut one.tx_apply_processing {
                meta.tx_changes_before = changes(number, CHANGES / 3);
                meta.tx_changes_after = changes(number, CHANGES - 4 - CHANGES / 3);
            }
        }
        v2.tx_processing = all.try_into().unwrap_or_default();
    }
    closed
}

/// Each entry as it was and as it is now; accounts and trust lines by turns.
fn changes(number: u32, count: u32) -> LedgerEntryChanges {
    let list: Vec<_> = (0..count)
        .map(|place| {
            let owner = account(number.wrapping_mul(CHANGES).wrapping_add(place / 2));
            let data = if place / 2 % 2 == 0 { of_account(owner) } else { of_trust_line(owner) };
            let entry = LedgerEntry { last_modified_ledger_seq: number, data, ext: LedgerEntryExt::V0 };
            if place % 2 == 0 { LedgerEntryChange::State(entry) } else { LedgerEntryChange::Updated(entry) }
        })
        .collect();
    LedgerEntryChanges(list.try_into().unwrap_or_default())
}

fn account(number: u32) -> AccountId {
    let mut key = [0x5a; 32];
    key[..4].copy_from_slice(&number.to_be_bytes());
    AccountId(PublicKey::PublicKeyTypeEd25519(Uint256(key)))
}

fn of_account(account_id: AccountId) -> LedgerEntryData {
    let third = AccountEntryExtensionV3 { ext: ExtensionPoint::V0, seq_ledger: 1, seq_time: TimePoint(1) };
    let second = AccountEntryExtensionV2 {
        num_sponsored: 0,
        num_sponsoring: 0,
        signer_sponsoring_i_ds: VecM::default(),
        ext: AccountEntryExtensionV2Ext::V3(third),
    };
    let first = AccountEntryExtensionV1 {
        liabilities: Liabilities { buying: 0, selling: 0 },
        ext: AccountEntryExtensionV1Ext::V2(second),
    };
    LedgerEntryData::Account(AccountEntry {
        account_id,
        balance: 1_000_000_000,
        seq_num: SequenceNumber(1),
        num_sub_entries: 3,
        inflation_dest: None,
        flags: 0,
        home_domain: String32("example.org".try_into().unwrap_or_default()),
        thresholds: Thresholds([1, 0, 0, 0]),
        signers: VecM::default(),
        ext: AccountEntryExt::V1(first),
    })
}

fn of_trust_line(account_id: AccountId) -> LedgerEntryData {
    LedgerEntryData::Trustline(TrustLineEntry {
        account_id: account_id.clone(),
        asset: TrustLineAsset::CreditAlphanum4(stellar_xdr::AlphaNum4 {
            asset_code: stellar_xdr::AssetCode4(*b"USDC"),
            issuer: account_id,
        }),
        balance: 1,
        limit: i64::MAX,
        flags: 1,
        ext: TrustLineEntryExt::V0,
    })
}
