//! One network in memory and on Postgres at once: each input is decided by both, and both must come to the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use amn_core::block::{Address, Height};
use amn_core::confirmation::Policy;
use amn_core::contract::Listener;
use amn_core::engine::{Effect, Input, Refusal, State, step};
use amn_core::event::Event;
use amn_core::id::IntentId;
use amn_core::intent::Intent;
use amn_core::network::{Facts, SharedFacts};
use amn_core::source::{Coverage, Segment, WatchVersion};
use amn_scanner::store;
use amn_scanner::store::contracts::listeners::{self, Wish};
use amn_scanner::store::decide::{CommandError, Decision, Desk};
use sqlx::PgPool;

use super::rows;

/// What both must have recorded beside the state itself.
#[derive(Default)]
pub struct Record {
    /// How each height above the first was read last.
    pub covered: BTreeMap<Height, (Coverage, WatchVersion)>,
    pub start: Option<Height>,
    pub reorgs: Vec<serde_json::Value>,
    pub observations: Vec<serde_json::Value>,
    /// Events of this decision, and the names of those before.
    pub news: Vec<Event>,
    pub read: Vec<uuid::Uuid>,
}

/// The two, and whatever decides between them.
pub struct Held {
    pool: PgPool,
    facts: SharedFacts,
    file: Policy,
    /// Two daemons take turns; now and then one starts anew and knows nothing.
    desks: [Desk; 2],
    chance: u64,
    revision: u64,
    /// The database numbers every watch, memory every set of watches: the last number of each set.
    versions: BTreeMap<WatchVersion, WatchVersion>,
    known: BTreeSet<IntentId>,
    record: Record,
}

/// Who listens in memory, as a configuration would say it.
fn wish(contract: &Address, listener: &Listener) -> Wish {
    Wish {
        contract: contract.clone(),
        patterns: listener.patterns.clone(),
        tenant: listener.tenant.clone(),
        since: (listener.since > Height(0)).then_some(listener.since),
        place: "in memory".to_owned(),
    }
}

/// What came out of a hold: nothing, or where the two differ.
pub type Verdict = Result<(), String>;

impl Held {
    pub async fn new(pool: &PgPool, state: &State, seed: u64) -> Self {
        let file = state.policy.clone();
        let facts: SharedFacts = Arc::new(Facts { policy: file.clone(), ..(*state.facts).clone() });
        store::network::register(pool, "fake", &facts, None).await.expect("a new network is registered");
        let wishes: Vec<Wish> =
            state.listeners.iter().flat_map(|(contract, all)| all.iter().map(|l| wish(contract, l))).collect();
        let listening = listeners::register(pool, &facts.id, &wishes, Some(Height(0)), state.now).await;
        listening.expect("whoever listens in memory is registered");
        let desk = || Desk::new(pool.clone(), facts.clone());
        Self {
            pool: pool.clone(),
            file,
            desks: [desk(), desk()],
            facts,
            chance: seed,
            revision: 0,
            versions: BTreeMap::new(),
            known: BTreeSet::new(),
            record: Record::default(),
        }
    }

    /// Both decide, and both stand alike afterwards.
    pub async fn decide(&mut self, before: &State, input: &Input) -> Verdict {
        self.make_intents(before).await?;
        let mut memory = before.clone();
        for intent in memory.intents.values_mut() {
            intent.watch = self.numbered(intent.watch);
        }
        let input = &self.as_numbered(input);
        if let Input::Policy(policy) = input
            && memory.standing.halted.is_none()
        {
            // A policy is an operator's row first, and then what follows from it.
            memory.policy = policy.clone();
            let row = (*policy != self.file).then_some(policy);
            let put = store::thresholds::put(&self.pool, self.facts.id.as_str(), row, "test", memory.now);
            put.await.map_err(|e| e.to_string())?;
            self.revision += 1;
        }
        memory.standing.revision = self.revision + 1;
        let effects = step(&memory, input).map_err(|why| format!("refused in memory: {why}"))?;
        let decision = self.ask(input, &memory).await.map_err(|why| format!("on Postgres: {why}"))?;
        if decision.effects != effects {
            return Err(differ("effects", &decision.effects, &effects));
        }
        let silent = effects.iter().all(|e| matches!(e, Effect::Alarm(_))) && !matches!(input, Input::Command(_));
        self.revision += u64::from(!silent);
        for effect in &effects {
            memory.apply(effect);
            self.note(effect);
        }
        memory.standing.revision = self.revision;
        if decision.standing != memory.standing {
            return Err(differ("standing", &[decision.standing], &[&memory.standing]));
        }
        rows::compare(&self.pool, &memory, &mut self.record).await
    }

