//! One integration binary: stories on real engines.

mod ledger;
mod support;
