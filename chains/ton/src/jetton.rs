//! Jettons: whose wallet an account is, worked out by us, and what a transfer into it says.
//!
//! A jetton is kept in one small account for each owner, its wallet, whose address is the hash of its code and of its
//! first data: the owner and the master. Who is on the allow-list is a master, and the wallets follow from it; what a
//! message says of itself, and what a notification says, proves nothing.

use tycho_types::boc::Boc;
use tycho_types::cell::{Cell, CellBuilder, CellSlice, CellSliceRange, HashBytes, Load};
use tycho_types::error::Error;
use tycho_types::num::Tokens;

use crate::address::Account;
use crate::cell;
use crate::reference::{self, Said};

/// What a wallet is told by the one that pays, or by its master: the only way money comes in.
pub const INTERNAL_TRANSFER: u32 = 0x178d_4519;
/// What an owner is told by a wallet, if the payer paid for it. Anybody can send one.
pub const NOTIFICATION: u32 = 0x7362_d09c;
/// What is left of the fees, on its way back.
pub const EXCESSES: u32 = 0xd532_76db;
/// What an owner tells a wallet, or the master of one that lets it.
pub const TRANSFER: u32 = 0x0f8a_7ea5;
pub const BURN: u32 = 0x595f_07bc;
/// What the master tells a wallet that it locks or unlocks.
pub const SET_STATUS: u32 = 0xeed2_36d3;
/// The bit of a status that stops a wallet from paying.
pub const LOCKED_OUT: u8 = 1;

/// How a wallet's first data are laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Balance, owner, master, and the code once more.
    Standard,
    /// Status, balance, owner, master: of jettons whose master may lock wallets (USDT).
    Governed,
}

/// What the wallets of one master are made of.
#[derive(Clone, Debug)]
pub struct WalletForm {
    code: Cell,
    layout: Layout,
}

impl WalletForm {
    /// Wallets whose code lies in the masterchain's library, under this hash.
    #[must_use]
    pub fn of_library(hash: [u8; 32], layout: Layout) -> Self {
        Self { code: CellBuilder::build_library(&HashBytes(hash)), layout }
    }

    /// Wallets that carry this code themselves, as a bag of cells.
    pub fn of_code(bag: &[u8], layout: Layout) -> Result<Self, cell::CellError> {
        Ok(Self { code: cell::decode(bag)?, layout })
    }

    /// The wallet of an owner under a master. Wallets are in workchain 0, whoever owns them.
    ///
    /// `None` where it cannot be worked out, which no owner and master of the usual form cause.
    #[must_use]
    pub fn wallet(&self, master: &Account, owner: &Account) -> Option<Account> {
        let state = self.state(master, owner).ok()?;
        Some(Account::new(0, cell::hash(&state).0))
    }

    fn state(&self, master: &Account, owner: &Account) -> Result<Cell, Error> {
        let mut data = CellBuilder::new();
        if self.layout == Layout::Governed {
            data.store_small_uint(0, 4)?;
        }
        // A balance of zero.
        data.store_small_uint(0, 4)?;
        store(&mut data, owner)?;
        store(&mut data, master)?;
        if self.layout == Layout::Standard {
            data.store_reference(self.code.clone())?;
        }
        let mut state = CellBuilder::new();
        // No split, nothing special, code, data, no libraries.
        state.store_small_uint(0b00110, 5)?;
        state.store_reference(self.code.clone())?;
        state.store_reference(data.build()?)?;
        state.build()
    }

    /// The owner that a wallet's first state names, if it is a state of this form.
    fn owner(&self, state: &Cell) -> Result<Option<Account>, Error> {
        let mut rest = state.as_slice()?;
        if rest.load_small_uint(5)? != 0b00110 || rest.load_reference()?.repr_hash() != self.code.repr_hash() {
            return Ok(None);
        }
        let mut data = rest.load_reference_as_slice()?;
        if self.layout == Layout::Governed {
            data.skip_first(4, 0)?;
        }
        Tokens::load_from(&mut data)?;
        Account::load(&mut data)
    }

