//! A database that was opened before is opened again.

use amn_scanner::store;

use crate::support::database::Database;

#[tokio::test]
async fn a_role_named_as_our_schema_finds_its_migrations_again() {
    let db = Database::fresh().await;
    let admin: String = sqlx::query_scalar("select current_user::text").fetch_one(&db.pool).await.unwrap();
    // As after the first start of the embedded Postgres, whose role is named `amn`: a schema of the role's own name.
    let make = format!(r#"create schema if not exists "{admin}""#);
    sqlx::query(sqlx::AssertSqlSafe(make)).execute(&db.pool).await.unwrap();
    let again = store::connect(store::options(&db.url).unwrap(), 2).await.unwrap();
    store::migrate(&again).await.unwrap();
    store::check_schema(&again).await.unwrap();
}
