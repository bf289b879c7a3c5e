//! The source over nodes that serve one history, honestly or not.

mod following;
mod identity;
mod lies;
mod lives;
mod same;
mod stand;
