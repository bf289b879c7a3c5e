//! Reads a Stellar ledger, proves it against its own header, and finds the money in it.
//!
//! The way of a ledger is [`ledger::Ledger::decode`], [`evidence::verify`], [`decode::block`]: pure, bytes in, facts or
//! a named contradiction out. [`source::SorobanSource`] alone asks nodes.

pub mod address;
pub mod asset;
pub mod decode;
pub mod evidence;
pub mod lake;
pub mod ledger;
pub mod networks;
pub mod reference;
pub mod source;
pub mod value;

#[cfg(feature = "testkit")]
pub mod testkit;
