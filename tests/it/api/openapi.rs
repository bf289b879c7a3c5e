//! The document against the server: every route is in it, every example fits its schema, and so does every answer
//! that any story of these tests hears (see `stand`).

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::LazyLock;

use amn_core::intent::Status;
use amn_scanner::api::auth::Scope;
use amn_scanner::api::{openapi, routes};
use regex_lite::Regex;
use reqwest::Method;
use serde_json::{Value, json};

use super::stand::{OPERATOR, Stand};

static DOCUMENT: LazyLock<Value> = LazyLock::new(openapi::document);

/// Fails where an answer is not what the document says of its route and status.
pub fn check_answer(method: &Method, path: &str, status: u16, media: &str, text: &str) {
    let path = path.split('?').next().unwrap();
    let Some(operation) = operation(method, path) else {
        assert!([404, 405].contains(&status), "{method} {path} answers {status} and is not documented");
        return;
    };
    let responses = &operation["responses"];
    let response = responses.get(status.to_string()).unwrap_or_else(|| {
        assert!(status >= 400, "{method} {path} answers {status}, which is not documented");
        resolve(&responses["default"])
    });
    let essence = media.split(';').next().unwrap();
    let schema = &response["content"][essence]["schema"];
    assert!(schema.is_object(), "{method} {path} answers {status} as {media}, which is not documented");
    let value = if essence == "text/plain" { json!(text) } else { serde_json::from_str(text).unwrap() };
    let mut wrong = Vec::new();
    fit(&value, schema, "", &mut wrong);
    assert!(wrong.is_empty(), "{method} {path} {status}: {wrong:#?}\n{text}");
}

fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let of: Vec<&str> = template.split('/').collect();
        of.len() == parts.len() && of.iter().zip(&parts).all(|(t, p)| t == p || t.starts_with('{'))
    };
    let paths = DOCUMENT["paths"].as_object().unwrap();
    // A literal path comes before one with an id.
    let mut all: Vec<_> = paths.iter().filter(|(template, _)| fits(template)).collect();
    all.sort_by_key(|(template, _)| template.matches('{').count());
    all.first()?.1.get(method.as_str().to_lowercase())
}

fn resolve(schema: &Value) -> &Value {
    let Some(name) = schema["$ref"].as_str() else { return schema };
    let found = DOCUMENT.pointer(name.strip_prefix('#').unwrap());
    found.unwrap_or_else(|| panic!("{name} leads nowhere"))
}

/// The words of JSON Schema that the document uses; any other is an error here, so that none goes unchecked.
const WORDS: &[&str] = &[
    "$ref",
    "additionalProperties",
    "const",
    "default",
    "description",
    "enum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "oneOf",
    "pattern",
    "properties",
    "required",
    "type",
];

/// Says in `wrong` where a value does not fit. Objects are closed: what an answer holds must be documented.
fn fit(value: &Value, schema: &Value, at: &str, wrong: &mut Vec<String>) {
    let schema = resolve(schema);
    for word in schema.as_object().unwrap().keys() {
        assert!(WORDS.contains(&word.as_str()), "{at}: {word} is not checked here");
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fitting = choices.iter().filter(|choice| {
            let mut wrong = Vec::new();
            fit(value, choice, at, &mut wrong);
            wrong.is_empty()
        });
        if fitting.count() != 1 {
            wrong.push(format!("{at}: {value} fits not one of {choices:?}"));
        }
        return;
    }
    let of = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_i64() || n.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(all) => all.iter().map(|t| t.as_str().unwrap()).collect(),
        _ => vec![],
    };
    let mut check = |holds: bool, what: &str| {
        if !holds {
            wrong.push(format!("{at}: {value} is not {what} of {schema}"));
        }
    };
    check(types.is_empty() || types.contains(&of), "the type");
    check(schema["enum"].as_array().is_none_or(|all| all.contains(value)), "one");
    check(schema.get("const").is_none_or(|only| only == value), "the const");
    if let Some(number) = value.as_i64() {
        check(schema["minimum"].as_i64().is_none_or(|min| number >= min), "the minimum");
        check(schema["maximum"].as_i64().is_none_or(|max| number <= max), "the maximum");
    }
    if let Some(text) = value.as_str() {
        check(schema["pattern"].as_str().is_none_or(|p| Regex::new(p).unwrap().is_match(text)), "the pattern");
        let length = u64::try_from(text.chars().count()).unwrap();
        check(schema["minLength"].as_u64().is_none_or(|min| length >= min), "the length");
        check(schema["maxLength"].as_u64().is_none_or(|max| length <= max), "the length");
        check(
            match schema["format"].as_str() {
                Some("date-time") => text.parse::<amn_core::timestamp::Timestamp>().is_ok(),
                Some("uuid") => text.parse::<uuid::Uuid>().is_ok(),
                Some(_) => false,
                None => true,
            },
            "the format",
        );
    }
    if let Some(items) = value.as_array() {
        let count = u64::try_from(items.len()).unwrap();
        check(schema["minItems"].as_u64().is_none_or(|min| count >= min), "the count");
        check(schema["maxItems"].as_u64().is_none_or(|max| count <= max), "the count");
        if schema["items"].is_object() {
            for (n, item) in items.iter().enumerate() {
                fit(item, &schema["items"], &format!("{at}[{n}]"), wrong);
            }
        }
    }
    if let (Some(fields), true) = (value.as_object(), types.contains(&"object")) {
        for name in schema["required"].as_array().into_iter().flatten() {
            if !fields.contains_key(name.as_str().unwrap()) {
                wrong.push(format!("{at}: {name} is missing"));
            }
        }
        for (name, field) in fields {
            match &schema["properties"][name] {
                Value::Null if schema["additionalProperties"] == true => {}
                Value::Null => wrong.push(format!("{at}.{name} is not documented")),
                of => fit(field, of, &format!("{at}.{name}"), wrong),
            }
        }
    }
}

