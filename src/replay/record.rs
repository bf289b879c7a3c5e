//! Makes a scenario's folder from what happens with real nodes: of a scenario's own run ([`run`]), or of a network of
//! the running daemon ([`Recording`]).
//!
//! A recorded run is looked through on a clock that moves only between looks, so that it replays to the byte. A daemon's
//! clock does not stop: its recording replays to the same story, which a person looks at and blesses.

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use amn_core::block::{BlockRef, Height, NetworkId};
use amn_core::confirmation::{Policy, Require};
use amn_core::id::IntentId;
use amn_core::timestamp::Timestamp;
use amn_rpc::record::Recorded;
use amn_rpc::{Recorder, Road, tape};
use serde_json::Value;
use sqlx::PgPool;
use time::OffsetDateTime;
use tracing::{info, warn};
use uuid::Uuid;

use super::house::House;
use super::{Expectation, Feed, ReplayError, SCENARIO, Server, ground, sealed_files};
use crate::clock::{Clock, SystemClock, TestClock};
use crate::config;
use crate::config::scenario::{Act, Asked, Scenario, Step};
use crate::follower::Outcome;
use crate::networks::Served;
use crate::store::intents::Wish;
use crate::store::row::timestamp;
use crate::store::{StoreError, moment};

/// A day's intents of a busy shop; a longer recording is no story any more.
const ENTRIES_MAX: i64 = 10_000;

/// When a recorded run ends.
#[derive(Debug, Clone, Copy, Default)]
pub struct Until {
    pub time: Option<Duration>,
    pub blocks: Option<u64>,
}

/// What was recorded.
#[derive(Debug)]
pub struct Outcomes {
    pub recorded: Recorded,
    pub feeds: Vec<Feed>,
    /// Steps of the timeline that were refused.
    pub refused: Vec<String>,
    pub tip: Option<i64>,
}

/// Runs a scenario against its real nodes, on a database of its own, and writes its folder. Ends with `until`, with
/// `stop`, or where the tape is full.
pub async fn run(
    scenario: Scenario,
    beside: &Path,
    into: &Path,
    server: &Server,
    until: Until,
    stop: impl Future<Output = ()>,
) -> Result<Outcomes, ReplayError> {
    let unusable = |what: String| ReplayError::Unusable(vec![what]);
    let begins = SystemClock.now();
    let scenario = Scenario { begins, recorded: provenance(&scenario.settings, begins), ..scenario };
    let clock = Arc::new(TestClock::at(begins));
    let recorder = begin(into, begins, clock.clone()).map_err(unusable)?;
    let scenario = with_its_file(scenario, beside, into)?;
    let ground = ground::Ground::open(server).await?;
    let recorded = async {
        let road = Road::Recorded(recorder.clone());
        let mut house = House::build(scenario, into, ground.pool.clone(), road, clock).await?;
        house.identify().await?;
        let refused = look_until(&mut house, &recorder, until, stop).await?;
        let done = recorder.finish().map_err(|error| unusable(format!("{}: {error}", into.display())))?;
        let feeds = house.feeds().await?;
        write(into, house.scenario())?;
        Expectation::of(&feeds, &sealed_files(into, house.scenario()))?.write(into)?;
        Ok(Outcomes { recorded: done, feeds, refused, tip: house.tip().await? })
    }
    .await;
    ground.close().await;
    recorded
}

