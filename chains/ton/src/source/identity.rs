//! Who endpoints are, where the head is, and what jettons' masters say of themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use amn_core::block::{AssetId, Operator};
use amn_core::source::{Head, Identity, SourceError};
use amn_rpc::{Endpoint, Probe, RpcError};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use serde::Deserialize;

use super::Shared;
use super::ask::{Ask, Dialect, Row};
use super::memory;
use super::trouble::Trouble;
use super::verdict::Verdict;
use crate::address::Account;
use crate::decode::Jetton;
use crate::networks::DECIMALS;

/// How long an operator may take to say where its head is: whoever is slower is asked again with the next look.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Blocks' time without a new one before the others are asked for their heads as well, and before one that is ahead of
/// all others is listened to: ten seconds.
const STILL_BLOCKS: u64 = 25;

/// Beyond so many blocks above what others have, a head is no head but a claim: seven minutes.
const FAR_AHEAD: u64 = 1_000;

/// Asks every endpoint for its network, and the masters of the allow-list for what they are.
pub(crate) async fn probe(source: &Shared) -> Result<Identity, SourceError> {
    let endpoints: Vec<&Arc<Endpoint>> = source.pool.endpoints().iter().collect();
    let networks = join_all(endpoints.iter().map(|endpoint| network_of(source, endpoint))).await;
    let (mut right, mut foreign, mut verdict) = (Vec::new(), Vec::new(), Verdict::default());
    for (endpoint, network) in endpoints.into_iter().zip(networks) {
        match network {
            Ok(None) => right.push(endpoint.clone()),
            Ok(Some(other)) => foreign.push(format!("{}: {other}", endpoint.name())),
            // Whoever cannot say it now says it before it is asked anything.
            Err(trouble) => {
                endpoint.doubt();
                verdict.add(endpoint, trouble);
            }
        }
    }
    if right.is_empty() {
        // Speaking of another network is a mistake in the configuration; no waiting mends it.
        let error = || source.error(verdict);
        return Err(if foreign.is_empty() { error() } else { SourceError::Unsupported(foreign.join("; ")) });
    }
    let decimals = source.masters(&right, verdict).await?;
    Ok(Identity { chain: source.network.facts.chain.clone(), decimals })
}

/// What is wrong with an endpoint's network, if it is another than ours. Distrusts it then.
async fn network_of(source: &Shared, endpoint: &Arc<Endpoint>) -> Result<Option<String>, Trouble> {
    if let Some(mut probe) = Probe::begin(endpoint) {
        let said = global_id(&mut probe).await?;
        let other = source.judge(endpoint, said);
        match &other {
            None => probe.right(),
            Some(why) => probe.wrong(why.clone()),
        }
        return Ok(other);
    }
    let ask = Ask { endpoint };
    let head = ask.head().await?;
    let said = match head.global_id {
        Some(said) => said,
        None => ask.row(head.at.height).await?.global_id.ok_or_else(|| Trouble::Failed(SAYS_NO_NETWORK.to_owned()))?,
    };
    source.memory.reaches(endpoint, head);
    let other = source.judge(endpoint, said);
    if let Some(why) = &other {
        endpoint.distrust(why.clone());
    }
    Ok(other)
}

const SAYS_NO_NETWORK: &str = "it does not say of which network its blocks are";

