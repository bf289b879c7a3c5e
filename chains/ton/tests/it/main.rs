//! One binary for the tests of this family: real blocks, invented lives, broken bags.

mod breaking;
mod broken_blocks;
mod chain;
mod credit;
mod mutations;
mod node;
mod properties;
mod real_blocks;
mod sandbox;
mod second_reader;
mod source;
mod support;
