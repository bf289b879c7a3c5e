//! Invented ledgers with true hashes, signed by invented validators, and nodes that serve them: for tests, demos and
//! benchmarks.
//!
//! A [`Chain`] closes ledgers from [`Tx`]s; every header, set, result, name, signature and commitment in them is
//! genuine, in the form of the protocol it is told to speak. A [`History`] keeps them, real ones too, and a
//! [`Node`] serves it over HTTP. False is only what a [`Fault`] or a [`tamper::Tamper`] makes so.

mod answer;
pub mod busy;
mod chain;
pub mod event;
mod fault;
pub mod forge;
mod history;
pub mod host;
pub mod lake;
mod lookup;
mod network;
mod node;
mod steps;
pub mod tamper;
mod transaction;

pub use chain::{Chain, Closed, Validator, Value};
pub use event::Token;
pub use fault::{Dialect, Fault};
pub use history::{History, Made, RETENTION_WINDOW, entry};
pub use network::{network, network_file};
pub use node::{Node, Reply, Script, Traffic};
/// What transactions are made of.
pub use stellar_xdr::{Asset, Memo};
pub use steps::{Step, Steps};
pub use transaction::{Tx, muxed, plain};
