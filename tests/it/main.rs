//! The one integration binary: stories against a real Postgres.

mod api;
mod support;
