//! A block that pays four, seems to pay others, and is told by a liar.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use amn_core::block::Hash;
use amn_core::id::IntentId;
use amn_core::source::ChainSource as _;
use amn_rpc::EndpointConfig;
use amn_scanner::follower;
use amn_ton::address::Account;
use amn_ton::source::TonSource;
use amn_ton::testkit::{Fault, History, Letter, Node, Outcome, Payload, internal_transfer, notification, text};

use super::super::ground::{self, FAKE_MASTER, Lives, PAYER, SHOP, STALL, WHOLE};
use super::super::scene::{TonScene, endpoint_of};
use crate::support::liars::{self, Came, Stand};

/// Paid in dollars, and never before.
pub const KIOSK: Account = Account::new(0, [0x4b; 32]);
/// Waits for TON, and gets a nanoton.
pub const THIEF: Account = Account::new(0, [0x66; 32]);
/// Waits for TON, and nothing ever happens to it.
pub const THUG: Account = Account::new(0, [0x68; 32]);
/// Waits for dollars that nobody sends.
pub const FENCE: Account = Account::new(0, [0x67; 32]);

/// What is never paid.
pub const LOOT: i64 = 1_000 * WHOLE;

/// A step of the chain in the time of the machine.
const STEP: Duration = Duration::from_secs(5);

/// Looks after the block that pays: at least so many, and no more where everybody was told.
const LOOKS_MIN: usize = 5;
const LOOKS_MAX: usize = 40;

/// Past the time for which a liar is left out of all questions.
const DISTRUST_PASSES: Duration = Duration::from_mins(11);

/// How accounts are followed, and in which dialect the liar speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Front {
    /// By account: an indexer, and a node's own interface.
    Indexer,
    /// By block: a node's own interface.
    Plain,
    /// By block: an indexer with raw transactions.
    Tonapi,
}

impl Front {
    pub const ALL: [Self; 3] = [Self::Indexer, Self::Plain, Self::Tonapi];

    pub const fn words(self) -> &'static str {
        match self {
            Self::Indexer => "by account, v3 and v2",
            Self::Plain => "by block, v2",
            Self::Tonapi => "by block, tonapi",
        }
    }

    /// What the operator of this name is asked in.
    fn dialects(self, operator: &str) -> &'static [&'static str] {
        match (self, operator) {
            (Self::Indexer, "b") => &["toncenter-v3", "tonapi"],
            (Self::Indexer, _) => &["toncenter-v3", "toncenter-v2"],
            (Self::Plain, "b") | (Self::Tonapi, "a") => &["tonapi"],
            (Self::Plain | Self::Tonapi, _) => &["toncenter-v2"],
        }
    }
}

/// What a liar may know of the block it lies about.
pub struct Victim<'a> {
    pub history: &'a History,
    /// As they stood when the block closed, and before it.
    pub lives: &'a Lives,
    pub before: &'a Lives,
    pub height: u32,
    /// The shop's payment in TON.
    pub native: Hash,
    /// Its wallet's in dollars.
    pub token: Hash,
    /// The thief's nanoton.
    pub nanoton: Hash,
}

/// How a lie shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// Somebody is told of it, and nobody is credited.
    Told,
    /// It is no lie but a trouble of nodes: nobody is distrusted.
    Trouble,
    /// It needs no word and does no harm.
    Harmless,
    /// Whether anybody hears of it is all the same: it is not asked, or shows nothing that counts.
    Either,
    /// Nobody can tell it from the truth but the other operators: it may be detected, and is never confirmed.
    Detected,
    /// The network does not start or halts, and names it: who is right is for a person to say.
    Halts,
}

