//! What a follower says of what was decided: log lines that read alone, and metrics with bounded labels.

use std::time::Duration;

use amn_core::block::{Height, NetworkId};
use amn_core::deposit::DepositStatus;
use amn_core::engine::{Alarm, Effect, Standing};
use amn_core::source::{ChainSource, Head};
use metrics::{counter, gauge, histogram};
use tracing::{debug, error, info, warn};

use super::{Follower, millis};
use crate::telemetry::metric;

/// An alarm that stays true is said again this often, and counted always.
const ALARM_AGAIN: Duration = Duration::from_mins(1);

impl<S: ChainSource> Follower<S> {
    pub(super) fn say(&mut self, effect: &Effect) {
        match effect {
            Effect::Alarm(alarm) => self.say_alarm(alarm),
            effect => say_effect(&self.network(), effect),
        }
    }

    pub(super) fn say_alarm(&mut self, alarm: &Alarm) {
        let network = self.network();
        counter!(metric::ALARMS, "network" => network.to_string(), "kind" => alarm.kind).increment(1);
        let (now, again) = (self.parts.clock.now(), millis(ALARM_AGAIN));
        self.alarms.retain(|_, said| now.millis().saturating_sub(said.millis()) < again);
        let said = self.alarms.entry((alarm.kind, alarm.detail.clone()));
        if let std::collections::btree_map::Entry::Vacant(first) = said {
            first.insert(now);
            warn!(%network, alarm = alarm.kind, detail = alarm.detail, "alarm: {}", alarm.kind);
        }
    }

    pub(super) fn gauge(&self, standing: &Standing) {
        let network = self.network().to_string();
        gauge!(metric::NETWORK_HALTED, "network" => network.clone())
            .set(f64::from(u8::from(standing.halted.is_some())));
        let Some(tip) = standing.tip else { return };
        let age = self.parts.clock.now().millis().saturating_sub(tip.time.millis());
        let beyond = age.saturating_sub(i64::try_from(self.parts.desk.facts().block_time_ms).unwrap_or(i64::MAX));
        gauge!(metric::NETWORK_LAG, "network" => network.clone()).set(whole(beyond.max(0)) / 1_000.0);
        gauge!(metric::NETWORK_TIP, "network" => network.clone()).set(lossy(tip.at.height));
        gauge!(metric::NETWORK_TIP_TIME, "network" => network.clone()).set(whole(tip.time.seconds()));
        if let Some(finalized) = standing.finalized {
            gauge!(metric::NETWORK_FINALIZED, "network" => network).set(lossy(finalized.height));
        }
    }

    pub(super) fn gauge_head(&self, head: &Head) {
        gauge!(metric::NETWORK_HEAD, "network" => self.network().to_string()).set(lossy(head.tip.at.height));
    }

    pub(super) fn gauge_watch(&self) {
        let watched = i64::try_from(self.watch.len()).unwrap_or(i64::MAX);
        gauge!(metric::WATCHED, "network" => self.network().to_string()).set(whole(watched));
    }
}

/// What is said of one effect, whoever had it decided; an alarm is for whoever raised it to say.
pub(crate) fn say_effect(network: &NetworkId, effect: &Effect) {
    let label = network.to_string();
    let deposit = |status: DepositStatus| {
        counter!(metric::DEPOSITS, "network" => network.to_string(), "status" => status.as_str()).increment(1);
    };
    match effect {
        Effect::Announce(event) => {
            counter!(metric::EVENTS, "network" => label, "event" => event.kind.as_str()).increment(1);
            info!(%network, event = event.kind.as_str(), event.id = %event.id, "told {}", event.kind.as_str());
        }
        Effect::Rewind { to, from, onto, .. } => {
            let depth = from.at.height.above(to.at.height);
            counter!(metric::REORGS, "network" => label.clone()).increment(1);
            histogram!(metric::REORG_DEPTH, "network" => label).record(lossy(Height(depth)));
            warn!(%network, fork = to.at.height.0, depth, onto = %onto.hash, "the chain left us {depth} blocks back; following");
        }
        Effect::Halt(halt) => {
            counter!(metric::HALTS, "network" => label, "reason" => halt.reason.as_str()).increment(1);
            error!(%network, reason = halt.reason.as_str(), detail = halt.detail, "halted until a person looks");
        }
        Effect::Cover { parent, tip, .. } => {
            counter!(metric::BLOCKS_COVERED, "network" => label).increment(tip.at.height.above(parent.height));
            debug!(%network, height = tip.at.height.0, "covered up to {}", tip.at.height);
        }
        Effect::Record(_) => deposit(DepositStatus::Seen),
        Effect::Settle { .. } => deposit(DepositStatus::Settled),
        Effect::Undo { status, .. } => deposit(*status),
        Effect::Sight(sighting) => {
            let status = sighting.status.as_str();
            counter!(metric::CONTRACT_EVENTS, "network" => label, "status" => status).increment(1);
        }
        Effect::Observe { observation, .. } => {
            counter!(metric::OBSERVATIONS, "network" => label, "kind" => observation.kind.clone()).increment(1);
        }
        _ => {}
    }
}

fn lossy(height: Height) -> f64 {
    whole(i64::try_from(height.0).unwrap_or(i64::MAX))
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a picture; heights and times are far below 2^53")]
fn whole(number: i64) -> f64 {
    number as f64
}
