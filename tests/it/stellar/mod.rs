//! Stellar through the whole pipeline: real ledgers, liars, clawbacks, crashes, and nodes that forget.

mod branches;
mod clawback;
mod contract;
mod crash;
mod forgets;
mod ground;
mod payment;
mod play;
#[path = "../../../chains/soroban/tests/it/readings.rs"]
mod readings;
mod real;
mod scene;
#[path = "../../../chains/soroban/tests/it/second_reader.rs"]
mod second_reader;
mod tamper;
mod tip;