/// The number of its network, asked for before anything else may be.
async fn global_id(probe: &mut Probe) -> Result<i32, Trouble> {
    #[derive(Deserialize)]
    struct Of {
        global_id: Option<i32>,
    }
    #[derive(Deserialize)]
    struct Info {
        last: Of,
    }
    #[derive(Deserialize)]
    struct Seqno {
        seqno: u32,
    }
    #[derive(Deserialize)]
    struct Last {
        last: Seqno,
    }
    #[derive(Deserialize)]
    struct Envelope<T> {
        result: T,
    }
    let said = match Dialect::of(probe.endpoint()) {
        Some(Dialect::ToncenterV3) => {
            probe.get("masterchainInfo", &["masterchainInfo"], &[]).await?.parse::<Info>()?.last.global_id
        }
        Some(Dialect::Tonapi) => {
            let path = ["blockchain", "masterchain-head"];
            probe.get("masterchain-head", &path, &[]).await?.parse::<Of>()?.global_id
        }
        Some(Dialect::ToncenterV2) => {
            let last = probe.get("getMasterchainInfo", &["getMasterchainInfo"], &[]).await?;
            let seqno = last.parse::<Envelope<Last>>()?.result.last.seqno.to_string();
            let block = [("workchain", "-1"), ("shard", MASTERCHAIN), ("seqno", seqno.as_str())];
            let header = probe.get("getBlockHeader", &["getBlockHeader"], &block).await?;
            header.parse::<Envelope<Of>>()?.result.global_id
        }
        None => return Err(RpcError::Unsupported("of a kind that no TON endpoint has".to_owned()).into()),
    };
    said.ok_or_else(|| Trouble::Failed(SAYS_NO_NETWORK.to_owned()))
}

/// The one shard of the masterchain, as node APIs write it.
const MASTERCHAIN: &str = "-9223372036854775808";

impl Shared {
    /// Notes who an endpoint says it is; says what is wrong with it.
    fn judge(&self, endpoint: &Endpoint, said: i32) -> Option<String> {
        let ours = self.network.global_id;
        let other = (said != ours).then(|| format!("it speaks of the network tvm:{said}, not of tvm:{ours}"));
        self.memory.is_foreign(endpoint, other.clone());
        other
    }

    /// Nobody may be asked: because all speak of another network, which no waiting mends, or because nobody is well.
    fn nobody(&self) -> SourceError {
        let endpoints = self.pool.endpoints();
        let foreign: Vec<String> = endpoints
            .iter()
            .filter_map(|endpoint| Some(format!("{}: {}", endpoint.name(), self.memory.known(endpoint).foreign?)))
            .collect();
        if !foreign.is_empty() && foreign.len() == endpoints.len() {
            return SourceError::Unsupported(foreign.join("; "));
        }
        SourceError::Unavailable("every endpoint is distrusted or unusable".to_owned())
    }

    /// The decimals of every asset. A jetton's are those its master says, and a wallet that follows from the network's
    /// file must be the one that the master names: at two operators, where there are two.
    async fn masters(
        &self,
        right: &[Arc<Endpoint>],
        mut verdict: Verdict,
    ) -> Result<BTreeMap<AssetId, u8>, SourceError> {
        let registry = &self.network.registry;
        let mut decimals = BTreeMap::from([(registry.native.asset.clone(), DECIMALS)]);
        for jetton in registry.jettons.values() {
            let mut said: Vec<(Operator, Option<u8>, Account)> = Vec::new();
            for endpoint in right {
                if said.len() >= self.voices_asked().min(VOICES)
                    || said.iter().any(|(of, ..)| of == endpoint.operator())
                {
                    continue;
                }
                match ask_master(endpoint, jetton).await {
                    Ok((decimals, wallet)) => said.push((endpoint.operator().clone(), decimals, wallet)),
                    Err(trouble) => verdict.add(endpoint, trouble),
                }
            }
            let Some((operator, first, wallet)) = said.first() else { return Err(self.error(verdict)) };
            let master = jetton.master;
            if let Some((other, second, theirs)) =
                said.iter().find(|(_, second, theirs)| (second, theirs) != (first, wallet))
            {
                return Err(SourceError::Unsupported(format!(
                    "operators differ about the jetton {master}: {operator} says {} and the wallet {wallet}, {other} says {} and {theirs}",
                    shown(*first),
                    shown(*second),
                )));
            }
            let ours = jetton.form.wallet(&master, &jetton.example);
            if ours != Some(*wallet) {
                let follows = ours.map_or_else(|| "none".to_owned(), |wallet| wallet.to_string());
                return Err(SourceError::Unsupported(format!(
                    "the jetton {master} gives {} the wallet {wallet}; from the network's file follows {follows}: its wallet_library, wallet_code or layout is another",
                    jetton.example
                )));
            }
            match first {
                Some(first) => drop(decimals.insert(jetton.listed.asset.clone(), *first)),
                // Its content lies elsewhere: the file's word is all there is.
                None => {
                    let listed = self.network.facts.asset(&jetton.listed.asset).map_or(0, |asset| asset.decimals);
                    tracing::warn!(network = %self.network.facts.id, %master, decimals = listed, "the jetton {master} keeps its decimals off the chain: the file's {listed} are taken for true");
                    decimals.insert(jetton.listed.asset.clone(), listed);
                }
            }
        }
        Ok(decimals)
    }

