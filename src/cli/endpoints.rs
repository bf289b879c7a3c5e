//! `endpoints`: where events are sent. A secret is shown when it is made and never again.

use amn_core::id::EndpointId;
use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};

use super::arguments::{self, Paging, body, path};
use super::office::Office;
use super::show::{Page, Screen, more, rows, text};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an endpoint; its secret is shown this once.
    Create {
        #[arg(long)]
        url: String,
        /// Whose events. Default: the operator's own (halts, money of no tenant).
        #[arg(long, value_parser = arguments::tenant)]
        tenant: Option<String>,
        /// Only these, as payment.confirmed; may be repeated or separated by commas. Default: every event.
        #[arg(long, value_delimiter = ',')]
        event: Vec<String>,
    },
    /// List endpoints.
    List {
        #[command(flatten)]
        paging: Paging,
    },
    /// One endpoint.
    Show { endpoint: EndpointId },
    /// Stop sending; what comes waits and costs no attempt.
    Pause { endpoint: EndpointId },
    /// Go on sending, beginning with what waited.
    Resume { endpoint: EndpointId },
    /// Sign with a new secret, and for a while with the old one too.
    Rotate {
        endpoint: EndpointId,
        /// How long the old one signs as well, in seconds. Default: a day.
        #[arg(long)]
        overlap_seconds: Option<u32>,
    },
    /// Send endpoint.test to it.
    Test { endpoint: EndpointId },
    /// Forget an endpoint; what waits for it is dropped.
    Delete { endpoint: EndpointId },
}

impl Command {
    pub async fn run(self, office: &Office, screen: &Screen) -> Result<()> {
        let of = |id: EndpointId, what: &str| format!("/v1/webhook-endpoints/{id}{what}");
        let shown = match self {
            Self::List { paging } => {
                let found = office.get(&path("/v1/webhook-endpoints", Some(&paging), &[])).await?;
                screen.show(&found, |page| list(page, &found));
                return Ok(());
            }
            Self::Test { endpoint } => return test(endpoint, office, screen).await,
            Self::Delete { endpoint } => {
                let done = office.delete(&of(endpoint, "")).await?;
                screen.show(&done, |page| page.line(format!("{endpoint} is forgotten")));
                return Ok(());
            }
            Self::Create { url, tenant, event } => {
                let events = if event.is_empty() { Value::Null } else { event.into() };
                let asked = body([("url", url.into()), ("tenant", tenant.into()), ("events", events)]);
                office.post("/v1/webhook-endpoints", asked).await?
            }
            Self::Show { endpoint } => office.get(&of(endpoint, "")).await?,
            Self::Pause { endpoint } => office.post(&of(endpoint, "/pause"), json!({})).await?,
            Self::Resume { endpoint } => office.post(&of(endpoint, "/resume"), json!({})).await?,
            Self::Rotate { endpoint, overlap_seconds } => {
                let asked = body([("overlap_seconds", json!(overlap_seconds))]);
                office.post(&of(endpoint, "/rotate"), asked).await?
            }
        };
        screen.show(&shown, |page| whole(page, &shown));
        Ok(())
    }
}

/// Sends `endpoint.test`; also `deliveries test`.
pub async fn test(endpoint: EndpointId, office: &Office, screen: &Screen) -> Result<()> {
    let sent = office.post(&format!("/v1/webhook-endpoints/{endpoint}/test"), json!({})).await?;
    screen.show(&sent, |page| {
        let event = text(&sent["event"]);
        page.line(format!("{event} is on its way to {endpoint}; see amn-scanner deliveries show {event}"));
    });
    Ok(())
}

fn events(endpoint: &Value) -> String {
    let chosen = endpoint["events"].as_array().map(|all| all.iter().map(text).collect::<Vec<_>>().join(" "));
    chosen.unwrap_or_else(|| "all".to_owned())
}

fn whole(page: &mut Page, endpoint: &Value) {
    page.pairs(&[
        ("endpoint", text(&endpoint["id"])),
        ("status", text(&endpoint["status"])),
        ("paused", text(&endpoint["paused_reason"])),
        ("tenant", endpoint["tenant"].as_str().unwrap_or("(operator)").to_owned()),
        ("url", text(&endpoint["url"])),
        ("events", events(endpoint)),
        ("secret", text(&endpoint["secret"])),
        ("old secret signs until", text(&endpoint["previous_secret_until"])),
        ("created", text(&endpoint["created_at"])),
    ]);
    if !endpoint["secret"].is_null() {
        page.line("The secret is shown this once; the receiver checks signatures with it.");
    }
}

fn list(page: &mut Page, answer: &Value) {
    let table: Vec<_> = rows(answer)
        .iter()
        .map(|endpoint| {
            [
                text(&endpoint["id"]),
                text(&endpoint["status"]),
                endpoint["tenant"].as_str().unwrap_or("(operator)").to_owned(),
                events(endpoint),
                text(&endpoint["url"]),
            ]
        })
        .collect();
    page.table(["ENDPOINT", "STATUS", "TENANT", "EVENTS", "URL"], &table, "no endpoints");
    more(page, answer);
}
