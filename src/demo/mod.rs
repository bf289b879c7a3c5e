//! The demo: from nothing to a moving picture. A real EVM node, a real Postgres, the daemon as a process, a backend
//! that verifies signatures, invented Stellar and TON networks; and a story in fifteen acts that checks itself.
//!
//! Read on in `script`, `stellar` and `ton` (what happens), `house` (how it is waited for), `timeline` (what is shown),
//! `verdict` (whether it went as told).

mod ground;
mod house;
mod keep;
mod script;
mod stellar;
mod table;
mod timeline;
mod ton;
mod verdict;
mod words;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::clock::{Clock as _, Ids as _, SystemClock, SystemIds};
use crate::embedded::Embedded;
use crate::stage::StageError;
use crate::stage::anvil::{Anvil, Rules};
use crate::stage::contracts;
use crate::stage::process::{Api, Daemon};
use crate::stage::receiver::Receiver;
use crate::stage::stellar::{Ledgers, NAME as STELLAR};
use crate::stage::ton::{NAME as TON, Shards};
use ground::Folder;
use house::House;
use timeline::{Actor, Ink, Mood, Timeline};
use words::short;

/// The shop whose backend plays in the demo.
const SHOP: &str = "demo-shop";

/// The account m/44'/60'/0' of the mnemonic that every development node knows: its addresses belong to nobody.
const SHOP_XPUB: &str =
    "xpub6Ce9NcJvTk36xtLSrJLZqE7wtgA5deCeYs7rSQtreh4cj6ByPtrg9sD7V2FNFLPnf8heNP3FGkeV9qwfzvZNSd54JoNXVsXFYSYwHsnJxqP";

/// The node's own accounts, which pay, are the first ten of that mnemonic; the shop's begin behind them.
const SHOP_INDEX: u32 = 100;

/// A daemon that has not ended by then is killed.
const STOPS_WITHIN: Duration = Duration::from_secs(15);

/// Chain time begins this far ahead of ours, so that a deadline one block ahead is not in our past.
const AHEAD_SECONDS: i64 = 600;

/// What the caller wants of the demo.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// Stay up after the story, until Ctrl-C.
    pub keep: bool,
    /// Where the database, the configuration and the log lie.
    pub folder: PathBuf,
    /// Between two blocks. Nothing waits for it but the person.
    pub pace: Duration,
    /// The binary that is the daemon.
    pub daemon: PathBuf,
}

impl Wishes {
    /// The usual demo, with this very binary as the daemon. `AMN_DEMO_PACE_MS` makes it faster or slower.
    pub fn usual(keep: bool) -> Result<Self, StageError> {
        let daemon = std::env::current_exe().map_err(|error| StageError::because("this binary", error))?;
        let pace = std::env::var("AMN_DEMO_PACE_MS").ok().and_then(|text| text.parse().ok());
        // Long enough to read a line while the next is being made.
        let pace = Duration::from_millis(pace.unwrap_or(600));
        Ok(Self { keep, folder: PathBuf::from(".amn/demo"), pace, daemon })
    }
}

/// Plays the demo. An error is a stage that failed, or a story that did not go as told.
pub async fn run(wishes: Wishes) -> Result<(), StageError> {
    let mut timeline = Timeline::new(Box::new(std::io::stdout()), Ink::of_this_terminal(), Instant::now());
    let folder = Arc::new(Folder::open(&wishes.folder)?);
    folder.end_orphan();
    timeline.act("Setting the stage", "everything runs on this machine, and nothing of it is worth anything");
    let began = Instant::now();
    let database = Embedded::start(&folder.database()).await;
    let database = database.map_err(|error| StageError::because("the embedded Postgres", error))?;
    let played = match ground::empty(&database).await {
        Ok(()) => {
            let what = format!("a private Postgres answers after {} ms", began.elapsed().as_millis());
            timeline.tell(Actor::Daemon, Mood::Note, &what, "one socket, no network");
            until_told(&wishes, &folder, timeline).await
        }
        Err(error) => Err(error),
    };
    folder.remember(None);
    let stopped = database.stop().await.map_err(|error| StageError::because("stopping Postgres", error));
    played.and(stopped.map(|_| ()))
}

