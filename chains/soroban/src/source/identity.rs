//! Who endpoints are, where the head is, and what operators say of a ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use amn_core::block::{BlockRef, Header, Height, Operator};
use amn_core::source::{Head, Identity, SourceError, Voucher};
use amn_rpc::{Endpoint, Probe};
use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::ask::{NETWORK, nothing, read_network};
use super::memory::Given;
use super::trouble::{Trouble, Verdict};
use super::wire::WireNetwork;
use super::{Shared, token};
use crate::lake::LakeError;
use crate::ledger::PROTOCOL_MAX;

/// How long an operator may take to say what it has: whoever is slower is asked again with the next ledger. A ledger
/// of the public network has a megabyte.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ledgers' time without a new one before the other endpoints are asked for their heads as well, and before one that is
/// ahead of all others is listened to.
const STILL_LEDGERS: u64 = 3;

/// Beyond so many ledgers above what others have, a head is no head but a claim.
const FAR_AHEAD: u32 = 64;

/// Asks every endpoint for its network.
pub async fn probe(source: &Shared) -> Result<Identity, SourceError> {
    let endpoints: Vec<&Arc<Endpoint>> = source.nodes().collect();
    let networks = join_all(endpoints.iter().map(|endpoint| network_of(source, endpoint))).await;
    let (mut right, mut foreign, mut verdict) = (Vec::new(), Vec::new(), Verdict::default());
    for (endpoint, network) in endpoints.into_iter().zip(networks) {
        match network {
            Ok(Judged::Ours) => right.push(endpoint),
            Ok(Judged::Foreign(other)) => foreign.push(format!("{}: {other}", endpoint.name())),
            // Whether that is the network's, all of them together say.
            Ok(Judged::Newer(_)) => {}
            // Whoever cannot say it now says it before it is asked anything.
            Err(trouble) => {
                endpoint.doubt();
                verdict.add(endpoint, trouble);
            }
        }
    }
    if let Some(why) = source.behind() {
        return Err(SourceError::Unsupported(why));
    }
    if right.is_empty() {
        // Speaking of another network is a mistake in the configuration; no waiting mends it.
        let error = || source.error(verdict, Height(0));
        return Err(if foreign.is_empty() { error() } else { SourceError::Unsupported(foreign.join("; ")) });
    }
    look_at_lakes(source).await;
    let decimals = token::decimals(source, right, verdict).await?;
    Ok(Identity { chain: source.network.facts.chain.clone(), decimals })
}

/// Lets every lake say what it holds. One of another network is distrusted, and a network is well without any.
async fn look_at_lakes(source: &Shared) {
    let network = &source.network.facts.id;
    let checks = join_all(source.lakes().iter().map(async |lake| (lake, lake.check().await))).await;
    for (lake, check) in checks {
        let Err(error) = check else { continue };
        let name = lake.name();
        lake.endpoint().remark(&error.to_string());
        if matches!(error, LakeError::Foreign(_)) {
            tracing::error!(%network, endpoint = name, %error, "data lake {name} is not one of {network}: {error}");
        } else {
            tracing::warn!(%network, endpoint = name, %error, "data lake {name} of {network} does not say what it holds: {error}");
        }
    }
}

/// What an endpoint's word about its network means for us.
enum Judged {
    Ours,
    /// It speaks of another network.
    Foreign(String),
    /// It speaks of ours, of a protocol that this binary does not read.
    Newer(String),
}

/// Which network an endpoint is of. It is distrusted where that is none that we can read.
async fn network_of(source: &Shared, endpoint: &Arc<Endpoint>) -> Result<Judged, Trouble> {
    if let Some(mut probe) = Probe::begin(endpoint) {
        let said = read_network(probe.call(NETWORK, &nothing()).await)?;
        return Ok(source.answered(probe, &said));
    }
    let said = read_network(endpoint.call(NETWORK, &nothing()).await)?;
    let judged = source.judge(endpoint, &said);
    if let Judged::Foreign(why) | Judged::Newer(why) = &judged {
        endpoint.distrust(why.clone());
    }
    Ok(judged)
}

