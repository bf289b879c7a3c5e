//! The story, act by act: what happens on the chain, and what the backend must hear of it.

use serde_json::json;

use super::ground::CONFIRMATIONS;
use super::house::{Coin, House, No};
use super::timeline::{Actor, Mood};
use crate::stage::StageError;
use crate::stage::anvil::Anvil;
use crate::stage::contracts;

const USDC: u128 = 1_000_000;
const ETH: u128 = 1_000_000_000_000_000_000;

/// Blocks after the one that holds a payment, until it is believed.
const THE_REST: u64 = CONFIRMATIONS - 1;

/// How the order is paid that never is.
pub const FAKE: &str = "a fake token";

/// The whole story.
pub async fn play(house: &mut House) -> Result<(), StageError> {
    exactly(house).await?;
    in_two_parts(house).await?;
    too_much(house).await?;
    in_a_fake_token(house).await?;
    natively(house).await?;
    too_late(house).await?;
    dropped(house).await?;
    moved(house).await?;
    crash(house).await?;
    super::stellar::play(house).await?;
    super::ton::play(house).await
}

async fn exactly(house: &mut House) -> Result<(), StageError> {
    house.timeline.act("1  Paid exactly", "the plain case: seen in one block, believed in the third");
    let order = house.ask("A-1001", "exactly", Coin::Usdc, 25 * USDC, json!({})).await?;
    house.pay(order, 25 * USDC, "a plain ERC-20 transfer").await?;
    house.block("holds the payment: 1 confirmation").await?;
    house.hears(order, &["payment.detected"]).await?;
    house.blocks(THE_REST, "deeper is safer: a reorg this deep is rare").await?;
    confirmed(house, order, 25 * USDC).await
}

async fn confirmed(house: &mut House, order: No, settled: u128) -> Result<(), StageError> {
    house.hears(order, &["payment.confirmed"]).await?;
    house.ends(order, "confirmed", settled);
    Ok(())
}

async fn in_two_parts(house: &mut House) -> Result<(), StageError> {
    house.timeline.act("2  Paid in two parts", "neither part alone is enough, both together are");
    let order = house.ask("A-1002", "in two parts", Coin::Usdc, 40 * USDC, json!({})).await?;
    house.pay(order, 15 * USDC, "the first part").await?;
    house.block("holds the first part").await?;
    house.hears(order, &["payment.detected"]).await?;
    house.blocks(THE_REST, "the first part settles").await?;
    house.hears(order, &["payment.partial"]).await?;
    house.pay(order, 25 * USDC, "the rest").await?;
    house.block("holds the second part").await?;
    house.hears(order, &["payment.detected"]).await?;
    house.blocks(THE_REST, "the second part settles").await?;
    confirmed(house, order, 40 * USDC).await
}

async fn too_much(house: &mut House) -> Result<(), StageError> {
    house
        .timeline
        .act("3  Paid too much", "the order is paid, and the excess is told, so that nobody keeps it in silence");
    let order = house.ask("A-1003", "too much", Coin::Usdc, 10 * USDC, json!({})).await?;
    house.pay(order, 25 * USDC / 2, "somebody rounded up").await?;
    house.block("holds the payment").await?;
    house.hears(order, &["payment.detected"]).await?;
    house.blocks(THE_REST, "it settles").await?;
    house.hears(order, &["payment.confirmed", "payment.overpaid"]).await?;
    house.ends(order, "confirmed", 25 * USDC / 2);
    Ok(())
}