/// Plays until the end, or until somebody asks to stop.
async fn until_told(wishes: &Wishes, folder: &Arc<Folder>, timeline: Timeline) -> Result<(), StageError> {
    let failed = |error| StageError::because("signals", error);
    let mut interrupted = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
    let (receiver, serve) = Receiver::bind().await?;
    let mut house = None;
    let played = tokio::select! {
        played = story(wishes, folder, timeline, receiver, &mut house) => played,
        () = serve => Err(StageError("the receiver ended".into())),
        _ = interrupted.recv() => stopped_by(wishes.keep, house.as_ref()),
        _ = terminated.recv() => stopped_by(wishes.keep, house.as_ref()),
    };
    // Its Postgres outlives a daemon that is killed, so it is asked first.
    if let Some((mut house, _)) = house {
        let asked = tokio::time::timeout(STOPS_WITHIN, house.daemon.stop()).await;
        if wishes.keep && matches!(asked, Ok(Ok(Some(0)))) {
            house.timeline.print("\n  The daemon finished what was in flight, and stopped. Bye.");
        }
        house.chain.stop().await;
    }
    played
}

/// To be stopped while it stays up is the end we expect; in the middle of the story it is not.
fn stopped_by(keep: bool, house: Option<&(House, Keys)>) -> Result<(), StageError> {
    match house {
        Some((_, keys)) if keep && keys.told => Ok(()),
        _ => Err(StageError("stopped before the end of the story".into())),
    }
}

/// What `--keep` shows of the house, and whether the story is over.
#[derive(Debug, Default)]
struct Keys {
    shop: String,
    operator: String,
    told: bool,
}

async fn story(
    wishes: &Wishes,
    folder: &Arc<Folder>,
    timeline: Timeline,
    receiver: Receiver,
    slot: &mut Option<(House, Keys)>,
) -> Result<(), StageError> {
    let (house, keys) = slot.insert(build(wishes, folder, timeline, receiver).await?);
    let began = Instant::now();
    script::play(house).await?;
    verdict::judge(house).await?;
    let ink = house.timeline.ink;
    if !house.differences.is_empty() {
        house.timeline.print(&format!("\n{}", ink.paint("31", "It did not go as the story says:")));
        for difference in std::mem::take(&mut house.differences) {
            house.timeline.print(&format!("  - {difference}"));
        }
        return Err(StageError(format!("the story did not go as told; see {}", folder.log().display())));
    }
    let (orders, seconds) = (house.orders.len(), began.elapsed().as_secs());
    let line = format!(
        "\nAll as told: {orders} orders on 3 chains, 2 reorgs, 1 crash in {seconds} s; nothing lost, nothing twice."
    );
    house.timeline.print(&ink.paint("32", &line));
    keep::where_next(house, folder, wishes);
    if wishes.keep {
        keys.told = true;
        keep::stay(house, keys).await?;
    }
    Ok(())
}

