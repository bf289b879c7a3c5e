//! Messages, and everything that one may say.

use tycho_types::cell::{Cell, CellBuilder, CellFamily as _, Store as _};
use tycho_types::error::Error;
use tycho_types::num::Tokens;

use crate::address::Account;
use crate::jetton;

/// A message from another account.
#[derive(Clone, Debug)]
pub struct Letter {
    from: Option<Account>,
    value: u128,
    bounced: bool,
    init: Option<Cell>,
    body: Cell,
    inline: bool,
}

impl Letter {
    /// With so many nanotons, and nothing to say.
    #[must_use]
    pub fn from(from: Account, value: u128) -> Self {
        Self { from: Some(from), value, bounced: false, init: None, body: Cell::default(), inline: true }
    }

    #[must_use]
    pub fn saying(mut self, body: Cell) -> Self {
        self.inline = body.bit_len() < 300 && body.reference_count() < 2 && !body.is_exotic();
        self.body = body;
        self
    }

    /// The body in a cell of its own, as many wallets write it.
    #[must_use]
    pub const fn apart(mut self) -> Self {
        self.inline = false;
        self
    }

    /// It is one that came back.
    #[must_use]
    pub const fn bounced(mut self) -> Self {
        self.bounced = true;
        self
    }

    /// It brings along the state of an account that is not deployed.
    #[must_use]
    pub fn with_state(mut self, state: Cell) -> Self {
        self.init = Some(state);
        self
    }

    /// The message as a cell, to this account.
    #[must_use]
    pub fn cell(&self, to: &Account) -> Cell {
        built(|builder| {
            // Internal, no instant routing, wants an answer, and whether it is one.
            builder.store_small_uint(0b0110 | u8::from(self.bounced), 4)?;
            party(builder, self.from.as_ref())?;
            jetton::store(builder, to)?;
            coins(builder, self.value)?;
            builder.store_bit_zero()?;
            coins(builder, 0)?;
            coins(builder, 266_669)?;
            builder.store_u64(999)?;
            builder.store_u32(1_760_000_000)?;
            builder.store_bit(self.init.is_some())?;
            if let Some(state) = &self.init {
                builder.store_bit_one()?;
                builder.store_reference(state.clone())?;
            }
            builder.store_bit(!self.inline)?;
            if self.inline { whole(builder, &self.body) } else { builder.store_reference(self.body.clone()) }
        })
    }
}

/// What is built here is small; one that does not fit is no cell at all, and no test passes with it.
fn built(fill: impl FnOnce(&mut CellBuilder) -> Result<(), Error>) -> Cell {
    let mut builder = CellBuilder::new();
    fill(&mut builder).and_then(|()| builder.build()).unwrap_or_default()
}

fn coins(builder: &mut CellBuilder, amount: u128) -> Result<(), Error> {
    Tokens::new(amount).store_into(builder, Cell::empty_context())
}

fn whole(builder: &mut CellBuilder, cell: &Cell) -> Result<(), Error> {
    builder.store_slice(cell.as_slice_allow_exotic())
}

/// Bytes through as many cells as they need, `head` before them.
fn snake(head: &[u8], bytes: &[u8]) -> Cell {
    let all = [head, bytes].concat();
    let chunks: Vec<_> = if all.is_empty() { vec![&all[..]] } else { all.chunks(120).collect() };
    let mut next: Option<Cell> = None;
    for chunk in chunks.iter().rev() {
        next = Some(built(|builder| {
            builder.store_raw(chunk, u16::try_from(chunk.len() * 8).unwrap_or(u16::MAX))?;
            next.take().map_or(Ok(()), |next| builder.store_reference(next))
        }));
    }
    next.unwrap_or_default()
}

/// A comment of these bytes.
#[must_use]
pub fn comment(bytes: &[u8]) -> Cell {
    snake(&[0; 4], bytes)
}

/// A comment as people write it.
#[must_use]
pub fn text(text: &str) -> Cell {
    comment(text.as_bytes())
}

/// A comment that is a program's number.
#[must_use]
pub fn binary(bytes: &[u8]) -> Cell {
    snake(&[0, 0, 0, 0, 0xff], bytes)
}

/// A comment only its receiver can read.
#[must_use]
pub fn encrypted(bytes: &[u8]) -> Cell {
    snake(&0x2167_da4b_u32.to_be_bytes(), bytes)
}

/// Something for a contract.
#[must_use]
pub fn for_contract(operation: u32, bytes: &[u8]) -> Cell {
    snake(&operation.to_be_bytes(), bytes)
}

/// What a jetton transfer carries on.
#[derive(Clone, Debug)]
pub enum Payload {
    /// It ends before there could be anything.
    Missing,
    None,
    Inline(Cell),
    Apart(Cell),
}

impl Payload {
    fn store(&self, builder: &mut CellBuilder) -> Result<(), Error> {
        match self {
            Self::Missing => Ok(()),
            Self::None => builder.store_bit_zero(),
            Self::Inline(cell) => {
                builder.store_bit_zero()?;
                whole(builder, cell)
            }
            Self::Apart(cell) => {
                builder.store_bit_one()?;
                builder.store_reference(cell.clone())
            }
        }
    }
}

fn party(builder: &mut CellBuilder, account: Option<&Account>) -> Result<(), Error> {
    match account {
        Some(account) => jetton::store(builder, account),
        None => builder.store_small_uint(0, 2),
    }
}

/// What a wallet is told when jettons come in; `told` nanotons go on to its owner.
#[must_use]
pub fn internal_transfer(query: u64, amount: u128, from: Option<&Account>, told: u128, payload: &Payload) -> Cell {
    built(|builder| {
        builder.store_u32(jetton::INTERNAL_TRANSFER)?;
        builder.store_u64(query)?;
        coins(builder, amount)?;
        party(builder, from)?;
        party(builder, from)?;
        coins(builder, told)?;
        payload.store(builder)
    })
}

/// What an owner is told, by his wallet or by anybody.
#[must_use]
pub fn notification(query: u64, amount: u128, from: &Account, payload: &Payload) -> Cell {
    built(|builder| {
        builder.store_u32(jetton::NOTIFICATION)?;
        builder.store_u64(query)?;
        coins(builder, amount)?;
        jetton::store(builder, from)?;
        payload.store(builder)
    })
}

/// An order to a wallet to move or burn so much.
#[must_use]
pub fn order(operation: u32, query: u64, amount: u128) -> Cell {
    built(|builder| {
        builder.store_u32(operation)?;
        builder.store_u64(query)?;
        coins(builder, amount)
    })
}
