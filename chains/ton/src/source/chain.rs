//! The way down one account's chain, with cells from whoever gives them: each is believed for its hash alone, so it does
//! not matter who. Who gave the newest of them has it, and with it all that it stands on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use amn_core::block::{Hash, Operator};
use amn_rpc::Endpoint;

use super::Shared;
use super::ask::{Ask, Dialect, Named, is_not_there};
use super::trouble::Trouble;
use crate::address::Account;
use crate::evidence::{Cursor, Descent, Lie, Stretch};
use crate::transaction::{Link, Transaction};

/// Lives of one account between two looks: each needs a deployment and an end.
const LIVES_MAX: usize = 64;

/// Transactions of one account that are held at once: more than a stretch takes of it, and the same again. Some are
/// 10 KB.
const CHAIN_MAX: usize = 20_000;

/// Cells asked for at a time.
const CELLS: usize = 100;

/// Transactions by their hashes, each read from its own cell.
pub(crate) type Known = BTreeMap<Hash, Transaction>;

/// What was found on the way.
#[derive(Debug, Default)]
pub(crate) struct Way {
    /// Oldest first.
    pub(crate) transactions: Vec<Transaction>,
    /// The account was gone in between.
    pub(crate) reborn: bool,
    /// Who has the newest of them.
    pub(crate) words: BTreeSet<Operator>,
    /// Who answered that it has not.
    pub(crate) denied: BTreeSet<Operator>,
}

/// Why the way leads nowhere.
#[derive(Debug)]
pub(crate) enum Astray {
    /// It is not whole: nobody gives the next cell.
    Missing(Box<Trouble>, BTreeSet<Operator>),
    /// By hashes alone it does not lead to where we stand.
    Elsewhere(Lie),
}

impl Astray {
    fn missing(trouble: Trouble) -> Self {
        Self::Missing(Box::new(trouble), BTreeSet::new())
    }
}

/// Who has been asked for cells, and how they answered.
#[derive(Debug, Default)]
struct Asked {
    gave: BTreeSet<Operator>,
    denied: BTreeSet<Operator>,
    last: Option<Trouble>,
}

impl Shared {
    /// From the newest of these names down to where we stand. `namer`: whose names they are. `known`: what was read
    /// already.
    pub(crate) async fn descend(
        &self,
        namer: &Operator,
        account: Account,
        names: &[Named],
        cursor: Option<Cursor>,
        known: &mut Known,
    ) -> Result<Way, Astray> {
        let Some(newest) = names.last().map(|named| named.at) else { return Ok(Way::default()) };
        let mut way = Way { words: BTreeSet::from([namer.clone()]), ..Way::default() };
        let (mut top, mut until) = (newest, cursor);
        for _ in 0..LIVES_MAX {
            let mut asked = Asked::default();
            let went = self.one_life(namer, account, top, until, known, &mut asked).await;
            if top == newest {
                way.words.append(&mut asked.gave);
                way.denied.append(&mut asked.denied);
            }
            let lower = |below: u64| {
                let above = cursor.map_or(0, |cursor| cursor.at.lt);
                names.iter().rev().find(|named| named.at.lt < below && named.at.lt > above).map(|named| named.at)
            };
            match went {
                Ok(stretch) => {
                    let first = stretch.transactions.first().map_or(0, |first| first.at.lt);
                    let ends = stretch.reborn || stretch.transactions.first().is_some_and(|first| first.on.is_none());
                    way.reborn |= stretch.reborn || (ends && cursor.is_some());
                    way.transactions.splice(0..0, stretch.transactions);
                    match lower(first).filter(|_| ends) {
                        Some(below) => (top, until) = (below, cursor),
                        None => {
                            way.words = self.words(namer, account, newest, way.words, &mut way.denied).await;
                            return Ok(way);
                        }
                    }
                }
                // Another life of the account lies between.
                Err(Astray::Elsewhere(Lie::Forgets { lt, .. })) if lower(lt).is_some() => until = None,
                Err(Astray::Elsewhere(Lie::Forgets { account, lt, known: at })) => {
                    // Where a cursor was begun by name alone, whether the account was gone after it was not known.
                    let forgets = Lie::Forgets { account, lt, known: at };
                    let Some(at) = cursor.map(|cursor| cursor.at) else { return Err(Astray::Elsewhere(forgets)) };
                    match self.one(namer, account, at, known).await.map(|last| Cursor::after(&last)) {
                        Ok(after) if after.gone => until = Some(after),
                        Ok(_) => return Err(Astray::Elsewhere(forgets)),
                        Err(trouble) => return Err(Astray::missing(trouble)),
                    }
                }
                Err(astray) => return Err(astray),
            }
        }
        Err(Astray::missing(Trouble::Failed(format!("{account} had more than {LIVES_MAX} lives"))))
    }

