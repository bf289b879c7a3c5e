//! The last acts on TON, where one account takes orders in every jetton and a comment says whose a payment is.

use amn_ton::address::Account;
use serde_json::json;

use super::ground::TON_CONFIRMATIONS;
use super::house::{Coin, House, No};
use super::timeline::{Actor, Mood};
use super::words::{short, text};
use crate::stage::StageError;
use crate::stage::ton::{Money, NAME};

/// The shop's account, which all its orders share.
const SHOP: Account = Account::new(0, [0x51; 32]);

/// How the order is paid that never is.
const FAKE: &str = "in a fake jetton";

pub async fn play(house: &mut House) -> Result<(), StageError> {
    by_comment(house).await?;
    in_a_jetton(house).await?;
    in_a_fake(house).await
}

async fn by_comment(house: &mut House) -> Result<(), StageError> {
    house
        .timeline
        .act("13  On TON, by comment", "what the masterchain holds is final; two operators must have the payment");
    let order = ask(house, "T-3001", "by comment", Money::Ton, 5).await?;
    send(house, order, 5, "to a wallet that is not deployed: \"aborted\", and paid")?;
    believed(house, order, 5).await
}

async fn in_a_jetton(house: &mut House) -> Result<(), StageError> {
    house.timeline.act("14  A jetton, by comment", "the same address: where its USDT lie we work out ourselves");
    let order = ask(house, "T-3002", "in a jetton", Money::Usdt, 30).await?;
    send(house, order, 30, "without a notification: the wallet has it all the same")?;
    believed(house, order, 30).await
}

async fn in_a_fake(house: &mut House) -> Result<(), StageError> {
    house.timeline.act("15  A fake jetton", "it calls itself USDT, and tells the shop of it in USDT's words");
    let order = ask(house, "T-3003", FAKE, Money::Usdt, 80).await?;
    let (to, comment) = shown(house, order);
    let amount = units(Money::Usdt, 80);
    let tx = house.shards.pay_in_a_fake(&to, &comment, amount)?;
    let what = format!("sends 80 \"USDT\" for T-3003, comment {comment}");
    house.tell(Actor::Payer, Mood::Bad, &what, "with a notification like a real one");
    for turn in 1..=TON_CONFIRMATIONS {
        close(house, if turn == 1 { "holds the notification" } else { "" }).await?;
    }
    let held = house.shop.get(&format!("/v1/intents/{}", house.order(order).id)).await?;
    let what = format!("has read every transaction; T-3003 is {}, received {}", held["status"], held["received"]);
    house.tell(Actor::Daemon, Mood::Good, &what.replace('"', ""), "refused");
    let why = house.daemon.explain(&tx).await?;
    let seen = &why["observations"][0];
    if seen["kind"] != "unlisted_asset" {
        house.differences.push(format!("of the fake jetton it must say that it is not listed, and says {why}"));
    }
    let why = text(&seen["detail"]);
    let (why, teller) = why.rsplit_once(' ').unwrap_or((&why, ""));
    let what = format!("explain {}: {why} {}", short(&tx), short(teller));
    house.tell(Actor::Daemon, Mood::Note, &what, "not the USDT wallet of the shop");
    house.ends(order, "awaiting", 0);
    Ok(())
}

async fn ask(
    house: &mut House,
    name: &'static str,
    story: &'static str,
    money: Money,
    whole: u128,
) -> Result<No, StageError> {
    house.timeline.height = house.shards.tip().0;
    house.ask(name, story, Coin::Ton(money), units(money, whole), json!({ "address": SHOP.to_string() })).await
}

fn units(money: Money, whole: u128) -> u128 {
    whole * 10_u128.pow(u32::from(Coin::Ton(money).decimals()))
}

/// Address and comment as the wallet is shown them.
fn shown(house: &House, no: No) -> (String, String) {
    let pay_to = &house.order(no).pay_to;
    (text(&pay_to["address"]), text(&pay_to["memo"]["value"]))
}

/// Money sets out for an order; it lands with the next block.
fn send(house: &mut House, no: No, whole: u128, why: &str) -> Result<(), StageError> {
    let (coin, name) = (house.order(no).coin, house.order(no).name);
    let Coin::Ton(money) = coin else { return Err(StageError("a wallet of another chain".into())) };
    let (to, comment) = shown(house, no);
    house.shards.pay(&to, Some(&comment), money, units(money, whole))?;
    let what = format!("sends {} for {name}, comment {comment}", coin.named(units(money, whole)));
    house.tell(Actor::Payer, Mood::Pays, &what, why);
    Ok(())
}

/// The block with the payment, then as many as it takes to believe it; it ends confirmed.
async fn believed(house: &mut House, order: No, whole: u128) -> Result<(), StageError> {
    close(house, "commits the shard's block that holds the payment").await?;
    house.hears(order, &["payment.detected"]).await?;
    for _ in 1..TON_CONFIRMATIONS {
        close(house, "time for an API that lags").await?;
    }
    house.hears(order, &["payment.confirmed"]).await?;
    let Coin::Ton(money) = house.order(order).coin else { return Ok(()) };
    house.ends(order, "confirmed", units(money, whole));
    Ok(())
}

async fn close(house: &mut House, why: &str) -> Result<(), StageError> {
    let (seqno, hash) = house.shards.close();
    house.timeline.height = seqno;
    house.tell(Actor::Chain, Mood::Block, &format!("masterchain block {seqno} {}", short(&hash)), why);
    house.reached(NAME, seqno, &hash).await?;
    house.pause().await;
    Ok(())
}
