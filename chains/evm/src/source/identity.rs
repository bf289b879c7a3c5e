//! Who endpoints are, where the head is, and what operators say of a block.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use amn_core::block::{BlockRef, Header, Operator};
use amn_core::source::{Head, Identity, SourceError, Voucher};
use amn_rpc::{Answer, Endpoint, Probe, RpcError};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::EvmSource;
use super::ask::Ask;
use super::trouble::{Trouble, Verdict};
use super::{marks, quarrel};
use crate::address;
use crate::wire::{Quantity, parse};

/// How long an operator may take to vouch: whoever is slower is asked again with the next block.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// `decimals()`.
const DECIMALS: &str = "0x313ce567";

/// Asks every endpoint for its chain, and one that is right for the tokens' decimals.
pub(super) async fn probe(source: &EvmSource) -> Result<Identity, SourceError> {
    let endpoints = source.pool.endpoints();
    let chains = join_all(endpoints.iter().map(|endpoint| chain_of(source, endpoint))).await;
    let (mut right, mut foreign, mut verdict) = (Vec::new(), Vec::new(), Verdict::default());
    for (endpoint, chain) in endpoints.iter().zip(chains) {
        match chain {
            Ok(None) => right.push(endpoint),
            Ok(Some(other)) => foreign.push(format!("{}: {other}", endpoint.name())),
            // Whoever cannot say it now says it before it is asked anything.
            Err(trouble) => {
                endpoint.doubt();
                verdict.add(endpoint, trouble);
            }
        }
    }
    if right.is_empty() {
        // Speaking of another chain is a mistake in the configuration; no waiting mends it.
        return Err(if foreign.is_empty() { verdict.error() } else { SourceError::Unsupported(foreign.join("; ")) });
    }
    let asked = join_all(right.iter().map(|endpoint| decimals(source, source.ask(endpoint)))).await;
    let mut said: Vec<(&Arc<Endpoint>, Decimals)> = Vec::new();
    for (endpoint, answer) in right.into_iter().zip(asked) {
        match answer {
            Ok(decimals) => said.push((endpoint, decimals)),
            Err(trouble) => verdict.add(endpoint, trouble),
        }
    }
    let decimals = agreed_decimals(&said).ok_or_else(|| verdict.error())??;
    for (endpoint, other) in said.iter().filter(|(_, other)| *other != decimals) {
        let wrong = other.iter().find(|(asset, said)| decimals.get(asset) != Some(said));
        let wrong = wrong.map(|(asset, said)| format!("{asset} has {said} decimals")).unwrap_or_default();
        endpoint.distrust(format!("alone against two operators: {wrong}"));
    }
    Ok(Identity { chain: source.network.facts.chain.clone(), decimals })
}

type Decimals = BTreeMap<amn_core::block::AssetId, u8>;

/// What most operators say; `None` where nobody says anything. A factor of ten to the twelfth is at stake: where as many
/// say one thing as another, nobody is believed.
fn agreed_decimals(said: &[(&Arc<Endpoint>, Decimals)]) -> Option<Result<Decimals, SourceError>> {
    let mut camps: BTreeMap<&Decimals, BTreeSet<&Operator>> = BTreeMap::new();
    for (endpoint, decimals) in said {
        camps.entry(decimals).or_default().insert(endpoint.operator());
    }
    let most = camps.values().map(BTreeSet::len).max()?;
    let mut largest = camps.iter().filter(|(_, operators)| operators.len() == most);
    let (decimals, operators) = largest.next()?;
    Some(match largest.next() {
        None => Ok((*decimals).clone()),
        Some((_, others)) => {
            let names = |of: &BTreeSet<&Operator>| of.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let (these, those) = (names(operators), names(others));
            Err(SourceError::Unsupported(format!("{these} and {those} differ about the decimals of the tokens")))
        }
    })
}