    /// Once it is known who is watched: a wallet of one of them, as a second check of what the file says.
    pub(crate) async fn check_a_wallet(&self, owner: Account) -> Result<(), SourceError> {
        for jetton in self.network.registry.jettons.values() {
            let ours = jetton.form.wallet(&jetton.master, &owner);
            for endpoint in self.voices().into_iter().take(VOICES) {
                // Whoever does not answer now was asked at the start.
                let Ok(theirs) = (Ask { endpoint: &endpoint }).wallet_address(&jetton.master, &owner).await else {
                    continue;
                };
                if ours != Some(theirs) {
                    let follows = ours.map_or_else(|| "none".to_owned(), |wallet| wallet.to_string());
                    return Err(SourceError::Unsupported(format!(
                        "{} says that the jetton {} gives {owner} the wallet {theirs}; from the network's file follows {follows}",
                        endpoint.operator(),
                        jetton.master,
                    )));
                }
            }
        }
        Ok(())
    }

    /// The newest block that was shown.
    fn believed_head(&self) -> Option<amn_core::block::Header> {
        self.memory.head()
    }
}

/// Operators whose word about a master is compared.
const VOICES: usize = 2;

async fn ask_master(endpoint: &Arc<Endpoint>, jetton: &Jetton) -> Result<(Option<u8>, Account), Trouble> {
    let ask = Ask { endpoint };
    let said = ask.jetton(&jetton.master).await?;
    let wallet = ask.wallet_address(&jetton.master, &jetton.example).await?;
    Ok((said.decimals, wallet))
}

fn shown(decimals: Option<u8>) -> String {
    decimals.map_or_else(|| "no decimals".to_owned(), |decimals| format!("{decimals} decimals"))
}

/// Endpoints whose time of distrust or whose breaker's is over say again who they are before they are asked anything
/// else.
async fn welcome_back(source: &Arc<Shared>) {
    let shared = source.clone();
    let identify = move |mut probe: Probe| {
        let source = shared.clone();
        async move {
            let endpoint = probe.endpoint().clone();
            let Ok(said) = global_id(&mut probe).await else { return };
            // What it said before it was distrusted is not believed.
            source.memory.forget(&endpoint);
            match source.judge(&endpoint, said) {
                None => probe.right(),
                Some(why) => probe.wrong(why),
            }
        }
        .boxed()
    };
    source.pool.welcome_back(identify).await;
}