#[tokio::test]
async fn what_is_documented_is_what_is_served() {
    let stand = Stand::new().await;
    let served = stand.get("/v1/openapi.json").send().await;
    assert_eq!((served.status, &served.body), (200, &*DOCUMENT));
    assert_eq!(DOCUMENT["openapi"], "3.1.0");
    let mut lines = String::new();
    for (path, methods) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let answer = stand.call(method.clone(), path).send().await;
            assert!(![404, 405].contains(&answer.status), "{method} {path} is documented and not served");
            let responses: Vec<&String> = operation["responses"].as_object().unwrap().keys().collect();
            let scope = operation["x-scope"].as_str().unwrap_or("-");
            writeln!(lines, "{method} {path} · {scope} · {responses:?}").unwrap();
        }
    }
    assert_eq!(lines.lines().count(), routes().len());
    insta::assert_snapshot!(lines);
}

#[test]
fn every_example_fits_its_schema_and_every_reference_leads_somewhere() {
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    let mut pairs = 0;
    walk(&DOCUMENT, &mut |node| {
        if let Some(name) = node["$ref"].as_str() {
            resolve(node);
            used.insert(name.rsplit('/').next().unwrap().to_owned());
        }
        if let (Some(schema), Some(example)) = (node.get("schema"), node.get("example")) {
            assert!(!example.is_null(), "{schema} has no example");
            fit(example, schema, &schema.to_string(), &mut wrong);
            pairs += 1;
        }
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(pairs > routes().len(), "every answer and body has an example");
    for name in DOCUMENT["components"]["schemas"].as_object().unwrap().keys() {
        assert!(used.contains(name), "schema {name} is used by nothing");
    }
    for name in DOCUMENT["components"]["parameters"].as_object().unwrap().keys() {
        assert!(used.contains(name), "parameter {name} is used by nothing");
    }
}

fn walk(node: &Value, visit: &mut impl FnMut(&Value)) {
    match node {
        Value::Object(fields) => {
            visit(node);
            fields.values().for_each(|field| walk(field, visit));
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        _ => {}
    }
}

#[test]
fn operation_ids_are_unique() {
    let mut ids = BTreeSet::new();
    for methods in DOCUMENT["paths"].as_object().unwrap().values() {
        for operation in methods.as_object().unwrap().values() {
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{operation}");
        }
    }
}

#[test]
fn the_words_of_the_code_are_the_words_of_the_document() {
    let words = |name: &str| -> BTreeSet<&str> {
        let all = DOCUMENT["components"]["schemas"][name]["enum"].as_array().unwrap();
        all.iter().map(|word| word.as_str().unwrap()).collect()
    };
    assert_eq!(words("Scope"), Scope::ALL.iter().map(|s| s.as_str()).collect());
    let events = words("EventName").into_iter().filter(|word| *word != "endpoint.test");
    assert!(events.eq(amn_scanner::api::EVENTS.iter().copied()), "in the order of the alphabet too");
    assert_eq!(words("IntentStatus"), Status::ALL.iter().map(|s| s.as_str()).collect());
}

#[tokio::test]
async fn every_documented_parameter_is_taken_and_no_other() {
    let stand = Stand::new().await;
    for route in routes().iter().filter(|route| route.method == Method::GET && !route.path.contains('{')) {
        for name in route.parameters {
            let name = DOCUMENT["components"]["parameters"][name]["name"].as_str().unwrap();
            let answer = stand.get(&format!("{}?{name}=%22", route.path)).key(OPERATOR).send().await;
            assert!(!answer.text.contains("unknown field"), "{} {name}: {}", route.path, answer.text);
        }
        if !route.parameters.is_empty() {
            let answer = stand.get(&format!("{}?nonsense=1", route.path)).key(OPERATOR).send().await;
            let taken = answer.body["detail"].as_str().unwrap();
            assert_eq!(answer.status, 400, "{}", route.path);
            for name in taken.split('`').skip(3).step_by(2) {
                let documented =
                    route.parameters.iter().any(|p| DOCUMENT["components"]["parameters"][p]["name"] == name);
                assert!(documented, "{} takes {name}, which is not documented", route.path);
            }
        }
    }
}

#[tokio::test]
async fn the_examples_of_bodies_are_taken_as_they_are() {
    let stand = Stand::new().await;
    let example = |name: &str| {
        let mut found = None;
        walk(&DOCUMENT["paths"], &mut |node| {
            if node["schema"]["$ref"] == format!("#/components/schemas/{name}") {
                found = Some(node["example"].clone());
            }
        });
        found.unwrap()
    };
    let puts = Method::PUT;
    for (method, path, name, status) in [
        (Method::POST, "/v1/intents", "NewIntent", 201),
        (puts.clone(), "/v1/tenants/seller-7", "TenantTerms", 200),
        (puts, "/v1/networks/base/thresholds", "Policy", 200),
        (Method::POST, "/v1/keys", "NewKey", 201),
        (Method::POST, "/v1/webhook-endpoints", "NewEndpoint", 201),
        (Method::POST, "/v1/deliveries/redrive", "Redrive", 202),
    ] {
        let answer = stand.call(method, path).key(OPERATOR).json(&example(name)).send().await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text);
    }
}
