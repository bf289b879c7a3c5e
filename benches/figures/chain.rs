//! An invented chain as precomputed bytes: every page of logs, header and list of receipts is there before anybody asks.
//!
//! Its hashes are true, so that what is ours is fully proved. It is made once and kept; making it takes minutes.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use alloy_primitives::{Address, B256};
use amn_evm::testkit::{Call, History};

use crate::ground::{DUE, TOKENS, folder, receiver};

/// The chain's id, as the network's file says.
const CHAIN_ID: u64 = 7_777;
/// Logs of every block.
pub const LOGS: u64 = 200;
/// Of a block that holds ours, so many are.
pub const OURS: u64 = 10;

/// What a chain is like.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub blocks: u64,
    /// Every so-manieth block holds ours.
    pub every: u64,
}

impl Shape {
    pub fn transfers(self) -> u64 {
        self.blocks * LOGS
    }

    /// Payments to us in the whole chain.
    pub fn payments(self) -> u64 {
        self.blocks / self.every * OURS
    }

    /// Where the chain lies, made if it is not there.
    pub fn folder(self) -> PathBuf {
        let folder = folder().join(format!("chain-{}-{}", self.blocks, self.every));
        if !folder.join("index").exists() {
            make(self, &folder).expect("the chain is written");
        }
        folder
    }
}

/// One block's place in the files.
#[derive(Debug, Clone, Copy, Default)]
struct Ends {
    logs: usize,
    header: usize,
    receipts: usize,
}

fn make(shape: Shape, folder: &Path) -> std::io::Result<()> {
    println!("making a chain of {} blocks …", shape.blocks);
    fs::create_dir_all(folder)?;
    let file = |name: &str| File::create(folder.join(name)).map(BufWriter::new);
    let (mut logs, mut headers, mut receipts) = (file("logs")?, file("headers")?, file("receipts")?);
    let mut index = BufWriter::new(File::create(folder.join("index.part"))?);
    let mut ends = Ends::default();
    let mut history = History::new(CHAIN_ID);
    let mut paid = 0;
    for height in 0..=shape.blocks {
        let hit = height > 0 && height % shape.every == 0;
        if height > 0 {
            history.extend(&calls(height, hit, &mut paid));
        }
        let (_, made) = history.blocks.pop_first().expect("the block that was made");
        history.known.clear();
        for (_, _, log) in &made.logs {
            ends.logs += log.len() + 1;
            logs.write_all(log.as_bytes())?;
            logs.write_all(b",")?;
        }
        ends.header += made.named.len();
        headers.write_all(made.named.as_bytes())?;
        if hit {
            ends.receipts += made.receipts.len();
            receipts.write_all(made.receipts.as_bytes())?;
        }
        index.write_all(&made.at.hash.0)?;
        for end in [ends.logs, ends.header, ends.receipts] {
            index.write_all(&(end as u64).to_le_bytes())?;
        }
    }
    for file in [&mut logs, &mut headers, &mut receipts, &mut index] {
        file.flush()?;
    }
    fs::rename(folder.join("index.part"), folder.join("index"))
}

/// A block's calls: each pays somebody, and in a block that holds ours every twentieth pays us.
fn calls(height: u64, hit: bool, paid: &mut u64) -> Vec<Call> {
    (0..LOGS)
        .map(|at| {
            let to = if hit && at % (LOGS / OURS) == 0 {
                *paid += 1;
                receiver(*paid - 1)
            } else {
                stranger(height * LOGS + at)
            };
            let token =
                if hit && at % (LOGS / OURS) == 0 { TOKENS[0] } else { TOKENS[usize::try_from(at % 3).unwrap_or(0)] };
            Call::token(token, to, u128::from(DUE))
        })
        .collect()
}

/// An address that nobody watches.
fn stranger(number: u64) -> Address {
    let scattered = alloy_primitives::keccak256(number.to_be_bytes());
    Address::from_slice(&scattered[..20])
}

/// A chain in memory, as its node serves it.
#[derive(Debug)]
pub struct Chain {
    logs: Vec<u8>,
    headers: Vec<u8>,
    receipts: Vec<u8>,
    ends: Vec<Ends>,
    heights: HashMap<B256, u64>,
}

impl Chain {
    pub fn load(folder: &Path) -> std::io::Result<Self> {
        let index = fs::read(folder.join("index"))?;
        let (mut ends, mut heights) = (Vec::new(), HashMap::new());
        for (height, entry) in (0..).zip(index.chunks_exact(56)) {
            let number = |at: usize| {
                let bytes = entry[at..at + 8].try_into().unwrap_or_default();
                usize::try_from(u64::from_le_bytes(bytes)).unwrap_or(usize::MAX)
            };
            heights.insert(B256::from_slice(&entry[..32]), height);
            ends.push(Ends { logs: number(32), header: number(40), receipts: number(48) });
        }
        let read = |name: &str| fs::read(folder.join(name));
        Ok(Self { logs: read("logs")?, headers: read("headers")?, receipts: read("receipts")?, ends, heights })
    }

    pub fn tip(&self) -> u64 {
        self.ends.len() as u64 - 1
    }

    pub fn height_of(&self, hash: &B256) -> Option<u64> {
        self.heights.get(hash).copied()
    }

    fn ends(&self, height: u64) -> Option<(Ends, Ends)> {
        let at = usize::try_from(height).ok()?;
        let before = at.checked_sub(1).map_or(Ends::default(), |before| self.ends[before]);
        Some((before, *self.ends.get(at)?))
    }

    pub fn header(&self, height: u64) -> Option<&[u8]> {
        let (before, at) = self.ends(height)?;
        Some(&self.headers[before.header..at.header])
    }

    pub fn receipts(&self, height: u64) -> Option<&[u8]> {
        let (before, at) = self.ends(height)?;
        Some(&self.receipts[before.receipts..at.receipts])
    }

    /// The logs of a range, between the brackets.
    pub fn logs(&self, from: u64, to: u64) -> &[u8] {
        let (Some((before, _)), Some((_, at))) = (self.ends(from), self.ends(to.min(self.tip()))) else { return &[] };
        let list = self.logs.get(before.logs..at.logs).unwrap_or_default();
        list.strip_suffix(b",").unwrap_or(list)
    }
}
