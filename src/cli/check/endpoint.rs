//! One endpoint, asked everything the follower will ask of it, and whether what it says agrees with itself.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use amn_core::timestamp::Timestamp;
use amn_evm::address;
use amn_evm::header::{self, Checked};
use amn_evm::networks::EvmNetwork;
use amn_rpc::{Answer, Endpoint, RpcError};
use amn_scanner::networks::evm::quantity;
use amn_scanner::networks::{Kind, Served};
use serde_json::{Value, json};

use super::{Lines, line};

/// For one question. The endpoint's own limit may be shorter.
const PATIENCE: Duration = Duration::from_secs(15);
/// `decimals()`.
const DECIMALS: &str = "0x313ce567";

/// What an endpoint came to.
#[derive(Debug)]
pub struct Found {
    pub lines: Lines,
    /// It answers, and for our chain: it may be held against the others.
    pub is_ours: bool,
}

/// `N`: the network as its family knows it.
pub struct Asker<'a, N = EvmNetwork> {
    pub endpoint: &'a Endpoint,
    pub network: N,
    pub lines: Lines,
    name: String,
    asked: Cell<u32>,
    /// What it said when it asked to be left alone: it is not asked again.
    limited: RefCell<Option<String>>,
}

pub async fn check(served: &Served, endpoint: &Endpoint, now: Timestamp) -> Found {
    let network = match served.kind() {
        Kind::Evm(network) => (**network).clone(),
        Kind::Soroban(source) => {
            let mut asker = Asker::new(served, endpoint, source.network().clone());
            let is_ours = asker.all(now).await;
            asker.limits();
            return Found { lines: asker.lines, is_ours };
        }
        Kind::Ton(source) => {
            let mut asker = Asker::new(served, endpoint, source.network().clone());
            let name = asker.name.clone();
            let bell = Box::pin(line::bell(served, endpoint, &name));
            let (is_ours, rung) = futures_util::future::join(Box::pin(asker.all(source, now)), bell).await;
            asker.limits();
            asker.lines.0.extend(rung.0);
            return Found { lines: asker.lines, is_ours };
        }
    };
    let mut asker = Asker::new(served, endpoint, network);
    let name = asker.name.clone();
    let bell = Box::pin(line::bell(served, endpoint, &name));
    let asking = async {
        let is_ours = asker.all(served, now).await;
        asker.limits();
        is_ours
    };
    let (is_ours, rung) = futures_util::future::join(Box::pin(asking), bell).await;
    asker.lines.0.extend(rung.0);
    Found { lines: asker.lines, is_ours }
}

impl<'a, N> Asker<'a, N> {
    fn new(served: &Served, endpoint: &'a Endpoint, network: N) -> Self {
        let name = format!("{}/{}", served.facts.id, endpoint.name());
        let (asked, limited) = (Cell::new(0), RefCell::new(None));
        Self { endpoint, network, name, lines: Lines::default(), asked, limited }
    }

    pub async fn ask(&self, method: &'static str, params: Value) -> Result<Answer, RpcError> {
        self.asked.set(self.asked.get() + 1);
        let late = || RpcError::TryOther { timed_out: true, detail: format!("nothing in {} s", PATIENCE.as_secs()) };
        let asked = tokio::time::timeout(PATIENCE, self.endpoint.call(method, &params));
        let answer = asked.await.unwrap_or_else(|_| Err(late()));
        if let Err(error @ RpcError::CoolDown { .. }) = &answer {
            self.limited.borrow_mut().get_or_insert_with(|| format!("after {} questions: {error}", self.asked.get()));
        }
        answer
    }

    pub fn is_limited(&self) -> bool {
        self.limited.borrow().is_some()
    }

    pub fn fail(&mut self, check: &'static str, said: impl Into<String>, todo: &str) {
        self.lines.fail(check, self.name.clone(), said, todo);
    }

    pub fn warn(&mut self, check: &'static str, said: impl Into<String>, todo: &str) {
        self.lines.warn(check, self.name.clone(), said, todo);
    }

    pub fn info(&mut self, check: &'static str, said: impl Into<String>) {
        self.lines.info(check, self.name.clone(), said);
    }

