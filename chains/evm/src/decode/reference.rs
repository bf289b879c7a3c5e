//! Payment references: the chain shows only their keccak, so that is what intents are stored under.

use alloy_primitives::keccak256;
use amn_core::block::{Hash, Reference};

/// Why a text is not a payment reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a payment reference is 16 hexadecimal digits (8 bytes), or the 64 of its keccak; got {0:?}")]
pub struct ReferenceError(String);

/// What an intent with this reference is stored under: `0x` and the keccak of the eight bytes.
///
/// A proxy's event carries the reference as an indexed `bytes`, of which the chain keeps only the hash;
/// it cannot be turned back. Somebody who has only the hash may give that.
pub fn reference_key(reference: &str) -> Result<Reference, ReferenceError> {
    let wrong = || ReferenceError(reference.chars().take(80).collect());
    let digits = reference.strip_prefix("0x").unwrap_or(reference);
    match digits.len() {
        16 => {
            let mut bytes = [0; 8];
            const_hex::decode_to_slice(digits, &mut bytes).map_err(|_| wrong())?;
            Ok(Reference::new(Hash(keccak256(bytes).0).to_string()))
        }
        64 => digits.parse::<Hash>().map(|hash| Reference::new(hash.to_string())).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_stored_under_its_keccak_however_it_is_given() {
        // Request Network's own vector.
        let key = reference_key("a0098add01acc736").unwrap();
        assert!(key.as_str().starts_with("0xc7c539ab"), "{key}");
        assert_eq!(reference_key("0xA0098ADD01ACC736").unwrap(), key);
        assert_eq!(reference_key(key.as_str()).unwrap(), key);
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in ["", "order 17", "a0098add01acc7", "0xa0098add01acc73g", "a0098add01acc73600"] {
            assert!(reference_key(text).is_err(), "{text:?}");
        }
    }
}
