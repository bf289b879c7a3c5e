//! After the story: where to look next, and how to go on by hand.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::ground::Folder;
use super::house::House;
use super::script::FAKE;
use super::timeline::{Actor, Mood};
use super::{Keys, Wishes};
use crate::stage::StageError;

/// A block every two seconds: three confirmations in six, which a person waits for gladly.
const BLOCK_SECONDS: u64 = 2;

pub fn where_next(house: &mut House, folder: &Folder, wishes: &Wishes) {
    let ink = house.timeline.ink;
    let unpaid =
        house.orders.iter().find(|order| order.story == FAKE).map(|order| order.id.clone()).unwrap_or_default();
    let mut line =
        |what: &str, place: &str| house.timeline.print(&format!("  {}  {place}", ink.dim(&format!("{what:<22}"))));
    let (binary, config) = (near(&wishes.daemon), near(&folder.config()));
    line("what Postgres keeps", &format!("{binary} --config {config} intents list"));
    line("why A-1004 is unpaid", &format!("{binary} --config {config} explain {unpaid}"));
    line("what the daemon wrote", &near(&folder.log()));
    line("how it was configured", &config);
    line("how it works", "README.md, docs/ARCHITECTURE.md");
    if !wishes.keep {
        line("go on by hand", "./demo --keep");
    }
}

/// A path as one would type it from here.
fn near(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}

/// Stays up and shows what comes. Ends only by a signal.
pub async fn stay(house: &mut House, keys: &Keys) -> Result<(), StageError> {
    house.chain.rpc("evm_setIntervalMining", json!([BLOCK_SECONDS])).await?;
    let (chain, api, usdc) = (house.chain.url(), house.shop.base.clone(), house.usdc);
    let ink = house.timeline.ink;
    let text = format!(
        r#"
{title}
  A block comes every {BLOCK_SECONDS} s. In another terminal:

  export API={api} CHAIN={chain}
  export KEY={key}

  {one}
  ADDRESS=$(curl -s $API/v1/intents -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \
    -d '{{"network":"devnet","asset":"eip155:31337/erc20:{usdc}","due":"25000000"}}' \
    | tee /dev/stderr | grep -o '"address":"[^"]*' | cut -d'"' -f4)

  {two}
  DATA=0xa9059cbb$(printf '%064s%064x' ${{ADDRESS#0x}} 25000000 | tr ' ' 0)
  curl -s $CHAIN -H 'Content-Type: application/json' -d '{{"jsonrpc":"2.0","id":1,"method":"eth_sendTransaction",
    "params":[{{"from":"{payer}","to":"{usdc}","data":"'$DATA'"}}]}}'

  {three}
  curl -s $API/v1/intents -H "Authorization: Bearer $KEY"
  curl -s $API/v1/events  -H "Authorization: Bearer $KEY"
  curl -s $API/v1/openapi.json
  curl -s $API/metrics
  The operator's key, which opens everything: {operator}
"#,
        title = ink.bold("It stays up until Ctrl-C, and what the backend hears is shown below"),
        key = keys.shop,
        operator = keys.operator,
        one = ink.dim("# ask for 25 USDC"),
        two = ink.dim("# pay them"),
        three = ink.dim("# look"),
        payer = house.payer,
    );
    house.timeline.print(&text);
    loop {
        let shown = house.shown;
        let _ = house.receiver.until(Duration::from_secs(BLOCK_SECONDS), |heard| heard.len() > shown).await;
        house.timeline.height = house.chain.height().await.unwrap_or(house.timeline.height);
        house.show_heard();
        if house.daemon.has_ended() {
            house.tell(Actor::Daemon, Mood::Bad, "has ended by itself", "see its log");
            return Err(StageError("the daemon ended".into()));
        }
    }
}
