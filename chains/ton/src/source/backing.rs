//! Whose word a masterchain block has beside that of the one it was read from.
//!
//! A masterchain block is final when it is there, and there is no way back from a false one but a person's: so its hash
//! must be the same at a second operator before anything stands on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use amn_core::block::{BlockHash, BlockRef, Header, Height, Operator};
use amn_core::source::Voucher;
use amn_core::timestamp::Timestamp;
use amn_rpc::Endpoint;
use futures_util::future::join_all;

use super::Shared;
use super::ask::{Ask, Row};
use super::identity::PATIENCE;
use super::trouble::Trouble;

/// Blocks' time that a second word is waited for; whoever else is there but distrusted is not waited for.
const WAITED_BLOCKS: u64 = 25;

/// Blocks asked for in one request.
const ROWS: u64 = 1_000;

/// How far a stretch is backed.
#[derive(Debug)]
pub(crate) struct Backed {
    /// The last block that is.
    pub(crate) to: Row,
    /// Who else has it.
    pub(crate) operators: BTreeSet<Operator>,
    /// Nobody stands behind it but the one it was read from.
    pub(crate) alone: bool,
}

impl Shared {
    /// Masterchain blocks without a gap from `from` on, at least that one, as an endpoint gives them or gave them a
    /// moment ago. `since`: any time that is not after the first of them.
    pub(crate) async fn rows(
        &self,
        ask: &Ask<'_>,
        from: Height,
        to: Height,
        since: Option<Timestamp>,
    ) -> Result<Vec<Row>, Trouble> {
        let mut rows = self.memory.rows(ask.endpoint, from, to);
        let mut since = rows.last().map(|row| row.time).or(since);
        loop {
            let next = rows.last().map_or(from, |row| row.at.height.next());
            if next > to {
                return Ok(rows);
            }
            let last = Height(next.0.saturating_add(ROWS - 1)).min(to);
            let page = match ask.rows(next, last, since).await {
                Ok(page) => page,
                // What is there is an answer.
                Err(Trouble::NotYet(_) | Trouble::Lacks(_)) if !rows.is_empty() => return Ok(rows),
                Err(trouble) => return Err(trouble),
            };
            let follow = page.iter().zip(next.0..).all(|(row, height)| row.at.height.0 == height);
            let (Some(end), true) = (page.last(), follow) else {
                return Err(Trouble::Failed(format!("blocks that do not follow one another from {next} on")));
            };
            since = Some(end.time);
            self.memory.says(ask.endpoint, &page);
            rows.extend(page);
        }
    }

    /// The block that an endpoint has at a height.
    pub(crate) async fn row(&self, endpoint: &Arc<Endpoint>, at: Height) -> Result<Row, Trouble> {
        if let Some(row) = self.memory.row(endpoint, at) {
            return Ok(row);
        }
        let row = Ask { endpoint }.row(at).await?;
        self.memory.says(endpoint, &[row]);
        Ok(row)
    }

    /// How much of what this endpoint gave is the network's: up to the last block that a second operator has, too.
    /// `rows` begin with the block we stand on.
    pub(crate) async fn backed(&self, by: &Arc<Endpoint>, rows: &[Row]) -> Result<Backed, Trouble> {
        let (Some(on), Some(last)) = (rows.first(), rows.last()) else {
            return Err(Trouble::Failed("no blocks".to_owned()));
        };
        let whole = Backed { to: *last, operators: BTreeSet::new(), alone: true };
        if self.one_is_enough() {
            return Ok(whole);
        }
        let others = self.others(by.operator());
        let nobody = others.is_empty();
        let mut against: Vec<(Arc<Endpoint>, Row)> = Vec::new();
        let (mut behind, mut silent, mut pruned) = (0_usize, Vec::new(), 0_usize);
        for other in others {
            match self.compared(&other, on, rows).await {
                Ok(Some((there, ours))) if there.at == ours.at => {
                    if let [(liar, at)] = against.as_slice() {
                        outvoted(liar, *at, by, &other);
                    }
                    self.memory.heard();
                    let operators = BTreeSet::from([other.operator().clone()]);
                    return Ok(Backed { to: ours, operators, alone: false });
                }
                Ok(Some((there, _))) => against.push((other, there)),
                Ok(None) => behind += 1,
                Err(Trouble::Pruned(_)) => pruned += 1,
                Err(Trouble::Lie(why)) => other.distrust(why),
                Err(trouble) => silent.push(format!("{}: {trouble:?}", other.name())),
            }
        }
        if let Some((other, there)) = against.first() {
            return self.contested(by, rows, other, *there).await.map(|row| Backed { to: row, ..whole });
        }
        if behind == 0 && silent.is_empty() && pruned > 0 {
            // History that nobody else keeps. It must lead to what is backed, or nothing in it ever settles.
            return Ok(whole);
        }
        if nobody || self.memory.waited(self.blocks_time(WAITED_BLOCKS), self.pool.time().now()) {
            return Ok(whole);
        }
        Err(Trouble::NotYet(format!("no second operator has block {} yet {}", last.at.height, silent.join("; "))))
    }

