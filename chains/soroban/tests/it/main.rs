//! One binary for the tests of this family: real ledgers, forged ones, invented ones.

mod attested;
mod forge;
mod host;
mod invented;
mod measure;
mod mutations;
mod real_ledgers;
mod scene;
mod second_reader;
mod support;
mod tampering;
mod uncommitted;
mod victim;
