//! A play on a live chain: anvil behind a gate, a token, the daemon in a process of its own, and a receiver.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, U256};
use amn_scanner::stage::anvil::{Anvil, Rules};
use amn_scanner::stage::contracts::{self, Contract};
use amn_scanner::stage::process::{Api, Daemon};
use amn_scanner::stage::receiver::Receiver;
use serde_json::{Value, json};
use sqlx::Row as _;
use tokio::net::TcpListener;

use super::gate::Gate;
use super::household::{Household, Ways};

/// The key that the configuration of a play names.
pub const KEY: &str = "operator-key-of-the-plays-0123456789-abcdefghij";

/// No step of a play takes as long, on a machine that does three other things.
const PATIENCE: Duration = Duration::from_secs(90);

/// How often a play looks whether the daemon has caught up.
const LOOK: Duration = Duration::from_millis(5);

pub struct Play {
    pub chain: Anvil,
    pub gate: Gate,
    pub house: Household,
    pub token: Address,
    /// Another token of the list.
    pub other_token: Address,
    pub erc20_proxy: Address,
    pub eth_proxy: Address,
    pub payer: Address,
    /// Counts up, so that every intent has an address of its own.
    next: AtomicU64,
}

impl Deref for Play {
    type Target = Household;

    fn deref(&self) -> &Household {
        &self.house
    }
}

impl DerefMut for Play {
    fn deref_mut(&mut self) -> &mut Household {
        &mut self.house
    }
}

/// What a play may change of the usual configuration.
pub struct Setting {
    pub rules: Rules,
    /// The terms of the network.
    pub require: &'static str,
    /// 0: looked at as often where nothing is awaited, so that a play need not wait.
    pub quiet_poll_ms: u64,
    /// More lines for `[networks.devnet]`.
    pub network: String,
    /// More lines for `[webhooks]`.
    pub webhooks: String,
    /// More lines at the end.
    pub rest: String,
    /// What stands between the daemon and the receiver: given the receiver's address, the URL to send to.
    pub receiver_url: Option<fn(&str) -> String>,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            require: r#"{ confirmations = 3, inclusion = "proven", operators = 2 }"#,
            quiet_poll_ms: 0,
            network: String::new(),
            webhooks: String::new(),
            rest: String::new(),
            receiver_url: None,
        }
    }
}

impl Play {
    pub async fn new() -> Self {
        Self::with(Setting::default()).await
    }

    pub async fn with(setting: Setting) -> Self {
        let chain = Anvil::start_at(free_port().await, setting.rules).await.unwrap();
        let payer = chain.account(0).await.unwrap();
        let deploy = async |code: Vec<u8>| chain.deploy(payer, &code).await.unwrap();
        let token = deploy(contracts::token("USD Coin", "USDC", 6).unwrap()).await;
        let other_token = deploy(contracts::token("Euro Coin", "EURC", 6).unwrap()).await;
        let erc20_proxy = deploy(Contract::Erc20FeeProxy.bytecode().unwrap()).await;
        let eth_proxy = deploy(Contract::EthFeeProxy.bytecode().unwrap()).await;
        for token in [token, other_token] {
            chain.send(payer, token, &contracts::mint(payer, 1_000_000_000_000), 0).await.unwrap();
            chain.send(payer, token, &contracts::approve(erc20_proxy, u128::MAX), 0).await.unwrap();
        }
        chain.mine(1).await.unwrap();
        let gate = Gate::before(chain.url()).await;
        let lines = format!(
            r#"
            [networks.devnet]
            poll_ms = 50
            quiet_poll_ms = {quiet}
            require = {require}
            {network}
            [[networks.devnet.tokens]]
            address = "{token}"
            symbol = "USDC"
            decimals = 6
            min_amount = "1"
            [[networks.devnet.tokens]]
            address = "{other_token}"
            symbol = "EURC"
            decimals = 6
            min_amount = "1"
            [[networks.devnet.proxies]]
            kind = "erc20-fee"
            address = "{erc20_proxy}"
            [[networks.devnet.proxies]]
            kind = "eth-fee"
            address = "{eth_proxy}"
            [[networks.devnet.endpoints]]
            name = "alpha"
            url = "{alpha}"
            ws = "{ws}"
            operator = "alpha"
            [[networks.devnet.endpoints]]
            name = "beta"
            url = "{beta}"
            operator = "beta"
            "#,
            quiet = setting.quiet_poll_ms,
            require = setting.require,
            network = setting.network,
            alpha = gate.url("alpha"),
            beta = gate.url("beta"),
            ws = chain.ws_url(),
        );
        let Setting { webhooks, rest, receiver_url, .. } = setting;
        let house = Household::with(Ways { webhooks, rest, receiver_url }, |_| lines).await;
        let next = AtomicU64::new(1);
        let play = Self { chain, gate, house, token, other_token, erc20_proxy, eth_proxy, payer, next };
        play.caught_up().await;
        play
    }

