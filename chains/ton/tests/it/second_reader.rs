//! Another reader of blocks, by other means: bits and hashes from the bytes on, and nothing of what it tests. It knows
//! one jetton, and its wallets by the states that messages bring along.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

/// A payment in this reader's words.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Credit {
    pub tx: String,
    pub to: String,
    pub usdt: bool,
    pub amount: u128,
    pub from: String,
    /// The comment, as its bytes; the number of a jetton transfer where there is none.
    pub said: Says,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Says {
    Nothing,
    Comment(Vec<u8>),
    Query(u64),
    Other,
}

/// What a block holds.
#[derive(Default, Debug)]
pub struct Found {
    pub credits: Vec<Credit>,
    /// Of every transaction: its account, its logical time, its hash, and those of the one before it.
    pub links: Vec<(String, u64, String, u64, String)>,
    /// Everybody who received something, and every owner of a wallet that did.
    pub accounts: BTreeSet<String>,
    pub aborted_and_paid: usize,
    /// Notifications that were aborted, of USDT and others.
    pub aborted_notices: usize,
    /// Transfers of any jetton that their wallet accepted.
    pub any_jetton: usize,
}

struct Raw {
    descriptor: [u8; 2],
    data: Vec<u8>,
    refs: Vec<usize>,
}

/// All cells of a bag, and which of them is the root.
struct Bag {
    cells: Vec<Raw>,
    root: usize,
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl Bag {
    fn read(bytes: &[u8]) -> Self {
        assert_eq!(bytes[..4], [0xb5, 0xee, 0x9c, 0x72]);
        let (size, offset) = (usize::from(bytes[4] & 7), usize::from(bytes[5]));
        let take = |at: usize| usize::try_from(number(&bytes[at..at + size])).unwrap();
        let (count, root) = (take(6), take(6 + 3 * size + offset));
        let mut at = 6 + 4 * size + offset + if bytes[4] & 0x80 == 0 { 0 } else { count * offset };
        let mut cells = Vec::new();
        for _ in 0..count {
            let descriptor = [bytes[at], bytes[at + 1]];
            at += 2;
            if descriptor[0] & 16 != 0 {
                at += 34 * ((descriptor[0] >> 5).count_ones() as usize + 1);
            }
            let length = usize::from(descriptor[1].div_ceil(2));
            let data = bytes[at..at + length].to_vec();
            at += length;
            let refs = (0..usize::from(descriptor[0] & 7)).map(|index| take(at + index * size)).collect::<Vec<_>>();
            at += refs.len() * size;
            cells.push(Raw { descriptor, data, refs });
        }
        Self { cells, root }
    }

    /// The hash of a cell with everything below it, and how deep it goes. Only where nothing is cut out.
    fn hash(&self, index: usize) -> ([u8; 32], u16) {
        let cell = &self.cells[index];
        let below: Vec<_> = cell.refs.iter().map(|child| self.hash(*child)).collect();
        let descriptor = [cell.descriptor[0] & !16, cell.descriptor[1]];
        let mut hasher = Sha256::new_with_prefix(descriptor);
        hasher.update(&cell.data);
        for (_, depth) in &below {
            hasher.update(depth.to_be_bytes());
        }
        for (hash, _) in &below {
            hasher.update(hash);
        }
        let depth = below.iter().map(|(_, depth)| depth + 1).max().unwrap_or(0);
        (hasher.finalize().into(), depth)
    }

    fn at(&self, cell: usize) -> Bits<'_> {
        let raw = &self.cells[cell];
        let mut length = raw.data.len() * 8;
        if raw.descriptor[1] % 2 == 1 {
            let last = raw.data.last().unwrap();
            length -= last.trailing_zeros() as usize + 1;
        }
        Bits { bag: self, cell, bit: 0, length, reference: 0 }
    }
}

/// A place inside a cell.
#[derive(Clone, Copy)]
struct Bits<'a> {
    bag: &'a Bag,
    cell: usize,
    bit: usize,
    length: usize,
    reference: usize,
}

impl<'a> Bits<'a> {
    fn bit(&mut self) -> bool {
        assert!(self.bit < self.length, "the cell ends");
        let byte = self.bag.cells[self.cell].data[self.bit / 8];
        let bit = byte >> (7 - self.bit % 8) & 1;
        self.bit += 1;
        bit == 1
    }

