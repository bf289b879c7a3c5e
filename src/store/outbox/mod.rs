//! The outbox's rows: deliveries on their way, what became of them, endpoints, and the feed.

pub mod deliveries;
pub mod endpoints;
pub mod feed;
pub mod redrive;

pub use deliveries::{enqueue, enqueue_to};
