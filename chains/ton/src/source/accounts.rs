//! Whose transactions we look for, and where we stand in the chain of each.
//!
//! Of an owner we know his address alone; where else his money arrives, the wallets of the jettons on the allow-list,
//! is worked out here, once for each owner.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use amn_core::block::{Hash, Height};
use amn_core::source::Watch;
use amn_core::timestamp::Timestamp;

use crate::address::Account;
use crate::decode::{Registry, Wallets};
use crate::evidence::Cursor;

/// Accounts that are followed one by one: as many as one question for their heads may name. Beyond, whole blocks are
/// read.
pub(crate) const FOLLOWED_MAX: usize = 1_000;

/// Cursors that are kept where blocks are read whole: those of accounts that were paid last. Each is 74 bytes of every
/// decision.
const CURSORS_MAX: usize = 1_000;

/// Transactions told on one operator's word that are remembered: all payments of a busy day without a second operator.
const TOLD_MAX: usize = 10_000;

/// The checkpoint's entries: accounts that nobody has shown yet; cursors; those of accounts whose cursor stands on one operator's word, as it was before;
/// and what was told on such a word.
const UNSEEN: &str = "unseen";
const CURSORS: &str = "accounts";
const BACKED: &str = "backed";
const TOLD: &str = "told";

/// Every owner that was ever asked about, and the wallets that follow. It grows: reading a block once more, all of them
/// are looked for.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    wallets: Arc<Wallets>,
    of: BTreeMap<Account, Vec<Account>>,
    /// The watch that was worked through last, and how many addresses it had.
    seen: Option<(u64, usize)>,
}

/// Whose transactions a stretch is read for.
#[derive(Debug, Clone)]
pub(crate) struct Followed {
    pub(crate) wallets: Arc<Wallets>,
    /// Owners and wallets, in order, while they are few enough to be followed one by one.
    pub(crate) accounts: Option<Arc<BTreeSet<Account>>>,
    everything: bool,
}

impl Owners {
    /// The accounts of a watch.
    pub(crate) fn of(&mut self, registry: &Registry, watch: &Watch) -> Followed {
        let addresses = watch.addresses();
        if let Some(addresses) = addresses {
            let seen = (watch.version.0, addresses.len());
            if self.seen != Some(seen) || addresses.len() <= FOLLOWED_MAX {
                self.add(registry, addresses.iter().filter_map(|raw| Account::of_raw(raw)));
                self.seen = Some(seen);
            }
        }
        let accounts = addresses.filter(|addresses| addresses.len() <= FOLLOWED_MAX).and_then(|addresses| {
            let owners = addresses.iter().filter_map(|raw| Account::of_raw(raw));
            let mut accounts = BTreeSet::new();
            for owner in owners {
                accounts.insert(owner);
                accounts.extend(self.of.get(&owner).into_iter().flatten());
                if accounts.len() > FOLLOWED_MAX {
                    return None;
                }
            }
            Some(Arc::new(accounts))
        });
        Followed { wallets: self.wallets.clone(), accounts, everything: addresses.is_none() }
    }

    fn add(&mut self, registry: &Registry, owners: impl Iterator<Item = Account>) {
        for owner in owners {
            if let Entry::Vacant(new) = self.of.entry(owner) {
                // In one order: a tape is asked again as it was asked.
                let own: BTreeSet<_> = Wallets::of(registry, [owner]).accounts().copied().collect();
                new.insert(own.into_iter().collect());
                Arc::make_mut(&mut self.wallets).add(registry, owner);
            }
        }
    }

    /// Some of the accounts of a watch, by turns: the `turn`-th owner and his wallets, and those that follow.
    pub(crate) fn some(&self, watch: &Watch, turn: usize, count: usize) -> Vec<Account> {
        let Some(addresses) = watch.addresses().filter(|addresses| !addresses.is_empty()) else { return Vec::new() };
        // A look takes one owner while his wallets are asked about one by one.
        let owners = addresses.iter().cycle().skip(turn % addresses.len()).filter_map(|raw| Account::of_raw(raw));
        let mut some = Vec::new();
        for owner in owners.take(addresses.len()) {
            some.push(owner);
            some.extend(self.of.get(&owner).into_iter().flatten());
            if some.len() >= count {
                break;
            }
        }
        some
    }

    /// Whether any watch was seen yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Whether an account is one of ours, now or before.
    pub(crate) fn has(&self, account: &Account) -> bool {
        self.of.contains_key(account) || self.wallets.get(account).is_some()
    }
}

impl Followed {
    /// Whether what happens to an account concerns this watch.
    pub(crate) fn has(&self, watch: &Watch, account: &Account) -> bool {
        match &self.accounts {
            Some(accounts) => accounts.contains(account),
            None if self.everything => self.wallets.get(account).is_some() || watch.tokens(&account.raw()),
            None => {
                let owner = self.wallets.get(account).map_or(*account, |wallet| wallet.owner);
                watch.tokens(&owner.raw()) || watch.tokens(&account.raw())
            }
        }
    }

