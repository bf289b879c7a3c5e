//! The API over real HTTP, on a real database.

mod access;
mod bad_input;
mod intents;
mod stand;
