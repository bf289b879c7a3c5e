//! Where rows become domain types: a value that does not parse names its table, column and id.

use std::fmt::Display;
use std::str::FromStr;

use amn_core::timestamp::Timestamp;
use time::OffsetDateTime;

/// A row the rules do not understand. Somebody wrote to the table past us, or this binary is too old.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("amn.{table}.{column} of {id} does not parse: {why}")]
pub struct RowError {
    pub table: &'static str,
    pub column: &'static str,
    pub id: String,
    pub why: String,
}

/// What a read or a write of ours may end in.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Row(#[from] RowError),
}

/// A row's place, for errors.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "it borrows something that is only displayed")]
pub struct Place<'a> {
    pub table: &'static str,
    pub id: &'a dyn Display,
}

impl Place<'_> {
    pub fn wrong(&self, column: &'static str, why: impl Display) -> RowError {
        RowError { table: self.table, column, id: self.id.to_string(), why: why.to_string() }
    }

    /// Parses text of a column.
    pub fn parse<T: FromStr<Err: Display>>(&self, column: &'static str, text: &str) -> Result<T, RowError> {
        text.parse().map_err(|why| self.wrong(column, why))
    }

    /// A count that is never negative.
    pub fn count(&self, column: &'static str, value: i64) -> Result<u64, RowError> {
        u64::try_from(value).map_err(|why| self.wrong(column, why))
    }

    /// 32 bytes, as `0x` and 64 digits.
    pub fn hash(&self, column: &'static str, bytes: &[u8]) -> Result<amn_core::block::Hash, RowError> {
        bytes.try_into().map(amn_core::block::Hash).map_err(|_| self.wrong(column, format!("{} bytes", bytes.len())))
    }

    /// A jsonb column as its type.
    pub fn json<T: serde::de::DeserializeOwned>(
        &self,
        column: &'static str,
        value: serde_json::Value,
    ) -> Result<T, RowError> {
        serde_json::from_value(value).map_err(|why| self.wrong(column, why))
    }
}

/// A row's time as ours. Milliseconds are kept; we never write finer ones.
#[must_use]
pub fn timestamp(at: OffsetDateTime) -> Timestamp {
    let millis = at.unix_timestamp_nanos().div_euclid(1_000_000);
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

/// Our time as a column takes it, held within what a calendar can show.
#[must_use]
pub fn moment(at: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.millis()).saturating_mul(1_000_000)).unwrap_or(
        if at.millis() < 0 {
            time::PrimitiveDateTime::MIN.assume_utc()
        } else {
            time::PrimitiveDateTime::MAX.assume_utc()
        },
    )
}
