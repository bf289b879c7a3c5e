//! Takes decisions: fence, load, `step`, write, commit. Nothing else changes what is known of a network.

use std::collections::BTreeMap;
use std::sync::Arc;

use amn_core::block::{Header, Height, NetworkId};
use amn_core::confirmation::Policy;
use amn_core::engine::{Command, Effect, Headers, Input, REMEMBERED_HEADERS_MAX, Refusal, Standing};
use amn_core::network::SharedFacts;
use amn_core::timestamp::Timestamp;
use sqlx::PgPool;

use super::row::{height, moment};
use super::{StoreError, load, write};
use crate::telemetry::metric;

/// How often a decision is taken anew because another came first, before the caller hears of it.
/// Each round means that somebody else made progress, so the bound is only met by a broken database.
const ROUNDS_MAX: u32 = 50;

/// What was decided and committed.
#[derive(Debug)]
pub struct Decision {
    pub effects: Vec<Effect>,
    pub standing: Standing,
    pub checkpoint: Vec<(String, Vec<u8>)>,
}

impl Decision {
    /// How many events were told.
    #[must_use]
    pub fn events(&self) -> usize {
        self.effects.iter().filter(|e| matches!(e, Effect::Announce(_))).count()
    }
}

/// What is known of a network between decisions: to look by, never to decide by.
#[derive(Debug)]
pub struct Known {
    pub standing: Standing,
    pub policy: Policy,
    pub checkpoint: Vec<(String, Vec<u8>)>,
}

