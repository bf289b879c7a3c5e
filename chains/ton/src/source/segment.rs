//! From chains of accounts to blocks: which transaction goes where, how far the stretch may reach, and whose word each
//! of them has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use amn_core::block::{Block, Hash, Height, Observation, Operator};
use amn_core::source::{Coverage, Segment, SourceError, Watch};
use amn_rpc::Endpoint;

use super::Shared;
use super::accounts::{Cursors, Followed};
use super::ask::{Ask, Named, Row};
use super::chain::Way;
use super::memory;
use super::trouble::Trouble;
use crate::address::Account;
use crate::decode;
use crate::evidence::Cursor;
use crate::transaction::Transaction;

/// What happened to one account within a stretch.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) account: Option<Account>,
    /// Oldest first.
    pub(crate) transactions: Vec<Placed>,
    pub(crate) reborn: bool,
    /// Who has the newest of them, and so all.
    pub(crate) words: BTreeSet<Operator>,
    /// Who answered that it has not.
    pub(crate) denied: BTreeSet<Operator>,
    /// The stretch must end below this height: more of it may still come.
    pub(crate) hold: Option<Height>,
    /// Nobody has where we stand in its chain.
    pub(crate) astray: bool,
}

/// A transaction, and the block it goes into.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) height: Height,
    /// It lies at or below where we stood, or nobody says where.
    pub(crate) late: bool,
    pub(crate) transaction: Transaction,
}

impl Found {
    /// Nothing can be said of this account from a height on.
    pub(crate) fn held(account: Account, hold: Height) -> Self {
        Self { account: Some(account), hold: Some(hold), ..Self::default() }
    }

    /// Where we stand in its chain is where nobody else does.
    pub(crate) fn astray(account: Account) -> Self {
        Self { account: Some(account), astray: true, ..Self::default() }
    }
}

/// Everything that was read of a stretch.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    pub(crate) by: &'a Arc<Endpoint>,
    /// The block we stand on, and those above it.
    pub(crate) rows: Vec<Row>,
    pub(crate) watch: &'a Watch,
    pub(crate) followed: &'a Followed,
    pub(crate) found: Vec<Found>,
    pub(crate) cursors: Cursors,
}

/// Which block each transaction of a chain goes into: the one that is named, and never one below what we stand on. A
/// chain is in order, whatever heights are said: no transaction goes above the one that stands on it.
pub(crate) fn placed(account: Account, way: Way, names: &[Named], on: Height, to: Height) -> Found {
    let said: BTreeMap<Hash, Option<Height>> = names.iter().map(|named| (named.at.hash, named.height)).collect();
    let mut ceiling = to;
    let mut transactions: Vec<Placed> = Vec::with_capacity(way.transactions.len());
    for transaction in way.transactions.into_iter().rev() {
        let said = said.get(&transaction.at.hash).copied().flatten().filter(|height| *height > on);
        let height = said.unwrap_or(on.next()).min(ceiling);
        if said.is_some() {
            ceiling = height;
        }
        transactions.push(Placed { height, late: said.is_none(), transaction });
    }
    transactions.reverse();
    let (words, denied, reborn) = (way.words, way.denied, way.reborn);
    Found { account: Some(account), transactions, reborn, words, denied, ..Found::default() }
}

impl Shared {
    /// The segment, as far as it may reach.
    pub(crate) async fn finish(&self, mut reading: Reading<'_>) -> Result<Segment, Trouble> {
        let Some(on) = reading.rows.first().map(|row| row.at) else {
            return Err(Trouble::Failed("no blocks".to_owned()));
        };
        let alone = self.hold_the_disputed(&mut reading);
        let hold = reading.found.iter().filter_map(|found| Some((found.hold?, found.account?))).min();
        if let Some((hold, account)) = hold {
            reading.rows.retain(|row| row.at.height < hold);
            if reading.rows.len() < 2 {
                return Err(Trouble::NotYet(format!("a second operator has not shown yet what happened to {account}")));
            }
        }
        let backed = self.backed(reading.by, &reading.rows).await?;
        let to = backed.to.at.height;
        reading.rows.retain(|row| row.at.height <= to);
        let taken = self.take(&mut reading, to, &alone);
        self.uncontested(&reading, &taken).await?;
        let blocks = self.blocks(&reading, taken, &backed.operators).await;
        let [.., below, last] = reading.rows.as_slice() else {
            return Err(Trouble::NotYet(format!("nobody else has a block above {}", on.height)));
        };
        let by = reading.by.operator();
        let mut operators = backed.operators;
        operators.insert(by.clone());
        reading.cursors.retain(reading.followed);
        if !backed.alone {
            self.memory.heard();
        }
        Ok(Segment {
            parent: on,
            blocks,
            tip: memory::header(below, last),
            coverage: Coverage::Listed,
            watched: reading.watch.version,
            operators,
            read_by: Some(by.clone()),
            checkpoint: reading.cursors.write(),
        })
    }

