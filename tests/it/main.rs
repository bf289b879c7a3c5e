//! The one integration binary: stories on real engines, a real Postgres, real receivers.

mod anvil;
mod api;
mod interop;
mod ledger;
mod outbox;
mod start_again;
mod support;
