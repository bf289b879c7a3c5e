//! Real ledgers of the public network: what they commit to, whom they pay, and what nobody can know from them.

use amn_core::block::{Hash, Height, Inclusion};
use amn_soroban::address;
use amn_soroban::decode;
use amn_soroban::evidence::verify;
use amn_soroban::ledger::Ledger;

use crate::support::*;

#[test]
fn a_native_payment_of_ledger_63092990_is_proven_from_the_ledger_itself() {
    let Some(bytes) = real("pubnet-ledger-63092990.xdr.gz") else { return };
    let network = pubnet();
    let ledger = Ledger::decode(&bytes).unwrap();
    assert_eq!((ledger.sequence(), ledger.protocol(), ledger.upgrade()), (63_092_990, 26, None));
    let verified = verify(&network, ledger, None).unwrap();
    assert_eq!(verified.header.at.height, Height(63_092_990));
    assert!(verified.attester.as_ref().is_some_and(|attester| attester.organisation.is_some()));
    let everywhere = everybody(&verified);
    let block = decode::block(&network.registry, &everywhere, &verified);
    for t in &block.transfers { println!("{t:?}"); }
    for t in &block.observations { println!("{t:?}"); }
    assert_eq!(block.evidence.inclusion, Inclusion::Proven);
}

fn everybody(ledger: &amn_soroban::evidence::Verified) -> amn_core::source::Watch {
    use stellar_xdr::*;
    let mut all = Vec::new();
    for s in ledger.applied.iter().filter_map(|a| a.success()) {
        for (i, op) in s.operations.iter().enumerate() {
            all.push(s.source_of(op).place);
            match &op.body {
                OperationBody::Payment(p) => all.push(address::Party::from(&p.destination).place),
                OperationBody::PathPaymentStrictReceive(p) => all.push(address::Party::from(&p.destination).place),
                OperationBody::PathPaymentStrictSend(p) => all.push(address::Party::from(&p.destination).place),
                OperationBody::CreateAccount(p) => all.push(address::Place::account(&p.destination)),
                OperationBody::AccountMerge(p) => all.push(address::Party::from(p).place),
                _ => {}
            }
            for e in s.contract_events(i).unwrap_or_default() {
                if let decode::Said::Arrived(m) = decode::decode_event(e) { all.extend(m.to.map(|p| p.place)); }
            }
        }
    }
    let _ = Hash([0; 32]);
    watch(all)
}
