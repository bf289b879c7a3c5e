//! Reads transactions of TON accounts as the cells they were committed as, links them into their account's chain, and
//! finds the money in them.
//!
//! The way of a transaction is [`transaction::Transaction::decode`], [`evidence::Descent`], [`decode::block`]: pure,
//! bytes in, facts or a named contradiction out. What asks nodes for the bytes, and whom it believes how far, is
//! [`source`].

pub mod address;
pub mod block;
pub mod cell;
pub mod decode;
pub mod evidence;
pub mod jetton;
pub mod networks;
pub mod reference;
pub mod source;
pub mod transaction;

#[cfg(feature = "testkit")]
pub mod testkit;