    pub fn fine(&mut self, check: &'static str, said: impl Into<String>) {
        self.lines.fine(check, self.name.clone(), said);
    }

    /// Whether it wanted to be left alone on the way.
    fn limits(&mut self) {
        let Some(said) = self.limited.borrow_mut().take() else { return };
        self.fail("limits", said, "set max_rps and burst to what the plan allows, or take a larger plan");
    }
}

impl Asker<'_> {
    /// Who is not reached, is another chain, or wants to be left alone is asked nothing else.
    async fn all(&mut self, served: &Served, now: Timestamp) -> bool {
        if !self.identity().await {
            return false;
        }
        let Some(head) = self.head(served, now).await else { return true };
        if self.is_limited() {
            return true;
        }
        self.spans(head.height().0).await;
        self.blocks(&head).await;
        self.decimals(served).await;
        self.batch().await;
        self.trace(&head).await;
        self.compression(served).await;
        self.identity_again().await
    }

    /// A block as the endpoint gives it; `block` is a number or a tag.
    pub async fn header(&self, block: &str) -> Result<Checked, String> {
        let answer =
            self.ask("eth_getBlockByNumber", json!([block, false])).await.map_err(|error| error.to_string())?;
        if answer.is_null() {
            return Err("it has none".to_owned());
        }
        header::check(answer.raw(), self.network.codec.proves()).map_err(|error| error.to_string())
    }

    async fn chain(&self) -> Result<u64, RpcError> {
        quantity(&self.ask("eth_chainId", json!([])).await?.parse::<String>()?)
    }

    async fn identity(&mut self) -> bool {
        let id = self.chain().await;
        let expected = self.network.chain_id;
        let shown = format!("{} of {}", self.endpoint.shown_url(), self.endpoint.operator());
        match id {
            Ok(id) if id == expected => {
                self.fine("identity", format!("{shown}: chain {id}"));
                true
            }
            Ok(id) => {
                let said = format!("{shown}: chain {id}, expected {expected}");
                self.fail("identity", said, "the URL is of another network: correct it");
                false
            }
            Err(error) => {
                let todo = match error {
                    RpcError::Credentials(_) => "correct the key in the URL or the headers",
                    RpcError::CoolDown { .. } => "it limits us: wait, or set max_rps to what the plan allows",
                    RpcError::Malformed(_) => "what answers there is no node, or something between spoils its answers",
                    _ => "see that the URL is right and that the node runs",
                };
                self.fail("identity", format!("{shown}: {error}"), todo);
                false
            }
        }
    }

    /// One URL may lead to many nodes: it is asked twice who it is.
    async fn identity_again(&mut self) -> bool {
        let expected = self.network.chain_id;
        match self.chain().await {
            Ok(id) if id != expected => {
                let said = format!("chain {id} now, {expected} a moment ago");
                self.fail("identity", said, "one URL leads to nodes of two chains: use another");
                false
            }
            _ => true,
        }
    }

    async fn decimals(&mut self, served: &Served) {
        let mut read = 0;
        for asset in served.facts.assets.iter().filter(|asset| !asset.native) {
            let Some(contract) = address::contract_of(&asset.id) else { continue };
            let call = json!([{ "to": address::spell(contract), "data": DECIMALS }, "latest"]);
            let answer = self.ask("eth_call", call).await.and_then(|answer| answer.parse::<String>());
            let named = format!("{} ({})", asset.symbol, asset.id);
            // A word of 32 bytes, its number at the end.
            match answer.map(|word| if word.len() == 66 { amn_evm::wire::quantity(&word) } else { None }) {
                Ok(Some(decimals)) if decimals == u64::from(asset.decimals) => read += 1,
                Ok(Some(decimals)) => {
                    let said = format!("{named}: {decimals} on chain, {} in the registry", asset.decimals);
                    self.fail("decimals", said, "correct the registry: the network does not start like this");
                }
                Ok(None) => self.fail("decimals", format!("{named}: no token there"), "correct the address"),
                Err(error) => self.fail("decimals", format!("{named}: {error}"), "the node must answer eth_call"),
            }
        }
        if read > 0 {
            self.fine("decimals", format!("{read} token(s) agree with the registry"));
        }
    }
}
