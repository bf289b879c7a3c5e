//! Reads covered blocks once more, from somebody else, and measures what was missed.
//!
//! Law: it finds and never judges. What it finds goes to the desk as any money read late does, and only from a block
//! that is shown to be ours: by the hash the ledger has, or by as many operators as could move us. It keeps away from
//! the follower: a task of its own, that is slow where its nodes are slow, and that nothing waits for. Read on in
//! `audit`, then `rescan`.

mod audit;
mod ours;
mod rescan;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use amn_core::block::{Address, Block, BlockRef, Height, NetworkId};
use amn_core::deposit::DepositStatus;
use amn_core::engine::{Alarm, Effect, Input};
use amn_core::source::{ChainSource, SourceError, Watch};
use amn_core::timestamp::Timestamp;
use metrics::counter;
use sqlx::PgPool;
use tokio::sync::Notify;
use tracing::{error, warn};
use uuid::Uuid;

use crate::clock::{Clock, Ids};
use crate::follower::say_effect;
use crate::store::decide::{CommandError, Desk};
use crate::store::{StoreError, recall, rescans};
use crate::telemetry::metric;

/// How soon a wish for a rescan is seen. One look costs a row by its key.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// However long a step took, the next begins by then: a rescan takes at most half of the time, and never sleeps long.
const REST_MAX: Duration = Duration::from_secs(10);

/// An alarm that stays true is said again this often, and counted always.
const ALARM_AGAIN: Duration = Duration::from_mins(1);

/// What a look came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was due.
    Idle,
    /// Another daemon follows this network.
    Standby,
    /// The network waits for a person: while its chain is in doubt nothing is compared with it.
    Halted,
    /// One block was read once more.
    Audited(Audited),
    /// A rescan went on, or came to its end.
    Rescanned { next: Height, found: u64 },
    /// A rescan cannot be carried out; its row says why.
    Failed,
    /// The source cannot say now.
    Waiting(SourceError),
}

/// What reading one block once more showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audited {
    Same {
        height: Height,
        transfers: u64,
    },
    Missed {
        height: Height,
        misses: u64,
    },
    /// Somebody has another block there.
    Disagreement {
        height: Height,
    },
}

/// What an auditor is made of.
#[derive(Debug)]
pub struct Parts<S> {
    pub source: S,
    pub desk: Desk,
    pub pool: PgPool,
    pub clock: Arc<dyn Clock>,
    /// The dice that choose the block and who is asked.
    pub ids: Arc<dyn Ids>,
    /// Rung when events were committed.
    pub told: Arc<Notify>,
    /// The same as the follower's of this daemon: whoever follows the network audits it.
    pub holder: Uuid,
    /// The raw bytes a family knows an address by.
    pub raw: fn(&Address) -> Option<Vec<u8>>,
    /// Blocks read once more in an hour; 0: none. Rescans are carried out all the same.
    pub blocks_per_hour: u32,
}

/// Audits one network.
#[derive(Debug)]
pub struct Auditor<S> {
    parts: Parts<S>,
    next_audit: Option<Timestamp>,
    /// What the rescan under way looks for, and the rescan it was made for.
    watch: Option<(u64, Watch)>,
    /// Looks that failed in a row, and when the next is due.
    failures: u32,
    not_before: Timestamp,
    alarms: BTreeMap<(&'static str, String), Timestamp>,
}

/// What stops a look: our database, or their chain.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl<S: ChainSource> Auditor<S> {
    #[must_use]
    pub fn new(parts: Parts<S>) -> Self {
        let not_before = Timestamp::from_millis(i64::MIN);
        Self { parts, next_audit: None, watch: None, failures: 0, not_before, alarms: BTreeMap::new() }
    }

    fn network(&self) -> NetworkId {
        self.parts.desk.facts().id.clone()
    }

