//! A database of its own for one replay, gone when the replay is over.

use std::path::PathBuf;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, PgPool};

use crate::clock::{Clock as _, Ids as _, SystemClock, SystemIds};
use crate::config::Secret;
use crate::embedded::Embedded;
use crate::store::{self, StoreError};

/// What a replay's database is called, with its birth and chance behind it.
const PREFIX: &str = "amn_replay_";

/// Databases of replays that were killed; no replay takes as long.
const LEFT_OVER_SECONDS: i64 = 6 * 3_600;

/// The follower, the dispatcher and a look at the feed.
const CONNECTIONS: u32 = 6;

/// Whose server a replay borrows.
#[derive(Debug, Clone)]
pub enum Server {
    /// Our own, in this folder: made and started where it is not there yet.
    Embedded(PathBuf),
    /// One that is there. Its user must be allowed to create databases.
    At(Secret),
}

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum GroundError {
    #[error("the embedded Postgres: {0}")]
    Embedded(String),
    #[error("a database for the replay (its user must be allowed to create one): {0}")]
    Create(sqlx::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A fresh database with every migration.
#[derive(Debug)]
pub struct Ground {
    pub pool: PgPool,
    name: String,
    server: PgConnectOptions,
    embedded: Option<Embedded>,
}

impl Ground {
    pub async fn open(server: &Server) -> Result<Self, GroundError> {
        let (server, embedded) = match server {
            Server::At(url) => (store::options(url.reveal())?, None),
            Server::Embedded(folder) => {
                let embedded =
                    Embedded::start(folder).await.map_err(|error| GroundError::Embedded(error.to_string()))?;
                (embedded.options(), Some(embedded))
            }
        };
        let name = format!("{PREFIX}{}_{:x}", SystemClock.now().seconds(), SystemIds.next());
        let server = server.disable_statement_logging();
        let mut admin = PgConnection::connect_with(&server).await.map_err(GroundError::Create)?;
        sweep(&mut admin).await;
        let made = run(&mut admin, format!("create database {name}")).await;
        drop(admin.close().await);
        made.map_err(GroundError::Create)?;
        let opened = async {
            let pool = store::connect(server.clone().database(&name), CONNECTIONS).await?;
            store::migrate(&pool).await.map(|()| pool)
        };
        match opened.await {
            Ok(pool) => Ok(Self { pool, name, server, embedded }),
            Err(error) => {
                drop_database(&server, &name).await;
                Err(error.into())
            }
        }
    }

    /// Removes the database, and stops the server where it is ours alone.
    pub async fn close(self) {
        self.pool.close().await;
        drop_database(&self.server, &self.name).await;
        if let Some(embedded) = self.embedded
            && let Err(error) = embedded.stop().await
        {
            tracing::warn!(%error, "the embedded Postgres did not stop; it is found again at the next start");
        }
    }
}

async fn drop_database(server: &PgConnectOptions, name: &str) {
    let dropped = async {
        let mut admin = PgConnection::connect_with(server).await?;
        run(&mut admin, format!("drop database if exists {name} with (force)")).await?;
        admin.close().await
    };
    if let Err(error) = dropped.await {
        tracing::warn!(%error, "the database {name} is left behind; a later replay removes it");
    }
}

/// Removes what killed replays left. Nobody minds where that fails: the next one tries again.
async fn sweep(admin: &mut PgConnection) {
    let names = sqlx::query_scalar::<_, String>("select datname from pg_database where starts_with(datname, $1)")
        .bind(PREFIX)
        .fetch_all(&mut *admin)
        .await
        .unwrap_or_default();
    for name in names {
        let born = name.strip_prefix(PREFIX).and_then(|rest| rest.split('_').next()?.parse::<i64>().ok());
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if plain && born.is_some_and(|born| born.saturating_add(LEFT_OVER_SECONDS) < SystemClock.now().seconds()) {
            drop(run(admin, format!("drop database if exists {name} with (force)")).await);
        }
    }
}

async fn run(admin: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::query(AssertSqlSafe(sql)).execute(admin).await.map(|_| ())
}
