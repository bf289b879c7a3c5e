//! Invented chains with true hashes, and nodes that serve them: for tests and benchmarks.
//!
//! A [`History`] is built block by block from payments; every header, root, bloom and transaction hash
//! in it is genuine, so that only what a test forges is false. A [`Node`] serves one over HTTP, with a
//! [`Script`] that may replace any answer by a lie, an error, or silence.

mod history;
mod node;

pub use history::{Call, History, Made, transfer_log};
pub use node::{Node, Reply, Script, Traffic};
