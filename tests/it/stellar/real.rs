//! Real ledgers of the public network through the whole pipeline, everybody in them watched: who is credited is who a
//! second reader says was paid, with exactly that, and nobody else.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::PathBuf;

use amn_core::block::Address;
use amn_core::id::IntentId;
use amn_scanner::store;
use amn_soroban::decode::{Moved, Said, decode_event};
use amn_soroban::evidence::verify;
use amn_soroban::ledger::Ledger;
use amn_soroban::networks::{PUBLIC_PASSPHRASE, SorobanNetwork};
use amn_soroban::testkit::{History, Node};
use serde_json::Value;
use sqlx::Row as _;
use stellar_xdr::{LedgerCloseMeta, Limits, ReadXdr as _};
use uuid::Uuid;

use super::readings::listing;
use super::scene::{StellarScene, endpoint};
use super::second_reader::{self, Credit, Found};

const LEDGERS: [u32; 3] = [57_500_008, 63_092_988, 63_092_990];

/// The one call of 57500008 whose events are not those it committed to.
const REWRITTEN: &str = "32766f4f";

/// A ledger, and what the second reader found in it.
struct Real {
    sequence: u32,
    bytes: Vec<u8>,
    found: Found,
    network: SorobanNetwork,
}

impl Real {
    /// `None`, and the reason is printed, where the ledger is not on this machine.
    fn load(sequence: u32) -> Option<Self> {
        let file = format!("pubnet-ledger-{sequence}.xdr.gz");
        let folder = std::env::var_os("AMN_REAL_DATA")
            .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/real")), PathBuf::from);
        let packed = match std::fs::read(folder.join("stellar").join(&file)) {
            Ok(packed) => packed,
            Err(error) => {
                println!("skipped: no real data, {file}: {error} (set AMN_REAL_DATA)");
                return None;
            }
        };
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut bytes).unwrap();
        let meta = LedgerCloseMeta::from_xdr(&bytes, Limits { depth: 500, len: bytes.len() }).unwrap();
        let network = SorobanNetwork::shipped("stellar-pubnet").unwrap().unwrap();
        let found = second_reader::read(&meta, network.network_id);
        let network = listing(network, &found);
        Some(Self { sequence, bytes, found, network })
    }

    /// The ledger as a history of its own, and two that stand on it.
    fn history(&self) -> History {
        let mut history = History::of_real(PUBLIC_PASSPHRASE, &self.bytes).unwrap();
        history.pass(2);
        history
    }

    /// Two operators serve it, as the policy of the public network asks.
    async fn scene(&self, nodes: &[Node; 2]) -> StellarScene {
        let endpoints = nodes.iter().zip(["a", "b"]).map(|(node, name)| endpoint(name, &node.url(), name)).collect();
        let checkpoint = nodes[0].history().checkpoint();
        StellarScene::reading(self.network.clone(), Some(checkpoint), endpoints).await
    }

    /// The id of an asset as the second reader names it.
    fn asset(&self, name: &str) -> String {
        let facts = &self.network.facts;
        let wanted = match name.split_once(':') {
            Some((code, issuer)) => format!("{}/asset:{code}-{issuer}", facts.chain),
            None if name == "native" => facts.assets.iter().find(|asset| asset.native).unwrap().id.to_string(),
            None => format!("{}/sep41:{name}", facts.chain),
        };
        assert!(facts.assets.iter().any(|asset| asset.id.as_str() == wanted), "{wanted} is listed");
        wanted
    }
}

/// What is asked for at an address: one asset, with one reference or whatever it says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Ask {
    to: String,
    reference: Option<String>,
    asset: String,
}

/// Intents for everything that the ledger pays, and what each must get; and who else is watched.
///
/// Where payments to an address carry references, each reference is an intent's; elsewhere one intent has the address
/// alone. An intent asks for the first asset that came for it.
fn plan(found: &Found) -> BTreeMap<Ask, i128> {
    let mut by_address: BTreeMap<&str, Vec<&Credit>> = BTreeMap::new();
    for credit in &found.credits {
        by_address.entry(&credit.to).or_default().push(credit);
    }
    let mut asks = BTreeMap::new();
    for (to, credits) in by_address {
        let spoken: BTreeSet<&str> = credits.iter().map(|credit| credit.reference.as_str()).collect();
        let shared = spoken.iter().any(|reference| !reference.is_empty());
        let intents: Vec<Option<&str>> = if shared {
            // What says two things is what no intent can ask for: it waits for a person.
            spoken.into_iter().filter(|said| !said.is_empty() && !said.starts_with("both:")).map(Some).collect()
        } else {
            vec![None]
        };
        if intents.is_empty() {
            let ask = Ask { to: to.to_owned(), reference: Some("text:nobody".to_owned()), asset: "native".to_owned() };
            asks.insert(ask, 0);
        }
        for reference in intents {
            let mut ours = credits.iter().filter(|credit| reference.is_none_or(|said| said == credit.reference));
            let asset = ours.clone().next().unwrap().asset.clone();
            let sum = ours.by_ref().filter(|credit| credit.asset == asset).map(|credit| credit.amount).sum();
            asks.insert(Ask { to: to.to_owned(), reference: reference.map(str::to_owned), asset }, sum);
        }
    }
    // Whoever did something may have claimed something.
    for source in &found.sources {
        if !asks.keys().any(|ask| ask.to == *source) {
            asks.insert(Ask { to: source.clone(), reference: None, asset: "native".to_owned() }, 0);
        }
    }
    asks
}