    pub(crate) const fn is_everything(&self) -> bool {
        self.everything
    }
}

/// Where we stand in the chain of each account, as a segment's checkpoint carries it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cursors {
    of: BTreeMap<Account, Cursor>,
    /// Where two operators left us, of accounts that one alone has led on.
    backed: BTreeMap<Account, Cursor>,
    /// What was told on one operator's word: not again, when its account's chain is gone through once more.
    told: BTreeSet<(Account, Hash)>,
    /// Accounts that nothing had happened to by anybody's word, and since which block we look.
    unseen: BTreeMap<Account, Since>,
}

/// A block by height and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Since {
    pub(crate) height: Height,
    pub(crate) time: Timestamp,
}

impl Cursors {
    /// Reads a checkpoint. One that was never written by us says nothing: then each account begins anew.
    pub(crate) fn read(checkpoint: &[(String, Vec<u8>)]) -> Self {
        let entry = |name: &str| checkpoint.iter().find(|(key, _)| key == name).map_or(&[][..], |(_, bytes)| bytes);
        let told = entry(TOLD).as_chunks::<65>().0.iter().filter_map(|packed| {
            let (account, hash) = packed.split_at_checked(33)?;
            Some((Account::of_raw(account)?, Hash(hash.try_into().ok()?)))
        });
        let unseen = entry(UNSEEN).as_chunks::<49>().0.iter().filter_map(|packed| {
            let (account, block) = packed.split_at_checked(33)?;
            let (height, time) = block.split_first_chunk::<8>()?;
            let height = Height(u64::from_be_bytes(*height));
            let time = Timestamp::from_seconds(i64::from_be_bytes(time.try_into().ok()?));
            Some((Account::of_raw(account)?, Since { height, time }))
        });
        Self {
            of: unpack(entry(CURSORS)),
            backed: unpack(entry(BACKED)),
            told: told.collect(),
            unseen: unseen.collect(),
        }
    }

    pub(crate) fn write(&self) -> Vec<(String, Vec<u8>)> {
        let told = self.told.iter().flat_map(|(account, hash)| account.raw().into_iter().chain(hash.0));
        let unseen = self.unseen.iter().flat_map(|(account, since)| {
            let (height, time) = (since.height.0.to_be_bytes(), since.time.seconds().to_be_bytes());
            account.raw().into_iter().chain(height).chain(time)
        });
        let entries = [
            (CURSORS, pack(&self.of)),
            (BACKED, pack(&self.backed)),
            (TOLD, told.collect()),
            (UNSEEN, unseen.collect()),
        ];
        entries.into_iter().filter(|(_, bytes)| !bytes.is_empty()).map(|(key, bytes)| (key.to_owned(), bytes)).collect()
    }

    pub(crate) fn get(&self, account: &Account) -> Option<Cursor> {
        self.of.get(account).copied()
    }

    pub(crate) fn set(&mut self, account: Account, cursor: Cursor) {
        self.unseen.remove(&account);
        self.of.insert(account, cursor);
    }

    /// Nothing has happened to the account by the word of whoever was asked: what is shown of it later may have
    /// happened since this block, and is ours.
    pub(crate) fn is_unseen(&mut self, account: Account, since: Since) {
        if !self.of.contains_key(&account) {
            self.unseen.entry(account).or_insert(since);
        }
    }

    pub(crate) fn unseen_since(&self, account: &Account) -> Option<Since> {
        self.unseen.get(account).copied()
    }

    /// Two operators have an account's chain up to here.
    pub(crate) fn set_backed(&mut self, account: Account, cursor: Cursor) {
        self.set(account, cursor);
        self.backed.remove(&account);
        self.told.retain(|(of, _)| *of != account);
    }

    /// One operator has it, and nobody else can be asked: should it be false, we go on from where two left us.
    pub(crate) fn set_unbacked(&mut self, account: Account, cursor: Cursor) {
        if let Some(before) = self.get(&account) {
            self.backed.entry(account).or_insert(before);
        }
        self.set(account, cursor);
    }

    /// Nobody has where the account's cursor stands. False where nothing else is known.
    pub(crate) fn go_back(&mut self, account: Account) -> bool {
        match self.backed.remove(&account) {
            Some(before) => {
                self.set(account, before);
                true
            }
            None => false,
        }
    }

    /// Notes what is told on one operator's word; true where it was told before.
    pub(crate) fn tell(&mut self, account: Account, tx: Hash, on_one_word: bool) -> bool {
        let before = self.has_told(account, tx);
        if on_one_word && self.told.len() < TOLD_MAX {
            self.told.insert((account, tx));
        }
        before
    }

    pub(crate) fn has_told(&self, account: Account, tx: Hash) -> bool {
        self.told.contains(&(account, tx))
    }

