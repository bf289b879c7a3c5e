//! Every fault does what its name says, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use amn_core::block::Hash;
use amn_ton::address::Account;
use amn_ton::testkit::{Fault, Letter, Outcome, Reply};
use amn_ton::transaction::{Transaction, TransactionError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Scene;
use super::http::{digits, exchange, get, refused, result};
use crate::support::*;

fn list<'a>(value: &'a Value, name: &str) -> &'a Vec<Value> {
    value[name].as_array().unwrap_or_else(|| panic!("no {name}: {value}"))
}

fn hash64(text: &Value) -> Hash {
    Hash(STANDARD.decode(text.as_str().unwrap()).unwrap().try_into().unwrap())
}

impl Scene {
    async fn reach(&self) -> [u64; 3] {
        let v3 = get(format!("{}/masterchainInfo", self.node.v3())).await["last"]["seqno"].as_u64().unwrap();
        let v2 = result(format!("{}/getMasterchainInfo", self.node.v2())).await["last"]["seqno"].as_u64().unwrap();
        let api = format!("{}/blockchain/masterchain-head", self.node.tonapi());
        [v3, v2, get(api).await["seqno"].as_u64().unwrap()]
    }

    /// How many transactions a block has by its rows, and how many are listed: at v3, at tonapi.
    async fn counted(&self, seqno: u64) -> [(i64, usize); 2] {
        let v3 = self.node.v3();
        let rows = get(format!("{v3}/blocks?mc_seqno={seqno}")).await;
        let sum = list(&rows, "blocks").iter().map(|row| row["tx_count"].as_i64().unwrap()).sum();
        let listed = get(format!("{v3}/transactionsByMasterchainBlock?seqno={seqno}&limit=1000")).await;
        let of = format!("{}/blockchain/masterchain/{seqno}", self.node.tonapi());
        let rows = get(format!("{of}/blocks")).await;
        let quantity = list(&rows, "blocks").iter().map(|row| row["tx_quantity"].as_i64().unwrap()).sum();
        let given = get(format!("{of}/transactions")).await;
        [(sum, list(&listed, "transactions").len()), (quantity, list(&given, "transactions").len())]
    }

    /// The newest transaction of the shop, as each dialect says.
    async fn newest(&self) -> [Hash; 3] {
        let v3 = get(format!("{}/accountStates?address={SHOP}", self.node.v3())).await;
        let v2 = result(format!("{}/getAddressInformation?address={SHOP}", self.node.v2())).await;
        let api = get(format!("{}/blockchain/accounts/{SHOP}", self.node.tonapi())).await;
        [
            hash64(&list(&v3, "accounts")[0]["last_transaction_hash"]),
            hash64(&v2["last_transaction_id"]["hash"]),
            api["last_transaction_hash"].as_str().unwrap().parse().unwrap(),
        ]
    }

    /// The cells of the newest transaction of the shop at v2, with the hash they are said to have.
    async fn cells(&self) -> (Hash, Vec<u8>) {
        let answer = result(format!("{}/getTransactions?address={SHOP}&limit=1", self.node.v2())).await;
        (hash64(&answer[0]["transaction_id"]["hash"]), STANDARD.decode(answer[0]["data"].as_str().unwrap()).unwrap())
    }
}

#[tokio::test]
async fn a_node_that_lags_or_runs_ahead_says_so_in_every_dialect() {
    let scene = Scene::paid(5).await;
    let tip = scene.tip();
    scene.node.fault(Fault::Behind(2));
    assert_eq!(scene.reach().await, [tip - 2; 3]);
    assert_eq!(scene.newest().await, [scene.paid[2].at.hash; 3], "it has not seen what happened since");
    assert_eq!(get(format!("{}/blocks?mc_seqno={tip}", scene.node.v3())).await, json!({ "blocks": [] }));
    scene.node.heal();
    scene.node.fault(Fault::Stalled(u32::try_from(tip - 4).unwrap()));
    assert_eq!(scene.reach().await, [tip - 4; 3]);
    scene.node.heal();
    scene.node.fault(Fault::Ahead(3));
    assert_eq!(scene.reach().await, [tip + 3; 3]);
    scene.node.heal();
    scene.node.fault(Fault::Backward(1));
    assert_eq!(scene.reach().await, [tip, tip - 1, tip]);
    assert_eq!(scene.reach().await, [tip - 1, tip, tip - 1]);
    scene.node.heal();
    scene.node.fault(Fault::StatesBehind(1));
    assert_eq!((scene.reach().await, scene.newest().await), ([tip; 3], [scene.paid[3].at.hash; 3]));
}

