//! SQL, one module per aggregate: functions over a connection, no traits. Rows become domain types here.
//!
//! Law: every decision goes through [`decide`], in one transaction under the network's revision.

pub mod balances;
pub mod contracts;
pub mod decide;
pub mod idempotency;
pub mod intents;
pub mod keys;
mod load;
pub mod network;
pub mod outbox;
pub mod pools;
pub mod read;
pub mod recall;
pub mod rescans;
pub mod row;
pub mod tenants;
pub mod thresholds;
mod write;

use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection as _, PgPool};

pub use row::{RowError, moment, timestamp, uuid};

/// What went wrong with the database, by what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Try again: another decision came first.
    #[error("another decision came first")]
    Stale,
    /// A person must look: a row does not say what it must.
    #[error(transparent)]
    Row(#[from] RowError),
    /// Migrate first: the schema is not the one this binary knows.
    #[error("the schema is not this binary's: {0}; run `amn-scanner migrate`")]
    Schema(String),
    /// Back off: the database does not answer as it should.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

impl StoreError {
    /// A row that does not say what it must.
    pub(crate) fn row(
        table: &'static str,
        column: &'static str,
        id: &dyn std::fmt::Display,
        why: impl std::fmt::Display,
    ) -> Self {
        Self::Row(row::Place { table, id }.wrong(column, why))
    }
}

/// The migrations of this binary.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// A connection that rested longer is asked whether it is still there before it is used.
const UNASKED_MAX: std::time::Duration = std::time::Duration::from_secs(2);

/// Opens a pool. `max` connections: the followers, the dispatcher and the API share them.
pub async fn connect(options: PgConnectOptions, max: u32) -> Result<PgPool, StoreError> {
    let settings = [
        // Compiling our short statements takes a hundred times longer than running them.
        ("jit", "off"),
        // By default a role named as our schema (the embedded one is) finds its tables there first: at the second
        // start the record of migrations would be looked for, and made, in another place than at the first.
        ("search_path", "public"),
        // Every statement of ours finds its rows by key, whatever its parameters: one plan fits all of them, and making
        // a plan costs more than running it. Fresh statistics make a new one.
        ("plan_cache_mode", "force_generic_plan"),
    ];
    let options = options.application_name("amn-scanner").options(settings).disable_statement_logging();
    let pool = PgPoolOptions::new()
        .max_connections(max)
        .acquire_timeout(std::time::Duration::from_secs(10))
        // One that was in use a moment ago is there: asking it before each statement would double the round trips.
        .test_before_acquire(false)
        .before_acquire(|connection, last| {
            Box::pin(async move {
                if last.idle_for > UNASKED_MAX {
                    connection.ping().await?;
                }
                Ok(true)
            })
        });
    Ok(pool.connect_with(options).await?)
}

/// Parses a database address.
pub fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    Ok(PgConnectOptions::from_str(url)?)
}

/// Brings the schema up to this binary.
pub async fn migrate(pool: &PgPool) -> Result<(), StoreError> {
    MIGRATOR.run(pool).await.map_err(|error| StoreError::Schema(error.to_string()))
}

/// Refuses a schema with migrations missing, or with ones this binary does not know.
pub async fn check_schema(pool: &PgPool) -> Result<(), StoreError> {
    let applied: Vec<i64> = sqlx::query_scalar("select version from _sqlx_migrations where success order by version")
        .fetch_all(pool)
        .await
        .map_err(|error| StoreError::Schema(format!("no migrations are recorded ({error})")))?;
    let known: Vec<i64> = MIGRATOR.iter().map(|m| m.version).collect();
    if applied == known {
        return Ok(());
    }
    Err(StoreError::Schema(format!("applied {applied:?}, known {known:?}")))
}