/// Whose a credit is, or why it is nobody's.
fn owner<'a>(credit: &Credit, asks: &'a BTreeMap<Ask, i128>) -> Result<&'a Ask, &'static str> {
    let mut at = asks.keys().filter(|ask| ask.to == credit.to);
    let found = at.find(|ask| ask.reference.as_deref().is_none_or(|reference| reference == credit.reference));
    match found {
        None if credit.reference.is_empty() => Err("missing_reference"),
        None => Err("unknown_reference"),
        Some(ask) if ask.asset != credit.asset => Err("wrong_asset"),
        Some(ask) => Ok(ask),
    }
}

/// Makes the intents, each asking for exactly what it must get; one that must get nothing asks for a stroop.
async fn intents(scene: &StellarScene, real: &Real, asks: &BTreeMap<Ask, i128>) -> BTreeMap<Uuid, Ask> {
    let mut made = BTreeMap::new();
    for (ask, due) in asks {
        let (asset, to) = (real.asset(&ask.asset), Address::new(&ask.to));
        let intent = scene.intent_of(&asset, &to, ask.reference.as_deref(), (*due).max(1)).await;
        made.insert(store::uuid(intent.0), ask.clone());
    }
    made
}

/// A deposit as it was recorded, in the second reader's words, and whose it is.
struct Recorded {
    credit: Credit,
    owner: Result<Uuid, String>,
    kind: String,
    status: String,
    inclusion: String,
}

async fn recorded(scene: &StellarScene, real: &Real) -> Vec<Recorded> {
    let rows = sqlx::query(
        r"
        select encode(tx_hash, 'hex') as tx, index_in_tx::bigint as place, to_address, asset_id, amount::text as amount,
          coalesce(reference, '') as reference, intent_id, unmatched, kind, status, inclusion
        from amn.deposit
        ",
    )
    .fetch_all(&scene.db.pool)
    .await
    .unwrap();
    let names: BTreeMap<String, &String> =
        real.found.credits.iter().map(|credit| (real.asset(&credit.asset), &credit.asset)).collect();
    let one = |row: &sqlx::postgres::PgRow| {
        let index = usize::try_from(row.get::<i64, _>("place")).unwrap();
        let asset = row.get::<String, _>("asset_id");
        Recorded {
            credit: Credit {
                tx: row.get("tx"),
                place: (index >> 16, index & 0xffff),
                to: row.get("to_address"),
                asset: names.get(&asset).map_or(asset, |name| (*name).clone()),
                amount: row.get::<String, _>("amount").parse().unwrap(),
                reference: row.get("reference"),
            },
            owner: row.get::<Option<Uuid>, _>("intent_id").ok_or_else(|| row.get("unmatched")),
            kind: row.get("kind"),
            status: row.get("status"),
            inclusion: row.get("inclusion"),
        }
    };
    rows.iter().map(one).collect()
}

