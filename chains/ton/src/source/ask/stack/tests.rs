//! What masters answer, in three spellings; and what their descriptions leave open.

use serde_json::{Value, json};
use tycho_types::cell::CellFamily as _;

use super::*;
use crate::networks::TonNetwork;
use crate::source::ask::canned::Canned;
use crate::source::ask::{TONAPI, TONCENTER_V2, TONCENTER_V3};

const OWNER: Account = Account::new(0, [0x44; 32]);
const WALLET: Account = Account::new(0, [0x55; 32]);

fn key(name: &str) -> HashBytes {
    HashBytes(Sha256::digest(name.as_bytes()).into())
}

fn bytes_cell(bytes: &[u8]) -> Cell {
    let mut builder = CellBuilder::new();
    builder.store_raw(bytes, u16::try_from(bytes.len() * 8).unwrap()).unwrap();
    builder.build().unwrap()
}

/// A description on the chain.
fn content(entries: &[(&str, &[u8])]) -> Cell {
    let mut dict: Dict<HashBytes, Cell> = Dict::new();
    for (name, value) in entries {
        dict.set(key(name), bytes_cell(value)).unwrap();
    }
    let mut builder = CellBuilder::new();
    builder.store_u8(0).unwrap();
    tycho_types::cell::Store::store_into(&dict, &mut builder, Cell::empty_context()).unwrap();
    builder.build().unwrap()
}

fn address_cell(account: &Account) -> Cell {
    let mut builder = CellBuilder::new();
    wallets::store(&mut builder, account).unwrap();
    builder.build().unwrap()
}

fn base64(cell: &Cell) -> String {
    STANDARD.encode(Boc::encode(cell))
}

fn hex(cell: &Cell) -> String {
    Boc::encode(cell).iter().fold(String::new(), |out, byte| format!("{out}{byte:02x}"))
}

/// The code of USDT's wallets: a cell that only names it, in the masterchain's library.
fn usdt_code() -> Cell {
    let library = [0x8f; 32];
    CellBuilder::build_library(&HashBytes(library))
}

fn usdt() -> [Cell; 3] {
    [address_cell(&OWNER), content(&[("uri", b"\0https://example.org/usdt.json"), ("decimals", b"\x006")]), usdt_code()]
}

fn v2_answer() -> Value {
    let [admin, content, code] =
        usdt().map(|cell| json!(["cell", { "bytes": base64(&cell), "object": { "data": {}, "refs": [] } }]));
    let stack = json!([["num", "0x1ac6b1d6a7d3d9"], ["num", "-0x1"], admin, content, code]);
    json!({ "ok": true, "result": { "@type": "smc.runResult", "gas_used": 7_000, "stack": stack, "exit_code": 0 } })
}

fn v3_answer() -> Value {
    let [admin, content, code] = usdt().map(|cell| base64(&cell));
    json!({ "gas_used": 7_000, "exit_code": 0, "stack": [
        { "type": "num", "value": "0x1ac6b1d6a7d3d9" }, { "type": "num", "value": "-0x1" },
        { "type": "slice", "value": admin }, { "type": "cell", "value": content }, { "type": "cell", "value": code },
    ] })
}

fn tonapi_answer() -> Value {
    let [admin, content, code] = usdt().map(|cell| hex(&cell));
    json!({ "success": true, "exit_code": 0, "decoded": { "mintable": true }, "stack": [
        { "type": "num", "num": "0x1ac6b1d6a7d3d9" }, { "type": "num", "num": "-0x1" },
        { "type": "cell", "cell": admin }, { "type": "cell", "cell": content }, { "type": "cell", "cell": code },
    ] })
}

#[tokio::test]
async fn a_masters_data_read_the_same_in_three_spellings() {
    let said = JettonSaid { decimals: Some(6), wallet_code: cell::hash(&usdt_code()), mintable: true };
    let master = TonNetwork::shipped("ton-mainnet").unwrap().unwrap().registry.jettons.values().next().unwrap().master;
    for (kind, body) in [(TONCENTER_V2, v2_answer()), (TONCENTER_V3, v3_answer()), (TONAPI, tonapi_answer())] {
        let node = Canned::in_turn(kind, vec![body.to_string()]).await;
        assert_eq!(node.ask().jetton(&master).await, Ok(said.clone()), "{kind}");
    }
}

