//! Real shard blocks of the main network through the whole pipeline, everybody in them watched: who is credited is who
//! a second reader says was paid, with exactly that, and nobody else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use amn_core::block::NetworkId;
use amn_core::id::IntentId;
use amn_scanner::store;
use amn_ton::address::{self, Account, Realm};
use amn_ton::networks::{SHIPPED, TonNetwork};
use amn_ton::reference::Parsed;
use amn_ton::testkit::{History, Node};
use serde_json::Value;
use sqlx::Row as _;
use uuid::Uuid;

use super::ground;
use super::scene::{TonScene, Way, all};
use super::second_reader::{self, Credit, Found, Says};
use super::spam::{Counted, KEPT_OF_A_BLOCK};

const BLOCKS: [&str; 2] = ["shardblock-0-8000000000000000-57314442.hex", "shardblock-0-6000000000000000-52111590.hex"];

/// What the shipped file asks for is eight more blocks.
const BLOCKS_AFTER: u32 = 10;

/// Accounts beyond which blocks are read, though there is an indexer.
const MANY: usize = 1_001;

/// A block, and what the second reader found in it.
struct Real {
    file: &'static str,
    bytes: Vec<u8>,
    found: Found,
    network: TonNetwork,
}

impl Real {
    /// `None`, and the reason is printed, where the block is not on this machine. `from`: the least that counts.
    fn load(file: &'static str, from: Option<u128>) -> Option<Self> {
        let folder = std::env::var_os("AMN_REAL_DATA")
            .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/real")), PathBuf::from);
        let digits = match std::fs::read_to_string(folder.join("ton").join(file)) {
            Ok(digits) => digits,
            Err(error) => {
                println!("skipped: no real data, {file}: {error} (set AMN_REAL_DATA)");
                return None;
            }
        };
        let bytes = hex::decode(digits.trim()).unwrap();
        let found = second_reader::read(&bytes);
        let mut text = SHIPPED.iter().find(|(name, _)| *name == "ton-mainnet").unwrap().1.to_owned();
        if let Some(from) = from {
            text = regex_lite::Regex::new("min_amount = \"[0-9]+\"")
                .unwrap()
                .replace_all(&text, format!("min_amount = \"{from}\""))
                .into_owned();
        }
        let network = TonNetwork::parse(&NetworkId::new("ton-mainnet"), "ton-mainnet.toml", &text).unwrap();
        Some(Self { file, bytes, found, network })
    }

    /// The block as a history of its own, and what stands on it.
    fn history(&self) -> History {
        let mut history = History::of_real(&self.bytes).unwrap();
        history.pass(BLOCKS_AFTER);
        history
    }

    /// Two operators serve it, as the policy of the main network asks, from before the block on.
    async fn scene(&self, way: Way, nodes: &[Node; 2]) -> (TonScene, u64) {
        let (first, last) = {
            let history = nodes[0].history();
            let first = *history.blocks.first_key_value().unwrap().0;
            (history.at(first).unwrap(), history.head())
        };
        let endpoints = all(way, &[&nodes[0], &nodes[1]]);
        (TonScene::reading(self.network.clone(), Some(first), endpoints).await, last.height.0)
    }

    fn asset(&self, usdt: bool) -> String {
        let symbol = if usdt { "USDT" } else { "TON" };
        self.network.facts.assets.iter().find(|asset| asset.symbol == symbol).unwrap().id.to_string()
    }

    /// What counts of what arrived: the rest is advertising.
    fn counts(&self, credit: &Credit) -> bool {
        let id = self.asset(credit.usdt);
        let asset = self.network.facts.assets.iter().find(|asset| asset.id.as_str() == id).unwrap();
        credit.amount >= asset.min_amount.units()
    }
}

/// A credit's reference as an intent asks for it; `Err` where no intent can.
fn reference(said: &Says) -> Result<Option<String>, ()> {
    match said {
        Says::Nothing => Ok(None),
        Says::Comment(bytes) => Ok(Some(Parsed::Text(bytes.clone()).spell().to_string())),
        Says::Query(number) => Ok(Some(format!("query:{number}"))),
        Says::Other => Err(()),
    }
}

