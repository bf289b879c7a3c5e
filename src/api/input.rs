//! The door: bodies, queries and path ids become types here, and what does not fit is refused by field name.

use std::str::FromStr;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::problem::{Code, FieldError, Problem};

/// The largest honest body is an intent with 8 KiB of metadata; 64 KiB leaves room and no lever.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// An intent's terms go three deep and metadata some more; deeper is somebody probing the parser.
pub const BODY_DEPTH_MAX: usize = 16;

/// A JSON body, and the hash of what it says.
#[derive(Debug)]
pub struct Body<T> {
    pub input: T,
    /// SHA-256 of the body with sorted keys and no spaces: equal content, equal hash.
    pub hash: [u8; 32],
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        media_type(request.headers())?;
        let bytes = collect(request).await?;
        parse(&bytes)
    }
}

/// A body that may be left out, where every field of it may.
#[derive(Debug)]
pub struct MaybeBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for MaybeBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let headers = request.headers().clone();
        let bytes = collect(request).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        media_type(&headers)?;
        parse(&bytes).map(|body| Self(body.input))
    }
}

/// For commands that need no body: absent, or an empty object.
pub type NoBody = MaybeBody<Nothing>;

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

fn media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let essence = given.split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::new(Code::UnsupportedMediaType, "send Content-Type: application/json"))
}

async fn collect(request: Request) -> Result<axum::body::Bytes, Problem> {
    let too_large = || Problem::new(Code::TooLarge, format!("a body has at most {BODY_BYTES_MAX} bytes"));
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > BODY_BYTES_MAX) {
        return Err(too_large());
    }
    axum::body::to_bytes(request.into_body(), BODY_BYTES_MAX).await.map_err(|error| {
        let mut source: Option<&dyn std::error::Error> = Some(&error);
        while let Some(inner) = source {
            if inner.to_string().contains("length limit") {
                return too_large();
            }
            source = inner.source();
        }
        Problem::new(Code::InvalidBody, "the body ended before it was whole")
    })
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<Body<T>, Problem> {
    if depth(bytes) > BODY_DEPTH_MAX {
        return Err(Problem::new(Code::InvalidBody, format!("a body nests at most {BODY_DEPTH_MAX} deep")));
    }
    let wrong =
        |field: String, why: &serde_json::Error| Problem::field(Code::InvalidBody, field, explain(&why.to_string()));
    // As plain JSON first: what is not JSON at all is told by line and column, before fields matter.
    let plain: Value = serde_json::from_slice(bytes).map_err(|why| wrong(String::new(), &why))?;
    // A list of the right length would pass for an object.
    if !plain.is_object() {
        return Err(Problem::new(Code::InvalidBody, "a body is a JSON object"));
    }
    if let Some(field) = nul_in(&plain, &mut Vec::new()) {
        return Err(Problem::field(Code::InvalidBody, field, "text may not hold the character U+0000"));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let input = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let why = error.into_inner();
        let path = if path == "." { String::new() } else { path };
        wrong(named_in(&why.to_string()).map_or(path.clone(), |name| beside(&path, name)), &why)
    })?;
    Ok(Body { input, hash: Sha256::digest(plain.to_string()).into() })
}

/// How deep brackets nest, strings aside; before any parser recurses.
fn depth(bytes: &[u8]) -> usize {
    let (mut now, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in bytes {
        match (in_text, escaped, byte) {
            (true, true, _) => escaped = false,
            (true, false, b'\\') => escaped = true,
            (_, false, b'"') => in_text = !in_text,
            (false, _, b'{' | b'[') => {
                now += 1;
                deepest = deepest.max(now);
            }
            (false, _, b'}' | b']') => now = now.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Where text holds U+0000, which Postgres cannot store.
fn nul_in(value: &Value, path: &mut Vec<String>) -> Option<String> {
    let here = |path: &Vec<String>| path.join(".");
    match value {
        Value::String(text) if text.contains('\0') => Some(here(path)),
        Value::Array(items) => items.iter().enumerate().find_map(|(at, item)| {
            path.push(at.to_string());
            let found = nul_in(item, path);
            path.pop();
            found
        }),
        Value::Object(fields) => fields.iter().find_map(|(name, item)| {
            if name.contains('\0') {
                return Some(here(path));
            }
            path.push(name.clone());
            let found = nul_in(item, path);
            path.pop();
            found
        }),
        _ => None,
    }
}

/// The field a message itself names: unknown, missing or doubled ones.
fn named_in(message: &str) -> Option<&str> {
    ["unknown field `", "missing field `", "duplicate field `"]
        .iter()
        .find_map(|start| message.strip_prefix(start)?.split('`').next())
}

/// The path of a field named beside where the parser stood.
fn beside(path: &str, name: &str) -> String {
    let parent = match path.rsplit_once('.') {
        Some((parent, last)) if last == name => parent,
        None if path == name => "",
        _ => path,
    };
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}

/// The parser's words without its position, which means little once the field is named.
fn explain(message: &str) -> String {
    let words = message.split(" at line ").next().unwrap_or(message);
    // Whatever was quoted from the body stays short.
    words.chars().take(300).collect()
}

/// Query parameters, unknown ones refused.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or("");
        if query.contains("%00") {
            return Err(Problem::new(Code::InvalidParameter, "parameters may not hold the character U+0000"));
        }
        let reader = serde_urlencoded::Deserializer::new(url::form_urlencoded::parse(query.as_bytes()));
        serde_path_to_error::deserialize(reader).map(Self).map_err(|error| {
            let path = error.path().to_string();
            let message = error.into_inner().to_string();
            let path = if path == "." { "" } else { path.as_str() };
            let field = named_in(&message).map_or(path.to_owned(), |name| beside(path, name));
            Problem::field(Code::InvalidParameter, field, explain(&message))
        })
    }
}

/// A path segment as its type.
pub fn path_id<T: FromStr<Err: std::fmt::Display>>(name: &'static str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|why: T::Err| Problem::field(Code::InvalidParameter, name, why.to_string()))
}

/// Collects what is wrong with several fields, so that all of it is told at once.
#[derive(Debug, Default)]
pub struct Findings(Vec<FieldError>);

impl Findings {
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(FieldError { field: field.into(), message: message.into() });
    }

    pub fn check(&mut self, holds: bool, field: &str, message: impl Into<String>) {
        if !holds {
            self.add(field, message);
        }
    }

    /// Fails where anything was found.
    pub fn settle(self, code: Code) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::fields(code, self.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_of_text_only() {
        assert_eq!(depth(br#"{"a":[{"b":"[[[[{{{{\"[["}]}"#), 3);
        assert_eq!(depth(b"[[[[]]][]]"), 4);
        assert_eq!(depth(b"]]]]"), 0);
    }

    #[test]
    fn equal_content_has_an_equal_hash_however_it_is_written() {
        let hash = |text: &str| parse::<Value>(text.as_bytes()).unwrap().hash;
        assert_eq!(hash(r#"{"a":1,"b":[2]}"#), hash("{ \"b\": [2],\n \"a\": 1 }"));
        assert_ne!(hash(r#"{"a":1,"b":[2]}"#), hash(r#"{"a":1,"b":["2"]}"#));
    }
}
