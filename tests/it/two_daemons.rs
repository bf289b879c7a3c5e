//! Two daemons on one database and one network: they tell what one would, and one is enough.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use alloy_primitives::Address;
use amn_scanner::follower::LEASE;
use amn_scanner::stage::anvil::Anvil;
use amn_scanner::stage::contracts;
use amn_scanner::stage::receiver::Heard;
use serde_json::{Value, json};

use crate::support::play::{Play, address};

const DUE: u128 = 1_000_000;

/// Each event once, under one number, with one body, and no answered request twice.
fn once(heard: &[Heard]) {
    let mut bodies: BTreeMap<&str, &[u8]> = BTreeMap::new();
    let mut numbers: BTreeMap<(String, u64), String> = BTreeMap::new();
    for one in heard {
        assert!(one.signed, "{}", one.event);
        assert!(bodies.insert(&one.id, &one.body).is_none(), "{} came twice", one.id);
        let body = one.json();
        if let (Some(intent), Some(sequence)) = (body["intent"]["id"].as_str(), body["sequence"].as_u64()) {
            let twin = numbers.insert((intent.to_owned(), sequence), one.id.clone());
            assert!(twin.is_none(), "{intent} has two events {sequence}");
        }
    }
}

/// Some payers, so that their transactions can be mined again in any order.
async fn payers(play: &Play) -> Vec<Address> {
    let mut payers = Vec::new();
    for index in 1..=3 {
        let payer = play.chain.account(index).await.unwrap();
        play.call(play.token, &contracts::mint(payer, 1_000_000_000)).await;
        payers.push(payer);
    }
    play.mine(1).await;
    payers
}

async fn send(play: &Play, from: Address, to: &Value) {
    play.chain.send(from, play.token, &contracts::transfer(address(to), DUE), 0).await.unwrap();
}

#[tokio::test]
async fn two_daemons_tell_what_one_would_and_one_carries_on_when_the_other_is_killed() {
    let mut play = Play::new().await;
    let mut other = play.second_daemon().await;
    let payers = payers(&play).await;
    let mut all = Vec::new();
    for depth in 1..=6 {
        let (dropped, moved, stays) =
            (play.intent(json!({})).await, play.intent(json!({})).await, play.intent(json!({})).await);
        play.caught_up().await;
        for (payer, intent) in payers.iter().zip([&dropped, &moved, &stays]) {
            send(&play, *payer, intent).await;
        }
        play.mine(depth).await;
        let again = |n: usize, intent: &Value, at| {
            (Anvil::request(payers[n], play.token, &contracts::transfer(address(intent), DUE), 0), at)
        };
        play.reorg(depth, &[again(2, &stays, 0), again(1, &moved, depth - 1)]).await;
        play.mine(3).await;
        // At depth three the payment had settled.
        let (gone, before) = if depth < 3 {
            ("payment.retracted", vec!["payment.detected"])
        } else {
            ("payment.reversed", vec!["payment.detected", "payment.confirmed"])
        };
        assert_eq!(play.told(&dropped), [before, vec![gone]].concat(), "depth {depth}");
        for intent in [&moved, &stays] {
            assert_eq!(play.told(intent), ["payment.detected", "payment.confirmed"], "depth {depth}");
        }
        all.extend([dropped, moved, stays]);
    }
    for intent in &all {
        play.balances(intent).await;
    }
    once(&play.receiver.heard());
    let heard = play.receiver.heard().len();

    // The one that leads is killed in the middle of things; the other waits for the end of its lease.
    let intent = play.intent(json!({})).await;
    play.pay(&intent, DUE).await;
    play.daemon.kill().await;
    let killed = Instant::now();
    play.chain.mine(1).await.unwrap();
    play.wait("nobody carries on", async || !play.told(&intent).is_empty()).await;
    let gap = killed.elapsed();
    // A standby looks every second, and this machine does other things.
    assert!(gap < LEASE + Duration::from_secs(4), "{gap:?} without anybody");
    println!("killed: carried on after {gap:?}; {heard} events until then");
    play.mine(2).await;
    assert_eq!(play.told(&intent), ["payment.detected", "payment.confirmed"]);

    // Back again, it stands by; the other leaves in order, and gives the lease away.
    play.daemon.restart().await.unwrap();
    let next = play.intent(json!({})).await;
    assert_eq!(other.stop().await.unwrap(), Some(0));
    let stopped = Instant::now();
    play.pay(&next, DUE).await;
    play.chain.mine(1).await.unwrap();
    play.wait("nobody carries on", async || !play.told(&next).is_empty()).await;
    let gap = stopped.elapsed();
    assert!(gap < LEASE, "{gap:?}, though the lease was given away");
    println!("stopped: carried on after {gap:?}");
    play.mine(2).await;
    assert_eq!(play.told(&next), ["payment.detected", "payment.confirmed"]);
    once(&play.receiver.heard());
}

#[tokio::test]
async fn two_daemons_that_both_lead_are_kept_apart_by_the_fence() {
    let play = Play::new().await;
    let _other = play.second_daemon().await;
    let payers = payers(&play).await;
    // Without the lease's row both lead for a moment, again and again: only the revision stands between them.
    let unleased = async |blocks: u64| {
        for _ in 0..blocks {
            sqlx::query("delete from amn.lease").execute(&play.db.pool).await.unwrap();
            play.chain.mine(1).await.unwrap();
        }
    };
    let mut all = Vec::new();
    for depth in 1..=5_u64 {
        let (dropped, stays) = (play.intent(json!({})).await, play.intent(json!({})).await);
        play.caught_up().await;
        send(&play, payers[0], &dropped).await;
        send(&play, payers[1], &stays).await;
        unleased(depth).await;
        play.quiet().await;
        sqlx::query("delete from amn.lease").execute(&play.db.pool).await.unwrap();
        let again = Anvil::request(payers[1], play.token, &contracts::transfer(address(&stays), DUE), 0);
        play.reorg(depth, &[(again, depth - 1)]).await;
        unleased(4).await;
        play.quiet().await;
        assert_eq!(play.told(&stays), ["payment.detected", "payment.confirmed"], "depth {depth}");
        let gone = if depth < 3 { "payment.retracted" } else { "payment.reversed" };
        assert_eq!(play.told(&dropped).last().unwrap(), gone, "depth {depth}");
        all.extend([dropped, stays]);
    }
    for intent in &all {
        play.balances(intent).await;
    }
    once(&play.receiver.heard());
}
