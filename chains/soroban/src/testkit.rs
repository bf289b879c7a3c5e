//! Invented ledgers with true hashes, signed by invented validators: for tests and benchmarks.
//!
//! A [`Chain`] closes ledgers from [`Tx`]s; every header, set, result, name, signature and commitment in them is
//! genuine, in the form of the protocol it is told to speak. Only what a test forges is false.

mod chain;
pub mod event;
pub mod host;
mod transaction;

pub use chain::{Chain, Closed, Validator, Value};
pub use event::Token;
pub use transaction::{Tx, muxed, plain};
