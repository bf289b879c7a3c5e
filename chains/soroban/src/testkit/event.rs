//! Events as contracts emit them, in the shapes seen on chain.

use stellar_xdr::{
    AccountId, ContractEvent, ContractEventBody, ContractEventType, ContractEventV0, ContractId, ExtensionPoint, Hash,
    Int128Parts, MuxedContract, MuxedEd25519Account, PublicKey, ScAddress, ScMap, ScMapEntry, ScString, ScSymbol,
    ScVal, StringM, Uint256,
};

use crate::address::{Party, Place};

/// A token contract; `name` is what the contract of a classic asset adds to its events.
#[derive(Clone, Debug)]
pub struct Token {
    pub contract: [u8; 32],
    pub name: Option<String>,
}

impl Token {
    /// An event with these topics after its name.
    #[must_use]
    pub fn event(&self, name: &str, mut topics: Vec<ScVal>, data: ScVal) -> ContractEvent {
        topics.insert(0, symbol(name));
        topics.extend(self.name.as_deref().map(string));
        raw(Some(self.contract), topics, data)
    }

    #[must_use]
    pub fn transfer(&self, from: Place, to: Place, amount: i128) -> ContractEvent {
        self.event("transfer", vec![address(from), address(to)], whole(amount))
    }

    /// To a muxed address: the topics show the plain one, the data is a map with the number.
    #[must_use]
    pub fn transfer_with(&self, from: Place, to: Place, amount: i128, id: ScVal) -> ContractEvent {
        let data = map(vec![("amount", whole(amount)), ("to_muxed_id", id)]);
        self.event("transfer", vec![address(from), address(to)], data)
    }

    /// To a contract's address with a number in it.
    #[must_use]
    pub fn transfer_to_number(&self, from: Place, to: Place, amount: i128, id: u64) -> ContractEvent {
        self.transfer_with(from, to, amount, ScVal::U64(id))
    }

    #[must_use]
    pub fn mint(&self, to: Place, amount: i128) -> ContractEvent {
        self.event("mint", vec![address(to)], whole(amount))
    }

    /// As before protocol 23: the administrator comes first.
    #[must_use]
    pub fn old_mint(&self, admin: Place, to: Place, amount: i128) -> ContractEvent {
        self.event("mint", vec![address(admin), address(to)], whole(amount))
    }

    #[must_use]
    pub fn clawback(&self, from: Place, amount: i128) -> ContractEvent {
        self.event("clawback", vec![address(from)], whole(amount))
    }
}

/// Any event at all.
#[must_use]
pub fn raw(contract: Option<[u8; 32]>, topics: Vec<ScVal>, data: ScVal) -> ContractEvent {
    ContractEvent {
        ext: ExtensionPoint::V0,
        contract_id: contract.map(|id| ContractId(Hash(id))),
        type_: ContractEventType::Contract,
        body: ContractEventBody::V0(ContractEventV0 { topics: topics.try_into().unwrap_or_default(), data }),
    }
}

pub fn address(place: Place) -> ScVal {
    ScVal::Address(match place {
        Place::Account(key) => ScAddress::Account(AccountId(PublicKey::PublicKeyTypeEd25519(Uint256(key)))),
        Place::Contract(id) => ScAddress::Contract(ContractId(Hash(id))),
    })
}

/// A muxed address as a topic: tokens that are only contracts may write one.
#[must_use]
pub fn muxed_address(party: Party) -> ScVal {
    let Some(id) = party.id else { return address(party.place) };
    ScVal::Address(match party.place {
        Place::Account(key) => ScAddress::MuxedAccount(MuxedEd25519Account { id, ed25519: Uint256(key) }),
        Place::Contract(contract) => {
            ScAddress::MuxedContract(MuxedContract { id, contract_id: ContractId(Hash(contract)) })
        }
    })
}

#[must_use]
pub fn whole(amount: i128) -> ScVal {
    let bytes = amount.to_be_bytes();
    let (mut hi, mut lo) = ([0; 8], [0; 8]);
    hi.copy_from_slice(&bytes[..8]);
    lo.copy_from_slice(&bytes[8..]);
    ScVal::I128(Int128Parts { hi: i64::from_be_bytes(hi), lo: u64::from_be_bytes(lo) })
}

#[must_use]
pub fn symbol(name: &str) -> ScVal {
    ScVal::Symbol(ScSymbol(StringM::try_from(name).unwrap_or_default()))
}

#[must_use]
pub fn string(text: &str) -> ScVal {
    ScVal::String(ScString(StringM::try_from(text).unwrap_or_default()))
}

/// A map in the order given; contracts write theirs sorted.
#[must_use]
pub fn map(entries: Vec<(&str, ScVal)>) -> ScVal {
    let entries: Vec<_> = entries.into_iter().map(|(key, val)| ScMapEntry { key: symbol(key), val }).collect();
    ScVal::Map(Some(ScMap(entries.try_into().unwrap_or_default())))
}
