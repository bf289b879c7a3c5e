//! What masters of jettons answer to questions: what they are, and whose wallet is where.

use sha2::{Digest as _, Sha256};
use tycho_types::cell::{Cell, CellBuilder, HashBytes};
use tycho_types::dict::Dict;

use super::fault::Fault;
use super::view::View;
use crate::address::Account;
use crate::decode::Jetton;
use crate::jetton::{self, WalletForm};

/// A master of a jetton.
#[derive(Clone, Debug)]
pub struct Minter {
    pub master: Account,
    pub form: WalletForm,
    pub decimals: u8,
    pub supply: u128,
    pub mintable: bool,
    pub admin: Option<Account>,
}

impl Minter {
    /// The master of a listed jetton.
    #[must_use]
    pub fn of(jetton: &Jetton, decimals: u8) -> Self {
        Self {
            master: jetton.master,
            form: jetton.form.clone(),
            decimals,
            supply: 1_000_000_000_000_000,
            mintable: true,
            admin: Some(Account::new(0, [0xad; 32])),
        }
    }
}

/// A value that a contract answers with.
pub(super) enum Value {
    Number(i128),
    Cell(Cell),
    Slice(Cell),
}

/// What a contract answers: how it ended, and what is left on its stack.
pub(super) struct Ended {
    pub code: i32,
    pub stack: Vec<Value>,
}

impl View<'_> {
    /// Asks a contract. `None` where there is none.
    pub fn ask(&self, contract: &Account, method: &str, owner: Option<Account>) -> Option<Ended> {
        let minter = self.history.minters.iter().find(|minter| minter.master == *contract)?;
        for fault in self.faults {
            if let Fault::Exits(code) = fault {
                return Some(Ended { code: *code, stack: Vec::new() });
            }
        }
        let stack = match (method, owner) {
            ("get_jetton_data", _) => self.data(minter),
            ("get_wallet_address", Some(owner)) => vec![Value::Slice(address(Some(&self.wallet(minter, &owner)?))?)],
            // No such method.
            _ => return Some(Ended { code: 11, stack: Vec::new() }),
        };
        Some(Ended { code: 0, stack })
    }

    fn data(&self, minter: &Minter) -> Vec<Value> {
        let mut decimals = Some(minter.decimals);
        for fault in self.faults {
            match fault {
                Fault::Decimals(other) => decimals = Some(*other),
                Fault::NoDecimals => decimals = None,
                _ => {}
            }
        }
        let code = crate::cell::decode(&minter.form.code()).unwrap_or_default();
        vec![
            Value::Number(i128::try_from(minter.supply).unwrap_or(i128::MAX)),
            Value::Number(if minter.mintable { -1 } else { 0 }),
            Value::Slice(address(minter.admin.as_ref()).unwrap_or_default()),
            Value::Cell(content(decimals).unwrap_or_default()),
            Value::Cell(code),
        ]
    }

    fn wallet(&self, minter: &Minter, owner: &Account) -> Option<Account> {
        let mut wallet = minter.form.wallet(&minter.master, owner);
        for fault in self.faults {
            match fault {
                Fault::WalletIs(other) => wallet = Some(*other),
                Fault::WalletUnder(master) => wallet = minter.form.wallet(master, owner),
                _ => {}
            }
        }
        wallet
    }
}

/// What a jetton says of itself (TEP-64): on the chain, with so many decimals, or where to read it.
fn content(decimals: Option<u8>) -> Option<Cell> {
    let mut builder = CellBuilder::new();
    let uri = b"https://jetton.example/meta.json";
    let Some(decimals) = decimals else {
        builder.store_u8(1).ok()?;
        builder.store_raw(uri, u16::try_from(uri.len() * 8).ok()?).ok()?;
        return builder.build().ok();
    };
    let mut entries: Dict<HashBytes, Cell> = Dict::new();
    for (key, text) in [("decimals", decimals.to_string().as_bytes()), ("uri", uri.as_slice())] {
        let mut value = CellBuilder::new();
        // A snake follows.
        value.store_u8(0).ok()?;
        value.store_raw(text, u16::try_from(text.len() * 8).ok()?).ok()?;
        entries.set(HashBytes(Sha256::digest(key).into()), value.build().ok()?).ok()?;
    }
    builder.store_u8(0).ok()?;
    let dictionary = CellBuilder::build_from(&entries).ok()?;
    builder.store_slice(dictionary.as_slice().ok()?).ok()?;
    builder.build().ok()
}

pub(super) fn address(account: Option<&Account>) -> Option<Cell> {
    let mut builder = CellBuilder::new();
    match account {
        Some(account) => jetton::store(&mut builder, account).ok()?,
        None => builder.store_small_uint(0, 2).ok()?,
    }
    builder.build().ok()
}
