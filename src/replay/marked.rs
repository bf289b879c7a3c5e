//! A source that tells the tape when it is looked through: each look begins with the question for the head.

use std::sync::Arc;

use amn_core::block::{Address, Block, BlockRef, Evidence, Header, Height, Operator, TransferId};
use amn_core::money::Amount;
use amn_core::source::{ChainSource, Head, Identity, Position, Segment, SourceError, Voucher, Watch, WatchVersion};
use amn_rpc::Recorder;

/// Another source, and the tape that is being recorded of it, if one is.
#[derive(Debug)]
pub struct Marked<S> {
    source: S,
    tape: Option<Arc<Recorder>>,
}

impl<S> Marked<S> {
    #[must_use]
    pub const fn new(source: S, tape: Option<Arc<Recorder>>) -> Self {
        Self { source, tape }
    }
}

impl<S: ChainSource> ChainSource for Marked<S> {
    fn new_watch(&self, version: WatchVersion) -> Watch {
        self.source.new_watch(version)
    }

    async fn probe(&self) -> Result<Identity, SourceError> {
        self.source.probe().await
    }

    async fn head(&self) -> Result<Head, SourceError> {
        if let Some(tape) = &self.tape {
            tape.look();
        }
        self.source.head().await
    }

    async fn header_at(&self, height: Height) -> Result<Header, SourceError> {
        self.source.header_at(height).await
    }

    async fn segment(
        &self,
        on: &Position,
        up_to: Height,
        final_to: Option<Height>,
        watch: &Watch,
    ) -> Result<Segment, SourceError> {
        self.source.segment(on, up_to, final_to, watch).await
    }

    async fn vouch(&self, at: &Header) -> Result<Vec<Voucher>, SourceError> {
        self.source.vouch(at).await
    }

    async fn arbitrate(&self, contested: BlockRef) -> bool {
        self.source.arbitrate(contested).await
    }

    async fn prove(
        &self,
        deposits: &[(TransferId, BlockRef)],
    ) -> Result<Vec<(TransferId, BlockRef, Evidence)>, SourceError> {
        self.source.prove(deposits).await
    }

    async fn reread(
        &self,
        height: Height,
        not_by: Option<&Operator>,
        turn: u64,
        watch: &Watch,
    ) -> Result<Block, SourceError> {
        self.source.reread(height, not_by, turn, watch).await
    }

    async fn balances(&self, addresses: &[Address], at: BlockRef) -> Result<Vec<Amount>, SourceError> {
        self.source.balances(addresses, at).await
    }

    async fn internal_transfers(&self, addresses: &[Address], at: BlockRef) -> Result<Block, SourceError> {
        self.source.internal_transfers(addresses, at).await
    }
}
