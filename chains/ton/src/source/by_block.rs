//! Block by block: everything that each masterchain block commits, counted against what it says it holds, and in it what
//! is ours. What it costs is the network's pace, however little happens to us.

use std::collections::BTreeMap;
use std::sync::Arc;

use amn_core::block::{Block, BlockRef, Height, Operator};
use amn_core::source::{Position, Segment, SourceError, Watch};
use amn_rpc::Endpoint;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::accounts::{Cursors, FOLLOWED_MAX, Followed};
use super::ask::{Ask, Content, Dialect, Named, Row, Tips};
use super::by_account::Moved;
use super::chain::Known;
use super::segment::{Found, Reading};
use super::trouble::Trouble;
use super::verdict::Verdict;
use super::{Mode, NO_INDEX, Shared, memory};
use crate::address::Account;
use crate::decode;
use crate::transaction::Transaction;

/// Masterchain blocks in one stretch: thirteen seconds of the network.
const STRETCH: u64 = 32;

/// Blocks, or accounts in them, that are asked about at the same time.
const AT_ONCE: usize = 4;

/// An index that wants to be left alone for no longer is waited for: as long as reading blocks instead would take to be
/// worth its requests.
const RESTS_SECONDS: u64 = 30;

/// What a block holds of ours.
#[derive(Debug, Default)]
struct Ours {
    names: BTreeMap<Account, Vec<Named>>,
    known: Known,
}

impl Shared {
    /// The chain that stands on a position, by accounts where they are few and somebody says where they stand.
    pub(crate) async fn read_on(&self, on: &Position, up_to: Height, watch: &Watch) -> Result<Segment, SourceError> {
        let followed = self.followed(watch);
        self.check_once(&followed).await?;
        let cursors = Cursors::read(&on.checkpoint);
        self.memory.stand(on.tip.height);
        let (at, mut verdict) = (on.tip, Verdict::default());
        let endpoints = self.endpoints_at(up_to.min(at.height.next()));
        let mut mode = self.mode_for(&followed);
        if mode == Mode::ByAccount {
            let indexes = endpoints.iter().filter(|endpoint| Dialect::of(endpoint) == Some(Dialect::ToncenterV3));
            for endpoint in indexes {
                let read = self.by_account(endpoint, at, up_to, watch, &followed, cursors.clone());
                match Box::pin(read).await {
                    Ok(segment) => return Ok(self.done(segment, &verdict, &mode)),
                    Err(trouble) => verdict.add(endpoint, trouble),
                }
            }
            if verdict.is_mere_waiting() {
                return Err(self.error(verdict));
            }
            // Whole blocks cost many times as much, and of the same allowance.
            if let Some(name) = self.is_resting() {
                return Err(SourceError::Unavailable(format!("{name} asked to be left alone for a moment")));
            }
            mode = Mode::ByBlock("no toncenter-v3 endpoint answers".to_owned());
        }
        for endpoint in &endpoints {
            let read = self.by_block(endpoint, at, up_to, watch, &followed, cursors.clone());
            match Box::pin(read).await {
                Ok(segment) => return Ok(self.done(segment, &verdict, &mode)),
                Err(trouble) => verdict.add(endpoint, trouble),
            }
        }
        Err(self.error(verdict))
    }

    /// An index that is well but for having been asked too often, and will be asked again soon.
    fn is_resting(&self) -> Option<&str> {
        let indexes = self.pool.endpoints().iter().filter(|of| Dialect::of(of) == Some(Dialect::ToncenterV3));
        let mut resting = indexes.filter(|endpoint| {
            let health = endpoint.health();
            health.distrusted.is_none() && health.cooling_seconds.is_some_and(|seconds| seconds <= RESTS_SECONDS)
        });
        resting.next().map(|endpoint| endpoint.name())
    }

    fn mode_for(&self, followed: &Followed) -> Mode {
        if !self.speaks(Dialect::ToncenterV3) {
            Mode::ByBlock(NO_INDEX.to_owned())
        } else if followed.accounts.is_none() {
            Mode::ByBlock(format!("more than {FOLLOWED_MAX} accounts are followed"))
        } else {
            Mode::ByAccount
        }
    }

