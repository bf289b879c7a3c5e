//! The last acts: the same shop on Stellar, where one account serves all orders and a closed ledger is final.

use amn_soroban::address::Place;
use serde_json::{Value, json};

use super::ground::ATTESTATIONS;
use super::house::{Coin, House, No, TOLD_WITHIN};
use super::timeline::{Actor, Mood};
use super::words::{short, text};
use crate::stage::StageError;
use crate::stage::receiver::Heard;
use crate::stage::stellar::{Money, NAME};

/// Every amount of Stellar has seven decimals.
const ONE: u128 = 10_000_000;

/// The shop's account, which all its orders share; and the contract that holds one deal.
const SHOP: Place = Place::Account([0x51; 32]);
const ESCROW: Place = Place::Contract([0xe5; 32]);

pub async fn play(house: &mut House) -> Result<(), StageError> {
    by_memo(house).await?;
    by_muxed_address(house).await?;
    to_a_contract(house).await
}

async fn by_memo(house: &mut House) -> Result<(), StageError> {
    house.timeline.act(
        "10  On Stellar, by memo",
        "a ledger is final when it closes; validators that build on it show that it is theirs",
    );
    let order = ask(house, "S-2001", "by memo", Money::Xlm, 50, SHOP).await?;
    let pay_to = house.order(order).pay_to.clone();
    let memo: u64 = text(&pay_to["memo"]["value"]).parse().map_err(|e| StageError::because("the memo asked for", e))?;
    send(house, order, &text(&pay_to["address"]), Some(memo), 50, "as the wallet was shown")?;
    believed(house, order, 50).await
}

async fn by_muxed_address(house: &mut House) -> Result<(), StageError> {
    house
        .timeline
        .act("11  The number in the address", "M... is the same account with the number inside: nothing to forget");
    let order = ask(house, "S-2002", "by muxed address", Money::Usdc, 30, SHOP).await?;
    let muxed = text(&house.order(order).pay_to["muxed_address"]);
    // Somebody else pays the same account, and forgets the memo.
    let plain = house.order(order).address.clone();
    house.ledgers.pay(&plain, None, Money::Usdc, 7 * ONE)?;
    house.tell(Actor::Payer, Mood::Bad, &format!("sends 7 USDC to {} without a memo", short(&plain)), "whose is it?");
    send(house, order, &muxed, None, 30, "one string to copy")?;
    believed(house, order, 30).await?;
    stray(house).await
}

/// What nobody can assign is told, once, and credited to nobody.
async fn stray(house: &mut House) -> Result<(), StageError> {
    let is_stray = |heard: &Heard| heard.event == "deposit.unmatched";
    if !house.receiver.until(TOLD_WITHIN, |heard| heard.iter().any(is_stray)).await {
        return Err(StageError("the payment without a memo was told to nobody".into()));
    }
    house.show_heard();
    let bodies: Vec<Value> =
        house.receiver.delivered().iter().filter(|heard| is_stray(heard)).map(Heard::json).collect();
    if bodies.len() != 1 || bodies.iter().any(|body| body["reason"] != "missing_reference") {
        house.differences.push(format!("the payment without a memo must be told once, and say so: {bodies:?}"));
    }
    Ok(())
}

async fn to_a_contract(house: &mut House) -> Result<(), StageError> {
    house.timeline.act(
        "12  To an escrow contract",
        "the token's own event says it, and the result of the call commits to the event",
    );
    let order = ask(house, "S-2003", "to a contract", Money::Usdc, 120, ESCROW).await?;
    let to = house.order(order).address.clone();
    send(house, order, &to, None, 120, "transfer() of the token's contract")?;
    believed(house, order, 120).await
}

async fn ask(
    house: &mut House,
    name: &'static str,
    story: &'static str,
    money: Money,
    due: u128,
    to: Place,
) -> Result<No, StageError> {
    house.timeline.height = house.ledgers.tip().0;
    house.ask(name, story, Coin::Stellar(money), due * ONE, json!({ "address": to.spell() })).await
}

/// Money sets out for an order; it lands with the next ledger.
fn send(house: &mut House, no: No, to: &str, memo: Option<u64>, whole: u128, why: &str) -> Result<(), StageError> {
    let (coin, name) = (house.order(no).coin, house.order(no).name);
    let Coin::Stellar(money) = coin else { return Err(StageError("a wallet of another chain".into())) };
    house.ledgers.pay(to, memo, money, whole * ONE)?;
    let memo = memo.map(|memo| format!(", memo {memo}")).unwrap_or_default();
    let what = format!("sends {} for {name} to {}{memo}", coin.named(whole * ONE), short(to));
    house.tell(Actor::Payer, Mood::Pays, &what, why);
    Ok(())
}

/// The ledger with the payment closes, then as many as it takes to believe it; it ends confirmed.
async fn believed(house: &mut House, order: No, whole: u128) -> Result<(), StageError> {
    close(house, "holds the payment, for good").await?;
    house.hears(order, &["payment.detected"]).await?;
    for turn in 1..=ATTESTATIONS {
        close(house, if turn == 1 { "signed by another organisation's validator, on top" } else { "and by a third" })
            .await?;
    }
    house.hears(order, &["payment.confirmed"]).await?;
    house.ends(order, "confirmed", whole * ONE);
    Ok(())
}

async fn close(house: &mut House, why: &str) -> Result<(), StageError> {
    let (sequence, hash) = house.ledgers.close();
    house.timeline.height = sequence;
    house.tell(Actor::Chain, Mood::Block, &format!("ledger {sequence} {}", short(&hash)), why);
    house.reached(NAME, sequence, &hash).await?;
    house.pause().await;
    Ok(())
}