    /// Both refuse a command, with the same words.
    pub async fn refuse(&mut self, before: &State, input: &Input, why: &Refusal) -> Verdict {
        self.make_intents(before).await?;
        match self.ask(input, before).await {
            Err(CommandError::Refused(words)) if words == *why => Ok(()),
            other => Err(format!("memory refuses {input:?} with {why:?}, Postgres says {other:?}")),
        }
    }

    async fn ask(&mut self, input: &Input, memory: &State) -> Result<Decision, CommandError> {
        if let Input::Command(command) = input {
            return store::decide::command(&self.pool, self.facts.clone(), *command, "test", memory.now).await;
        }
        // Any sequence that visits both and starts anew at times would do.
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let desk = &mut self.desks[usize::from(self.chance >> 40 & 1 == 1)];
        if (self.chance >> 50).is_multiple_of(8) {
            *desk = Desk::new(self.pool.clone(), self.facts.clone());
        }
        desk.decide(input, memory.now).await
    }

    fn note(&mut self, effect: &Effect) {
        let record = &mut self.record;
        match effect {
            Effect::Start { at } => record.start = Some(at.at.height),
            Effect::Cover { parent, tip, coverage, watched, .. } => {
                for height in parent.height.next().0..=tip.at.height.0 {
                    record.covered.insert(Height(height), (*coverage, *watched));
                }
            }
            Effect::Rewind { to, from, onto, .. } => {
                record.covered.retain(|height, _| *height <= to.at.height);
                record.reorgs.push(rows::reorg(to.at, from.at, *onto));
            }
            Effect::Observe { at, observation } if observation.kind != "dust" => {
                record.observations.push(rows::observation(*at, observation));
            }
            Effect::Announce(event) => record.news.push(event.clone()),
            _ => {}
        }
    }

    /// What memory has, the database has too, in the order in which it came.
    async fn make_intents(&mut self, state: &State) -> Verdict {
        let mut new: Vec<&Intent> = state.intents.values().filter(|i| !self.known.contains(&i.id)).collect();
        new.sort_by_key(|i| (i.watch, i.id));
        for intent in new {
            let terms = &intent.terms;
            let version: i64 = sqlx::query_scalar(
                "with made as (
                  select amn.create_intent($1, $2, $3, $4::numeric, $5, $6, $7::numeric, $8, $9, id => $10) as id
                )
                select n.watch_version + 1 from made, amn.network n where n.id = $2",
            )
            .bind(&terms.tenant)
            .bind(state.facts.id.as_str())
            .bind(terms.asset.as_str())
            .bind(terms.due.to_string())
            .bind(terms.address.as_str())
            .bind(terms.reference.as_ref().map(|r| r.as_str().to_owned()))
            .bind(terms.tolerance.to_string())
            .bind(terms.expires_at.map(store::row::moment))
            .bind(serde_json::to_value(terms.require).map_err(|e| e.to_string())?)
            .bind(store::uuid(intent.id.0))
            .fetch_one(&self.pool)
            .await
            .map_err(|e| format!("{}: {e}", intent.id))?;
            self.versions.insert(intent.watch, WatchVersion(version.unsigned_abs()));
            self.known.insert(intent.id);
        }
        Ok(())
    }

    fn numbered(&self, set: WatchVersion) -> WatchVersion {
        self.versions.range(..=set).next_back().map_or(WatchVersion(0), |(_, number)| *number)
    }

    fn as_numbered(&self, input: &Input) -> Input {
        let numbered = |by: &Segment| Segment { watched: self.numbered(by.watched), ..by.clone() };
        match input {
            Input::Extend(segment) => Input::Extend(numbered(segment)),
            Input::Replace { fork, by } => Input::Replace { fork: *fork, by: numbered(by) },
            other => other.clone(),
        }
    }
}

/// Where the two differ; of lists, what only one of them has.
pub fn differ(what: &str, postgres: &[impl std::fmt::Debug], memory: &[impl std::fmt::Debug]) -> String {
    let (postgres, memory): (Vec<String>, Vec<String>) = (
        postgres.iter().map(|row| format!("{row:?}")).collect(),
        memory.iter().map(|row| format!("{row:?}")).collect(),
    );
    let only = |these: &[String], those: &[String]| {
        let rest: Vec<String> =
            these.iter().filter(|row| !those.contains(row)).map(|row| format!("\n    {row}")).collect();
        if rest.is_empty() { "\n    the same, in another order or number".to_owned() } else { rest.concat() }
    };
    format!(
        "{what} differ\n  only on Postgres:{}\n  only in memory:{}",
        only(&postgres, &memory),
        only(&memory, &postgres)
    )
}