impl Shared {
    /// Notes who an endpoint says it is, and what that means.
    fn judge(&self, endpoint: &Endpoint, said: &WireNetwork) -> Judged {
        if said.passphrase != self.network.passphrase {
            let other: String = said.passphrase.chars().take(80).collect();
            let why = format!("it speaks of the network {other:?}, not of {:?}", self.network.passphrase);
            self.memory.is_foreign(endpoint, &why);
            return Judged::Foreign(why);
        }
        let protocol = said.protocol_version.0;
        self.memory.speaks(endpoint, protocol);
        if protocol <= PROTOCOL_MAX {
            return Judged::Ours;
        }
        let why = format!("it speaks protocol {protocol}, this binary reads up to {PROTOCOL_MAX}");
        let (name, network) = (endpoint.name(), &self.network.facts.id);
        tracing::error!(%network, endpoint = name, protocol, "behind the protocol: {name}: {why}");
        Judged::Newer(why)
    }

    /// The same of an endpoint that comes back, which is used again only where it is of our network as we know it.
    fn answered(&self, probe: Probe, said: &WireNetwork) -> Judged {
        let judged = self.judge(probe.endpoint(), said);
        match &judged {
            Judged::Ours => probe.right(),
            Judged::Foreign(why) | Judged::Newer(why) => probe.wrong(why.clone()),
        }
        judged
    }

    /// The endpoints that last spoke of our network, and of a protocol beyond this binary.
    fn newer(&self) -> impl Iterator<Item = (&Arc<Endpoint>, u32)> {
        self.nodes().filter_map(|endpoint| {
            let known = self.memory.known(endpoint);
            let newer = known.protocol.filter(|protocol| known.foreign.is_none() && *protocol > PROTOCOL_MAX);
            newer.map(|protocol| (endpoint, protocol))
        })
    }

    /// Why this binary is behind the network's protocol, if it is: two operators say so, or nobody says otherwise. One
    /// that says it alone may lie, and is left out.
    fn behind(&self) -> Option<String> {
        let newer: Vec<(&Arc<Endpoint>, u32)> = self.newer().collect();
        let operators: BTreeSet<&Operator> = newer.iter().map(|(endpoint, _)| endpoint.operator()).collect();
        let older = || {
            self.nodes().any(|endpoint| {
                let known = self.memory.known(endpoint);
                known.foreign.is_none() && known.protocol.is_some_and(|protocol| protocol <= PROTOCOL_MAX)
            })
        };
        if operators.is_empty() || (operators.len() < 2 && older()) {
            return None;
        }
        let said: Vec<String> = newer
            .iter()
            .map(|(endpoint, protocol)| format!("{} speaks protocol {protocol}", endpoint.name()))
            .collect();
        Some(format!("behind the protocol: {}; this binary reads up to {PROTOCOL_MAX}", said.join(", ")))
    }

    /// An operator beside these that speaks of a protocol beyond this binary.
    pub fn newer_beside(&self, operators: &BTreeSet<&Operator>) -> Option<Operator> {
        self.newer().map(|(endpoint, _)| endpoint.operator()).find(|operator| !operators.contains(operator)).cloned()
    }

    /// Nobody may be asked: because all speak of another network, which no waiting mends, or because nobody is well.
    fn nobody(&self) -> SourceError {
        let foreign: Vec<String> = self
            .nodes()
            .filter_map(|endpoint| Some(format!("{}: {}", endpoint.name(), self.memory.known(endpoint).foreign?)))
            .collect();
        if !foreign.is_empty() && foreign.len() == self.nodes().count() {
            return SourceError::Unsupported(foreign.join("; "));
        }
        SourceError::Unavailable("every endpoint is distrusted or unusable".to_owned())
    }
}

/// Endpoints whose time of distrust or whose breaker's is over say again who they are before they are asked anything
/// else.
async fn welcome_back(source: &Arc<Shared>) {
    let shared = source.clone();
    let identify = move |mut probe: Probe| {
        let source = shared.clone();
        async move {
            let Ok(said) = read_network(probe.call(NETWORK, &nothing()).await) else { return };
            source.answered(probe, &said);
        }
        .boxed()
    };
    source.pool.welcome_back(identify).await;
}

