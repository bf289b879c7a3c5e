//! The road to the nodes over real sockets, against nodes that misbehave in every way we know.

mod bell;
mod failover;
mod hostile;
mod listener;
mod node;