#[tokio::test]
async fn a_wallet_is_asked_for_by_its_owner_in_three_spellings() {
    let cell = address_cell(&WALLET);
    let asks = [
        (
            TONCENTER_V2,
            json!({ "ok": true, "result": { "exit_code": 0, "stack": [["cell", { "bytes": base64(&cell) }]] } }),
        ),
        (TONCENTER_V3, json!({ "exit_code": 0, "stack": [{ "type": "slice", "value": base64(&cell) }] })),
        (TONAPI, json!({ "success": true, "exit_code": 0, "stack": [{ "type": "cell", "cell": hex(&cell) }] })),
    ];
    let given = base64(&address_cell(&OWNER));
    for (kind, body) in asks {
        let given = given.clone();
        let node = Canned::of(kind, move |target, asked| {
            let named = asked.contains(&given) || target.contains(&format!("args=0%3A{}", "44".repeat(32)));
            (200, if named { body.to_string() } else { json!({ "error": "asked for nobody" }).to_string() })
        })
        .await;
        assert_eq!(node.ask().wallet_address(&WALLET, &OWNER).await, Ok(WALLET), "{kind}");
    }
}

#[test]
fn decimals_are_those_on_the_chain_or_they_are_unknown() {
    let of = |entries: &[(&str, &[u8])]| decimals(&content(entries));
    assert_eq!(of(&[("decimals", b"\x006")]), Some(6));
    assert_eq!(of(&[("decimals", b"18")]), Some(18), "without the zero before it");
    assert_eq!(of(&[("name", b"\0x")]), Some(9), "the standard's, where nothing is said");
    assert_eq!(of(&[("uri", b"\0https://example.org/x.json")]), None, "a file may say them");
    for wrong in [&b"\0six"[..], b"\x00300", b"\x00-1", b"\0", b"\x01", b"\0\xff\xff"] {
        assert_eq!(of(&[("decimals", wrong)]), None, "{wrong:?}");
    }
    assert_eq!(decimals(&bytes_cell(b"\x01https://example.org/x.json")), None, "off the chain");
    assert_eq!(decimals(&Cell::default()), None);
    assert_eq!(decimals(&bytes_cell(b"\0")), None);
}

#[test]
fn a_method_that_failed_or_answered_something_else_is_no_answer() {
    let failed = |answer: Value| matches!(read_toncenter_v3(answer.to_string().as_bytes()), Err(Trouble::Failed(_)));
    assert!(failed(json!({ "exit_code": -13, "stack": [] })), "no such contract");
    assert!(failed(json!({ "exit_code": 11, "stack": [{ "type": "num", "value": "0x14c97" }] })), "no such method");
    assert!(failed(json!({ "exit_code": 0, "stack": vec![json!({ "type": "num", "value": "0x1" }); 33] })));
    assert!(failed(json!({ "exit_code": 0, "stack": [{ "type": "cell", "value": 7 }] })));
    let other =
        read_toncenter_v3(json!({ "exit_code": 0, "stack": [{ "type": "list", "value": [] }] }).to_string().as_bytes())
            .unwrap();
    assert!(matches!(account(&other), Err(Trouble::Failed(_))));
    assert!(matches!(jetton(&other), Err(Trouble::Failed(_))));
    let nobody = Item::Cell(bytes_cell(&[0]));
    assert!(matches!(account(&[nobody]), Err(Trouble::Failed(_))));
    let mintable = |text: &str| {
        let items = [
            Item::Number("0".into()),
            Item::Number(text.into()),
            Item::Other,
            Item::Cell(content(&[])),
            Item::Cell(usdt_code()),
        ];
        jetton(&items).unwrap().mintable
    };
    assert!(mintable("-0x1") && mintable("1") && !mintable("0x0") && !mintable("0"));
}
