//! Every way to change a ledger, told by one operator through the whole pipeline: credited wrongly 0 times, and what ops
//! hear of it.
//!
//! The liar is asked first of three, last of three, or is one of two. The others are honest. It lies to the end; as one
//! of two it gives in at last. `docs/LIES-STELLAR.md` lists what came of it; the suite holds the page to what happens.

use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use amn_core::id::IntentId;
use amn_scanner::follower::Outcome;
use amn_soroban::address::Place;
use amn_soroban::testkit::tamper::{self, Must, Tamper, Victim};
use amn_soroban::testkit::{Fault, History, Node, Tx, muxed};

use super::ground::{self, ESCROW, PAYER, SHOP, WHOLE};
use super::scene::{StellarScene, endpoint};
use crate::support::liars::{self, Came, Stand, alone};

const PAGE: &str = include_str!("../../../docs/LIES-STELLAR.md");

/// A step of the chain in the time of the machine.
const STEP: Duration = Duration::from_secs(5);

/// Past the time for which a liar is left out of all questions.
const DISTRUST_PASSES: Duration = Duration::from_mins(11);

/// Payments of a ledger in which every lie finds something to change. In which order a ledger has its transactions
/// follows from their hashes, and so from the amounts.
static VICTIM: LazyLock<Victim> = LazyLock::new(|| {
    let of = |amount| Victim {
        payer: PAYER,
        shop: SHOP,
        escrow: ESCROW,
        asset: ground::usd(),
        token: ground::token(),
        amount,
    };
    let serves = |victim: &Victim| {
        let mut history = beginning();
        settle_early(&mut history);
        let ledger = history.close(&tamper::victim(victim)).bytes();
        tamper::ALL.iter().all(|lie| lie.apply(&ledger, history.chain.network_id).is_some())
    };
    (0..100).map(|more| of(WHOLE + more * 100)).find(serves).expect("a ledger that every lie can change")
});

/// The chain before anything is awaited.
fn beginning() -> History {
    let mut history = ground::history();
    history.pass(2);
    history
}

/// The ledger before the victim's: a payment that has settled when the lie is told, so that there is something to undo.
fn settle_early(history: &mut History) {
    history.close(&[Tx::of(PAYER).pay(muxed(SHOP, EARLY), &ground::usd(), WHOLE)]);
}

/// The number of what is paid before.
const EARLY: u64 = 5;

/// A deposit as it is recorded: transaction, place in it, receiver, asset, amount, reference; its status and its owner.
type Row = (String, i64, String, String, String, Option<String>, String, Option<uuid::Uuid>);

/// A story: three nodes or two, and a network that waits for the victim's payments.
struct Play {
    stand: Stand,
    honest: Node,
    _other: Node,
    liar: Node,
    scene: StellarScene,
    /// Who is paid, and how much.
    paid: Vec<(IntentId, i64)>,
    /// Who waits for what is never paid.
    baits: Vec<IntentId>,
    last: Outcome,
    wrong: Vec<String>,
}