#[tokio::test]
async fn a_hole_is_nothing_between_what_is_there() {
    let scene = Scene::paid(4).await;
    let tip = scene.tip();
    let hole = u32::try_from(tip - 1).unwrap();
    scene.node.fault(Fault::Hole(hole));
    assert_eq!(scene.reach().await, [tip; 3]);
    let v3 = scene.node.v3();
    let rows = get(format!("{v3}/blocks?workchain=-1&sort=asc")).await;
    let seqnos: Vec<u64> = list(&rows, "blocks").iter().map(|row| row["seqno"].as_u64().unwrap()).collect();
    assert_eq!(seqnos, [tip - 4, tip - 3, tip - 2, tip]);
    let of = format!("{v3}/transactionsByMasterchainBlock?seqno={hole}");
    assert_eq!(list(&get(of.clone()).await, "transactions").len(), 0);
    let missing = get(format!("{v3}/transactions?account={SHOP}")).await;
    assert_eq!(list(&missing, "transactions").len(), 3);
    scene.node.fault(Fault::UnknownIsAnError);
    let (status, error) = refused(of).await;
    assert_eq!((status, error["error"].as_str().unwrap().contains("not found")), (404, true));
    assert_eq!(refused(format!("{}/getShards?seqno={hole}", scene.node.v2())).await.0, 500);
    assert_eq!(refused(format!("{}/blockchain/masterchain/{hole}/blocks", scene.node.tonapi())).await.0, 404);
}

#[tokio::test]
async fn lists_are_empty_short_shuffled_doubled_or_miscounted() {
    let scene = Scene::paid(3).await;
    let tip = scene.tip();
    assert_eq!(scene.counted(tip).await, [(4, 4); 2]);
    scene.node.fault(Fault::CountsMore(1));
    assert_eq!(scene.counted(tip).await, [(6, 4); 2], "each of two blocks");
    scene.node.heal();
    scene.node.fault(Fault::Omitted(scene.paid[2].at.hash));
    assert_eq!(scene.counted(tip).await, [(4, 3); 2]);
    assert_eq!(scene.newest().await, [scene.paid[2].at.hash; 3], "left out of a list, and not of the account");
    scene.node.heal();
    scene.node.fault(Fault::Lost(scene.paid[2].at.hash));
    assert_eq!(scene.counted(tip).await, [(3, 3); 2], "it adds up, and is a lie");
    assert_eq!(scene.newest().await, [scene.paid[1].at.hash; 3]);
    scene.node.heal();
    scene.node.fault_on("v3/transactionsByMasterchainBlock", Fault::SilentEmpty);
    assert_eq!(scene.counted(tip).await, [(4, 0), (4, 4)]);
    scene.node.heal();

    let v3 = scene.node.v3();
    let page =
        |offset: u32| format!("{v3}/transactionsByMasterchainBlock?seqno={tip}&sort=asc&limit=2&offset={offset}");
    let lts = |answer: Value| -> Vec<u64> {
        list(&answer, "transactions").iter().map(|one| one["lt"].as_str().unwrap().parse().unwrap()).collect()
    };
    let (first, second) = (lts(get(page(0)).await), lts(get(page(2)).await));
    scene.node.fault(Fault::PageShifted);
    assert_eq!((lts(get(page(0)).await), lts(get(page(2)).await)), (first.clone(), vec![first[1], second[0]]));
    scene.node.heal();
    scene.node.fault(Fault::OutOfOrder);
    assert!(!lts(get(page(0)).await).is_sorted());
    scene.node.heal();
    scene.node.fault(Fault::Doubled);
    assert_eq!(lts(get(page(0)).await), [first[0], first[1], first[0]]);
    scene.node.heal();
    scene.node.fault(Fault::PagesOf(1));
    assert_eq!(lts(get(page(0)).await), first[..1]);
}

