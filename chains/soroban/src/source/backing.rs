//! Whose word a ledger has beside that of the one it was read from.
//!
//! A liar can make a child of the true tip that proves itself in every respect. What it cannot make is a second
//! operator that has the same, or the signatures of validators that built on it. Without either nothing moves: on a
//! network whose ledgers are final there is no way back from a false one but a person's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use amn_core::block::{BlockHash, BlockRef, Header, Height, Operator};
use amn_core::source::Watch;
use amn_rpc::Endpoint;
use amn_rpc::config::JSON_RPC;

use super::page::Shown;
use super::trouble::Trouble;
use super::{PAGE_MAX, Shared};

/// Organisations that must have built on a ledger before it is taken for the network's on their word alone: one may be
/// robbed of its keys.
const ORGANISATIONS: usize = 2;

/// Ledgers' time that a second word is waited for where no validators are known; whoever else is there but distrusted
/// is not waited for.
const WAITED_LEDGERS: u64 = 3;

/// Pages of ledgers above a stretch that are read for who built on it: four of eight are three minutes of the public
/// network, in which every organisation has closed a ledger.
const PAGES_ABOVE: usize = 4;

/// How much of a stretch is backed.
#[derive(Debug)]
pub struct Backed {
    /// So many of its ledgers, from the first on.
    pub count: usize,
    /// Who else has the last of them.
    pub operators: BTreeSet<Operator>,
    /// Nobody stands behind it but the one it was read from.
    pub alone: bool,
}

impl Shared {
    /// How many organisations must have built on a ledger; `None` where the network names none.
    pub fn organisations_asked(&self) -> Option<u32> {
        let known = self.network.organisations.count().min(ORGANISATIONS);
        u32::try_from(known).ok().filter(|asked| *asked > 0)
    }

    /// How much of what this endpoint gave is the network's.
    pub async fn backed(&self, by: &Arc<Endpoint>, on: BlockRef, shown: &Shown) -> Result<Backed, Trouble> {
        let all = shown.blocks.len();
        let whole = Backed { count: all, operators: BTreeSet::new(), alone: true };
        if self.one_is_enough() {
            return Ok(whole);
        }
        let (mut asked, others) = (Asked::default(), self.others(by.operator()));
        let nobody = others.is_empty();
        for other in others {
            match self.compare(&other, on, shown).await {
                Ok(Word::Same(count)) => {
                    let operators = BTreeSet::from([other.operator().clone()]);
                    contradicted(&asked.against, by, &other);
                    self.memory.heard();
                    return Ok(Backed { count, operators, alone: false });
                }
                Ok(Word::Other(there)) => asked.against.push((other, there)),
                Ok(Word::Behind) => asked.behind += 1,
                Err(Trouble::Pruned(_)) => asked.pruned += 1,
                Err(Trouble::Lie(why)) => other.distrust(why),
                Err(trouble) => asked.silent.push(format!("{}: {trouble:?}", other.name())),
            }
        }
        let attested = self.organisations_asked().map_or(0, |asked| shown.attested_to(asked));
        if attested > 0 {
            let highest = Height(on.height.0.saturating_add(attested as u64));
            for (other, there) in asked.against.iter().filter(|(_, there)| there.at.height <= highest) {
                other.distrust(format!(
                    "it has ledger {} {}; validators built on another",
                    there.at.height, there.at.hash
                ));
            }
            return Ok(Backed { count: attested, operators: BTreeSet::new(), alone: false });
        }
        if let Some((other, there)) = asked.against.first() {
            let count = usize::try_from(there.at.height.above(on.height)).unwrap_or(usize::MAX);
            return self.contested(by, shown, other, *there).await.map(|()| Backed { count, ..whole });
        }
        if asked.behind == 0 && asked.silent.is_empty() && asked.pruned > 0 {
            // History that nobody else keeps. Where no validators are known it must lead to what is backed, or nothing
            // in it ever settles. Lakes are looked at once more by whoever reads them.
            return match self.organisations_asked() {
                Some(asked) if by.kind() == JSON_RPC => self.built_on_above(by, shown, asked).await,
                _ => Ok(whole),
            };
        }
        let patience = Duration::from_millis(self.network.facts.block_time_ms.saturating_mul(WAITED_LEDGERS));
        let waited = || nobody || self.memory.waited(patience, self.pool.time().now());
        if self.organisations_asked().is_none() && waited() {
            return Ok(whole);
        }
        let (last, silent) = (on.height.0.saturating_add(all as u64), asked.silent.join("; "));
        Err(Trouble::NotYet(format!("no second operator and no validators stand behind ledger {last} yet {silent}")))
    }

