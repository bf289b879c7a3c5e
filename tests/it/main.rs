//! The one integration binary: stories on real engines, a real Postgres, real receivers.

mod anvil;
mod api;
mod deep_forks;
mod effects;
mod interop;
mod lease;
mod ledger;
mod outbox;
mod support;
