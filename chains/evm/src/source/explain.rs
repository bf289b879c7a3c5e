//! Everything a transaction moved, whoever it is: for a person who asks why a payment was not credited.

use alloy_primitives::B256;
use amn_core::block::{BlockRef, Hash, Height, Kind, TxHash};
use amn_core::explained::{Explained, Move};
use amn_core::source::SourceError;
use serde_json::json;

use super::EvmSource;
use super::trouble::{Trouble, Verdict};
use crate::address::spell;
use crate::decode::{Decoded, decode_log};
use crate::wire::{WholeTransaction, WireReceipt, parse};

impl EvmSource {
    /// What a transaction moved; `None` where no endpoint knows it.
    pub async fn explain(&self, tx: TxHash) -> Result<Option<Explained>, SourceError> {
        let mut verdict = Verdict::default();
        for endpoint in self.endpoints() {
            let asked = async {
                let name = json!([B256::from(tx.0)]);
                let receipt = endpoint.call("eth_getTransactionReceipt", &name).await?;
                if receipt.is_null() {
                    return Ok(None);
                }
                let receipt: WireReceipt = parse("the receipt", receipt.raw())?;
                let whole = endpoint.call("eth_getTransactionByHash", &name).await?;
                let whole = (!whole.is_null()).then(|| parse("the transaction", whole.raw())).transpose()?;
                Ok::<_, Trouble>(Some(self.explained(whole.as_ref(), &receipt)))
            };
            match asked.await {
                Ok(Some(explained)) => return Ok(Some(explained)),
                Ok(None) => {}
                Err(trouble) => verdict.add(&endpoint, trouble),
            }
        }
        verdict.empty_or_error()
    }

    fn explained(&self, whole: Option<&WholeTransaction>, receipt: &WireReceipt) -> Explained {
        let registry = &self.network.registry;
        let mut moves = Vec::new();
        if let Some(tx) = whole.filter(|tx| !tx.value.is_zero())
            && let Some(to) = tx.to
        {
            let asset = Some(registry.native.asset.clone());
            let (to, amount) = (spell(to.0.0), tx.value.to_string());
            moves.push(Move { kind: Kind::Native, index: 0, contract: None, asset, to, amount, note: None });
        }
        for (index, log) in (0..).zip(&receipt.logs) {
            let token = || registry.tokens.get(&log.address).map(|listed| listed.asset.clone());
            let (kind, asset, to, amount, note) = match decode_log(log) {
                Decoded::Transfer { to, value, .. } => (Kind::Token, token(), to, value.to_string(), None),
                Decoded::OddTransfer { to: Some(to) } => {
                    (Kind::Token, token(), to, String::new(), Some("not the shape of an ERC-20 transfer"))
                }
                Decoded::NativeProxy { to, amount, .. } => {
                    let listed = registry.native_proxies.contains(&log.address);
                    let asset = listed.then(|| registry.native.asset.clone());
                    (Kind::Proxy, asset, to, amount.to_string(), None)
                }
                // The token's own transfer before it is the money.
                Decoded::TokenProxy { .. } | Decoded::OddTransfer { to: None } | Decoded::Other => continue,
            };
            let contract = Some(spell(log.address.0.0));
            moves.push(Move { kind, index, contract, asset, to: spell(to.0.0), amount, note });
        }
        Explained {
            block: BlockRef { height: Height(receipt.block_number.0), hash: Hash(receipt.block_hash.0) },
            succeeded: receipt.succeeded(),
            moves,
        }
    }
}
