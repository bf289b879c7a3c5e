//! One change to a real ledger after another. What the ledger commits to is refused and named; what it does not
//! is shown not to matter for a credit. Wrong credits: none.

use amn_core::block::{Block, BlockRef};
use amn_core::source::Watch;
use amn_soroban::decode;
use amn_soroban::evidence::{Lie, verify};
use amn_soroban::ledger::{Ledger, LedgerError};
use amn_soroban::networks::SorobanNetwork;
use amn_soroban::testkit::{Chain, Tx, Validator, plain};
use stellar_xdr::*;

use crate::forge::{Forged, edit, set_amount, succeeded};
use crate::second_reader;
use crate::support::*;

/// What becomes of a forged ledger.
#[derive(Debug)]
enum Outcome {
    Unreadable(LedgerError),
    Refused(Lie),
    /// It reads as proven: the ledger it claims to be, and what it pays.
    Read(Box<(BlockRef, Block)>),
}

/// A real ledger, everybody in it watched.
struct Victim {
    bytes: Vec<u8>,
    network: SorobanNetwork,
    watch: Watch,
    parent: BlockRef,
    honest: Block,
}

impl Victim {
    fn load() -> Option<Self> {
        let bytes = real("pubnet-ledger-63092990.xdr.gz")?;
        let found = second_reader::read(&Forged::of(&bytes).meta, pubnet().network_id);
        let (network, watch) = (listing(&found), everybody(&found));
        let ledger = Ledger::decode(&bytes).unwrap();
        let parent = ledger.parent();
        let honest = decode::block(&network.registry, &watch, &verify(&network, ledger, Some(parent)).unwrap());
        assert!(honest.transfers.len() > 100);
        Some(Self { bytes, network, watch, parent, honest })
    }

