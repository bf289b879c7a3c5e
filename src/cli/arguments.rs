//! Arguments as they are typed: names that fit into a path, times, and where a list goes on.

use amn_core::block::NetworkId;
use amn_core::timestamp::Timestamp;
use clap::Args;
use serde_json::Value;
use url::form_urlencoded::Serializer;

/// Where a list begins and how long it is.
#[derive(Debug, Args)]
pub struct Paging {
    /// Rows, 1 to 200.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    limit: u32,
    /// Where the page before ended.
    #[arg(long)]
    cursor: Option<String>,
}

/// A path with a query, its values escaped; absent ones left out.
pub fn path(base: &str, paging: Option<&Paging>, query: &[(&str, Option<String>)]) -> String {
    let mut list = Serializer::new(String::new());
    for (name, value) in query {
        if let Some(value) = value {
            list.append_pair(name, value);
        }
    }
    if let Some(paging) = paging {
        list.append_pair("limit", &paging.limit.to_string());
        if let Some(cursor) = &paging.cursor {
            list.append_pair("cursor", cursor);
        }
    }
    format!("{base}?{}", list.finish())
}

/// A body of those fields that are there: what is absent must not be sent as null.
pub fn body<const N: usize>(fields: [(&str, Value); N]) -> Value {
    fields.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The name of a network, as configurations write it.
pub fn network(text: &str) -> Result<NetworkId, String> {
    let plain = (1..=40).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if plain { Ok(NetworkId::new(text)) } else { Err("lowercase letters, digits and hyphens, at most 40".to_owned()) }
}

/// The name of a node, as configurations write it.
pub fn node(text: &str) -> Result<String, String> {
    network(text).map(|name| name.to_string())
}

/// The name of a tenant.
pub fn tenant(text: &str) -> Result<String, String> {
    let plain = (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && text.as_bytes()[0].is_ascii_alphanumeric();
    if plain {
        Ok(text.to_owned())
    } else {
        Err("1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit".to_owned())
    }
}

/// A moment, or so long from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    At(Timestamp),
    Seconds(i64),
}

impl When {
    pub fn from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Seconds(seconds) => Timestamp::from_seconds(now.seconds().saturating_add(seconds)),
        }
    }
}

impl std::str::FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(time) = text.parse() {
            return Ok(Self::At(time));
        }
        let wrong = || "a time as 2026-11-21T09:30:00Z, or so long from now as 30m, 12h or 7d".to_owned();
        let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
        let length = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Err(wrong()),
        };
        let number: i64 = number.parse::<u32>().map_err(|_| wrong())?.into();
        number.checked_mul(length).map(Self::Seconds).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_moment_or_so_long_from_now() {
        let now = Timestamp::from_seconds(1_000);
        let read = |text: &str| text.parse::<When>().map(|when| when.from(now).seconds());
        assert_eq!(read("30m"), Ok(2_800));
        assert_eq!(read("1970-01-01T00:00:07Z"), Ok(7));
        for wrong in ["", "m", "-5m", "5", "5w", "1.5h", "soon", "5µ", "99999999999d"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_a_person_types_into_a_query_is_escaped() {
        let query = [("address", Some("a&b=c d".to_owned())), ("tenant", None)];
        assert_eq!(path("/v1/intents", None, &query), "/v1/intents?address=a%26b%3Dc+d");
    }

    #[test]
    fn names_that_would_change_a_path_are_refused() {
        for wrong in ["", "a/b", "..", "a?b", "A", "a b", "ä"] {
            assert!(network(wrong).is_err(), "{wrong:?}");
        }
        assert!(tenant("..").is_err() && tenant("a/b").is_err() && tenant("seller-7").is_ok());
    }
}