#[tokio::test]
async fn a_list_that_is_never_complete_says_so_for_ever() {
    let scene = Scene::paid(1).await;
    scene.node.fault(Fault::NeverComplete);
    let v2 = scene.node.v2();
    let shards = result(format!("{v2}/getShards?seqno={}", scene.tip())).await;
    let name = format!("workchain=0&shard=-9223372036854775808&seqno={}", shards["shards"][0]["seqno"]);
    let first = result(format!("{v2}/getBlockTransactionsExt?{name}")).await;
    assert_eq!((&first["incomplete"], list(&first, "transactions").len()), (&json!(true), 1));
    let cursor = format!("after_lt={}&after_hash={}", scene.paid[0].at.lt, "01".repeat(32));
    let next = result(format!("{v2}/getBlockTransactionsExt?{name}&{cursor}")).await;
    assert_eq!((&next["incomplete"], list(&next, "transactions").len()), (&json!(true), 0));
}

#[tokio::test]
async fn the_newest_transaction_of_an_account_is_withheld_everywhere_until_another_follows() {
    let mut scene = Scene::paid(3).await;
    let tip = scene.tip();
    scene.node.fault(Fault::Withheld(SHOP));
    assert_eq!(scene.newest().await, [scene.paid[1].at.hash; 3]);
    assert_eq!(scene.counted(tip).await, [(3, 3); 2]);
    assert_eq!(scene.cells().await.0, scene.paid[1].at.hash);
    let made = scene.node.history().receive(&mut scene.shop, &Letter::from(PAYER, 5), Outcome::Accepted);
    scene.node.history().close();
    assert_eq!(scene.newest().await, [scene.paid[2].at.hash; 3]);
    scene.node.heal();
    assert_eq!(scene.newest().await, [made.at.hash; 3]);
}

#[tokio::test]
async fn cells_are_altered_exchanged_cut_out_or_broken() {
    let scene = Scene::paid(2).await;
    let at = scene.paid[1].at;
    let (said, bytes) = scene.cells().await;
    assert_eq!((said, Transaction::decode(0, &bytes).unwrap().at), (at.hash, at));
    scene.node.fault(Fault::Flipped(at.hash));
    let (said, bytes) = scene.cells().await;
    let read = Transaction::decode(0, &bytes).unwrap();
    assert_eq!((said, read.at.lt), (at.hash, at.lt));
    assert_ne!(read.at.hash, at.hash, "it reads, and hashes to something else");
    scene.node.heal();
    scene.node.fault(Fault::CellsOfOther(at.hash));
    let (said, bytes) = scene.cells().await;
    let cell = amn_ton::cell::decode(&bytes).unwrap();
    assert_ne!((said, amn_ton::cell::hash(&cell)), (at.hash, at.hash));
    scene.node.heal();
    scene.node.fault(Fault::CutOut(at.hash));
    let (_, bytes) = scene.cells().await;
    assert!(matches!(Transaction::decode(0, &bytes), Err(TransactionError::Cell(amn_ton::cell::CellError::CutOut(1)))));
    scene.node.heal();
    scene.node.fault(Fault::Undecodable(at.hash));
    assert!(Transaction::decode(0, &scene.cells().await.1).is_err());
    scene.node.heal();
    let of = format!("{}/getTransactions?address={SHOP}", scene.node.v2());
    scene.node.fault(Fault::OnlyInArchive);
    let (status, error) = refused(of.clone()).await;
    assert_eq!((status, error["error"].as_str().unwrap().contains("lt not in db")), (500, true));
    assert_eq!(result(format!("{of}&archival=true")).await.as_array().unwrap().len(), 2);
    scene.node.heal();
    scene.node.fault(Fault::NotInDatabase);
    assert_eq!(refused(format!("{of}&archival=true")).await.0, 500);
}

#[tokio::test]
async fn an_invented_transaction_is_told_of_everywhere_with_its_true_hash() {
    let scene = Scene::paid(2).await;
    let tip = scene.tip();
    let forged = scene.shop.clone().receive(&Letter::from(STRANGER, 9_000_000_000), Outcome::Accepted);
    let forged = Arc::new(forged);
    scene.node.fault(Fault::Forged { account: SHOP, height: u32::try_from(tip).unwrap(), made: forged.clone() });
    assert_eq!(scene.newest().await, [forged.at.hash; 3]);
    assert_eq!(scene.counted(tip).await, [(5, 5); 2], "and is counted");
    let (said, bytes) = scene.cells().await;
    let read = Transaction::decode(0, &bytes).unwrap();
    assert_eq!((said, read.at, read.on), (forged.at.hash, forged.at, Some(scene.paid[1].at)));
    let hash = STANDARD.encode(forged.at.hash.0).replace('+', "-").replace('/', "_");
    let found = get(format!("{}/transactions?hash={hash}", scene.node.v3())).await;
    assert_eq!(list(&found, "transactions")[0]["mc_block_seqno"], json!(tip));
}

