//! The shapes of the three dialects: what each calls things, and which numbers are words.

use std::collections::BTreeSet;

use amn_core::block::Hash;
use amn_ton::address::{self, Account, Realm};
use amn_ton::testkit::{History, Letter, Life, Node, Outcome};
use amn_ton::transaction::Transaction;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Scene;
use super::http::{digits, exchange, get, refused, repeated, result};
use crate::support::*;

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Names of fields with the kinds of their values.
fn kinds(value: &Value) -> Vec<(String, &'static str)> {
    value.as_object().unwrap().iter().map(|(name, value)| (name.clone(), kind(value))).collect()
}

fn hash64(text: &Value) -> Hash {
    Hash(STANDARD.decode(text.as_str().unwrap()).unwrap().try_into().unwrap())
}

fn hex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks_exact(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a Vec<Value> {
    value[name].as_array().unwrap_or_else(|| panic!("no {name}: {value}"))
}

/// Whatever a shape of ours has, the real one has, of the same kind; null is of any.
fn within(ours: &Value, real: &Value, path: &str) {
    match (ours, real) {
        (Value::Object(ours), Value::Object(real)) => {
            for (name, value) in ours {
                let path = format!("{path}.{name}");
                let there = real.get(name).unwrap_or_else(|| panic!("{path} is in no real answer"));
                within(value, there, &path);
            }
        }
        (Value::Null, _) | (_, Value::Null) => {}
        (Value::Array(ours), Value::Array(real)) => {
            if let (Some(ours), Some(real)) = (ours.first(), real.first()) {
                within(ours, real, path);
            }
        }
        _ => assert_eq!(kind(ours), kind(real), "{path}"),
    }
}

#[tokio::test]
async fn v3_tells_of_a_transaction_in_the_very_fields_of_a_real_answer() {
    let Some(real) = real_text("toncenter-v3-traces-testnet.json") else { return };
    let real: Value = serde_json::from_str(&real).unwrap();
    let real: Vec<&Value> = real["traces"][0]["transactions"].as_object().unwrap().values().collect();
    let paid = real.iter().find(|one| one["in_msg"]["source"].is_string()).unwrap();
    let scene = Scene::paid(1).await;
    let answer = get(format!("{}/transactions?account={SHOP}&limit=1", scene.node.v3())).await;
    let ours = &list(&answer, "transactions")[0];
    within(ours, paid, "transaction");
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(ours), names(paid));
    assert_eq!(names(&ours["in_msg"]), names(&paid["in_msg"]));
    assert_eq!(names(&ours["block_ref"]), names(&paid["block_ref"]));
    assert!(ours["account"].as_str().unwrap().starts_with("0:0101"), "raw");
    let upper = PAYER.to_string().to_uppercase();
    assert_eq!(ours["in_msg"]["source"], json!(upper));
}

#[tokio::test]
async fn v3_lists_blocks_in_an_order_only_where_it_is_asked_for_one() {
    let scene = Scene::paid(4).await;
    let (v3, tip) = (scene.node.v3(), scene.tip());
    let info = get(format!("{v3}/masterchainInfo")).await;
    assert_eq!((&info["last"]["seqno"], &info["first"]["seqno"]), (&json!(tip), &json!(tip - 4)));
    let row = &info["last"];
    assert_eq!(hash64(&row["root_hash"]), scene.node.history().head().hash);
    for (name, wanted) in [
        ("shard", "string"),
        ("gen_utime", "string"),
        ("start_lt", "string"),
        ("end_lt", "string"),
        ("seqno", "number"),
        ("tx_count", "number"),
        ("global_id", "number"),
        ("masterchain_block_ref", "object"),
        ("prev_blocks", "array"),
    ] {
        assert_eq!(kind(&row[name]), wanted, "{name}");
    }
    let seqnos = |answer: &Value| -> Vec<u64> {
        list(answer, "blocks").iter().map(|row| row["seqno"].as_u64().unwrap()).collect()
    };
    let mc = format!("{v3}/blocks?workchain=-1&shard=8000000000000000");
    assert_eq!(seqnos(&get(format!("{mc}&sort=asc&limit=3")).await), [tip - 4, tip - 3, tip - 2]);
    assert_eq!(seqnos(&get(format!("{mc}&sort=asc&limit=3&offset=3")).await), [tip - 1, tip]);
    assert_eq!(seqnos(&get(format!("{mc}&sort=desc&limit=2")).await), [tip, tip - 1]);
    let lt = scene.node.history().blocks[&u32::try_from(tip - 1).unwrap()].block.start_lt;
    assert_eq!(seqnos(&get(format!("{mc}&sort=asc&start_lt={lt}")).await), [tip - 1, tip]);
    assert_eq!(seqnos(&get(format!("{mc}&sort=asc&end_lt={lt}&limit=1&offset=3")).await), [tip - 1]);
    assert_eq!(seqnos(&get(format!("{mc}&seqno={tip}")).await), [tip]);
    let of_one = get(format!("{v3}/blocks?mc_seqno={tip}")).await;
    let counts: Vec<_> = list(&of_one, "blocks").iter().map(|row| row["tx_count"].as_u64().unwrap()).collect();
    assert_eq!(counts, [3, 1], "its own three and the shard's one");
    assert_eq!(refused(format!("{v3}/blocks?limit=1001")).await.0, 500);
    assert_eq!(refused(format!("{v3}/blocks?sort=up")).await.0, 422);
}