async fn in_a_fake_token(house: &mut House) -> Result<(), StageError> {
    house
        .timeline
        .act("4  Paid in a fake token", "it calls itself USDC and logs what USDC logs; it is not on the list");
    let order = house.ask("A-1004", FAKE, Coin::Usdc, 99 * USDC, json!({})).await?;
    let to = house.order(order).on_evm()?;
    house.chain.send(house.payer, house.fake, &contracts::forge(house.payer, to, 99 * USDC), 0).await?;
    house.tell(Actor::Payer, Mood::Bad, "forges a Transfer of 99 \"USDC\" for A-1004", "a log anybody can write");
    house.blocks(CONFIRMATIONS, "holds the forged log").await?;
    house.caught_up().await?;
    let held = house.shop.get(&format!("/v1/intents/{}", house.order(order).id)).await?;
    let what = format!("has read every block; A-1004 is {}, received {}", held["status"], held["received"]);
    house.tell(Actor::Daemon, Mood::Good, &what.replace('"', ""), "silence is the answer");
    house.ends(order, "awaiting", 0);
    Ok(())
}

async fn natively(house: &mut House) -> Result<(), StageError> {
    house.timeline.act("5  Paid in native money", "leaves no log: read from the transactions, proven by their root");
    let order = house.ask("A-1005", "natively", Coin::Eth, ETH / 2, json!({})).await?;
    house.pay(order, ETH / 2, "value, and no token").await?;
    house.block("holds the payment").await?;
    house.hears(order, &["payment.detected"]).await?;
    house.blocks(THE_REST, "it settles").await?;
    confirmed(house, order, ETH / 2).await
}

async fn too_late(house: &mut House) -> Result<(), StageError> {
    house.timeline.act("6  Paid too late", "the deadline is one of chain time: no slow clock of ours can miss it");
    let deadline = house.chain.time().await?.saturating_add(1);
    let deadline = amn_core::timestamp::Timestamp::from_seconds(deadline);
    let order = house.ask("A-1006", "too late", Coin::Usdc, 30 * USDC, json!({"expires_at": deadline})).await?;
    house.blocks(1 + CONFIRMATIONS, "a block past the deadline must settle first").await?;
    house.hears(order, &["payment.expired"]).await?;
    house.pay(order, 30 * USDC, "better late than never").await?;
    house.block("holds the late payment").await?;
    house.hears(order, &["payment.late"]).await?;
    house.blocks(THE_REST, "it settles, and stands aside").await?;
    house.hears(order, &["payment.late"]).await?;
    house.tell(
        Actor::Backend,
        Mood::Note,
        "accepts the late money for A-1006",
        "POST .../accept; audited, by a person",
    );
    house.shop.ask_for(&format!("/v1/intents/{}/accept", house.order(order).id)).await?;
    confirmed(house, order, 30 * USDC).await
}

async fn dropped(house: &mut House) -> Result<(), StageError> {
    house.timeline.act("7  A reorg drops a payment", "the chain changes its mind; whoever shipped on sight has lost");
    let order = house.ask("A-1007", "a reorg drops it", Coin::Usdc, 60 * USDC, json!({})).await?;
    house.pay(order, 60 * USDC, "").await?;
    house.block("holds the payment").await?;
    house.hears(order, &["payment.detected"]).await?;
    house.block("2 of 3 confirmations").await?;
    house.caught_up().await?;
    reorg(house, &[], "the payment is in neither").await?;
    house.hears(order, &["payment.retracted"]).await?;
    follows(house).await?;
    house.ends(order, "awaiting", 0);
    Ok(())
}

/// The newest two blocks give way to two others, with these transactions in them.
async fn reorg(house: &mut House, transactions: &[(serde_json::Value, u64)], why: &str) -> Result<(), StageError> {
    let (height, _) = house.tip().await?;
    house.chain.reorg(2, transactions).await?;
    let (after, hash) = house.tip().await?;
    house.timeline.height = after;
    let what = format!("reorg: {} and {height} are replaced, tip {}", height - 1, super::words::short(&hash));
    house.tell(Actor::Chain, Mood::Fork, &what, why);
    house.pause().await;
    Ok(())
}

/// Shows that the daemon has left the dead branch.
async fn follows(house: &mut House) -> Result<(), StageError> {
    house.caught_up().await?;
    let (height, hash) = house.tip().await?;
    let what = format!("stands on the new block {height} {}", super::words::short(&hash));
    house.tell(Actor::Daemon, Mood::Good, &what, "followed by hash, not by height");
    Ok(())
}

