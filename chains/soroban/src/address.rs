//! Addresses in their one spelling, and what a wallet is asked to pay (SEP-7).
//!
//! Money lies at an account (G…) or a contract (C…). A muxed account (M…) or a muxed contract (W…) is the
//! same place with a number added; the number becomes the payment's [`crate::reference`].

use std::fmt::Write as _;

use amn_core::block::{Address, Reference};
use amn_core::money::Amount;
use amn_core::network::Asset;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stellar_strkey::{ClaimableBalance, Contract, LiquidityPool, MuxedContract, Strkey, ed25519};
use stellar_xdr::{
    AccountId, ClaimableBalanceId, ContractId, Hash, MuxedAccount, PoolId, PublicKey, ScAddress, Uint256,
};

use crate::asset;
use crate::reference;

/// Why a text is not an address of this family.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("an address is a Stellar account (G…, M…) or contract (C…, W…); got {0:?}")]
    NotAnAddress(String),
    /// A secret key in the place of an address: said without repeating it.
    #[error("this is a secret key, not an address; whoever has seen it can spend its money")]
    Secret,
}

/// Where money can lie.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    Account([u8; 32]),
    Contract([u8; 32]),
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.spell().as_str())
    }
}

impl Place {
    /// The canonical spelling: G… or C….
    #[must_use]
    pub fn spell(&self) -> Address {
        match self {
            Self::Account(key) => Address::new(ed25519::PublicKey(*key).to_string()),
            Self::Contract(id) => Address::new(Contract(*id).to_string()),
        }
    }

    /// The bytes a watch knows it by: its kind, and 32 bytes.
    #[must_use]
    pub fn raw(&self) -> [u8; 33] {
        let (kind, id) = match self {
            Self::Account(key) => (b'G', key),
            Self::Contract(id) => (b'C', id),
        };
        let mut raw = [kind; 33];
        for (to, from) in raw.iter_mut().skip(1).zip(id) {
            *to = *from;
        }
        raw
    }

    #[must_use]
    pub const fn account(AccountId(PublicKey::PublicKeyTypeEd25519(Uint256(key))): &AccountId) -> Self {
        Self::Account(*key)
    }
}

/// A place, and the number that a muxed address adds to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Party {
    pub place: Place,
    pub id: Option<u64>,
}

impl From<&MuxedAccount> for Party {
    fn from(account: &MuxedAccount) -> Self {
        match account {
            MuxedAccount::Ed25519(Uint256(key)) => Self { place: Place::Account(*key), id: None },
            MuxedAccount::MuxedEd25519(muxed) => Self { place: Place::Account(muxed.ed25519.0), id: Some(muxed.id) },
        }
    }
}

impl Party {
    /// The place of an address inside a contract event; `None` for a claimable balance or a pool, which
    /// nobody watches.
    #[must_use]
    pub fn of_contract_event(address: &ScAddress) -> Option<Self> {
        Some(match address {
            ScAddress::Account(account) => Self { place: Place::account(account), id: None },
            ScAddress::Contract(ContractId(Hash(id))) => Self { place: Place::Contract(*id), id: None },
            ScAddress::MuxedAccount(muxed) => Self { place: Place::Account(muxed.ed25519.0), id: Some(muxed.id) },
            ScAddress::MuxedContract(muxed) => {
                Self { place: Place::Contract(muxed.contract_id.0.0), id: Some(muxed.id) }
            }
            ScAddress::ClaimableBalance(_) | ScAddress::LiquidityPool(_) => return None,
        })
    }
}

/// The spelling of whatever sent money; claimable balances (B…) and pools (L…) send, too.
#[must_use]
pub fn spell_sender(address: &ScAddress) -> Address {
    match address {
        ScAddress::ClaimableBalance(ClaimableBalanceId::ClaimableBalanceIdTypeV0(Hash(id))) => {
            Address::new(ClaimableBalance::V0(*id).to_string())
        }
        ScAddress::LiquidityPool(PoolId(Hash(id))) => Address::new(LiquidityPool(*id).to_string()),
        ScAddress::Account(account) => Place::account(account).spell(),
        ScAddress::Contract(ContractId(Hash(id))) => Place::Contract(*id).spell(),
        ScAddress::MuxedAccount(muxed) => Place::Account(muxed.ed25519.0).spell(),
        ScAddress::MuxedContract(muxed) => Place::Contract(muxed.contract_id.0.0).spell(),
    }
}

