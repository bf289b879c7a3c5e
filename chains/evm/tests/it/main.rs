//! One binary for the tests of this family: real blocks, forged ones, and nodes that lie.

mod decoding;
mod mutations;
mod real_blocks;
mod support;
