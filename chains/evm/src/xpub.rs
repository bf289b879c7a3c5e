//! Addresses from a tenant's extended public key: watch-only, so that no key that spends is ever here.
//!
//! The key is that of an account (`m/44'/60'/n'`); receiving address `i` is its child `0/i` (BIP-44).

use alloy_primitives::keccak256;
use amn_core::block::Address;
use hmac::{Hmac, KeyInit, Mac};
use k256::elliptic_curve::PrimeField;
use k256::elliptic_curve::sec1::ToEncodedPoint;
use k256::{AffinePoint, ProjectivePoint, PublicKey, Scalar};
use sha2::{Digest, Sha256, Sha512};

use crate::address::spell;

/// Version bytes of `xpub…`, the only kind taken.
const XPUB: [u8; 4] = [0x04, 0x88, 0xb2, 0x1e];
const XPRV: [u8; 4] = [0x04, 0x88, 0xad, 0xe4];
/// The first index that only a private key can derive.
const HARDENED: u32 = 1 << 31;
/// The chain of receiving addresses in BIP-44.
const RECEIVING: u32 = 0;

/// Why a text is not an extended public key we take. Never holds the text: it might be a private one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum XpubError {
    #[error("this is a PRIVATE key (xprv): never give it to anybody; export the account's xpub instead")]
    Private,
    #[error("an extended public key begins with xpub and is 111 letters and digits long")]
    NotAnXpub,
    #[error("the key's checksum is wrong: a letter is mistyped or missing")]
    Checksum,
    #[error("index {0} is past the last address of an account, 2147483647")]
    Index(u32),
    #[error("this key has no child at that index (one in 2^127); take the next")]
    NoChild,
}

/// An account's extended public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xpub {
    chain_code: [u8; 32],
    key: PublicKey,
}

impl Xpub {
    /// Reads `xpub…`, checking its checksum and its point.
    pub fn parse(text: &str) -> Result<Self, XpubError> {
        if text.len() > 120 {
            return Err(XpubError::NotAnXpub);
        }
        let bytes = bs58::decode(text).into_vec().map_err(|_| XpubError::NotAnXpub)?;
        let bytes: [u8; 82] = bytes.try_into().map_err(|_| XpubError::NotAnXpub)?;
        let (payload, checksum) = bytes.split_at(78);
        if payload.starts_with(&XPRV) {
            return Err(XpubError::Private);
        }
        if Sha256::digest(Sha256::digest(payload))[..4] != *checksum {
            return Err(XpubError::Checksum);
        }
        if !payload.starts_with(&XPUB) {
            return Err(XpubError::NotAnXpub);
        }
        let key = PublicKey::from_sec1_bytes(&payload[45..]).map_err(|_| XpubError::NotAnXpub)?;
        let mut chain_code = [0; 32];
        chain_code.copy_from_slice(&payload[13..45]);
        Ok(Self { chain_code, key })
    }

    /// The receiving address at an index of this account.
    pub fn address(&self, index: u32) -> Result<Address, XpubError> {
        if index >= HARDENED {
            return Err(XpubError::Index(index));
        }
        Ok(self.child(RECEIVING)?.child(index)?.own_address())
    }

    /// BIP-32's public derivation of one child.
    fn child(&self, index: u32) -> Result<Self, XpubError> {
        let mut mac = Hmac::<Sha512>::new_from_slice(&self.chain_code).map_err(|_| XpubError::NoChild)?;
        mac.update(self.key.to_encoded_point(true).as_bytes());
        mac.update(&index.to_be_bytes());
        let bytes = mac.finalize().into_bytes();
        let (tweak, chain_code) = bytes.split_at(32);
        let tweak: [u8; 32] = tweak.try_into().map_err(|_| XpubError::NoChild)?;
        let tweak = Option::<Scalar>::from(Scalar::from_repr(tweak.into())).ok_or(XpubError::NoChild)?;
        let point = ProjectivePoint::GENERATOR * tweak + self.key.to_projective();
        let key = PublicKey::from_affine(AffinePoint::from(point)).map_err(|_| XpubError::NoChild)?;
        Ok(Self { chain_code: chain_code.try_into().map_err(|_| XpubError::NoChild)?, key })
    }

    fn own_address(&self) -> Address {
        let point = self.key.to_encoded_point(false);
        // Without the leading 0x04 that marks an uncompressed point.
        let hash = keccak256(&point.as_bytes()[1..]);
        let mut raw = [0; 20];
        raw.copy_from_slice(&hash[12..]);
        spell(raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BIP-32, test vector 1: m/0' and its child 1.
    const PARENT: &str = "xpub68Gmy5EdvgibQVfPdqkBBCHxA5htiqg55crXYuXoQRKfDBFA1WEjWgP6LHhwBZeNK1VTsfTFUHCdrfp1bgwQ9xv5ski8PX9rL2dZXvgGDnw";
    const CHILD: &str = "xpub6ASuArnXKPbfEwhqN6e3mwBcDTgzisQN1wXN9BJcM47sSikHjJf3UFHKkNAWbWMiGj7Wf5uMash7SyYq527Hqck2AxYysAA7xmALppuCkwQ";
    /// The account m/44'/60'/0' of the mnemonic every development node knows ("test test … junk").
    const DEVELOPMENT: &str = "xpub6Ce9NcJvTk36xtLSrJLZqE7wtgA5deCeYs7rSQtreh4cj6ByPtrg9sD7V2FNFLPnf8heNP3FGkeV9qwfzvZNSd54JoNXVsXFYSYwHsnJxqP";
    const DEVELOPMENT_PRIVATE: &str = "xprv9yeny6n2dNUokQFykGoZU6BDLeKbEBUoBeCFe2VF6MXdrHrprMYRc4tddncDRxrJCy7GtPDk68zRcgWtGFveqdCV5NyhZwVgMoZVbTm78vx";

    #[test]
    fn children_are_those_of_the_published_vectors() {
        let (parent, child) = (Xpub::parse(PARENT).unwrap(), Xpub::parse(CHILD).unwrap());
        assert_eq!(parent.child(1).unwrap(), child);
    }

    #[test]
    fn the_development_account_derives_the_addresses_everybody_knows() {
        let account = Xpub::parse(DEVELOPMENT).unwrap();
        assert_eq!(account.address(0).unwrap().as_str(), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
        assert_eq!(account.address(1).unwrap().as_str(), "0x70997970C51812dc3A010C7d01b50e0d17dc79C8");
        assert!(account.address(HARDENED - 1).is_ok());
        assert_eq!(account.address(HARDENED), Err(XpubError::Index(HARDENED)));
    }

    #[test]
    fn a_private_key_is_refused_by_name_and_never_repeated() {
        let error = Xpub::parse(DEVELOPMENT_PRIVATE).unwrap_err();
        assert_eq!(error, XpubError::Private);
        assert!(!error.to_string().contains("xprv9"));
    }

    #[test]
    fn a_mistyped_key_is_refused() {
        let mistyped = DEVELOPMENT.replace("GkeV9", "GkeV8");
        assert_eq!(Xpub::parse(&mistyped), Err(XpubError::Checksum));
        let long = "1".repeat(10_000);
        for text in ["", "xpub", "0x00", &DEVELOPMENT[..100], &long, "é"] {
            assert_eq!(Xpub::parse(text), Err(XpubError::NotAnXpub), "{text:.20}");
        }
    }
}
