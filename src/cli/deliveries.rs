//! `deliveries`: what is pending, what was given up, and sending again.

use amn_core::id::{EndpointId, EventId};
use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Wrong;
use super::arguments::{self, Paging, When, body, path};
use super::endpoints;
use super::office::Office;
use super::show::{Page, Screen, more, rows, text};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Deliveries under way, oldest first.
    List(Wish),
    /// Deliveries that were given up and not sent again, newest first.
    DeadLetters(Wish),
    /// What became of one event: what is pending, every try, what was given up.
    Show { event: EventId },
    /// Send again: same id, same bytes. What is pending stays as it is.
    Redrive(Again),
    /// Send endpoint.test to an endpoint.
    Test { endpoint: EndpointId },
}

#[derive(Debug, Args)]
pub struct Wish {
    #[arg(long, value_parser = arguments::tenant)]
    tenant: Option<String>,
    #[arg(long)]
    endpoint: Option<EndpointId>,
    #[command(flatten)]
    paging: Paging,
}

#[derive(Debug, Args)]
pub struct Again {
    #[arg(long)]
    event: Option<EventId>,
    #[arg(long)]
    endpoint: Option<EndpointId>,
    /// By the time of the last attempt: from, as 2026-11-21T09:30:00Z …
    #[arg(long)]
    from: Option<When>,
    /// … until.
    #[arg(long)]
    until: Option<When>,
    /// Also what was delivered; else only what was given up.
    #[arg(long)]
    delivered_too: bool,
}

impl Wish {
    fn path(self, base: &str) -> String {
        let query = [("tenant", self.tenant), ("endpoint", self.endpoint.map(|id| id.to_string()))];
        path(base, Some(&self.paging), &query)
    }
}

impl Command {
    pub async fn run(self, office: &Office, screen: &Screen) -> Result<()> {
        match self {
            Self::List(wish) => {
                let found = office.get(&wish.path("/v1/deliveries")).await?;
                screen.show(&found, |page| {
                    pending(page, rows(&found));
                    more(page, &found);
                });
            }
            Self::DeadLetters(wish) => {
                let found = office.get(&wish.path("/v1/dead-letters")).await?;
                screen.show(&found, |page| {
                    letters(page, rows(&found));
                    more(page, &found);
                });
            }
            Self::Show { event } => {
                let found = office.get(&format!("/v1/events/{event}/deliveries")).await?;
                screen.show(&found, |page| of_event(page, &found));
            }
            Self::Redrive(again) => {
                let done = office.post("/v1/deliveries/redrive", again.body(office)?).await?;
                screen.show(&done, |page| {
                    page.line(format!("{} sent again", text(&done["redriven"])));
                    if done["has_more"] == true {
                        page.line("There is more: run the command again when these have arrived.");
                    }
                });
            }
            Self::Test { endpoint } => endpoints::test(endpoint, office, screen).await?,
        }
        Ok(())
    }
}

impl Again {
    fn body(self, office: &Office) -> Result<Value> {
        if self.event.is_none() && self.endpoint.is_none() && self.from.is_none() {
            let all = "name what to send again: --event, --endpoint or --from";
            return Err(Wrong(all.to_owned()).into());
        }
        let at = |when: Option<When>| json!(when.map(|when| when.from(office.now())));
        Ok(body([
            ("event", json!(self.event)),
            ("endpoint", json!(self.endpoint)),
            ("from", at(self.from)),
            ("until", at(self.until)),
            ("delivered_too", self.delivered_too.into()),
        ]))
    }
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

fn pending(page: &mut Page, deliveries: &[Value]) {
    let table: Vec<_> = deliveries
        .iter()
        .map(|delivery| {
            [
                text(&delivery["event"]),
                text(&delivery["kind"]),
                text(&delivery["endpoint"]),
                text(&delivery["endpoint_status"]),
                text(&delivery["attempts"]),
                text(&delivery["next_at"]),
            ]
        })
        .collect();
    page.table(["EVENT", "KIND", "ENDPOINT", "STATUS", "TRIES", "NEXT"], &table, "nothing is on its way");
}

fn letters(page: &mut Page, letters: &[Value]) {
    let table: Vec<_> = letters
        .iter()
        .map(|letter| {
            [
                text(&letter["event"]),
                text(&letter["kind"]),
                text(&letter["endpoint"]),
                text(&letter["attempts"]),
                text(&letter["at"]),
                text(&letter["reason"]),
            ]
        })
        .collect();
    page.table(["EVENT", "KIND", "ENDPOINT", "TRIES", "AT", "REASON"], &table, "nothing was given up");
}

fn of_event(page: &mut Page, found: &Value) {
    pending(page, list(found, "pending"));
    let tries: Vec<_> = list(found, "attempts")
        .iter()
        .map(|attempt| {
            [
                text(&attempt["at"]),
                text(&attempt["endpoint"]),
                text(&attempt["outcome"]),
                text(&attempt["status_code"]),
                format!("{} ms", text(&attempt["duration_ms"])),
                text(&attempt["error"]),
            ]
        })
        .collect();
    page.line("");
    page.table(["AT", "ENDPOINT", "OUTCOME", "ANSWER", "TOOK", "ERROR"], &tries, "no attempt was made");
    if !list(found, "dead_letters").is_empty() {
        page.line("");
        letters(page, list(found, "dead_letters"));
    }
}
