//! Tells receivers what was committed: numbers it for the feed, signs it, sends it, and tries again.
//!
//! Law: nothing waits on a stranger while holding a lock. A delivery is leased, posted with no transaction
//! open, and recorded by whoever still holds its claim. Delivery is at least once; the receiver's key is
//! the event's id. The SQL stands in [`crate::store::outbox`]. Read on in [`dispatcher`].

pub mod attempt;
mod chain;
pub mod dispatcher;
pub mod guard;
mod lanes;
mod measures;
pub mod retry_after;
pub mod schedule;
pub mod sequencer;
pub mod settings;
pub mod signature;
