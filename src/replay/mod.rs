//! Plays a recorded scenario through the whole pipeline on a virtual clock, and says how what was told differs from
//! what was expected.
//!
//! Theory of operation. A scenario is a folder: `scenario.toml` says which network was watched, what was expected of it
//! and what was asked meanwhile ([`crate::config::scenario`]); `exchanges.jsonl` is the tape of every exchange with the
//! nodes ([`amn_rpc::tape`]); `expected-events.json` is what must be told ([`expectation`]). The tape also says when the
//! follower looked at the chain. A replay moves its clock to each of these times, does what the timeline says is due,
//! and looks once ([`house`]). Nothing else moves the clock, every id grows from the scenario's seed or from content,
//! and each question gets the answers it got: so the same folder gives the same bytes.
//!
//! [`record`] makes such a folder from real nodes.

mod backend;
pub mod expectation;
mod ground;
pub mod house;
pub mod marked;
pub mod record;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use amn_rpc::replay::Played;
use amn_rpc::{Player, Road, tape};
use serde::Serialize;
use serde_json::{Value, json};

use crate::clock::TestClock;
use crate::config::scenario::Scenario;
use crate::follower::Outcome;
use crate::store::StoreError;

pub use backend::{Delivered, Webhook};
pub use expectation::{Difference, Expectation};
pub use ground::{GroundError, Server};
use house::House;

/// The scenario's own file within its folder.
pub const SCENARIO: &str = "scenario.toml";

/// Looks after the tape's last one, while the follower says that it got on.
const LOOKS_AFTER_MAX: u32 = 1_000;

/// A replay that waits for real time sleeps no longer than this at a time, whatever the recording did.
const SLEEP_MAX: Duration = Duration::from_hours(1);

/// The events of one receiver, in the order of its feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// `None`: the operator's own.
    pub tenant: Option<String>,
    /// The bytes as they are signed and sent.
    pub bodies: Vec<Vec<u8>>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The scenario cannot be used as it stands: each problem with its file and line.
    #[error("{}", .0.join("\n"))]
    Unusable(Vec<String>),
    /// There is no database to replay on.
    #[error(transparent)]
    Ground(#[from] GroundError),
    /// The database failed on the way.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a replay came to.
#[derive(Debug, Clone)]
pub struct Report {
    pub title: String,
    pub feeds: Vec<Feed>,
    /// Empty: all is as expected.
    pub differences: Vec<Difference>,
    /// How the tape was used.
    pub played: Played,
    pub looks: u64,
    /// What the follower's last look came to.
    pub ended: String,
    pub delivered: Option<Delivered>,
    /// Whether the expectation was written by this replay.
    pub blessed: bool,
}

impl Report {
    /// Whether everything that was told is what was expected.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        self.differences.is_empty()
    }

    /// The events of all feeds, as JSON.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        let bodies = self.feeds.iter().flat_map(|feed| &feed.bodies);
        bodies.map(|body| serde_json::from_slice(body).unwrap_or_default()).collect()
    }

    #[must_use]
    pub fn json(&self) -> Value {
        #[derive(Serialize)]
        struct Told<'a> {
            events: usize,
            tenant: Option<&'a str>,
        }
        let feeds = self.feeds.iter().map(|f| Told { events: f.bodies.len(), tenant: f.tenant.as_deref() });
        json!({
            "as_expected": self.is_as_expected(),
            "blessed": self.blessed,
            "delivered": self.delivered,
            "differences": self.differences.iter().map(|difference| {
                let mut shown = serde_json::to_value(difference).unwrap_or_default();
                shown["says"] = difference.to_string().into();
                shown
            }).collect::<Vec<_>>(),
            "ended": self.ended,
            "feeds": feeds.collect::<Vec<_>>(),
            "looks": self.looks,
            "tape": self.played,
            "title": self.title,
        })
    }
}

/// A replay, as it is wished for.
#[derive(Debug, Clone)]
pub struct Replay {
    folder: PathBuf,
    webhook: Option<Webhook>,
    speed: Option<u32>,
    server: Server,
    bless: bool,
}

impl Replay {
    /// A replay of the scenario in this folder, on the embedded Postgres, as fast as it goes, telling nobody.
    #[must_use]
    pub fn scenario(folder: impl Into<PathBuf>) -> Self {
        let server = Server::Embedded(PathBuf::from(".amn/replay-postgres"));
        Self { folder: folder.into(), webhook: None, speed: None, server, bless: false }
    }

    /// Tells the events to this webhook as they happen.
    #[must_use]
    pub fn webhook(mut self, webhook: Webhook) -> Self {
        self.webhook = Some(webhook);
        self
    }

    /// So many times as fast as it happened; otherwise as fast as it goes.
    #[must_use]
    pub const fn speed(mut self, times: u32) -> Self {
        self.speed = Some(times);
        self
    }

    /// Where its database is made.
    #[must_use]
    pub fn server(mut self, server: Server) -> Self {
        self.server = server;
        self
    }

    /// What is told becomes what is expected.
    #[must_use]
    pub const fn bless(mut self) -> Self {
        self.bless = true;
        self
    }