/// Reads an address of any of the four kinds. There is one spelling of each, with a checksum inside.
pub fn parse(text: &str) -> Result<Party, AddressError> {
    let party = |place, id| Ok(Party { place, id });
    match Strkey::from_string(text) {
        Ok(Strkey::PublicKeyEd25519(key)) => party(Place::Account(key.0), None),
        Ok(Strkey::MuxedAccountEd25519(muxed)) => party(Place::Account(muxed.ed25519), Some(muxed.id)),
        Ok(Strkey::Contract(contract)) => party(Place::Contract(contract.0), None),
        Ok(Strkey::MuxedContract(muxed)) => party(Place::Contract(muxed.contract_id), Some(muxed.id)),
        Ok(_) => Err(AddressError::NotAnAddress(text.to_owned())),
        Err(_) if ed25519::PrivateKey::from_string(text).is_ok() => Err(AddressError::Secret),
        Err(_) => Err(AddressError::NotAnAddress(text.chars().take(80).collect())),
    }
}

/// The bytes a watch knows an address by.
#[must_use]
pub fn raw(address: &Address) -> Option<[u8; 33]> {
    parse(address.as_str()).ok().map(|party| party.place.raw())
}

/// The address with a number added: M… for an account, W… for a contract.
#[must_use]
pub fn muxed(place: Place, id: u64) -> String {
    match place {
        Place::Account(ed25519) => ed25519::MuxedAccount { ed25519, id }.to_string().as_str().to_owned(),
        Place::Contract(contract_id) => MuxedContract { contract_id, id }.to_string().as_str().to_owned(),
    }
}

/// What a wallet scans to pay: SEP-7. `None` where that cannot say it: a token that is only a contract has
/// no code and issuer, and a contract takes no memo but a number.
///
/// A number goes into the address of a contract (W…), because its payments carry no memo; for an account
/// it is a memo, which every wallet knows.
#[must_use]
pub fn payment_uri(
    passphrase: &str,
    asset: &Asset,
    to: &Address,
    amount: Option<Amount>,
    reference: Option<&Reference>,
) -> Option<String> {
    let place = parse(to.as_str()).ok()?.place;
    let memo = reference.map(|reference| reference::parse(reference.as_str())).transpose().ok()?;
    let (destination, memo) = match (place, memo) {
        (Place::Contract(_), Some(reference::Parsed::Id(id))) => (muxed(place, id), None),
        (Place::Contract(_), Some(_)) => return None,
        (_, memo) => (to.to_string(), memo),
    };
    let mut uri = format!("web+stellar:pay?destination={destination}");
    if let Some(amount) = amount {
        let _ = write!(uri, "&amount={}", amount.in_units_of(asset.decimals));
    }
    if !asset.native {
        let (code, issuer) = asset::parts(&asset.id)?;
        let _ = write!(uri, "&asset_code={code}&asset_issuer={issuer}");
    }
    if let Some(memo) = memo {
        let (kind, value) = match memo {
            reference::Parsed::Id(id) => ("MEMO_ID", id.to_string()),
            reference::Parsed::Text(bytes) => ("MEMO_TEXT", String::from_utf8(bytes).ok()?),
            reference::Parsed::Hash(hash) => ("MEMO_HASH", STANDARD.encode(hash)),
            reference::Parsed::Return(hash) => ("MEMO_RETURN", STANDARD.encode(hash)),
        };
        let _ = write!(uri, "&memo={}&memo_type={kind}", escaped(&value));
    }
    if passphrase != crate::networks::PUBLIC_PASSPHRASE {
        let _ = write!(uri, "&network_passphrase={}", escaped(passphrase));
    }
    Some(uri)
}

