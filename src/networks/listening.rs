//! Who listens to the contracts of a network: the wishes of the configuration, read by the network's family.

use amn_core::contract::TopicPattern;

use super::{Kind, Networks, Served, soroban};
use crate::config;
use crate::store::contracts::listeners::Wish;

impl Served {
    /// Who listens to which of its contracts.
    #[must_use]
    pub fn wishes(&self) -> &[Wish] {
        &self.wishes
    }

    /// Reads wishes for contracts of this network; every problem at once, each with its place.
    pub fn listen(&mut self, watches: &[config::ContractWatch]) -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        for watch in watches {
            let wish = if watch.network == self.facts.id {
                self.kind.wish(watch)
            } else {
                Err(format!("network: there is no [networks.{}]", watch.network))
            };
            match wish {
                Ok(wish) => self.wishes.push(wish),
                Err(what) => problems.push(format!("{}: [[watch.contract]] {what}", watch.place)),
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

impl Networks {
    /// Reads the wishes for contracts; every problem at once, each with its place.
    pub(super) fn listen(&mut self, config: &config::Config) -> Vec<String> {
        let mut problems = Vec::new();
        for watch in &config.contracts {
            let at = |what: &str| format!("{}: [[watch.contract]] {what}", watch.place);
            let enabled = config.networks.get(&watch.network).map(|network| network.enabled);
            match (enabled, self.0.get_mut(&watch.network)) {
                (None, _) => problems.push(at(&format!("network: there is no [networks.{}]", watch.network))),
                // A network that is not followed hears nothing, of its contracts neither. One that should be and is
                // not there could not be built, which was told.
                (Some(false), _) | (Some(true), None) => {}
                (Some(true), Some(served)) => match served.kind.wish(watch) {
                    Ok(wish) => served.wishes.push(wish),
                    Err(what) => problems.push(at(&what)),
                },
            }
        }
        problems
    }
}

impl Kind {
    fn wish(&self, watch: &config::ContractWatch) -> Result<Wish, String> {
        let Self::Soroban(_) = self else {
            return Err(format!("network: contract events are watched on Stellar networks; {} is none", watch.network));
        };
        let contract = soroban::parse_contract(&watch.contract).map_err(|what| format!("contract: {what}"))?;
        let mut patterns = Vec::new();
        for (place, texts) in watch.topics.iter().flatten().enumerate() {
            let pattern =
                amn_soroban::value::pattern(texts).map_err(|what| format!("topics: pattern {}: {what}", place + 1))?;
            patterns.push(pattern);
        }
        if patterns.is_empty() {
            patterns.push(TopicPattern::everything());
        }
        let (tenant, place) = (watch.tenant.clone(), watch.place.clone());
        Ok(Wish { contract, patterns, tenant, since: watch.since, place })
    }
}
