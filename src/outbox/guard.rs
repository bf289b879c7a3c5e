//! Keeps our requests out of private networks, wherever a receiver's URL or its name server may point.
//!
//! Law: one rule, applied when an endpoint is saved, at every attempt, to every address a name resolves to,
//! and to the peer we ended up talking to. A name is refused if any of its addresses is. Only vetted addresses
//! are dialled, because the client's resolver is ours; a connection that is kept was vetted when it was made.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;
use url::{Host, Url};

/// Longer URLs are not endpoints of anybody.
const URL_BYTES_MAX: usize = 2_048;

/// A name server that is slower than this leaves too little of an attempt's five seconds.
const LOOKUP_MAX: Duration = Duration::from_secs(2);

/// Lookups at a time, also those we no longer wait for: each holds a thread until the system gives up.
const LOOKUPS_MAX: usize = 32;

/// What the operator allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardPolicy {
    /// Development: `http`, any port, and this machine.
    pub allow_insecure: bool,
    pub ports: Vec<u16>,
    /// Private networks that receivers may live in.
    pub allow: Vec<Range>,
}

impl Default for GuardPolicy {
    fn default() -> Self {
        Self { allow_insecure: false, ports: vec![443], allow: Vec::new() }
    }
}

impl GuardPolicy {
    /// For development and tests: receivers on this machine, over plain `http`.
    #[must_use]
    pub fn development() -> Self {
        Self { allow_insecure: true, ..Self::default() }
    }
}

/// A range of addresses, as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub base: IpAddr,
    pub prefix: u8,
}

impl Range {
    fn contains(self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => within(base, self.prefix, address),
            (IpAddr::V6(base), IpAddr::V6(address)) => within6(base, self.prefix, address),
            _ => false,
        }
    }
}

fn within(base: Ipv4Addr, prefix: u8, address: Ipv4Addr) -> bool {
    let apart = base.to_bits() ^ address.to_bits();
    apart.checked_shr(32_u32.saturating_sub(u32::from(prefix))).unwrap_or(0) == 0
}

fn within6(base: Ipv6Addr, prefix: u8, address: Ipv6Addr) -> bool {
    let apart = base.to_bits() ^ address.to_bits();
    apart.checked_shr(128_u32.saturating_sub(u32::from(prefix))).unwrap_or(0) == 0
}

/// Why we do not go there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("not a URL")]
    NotAUrl,
    #[error("longer than {URL_BYTES_MAX} bytes")]
    TooLong,
    #[error("the URL must be https")]
    NotHttps,
    #[error("a URL with a user or a password in it is not allowed")]
    UserInfo,
    #[error("port {0} is not allowed")]
    Port(u16),
    #[error("{0} is not a public address")]
    Private(IpAddr),
    #[error("the host's name does not resolve")]
    Unresolved,
}

/// A URL we may post to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vetted {
    pub url: Url,
    /// What the name resolves to at this moment.
    pub addresses: Vec<IpAddr>,
}

/// Vets a URL and what its name resolves to now. For saving an endpoint.
pub async fn vet(text: &str, policy: &GuardPolicy) -> Result<Vetted, Refused> {
    Guard::new(policy.clone()).vet(text).await
}

/// Vets what a URL says by itself: everything except what a name resolves to.
pub fn vet_url(text: &str, policy: &GuardPolicy) -> Result<Url, Refused> {
    if text.len() > URL_BYTES_MAX {
        return Err(Refused::TooLong);
    }
    // Decimal, octal, hexadecimal and short forms of IPv4 come out of this as addresses.
    let url = Url::parse(text).map_err(|_| Refused::NotAUrl)?;
    if url.scheme() != "https" && !(policy.allow_insecure && url.scheme() == "http") {
        return Err(Refused::NotHttps);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refused::UserInfo);
    }
    let port = url.port_or_known_default().ok_or(Refused::NotAUrl)?;
    if !policy.allow_insecure && !policy.ports.contains(&port) {
        return Err(Refused::Port(port));
    }
    match url.host() {
        Some(Host::Ipv4(address)) => vet_address(address.into(), policy)?,
        Some(Host::Ipv6(address)) => vet_address(address.into(), policy)?,
        Some(Host::Domain(name)) if !name.is_empty() => {}
        _ => return Err(Refused::NotAUrl),
    }
    Ok(url)
}

