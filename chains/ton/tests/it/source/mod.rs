//! The source over nodes that serve one history, honestly or not.

mod following;
mod lies;
mod stand;
