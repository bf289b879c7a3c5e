//! A second reading of a ledger, by another road: the XDR crate's own names, spellings and hashes, none of ours.
//! What both find must be the same.

use std::collections::BTreeMap;

use stellar_xdr::*;

/// A credit as the ledger's own results say it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Credit {
    pub tx: String,
    /// The operation, and the event in it from one; zero is the operation itself.
    pub place: (usize, usize),
    pub to: String,
    /// `native`, `CODE:ISSUER`, or the contract's id.
    pub asset: String,
    pub amount: i128,
    pub reference: String,
}

/// What a ledger holds.
#[derive(Debug, Default)]
pub struct Found {
    pub credits: Vec<Credit>,
    /// Successful operations by kind.
    pub counts: BTreeMap<&'static str, usize>,
    pub failed: usize,
    pub calls: usize,
    /// Everybody who did something: who claims, claims for itself.
    pub sources: Vec<String>,
    /// Contracts that emitted a transfer or a mint without naming a classic asset.
    pub tokens: Vec<String>,
}

pub fn read(meta: &LedgerCloseMeta, network_id: [u8; 32]) -> Found {
    let (envelopes, results): (Vec<TransactionEnvelope>, Vec<(TransactionResultPair, TransactionMeta)>) = match meta {
        LedgerCloseMeta::V0(v0) => (
            v0.tx_set.txs.to_vec(),
            v0.tx_processing.iter().map(|p| (p.result.clone(), p.tx_apply_processing.clone())).collect(),
        ),
        LedgerCloseMeta::V1(v1) => (
            envelopes(&v1.tx_set),
            v1.tx_processing.iter().map(|p| (p.result.clone(), p.tx_apply_processing.clone())).collect(),
        ),
        LedgerCloseMeta::V2(v2) => (
            envelopes(&v2.tx_set),
            v2.tx_processing.iter().map(|p| (p.result.clone(), p.tx_apply_processing.clone())).collect(),
        ),
    };
    let by_name: BTreeMap<[u8; 32], &TransactionEnvelope> =
        envelopes.iter().map(|envelope| (envelope.hash(network_id).unwrap(), envelope)).collect();
    let mut found = Found::default();
    for (pair, meta) in &results {
        let results = match &pair.result.result {
            TransactionResultResult::TxSuccess(results) => results,
            TransactionResultResult::TxFeeBumpInnerSuccess(inner) => match &inner.result.result {
                InnerTransactionResultResult::TxSuccess(results) => results,
                _ => unreachable!("an inner success that failed"),
            },
            _ => {
                found.failed += 1;
                continue;
            }
        };
        let tx = match by_name[&pair.transaction_hash.0] {
            TransactionEnvelope::TxV0(_) => continue,
            TransactionEnvelope::Tx(envelope) => &envelope.tx,
            TransactionEnvelope::TxFeeBump(bump) => {
                let FeeBumpTransactionInnerTx::Tx(inner) = &bump.tx.inner_tx;
                &inner.tx
            }
        };
        for (index, (operation, result)) in tx.operations.iter().zip(results.iter()).enumerate() {
            let OperationResult::OpInner(result) = result else { unreachable!("in a successful transaction") };
            let source = operation.source_account.clone().unwrap_or(tx.source_account.clone());
            found.sources.push(base(&source));
            let mut paid = |kind: &'static str, to: &MuxedAccount, asset: &Asset, amount: i64| {
                *found.counts.entry(kind).or_default() += 1;
                if base(&source) != base(to) && amount != 0 {
                    found.credits.push(Credit {
                        tx: pair.transaction_hash.to_string(),
                        place: (index, 0),
                        to: base(to),
                        asset: named(asset),
                        amount: i128::from(amount),
                        reference: reference(&tx.memo, to),
                    });
                }
            };
            match (&operation.body, result) {
                (OperationBody::Payment(op), OperationResultTr::Payment(PaymentResult::Success)) => {
                    paid("payment", &op.destination, &op.asset, op.amount);
                }
                (
                    OperationBody::PathPaymentStrictSend(op),
                    OperationResultTr::PathPaymentStrictSend(PathPaymentStrictSendResult::Success(success)),
                ) => {
                    assert!(success.last.amount >= op.dest_min);
                    paid("path_send", &op.destination, &success.last.asset, success.last.amount);
                }
                (
                    OperationBody::PathPaymentStrictReceive(op),
                    OperationResultTr::PathPaymentStrictReceive(PathPaymentStrictReceiveResult::Success(success)),
                ) => {
                    assert_eq!(success.last.amount, op.dest_amount);
                    paid("path_receive", &op.destination, &success.last.asset, op.dest_amount);
                }
                (OperationBody::CreateAccount(op), OperationResultTr::CreateAccount(CreateAccountResult::Success)) => {
                    let to = MuxedAccount::from(op.destination.clone());
                    paid("create", &to, &Asset::Native, op.starting_balance);
                }
                (
                    OperationBody::AccountMerge(to),
                    OperationResultTr::AccountMerge(AccountMergeResult::Success(held)),
                ) => {
                    paid("merge", to, &Asset::Native, *held);
                }
                (OperationBody::ClaimClaimableBalance(_), _) => *found.counts.entry("claim").or_default() += 1,
                (
                    OperationBody::InvokeHostFunction(_),
                    OperationResultTr::InvokeHostFunction(InvokeHostFunctionResult::Success(hash)),
                ) => {
                    found.calls += 1;
                    let TransactionMeta::V4(meta) = meta else { continue };
                    let (returned, events) = (meta.soroban_meta.clone().unwrap(), &meta.operations[index].events);
                    let committed = InvokeHostFunctionSuccessPreImage {
                        return_value: returned.return_value.unwrap(),
                        events: events.clone(),
                    };
                    let digest: [u8; 32] =
                        <sha2::Sha256 as sha2::Digest>::digest(committed.to_xdr(Limits::none()).unwrap()).into();
                    if digest != hash.0 {
                        continue;
                    }
                    for (place, event) in events.iter().enumerate() {
                        contract_event(&mut found, &pair.transaction_hash, (index, place + 1), event);
                    }
                }
                _ => {}
            }
        }
    }
    found
}

