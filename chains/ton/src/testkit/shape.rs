//! How the dialects spell accounts, hashes and cells, and what they tell of a transaction beside its cells.

use amn_core::block::Hash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tycho_types::boc::Boc;
use tycho_types::boc::ser::BocHeader;
use tycho_types::cell::{Cell, CellBuilder};
use tycho_types::models::{
    AccountStatus, ComputePhase, ComputePhaseSkipReason, IntAddr, Message, MsgInfo, Transaction as InCell, TxInfo,
};

use super::history::{Id, Kept};
use crate::address::{Account, Realm};

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn hash64(hash: &Hash) -> String {
    base64(&hash.0)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A hash in base64 of either alphabet, or in hexadecimal digits.
pub(super) fn hash_of(text: &str) -> Option<Hash> {
    if text.len() == 64 {
        return text.parse().ok();
    }
    let standard = text.replace('-', "+").replace('_', "/");
    Some(Hash(STANDARD.decode(standard).ok()?.try_into().ok()?))
}

/// Raw, and in upper case.
pub(super) fn upper(account: &Account) -> String {
    account.to_string().to_uppercase()
}

/// As v2 spells it: for contracts, and with the other alphabet's signs where it has them.
pub(super) fn friendly(account: &Account, global_id: i32) -> String {
    account.bounceable(if global_id == -239 { Realm::Mainnet } else { Realm::Testnet })
}

/// The shard as a number with a sign.
pub(super) fn signed(shard: u64) -> String {
    shard.cast_signed().to_string()
}

/// The shard of a number with a sign, as v2 takes it.
pub(super) fn shard_of_signed(text: &str) -> Option<u64> {
    text.parse::<i64>().ok().map(i64::cast_unsigned)
}

/// The shard of its hexadecimal digits, as the others take it.
pub(super) fn shard_of_digits(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

/// As tonapi names a block.
pub(super) fn triple(id: &Id) -> String {
    format!("({},{:016x},{})", id.workchain, id.shard, id.seqno)
}

/// A bag with a checksum, as the nodes' own library writes it.
pub(super) fn bag(cell: &Cell) -> Vec<u8> {
    let mut bytes = Vec::new();
    BocHeader::<std::collections::hash_map::RandomState>::with_root(cell.as_ref()).with_crc(true).encode(&mut bytes);
    bytes
}

pub(super) fn bag64(cell: &Cell) -> String {
    base64(&bag(cell))
}

pub(super) const fn status(status: AccountStatus) -> &'static str {
    match status {
        AccountStatus::Uninit => "uninit",
        AccountStatus::Frozen => "frozen",
        AccountStatus::Active => "active",
        AccountStatus::NotExists => "nonexist",
    }
}

/// What is told of a transaction beside its cells; nothing of one that is known by name alone.
pub(super) struct Told {
    pub fees: u128,
    pub info: Option<TxInfo>,
    pub arrived: Option<Letter>,
    pub sent: Vec<Letter>,
}

/// A message as it is told of.
pub(super) struct Letter {
    pub hash: Hash,
    pub from: Option<Account>,
    pub to: Option<Account>,
    pub value: u128,
    pub forwarding: u128,
    pub bounce: bool,
    pub bounced: bool,
    pub made: (u64, u32),
    pub body: Cell,
    pub external: bool,
}

impl Letter {
    pub fn opcode(&self) -> Option<u32> {
        self.body.as_slice().ok()?.load_u32().ok()
    }

    fn of(cell: &Cell) -> Option<Self> {
        let message: Message<'_> = cell.parse().ok()?;
        let mut body = CellBuilder::new();
        body.store_slice(message.body).ok()?;
        let body = body.build().ok()?;
        let hash = crate::cell::hash(cell);
        let account = |address: &IntAddr| match address {
            IntAddr::Std(address) => Some(Account::new(address.workchain, address.address.0)),
            IntAddr::Var(_) => None,
        };
        let bare = Self {
            hash,
            from: None,
            to: None,
            value: 0,
            forwarding: 0,
            bounce: false,
            bounced: false,
            made: (0, 0),
            body,
            external: true,
        };
        Some(match message.info {
            MsgInfo::Int(info) => Self {
                from: account(&info.src),
                to: account(&info.dst),
                value: info.value.tokens.into_inner(),
                forwarding: info.fwd_fee.into_inner(),
                bounce: info.bounce,
                bounced: info.bounced,
                made: (info.created_lt, info.created_at),
                external: false,
                ..bare
            },
            MsgInfo::ExtIn(info) => Self { to: account(&info.dst), ..bare },
            MsgInfo::ExtOut(info) => {
                Self { from: account(&info.src), made: (info.created_lt, info.created_at), ..bare }
            }
        })
    }
}

impl Told {
    pub fn of(kept: &Kept) -> Self {
        let read = kept.cell.as_ref().and_then(|cell| cell.parse::<InCell>().ok());
        let Some(read) = read else { return Self { fees: 0, info: None, arrived: None, sent: Vec::new() } };
        Self {
            fees: read.total_fees.tokens.into_inner(),
            info: read.load_info().ok(),
            arrived: read.in_msg.as_ref().and_then(Letter::of),
            sent: read.out_msgs.values().filter_map(|cell| Letter::of(&cell.ok()?)).collect(),
        }
    }

    pub const fn aborted(&self) -> bool {
        match &self.info {
            Some(TxInfo::Ordinary(info)) => info.aborted,
            Some(TxInfo::TickTock(info)) => info.aborted,
            None => false,
        }
    }

    pub const fn compute(&self) -> Option<&ComputePhase> {
        match &self.info {
            Some(TxInfo::Ordinary(info)) => Some(&info.compute_phase),
            Some(TxInfo::TickTock(info)) => Some(&info.compute_phase),
            None => None,
        }
    }
}

pub(super) const fn skipped(reason: ComputePhaseSkipReason) -> &'static str {
    match reason {
        ComputePhaseSkipReason::NoState => "no_state",
        ComputePhaseSkipReason::BadState => "bad_state",
        ComputePhaseSkipReason::NoGas => "no_gas",
        ComputePhaseSkipReason::Suspended => "suspended",
    }
}

/// A cell of bytes in base64 or hexadecimal digits.
pub(super) fn cell_of(text: &str) -> Option<Cell> {
    let bytes = STANDARD.decode(text).ok()?;
    Boc::decode(bytes).ok()
}