    /// A transaction that one operator has, and another that answered has not: it is waited for. Whatever still stands
    /// alone then is told on that one's word, and its account's cursor stays below it. Says which accounts these are.
    fn hold_the_disputed(&self, reading: &mut Reading<'_>) -> BTreeSet<Account> {
        let mut alone = BTreeSet::new();
        if self.one_is_enough() {
            return alone;
        }
        let cursors = &reading.cursors;
        for found in &mut reading.found {
            let (Some(account), Some(top)) = (found.account, found.transactions.last()) else { continue };
            // Who has not got there denies nothing.
            found.denied.retain(|operator| self.may_have_got_to(operator, top.height));
            if found.words.len() > 1 || found.denied.is_empty() {
                continue;
            }
            let at = top.transaction.at;
            alone.insert(account);
            let known = found.transactions.iter().all(|placed| cursors.has_told(account, placed.transaction.at.hash));
            if !known && !self.waited(account, at) {
                found.hold = found.transactions.first().map(|placed| placed.height);
            } else if !known {
                let network = &self.network.facts.id;
                let (has, not) = (&found.words, &found.denied);
                tracing::error!(%network, %account, lt = at.lt, hash = %at.hash, ?has, ?not, "operators differ about the newest transaction of {account}: it is told on one's word");
            }
        }
        alone
    }

    /// Whether an operator is not known to be below a height.
    fn may_have_got_to(&self, operator: &Operator, height: Height) -> bool {
        let heads = self.pool.endpoints().iter().filter(|endpoint| endpoint.operator() == operator);
        let mut heads = heads.filter_map(|endpoint| self.memory.known(endpoint).head).peekable();
        heads.peek().is_none() || heads.any(|head| head.at.height >= height)
    }