#[tokio::test]
async fn v3_says_nothing_of_a_block_it_does_not_have_as_if_it_were_empty() {
    let scene = Scene::paid(2).await;
    let (v3, tip) = (scene.node.v3(), scene.tip());
    let of = |seqno: u64, rest: &str| format!("{v3}/transactionsByMasterchainBlock?seqno={seqno}{rest}");
    let answer = get(of(tip, "&sort=asc")).await;
    let transactions = list(&answer, "transactions");
    assert_eq!(transactions.len(), 4);
    let lts: Vec<u64> = transactions.iter().map(|one| one["lt"].as_str().unwrap().parse().unwrap()).collect();
    assert!(lts.is_sorted());
    assert!(transactions.iter().all(|one| one["mc_block_seqno"] == json!(tip)));
    assert_eq!(list(&get(of(tip, "&sort=asc&limit=2&offset=2")).await, "transactions")[..], transactions[2..]);
    let nothing = get(of(tip + 1, "")).await;
    assert_eq!(nothing, json!({ "transactions": [], "address_book": {} }));
    assert_eq!(get(format!("{v3}/blocks?mc_seqno={}", tip + 1)).await, json!({ "blocks": [] }));
}

#[tokio::test]
async fn v3_says_where_many_accounts_stand_in_the_order_of_its_table() {
    let mut scene = Scene::paid(2).await;
    let other = scene.node.history().receive(&mut Life::of(STRANGER), &Letter::from(PAYER, 5), Outcome::Accepted);
    let made = scene.node.history().receive(&mut scene.shop, &Letter::from(PAYER, 5), Outcome::Accepted);
    scene.node.history().close();
    let accounts = [STRANGER, Account::new(0, [0x77; 32]), SHOP].map(|account| account.bounceable(Realm::Mainnet));
    let query = repeated("address", accounts.into_iter());
    let answer = get(format!("{}/accountStates?include_boc=false{query}", scene.node.v3())).await;
    let rows = list(&answer, "accounts");
    let said: Vec<_> = rows.iter().map(|row| (row["address"].clone(), hash64(&row["last_transaction_hash"]))).collect();
    let upper = |account: Account| json!(account.to_string().to_uppercase());
    assert_eq!(said, [(upper(SHOP), made.at.hash), (upper(STRANGER), other.at.hash)], "who never was is left out");
    assert_eq!(rows[0]["last_transaction_lt"], json!(made.at.lt.to_string()));
    let raw = repeated("address", (0..1_000_u32).map(|n| format!("0:{n:064x}")));
    let answer = get(format!("{}/accountStates?include_boc=false{raw}", scene.node.v3())).await;
    assert_eq!(list(&answer, "accounts").len(), 0, "a thousand in one question");
}

#[tokio::test]
async fn v3_lists_the_transactions_of_an_account_from_either_end() {
    let scene = Scene::paid(5).await;
    let names =
        |answer: &Value| -> Vec<Hash> { list(answer, "transactions").iter().map(|one| hash64(&one["hash"])).collect() };
    let of = format!("{}/transactions?account={}", scene.node.v3(), SHOP.to_string().to_uppercase());
    let all: Vec<Hash> = scene.paid.iter().map(|made| made.at.hash).collect();
    let back: Vec<Hash> = all.iter().rev().copied().collect();
    assert_eq!(names(&get(of.clone()).await), back);
    assert_eq!(names(&get(format!("{of}&sort=asc")).await), all);
    assert_eq!(names(&get(format!("{of}&sort=asc&limit=2&offset=1")).await), all[1..3]);
    let from = scene.paid[3].at.lt;
    assert_eq!(names(&get(format!("{of}&start_lt={from}")).await), back[..2]);
    assert_eq!(names(&get(format!("{of}&end_lt={from}&limit=1")).await), back[1..2]);
    let base = STANDARD.encode(all[2].0);
    let escaped = base.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let by_hash = get(format!("{}/transactions?hash={escaped}", scene.node.v3())).await;
    assert_eq!(names(&by_hash), all[2..3]);
    assert_eq!(list(&by_hash, "transactions")[0]["mc_block_seqno"], json!(scene.blocks[2].height.0));
}

