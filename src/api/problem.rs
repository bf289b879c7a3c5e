//! What a caller is told when a request fails: RFC 9457 `application/problem+json`, always with a code
//! to branch on, an id to quote, and whether trying again can help.
//!
//! Law: what happened inside (SQL, rows, panics) goes to the log under the correlation id, never into the answer.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::store::StoreError;
use crate::store::row::RowError;

macro_rules! codes {
    ($($name:ident = $status:literal $code:literal $title:literal, $hint:expr;)*) => {
        /// Names a failure by what the caller does next. Public: codes are added, never renamed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code { $($name),* }

        impl Code {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status),* }
            }

            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }

            /// When the same request may succeed later: how to try again.
            #[must_use]
            pub const fn retry_hint(self) -> Option<&'static str> {
                match self { $(Self::$name => $hint),* }
            }
        }
    };
}

codes! {
    InvalidBody = 400 "invalid_body" "The body does not have the documented shape", None;
    InvalidParameter = 400 "invalid_parameter" "A parameter or header does not parse", None;
    Unauthenticated = 401 "unauthenticated" "No valid API key", None;
    Forbidden = 403 "forbidden" "The key may not do this", None;
    NotFound = 404 "not_found" "There is no such thing", None;
    MethodNotAllowed = 405 "method_not_allowed" "The path does not take this method", None;
    IdempotencyConflict = 409 "idempotency_conflict" "The idempotency key was used with another body", None;
    AddressTaken = 409 "address_taken" "The address is reserved by another intent", None;
    Refused = 409 "refused" "The rules refuse this now", None;
    Stale = 409 "stale" "Another decision came first",
        Some("send the same request again at once");
    TooLarge = 413 "too_large" "The body is too large", None;
    UnsupportedMediaType = 415 "unsupported_media_type" "The body is not application/json", None;
    InvalidTerms = 422 "invalid_terms" "The terms cannot be met", None;
    UnknownNetwork = 422 "unknown_network" "The network is not served here", None;
    UnknownAsset = 422 "unknown_asset" "The network does not list the asset", None;
    BadAddress = 422 "bad_address" "Not an address of the network", None;
    BadAmount = 422 "bad_amount" "The amounts do not fit together", None;
    SinceOutOfRange = 422 "since_out_of_range" "The ledger does not hold that height", None;
    Internal = 500 "internal" "We failed",
        Some("send the same request again after a minute, with the same Idempotency-Key; if it fails again, quote the correlation id");
    DatabaseUnavailable = 503 "database_unavailable" "The database does not answer",
        Some("send the same request again after a second, with the same Idempotency-Key");
    TimedOut = 503 "timed_out" "The request took too long",
        Some("send the same request again after a second, with the same Idempotency-Key");
    NotReady = 503 "not_ready" "Not ready yet",
        Some("ask again after a second");
}

/// One wrong value, by the path of its field: `require.confirmations`, `metadata`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    pub field: String,
    pub message: String,
}

/// A request that fails.
#[derive(Debug, Clone)]
pub struct Problem {
    pub code: Code,
    pub detail: String,
    pub errors: Vec<FieldError>,
    /// For the log alone.
    pub cause: Option<String>,
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), cause: None }
    }

    /// A problem of one field.
    pub fn field(code: Code, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::fields(code, vec![FieldError { field: field.into(), message: message.into() }])
    }

    /// A problem of several fields, all told at once.
    pub fn fields(code: Code, errors: Vec<FieldError>) -> Self {
        let say = |e: &FieldError| {
            if e.field.is_empty() { e.message.clone() } else { format!("{}: {}", e.field, e.message) }
        };
        let detail = errors.iter().map(say).collect::<Vec<_>>().join("; ");
        Self { code, detail, errors, cause: None }
    }

    /// There is no such thing, or it is another tenant's: the two are told alike.
    pub fn not_found(what: &str, id: impl std::fmt::Display) -> Self {
        Self::new(Code::NotFound, format!("there is no {what} {id}"))
    }

    fn hidden(code: Code, detail: &str, cause: String) -> Self {
        Self { cause: Some(cause), ..Self::new(code, detail) }
    }

    /// The document that is sent.
    #[must_use]
    pub fn document(&self, correlation_id: &str) -> Value {
        json!({
            "code": self.code.as_str(),
            "correlation_id": correlation_id,
            "detail": self.detail,
            "errors": self.errors.iter().map(|e| json!({ "field": e.field, "message": e.message })).collect::<Vec<_>>(),
            "retry_hint": self.code.retry_hint(),
            "retryable": self.code.retry_hint().is_some(),
            "status": self.code.status(),
            "title": self.code.title(),
            "type": format!("urn:amn-scanner:problem:{}", self.code.as_str()),
        })
    }

    /// The whole answer. Called by the outermost layer alone, which knows the correlation id.
    pub(super) fn render(&self, correlation_id: &str) -> Response {
        let status = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, self.document(correlation_id).to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(HeaderName::from_static("retry-after"), HeaderValue::from_static("1"));
        }
        response
    }
}

/// Carries the problem to the outermost layer, which renders it.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = StatusCode::from_u16(self.code.status()).unwrap_or_default().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<RowError> for Problem {
    fn from(error: RowError) -> Self {
        Self::hidden(Code::Internal, "a stored row does not parse; the operator's log names it", error.to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Database(error) => error.into(),
            StoreError::Row(error) => error.into(),
            StoreError::Stale => Self::new(Code::Stale, "other decisions on this network came first"),
            StoreError::Schema(why) => {
                Self::hidden(Code::Internal, "the database has another schema than this binary", why)
            }
        }
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        let class =
            error.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default().into_owned();
        // A race or a lock that was not to be had: the whole transaction is undone and may be tried again.
        if class.starts_with("40") || class == "55P03" {
            return Self::hidden(Code::Stale, "another change came in between; nothing was changed", error.to_string());
        }
        let gone = match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => true,
            // 08 connection, 53 resources (disk full, too many connections), 57P shutdown, 55000 a database that
            // takes no connections now, 55P03 and 40 lock and race.
            sqlx::Error::Database(e) => e
                .code()
                .is_some_and(|c| ["08", "53", "57P", "55000", "55P03", "40"].iter().any(|class| c.starts_with(class))),
            _ => false,
        };
        if gone {
            Self::hidden(
                Code::DatabaseUnavailable,
                "the database does not answer; nothing was changed",
                error.to_string(),
            )
        } else {
            Self::hidden(Code::Internal, "an unexpected failure; the operator's log has it", error.to_string())
        }
    }
}
