//! A database of its own for each test, copied from one that has the migrations.
//!
//! The server is the one that `AMN_TEST_DATABASE_URL` names (its user must be allowed to create databases), or
//! else the daemon's own embedded Postgres, in a directory of the test runs.

use std::str::FromStr as _;

use amn_scanner::clock::{Clock as _, Ids as _, SystemClock, SystemIds};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, PgPool};
use tokio::sync::OnceCell;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// Makes templates one at a time, over all test processes: the letters `amn.test`.
const TEMPLATE_LOCK: i64 = i64::from_be_bytes(*b"amn.test");

/// Databases of runs that were killed; no test runs as long.
const LEFT_OVER_SECONDS: i64 = 3_600;

/// A fresh database with every migration, gone when it is dropped.
#[derive(Debug)]
pub struct Database {
    pub pool: PgPool,
    pub url: String,
    name: String,
    server: PgConnectOptions,
}

impl Database {
    pub async fn fresh() -> Self {
        static TEMPLATE: OnceCell<String> = OnceCell::const_new();
        let server = server().await;
        let template = TEMPLATE.get_or_init(|| template(&server)).await;
        let name = format!("amn_test_{}_{:x}", SystemClock.now().seconds(), SystemIds.next());
        let mut admin = PgConnection::connect_with(&server).await.expect("the test server takes connections");
        run(&mut admin, format!("create database {name} template {template}")).await;
        // Compiling a plan takes a hundred times as long as running it, at our sizes.
        let options = server.clone().database(&name).options([("jit", "off")]);
        let url = options.to_url_lossy().to_string();
        let pool = PgPoolOptions::new().max_connections(8).connect_with(options).await.unwrap();
        Self { pool, url, name, server }
    }
}

impl Database {
    /// Cuts every connection and takes no new one, or takes them again.
    pub async fn away(&self, away: bool) {
        let mut admin = PgConnection::connect_with(&self.server).await.unwrap();
        run(&mut admin, format!("alter database {} allow_connections {}", self.name, !away)).await;
        if away {
            let cut = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
            sqlx::query(cut).bind(&self.name).execute(&mut admin).await.unwrap();
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (name, server) = (self.name.clone(), self.server.clone());
        // A runtime of its own: the test's may be ending.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(async {
                let mut admin = PgConnection::connect_with(&server).await.ok()?;
                let drop = format!("drop database if exists {name} with (force)");
                sqlx::query(AssertSqlSafe(drop)).execute(&mut admin).await.ok()
            })
        });
        let _ = dropped.join();
    }
}

pub async fn server() -> PgConnectOptions {
    match std::env::var("AMN_TEST_DATABASE_URL") {
        Ok(url) => PgConnectOptions::from_str(&url).expect("AMN_TEST_DATABASE_URL is a Postgres URL"),
        Err(_) => {
            let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(".amn/test-postgres");
            let embedded = amn_scanner::embedded::Embedded::start(&dir).await.expect("the embedded Postgres starts");
            // It outlives this process: every test of the run shares it.
            embedded.options()
        }
    }
}

/// The database with the migrations as they stand; another state of them is another template.
async fn template(server: &PgConnectOptions) -> String {
    let state = MIGRATIONS.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, migration| {
        migration.checksum.iter().fold(sum, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
    });
    let name = format!("amn_template_{state:016x}");
    let mut admin = PgConnection::connect_with(server).await.expect("the test server takes connections");
    sqlx::query("select pg_advisory_lock($1)").bind(TEMPLATE_LOCK).execute(&mut admin).await.unwrap();
    sweep(&mut admin).await;
    let known: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(&name)
        .fetch_one(&mut admin)
        .await
        .unwrap();
    if !known {
        // Under another name until it is whole: a killed run leaves no half template.
        let half = format!("{name}_half");
        run(&mut admin, format!("drop database if exists {half} with (force)")).await;
        run(&mut admin, format!("create database {half}")).await;
        let mut connection = PgConnection::connect_with(&server.clone().database(&half)).await.unwrap();
        MIGRATIONS.run(&mut connection).await.expect("the migrations apply");
        connection.close().await.unwrap();
        run(&mut admin, format!("alter database {half} rename to {name}")).await;
    }
    // The lock goes with the connection.
    admin.close().await.unwrap();
    name
}

async fn sweep(admin: &mut PgConnection) {
    let names: Vec<String> = sqlx::query_scalar("select datname from pg_database where datname like 'amn\\_test\\_%'")
        .fetch_all(&mut *admin)
        .await
        .unwrap();
    for name in names {
        let born = name.split('_').nth(2).and_then(|seconds| seconds.parse::<i64>().ok());
        if born.is_some_and(|born| born + LEFT_OVER_SECONDS < SystemClock.now().seconds()) {
            run(admin, format!("drop database if exists {name} with (force)")).await;
        }
    }
}

async fn run(connection: &mut PgConnection, sql: String) {
    sqlx::query(AssertSqlSafe(sql)).execute(connection).await.unwrap();
}

#[tokio::test]
async fn a_fresh_database_is_reached_by_its_url_and_is_nobody_elses() {
    let (ours, theirs) = (Database::fresh().await, Database::fresh().await);
    sqlx::query("insert into amn.tenant (id) values ('t')").execute(&ours.pool).await.unwrap();
    for (database, expected) in [(&ours, 1_i64), (&theirs, 0)] {
        let mut connection = PgConnection::connect(&database.url).await.unwrap();
        let count: i64 =
            sqlx::query_scalar("select count(*) from amn.tenant").fetch_one(&mut connection).await.unwrap();
        assert_eq!(count, expected);
    }
}
