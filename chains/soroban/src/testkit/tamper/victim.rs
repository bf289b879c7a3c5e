//! A ledger in which every way to tamper finds something to change.

use stellar_xdr::{Asset, Memo, ScVal};

use crate::address::Place;
use crate::testkit::event::{Token, raw, string};
use crate::testkit::transaction::{Tx, muxed, plain};

/// Who is paid what, and by what.
#[derive(Clone, Debug)]
pub struct Victim {
    pub payer: Place,
    /// An account that is paid in every classic way.
    pub shop: Place,
    /// A contract that is paid by calls.
    pub escrow: Place,
    /// An asset on the network's list.
    pub asset: Asset,
    /// Its contract.
    pub token: Token,
    /// Each of its payments pays so much, or a little more.
    pub amount: i64,
}

/// The transactions of the ledger: payments by text, number, muxed address, fee-bump, path, new account and merger,
/// two contract calls, one of them with an event without topics, and one that failed. Events stand beside the classic ones.
#[must_use]
pub fn victim(of: &Victim) -> Vec<Tx> {
    let Victim { payer, shop, escrow, asset, token, amount } = of;
    let (payer, shop, escrow, amount) = (*payer, *shop, *escrow, *amount);
    let other = Place::Account([0x0d; 32]);
    let text = |text: &str| Memo::Text(text.as_bytes().to_vec().try_into().unwrap_or_default());
    let said = vec![token.transfer_with(payer, shop, i128::from(amount), string("order 17"))];
    vec![
        Tx::of(payer).memo(text("order 17")).pay(plain(shop), asset, amount).shows(said),
        Tx::of(other).memo(Memo::Id(18)).pay(plain(shop), asset, amount + 1),
        Tx::of(payer).pay(muxed(shop, 19), asset, amount + 2),
        Tx::of(payer).memo(Memo::Id(20)).pay(plain(other), asset, amount + 3),
        Tx::of(payer).memo(Memo::Id(21)).pay(plain(shop), asset, amount + 4).bumped_by(other),
        Tx::of(payer).send_by_path(muxed(shop, 22), asset, amount * 2, amount + 5),
        Tx::of(payer).create(shop, amount + 6),
        Tx::of(payer).memo(text("all I have")).merge_into(plain(shop), amount + 7),
        Tx::of(payer).memo(Memo::Id(23)).pay(plain(shop), asset, amount + 8).fails(),
        Tx::of(payer).call(vec![
            // Anybody's contract may say nothing at all.
            raw(Some([0x66; 32]), vec![], ScVal::Void),
            token.transfer(payer, escrow, i128::from(amount + 9)),
            token.transfer(payer, other, i128::from(amount + 10)),
        ]),
        Tx::of(other).call(vec![token.mint(escrow, i128::from(amount + 11))]),
    ]
}
