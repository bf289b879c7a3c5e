//! The rules of amn-scanner: what money arrived, whose it is, and when it may be believed.
//!
//! This crate decides and touches nothing: no runtime, clock, socket or database. Time, chance and
//! the chain are arguments. Read on in [`engine`], where every decision is made.

pub mod block;
pub mod confirmation;
pub mod contract;
pub mod deposit;
pub mod engine;
pub mod event;
pub mod explained;
pub mod id;
pub mod intent;
pub mod matching;
pub mod money;
pub mod network;
pub mod network_file;
pub mod source;
pub mod timestamp;
