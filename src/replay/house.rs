//! The whole pipeline on a clock that is moved by hand: follower, source, engine, store and feed, with a tape or real
//! nodes behind it.
//!
//! Law: the clock moves only between two looks at the chain, so that whatever happens within a look happens at one time,
//! and the same tape gives the same events.

use std::collections::BTreeMap;
use std::path::{Component, Path};
use std::sync::Arc;
use std::time::Duration;

use amn_core::engine::Command;
use amn_core::id::IntentId;
use amn_core::source::SourceError;
use amn_core::timestamp::Timestamp;
use amn_rpc::{Road, VirtualTime};
use sqlx::PgPool;
use tokio::sync::Notify;

use super::marked::Marked;
use super::{Feed, ReplayError};
use crate::clock::{Ids as _, SeededIds, TestClock};
use crate::config::scenario::{Act, Asked, Scenario, Step};
use crate::config::{self, Environment};
use crate::follower::{Follower, Outcome, Parts};
use crate::networks::Served;
use crate::networks::source::Source;
use crate::outbox::sequencer::Sequencer;
use crate::store::contracts::listeners::{self, ListenError};
use crate::store::decide::{self, CommandError, Desk};
use crate::store::intents::{NewIntent, Wish};
use crate::store::outbox::feed;
use crate::store::{self, StoreError, thresholds};

/// How often the chain is asked who it is. A tape that answers once answers again; nodes that start need a moment.
const IDENTIFY_MAX: u32 = 50;

/// A network's file is some kilobytes.
const NETWORK_FILE_BYTES_MAX: u64 = 1 << 20;

/// Events read at a time.
const PAGE: u32 = 500;

/// Who the audit log says it was.
const ACTOR: &str = "replay";

/// A pipeline that is looked through step by step.
#[derive(Debug)]
pub struct House {
    pub pool: PgPool,
    pub clock: Arc<TestClock>,
    /// The same time, for the road to the nodes.
    time: VirtualTime,
    pub served: Served,
    scenario: Scenario,
    follower: Follower<Marked<Source>>,
    ids: SeededIds,
    intents: BTreeMap<String, IntentId>,
    /// How many of the scenario's intents and steps are done.
    asked: usize,
    acted: usize,
}

impl House {
    /// Builds it on an empty, migrated database. `folder` is where the scenario's own files lie.
    /// `clock` is moved by the house alone.
    pub async fn build(
        scenario: Scenario,
        folder: &Path,
        pool: PgPool,
        road: Road,
        clock: Arc<TestClock>,
    ) -> Result<Self, ReplayError> {
        amn_rpc::install_crypto();
        let settings = settled(&scenario.settings, folder)?;
        clock.set(scenario.begins);
        let time = VirtualTime::at(since_1970(scenario.begins));
        let mut served = Served::build(&scenario.network, &settings, Environment::Development, road, time.time())
            .map_err(|problem| ReplayError::Unusable(vec![problem]))?;
        served.listen(&scenario.listening).map_err(ReplayError::Unusable)?;
        store::network::register(&pool, served.family(), &served.facts, settings.balance_check).await?;
        let from = settings.start.map(|start| start.height);
        let listens = listeners::register(&pool, &served.facts.id, served.wishes(), from, scenario.begins).await;
        listens.map_err(|error| match error {
            ListenError::Store(error) => ReplayError::Store(error),
            error => ReplayError::Unusable(vec![error.to_string()]),
        })?;
        let ids = SeededIds::new(scenario.seed, scenario.begins);
        let follower = Follower::new(Parts {
            source: Marked::new(served.source(), served.tape.clone()),
            desk: Desk::new(pool.clone(), served.facts.clone()),
            pool: pool.clone(),
            clock: clock.clone(),
            bell: Arc::new(Notify::new()),
            told: Arc::new(Notify::new()),
            holder: store::uuid(ids.next()),
            poll: served.poll(),
            raw: served.raw(),
            start: settings.start,
            balance_check: settings.balance_check,
        });
        let intents = BTreeMap::new();
        Ok(Self { pool, clock, time, served, scenario, follower, ids, intents, asked: 0, acted: 0 })
    }

    /// Asks the chain who it is, as the daemon does before it follows.
    pub async fn identify(&self) -> Result<(), ReplayError> {
        let mut last = None;
        for _ in 0..IDENTIFY_MAX {
            match self.served.identify().await {
                Ok(_) => return Ok(()),
                Err(why) => last = Some(why),
            }
        }
        let why = last.unwrap_or_else(|| SourceError::Unavailable("nobody was asked".to_owned()));
        Err(ReplayError::Unusable(vec![format!("nobody says who the network {} is: {why}", self.scenario.network)]))
    }

