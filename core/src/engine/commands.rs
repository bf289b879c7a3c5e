//! What a person or a backend asks for: the few moves that no chain makes.

use crate::deposit::{Deposit, DepositStatus, Owner, Unmatched};
use crate::engine::fold::Fold;
use crate::engine::{Command, Effect, Refusal};
use crate::event::EventKind;
use crate::id::{DepositId, IntentId};
use crate::intent::{End, Intent, Status};

impl Fold {
    pub fn command(&mut self, command: Command) -> Result<(), Refusal> {
        // While the chain is in doubt, only the person's word counts and nothing follows from it.
        let in_doubt = self.state.standing.halted.is_some();
        self.obey(command)?;
        if !in_doubt {
            self.settle();
            self.expire();
        }
        Ok(())
    }

    fn obey(&mut self, command: Command) -> Result<(), Refusal> {
        match command {
            Command::Cancel { intent } => self.cancel(intent),
            Command::Accept { intent } => self.accept(intent),
            Command::Assign { deposit, intent } => self.assign(deposit, intent),
            Command::Unassign { deposit } => self.unassign(deposit),
            Command::Resume { accept_fork } => {
                let Some(halt) = self.state.standing.halted.clone() else {
                    return Err(Refusal::Conflict("the network is not halted".into()));
                };
                if halt.reason.is_fork() && accept_fork.is_none() {
                    return Err(Refusal::Conflict(format!(
                        "halted for {}: name a block of the branch to follow with --accept-fork HASH",
                        halt.reason.as_str()
                    )));
                }
                self.emit(Effect::Resume { accept_fork });
                self.announce_network(EventKind::Resumed, halt.reason.as_str());
                Ok(())
            }
        }
    }

    fn intent(&self, id: IntentId) -> Result<Intent, Refusal> {
        self.state.intents.get(&id).cloned().ok_or(Refusal::NotFound("intent"))
    }

    fn deposit(&self, id: DepositId) -> Result<Deposit, Refusal> {
        self.state.deposits.get(&id).cloned().ok_or(Refusal::NotFound("deposit"))
    }

    fn cancel(&mut self, id: IntentId) -> Result<(), Refusal> {
        let mut progress = self.intent(id)?.progress;
        if progress.status == Status::Canceled {
            return Ok(()); // Asked twice.
        }
        if progress.status != Status::Awaiting {
            return Err(conflict("canceled", progress.status, "only an awaiting intent"));
        }
        progress.ended = Some(End::Canceled);
        progress.status = Status::Canceled;
        self.emit(Effect::SetIntent { intent: id, progress: Box::new(progress) });
        self.announce(id, EventKind::Canceled, None);
        self.refresh_ended(id);
        Ok(())
    }

    /// Everything that is there settles by a person's word and counts as in time.
    fn accept(&mut self, id: IntentId) -> Result<(), Refusal> {
        let before = self.intent(id)?.progress;
        if !matches!(before.status, Status::Late | Status::Expired | Status::Detected) {
            return Err(conflict("accepted", before.status, "a detected, expired or late intent"));
        }
        let mut live: Vec<Deposit> = self.state.deposits_of(id).filter(|d| d.is_live()).cloned().collect();
        live.sort_by_key(Deposit::place);
        if live.is_empty() {
            return Err(Refusal::Conflict("nothing has arrived that could be accepted".into()));
        }
        for deposit in live {
            if !deposit.counts() {
                self.own(&deposit, deposit.owner, deposit.assigned, deposit.late, true, deposit.tenant.clone());
            }
            if deposit.status == DepositStatus::Seen {
                self.settle_one(deposit.id);
            }
        }
        let sums = self.state.sums(id);
        let mut progress = before.clone();
        progress.sums = sums;
        progress.accepted = Some(sums.settled);
        progress.ended = None;
        progress.status = Status::Confirmed;
        self.emit(Effect::SetIntent { intent: id, progress: Box::new(progress) });
        self.announce(id, EventKind::Confirmed, Some("accepted"));
        let most = self.intent(id)?.terms;
        if most.due.checked_add(most.tolerance).is_some_and(|most| sums.settled > most) {
            self.announce(id, EventKind::Overpaid, None);
        }
        Ok(())
    }

    fn assign(&mut self, deposit: DepositId, to: IntentId) -> Result<(), Refusal> {
        let (known, intent) = (self.deposit(deposit)?, self.intent(to)?);
        if known.owner == Owner::Intent(to) {
            return Ok(()); // Asked twice.
        }
        if known.intent().is_some() {
            return Err(Refusal::Conflict("the deposit belongs to an intent already".into()));
        }
        if !known.is_live() {
            return Err(Refusal::Conflict(format!("the deposit is {}", known.status.as_str())));
        }
        if known.transfer.asset != intent.terms.asset {
            return Err(Refusal::Conflict(format!(
                "the deposit is in {}, the intent asks for {}",
                known.transfer.asset, intent.terms.asset
            )));
        }
        let late = intent.is_late(known.block_time);
        self.own(&known, Owner::Intent(to), true, late, false, intent.terms.tenant.clone());
        self.arrived(Some(to), deposit);
        // Told as detected first; what had settled before then counts as it would have.
        self.announce_sums(to, &intent.progress);
        Ok(())
    }

    fn unassign(&mut self, deposit: DepositId) -> Result<(), Refusal> {
        let known = self.deposit(deposit)?;
        let Owner::Intent(from) = known.owner else {
            return Err(Refusal::Conflict("the deposit belongs to no intent".into()));
        };
        if !known.assigned {
            return Err(Refusal::Conflict(
                "the deposit was matched on chain; only what was assigned can be unassigned".into(),
            ));
        }
        let nobody = Owner::Nobody(Unmatched::Unassigned);
        self.own(&known, nobody, false, false, false, known.tenant.clone());
        self.refresh(from);
        let settled = known.status == DepositStatus::Settled;
        let kind = if settled { EventKind::Reversed } else { EventKind::Retracted };
        if known.is_live() {
            self.announce(from, kind, Some("unassigned"));
        }
        Ok(())
    }

    fn own(&mut self, deposit: &Deposit, owner: Owner, assigned: bool, late: bool, accepted: bool, tenant: String) {
        self.emit(Effect::Own { deposit: deposit.id, owner, assigned, late, accepted, tenant });
    }
}

fn conflict(asked: &str, status: Status, only: &str) -> Refusal {
    Refusal::Conflict(format!("{only} can be {asked}; this one is {}", status.as_str()))
}
