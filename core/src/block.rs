//! The chain as we read it: blocks that stand on blocks, and the money that moves in them.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::contract::ContractEvent;
use crate::money::Amount;
use crate::timestamp::Timestamp;

/// Declares a name that is text inside and a type of its own outside.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as it is: whoever calls has parsed it at the door.
            #[must_use]
            pub fn new(text: impl AsRef<str>) -> Self {
                Self(Arc::from(text.as_ref()))
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

texts! {
    /// One chain instance, as its file is named: `base`, `stellar-pubnet`.
    NetworkId;
    /// An address in its family's one canonical spelling (EVM: EIP-55 checksummed).
    Address;
    /// What tells payments to one address apart (memo, comment, payment reference), in canonical spelling.
    Reference;
    /// An asset by its CAIP-19 id, such as `eip155:8453/erc20:0x8335…` or `eip155:1/slip44:60`.
    AssetId;
    /// Who runs an endpoint. Two endpoints of one provider are one operator.
    Operator;
}

impl Reference {
    /// How a family begins the spelling of a reference that says two things at once, which no intent can have.
    pub const CONTRADICTION: &str = "both:";

    /// Whether the payer said two things, so that nobody knows which was meant.
    #[must_use]
    pub fn contradicts_itself(&self) -> bool {
        self.0.starts_with(Self::CONTRADICTION)
    }
}

/// The height of a block: EVM block number, Stellar ledger sequence, TON masterchain seqno.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Height(pub u64);

impl Height {
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    #[must_use]
    pub const fn back(self, blocks: u64) -> Self {
        Self(self.0.saturating_sub(blocks))
    }

    /// Blocks from `earlier` to `self`; zero where `earlier` is not earlier.
    #[must_use]
    pub const fn above(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// 32 bytes that name a block or a transaction. Families differ only in how they print it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

/// The hash of a block.
pub type BlockHash = Hash;
/// The hash of a transaction.
pub type TxHash = Hash;

/// Why a text is not a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a hash is 64 hexadecimal digits, with or without 0x; got {0:?}")]
pub struct HashError(String);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let wrong = || HashError(text.chars().take(80).collect());
        let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
        if digits.len() != 64 {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            if !pair.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(wrong());
            }
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A block by height and hash: the only way we name one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct BlockRef {
    pub height: Height,
    pub hash: BlockHash,
}

/// What we remember of a block of our chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    pub at: BlockRef,
    pub parent: BlockHash,
    pub time: Timestamp,
}

/// How a transfer was made. Part of its name, so that two arrivals in one transaction never share one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A token's own transfer event. Index: EVM, the log's offset in its transaction.
    Token,
    /// The network's own money, moved by the transaction itself.
    Native,
    /// Native money through an allow-listed payment proxy, whose event is the credit.
    Proxy,
    /// Money that no commitment of the chain covers: native money moved inside a contract call, seen in a trace or
    /// in a balance; on Stellar, a claimed balance that was made in a ledger we do not have at hand.
    Internal,
}

impl Kind {
    /// The word for it in rows and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Native => "native",
            Self::Proxy => "proxy",
            Self::Internal => "internal",
        }
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Token, Self::Native, Self::Proxy, Self::Internal]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(())
    }
}

/// The lasting name of a transfer: the same when its transaction is mined again in another block.
///
/// `index` is the family's raw ordinal inside the transaction (EVM: the log's offset in it), whatever
/// we happen to watch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct TransferId {
    pub tx: TxHash,
    pub kind: Kind,
    pub index: u32,
}

/// Money moving to an address in a block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transfer {
    pub id: TransferId,
    pub asset: AssetId,
    pub from: Option<Address>,
    pub to: Address,
    pub reference: Option<Reference>,
    pub amount: Amount,
}

/// How far a block's content is proven.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inclusion {
    /// A node said so.
    #[default]
    Reported,
    /// Recomputed against the block hash. It shows self-consistency only: that the hash is the
    /// network's is what `operators` and attestations are for.
    Proven,
}

impl Inclusion {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Proven => "proven",
        }
    }
}

impl FromStr for Inclusion {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Reported, Self::Proven].into_iter().find(|i| i.as_str() == text).ok_or(())
    }
}

/// How we know what a block holds; bound to one block hash and void when the deposit moves.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Evidence {
    pub inclusion: Inclusion,
    /// Distinct operators that gave this block's hash.
    pub operators: BTreeSet<Operator>,
    /// Distinct organisations whose validators signed it; `None` where the family has none.
    pub attestations: Option<u32>,
}

impl Evidence {
    /// The stronger of both, term by term.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            inclusion: self.inclusion.max(other.inclusion),
            operators: self.operators.union(&other.operators).cloned().collect(),
            attestations: self.attestations.max(other.attestations),
        }
    }
}

/// The issuer took money back from an address (clawback, forced burn).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Takeback {
    pub id: TransferId,
    pub asset: AssetId,
    pub from: Address,
    pub amount: Amount,
    /// Transfers of that asset to that address that come after it in its own block: they were not there to be taken.
    pub later: Vec<TransferId>,
}

impl Takeback {
    /// A transfer comes after it in its block.
    pub fn precedes(&mut self, transfer: &Transfer) {
        if transfer.to == self.from && transfer.asset == self.asset {
            self.later.push(transfer.id);
        }
    }
}

/// Something seen that credits nobody and that a person may ask about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Observation {
    /// A bounded word, also a metric label: `unrepresentable`, `malformed_transfer`, `dust`, …
    pub kind: String,
    pub tx: Option<TxHash>,
    pub to: Option<Address>,
    pub detail: String,
}

/// A block as far as it concerns us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    pub header: Header,
    /// In the order of the chain.
    pub transfers: Vec<Transfer>,
    pub takebacks: Vec<Takeback>,
    /// Of watched contracts, in the order of the chain.
    pub contract_events: Vec<ContractEvent>,
    pub observations: Vec<Observation>,
    /// How the whole content of the block is known, absence included.
    pub evidence: Evidence,
}

impl Block {
    /// How one of its transfers is known. Money moved inside a call, or known by what changed alone, is under no
    /// commitment of any chain: it is reported, however well the rest of the block is proven.
    #[must_use]
    pub fn evidence_of(&self, transfer: &Transfer) -> Evidence {
        let mut evidence = self.evidence.clone();
        if transfer.id.kind == Kind::Internal {
            evidence.inclusion = Inclusion::Reported;
        }
        evidence
    }
}