    /// Plays it.
    pub async fn run(self) -> Result<Report, ReplayError> {
        let scenario = load(&self.folder)?;
        let expectation = if self.bless { None } else { Expectation::load(&self.folder)? };
        if self.bless {
            tape::reseal(&self.folder).map_err(|error| ReplayError::Unusable(vec![error.to_string()]))?;
        }
        let player = Player::open(&self.folder).map_err(|error| ReplayError::Unusable(vec![error.to_string()]))?;
        let ground = ground::Ground::open(&self.server).await?;
        // In a box: the whole pipeline is in there.
        let played = Box::pin(self.play(scenario, Arc::new(player), &ground, expectation.as_ref())).await;
        ground.close().await;
        played
    }

    async fn play(
        &self,
        scenario: Scenario,
        player: Arc<Player>,
        ground: &ground::Ground,
        expectation: Option<&Expectation>,
    ) -> Result<Report, ReplayError> {
        let files = sealed_files(&self.folder, &scenario);
        let title = scenario.title.clone();
        let tenants: BTreeSet<String> = scenario.intents.iter().map(|intent| intent.tenant.clone()).collect();
        let tenants: Vec<String> = tenants.into_iter().collect();
        let road = Road::Played(player.clone());
        let clock = Arc::new(TestClock::at(scenario.begins));
        let mut house = House::build(scenario, &self.folder, ground.pool.clone(), road, clock).await?;
        let mut backend = match &self.webhook {
            Some(webhook) => Some(backend::Backend::open(&ground.pool, webhook, &tenants, &house.clock).await?),
            None => None,
        };
        let mut run = Run { differences: Vec::new(), looks: 0, ended: Outcome::Idle };
        house.identify().await?;
        let mut before = 0;
        for at in player.looks().iter().copied() {
            self.wait(at.saturating_sub(before)).await;
            before = at;
            run.look(&mut house, &mut backend, at).await?;
        }
        // A recording ends wherever it ends: what had begun goes on while it gets on.
        for _ in 0..LOOKS_AFTER_MAX {
            if run.ended != Outcome::Advanced {
                break;
            }
            before = before.saturating_add(u64::try_from(house.served.poll().as_millis()).unwrap_or(1));
            run.look(&mut house, &mut backend, before).await?;
        }
        // What the timeline says after the last look.
        let last = house.scenario().timeline.last().map_or(before, |step| step.at_ms.max(before));
        if last > before {
            run.look(&mut house, &mut backend, last).await?;
        }
        if let Some(backend) = &backend {
            let given_up = backend.given_up().await?.into_iter();
            run.differences.extend(given_up.map(|what| Difference::Undelivered { what }));
        }
        let feeds = house.feeds().await?;
        let mut differences = altered(&player, &self.folder);
        differences.append(&mut run.differences);
        if self.bless {
            Expectation::of(&feeds, &files)?.write(&self.folder)?;
        } else {
            match expectation {
                Some(expectation) => differences.extend(expectation.differences(&feeds, &files)?),
                None => differences.push(Difference::NotBlessed),
            }
        }
        Ok(Report {
            title,
            feeds,
            differences,
            played: player.played(),
            looks: run.looks,
            ended: worded(&run.ended),
            delivered: backend.map(|backend| backend.done),
            blessed: self.bless,
        })
    }

    async fn wait(&self, virtual_ms: u64) {
        if let Some(times) = self.speed {
            let real = Duration::from_millis(virtual_ms / u64::from(times.max(1)));
            tokio::time::sleep(real.min(SLEEP_MAX)).await;
        }
    }
}

/// What has come of a replay so far.
struct Run {
    differences: Vec<Difference>,
    looks: u64,
    ended: Outcome,
}

impl Run {
    async fn look(
        &mut self,
        house: &mut House,
        backend: &mut Option<backend::Backend>,
        at: u64,
    ) -> Result<(), ReplayError> {
        let refused = house.at(at).await?;
        self.differences.extend(refused.into_iter().map(|what| Difference::Refused { what }));
        self.ended = house.look().await?;
        self.looks += 1;
        if let Some(backend) = backend
            && let Some(what) = backend.tell(&house.clock).await?
        {
            self.differences.push(Difference::Undelivered { what });
        }
        Ok(())
    }
}

/// Reads a scenario's own file.
pub fn load(folder: &Path) -> Result<Scenario, ReplayError> {
    // No variable of this machine becomes part of a replay.
    Scenario::load(&folder.join(SCENARIO), std::collections::BTreeMap::new())
        .map_err(|errors| ReplayError::Unusable(errors.lines().to_vec()))
}

/// The files that make a replay what it is; the tape is sealed line by line.
#[must_use]
pub fn sealed_files(folder: &Path, scenario: &Scenario) -> Vec<PathBuf> {
    let network = scenario.settings.file.as_ref().map(|file| folder.join(file));
    std::iter::once(folder.join(SCENARIO)).chain(network).collect()
}

fn altered(player: &Player, folder: &Path) -> Vec<Difference> {
    let file = folder.join(tape::EXCHANGES).display().to_string();
    let mut found: Vec<_> = player
        .altered()
        .iter()
        .map(|line| Difference::Altered {
            file: format!("{file}:{line}"),
            what: "is not as it was recorded (its sum does not fit)".to_owned(),
        })
        .collect();
    if !player.ended() {
        found.push(Difference::Altered { file, what: "has no end: the recording was cut off".to_owned() });
    }
    found
}

fn worded(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Advanced => "advancing".to_owned(),
        Outcome::Idle => "idle".to_owned(),
        Outcome::Standby => "standby".to_owned(),
        Outcome::Halted => "halted".to_owned(),
        Outcome::Waiting(why) => format!("waiting: {why}"),
    }
}