#[tokio::test]
async fn everybody_whom_a_real_ledger_pays_is_credited_with_what_its_results_say_and_nobody_else_is() {
    let mut kinds = BTreeSet::new();
    for sequence in LEDGERS {
        let Some(real) = Real::load(sequence) else { return };
        let nodes = [Node::serve(real.history()).await.unwrap(), Node::serve(real.history()).await.unwrap()];
        let mut scene = real.scene(&nodes).await;
        let asks = plan(&real.found);
        let intents = intents(&scene, &real, &asks).await;
        scene.reaches(u64::from(sequence) + 2).await;
        assert_eq!(scene.distrusted(), [None, None], "{sequence}");

        let (claimed, mut paid): (Vec<_>, Vec<_>) =
            recorded(&scene, &real).await.into_iter().partition(|one| one.kind == "internal");
        let mut expected = real.found.credits.clone();
        expected.sort();
        paid.sort_by(|one, other| one.credit.cmp(&other.credit));
        assert_eq!(paid.len(), expected.len(), "{sequence}: as many deposits as credits");
        let mut unmatched: BTreeMap<&str, usize> = BTreeMap::new();
        for (recorded, credit) in paid.iter().zip(&expected) {
            assert_eq!(recorded.credit, *credit, "{sequence}");
            let owned = recorded.owner.as_ref().map(|intent| &intents[intent]).map_err(String::as_str);
            assert_eq!(owned, owner(credit, &asks), "{sequence}: {credit:?}");
            assert_eq!((recorded.status.as_str(), recorded.inclusion.as_str()), ("settled", "proven"), "{credit:?}");
            if let Err(why) = owned {
                *unmatched.entry(why).or_default() += 1;
            }
        }
        // What was claimed says no ledger for sure: recorded for a person, and nobody's.
        for claim in &claimed {
            assert_eq!(claim.owner, Err("internal_transfer".to_owned()), "{sequence}: {:?}", claim.credit);
        }

        for (intent, ask) in &intents {
            what_was_told(&scene, *intent, ask, asks[ask]).await;
        }
        let told = scene.db.count("select count(*) from amn.event where event = 'deposit.unmatched'").await;
        let settled = "select count(*) from amn.deposit where status = 'settled' and intent_id is null";
        assert_eq!(told, scene.db.count(settled).await, "{sequence}: each that settled and is nobody's is told");
        assert_eq!(scene.db.count("select count(*) from amn.event where event = 'payment.reversed'").await, 0);

        println!(
            "{sequence}: {:?}; {} failed; {} credits to {} intents of {}, {unmatched:?} to nobody; {} claims",
            real.found.counts,
            real.found.failed,
            paid.len(),
            asks.values().filter(|due| **due > 0).count(),
            asks.len(),
            claimed.len(),
        );
        assert!(real.found.failed > 50, "{sequence}: what failed is there to be passed over");
        kinds.extend(real.found.counts.keys().copied());
    }
    assert_eq!(kinds, ["claim", "create", "event", "merge", "path_receive", "path_send", "payment"].into());
}

/// Exactly what is due was told and confirmed, by two operators; of who is due nothing, nothing.
async fn what_was_told(scene: &StellarScene, intent: Uuid, ask: &Ask, due: i128) {
    let intent = IntentId(intent.as_u128());
    let bodies = scene.db.bodies(intent).await;
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

/// The call whose events a node rewrote: its name, what it is said to have minted, and for whom.
fn rewritten(real: &Real) -> (String, Vec<Credit>) {
    let verified = verify(&real.network, Ledger::decode(&real.bytes).unwrap(), None).unwrap();
    let mut differ = verified.applied.iter().filter(|applied| applied.rewritten().is_some());
    let (Some(call), None) = (differ.next(), differ.next()) else { panic!("one call differs from its commitment") };
    let said = call.success().unwrap().said_events(0);
    let arrived = said.iter().filter_map(|event| match decode_event(event) {
        Said::Arrived(moved) => Some(moved),
        _ => None,
    });
    let credit = |moved: Moved<'_>| Credit {
        tx: call.hash.to_string()[2..].to_owned(),
        place: (0, 1),
        to: moved.to.unwrap().place.spell().to_string(),
        asset: String::from_utf8(moved.asset.unwrap().to_vec()).unwrap(),
        amount: moved.amount,
        reference: String::new(),
    };
    (call.hash.to_string()[2..].to_owned(), arrived.map(credit).collect())
}

#[tokio::test]
async fn the_call_of_57500008_whose_events_were_rewritten_is_named_and_pays_nobody() {
    let Some(mut real) = Real::load(LEDGERS[0]) else { return };
    let (call, said) = rewritten(&real);
    assert!(call.starts_with(REWRITTEN) && !said.is_empty(), "{call}: {said:?}");
    // What it is said to have minted is on our list, and the receivers wait for it.
    real.found.credits.extend(said.iter().cloned());
    real.network = listing(SorobanNetwork::shipped("stellar-pubnet").unwrap().unwrap(), &real.found);
    let nodes = [Node::serve(real.history()).await.unwrap(), Node::serve(real.history()).await.unwrap()];
    let mut scene = real.scene(&nodes).await;
    let asks: BTreeMap<Ask, i128> = said
        .iter()
        .map(|credit| (Ask { to: credit.to.clone(), reference: None, asset: credit.asset.clone() }, credit.amount))
        .collect();
    let intents = intents(&scene, &real, &asks).await;
    scene.reaches(u64::from(real.sequence) + 2).await;
    let named: Vec<String> = sqlx::query_scalar(
        "select encode(tx_hash, 'hex') from amn.observation where kind = 'events_unproven' order by tx_hash",
    )
    .fetch_all(&scene.db.pool)
    .await
    .unwrap();
    assert_eq!(named, std::slice::from_ref(&call));
    for intent in intents.keys() {
        assert_eq!(scene.db.events(IntentId(intent.as_u128())).await, Vec::<String>::new());
    }
    let credited: i64 = sqlx::query_scalar("select count(*) from amn.deposit where encode(tx_hash, 'hex') = $1")
        .bind(&call)
        .fetch_one(&scene.db.pool)
        .await
        .unwrap();
    assert_eq!(credited, 0);
    assert_eq!(scene.distrusted(), [None, None], "a node may show old events so: it is no lie");
}