async fn look_until(
    house: &mut House,
    recorder: &Recorder,
    until: Until,
    stop: impl Future<Output = ()>,
) -> Result<Vec<String>, ReplayError> {
    tokio::pin!(stop);
    let (began, mut first, mut refused) = (Instant::now(), None, Vec::new());
    // Ends when it was long enough, when it is told to, and where there is no room for more.
    loop {
        let elapsed = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        refused.extend(house.at(elapsed).await?);
        let outcome = house.look().await?;
        let tip = house.tip().await?;
        first = first.or(tip);
        let blocks = tip.zip(first).map_or(0, |(tip, first)| tip.abs_diff(first));
        let enough = until.blocks.is_some_and(|most| blocks >= most) && outcome != Outcome::Advanced;
        if enough || until.time.is_some_and(|time| began.elapsed() >= time) || recorder.recorded().cut {
            return Ok(refused);
        }
        let pause = if outcome == Outcome::Advanced { Duration::ZERO } else { house.served.poll() };
        tokio::select! {
            biased;
            () = &mut stop => return Ok(refused),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// The network's own file becomes part of the folder.
fn with_its_file(mut scenario: Scenario, beside: &Path, into: &Path) -> Result<Scenario, ReplayError> {
    if let Some(file) = &scenario.settings.file {
        let from = beside.join(file);
        copy_file(&from, into).map_err(|error| ReplayError::Unusable(vec![format!("{}: {error}", from.display())]))?;
        scenario.settings.file = Some(PathBuf::from(NETWORK_FILE));
    }
    Ok(scenario)
}

/// What a network's own file is called within a scenario's folder.
const NETWORK_FILE: &str = "network.toml";

fn copy_file(from: &Path, into: &Path) -> std::io::Result<()> {
    fs::copy(from, into.join(NETWORK_FILE)).map(|_| ())
}

fn begin(folder: &Path, begins: Timestamp, clock: Arc<dyn Clock>) -> Result<Arc<Recorder>, String> {
    let elapsed = move || u64::try_from(clock.now().millis().saturating_sub(begins.millis())).unwrap_or(0);
    Recorder::begin(folder, tape::TAPE_BYTES_MAX, elapsed).map_err(|error| {
        let hint =
            if error.kind() == std::io::ErrorKind::AlreadyExists { " (a recording needs a new folder)" } else { "" };
        format!("{}: {error}{hint}", folder.display())
    })
}

fn write(folder: &Path, scenario: &Scenario) -> Result<(), ReplayError> {
    let path = folder.join(SCENARIO);
    let failed = |error| ReplayError::Unusable(vec![format!("{}: {error}", path.display())]);
    fs::write(&path, scenario.to_string()).map_err(failed)
}

/// Who was asked, as far as it may be told, and when.
fn provenance(settings: &config::Network, begins: Timestamp) -> String {
    let nodes: Vec<String> =
        settings.endpoints.iter().map(|endpoint| format!("{} ({})", endpoint.name, endpoint.url)).collect();
    let version = env!("CARGO_PKG_VERSION");
    format!("by amn-scanner {version} on {begins}, from {}", nodes.join(", "))
}

/// A recording of one network of the running daemon.
#[derive(Debug)]
pub struct Recording {
    folder: PathBuf,
    begins: Timestamp,
    recorder: Arc<Recorder>,
    scenario: Scenario,
}

impl Recording {
    /// Begins one in a folder of the network's name below this one.
    pub fn begin(
        below: &Path,
        network: &NetworkId,
        settings: &config::Network,
        listening: &[config::ContractWatch],
    ) -> Result<Self, String> {
        let folder = below.join(network.as_str());
        let begins = SystemClock.now();
        let recorder = begin(&folder, begins, Arc::new(SystemClock))?;
        let mut settings = settings.clone();
        if let Some(file) = &settings.file {
            copy_file(file, &folder).map_err(|error| format!("{}: {error}", file.display()))?;
            settings.file = Some(PathBuf::from(NETWORK_FILE));
        }
        let scenario = Scenario {
            title: format!("What happened on {network} from {begins} on"),
            recorded: provenance(&settings, begins),
            seed: 0,
            begins,
            network: network.clone(),
            settings,
            listening: listening.iter().filter(|watch| watch.network == *network).cloned().collect(),
            intents: Vec::new(),
            timeline: Vec::new(),
        };
        Ok(Self { folder, begins, recorder, scenario })
    }

    #[must_use]
    pub fn network(&self) -> &NetworkId {
        &self.scenario.network
    }

    #[must_use]
    pub fn road(&self) -> Road {
        Road::Recorded(self.recorder.clone())
    }

    /// Where the ledger has begun already, the scenario begins where it stands: what came before is not part of it.
    /// Asks for that block, so that the tape holds it.
    pub async fn stand(&mut self, pool: &PgPool, served: &Served) -> Result<(), StoreError> {
        use amn_core::source::ChainSource as _;
        let id = self.scenario.network.as_str();
        let tip: Option<(Option<i64>, Option<Vec<u8>>)> =
            sqlx::query_as("select tip_height, tip_hash from amn.network where id = $1")
                .bind(id)
                .fetch_optional(pool)
                .await?;
        let tip = tip.and_then(|(height, hash)| {
            let hash = hash?.try_into().ok().map(amn_core::block::Hash)?;
            Some(BlockRef { height: Height(u64::try_from(height?).ok()?), hash })
        });
        let Some(tip) = tip else { return Ok(()) };
        let deposits: i64 = sqlx::query_scalar("select count(*) from amn.deposit where network_id = $1")
            .bind(id)
            .fetch_one(pool)
            .await?;
        warn!(
            network = id,
            height = tip.height.0,
            deposits,
            "the ledger of {id} is not new: the recording begins at its tip {}, without the {deposits} deposits before it",
            tip.height
        );
        let without = format!("; begins at the tip of a ledger that was not new, without its {deposits} deposits");
        self.scenario.recorded.push_str(&without);
        self.scenario.settings.start = Some(tip);
        if let Err(why) = served.source().header_at(tip.height).await {
            warn!(network = id, %why, "nobody gave the block that the recording of {id} begins at: {why}");
        }
        Ok(())
    }

    /// Writes down what was asked and done so far. Called now and then, so that a killed daemon leaves a scenario.
    pub async fn note(&self, pool: &PgPool) -> Result<(), ReplayError> {
        let intents = self.intents(pool).await?;
        let names: BTreeMap<IntentId, String> =
            intents.iter().filter_map(|asked| Some((asked.id?, asked.name.clone()))).collect();
        let timeline = self.timeline(pool, &names).await?;
        write(&self.folder, &Scenario { intents, timeline, ..self.scenario.clone() })
    }

    /// Ends the tape.
    pub fn finish(&self) {
        let (folder, network) = (self.folder.display().to_string(), &self.scenario.network);
        match self.recorder.finish() {
            Ok(Recorded { exchanges, bytes, .. }) => {
                info!(%network, %folder, exchanges, bytes, "recorded {exchanges} exchanges of {network} in {folder}");
            }
            Err(error) => warn!(%network, %folder, %error, "the recording of {network} has no end: {error}"),
        }
    }

    fn at(&self, time: OffsetDateTime) -> u64 {
        u64::try_from(timestamp(time).millis().saturating_sub(self.begins.millis())).unwrap_or(0)
    }

    /// Those made since the beginning, and those that still waited for everything then.
    async fn intents(&self, pool: &PgPool) -> Result<Vec<Asked>, ReplayError> {
        #[derive(sqlx::FromRow)]
        struct Row {
            id: Uuid,
            tenant_id: String,
            asset_id: String,
            address: String,
            reference: Option<String>,
            due: String,
            tolerance: String,
            expires_at: Option<OffsetDateTime>,
            require: Value,
            metadata: Value,
            created_at: OffsetDateTime,
        }
        let rows: Vec<Row> = sqlx::query_as(
            // Who owns an address of Stellar or TON alone has said so: left out, it would be given a reference when it
            // is played.
            "select i.id, i.tenant_id, i.asset_id, i.address,
              coalesce(i.reference, case when n.family in ('soroban', 'ton') then 'none' end) as reference, i.due::text as due, i.tolerance::text as tolerance,
              i.expires_at, i.require, i.metadata, i.created_at
            from amn.intent i
            join amn.network n on n.id = i.network_id
            where i.network_id = $1
              and (i.created_at >= $2 or (i.ended is null and not exists (
                select from amn.deposit d where d.intent_id = i.id and d.seen_at < $2
              )))
            order by i.created_at, i.id
            limit $3",
        )
        .bind(self.scenario.network.as_str())
        .bind(moment(self.begins))
        .bind(ENTRIES_MAX)
        .fetch_all(pool)
        .await
        .map_err(StoreError::from)?;
        let asked = rows.into_iter().map(|row| {
            let id = IntentId(row.id.as_u128());
            Asked {
                at_ms: self.at(row.created_at),
                name: id.to_string(),
                id: Some(id),
                tenant: row.tenant_id,
                asset: row.asset_id,
                due: row.due.parse().unwrap_or_default(),
                tolerance: row.tolerance.parse().unwrap_or_default(),
                address: row.address,
                // Nothing said would be a fresh number where accounts are shared.
                reference: Some(row.reference.unwrap_or_else(|| Wish::ALONE.to_owned())),
                expires_at: row.expires_at.map(timestamp),
                require: serde_json::from_value::<Require>(row.require).unwrap_or_default(),
                metadata: row.metadata.as_object().cloned().unwrap_or_default(),
                since_height: None,
                allow_reuse: true,
                place: id.to_string(),
            }
        });
        Ok(asked.collect())
    }

    /// What persons and backends did, as the audit log has it.
    async fn timeline(&self, pool: &PgPool, names: &BTreeMap<IntentId, String>) -> Result<Vec<Step>, ReplayError> {
        let rows: Vec<(OffsetDateTime, String, String, Value)> =
            sqlx::query_as("select at, action, subject, detail from amn.audit where at >= $1 order by id limit $2")
                .bind(moment(self.begins))
                .bind(ENTRIES_MAX)
                .fetch_all(pool)
                .await
                .map_err(StoreError::from)?;
        let steps = rows.into_iter().filter_map(|(at, action, subject, detail)| {
            let act = self.act(&action, &subject, &detail, names)?;
            Some(Step { at_ms: self.at(at), act, place: action })
        });
        Ok(steps.collect())
    }

    /// The act of one line of the audit log, if it was about this network and could change what is told.
    fn act(&self, action: &str, subject: &str, detail: &Value, names: &BTreeMap<IntentId, String>) -> Option<Act> {
        let of_network = subject == self.scenario.network.as_str();
        let name = |text: &str| names.get(&text.parse::<IntentId>().ok()?).cloned();
        match action {
            "cancel" => Some(Act::Cancel { intent: name(subject)? }),
            "accept" => Some(Act::Accept { intent: name(subject)? }),
            "assign" => {
                let intent = name(detail["intent"].as_str()?)?;
                Some(Act::Assign { deposit: subject.parse().ok()?, intent })
            }
            "unassign" => Some(Act::Unassign { deposit: subject.parse().ok()? }),
            "resume" if of_network => {
                Some(Act::Resume { accept_fork: detail["accept_fork"].as_str().and_then(|hash| hash.parse().ok()) })
            }
            "thresholds.put" if of_network => {
                Some(Act::Thresholds(serde_json::from_value::<Option<Policy>>(detail["policy"].clone()).ok()?))
            }
            _ => None,
        }
    }
}