    /// Another daemon with the same configuration, on the same database.
    pub async fn second_daemon(&self) -> Daemon {
        let config = std::fs::read_to_string(self.dir.path().join("amn-scanner.toml")).unwrap();
        let first = self.daemon.api().base.rsplit(':').next().unwrap().to_owned();
        let port = free_port().await;
        let config = config.replace(&format!("127.0.0.1:{first}"), &format!("127.0.0.1:{port}"));
        let path = self.dir.path().join("second.toml");
        std::fs::write(&path, config).unwrap();
        start(&path, &self.dir.path().join("second.log"), port).await
    }

    /// The asset id of the play's token.
    pub fn asset(&self) -> String {
        format!("eip155:31337/erc20:{}", self.token)
    }

    /// An intent on an address of its own, for the play's token unless `more` says otherwise.
    pub async fn intent(&self, more: Value) -> Value {
        self.daemon.api().post("/v1/intents", self.asked(more)).await.unwrap()
    }

    /// What [`Play::intent`] asks for.
    pub fn asked(&self, more: Value) -> Value {
        let mut body = json!({
            "tenant": "seller", "network": "devnet", "asset": self.asset(), "due": "1000000", "address": self.fresh(),
        });
        let Value::Object(more) = more else { panic!("terms are an object: {more}") };
        body.as_object_mut().unwrap().extend(more);
        // `null` takes a usual term away.
        body.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        body
    }

    /// An address that nobody had before.
    pub fn fresh(&self) -> Address {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Address::left_padding_from(&(0xa000_0000 + number).to_be_bytes())
    }

    /// What a person or the backend asks of an intent or a deposit.
    pub async fn command(&self, path: &str, body: Value) -> Value {
        self.daemon.api().post(path, body).await.unwrap()
    }

    /// Asks for an intent to be canceled or accepted.
    pub async fn ask(&self, intent: &Value, what: &str) -> Value {
        self.daemon.api().ask_for(&format!("/v1/intents/{}/{what}", intent["id"].as_str().unwrap())).await.unwrap()
    }

    /// Asks for a deposit to be unassigned.
    pub async fn ask_deposit(&self, deposit: &str, what: &str) -> Value {
        self.daemon.api().ask_for(&format!("/v1/deposits/{deposit}/{what}")).await.unwrap()
    }

    /// Sends the play's token to an intent's address; it waits in the pool until a block is mined.
    pub async fn pay(&self, intent: &Value, amount: u128) -> String {
        self.pay_to(address(intent), amount).await
    }

    pub async fn pay_to(&self, to: Address, amount: u128) -> String {
        self.call(self.token, &contracts::transfer(to, amount)).await
    }

    /// A transaction of the payer.
    pub async fn call(&self, to: Address, data: &[u8]) -> String {
        self.chain.send(self.payer, to, data, 0).await.unwrap()
    }

    /// Mines so many blocks, one after the other, and waits until the daemon has told all they mean.
    pub async fn mine(&self, blocks: u64) {
        for _ in 0..blocks {
            self.chain.mine(1).await.unwrap();
            self.caught_up().await;
        }
        self.quiet().await;
    }

    /// Replaces the newest blocks and mines one more, as one step for whoever watches.
    pub async fn reorg(&self, depth: u64, transactions: &[(Value, u64)]) {
        let shut = self.gate.shut().await;
        self.chain.reorg(depth, transactions).await.unwrap();
        self.chain.mine(1).await.unwrap();
        drop(shut);
        self.quiet().await;
    }

    /// Waits until the daemon stands where the chain stands, with both operators behind it.
    pub async fn caught_up(&self) {
        self.wait("the daemon does not catch up", async || self.is_caught_up("devnet").await).await;
    }

    /// Waits until the daemon has caught up and nothing waits to be delivered.
    pub async fn quiet(&self) {
        self.caught_up().await;
        self.delivered().await;
    }

