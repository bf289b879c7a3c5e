//! What a contract's own methods answer: a stack of numbers and cells, written three ways; and what a jetton's master
//! says with it.

use amn_core::block::Hash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use sonic_rs::JsonValueTrait as _;
use tycho_types::boc::Boc;
use tycho_types::cell::{Cell, CellBuilder, CellSlice, HashBytes, Load as _};
use tycho_types::dict::Dict;

use super::wire::{Number, Text, bag_of_base64, bag_of_hex, read};
use crate::address::Account;
use crate::source::trouble::Trouble;
use crate::{cell, jetton as wallets};

/// Results of one method: those we call have five at most.
const ITEMS_MAX: usize = 32;

/// One thing on the stack.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// As it is written, in whatever base.
    Number(String),
    /// A cell, or what is left of one.
    Cell(Cell),
    /// Nothing, a tuple, whatever else there is.
    Other,
}

/// What a jetton's master says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct JettonSaid {
    /// `None` where they are not on the chain but in a file elsewhere, which proves nothing.
    pub decimals: Option<u8>,
    /// The hash of the code its wallets are made with.
    pub wallet_code: Hash,
    pub mintable: bool,
}

/// An owner as a method is given him: the slice that holds his address, in base64.
pub(super) fn slice_of(account: &Account) -> Result<String, Trouble> {
    let mut builder = CellBuilder::new();
    let cell = wallets::store(&mut builder, account).and_then(|()| builder.build());
    let cell = cell.map_err(|error| Trouble::Failed(format!("no cell for {account}: {error}")))?;
    Ok(STANDARD.encode(Boc::encode(&cell)))
}

fn cell_of(bag: &[u8]) -> Result<Cell, Trouble> {
    cell::decode(bag).map_err(|error| Trouble::Undecodable(format!("a cell on the stack: {error}")))
}

/// Whether the method came to its end: anything else is the contract's way to say that it has no such method.
fn ran(exit_code: Number) -> Result<(), Trouble> {
    match exit_code.0 {
        0 | 1 => Ok(()),
        code => Err(Trouble::Failed(format!("the contract's method ended with exit code {code}"))),
    }
}

fn bounded<T>(items: &[T]) -> Result<(), Trouble> {
    if items.len() > ITEMS_MAX {
        return Err(Trouble::Failed(format!("{} results of a method", items.len())));
    }
    Ok(())
}

/// v2: each item is a list of its kind and its value; a cell's value is an object that has its bytes.
#[derive(Deserialize)]
pub(super) struct WireRun<'a> {
    exit_code: Number,
    #[serde(borrow)]
    stack: Vec<(Text<'a>, sonic_rs::LazyValue<'a>)>,
}

pub(super) fn read_toncenter_v2(run: &WireRun<'_>) -> Result<Vec<Item>, Trouble> {
    ran(run.exit_code)?;
    bounded(&run.stack)?;
    run.stack.iter().map(|(kind, value)| toncenter_item(kind, value)).collect()
}

/// v3: each item is an object of its type and its value.
pub(super) fn read_toncenter_v3(body: &[u8]) -> Result<Vec<Item>, Trouble> {
    #[derive(Deserialize)]
    struct WireItem<'a> {
        #[serde(borrow, rename = "type")]
        kind: Text<'a>,
        #[serde(borrow)]
        value: sonic_rs::LazyValue<'a>,
    }
    #[derive(Deserialize)]
    struct WireRun<'a> {
        exit_code: Number,
        #[serde(borrow)]
        stack: Vec<WireItem<'a>>,
    }
    let run: WireRun<'_> = read(body)?;
    ran(run.exit_code)?;
    bounded(&run.stack)?;
    run.stack.iter().map(|item| toncenter_item(&item.kind, &item.value)).collect()
}

