//! What people ask one endpoint: where it stands, and what it has at a height. Nothing is decided by it.

use std::sync::Arc;
use std::time::Duration;

use amn_core::block::{BlockRef, Hash, Height};
use amn_core::timestamp::Timestamp;
use amn_rpc::{Endpoint, RpcError};

use super::TonSource;
use super::ask::{Ask, Dialect};
use super::trouble::Trouble;

/// An endpoint's newest masterchain block, by its word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Newest {
    pub at: BlockRef,
    pub time: Timestamp,
    /// The network's number, where it says it.
    pub global_id: Option<i32>,
    /// Whether it gives transactions as the cells they were committed as.
    pub gives_cells: bool,
}

impl TonSource {
    /// Where an endpoint of the pool stands.
    pub async fn newest_of(&self, endpoint: &Endpoint) -> Result<Newest, RpcError> {
        let endpoint = self.own(endpoint)?;
        let (ask, dialect) = (Ask { endpoint }, Dialect::of(endpoint));
        let head = ask.head().await.map_err(said)?;
        let global_id = match head.global_id {
            None => ask.row(head.at.height).await.map_err(said)?.global_id,
            told => told,
        };
        Ok(Newest { at: head.at, time: head.time, global_id, gives_cells: dialect.is_some_and(Dialect::gives_cells) })
    }

    /// The height of an endpoint's head: the least that can be asked of it.
    pub async fn head_of(&self, endpoint: &Endpoint) -> Result<Height, RpcError> {
        let endpoint = self.own(endpoint)?;
        Ask { endpoint }.tip().await.map(|at| at.height).map_err(said)
    }

    /// The hash that an endpoint gives for a masterchain block; `None` where it has none of that height.
    pub async fn hash_at(&self, endpoint: &Endpoint, height: Height) -> Result<Option<Hash>, RpcError> {
        let endpoint = self.own(endpoint)?;
        match (Ask { endpoint }).row(height).await {
            Ok(row) => Ok(Some(row.at.hash)),
            Err(Trouble::NotYet(_) | Trouble::Lacks(_) | Trouble::Pruned(_)) => Ok(None),
            Err(trouble) => Err(said(trouble)),
        }
    }

    fn own(&self, endpoint: &Endpoint) -> Result<&Arc<Endpoint>, RpcError> {
        let mut all = self.pool().endpoints().iter();
        all.find(|own| own.name() == endpoint.name())
            .ok_or_else(|| RpcError::Unsupported("no endpoint of this network".to_owned()))
    }
}

/// The same trouble in the pool's words, which know the same ways out.
fn said(trouble: Trouble) -> RpcError {
    let failed = |timed_out: bool, detail: String| RpcError::TryOther { timed_out, detail };
    match trouble {
        Trouble::NotYet(why) | Trouble::Lacks(why) => RpcError::NotYet(why),
        Trouble::Pruned(why) | Trouble::Gone(why) => RpcError::Pruned(why),
        Trouble::Unsupported(why) => RpcError::Unsupported(why),
        Trouble::LeftAlone(detail) => RpcError::CoolDown { wait: Duration::ZERO, detail },
        Trouble::Lie(why) | Trouble::Undecodable(why) | Trouble::Disagree(why) => RpcError::Malformed(why),
        Trouble::Forked(at) => RpcError::Malformed(format!("another block than {} at {}", at.hash, at.height)),
        Trouble::Contradicts { account, lt, .. } => {
            RpcError::Malformed(format!("another transaction of {account} at {lt}"))
        }
        Trouble::TimedOut(why) => failed(true, why),
        Trouble::TooMuch(why) | Trouble::Failed(why) => failed(false, why),
    }
}
