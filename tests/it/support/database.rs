//! A database of its own for every test, copied from a template that is migrated once.
//!
//! The server: `AMN_TEST_DATABASE_URL` where it is set (any database of a server on which we may create
//! others), else the daemon's own embedded Postgres in a directory of the test run.

use std::str::FromStr;

use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, PgPool};
use uuid::Uuid;

/// A fresh database.
#[derive(Debug)]
pub struct Database {
    pub pool: PgPool,
    pub options: PgConnectOptions,
}

impl Database {
    pub async fn fresh() -> Self {
        let server = server().await;
        let mut admin = server.clone().connect().await.expect("the test server answers");
        let template = template(&server, &mut admin).await;
        let name = format!("amn_test_{}", Uuid::now_v7().simple());
        create(&mut admin, &name, Some(&template)).await;
        let options = server.database(&name);
        let pool = PgPoolOptions::new().max_connections(12).connect_with(options.clone()).await.unwrap();
        Self { pool, options }
    }

    /// The address of this database, for a daemon in a process of its own.
    pub fn url(&self) -> String {
        self.options.to_url_lossy().to_string()
    }
}

async fn server() -> PgConnectOptions {
    let url = std::env::var("AMN_TEST_DATABASE_URL").expect("AMN_TEST_DATABASE_URL names a test server");
    PgConnectOptions::from_str(&url).expect("AMN_TEST_DATABASE_URL is a database address")
}

/// Migrated once per set of migrations, under a lock: tests run in processes of their own.
async fn template(server: &PgConnectOptions, admin: &mut PgConnection) -> String {
    let mut digest = Sha256::new();
    for migration in amn_scanner::store::MIGRATOR.iter() {
        digest.update(&migration.checksum);
    }
    let name = format!("amn_template_{}", hex::encode(&digest.finalize()[..8]));
    admin.execute("select pg_advisory_lock(7261)").await.unwrap();
    let known: Option<i32> = sqlx::query_scalar("select 1 from pg_database where datname = $1")
        .bind(&name)
        .fetch_optional(&mut *admin)
        .await
        .unwrap();
    if known.is_none() {
        let making = format!("{name}_making");
        admin.execute(AssertSqlSafe(format!("drop database if exists {making}"))).await.unwrap();
        create(admin, &making, None).await;
        let mut db = PgConnection::connect_with(&server.clone().database(&making)).await.unwrap();
        amn_scanner::store::MIGRATOR.run(&mut db).await.unwrap();
        db.close().await.unwrap();
        admin.execute(AssertSqlSafe(format!("alter database {making} rename to {name}"))).await.unwrap();
    }
    admin.execute("select pg_advisory_unlock(7261)").await.unwrap();
    name
}

async fn create(admin: &mut PgConnection, name: &str, template: Option<&str>) {
    let from = template.map_or_else(String::new, |template| format!(" template {template}"));
    admin.execute(AssertSqlSafe(format!("create database {name}{from}"))).await.unwrap();
}
