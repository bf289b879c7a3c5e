//! A chain in a box: one anvil process, driven over its RPC.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use alloy_primitives::Address;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use super::StageError;

/// Anvil answers within a third of a second; a machine under load gets a hundred times that.
const STARTED_WITHIN: Duration = Duration::from_secs(30);

/// Far more gas than any play needs.
const GAS: &str = "0x1000000";

/// A running anvil. Killed when it is dropped.
#[derive(Debug)]
pub struct Anvil {
    child: Child,
    port: u16,
    client: reqwest::Client,
    /// Where it lays down states that are too many for its memory.
    states: PathBuf,
}

impl Drop for Anvil {
    /// A killed anvil leaves its states where they are, megabytes for each run.
    fn drop(&mut self) {
        let _ = self.child.start_kill();
        let _ = std::fs::remove_dir_all(&self.states);
    }
}

/// How a chain in a box behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// `safe` lies so many blocks below the head, `finalized` twice as many.
    pub slots_in_an_epoch: u32,
    /// Seconds between blocks; `None`: blocks come when asked for.
    pub block_time: Option<u32>,
}

impl Default for Rules {
    fn default() -> Self {
        Self { slots_in_an_epoch: 32, block_time: None }
    }
}

impl Anvil {
    /// Starts anvil on a free port of this machine.
    pub async fn start(rules: Rules) -> Result<Self, StageError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|e| StageError::because("a free port", e))?;
        let port = listener.local_addr().map_err(|e| StageError::because("a free port", e))?.port();
        drop(listener);
        Self::start_at(port, rules).await
    }

    /// Starts anvil on this port.
    pub async fn start_at(port: u16, rules: Rules) -> Result<Self, StageError> {
        Self::start_as(31_337, port, rules).await
    }

    /// Starts anvil as the chain of this id, on this port.
    pub async fn start_as(chain_id: u64, port: u16, rules: Rules) -> Result<Self, StageError> {
        let mut command = Command::new(binary()?);
        let states = std::env::temp_dir().join(format!("amn-anvil-{}-{port}", std::process::id()));
        command
            .arg("--cache-path")
            .arg(&states)
            .args(["--silent", "--order", "fifo", "--port", &port.to_string(), "--host", "127.0.0.1"])
            .args(["--chain-id", &chain_id.to_string()])
            .args(["--slots-in-an-epoch", &rules.slots_in_an_epoch.to_string()])
            // One second a block and a fixed beginning: the same play has the same chain time.
            .args(["--timestamp", "1800000000", "--base-fee", "0", "--gas-price", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        match rules.block_time {
            Some(seconds) => command.args(["--block-time", &seconds.to_string()]),
            None => command.arg("--no-mining"),
        };
        let child = command.spawn().map_err(|error| StageError::because("anvil does not start", error))?;
        let client = super::client()?;
        let anvil = Self { child, port, client, states };
        let ready = async {
            while anvil.rpc("eth_chainId", json!([])).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(STARTED_WITHIN, ready)
            .await
            .map_err(|_| StageError("anvil does not answer within 30 s".into()))?;
        if rules.block_time.is_none() {
            // Blocks stand one second apart, whatever the wall clock says.
            anvil.rpc("anvil_setBlockTimestampInterval", json!([1])).await?;
        }
        Ok(anvil)
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    #[must_use]
    pub fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it lays down states that are too many for its memory. Gone when it is.
    #[must_use]
    pub fn states(&self) -> &Path {
        &self.states
    }

    /// Stops it at once.
    pub async fn stop(mut self) {
        let _ = self.child.kill().await;
    }

    /// One call.
    pub async fn rpc(&self, method: &str, params: Value) -> Result<Value, StageError> {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let send = self.client.post(self.url()).header("content-type", "application/json").body(call.to_string());
        let answer = send.send().await.map_err(|e| StageError::because(method, e.without_url()))?;
        let text = answer.text().await.map_err(|e| StageError::because(method, e.without_url()))?;
        let mut answer: Value = serde_json::from_str(&text).map_err(|e| StageError::because(method, e))?;
        match answer.get("error") {
            Some(error) => Err(StageError::because(method, error)),
            None => Ok(answer["result"].take()),
        }
    }

    /// Several calls in one request, in their order.
    pub async fn rpc_all(&self, method: &str, params: &[Value]) -> Result<Vec<Value>, StageError> {
        if params.is_empty() {
            return Ok(Vec::new());
        }
        let call = |(id, params)| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let calls = Value::Array(params.iter().enumerate().map(call).collect());
        let send = self.client.post(self.url()).header("content-type", "application/json").body(calls.to_string());
        let answer = send.send().await.map_err(|e| StageError::because(method, e.without_url()))?;
        let text = answer.text().await.map_err(|e| StageError::because(method, e.without_url()))?;
        let mut answers: Vec<Value> = serde_json::from_str(&text).map_err(|e| StageError::because(method, e))?;
        if answers.len() != params.len() {
            return Err(StageError(format!("{method}: {} answers to {} calls", answers.len(), params.len())));
        }
        answers.sort_by_key(|answer| answer["id"].as_u64());
        answers
            .into_iter()
            .map(|mut answer| match answer.get("error") {
                Some(error) => Err(StageError::because(method, error)),
                None => Ok(answer["result"].take()),
            })
            .collect()
    }

    /// One of the ten accounts that anvil unlocks.
    pub async fn account(&self, index: usize) -> Result<Address, StageError> {
        let accounts = self.rpc("eth_accounts", json!([])).await?;
        parse(&accounts[index])
    }

    /// Sends a transaction to the pool; its hash.
    pub async fn send(&self, from: Address, to: Address, data: &[u8], value: u128) -> Result<String, StageError> {
        let tx = json!({
            "from": from, "to": to, "gas": GAS, "gasPrice": "0x0",
            "data": format!("0x{}", hex::encode(data)), "value": format!("{value:#x}"),
        });
        text(&self.rpc("eth_sendTransaction", json!([tx])).await?)
    }

    /// Puts a contract on the chain, in a block of its own.
    pub async fn deploy(&self, from: Address, code: &[u8]) -> Result<Address, StageError> {
        let tx = json!({"from": from, "gas": GAS, "gasPrice": "0x0", "data": format!("0x{}", hex::encode(code))});
        let hash = text(&self.rpc("eth_sendTransaction", json!([tx])).await?)?;
        self.mine(1).await?;
        let receipt = self.rpc("eth_getTransactionReceipt", json!([hash])).await?;
        parse(&receipt["contractAddress"])
    }

    /// Mines blocks; what waits in the pool goes into the first.
    pub async fn mine(&self, blocks: u64) -> Result<(), StageError> {
        self.rpc("anvil_mine", json!([format!("{blocks:#x}")])).await.map(|_| ())
    }

    pub async fn height(&self) -> Result<u64, StageError> {
        let shown = text(&self.rpc("eth_blockNumber", json!([])).await?)?;
        u64::from_str_radix(shown.trim_start_matches("0x"), 16).map_err(|e| StageError::because("eth_blockNumber", e))
    }

    /// The time of the newest block, in seconds since 1970.
    pub async fn time(&self) -> Result<i64, StageError> {
        let block = self.rpc("eth_getBlockByNumber", json!(["latest", false])).await?;
        let shown = block["timestamp"].as_str().unwrap_or_default().trim_start_matches("0x").to_owned();
        i64::from_str_radix(&shown, 16).map_err(|e| StageError::because("a block's time", e))
    }

    /// Replaces the newest `depth` blocks by as many others; `transactions` are requests with the offset of
    /// the block they go into. What was in the old blocks is gone.
    pub async fn reorg(&self, depth: u64, transactions: &[(Value, u64)]) -> Result<(), StageError> {
        let pairs: Vec<Value> = transactions.iter().map(|(tx, block)| json!([tx, block])).collect();
        self.rpc("anvil_reorg", json!([depth, pairs])).await.map(|_| ())
    }

    /// A transaction as [`Anvil::reorg`] takes it.
    #[must_use]
    pub fn request(from: Address, to: Address, data: &[u8], value: u128) -> Value {
        json!({
            "from": from, "to": to, "gas": GAS, "gasPrice": "0x0",
            "data": format!("0x{}", hex::encode(data)), "value": format!("{value:#x}"),
        })
    }
}

fn text(value: &Value) -> Result<String, StageError> {
    value.as_str().map(str::to_owned).ok_or_else(|| StageError(format!("expected text, got {value}")))
}

fn parse(value: &Value) -> Result<Address, StageError> {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| StageError(format!("expected an address, got {value}")))
}

/// Where npm put it: beside us, or above us; or where `AMN_ANVIL` says.
fn binary() -> Result<PathBuf, StageError> {
    if let Some(named) = std::env::var_os("AMN_ANVIL") {
        return Ok(past_the_wrapper(named.into()));
    }
    let here = std::env::current_dir().unwrap_or_default();
    let from_here = here.ancestors().map(|dir| dir.join("node_modules/.bin/anvil"));
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("node_modules/.bin/anvil");
    from_here
        .chain([built])
        .find(|path| path.exists())
        .map(past_the_wrapper)
        .ok_or_else(|| StageError("anvil is not installed; run ./test or ./demo, or `npm ci` in the repository".into()))
}

/// npm's `anvil` is a script that starts the real one as its child: whoever kills the script leaves the chain
/// running for ever. The real one lies in the package of this machine's kind, beside the script's own.
fn past_the_wrapper(named: PathBuf) -> PathBuf {
    let real = || {
        let packages = named.canonicalize().ok()?.parent()?.parent()?.to_owned();
        let mut kinds = packages.read_dir().ok()?.flatten().map(|kind| kind.path());
        kinds.find_map(|kind| {
            let is_kind = kind.file_name()?.to_str()?.starts_with("anvil-");
            Some(kind.join("bin/anvil")).filter(|path| is_kind && path.is_file())
        })
    };
    real().unwrap_or(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_binary_is_started_not_the_script_that_starts_it() {
        let dir = tempfile::tempdir().unwrap();
        let (packages, links) = (dir.path().join("@foundry-rs"), dir.path().join(".bin"));
        for folder in [packages.join("anvil"), packages.join("anvil-linux-amd64/bin"), links.clone()] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let (script, real) = (packages.join("anvil/bin.mjs"), packages.join("anvil-linux-amd64/bin/anvil"));
        std::fs::write(&script, "").unwrap();
        let link = links.join("anvil");
        std::os::unix::fs::symlink(&script, &link).unwrap();
        assert_eq!(past_the_wrapper(link.clone()), link, "without the real one, what there is");
        std::fs::write(&real, "").unwrap();
        assert_eq!(past_the_wrapper(link), real.canonicalize().unwrap());
        assert_eq!(past_the_wrapper(real.clone()), real, "named itself, it is taken as it is");
    }
}
