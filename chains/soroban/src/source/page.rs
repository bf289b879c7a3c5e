//! Reads what was given off the threads that wait for nodes: decodes, proves, finds the money, ledger by ledger, so that
//! no more than one of them lies in memory opened up.

use std::sync::{Arc, LazyLock};

use amn_core::block::{Block, BlockRef, Hash, Header, Observation};
use amn_core::source::Watch;
use amn_rpc::Answer;
use tokio::sync::Semaphore;

use super::ask::{base64_of, header_entry};
use super::trouble::Trouble;
use super::wire::{WireLedger, WireLedgers};
use crate::decode;
use crate::evidence::{Attestations, Lie, verify};
use crate::lake::File;
use crate::ledger::{BYTES_MAX, Ledger, MEMORY_PER_BYTE, PROTOCOL_MAX};
use crate::networks::SorobanNetwork;

/// Memory that all networks of this process together may take for opening ledgers: what the largest one needs at
/// worst. A usual one of the public network may need 160 MiB and needs ten.
static OPENING: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(kib(BYTES_MAX) as usize)));

/// What the largest ledger in so many bytes may need, in KiB.
fn kib(bytes: usize) -> u32 {
    u32::try_from((bytes.clamp(1024, BYTES_MAX) / 1024).saturating_mul(MEMORY_PER_BYTE)).unwrap_or(u32::MAX)
}

/// Ledgers as they were given, oldest first.
#[derive(Debug)]
pub enum Stock {
    /// Pages of an RPC node that follow one another.
    Pages(Vec<Answer>),
    /// Files of a data lake, the same.
    Files(Vec<File>),
}

impl Stock {
    /// No ledger in it is larger.
    fn bytes(&self) -> usize {
        match self {
            Self::Pages(pages) => pages.iter().map(|page| page.raw().len()).max().unwrap_or_default() / 4 * 3,
            // Packed: what they hold is seen when they are unpacked.
            Self::Files(_) => BYTES_MAX,
        }
    }
}

/// What ledgers are read for.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub network: Arc<SorobanNetwork>,
    pub watch: Watch,
    /// The ledger that the first must stand on; `None`: whatever it stands on.
    pub on: Option<BlockRef>,
    pub first: u32,
    pub at_most: usize,
}

/// Ledgers that were proven, each standing on the one before. There is at least one.
#[derive(Debug)]
pub struct Shown {
    pub blocks: Vec<Block>,
    /// Each with the organisation that built it.
    pub steps: Vec<(Header, Option<Arc<str>>)>,
    /// By those of these ledgers that stand on others of them.
    pub attested: Attestations,
}

impl Shown {
    pub fn tip(&self) -> Option<Header> {
        self.blocks.last().map(|block| block.header)
    }

    /// How many of them, from the first on, that many organisations built on.
    pub fn attested_to(&self, organisations: u32) -> usize {
        let attested = |block: &Block| self.attested.of(block.header.at) >= organisations;
        self.blocks.iter().rposition(attested).map_or(0, |last| last.saturating_add(1))
    }
}

/// Reads as many as are wanted, as long as they follow one another. What follows a gap, or cannot be read, is left for
/// the next question, which meets it first.
pub async fn read(wanted: Wanted, stock: Stock) -> Result<Shown, Trouble> {
    let closed = |_| Trouble::Failed("this process ends".to_owned());
    let leave = OPENING.clone().acquire_many_owned(kib(stock.bytes())).await.map_err(closed)?;
    // The leave ends with the work, which goes on where nobody waits for it any more.
    let reading = tokio::task::spawn_blocking(move || {
        let shown = wanted.read(stock);
        drop(leave);
        shown
    });
    reading.await.map_err(|error| Trouble::Failed(format!("reading it failed: {error}")))?
}

impl Wanted {
    fn read(&self, stock: Stock) -> Result<Shown, Trouble> {
        let mut shown = Shown { blocks: Vec::new(), steps: Vec::new(), attested: Attestations::default() };
        match stock {
            Stock::Files(files) => {
                for file in &files {
                    // What is missing between two files is left for the next question.
                    let read =
                        file.ledgers(self.first, |ledger| self.more(&mut shown, ledger.sequence(), || Ok(ledger)));
                    match read {
                        Err(Trouble::Undecodable(_)) if !shown.blocks.is_empty() => break,
                        read => read?,
                    }
                }
            }
            Stock::Pages(pages) => {
                for page in &pages {
                    let page: WireLedgers<'_> = page.parse_borrowed()?;
                    for wire in page.ledgers.unwrap_or_default() {
                        if !self.more(&mut shown, wire.sequence.0, || open(&wire))? {
                            break;
                        }
                    }
                }
            }
        }
        if shown.blocks.is_empty() {
            return Err(Trouble::Lacks(format!("a page without ledger {}", self.first)));
        }
        for block in &mut shown.blocks {
            block.evidence.attestations = Some(shown.attested.of(block.header.at));
        }
        Ok(shown)
    }

    /// Adds the next ledger; false where it is not the next, cannot be read, or no more are wanted.
    fn more(
        &self,
        shown: &mut Shown,
        sequence: u32,
        open: impl FnOnce() -> Result<Ledger, Trouble>,
    ) -> Result<bool, Trouble> {
        let count = shown.blocks.len();
        let next = u32::try_from(count).ok().and_then(|count| self.first.checked_add(count));
        if count >= self.at_most || next != Some(sequence) {
            return Ok(false);
        }
        let ledger = match open() {
            Err(Trouble::Undecodable(_)) if count > 0 => return Ok(false),
            ledger => ledger?,
        };
        let on = shown.tip().map(|tip| tip.at).or(self.on);
        let verified = match verify(&self.network, ledger, on) {
            Err(Lie::Unlinked { expected, .. }) if count == 0 => return Err(Trouble::Forked(expected)),
            verified => verified?,
        };
        let mut block = decode::block(&self.network.registry, &self.watch, &verified);
        if let Some(to) = verified.upgrade.filter(|to| *to > PROTOCOL_MAX) {
            let detail = format!("the next ledger speaks protocol {to}; this binary reads up to {PROTOCOL_MAX}");
            tracing::error!(network = %self.network.facts.id, ledger = sequence, "behind the protocol: {detail}");
            block.observations.push(Observation { kind: "protocol_upgrade".to_owned(), tx: None, to: None, detail });
        }
        shown.attested.extend(&verified);
        let organisation = verified.attester.and_then(|attester| attester.organisation);
        shown.steps.push((verified.header, organisation));
        shown.blocks.push(block);
        Ok(true)
    }
}

/// A ledger of a page, and nothing beside it that says otherwise.
fn open(wire: &WireLedger<'_>) -> Result<Ledger, Trouble> {
    let sequence = wire.sequence.0;
    let bytes = base64_of(&wire.metadata_xdr, BYTES_MAX, sequence)?;
    let ledger = Ledger::decode(&bytes)?;
    if ledger.sequence() != sequence {
        return Err(Trouble::Lie(format!("what it gives as ledger {sequence} is ledger {}", ledger.sequence())));
    }
    if header_entry(wire)?.is_some_and(|entry| entry != ledger.entry) {
        return Err(Trouble::Lie(format!("the header beside ledger {sequence} is another than the one in it")));
    }
    let hash = wire.hash.as_deref().filter(|text| !text.is_empty());
    if hash.is_some_and(|text| text.parse::<Hash>() != Ok(ledger.at().hash)) {
        return Err(Trouble::Lie(format!("the hash beside ledger {sequence} is another than the one in it")));
    }
    Ok(ledger)
}
