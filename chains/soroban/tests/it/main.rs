//! One binary for the tests of this family: real ledgers, forged ones, invented ones.

mod attested;
mod faults;
mod host;
mod http;
mod invented;
mod lake;
mod mutations;
mod node;
mod readings;
mod real_ledgers;
mod said;
mod scene;
mod second_reader;
mod source;
mod support;
mod tampering;
mod victim;
