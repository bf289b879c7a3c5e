//! A database of its own for every test, made from a migrated template.

use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, PgPool};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// A fresh database. Dropped by name when the server is; tests do not wait for that.
#[derive(Debug)]
pub struct Database {
    pub pool: PgPool,
    pub url: String,
}

static TEMPLATE: OnceCell<String> = OnceCell::const_new();

impl Database {
    /// Needs `AMN_TEST_DATABASE_URL`: any database of a server where we may create others.
    pub async fn fresh() -> Self {
        let url = std::env::var("AMN_TEST_DATABASE_URL").expect("AMN_TEST_DATABASE_URL names a test server");
        let server = PgConnectOptions::from_str(&url).expect("a database URL");
        let template = TEMPLATE.get_or_init(|| make_template(server.clone())).await;
        let name = format!("amn_test_{}", Uuid::now_v7().simple());
        let mut admin = server.connect().await.unwrap();
        create(&mut admin, &name, Some(template)).await;
        let options = server.clone().database(&name);
        let pool = PgPoolOptions::new().max_connections(12).connect_with(options.clone()).await.unwrap();
        Self { pool, url: options.to_url_lossy().to_string() }
    }
}

async fn make_template(server: PgConnectOptions) -> String {
    let name = format!("amn_template_{}", Uuid::now_v7().simple());
    let mut admin = server.clone().connect().await.unwrap();
    create(&mut admin, &name, None).await;
    let mut db = PgConnection::connect_with(&server.database(&name)).await.unwrap();
    sqlx::migrate!("./migrations").run(&mut db).await.unwrap();
    db.close().await.unwrap();
    name
}

async fn create(admin: &mut PgConnection, name: &str, template: Option<&str>) {
    let from = template.map_or_else(String::new, |template| format!(" template {template}"));
    admin.execute(AssertSqlSafe(format!("create database {name}{from}"))).await.unwrap();
}