/// The newest masterchain block that two operators have, where there are two: so no single one leads us astray, and
/// what is read up to it can be backed. While nothing is new, one small question to one of them.
pub(crate) async fn head(source: &Arc<Shared>) -> Result<Head, SourceError> {
    welcome_back(source).await;
    let voices = source.voices();
    let Some(leader) = voices.first() else { return Err(source.nobody()) };
    let mut verdict = Verdict::default();
    let before = source.believed_head();
    let patience = source.blocks_time(STILL_BLOCKS);
    let now = source.pool.time().now();
    let mut latest: Vec<(Arc<Endpoint>, Row)> = Vec::new();
    match (Ask { endpoint: leader }).head().await {
        Ok(row) => {
            let row = source.memory.reaches(leader, row);
            let stuck = source.memory.is_stuck_at(row.at.height.0, patience, now);
            if let Some(head) = before.filter(|head| head.at.height >= row.at.height && !stuck) {
                leader.report_head(row.at.height.0);
                return Ok(of(head));
            }
            latest.push((leader.clone(), row));
        }
        Err(trouble) => verdict.add(leader, trouble),
    }
    let others = voices.iter().skip(1).map(async |endpoint| {
        let row = tokio::time::timeout(PATIENCE, Ask { endpoint }.head()).await;
        (endpoint.clone(), row.unwrap_or_else(|_| Err(Trouble::Failed("it did not answer in time".to_owned()))))
    });
    for (endpoint, row) in join_all(others).await {
        match row {
            Ok(row) => {
                let row = source.memory.reaches(&endpoint, row);
                latest.push((endpoint, row));
            }
            Err(trouble) => verdict.add(&endpoint, trouble),
        }
    }
    let Some(agreed) = newest_of_two(&latest, source.one_is_enough()) else {
        return Err(source.error(verdict));
    };
    for (endpoint, row) in &latest {
        if row.at.height.above(agreed.at.height) <= FAR_AHEAD {
            endpoint.report_head(row.at.height.0);
        } else {
            let (height, agreed) = (row.at.height, agreed.at.height);
            endpoint.remark(&format!("it says that its newest block is {height}; others have {agreed}"));
        }
    }
    // A second operator that stands still holds us no longer than that.
    let held = source.memory.is_held_at(agreed.at.height.0, patience, now);
    let claims = latest.iter().map(|(_, row)| *row);
    let claimed =
        claims.filter(|row| row.at.height.above(agreed.at.height) <= FAR_AHEAD).max_by_key(|row| row.at.height);
    let up_to = claimed.filter(|_| held).unwrap_or(agreed);
    if let Some(head) = before.filter(|head| head.at.height >= up_to.at.height) {
        return Ok(of(head));
    }
    let known: BTreeSet<&str> = latest.iter().map(|(endpoint, _)| endpoint.name()).collect();
    for (endpoint, _) in latest.iter().filter(|(_, row)| row.at.height >= up_to.at.height) {
        match source.shown(endpoint, up_to.at.height).await {
            Ok(head) => {
                source.memory.keep_head(Some(head));
                return Ok(of(head));
            }
            Err(trouble) => verdict.add(endpoint, trouble),
        }
    }
    tracing::debug!(network = %source.network.facts.id, ?known, "nobody shows block {}", up_to.at.height);
    // A lone claim that nobody can show takes nothing away from what is known.
    match before.filter(|head| up_to.at.height > agreed.at.height && head.at.height >= agreed.at.height) {
        Some(head) => Ok(of(head)),
        None => Err(source.error(verdict)),
    }
}

/// Blocks below the head that are asked for with it, where whoever follows stands there: they are needed next.
const BESIDE_THE_HEAD: u64 = 999;

impl Shared {
    /// The block at a height with what it stands on; of an index, all blocks from where we stand in the same request.
    async fn shown(
        &self,
        endpoint: &Arc<Endpoint>,
        at: amn_core::block::Height,
    ) -> Result<amn_core::block::Header, Trouble> {
        let below = at.back(1);
        let bulk = Dialect::of(endpoint).is_some_and(Dialect::in_bulk);
        let from = self.memory.stands().filter(|stands| bulk && *stands < at && at.above(*stands) <= BESIDE_THE_HEAD);
        let since = from.and_then(|from| self.memory.row(endpoint, from)).map(|row| row.time);
        let rows = self.rows(&Ask { endpoint }, from.unwrap_or(below), at, since).await?;
        match rows.as_slice() {
            [.., below, row] if row.at.height == at => Ok(memory::header(below, row)),
            _ => Err(Trouble::NotYet(format!("it does not show block {at} yet"))),
        }
    }
}

/// A masterchain block is final.
fn of(tip: amn_core::block::Header) -> Head {
    Head { tip, safe: Some(tip.at), finalized: Some(tip.at) }
}

/// The newest block that two operators have; where one is enough, or only one answered, the newest of all.
fn newest_of_two(latest: &[(Arc<Endpoint>, Row)], one_is_enough: bool) -> Option<Row> {
    let mut rows: Vec<Row> = latest.iter().map(|(_, row)| *row).collect();
    rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.at.height));
    let place = usize::from(!one_is_enough && rows.len() > 1);
    rows.get(place).copied()
}
