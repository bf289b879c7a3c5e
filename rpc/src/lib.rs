//! amn-rpc: the road to other people's nodes.
//!
//! Its law: a node may be slow, wrong, overloaded, malicious or gone, and the caller learns which of these it is by
//! what to do next ([`RpcError`]); nothing a node sends can exhaust memory, the stack or our patience; and no log,
//! error or debug print shows more of a URL than scheme and host. Read [`pool`] next, then [`endpoint`].

pub mod answer;
pub mod config;
pub mod doorbell;
pub mod endpoint;
pub mod error;
pub mod health;
pub mod pool;
pub mod probe;
pub mod record;
pub mod replay;
pub mod secret;
pub mod tape;
pub mod time;
pub mod transport;

mod breaker;
mod choice;
mod classify;
mod envelope;
mod folder;
mod heads;
mod http;
mod limits;
mod replies;
mod shown;
mod standing;

pub use answer::Answer;
pub use config::{BreakerSettings, EndpointConfig, PoolSettings};
pub use doorbell::{Announcing, Doorbell};
pub use endpoint::Endpoint;
pub use error::{ConfigError, RpcError};
pub use health::{BreakerHealth, DoorbellHealth, Health, Said, Transition};
pub use pool::Pool;
pub use probe::Probe;
pub use record::Recorder;
pub use replay::Player;
pub use secret::Secret;
pub use time::{Time, VirtualTime};
pub use transport::Road;

/// Chooses the cryptography of this process for TLS. May be called any number of times.
pub fn install_crypto() {
    // An error says that some provider is installed already, which is what we want.
    drop(rustls::crypto::ring::default_provider().install_default());
}