    /// How much of a stretch that one endpoint alone keeps validators built on: in the ledgers that follow it, which
    /// that endpoint keeps too, if they are the network's.
    async fn built_on_above(&self, by: &Arc<Endpoint>, shown: &Shown, asked: u32) -> Result<Backed, Trouble> {
        let (mut on, mut above) = (shown.tip().map(|tip| tip.at), BTreeSet::new());
        let first = shown.blocks.first().map_or(Height(0), |block| block.header.at.height);
        for _ in 0..PAGES_ABOVE {
            let Some(tip) = on else { break };
            for (header, organisation) in self.above(by, tip).await? {
                on = Some(header.at);
                above.extend(organisation);
            }
            let count = attested_to(shown, above.clone(), asked);
            if count > 0 {
                return Ok(Backed { count, operators: BTreeSet::new(), alone: false });
            }
        }
        let (operator, last) = (by.operator(), on.map_or(first, |on| on.height));
        Err(Trouble::Disagree(format!(
            "{operator} alone keeps ledgers {first} to {last}, and no {asked} organisations built on them"
        )))
    }

    /// What another endpoint has at the end of a stretch, or at its own head, where that is within it.
    async fn compare(&self, other: &Arc<Endpoint>, on: BlockRef, shown: &Shown) -> Result<Word, Trouble> {
        let Some(last) = shown.tip() else { return Ok(Word::Behind) };
        let ask = self.ask(other);
        let range = ask.range_to(super::number(last.at.height)?).await?;
        let height = last.at.height.min(Height(u64::from(range.latest)));
        if height <= on.height {
            return Ok(Word::Behind);
        }
        let there = ask.header_once(height).await?;
        let count = usize::try_from(height.above(on.height)).unwrap_or(usize::MAX);
        let same =
            count.checked_sub(1).and_then(|place| shown.blocks.get(place)).is_some_and(|b| b.header.at == there.at);
        self.pool.note_said(other, there.at, None);
        Ok(if same { Word::Same(count) } else { Word::Other(there) })
    }

    /// Somebody has another ledger where this endpoint has one, and nobody else stands behind either.
    async fn contested(
        &self,
        by: &Arc<Endpoint>,
        shown: &Shown,
        other: &Endpoint,
        there: Header,
    ) -> Result<(), Trouble> {
        let Some(ours) = shown.blocks.iter().find(|block| block.header.at.height == there.at.height) else {
            return Err(Trouble::Lacks(format!("nothing at ledger {}", there.at.height)));
        };
        let ours = ours.header.at;
        if Box::pin(self.arbitrate(ours)).await {
            return Ok(());
        }
        let (height, operator) = (ours.height, other.operator());
        Err(match by.distrusted() {
            Some(why) => Trouble::Lie(why),
            None => Trouble::Disagree(format!(
                "{} and {operator} have different ledgers at {height}; which one validators build on is not shown yet",
                by.operator()
            )),
        })
    }

