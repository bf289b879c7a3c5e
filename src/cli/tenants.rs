//! `tenants`: list, show, and the watch-only key that addresses are derived from.

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};

use super::arguments::{self, Paging, body, path};
use super::office::Office;
use super::show::{Page, Screen, more, rows, text};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List tenants by name.
    List {
        #[command(flatten)]
        paging: Paging,
    },
    /// One tenant.
    Show {
        #[arg(value_parser = arguments::tenant)]
        tenant: String,
    },
    /// Set the account key (watch-only: an xpub) that the tenant's addresses are derived from.
    SetXpub {
        #[arg(value_parser = arguments::tenant)]
        tenant: String,
        /// The extended public key of an account. Never a private one.
        xpub: String,
        /// The index of the first address.
        #[arg(long)]
        first_index: Option<u32>,
    },
}

impl Command {
    pub async fn run(self, office: &Office, screen: &Screen) -> Result<()> {
        let one = match self {
            Self::List { paging } => {
                let found = office.get(&path("/v1/tenants", Some(&paging), &[])).await?;
                screen.show(&found, |page| list(page, &found));
                return Ok(());
            }
            Self::Show { tenant } => office.get(&format!("/v1/tenants/{tenant}")).await?,
            Self::SetXpub { tenant, xpub, first_index } => {
                let terms = body([("xpub", xpub.into()), ("first_index", json!(first_index))]);
                office.put(&format!("/v1/tenants/{tenant}"), terms).await?
            }
        };
        screen.show(&one, |page| {
            page.pairs(&[
                ("tenant", text(&one["id"])),
                ("xpub", text(&one["xpub"])),
                ("next index", text(&one["next_index"])),
                ("created", text(&one["created_at"])),
            ]);
        });
        Ok(())
    }
}

fn list(page: &mut Page, answer: &Value) {
    let table: Vec<_> = rows(answer)
        .iter()
        .map(|tenant| {
            [text(&tenant["id"]), text(&tenant["next_index"]), text(&tenant["created_at"]), text(&tenant["xpub"])]
        })
        .collect();
    page.table(["TENANT", "NEXT INDEX", "CREATED", "XPUB"], &table, "no tenants");
    more(page, answer);
}
