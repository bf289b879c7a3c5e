//! Transactions with the results and the meta that a node would show for them.

use stellar_xdr::{
    AccountId, AccountMergeResult, Asset, ClaimClaimableBalanceOp, ClaimClaimableBalanceResult, ClaimableBalanceEntry,
    ClaimableBalanceEntryExt, ClaimableBalanceId, ClawbackOp, ClawbackResult, ContractEvent, ContractId,
    CreateAccountOp, CreateAccountResult, CreateClaimableBalanceOp, CreateClaimableBalanceResult, FeeBumpTransaction,
    FeeBumpTransactionEnvelope, FeeBumpTransactionExt, FeeBumpTransactionInnerTx, Hash, HostFunction,
    InvokeContractArgs, InvokeHostFunctionOp, InvokeHostFunctionResult, LedgerEntry, LedgerEntryChange,
    LedgerEntryData, LedgerEntryExt, LedgerKey, LedgerKeyClaimableBalance, Memo, MuxedAccount, MuxedAccountMed25519,
    Operation, OperationBody, OperationResultTr, PathPaymentStrictReceiveOp, PathPaymentStrictReceiveResult,
    PathPaymentStrictReceiveResultSuccess, PathPaymentStrictSendOp, PathPaymentStrictSendResult,
    PathPaymentStrictSendResultSuccess, PaymentOp, PaymentResult, Preconditions, PublicKey, ScAddress, ScSymbol, ScVal,
    SequenceNumber, SetTrustLineFlagsOp, SetTrustLineFlagsResult, SimplePaymentResult, Transaction,
    TransactionEnvelope, TransactionExt, TransactionV0, TransactionV0Envelope, TransactionV0Ext, TransactionV1Envelope,
    Uint256, VecM,
};

use crate::address::{Party, Place};

/// A transaction as a test says it: who pays whom, and what came of it.
#[derive(Clone, Debug)]
pub struct Tx {
    pub(super) source: MuxedAccount,
    pub(super) memo: Memo,
    pub(super) steps: Vec<Step>,
    pub(super) bumped_by: Option<Place>,
    pub(super) succeeds: bool,
    /// In the form of before protocol 13.
    pub(super) old_form: bool,
}

/// An operation, its result, and what a node shows beside it.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) operation: Operation,
    pub(super) result: OperationResultTr,
    /// Of a contract call: what is committed to. Of a classic operation: hearsay.
    pub(super) events: Vec<ContractEvent>,
    pub(super) changes: Vec<LedgerEntryChange>,
    /// What a contract call returned; its commitment is made when the ledger closes.
    pub(super) returned: Option<ScVal>,
}

/// An account as a destination.
#[must_use]
pub fn plain(place: Place) -> MuxedAccount {
    let (Place::Account(key) | Place::Contract(key)) = place;
    MuxedAccount::Ed25519(Uint256(key))
}

/// An account with a number as a destination.
#[must_use]
pub fn muxed(place: Place, id: u64) -> MuxedAccount {
    let (Place::Account(key) | Place::Contract(key)) = place;
    MuxedAccount::MuxedEd25519(MuxedAccountMed25519 { id, ed25519: Uint256(key) })
}

fn account(place: Place) -> AccountId {
    let (Place::Account(key) | Place::Contract(key)) = place;
    AccountId(PublicKey::PublicKeyTypeEd25519(Uint256(key)))
}

fn balance(id: u8) -> ClaimableBalanceId {
    ClaimableBalanceId::ClaimableBalanceIdTypeV0(Hash([id; 32]))
}

impl Tx {
    /// A transaction of this account, which does nothing yet.
    #[must_use]
    pub fn of(source: Place) -> Self {
        Self {
            source: plain(source),
            memo: Memo::None,
            steps: Vec::new(),
            bumped_by: None,
            succeeds: true,
            old_form: false,
        }
    }

    #[must_use]
    pub fn memo(mut self, memo: Memo) -> Self {
        self.memo = memo;
        self
    }

    /// Its fee is paid by another account, in a transaction around it.
    #[must_use]
    pub fn bumped_by(mut self, place: Place) -> Self {
        self.bumped_by = Some(place);
        self
    }

    /// It fails: its operations show what they would have done, and nothing of it happened.
    #[must_use]
    pub fn fails(mut self) -> Self {
        self.succeeds = false;
        self
    }

    #[must_use]
    pub fn old_form(mut self) -> Self {
        self.old_form = true;
        self
    }

    #[must_use]
    pub fn step(mut self, body: OperationBody, result: OperationResultTr) -> Self {
        let operation = Operation { source_account: None, body };
        self.steps.push(Step { operation, result, events: Vec::new(), changes: Vec::new(), returned: None });
        self
    }

