//! Better evidence for ledgers that were read before: who else has them, and who built on them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use amn_core::block::{BlockRef, Evidence, Header, Height, Inclusion, Operator};
use amn_core::source::{Voucher, Watch};
use amn_core::timestamp::Timestamp;

use super::page::{self, Stock, Wanted};
use super::trouble::Trouble;
use super::{PAGE_MAX, Shared, identity, number};
use crate::evidence::COUNTED_ABOVE;

/// Ledgers whose attestations are counted page by page at a time: a deposit older than what is remembered asks for it,
/// after a restart.
const COUNTED_MAX: usize = 256;

/// A ledger, and the organisation that built it.
pub type Step = (Header, Option<Arc<str>>);

/// Who attested ledgers that are older than what is remembered of the chain, as far as was read.
#[derive(Debug, Default)]
pub struct Counted(Mutex<BTreeMap<BlockRef, Count>>);

#[derive(Debug, Clone)]
struct Count {
    who: BTreeSet<Arc<str>>,
    /// The last ledger above that was read.
    through: BlockRef,
}

impl Shared {
    /// What more is known of a ledger now: remembered or, where nodes may be asked, heard. That its content is proven
    /// was found when it was read.
    pub async fn evidence_of(&self, block: BlockRef, ask: bool) -> Evidence {
        let behind = |vouchers: Vec<Voucher>| {
            vouchers.into_iter().filter(|voucher| voucher.block == block).map(|voucher| voucher.operator).collect()
        };
        let operators: BTreeSet<Operator> = if ask {
            // Only its name is compared.
            let unknown = Header { at: block, parent: block.hash, time: Timestamp::from_millis(0) };
            behind(identity::vouch(self, &unknown).await)
        } else {
            behind(self.said_of(block).0)
        };
        let attestations = Some(self.attestations_of(block, ask).await);
        Evidence { inclusion: Inclusion::Reported, operators, attestations }
    }

    async fn attestations_of(&self, block: BlockRef, ask: bool) -> u32 {
        let remembered = {
            let attestations = self.attestations();
            attestations.knows(block).then(|| attestations.of(block))
        };
        match remembered {
            Some(count) => count,
            None if self.network.organisations.count() == 0 => 0,
            None if ask => self.count_on(block).await,
            None => self.counted.of(block).organisations(),
        }
    }

    /// Reads one page more of the ledgers above, up to as many as are counted.
    async fn count_on(&self, block: BlockRef) -> u32 {
        let mut count = self.counted.of(block);
        if count.through.height.above(block.height) >= COUNTED_ABOVE as u64
            || count.who.len() >= self.network.organisations.count()
        {
            return count.organisations();
        }
        if let Some(steps) = self.next_above(count.through).await {
            for (header, organisation) in steps {
                count.through = header.at;
                count.who.extend(organisation);
            }
            self.counted.keep(block, count.clone());
        }
        count.organisations()
    }

    /// The ledgers that follow, from whoever has them.
    async fn next_above(&self, on: BlockRef) -> Option<Vec<Step>> {
        let mut gone = false;
        for endpoint in self.endpoints_at(on.height.next()) {
            match self.above(&endpoint, on).await {
                Ok(steps) => return Some(steps),
                Err(Trouble::Lie(why)) => endpoint.distrust(why),
                Err(Trouble::Pruned(_)) => gone = true,
                // Who stands on another ledger is for the vouchers to say.
                Err(_) => {}
            }
        }
        for lake in self.lakes().iter().filter(|_| gone) {
            let up_to = Height(on.height.0.saturating_add(u64::from(PAGE_MAX)));
            match self.read_lake(lake, Some(on), on.height.next(), up_to, PAGE_MAX, &Watch::default()).await {
                Ok(shown) => return Some(shown.steps),
                Err(Trouble::Lie(why)) => lake.distrust(why),
                Err(_) => {}
            }
        }
        None
    }

    /// The ledgers that stand on this one, a page of them, as one endpoint has them.
    pub async fn above(&self, endpoint: &Arc<amn_rpc::Endpoint>, on: BlockRef) -> Result<Vec<Step>, Trouble> {
        let ask = self.ask(endpoint);
        let first = number(on.height.next())?;
        let latest = ask.range_to(first.saturating_add(PAGE_MAX - 1)).await?.latest;
        if latest < first {
            return Err(Trouble::NotYet(format!("its newest ledger is {latest}")));
        }
        let count = self.memory.page(endpoint).min(latest - first + 1);
        let answer = ask.page(first, count).await?;
        let (network, watch) = (self.network.clone(), Watch::default());
        let wanted = Wanted { network, watch, on: Some(on), first, at_most: count as usize };
        Ok(page::read(wanted, Stock::Pages(vec![answer])).await?.steps)
    }
}

impl Count {
    fn organisations(&self) -> u32 {
        u32::try_from(self.who.len()).unwrap_or(u32::MAX)
    }
}

impl Counted {
    pub fn who(&self, block: BlockRef) -> BTreeSet<Arc<str>> {
        self.of(block).who
    }

    fn of(&self, block: BlockRef) -> Count {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&block).cloned().unwrap_or_else(|| Count { who: BTreeSet::new(), through: block })
    }

    fn keep(&self, block: BlockRef, count: Count) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(block, count);
        while known.len() > COUNTED_MAX {
            // Who is counted best needs us least. Never the one in hand: it would begin anew at each look.
            let others = known.iter().filter(|(at, _)| **at != block);
            let Some(best) = others.max_by_key(|(at, count)| (count.who.len(), **at)).map(|(at, _)| *at) else {
                return;
            };
            known.remove(&best);
        }
    }
}
