//! The one integration binary: stories on real engines, a real Postgres, real receivers.

mod api;
mod interop;
mod ledger;
mod outbox;
mod support;