    /// The last operation acts for another account.
    #[must_use]
    pub fn on_behalf_of(mut self, place: Place) -> Self {
        if let Some(step) = self.steps.last_mut() {
            step.operation.source_account = Some(plain(place));
        }
        self
    }

    /// A node shows these events beside the last operation.
    #[must_use]
    pub fn shows(mut self, events: Vec<ContractEvent>) -> Self {
        if let Some(step) = self.steps.last_mut() {
            step.events = events;
        }
        self
    }

    #[must_use]
    pub fn pay(self, to: MuxedAccount, asset: &Asset, amount: i64) -> Self {
        let op = PaymentOp { destination: to, asset: asset.clone(), amount };
        self.step(OperationBody::Payment(op), OperationResultTr::Payment(PaymentResult::Success))
    }

    /// A path payment that sends an exact sum; `received` is what the last trade gave.
    #[must_use]
    pub fn send_by_path(self, to: MuxedAccount, asset: &Asset, sent: i64, received: i64) -> Self {
        let last = last(&to, asset, received);
        let op = PathPaymentStrictSendOp {
            send_asset: Asset::Native,
            send_amount: sent,
            destination: to,
            dest_asset: asset.clone(),
            dest_min: 1,
            path: VecM::default(),
        };
        let success = PathPaymentStrictSendResultSuccess { offers: VecM::default(), last };
        let result = PathPaymentStrictSendResult::Success(success);
        self.step(OperationBody::PathPaymentStrictSend(op), OperationResultTr::PathPaymentStrictSend(result))
    }

    /// A path payment that delivers an exact sum and costs at most `at_most`.
    #[must_use]
    pub fn deliver_by_path(self, to: MuxedAccount, asset: &Asset, at_most: i64, received: i64) -> Self {
        let last = last(&to, asset, received);
        let op = PathPaymentStrictReceiveOp {
            send_asset: Asset::Native,
            send_max: at_most,
            destination: to,
            dest_asset: asset.clone(),
            dest_amount: received,
            path: VecM::default(),
        };
        let success = PathPaymentStrictReceiveResultSuccess { offers: VecM::default(), last };
        let result = PathPaymentStrictReceiveResult::Success(success);
        self.step(OperationBody::PathPaymentStrictReceive(op), OperationResultTr::PathPaymentStrictReceive(result))
    }

    #[must_use]
    pub fn create(self, place: Place, starting_balance: i64) -> Self {
        let op = CreateAccountOp { destination: account(place), starting_balance };
        self.step(OperationBody::CreateAccount(op), OperationResultTr::CreateAccount(CreateAccountResult::Success))
    }

    #[must_use]
    pub fn merge_into(self, to: MuxedAccount, held: i64) -> Self {
        let result = OperationResultTr::AccountMerge(AccountMergeResult::Success(held));
        self.step(OperationBody::AccountMerge(to), result)
    }

    /// A contract call that succeeded with these events.
    #[must_use]
    pub fn call(self, events: Vec<ContractEvent>) -> Self {
        let op = InvokeHostFunctionOp {
            host_function: HostFunction::InvokeContract(InvokeContractArgs {
                contract_address: ScAddress::Contract(ContractId(Hash([0xcc; 32]))),
                function_name: ScSymbol("transfer".try_into().unwrap_or_default()),
                args: VecM::default(),
            }),
            auth: VecM::default(),
        };
        let result = OperationResultTr::InvokeHostFunction(InvokeHostFunctionResult::Success(Hash([0; 32])));
        let mut called = self.step(OperationBody::InvokeHostFunction(op), result).shows(events);
        if let Some(step) = called.steps.last_mut() {
            step.returned = Some(ScVal::Void);
        }
        called
    }

    /// A contract call as a host played it: what it returned, or that it failed, and what it emitted.
    #[must_use]
    pub fn invoke(self, op: InvokeHostFunctionOp, returned: Option<ScVal>, events: Vec<ContractEvent>) -> Self {
        let (result, succeeds) = match returned {
            Some(_) => (InvokeHostFunctionResult::Success(Hash([0; 32])), self.succeeds),
            None => (InvokeHostFunctionResult::Trapped, false),
        };
        let result = OperationResultTr::InvokeHostFunction(result);
        let mut called = self.step(OperationBody::InvokeHostFunction(op), result).shows(events);
        if let Some(step) = called.steps.last_mut() {
            step.returned = returned;
        }
        called.succeeds = succeeds;
        called
    }

