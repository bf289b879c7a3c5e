//! Compares native balances with what is known to have arrived: money that moves inside a contract call
//! leaves no log and no transaction of its own, and is found only here.

use amn_core::block::{Address, Block, Evidence, Header, Height, Inclusion, Transfer};
use amn_core::engine::{Alarm, Input};
use amn_core::money::Amount;
use amn_core::source::{ChainSource, SourceError};
use tracing::info;

use super::{Follower, Trouble};
use crate::store::balances::{self, Due};

/// Surpluses traced at one address in one look; the rest is found by the next one.
const FOUND_MAX: usize = 4;

impl<S: ChainSource> Follower<S> {
    /// Looks at the balances that are due, at a block that is not expected to leave the chain.
    pub(super) async fn check_balances(&mut self) -> Result<(), Trouble> {
        let Some(every) = self.parts.balance_check else { return Ok(()) };
        let Some(at) = self.known.as_ref().and_then(|known| known.finalized) else { return Ok(()) };
        // Every round asks: thousands of headers are read from the database only where memory does not hold this one.
        let at = match self.parts.desk.remembered(at.height).filter(|header| header.at == at) {
            Some(header) => header,
            None => match self.parts.desk.headers().await?.get(&at.height) {
                Some(header) => *header,
                None => return Ok(()),
            },
        };
        for due in balances::due(&self.parts.pool, &self.network(), &at, every).await? {
            match self.check_balance(&due, at).await {
                Ok(()) => {}
                // A node that has no state so old cannot say; what it cannot show now it never will.
                Err(Trouble::Source(why @ (SourceError::Unsupported(_) | SourceError::Pruned(_)))) => {
                    self.say_alarm(&Alarm { kind: "balance_unknown", detail: format!("{}: {why}", due.address) });
                    let now = self.balance(&due.address, at).await.unwrap_or(Amount::ZERO);
                    balances::note(&self.parts.pool, due.watch, now, &at).await?;
                }
                // Nothing of it counts until they agree; it is asked again with the next round.
                Err(Trouble::Source(SourceError::Malformed(why))) => {
                    self.say_alarm(&Alarm { kind: "balance_contested", detail: format!("{}: {why}", due.address) });
                }
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    async fn check_balance(&mut self, due: &Due, at: Header) -> Result<(), Trouble> {
        let (mut had, mut from) = match due.last {
            Some(last) => last,
            None => {
                let before = Height(due.since.0.saturating_sub(1)).min(at.at.height);
                let header = self.parts.source.header_at(before).await?;
                (self.balance(&due.address, header).await?, before)
            }
        };
        let has = self.balance(&due.address, at).await?;
        for _ in 0..FOUND_MAX {
            if has <= self.expected(due, had, from, at.at.height).await? {
                break;
            }
            let (block, now) = self.first_surplus(due, had, from, at).await?;
            self.record_surplus(due, had, from, block, now).await?;
            (had, from) = (now, block.at.height);
        }
        balances::note(&self.parts.pool, due.watch, has, &at).await?;
        Ok(())
    }

    async fn balance(&self, address: &Address, at: Header) -> Result<Amount, SourceError> {
        let read = self.parts.source.balances(std::slice::from_ref(address), at.at).await?;
        read.first().copied().ok_or_else(|| SourceError::Malformed("no balance was answered".into()))
    }

    async fn expected(&self, due: &Due, had: Amount, from: Height, to: Height) -> Result<Amount, Trouble> {
        let arrived = balances::arrived(&self.parts.pool, &self.network(), &due.address, from, to).await?;
        Ok(Amount::total([had, arrived]))
    }

    /// The first block whose balance is more than what is known, by halving.
    async fn first_surplus(
        &self,
        due: &Due,
        had: Amount,
        from: Height,
        at: Header,
    ) -> Result<(Header, Amount), Trouble> {
        let (mut low, mut high) = (from.0, at.at.height.0);
        while low + 1 < high {
            let middle = Height(low.midpoint(high));
            let header = self.parts.source.header_at(middle).await?;
            if self.balance(&due.address, header).await? > self.expected(due, had, from, middle).await? {
                high = middle.0;
            } else {
                low = middle.0;
            }
        }
        let header = self.parts.source.header_at(Height(high)).await?;
        Ok((header, self.balance(&due.address, header).await?))
    }

    /// Hands what was found to the rules: traced where a node can, else as money that nobody can name.
    async fn record_surplus(
        &mut self,
        due: &Due,
        had: Amount,
        from: Height,
        at: Header,
        now: Amount,
    ) -> Result<(), Trouble> {
        let address = std::slice::from_ref(&due.address);
        let traced = match self.parts.source.internal_transfers(address, at.at).await {
            Ok(block) if !block.transfers.is_empty() => Some(block),
            Ok(_) | Err(SourceError::Unsupported(_) | SourceError::Pruned(_)) => None,
            Err(other) => return Err(other.into()),
        };
        let surplus = now.beyond(self.expected(due, had, from, at.at.height).await?);
        // A trace is one node's word, and the balance is not: what it holds beyond that did not stay.
        let traced = traced.filter(|block| {
            let said = Amount::total(block.transfers.iter().map(|transfer| transfer.amount));
            if said > surplus {
                let detail =
                    format!("{}: a trace says {said}, the balance grew by {surplus} more than is known", due.address);
                self.say_alarm(&Alarm { kind: "trace_exceeds_balance", detail });
            }
            said <= surplus
        });
        let block = match traced {
            Some(block) => block,
            None => {
                let native = self.parts.desk.facts().assets.iter().find(|asset| asset.native);
                let Some(asset) = native.map(|asset| asset.id.clone()) else { return Ok(()) };
                let transfer = Transfer {
                    id: balances::unseen(at.at, due.watch),
                    asset,
                    from: None,
                    to: due.address.clone(),
                    reference: None,
                    amount: surplus,
                };
                Block {
                    header: at,
                    transfers: vec![transfer],
                    takebacks: Vec::new(),
                    contract_events: Vec::new(),
                    observations: Vec::new(),
                    evidence: Evidence { inclusion: Inclusion::Reported, ..Evidence::default() },
                }
            }
        };
        info!(network = %self.network(), height = at.at.height.0, to = %due.address, "the balance of {} grew by more than is known", due.address);
        self.decide(&Input::Found { blocks: vec![block], intents: Vec::new(), contracts: Vec::new(), through: at.at })
            .await?;
        Ok(())
    }
}