/// Asks an endpoint for its chain; what is wrong with it, if it is another than ours. Distrusts it then.
async fn chain_of(source: &EvmSource, endpoint: &Arc<Endpoint>) -> Result<Option<String>, Trouble> {
    if let Some(mut probe) = Probe::begin(endpoint) {
        let other = source.other_chain(read_chain(probe.call(CHAIN_ID, &json!([])).await)?);
        match &other {
            None => probe.right(),
            Some(why) => probe.wrong(why.clone()),
        }
        return Ok(other);
    }
    let other = source.other_chain(read_chain(endpoint.call(CHAIN_ID, &json!([])).await)?);
    if let Some(why) = &other {
        endpoint.distrust(why.clone());
    }
    Ok(other)
}

const CHAIN_ID: &str = "eth_chainId";

fn read_chain(answer: Result<Answer, RpcError>) -> Result<Quantity, Trouble> {
    Ok(parse::<Quantity>("the chain id", answer?.raw())?)
}

impl EvmSource {
    fn other_chain(&self, said: Quantity) -> Option<String> {
        other_chain(said, self.network.chain_id)
    }
}

fn other_chain(said: Quantity, ours: u64) -> Option<String> {
    (said.0 != ours).then(|| format!("it speaks of chain eip155:{}, not of eip155:{ours}", said.0))
}

