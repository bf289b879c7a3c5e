//! Operators contradict each other about a block: whose branch is read, and who is distrusted.
//!
//! More operators outweigh fewer. Where as many stand on each side nobody can tell who is right, and
//! nothing that needs two of them is credited, until one side stands still while the other grows: a
//! forged child is made once, a chain goes on. Length alone decides nothing, because a liar makes
//! blocks as fast as he likes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use amn_core::block::{BlockHash, BlockRef, Height, Operator};
use amn_rpc::Endpoint;
use futures_util::future::join_all;

use super::EvmSource;
use super::identity::PATIENCE;
use super::trouble::Trouble;

/// Blocks above a height before nodes that differ there are taken to differ for good. Natural forks of
/// the networks we ship are one block deep, now and then two.
const SETTLED_ENOUGH: u64 = 3;

/// What is remembered of quarrels. Bounded by the number of endpoints.
#[derive(Debug, Default)]
pub(crate) struct Quarrel(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Endpoints that nothing is read from, because others outvote them, and the first block they were
    /// outvoted on since they last agreed.
    outvoted: BTreeMap<String, BlockRef>,
    /// Where each endpoint's head was when it last moved.
    moved: BTreeMap<String, Moved>,
    /// How many times in a row an endpoint gave us a block that nobody has, itself included.
    denied: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Moved {
    head: BlockRef,
    /// The highest head among those who contradicted it then.
    others: Height,
}

/// What one endpoint says.
struct Opinion {
    endpoint: Arc<Endpoint>,
    there: BlockRef,
    head: BlockRef,
}

impl Quarrel {
    pub(crate) fn outvoted(&self, name: &str) -> bool {
        self.known().outvoted.contains_key(name)
    }

    /// Another operator has the block that this endpoint gave.
    pub(crate) fn confirmed(&self, name: &str) {
        self.known().denied.remove(name);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks again while somebody is outvoted: whoever came round is read from again, whoever insists is
/// distrusted once the chain has gone on.
pub(super) async fn follow_up(source: &EvmSource) {
    let contested = source.quarrel.known().outvoted.values().min().copied();
    if let Some(contested) = contested {
        arbitrate(source, contested).await;
    }
}

/// Whether the contested block is the one that is believed. See [`amn_core::source::ChainSource::arbitrate`].
pub(super) async fn arbitrate(source: &EvmSource, contested: BlockRef) -> bool {
    let asked = source.everybody().into_iter().map(|endpoint| opinion(source, endpoint, contested.height));
    let opinions: Vec<Opinion> = join_all(asked).await.into_iter().flatten().collect();
    let mut known = source.quarrel.known();
    let before = std::mem::take(&mut known.outvoted);
    let camps: BTreeSet<BlockHash> = opinions.iter().map(|opinion| opinion.there.hash).collect();
    if camps.len() < 2 {
        let agreed = camps.contains(&contested.hash); // They agree by now, or nobody else answers.
        if !agreed
            && let Some(of) =
                opinions.iter().find(|of| source.recent.reader(contested).as_deref() == Some(of.endpoint.name()))
        {
            known.deny(&of.endpoint, contested, of.there);
        }
        return agreed;
    }
    for opinion in &opinions {
        known.note(opinion, &opinions);
    }
    let Some((winner, why)) = outnumbering(&opinions).or_else(|| known.growing_alone(&opinions)) else {
        return false;
    };
    let head = opinions.iter().filter(|o| o.there.hash == winner).map(|o| o.head.height).max();
    for Opinion { endpoint, there, .. } in opinions.iter().filter(|o| o.there.hash != winner) {
        let since = before.get(endpoint.name()).map_or(contested, |since| contested.min(*since));
        if head.is_some_and(|head| head.above(since.height) >= SETTLED_ENOUGH) {
            endpoint.distrust(format!("insists on block {} {}: {why}", there.height, there.hash));
        } else {
            known.outvoted.insert(endpoint.name().to_owned(), since);
        }
    }
    winner == contested.hash
}

/// What an endpoint has at the height, and its head; `None` where it has not got there or does not answer.
async fn opinion(source: &EvmSource, endpoint: Arc<Endpoint>, height: Height) -> Option<Opinion> {
    let ask = source.ask(&endpoint);
    let said = async { Ok::<_, Trouble>((ask.header(height).await?, ask.latest().await?)) };
    match tokio::time::timeout(PATIENCE, said).await.ok()? {
        Ok((there, head)) => Some(Opinion { there: there?.header().at, head: head?.header().at, endpoint }),
        Err(Trouble::Lie(why)) => {
            endpoint.distrust(why);
            None
        }
        Err(_) => None,
    }
}

/// The block that more operators stand behind than behind any other, at least two.
fn outnumbering(opinions: &[Opinion]) -> Option<(BlockHash, String)> {
    let mut camps: BTreeMap<BlockHash, BTreeSet<&Operator>> = BTreeMap::new();
    for opinion in opinions {
        camps.entry(opinion.there.hash).or_default().insert(opinion.endpoint.operator());
    }
    let most = camps.values().map(BTreeSet::len).max().filter(|most| *most > 1)?;
    let mut first = camps.iter().filter(|(_, operators)| operators.len() == most);
    match (first.next(), first.next()) {
        (Some((hash, _)), None) => Some((*hash, format!("{most} operators have {hash} there"))),
        _ => None,
    }
}

impl Known {
    /// It gave a block and has another there: a fork, unless it does so again and again.
    fn deny(&mut self, endpoint: &Endpoint, gave: BlockRef, has: BlockRef) {
        let times = self.denied.entry(endpoint.name().to_owned()).or_default();
        *times += 1;
        let what = format!("gave block {} {}, and has {} there", gave.height, gave.hash, has.hash);
        if *times >= SETTLED_ENOUGH {
            endpoint.distrust(format!("{times} times in a row it {what}"));
        } else {
            endpoint.remark(&format!("it {what}"));
        }
    }

    fn note(&mut self, of: &Opinion, all: &[Opinion]) {
        let stands = self.moved.get(of.endpoint.name()).is_some_and(|moved| moved.head == of.head);
        if !stands {
            let others = contradicting(of, all);
            self.moved.insert(of.endpoint.name().to_owned(), Moved { head: of.head, others });
        }
    }

    /// The only block whose side grows: everybody who contradicts it has stood still meanwhile.
    fn growing_alone(&self, opinions: &[Opinion]) -> Option<(BlockHash, String)> {
        let still = |of: &Opinion| {
            let then = self.moved.get(of.endpoint.name()).map(|moved| moved.others);
            then.is_some_and(|then| contradicting(of, opinions).above(then) >= SETTLED_ENOUGH)
        };
        let growing: BTreeSet<BlockHash> = opinions.iter().filter(|o| !still(o)).map(|o| o.there.hash).collect();
        match (growing.first(), growing.len()) {
            (Some(hash), 1) => {
                let operator = opinions.iter().find(|o| o.there.hash == *hash)?.endpoint.operator();
                Some((*hash, format!("it stands still, while {operator} goes on from {hash}")))
            }
            _ => None,
        }
    }
}

/// The highest head among those who contradict an endpoint.
fn contradicting(of: &Opinion, all: &[Opinion]) -> Height {
    let others = all.iter().filter(|other| other.there.hash != of.there.hash);
    others.map(|other| other.head.height).max().unwrap_or_default()
}
