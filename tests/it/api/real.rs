//! A stand whose chains are a family's own, on a network that is shipped: its nodes are configured and never asked.

use std::sync::Arc;

use amn_core::block::NetworkId;
use amn_rpc::install_crypto;
use amn_scanner::api::AppState;
use amn_scanner::config::Config;
use amn_scanner::daemon::{Door, guard_policy};
use amn_scanner::networks::Networks;
use amn_scanner::outbox::guard::Guard;
use amn_scanner::store;
use serde_json::Value;

use super::stand::{Answer, OPERATOR, Stand};

/// What is asked for besides good terms, what is said of it, and at which field.
pub type Bad = (&'static str, Value, u16, &'static str, &'static str, &'static str);

/// One network, its configuration, and the terms of a good intent on it.
pub struct Real {
    pub network: &'static str,
    pub config: &'static str,
    pub terms: fn() -> Value,
}

impl Real {
    fn config(&self) -> Config {
        Config::parse("real.toml", self.config, std::iter::empty()).unwrap()
    }

    fn networks(&self) -> Arc<Networks> {
        install_crypto();
        Arc::new(Networks::build(&self.config()).unwrap())
    }

    /// Puts the family's own answers into a stand.
    pub fn set(&self, state: &mut AppState) {
        let guard = Guard::new(guard_policy(&self.config()));
        state.chains = Arc::new(Door::new(state.pool.clone(), self.networks(), guard, state.clock.clone()));
    }

    /// A stand with nothing covered yet.
    pub async fn stand(&self) -> Stand {
        let stand = Stand::with(|state| self.set(state)).await;
        let networks = self.networks();
        let served = networks.get(&NetworkId::new(self.network)).unwrap();
        store::network::register(stand.pool(), served.family(), &served.facts, None).await.unwrap();
        stand
    }

    /// Asks for an intent with these terms, and good ones for the rest.
    pub async fn create(&self, stand: &Stand, more: Value) -> Answer {
        let mut body = (self.terms)();
        let Value::Object(more) = more else { panic!("terms are an object: {more}") };
        body.as_object_mut().unwrap().extend(more);
        stand.post("/v1/intents").key(OPERATOR).json(&body).send().await
    }

    pub async fn made(&self, stand: &Stand, more: Value) -> Value {
        let answer = self.create(stand, more).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.body
    }

    /// Each case is refused so, stands so in the table of bad input, and nothing is made of it.
    pub async fn refuses(&self, stand: &Stand, bad: Vec<Bad>) {
        let table = include_str!("../../../docs/BAD-INPUT.md");
        let mut missing = String::new();
        for (case, more, status, code, field, said) in bad {
            let answer = self.create(stand, more).await;
            assert_eq!((answer.status, answer.code()), (status, code), "{case}: {}", answer.text);
            let error = &answer.body["errors"][0];
            assert_eq!(error["field"], field, "{case}: {}", answer.text);
            assert!(error["message"].as_str().unwrap().contains(said), "{case}: {}", answer.text);
            assert!(!answer.text.contains("SBIVCUKR"), "{case}: {}", answer.text);
            let row = format!("| {case} | {status} `{code}` | {field}: {said}");
            if !table.contains(&row) {
                missing = format!("{missing}{row} |\n");
            }
        }
        let count: i64 = sqlx::query_scalar("select count(*) from amn.intent").fetch_one(stand.pool()).await.unwrap();
        assert_eq!(count, 0, "nothing was made of them");
        assert!(missing.is_empty(), "docs/BAD-INPUT.md lacks these rows:\n{missing}");
    }

    /// The code with which SQL refuses an intent of one unit; empty where it does not.
    pub async fn refused_by_sql(&self, stand: &Stand, address: &str, reference: Option<&str>) -> String {
        let asset = (self.terms)()["asset"].as_str().unwrap().to_owned();
        self.refused_by_sql_of(stand, &asset, address, reference).await
    }

    pub async fn refused_by_sql_of(
        &self,
        stand: &Stand,
        asset: &str,
        address: &str,
        reference: Option<&str>,
    ) -> String {
        let asked = sqlx::query("select amn.create_intent('seller', $1, $2, 1, $3, $4)")
            .bind(self.network)
            .bind(asset)
            .bind(address)
            .bind(reference)
            .execute(stand.pool())
            .await;
        asked.map_or_else(|e| e.as_database_error().unwrap().code().unwrap().into_owned(), |_| String::new())
    }
}
