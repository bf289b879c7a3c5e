//! Whether a block that was read once more is ours, and what of it the ledger lacks.

use std::collections::BTreeSet;

use amn_core::block::{Block, Header, Inclusion, Operator};
use amn_core::source::{ChainSource, SourceError, Watch};

use super::{Auditor, Trouble};
use crate::store::recall::{self, Compared};
use crate::store::{StoreError, contracts};

/// Whose a block is.
pub(super) enum Whose {
    Ours,
    /// Somebody has another block at its height; the words say who and which.
    Contested(String),
}

impl<S: ChainSource> Auditor<S> {
    /// Whether we stand on a block: by our own hash where the ledger has it, else by the word of as many operators as
    /// could move us. Where they do not say, that is an error, and no answer.
    pub(super) async fn whose(&self, header: &Header, read_by: &BTreeSet<Operator>) -> Result<Whose, Trouble> {
        let at = header.at;
        if let Some(ours) = recall::hash_at(&self.parts.pool, &self.network(), at.height).await? {
            if ours == at.hash {
                return Ok(Whose::Ours);
            }
            let by = words(read_by);
            return Ok(Whose::Contested(format!("{by} has {} at {}, we have {ours}", at.hash, at.height)));
        }
        let (behind, against) = self.vouching(header, read_by).await?;
        if let Some(detail) = against {
            return Ok(Whose::Contested(detail));
        }
        let asked = usize::try_from(self.parts.desk.facts().rewind_operators).unwrap_or(usize::MAX);
        if behind.len() < asked {
            let text = format!("no second operator stands behind block {} {} now", at.height, at.hash);
            return Err(SourceError::Unavailable(text).into());
        }
        Ok(Whose::Ours)
    }

    /// Who stands behind a block, whoever gave it among them; and what is said against it.
    async fn vouching(
        &self,
        header: &Header,
        read_by: &BTreeSet<Operator>,
    ) -> Result<(BTreeSet<Operator>, Option<String>), SourceError> {
        let at = header.at;
        let mut behind = read_by.clone();
        let mut against = None;
        for voucher in self.parts.source.vouch(header).await? {
            if voucher.block == at {
                behind.insert(voucher.operator);
            } else if voucher.block.height == at.height {
                let (operator, there) = (voucher.operator, voucher.block.hash);
                against = Some(format!("{operator} has {there} at {}, {} has {}", at.height, words(read_by), at.hash));
            }
        }
        Ok((behind, against))
    }

    /// What of a block of ours the ledger lacks, and what it has that the block does not hold.
    pub(super) async fn compare(&self, block: &Block, watch: &Watch) -> Result<Compared, Trouble> {
        let facts = self.parts.desk.facts();
        let places = block.transfers.iter().enumerate();
        let candidates: Vec<usize> =
            places.filter(|(_, transfer)| facts.leaves_out(transfer).is_none()).map(|(place, _)| place).collect();
        let native = watch.any_native();
        Ok(recall::compare(&self.parts.pool, &facts.id, block, &candidates, native).await?)
    }

    /// The block with nothing in it but what was missed, and everybody who stands behind it: so it settles on its own
    /// evidence. `None`: no root commits to what was missed, and a second operator does not say the same.
    pub(super) async fn missed(&self, block: &Block, missing: &[usize]) -> Result<Option<Block>, Trouble> {
        let mut found = block.clone();
        found.transfers = missing.iter().filter_map(|place| block.transfers.get(*place).cloned()).collect();
        // Take-backs were met when the block was read first; what else was seen in it was noted then.
        found.takebacks.clear();
        found.contract_events.clear();
        found.observations.clear();
        let (behind, _) = self.vouching(&block.header, &block.evidence.operators).await?;
        if block.evidence.inclusion == Inclusion::Reported && self.parts.desk.facts().rewind_operators > 1 {
            let again = self.corroborated(block).await?;
            found.transfers.retain(|transfer| {
                again.transfers.iter().any(|other| other.id == transfer.id && other.same_content(transfer))
            });
            found.evidence.operators.extend(again.evidence.operators);
        }
        found.evidence.operators.extend(behind);
        Ok((!found.transfers.is_empty()).then_some(found))
    }

    /// Hands what contracts said in a block of ours, and somebody listens for and has not heard, to the rules; how much
    /// came of it. The chain commits to all of it, so that one node's word is enough to know what was said.
    pub(super) async fn hear(&mut self, block: &Block) -> Result<u64, Trouble> {
        let mut db = self.parts.pool.acquire().await.map_err(StoreError::from)?;
        let unheard = contracts::unheard(&mut db, &self.network(), block).await?;
        drop(db);
        if unheard.is_empty() {
            return Ok(0);
        }
        let mut found = block.clone();
        found.contract_events = unheard.iter().filter_map(|place| block.contract_events.get(*place).cloned()).collect();
        found.transfers.clear();
        found.takebacks.clear();
        found.observations.clear();
        let (behind, _) = self.vouching(&block.header, &block.evidence.operators).await?;
        found.evidence.operators.extend(behind);
        self.credit(found).await
    }

    /// What no root commits to must be said by a second operator as well.
    async fn corroborated(&self, block: &Block) -> Result<Block, Trouble> {
        let first = block.evidence.operators.first();
        let again = self.parts.source.reread(block.header.at.height, first, 0, &Watch::everything(true)).await?;
        let another = again.evidence.operators.iter().any(|operator| Some(operator) != first);
        if !another || again.header.at != block.header.at {
            let text = format!("no second operator shows what block {} holds", block.header.at.height);
            return Err(SourceError::Unavailable(text).into());
        }
        Ok(again)
    }
}

/// Names, as one text.
pub(super) fn words(operators: &BTreeSet<Operator>) -> String {
    if operators.is_empty() {
        return "somebody".to_owned();
    }
    operators.iter().map(Operator::as_str).collect::<Vec<_>>().join(", ")
}