impl Play {
    async fn begin(stand: Stand) -> Self {
        let history = Arc::new(Mutex::new(beginning()));
        let share = || Node::share(history.clone());
        let (honest, other, liar) = (share().await.unwrap(), share().await.unwrap(), share().await.unwrap());
        let [a, b, c] =
            [("a", &liar), ("b", &honest), ("c", &other)].map(|(name, node)| endpoint(name, &node.url(), name));
        let endpoints = match stand {
            Stand::FirstOfThree => vec![a, b, c],
            Stand::LastOfThree => vec![b, c, a],
            Stand::OneOfTwo => vec![a, b],
        };
        let mut scene = StellarScene::waiting(ground::network(ground::TWO), None, endpoints, &[]).await;
        if scene.catch_up().await != Outcome::Idle {
            scene.catch_up().await;
        }
        let amount = VICTIM.amount;
        let mut paid = Vec::new();
        for (reference, more) in [("text:order 17", 0), ("id:18", 1), ("id:19", 2), ("id:21", 4), ("id:22", 5)] {
            paid.push((scene.intent("USD", SHOP, Some(reference), amount + more).await, amount + more));
        }
        paid.push((scene.intent("XLM", SHOP, Some("text:all I have"), amount + 7).await, amount + 7));
        let called = amount * 2 + 9 + 11;
        paid.push((scene.intent("USD", ESCROW, None, called).await, called));
        paid.push((scene.intent("USD", SHOP, Some("id:5"), WHOLE).await, WHOLE));
        let mut baits = vec![
            // What failed, what went to somebody else, and numbers that lies like to name.
            scene.intent("USD", SHOP, Some("id:23"), amount + 8).await,
            scene.intent("USD", SHOP, Some("id:20"), amount + 3).await,
            scene.intent("USD", SHOP, Some("id:1"), WHOLE).await,
        ];
        for seed in [1, 0x11, 0x66, 0xee] {
            baits.push(scene.intent("USD", Place::Account([seed; 32]), None, WHOLE).await);
        }
        settle_early(&mut honest.history());
        scene.time.advance(STEP);
        let last = scene.catch_up().await;
        let mut play = Self { stand, honest, _other: other, liar, scene, paid, baits, last, wrong: Vec::new() };
        let settled = play.rows().await.iter().filter(|row| row.6 == "settled").count();
        if settled != 1 {
            play.wrong.push(format!("{settled} payments settled before the lie"));
        }
        play
    }

    fn history(&self) -> std::sync::MutexGuard<'_, History> {
        self.honest.history()
    }

    /// The ledger that pays everybody closes, and some more.
    async fn tell(&mut self, lie: Option<&'static Tamper>) {
        if let Some(lie) = lie {
            let height = u32::try_from(self.history().tip().unwrap().at.height.0).unwrap() + 1;
            self.liar.fault(Fault::Tampered(height, lie));
        }
        self.history().close(&tamper::victim(&VICTIM));
        self.catch_up().await;
        for _ in 0..4 {
            self.step().await;
        }
    }

    async fn step(&mut self) {
        self.history().pass(1);
        self.scene.time.advance(STEP);
        self.catch_up().await;
    }

    async fn catch_up(&mut self) {
        self.last = self.scene.catch_up().await;
        // A second look, as the next poll takes it.
        if matches!(self.last, Outcome::Waiting(_)) {
            self.last = self.scene.catch_up().await;
        }
    }

    async fn rows(&self) -> Vec<Row> {
        sqlx::query_as(
            "select encode(tx_hash, 'hex'), index_in_tx::bigint, to_address, asset_id, amount::text, reference, status, intent_id
             from amn.deposit order by 1, 2, 5",
        )
        .fetch_all(&self.scene.db.pool)
        .await
        .unwrap()
    }

    /// Nobody has what the honest ledger does not pay, and in the end everybody has what it pays.
    async fn look(&mut self, honest: &[Row], at_the_end: bool) {
        for bait in &self.baits {
            let events = self.scene.db.events(*bait).await;
            if !events.is_empty() {
                self.wrong.push(format!("who was paid nothing heard {events:?}"));
            }
        }
        // Whose it is differs from scene to scene by name, not by who.
        let content = |row: &Row| (row.0.clone(), row.1, row.2.clone(), row.3.clone(), row.4.clone(), row.5.clone());
        let rows = self.rows().await;
        for row in &rows {
            if !honest.iter().any(|other| content(other) == content(row) && other.7.is_some() == row.7.is_some()) {
                self.wrong.push(format!("{} of {} to {}: {}, which was never paid", row.4, row.3, row.2, row.6));
            }
        }
        if !at_the_end {
            return;
        }
        if rows.len() != honest.len() || rows.iter().any(|row| row.6 != "settled") {
            let states: Vec<_> = rows.iter().map(|row| &row.6).collect();
            self.wrong.push(format!("{} deposits of {}: {states:?}", rows.len(), honest.len()));
        }
        for (intent, amount) in self.paid.clone() {
            let bodies = self.scene.db.bodies(intent).await;
            let last = bodies.last().cloned().unwrap_or_default();
            let undone = bodies.iter().any(|b| b["event"] == "payment.reversed" || b["event"] == "payment.retracted");
            if last["event"] != "payment.confirmed" || last["intent"]["settled"] != *amount.to_string() || undone {
                self.wrong.push(format!("{amount}: {} with {}", last["event"], last["intent"]["settled"]));
            }
        }
    }

    async fn end(mut self, lie: &'static Tamper, honest: &[Row]) -> Came {
        self.look(honest, false).await;
        if let Some((reason, detail)) = self.scene.db.halted().await {
            self.wrong.push(format!("halted: {reason}: {detail}"));
        }
        let mut told = liars::told(&self.scene.pool, &self.scene.log, &self.last);
        if self.stand == Stand::OneOfTwo {
            // It gives in, and its time of distrust passes.
            self.liar.heal();
            for _ in 0..4 {
                self.scene.time.advance(DISTRUST_PASSES);
                self.step().await;
            }
        }
        self.look(honest, true).await;
        if told.contains("HONEST") {
            self.wrong.push("an honest operator is distrusted".to_owned());
        }
        let distrusted = told.contains("distrusted");
        match lie.must {
            Must::Refused(_) if self.stand != Stand::LastOfThree && told.is_empty() => {
                self.wrong.push("nobody is told".to_owned());
            }
            Must::Harmless(_) if distrusted => self.wrong.push("distrusted for what does no harm".to_owned()),
            _ => {}
        }
        if !self.wrong.is_empty() {
            self.wrong.push(format!("told: {told:?}, last: {:?}\n{}", self.last, self.scene.log.text()));
        }
        if told.is_empty() {
            "nothing".clone_into(&mut told);
        }
        Came { told, wrong: self.wrong }
    }
}

