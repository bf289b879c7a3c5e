//! What is known of an endpoint: whether it is trusted, where its head is, and how it stands.

use tokio::time::Instant;

use super::Endpoint;
use crate::breaker::Outcome;
use crate::choice::{Candidate, tolerated_lag};
use crate::health::Health;
use crate::standing::{Usability, whole_seconds};

impl Endpoint {
    /// It contradicted a proven fact: it is not called for ten minutes, and not used until a probe has shown who it is.
    pub fn distrust(&self, reason: impl Into<String>) {
        let reason = self.redactor.clean(&reason.into());
        self.around.heads.forget(self.place);
        if self.standing().distrust(reason.clone(), self.around.time.now()) {
            tracing::warn!(
                network = %self.around.network, endpoint = %self.name, %reason,
                "endpoint {} of {} is distrusted: {reason}", self.name, self.around.network,
            );
        }
    }

    /// What it said cannot be right, and may still be no lie: for people, with its last error.
    pub fn remark(&self, what: &str) {
        let what = self.redactor.clean(what);
        tracing::debug!(network = %self.around.network, endpoint = %self.name, what, "of endpoint {}: {what}", self.name);
        self.standing().remark(what);
    }

    /// The head it claims.
    pub fn head(&self) -> Option<u64> {
        self.standing().head().map(|(head, _)| head)
    }

    /// Why it is distrusted, if it is.
    pub fn distrusted(&self) -> Option<String> {
        self.standing().distrusted().map(str::to_owned)
    }

    /// Whether it may be asked who it is: its time of distrust or its breaker's is over, or it is in doubt.
    pub fn awaits_probe(&self) -> bool {
        self.standing().awaits_probe(self.around.time.now())
    }

    /// It did not say who it is when it was asked: it is not used until a probe finds it right.
    pub fn doubt(&self) {
        self.standing().doubt();
    }

    /// A person says that it is well: closes its breakers and ends its cool-down. Distrust stays: see
    /// [`Self::reconsider`].
    pub fn reset(&self) {
        self.standing().reset();
        tracing::info!(network = %self.around.network, endpoint = %self.name, "endpoint {} was reset by hand", self.name);
    }

    /// A person ends its time of distrust: it is asked who it is with the next round, and trusted if it says so rightly.
    pub fn reconsider(&self) {
        self.standing().reconsider(self.around.time.now());
    }

    pub(crate) fn begin_probe(&self) -> bool {
        self.standing().begin_probe(self.around.time.now())
    }

    pub(crate) fn end_probe(&self, outcome: Outcome) {
        let now = self.around.time.now();
        let mut standing = self.standing();
        let was_open = standing.usability(now) != Usability::Ready;
        let was_distrusted = standing.probed(outcome, now);
        let after = standing.usability(now);
        drop(standing);
        let (network, name) = (&self.around.network, self.name.as_str());
        match outcome {
            Outcome::Served if was_distrusted => {
                tracing::info!(%network, endpoint = name, "endpoint {name} is trusted again");
            }
            Outcome::Served if was_open => tracing::info!(%network, endpoint = name, "endpoint {name} serves again"),
            Outcome::Failed if !was_open => {
                tracing::info!(%network, endpoint = name, ?after, "endpoint {name} of {network} is left alone: it cannot say who it is");
            }
            Outcome::Served | Outcome::Failed | Outcome::Nothing => {}
        }
    }

    /// What head it claims. A distrusted endpoint's claims count for nothing.
    pub fn report_head(&self, height: u64) {
        let now = self.around.time.now();
        let mut standing = self.standing();
        if standing.distrusted().is_some() {
            return;
        }
        if !standing.claimed(height, now) {
            tracing::debug!(network = %self.around.network, endpoint = %self.name, head = height, "endpoint {} went back to {height}", self.name);
        }
        self.around.heads.claim(self.place, height, now);
    }

    /// It gave a block of this height, so that its head is there or above. Reading history makes no laggard.
    pub fn report_block(&self, height: u64) {
        let now = self.around.time.now();
        let mut standing = self.standing();
        if standing.distrusted().is_none() {
            standing.has(height, now);
            self.around.heads.claim(self.place, height, now);
        }
    }

    /// Its standing. Whether it is the one in use is known to [`crate::Pool::health`] only.
    pub fn health(&self) -> Health {
        let (now, day) = (self.around.time.now(), self.around.time.day());
        let standing = self.standing();
        let usability = standing.usability(now);
        Health {
            name: self.name.clone(),
            operator: self.operator.as_str().to_owned(),
            kind: self.kind.clone(),
            order: self.order,
            shown_url: self.shown_url.clone(),
            usable: usability == Usability::Ready,
            current: false,
            head: standing.head().map(|(head, _)| head),
            lag: standing.said_head().map(|(head, heard)| self.around.heads.lag_of(head, heard)),
            heads_went_back: standing.went_back(),
            consecutive_failures: standing.consecutive_failures(),
            breaker: standing.breaker(now),
            error_rate_permille: standing.error_permille(now),
            cooling_seconds: match usability {
                Usability::Open(wait) | Usability::Cooling(wait) | Usability::Distrusted(wait) => {
                    Some(whole_seconds(wait))
                }
                Usability::Ready | Usability::AwaitsProbe => None,
            },
            distrusted: standing.distrusted().map(str::to_owned),
            requests: standing.requests().clone(),
            requests_today: standing.requests_of(day),
            errors: standing.errors().clone(),
            last_error: standing.last_error().map(str::to_owned),
            latency_us: standing.latency().map(|latency| u64::try_from(latency.as_micros()).unwrap_or(u64::MAX)),
            doorbell: self.ws.is_some().then(|| self.heard.health(now)),
        }
    }

    /// Where it stands in the configuration.
    pub(crate) fn place(&self) -> usize {
        self.place
    }

    pub(crate) fn usability(&self) -> Usability {
        self.standing().usability(self.around.time.now())
    }

    /// What the choice goes by; `None` where it is not to be asked.
    pub(crate) fn candidate(&self, now: Instant) -> Option<Candidate> {
        let standing = self.standing();
        let lag = standing.said_head().map_or(0, |(head, heard)| self.around.heads.lag_of(head, heard));
        (standing.usability(now) == Usability::Ready).then(|| Candidate {
            place: self.place,
            order: self.order,
            lag,
            behind: lag > tolerated_lag(self.around.block_time),
            error_permille: standing.error_permille(now),
            latency: standing.latency(),
        })
    }

    /// Whether nothing that it said shows its head to be below this height.
    pub(crate) fn may_have(&self, height: u64) -> bool {
        let now = self.around.time.now();
        let known = self.standing().said_head();
        let gone_on = |heard: Instant| {
            let passed = now.saturating_duration_since(heard).as_micros();
            let blocks = self.around.block_time.map_or(0, |time| passed / time.as_micros().max(1));
            u64::try_from(blocks).unwrap_or(u64::MAX)
        };
        known.is_none_or(|(head, heard)| head.saturating_add(gone_on(heard)) >= height)
    }
}