/// Vets one address: public, or allowed by name.
pub fn vet_address(address: IpAddr, policy: &GuardPolicy) -> Result<(), Refused> {
    let allowed = policy.allow.iter().any(|range| range.contains(address))
        || (policy.allow_insecure && address.is_loopback())
        || is_public(address);
    if allowed { Ok(()) } else { Err(Refused::Private(address)) }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> (Ipv4Addr, u8) {
    (Ipv4Addr::new(a, b, c, d), prefix)
}

/// What is not the public Internet, and what clouds answer privileged questions on.
const DENIED_V4: [(Ipv4Addr, u8); 16] = [
    v4(0, 0, 0, 0, 8),        // this network; Linux connects it to itself
    v4(10, 0, 0, 0, 8),       // private
    v4(100, 64, 0, 0, 10),    // carrier NAT; Alibaba's metadata
    v4(127, 0, 0, 0, 8),      // this machine
    v4(168, 63, 129, 16, 32), // Azure's WireServer
    v4(169, 254, 0, 0, 16),   // link local; metadata of most clouds
    v4(172, 16, 0, 0, 12),    // private
    v4(192, 0, 0, 0, 24),     // protocol assignments; Oracle's metadata
    v4(192, 0, 2, 0, 24),     // documentation
    v4(192, 88, 99, 0, 24),   // 6to4 relays
    v4(192, 168, 0, 0, 16),   // private
    v4(198, 18, 0, 0, 15),    // benchmarks
    v4(198, 51, 100, 0, 24),  // documentation
    v4(203, 0, 113, 0, 24),   // documentation
    v4(224, 0, 0, 0, 4),      // multicast
    v4(240, 0, 0, 0, 4),      // reserved, broadcast
];

const fn v6(a: u16, b: u16, prefix: u8) -> (Ipv6Addr, u8) {
    (Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

/// Where IPv6 is public at all; everything that maps IPv4 into a fixed prefix lies outside or below.
const GLOBAL_V6: (Ipv6Addr, u8) = v6(0x2000, 0, 3);
const DENIED_V6: [(Ipv6Addr, u8); 4] = [
    v6(0x2001, 0, 23),      // protocol assignments: Teredo, ORCHID, benchmarks
    v6(0x2001, 0x0db8, 32), // documentation
    v6(0x2002, 0, 16),      // 6to4: any IPv4 inside
    v6(0x3fff, 0, 20),      // documentation
];

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !DENIED_V4.iter().any(|(base, prefix)| within(*base, *prefix, address)),
        IpAddr::V6(address) => {
            within6(GLOBAL_V6.0, GLOBAL_V6.1, address)
                && !DENIED_V6.iter().any(|(base, prefix)| within6(*base, *prefix, address))
        }
    }
}

type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Asks for the addresses of a name.
pub trait Names: Send + Sync {
    fn lookup(&self, name: String) -> Lookup;
}

/// The system's own resolver, so that the hosts file and a container's names work.
#[derive(Debug)]
pub struct SystemNames {
    slots: Arc<Semaphore>,
}

impl Default for SystemNames {
    fn default() -> Self {
        Self { slots: Arc::new(Semaphore::new(LOOKUPS_MAX)) }
    }
}

impl Names for SystemNames {
    fn lookup(&self, name: String) -> Lookup {
        let slots = Arc::clone(&self.slots);
        Box::pin(async move {
            let slot = slots.acquire_owned().await.map_err(io::Error::other)?;
            let looked_up = tokio::task::spawn_blocking(move || {
                // Kept until the system answers, though we may have stopped waiting.
                let _slot = slot;
                (name.as_str(), 0).to_socket_addrs().map(|found| found.map(|address| address.ip()).collect())
            });
            looked_up.await.map_err(io::Error::other)?
        })
    }
}

/// The rule with a way to resolve names: also the resolver of the client that posts.
#[derive(Clone)]
pub struct Guard {
    policy: Arc<GuardPolicy>,
    names: Arc<dyn Names>,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Guard {
    #[must_use]
    pub fn new(policy: GuardPolicy) -> Self {
        Self::with_names(policy, Arc::new(SystemNames::default()))
    }

    #[must_use]
    pub fn with_names(policy: GuardPolicy, names: Arc<dyn Names>) -> Self {
        Self { policy: Arc::new(policy), names }
    }

    #[must_use]
    pub fn policy(&self) -> &GuardPolicy {
        &self.policy
    }

    /// Vets a URL and what its name resolves to now.
    pub async fn vet(&self, text: &str) -> Result<Vetted, Refused> {
        let url = vet_url(text, &self.policy)?;
        let addresses = match url.host() {
            Some(Host::Ipv4(address)) => vec![address.into()],
            Some(Host::Ipv6(address)) => vec![address.into()],
            Some(Host::Domain(name)) => self.resolve_vetted(name.to_owned()).await?,
            None => return Err(Refused::NotAUrl),
        };
        Ok(Vetted { url, addresses })
    }

    /// Vets the peer of a connection: the last door, whatever happened before it.
    pub fn vet_peer(&self, peer: SocketAddr) -> Result<(), Refused> {
        vet_address(peer.ip(), &self.policy)
    }

    async fn resolve_vetted(&self, name: String) -> Result<Vec<IpAddr>, Refused> {
        let found = tokio::time::timeout(LOOKUP_MAX, self.names.lookup(name)).await;
        let addresses = found.ok().and_then(Result::ok).unwrap_or_default();
        if addresses.is_empty() {
            return Err(Refused::Unresolved);
        }
        for address in &addresses {
            vet_address(*address, &self.policy)?;
        }
        Ok(addresses)
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let addresses = guard.resolve_vetted(name.as_str().to_owned()).await?;
            // Port 0 stands for the URL's own.
            let addresses: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests;
