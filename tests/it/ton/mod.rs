//! TON through the whole pipeline: real blocks, liars, crashes, outages, and nodes that forget.

mod budget;
mod crash;
mod forgets;
mod ground;
mod lies;
mod missed;
mod outage;
mod payment;
mod play;
mod real;
mod scene;
#[path = "../../../chains/ton/tests/it/second_reader.rs"]
mod second_reader;
mod spam;