    /// The scenario, with all that was asked and done meanwhile.
    #[must_use]
    pub const fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Milliseconds since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> u64 {
        use crate::clock::Clock as _;
        u64::try_from(self.clock.now().millis().saturating_sub(self.scenario.begins.millis())).unwrap_or(0)
    }

    /// Moves the clock to this time, doing on the way what the scenario says; never back. Answers what was refused.
    pub async fn at(&mut self, ms: u64) -> Result<Vec<String>, ReplayError> {
        let mut refused = Vec::new();
        // Ends when nothing is due any more.
        loop {
            let ask = self.scenario.intents.get(self.asked).map(|asked| asked.at_ms).filter(|at| *at <= ms);
            let act = self.scenario.timeline.get(self.acted).map(|step| step.at_ms).filter(|at| *at <= ms);
            match (ask, act) {
                (None, None) => break,
                (Some(ask), act) if act.is_none_or(|act| ask <= act) => {
                    self.clock_to(ask);
                    let asked = self.scenario.intents[self.asked].clone();
                    self.asked += 1;
                    self.create(&asked).await?;
                }
                (_, act) => {
                    self.clock_to(act.unwrap_or(ms));
                    let step = self.scenario.timeline[self.acted].clone();
                    self.acted += 1;
                    if let Some(why) = self.carry_out(&step).await? {
                        refused.push(format!("{}: was refused: {why}", step.place));
                    }
                }
            }
        }
        self.clock_to(ms);
        Ok(refused)
    }

    /// Something new is asked for now, and becomes part of the scenario.
    pub async fn ask(&mut self, asked: Asked) -> Result<IntentId, ReplayError> {
        let asked = Asked { at_ms: self.moment_later(), ..asked };
        let id = self.create(&asked).await?;
        self.scenario.intents.push(asked);
        self.asked = self.scenario.intents.len();
        Ok(id)
    }

    /// Something is done now, and becomes part of the scenario. Answers why it was refused, if it was.
    pub async fn act(&mut self, act: Act) -> Result<Option<String>, ReplayError> {
        let step = Step { at_ms: self.moment_later(), act, place: format!("timeline[{}]", self.acted) };
        let refused = self.carry_out(&step).await?;
        self.scenario.timeline.push(step);
        self.acted = self.scenario.timeline.len();
        Ok(refused)
    }

    /// What is asked after a look must not be done before that look when it is played: it is a millisecond later.
    fn moment_later(&self) -> u64 {
        let at = self.elapsed().saturating_add(1);
        self.clock_to(at);
        at
    }

    /// One look at the chain.
    pub async fn look(&mut self) -> Result<Outcome, ReplayError> {
        let outcome = self.follower.round().await?;
        // Numbered look by look: the feed's order is the order of commits.
        Sequencer::new(self.pool.clone(), Arc::new(Notify::new())).run_once().await.map_err(StoreError::from)?;
        Ok(outcome)
    }

    /// The height we stand at.
    pub async fn tip(&self) -> Result<Option<i64>, ReplayError> {
        let tip = sqlx::query_scalar("select tip_height from amn.network where id = $1")
            .bind(self.scenario.network.as_str())
            .fetch_one(&self.pool)
            .await;
        Ok(tip.map_err(StoreError::from)?)
    }