async fn decimals(source: &EvmSource, ask: Ask<'_>) -> Result<Decimals, Trouble> {
    let tokens: Vec<_> = source.network.facts.assets.iter().filter(|asset| !asset.native).collect();
    let calls: Vec<(&'static str, Value)> = tokens
        .iter()
        .filter_map(|asset| address::contract_of(&asset.id))
        .map(|contract| ("eth_call", json!([{ "to": address::spell(contract), "data": DECIMALS }, "latest"])))
        .collect();
    let mut decimals = BTreeMap::new();
    for (answer, asset) in ask.batch(&calls).await?.into_iter().zip(tokens) {
        let answer = answer?;
        let word: alloy_primitives::Bytes = parse("decimals()", answer.raw())?;
        let number = match word.as_ref() {
            [zeros @ .., number] if word.len() == 32 && zeros.iter().all(|byte| *byte == 0) => *number,
            _ => return Err(Trouble::Unsupported(format!("{} ({}) is no token there", asset.id, asset.symbol))),
        };
        decimals.insert(asset.id.clone(), number);
    }
    Ok(decimals)
}

/// The head of the first endpoint that is not behind what was seen before. Where nothing has moved for
/// some blocks' time, the highest of all: one that stands still, or pretends to, must not hold us.
pub(super) async fn head(source: &EvmSource) -> Result<Head, SourceError> {
    welcome_back(source).await;
    quarrel::follow_up(source).await;
    let mut verdict = Verdict::default();
    let mut highest: Option<(Arc<Endpoint>, Head, Answer)> = None;
    let patience = Duration::from_millis(source.network.facts.block_time_ms.saturating_mul(STILL_BLOCKS));
    for endpoint in source.endpoints() {
        let seen = source.pool.head_seen();
        match head_of(&source.ask(&endpoint)).await {
            Ok((head, answer)) => {
                let height = head.tip.at.height.0;
                let first = highest.is_none();
                if highest.as_ref().is_none_or(|(_, known, _)| known.tip.at.height.0 < height) {
                    highest = Some((endpoint.clone(), head, answer));
                }
                if first && height >= seen && !source.progress.is_stuck_at(height, patience, source.pool.time().now()) {
                    break;
                }
            }
            Err(trouble) => verdict.add(&endpoint, trouble),
        }
    }
    let (by, head, answer) = highest.ok_or_else(|| verdict.error())?;
    source.recent.keep_head(&by, head.tip.at, answer);
    Ok(marks::agreed(source, &by, head).await)
}

/// Blocks' time without a new block before the other endpoints are asked for their heads as well.
const STILL_BLOCKS: u64 = 3;

/// Endpoints whose time of distrust or whose breaker's is over say again who they are before they are asked anything
/// else.
async fn welcome_back(source: &EvmSource) {
    let ours = source.network.chain_id;
    let identify = move |mut probe: Probe| {
        let asked = async move {
            let Ok(said) = read_chain(probe.call(CHAIN_ID, &json!([])).await) else { return };
            match other_chain(said, ours) {
                None => probe.right(),
                Some(why) => probe.wrong(why),
            }
        };
        asked.boxed()
    };
    source.pool.welcome_back(identify).await;
}

/// The head of one endpoint, and its newest block as it gave it.
async fn head_of(ask: &Ask<'_>) -> Result<(Head, Answer), Trouble> {
    let call = |tag: &str| ("eth_getBlockByNumber", json!([tag, false]));
    let mut answers = ask.batch(&[call("latest"), call("safe"), call("finalized")]).await?.into_iter();
    let mut next = || answers.next().unwrap_or_else(|| Err(amn_rpc::RpcError::NotYet("no answer".to_owned())));
    let latest = next()?;
    let tip = ask.read_latest(Ok(latest.clone()))?.ok_or_else(|| Trouble::Lacks("it has no head".to_owned()))?.header();
    // A tag that the node does not know is no tag; that it lies about one is another matter.
    let mut tag = || match ask.read_header(next()) {
        Ok(checked) => {
            let at = checked.map(|checked| checked.header().at);
            if let Some(above) = at.filter(|at| at.height > tip.at.height) {
                ask.endpoint.remark(&format!("block {} is safe or final, its head is {}", above.height, tip.at.height));
            }
            Ok(at.filter(|at| at.height <= tip.at.height))
        }
        Err(lie @ Trouble::Lie(_)) => Err(lie),
        Err(Trouble::Failed(why)) => {
            ask.endpoint.remark(&why);
            Ok(None)
        }
        Err(_) => Ok(None),
    };
    let (safe, finalized) = (tag()?, tag()?);
    Ok((Head { tip, safe, finalized }, latest))
}

/// What each operator has at a height, or at its own head where that is lower. Who does not answer is
/// left out; who is right where they differ is for [`quarrel`] to say.
pub(super) async fn vouch(source: &EvmSource, at: &Header) -> Vec<Voucher> {
    let mut operators: BTreeMap<Operator, Vec<Arc<Endpoint>>> = BTreeMap::new();
    for endpoint in source.everybody() {
        operators.entry(endpoint.operator().clone()).or_default().push(endpoint);
    }
    let height = at.at.height;
    let reader = source.recent.take_reader(at.at);
    let gave_it = |endpoint: &&Arc<Endpoint>| reader.as_deref() == Some(endpoint.name());
    let asked = operators.into_iter().map(async |(operator, endpoints)| {
        if let Some(endpoint) = endpoints.iter().find(gave_it) {
            source.pool.note_said(endpoint, at.at, Some(at.at));
            return Some(Voucher { operator, block: at.at });
        }
        for endpoint in endpoints {
            let answer = tokio::time::timeout(PATIENCE, at_or_head(source, &endpoint, at));
            if let Ok(Some(block)) = answer.await {
                source.pool.note_said(&endpoint, block, (block.height == height).then_some(at.at));
                return Some(Voucher { operator, block });
            }
        }
        None
    });
    let vouchers: Vec<Voucher> = join_all(asked).await.into_iter().flatten().collect();
    if vouchers.iter().filter(|voucher| voucher.block == at.at).count() > 1
        && let Some(reader) = source.recent.reader(at.at)
    {
        source.quarrel.confirmed(&reader);
    }
    vouchers
}

async fn at_or_head(source: &EvmSource, endpoint: &Arc<Endpoint>, ours: &Header) -> Option<BlockRef> {
    let ask = source.ask(endpoint);
    let there = match ask.header(ours.at.height).await {
        Ok(None) => ask.latest().await,
        there => there,
    };
    match there {
        Ok(checked) => {
            let said = checked?;
            let theirs = said.header();
            if theirs.at == ours.at && !said.recomputed && (theirs.parent, theirs.time) != (ours.parent, ours.time) {
                endpoint.remark(&format!("block {} has our hash there, and another parent or time", theirs.at.height));
                return None;
            }
            Some(theirs.at)
        }
        Err(trouble) => {
            if let Trouble::Lie(why) = trouble {
                endpoint.distrust(why);
            }
            None
        }
    }
}
