//! The OpenAPI document: made from the table of routes, so that what is documented is what is served; the schemas
//! and their examples are in `schemas.json` beside this file.

use std::sync::OnceLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::auth::Access;
use super::problem::Code;
use super::routes::{Route, routes};

const SCHEMAS: &str = include_str!("schemas.json");

pub async fn serve() -> Response {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| document().to_string());
    ([(header::CONTENT_TYPE, "application/json")], text.as_str()).into_response()
}

/// The whole document.
#[must_use]
pub fn document() -> Value {
    // Ours, and read by a test: what does not parse shows as an empty document there.
    let mut parts: Value = serde_json::from_str(SCHEMAS).unwrap_or_default();
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    parts["schemas"]["Problem"]["properties"]["code"]["enum"] = json!(codes);
    let mut paths = Map::new();
    for route in routes() {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_lowercase()] = operation(&route, &parts["examples"]);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "amn-scanner",
            "version": env!("CARGO_PKG_VERSION"),
            "description": parts["description"],
        },
        "security": [{ "apiKey": [] }],
        "paths": paths,
        "webhooks": parts["webhooks"],
        "components": {
            "schemas": parts["schemas"],
            "parameters": parts["parameters"],
            "responses": {
                "Problem": {
                    "description": "What went wrong; `code` says what to do.",
                    "headers": { "X-Correlation-Id": { "$ref": "#/components/headers/X-Correlation-Id" } },
                    "content": { "application/problem+json": {
                        "schema": { "$ref": "#/components/schemas/Problem" },
                        "example": parts["examples"]["Problem"],
                    } },
                },
            },
            "headers": {
                "X-Correlation-Id": {
                    "description": "Names this request in our log; a plain one that is sent along is kept.",
                    "schema": { "type": "string" },
                },
            },
            "securitySchemes": {
                "apiKey": { "type": "http", "scheme": "bearer", "description": "An API key: amn_ and 64 hexadecimal digits." },
                "metricsToken": { "type": "http", "scheme": "bearer", "description": "The metrics token; from this machine none is needed." },
            },
        },
    })
}

fn operation(route: &Route, examples: &Value) -> Value {
    let (status, schema) = route.answer;
    let media = if schema == "Metrics" { "text/plain" } else { "application/json" };
    let answer = json!({
        "description": route.summary,
        "headers": { "X-Correlation-Id": { "$ref": "#/components/headers/X-Correlation-Id" } },
        "content": { media: content(schema, examples) },
    });
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": route.summary,
        "tags": [tag(route.path)],
        "parameters": parameters(route),
        "responses": { status.to_string(): answer, "default": { "$ref": "#/components/responses/Problem" } },
    });
    if schema == "Readiness" {
        operation["responses"]["503"] = operation["responses"]["200"].clone();
    }
    if let Some(body) = route.body {
        operation["requestBody"] = json!({
            "required": !route.body_may_be_absent,
            "content": { "application/json": content(body, examples) },
        });
    }
    match route.access {
        Access::Open => operation["security"] = json!([]),
        Access::Metrics => operation["security"] = json!([{ "metricsToken": [] }, {}]),
        Access::Key(scope) => {
            operation["x-scope"] = scope.as_str().into();
            let whose = if scope.is_operators_alone() { ", which only keys of no tenant hold" } else { "" };
            operation["description"] = format!("Needs the scope `{}`{whose}.", scope.as_str()).into();
        }
    }
    operation
}

fn content(schema: &str, examples: &Value) -> Value {
    json!({ "schema": { "$ref": format!("#/components/schemas/{schema}") }, "example": examples[schema] })
}

fn parameters(route: &Route) -> Value {
    let in_path = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let named = route.parameters.iter().map(|name| json!({ "$ref": format!("#/components/parameters/{name}") }));
    in_path.chain(named).collect()
}

/// `post_v1_intents_intent_cancel`: unique because method and path are.
fn operation_id(route: &Route) -> String {
    let words = route.path.split(['/', '{', '}', '.', '-']).filter(|word| !word.is_empty());
    std::iter::once(route.method.as_str().to_lowercase()).chain(words.map(str::to_owned)).collect::<Vec<_>>().join("_")
}

fn tag(path: &str) -> &str {
    path.strip_prefix("/v1/").map_or("daemon", |rest| rest.split('/').next().unwrap_or(rest))
}