    /// Somebody gave what two stand behind: whoever gave another chain is named.
    fn done(&self, segment: Segment, verdict: &Verdict, mode: &Mode) -> Segment {
        let (on, whose) =
            (segment.parent, segment.operators.iter().map(Operator::as_str).collect::<Vec<_>>().join(", "));
        for endpoint in verdict.forkers.iter().filter(|_| segment.operators.len() > 1) {
            endpoint.distrust(format!("its block {} is not {}, as that of {whose} is", on.height, on.hash));
            self.memory.forget(endpoint);
        }
        if self.memory.goes_by(mode.clone()) {
            let network = &self.network.facts.id;
            match mode {
                Mode::ByAccount => tracing::info!(%network, "{network} is read account by account"),
                Mode::ByBlock(why) => tracing::info!(%network, why, "{network} is read block by block: {why}"),
            }
        }
        self.memory.stand(segment.tip.at.height);
        segment
    }

    /// The blocks on `on`, each whole as one endpoint gives it.
    async fn by_block(
        &self,
        by: &Arc<Endpoint>,
        on: BlockRef,
        up_to: Height,
        watch: &Watch,
        followed: &Followed,
        cursors: Cursors,
    ) -> Result<Segment, Trouble> {
        let ask = Ask { endpoint: by };
        let mut rows = self.stretch(&ask, on, up_to, STRETCH).await?;
        let Some(stands) = rows.first().copied() else { return Err(Trouble::Failed("no blocks".to_owned())) };
        let mut ours = Ours::default();
        let read = self.contents(&ask, &rows, watch, followed, &mut ours).await?;
        rows.truncate(read + 1);
        let to = rows.last().map_or(on.height, |row| row.at.height);
        let moved = ours.names.into_iter().filter_map(|(account, mut names)| {
            let cursor = cursors.get(&account);
            names.retain(|named| cursor.is_none_or(|cursor| named.at.lt > cursor.at.lt));
            names.sort_unstable_by_key(|named| named.at.lt);
            let known = names.iter().filter_map(|named| Some((named.at.hash, ours.known.get(&named.at.hash)?.clone())));
            let known = known.collect();
            (!names.is_empty()).then_some(Moved { account, cursor, fresh: cursor.is_none(), names, known })
        });
        let found = stream::iter(moved.collect::<Vec<_>>()).map(async |moved| self.found(by, stands, to, moved).await);
        let found: Vec<Option<Found>> = found.buffered(AT_ONCE).try_collect().await?;
        let mut found: Vec<Found> = found.into_iter().flatten().collect();
        self.overtaken(by, &rows, None, &cursors, &mut found).await;
        let segment = self.finish(Reading { by, rows, watch, followed, found, cursors }).await?;
        self.look_elsewhere(by, watch, &[], &segment).await;
        Ok(segment)
    }

    /// What is ours in the blocks above the first of these; how many could be read, at least one.
    async fn contents(
        &self,
        ask: &Ask<'_>,
        rows: &[Row],
        watch: &Watch,
        followed: &Followed,
        ours: &mut Ours,
    ) -> Result<usize, Trouble> {
        let tips = self.tips(ask, rows).await?;
        let above: Vec<(Row, Tips, Tips)> = rows
            .iter()
            .skip(1)
            .zip(tips.windows(2))
            .filter_map(|(row, pair)| Some((*row, pair.first()?.clone(), pair.get(1)?.clone())))
            .collect();
        let asked = stream::iter(above).map(async |(row, before, tips)| {
            let content = ask.content_between(&row, &before, &tips).await;
            (row, tips, content)
        });
        let mut asked = std::pin::pin!(asked.buffered(AT_ONCE));
        let mut read = 0;
        while let Some((row, tips, content)) = asked.next().await {
            match content {
                Ok(content) => ours.take(content, &row, watch, followed),
                Err(trouble) if read == 0 => return Err(trouble),
                Err(_) => break,
            }
            self.memory.keep_tips(ask.endpoint, row.at, tips);
            read += 1;
        }
        Ok(read)
    }

