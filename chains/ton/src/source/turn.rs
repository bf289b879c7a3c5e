//! The newest transaction of an account is what one operator can keep back. So at each look another operator is asked
//! where some of our accounts stand, by turns: what it has later is waited for, and then told without whoever lacks it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use amn_core::source::Segment;
use amn_core::timestamp::Timestamp;
use amn_rpc::Endpoint;

use super::Shared;
use super::accounts::{Cursors, Followed};
use super::ask::{Ask, Dialect, Named, Row};
use super::chain::{Known, Way};
use super::segment::{Found, placed};
use crate::address::Account;
use crate::transaction::Link;

/// Accounts that an index is asked for at each look, in one request; others are asked for one.
const IN_BULK: usize = 100;

/// So near the head, and no further below it, others are asked: while catching up every request is needed.
const NEAR: u64 = 500;

impl Shared {
    /// Asks another operator where some of our accounts stand.
    pub(crate) async fn look_elsewhere(
        &self,
        by: &Arc<Endpoint>,
        followed: &Followed,
        heads: &[(Account, Link)],
        segment: &Segment,
    ) {
        let near = self.memory.head().is_some_and(|head| head.at.height.above(segment.tip.at.height) <= NEAR);
        let accounts: Vec<Account> = followed.accounts.iter().flat_map(|accounts| accounts.iter().copied()).collect();
        let others = self.others(by.operator());
        if !near || accounts.is_empty() || others.is_empty() {
            return;
        }
        let look = usize::try_from(self.memory.look()).unwrap_or_default();
        let Some(other) = others.get(look % others.len()) else { return };
        let count = if Dialect::of(other).is_some_and(Dialect::in_bulk) { IN_BULK } else { 1 }.min(accounts.len());
        let first = self.turn.fetch_add(count, Ordering::Relaxed);
        let picked: Vec<Account> = accounts.iter().cycle().skip(first % accounts.len()).take(count).copied().collect();
        let Ok(theirs) = (Ask { endpoint: other }).heads(&picked).await else { return };
        let ours: BTreeMap<Account, Link> = heads.iter().copied().collect();
        let cursors = Cursors::read(&segment.checkpoint);
        for (account, theirs) in picked.into_iter().zip(theirs) {
            let Some(theirs) = theirs else { continue };
            let stands = cursors.get(&account).map_or(0, |cursor| cursor.at.lt);
            let newest = ours.get(&account).map_or(0, |head| head.lt).max(stands);
            if theirs.lt > newest {
                // The wait begins. It was asked later, so most often it is nothing but that.
                self.waited(account, theirs);
                self.memory.is_ahead(account, theirs, other.operator());
            }
        }
    }

    /// What others have had for a while and this endpoint still has not.
    pub(crate) async fn overtaken(
        &self,
        by: &Arc<Endpoint>,
        rows: &[Row],
        heads: &[(Account, Link)],
        cursors: &Cursors,
    ) -> Vec<Found> {
        let (Some(on), Some(last)) = (rows.first(), rows.last()) else { return Vec::new() };
        let mut found = Vec::new();
        for (account, ahead) in self.memory.ahead() {
            let cursor = cursors.get(&account);
            let here = heads.iter().find(|(of, _)| *of == account).map_or(0, |(_, head)| head.lt);
            let told = cursors.told.contains(&ahead.head.hash) && cursor.is_some_and(|at| at.at.lt >= ahead.head.lt);
            if told || here >= ahead.head.lt || cursor.is_some_and(|cursor| cursor.at.lt >= ahead.head.lt) {
                self.memory.caught_up(account);
                continue;
            }
            if !self.waited(account, ahead.head) {
                continue;
            }
            let names = [Named { account, at: ahead.head, height: None }];
            let way = self.descend(&ahead.by, account, &names, cursor, &mut Known::new()).await;
            let Ok(mut way) = way else {
                // They show nothing that leads to where we stand: it was a word and no more.
                self.memory.caught_up(account);
                continue;
            };
            if cursor.is_none() {
                since(&mut way, on.time);
            }
            let lacks = format!(
                "it does not have transaction {} {} of {account}, which {} has had for a while",
                ahead.head.lt, ahead.head.hash, ahead.by
            );
            way.words.remove(by.operator());
            if way.words.len() > 1 {
                by.distrust(lacks);
                self.memory.caught_up(account);
            } else {
                by.remark(&lacks);
                way.denied.insert(by.operator().clone());
            }
            found.push(placed(account, way, &names, on.at.height, last.at.height));
        }
        found
    }
}

/// Leaves out what is older than the block we stand on: of an account that was never looked at, it is not ours.
fn since(way: &mut Way, time: Timestamp) {
    way.transactions.retain(|transaction| Timestamp::from_seconds(i64::from(transaction.now)) >= time);
}