    async fn one_life(
        &self,
        namer: &Operator,
        account: Account,
        top: Link,
        until: Option<Cursor>,
        known: &mut Known,
        asked: &mut Asked,
    ) -> Result<Stretch, Astray> {
        let begun = Descent::begin(account, top, until).map_err(Astray::Elsewhere)?;
        let Some(mut descent) = begun else {
            return Err(Astray::missing(Trouble::NotYet(format!("{account} is older there"))));
        };
        read_known(&mut descent, known)?;
        for endpoint in self.cells(namer) {
            while let Some(wanted) = descent.wanted() {
                if known.len() > CHAIN_MAX {
                    let what = format!("more than {CHAIN_MAX} transactions of {account} at once");
                    return Err(Astray::missing(Trouble::TooMuch(what)));
                }
                match self.next_cells(&endpoint, account, wanted, until, &mut descent, known).await {
                    Ok(()) => {
                        if wanted == top {
                            asked.gave.insert(endpoint.operator().clone());
                        }
                        read_known(&mut descent, known)?;
                    }
                    Err(Failed::Astray(lie)) => return Err(Astray::Elsewhere(lie)),
                    Err(Failed::Here(trouble)) => {
                        if wanted == top && self.denies(&endpoint, account, wanted, &trouble).await {
                            asked.denied.insert(endpoint.operator().clone());
                        }
                        note(&endpoint, &trouble);
                        // That it is gone everywhere is said only where everybody said so.
                        if asked.last.is_none() || matches!(asked.last, Some(Trouble::Pruned(_))) {
                            asked.last = Some(trouble);
                        }
                        break;
                    }
                }
            }
            if descent.wanted().is_none() {
                break;
            }
        }
        // One of an operator's endpoints may lack what another has.
        asked.denied.retain(|operator| !asked.gave.contains(operator));
        let missing = || Trouble::Failed("no endpoint gives cells".to_owned());
        match descent.finish() {
            Some(stretch) => Ok(stretch),
            None => {
                let trouble = asked.last.take().unwrap_or_else(missing);
                Err(Astray::Missing(Box::new(trouble), std::mem::take(&mut asked.denied)))
            }
        }
    }

    async fn next_cells(
        &self,
        endpoint: &Arc<Endpoint>,
        account: Account,
        wanted: Link,
        until: Option<Cursor>,
        descent: &mut Descent,
        known: &mut Known,
    ) -> Result<(), Failed> {
        let ask = Ask { endpoint };
        let until = until.map(|cursor| cursor.at.lt);
        let cells = ask.raw_down(&account, wanted, until, CELLS).await.map_err(Failed::Here)?;
        if cells.is_empty() {
            return Err(Failed::Here(Trouble::Lacks(format!("no transaction of {account} at {}", wanted.lt))));
        }
        for cell in cells {
            let Some(next) = descent.wanted() else { break };
            let read = match Transaction::decode(account.workchain, &cell) {
                Ok(read) => read,
                Err(error) if next == wanted => return Err(Failed::Here(error.into())),
                // What follows is asked for by its own name.
                Err(_) => break,
            };
            match descent.take_read(read.clone()) {
                Ok(()) => drop(known.insert(read.at.hash, read)),
                Err(
                    lie
                    @ (Lie::Contradicts { .. } | Lie::PassesBy { .. } | Lie::Forgets { .. } | Lie::Backwards { .. }),
                ) => {
                    return Err(Failed::Astray(lie));
                }
                Err(_) if next != wanted => break,
                Err(Lie::Hash { lt, said, computed, .. }) => {
                    // By its own word another transaction, or this one's cell altered: it is asked which.
                    let given = Trouble::Contradicts { account, lt, asked: said, given: computed };
                    let altered =
                        format!("its cell of the transaction of {account} at {lt} hashes to {computed}, not to {said}");
                    return Err(Failed::Here(match ask.has(&account, wanted).await {
                        Ok(true) => Trouble::Lie(altered),
                        Ok(false) | Err(Trouble::Contradicts { .. }) => given,
                        Err(trouble) => trouble,
                    }));
                }
                Err(lie) => return Err(Failed::Here(lie.into())),
            }
        }
        Ok(())
    }

