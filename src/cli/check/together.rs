//! The endpoints of a network against each other: who is behind, and who is on another chain than the rest.

use std::collections::BTreeMap;

use amn_core::block::{Hash, Height};
use amn_rpc::Endpoint;
use amn_scanner::networks::Served;
use futures_util::future::join_all;

use super::Lines;
use crate::cli::nodes;

/// Blocks behind from where an endpoint counts as lagging, as the pool counts it.
const LAG_BLOCKS: u64 = 5;
/// An endpoint that lags in the first look may have caught up in the second.
const LOOKS: usize = 2;
/// Below the lowest head: the newest blocks may differ for a moment, and honestly.
const DEEP_ENOUGH: u64 = 3;

pub async fn check<E: AsRef<Endpoint>>(served: &Served, endpoints: &[E], lines: &mut Lines) {
    // There is nothing to hold one against.
    if endpoints.len() < 2 {
        return;
    }
    let heads = lag(served, endpoints, lines).await;
    if let Some(lowest) = heads.into_iter().flatten().min() {
        agreement(served, endpoints, lowest.saturating_sub(DEEP_ENOUGH), lines).await;
    }
}

/// The heads as they are now.
async fn lag<E: AsRef<Endpoint>>(served: &Served, endpoints: &[E], lines: &mut Lines) -> Vec<Option<u64>> {
    let mut heads = Vec::new();
    let mut behind = vec![u64::MAX; endpoints.len()];
    for _ in 0..LOOKS {
        heads = join_all(endpoints.iter().map(async |one| nodes::head(served, one.as_ref()).await.ok())).await;
        let best = heads.iter().flatten().max().copied().unwrap_or(0);
        for (behind, head) in behind.iter_mut().zip(&heads) {
            *behind = (*behind).min(head.map_or(u64::MAX, |head| best - head));
        }
    }
    for (endpoint, behind) in endpoints.iter().zip(behind) {
        let name = format!("{}/{}", served.facts.id, endpoint.as_ref().name());
        match behind {
            u64::MAX => lines.fail("lag", name, "does not say where it stands", "see its other lines"),
            0 => lines.fine("lag", name, "none"),
            1..=LAG_BLOCKS => lines.fine("lag", name, format!("{behind} block(s) behind the others")),
            _ => {
                let todo = "it is asked last, and vouches late: use another node, or wait until it has caught up";
                lines.fail("lag", name, format!("{behind} blocks behind the others"), todo);
            }
        }
    }
    heads
}

/// Whether all name the same block at a recent height.
async fn agreement<E: AsRef<Endpoint>>(served: &Served, endpoints: &[E], height: u64, lines: &mut Lines) {
    let asked =
        endpoints.iter().map(async |endpoint| served.hash_at(endpoint.as_ref(), Height(height)).await.ok().flatten());
    let mut said = BTreeMap::<Hash, Vec<String>>::new();
    for (endpoint, hash) in endpoints.iter().zip(join_all(asked).await) {
        if let Some(hash) = hash {
            let endpoint = endpoint.as_ref();
            said.entry(hash).or_default().push(format!("{} of {}", endpoint.name(), endpoint.operator()));
        }
    }
    let id = served.facts.id.as_str();
    let short = |hash: &Hash| hash.to_string().chars().take(12).collect::<String>();
    match said.len() {
        0 => lines.fail("agreement", id, format!("no endpoint gives block {height}"), "see the endpoints' lines"),
        1 => {
            let all: usize = said.values().map(Vec::len).sum();
            let words = format!("block {height} is the same for {all} of {} endpoints", endpoints.len());
            if all > 1 {
                lines.fine("agreement", id, words);
            } else {
                lines.warn("agreement", id, words, "nobody vouches for the one that gives it: see the others' lines");
            }
        }
        _ => {
            let sides = said.iter().map(|(hash, who)| format!("{}… say {}", short(hash), who.join(" and ")));
            let sides = sides.collect::<Vec<_>>().join("; ");
            let todo = "they are not of one chain, or one of them is on a dead branch: ask a third before money \
                        depends on either";
            lines.fail("agreement", id, format!("block {height}: {sides}"), todo);
        }
    }
}