fn contract_event(found: &mut Found, tx: &Hash, place: (usize, usize), event: &ContractEvent) {
    let ContractEventBody::V0(body) = &event.body;
    let Some(ScVal::Symbol(name)) = body.topics.first() else { return };
    let addresses: Vec<String> = body
        .topics
        .iter()
        .filter_map(|topic| if let ScVal::Address(address) = topic { Some(address.to_string()) } else { None })
        .collect();
    let (from, to) = match (name.to_string().as_str(), addresses.as_slice()) {
        ("transfer", [from, to]) => (Some(from), to),
        ("mint", [.., to]) => (None, to),
        _ => return,
    };
    let contract = event.contract_id.clone().unwrap().to_string();
    let asset = match body.topics.last() {
        Some(ScVal::String(name)) => name.to_string(),
        _ => {
            found.tokens.push(contract.clone());
            contract
        }
    };
    let (amount, id) = match &body.data {
        ScVal::I128(parts) => (i128::from(parts), None),
        ScVal::Map(Some(map)) => {
            let of = |name: &str| {
                map.iter().find(|entry| matches!(&entry.key, ScVal::Symbol(key) if key.to_string() == name))
            };
            let Some(ScVal::I128(parts)) = of("amount").map(|entry| &entry.val) else { return };
            (i128::from(parts), of("to_muxed_id").map(|entry| entry.val.clone()))
        }
        _ => return,
    };
    let reference = match id {
        None | Some(ScVal::Void) => String::new(),
        Some(ScVal::U64(id)) => format!("id:{id}"),
        Some(other) => format!("{other:?}"),
    };
    // Only accounts and contracts can be watched, and what comes back to its sender pays nobody.
    if amount > 0 && from != Some(to) && (to.starts_with('G') || to.starts_with('C')) {
        *found.counts.entry("event").or_default() += 1;
        found.credits.push(Credit { tx: tx.to_string(), place, to: to.clone(), asset, amount, reference });
    }
}

fn envelopes(set: &GeneralizedTransactionSet) -> Vec<TransactionEnvelope> {
    let GeneralizedTransactionSet::V1(set) = set;
    let mut all = Vec::new();
    for phase in &set.phases {
        match phase {
            TransactionPhase::V0(components) => {
                for TxSetComponent::TxsetCompTxsMaybeDiscountedFee(component) in components {
                    all.extend(component.txs.iter().cloned());
                }
            }
            TransactionPhase::V1(parallel) => {
                for stage in &parallel.execution_stages {
                    for cluster in &stage.0 {
                        all.extend(cluster.0.iter().cloned());
                    }
                }
            }
        }
    }
    all
}

/// `AssetCode4` and `AssetCode12` print themselves without their padding.
fn named(asset: &Asset) -> String {
    match asset {
        Asset::Native => "native".to_owned(),
        Asset::CreditAlphanum4(asset) => format!("{}:{}", asset.asset_code, asset.issuer),
        Asset::CreditAlphanum12(asset) => format!("{}:{}", asset.asset_code, asset.issuer),
    }
}

fn base(account: &MuxedAccount) -> String {
    account.clone().account_id().to_string()
}

fn reference(memo: &Memo, to: &MuxedAccount) -> String {
    let memo = match memo {
        Memo::None => String::new(),
        Memo::Text(text) if text.is_empty() => String::new(),
        Memo::Text(text) => match String::from_utf8(text.to_vec()) {
            Ok(plain) if plain.chars().all(|c| !c.is_control()) => format!("text:{plain}"),
            _ => text.iter().fold("text-hex:".to_owned(), |all, byte| format!("{all}{byte:02x}")),
        },
        Memo::Id(id) => format!("id:{id}"),
        Memo::Hash(hash) => format!("hash:{hash}"),
        Memo::Return(hash) => format!("return:{hash}"),
    };
    match to {
        MuxedAccount::Ed25519(_) => memo,
        MuxedAccount::MuxedEd25519(muxed) => {
            let number = format!("id:{}", muxed.id);
            if memo.is_empty() || memo == number { number } else { format!("both:{number},{memo}") }
        }
    }
}
