//! What a test's ledger says of itself: what was told of an intent, and where it stands.

use amn_core::id::IntentId;
use amn_scanner::store;
use serde_json::Value;

use super::database::Database;

impl Database {
    /// What was told of an intent, in order.
    pub async fn bodies(&self, intent: IntentId) -> Vec<Value> {
        let bodies: Vec<Vec<u8>> =
            sqlx::query_scalar("select body from amn.event where intent_id = $1 order by sequence")
                .bind(store::uuid(intent.0))
                .fetch_all(&self.pool)
                .await
                .unwrap();
        bodies.iter().map(|body| serde_json::from_slice(body).unwrap()).collect()
    }

    pub async fn events(&self, intent: IntentId) -> Vec<String> {
        self.bodies(intent).await.iter().map(|body| body["event"].as_str().unwrap().to_owned()).collect()
    }

    pub async fn status(&self, intent: IntentId) -> String {
        sqlx::query_scalar("select status from amn.intent where id = $1")
            .bind(store::uuid(intent.0))
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    /// How many deposits were ever settled.
    pub async fn settled(&self) -> i64 {
        self.count("select count(*) from amn.deposit where status in ('settled', 'reversed')").await
    }

    /// How many deposits there are, whatever became of them.
    pub async fn deposits(&self) -> i64 {
        self.count("select count(*) from amn.deposit").await
    }

    /// The height the network stands at.
    pub async fn tip(&self) -> i64 {
        self.count("select tip_height from amn.network").await
    }

    /// What the network was halted for, and in which words.
    pub async fn halted(&self) -> Option<(String, String)> {
        sqlx::query_as("select halt_reason, halt_detail from amn.network where halt_reason is not null")
            .fetch_optional(&self.pool)
            .await
            .unwrap()
    }
}
