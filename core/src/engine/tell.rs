//! Puts into words what was decided: the next number, and a snapshot of everything.

use crate::confirmation::Require;
use crate::deposit::{Deposit, digest};
use crate::engine::Effect;
use crate::engine::fold::Fold;
use crate::event::{
    Body, CONTRACT_VERSION, DEPOSITS_LISTED_MAX, DepositView, Event, EventKind, IntentView, NetworkView, SightingView,
    bytes,
};
use crate::id::{DepositId, EventId, IntentId, SightingId};
use crate::intent::Intent;

impl Fold {
    /// Tells of an intent: the next number, and a snapshot of everything.
    pub fn announce(&mut self, intent: IntentId, kind: EventKind, reason: Option<&str>) {
        let Some(of) = self.state.intents.get(&intent) else { return };
        let sequence = of.progress.sequence.saturating_add(1);
        let id = EventId(digest(&[b"event", &intent.0.to_be_bytes(), &sequence.to_be_bytes()]));
        let tenant = Some(of.terms.tenant.clone());
        let policy = self.state.require_of(of);
        let mut listed: Vec<&Deposit> = self.state.deposits_of(intent).collect();
        listed.sort_by_key(|d| d.place());
        let total = listed.len();
        let newest = listed.get(total.saturating_sub(DEPOSITS_LISTED_MAX)..).unwrap_or_default();
        let body = self.body(id, kind, Some(of), newest, total, Some(policy), reason, Some(sequence));
        let created_at = self.state.now;
        let event = Event { id, kind, tenant, intent: Some(intent), sequence: Some(sequence), created_at, body };
        self.emit(Effect::Announce(event));
    }

    pub fn announce_unmatched(&mut self, deposit: DepositId, kind: EventKind, reason: &str) {
        let Some(of) = self.state.deposits.get(&deposit) else { return };
        let (tenant, policy) = (Some(of.tenant.clone()), Some(self.state.require_for(of)));
        let id = self.free_id();
        let body = self.body(id, kind, None, &[of], 1, policy, Some(reason), None);
        let created_at = self.state.now;
        self.emit(Effect::Announce(Event { id, kind, tenant, intent: None, sequence: None, created_at, body }));
    }

    /// Tells of what a contract said. Its name follows from how often it was told: no event is told twice.
    pub fn announce_sighting(&mut self, sighting: SightingId, kind: EventKind, reason: Option<&str>) {
        let Some(of) = self.state.sightings.get(&sighting) else { return };
        let id = EventId(digest(&[b"event", &sighting.0.to_be_bytes(), &of.told.to_be_bytes()]));
        let tenant = Some(of.tenant.clone());
        let policy = of.settlement.as_ref().map(|settlement| settlement.require);
        let view = self.state.view();
        let operators = u32::try_from(self.state.vouching_for(of).len()).unwrap_or(u32::MAX);
        let said = SightingView::new(of, operators, view.as_ref());
        let body = self.body_of(id, kind, Some(said), policy, reason);
        let created_at = self.state.now;
        self.emit(Effect::Announce(Event { id, kind, tenant, intent: None, sequence: None, created_at, body }));
    }

    pub fn announce_network(&mut self, kind: EventKind, reason: &str) {
        let id = self.free_id();
        let body = self.body_of(id, kind, None, None, Some(reason));
        let created_at = self.state.now;
        self.emit(Effect::Announce(Event { id, kind, tenant: None, intent: None, sequence: None, created_at, body }));
    }

    /// The name of an event that belongs to no intent: its place among the effects of this revision.
    fn free_id(&self) -> EventId {
        let (network, revision) = (self.state.facts.id.as_str().as_bytes(), self.state.standing.revision);
        EventId(digest(&[b"event", network, &revision.to_be_bytes(), &self.effects.len().to_be_bytes()]))
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one body, filled in one place")]
    fn body(
        &self,
        id: EventId,
        kind: EventKind,
        intent: Option<&Intent>,
        deposits: &[&Deposit],
        deposits_total: usize,
        policy: Option<Require>,
        reason: Option<&str>,
        sequence: Option<u64>,
    ) -> Vec<u8> {
        let (state, view) = (&self.state, self.state.view());
        bytes(&Body {
            contract_event: None,
            created_at: state.now,
            deposits: deposits.iter().map(|d| DepositView::new(d, state.operators(d), view.as_ref())).collect(),
            deposits_total,
            event: kind.as_str(),
            id,
            intent: intent.map(|intent| IntentView::new(intent, &state.facts)),
            network: self.network_view(),
            policy,
            provider: "amn.scanner",
            reason,
            sequence,
            version: CONTRACT_VERSION,
        })
    }

    /// A body about no intent and no deposit.
    fn body_of(
        &self,
        id: EventId,
        kind: EventKind,
        contract_event: Option<SightingView<'_>>,
        policy: Option<Require>,
        reason: Option<&str>,
    ) -> Vec<u8> {
        bytes(&Body {
            contract_event,
            created_at: self.state.now,
            deposits: Vec::new(),
            deposits_total: 0,
            event: kind.as_str(),
            id,
            intent: None,
            network: self.network_view(),
            policy,
            provider: "amn.scanner",
            reason,
            sequence: None,
            version: CONTRACT_VERSION,
        })
    }

    fn network_view(&self) -> NetworkView<'_> {
        NetworkView {
            chain: &self.state.facts.chain,
            id: &self.state.facts.id,
            tip: self.state.standing.tip.map(|tip| tip.at.height.to_string()),
        }
    }
}
