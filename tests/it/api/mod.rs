//! The API over real HTTP, on a real database.

mod access;
mod bad_input;
mod deposits;
mod intents;
mod layers;
mod networks;
mod nodes;
mod openapi;
mod real;
mod rescans;
mod stand;
mod stellar;
mod ton;
mod webhooks;
