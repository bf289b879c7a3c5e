//! Where rows become domain types: a value that does not parse names its table, column and id.

use std::fmt::Display;
use std::str::FromStr;

use amn_core::block::{BlockRef, Hash, Height};
use amn_core::money::Amount;
use amn_core::timestamp::Timestamp;
use time::OffsetDateTime;
use uuid::Uuid;

/// A row the rules do not understand. Somebody wrote to the table past us, or this binary is too old.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("amn.{table}.{column} of {id} does not parse: {why}")]
pub struct RowError {
    pub table: &'static str,
    pub column: &'static str,
    pub id: String,
    pub why: String,
}

/// A row's place, for errors.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "it borrows something that is only displayed")]
pub struct Place<'a> {
    pub table: &'static str,
    pub id: &'a dyn Display,
}

impl<'a> Place<'a> {
    /// One column of the row.
    #[must_use]
    pub const fn at(self, column: &'static str) -> Cell<'a> {
        Cell { place: self, column }
    }

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
    pub fn hash(&self, column: &'static str, bytes: &[u8]) -> Result<Hash, RowError> {
        bytes.try_into().map(Hash).map_err(|_| self.wrong(column, format!("{} bytes", bytes.len())))
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

/// One column of a row.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "it borrows something that is only displayed")]
pub struct Cell<'a> {
    place: Place<'a>,
    column: &'static str,
}

impl Cell<'_> {
    pub fn wrong(self, why: impl Display) -> RowError {
        self.place.wrong(self.column, why)
    }

    pub fn hash(self, bytes: &[u8]) -> Result<Hash, RowError> {
        self.place.hash(self.column, bytes)
    }

    pub fn amount(self, text: &str) -> Result<Amount, RowError> {
        self.place.parse(self.column, text)
    }

    pub fn height(self, value: i64) -> Result<Height, RowError> {
        self.place.count(self.column, value).map(Height)
    }

    /// A number of any width that the column must fit.
    pub fn count<N: TryFrom<i64>>(self, value: i64) -> Result<N, RowError> {
        N::try_from(value).map_err(|_| self.wrong(format!("{value} is out of range")))
    }

    pub fn block(self, height: Option<i64>, hash: Option<&[u8]>) -> Result<Option<BlockRef>, RowError> {
        height.zip(hash).map(|(h, b)| Ok(BlockRef { height: self.height(h)?, hash: self.hash(b)? })).transpose()
    }

    /// One word of a few.
    pub fn word<W: FromStr>(self, text: &str) -> Result<W, RowError> {
        text.parse().map_err(|_| self.wrong(format!("unknown word {text:?}")))
    }

    pub fn json<T: serde::de::DeserializeOwned>(self, value: serde_json::Value) -> Result<T, RowError> {
        self.place.json(self.column, value)
    }
}

/// A height as a column takes it. Chains are far from 2^63 blocks; past it the cursor would stop.
#[must_use]
pub fn height(at: Height) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

/// An id as a column takes it.
#[must_use]
pub const fn uuid(id: u128) -> Uuid {
    Uuid::from_u128(id)
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