/// The newest ledger that two operators have, where there are two, or that validators can vouch for in the second one's
/// place: so no single one leads us astray, and what is read up to it can be backed. An endpoint that has nothing new is asked one small question.
pub async fn head(source: &Arc<Shared>) -> Result<Head, SourceError> {
    welcome_back(source).await;
    if let Some(why) = source.behind() {
        return Err(SourceError::Unsupported(why));
    }
    let endpoints = source.endpoints();
    let Some(leader) = endpoints.first() else { return Err(source.nobody()) };
    let mut verdict = Verdict::default();
    let before = source.believed_head();
    let patience = Duration::from_millis(source.network.facts.block_time_ms.saturating_mul(STILL_LEDGERS));
    let now = source.pool.time().now();
    let mut latest: Vec<(Arc<Endpoint>, u32)> = Vec::new();
    match source.ask(leader).health().await {
        Ok(range) => {
            let height = u64::from(range.latest);
            let stuck = source.memory.is_stuck_at(height, patience, now);
            if let Some(given) = before.as_ref().filter(|given| given.header.at.height.0 >= height && !stuck) {
                leader.report_head(height);
                return Ok(of(given.header));
            }
            latest.push((leader.clone(), range.latest));
        }
        Err(trouble) => verdict.add(leader, trouble),
    }
    let others = endpoints.iter().skip(1).map(async |endpoint| {
        let asked = source.ask(endpoint);
        let range = tokio::time::timeout(PATIENCE, asked.health()).await;
        (endpoint.clone(), range.unwrap_or_else(|_| Err(Trouble::Failed("it did not answer in time".to_owned()))))
    });
    for (endpoint, range) in join_all(others).await {
        match range {
            Ok(range) => latest.push((endpoint, range.latest)),
            Err(trouble) => verdict.add(&endpoint, trouble),
        }
    }
    let newest = |one_is_enough| newest_of_two(&latest, one_is_enough);
    let Some(agreed) = newest(source.one_is_enough()) else {
        return Err(source.error(verdict, Height(0)));
    };
    for (endpoint, height) in &latest {
        if *height <= agreed.saturating_add(FAR_AHEAD) {
            endpoint.report_head(u64::from(*height));
        } else {
            endpoint.remark(&format!("it says that its newest ledger is {height}; that of others is {agreed}"));
        }
    }
    // A second operator that stands still holds us no longer than that: then validators must do. One that lags so far
    // that validators can have built on what it lacks does not hold us at all, once there is a ledger to go on from.
    let held = source.memory.is_held_at(u64::from(agreed), patience, now);
    let alone = newest(true).unwrap_or(agreed);
    let behind = alone.saturating_sub(agreed);
    let built_on = source.organisations_asked().is_some_and(|asked| (asked + 1..=FAR_AHEAD).contains(&behind));
    let mut targets = vec![agreed];
    if held || (built_on && source.memory.follows()) {
        targets.insert(0, alone);
    }
    // A lone claim that nobody can show takes nothing away from what two have.
    for target in targets {
        if let Some(given) = before.as_ref().filter(|given| given.header.at.height.0 >= u64::from(target)) {
            return Ok(of(given.header));
        }
        for (endpoint, _) in latest.iter().filter(|(_, height)| *height >= target) {
            match source.ask(endpoint).header(Height(u64::from(target))).await {
                Ok((header, answer)) => {
                    source.memory.keep_head(endpoint, header, answer);
                    return Ok(of(header));
                }
                Err(trouble) => verdict.add(endpoint, trouble),
            }
        }
    }
    Err(source.error(verdict, Height(u64::from(agreed))))
}

impl Shared {
    /// The newest ledger that was shown, unless whoever showed it is distrusted by now.
    fn believed_head(&self) -> Option<Given> {
        let given = self.memory.head()?;
        let by = self.nodes().find(|endpoint| endpoint.name() == given.by)?;
        by.distrusted().is_none().then_some(given)
    }
}

