//! Kill -9 at any moment while masterchain blocks close, by account and by block.

use amn_ton::address::Account;
use amn_ton::testkit::{Letter, Outcome, Payload, binary, internal_transfer, text};
use serde_json::{Value, json};

use super::ground::{self, OTHER, PAYER, SHOP, WHOLE};
use super::play::{Setting, TonPlay};
use super::scene::Way;
use crate::support::household::{Household, Ways};
use crate::support::kills::{self, Payment, Town};

/// How a payment to an intent is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// By a comment, to the shop's account.
    Comment,
    /// In the dollar, by a comment inline, to the shop's wallet.
    Jetton,
    /// To an account of the intent's own that nobody has deployed.
    Alone,
    /// In the dollar, by a program's number.
    Number,
}

impl Form {
    const ALL: [Self; 4] = [Self::Comment, Self::Jetton, Self::Alone, Self::Number];

    fn of(intent: usize) -> Self {
        Self::ALL[intent % Self::ALL.len()]
    }
}

/// Who receives what of a payment, and what becomes of it.
fn message(payment: Payment) -> (Account, Letter, Outcome) {
    let Payment { intent, amount, fails, astray } = payment;
    let said = if astray { "nobody".to_owned() } else { format!("order {intent}") };
    let number = if astray { 9_999 } else { number(intent) };
    let ends = |well| if fails { Outcome::SentBack } else { well };
    let dollars = |payload: &Payload| {
        let body = internal_transfer(77, u128::try_from(amount).unwrap(), Some(&PAYER), 1, payload);
        (ground::wallet(&SHOP), Letter::from(ground::wallet(&PAYER), 50_000_000).saying(body), ends(Outcome::Accepted))
    };
    match Form::of(intent) {
        Form::Comment => (SHOP, ground::letter(amount, &said), ends(Outcome::Accepted)),
        Form::Jetton => dollars(&Payload::Inline(text(&said))),
        Form::Alone => {
            let to = if astray { OTHER } else { stall(intent) };
            (to, Letter::from(PAYER, u128::try_from(amount).unwrap()), ends(Outcome::Undeployed))
        }
        Form::Number => dollars(&Payload::Apart(binary(&number.to_be_bytes()))),
    }
}

fn number(intent: usize) -> u32 {
    1_000 + u32::try_from(intent).unwrap()
}

/// The account of an intent.
fn stall(intent: usize) -> Account {
    Account::new(0, [0x80 + u8::try_from(intent).unwrap(); 32])
}

/// A play in which accounts are followed one way.
struct Followed<const BY_BLOCK: bool>(TonPlay);

impl<const BY_BLOCK: bool> Town for Followed<BY_BLOCK> {
    const NAME: &'static str = if BY_BLOCK { "ton by block" } else { "ton by account" };
    const DUE: i64 = WHOLE;

    async fn found(now: u64, ways: Ways) -> Self {
        let mut history = ground::history_from(u32::try_from(now / 1_000).unwrap());
        history.pass(3);
        let way = if BY_BLOCK { Way::ByBlock } else { Way::ByAccount };
        Self(TonPlay::with(Setting { history, way, ways, ..Setting::default() }).await)
    }

    fn house(&self) -> &Household {
        &self.0.house
    }

    fn house_mut(&mut self) -> &mut Household {
        &mut self.0.house
    }

    async fn intent(&self, intent: usize, more: Value) -> Value {
        let (asset, address, reference) = match Form::of(intent) {
            Form::Comment => ("TON", SHOP, format!("text:order {intent}")),
            Form::Jetton => ("USD", SHOP, format!("text:order {intent}")),
            Form::Alone => ("TON", stall(intent), "none".to_owned()),
            Form::Number => ("USD", SHOP, format!("bin:{}", hex::encode(number(intent).to_be_bytes()))),
        };
        let mut terms = json!({
            "asset": ground::asset(asset), "address": ground::spell(&address).as_str(), "reference": reference,
        });
        let Value::Object(more) = more else { panic!("terms are an object: {more}") };
        terms.as_object_mut().unwrap().extend(more);
        self.0.intent(terms).await
    }

    fn land(&self, payments: &[Payment]) {
        for payment in payments {
            let (to, letter, outcome) = message(*payment);
            self.0.receive(to, &letter, outcome);
        }
        self.0.pass(1);
    }

    fn hears_of_strays(intent: usize) -> bool {
        Form::of(intent) != Form::Alone
    }

    fn clock(&self) -> (i64, i64) {
        (i64::from(self.0.nodes[0].history().now()) * 1_000, 400)
    }

    async fn caught_up(&self) {
        self.0.caught_up().await;
    }
}

type ByAccount = Followed<false>;
type ByBlock = Followed<true>;

#[tokio::test]
async fn five_kills_with_the_chain_held_change_nothing_that_is_told_by_account() {
    Box::pin(kills::while_the_chain_is_held::<ByAccount>(1, 20, 5)).await;
}

#[tokio::test]
async fn five_kills_with_the_chain_held_change_nothing_that_is_told_by_block() {
    Box::pin(kills::while_the_chain_is_held::<ByBlock>(3, 20, 5)).await;
}

#[tokio::test]
async fn five_kills_while_blocks_close_change_nothing_in_the_end_by_account() {
    Box::pin(kills::while_blocks_come::<ByAccount>(2, 30, 5)).await;
}

#[tokio::test]
async fn five_kills_while_blocks_close_change_nothing_in_the_end_by_block() {
    Box::pin(kills::while_blocks_come::<ByBlock>(4, 30, 5)).await;
}

/// The full figures; `AMN_SOAK=full` says that they are meant.
#[tokio::test]
#[ignore = "minutes long: ./soak runs it"]
async fn soak_ton_fifty_kills() {
    if !kills::soaks() {
        return;
    }
    Box::pin(kills::while_the_chain_is_held::<ByAccount>(10, 60, 13)).await;
    Box::pin(kills::while_the_chain_is_held::<ByBlock>(11, 60, 12)).await;
    Box::pin(kills::while_blocks_come::<ByAccount>(12, 60, 13)).await;
    Box::pin(kills::while_blocks_come::<ByBlock>(13, 60, 12)).await;
}