/// What the honest ledger pays, and that everybody hears of it.
async fn honest() -> Vec<Row> {
    let mut play = Play::begin(Stand::FirstOfThree).await;
    play.tell(None).await;
    let rows = play.rows().await;
    play.look(&rows, true).await;
    assert_eq!(play.wrong, Vec::<String>::new(), "{}", play.scene.log.text());
    // One before; five by references, a path, an account made and one merged, and two by contract calls.
    assert_eq!(rows.len(), 10, "{rows:?}");
    rows
}

async fn play(lie: &'static Tamper, stand: Stand, honest: &[Row]) -> Came {
    let mut play = Play::begin(stand).await;
    play.tell(Some(lie)).await;
    play.end(lie, honest).await
}

#[test]
fn no_changed_ledger_is_credited_and_ops_hear_of_each_as_the_page_says() {
    let only = std::env::var("AMN_LIE").ok();
    let lies: Vec<&'static Tamper> =
        tamper::ALL.iter().filter(|lie| only.as_deref().is_none_or(|only| lie.name.starts_with(only))).collect();
    assert!(only.is_some() || lies.len() >= 30, "{}", lies.len());
    let honest = alone(honest()).unwrap();
    let came = liars::all(lies.len(), |at, stand| alone(play(lies[at], stand, &honest)));
    let begins = |lie: &&Tamper| {
        let must = match lie.must {
            Must::Refused(name) => format!("refused: `{name}`"),
            Must::Disowned(by) => format!("another ledger: {by}"),
            Must::Harmless(why) => format!("harmless: {why}"),
        };
        (lie.name, format!("| `{}` | {must} |", lie.name))
    };
    let rows: Vec<_> = lies.iter().map(begins).collect();
    liars::hold(("docs/LIES-STELLAR.md", PAGE), &rows, &came, shortened);
}

/// Hashes and keys, which say nothing to a reader, as `0x…` and `G…`.
fn shortened(text: &str) -> String {
    // The last word may be cut short.
    let text = regex_lite::Regex::new("0x[0-9a-f]{40,}…?").unwrap().replace_all(text, "0x…").into_owned();
    regex_lite::Regex::new("G[A-Z2-7]{55}").unwrap().replace_all(&text, "G…").replace('|', "/")
}