/// A closed ledger is final.
fn of(tip: Header) -> Head {
    Head { tip, safe: Some(tip.at), finalized: Some(tip.at) }
}

/// The newest ledger that two operators have; where one is enough, or only one answered, the newest of all.
fn newest_of_two(latest: &[(Arc<Endpoint>, u32)], one_is_enough: bool) -> Option<u32> {
    let mut operators: BTreeMap<&Operator, u32> = BTreeMap::new();
    for (endpoint, height) in latest {
        let known = operators.entry(endpoint.operator()).or_default();
        *known = (*known).max(*height);
    }
    let mut heights: Vec<u32> = operators.into_values().collect();
    heights.sort_unstable_by(|left, right| right.cmp(left));
    let place = usize::from(!one_is_enough && heights.len() > 1);
    heights.get(place).copied()
}

/// What operators have at a height, or at their own head where that is lower: what they said of it already, and, until
/// as many as anything asks for stand behind this ledger, what they say now. A ledger is a megabyte to each of them.
pub async fn vouch(source: &Shared, at: &Header) -> Vec<Voucher> {
    let height = at.at.height;
    let (mut vouchers, operators) = source.said_of(at.at);
    for (operator, endpoints) in operators {
        if vouchers.iter().filter(|voucher| voucher.block == at.at).count() >= source.voices_asked() {
            break;
        }
        for endpoint in endpoints {
            let answer = tokio::time::timeout(PATIENCE, source.at_or_head(&endpoint, height)).await;
            match answer {
                Ok(Ok(header)) => {
                    let ours = (header.at.height == height).then_some(at.at);
                    source.pool.note_said(&endpoint, header.at, ours);
                    vouchers.push(Voucher { operator, block: header.at });
                    break;
                }
                Ok(Err(Trouble::Lie(why))) => endpoint.distrust(why),
                Ok(Err(_)) | Err(_) => {}
            }
        }
    }
    vouchers
}

impl Shared {
    /// What operators said of a ledger's height already, and the endpoints of those who did not.
    pub fn said_of(&self, at: BlockRef) -> (Vec<Voucher>, BTreeMap<Operator, Vec<Arc<Endpoint>>>) {
        let mut operators: BTreeMap<Operator, Vec<Arc<Endpoint>>> = BTreeMap::new();
        for endpoint in self.endpoints() {
            operators.entry(endpoint.operator().clone()).or_default().push(endpoint);
        }
        let mut vouchers = Vec::new();
        operators.retain(|operator, endpoints| {
            let said = endpoints.iter().find_map(|endpoint| Some((endpoint, self.memory.said(endpoint, at.height)?)));
            let Some((endpoint, header)) = said else { return true };
            self.pool.note_said(endpoint, header.at, Some(at));
            vouchers.push(Voucher { operator: operator.clone(), block: header.at });
            false
        });
        (vouchers, operators)
    }

    /// As many operators as anything may ask for.
    fn voices_asked(&self) -> usize {
        let policy = &self.network.facts.policy;
        let tiers = policy.tiers.iter().filter_map(|tier| tier.require.operators);
        let most = tiers.chain(policy.require.operators).max().unwrap_or(1).max(self.network.facts.rewind_operators);
        usize::try_from(most).unwrap_or(usize::MAX)
    }

    async fn at_or_head(&self, endpoint: &Arc<Endpoint>, height: Height) -> Result<Header, Trouble> {
        let ask = self.ask(endpoint);
        let latest = ask.range_to(super::number(height)?).await?.latest;
        ask.header_once(height.min(Height(u64::from(latest)))).await
    }

    /// One endpoint of each other operator, best first.
    pub fn others(&self, than: &Operator) -> Vec<Arc<Endpoint>> {
        let mut seen = BTreeSet::from([than.clone()]);
        self.endpoints().into_iter().filter(|endpoint| seen.insert(endpoint.operator().clone())).collect()
    }
}
