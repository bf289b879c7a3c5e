//! One transaction of a ledger, as `getTransaction` shows it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use stellar_xdr::{Limits, TransactionEnvelope, TransactionMeta, TransactionResultResult, WriteXdr};

use crate::evidence::commitment;
use crate::ledger::Ledger;

/// The fields of this transaction; `None` where the ledger does not hold it, or is none.
pub fn transaction(ledger: &[u8], network_id: [u8; 32], hash: &str) -> Option<Map<String, Value>> {
    let ledger = Ledger::decode(ledger).ok()?;
    let named = |hash: [u8; 32]| amn_core::block::Hash(hash).to_string().trim_start_matches("0x").to_owned();
    let place = ledger.processed.iter().position(|one| named(one.result.transaction_hash.0) == hash)?;
    let (one, mut buffer) = (ledger.processed[place].clone(), Vec::new());
    let envelope = ledger
        .set
        .into_envelopes()
        .into_iter()
        .find(|envelope| named(commitment::transaction(network_id, envelope, &mut buffer).0) == hash)?;
    let succeeded = matches!(
        one.result.result.result,
        TransactionResultResult::TxSuccess(_) | TransactionResultResult::TxFeeBumpInnerSuccess(_)
    );
    let fields = json!({
        "status": if succeeded { "SUCCESS" } else { "FAILED" },
        "applicationOrder": place + 1,
        "feeBump": matches!(envelope, TransactionEnvelope::TxFeeBump(_)),
        "envelopeXdr": xdr(&envelope),
        "resultXdr": xdr(&one.result.result),
        "resultMetaXdr": xdr(&one.meta),
        "events": events(&one.meta),
    });
    fields.as_object().cloned()
}

fn events(meta: &TransactionMeta) -> Value {
    match meta {
        TransactionMeta::V3(meta) => {
            let events = meta.soroban_meta.iter().flat_map(|soroban| soroban.events.iter());
            json!({ "contractEventsXdr": [events.map(xdr).collect::<Vec<_>>()] })
        }
        TransactionMeta::V4(meta) => {
            let operations = meta.operations.iter().map(|one| one.events.iter().map(xdr).collect::<Vec<_>>());
            json!({
                "transactionEventsXdr": meta.events.iter().map(xdr).collect::<Vec<_>>(),
                "contractEventsXdr": operations.collect::<Vec<_>>(),
            })
        }
        _ => json!({}),
    }
}

fn xdr(value: &impl WriteXdr) -> String {
    STANDARD.encode(value.to_xdr(Limits::none()).unwrap_or_default())
}
