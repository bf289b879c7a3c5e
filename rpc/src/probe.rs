//! The one question to an endpoint that is not used: who are you?

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::answer::Answer;
use crate::breaker::Outcome;
use crate::endpoint::Endpoint;
use crate::error::RpcError;

/// A probe of an endpoint's identity under way: the only one. Dropped without a word of [`Self::right`] it failed, or
/// showed nothing where no answer came to be waited for.
pub struct Probe {
    endpoint: Arc<Endpoint>,
    outcome: Outcome,
}

impl Probe {
    /// `None` where it may not be asked now, or is being asked.
    pub fn begin(endpoint: &Arc<Endpoint>) -> Option<Self> {
        endpoint.begin_probe().then(|| Self { endpoint: endpoint.clone(), outcome: Outcome::Nothing })
    }

    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Asks by JSON-RPC.
    pub async fn call(
        &mut self,
        method: &'static str,
        params: &(impl Serialize + Sync + ?Sized),
    ) -> Result<Answer, RpcError> {
        let answer = self.endpoint.call_probing(method, params).await;
        self.note(answer)
    }

    /// Asks by REST; see [`Endpoint::get`].
    pub async fn get(
        &mut self,
        route: &'static str,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Answer, RpcError> {
        let answer = self.endpoint.get_probing(route, path, query).await;
        self.note(answer)
    }

    fn note(&mut self, answer: Result<Answer, RpcError>) -> Result<Answer, RpcError> {
        // An answer is not yet the right one; a wish to be left alone is none at all.
        let cools = matches!(answer, Err(RpcError::CoolDown { .. }));
        self.outcome = if cools { Outcome::Nothing } else { Outcome::Failed };
        answer
    }

    /// It is who it should be: it is used again, and trusted.
    pub fn right(mut self) {
        self.outcome = Outcome::Served;
    }

    /// It is another: it is not used until a later probe finds it right.
    pub fn wrong(mut self, reason: impl Into<String>) {
        self.outcome = Outcome::Nothing;
        self.endpoint.distrust(reason);
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.endpoint.end_probe(self.outcome);
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").field("endpoint", &self.endpoint.name()).field("outcome", &self.outcome).finish()
    }
}