#[tokio::test]
async fn another_transaction_at_the_same_time_takes_the_place_of_the_true_one() {
    let mut scene = Scene::paid(1).await;
    let mut other = scene.shop.clone();
    let true_one = scene.node.history().receive(&mut scene.shop, &Letter::from(PAYER, 5), Outcome::Accepted);
    let at = scene.node.history().close();
    other.wait_until(true_one.at.lt - 1_000_000, 1_760_000_000);
    let instead = Arc::new(other.receive(&Letter::from(STRANGER, 6), Outcome::Accepted));
    assert_eq!(instead.at.lt, true_one.at.lt);
    scene.node.fault(Fault::Instead(true_one.at.hash, instead.clone()));
    assert_eq!(scene.newest().await, [instead.at.hash; 3]);
    assert_eq!(scene.counted(at.height.0).await, [(4, 4); 2]);
    let (said, bytes) = scene.cells().await;
    assert_eq!((said, Transaction::decode(0, &bytes).unwrap().at), (instead.at.hash, instead.at));
    let hash = digits(&true_one.at.hash.0);
    assert_eq!(refused(format!("{}/blockchain/transactions/{hash}", scene.node.tonapi())).await.0, 404);
}

#[tokio::test]
async fn an_index_is_wrong_or_silent_about_a_height_and_shows_what_is_only_expected() {
    let scene = Scene::paid(2).await;
    let tip = u32::try_from(scene.tip()).unwrap();
    let of = format!("{}/transactions?account={SHOP}&sort=asc", scene.node.v3());
    let heights = async || {
        let answer = get(of.clone()).await;
        list(&answer, "transactions").iter().map(|one| one["mc_block_seqno"].as_u64()).collect::<Vec<_>>()
    };
    let honest = [Some(u64::from(tip) - 1), Some(u64::from(tip))];
    assert_eq!(heights().await, honest);
    scene.node.fault(Fault::Height(scene.paid[1].at.hash, Some(tip - 5)));
    assert_eq!(heights().await, [honest[0], Some(u64::from(tip) - 5)]);
    scene.node.heal();
    scene.node.fault(Fault::Height(scene.paid[1].at.hash, None));
    assert_eq!(heights().await, [honest[0], None]);
    scene.node.heal();
    let made = Arc::new(scene.shop.clone().receive(&Letter::from(PAYER, 7), Outcome::Accepted));
    scene.node.fault(Fault::Expected { account: SHOP, made });
    let answer = get(of.clone()).await;
    let shown: Vec<_> = list(&answer, "transactions").iter().map(|one| (&one["emulated"], &one["finality"])).collect();
    assert_eq!(shown[1..], [(&json!(false), &json!("finalized")), (&json!(true), &json!("pending"))]);
    assert_eq!(scene.newest().await, [scene.paid[1].at.hash; 3]);
}

#[tokio::test]
async fn blocks_are_of_another_branch_or_of_another_network() {
    let scene = Scene::paid(3).await;
    let tip = u32::try_from(scene.tip()).unwrap();
    let roots = async || {
        let rows = get(format!("{}/blocks?workchain=-1&sort=asc", scene.node.v3())).await;
        list(&rows, "blocks").iter().map(|row| hash64(&row["root_hash"])).collect::<Vec<_>>()
    };
    let before = roots().await;
    scene.node.fault(Fault::Fork(tip - 1));
    let after = roots().await;
    let differ: Vec<bool> = before.iter().zip(&after).map(|(one, other)| one != other).collect();
    assert_eq!(differ, [false, false, true, false]);
    let name = format!("workchain=-1&shard=-9223372036854775808&seqno={}", tip - 1);
    let looked = result(format!("{}/lookupBlock?{name}", scene.node.v2())).await;
    assert_eq!(hash64(&looked["root_hash"]), after[2]);
    scene.node.heal();
    scene.node.fault(Fault::GlobalId(-3));
    let info = get(format!("{}/masterchainInfo", scene.node.v3())).await;
    assert_eq!(info["last"]["global_id"], -3);
    let header = result(format!("{}/getBlockHeader?{name}", scene.node.v2())).await;
    let head = get(format!("{}/blockchain/masterchain-head", scene.node.tonapi())).await;
    assert_eq!((&header["global_id"], &head["global_id"]), (&json!(-3), &json!(-3)));
}

