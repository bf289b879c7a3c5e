//! Assets by what they are (code and issuer, or contract), never by code alone; and the contract that
//! speaks for a classic asset, which follows from the network and the asset.

use amn_core::block::AssetId;
use sha2::{Digest, Sha256};
use stellar_strkey::{Contract, ed25519};
use stellar_xdr::{
    AccountId, AlphaNum4, AlphaNum12, Asset, AssetCode4, AssetCode12, ContractIdPreimage, Hash, HashIdPreimage,
    HashIdPreimageContractId, Limits, PublicKey, Uint256, WriteXdr,
};

/// The coin's number in SLIP-44.
pub const SLIP44: u32 = 148;

/// Stellar itself counts every classic asset, and its own money, in units of 10^-7.
pub const DECIMALS: u8 = 7;

/// Why a text is not an asset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssetError {
    #[error("an asset code is 1 to 12 letters and digits; got {0:?}")]
    Code(String),
    #[error("an issuer is an account, G and 55 letters and digits; got {0:?}")]
    Issuer(String),
}

/// A classic asset from its code and its issuer's address.
pub fn classic(code: &str, issuer: &str) -> Result<Asset, AssetError> {
    let plain = !code.is_empty() && code.len() <= 12 && code.bytes().all(|b| b.is_ascii_alphanumeric());
    if !plain {
        return Err(AssetError::Code(code.chars().take(40).collect()));
    }
    let key =
        ed25519::PublicKey::from_string(issuer).map_err(|_| AssetError::Issuer(issuer.chars().take(60).collect()))?;
    let issuer = AccountId(PublicKey::PublicKeyTypeEd25519(Uint256(key.0)));
    Ok(if code.len() <= 4 {
        Asset::CreditAlphanum4(AlphaNum4 { asset_code: AssetCode4(padded(code)), issuer })
    } else {
        Asset::CreditAlphanum12(AlphaNum12 { asset_code: AssetCode12(padded(code)), issuer })
    })
}

fn padded<const N: usize>(code: &str) -> [u8; N] {
    let mut bytes = [0; N];
    for (to, from) in bytes.iter_mut().zip(code.bytes()) {
        *to = from;
    }
    bytes
}

/// The issuer's key; `None` for the network's own money.
#[must_use]
pub fn issuer(asset: &Asset) -> Option<[u8; 32]> {
    let of = |AccountId(PublicKey::PublicKeyTypeEd25519(Uint256(key))): &AccountId| *key;
    match asset {
        Asset::Native => None,
        Asset::CreditAlphanum4(asset) => Some(of(&asset.issuer)),
        Asset::CreditAlphanum12(asset) => Some(of(&asset.issuer)),
    }
}

/// The code as people read it; `None` for the network's own money.
fn code(asset: &Asset) -> Option<String> {
    let bytes = match asset {
        Asset::Native => return None,
        Asset::CreditAlphanum4(asset) => asset.asset_code.0.as_slice(),
        Asset::CreditAlphanum12(asset) => asset.asset_code.0.as_slice(),
    };
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    // The network admits letters and digits alone; a forged ledger may hold anything.
    let shown = |byte: &u8| if byte.is_ascii_alphanumeric() { char::from(*byte) } else { '?' };
    Some(bytes.iter().take(end).map(shown).collect())
}

/// As SEP-11 writes it, and as the asset's contract puts it into events: `native` or `CODE:GISSUER`.
#[must_use]
pub fn sep11(asset: &Asset) -> String {
    match (code(asset), issuer(asset)) {
        (Some(code), Some(issuer)) => format!("{code}:{}", ed25519::PublicKey(issuer).to_string()),
        _ => "native".to_owned(),
    }
}

/// The CAIP-19 id of a classic asset, or of the network's own money.
#[must_use]
pub fn classic_id(chain: &str, asset: &Asset) -> AssetId {
    match (code(asset), issuer(asset)) {
        (Some(code), Some(issuer)) => {
            AssetId::new(format!("{chain}/asset:{code}-{}", ed25519::PublicKey(issuer).to_string()))
        }
        _ => AssetId::new(format!("{chain}/slip44:{SLIP44}")),
    }
}

/// The CAIP-19 id of a token that is only a contract.
#[must_use]
pub fn token_id(chain: &str, contract: [u8; 32]) -> AssetId {
    AssetId::new(format!("{chain}/sep41:{}", Contract(contract).to_string()))
}

/// The code and the issuer of a classic asset's id.
#[must_use]
pub fn parts(id: &AssetId) -> Option<(&str, &str)> {
    id.as_str().split_once("/asset:")?.1.split_once('-')
}

/// The id of the contract that speaks for a classic asset, deployed or not.
#[must_use]
pub fn contract_of(network_id: [u8; 32], asset: &Asset) -> [u8; 32] {
    let preimage = HashIdPreimage::ContractId(HashIdPreimageContractId {
        network_id: Hash(network_id),
        contract_id_preimage: ContractIdPreimage::Asset(asset.clone()),
    });
    // Written to memory without a limit, an asset of fixed size cannot fail.
    let bytes = preimage.to_xdr(Limits::none()).unwrap_or_default();
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBNET: &str = "Public Global Stellar Network ; September 2015";
    const CIRCLE: &str = "GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN";

    fn network(passphrase: &str) -> [u8; 32] {
        Sha256::digest(passphrase).into()
    }

    #[test]
    fn an_asset_contract_follows_from_the_network_and_the_asset() {
        let spelled = |passphrase, asset: &Asset| Contract(contract_of(network(passphrase), asset)).to_string();
        let usdc = classic("USDC", CIRCLE).unwrap();
        assert_eq!(spelled(PUBNET, &Asset::Native), "CAS3J7GYLGXMF6TDJBBYYSE3HQ6BBSMLNUQ34T6TZMYMW2EVH34XOWMA");
        assert_eq!(spelled(PUBNET, &usdc), "CCW67TSZV3SSS2HXMBQ5JFGCKJNXKZM7UQUWUZPUTHXSTZLEO7SJMI75");
        assert_eq!(
            spelled("Standalone Network ; February 2017", &Asset::Native),
            "CDMLFMKMMD7MWZP3FKUBZPVHTUEDLSX4BYGYKH4GCESXYHS3IHQ4EIG4"
        );
    }

    #[test]
    fn an_asset_is_named_by_code_and_issuer() {
        let usdc = classic("USDC", CIRCLE).unwrap();
        assert_eq!(sep11(&usdc), format!("USDC:{CIRCLE}"));
        assert_eq!(sep11(&Asset::Native), "native");
        let id = classic_id("stellar:pubnet", &usdc);
        assert_eq!(id.as_str(), format!("stellar:pubnet/asset:USDC-{CIRCLE}"));
        assert_eq!(parts(&id), Some(("USDC", CIRCLE)));
        assert_eq!(classic_id("stellar:pubnet", &Asset::Native).as_str(), "stellar:pubnet/slip44:148");
        assert_eq!(parts(&classic_id("stellar:pubnet", &Asset::Native)), None);
        let long = classic("yXLM12345678", CIRCLE).unwrap();
        assert_eq!(sep11(&long), format!("yXLM12345678:{CIRCLE}"));
    }

    #[test]
    fn what_is_no_asset_is_refused() {
        for code in ["", "USD C", "ÜSD", "USDC123456789"] {
            assert!(matches!(classic(code, CIRCLE), Err(AssetError::Code(_))), "{code:?}");
        }
        let mistyped = CIRCLE.replace("GA5ZS", "GA5ZZ");
        assert!(matches!(classic("USDC", &mistyped), Err(AssetError::Issuer(_))));
    }
}
