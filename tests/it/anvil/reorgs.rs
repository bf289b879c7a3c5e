//! The chain changes its mind, up to twenty blocks back: payments go, move, change places, or become others.

use alloy_primitives::Address;
use amn_scanner::stage::anvil::Anvil;
use amn_scanner::stage::contracts;
use serde_json::{Value, json};

use crate::support::play::{Play, Setting, address};

const DUE: u128 = 1_000_000;

/// Payers of their own, so that each one's transaction keeps its nonce and thereby its name in any order.
async fn payers(play: &Play, count: usize) -> Vec<Address> {
    let mut payers = Vec::new();
    for index in 1..=count {
        let payer = play.chain.account(index).await.unwrap();
        play.call(play.token, &contracts::mint(payer, 1_000_000_000_000)).await;
        payers.push(payer);
    }
    play.mine(1).await;
    payers
}

fn transfer(play: &Play, from: Address, to: &Value, amount: u128) -> Value {
    Anvil::request(from, play.token, &contracts::transfer(address(to), amount), 0)
}

async fn send(play: &Play, from: Address, to: &Value, amount: u128) -> String {
    play.chain.send(from, play.token, &contracts::transfer(address(to), amount), 0).await.unwrap()
}

/// What one depth leaves behind.
struct Scene {
    depth: u64,
    dropped: Value,
    moved: Value,
    stays: Value,
    swapped: [Value; 2],
    changed: Value,
}

#[tokio::test]
async fn at_every_depth_from_one_to_twenty_payments_are_dropped_moved_reordered_and_changed() {
    let require = r#"{ confirmations = 24, inclusion = "proven", operators = 2 }"#;
    let play = Play::with(Setting { require, ..Setting::default() }).await;
    let payers = payers(&play, 6).await;
    let mut scenes = Vec::new();
    for depth in 1..=20 {
        let mut made = Vec::new();
        for _ in 0..6 {
            made.push(play.intent(json!({})).await);
        }
        play.caught_up().await;
        let mut names = Vec::new();
        for (intent, from) in made.iter().zip(&payers) {
            names.push(send(&play, *from, intent, DUE).await);
        }
        play.chain.mine(1).await.unwrap();
        play.chain.mine(depth - 1).await.unwrap();
        play.quiet().await;
        for intent in &made {
            assert_eq!(play.told(intent), ["payment.detected"], "depth {depth}");
        }
        let again = |n: usize| transfer(&play, payers[n], &made[n], DUE);
        // The newest place the new branch has; at depth 1 there is but one.
        let later = 1.min(depth - 1);
        let branch = [
            (again(4), 0),
            (again(2), 0),
            (again(3), 0),
            (transfer(&play, payers[5], &made[5], DUE + 5), 0),
            (again(1), later),
        ];
        play.reorg(depth, &branch).await;
        for name in &names[1..=4] {
            let receipt = play.chain.rpc("eth_getTransactionReceipt", json!([name])).await.unwrap();
            assert_eq!(receipt["status"], "0x1", "the same transaction is mined again: {name} at depth {depth}");
        }
        let [dropped, moved, stays, one, two, changed] = <[Value; 6]>::try_from(made).unwrap();
        assert_eq!(play.told(&dropped), ["payment.detected", "payment.retracted"], "depth {depth}");
        assert_eq!(
            play.told(&changed),
            ["payment.detected", "payment.retracted", "payment.detected"],
            "depth {depth}: the same nonce paid something else"
        );
        scenes.push(Scene { depth, dropped, moved, stays, swapped: [one, two], changed });
    }
    play.mine(24).await;
    let rewinds: i64 = sqlx::query_scalar("select count(*) from amn.reorg").fetch_one(&play.db.pool).await.unwrap();
    assert_eq!(rewinds, 20, "each reorg is one decision");
    for scene in &scenes {
        let depth = scene.depth;
        for intent in [&scene.moved, &scene.stays, &scene.swapped[0], &scene.swapped[1]] {
            let told = play.told(intent);
            assert_eq!(told, ["payment.detected", "payment.confirmed"], "depth {depth}: a move makes no alarm");
            play.balances(intent).await;
        }
        assert_eq!(play.now(&scene.dropped).await["status"], "awaiting", "depth {depth}");
        let told = play.told(&scene.changed);
        assert_eq!(told[3..], ["payment.confirmed", "payment.overpaid"], "depth {depth}");
        play.balances(&scene.dropped).await;
        play.balances(&scene.changed).await;
    }
    // What was dropped is paid after all.
    for scene in &scenes {
        send(&play, payers[0], &scene.dropped, DUE).await;
    }
    play.mine(24).await;
    for scene in &scenes {
        assert_eq!(play.told(&scene.dropped)[2..], ["payment.detected", "payment.confirmed"]);
        play.balances(&scene.dropped).await;
    }
}

#[tokio::test]
async fn settled_money_that_moves_is_silent_and_settled_money_that_goes_is_reversed() {
    let play = Play::new().await;
    let payers = payers(&play, 2).await;
    let (stays, goes) = (play.intent(json!({})).await, play.intent(json!({})).await);
    play.caught_up().await;
    send(&play, payers[0], &stays, DUE).await;
    send(&play, payers[1], &goes, DUE).await;
    play.mine(5).await;
    let before = play.now(&stays).await;
    assert_eq!((&before["status"], &play.now(&goes).await["status"]), (&json!("confirmed"), &json!("confirmed")));
    play.reorg(5, &[(transfer(&play, payers[0], &stays, DUE), 2)]).await;
    play.mine(4).await;

    assert_eq!(play.told(&stays), ["payment.detected", "payment.confirmed"]);
    let after = play.now(&stays).await;
    let height = |of: &Value| of["deposits"][0]["block"]["height"].as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(height(&after), height(&before) + 2, "it stands where the chain has it now");
    assert_eq!(play.told(&goes), ["payment.detected", "payment.confirmed", "payment.reversed"]);
    assert_eq!(play.now(&goes).await["status"], "reversed");
    send(&play, payers[1], &goes, DUE).await;
    play.mine(3).await;
    assert_eq!(play.told(&goes)[3..], ["payment.detected", "payment.confirmed"]);
    play.balances(&stays).await;
    play.balances(&goes).await;
}

#[tokio::test]
async fn a_chain_that_only_got_shorter_takes_the_payment_back() {
    let play = Play::new().await;
    let intent = play.intent(json!({})).await;
    play.pay(&intent, DUE).await;
    play.mine(2).await;
    play.chain.rpc("anvil_rollback", json!([2])).await.unwrap();
    play.chain.mine(1).await.unwrap();
    play.quiet().await;
    assert_eq!(play.told(&intent), ["payment.detected", "payment.retracted"]);
    play.mine(3).await;
    assert_eq!(play.now(&intent).await["status"], "awaiting");
    play.balances(&intent).await;
}