    /// Looks until `stop`. After a look that read something it rests as long as that took.
    pub async fn run(mut self, stop: crate::supervisor::Stop) -> Result<(), StoreError> {
        loop {
            let began = tokio::time::Instant::now();
            let outcome = tokio::select! {
                // A look is cut only before its commit or after it: both lose nothing.
                () = stop.requested() => return Ok(()),
                outcome = self.look() => outcome,
            };
            let pause = match outcome {
                Ok(Outcome::Rescanned { .. }) => began.elapsed().min(REST_MAX),
                Ok(_) => LOOK_EVERY,
                Err(error @ StoreError::Row(_)) => return Err(error),
                Err(error) => {
                    warn!(network = %self.network(), %error, "the database did not answer; the audit goes on when it does");
                    REST_MAX
                }
            };
            if !stop.sleep(pause).await {
                return Ok(());
            }
        }
    }

    /// One look: at most one block read once more, or one step of a rescan.
    pub async fn look(&mut self) -> Result<Outcome, StoreError> {
        let (network, now) = (self.network(), self.parts.clock.now());
        // A clock that went back must not keep us waiting for the time it once showed.
        let waits = self.not_before.millis().saturating_sub(now.millis());
        if waits > 0 && waits <= millis(rescan::PAUSE_MAX) {
            return Ok(Outcome::Idle);
        }
        if !recall::leads(&self.parts.pool, &network, self.parts.holder, now).await? {
            return Ok(Outcome::Standby);
        }
        let standing = self.parts.desk.standing().await?.standing;
        if standing.halted.is_some() {
            return Ok(Outcome::Halted);
        }
        let Some(tip) = standing.tip else { return Ok(Outcome::Idle) };
        let looked = if self.audit_is_due(now) {
            self.audit(tip, standing.finalized).await
        } else if let Some(rescan) = rescans::first_open(&self.parts.pool, &network).await? {
            self.rescan(rescan, tip).await
        } else {
            self.watch = None;
            return Ok(Outcome::Idle);
        };
        match looked {
            Ok(outcome) => Ok(outcome),
            Err(Trouble::Store(error)) => Err(error),
            Err(Trouble::Source(why)) => Ok(Outcome::Waiting(why)),
        }
    }

    /// Hands money that was missed to the rules; how many deposits came of it.
    async fn credit(&mut self, block: Block) -> Result<u64, Trouble> {
        let through = block.header.at;
        let input = Input::Found { blocks: vec![block], intents: Vec::new(), contracts: Vec::new(), through };
        let decided = self.parts.desk.decide(&input, self.parts.clock.now()).await;
        let decision = match decided {
            Ok(decision) => decision,
            Err(CommandError::Store(error)) => return Err(error.into()),
            Err(CommandError::Refused(why)) => return Err(SourceError::Malformed(why.to_string()).into()),
        };
        if decision.events() > 0 {
            self.parts.told.notify_one();
        }
        let network = self.network();
        for effect in &decision.effects {
            match effect {
                Effect::Alarm(alarm) => self.alarm(alarm.kind, alarm.detail.clone()),
                effect => say_effect(&network, effect),
            }
        }
        let came = |effect: &&Effect| match effect {
            Effect::Record(_) | Effect::Place(_) => true,
            Effect::Sight(sighting) => sighting.status == DepositStatus::Seen,
            _ => false,
        };
        Ok(decision.effects.iter().filter(came).count() as u64)
    }

    /// Money was missed: said as an error, because somebody's payment was not seen when it came.
    fn say_missed(&mut self, block: BlockRef, missed: usize, read_by: &str) {
        let network = self.network();
        counter!(metric::ALARMS, "network" => network.to_string(), "kind" => "payment_missed").increment(1);
        error!(
            %network, alarm = "payment_missed", height = block.height.0, hash = %block.hash, missed, read_by,
            "alarm: payment_missed: block {} of {network} holds {missed} that were not known; they are credited now", block.height
        );
    }

    fn alarm(&mut self, kind: &'static str, detail: String) {
        let network = self.network();
        counter!(metric::ALARMS, "network" => network.to_string(), "kind" => kind).increment(1);
        let (now, again) = (self.parts.clock.now(), millis(ALARM_AGAIN));
        self.alarms.retain(|_, said| now.millis().saturating_sub(said.millis()) < again);
        let alarm = Alarm { kind, detail };
        if self.alarms.insert((alarm.kind, alarm.detail.clone()), now).is_none() {
            warn!(%network, alarm = alarm.kind, detail = alarm.detail, "alarm: {}", alarm.kind);
        }
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
