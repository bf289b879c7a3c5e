//! Reads a network's file, whichever family it is of, with what the configuration adds to it.

use amn_core::block::NetworkId;
use amn_core::confirmation::Require;
use amn_core::network::SharedFacts;
use amn_evm::networks::EvmNetwork;
use amn_rpc::{Announcing, EndpointConfig, Pool, PoolSettings};
use amn_soroban::lake::Lake;
use amn_soroban::networks::SorobanNetwork;
use amn_soroban::source::SorobanSource;
use amn_ton::networks::TonNetwork;
use amn_ton::source::TonSource;

use super::{Kind, evm, soroban, ton};
use crate::config;

/// A network as its file and the configuration say, before any node is known.
#[derive(Debug, Clone)]
pub(super) enum AsRead {
    Evm(Box<EvmNetwork>),
    Soroban(Box<SorobanNetwork>),
    Ton(Box<TonNetwork>),
}

impl AsRead {
    /// Reads the network's file, and what the configuration adds to it.
    pub(super) fn read(id: &NetworkId, network: &config::Network) -> Result<Self, String> {
        let (shown, text) = match &network.file {
            Some(path) => {
                let shown = path.display().to_string();
                let text = std::fs::read_to_string(path).map_err(|error| format!("file {shown}: {error}"))?;
                (shown, text)
            }
            None => {
                let (family, text) = shipped(id).ok_or_else(|| {
                    let known: Vec<&str> = all_shipped().map(|(name, _)| name).collect();
                    format!("is no network this binary ships ({}); name its file", known.join(", "))
                })?;
                (format!("chains/{family}/networks/{id}.toml"), text.to_owned())
            }
        };
        // A file says on what kind of chain it is; one that says nothing readable is refused by EVM's reader, by line.
        if soroban::speaks_of(&text) {
            soroban::read(id, network, &shown, &text).map(|network| Self::Soroban(Box::new(network)))
        } else if ton::speaks_of(&text) {
            ton::read(id, network, &shown, &text).map(|network| Self::Ton(Box::new(network)))
        } else {
            evm::read(id, network, &shown, &text).map(|network| Self::Evm(Box::new(network)))
        }
    }

    pub(super) const fn facts(&self) -> &SharedFacts {
        match self {
            Self::Evm(network) => &network.facts,
            Self::Soroban(network) => &network.facts,
            Self::Ton(network) => &network.facts,
        }
    }

    pub(super) fn set_facts(&mut self, facts: SharedFacts) {
        match self {
            Self::Evm(network) => network.facts = facts,
            Self::Soroban(network) => network.facts = facts,
            Self::Ton(network) => network.facts = facts,
        }
    }

    /// How its endpoints may be spoken to.
    pub(super) const fn endpoint_kinds(&self) -> &'static [&'static str] {
        match self {
            Self::Evm(_) => evm::ENDPOINT_KINDS,
            Self::Soroban(_) => soroban::ENDPOINT_KINDS,
            Self::Ton(_) => ton::ENDPOINT_KINDS,
        }
    }

    /// How its endpoints are asked to announce heads.
    pub(super) const fn announcing(&self) -> Announcing {
        match self {
            Self::Evm(_) | Self::Soroban(_) => Announcing::HEADS,
            Self::Ton(_) => ton::ANNOUNCING,
        }
    }

    /// Terms that could never be met are refused, not waited for.
    pub(super) fn can_meet(&self, require: &Require) -> Result<(), String> {
        let (asked, there) = (require.attestations.unwrap_or(0), self.attesters());
        if asked > there {
            return Err(format!(
                "attestations = {asked} can never be met: {there} organisations of this network attest"
            ));
        }
        Ok(())
    }

    /// What reads it, once its nodes are known, and where its history lies.
    pub(super) fn over(self, pool: &Pool, lakes: Vec<EndpointConfig>, settings: &PoolSettings) -> Result<Kind, String> {
        match self {
            Self::Evm(network) => Ok(Kind::Evm(network)),
            Self::Soroban(network) => {
                let open = |lake| Lake::open(lake, settings.clone(), &network);
                let lakes = lakes.into_iter().map(open).collect::<Result<_, _>>()?;
                Ok(Kind::Soroban(SorobanSource::new(pool.clone(), *network).with_lakes(lakes)))
            }
            Self::Ton(network) => Ok(Kind::Ton(TonSource::new(pool.clone(), *network))),
        }
    }

    /// How many organisations may attest a block.
    pub(super) fn attesters(&self) -> u32 {
        match self {
            Self::Evm(_) | Self::Ton(_) => 0,
            Self::Soroban(network) => u32::try_from(network.organisations.count()).unwrap_or(u32::MAX),
        }
    }
}

pub(super) fn all_shipped() -> impl Iterator<Item = (&'static str, (&'static str, &'static str))> {
    let of = |family, (name, text): &(&'static str, &'static str)| (*name, (family, *text));
    let evm = amn_evm::networks::SHIPPED.iter().map(move |one| of("evm", one));
    let soroban = amn_soroban::networks::SHIPPED.iter().map(move |one| of("soroban", one));
    evm.chain(soroban).chain(amn_ton::networks::SHIPPED.iter().map(move |one| of("ton", one)))
}

/// The family of a network we ship, and its file's text.
fn shipped(id: &NetworkId) -> Option<(&'static str, &'static str)> {
    all_shipped().find(|(name, _)| *name == id.as_str()).map(|(_, found)| found)
}
