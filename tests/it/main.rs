//! The one integration binary: stories on real engines.

mod api;
mod ledger;
mod support;
