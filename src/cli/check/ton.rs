//! One endpoint of a TON network, asked what the follower asks of it first: which network's blocks it has, how old its
//! newest is, and whether it gives transactions as they were committed.

use std::time::Duration;

use amn_core::timestamp::Timestamp;
use amn_rpc::RpcError;
use amn_scanner::networks::{Kind, Served};
use amn_ton::networks::TonNetwork;
use amn_ton::source::{Mode, Newest, TonSource};

use super::Lines;
use super::endpoint::Asker;

/// For one question. The endpoint's own limit may be shorter.
const PATIENCE: Duration = Duration::from_secs(15);
/// A block comes every 0.4 seconds; a node so many seconds behind lags.
const AGE_MAX: u64 = 10;
/// For all masters at two operators.
const MASTERS_WITHIN: Duration = Duration::from_secs(30);

impl Asker<'_, TonNetwork> {
    /// Whether it is of our network; where it is not, nothing else is asked.
    pub async fn all(&mut self, source: &TonSource, now: Timestamp) -> bool {
        let shown = format!("{} of {}", self.endpoint.shown_url(), self.endpoint.operator());
        let late = || RpcError::TryOther { timed_out: true, detail: format!("nothing in {} s", PATIENCE.as_secs()) };
        let asked = tokio::time::timeout(PATIENCE, source.newest_of(self.endpoint)).await;
        let newest = match asked.unwrap_or_else(|_| Err(late())) {
            Ok(newest) => newest,
            Err(error) => {
                let todo = match error {
                    RpcError::Credentials(_) => "correct the key in the URL or the headers",
                    RpcError::CoolDown { .. } => "it limits us: wait, or set max_rps to what the plan allows",
                    RpcError::Malformed(_) => "what answers there does not speak this API: see kind and url",
                    _ => "see that url is the API's root, as https://toncenter.com/api/v3, and kind its dialect",
                };
                self.fail("identity", format!("{shown}: {error}"), todo);
                return false;
            }
        };
        let ours = self.network.global_id;
        match newest.global_id {
            Some(said) if said == ours => self.fine("identity", format!("{shown}: tvm:{said}")),
            Some(said) => {
                let said = format!("{shown}: tvm:{said}, expected tvm:{ours}");
                self.fail("identity", said, "the URL is of another network: correct it");
                return false;
            }
            None => {
                let todo = "it cannot be told from a node of another network, and is not asked until it can";
                self.fail("identity", format!("{shown}: its blocks do not say their network"), todo);
                return false;
            }
        }
        self.newest(newest, now);
        true
    }

    fn newest(&mut self, newest: Newest, now: Timestamp) {
        let age = now.seconds_since(newest.time);
        let said = format!("masterchain block {} ({age} s old)", newest.at.height);
        if age > AGE_MAX {
            self.warn("head", said, "the node lags, or the network makes no blocks");
        } else {
            self.fine("head", said);
        }
        let kind = self.endpoint.kind();
        self.info(
            "dialect",
            if newest.gives_cells {
                format!("{kind}: gives transactions as they were committed")
            } else {
                format!("{kind}: says where many accounts stand at once; no transaction as it was committed")
            },
        );
    }
}

/// How the chain will be read, and whether the jettons' masters are what the registry says.
pub async fn network(served: &Served, lines: &mut Lines) {
    let Kind::Ton(source) = served.kind() else { return };
    let id = served.facts.id.as_str();
    match source.mode() {
        Mode::ByAccount => lines.fine("mode", id, "by account: what is asked depends on the accounts, not on blocks"),
        Mode::ByBlock(why) => {
            let todo = "every block is asked for, several requests for each, 2.5 blocks a second: add a toncenter-v3 \
                        endpoint";
            lines.warn("mode", id, format!("by block: {why}"), todo);
        }
    }
    let said = tokio::time::timeout(MASTERS_WITHIN, served.identify()).await;
    let jettons = served.facts.assets.iter().filter(|asset| !asset.native).count();
    match said {
        Ok(Ok(_)) if jettons == 0 => {}
        Ok(Ok(_)) => {
            lines.fine("masters", id, format!("{jettons} jetton(s): decimals and wallets are as the registry says"));
        }
        Ok(Err(error)) => {
            lines.fail("masters", id, error.to_string(), "correct the registry: the network does not start like this");
        }
        Err(_) => {
            let said = format!("not told within {} s", MASTERS_WITHIN.as_secs());
            lines.fail("masters", id, said, "see the endpoints' lines: the network starts once two operators answer");
        }
    }
}