#[tokio::test]
async fn masters_answer_what_is_not_so() {
    let scene = Scene::paid(1).await;
    let master = usdt(&mainnet().registry).master;
    let of = format!("{}/blockchain/accounts/{master}/methods", scene.node.tonapi());
    let honest = get(format!("{of}/get_jetton_data")).await;
    let wallet = get(format!("{of}/get_wallet_address?args={SHOP}")).await;
    for fault in [Fault::Decimals(9), Fault::NoDecimals] {
        scene.node.fault(fault);
        let said = get(format!("{of}/get_jetton_data")).await;
        assert_ne!(said["stack"][3], honest["stack"][3]);
        assert_eq!(said["stack"][4], honest["stack"][4]);
        scene.node.heal();
    }
    for fault in [Fault::WalletIs(STRANGER), Fault::WalletUnder(Account::new(0, [0xee; 32]))] {
        scene.node.fault(fault);
        assert_ne!(get(format!("{of}/get_wallet_address?args={SHOP}")).await, wallet);
        scene.node.heal();
    }
    scene.node.fault(Fault::Exits(9));
    let said = get(format!("{of}/get_wallet_address?args={SHOP}")).await;
    assert_eq!((&said["exit_code"], &said["success"]), (&json!(9), &json!(false)));
}

#[tokio::test]
async fn a_provider_that_is_not_well_says_so_in_its_own_words() {
    let scene = Scene::paid(1).await;
    let (v2, v3) = (format!("{}/getMasterchainInfo", scene.node.v2()), format!("{}/masterchainInfo", scene.node.v3()));
    let api = format!("{}/blockchain/masterchain-head", scene.node.tonapi());
    scene.node.fault(Fault::TooManyRequests { retry_after: Some(3) });
    for url in [&v2, &v3] {
        let answer = exchange(url, None).await;
        assert_eq!((answer.status, answer.head.contains("retry-after: 3")), (429, true));
        let text = String::from_utf8(answer.body).unwrap();
        assert!(text.contains(r#""ok":false"#) && text.contains("Ratelimit exceed"), "{text}");
    }
    assert_eq!(refused(api.clone()).await.0, 429);
    scene.node.heal();
    scene.node.fault(Fault::Internal("LITE_SERVER_UNKNOWN: timeout"));
    for url in [&v2, &v3, &api] {
        let (status, said) = refused(url.clone()).await;
        assert_eq!((status, &said["error"]), (500, &json!("LITE_SERVER_UNKNOWN: timeout")));
    }
    scene.node.heal();
    scene.node.fault(Fault::NodeTimeout);
    assert_eq!(refused(v2.clone()).await.0, 542);
    scene.node.heal();
    for (fault, status) in [(Fault::GatewayTimeout, 504), (Fault::Html, 200)] {
        scene.node.fault(fault);
        let answer = exchange(&v3, None).await;
        assert_eq!((answer.status, answer.body.first()), (status, Some(&b'<')));
        scene.node.heal();
    }
    scene.node.fault_times(1, Some("v3"), Fault::Truncated);
    let answer = exchange(&v3, None).await;
    assert!(serde_json::from_slice::<Value>(&answer.body).is_err());
    assert_eq!(exchange(&v3, None).await.json()["last"]["seqno"], json!(scene.tip()), "once, as was asked");
    scene.node.fault(Fault::CutOff);
    let answer = exchange(&v3, None).await;
    let announced = answer.head.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
    assert!(answer.body.len() < announced.parse().unwrap());
    scene.node.heal();
    scene.node.fault(Fault::Padded(100_000));
    assert_eq!(exchange(&v3, None).await.body.len(), 100_000);
    scene.node.heal();
    scene.node.fault(Fault::Silent);
    let silence = tokio::time::timeout(Duration::from_millis(50), exchange(&v3, None)).await;
    assert!(silence.is_err());
}

#[tokio::test]
async fn a_script_has_the_last_word() {
    let scene = Scene::paid(1).await;
    scene.node.script(Some(Arc::new(|asked, honest| match asked.route.as_str() {
        "v3/masterchainInfo" => Reply::Json(200, json!({ "last": null })),
        _ => honest,
    })));
    assert_eq!(get(format!("{}/masterchainInfo", scene.node.v3())).await, json!({ "last": null }));
    assert_eq!(scene.newest().await, [scene.paid[0].at.hash; 3]);
    scene.node.script(None);
    assert_eq!(scene.reach().await, [scene.tip(); 3]);
}
