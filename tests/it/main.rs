//! The one integration binary: stories on real engines, a real Postgres, real receivers.

#![expect(clippy::disallowed_methods, reason = "tests start their own servers and read the clock of the machine")]

mod anvil;
mod api;
mod auditor;
mod bad_input;
mod cli;
mod contracts;
mod crash;
mod deep_forks;
mod demo;
mod disagree;
mod effects;
mod faces;
mod fixtures;
mod interop;
mod lease;
mod ledger;
mod lies;
mod outage;
mod outbox;
mod pace;
mod real_blocks;
mod start_again;
mod stellar;
mod support;
mod ton;
mod torture;
mod two_daemons;
