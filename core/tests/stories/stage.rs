//! A stage for one intent on one invented chain, and ears for what is told.

use amn_core::block::{Address, AssetId, Height, Takeback, Transfer};
use amn_core::confirmation::{Policy, Require};
use amn_core::contract::{ContractEvent, Topic};
use amn_core::deposit::Deposit;
use amn_core::engine::{Command, Effect, Input, State, step};
use amn_core::id::IntentId;
use amn_core::intent::{Status, Sums};
use amn_core::money::Amount;
use amn_core::timestamp::Timestamp;
use serde_json::Value;

use crate::histories::facts::{Ask, USDC};
use crate::histories::world::World;

pub struct Stage {
    pub world: World,
    pub intent: IntentId,
    pub effects: Vec<Effect>,
    heard: usize,
}

pub fn confirmations(asked: u64) -> Policy {
    Policy { require: Require { confirmations: Some(asked), ..Require::default() }, tiers: Vec::new() }
}

impl Stage {
    pub fn new(policy: Policy, ask: &Ask) -> Self {
        let mut world = World::new("devnet", false, 0, Timestamp::from_seconds(1_795_000_000));
        world.state.policy = policy;
        world.state.intents.clear();
        world.state.watches.clear();
        let intent = world.ask(ask);
        let mut stage = Self { world, intent, effects: Vec::new(), heard: 0 };
        let first = stage.world.truth.head().header;
        stage.tell(Input::Start(first));
        stage
    }

    pub fn tell(&mut self, input: Input) {
        let mut told = Vec::new();
        let judged = self.world.tell(input, &mut |_, step| {
            told.clone_from(&step.effects);
            Ok(())
        });
        assert!(judged.is_ok());
        self.effects.extend(told);
    }

    pub fn command(&mut self, command: Command) {
        assert!(!self.refused(command), "{command:?} was refused");
        self.tell(Input::Command(command));
    }

    pub fn refused(&self, command: Command) -> bool {
        step(&self.world.state, &Input::Command(command)).is_err()
    }

    /// A payment in a block of its own.
    pub fn pay(&mut self, to: &str, amount: u128) -> Transfer {
        self.pay_in(to, USDC, amount)
    }

    pub fn pay_in(&mut self, to: &str, asset: &str, amount: u128) -> Transfer {
        let payment = self.world.truth.payment(to, asset, amount, None);
        self.mine(vec![payment.clone()]);
        payment
    }

    /// Payments in one block.
    pub fn pay_all(&mut self, pays: &[(&str, u128)]) {
        let all = pays.iter().map(|(to, amount)| self.world.truth.payment(to, USDC, *amount, None)).collect();
        self.mine(all);
    }

    pub fn mine(&mut self, transfers: Vec<Transfer>) {
        self.world.truth.grow(1, transfers, Vec::new());
    }

    /// A contract says something in a block of its own.
    pub fn say(&mut self, contract: &str, topic: &str, data: u64) -> ContractEvent {
        let tx = self.world.truth.payment("nobody", USDC, 0, None).id.tx;
        let topic = Topic { spelled: Some(topic.into()), shown: Value::from(topic) };
        let event = ContractEvent {
            tx,
            operation: 0,
            index: 0,
            ordinal: 0,
            contract: Address::new(contract),
            topics: vec![topic],
            data: Value::from(data),
        };
        self.mine_saying(vec![event.clone()]);
        event
    }

    pub fn mine_saying(&mut self, said: Vec<ContractEvent>) {
        self.world.truth.grow_saying(1, Vec::new(), Vec::new(), said);
    }

    pub fn take_back(&mut self, from: &str, amount: u128) {
        let id = self.world.truth.payment("issuer", USDC, amount, None).id;
        let (asset, amount) = (AssetId::new(USDC), Amount::new(amount));
        let takeback = Takeback { id, asset, from: Address::new(from), amount, later: Vec::new() };
        self.world.truth.grow(1, Vec::new(), vec![takeback]);
    }

    /// An empty block so many seconds later.
    pub fn later(&mut self, seconds: i64) {
        self.world.truth.grow(seconds, Vec::new(), Vec::new());
    }

    pub fn blocks_unread(&mut self, count: usize) {
        (0..count).for_each(|_| self.later(1));
    }

    /// Empty blocks, read one by one with whatever was there before them.
    pub fn blocks(&mut self, count: usize) {
        for _ in 0..count {
            self.later(1);
            self.read();
        }
    }

    /// The chain leaves its last blocks and goes on with others.
    pub fn fork(&mut self, depth: usize, blocks: Vec<Vec<Transfer>>) {
        self.world.truth.fork(depth);
        for transfers in blocks {
            self.mine(transfers);
        }
    }

    pub fn read(&mut self) {
        self.read_as(3, true, false);
    }

    pub fn read_by(&mut self, operators: u8) {
        self.read_as(operators, true, false);
    }

    pub fn read_reported(&mut self) {
        self.read_as(3, false, false);
    }

    pub fn read_stale(&mut self) {
        self.read_as(3, true, true);
    }

    fn read_as(&mut self, operators: u8, proven: bool, stale: bool) {
        let (tip, truth) = (self.tip(), &self.world.truth);
        let shared = |h: &&amn_core::block::Header| truth.at(h.at.height).is_some_and(|b| b.header.at == h.at);
        let fork = self.world.state.headers.down_from(tip).find(shared).expect("a shared block").at;
        let head = truth.head().header.at.height;
        let by = self.world.segment(fork.height.next(), head, operators, proven, false, stale);
        let input = if fork.height == tip { Input::Extend(by) } else { Input::Replace { fork, by } };
        self.tell(input);
    }

    pub fn tip(&self) -> Height {
        self.world.state.standing.tip.expect("started").at.height
    }

    pub fn state(&self) -> &State {
        &self.world.state
    }

    pub fn status(&self) -> Status {
        self.world.state.intents[&self.intent].progress.status
    }

    pub fn sums(&self) -> Sums {
        self.world.state.intents[&self.intent].progress.sums
    }

    pub fn only_deposit(&self) -> Deposit {
        let mut all = self.world.state.deposits.values();
        let first = all.next().expect("a deposit").clone();
        assert!(all.next().is_none(), "more than one deposit");
        first
    }

    /// What was told since this was last asked, without the prefix.
    pub fn heard(&mut self) -> Vec<String> {
        let new = self.effects.iter().skip(self.heard).filter_map(|effect| match effect {
            Effect::Announce(event) => event.kind.as_str().split_once('.').map(|(_, word)| word.to_owned()),
            _ => None,
        });
        let new = new.collect();
        self.heard = self.effects.len();
        new
    }

    /// The alarms that were raised since the last telling was asked for.
    pub fn alarms(&self) -> Vec<&'static str> {
        let new = self.effects.iter().skip(self.heard);
        new.filter_map(|effect| if let Effect::Alarm(alarm) = effect { Some(alarm.kind) } else { None }).collect()
    }

    pub fn last_body(&self) -> Value {
        let last = self.effects.iter().rev().find_map(|effect| match effect {
            Effect::Announce(event) => serde_json::from_slice(&event.body).ok(),
            _ => None,
        });
        last.unwrap_or_default()
    }
}
