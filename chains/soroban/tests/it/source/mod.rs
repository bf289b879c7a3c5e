//! The source over nodes that are honest, and over nodes that are not.

mod backing;
mod evidence;
mod following;
mod history;
mod identity;
mod lakes;
mod lies;
mod stand;
mod tip;
