//! What contracts say comes, settles and is taken back: under the rules that hold for money, and told once.

use std::collections::{BTreeMap, BTreeSet};

use crate::block::{Block, BlockRef, Evidence, Height, TxHash};
use crate::confirmation::{View, is_settled};
use crate::contract::{ContractEvent, Sighting};
use crate::deposit::{DepositStatus, Settlement};
use crate::engine::Effect;
use crate::engine::fold::Fold;
use crate::event::EventKind;
use crate::id::SightingId;
use crate::source::Segment;

impl Fold {
    /// What watched contracts said in a covered block: seen once, however often the block is read.
    pub fn contract_events(&mut self, block: &Block, linked: bool) {
        for event in &block.contract_events {
            for tenant in self.tenants_of(event, block.header.at.height) {
                self.sight(block, event, &tenant, linked);
            }
        }
    }

    /// Who hears of it: whoever listens, and whoever heard of it before, for whom it may only have moved.
    fn tenants_of(&self, event: &ContractEvent, at: Height) -> BTreeSet<String> {
        let listeners = self.state.listeners.get(&event.contract).map_or(&[][..], Vec::as_slice);
        let hear = listeners.iter().filter(|listener| listener.hears(event, at)).map(|listener| &listener.tenant);
        let heard = self.state.sightings.values().filter(|known| known.is_of(event)).map(|known| &known.tenant);
        hear.chain(heard).cloned().collect()
    }

    fn sight(&mut self, block: &Block, event: &ContractEvent, tenant: &str, linked: bool) {
        let (at, id) = (block.header.at, Sighting::id_of(&self.state.facts.id, tenant, event));
        let same_spot = |known: &&Sighting| {
            known.is_live() && known.tenant == tenant && known.spot() == (event.tx, event.operation, event.index)
        };
        if let Some(other) = self.state.sightings.values().filter(same_spot).find(|known| known.id != id) {
            // Somebody lies: one transaction of one chain cannot say two things in one place.
            let detail = format!("{} at {} and {}", event.tx, other.block.height, at.height);
            return self.alarm("other_content", detail);
        }
        let mut new = Sighting {
            id,
            tenant: tenant.to_owned(),
            tx: event.tx,
            operation: event.operation,
            index: event.index,
            ordinal: event.ordinal,
            contract: event.contract.clone(),
            topics: event.shown(),
            data: event.data.clone(),
            block: at,
            block_time: block.header.time,
            status: DepositStatus::Seen,
            evidence: block.evidence.clone(),
            linked,
            settlement: None,
            told: 0,
        };
        if let Some(known) = self.state.sightings.get(&id) {
            new.told = known.told;
            if known.is_live() {
                let (awaited, there) = (self.unheard.remove(&id), known.block);
                if there == at {
                    return; // Read before.
                }
                if !awaited {
                    let detail = format!("{} at {} and {}", event.tx, there.height, at.height);
                    return self.alarm("mined_twice", detail);
                }
                new.status = known.status;
                new.settlement.clone_from(&known.settlement);
            }
        }
        self.emit(Effect::Sight(Box::new(new)));
    }

    /// Settles what now satisfies the network's policy and tells it, in the order of the chain.
    pub fn settle_sightings(&mut self, view: &View) {
        let require = self.state.policy.require;
        let mut ready: Vec<Sighting> = self
            .state
            .sightings
            .values()
            .filter(|known| known.status == DepositStatus::Seen && !self.unheard.contains(&known.id))
            .filter(|known| is_settled(&require, &self.state.known_of(known), view))
            .cloned()
            .collect();
        ready.sort_by_key(Sighting::place);
        for mut sighting in ready {
            // The operators it settled on are part of the record.
            sighting.evidence.operators = self.state.vouching_for(&sighting);
            sighting.settlement = Some(Settlement { at: self.state.now, tip: view.tip.at, require });
            sighting.status = DepositStatus::Settled;
            sighting.told = sighting.told.saturating_add(1);
            let id = sighting.id;
            self.emit(Effect::Sight(Box::new(sighting)));
            self.announce_sighting(id, EventKind::ContractEvent, None);
        }
    }

    /// It is off the chain: whoever was told of it is told so.
    pub fn undo_sighting(&mut self, sighting: SightingId) {
        let Some(mut known) = self.state.sightings.get(&sighting).cloned() else { return };
        let was_told = known.status == DepositStatus::Settled;
        known.status = if was_told { DepositStatus::Reversed } else { DepositStatus::Retracted };
        known.told = known.told.saturating_add(u32::from(was_told));
        self.emit(Effect::Sight(Box::new(known)));
        if was_told {
            self.announce_sighting(sighting, EventKind::ContractReversed, Some("reorganized"));
        }
    }

    /// Of what is above a fork: what the new branch says again, and what it does not, in the order of the chain.
    pub fn sightings_of_branch(
        &self,
        fork: Height,
        by: &Segment,
    ) -> (Vec<SightingId>, Vec<(SightingId, DepositStatus)>) {
        let again: BTreeMap<_, _> = by
            .blocks
            .iter()
            .flat_map(|block| &block.contract_events)
            .map(|event| ((event.tx, event.operation, event.index), event))
            .collect();
        let mut above: Vec<&Sighting> =
            self.state.sightings.values().filter(|known| known.is_live() && known.block.height > fork).collect();
        above.sort_by_key(|known| known.place());
        let (mut said_again, mut unsaid) = (Vec::new(), Vec::new());
        for known in above {
            if again.get(&known.spot()).is_some_and(|event| known.is_of(event)) {
                said_again.push(known.id);
            } else {
                unsaid.push((known.id, known.status));
            }
        }
        (said_again, unsaid)
    }

    /// As for deposits, where a stretch that is only listed parts them from our tip.
    pub fn unlink_sightings(&mut self) {
        let linked = |s: &&Sighting| s.linked && s.status == DepositStatus::Seen && !self.unheard.contains(&s.id);
        let below: Vec<Sighting> = self.state.sightings.values().filter(linked).cloned().collect();
        for mut sighting in below {
            sighting.evidence.operators = self.state.vouching_for(&sighting);
            sighting.linked = false;
            self.emit(Effect::Sight(Box::new(sighting)));
        }
    }

    /// More is known of how a transaction got into its block. Says whether anything of it is known here.
    pub fn prove_sightings(&mut self, of: TxHash, block: BlockRef, is: &Evidence) -> bool {
        let said = |s: &&Sighting| s.tx == of && s.block == block && s.is_live();
        let known: Vec<Sighting> = self.state.sightings.values().filter(said).cloned().collect();
        for mut sighting in known.iter().cloned() {
            let both = sighting.evidence.and(is);
            if sighting.evidence != both {
                sighting.evidence = both;
                self.emit(Effect::Sight(Box::new(sighting)));
            }
        }
        !known.is_empty()
    }
}