    /// Everything that was told, feed by feed: the operator's own first, then the tenants by name.
    pub async fn feeds(&self) -> Result<Vec<Feed>, ReplayError> {
        let tenants: Vec<String> = sqlx::query_scalar("select id from amn.tenant order by id collate \"C\"")
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::from)?;
        let mut feeds = Vec::new();
        for tenant in std::iter::once(None).chain(tenants.into_iter().map(Some)) {
            let mut bodies = Vec::new();
            let mut after = 0;
            // Ends with the page that is not full.
            loop {
                let page = feed::page(&self.pool, tenant.as_deref(), after, PAGE).await.map_err(StoreError::from)?;
                let full = page.len() == PAGE as usize;
                after = page.last().map_or(after, |event| event.number);
                bodies.extend(page.into_iter().map(|event| event.body));
                if !full {
                    break;
                }
            }
            if !bodies.is_empty() {
                feeds.push(Feed { tenant, bodies });
            }
        }
        Ok(feeds)
    }

    /// The id of an intent of the scenario, once it was created.
    #[must_use]
    pub fn intent(&self, name: &str) -> Option<IntentId> {
        self.intents.get(name).copied()
    }

    fn clock_to(&self, ms: u64) {
        let at = self.scenario.begins.millis().saturating_add(i64::try_from(ms).unwrap_or(i64::MAX));
        let at = Timestamp::from_millis(at.max(self.scenario.begins.millis()));
        self.clock.set(at);
        self.time.advance_to(since_1970(at));
    }

    async fn create(&mut self, asked: &Asked) -> Result<IntentId, ReplayError> {
        use crate::clock::Clock as _;
        let wrong = |what: String| ReplayError::Unusable(vec![format!("{}: {what}", asked.place)]);
        let facts = &self.served.facts;
        let named = |asset: &&amn_core::network::Asset| {
            asset.symbol == asked.asset || asset.id.as_str().eq_ignore_ascii_case(&asked.asset)
        };
        let asset = facts.assets.iter().find(named);
        let asset = asset.ok_or_else(|| wrong(format!("asset: {} lists no {:?}", facts.id, asked.asset)))?;
        let place = self.served.parse_address(&asked.address);
        let (address, within) = place.map_err(|why| wrong(format!("address: {why}")))?;
        let reference = Wish::read(asked.reference.as_deref(), |text| self.served.parse_reference(text));
        let reference = match (reference.map_err(|why| wrong(format!("reference: {why}")))?, within) {
            (Wish::Usual, Some(within)) => Wish::This(within),
            (reference, _) => reference,
        };
        // Drawn in any case, so that one given id does not move all others.
        let drawn = IntentId(self.ids.next());
        let new = NewIntent {
            id: asked.id.unwrap_or(drawn),
            tenant: asked.tenant.clone(),
            network: facts.id.clone(),
            asset: asset.id.clone(),
            due: asked.due,
            tolerance: asked.tolerance,
            address,
            reference,
            expires_at: asked.expires_at,
            require: asked.require,
            metadata: serde_json::Value::Object(asked.metadata.clone()),
            since_height: asked.since_height,
            allow_reuse: asked.allow_reuse,
            derivation_index: None,
            created_at: self.clock.now(),
        };
        let mut db = self.pool.acquire().await.map_err(StoreError::from)?;
        store::intents::create(&mut db, &new).await.map_err(|error| wrong(error.to_string()))?;
        self.intents.insert(asked.name.clone(), new.id);
        Ok(new.id)
    }

    /// Does what a person or the backend does; why it was refused, if it was.
    async fn carry_out(&self, step: &Step) -> Result<Option<String>, ReplayError> {
        use crate::clock::Clock as _;
        let now = self.clock.now();
        let intent = |name: &str| {
            let unknown = || ReplayError::Unusable(vec![format!("{}: intent: {name:?} is not there yet", step.place)]);
            self.intents.get(name).copied().ok_or_else(unknown)
        };
        let command = match &step.act {
            Act::Cancel { intent: name } => Command::Cancel { intent: intent(name)? },
            Act::Accept { intent: name } => Command::Accept { intent: intent(name)? },
            Act::Assign { deposit, intent: name } => Command::Assign { deposit: *deposit, intent: intent(name)? },
            Act::Unassign { deposit } => Command::Unassign { deposit: *deposit },
            Act::Resume { accept_fork } => Command::Resume { accept_fork: *accept_fork },
            Act::Thresholds(policy) => {
                let network = self.served.facts.id.as_str();
                let put = thresholds::put(&self.pool, network, policy.as_ref(), ACTOR, now).await;
                put.map_err(StoreError::from)?;
                return Ok(None);
            }
        };
        match decide::command(&self.pool, self.served.facts.clone(), command, ACTOR, now).await {
            Ok(_) => Ok(None),
            Err(CommandError::Refused(why)) => Ok(Some(why.to_string())),
            Err(CommandError::Store(error)) => Err(error.into()),
        }
    }
}

fn since_1970(at: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(at.millis()).unwrap_or(0))
}

/// The network's settings with its file found in the scenario's folder, and nowhere else.
fn settled(settings: &config::Network, folder: &Path) -> Result<config::Network, ReplayError> {
    let mut settings = settings.clone();
    if let Some(file) = &settings.file {
        let wrong = |what: &str| ReplayError::Unusable(vec![format!("{}: file: {what}", settings.place)]);
        if file.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(wrong("must lie in the scenario's own folder"));
        }
        let path = folder.join(file);
        let metadata = std::fs::metadata(&path).map_err(|error| wrong(&error.to_string()))?;
        if !metadata.is_file() || metadata.len() > NETWORK_FILE_BYTES_MAX {
            return Err(wrong("must be a plain file of at most a megabyte"));
        }
        settings.file = Some(path);
    }
    Ok(settings)
}