    /// The end of a stretch is compared with a second operator, and masterchain blocks between are not linked for us. One
    /// that something goes into must be the same at a second operator as well: what is told of it stays.
    async fn uncontested(&self, reading: &Reading<'_>, taken: &Taken) -> Result<(), Trouble> {
        if self.one_is_enough() {
            return Ok(());
        }
        for row in reading.rows.iter().filter(|row| taken.blocks.contains_key(&row.at.height)) {
            for other in self.others(reading.by.operator()) {
                match self.row(&other, row.at.height).await {
                    Ok(there) if there.at == row.at => break,
                    Ok(there) => {
                        self.contested(reading.by, &reading.rows, &other, there).await?;
                        break;
                    }
                    // Whoever lags says nothing against it.
                    Err(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Blocks that hold something of ours, each with those who have all that matters in it.
    async fn blocks(&self, reading: &Reading<'_>, taken: Taken, also: &BTreeSet<Operator>) -> Vec<Block> {
        let (registry, wallets) = (&self.network.registry, &reading.followed.wallets);
        let mut blocks = Vec::new();
        for pair in reading.rows.windows(2) {
            let [below, row] = pair else { continue };
            let Some(here) = taken.blocks.get(&row.at.height) else { continue };
            let transactions: Vec<Transaction> = here.iter().map(|placed| placed.transaction.clone()).collect();
            let header = memory::header(below, row);
            let mut block = decode::block(registry, wallets, reading.watch, header, &transactions);
            let paid: BTreeSet<Hash> = block.transfers.iter().map(|transfer| transfer.id.tx).collect();
            for placed in here {
                let (tx, account) = (placed.transaction.at.hash, placed.transaction.account);
                if placed.late && (paid.contains(&tx) || block.takebacks.iter().any(|back| back.id.tx == tx)) {
                    let detail = format!("a transaction of {account} that was not shown when its block was read");
                    block.observations.push(observation("found_late", Some(tx), account, self, detail));
                }
                if paid.contains(&tx) {
                    self.memory.place(account, placed.transaction.at);
                }
            }
            for account in
                taken.reborn.iter().filter(|account| here.iter().any(|one| one.transaction.account == **account))
            {
                let detail = "the account was gone in between, and what happened to it before proves nothing of now";
                block.observations.push(observation("reborn", None, *account, self, detail.to_owned()));
            }
            if block.transfers.is_empty() && block.takebacks.is_empty() && block.observations.is_empty() {
                continue;
            }
            let words = here.iter().filter(|placed| paid.contains(&placed.transaction.at.hash));
            let words = words.filter_map(|placed| taken.words.get(&placed.transaction.account));
            let all = words.cloned().reduce(|all, words| all.intersection(&words).cloned().collect());
            let all = all.unwrap_or_else(|| BTreeSet::from([reading.by.operator().clone()]));
            block.evidence.operators = self.who_has_block(reading.by, row, all, also, reading.rows.last()).await;
            blocks.push(block);
        }
        blocks
    }

    /// Those of these operators that have this very block at its height as well.
    async fn who_has_block(
        &self,
        by: &Arc<Endpoint>,
        row: &Row,
        words: BTreeSet<Operator>,
        also: &BTreeSet<Operator>,
        end: Option<&Row>,
    ) -> BTreeSet<Operator> {
        let mut have = BTreeSet::new();
        for operator in words {
            let agreed = operator == *by.operator() || (end == Some(row) && also.contains(&operator));
            if agreed || self.operator_has_block(&operator, row).await {
                have.insert(operator);
            }
        }
        have
    }

    /// Whether an operator has this block at its height.
    pub(crate) async fn operator_has_block(&self, operator: &Operator, row: &Row) -> bool {
        let mut voices = self.voices();
        voices.retain(|endpoint| endpoint.operator() == operator);
        for endpoint in voices {
            let Ok(mut there) = self.row(&endpoint, row.at.height).await else { continue };
            if there.at != row.at {
                // What it said before may have been another machine's mistake.
                let Ok(again) = (Ask { endpoint: &endpoint }).row(row.at.height).await else { continue };
                self.memory.says(&endpoint, &[again]);
                there = again;
            }
            self.pool.note_said(&endpoint, there.at, Some(row.at));
            if there.at != row.at {
                endpoint.remark(&format!("its block {} is {}, not {}", row.at.height, there.at.hash, row.at.hash));
            }
            return there.at == row.at;
        }
        false
    }

    /// One watched owner's wallets are compared with what the masters say, once.
    pub(crate) async fn check_once(&self, followed: &Followed) -> Result<(), SourceError> {
        if self.memory.is_checked() {
            return Ok(());
        }
        let wallets = &followed.wallets;
        let accounts = followed.accounts.iter().flat_map(|accounts| accounts.iter());
        let owner = accounts.copied().find(|account| wallets.get(account).is_none());
        if let Some(owner) = owner {
            self.check_a_wallet(owner).await?;
            self.memory.check();
        }
        Ok(())
    }
}

impl Shared {
    /// Takes what lies within the stretch, and moves the cursors. `alone`: accounts whose newest transactions stand on
    /// one operator's word against another's.
    fn take(&self, reading: &mut Reading<'_>, to: Height, alone: &BTreeSet<Account>) -> Taken {
        let mut taken = Taken::default();
        for found in std::mem::take(&mut reading.found) {
            let Some(account) = found.account else { continue };
            if found.astray && reading.cursors.go_back(account) {
                let network = &self.network.facts.id;
                tracing::error!(%network, %account, "what one operator alone told of {account} is in no chain that is shown: it is followed from where two left it");
            }
            let within: Vec<Placed> = found.transactions.into_iter().filter(|placed| placed.height <= to).collect();
            let Some(last) = within.last() else { continue };
            let (disputed, backed) = (alone.contains(&account), found.words.len() > 1 || self.one_is_enough());
            for placed in &within {
                let tx = placed.transaction.at.hash;
                if !reading.cursors.tell(account, tx, disputed || !backed) {
                    taken.blocks.entry(placed.height).or_default().push(placed.clone());
                }
            }
            if found.reborn {
                taken.reborn.insert(account);
            }
            let cursor = Cursor::after(&last.transaction);
            match (disputed, backed) {
                (true, _) => {}
                (false, true) => reading.cursors.set_backed(account, cursor),
                (false, false) => reading.cursors.set_unbacked(account, cursor),
            }
            taken.words.insert(account, found.words);
        }
        taken
    }
}

fn observation(kind: &str, tx: Option<Hash>, account: Account, source: &Shared, detail: String) -> Observation {
    Observation { kind: kind.to_owned(), tx, to: Some(account.spell(source.network.realm)), detail }
}

/// What goes into the blocks of a stretch.
#[derive(Debug, Default)]
struct Taken {
    blocks: BTreeMap<Height, Vec<Placed>>,
    words: BTreeMap<Account, BTreeSet<Operator>>,
    reborn: BTreeSet<Account>,
}
