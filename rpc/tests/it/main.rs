//! The road to the nodes over real sockets, against nodes that misbehave in every way we know.

#![expect(clippy::disallowed_methods, reason = "tests start their own servers and read the clock of the machine")]

mod bell;
mod breaker;
mod failover;
mod files;
mod hostile;
mod listener;
mod node;
mod rest;
mod tape;