/// What is asked for at an account: one asset, with one reference or whatever it says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Ask {
    to: String,
    reference: Option<String>,
    usdt: bool,
}

/// Intents for everything that the block pays, and what each must get; and who else is watched.
///
/// Where payments to an account carry references, each reference is an intent's; elsewhere one intent has the address
/// alone. An intent asks for the first asset that came for it.
fn plan(real: &Real) -> BTreeMap<Ask, u128> {
    let mut by_account: BTreeMap<&str, Vec<&Credit>> = BTreeMap::new();
    for credit in real.found.credits.iter().filter(|credit| real.counts(credit)) {
        by_account.entry(&credit.to).or_default().push(credit);
    }
    let mut asks = BTreeMap::new();
    for (to, credits) in by_account {
        let spoken: BTreeSet<String> =
            credits.iter().filter_map(|credit| reference(&credit.said).ok().flatten()).collect();
        let shared = credits.iter().any(|credit| credit.said != Says::Nothing);
        let mut intents: Vec<Option<String>> = spoken.into_iter().map(Some).collect();
        if !shared {
            intents.push(None);
        } else if intents.is_empty() {
            let ask = Ask { to: to.to_owned(), reference: Some("text:nobody".to_owned()), usdt: false };
            asks.insert(ask, 0);
        }
        for wanted in intents {
            let ours = credits
                .iter()
                .filter(|credit| wanted.is_none() || reference(&credit.said) == Ok(wanted.clone()))
                .collect::<Vec<_>>();
            let usdt = ours[0].usdt;
            let sum = ours.iter().filter(|credit| credit.usdt == usdt).map(|credit| credit.amount).sum();
            asks.insert(Ask { to: to.to_owned(), reference: wanted, usdt }, sum);
        }
    }
    // Whoever appears may have been paid.
    for account in &real.found.accounts {
        if !asks.keys().any(|ask| ask.to == *account) {
            asks.insert(Ask { to: account.clone(), reference: None, usdt: false }, 0);
        }
    }
    asks
}

/// Whose a credit is, or why it is nobody's.
fn owner<'a>(credit: &Credit, asks: &'a BTreeMap<Ask, u128>) -> Result<&'a Ask, &'static str> {
    let said = reference(&credit.said);
    let mut at = asks.keys().filter(|ask| ask.to == credit.to);
    match at.find(|ask| ask.reference.is_none() || said.as_ref() == Ok(&ask.reference)) {
        None if said == Ok(None) => Err("missing_reference"),
        None => Err("unknown_reference"),
        Some(ask) if ask.usdt != credit.usdt => Err("wrong_asset"),
        Some(ask) => Ok(ask),
    }
}

/// Makes the intents, each asking for exactly what it must get; one that must get nothing asks for a nanoton. Where
/// there must be many accounts, strangers wait beside them.
async fn intents(scene: &TonScene, real: &Real, asks: &BTreeMap<Ask, u128>, many: bool) -> BTreeMap<Uuid, Ask> {
    let mut made = BTreeMap::new();
    for (ask, due) in asks {
        let to = ground::spell(&address::parse(&ask.to, Realm::Mainnet).unwrap());
        let due = i128::try_from((*due).max(1)).unwrap();
        let intent = scene.intent_of(&real.asset(ask.usdt), &to, ask.reference.as_deref(), due).await;
        made.insert(store::uuid(intent.0), ask.clone());
    }
    if many {
        let mut id = [0xdd; 32];
        for number in 0..u16::try_from(MANY).unwrap() {
            id[..2].copy_from_slice(&number.to_be_bytes());
            scene.intent("TON", &Account::new(0, id), None, 1).await;
        }
    }
    made
}

/// A deposit as it was recorded, in the second reader's words, and whose it is.
struct Recorded {
    credit: Credit,
    owner: Result<Uuid, String>,
    status: String,
    inclusion: String,
}