    fn uint(&mut self, bits: usize) -> u128 {
        (0..bits).fold(0, |number, _| number << 1 | u128::from(self.bit()))
    }

    fn skip(&mut self, bits: usize) {
        self.bit += bits;
    }

    fn u64(&mut self) -> u64 {
        u64::try_from(self.uint(64)).unwrap()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| u8::try_from(self.uint(8)).unwrap()).collect()
    }

    fn child(&mut self) -> usize {
        let child = self.bag.cells[self.cell].refs[self.reference];
        self.reference += 1;
        child
    }

    fn down(&mut self) -> Bits<'a> {
        let child = self.child();
        self.bag.at(child)
    }

    const fn left(&self) -> usize {
        self.length - self.bit
    }

    fn refs_left(&self) -> usize {
        self.bag.cells[self.cell].refs.len() - self.reference
    }

    fn coins(&mut self) -> u128 {
        let bytes = usize::try_from(self.uint(4)).unwrap();
        self.uint(bytes * 8)
    }

    fn money(&mut self) -> u128 {
        let coins = self.coins();
        if self.bit() {
            self.child();
        }
        coins
    }

    /// An address as workchain and digits; empty where it is nobody.
    fn address(&mut self) -> String {
        match self.uint(2) {
            0 => String::new(),
            2 => {
                assert!(!self.bit());
                let workchain = u8::try_from(self.uint(8)).unwrap().cast_signed();
                format!("{workchain}:{}", hex(&self.bytes(32)))
            }
            other => panic!("an address of kind {other}"),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Walks a dictionary with sums: after each fork and before each value lies a sum, which is money.
fn walk<'a>(mut at: Bits<'a>, bits: usize, leaf: &mut dyn FnMut(Bits<'a>)) {
    let size = usize::try_from(usize::BITS - bits.leading_zeros()).unwrap();
    let label = if at.bit() {
        let same = at.bit();
        if same {
            at.bit();
        }
        let length = usize::try_from(at.uint(size)).unwrap();
        if !same {
            at.skip(length);
        }
        length
    } else {
        let mut length = 0;
        while at.bit() {
            length += 1;
        }
        at.skip(length);
        length
    };
    let rest = bits - label;
    if rest == 0 {
        at.money();
        return leaf(at);
    }
    let (left, right) = (at.down(), at.down());
    walk(left, rest - 1, leaf);
    walk(right, rest - 1, leaf);
}

/// Reads a block of the basechain.
pub fn read(bytes: &[u8]) -> Found {
    let bag = Bag::read(bytes);
    let mut block = bag.at(bag.root);
    assert_eq!(block.uint(32), 0x11ef_55aa);
    let extra = bag.cells[bag.root].refs[3];
    let mut accounts = bag.at(bag.cells[extra].refs[2]);
    let mut found = Found::default();
    if accounts.bit() {
        walk(accounts.down(), 256, &mut |mut account| {
            assert_eq!(account.uint(4), 5);
            account.bytes(32);
            walk(account, 64, &mut |mut place| transaction(&bag, place.child(), &mut found));
        });
    }
    found.credits.sort();
    found
}

fn transaction(bag: &Bag, cell: usize, found: &mut Found) {
    let mut at = bag.at(cell);
    assert_eq!(at.uint(4), 7);
    let account = format!("0:{}", hex(&at.bytes(32)));
    let lt = at.u64();
    let (before, before_lt) = (hex(&at.bytes(32)), at.u64());
    let tx = hex(&bag.hash(cell).0);
    found.links.push((account.clone(), lt, tx.clone(), before_lt, before));
    at.uint(32);
    let sent = at.uint(15);
    at.uint(4);
    let mut messages = at.down();
    let message = messages.bit().then(|| messages.down());
    at.money();
    at.child();
    let course = course(at.down());
    let Some(mut message) = message else { return };
    if message.bit() {
        return;
    }
    message.uint(2);
    let bounced = message.bit();
    let (from, to) = (message.address(), message.address());
    assert_eq!(to, account);
    found.accounts.insert(account.clone());
    let value = message.money();
    message.coins();
    message.coins();
    message.uint(96);
    let init = if message.bit() {
        assert!(message.bit(), "a state beside the message");
        Some(message.child())
    } else {
        None
    };
    let body = if message.bit() { message.down() } else { message };
    let Some((credited, computed, acted, aborted, sent_back)) = course else { return };
    let operation = (body.left() >= 32).then(|| body.clone().uint(32));
    if operation == Some(0x7362_d09c) && aborted {
        found.aborted_notices += 1;
    }
    if operation == Some(0x178d_4519) && !bounced && computed && acted && !aborted {
        found.any_jetton += 1;
        if let Some(owner) = init.and_then(|init| owner_of(bag, init, &account)) {
            found.accounts.insert(owner.clone());
            let credit = jetton(body, tx, owner);
            if credit.from != credit.to {
                found.credits.push(credit);
            }
            return;
        }
    }
    let told = [Some(0x7362_d09c), Some(0xd532_76db)].contains(&operation);
    if bounced || told || !credited || sent_back || sent > 0 || from == account || value == 0 {
        return;
    }
    found.aborted_and_paid += usize::from(aborted);
    let said = payload(body);
    found.credits.push(Credit { tx, to: account, usdt: false, amount: value, from, said });
}

/// Credited, computed, acted, aborted, sent back; nothing where it is no ordinary transaction.
fn course(mut at: Bits<'_>) -> Option<(bool, bool, bool, bool, bool)> {
    if at.uint(4) != 0 {
        return None;
    }
    at.bit();
    if at.bit() {
        at.coins();
        if at.bit() {
            at.coins();
        }
        if at.bit() {
            at.bit();
        }
    }
    let credited = at.bit();
    if credited {
        if at.bit() {
            at.coins();
        }
        at.money();
    }
    let computed = if at.bit() {
        let success = at.bit();
        at.uint(2);
        at.coins();
        at.child();
        success
    } else {
        if at.uint(2) == 3 {
            at.bit();
        }
        false
    };
    let acted = at.bit() && at.down().bit();
    let aborted = at.bit();
    let sent_back = at.bit() && at.bit();
    Some((credited, computed, acted, aborted, sent_back))
}

/// The code of USDT's wallets, as it stands in their states: a name in the library.
const LIBRARY: &str = "028f452d7a4dfd74066b682365177259ed05734435be76b5fd4bd5d8af2b7c3d68";
const MASTER: &str = "0:b113a994b5024a16719f69139328eb759596c38a25f59028b146fecdc3621dfe";

/// Whose USDT wallet an account is: its address is the hash of the state.
fn owner_of(bag: &Bag, state: usize, wallet: &str) -> Option<String> {
    if format!("0:{}", hex(&bag.hash(state).0)) != wallet {
        return None;
    }
    let [code, data] = bag.cells[state].refs[..] else { return None };
    if hex(&bag.cells[code].data) != LIBRARY {
        return None;
    }
    let mut data = bag.at(data);
    data.uint(4);
    data.coins();
    let (owner, master) = (data.address(), data.address());
    (master == MASTER).then_some(owner)
}

fn jetton(mut body: Bits<'_>, tx: String, to: String) -> Credit {
    body.uint(32);
    let query = body.u64();
    let (amount, from) = (body.coins(), body.address());
    body.address();
    body.coins();
    let said = if body.left() == 0 && body.refs_left() == 0 {
        Says::Nothing
    } else if body.bit() {
        payload(body.down())
    } else {
        payload(body)
    };
    let said = if said == Says::Nothing && query > 0 { Says::Query(query) } else { said };
    Credit { tx, to, usdt: true, amount, from, said }
}

fn payload(mut body: Bits<'_>) -> Says {
    if body.left() == 0 && body.refs_left() == 0 {
        return Says::Nothing;
    }
    if body.left() < 32 || body.uint(32) != 0 {
        return Says::Other;
    }
    let mut bytes = Vec::new();
    loop {
        let count = body.left() / 8;
        bytes.extend(body.bytes(count));
        if body.refs_left() == 0 {
            break;
        }
        body = body.down();
    }
    let said = String::from_utf8(bytes).unwrap();
    if said.trim().is_empty() { Says::Nothing } else { Says::Comment(said.trim().as_bytes().to_vec()) }
}