#[derive(Clone, Copy)]
pub struct Lie {
    pub name: &'static str,
    pub says: &'static str,
    /// On which fronts it can be told.
    pub fronts: &'static [Front],
    /// From before the ledger begins.
    pub from_the_start: bool,
    pub shows: Shows,
    pub tell: fn(&Victim<'_>) -> Vec<Fault>,
}

/// A deposit as it is recorded: transaction, receiver, asset, amount, reference; its status, and whether it has an owner.
pub type Row = (String, String, String, String, Option<String>, String, bool);

/// A story: three nodes or two, and a network that waits for the victim's payments.
pub struct Play {
    stand: Stand,
    honest: Node,
    _other: Node,
    liar: Node,
    lives: Lives,
    pub scene: TonScene,
    source: TonSource,
    /// Who is paid, and how much.
    paid: Vec<(IntentId, i64)>,
    /// Who waits for what is never paid.
    baits: Vec<IntentId>,
    last: follower::Outcome,
    halted: Option<String>,
    /// What was told before the ledger began, where it could not.
    waited: Option<String>,
    pub wrong: Vec<String>,
}

impl Play {
    pub async fn begin(front: Front, stand: Stand, lie: Option<&Lie>) -> Self {
        let mut history = ground::history();
        let mut lives = Lives::default();
        lives.receive(&mut history, SHOP, &ground::letter(WHOLE, "long ago"), Outcome::Accepted);
        lives.receive(&mut history, ground::wallet(&SHOP), &ground::dollars(WHOLE, "long ago"), Outcome::Accepted);
        // Past the time within which what was not shown is looked for.
        history.pass(400);
        let history = Arc::new(Mutex::new(history));
        let share = || Node::share(history.clone());
        let (honest, other, liar) = (share().await.unwrap(), share().await.unwrap(), share().await.unwrap());
        let of = |name: &'static str, node: &Node| -> Vec<EndpointConfig> {
            front.dialects(name).iter().map(|kind| endpoint_of(node, kind, name)).collect()
        };
        let (a, b, c) = (of("a", &liar), of("b", &honest), of("c", &other));
        let endpoints = match stand {
            Stand::FirstOfThree => [a, b, c].concat(),
            Stand::LastOfThree => [b, c, a].concat(),
            Stand::OneOfTwo => [a, b].concat(),
        };
        let scene = TonScene::waiting(ground::network(ground::TWO), None, endpoints).await;
        let source = TonSource::new(scene.pool.clone(), ground::network(ground::TWO));
        let (paid, baits) = (Vec::new(), Vec::new());
        let mut play = Self {
            stand,
            honest,
            _other: other,
            liar,
            lives,
            scene,
            source,
            paid,
            baits,
            last: follower::Outcome::Idle,
            halted: None,
            waited: None,
            wrong: Vec::new(),
        };
        if let Some(lie) = lie.filter(|lie| lie.from_the_start) {
            play.tells(lie, &play.lives.clone(), 0, [Hash([0; 32]); 3]);
        }
        // Who the chain is, as the daemon asks before it begins.
        match (play.source.probe().await, lie) {
            (Ok(_), _) => {}
            (Err(why), Some(lie)) if lie.shows == Shows::Halts => {
                play.halted = Some(format!("the network does not start: {why}"));
            }
            (Err(why), _) => play.wrong.push(format!("the identity is {why}")),
        }
        play.catch_up().await;
        if play.scene.db.count("select count(*) from amn.network where tip_height is null").await > 0 {
            // One operator is left, and nothing begins on one's word.
            play.waited = Some(liars::told(&play.scene.pool, &play.scene.log, &play.last));
            play.liar.heal();
            for _ in 0..2 {
                play.scene.time.advance(DISTRUST_PASSES);
                play.catch_up().await;
            }
        }
        play.intents().await;
        play.catch_up().await;
        play
    }

    async fn intents(&mut self) {
        let of = async |symbol, to: &Account, reference, due| self.scene.intent(symbol, to, reference, due).await;
        let paid = [
            ("TON", SHOP, Some("text:order 17"), WHOLE),
            ("USD", SHOP, Some("text:order 18"), WHOLE + 1),
            ("TON", STALL, None, WHOLE + 2),
            ("USD", KIOSK, None, WHOLE + 3),
        ];
        let baits = [
            ("TON", SHOP, Some("text:never"), LOOT),
            ("USD", SHOP, Some("text:never either"), LOOT),
            ("TON", THIEF, None, LOOT),
            ("TON", THUG, None, LOOT),
            ("USD", FENCE, None, LOOT),
        ];
        let mut made = (Vec::new(), Vec::new());
        for (symbol, to, reference, due) in paid {
            made.0.push((of(symbol, &to, reference, due).await, due));
        }
        for (symbol, to, reference, due) in baits {
            made.1.push(of(symbol, &to, reference, due).await);
        }
        (self.paid, self.baits) = made;
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.honest.history()
    }