    #[must_use]
    pub fn make_balance(self, id: u8, asset: &Asset, amount: i64) -> Self {
        let op = CreateClaimableBalanceOp { asset: asset.clone(), amount, claimants: VecM::default() };
        let result = CreateClaimableBalanceResult::Success(balance(id));
        self.step(OperationBody::CreateClaimableBalance(op), OperationResultTr::CreateClaimableBalance(result))
    }

    /// Claims a balance; `said` is what the node says was in it.
    #[must_use]
    pub fn claim_balance(self, id: u8, said: Option<(&Asset, i64)>) -> Self {
        let op = ClaimClaimableBalanceOp { balance_id: balance(id) };
        let result = OperationResultTr::ClaimClaimableBalance(ClaimClaimableBalanceResult::Success);
        let mut claimed = self.step(OperationBody::ClaimClaimableBalance(op), result);
        if let (Some((asset, amount)), Some(step)) = (said, claimed.steps.last_mut()) {
            let held = ClaimableBalanceEntry {
                balance_id: balance(id),
                claimants: VecM::default(),
                asset: asset.clone(),
                amount,
                ext: ClaimableBalanceEntryExt::V0,
            };
            let entry = LedgerEntry {
                last_modified_ledger_seq: 1,
                data: LedgerEntryData::ClaimableBalance(held),
                ext: LedgerEntryExt::V0,
            };
            let key = LedgerKey::ClaimableBalance(LedgerKeyClaimableBalance { balance_id: balance(id) });
            step.changes = vec![LedgerEntryChange::State(entry), LedgerEntryChange::Removed(key)];
        }
        claimed
    }

    #[must_use]
    pub fn claw_back(self, from: MuxedAccount, asset: &Asset, amount: i64) -> Self {
        let op = ClawbackOp { asset: asset.clone(), from, amount };
        self.step(OperationBody::Clawback(op), OperationResultTr::Clawback(ClawbackResult::Success))
    }

    /// The issuer no longer lets this account pay with the asset.
    #[must_use]
    pub fn withdraw_authorization(self, holder: Place, asset: &Asset) -> Self {
        let op = SetTrustLineFlagsOp { trustor: account(holder), asset: asset.clone(), clear_flags: 1, set_flags: 0 };
        let result = OperationResultTr::SetTrustLineFlags(SetTrustLineFlagsResult::Success);
        self.step(OperationBody::SetTrustLineFlags(op), result)
    }

    /// The source as our own code names it.
    #[must_use]
    pub fn source(&self) -> Party {
        Party::from(&self.source)
    }

    pub(super) fn is_call(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.operation.body, OperationBody::InvokeHostFunction(_)))
    }

    /// The transaction as it is signed (by nobody: who is allowed is the network's business), and the one
    /// inside it where there is one.
    pub(super) fn envelope(&self, sequence: i64) -> (TransactionEnvelope, Option<TransactionV1Envelope>) {
        let operations: Vec<_> = self.steps.iter().map(|step| step.operation.clone()).collect();
        let operations = operations.try_into().unwrap_or_default();
        if self.old_form {
            let (MuxedAccount::Ed25519(key) | MuxedAccount::MuxedEd25519(MuxedAccountMed25519 { ed25519: key, .. })) =
                &self.source;
            let tx = TransactionV0 {
                source_account_ed25519: key.clone(),
                fee: 100,
                seq_num: SequenceNumber(sequence),
                time_bounds: None,
                memo: self.memo.clone(),
                operations,
                ext: TransactionV0Ext::V0,
            };
            return (TransactionEnvelope::TxV0(TransactionV0Envelope { tx, signatures: VecM::default() }), None);
        }
        let tx = Transaction {
            source_account: self.source.clone(),
            fee: 100,
            seq_num: SequenceNumber(sequence),
            cond: Preconditions::None,
            memo: self.memo.clone(),
            operations,
            ext: TransactionExt::V0,
        };
        let inner = TransactionV1Envelope { tx, signatures: VecM::default() };
        let Some(payer) = self.bumped_by else { return (TransactionEnvelope::Tx(inner), None) };
        let tx = FeeBumpTransaction {
            fee_source: plain(payer),
            fee: 400,
            inner_tx: FeeBumpTransactionInnerTx::Tx(inner.clone()),
            ext: FeeBumpTransactionExt::V0,
        };
        (TransactionEnvelope::TxFeeBump(FeeBumpTransactionEnvelope { tx, signatures: VecM::default() }), Some(inner))
    }
}

fn last(to: &MuxedAccount, asset: &Asset, amount: i64) -> SimplePaymentResult {
    SimplePaymentResult { destination: account(Party::from(to).place), asset: asset.clone(), amount }
}