async fn moved(house: &mut House) -> Result<(), StageError> {
    house.timeline.act("8  A reorg moves a payment", "mined again in another block: no alarm, only a new count");
    let order = house.ask("A-1008", "a reorg moves it", Coin::Usdc, 70 * USDC, json!({})).await?;
    let to = house.order(order).on_evm()?;
    let tx = house.pay(order, 70 * USDC, "").await?;
    house.block("holds the payment").await?;
    house.hears(order, &["payment.detected"]).await?;
    house.block("2 of 3 confirmations").await?;
    house.caught_up().await?;
    let again = Anvil::request(house.payer, house.usdc, &contracts::transfer(to, 70 * USDC), 0);
    reorg(house, &[(again, 1)], "the payment is in the second now").await?;
    let receipt = house.chain.rpc("eth_getTransactionReceipt", json!([tx])).await?;
    if receipt["blockNumber"] != format!("{:#x}", house.tip().await?.0) {
        house.differences.push(format!("the moved payment {tx} is not in the tip: {receipt}"));
    }
    follows(house).await?;
    house.blocks(THE_REST, "counted again from its new block").await?;
    confirmed(house, order, 70 * USDC).await
}

async fn crash(house: &mut House) -> Result<(), StageError> {
    house.timeline.act("9  The daemon is killed", "kill -9, with an event untold; the backend is down as well");
    let caught = house.ask("A-1009", "across the crash", Coin::Usdc, 80 * USDC, json!({})).await?;
    let missed = house.ask("A-1010", "while it was dead", Coin::Usdc, 90 * USDC, json!({})).await?;
    house.pay(caught, 80 * USDC, "").await?;
    // More than the fast lane tries: whenever the kill comes, the event is still untold.
    house.receiver.answer([503; 8]);
    let before = house.shown;
    house.chain_makes_a_block("holds the payment").await?;
    house.failed_attempt(before).await?;
    let killed = house.daemon.id().unwrap_or_default();
    house.daemon.kill().await;
    house.receiver.recover();
    let what = format!("kill -9 of process {killed}");
    house.tell(Actor::Daemon, Mood::Bad, &what, "no warning, no clean-up; Postgres has what was decided");
    house.pause().await;
    house.pay(missed, 90 * USDC, "nobody is watching").await?;
    house.blocks(CONFIRMATIONS, "the chain does not wait").await?;

    let began = std::time::Instant::now();
    house.daemon.restart().await?;
    house.folder.remember(house.daemon.id());
    let took = began.elapsed().as_millis();
    let stands = house.shop.get("/v1/networks/devnet").await?;
    let stands = super::words::text(&stands["tip"]["height"]);
    let what =
        format!("back after {took} ms as process {}; it has read up to #{stands}", house.daemon.id().unwrap_or(0));
    let missed_blocks = house.tip().await?.0.saturating_sub(stands.parse().unwrap_or(0));
    house.tell(Actor::Daemon, Mood::Note, &what, &format!("{missed_blocks} blocks to read"));
    let why = "two never do one work";
    house.tell(Actor::Daemon, Mood::Waits, "waits for the dead one's lease of 10 s to run out", why);
    house.hears(caught, &["payment.detected", "payment.confirmed"]).await?;
    house.hears(missed, &["payment.detected", "payment.confirmed"]).await?;
    house.ends(caught, "confirmed", 80 * USDC);
    house.ends(missed, "confirmed", 90 * USDC);
    follows_after_crash(house).await
}

async fn follows_after_crash(house: &mut House) -> Result<(), StageError> {
    house.caught_up().await?;
    let (height, _) = house.tip().await?;
    let what = format!("covers every block up to #{height} again");
    house.tell(Actor::Daemon, Mood::Good, &what, "nothing lost, nothing told twice");
    Ok(())
}
