//! Reads one log by its shape alone, whoever emitted it: the caller knows whom to believe.

use alloy_primitives::{Address as Raw, B256, U256};
use alloy_sol_types::{SolEvent, sol};

use crate::wire::WireLog;

sol! {
    event Transfer(address indexed from, address indexed to, uint256 value);
}

mod token_proxy {
    alloy_sol_types::sol! {
        event TransferWithReferenceAndFee(
            address tokenAddress, address to, uint256 amount, bytes indexed paymentReference, uint256 feeAmount,
            address feeAddress
        );
    }
}

mod native_proxy {
    alloy_sol_types::sol! {
        event TransferWithReferenceAndFee(
            address to, uint256 amount, bytes indexed paymentReference, uint256 feeAmount, address feeAddress
        );
    }
}

/// Topic 0 of a token's transfer; ERC-721 and native money after EIP-7708 share it.
pub const TRANSFER: B256 = Transfer::SIGNATURE_HASH;
/// Topic 0 of the ERC-20 fee proxy's event.
pub const TOKEN_PROXY: B256 = token_proxy::TransferWithReferenceAndFee::SIGNATURE_HASH;
/// Topic 0 of the native fee proxy's event.
pub const NATIVE_PROXY: B256 = native_proxy::TransferWithReferenceAndFee::SIGNATURE_HASH;

/// What a log says by its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// The exact shape of an ERC-20 transfer.
    Transfer {
        from: Raw,
        to: Raw,
        value: U256,
    },
    /// Transfer's topic in another shape: ERC-721, an unindexed variant, a forgery.
    OddTransfer {
        to: Option<Raw>,
    },
    TokenProxy {
        token: Raw,
        to: Raw,
        amount: U256,
        reference: B256,
    },
    NativeProxy {
        to: Raw,
        amount: U256,
        reference: B256,
    },
    Other,
}

/// Reads a log by its topics and the length of its data.
#[must_use]
pub fn decode_log(log: &WireLog) -> Decoded {
    let data = log.data.as_ref();
    match log.topics.as_slice() {
        [TRANSFER, rest @ ..] => {
            if let ([from, to], Ok(value)) = (rest, <[u8; 32]>::try_from(data))
                && let (Some(from), Some(to)) = (address(from), address(to))
            {
                return Decoded::Transfer { from, to, value: U256::from_be_bytes(value) };
            }
            Decoded::OddTransfer { to: rest.get(1).and_then(address) }
        }
        [TOKEN_PROXY, reference] if data.len() == 5 * 32 => match (word_address(data, 0), word_address(data, 1)) {
            (Some(token), Some(to)) => Decoded::TokenProxy { token, to, amount: word(data, 2), reference: *reference },
            _ => Decoded::Other,
        },
        [NATIVE_PROXY, reference] if data.len() == 4 * 32 => match word_address(data, 0) {
            Some(to) => Decoded::NativeProxy { to, amount: word(data, 1), reference: *reference },
            None => Decoded::Other,
        },
        _ => Decoded::Other,
    }
}

/// An address in 32 bytes: the upper twelve are zero, or it is none.
fn address(topic: &B256) -> Option<Raw> {
    topic[..12].iter().all(|byte| *byte == 0).then(|| Raw::from_slice(&topic[12..]))
}

/// The 32-byte word at a place in data whose length was checked.
fn word(data: &[u8], at: usize) -> U256 {
    data.chunks_exact(32).nth(at).map(U256::from_be_slice).unwrap_or_default()
}

fn word_address(data: &[u8], at: usize) -> Option<Raw> {
    address(&B256::from(word(data, at).to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;

    use super::*;

    #[test]
    fn the_topics_are_those_seen_on_chain() {
        assert_eq!(TRANSFER, b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"));
        assert_eq!(TOKEN_PROXY, b256!("9f16cbcc523c67a60c450e5ffe4f3b7b6dbe772e7abcadb2686ce029a9a0a2b6"));
        assert_eq!(NATIVE_PROXY, b256!("a1c241e337c4610a9d0f881111e977e9dc8690c85fe2108897bb1483c66e6a96"));
    }
}
