//! Chain time and wall time as one type: milliseconds since 1970, shown as RFC 3339 UTC.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since 1970-01-01T00:00:00Z. Whole seconds print without a fraction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp(i64);

/// Why a text is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a time is RFC 3339 with a zone, as 2026-11-21T09:30:00Z; got {0:?}")]
pub struct TimestampError(String);

impl Timestamp {
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From whole seconds, held within what a calendar can show.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Whole seconds from `earlier` to `self`; zero where `earlier` is not earlier.
    #[must_use]
    pub const fn seconds_since(self, earlier: Self) -> u64 {
        let millis = self.0.saturating_sub(earlier.0);
        if millis <= 0 { 0 } else { millis.unsigned_abs() / 1_000 }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i128::from(self.0).saturating_mul(1_000_000);
        match OffsetDateTime::from_unix_timestamp_nanos(nanos).map(|t| t.format(&Rfc3339)) {
            Ok(Ok(text)) => f.write_str(&text),
            _ => write!(f, "{} ms", self.0), // Past year 9999: a number is better than a panic.
        }
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let wrong = || TimestampError(text.chars().take(60).collect());
        let parsed = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| wrong())?;
        let millis = parsed.unix_timestamp_nanos().div_euclid(1_000_000);
        i64::try_from(millis).map(Self).map_err(|_| wrong())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_have_no_fraction_and_milliseconds_three_digits() {
        assert_eq!(Timestamp::from_seconds(1_795_253_352).to_string(), "2026-11-21T09:29:12Z");
        assert_eq!(Timestamp::from_millis(1_795_253_400_412).to_string(), "2026-11-21T09:30:00.412Z");
    }

    #[test]
    fn any_zone_is_read_and_kept_as_utc() {
        let east: Timestamp = "2026-11-21T11:29:12+02:00".parse().unwrap();
        assert_eq!(east.to_string(), "2026-11-21T09:29:12Z");
        assert!("2026-11-21".parse::<Timestamp>().is_err());
    }

    #[test]
    fn time_before_is_no_time_since() {
        let (early, late) = (Timestamp::from_millis(1_000), Timestamp::from_millis(3_999));
        assert_eq!(late.seconds_since(early), 2);
        assert_eq!(early.seconds_since(late), 0);
    }
}
