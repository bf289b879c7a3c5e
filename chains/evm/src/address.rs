//! Addresses in their one spelling (EIP-55), and what a wallet is asked to pay (EIP-681).

use alloy_primitives::Address as Raw;
use amn_core::block::{Address, AssetId};
use amn_core::money::Amount;

/// Why a text is not an address of this family.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("an address is 0x and 40 hexadecimal digits; got {0:?}")]
    NotAnAddress(String),
    #[error("the checksum of {got} is wrong; if the address is right it is spelled {spelled}")]
    Checksum { got: String, spelled: Address },
}

/// Reads an address in all lower case, all upper case or EIP-55; a wrong mixed-case spelling is refused,
/// because it is how a mistyped digit shows.
pub fn parse(text: &str) -> Result<(Address, [u8; 20]), AddressError> {
    let wrong = || AddressError::NotAnAddress(text.chars().take(60).collect());
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).ok_or_else(wrong)?;
    if digits.len() != 40 {
        return Err(wrong());
    }
    let mut raw = [0; 20];
    const_hex::decode_to_slice(digits, &mut raw).map_err(|_| wrong())?;
    let spelled = spell(raw);
    let lower = digits.bytes().any(|b| b.is_ascii_lowercase());
    let upper = digits.bytes().any(|b| b.is_ascii_uppercase());
    if lower && upper && spelled.as_str()[2..] != *digits {
        return Err(AddressError::Checksum { got: text.to_owned(), spelled });
    }
    Ok((spelled, raw))
}

/// The canonical spelling of 20 bytes.
#[must_use]
pub fn spell(raw: [u8; 20]) -> Address {
    Address::new(Raw::from(raw).to_checksum_buffer(None).as_str())
}

/// The id of a token of a chain.
#[must_use]
pub fn token_id(chain_id: u64, contract: [u8; 20]) -> AssetId {
    AssetId::new(format!("eip155:{chain_id}/erc20:{}", spell(contract)))
}

/// The contract of an asset id, if it names a token of this family.
#[must_use]
pub fn contract_of(asset: &AssetId) -> Option<[u8; 20]> {
    let (_, contract) = asset.as_str().split_once("/erc20:")?;
    parse(contract).ok().map(|(_, raw)| raw)
}

/// What a wallet scans to pay: EIP-681, for a token or for the network's own money.
#[must_use]
pub fn payment_uri(chain_id: u64, asset: &AssetId, to: &Address, amount: Option<Amount>) -> String {
    if let Some(contract) = contract_of(asset) {
        let token = spell(contract);
        let due = amount.map_or_else(String::new, |amount| format!("&uint256={amount}"));
        return format!("ethereum:{token}@{chain_id}/transfer?address={to}{due}");
    }
    let due = amount.map_or_else(String::new, |amount| format!("?value={amount}"));
    format!("ethereum:{to}@{chain_id}{due}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of EIP-55 itself.
    const SPELLED: [&str; 4] = [
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ];

    #[test]
    fn every_case_of_an_address_becomes_its_one_spelling() {
        for spelled in SPELLED {
            for text in [spelled.to_owned(), spelled.to_lowercase(), format!("0x{}", spelled[2..].to_uppercase())] {
                let (address, raw) = parse(&text).unwrap();
                assert_eq!(address.as_str(), spelled, "{text}");
                assert_eq!(spell(raw), address);
            }
        }
    }

    #[test]
    fn a_wrong_checksum_is_refused_and_the_right_one_is_told() {
        let wrong = "0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
        let error = parse(wrong).unwrap_err();
        assert!(error.to_string().contains(SPELLED[0]), "{error}");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "0x", "5aaeb6053f3e94c9b9a09f33669435e7ef1beaed", "0x5aae", "0xzz", "vitalik.eth", "0xé"] {
            assert!(matches!(parse(text), Err(AddressError::NotAnAddress(_))), "{text:?}");
        }
        let long = format!("0x{}", "é".repeat(20));
        assert!(parse(&long).is_err(), "40 bytes that are not 40 digits");
    }

    #[test]
    fn a_wallet_is_asked_for_the_token_or_for_the_coin() {
        let (to, _) = parse(SPELLED[0]).unwrap();
        let usdc = token_id(8453, parse("0x833589fcd6edb6e08f4c7c32d4f71b54bda02913").unwrap().1);
        assert_eq!(
            payment_uri(8453, &usdc, &to, Some(Amount::new(25_000_000))),
            "ethereum:0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913@8453/transfer\
             ?address=0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed&uint256=25000000"
        );
        let coin = AssetId::new("eip155:1/slip44:60");
        assert_eq!(
            payment_uri(1, &coin, &to, Some(Amount::new(7))),
            "ethereum:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed@1?value=7"
        );
        assert_eq!(payment_uri(1, &coin, &to, None), "ethereum:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed@1");
    }
}