    /// The block that pays everybody closes, and some more.
    pub async fn tell(&mut self, lie: Option<&Lie>) {
        let before = self.lives.clone();
        let (height, names) = self.pays();
        if let Some(lie) = lie.filter(|lie| !lie.from_the_start) {
            self.tells(lie, &before, height, names);
        }
        self.catch_up().await;
        // What one keeps back another is asked for, account by account: so many looks find it.
        for number in 0..LOOKS_MAX {
            if number >= LOOKS_MIN && self.is_told().await {
                break;
            }
            self.step(STEP).await;
        }
    }

    /// Whether everybody who was paid has been told so.
    async fn is_told(&self) -> bool {
        let confirmed = "select count(*) from amn.event where event = 'payment.confirmed'";
        self.scene.db.count(confirmed).await >= i64::try_from(self.paid.len()).unwrap()
    }

    fn tells(&self, lie: &Lie, before: &Lives, height: u32, [native, token, nanoton]: [Hash; 3]) {
        let faults = {
            let history = self.history();
            let victim = Victim { history: &history, lives: &self.lives, before, height, native, token, nanoton };
            (lie.tell)(&victim)
        };
        for fault in faults {
            self.liar.fault(fault);
        }
    }

    /// Its height, and the shop's two payments in it, and the thief's nanoton.
    fn pays(&mut self) -> (u32, [Hash; 3]) {
        let mut history = self.honest.history();
        let (wallet, lives) = (ground::wallet(&SHOP), &mut self.lives);
        let mut happens = |to, letter: &Letter, outcome| lives.receive(&mut history, to, letter, outcome);
        happens(SHOP, &ground::letter(WHOLE, "order 17"), Outcome::Accepted);
        happens(wallet, &ground::dollars(WHOLE + 1, "order 18"), Outcome::Accepted);
        // Its owner is told, with too little to run on.
        let told = notification(0, u128::try_from(WHOLE + 1).unwrap(), &PAYER, &Payload::Inline(text("order 18")));
        happens(SHOP, &Letter::from(wallet, 1).saying(told), Outcome::NoGas);
        happens(STALL, &Letter::from(PAYER, u128::try_from(WHOLE + 2).unwrap()), Outcome::Undeployed);
        let untold = internal_transfer(9, u128::try_from(WHOLE + 3).unwrap(), Some(&PAYER), 0, &Payload::None);
        let from = ground::wallet(&PAYER);
        happens(ground::wallet(&KIOSK), &Letter::from(from, 50_000_000).saying(untold), Outcome::Accepted);

        // What seems to be money and is none: of a fake master, a forged notification, what came or went back, and
        // what is too little.
        let fake = ground::wallet_of(&FAKE_MASTER, &SHOP);
        happens(fake, &ground::dollars(LOOT, "never either"), Outcome::Accepted);
        let forged = notification(0, u128::try_from(LOOT).unwrap(), &PAYER, &Payload::Inline(text("never either")));
        happens(SHOP, &Letter::from(fake, 20_000_000).saying(forged), Outcome::Accepted);
        happens(wallet, &ground::dollars(LOOT, "never either"), Outcome::SentBack);
        happens(SHOP, &ground::letter(LOOT, "never"), Outcome::SentBack);
        happens(SHOP, &ground::letter(LOOT, "never").bounced(), Outcome::Accepted);
        happens(SHOP, &ground::letter(1, "never"), Outcome::NoGas);
        happens(THIEF, &Letter::from(PAYER, 1), Outcome::NoGas);
        let at = history.close();
        let height = u32::try_from(at.height.0).unwrap();
        let own = |account: &Account, number: usize| {
            let life = history.life(account);
            // The second thing that ever happened there.
            life[number].at.hash
        };
        (height, [own(&SHOP, 1), own(&wallet, 1), own(&THIEF, 0)])
    }

