//! Kill -9 at any moment while ledgers close.

use amn_soroban::address::Place;
use amn_soroban::reference;
use amn_soroban::testkit::{Tx, muxed, plain};
use serde_json::{Value, json};
use stellar_xdr::{Asset, Memo};

use super::ground::{self, OTHER, PAYER, SHOP, WHOLE};
use super::play::{Setting, StellarPlay};
use crate::support::household::{Household, Ways};
use crate::support::kills::{self, Payment, Town};

/// How a payment to an intent is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// By the text of a memo, to the shop's account.
    Text,
    /// To the shop's muxed address, in USD.
    Muxed,
    /// To a contract of the intent's own, in USD.
    Contract,
    /// By the number of a memo, in a transaction whose fee another pays.
    Bumped,
}

impl Form {
    const ALL: [Self; 4] = [Self::Text, Self::Muxed, Self::Contract, Self::Bumped];

    fn of(intent: usize) -> Self {
        Self::ALL[intent % Self::ALL.len()]
    }
}

/// The transaction of a payment.
fn transaction(payment: Payment) -> Tx {
    let Payment { intent, amount, fails, astray } = payment;
    let number = number(intent) + if astray { 1_000_000 } else { 0 };
    let tx = match Form::of(intent) {
        Form::Text => {
            let memo = if astray { "nobody".to_owned() } else { format!("order {intent}") };
            Tx::of(PAYER).memo(ground::text(&memo)).pay(plain(SHOP), &Asset::Native, amount)
        }
        Form::Muxed => Tx::of(PAYER).pay(muxed(SHOP, number), &ground::usd(), amount),
        Form::Contract => {
            let to = if astray { OTHER } else { escrow(intent) };
            Tx::of(PAYER).call(vec![ground::token().transfer(PAYER, to, i128::from(amount))])
        }
        Form::Bumped => Tx::of(PAYER).memo(Memo::Id(number)).pay(plain(SHOP), &Asset::Native, amount).bumped_by(OTHER),
    };
    if fails { tx.fails() } else { tx }
}

fn number(intent: usize) -> u64 {
    1_000 + u64::try_from(intent).unwrap()
}

/// The contract of an intent.
fn escrow(intent: usize) -> Place {
    Place::Contract([0x80 + u8::try_from(intent).unwrap(); 32])
}

impl Town for StellarPlay {
    const NAME: &'static str = "stellar";
    const DUE: i64 = WHOLE;

    async fn found(now: u64, ways: Ways) -> Self {
        let mut history = ground::history();
        history.chain.milliseconds = now;
        history.pass(3);
        let Ways { webhooks, rest, receiver_url } = ways;
        Self::with(Setting { history, webhooks, rest, receiver_url, ..Setting::default() }).await
    }

    fn house(&self) -> &Household {
        &self.house
    }

    fn house_mut(&mut self) -> &mut Household {
        &mut self.house
    }

    async fn intent(&self, number: usize, more: Value) -> Value {
        let (asset, address, reference) = match Form::of(number) {
            Form::Text => ("XLM", SHOP, Some(format!("text:order {number}"))),
            Form::Muxed => ("USD", SHOP, Some(reference::of_id(self::number(number)).to_string())),
            Form::Contract => ("USD", escrow(number), None),
            Form::Bumped => ("XLM", SHOP, Some(reference::of_id(self::number(number)).to_string())),
        };
        let mut terms = json!({
            "asset": ground::asset(asset), "address": address.spell().as_str(), "reference": reference,
        });
        let Value::Object(more) = more else { panic!("terms are an object: {more}") };
        terms.as_object_mut().unwrap().extend(more);
        Self::intent(self, terms).await
    }

    fn land(&self, payments: &[Payment]) {
        let transactions: Vec<Tx> = payments.iter().map(|payment| transaction(*payment)).collect();
        self.close(&transactions);
    }

    fn hears_of_strays(intent: usize) -> bool {
        Form::of(intent) != Form::Contract
    }

    fn clock(&self) -> (i64, i64) {
        let chain = &self.nodes[0].history().chain;
        (i64::try_from(chain.milliseconds).unwrap(), i64::try_from(chain.block_time_ms).unwrap())
    }

    async fn caught_up(&self) {
        Self::caught_up(self).await;
    }
}

#[tokio::test]
async fn five_kills_with_the_chain_held_change_nothing_that_is_told() {
    Box::pin(kills::while_the_chain_is_held::<StellarPlay>(1, 20, 5)).await;
}

#[tokio::test]
async fn five_kills_while_ledgers_close_change_nothing_in_the_end() {
    Box::pin(kills::while_blocks_come::<StellarPlay>(2, 30, 5)).await;
}

/// The full figures; `AMN_SOAK=full` says that they are meant.
#[tokio::test]
#[ignore = "minutes long: ./soak runs it"]
async fn soak_fifty_kills_on_stellar() {
    if !kills::soaks() {
        return;
    }
    Box::pin(kills::while_the_chain_is_held::<StellarPlay>(10, 60, 25)).await;
    Box::pin(kills::while_blocks_come::<StellarPlay>(11, 60, 25)).await;
}