    /// One transaction by its name, from whoever gives its cell.
    pub(crate) async fn one(
        &self,
        namer: &Operator,
        account: Account,
        at: Link,
        known: &mut Known,
    ) -> Result<Transaction, Trouble> {
        if let Some(there) = known.get(&at.hash) {
            return Ok(there.clone());
        }
        let mut last = None;
        for endpoint in self.cells(namer) {
            let read = Ask { endpoint: &endpoint }.raw_one(&account, at).await;
            let read = read.and_then(|cell| Ok(Transaction::decode(account.workchain, &cell)?));
            match read {
                Ok(read) if (read.account, read.at) == (account, at) => {
                    known.insert(at.hash, read.clone());
                    return Ok(read);
                }
                Ok(read) => {
                    let (lt, asked, given) = (at.lt, at.hash, read.at.hash);
                    last = Some(Trouble::Contradicts { account, lt, asked, given });
                }
                Err(trouble) => {
                    note(&endpoint, &trouble);
                    // That it is gone everywhere is said only where everybody said so.
                    if last.is_none() || matches!(last, Some(Trouble::Pruned(_))) {
                        last = Some(trouble);
                    }
                }
            }
        }
        Err(last.unwrap_or_else(|| Trouble::Failed("no endpoint gives cells".to_owned())))
    }

    /// Endpoints that give cells: those of other operators first, whose cells are their word as well.
    pub(crate) fn cells(&self, namer: &Operator) -> Vec<Arc<Endpoint>> {
        let mut endpoints = self.endpoints();
        endpoints.retain(|endpoint| Dialect::of(endpoint).is_some_and(Dialect::gives_cells));
        endpoints.sort_by_key(|endpoint| endpoint.operator() == namer);
        endpoints
    }

    /// Whether it answered, and has not got it. A node says the same of what it has thrown away and of what it never
    /// had: where the account stands there tells them apart.
    async fn denies(&self, endpoint: &Arc<Endpoint>, account: Account, at: Link, trouble: &Trouble) -> bool {
        match trouble {
            Trouble::NotYet(_) | Trouble::Lacks(_) | Trouble::Contradicts { .. } => true,
            Trouble::Pruned(why) if is_not_there(why) => true,
            Trouble::Pruned(_) => {
                let heads = Ask { endpoint }.heads(&[account]).await;
                heads.is_ok_and(|heads| heads.first().is_some_and(|head| head.is_none_or(|head| head.lt < at.lt)))
            }
            _ => false,
        }
    }

    /// Asks operators that have not said so yet whether they have a transaction, until as many as anything asks for do.
    pub(crate) async fn words(
        &self,
        namer: &Operator,
        account: Account,
        at: Link,
        mut words: BTreeSet<Operator>,
        denied: &mut BTreeSet<Operator>,
    ) -> BTreeSet<Operator> {
        for endpoint in self.others(namer) {
            let operator = endpoint.operator();
            if words.len() >= self.voices_asked() {
                break;
            }
            if words.contains(operator) || denied.contains(operator) {
                continue;
            }
            match (Ask { endpoint: &endpoint }).has(&account, at).await {
                Ok(true) => drop(words.insert(operator.clone())),
                Ok(false) => drop(denied.insert(operator.clone())),
                Err(trouble) => {
                    if self.denies(&endpoint, account, at, &trouble).await {
                        denied.insert(operator.clone());
                    }
                    note(&endpoint, &trouble);
                }
            }
        }
        words
    }
}

enum Failed {
    /// This endpoint does not give it, or gives something else.
    Here(Trouble),
    /// What it gave is right by its hash, and leads elsewhere.
    Astray(Lie),
}

fn read_known(descent: &mut Descent, known: &Known) -> Result<(), Astray> {
    while let Some(read) = descent.wanted().and_then(|wanted| known.get(&wanted.hash)) {
        descent.take_read(read.clone()).map_err(Astray::Elsewhere)?;
    }
    Ok(())
}

/// What is wrong with an answer is the endpoint's, whoever else has a better one.
fn note(endpoint: &Arc<Endpoint>, trouble: &Trouble) {
    match trouble {
        Trouble::Lie(why) => endpoint.distrust(why.clone()),
        Trouble::Lacks(why) | Trouble::Undecodable(why) | Trouble::Failed(why) => endpoint.remark(why),
        Trouble::Contradicts { account, lt, asked, given } => {
            endpoint
                .remark(&format!("it has {given} as the transaction of {account} at {lt}, where another has {asked}"));
        }
        _ => {}
    }
}
