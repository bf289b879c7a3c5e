//! The newest transaction of an account is what one operator can keep back, and a node's list of a block may lack one.
//! So at each look another operator is asked where some of our accounts stand, by turns: what it has later is waited
//! for, and then told without whoever lacks it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use amn_core::block::Operator;
use amn_core::source::{Segment, Watch};
use amn_rpc::Endpoint;

use super::Shared;
use super::accounts::Cursors;
use super::ask::{Ask, Dialect, Named, Row};
use super::chain::Known;
use super::memory::Ahead;
use super::segment::{Found, placed};
use crate::address::Account;
use crate::evidence::Cursor;
use crate::transaction::Link;

/// Accounts that an index is asked for at each look, in one request; others are asked for one.
const IN_BULK: usize = 100;

/// So near the head, and no further below it, others are asked: while catching up every request is needed.
const NEAR: u64 = 500;

/// Of an account that was never looked at, what is older than the block we stood on by more than this is not ours: a
/// shard's block is committed within seconds.
const MARGIN_SECONDS: i64 = 60;

/// Transactions of such an account that are looked at, one request each.
const STEPS_MAX: usize = 20;

impl Shared {
    /// Asks another operator where some of our accounts stand. `heads`: where they do by the word of whoever was read.
    pub(crate) async fn look_elsewhere(
        &self,
        by: &Arc<Endpoint>,
        watch: &Watch,
        heads: &[(Account, Link)],
        segment: &Segment,
    ) {
        let near = self.memory.head().is_some_and(|head| head.at.height.above(segment.tip.at.height) <= NEAR);
        let others = self.others(by.operator());
        if !near || others.is_empty() {
            return;
        }
        let look = usize::try_from(self.memory.look()).unwrap_or_default();
        let Some(other) = others.get(look % others.len()) else { return };
        let picked = if Dialect::of(other).is_some_and(Dialect::in_bulk) {
            let turn = self.turn.fetch_add(IN_BULK, Ordering::Relaxed);
            self.owners().some(watch, turn, IN_BULK)
        } else {
            let each = self.network.registry.jettons.len().saturating_add(1);
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            self.owners().some(watch, turn / each, 1).into_iter().skip(turn % each).take(1).collect()
        };
        if picked.is_empty() {
            return;
        }
        let Ok(theirs) = (Ask { endpoint: other }).heads(&picked).await else { return };
        let ours: BTreeMap<Account, Link> = heads.iter().copied().collect();
        let cursors = Cursors::read(&segment.checkpoint);
        for (account, theirs) in picked.into_iter().zip(theirs) {
            let Some(theirs) = theirs else { continue };
            let cursor = cursors.get(&account);
            let here = ours.get(&account).map_or(0, |head| head.lt);
            let newest = cursor.map_or(here, |cursor| cursor.at.lt.max(here));
            if theirs.lt <= newest || self.memory.is_known_ahead(&account) {
                continue;
            }
            let until = match cursor {
                Some(cursor) => Some(cursor),
                None => match self.too_old(other.operator(), account, theirs, segment).await {
                    Some(until) => until,
                    None => continue,
                },
            };
            // The wait begins. It was asked later, so most often it is nothing but that.
            self.waited(account, theirs);
            self.memory.is_ahead(account, Ahead { head: theirs, by: other.operator().clone(), until });
        }
    }

    /// The newest transaction of an account that is older than where we stood. The outer `None`: all of them are, or
    /// nobody shows them.
    async fn too_old(
        &self,
        namer: &Operator,
        account: Account,
        head: Link,
        segment: &Segment,
    ) -> Option<Option<Cursor>> {
        let since = segment.tip.time.seconds().saturating_sub(MARGIN_SECONDS);
        let mut at = head;
        for _ in 0..STEPS_MAX {
            let read = self.one(namer, account, at, &mut Known::new()).await.ok()?;
            if i64::from(read.now) < since {
                return (at != head).then_some(Some(Cursor::after(&read)));
            }
            match read.on {
                Some(on) => at = on,
                None => return Some(None),
            }
        }
        Some(Some(Cursor { at, gone: false }))
    }

    /// What others have had for a while and we still have not. `heads`: where accounts stand by the word of this
    /// endpoint; `None` where it was asked for blocks, so that it may have what its list of a block lacked.
    pub(crate) async fn overtaken(
        &self,
        by: &Arc<Endpoint>,
        rows: &[Row],
        heads: Option<&[(Account, Link)]>,
        cursors: &Cursors,
        found: &mut Vec<Found>,
    ) {
        let (Some(on), Some(last)) = (rows.first(), rows.last()) else { return };
        for (account, ahead) in self.memory.ahead() {
            let stands = cursors.get(&account);
            let here = heads.into_iter().flatten().find(|(of, _)| *of == account).map_or(0, |(_, head)| head.lt);
            if here >= ahead.head.lt || stands.is_some_and(|cursor| cursor.at.lt >= ahead.head.lt) {
                self.memory.caught_up(account);
                continue;
            }
            // What this one has is told first.
            if found.iter().any(|found| found.account == Some(account)) || !self.waited(account, ahead.head) {
                continue;
            }
            let names = [Named { account, at: ahead.head, height: None }];
            let until = stands.or(ahead.until);
            let Ok(mut way) = self.descend(&ahead.by, account, &names, until, &mut Known::new()).await else {
                // They show nothing that leads to where we stand: it was a word and no more.
                self.memory.caught_up(account);
                continue;
            };
            let (lt, hash, who) = (ahead.head.lt, ahead.head.hash, &ahead.by);
            if heads.is_none() && way.words.contains(by.operator()) {
                by.remark(&format!("its lists of blocks lack transaction {lt} {hash} of {account}, which it has"));
                self.memory.caught_up(account);
            } else {
                let lacks =
                    format!("it does not have transaction {lt} {hash} of {account}, which {who} has had for a while");
                way.words.remove(by.operator());
                if way.words.len() > 1 {
                    by.distrust(lacks);
                    self.memory.caught_up(account);
                } else {
                    by.remark(&lacks);
                    way.denied.insert(by.operator().clone());
                }
            }
            found.push(placed(account, way, &names, on.at.height, last.at.height));
        }
    }
}