#[tokio::test]
async fn v2_gives_the_cells_of_an_account_newest_first_along_its_chain() {
    let scene = Scene::paid(5).await;
    let v2 = scene.node.v2();
    let of = format!("{v2}/getTransactions?address={}", SHOP.bounceable(Realm::Mainnet));
    let names = |answer: &Value| -> Vec<Hash> {
        answer.as_array().unwrap().iter().map(|one| hash64(&one["transaction_id"]["hash"])).collect()
    };
    let back: Vec<Hash> = scene.paid.iter().rev().map(|made| made.at.hash).collect();
    let answer = result(of.clone()).await;
    assert_eq!(names(&answer), back);
    for one in answer.as_array().unwrap() {
        let bytes = STANDARD.decode(one["data"].as_str().unwrap()).unwrap();
        let read = Transaction::decode(0, &bytes).unwrap();
        assert_eq!((read.account, read.at.hash), (SHOP, hash64(&one["transaction_id"]["hash"])));
        assert_eq!(kind(&one["transaction_id"]["lt"]), "string");
        assert!(one.get("aborted").is_none() && one.get("description").is_none(), "phases are in the cells alone");
    }
    let at = scene.paid[2].at;
    let hash = digits(&at.hash.0);
    let from = result(format!("{of}&lt={}&hash={hash}&limit=2", at.lt)).await;
    assert_eq!(names(&from), back[2..4]);
    let until = result(format!("{of}&to_lt={}", at.lt)).await;
    assert_eq!(names(&until), back[..2], "down to a time and not with it");
    let other = digits(&[9; 32]);
    for (lt, hash, why) in [
        (at.lt + 1, &hash, "cannot locate transaction in block"),
        (at.lt, &other, "transaction hash mismatch"),
        (at.lt * 2, &hash, "ltdb: block not found"),
    ] {
        let (status, error) = refused(format!("{of}&lt={lt}&hash={hash}")).await;
        assert_eq!((status, &error["ok"], &error["code"]), (500, &json!(false), &json!(500)));
        assert!(error["error"].as_str().unwrap().contains(why), "{error}");
    }
    let state = result(format!("{v2}/getAddressInformation?address={SHOP}")).await;
    assert_eq!(hash64(&state["last_transaction_id"]["hash"]), back[0]);
    let state = result(format!("{v2}/getAddressInformation?address={STRANGER}")).await;
    assert_eq!((&state["last_transaction_id"]["lt"], &state["state"]), (&json!("0"), &json!("uninitialized")));
}

