//! One binary for the tests of this family: real blocks, forged ones, and nodes that lie.

mod catching_up;
mod coming_back;
mod decoding;
mod mutations;
mod reading;
mod real_blocks;
mod second_word;
mod support;
mod thrift;