/// Starts everything and makes the shop at home in it.
async fn build(
    wishes: &Wishes,
    folder: &Arc<Folder>,
    mut timeline: Timeline,
    receiver: Receiver,
) -> Result<(House, Keys), StageError> {
    let chain = Anvil::start(Rules::default()).await?;
    begin_ahead(&chain).await?;
    let payer = chain.account(0).await?;
    let usdc = chain.deploy(payer, &contracts::token("USD Coin", "USDC", 6)?).await?;
    let fake = chain.deploy(payer, &contracts::Contract::FakeToken.bytecode()?).await?;
    chain.send(payer, usdc, &contracts::mint(payer, 1_000_000_000_000), 0).await?;
    chain.mine(1).await?;
    timeline.height = chain.height().await?;
    let what = format!("anvil, chain id 31337, with USDC at {}", short(&usdc.to_string()));
    timeline.tell(Actor::Chain, Mood::Block, &what, "a real EVM node, ours to reorganise");

    let (port, key) = (free_port().await?, secret());
    let now = u64::try_from(SystemClock.now().millis()).unwrap_or_default();
    let (ledgers, shards) = (Ledgers::start(now).await?, Shards::start(now).await?);
    folder.describe(STELLAR, ledgers.file())?;
    folder.describe(TON, shards.file())?;
    folder.configure(&ground::config(folder, port, &key, &chain, usdc, &ledgers, &shards))?;
    let operator = Api::new(format!("http://127.0.0.1:{port}"), &key)?;
    let began = Instant::now();
    let daemon = Daemon::start(&wishes.daemon, &folder.config(), &folder.log(), operator.clone()).await?;
    folder.remember(daemon.id());
    let what = format!("process {} answers after {} ms", daemon.id().unwrap_or(0), began.elapsed().as_millis());
    timeline.tell(Actor::Daemon, Mood::Good, &what, "schema made, two operators asked who they are");

    let shop_key = shop_key(&operator).await?;
    let shop = Api::new(operator.base.clone(), &shop_key)?;
    receiver.trust(&shop.endpoint(None, &receiver.url()).await?);
    timeline.tell(
        Actor::Backend,
        Mood::Note,
        "has an API key, and a webhook endpoint with a secret",
        "of its tenant alone",
    );
    let mut house = House {
        chain,
        ledgers,
        shards,
        daemon,
        receiver,
        shop,
        folder: folder.clone(),
        timeline,
        payer,
        usdc,
        fake,
        orders: Vec::new(),
        differences: Vec::new(),
        pace: wishes.pace,
        shown: 0,
    };
    house.caught_up().await?;
    let terms = house.shop.get("/v1/networks/devnet/thresholds").await?;
    house.tell(Actor::Daemon, Mood::Good, "stands on the newest block; what it will believe:", &believed(&terms));
    Ok((house, Keys { shop: shop_key, operator: key, told: false }))
}

/// The policy in force, in words.
fn believed(terms: &Value) -> String {
    let require = &terms["effective"]["require"];
    let of = |name: &str| require[name].to_string().replace('"', "");
    format!("{} blocks, {}, {} operators", of("confirmations"), of("inclusion"), of("operators"))
}

async fn begin_ahead(chain: &Anvil) -> Result<(), StageError> {
    let ours = SystemClock.now().seconds().saturating_add(AHEAD_SECONDS);
    // A chain cannot go back in time; where its own beginning lies ahead already, that will do.
    if chain.time().await? < ours {
        chain.rpc("evm_setNextBlockTimestamp", json!([ours])).await?;
    }
    Ok(())
}

/// The shop's tenant, with its watch-only key; and an API key that opens what a backend needs and no more.
async fn shop_key(operator: &Api) -> Result<String, StageError> {
    operator.put(&format!("/v1/tenants/{SHOP}"), json!({"xpub": SHOP_XPUB, "first_index": SHOP_INDEX})).await?;
    let scopes = [
        "deliveries:read",
        "deposits:read",
        "endpoints:read",
        "endpoints:write",
        "events:read",
        "intents:read",
        "intents:write",
        "networks:read",
    ];
    let made = operator.post("/v1/keys", json!({"name": "backend", "tenant": SHOP, "scopes": scopes})).await?;
    made["key"].as_str().map(str::to_owned).ok_or_else(|| StageError("an API key without a key".into()))
}

fn secret() -> String {
    let mut chance = [0; 32];
    SystemIds.fill(&mut chance);
    hex::encode(chance)
}

async fn free_port() -> Result<u16, StageError> {
    let failed = |error| StageError::because("a free port", error);
    Ok(TcpListener::bind("127.0.0.1:0").await.map_err(failed)?.local_addr().map_err(failed)?.port())
}
