//! One binary for the tests of this family: real ledgers, forged ones, invented ones.

mod real_ledgers;
mod support;
