//! Who is calling, and what they may do. A route says its scope in the route table; nothing is open by default.
//!
//! Keys read `amn_` and 64 hexadecimal digits. We keep their SHA-256: with 256 bits of chance there is nothing to guess.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::AppState;
use super::problem::{Code, Problem};
use crate::store::keys;

macro_rules! scopes {
    ($($name:ident = $text:literal $(($operator:ident))?;)*) => {
        /// What a key may do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Scope { $($name),* }

        impl Scope {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// Whether only keys of no tenant may hold it, because it reaches beyond one tenant.
            #[must_use]
            pub const fn is_operators_alone(self) -> bool {
                match self { $(Self::$name => scopes!(@ $($operator)?)),* }
            }
        }
    };
    (@ operator) => { true };
    (@) => { false };
}

scopes! {
    DeliveriesRead = "deliveries:read";
    DeliveriesWrite = "deliveries:write";
    DepositsRead = "deposits:read";
    DepositsWrite = "deposits:write" (operator);
    EndpointsRead = "endpoints:read";
    EndpointsWrite = "endpoints:write";
    EventsRead = "events:read";
    IntentsRead = "intents:read";
    IntentsWrite = "intents:write";
    KeysRead = "keys:read" (operator);
    KeysWrite = "keys:write" (operator);
    NetworksRead = "networks:read";
    NetworksWrite = "networks:write" (operator);
    TenantsRead = "tenants:read" (operator);
    TenantsWrite = "tenants:write" (operator);
    ThresholdsWrite = "thresholds:write" (operator);
}

impl std::str::FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|scope| scope.as_str() == text).ok_or_else(|| {
            let all = Self::ALL.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(", ");
            format!("no such scope; there are {all}")
        })
    }
}

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Open,
    /// The metrics token, or a peer on this machine.
    Metrics,
    Key(Scope),
}

/// A caller whose key was checked, with its scope for this route.
#[derive(Debug, Clone)]
pub struct Caller {
    /// `None`: an operator, who sees every tenant.
    pub tenant: Option<String>,
    /// Who the audit log says it was.
    pub actor: String,
    pub scopes: Vec<Scope>,
}

/// Somebody within this process, under the name the audit log keeps: the command line, which holds the
/// configuration and with it the whole database. Only our own code can put one among a request's extensions;
/// nothing that comes over the wire becomes one.
#[derive(Debug, Clone)]
pub struct Insider(pub String);

impl Caller {
    /// Who may do everything, by this name.
    fn operator(actor: &str) -> Self {
        Self { tenant: None, actor: actor.to_owned(), scopes: Scope::ALL.to_vec() }
    }

    /// Whose idempotency keys it shares.
    #[must_use]
    pub fn owner(&self) -> String {
        self.tenant.as_ref().map_or_else(|| "operator".to_owned(), |tenant| format!("tenant:{tenant}"))
    }

    /// The tenant a request is about: the key's own; an operator names one, or none.
    pub fn tenant_for(&self, named: Option<String>) -> Result<Option<String>, Problem> {
        match (&self.tenant, named) {
            (None, named) => Ok(named),
            (Some(own), Some(named)) if *own != named => {
                Err(Problem::field(Code::Forbidden, "tenant", "this key belongs to another tenant"))
            }
            (Some(own), _) => Ok(Some(own.clone())),
        }
    }

    /// Whether rows of that tenant are this caller's to see.
    #[must_use]
    pub fn sees(&self, tenant: Option<&str>) -> bool {
        self.tenant.is_none() || self.tenant.as_deref() == tenant
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Absent only where a route that needs a caller was declared open: our mistake, and closed.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::new(Code::Unauthenticated, "no key was checked"))
    }
}

/// The layer of one route.
pub async fn require(
    State((app, access)): State<(Arc<AppState>, Access)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    match access {
        Access::Open => {}
        Access::Metrics => super::health::may_see_metrics(&app, &request)?,
        Access::Key(scope) => {
            let caller = match request.extensions().get::<Insider>() {
                Some(Insider(actor)) => Caller::operator(actor),
                None => identify(&app, request.headers()).await?,
            };
            if !caller.scopes.contains(&scope) {
                return Err(Problem::new(Code::Forbidden, format!("this key lacks the scope {}", scope.as_str())));
            }
            if scope.is_operators_alone() && caller.tenant.is_some() {
                return Err(Problem::new(Code::Forbidden, "only an operator's key may do this"));
            }
            request.extensions_mut().insert(caller);
        }
    }
    Ok(next.run(request).await)
}

async fn identify(app: &AppState, headers: &HeaderMap) -> Result<Caller, Problem> {
    let no = |detail: &str| Problem::new(Code::Unauthenticated, detail);
    let key = bearer(headers).ok_or_else(|| no("send Authorization: Bearer and an API key"))?;
    let hash = hash_key(key);
    if app.operator_key.is_some_and(|of| bool::from(of.ct_eq(&hash))) {
        return Ok(Caller::operator("operator"));
    }
    // No look-up for what cannot be a key of ours.
    if !is_key(key) {
        return Err(no("this API key is unknown or revoked"));
    }
    let found = keys::find(&app.pool, &hash).await?.filter(|row| bool::from(row.hash.ct_eq(&hash[..])));
    let row = found.ok_or_else(|| no("this API key is unknown or revoked"))?;
    // A scope that this binary does not know gives nothing.
    let scopes = row.scopes.iter().filter_map(|text| text.parse().ok()).collect();
    Ok(Caller { tenant: row.tenant_id, actor: format!("key:{}:{}", row.name, row.id), scopes })
}

/// The token of the one `Authorization` header.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let one = all.next()?.to_str().ok()?;
    if all.next().is_some() {
        return None;
    }
    let (scheme, token) = one.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// What is stored of a key, or of any bearer secret.
#[must_use]
pub fn hash_key(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// A new key from 32 random bytes.
#[must_use]
pub fn new_key(random: [u8; 32]) -> String {
    format!("amn_{}", hex::encode(random))
}

fn is_key(text: &str) -> bool {
    text.strip_prefix("amn_").is_some_and(|rest| rest.len() == 64 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}
