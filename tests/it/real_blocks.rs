//! A real block of Ethereum through the whole pipeline: its payments are confirmed exactly, and no liar's are.

mod block;
mod forged;
mod tampered;
