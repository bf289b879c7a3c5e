//! Every way to change a ledger that we know of, each by its name, with what must come of it.
//!
//! No change may credit anybody with anything that the honest ledger does not. What the ledger commits to is
//! [`Must::Refused`] by name; what makes another ledger of it is [`Must::Disowned`] by everybody around; what
//! nothing commits to is [`Must::Harmless`].

mod events;
mod header;
mod results;
mod signed;
mod unseen;
mod victim;

pub use victim::{Victim, victim};

use std::sync::LazyLock;

use super::forge::Forged;

/// One way to change a ledger.
#[derive(Clone, Debug)]
pub struct Tamper {
    pub name: &'static str,
    pub must: Must,
    change: Change,
}

/// What must come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Must {
    /// It is refused, with the contradiction or the defect of this name.
    Refused(&'static str),
    /// Nothing inside contradicts it. It is another ledger than the network's, and this is who shows it.
    Disowned(&'static str),
    /// It is the network's ledger, pays what the honest one pays, and this is why.
    Harmless(&'static str),
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Ledger(fn(&mut Forged, [u8; 32])),
    Bytes(fn(&mut Vec<u8>)),
}

/// All of them, by what they change.
pub static ALL: LazyLock<Vec<Tamper>> =
    LazyLock::new(|| [signed::ALL, results::ALL, events::ALL, header::ALL, unseen::ALL].concat());

/// The one of this name.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn named(name: &str) -> &'static Tamper {
    ALL.iter().find(|tamper| tamper.name == name).unwrap_or_else(|| panic!("no way to tamper is called {name}"))
}

impl Tamper {
    /// The ledger as the liar has it, on the network of this id; `None` where it holds nothing that this changes.
    #[must_use]
    pub fn apply(&self, ledger: &[u8], network_id: [u8; 32]) -> Option<Vec<u8>> {
        let bytes = match self.change {
            Change::Ledger(change) => {
                let mut forged = Forged::read(ledger)?;
                change(&mut forged, network_id);
                forged.bytes()
            }
            Change::Bytes(change) => {
                let mut bytes = ledger.to_vec();
                change(&mut bytes);
                bytes
            }
        };
        (bytes != ledger).then_some(bytes)
    }

    const fn refused(name: &'static str, as_what: &'static str, change: fn(&mut Forged, [u8; 32])) -> Self {
        Self { name, must: Must::Refused(as_what), change: Change::Ledger(change) }
    }

    const fn disowned(name: &'static str, by: &'static str, change: fn(&mut Forged, [u8; 32])) -> Self {
        Self { name, must: Must::Disowned(by), change: Change::Ledger(change) }
    }

    const fn harmless(name: &'static str, why: &'static str, change: fn(&mut Forged, [u8; 32])) -> Self {
        Self { name, must: Must::Harmless(why), change: Change::Ledger(change) }
    }

    const fn bytes(name: &'static str, as_what: &'static str, change: fn(&mut Vec<u8>)) -> Self {
        Self { name, must: Must::Refused(as_what), change: Change::Bytes(change) }
    }
}