    /// Which of the ledgers that endpoints have at a height is believed: the one that validators built on, else the one
    /// that more operators have than any other, at least two. Whoever has another is distrusted: there are no forks
    /// here. Says whether the contested one is it; false where nobody can tell.
    pub async fn arbitrate(&self, contested: BlockRef) -> bool {
        let mut opinions: Vec<(Arc<Endpoint>, BlockRef)> = Vec::new();
        for endpoint in self.endpoints() {
            // What it said before may have been another machine's mistake.
            match self.ask(&endpoint).header(contested.height).await {
                Ok((header, _)) => opinions.push((endpoint, header.at)),
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
        let winner = match self.built_on(contested.height, &opinions).await {
            Some(attested) => Some(attested),
            None => outnumbering(&camps),
        };
        let Some((winner, why)) = winner else { return false };
        for (endpoint, there) in opinions.iter().filter(|(_, there)| there.hash != winner) {
            endpoint.distrust(format!("insists on ledger {} {}: {why}", there.height, there.hash));
        }
        winner == contested.hash
    }

    /// The only ledger at a height that validators of enough organisations built on, as its endpoints show it.
    async fn built_on(&self, height: Height, opinions: &[(Arc<Endpoint>, BlockRef)]) -> Option<(BlockHash, String)> {
        let asked = self.organisations_asked()?;
        let nothing = Watch::default();
        let mut attested: BTreeMap<BlockHash, String> = BTreeMap::new();
        for (endpoint, there) in opinions {
            if attested.contains_key(&there.hash) {
                continue;
            }
            let mut who = self.attestations().who(*there);
            if who.len() < asked as usize {
                match self.whole(&self.ask(endpoint), height, PAGE_MAX, &nothing).await {
                    Ok(shown) => who = shown.attested.who(*there),
                    Err(Trouble::Lie(why)) => endpoint.distrust(why),
                    Err(_) => {}
                }
            }
            if who.len() >= asked as usize {
                let names = who.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ");
                attested.insert(there.hash, format!("validators of {names} built on {}", there.hash));
            }
        }
        if attested.len() == 1 { attested.pop_first() } else { None }
    }
}

/// How many ledgers of a stretch, from the first on, so many organisations built on, with those that built above it.
fn attested_to(shown: &Shown, mut above: BTreeSet<Arc<str>>, asked: u32) -> usize {
    let mut count = shown.steps.len();
    for (_, organisation) in shown.steps.iter().rev() {
        if above.len() >= asked as usize {
            break;
        }
        above.extend(organisation.clone());
        count -= 1;
    }
    count
}

/// Two operators have one ledger: whoever has another there stands alone, unless others stand with it.
fn contradicted(against: &[(Arc<Endpoint>, Header)], by: &Endpoint, and: &Endpoint) {
    let operators: BTreeSet<&Operator> = against.iter().map(|(endpoint, _)| endpoint.operator()).collect();
    if operators.len() > 1 {
        return;
    }
    for (endpoint, there) in against {
        let (height, hash, by, and) = (there.at.height, there.at.hash, by.operator(), and.operator());
        endpoint.distrust(format!("it has ledger {height} {hash}; {by} and {and} have another there"));
    }
}

/// What another endpoint says of a stretch.
enum Word {
    /// It has the last of so many of its ledgers.
    Same(usize),
    Other(Header),
    /// It has not got so far.
    Behind,
}

#[derive(Default)]
struct Asked {
    against: Vec<(Arc<Endpoint>, Header)>,
    behind: usize,
    pruned: usize,
    silent: Vec<String>,
}

/// The ledger that more operators have than any other, at least two.
fn outnumbering(camps: &BTreeMap<BlockHash, BTreeSet<&Operator>>) -> Option<(BlockHash, String)> {
    let most = camps.values().map(BTreeSet::len).max().filter(|most| *most > 1)?;
    let mut first = camps.iter().filter(|(_, operators)| operators.len() == most);
    match (first.next(), first.next()) {
        (Some((hash, _)), None) => Some((*hash, format!("{most} operators have {hash} there"))),
        _ => None,
    }
}
