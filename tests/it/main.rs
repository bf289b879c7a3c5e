//! The one integration binary: stories on real engines, a real Postgres, real receivers.

mod anvil;
mod api;
mod bad_input;
mod interop;
mod ledger;
mod outbox;
mod real_blocks;
mod support;