    /// What another endpoint has at the end of a stretch, or at its own head, where that is within it; and what this
    /// one has there. `None`: it has not got so far.
    async fn compared(&self, other: &Arc<Endpoint>, on: &Row, rows: &[Row]) -> Result<Option<(Row, Row)>, Trouble> {
        let Some(last) = rows.last() else { return Ok(None) };
        let there = match self.row(other, last.at.height).await {
            Ok(there) => there,
            // What it said a moment ago is its head.
            Err(Trouble::NotYet(_) | Trouble::Lacks(_)) => match self.memory.known(other).head {
                Some(head) if head.at.height < last.at.height => head,
                _ => return Ok(None),
            },
            Err(trouble) => return Err(trouble),
        };
        if there.at.height <= on.at.height {
            return Ok(None);
        }
        self.pool.note_said(other, there.at, None);
        Ok(rows.iter().find(|row| row.at.height == there.at.height).map(|ours| (there, *ours)))
    }

    /// Somebody has another block where this endpoint has one, and nobody else stands behind either.
    pub(crate) async fn contested(
        &self,
        by: &Arc<Endpoint>,
        rows: &[Row],
        other: &Endpoint,
        there: Row,
    ) -> Result<Row, Trouble> {
        let Some(ours) = rows.iter().find(|row| row.at.height == there.at.height) else {
            return Err(Trouble::Lacks(format!("nothing at block {}", there.at.height)));
        };
        if Box::pin(self.arbitrate(ours.at)).await {
            return Ok(*ours);
        }
        Err(match by.distrusted() {
            Some(why) => Trouble::Lie(why),
            None => Trouble::Disagree(format!(
                "{} and {} have different blocks at {}, and nobody else says which is the network's",
                by.operator(),
                other.operator(),
                ours.at.height
            )),
        })
    }

    /// Which of the blocks that operators have at a height is believed: the one that more of them have than any other,
    /// at least two. Whoever has another is distrusted: there are no forks here. Says whether the contested one is it;
    /// false where nobody can tell.
    pub(crate) async fn arbitrate(&self, contested: BlockRef) -> bool {
        let asked = self.endpoints().into_iter().map(async |endpoint| {
            // What it said before may have been another machine's mistake.
            let row = Ask { endpoint: &endpoint }.row(contested.height).await;
            (endpoint, row)
        });
        let mut opinions: Vec<(Arc<Endpoint>, BlockRef)> = Vec::new();
        for (endpoint, row) in join_all(asked).await {
            match row {
                Ok(row) => {
                    self.memory.says(&endpoint, &[row]);
                    opinions.push((endpoint, row.at));
                }
                Err(Trouble::Lie(why)) => endpoint.distrust(why),
                Err(_) => {}
            }
        }
        let mut camps: BTreeMap<BlockHash, BTreeSet<&Operator>> = BTreeMap::new();
        for (endpoint, there) in &opinions {
            camps.entry(there.hash).or_default().insert(endpoint.operator());
        }
        if camps.len() < 2 {
            return camps.contains_key(&contested.hash); // They agree by now, or nobody else answers.
        }
        let most = camps.values().map(BTreeSet::len).max().unwrap_or_default();
        let mut first = camps.iter().filter(|(_, operators)| operators.len() == most);
        let (Some((winner, _)), None, true) = (first.next(), first.next(), most > 1) else { return false };
        for (endpoint, there) in opinions.iter().filter(|(_, there)| there.hash != *winner) {
            endpoint.distrust(format!(
                "insists on block {} {}: {most} operators have {winner} there",
                there.height, there.hash
            ));
            self.memory.forget(endpoint);
            // It may have been its word.
            self.memory.keep_head(None);
        }
        *winner == contested.hash
    }

    /// What each operator has at a height, or at its own head, where that is lower.
    pub(crate) async fn vouch(&self, at: &Header) -> Vec<Voucher> {
        let asked = self.voices().into_iter().map(async |endpoint| {
            let answer = tokio::time::timeout(PATIENCE, self.at_or_head(&endpoint, at.at.height)).await;
            (endpoint, answer)
        });
        let mut vouchers = Vec::new();
        for (endpoint, answer) in join_all(asked).await {
            match answer {
                Ok(Ok(row)) => {
                    let ours = (row.at.height == at.at.height).then_some(at.at);
                    self.pool.note_said(&endpoint, row.at, ours);
                    vouchers.push(Voucher { operator: endpoint.operator().clone(), block: row.at });
                }
                Ok(Err(Trouble::Lie(why))) => endpoint.distrust(why),
                Ok(Err(_)) | Err(_) => {}
            }
        }
        vouchers
    }

    async fn at_or_head(&self, endpoint: &Arc<Endpoint>, height: Height) -> Result<Row, Trouble> {
        match self.row(endpoint, height).await {
            Err(Trouble::NotYet(_) | Trouble::Lacks(_)) => {
                let head = self.memory.reaches(endpoint, Ask { endpoint }.head().await?);
                if head.at.height >= height { self.row(endpoint, height).await } else { Ok(head) }
            }
            row => row,
        }
    }
}

/// Two operators have one block: whoever has another there stands alone.
fn outvoted(liar: &Arc<Endpoint>, there: Row, by: &Endpoint, and: &Endpoint) {
    let (height, hash, by, and) = (there.at.height, there.at.hash, by.operator(), and.operator());
    liar.distrust(format!("it has block {height} {hash}; {by} and {and} have another there"));
}
