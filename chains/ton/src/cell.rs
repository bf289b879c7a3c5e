//! Bags of cells from strangers: size, count and depth are looked at before anything is built of them.

use amn_core::block::Hash;
use tycho_types::boc::Boc;
use tycho_types::cell::{Cell, CellBuilder, CellSlice};

/// The largest bag that is read. The fullest block seen has 0.5 MB; a transaction, its messages within the network's
/// limit of 8,192 cells each, stays far below.
pub const BYTES_MAX: usize = 4 << 20;

/// Cells of one bag: as many as the network lets one account's state have.
pub const CELLS_MAX: usize = 1 << 16;

/// How deep cells may nest: the network's own limit.
pub const DEPTH_MAX: u16 = 1_024;

/// What a cell takes in memory at most, its data and what is kept while a bag is read: [`CELLS_MAX`] of them are 21 MB.
pub const MEMORY_PER_CELL: usize = 320;

/// How every node writes a bag today. Two older forms exist that none writes.
const MAGIC: [u8; 4] = [0xb5, 0xee, 0x9c, 0x72];

/// Cells that a text may run through: 8 KB of it, and no comment of a payment is longer.
const SNAKE_MAX: usize = 64;

/// Why bytes are no cells that we read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CellError {
    #[error("{0} bytes are more than the {BYTES_MAX} that are read")]
    TooLarge(usize),
    #[error("{0} cells are more than the {CELLS_MAX} that are read")]
    TooMany(usize),
    #[error("its cells nest deeper than {DEPTH_MAX}")]
    TooDeep,
    #[error("not a bag of cells: {0}")]
    NotABag(&'static str),
    /// A cell with holes in it, where others were cut out: its hash is not the hash of what is there.
    #[error("a cell of level {0}: parts of it are cut out")]
    CutOut(u8),
    #[error("undecodable: {0}")]
    Undecodable(String),
}

impl From<tycho_types::error::Error> for CellError {
    fn from(error: tycho_types::error::Error) -> Self {
        Self::Undecodable(error.to_string())
    }
}

/// Reads a bag with one root, whole: nothing cut out of it.
pub fn decode(bytes: &[u8]) -> Result<Cell, CellError> {
    if bytes.len() > BYTES_MAX {
        return Err(CellError::TooLarge(bytes.len()));
    }
    survey(bytes)?;
    let cell = Boc::decode(bytes).map_err(|error| CellError::Undecodable(error.to_string()))?;
    // Its own hash is then the hash of everything in it.
    match cell.level() {
        0 => Ok(cell),
        level => Err(CellError::CutOut(level)),
    }
}

/// The hash that stands for a whole cell.
#[must_use]
pub fn hash(cell: &Cell) -> Hash {
    Hash(cell.repr_hash().0)
}

/// The hash of what is left of a cell, as a cell of its own.
#[must_use]
pub fn hash_of_rest(rest: &CellSlice<'_>) -> Option<Hash> {
    let mut builder = CellBuilder::new();
    builder.store_slice(*rest).ok()?;
    builder.build().ok().map(|cell| hash(&cell))
}

/// Takes big-endian numbers off the front.
struct Front<'a>(&'a [u8]);

impl<'a> Front<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], CellError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(CellError::NotABag("it ends early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self, bytes: usize) -> Result<usize, CellError> {
        let taken = self.take(bytes)?;
        let number = taken.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        usize::try_from(number).map_err(|_| CellError::NotABag("a number beyond this machine"))
    }
}

/// Counts the cells and finds how deep they nest, before any memory is spent on them but two bytes for each.
fn survey(bytes: &[u8]) -> Result<(), CellError> {
    let mut front = Front(bytes);
    if front.take(4)? != MAGIC {
        return Err(CellError::NotABag("it begins otherwise"));
    }
    let [flags, offset_bytes] = *front.take(2)? else { return Err(CellError::NotABag("it ends early")) };
    let (has_index, number_bytes) = (flags & 0x80 != 0, usize::from(flags & 7));
    if !(1..=4).contains(&number_bytes) || !(1..=8).contains(&offset_bytes) {
        return Err(CellError::NotABag("its numbers have an impossible size"));
    }
    let count = front.number(number_bytes)?;
    if count > CELLS_MAX {
        return Err(CellError::TooMany(count));
    }
    let (roots, _absent) = (front.number(number_bytes)?, front.number(number_bytes)?);
    if roots != 1 {
        return Err(CellError::NotABag("it has not one root"));
    }
    front.take(usize::from(offset_bytes))?;
    front.take(number_bytes)?;
    if has_index {
        front.take(count.saturating_mul(usize::from(offset_bytes)))?;
    }
    // Below how many others each cell lies: a cell is written before those it refers to.
    if count > front.0.len() / 2 {
        return Err(CellError::NotABag("it claims more cells than it holds"));
    }
    let mut below = vec![0_u16; count];
    for index in 0..count {
        let depth = below.get(index).copied().unwrap_or(DEPTH_MAX).saturating_add(1);
        let [first, second] = *front.take(2)? else { return Err(CellError::NotABag("it ends early")) };
        let references = usize::from(first & 7);
        if references > 4 {
            return Err(CellError::NotABag("a cell with more than four references"));
        }
        if first & 0x10 != 0 {
            // Hashes and depths written beside the cell; whoever builds it computes its own. Of levels with a gap between
            // them readers tell the number differently, and two readings of one bag are one too many.
            let hashes = match first >> 5 {
                0 => 1,
                0b001 => 2,
                0b011 => 3,
                0b111 => 4,
                _ => return Err(CellError::NotABag("hashes beside a cell whose levels have a gap")),
            };
            front.take(hashes * (32 + 2))?;
        }
        front.take(usize::from(second.div_ceil(2)))?;
        for _ in 0..references {
            let to = front.number(number_bytes)?;
            let child = below.get_mut(to).filter(|_| to > index);
            let child = child.ok_or(CellError::NotABag("a cell refers to one before it"))?;
            *child = depth.max(*child);
            if depth > DEPTH_MAX {
                return Err(CellError::TooDeep);
            }
        }
    }
    Ok(())
}

/// Why bytes that run through cells are no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Odd;

/// The bytes that begin in this cell and run on in its first reference, and so on.
pub fn snake(mut rest: CellSlice<'_>) -> Result<Vec<u8>, Odd> {
    let mut bytes = Vec::new();
    for _ in 0..SNAKE_MAX {
        let bits = rest.size_bits();
        if !bits.is_multiple_of(8) || rest.size_refs() > 1 {
            return Err(Odd);
        }
        let mut buffer = [0; 128];
        bytes.extend_from_slice(rest.load_raw(&mut buffer, bits).map_err(|_| Odd)?);
        if rest.is_refs_empty() {
            return Ok(bytes);
        }
        rest = rest.load_reference_as_slice().map_err(|_| Odd)?;
    }
    Err(Odd)
}