#[tokio::test]
async fn v2_names_blocks_with_both_hashes_and_pages_them_by_the_account() {
    let mut history = History::new(-239);
    let accounts: Vec<Account> = (1..=5).map(|n| Account::new(0, [n; 32])).collect();
    for account in accounts.iter().rev() {
        let mut life = Life::of(*account);
        history.receive(&mut life, &Letter::from(PAYER, 5), Outcome::Accepted);
        history.receive(&mut life, &Letter::from(PAYER, 6), Outcome::Accepted);
    }
    let at = history.close();
    let node = Node::serve(history).await.unwrap();
    let v2 = node.v2();
    let info = result(format!("{v2}/getMasterchainInfo")).await;
    assert_eq!((&info["last"]["seqno"], hash64(&info["last"]["root_hash"])), (&json!(at.height.0), at.hash));
    assert_eq!(info["last"]["shard"], json!("-9223372036854775808"));
    let shards = result(format!("{v2}/getShards?seqno={}", at.height.0)).await;
    let tip = list(&shards, "shards")[0].clone();
    let seqno = tip["seqno"].as_u64().unwrap();
    let name = format!("workchain=0&shard=-9223372036854775808&seqno={seqno}");
    assert_eq!(result(format!("{v2}/lookupBlock?{name}")).await, tip);
    let header = result(format!("{v2}/getBlockHeader?{name}")).await;
    assert_eq!((&header["id"], kind(&header["gen_utime"]), kind(&header["start_lt"])), (&tip, "number", "string"));
    let below = result(format!("{v2}/getShards?seqno={}", at.height.0 - 1)).await;
    assert_eq!(header["prev_blocks"], below["shards"], "hash-linked");
    let root = tip["root_hash"].as_str().unwrap().replace('+', "-").replace('/', "_");
    assert_eq!(result(format!("{v2}/getBlockHeader?{name}&root_hash={root}")).await["id"], tip);
    let other = STANDARD.encode([9; 32]).replace('+', "-").replace('/', "_");
    assert_eq!(refused(format!("{v2}/getBlockHeader?{name}&root_hash={other}")).await.0, 500);

    let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = result(format!("{v2}/getBlockTransactionsExt?{name}&count=3{cursor}")).await;
        pages += 1;
        for one in list(&page, "transactions") {
            let account = address::parse(one["account"].as_str().unwrap(), Realm::Mainnet).unwrap();
            let lt: u64 = one["transaction_id"]["lt"].as_str().unwrap().parse().unwrap();
            let read = Transaction::decode(0, &STANDARD.decode(one["data"].as_str().unwrap()).unwrap()).unwrap();
            assert_eq!((read.account, read.at.lt), (account, lt));
            seen.push((account, lt));
        }
        if page["incomplete"] == json!(false) {
            break;
        }
        let (account, lt) = seen.last().unwrap();
        let id = digits(&account.id);
        cursor = format!("&after_lt={lt}&after_hash={id}");
    }
    assert_eq!((seen.len(), pages), (10, 4));
    assert!(seen.is_sorted(), "by account, and each account's by time");
    let (status, _) = refused(format!("{v2}/getShards?seqno={}", at.height.0 + 1)).await;
    assert_eq!(status, 500);
}

#[tokio::test]
async fn tonapi_gives_everything_under_a_masterchain_block_and_404_for_what_it_does_not_have() {
    let scene = Scene::paid(3).await;
    let (api, tip) = (scene.node.tonapi(), scene.tip());
    let head = get(format!("{api}/blockchain/masterchain-head")).await;
    assert_eq!((&head["seqno"], kind(&head["start_lt"]), kind(&head["gen_utime"])), (&json!(tip), "number", "number"));
    let root: [u8; 32] = hex(head["root_hash"].as_str().unwrap()).try_into().unwrap();
    assert_eq!(Hash(root), scene.node.history().head().hash);
    let answer = get(format!("{api}/blockchain/masterchain/{tip}/transactions")).await;
    let transactions = list(&answer, "transactions");
    assert_eq!(transactions.len(), 4);
    for one in transactions {
        let account = address::parse(one["account"]["address"].as_str().unwrap(), Realm::Mainnet).unwrap();
        assert_eq!(account.to_string(), one["account"]["address"].as_str().unwrap(), "raw, in lower case");
        let read = Transaction::decode(account.workchain, &hex(one["raw"].as_str().unwrap())).unwrap();
        assert_eq!(json!(read.at.lt), one["lt"]);
        assert_eq!(read.at.hash.0.to_vec(), hex(one["hash"].as_str().unwrap()));
    }
    let blocks = get(format!("{api}/blockchain/masterchain/{tip}/blocks")).await;
    let held: u64 = list(&blocks, "blocks").iter().map(|block| block["tx_quantity"].as_u64().unwrap()).sum();
    assert_eq!(held, 4);
    let shard = &list(&blocks, "blocks")[1];
    let name = format!("(0,{},{})", shard["shard"].as_str().unwrap(), shard["seqno"]);
    assert_eq!(get(format!("{api}/blockchain/blocks/{name}")).await, *shard);
    for absent in [format!("masterchain/{}/transactions", tip + 1), format!("accounts/{STRANGER}")] {
        let (status, error) = refused(format!("{api}/blockchain/{absent}")).await;
        assert_eq!((status, kinds(&error)), (404, vec![("error".to_owned(), "string")]));
    }
    let none = get(format!("{api}/blockchain/accounts/{STRANGER}/transactions")).await;
    assert_eq!(none, json!({ "transactions": [] }));
}

