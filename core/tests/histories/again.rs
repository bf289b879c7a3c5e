//! Covered heights are read again: for newer watches, and because something may have been left out.

use amn_core::block::{Address, Block, Height, TransferId};
use amn_core::engine::{Effect, Input};
use amn_core::intent::Intent;
use proptest::test_runner::TestCaseError;

use super::count;
use super::truth::FIRST;
use super::world::{Judge, World, spot};

impl World {
    pub(super) fn backfill(&mut self, part: u64, judge: Judge<'_>) -> Result<(), TestCaseError> {
        let Some(tip) = self.state.standing.tip else { return skip("backfill") };
        let owed = |i: &Intent| i.backfill.map(|(from, to)| (from, to, i.id, i.terms.address.clone()));
        let Some((from, to, id, address)) = self.state.intents.values().find_map(owed) else { return skip("backfill") };
        let through = to.min(tip.at.height).min(Height(from.0 + part));
        let Some(end) = self.truth.at(through).map(|b| b.header.at).filter(|_| from <= through) else {
            return skip("backfill");
        };
        let mut blocks: Vec<Block> = (from.0..=through.0).filter_map(|h| self.truth.at(Height(h)).cloned()).collect();
        for block in &mut blocks {
            block.transfers.retain(|t| t.to == address);
            block.takebacks.retain(|t| t.from == address);
        }
        blocks.retain(|b| !b.transfers.is_empty() || !b.takebacks.is_empty());
        for block in &mut blocks {
            block.evidence = self.evidence(block.header.at.hash, 1, true);
        }
        count("backfill");
        for block in &mut blocks {
            block.contract_events.clear();
        }
        self.tell(Input::Found { blocks, intents: vec![id], contracts: Vec::new(), through: end }, judge)
    }

    /// Reads covered heights once more and hands in what they hold, known or not.
    pub(super) fn rescan(&mut self, back: u64, blocks: u64, judge: Judge<'_>) -> Result<(), TestCaseError> {
        let Some(tip) = self.state.standing.tip else { return skip("rescan") };
        let through = tip.at.height.back(back);
        let from = through.back(blocks).max(Height(FIRST + 1));
        let Some(end) = self.truth.at(through).map(|b| b.header.at).filter(|_| from <= through) else {
            return skip("rescan");
        };
        let mut read: Vec<Block> = (from.0..=through.0).filter_map(|h| self.truth.at(Height(h)).cloned()).collect();
        for block in &mut read {
            let height = block.header.at.height;
            // What a stretch was not read for is its backfill's to find.
            let owed = |to: &Address| {
                let mut all = self.state.intents.values().filter(|intent| intent.terms.address == *to);
                all.any(|intent| intent.backfill.is_some_and(|(a, b)| (a..=b).contains(&height)))
            };
            block.transfers.retain(|t| self.since.get(&t.to).is_some_and(|since| height >= *since) && !owed(&t.to));
            block.takebacks.clear();
        }
        for block in &mut read {
            block.evidence = self.evidence(block.header.at.hash, 3, true);
        }
        count("rescan");
        let ids: Vec<TransferId> = read.iter().flat_map(|block| &block.transfers).map(|transfer| transfer.id).collect();
        let mut heard = Vec::new();
        let said: Vec<_> = read.iter().flat_map(|block| &block.contract_events).map(spot).collect();
        let input = Input::Found { blocks: read, intents: Vec::new(), contracts: Vec::new(), through: end };
        let halted = self.state.standing.halted.is_some();
        self.tell(input, &mut |world, step| {
            heard.extend(step.effects.iter().cloned());
            judge(world, step)
        })?;
        let ours = !heard.iter().any(|e| matches!(e, Effect::Alarm(alarm) if alarm.kind == "rescan_on_other_branch"));
        if ours && !halted {
            if heard.iter().any(|e| matches!(e, Effect::Record(_))) {
                count("rescan found");
            }
            self.left_out.retain(|id| !ids.contains(id));
            self.unsaid.retain(|at| !said.contains(at));
        }
        Ok(())
    }
}

#[expect(clippy::unnecessary_wraps, reason = "reads as the end of an action")]
fn skip(what: &'static str) -> Result<(), TestCaseError> {
    count(if what == "backfill" { "skipped: backfill" } else { "skipped: rescan" });
    Ok(())
}