    /// Whose wallet an account is, by the state a message brought along for it: believed only where the address that
    /// we work out from its owner is that account.
    #[must_use]
    pub fn owner_by_state(&self, master: &Account, wallet: &Account, state: &Cell) -> Option<Account> {
        let owner = self.owner(state).ok().flatten()?;
        (self.wallet(master, &owner)? == *wallet).then_some(owner)
    }

    /// The code as a bag of cells: for who writes a network's file.
    #[must_use]
    pub fn code(&self) -> Vec<u8> {
        Boc::encode(&self.code)
    }
}

pub(crate) fn store(builder: &mut CellBuilder, account: &Account) -> Result<(), Error> {
    builder.store_small_uint(0b100, 3)?;
    builder.store_u8(account.workchain.cast_unsigned())?;
    builder.store_u256(&HashBytes(account.id))
}

/// A transfer as the receiving wallet was told it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Incoming {
    pub query: u64,
    pub amount: u128,
    /// `None` for jettons that the master made.
    pub from: Option<Account>,
    /// What the payer sent along, whether its owner was told or not.
    pub said: Said,
}

/// Reads what a wallet was told; `None` where not even the amount is there.
#[must_use]
pub fn incoming(body: CellSlice<'_>) -> Option<Incoming> {
    let mut rest = body;
    if rest.load_u32().ok()? != INTERNAL_TRANSFER {
        return None;
    }
    let query = rest.load_u64().ok()?;
    let amount = Tokens::load_from(&mut rest).ok()?.into_inner();
    let (from, said) = match Account::load(&mut rest) {
        Ok(from) => (from, carried(rest)),
        Err(_) => (None, None),
    };
    // The wallet accepted it; what cannot be read of it is told apart by all of it.
    let said = said.unwrap_or_else(|| {
        Said::Reference(reference::unreadable(
            cell::hash_of_rest(&body).unwrap_or(amn_core::block::Hash(body.cell().repr_hash().0)),
        ))
    });
    Some(Incoming { query, amount, from, said })
}

/// The payload, inline or in a cell of its own. Some senders end before it: then there is none.
fn carried(mut rest: CellSlice<'_>) -> Option<Said> {
    if rest.is_empty() {
        return Some(Said::Nothing);
    }
    Account::load(&mut rest).ok()?;
    if rest.is_empty() {
        return Some(Said::Nothing);
    }
    Tokens::load_from(&mut rest).ok()?;
    if rest.is_empty() {
        return Some(Said::Nothing);
    }
    if rest.load_bit().ok()? {
        let payload = rest.load_reference_cloned().ok()?;
        let payload = CellSliceRange::full(payload.as_ref()).apply(&payload).ok().map(reference::of_payload);
        return payload;
    }
    Some(reference::of_payload(rest))
}

/// What an owner is told: number, amount, sender. Proves nothing: anybody can say it.
#[must_use]
pub fn notified(body: CellSlice<'_>) -> Option<(u64, u128, Option<Account>)> {
    let mut rest = body;
    if rest.load_u32().ok()? != NOTIFICATION {
        return None;
    }
    let (query, amount) = (rest.load_u64().ok()?, Tokens::load_from(&mut rest).ok()?.into_inner());
    Some((query, amount, Account::load(&mut rest).ok()?))
}

/// What is moved or burnt by an order to a wallet.
#[must_use]
pub fn ordered(body: CellSlice<'_>) -> Option<u128> {
    let mut rest = body;
    if ![TRANSFER, BURN].contains(&rest.load_u32().ok()?) {
        return None;
    }
    rest.load_u64().ok()?;
    Tokens::load_from(&mut rest).ok().map(Tokens::into_inner)
}

/// The status a wallet was given.
#[must_use]
pub fn status(body: CellSlice<'_>) -> Option<u8> {
    let mut rest = body;
    if rest.load_u32().ok()? != SET_STATUS {
        return None;
    }
    rest.load_u64().ok()?;
    rest.load_small_uint(4).ok()
}
