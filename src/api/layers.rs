//! What wraps every request: an id to quote, a time limit, a net under panics, one way to say no.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use super::AppState;
use crate::telemetry::metric;

use super::problem::{Code, Problem};

pub const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// Longer ids would be a way to write into our log.
const CORRELATION_ID_LENGTH_MAX: usize = 64;

/// The outermost layer.
pub async fn wrap(State(app): State<Arc<AppState>>, request: Request, next: Next) -> Response {
    let id = correlation_id(&app, &request);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let matched = request.extensions().get::<axum::extract::MatchedPath>().cloned();
    let began = std::time::Instant::now();
    let inner = AssertUnwindSafe(next.run(request)).catch_unwind();
    let response = match tokio::time::timeout(app.request_timeout, inner).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => panicked(panic.as_ref()).into_response(),
        Err(_) => {
            Problem::new(Code::TimedOut, format!("not done within {} s", app.request_timeout.as_secs())).into_response()
        }
    };
    let mut response = match problem_of(&response) {
        Some(problem) => {
            tell(&problem, &id, method.as_str(), &path);
            let mut said = problem.render(&id);
            // What axum knows of a refused method stays.
            if let Some(allow) = response.headers().get(axum::http::header::ALLOW) {
                said.headers_mut().insert(axum::http::header::ALLOW, allow.clone());
            }
            said
        }
        None => response,
    };
    // The route as written, so that a label never carries what a caller typed.
    let route = matched.map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let status = response.status().as_u16().to_string();
    metrics::counter!(metric::HTTP_REQUESTS, "route" => route.clone(), "status" => status).increment(1);
    metrics::histogram!(metric::HTTP_TIME, "route" => route).record(began.elapsed());
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(CORRELATION_ID, value);
    }
    response.headers_mut().insert(axum::http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(axum::http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The caller's id where it is short and plain, else one of ours.
fn correlation_id(app: &AppState, request: &Request) -> String {
    let given = request.headers().get(CORRELATION_ID).and_then(|v| v.to_str().ok()).filter(|text| {
        (1..=CORRELATION_ID_LENGTH_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    });
    given.map_or_else(|| uuid::Uuid::from_u128(app.ids.next()).to_string(), str::to_owned)
}

/// The problem in an answer; an error that came without one (from the HTTP library itself) gets its words here.
fn problem_of(response: &Response) -> Option<Problem> {
    if let Some(problem) = response.extensions().get::<Problem>() {
        return Some(problem.clone());
    }
    let code = match response.status() {
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        status if status.is_client_error() => Code::InvalidParameter,
        // /ready says 503 with a document of its own.
        StatusCode::SERVICE_UNAVAILABLE => return None,
        status if status.is_server_error() => Code::Internal,
        _ => return None,
    };
    Some(Problem::new(code, code.title()))
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Problem {
    let said = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned());
    Problem {
        cause: Some(format!("panic: {said}")),
        ..Problem::new(Code::Internal, "an unexpected failure; the operator's log has it")
    }
}

/// Logged once, here.
fn tell(problem: &Problem, id: &str, method: &str, path: &str) {
    // Paths carry ids of ours and no secrets; still a stranger writes them.
    let path: String = path.chars().take(200).collect();
    let code = problem.code.as_str();
    if problem.code.status() >= 500 {
        let cause = problem.cause.as_deref().unwrap_or(&problem.detail);
        tracing::error!(correlation.id = id, method, path, code, "failed {method} {path}: {cause}");
    } else {
        tracing::debug!(correlation.id = id, method, path, code, "refused {method} {path}: {code}");
    }
}