async fn recorded(scene: &TonScene, real: &Real) -> Vec<Recorded> {
    let rows = sqlx::query(
        r"
        select encode(tx_hash, 'hex') as tx, to_address, coalesce(from_address, '') as from_address, asset_id,
          amount::text as amount, reference, intent_id, unmatched, status, inclusion
        from amn.deposit
        ",
    )
    .fetch_all(&scene.db.pool)
    .await
    .unwrap();
    let spelled = |text: String| match text.as_str() {
        "" => text,
        _ => address::parse(&text, Realm::Mainnet).unwrap().to_string(),
    };
    let one = |row: &sqlx::postgres::PgRow| Recorded {
        credit: Credit {
            tx: row.get("tx"),
            to: spelled(row.get("to_address")),
            usdt: row.get::<String, _>("asset_id") == real.asset(true),
            amount: row.get::<String, _>("amount").parse().unwrap(),
            from: spelled(row.get("from_address")),
            said: said(row.get::<Option<String>, _>("reference").as_deref()),
        },
        owner: row.get::<Option<Uuid>, _>("intent_id").ok_or_else(|| row.get("unmatched")),
        status: row.get("status"),
        inclusion: row.get("inclusion"),
    };
    rows.iter().map(one).collect()
}

/// A recorded reference in the second reader's words.
fn said(reference: Option<&str>) -> Says {
    match reference.map(amn_ton::reference::parse) {
        None => Says::Nothing,
        Some(Ok(Parsed::Text(bytes))) => Says::Comment(bytes),
        Some(Ok(Parsed::Query(number))) => Says::Query(number),
        Some(Ok(Parsed::Binary(_)) | Err(_)) => Says::Other,
    }
}

/// Exactly what is due was told and confirmed, by two operators; of who is due nothing, nothing.
async fn what_was_told(scene: &TonScene, intent: Uuid, ask: &Ask, due: u128) {
    let bodies = scene.db.bodies(IntentId(intent.as_u128())).await;
    if due == 0 {
        assert!(bodies.is_empty(), "{ask:?}: {bodies:?}");
        return;
    }
    let last = bodies.last().unwrap_or_else(|| panic!("nothing was told of {ask:?}"));
    assert_eq!(last["event"], "payment.confirmed", "{ask:?}");
    let said = &last["intent"];
    assert_eq!((&said["settled"], &said["received"]), (&due.to_string().into(), &due.to_string().into()), "{ask:?}");
    assert_eq!(said["reference"], ask.reference.clone().map_or(Value::Null, Value::from));
    for deposit in last["deposits"].as_array().unwrap() {
        assert_eq!(deposit["evidence"]["inclusion"], "proven", "{ask:?}");
        assert_eq!(deposit["evidence"]["operators"], 2, "{ask:?}");
    }
}

/// How everybody in a block is followed.
#[derive(Debug, Clone, Copy)]
struct How {
    way: Way,
    /// More accounts are watched than one question asks for.
    many: bool,
}

const WAYS: [How; 3] = [
    How { way: Way::ByAccount, many: false },
    How { way: Way::ByAccount, many: true },
    How { way: Way::ByBlock, many: false },
];