#[tokio::test]
async fn tonapi_lists_an_account_between_two_logical_times() {
    let scene = Scene::paid(5).await;
    let of = format!("{}/blockchain/accounts/{SHOP}", scene.node.tonapi());
    let lts = |answer: &Value| -> Vec<u64> {
        list(answer, "transactions").iter().map(|one| one["lt"].as_u64().unwrap()).collect()
    };
    let paid: Vec<u64> = scene.paid.iter().map(|made| made.at.lt).collect();
    let back: Vec<u64> = paid.iter().rev().copied().collect();
    assert_eq!(lts(&get(format!("{of}/transactions")).await), back);
    let between = format!("{of}/transactions?after_lt={}&before_lt={}&sort_order=asc", paid[0], paid[4]);
    assert_eq!(lts(&get(between).await), paid[1..4]);
    let state = get(of).await;
    assert_eq!((&state["last_transaction_lt"], &state["status"]), (&json!(back[0]), &json!("active")));
    let hash = digits(&scene.paid[2].at.hash.0);
    let one = get(format!("{}/blockchain/transactions/{hash}", scene.node.tonapi())).await;
    assert_eq!((&one["lt"], &one["prev_trans_lt"]), (&json!(paid[2]), &json!(paid[1])));
}

#[tokio::test]
async fn masters_say_what_they_are_and_whose_wallet_is_where_in_every_dialect() {
    use tycho_types::boc::Boc;
    use tycho_types::cell::CellBuilder;

    let scene = Scene::paid(1).await;
    let registry = mainnet().registry;
    let (master, wanted) = (usdt(&registry).master, wallet(&registry, SHOP));
    let mut owner = CellBuilder::new();
    owner.store_small_uint(0b100, 3).unwrap();
    owner.store_u8(0).unwrap();
    owner.store_raw(&SHOP.id, 256).unwrap();
    let owner = STANDARD.encode(Boc::encode(owner.build().unwrap()));
    let read = |bytes: Vec<u8>| {
        let cell = Boc::decode(bytes).unwrap();
        Account::load(&mut cell.as_slice().unwrap()).unwrap().unwrap()
    };
    let ask = |method: &str, stack: Value| json!({ "address": master.to_string(), "method": method, "stack": stack });

    let v2 = format!("{}/runGetMethod", scene.node.v2());
    let said = exchange(&v2, Some(&ask("get_wallet_address", json!([["tvm.Slice", owner]])))).await.json();
    assert_eq!(said["result"]["exit_code"], 0, "{said}");
    let cell = &said["result"]["stack"][0];
    assert_eq!(cell[0], "cell");
    assert_eq!(read(STANDARD.decode(cell[1]["bytes"].as_str().unwrap()).unwrap()), wanted);
    let said = exchange(&v2, Some(&ask("get_jetton_data", json!([])))).await.json();
    let kinds: Vec<_> =
        list(&said["result"], "stack").iter().map(|item| item[0].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["num", "num", "cell", "cell", "cell"]);
    assert_eq!(said["result"]["stack"][1][1], "-0x1");

    let v3 = format!("{}/runGetMethod", scene.node.v3());
    let argument = json!([{ "type": "slice", "value": owner }]);
    let said = exchange(&v3, Some(&ask("get_wallet_address", argument))).await.json();
    assert_eq!(read(STANDARD.decode(said["stack"][0]["value"].as_str().unwrap()).unwrap()), wanted, "{said}");

    let of = format!("{}/blockchain/accounts/{master}/methods", scene.node.tonapi());
    let said = get(format!("{of}/get_wallet_address?args={SHOP}")).await;
    assert_eq!((&said["success"], &said["exit_code"]), (&json!(true), &json!(0)));
    assert_eq!(read(hex(said["stack"][0]["cell"].as_str().unwrap())), wanted);
    assert_eq!(get(format!("{of}/get_nothing")).await["exit_code"], 11);
}

#[tokio::test]
async fn requests_are_counted_by_what_was_asked_and_of_whom_is_no_part_of_it() {
    let scene = Scene::paid(2).await;
    get(format!("{}/blocks?limit=1", scene.node.v3())).await;
    get(format!("{}/blocks?limit=2", scene.node.v3())).await;
    get(format!("{}/blockchain/accounts/{SHOP}", scene.node.tonapi())).await;
    get(format!("{}/blockchain/masterchain/{}/blocks", scene.node.tonapi(), scene.tip())).await;
    assert_eq!((scene.node.calls("v3/blocks"), scene.node.calls("tonapi")), (2, 2));
    let traffic = scene.node.take_traffic();
    let routes: Vec<&str> = traffic.routes.keys().map(String::as_str).collect();
    assert_eq!(routes, ["tonapi/blockchain/accounts/{}", "tonapi/blockchain/masterchain/{}/blocks", "v3/blocks"]);
    assert_eq!((traffic.requests, scene.node.calls("v3")), (4, 0));
}
