//! Columns to domain types and back. A column that does not parse names its table, column and row.

use amn_core::block::{BlockRef, Hash, Height};
use amn_core::money::Amount;
use amn_core::timestamp::Timestamp;
use time::OffsetDateTime;
use uuid::Uuid;

use super::StoreError;

/// A time as the database keeps it. Milliseconds are kept; a time no calendar shows is held at its end.
#[must_use]
pub fn to_time(at: Timestamp) -> OffsetDateTime {
    let nanos = i128::from(at.millis()).saturating_mul(1_000_000);
    let end = if nanos < 0 { OffsetDateTime::UNIX_EPOCH } else { time::macros::datetime!(9999-12-31 23:59:59 UTC) };
    OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(end)
}

#[must_use]
pub fn from_time(at: OffsetDateTime) -> Timestamp {
    let millis = at.unix_timestamp_nanos().div_euclid(1_000_000);
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

/// An id as the database keeps it.
#[must_use]
pub fn uuid(id: u128) -> Uuid {
    Uuid::from_u128(id)
}

/// Where a column came from, for the error that names it.
#[derive(Clone, Copy)]
pub(super) struct Cell<'a> {
    pub table: &'static str,
    pub column: &'static str,
    pub id: &'a dyn std::fmt::Display,
}

pub(super) fn cell<'a>(table: &'static str, column: &'static str, id: &'a dyn std::fmt::Display) -> Cell<'a> {
    Cell { table, column, id }
}

impl Cell<'_> {
    pub fn wrong(self, problem: impl ToString) -> StoreError {
        StoreError::row(self.table, self.column, self.id, problem)
    }

    pub fn hash(self, bytes: &[u8]) -> Result<Hash, StoreError> {
        bytes.try_into().map(Hash).map_err(|_| self.wrong(format!("{} bytes instead of 32", bytes.len())))
    }

    pub fn amount(self, text: &str) -> Result<Amount, StoreError> {
        text.parse().map_err(|error| self.wrong(error))
    }

    pub fn height(self, value: i64) -> Result<Height, StoreError> {
        u64::try_from(value).map(Height).map_err(|_| self.wrong(format!("{value} is no height")))
    }

    pub fn count<N: TryFrom<i64>>(self, value: i64) -> Result<N, StoreError> {
        N::try_from(value).map_err(|_| self.wrong(format!("{value} is out of range")))
    }

    pub fn block(self, height: Option<i64>, hash: Option<&[u8]>) -> Result<Option<BlockRef>, StoreError> {
        height.zip(hash).map(|(h, b)| Ok(BlockRef { height: self.height(h)?, hash: self.hash(b)? })).transpose()
    }

    pub fn word<W: std::str::FromStr>(self, text: &str) -> Result<W, StoreError> {
        text.parse().map_err(|_| self.wrong(format!("unknown word {text:?}")))
    }

    pub fn json<T: serde::de::DeserializeOwned>(self, value: serde_json::Value) -> Result<T, StoreError> {
        serde_json::from_value(value).map_err(|error| self.wrong(error))
    }
}

/// A height as the database keeps it. Chains are far from 2^63 blocks; past it the cursor would stop.
pub(super) fn height(at: Height) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}
