//! What people ask a network's nodes, beyond what the rules need: where a node stands, what a transaction moved.

use amn_core::block::{BlockRef, Hash, Height, TransferId, TxHash};
use amn_core::explained::Explained;
use amn_core::source::{ChainSource as _, SourceError};
use amn_rpc::{Endpoint, RpcError};

use super::source::Source;
use super::{Kind, Served, evm, soroban};

impl Served {
    /// The height of an endpoint's head. It stays in its health.
    pub async fn head_of(&self, endpoint: &Endpoint) -> Result<u64, RpcError> {
        let height = match &self.kind {
            Kind::Evm(_) => evm::head_of(endpoint).await?,
            Kind::Soroban(_) => soroban::head_of(endpoint).await?,
            Kind::Ton(source) => source.head_of(endpoint).await?.0,
        };
        endpoint.report_head(height);
        Ok(height)
    }

    /// The hash that an endpoint gives for a block of its chain; `None` where it has none.
    pub async fn hash_at(&self, endpoint: &Endpoint, height: Height) -> Result<Option<Hash>, RpcError> {
        match &self.kind {
            Kind::Evm(_) => evm::hash_at(endpoint, height).await,
            Kind::Soroban(_) => soroban::hash_at(endpoint, height).await,
            Kind::Ton(source) => source.hash_at(endpoint, height).await,
        }
    }

    /// Whether a transaction waits to be put into a block; `false`: no node knows it, or none can say.
    pub async fn waits(&self, tx: TxHash) -> Result<bool, RpcError> {
        match &self.kind {
            Kind::Evm(_) => evm::waits(&self.pool, tx).await,
            // Nodes of these families show nothing that is not in a block.
            Kind::Soroban(_) | Kind::Ton(_) => Ok(false),
        }
    }

    /// Whose validators built on the block of a transfer, by name, as far as nodes show it now.
    pub async fn attested_by(&self, of: TransferId, block: BlockRef) -> Vec<String> {
        match &self.kind {
            Kind::Evm(_) | Kind::Ton(_) => Vec::new(),
            Kind::Soroban(source) => {
                // Who cannot be asked shows nobody: what was counted before stands in the ledger.
                drop(source.prove(&[(of, block)]).await);
                source.attested_by(block).iter().map(ToString::to_string).collect()
            }
        }
    }

    /// What a transaction moved; `None` where no endpoint knows it.
    pub async fn explain(&self, tx: TxHash) -> Result<Option<Explained>, SourceError> {
        match self.source() {
            Source::Evm(source) => source.explain(tx).await,
            Source::Soroban(source) => soroban::explain(&self.pool, &source, tx).await,
            Source::Ton(source) => source.find(tx).await,
        }
    }
}