    /// Leaves out accounts that are no longer followed.
    pub(crate) fn retain(&mut self, followed: &Followed) {
        match &followed.accounts {
            Some(accounts) => {
                self.of.retain(|account, _| accounts.contains(account));
                self.backed.retain(|account, _| accounts.contains(account));
                self.told.retain(|(account, _)| accounts.contains(account));
                self.unseen.retain(|account, _| accounts.contains(account));
            }
            None if self.of.len() > CURSORS_MAX => {
                let mut times: Vec<u64> = self.of.values().map(|cursor| cursor.at.lt).collect();
                times.sort_unstable_by(|left, right| right.cmp(left));
                let oldest = times.get(CURSORS_MAX - 1).copied().unwrap_or_default();
                self.of.retain(|_, cursor| cursor.at.lt >= oldest);
            }
            None => {}
        }
    }
}

fn pack(cursors: &BTreeMap<Account, Cursor>) -> Vec<u8> {
    cursors.iter().flat_map(|(account, cursor)| account.raw().into_iter().chain(cursor.to_bytes())).collect()
}

fn unpack(bytes: &[u8]) -> BTreeMap<Account, Cursor> {
    let each = bytes.as_chunks::<74>().0.iter().filter_map(|packed| {
        let (account, cursor) = packed.split_at_checked(33)?;
        Some((Account::of_raw(account)?, Cursor::of_bytes(cursor)?))
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use amn_core::source::WatchVersion;

    use super::*;
    use crate::networks::TonNetwork;
    use crate::transaction::Link;

    fn registry() -> Registry {
        TonNetwork::shipped("ton-mainnet").unwrap().unwrap().registry
    }

    fn account(number: u8) -> Account {
        Account::new(0, [number; 32])
    }

    fn watch(numbers: impl IntoIterator<Item = u8>) -> Watch {
        let mut watch = Watch::with_addresses(WatchVersion(1));
        numbers.into_iter().for_each(|number| watch.insert(&account(number).raw(), true));
        watch
    }

    #[test]
    fn cursors_are_read_as_they_were_written() {
        let mut cursors = Cursors::default();
        assert_eq!(cursors.write(), [], "nothing is said where there is nothing");
        for number in 0..3 {
            let at = Link { lt: u64::from(number) + 7, hash: Hash([number; 32]) };
            cursors.set(Account::new(-1, [number; 32]), Cursor { at, gone: number == 1 });
        }
        let (account, before) = (Account::new(-1, [1; 32]), cursors.get(&Account::new(-1, [1; 32])).unwrap());
        let further = Cursor { at: Link { lt: 99, hash: Hash([8; 32]) }, gone: false };
        assert!(!cursors.tell(account, further.at.hash, true));
        let since = |height| Since { height: Height(height), time: Timestamp::from_seconds(1_795_000_000) };
        cursors.is_unseen(Account::new(0, [9; 32]), since(7));
        cursors.is_unseen(Account::new(0, [9; 32]), since(8));
        cursors.is_unseen(account, since(8));
        assert_eq!(cursors.unseen_since(&Account::new(0, [9; 32])), Some(since(7)), "the first look counts");
        assert_eq!(cursors.unseen_since(&account), None, "it was seen");
        cursors.set_unbacked(account, further);
        assert_eq!(Cursors::read(&cursors.write()), cursors);
        let mut again = Cursors::read(&cursors.write());
        assert!(again.has_told(account, further.at.hash) && again.go_back(account) && !again.go_back(account));
        assert_eq!(again.get(&account), Some(before));
        assert_eq!(Cursors::read(&[("accounts".to_owned(), vec![1; 73])]), Cursors::default());
    }

    #[test]
    fn an_owner_is_followed_with_his_wallets_and_each_watch_for_itself() {
        let (registry, mut owners) = (registry(), Owners::default());
        let first = owners.of(&registry, &watch([1]));
        assert_eq!(first.accounts.as_ref().unwrap().len(), 1 + registry.jettons.len());
        let second = owners.of(&registry, &watch([2]));
        let wallet = *Wallets::of(&registry, [account(2)]).accounts().next().unwrap();
        assert!(second.has(&watch([2]), &wallet) && !first.has(&watch([1]), &wallet));
        assert!(owners.has(&wallet) && owners.has(&account(1)));
        let everything = owners.of(&registry, &Watch::everything(true));
        assert!(everything.accounts.is_none() && everything.has(&Watch::everything(true), &account(77)));
    }

    #[test]
    fn more_accounts_than_one_question_names_are_not_followed_one_by_one() {
        let (registry, mut owners) = (registry(), Owners::default());
        let mut watch = Watch::with_addresses(WatchVersion(1));
        for number in 0..600_u16 {
            let mut id = [0; 32];
            id[..2].copy_from_slice(&number.to_be_bytes());
            watch.insert(&Account::new(0, id).raw(), true);
        }
        let followed = owners.of(&registry, &watch);
        assert!(followed.accounts.is_none());
        let mut id = [0; 32];
        id[..2].copy_from_slice(&599_u16.to_be_bytes());
        let wallet = *Wallets::of(&registry, [Account::new(0, id)]).accounts().next().unwrap();
        assert!(followed.has(&watch, &wallet) && !followed.has(&watch, &account(77)));
    }
}
