//! For developers of a backend: recorded payments, played against their own webhook handler.
//!
//! A scenario is a folder of what really happened on a chain (`fixtures/` has some, `amn-scanner record` makes more).
//! [`Replay`] plays it through the whole scanner, posts every event to your handler, signed as in production, and
//! reports whether the events are those that are expected. No node is asked and no clock is waited for.
//!
//! ```no_run
//! use amn_scanner::testkit::{Replay, Server, Webhook};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let webhook = Webhook::with_new_secret("http://127.0.0.1:9000/hooks");
//! // … start the handler, and tell it webhook.secret.reveal() …
//! let report = Replay::scenario("fixtures/evm/reorg-drops")
//!     .server(Server::Embedded(".amn/replay-postgres".into()))
//!     .webhook(webhook)
//!     .run()
//!     .await?;
//! assert!(report.is_as_expected(), "{:?}", report.differences);
//! # Ok(())
//! # }
//! ```
//!
//! It needs a Postgres: `Server::Embedded` starts one of its own from the installed server binaries, `Server::At` makes a
//! database on yours and drops it afterwards. The same from any language: `amn-scanner replay FOLDER --webhook URL`.
//! `tests/backend.rs` is a whole backend with its test.

use amn_core::timestamp::Timestamp;

pub use crate::config::Secret as DatabaseUrl;
pub use crate::outbox::signature::{Secret, Unverified};
pub use crate::replay::{Delivered, Difference, Feed, Replay, ReplayError, Report, Server, Webhook};

use crate::clock::{Clock as _, SystemClock};
use crate::outbox::signature;

/// Verifies a webhook as a backend must: the `X-Signature` header over the raw body, in constant time, and no more than
/// five minutes from now.
pub fn verify(secret: &Secret, x_signature: &str, body: &[u8]) -> Result<(), Unverified> {
    verify_at(secret, x_signature, body, SystemClock.now())
}

/// The same at another time, for tests of a backend's own clock.
pub fn verify_at(secret: &Secret, x_signature: &str, body: &[u8], now: Timestamp) -> Result<(), Unverified> {
    signature::verify(secret.reveal(), x_signature, body, now)
}