    fn judge(&self, bytes: &[u8]) -> Outcome {
        let ledger = match Ledger::decode(bytes) {
            Ok(ledger) => ledger,
            Err(error) => return Outcome::Unreadable(error),
        };
        match verify(&self.network, ledger, Some(self.parent)) {
            Err(lie) => Outcome::Refused(lie),
            Ok(verified) => {
                let block = decode::block(&self.network.registry, &self.watch, &verified);
                Outcome::Read(Box::new((verified.header.at, block)))
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut Forged)) -> Outcome {
        let mut forged = Forged::of(&self.bytes);
        change(&mut forged);
        let bytes = forged.bytes();
        assert_ne!(bytes, self.bytes, "the change changed nothing");
        self.judge(&bytes)
    }
}

/// A contradiction of this kind, and no other.
macro_rules! refused {
    ($outcome:expr, $kind:pat) => {{
        let outcome = $outcome;
        assert!(matches!(&outcome, Outcome::Refused($kind)), "{}: {outcome:?}", stringify!($kind));
    }};
}

/// The first payment in the set whose transaction succeeds or not; its place does not matter.
fn first_payment(forged: &mut Forged, change: impl Fn(&mut Transaction)) {
    let mut done = false;
    forged.classic(|list| {
        for envelope in list.iter_mut().filter(|_| !done) {
            if let TransactionEnvelope::Tx(envelope) = envelope
                && matches!(envelope.tx.operations[0].body, OperationBody::Payment(_))
            {
                done = true;
                change(&mut envelope.tx);
                return;
            }
        }
    });
    assert!(done, "a payment in the set");
}

fn first_op(tx: &mut Transaction, change: impl FnOnce(&mut PaymentOp)) {
    edit(&mut tx.operations, |operations| {
        let OperationBody::Payment(op) = &mut operations[0].body else { panic!("a payment") };
        change(op);
    });
}

#[test]
fn what_a_payer_signed_cannot_be_changed() {
    let Some(victim) = Victim::load() else { return };
    let payment = |change: fn(&mut Transaction)| victim.change(|forged| first_payment(forged, change));
    refused!(payment(|tx| first_op(tx, |op| op.amount += 1)), Lie::TransactionSet { .. });
    refused!(payment(|tx| first_op(tx, |op| op.destination = plain(amn_soroban::address::Place::Account([7; 32])))), Lie::TransactionSet { .. });
    refused!(payment(|tx| first_op(tx, |op| op.asset = Asset::CreditAlphanum4(AlphaNum4 {
        asset_code: AssetCode4(*b"USDC"),
        issuer: AccountId(PublicKey::PublicKeyTypeEd25519(Uint256([7; 32]))),
    }))), Lie::TransactionSet { .. });
    refused!(payment(|tx| tx.memo = Memo::Id(1)), Lie::TransactionSet { .. });
    refused!(payment(|tx| tx.source_account = plain(amn_soroban::address::Place::Account([7; 32]))), Lie::TransactionSet { .. });
    refused!(payment(|tx| edit(&mut tx.operations, |operations| operations.push(operations[0].clone()))), Lie::TransactionSet { .. });
    // The memos of two payments, swapped.
    refused!(
        victim.change(|forged| {
            let mut memos = Vec::new();
            let memo = |envelope: &TransactionEnvelope| match envelope {
                TransactionEnvelope::Tx(envelope) if envelope.tx.memo != Memo::None => Some(envelope.tx.memo.clone()),
                _ => None,
            };
            forged.classic(|list| memos.extend(list.iter().filter_map(memo)));
            let mut memos: Vec<_> = memos.into_iter().rev().collect();
            forged.classic(|list| {
                for envelope in list.iter_mut() {
                    if let TransactionEnvelope::Tx(envelope) = envelope
                        && envelope.tx.memo != Memo::None
                    {
                        envelope.tx.memo = memos.remove(0);
                    }
                }
            });
        }),
        Lie::TransactionSet { .. }
    );
    // Its signatures are under the same hash.
    refused!(
        victim.change(|forged| forged.classic(|list| {
            if let Some(TransactionEnvelope::Tx(envelope)) = list.iter_mut().find(|one| matches!(one, TransactionEnvelope::Tx(_))) {
                envelope.signatures = VecM::default();
            }
        })),
        Lie::TransactionSet { .. }
    );
}

#[test]
fn no_transaction_can_be_left_out_added_or_moved() {
    let Some(victim) = Victim::load() else { return };
    refused!(victim.change(|f| f.classic(|list| drop(list.pop()))), Lie::TransactionSet { .. });
    refused!(victim.change(|f| f.classic(|list| list.extend(list.first().cloned()))), Lie::TransactionSet { .. });
    refused!(victim.change(|f| f.classic(|list| list.reverse())), Lie::TransactionSet { .. });
    refused!(victim.change(|f| f.phases(|phases| phases.reverse())), Lie::TransactionSet { .. });
    refused!(victim.change(|f| f.processed(|list| drop(list.pop()))), Lie::Results { .. });
    refused!(victim.change(|f| f.processed(|list| list.push(list[0].clone()))), Lie::Results { .. });
    refused!(victim.change(|f| f.processed(|list| list.swap(0, 1))), Lie::Results { .. });
    // A transaction with its result, left out of both: whoever makes the results fit makes another ledger.
    refused!(
        victim.change(|f| {
            f.processed(|list| drop(list.pop()));
            f.classic(|list| drop(list.pop()));
        }),
        Lie::TransactionSet { .. }
    );
    refused!(victim.change(|f| f.set(|GeneralizedTransactionSet::V1(set)| set.previous_ledger_hash = Hash([1; 32]))), Lie::SetOfOtherParent { .. });
    refused!(
        victim.change(|f| f.phases(|phases| {
            let Some(TransactionPhase::V0(components)) = phases.first_mut() else { panic!("classic first") };
            edit(components, |components| {
                let TxSetComponent::TxsetCompTxsMaybeDiscountedFee(component) = &mut components[0];
                component.base_fee = Some(1);
            });
        })),
        Lie::TransactionSet { .. }
    );
}

#[test]
fn no_result_can_be_changed() {
    let Some(victim) = Victim::load() else { return };
    let result = |change: fn(&mut TransactionResult) -> bool| {
        victim.change(|forged| {
            forged.processed(|list| {
                assert!(list.iter_mut().any(|one| change(&mut one.result.result)));
            });
        })
    };
    // Failed becomes successful, and the other way round.
    refused!(
        result(|result| match &result.result {
            TransactionResultResult::TxFailed(results) => {
                result.result = TransactionResultResult::TxSuccess(results.clone());
                true
            }
            _ => false,
        }),
        Lie::Results { .. }
    );
    refused!(
        result(|result| match &result.result {
            TransactionResultResult::TxSuccess(results) => {
                result.result = TransactionResultResult::TxFailed(results.clone());
                true
            }
            _ => false,
        }),
        Lie::Results { .. }
    );
    // More is delivered by a path.
    refused!(
        result(|result| match &mut result.result {
            TransactionResultResult::TxSuccess(results) => {
                let mut found = false;
                edit(results, |results| {
                    for one in results {
                        if let OperationResult::OpInner(OperationResultTr::PathPaymentStrictSend(
                            PathPaymentStrictSendResult::Success(success),
                        )) = one
                        {
                            success.last.amount += 1;
                            found = true;
                        }
                    }
                });
                found
            }
            _ => false,
        }),
        Lie::Results { .. }
    );
    refused!(
        result(|result| {
            result.fee_charged += 1;
            true
        }),
        Lie::Results { .. }
    );
    // The name under which a result is filed.
    refused!(
        victim.change(|f| f.processed(|list| list[0].result.transaction_hash = Hash([1; 32]))),
        Lie::Results { .. }
    );
}

#[test]
fn events_of_contract_calls_cannot_be_changed() {
    let Some(victim) = Victim::load() else { return };
    let events = |change: fn(&mut Vec<ContractEvent>)| victim.change(|forged| forged.call_events(change));
    refused!(events(|events| events.iter_mut().take(1).for_each(|event| set_amount(event, 1))), Lie::Events { .. });
    refused!(events(|events| drop(events.pop())), Lie::Events { .. });
    refused!(events(|events| events.extend(events.first().cloned())), Lie::Events { .. });
    refused!(events(|events| events.reverse()), Lie::Events { .. });
    refused!(
        events(|events| events.iter_mut().for_each(|event| event.contract_id = Some(ContractId(Hash([1; 32]))))),
        Lie::Events { .. }
    );
    refused!(events(Vec::clear), Lie::Events { .. });
    let meta = |change: fn(&mut TransactionMetaV4)| {
        victim.change(|forged| forged.metas(|result, meta| {
            if meta.soroban_meta.is_some() && succeeded(result) {
                change(meta);
            }
        }))
    };
    refused!(meta(|meta| meta.soroban_meta = None), Lie::Events { .. });
    refused!(meta(|meta| meta.soroban_meta.as_mut().unwrap().return_value = Some(ScVal::Bool(true))), Lie::Events { .. });
    refused!(meta(|meta| meta.soroban_meta.as_mut().unwrap().return_value = None), Lie::Events { .. });
    refused!(meta(|meta| meta.operations = VecM::default()), Lie::Events { .. });
    // The whole meta of every transaction, blanked.
    refused!(
        victim.change(|f| f.processed(|list| {
            list.iter_mut().for_each(|one| one.tx_apply_processing = TransactionMeta::V0(VecM::default()));
        })),
        Lie::Events { .. }
    );
}

#[test]
fn no_header_can_be_forged() {
    let Some(victim) = Victim::load() else { return };
    refused!(victim.change(|f| f.entry().hash = Hash([1; 32])), Lie::HeaderHash { .. });
    refused!(victim.change(|f| f.header().ledger_seq += 1), Lie::HeaderHash { .. });
    refused!(victim.change(|f| f.header().scp_value.close_time.0 += 1), Lie::HeaderHash { .. });
    refused!(victim.change(|f| f.header().bucket_list_hash = Hash([1; 32])), Lie::HeaderHash { .. });
    refused!(victim.change(|f| f.header().previous_ledger_hash = Hash([1; 32])), Lie::HeaderHash { .. });
    // Hashed anew, it is another ledger, and each of its other commitments is in the way.
    let rehashed = |change: fn(&mut LedgerHeader)| {
        victim.change(|forged| {
            change(forged.header());
            forged.rehash();
        })
    };
    refused!(rehashed(|header| header.previous_ledger_hash = Hash([1; 32])), Lie::Unlinked { .. });
    refused!(rehashed(|header| header.ledger_seq += 1), Lie::Unlinked { .. });
    refused!(rehashed(|header| header.scp_value.close_time.0 += 1), Lie::ValueSignature { .. });
    refused!(rehashed(|header| header.scp_value.tx_set_hash = Hash([1; 32])), Lie::TransactionSet { .. });
    refused!(rehashed(|header| header.tx_set_result_hash = Hash([1; 32])), Lie::Results { .. });
    refused!(
        rehashed(|header| {
            let StellarValueExt::Signed(signature) = &mut header.scp_value.ext else { panic!("signed") };
            signature.signature = Signature(vec![0; 64].try_into().unwrap());
        }),
        Lie::ValueSignature { .. }
    );
    refused!(
        rehashed(|header| {
            let StellarValueExt::Signed(signature) = &mut header.scp_value.ext else { panic!("signed") };
            signature.node_id = NodeId(PublicKey::PublicKeyTypeEd25519(Uint256([1; 32])));
        }),
        Lie::ValueSignature { .. }
    );
    // A set of one's own needs a validator's signature.
    refused!(
        victim.change(|forged| {
            forged.classic(|list| drop(list.pop()));
            forged.recommit_set();
        }),
        Lie::ValueSignature { .. }
    );
    // A ledger said to be empty, whose transactions are shown all the same.
    refused!(
        rehashed(|header| {
            let StellarValueExt::Signed(signature) = header.scp_value.ext.clone() else { panic!("signed") };
            header.scp_value.ext = StellarValueExt::EmptyTxSet(StellarValueProposedValue {
                tx_set_hash: header.scp_value.tx_set_hash.clone(),
                previous_ledger_hash: header.previous_ledger_hash.clone(),
                previous_ledger_version: header.ledger_version,
                lc_value_signature: signature,
            });
            header.scp_value.tx_set_hash = Hash([0; 32]);
        }),
        Lie::NotEmpty { .. }
    );
    let outcome = rehashed(|header| header.ledger_version = 31);
    assert!(matches!(outcome, Outcome::Unreadable(LedgerError::Protocol { protocol: 31, .. })), "{outcome:?}");
}

#[test]
fn a_ledger_of_another_network_is_refused_though_all_its_hashes_hold() {
    let Some(victim) = Victim::load() else { return };
    let testnet = SorobanNetwork::shipped("stellar-testnet").unwrap().unwrap();
    let lie = verify(&testnet, Ledger::decode(&victim.bytes).unwrap(), None).unwrap_err();
    assert!(matches!(lie, Lie::ValueSignature { .. }), "{lie}");
    // Without signatures the names of its transactions give it away.
    let own = network("another network");
    let mut chain = Chain::new("one network", 19);
    chain.value = amn_soroban::testkit::Value::Basic;
    let pay = Tx::of(amn_soroban::address::Place::Account([1; 32])).pay(plain(amn_soroban::address::Place::Account([2; 32])), &Asset::Native, 1);
    let closed = chain.close(&[pay], &Validator::new(1));
    let lie = verify(&own, Ledger::decode(&closed.bytes()).unwrap(), None).unwrap_err();
    assert!(matches!(lie, Lie::ResultOfOther { .. }), "{lie}");
}

#[test]
fn broken_bytes_are_no_ledger() {
    let Some(victim) = Victim::load() else { return };
    let cut = &victim.bytes[..victim.bytes.len() - 4];
    let longer = [victim.bytes.as_slice(), &[0; 4]].concat();
    for bytes in [cut, &longer, &[], b"\0\0\0\x09", &vec![0; 17 << 20]] {
        let outcome = victim.judge(bytes);
        assert!(matches!(outcome, Outcome::Unreadable(_)), "{outcome:?}");
    }
}

#[test]
fn results_forged_with_their_header_make_another_ledger_which_nobody_vouches_for() {
    let Some(victim) = Victim::load() else { return };
    // Nothing inside the ledger contradicts it: validators sign the set, not the results. It is another ledger:
    // no operator gives its hash, no signature above is about it, and the next ledger stands on the real one.
    let outcome = victim.change(|forged| {
        forged.processed(|list| {
            for one in list.iter_mut() {
                if let TransactionResultResult::TxFailed(results) = &one.result.result.result {
                    let paid = results.iter().all(|result| {
                        matches!(result, OperationResult::OpInner(OperationResultTr::Payment(PaymentResult::Success)))
                    });
                    if paid {
                        one.result.result.result = TransactionResultResult::TxSuccess(results.clone());
                    }
                }
                one.result.result.fee_charged += 1;
            }
        });
        forged.recommit_results();
    });
    let Outcome::Read(read) = outcome else { panic!("{outcome:?}") };
    assert_ne!(read.0, victim.honest.header.at);
    let mut chain = Chain::new("the network", 26);
    let (network, validator) = (network("the network"), Validator::new(1));
    let mut forged = Forged { meta: chain.close(&[], &validator).meta };
    forged.header().tx_set_result_hash = Hash([1; 32]);
    forged.recommit_results();
    forged.header().fee_pool += 1;
    forged.rehash();
    let other = verify(&network, Ledger::decode(&forged.bytes()).unwrap(), None).unwrap();
    let next = chain.close(&[], &validator);
    let lie = verify(&network, Ledger::decode(&next.bytes()).unwrap(), Some(other.header.at)).unwrap_err();
    assert!(matches!(lie, Lie::Unlinked { .. }), "{lie}");
}

#[test]
fn what_nothing_commits_to_does_not_matter_for_a_credit() {
    let Some(victim) = Victim::load() else { return };
    let mut tried = 0;
    let mut same = |what: &str, observed: bool, change: &dyn Fn(&mut Forged)| {
        let outcome = victim.change(change);
        let Outcome::Read(read) = outcome else { panic!("{what}: {outcome:?}") };
        let (at, block) = *read;
        assert_eq!(at, victim.honest.header.at, "{what}");
        assert_eq!(block.transfers, victim.honest.transfers, "{what}");
        assert_eq!(block.takebacks, victim.honest.takebacks, "{what}");
        assert_eq!(block.observations != victim.honest.observations, observed, "{what}: {:?}", block.observations);
        tried += 1;
    };
    same("amounts of events beside payments", true, &|f| {
        f.said_events(|events| events.iter_mut().for_each(|event| set_amount(event, 1)));
    });
    same("no events beside payments", false, &|f| f.said_events(Vec::clear));
    same("events of payments that were not made", true, &|f| {
        let mut invented = None;
        f.said_events(|events| invented = invented.take().or_else(|| events.first().cloned()));
        let mut invented = invented.unwrap();
        set_amount(&mut invented, 1_000_000_000);
        f.said_events(|events| events.push(invented.clone()));
    });
    same("events beside payments that tell of a contract call", true, &|f| {
        let mut moved = Vec::new();
        f.metas(|result, meta| {
            if meta.soroban_meta.is_some() && succeeded(result) {
                moved.extend(meta.operations[0].events.to_vec());
            }
        });
        f.said_events(|events| *events = moved.clone());
    });
    same("events of what failed", false, &|f| {
        let mut events = Vec::new();
        f.said_events(|said| events.extend(said.iter().cloned()));
        f.metas(|result, meta| {
            if !succeeded(result) {
                let operation = OperationMetaV2 {
                    ext: ExtensionPoint::V0,
                    changes: LedgerEntryChanges(VecM::default()),
                    events: events.iter().take(20).cloned().collect::<Vec<_>>().try_into().unwrap(),
                };
                meta.operations = vec![operation].try_into().unwrap();
            }
        });
    });
    same("the metas of classic transactions", false, &|f| {
        f.processed(|list| {
            for one in list.iter_mut() {
                if !matches!(&one.tx_apply_processing, TransactionMeta::V4(meta) if meta.soroban_meta.is_some()) {
                    one.tx_apply_processing = TransactionMeta::V0(VecM::default());
                }
            }
        });
    });
    same("what entries changed to", false, &|f| {
        f.metas(|_, meta| {
            edit(&mut meta.operations, |operations| {
                operations.iter_mut().for_each(|operation| operation.changes = LedgerEntryChanges(VecM::default()));
            });
            meta.tx_changes_before = LedgerEntryChanges(VecM::default());
        });
    });
    same("what fees changed", false, &|f| {
        f.processed(|list| {
            list.iter_mut().for_each(|one| one.fee_processing = LedgerEntryChanges(VecM::default()));
        });
    });
    same("events of fees", false, &|f| f.metas(|_, meta| meta.events = VecM::default()));
    same("diagnostic events", false, &|f| {
        f.metas(|_, meta| {
            let Some(event) = meta.operations.first().and_then(|operation| operation.events.first().cloned()) else { return };
            let event = DiagnosticEvent { in_successful_contract_call: true, event };
            meta.diagnostic_events = vec![event].try_into().unwrap();
        });
    });
    same("what is evicted, and how much is stored", false, &|f| {
        let LedgerCloseMeta::V2(v2) = &mut f.meta else { panic!("the newest form") };
        v2.evicted_keys = VecM::default();
        v2.total_byte_size_of_live_soroban_state += 1;
    });
    assert_eq!(tried, 11);
}