    /// What each of these blocks commits of each shard, as far as it says. Asked for before what they hold, so that
    /// they need not be read one after the other: each walk ends where the one below it begins.
    async fn tips(&self, ask: &Ask<'_>, rows: &[Row]) -> Result<Vec<Tips>, Trouble> {
        let asked = stream::iter(rows.to_vec()).map(async |row: Row| {
            let known = self.memory.tips(ask.endpoint, row.at);
            if known == Tips::default() { ask.tips(row.at.height).await } else { Ok(known) }
        });
        let mut asked = std::pin::pin!(asked.buffered(AT_ONCE));
        let mut tips = Vec::with_capacity(rows.len());
        while let Some(next) = asked.next().await {
            match next {
                Ok(next) => tips.push(next),
                // Without those of the first above us nothing can be read.
                Err(trouble) if tips.len() < 2 => return Err(trouble),
                Err(_) => break,
            }
        }
        Ok(tips)
    }

    /// One block, whole, from another than `not_by` while one of them can give it.
    pub(crate) async fn read_once_more(
        &self,
        height: Height,
        not_by: Option<&Operator>,
        turn: u64,
        watch: &Watch,
    ) -> Result<Block, SourceError> {
        let followed = self.followed(watch);
        if followed.is_everything() && self.owners().is_empty() {
            return Err(SourceError::NotYet(
                "nobody has been watched yet, whose wallets could be looked for".to_owned(),
            ));
        }
        let mut endpoints = self.endpoints_at(height);
        let first = usize::try_from(turn).unwrap_or_default().checked_rem(endpoints.len()).unwrap_or_default();
        endpoints.rotate_left(first);
        // Whoever it was read from comes last: better the same one again than nobody.
        endpoints.sort_by_key(|endpoint| not_by == Some(endpoint.operator()));
        let mut verdict = Verdict::default();
        for endpoint in endpoints {
            match self.whole(&endpoint, height, watch, &followed).await {
                Ok(block) => return Ok(block),
                Err(trouble) => verdict.add(&endpoint, trouble),
            }
        }
        Err(self.error(verdict))
    }

    async fn whole(
        &self,
        endpoint: &Arc<Endpoint>,
        height: Height,
        watch: &Watch,
        followed: &Followed,
    ) -> Result<Block, Trouble> {
        let ask = Ask { endpoint };
        let rows = self.rows(&ask, height.back(1), height, None).await?;
        let [below, row] = rows.as_slice() else {
            return Err(Trouble::NotYet(format!("it does not show block {height} yet")));
        };
        let (content, _) = ask.content(row, &Tips::default()).await?;
        let transactions = match content {
            Content::Whole(all) => all,
            Content::Names(names) => {
                let mine = names.into_iter().filter(|named| self.is_ours(&named.account, watch, followed));
                let fetched = stream::iter(mine.collect::<Vec<_>>())
                    .map(async |named| self.one(endpoint.operator(), named.account, named.at, &mut Known::new()).await);
                fetched.buffered(AT_ONCE).try_collect::<Vec<Transaction>>().await?
            }
        };
        let header = memory::header(below, row);
        let mut block = decode::block(&self.network.registry, &followed.wallets, watch, header, &transactions);
        block.evidence.operators.insert(endpoint.operator().clone());
        Ok(block)
    }

    /// Where whoever is paid is looked for, an index names too many to fetch: those we have ever known are ours.
    fn is_ours(&self, account: &Account, watch: &Watch, followed: &Followed) -> bool {
        if followed.is_everything() { self.owners().has(account) } else { followed.has(watch, account) }
    }
}

impl Ours {
    fn take(&mut self, content: Content, row: &Row, watch: &Watch, followed: &Followed) {
        let height = Some(row.at.height);
        match content {
            Content::Names(names) => {
                for named in names.into_iter().filter(|named| followed.has(watch, &named.account)) {
                    self.names.entry(named.account).or_default().push(Named { height, ..named });
                }
            }
            Content::Whole(all) => {
                for transaction in all.into_iter().filter(|one| followed.has(watch, &one.account)) {
                    let (account, at) = (transaction.account, transaction.at);
                    self.names.entry(account).or_default().push(Named { account, at, height });
                    self.known.insert(at.hash, transaction);
                }
            }
        }
    }
}
