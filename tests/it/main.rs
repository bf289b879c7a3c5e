//! The one integration binary: stories on real engines, a real Postgres, real receivers.

mod anvil;
mod api;
mod effects;
mod interop;
mod ledger;
mod outbox;
mod support;