fn toncenter_item(kind: &str, value: &sonic_rs::LazyValue<'_>) -> Result<Item, Trouble> {
    let text = |value: &sonic_rs::LazyValue<'_>| value.as_str().map(str::to_owned);
    match kind {
        "num" => Ok(text(value).map_or(Item::Other, Item::Number)),
        "cell" | "slice" | "tvm.Cell" | "tvm.Slice" => {
            let bytes = text(value).or_else(|| text(&value.get("bytes")?));
            let bytes = bytes.ok_or_else(|| Trouble::Failed("a cell on the stack without its bytes".to_owned()))?;
            cell_of(&bag_of_base64(&bytes)?).map(Item::Cell)
        }
        _ => Ok(Item::Other),
    }
}

/// tonapi: each item is an object of its type, and of a member that bears the type's name.
pub(super) fn read_tonapi(body: &[u8]) -> Result<Vec<Item>, Trouble> {
    #[derive(Deserialize)]
    struct WireItem<'a> {
        #[serde(borrow, rename = "type")]
        kind: Text<'a>,
        #[serde(borrow, default)]
        num: Option<Text<'a>>,
        #[serde(borrow, default)]
        cell: Option<Text<'a>>,
        #[serde(borrow, default)]
        slice: Option<Text<'a>>,
    }
    #[derive(Deserialize)]
    struct WireRun<'a> {
        exit_code: Number,
        #[serde(borrow)]
        stack: Vec<WireItem<'a>>,
    }
    let run: WireRun<'_> = read(body)?;
    ran(run.exit_code)?;
    bounded(&run.stack)?;
    run.stack
        .iter()
        .map(|item| match (&*item.kind, &item.num, item.cell.as_ref().or(item.slice.as_ref())) {
            ("num", Some(number), _) => Ok(Item::Number(number.to_string())),
            ("cell" | "slice", _, Some(hex)) => cell_of(&bag_of_hex(hex)?).map(Item::Cell),
            _ => Ok(Item::Other),
        })
        .collect()
}

/// The account that a method answered, and nothing else.
pub(super) fn account(items: &[Item]) -> Result<Account, Trouble> {
    let [Item::Cell(cell)] = items else {
        return Err(Trouble::Failed("a method that should answer an address answered something else".to_owned()));
    };
    let read = cell.as_slice().and_then(|mut rest| Account::load(&mut rest));
    read.ok().flatten().ok_or_else(|| Trouble::Failed("what should be an address is none of an account".to_owned()))
}

/// Supply, whether more can be made, who may do so, what it is called, the wallets' code.
pub(super) fn jetton(items: &[Item]) -> Result<JettonSaid, Trouble> {
    let [Item::Number(_), Item::Number(mintable), _, Item::Cell(content), Item::Cell(code)] = items else {
        return Err(Trouble::Failed("get_jetton_data answered no jetton's data".to_owned()));
    };
    let none = mintable.trim_start_matches(['-', '+']).trim_start_matches("0x").chars().all(|digit| digit == '0');
    Ok(JettonSaid { decimals: decimals(content), wallet_code: cell::hash(code), mintable: !none })
}

/// What a jetton's description on the chain says of its decimals (TEP-64).
fn decimals(content: &Cell) -> Option<u8> {
    let mut rest = content.as_slice().ok()?;
    // 1 is the address of a file; what is not 0 may be anything.
    if rest.load_u8().ok()? != 0 {
        return None;
    }
    let entries: Dict<HashBytes, Cell> = Dict::load_from(&mut rest).ok()?;
    let entry = |name: &str| entries.get(HashBytes(Sha256::digest(name.as_bytes()).into())).ok().flatten();
    match entry("decimals") {
        Some(value) => written(value.as_slice().ok()?),
        // A file elsewhere may say them; without one they are those that the standard says.
        None => entry("uri").is_none().then_some(DECIMALS_UNSAID),
    }
}

/// What a description that says nothing means.
const DECIMALS_UNSAID: u8 = 9;

/// A number in decimal digits. Before it stands a zero; some leave that out.
fn written(rest: CellSlice<'_>) -> Option<u8> {
    let bytes = cell::snake(rest).ok()?;
    let digits = bytes.strip_prefix(&[0]).unwrap_or(&bytes);
    std::str::from_utf8(digits).ok().filter(|text| text.len() <= 3)?.parse().ok()
}

#[cfg(test)]
mod tests;
