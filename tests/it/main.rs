//! The one integration binary: stories on real engines, a real Postgres, real receivers.

mod anvil;
mod api;
mod crash;
mod interop;
mod ledger;
mod outbox;
mod support;
mod two_daemons;
