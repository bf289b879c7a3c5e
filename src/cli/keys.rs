//! `keys`: make, list, revoke. A key's text is shown once and kept nowhere.

use amn_scanner::api::auth::Scope;
use anyhow::Result;
use clap::Subcommand;
use serde_json::Value;
use uuid::Uuid;

use super::arguments::{self, Paging, body, path};
use super::office::Office;
use super::show::{Page, Screen, more, rows, text};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a key; it is shown this once.
    Create {
        /// What to call it.
        #[arg(long)]
        name: String,
        /// Whose it is. Default: the operator's, for every tenant.
        #[arg(long, value_parser = arguments::tenant)]
        tenant: Option<String>,
        /// What it may do, as intents:write; may be repeated or separated by commas.
        #[arg(long, value_delimiter = ',', required_unless_present = "all_scopes")]
        scope: Vec<Scope>,
        /// Everything that such a key may do.
        #[arg(long, conflicts_with = "scope")]
        all_scopes: bool,
    },
    /// List keys, revoked ones too.
    List {
        #[command(flatten)]
        paging: Paging,
    },
    /// Revoke a key, at once and for ever.
    Revoke { key: Uuid },
}

impl Command {
    pub async fn run(self, office: &Office, screen: &Screen) -> Result<()> {
        match self {
            Self::Create { name, tenant, scope, all_scopes } => {
                let may = |scope: &&Scope| tenant.is_none() || !scope.is_operators_alone();
                let all = Scope::ALL.iter().filter(may);
                let chosen: Vec<&str> = if all_scopes { all.collect() } else { scope.iter().collect::<Vec<_>>() }
                    .into_iter()
                    .map(|scope| scope.as_str())
                    .collect();
                let asked = body([("name", name.into()), ("scopes", chosen.into()), ("tenant", tenant.into())]);
                let made = office.post("/v1/keys", asked).await?;
                screen.show(&made, |page| {
                    page.pairs(&[
                        ("key", text(&made["key"])),
                        ("id", text(&made["id"])),
                        ("tenant", text(&made["tenant"])),
                        ("scopes", scopes(&made)),
                    ]);
                    page.line("It is shown this once; keep it where secrets are kept.");
                });
            }
            Self::List { paging } => {
                let found = office.get(&path("/v1/keys", Some(&paging), &[])).await?;
                screen.show(&found, |page| list(page, &found));
            }
            Self::Revoke { key } => {
                let done = office.delete(&format!("/v1/keys/{key}")).await?;
                screen.show(&done, |page| page.line(format!("key {key} opens nothing any more")));
            }
        }
        Ok(())
    }
}

fn scopes(key: &Value) -> String {
    let all = key["scopes"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().map(text).collect::<Vec<_>>().join(" ")
}

fn list(page: &mut Page, answer: &Value) {
    let table: Vec<_> = rows(answer)
        .iter()
        .map(|key| {
            let state = if key["revoked_at"].is_null() { "active" } else { "revoked" };
            [
                text(&key["id"]),
                state.to_owned(),
                text(&key["name"]),
                key["tenant"].as_str().unwrap_or("(operator)").to_owned(),
                text(&key["created_at"]),
                scopes(key),
            ]
        })
        .collect();
    page.table(["KEY", "STATUS", "NAME", "TENANT", "CREATED", "SCOPES"], &table, "no keys");
    more(page, answer);
}