/// Where decisions on one network are taken. Keeps its headers in memory between them: they are
/// exact for a `chain_revision`, and the fence tells when that has moved on.
#[derive(Debug)]
pub struct Desk {
    pool: PgPool,
    facts: SharedFacts,
    revision: u64,
    headers: Option<(i64, Arc<BTreeMap<Height, Header>>)>,
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Desk {
    #[must_use]
    pub fn new(pool: PgPool, facts: SharedFacts) -> Self {
        Self { pool, facts, revision: 0, headers: None }
    }

    #[must_use]
    pub fn facts(&self) -> &SharedFacts {
        &self.facts
    }

    /// Where the network stands, its policy and the checkpoint of its source, as of now.
    pub async fn standing(&mut self) -> Result<Known, StoreError> {
        let row = load::peek(&self.pool, &self.facts.id).await?;
        self.revision = row.standing.revision;
        Ok(Known { standing: row.standing, policy: row.policy, checkpoint: row.checkpoint })
    }

    /// The remembered headers, for walking back.
    pub async fn headers(&mut self) -> Result<Arc<BTreeMap<Height, Header>>, StoreError> {
        load::headers(&self.pool, &self.facts.id).await
    }

    /// Remembers a forgotten header again: the end of a stretch of ours from which an accepted branch parts. `false`:
    /// nothing is accepted, or we no longer stand on it. It is a decision, because what may be rewound to changes.
    pub async fn recall(&mut self, header: &Header) -> Result<bool, StoreError> {
        self.headers = None;
        let done = sqlx::query!(
            r#"
            with known as (
              update amn.network n
              set revision = n.revision + 1, chain_revision = n.chain_revision + 1
              where n.id = $1 and n.accept_fork is not null and n.halt_reason is null
                and n.tip_height - $2 between 1 and $6
                and exists (
                  select 1 from amn.segment s where s.network_id = n.id and s.to_height = $2 and s.tip_hash = $3::bytea
                )
              returning n.id
            )
            insert into amn.header (network_id, height, hash, parent, time)
            select known.id, $2, $3::bytea, $4::bytea, $5 from known
            on conflict (network_id, height) do nothing
            "#,
            self.facts.id.as_str(),
            height(header.at.height),
            header.at.hash.0.as_slice() as _,
            header.parent.0.as_slice() as _,
            moment(header.time),
            i64::try_from(REMEMBERED_HEADERS_MAX).unwrap_or(i64::MAX),
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Our block at a height, as far as the last decision here left it in memory: to look by.
    #[must_use]
    pub fn remembered(&self, at: Height) -> Option<Header> {
        let (_, headers) = self.headers.as_ref()?;
        headers.get(&at).copied()
    }

    /// Takes a decision and commits it; without effects nothing is written.
    pub async fn decide(&mut self, input: &Input, now: Timestamp) -> Result<Decision, CommandError> {
        let began = std::time::Instant::now();
        for _ in 0..ROUNDS_MAX {
            match self.round(input, now, None).await {
                Err(CommandError::Store(StoreError::Stale)) => {}
                other => {
                    let network = self.facts.id.to_string();
                    metrics::histogram!(metric::DECISION_TIME, "network" => network, "input" => word(input))
                        .record(began.elapsed());
                    return other;
                }
            }
        }
        Err(StoreError::Stale.into())
    }

    async fn round(&mut self, input: &Input, now: Timestamp, actor: Option<&str>) -> Result<Decision, CommandError> {
        let mut tx = self.pool.begin().await.map_err(StoreError::from)?;
        let row = self.fence(&mut tx).await?;
        // A command judges no chain: of all headers it needs one.
        let headers = match input {
            Input::Command(_) => Arc::default(),
            _ => self.cached(&mut tx, row.chain_revision).await?,
        };
        let mut state = load::bare(&row, self.facts.clone(), Headers::new(headers), now);
        if matches!(input, Input::Command(_)) {
            state.headers = load::settled_header(&mut tx, &state).await?;
        }
        load::fill(&mut tx, &mut state, input, row.listens).await?;
        let effects = amn_core::engine::step(&state, input)?;
        let silent = effects.iter().all(|e| matches!(e, Effect::Alarm(_)));
        if silent && actor.is_none() {
            tx.rollback().await.map_err(StoreError::from)?;
            self.revision = row.standing.revision.saturating_sub(1);
            if !matches!(input, Input::Command(_)) {
                self.headers = Some((row.chain_revision, state.headers.into_base()));
            }
            let standing = Standing { revision: self.revision, ..row.standing };
            return Ok(Decision { effects, standing, checkpoint: row.checkpoint });
        }
        for effect in &effects {
            state.apply(effect);
        }
        let checkpoint = effects
            .iter()
            .rev()
            .find_map(|e| if let Effect::Cover { checkpoint, .. } = e { Some(checkpoint.clone()) } else { None })
            .unwrap_or(row.checkpoint);
        write::write(&mut tx, &state, &effects, &checkpoint, row.listens).await?;
        if let Some(actor) = actor {
            audit(&mut tx, &self.facts.id, input, actor, now).await?;
        }
        let chain = effects.iter().any(|e| {
            matches!(e, Effect::Start { .. } | Effect::Advance { .. } | Effect::Rewind { .. } | Effect::Forget { .. })
        });
        self.headers = None;
        tx.commit().await.map_err(StoreError::from)?;
        self.revision = state.standing.revision;
        if !matches!(input, Input::Command(_)) {
            self.headers = Some((row.chain_revision + i64::from(chain), state.headers.into_base()));
        }
        Ok(Decision { effects, standing: state.standing, checkpoint })
    }

    /// Takes the fence. Where somebody else moved it, reads where it is and says stale.
    async fn fence(&mut self, tx: &mut sqlx::PgConnection) -> Result<load::Row, StoreError> {
        if let Some(row) = load::fence(tx, &self.facts.id, self.revision).await? {
            return Ok(row);
        }
        // Under the row's lock, so that the number read here is the one that is updated.
        let id = self.facts.id.as_str();
        let revision = sqlx::query_scalar!("select revision from amn.network where id = $1 for update", id)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(|| StoreError::row("network", "id", &self.facts.id, "there is no such row"))?;
        self.revision = u64::try_from(revision).unwrap_or_default();
        load::fence(tx, &self.facts.id, self.revision).await?.ok_or(StoreError::Stale)
    }

    async fn cached(
        &mut self,
        tx: &mut sqlx::PgConnection,
        chain_revision: i64,
    ) -> Result<Arc<BTreeMap<Height, Header>>, StoreError> {
        match self.headers.take() {
            Some((known, headers)) if known == chain_revision => Ok(headers),
            _ => load::headers(tx, &self.facts.id).await,
        }
    }
}

/// Carries out what a person or a backend asks for, and writes down who asked, in one transaction.
pub async fn command(
    pool: &PgPool,
    facts: SharedFacts,
    command: Command,
    actor: &str,
    now: Timestamp,
) -> Result<Decision, CommandError> {
    let mut desk = Desk::new(pool.clone(), facts);
    for _ in 0..ROUNDS_MAX {
        match desk.round(&Input::Command(command), now, Some(actor)).await {
            Err(CommandError::Store(StoreError::Stale)) => {}
            other => return other,
        }
    }
    Err(StoreError::Stale.into())
}

/// The word for an input in metrics.
const fn word(input: &Input) -> &'static str {
    match input {
        Input::Start(_) => "start",
        Input::Extend(_) => "extend",
        Input::Replace { .. } => "replace",
        Input::Finality { .. } => "finality",
        Input::Evidence { .. } => "evidence",
        Input::Found { .. } => "found",
        Input::Command(_) => "command",
        Input::Policy(_) => "policy",
        Input::Halt(_) => "halt",
    }
}

async fn audit(
    tx: &mut sqlx::PgConnection,
    network: &NetworkId,
    input: &Input,
    actor: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Input::Command(command) = input else { return Ok(()) };
    let (action, subject, detail) = match command {
        Command::Cancel { intent } => ("cancel", intent.to_string(), serde_json::json!({})),
        Command::Accept { intent } => ("accept", intent.to_string(), serde_json::json!({})),
        Command::Assign { deposit, intent } => ("assign", deposit.to_string(), serde_json::json!({ "intent": intent })),
        Command::Unassign { deposit } => ("unassign", deposit.to_string(), serde_json::json!({})),
        Command::Resume { accept_fork } => {
            ("resume", network.to_string(), serde_json::json!({ "accept_fork": accept_fork }))
        }
    };
    record_audit(tx, actor, action, &subject, &detail, now).await
}

/// One line in the log that only grows.
pub async fn record_audit(
    tx: &mut sqlx::PgConnection,
    actor: &str,
    action: &str,
    subject: &str,
    detail: &serde_json::Value,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into amn.audit (at, actor, action, subject, detail) values ($1, $2, $3, $4, $5)",
        moment(now),
        actor,
        action,
        subject,
        detail,
    )
    .execute(tx)
    .await?;
    Ok(())
}
