//! Leave to ask, and what came of it: the breakers and the counts of one endpoint.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Endpoint;
use crate::answer::Answer;
use crate::breaker::Refused;
use crate::error::RpcError;
use crate::standing::{Standing, Usability, whole_seconds};

/// Leave to ask. Where it was given to find out whether a broken method is well again, that is not known until it is
/// settled; where nobody waits for the answer, the next question may find out.
pub(super) struct Pass<'a> {
    endpoint: &'a Endpoint,
    probed: Vec<&'static str>,
    /// Part of a probe of the identity, which counts by itself.
    of_probe: bool,
    settled: bool,
}

impl<'a> Pass<'a> {
    pub(super) const fn of_probe(endpoint: &'a Endpoint) -> Self {
        Self { endpoint, probed: Vec::new(), of_probe: true, settled: false }
    }

    /// What came of it, for each method once.
    pub(super) fn settle(mut self, outcomes: &[(&'static str, Option<&RpcError>)], took: Option<Duration>) {
        self.settled = true;
        self.endpoint.count(&self, outcomes, took);
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.settled && !self.probed.is_empty() {
            let now = self.endpoint.around.time.now();
            self.endpoint.standing().abandoned(&self.probed, now);
        }
    }
}

impl Endpoint {
    /// Leave to ask for these methods now.
    pub(super) fn pass(&self, methods: &[&'static str]) -> Result<Pass<'_>, RpcError> {
        let now = self.around.time.now();
        let mut standing = self.standing();
        let because = |standing: &Standing| standing.last_error().unwrap_or("no reason known").to_owned();
        match standing.usability(now) {
            Usability::Ready => {}
            Usability::Cooling(wait) => return Err(RpcError::CoolDown { wait, detail: because(&standing) }),
            Usability::Open(left) => {
                let (name, why) = (&self.name, because(&standing));
                let seconds = whole_seconds(left);
                return Err(RpcError::try_other(format!("{name} is left alone for {seconds} s: {why}")));
            }
            Usability::AwaitsProbe => {
                let why = standing.distrusted().map_or_else(|| because(&standing), str::to_owned);
                return Err(RpcError::try_other(format!("{} has yet to say who it is: {why}", self.name)));
            }
            Usability::Distrusted(_) => {
                let reason = standing.distrusted().unwrap_or_default();
                return Err(RpcError::try_other(format!("{} is distrusted: {reason}", self.name)));
            }
        }
        match standing.admit(methods, now) {
            Ok(probed) => Ok(Pass { endpoint: self, probed, of_probe: false, settled: false }),
            Err(Refused { method, .. }) => {
                let (name, what) = (&self.name, method.unwrap_or("everything"));
                Err(RpcError::try_other(format!("{name} fails with {what}: {}", because(&standing))))
            }
        }
    }

    fn count(&self, pass: &Pass<'_>, outcomes: &[(&'static str, Option<&RpcError>)], took: Option<Duration>) {
        let name = self.name.as_str();
        for (method, error) in outcomes {
            if let Some(error) = error {
                tracing::debug!(network = %self.around.network, endpoint = name, method, %error, "endpoint {name} said: {error}");
            }
        }
        let now = self.around.time.now();
        let mut standing = self.standing();
        if pass.of_probe {
            for (_, error) in outcomes {
                standing.note(*error, now);
            }
            return;
        }
        let before = (standing.usability(now) == Usability::Ready, standing.broken(now));
        standing.answered(outcomes, &pass.probed, took, now);
        let after = (standing.usability(now), standing.broken(now));
        drop(standing);
        if before.0 {
            self.tell(after.0, outcomes.iter().find_map(|(_, error)| *error));
        }
        for method in after.1.iter().filter(|method| !before.1.contains(method)) {
            tracing::info!(
                network = %self.around.network, endpoint = name, method,
                "endpoint {name} of {} is not asked for {method} for a while: it keeps failing", self.around.network,
            );
        }
    }

    /// Says once that it is no longer called.
    fn tell(&self, usability: Usability, error: Option<&RpcError>) {
        let (Usability::Open(wait) | Usability::Cooling(wait)) = usability else { return };
        let Some(error) = error else { return };
        tracing::info!(
            network = %self.around.network, endpoint = %self.name, %error, seconds = wait.as_secs(),
            "endpoint {} of {} is left alone for {} s: {error}", self.name, self.around.network, wait.as_secs(),
        );
    }
}

/// What a batch says of each method: a wish to be left alone in any of its replies, or a trouble in all of them.
pub(super) fn blame<'a>(
    methods: &[&'static str],
    outcomes: &'a Result<Vec<Result<Answer, RpcError>>, RpcError>,
) -> Vec<(&'static str, Option<&'a RpcError>)> {
    let outcomes = match outcomes {
        Ok(outcomes) => outcomes,
        Err(error) => return distinct(methods).into_iter().map(|method| (method, Some(error))).collect(),
    };
    let of =
        |method| methods.iter().zip(outcomes).filter(move |(name, _)| **name == method).map(|(_, outcome)| outcome);
    let blamed = |method| {
        let mut errors = of(method).filter_map(|outcome| outcome.as_ref().err());
        let cools = errors.clone().find(|error| matches!(error, RpcError::CoolDown { .. }));
        cools.or_else(|| if of(method).all(Result::is_err) { errors.next() } else { None })
    };
    distinct(methods).into_iter().map(|method| (method, blamed(method))).collect()
}

pub(super) fn distinct(methods: &[&'static str]) -> BTreeSet<&'static str> {
    methods.iter().copied().collect()
}
