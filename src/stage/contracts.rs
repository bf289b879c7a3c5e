//! The contracts of `tests/contracts`, compiled, and the calls the plays make to them.

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{SolCall, SolValue, sol};

use super::StageError;

sol! {
    function mint(address to, uint256 value);
    function transfer(address to, uint256 value) returns (bool);
    function approve(address spender, uint256 value) returns (bool);
    function forge(address from, address to, uint256 value);
    function forward(address to) payable;
    function transferFromWithReferenceAndFee(address token, address to, uint256 amount, bytes ref, uint256 fee, address feeAddr);
    function transferWithReferenceAndFee(address to, bytes ref, uint256 fee, address feeAddr) payable;
    function batch(address token, address[] to, uint256[] amount);
}

/// A contract that can be deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contract {
    Token,
    FakeToken,
    Forwarder,
    SelfDestructPay,
    Erc20FeeProxy,
    EthFeeProxy,
    Nft,
    Batch,
}

impl Contract {
    /// The bytecode as compiled; constructor arguments follow it.
    pub fn bytecode(self) -> Result<Vec<u8>, StageError> {
        let json = match self {
            Self::Token => include_str!("../../tests/contracts/Token.json"),
            Self::FakeToken => include_str!("../../tests/contracts/FakeToken.json"),
            Self::Forwarder => include_str!("../../tests/contracts/Forwarder.json"),
            Self::SelfDestructPay => include_str!("../../tests/contracts/SelfDestructPay.json"),
            Self::Erc20FeeProxy => include_str!("../../tests/contracts/Erc20FeeProxy.json"),
            Self::EthFeeProxy => include_str!("../../tests/contracts/EthFeeProxy.json"),
            Self::Nft => include_str!("../../tests/contracts/Nft.json"),
            Self::Batch => include_str!("../../tests/contracts/Batch.json"),
        };
        let read: serde_json::Value =
            serde_json::from_str(json).map_err(|error| StageError::because("a contract's file", error))?;
        let code = read["bytecode"].as_str().unwrap_or_default().trim_start_matches("0x");
        hex::decode(code).map_err(|error| StageError::because("a contract's bytecode", error))
    }
}

/// A token's deployment: its bytecode with name, symbol and decimals.
pub fn token(name: &str, symbol: &str, decimals: u8) -> Result<Vec<u8>, StageError> {
    let mut code = Contract::Token.bytecode()?;
    code.extend((name.to_owned(), symbol.to_owned(), U256::from(decimals)).abi_encode_params());
    Ok(code)
}

pub fn mint(to: Address, value: u128) -> Vec<u8> {
    mintCall { to, value: U256::from(value) }.abi_encode()
}

pub fn transfer(to: Address, value: u128) -> Vec<u8> {
    transferCall { to, value: U256::from(value) }.abi_encode()
}

pub fn approve(spender: Address, value: u128) -> Vec<u8> {
    approveCall { spender, value: U256::from(value) }.abi_encode()
}

pub fn forge(from: Address, to: Address, value: u128) -> Vec<u8> {
    forgeCall { from, to, value: U256::from(value) }.abi_encode()
}

pub fn forward(to: Address) -> Vec<u8> {
    forwardCall { to }.abi_encode()
}

/// A payment through the ERC-20 fee proxy, with a reference of eight bytes and no fee.
pub fn pay_with_reference(token: Address, to: Address, amount: u128, reference: &[u8; 8]) -> Vec<u8> {
    transferFromWithReferenceAndFeeCall {
        token,
        to,
        amount: U256::from(amount),
        r#ref: Bytes::copy_from_slice(reference),
        fee: U256::ZERO,
        feeAddr: Address::ZERO,
    }
    .abi_encode()
}

/// A native payment through the ETH fee proxy; the value of the transaction is what is paid.
pub fn pay_native_with_reference(to: Address, reference: &[u8; 8]) -> Vec<u8> {
    transferWithReferenceAndFeeCall {
        to,
        r#ref: Bytes::copy_from_slice(reference),
        fee: U256::ZERO,
        feeAddr: Address::ZERO,
    }
    .abi_encode()
}

/// Many transfers of one token in one transaction.
pub fn batch(token: Address, payments: &[(Address, u128)]) -> Vec<u8> {
    batchCall {
        token,
        to: payments.iter().map(|(to, _)| *to).collect(),
        amount: payments.iter().map(|(_, amount)| U256::from(*amount)).collect(),
    }
    .abi_encode()
}