    async fn step(&mut self, time: Duration) {
        self.history().pass(2);
        self.scene.time.advance(time);
        self.catch_up().await;
    }

    async fn catch_up(&mut self) {
        self.last = self.scene.catch_up().await;
        // A second look, as the next poll takes it.
        if matches!(self.last, follower::Outcome::Waiting(_) | follower::Outcome::Advanced) {
            self.last = self.scene.catch_up().await;
        }
    }

    pub async fn rows(&self) -> Vec<Row> {
        sqlx::query_as(
            "select encode(tx_hash, 'hex'), to_address, asset_id, amount::text, reference, status, intent_id is not null
             from amn.deposit order by 1",
        )
        .fetch_all(&self.scene.db.pool)
        .await
        .unwrap()
    }

    /// Nobody has what the honest block does not pay, and in the end everybody has what it pays.
    pub async fn look(&mut self, honest: &[Row], detectable: bool, at_the_end: bool) {
        for bait in self.baits.clone() {
            let mut events = self.scene.db.events(bait).await;
            if detectable {
                events.retain(|event| event != "payment.detected");
            }
            if !events.is_empty() {
                self.wrong.push(format!("who was paid nothing heard {events:?}"));
            }
        }
        let content = |row: &Row| (row.0.clone(), row.1.clone(), row.2.clone(), row.3.clone(), row.4.clone(), row.6);
        let rows = self.rows().await;
        let (ours, others): (Vec<_>, Vec<_>) =
            rows.iter().partition(|row| honest.iter().any(|other| content(other) == content(row)));
        for row in others.iter().filter(|row| !detectable || row.5 == "settled") {
            self.wrong.push(format!("{} of {} to {}: {}, which was never paid", row.3, row.2, row.1, row.5));
        }
        if !at_the_end {
            return;
        }
        if ours.len() != honest.len() || ours.iter().any(|row| row.5 != "settled") {
            let states: Vec<_> = ours.iter().map(|row| &row.5).collect();
            self.wrong.push(format!("{} deposits of {}: {states:?}", ours.len(), honest.len()));
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

    pub async fn end(mut self, lie: &Lie, honest: &[Row]) -> Came {
        let detectable = lie.shows == Shows::Detected;
        self.look(honest, detectable, false).await;
        let mut told = liars::told(&self.scene.pool, &self.scene.log, &self.last);
        let halted = self.scene.db.halted().await.map(|(reason, detail)| format!("halted: {reason}: {detail}"));
        let halted = self.halted.clone().or(halted);
        if let Some(halted) = &halted {
            if lie.shows != Shows::Halts {
                self.wrong.push(halted.clone());
            }
            told = if told.is_empty() { halted.clone() } else { format!("{halted}; {told}") };
        }
        if let Some(waited) = &self.waited {
            told = format!("the ledger waits: {waited}");
        }
        if self.stand == Stand::OneOfTwo || halted.is_some() {
            // It gives in, and its time of distrust passes.
            self.liar.heal();
            if self.scene.db.halted().await.is_some() {
                self.scene.resume().await;
            }
            for number in 0..LOOKS_MAX {
                if number >= LOOKS_MIN && self.is_told().await {
                    break;
                }
                self.step(DISTRUST_PASSES).await;
            }
        }
        self.look(honest, detectable, true).await;
        if told.contains("HONEST") {
            self.wrong.push("an honest operator is distrusted".to_owned());
        }
        let distrusted = told.contains("distrusted");
        match lie.shows {
            Shows::Told | Shows::Halts if self.stand != Stand::LastOfThree && told.is_empty() => {
                self.wrong.push("nobody is told".to_owned());
            }
            Shows::Trouble | Shows::Harmless if distrusted => {
                self.wrong.push("distrusted for what is no lie".to_owned());
            }
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