async fn everybody_is_credited(real: &Real, how: How) {
    let what = format!("{} {how:?}", real.file);
    let nodes = [Node::serve(real.history()).await.unwrap(), Node::serve(real.history()).await.unwrap()];
    let (mut scene, last) = real.scene(how.way, &nodes).await;
    let asks = plan(real);
    let intents = intents(&scene, real, &asks, how.many).await;
    scene.reaches(last).await;
    assert!(scene.distrusted().iter().all(Option::is_none), "{what}: {:?}", scene.distrusted());

    let mut paid = recorded(&scene, real).await;
    let mut expected: Vec<_> = real.found.credits.iter().filter(|credit| real.counts(credit)).cloned().collect();
    expected.sort();
    paid.sort_by(|one, other| one.credit.cmp(&other.credit));
    assert_eq!(paid.len(), expected.len(), "{what}: as many deposits as credits");
    let mut unmatched: BTreeMap<&str, usize> = BTreeMap::new();
    for (recorded, credit) in paid.iter().zip(&expected) {
        assert_eq!(recorded.credit, *credit, "{what}");
        let owned = recorded.owner.as_ref().map(|intent| &intents[intent]).map_err(String::as_str);
        assert_eq!(owned, owner(credit, &asks), "{what}: {credit:?}");
        assert_eq!((recorded.status.as_str(), recorded.inclusion.as_str()), ("settled", "proven"), "{credit:?}");
        if let Err(why) = owned {
            *unmatched.entry(why).or_default() += 1;
        }
    }
    for (intent, ask) in &intents {
        what_was_told(&scene, *intent, ask, asks[ask]).await;
    }
    let told = scene.db.count("select count(*) from amn.event where event = 'deposit.unmatched'").await;
    let settled = "select count(*) from amn.deposit where status = 'settled' and intent_id is null";
    assert_eq!(told, scene.db.count(settled).await, "{what}: each that settled and is nobody's is told");
    assert_eq!(scene.db.count("select count(*) from amn.event where event = 'payment.reversed'").await, 0);
    println!(
        "{what}: {} credits ({} in USDT, {} aborted and paid) to {} intents of {}, {unmatched:?} to nobody; {} too \
         little to count; {} notifications aborted",
        paid.len(),
        expected.iter().filter(|credit| credit.usdt).count(),
        real.found.aborted_and_paid,
        asks.values().filter(|due| **due > 0).count(),
        asks.len(),
        real.found.credits.len() - expected.len(),
        real.found.aborted_notices,
    );
}

#[tokio::test]
async fn everybody_whom_a_real_block_pays_is_credited_with_that_and_nobody_else_is() {
    for file in BLOCKS {
        let Some(real) = Real::load(file, Some(1)) else { return };
        assert!(real.found.aborted_notices > 0, "{file}: a payment whose owner was told in vain");
        for how in WAYS {
            everybody_is_credited(&real, how).await;
        }
    }
}

#[tokio::test]
async fn what_is_too_little_to_count_in_a_real_block_pays_nobody_and_is_counted() {
    for file in BLOCKS {
        let Some(real) = Real::load(file, None) else { return };
        let little = real.found.credits.iter().filter(|credit| !real.counts(credit)).count();
        for how in [WAYS[0], WAYS[2]] {
            let counted = Counted::here();
            everybody_is_credited(&real, how).await;
            let expected = KEPT_OF_A_BLOCK.min(u64::try_from(little).unwrap());
            assert_eq!(counted.seen("dust"), expected, "{file} {how:?}: {little} were too little");
        }
    }
}

#[tokio::test]
async fn the_boss_is_paid_a_thousand_ton_though_his_transaction_is_aborted() {
    let Some(real) = Real::load(BLOCKS[1], None) else { return };
    let boss = real.found.credits.iter().find(|credit| credit.said == Says::Comment(b"boss".to_vec())).unwrap();
    assert_eq!((boss.usdt, boss.amount), (false, 1_001_990_000_000));
    for way in Way::BOTH {
        let nodes = [Node::serve(real.history()).await.unwrap(), Node::serve(real.history()).await.unwrap()];
        let (mut scene, last) = real.scene(way, &nodes).await;
        let to = ground::spell(&address::parse(&boss.to, Realm::Mainnet).unwrap());
        let due = i128::try_from(boss.amount).unwrap();
        let intent = scene.intent_of(&real.asset(false), &to, Some("text:boss"), due).await;
        scene.reaches(last).await;
        assert_eq!(scene.db.events(intent).await, ["payment.detected", "payment.confirmed"], "{way:?}");
        let said = scene.db.bodies(intent).await.pop().unwrap();
        let deposit = &said["deposits"][0];
        assert_eq!(
            (&deposit["amount"], &deposit["tx"], &deposit["evidence"]["inclusion"], &deposit["evidence"]["operators"]),
            (&"1001990000000".into(), &format!("0x{}", boss.tx).into(), &"proven".into(), &2.into()),
            "{way:?}"
        );
        assert_eq!(scene.db.deposits().await, 1, "{way:?}");
    }
}
