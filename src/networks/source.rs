//! One source over all families: asks whichever the network is of.

use amn_core::block::{Address, Block, BlockRef, Evidence, Header, Height, Operator, TransferId};
use amn_core::money::Amount;
use amn_core::source::{ChainSource, Head, Identity, Position, Segment, SourceError, Voucher, Watch, WatchVersion};
use amn_evm::source::EvmSource;
use amn_soroban::source::SorobanSource;
use amn_ton::source::TonSource;

/// What reads a network.
#[derive(Debug)]
pub enum Source {
    Evm(Box<EvmSource>),
    Soroban(Box<SorobanSource>),
    Ton(Box<TonSource>),
}

/// The same question to whichever family it is.
macro_rules! asked {
    ($self:ident, $source:ident => $question:expr) => {
        match $self {
            Self::Evm($source) => $question,
            Self::Soroban($source) => $question,
            Self::Ton($source) => $question,
        }
    };
}

impl ChainSource for Source {
    fn new_watch(&self, version: WatchVersion) -> Watch {
        asked!(self, source => source.new_watch(version))
    }

    async fn probe(&self) -> Result<Identity, SourceError> {
        asked!(self, source => source.probe().await)
    }

    async fn head(&self) -> Result<Head, SourceError> {
        asked!(self, source => source.head().await)
    }

    async fn header_at(&self, height: Height) -> Result<Header, SourceError> {
        asked!(self, source => source.header_at(height).await)
    }

    async fn segment(
        &self,
        on: &Position,
        up_to: Height,
        final_to: Option<Height>,
        watch: &Watch,
    ) -> Result<Segment, SourceError> {
        asked!(self, source => source.segment(on, up_to, final_to, watch).await)
    }

    async fn vouch(&self, at: &Header) -> Result<Vec<Voucher>, SourceError> {
        asked!(self, source => source.vouch(at).await)
    }

    async fn arbitrate(&self, contested: BlockRef) -> bool {
        asked!(self, source => source.arbitrate(contested).await)
    }

    async fn prove(
        &self,
        deposits: &[(TransferId, BlockRef)],
    ) -> Result<Vec<(TransferId, BlockRef, Evidence)>, SourceError> {
        asked!(self, source => source.prove(deposits).await)
    }

    async fn reread(
        &self,
        height: Height,
        not_by: Option<&Operator>,
        turn: u64,
        watch: &Watch,
    ) -> Result<Block, SourceError> {
        asked!(self, source => source.reread(height, not_by, turn, watch).await)
    }

    async fn balances(&self, addresses: &[Address], at: BlockRef) -> Result<Vec<Amount>, SourceError> {
        asked!(self, source => source.balances(addresses, at).await)
    }

    async fn internal_transfers(&self, addresses: &[Address], at: BlockRef) -> Result<Block, SourceError> {
        asked!(self, source => source.internal_transfers(addresses, at).await)
    }
}