/// Percent-encoded, everything but letters, digits and `-._~`.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use amn_core::block::AssetId;

    use super::*;
    use crate::networks::PUBLIC_PASSPHRASE;

    const KEY: [u8; 32] = [7; 32];

    fn xlm() -> Asset {
        Asset {
            id: AssetId::new("stellar:pubnet/slip44:148"),
            symbol: "XLM".to_owned(),
            decimals: 7,
            min_amount: Amount::new(1),
            native: true,
        }
    }

    #[test]
    fn a_muxed_address_is_its_base_and_a_number() {
        for place in [Place::Account(KEY), Place::Contract(KEY)] {
            let plain = place.spell();
            assert_eq!(parse(plain.as_str()), Ok(Party { place, id: None }));
            for id in [0, 4242, u64::MAX] {
                let spelled = muxed(place, id);
                assert!(spelled.starts_with(['M', 'W']), "{spelled}");
                assert_eq!(parse(&spelled), Ok(Party { place, id: Some(id) }));
            }
            assert_eq!(raw(&plain), Some(place.raw()));
        }
        assert_ne!(Place::Account(KEY).raw(), Place::Contract(KEY).raw(), "one key, two places");
    }

    #[test]
    fn what_is_no_address_is_refused_and_a_secret_is_not_repeated() {
        let good = Place::Account(KEY).spell().to_string();
        let mistyped = good.replacen('A', "B", 1);
        let pool = LiquidityPool(KEY).to_string().as_str().to_owned();
        for text in ["", "G", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", &good.to_lowercase(), &mistyped, &pool] {
            assert!(matches!(parse(text), Err(AddressError::NotAnAddress(_))), "{text:?}");
        }
        let secret = ed25519::PrivateKey(KEY).as_unredacted().to_string();
        let error = parse(&secret).unwrap_err();
        assert_eq!(error, AddressError::Secret);
        assert!(!error.to_string().contains(secret.as_str()));
    }

    #[test]
    fn a_wallet_is_asked_with_the_memo_the_intent_waits_for() {
        let to = Place::Account(KEY).spell();
        let uri = |reference: &str| {
            payment_uri(PUBLIC_PASSPHRASE, &xlm(), &to, Some(Amount::new(25_500_000)), Some(&Reference::new(reference)))
        };
        assert_eq!(
            uri("id:4242").unwrap(),
            format!("web+stellar:pay?destination={to}&amount=2.55&memo=4242&memo_type=MEMO_ID")
        );
        assert!(uri("text:order 17/a").unwrap().ends_with("&memo=order%2017%2Fa&memo_type=MEMO_TEXT"));
        let hash = uri(&format!("hash:{}", "ff".repeat(32))).unwrap();
        assert!(hash.ends_with("&memo=%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F8%3D&memo_type=MEMO_HASH"), "{hash}");
        assert_eq!(uri("both:id:1,text:x"), None, "nobody can be asked for a contradiction");
    }

    #[test]
    fn a_classic_asset_is_asked_for_by_code_and_issuer_and_a_contract_by_its_muxed_address() {
        let issuer = Place::Account([9; 32]).spell();
        let usdc = Asset {
            id: AssetId::new(format!("stellar:testnet/asset:USDC-{issuer}")),
            symbol: "USDC".to_owned(),
            native: false,
            ..xlm()
        };
        let to = Place::Contract(KEY);
        let uri = payment_uri("Test", &usdc, &to.spell(), Some(Amount::new(1)), Some(&Reference::new("id:7"))).unwrap();
        let destination = muxed(to, 7);
        assert_eq!(
            uri,
            format!(
                "web+stellar:pay?destination={destination}&amount=0.0000001&asset_code=USDC&asset_issuer={issuer}\
                 &network_passphrase=Test"
            )
        );
        let memo = payment_uri("Test", &usdc, &to.spell(), None, Some(&Reference::new("text:a")));
        assert_eq!(memo, None, "a payment to a contract carries no memo");
        let token = Asset { id: AssetId::new(format!("stellar:testnet/sep41:{}", to.spell())), ..usdc };
        assert_eq!(payment_uri("Test", &token, &to.spell(), None, None), None, "asked so, a wallet would pay XLM");
    }
}