    /// Whether everything that the chain's newest block means has been decided.
    pub async fn is_caught_up(&self, network: &str) -> bool {
        let head = block(&self.chain, "latest").await;
        let (safe, finalized) = (block(&self.chain, "safe").await, block(&self.chain, "finalized").await);
        let row = sqlx::query(
            r"
            select encode(tip_hash, 'hex') as tip, encode(safe_hash, 'hex') as safe,
              encode(finalized_hash, 'hex') as finalized,
              (select count(*) from jsonb_each(vouchers) v where (v.value ->> 'height')::bigint = tip_height) as operators,
              exists (select from amn.watch w where w.network_id = n.id and w.backfill_from is not null) as owed
            from amn.network n
            where id = $1
            ",
        )
        .bind(network)
        .fetch_optional(&self.db.pool)
        .await
        .unwrap();
        row.is_some_and(|row| {
            let same = |column: &str, theirs: &str| row.get::<Option<String>, _>(column).as_deref() == Some(theirs);
            same("tip", &head)
                && same("safe", &safe)
                && same("finalized", &finalized)
                && row.get::<i64, _>("operators") >= 2
                && !row.get::<bool, _>("owed")
        })
    }

    /// The bodies of the events that belong to no intent.
    pub fn others(&self) -> Vec<Value> {
        let bodies = self.receiver.delivered().into_iter().map(|heard| heard.json());
        bodies.filter(|body| body["intent"].is_null()).collect()
    }

    /// What the chain itself says of an address.
    pub async fn balance(&self, token: Option<Address>, of: Address) -> u128 {
        let shown = match token {
            Some(token) => {
                let data = format!("0x70a08231{}", hex::encode(of.into_word()));
                self.chain.rpc("eth_call", json!([{"to": token, "data": data}, "latest"])).await
            }
            None => self.chain.rpc("eth_getBalance", json!([of, "latest"])).await,
        };
        shown.unwrap().as_str().unwrap().parse::<U256>().unwrap().to()
    }

    /// Asserts that an intent's sums are what the chain says its address holds.
    pub async fn balances(&self, intent: &Value) {
        let now = self.now(intent).await;
        let sum = |field: &str| now[field].as_str().unwrap().parse::<u128>().unwrap();
        let asset = now["asset"]["id"].as_str().unwrap();
        let token = asset.rsplit_once("erc20:").map(|(_, token)| token.parse().unwrap());
        assert_eq!(sum("received") + sum("late"), self.balance(token, address(intent)).await, "{now}");
    }

    /// The same of a shared address, which holds `more` that belongs to nobody.
    pub async fn balances_of(&self, shared: Address, intents: &[&Value], more: u128) {
        let mut sum = more;
        for intent in intents {
            let now = self.now(intent).await;
            sum += now["received"].as_str().unwrap().parse::<u128>().unwrap();
        }
        assert_eq!(sum, self.balance(Some(self.token), shared).await);
    }
}

/// Polls until it holds; what is wrong is told with the last lines of this log.
pub async fn wait_until(trouble: &str, holds: impl AsyncFn() -> bool, log: impl Fn() -> String) {
    let began = Instant::now();
    while !holds().await {
        if began.elapsed() > PATIENCE {
            let log = log();
            let last: Vec<&str> = log.lines().rev().take(30).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            panic!("{trouble} within {PATIENCE:?}:\n{}", last.join("\n"));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The bodies of an intent's events as delivered, each once, in order of their sequence.
pub fn told_of(receiver: &Receiver, intent: &Value) -> Vec<Value> {
    let bodies = receiver.delivered().into_iter().map(|heard| heard.json());
    let mut ours: Vec<Value> = bodies.filter(|body| body["intent"]["id"] == intent["id"]).collect();
    ours.sort_by_key(|body| body["sequence"].as_u64());
    ours
}

/// Starts the daemon of this configuration.
pub async fn start(config: &Path, log: &Path, port: u16) -> Daemon {
    let api = Api::new(format!("http://127.0.0.1:{port}"), KEY).unwrap();
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_amn-scanner"));
    Daemon::start(&binary, config, log, api).await.unwrap()
}

/// The hash of a block by its tag, as bare hex.
pub async fn block(chain: &Anvil, tag: &str) -> String {
    let block = chain.rpc("eth_getBlockByNumber", json!([tag, false])).await.unwrap();
    block["hash"].as_str().unwrap().trim_start_matches("0x").to_owned()
}

pub fn address(intent: &Value) -> Address {
    intent["address"].as_str().unwrap().parse().unwrap()
}

/// A port that nobody listens on, below those that outgoing connections take: a daemon that is killed finds
/// its own again.
pub async fn free_port() -> u16 {
    loop {
        let port = rand::random_range(12_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).await.is_ok() {
            return port;
        }
    }
}
