//! Follows one network: asks its source what happened, and hands it to the desk where it is decided.
//!
//! Law: the head is asked for before the watches are read, so that a watch made in between is newer than
//! the coverage and its past is read again. Read on in `store::decide`.

mod backfill;
mod balances;
mod fork;
pub mod pace;
mod running;
mod tell;

pub(crate) use tell::say_effect;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use amn_core::block::{Address, BlockRef, Header, Height, NetworkId};
use amn_core::confirmation::Policy;
use amn_core::engine::{Alarm, Effect, Halt, HaltReason, Input, Standing};
use amn_core::source::{ChainSource, Head, Position, SourceError, Voucher, Watch, WatchVersion};
use amn_core::timestamp::Timestamp;
use sqlx::PgPool;
use tokio::sync::Notify;
use tracing::info;
use uuid::Uuid;

use self::running::Running;
pub use self::running::{Pulse, Woken};
use crate::clock::Clock;
use crate::store::decide::{CommandError, Decision, Desk};
use crate::store::{StoreError, network};

/// How long a lease lasts. A killed daemon is followed by another within it.
pub const LEASE: Duration = Duration::from_secs(10);

/// A standing older than this is read again: a person may have halted, resumed or changed the policy.
const STANDING_AGE_MAX: Duration = Duration::from_millis(500);

/// Watches read in one go; more are read in further rounds of the same query.
const WATCH_PAGE: i64 = 50_000;

/// The watches are read from the beginning once a day, so that native money is no longer read where its time is over.
const WATCH_ANEW: Duration = Duration::from_hours(24);

/// How often deposits with too little evidence are looked up again.
const PROVE_EVERY: Duration = Duration::from_secs(5);

/// What a round came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The tip moved and more may be there.
    Advanced,
    /// We stand where the network stands.
    Idle,
    /// Another daemon follows this network.
    Standby,
    /// The network waits for a person.
    Halted,
    /// The source cannot go on now; it said why.
    Waiting(SourceError),
}

/// What a follower is made of.
#[derive(Debug)]
pub struct Parts<S> {
    pub source: S,
    pub desk: Desk,
    pub pool: PgPool,
    pub clock: Arc<dyn Clock>,
    /// Rung when there may be something new.
    pub bell: Arc<Notify>,
    /// Rung when events were committed.
    pub told: Arc<Notify>,
    /// Who we are, among daemons on one database.
    pub holder: Uuid,
    pub poll: Duration,
    /// The raw bytes a family knows an address by.
    pub raw: fn(&Address) -> Option<Vec<u8>>,
    /// Where a new network begins, if not at its finalized block.
    pub start: Option<BlockRef>,
    /// Compare balances every so many blocks; `None`: never.
    pub balance_check: Option<u64>,
}

/// Follows one network.
#[derive(Debug)]
pub struct Follower<S> {
    parts: Parts<S>,
    known: Option<Standing>,
    checkpoint: Vec<(String, Vec<u8>)>,
    policy: Option<Policy>,
    read_at: Timestamp,
    leased_until: Timestamp,
    proved_at: Timestamp,
    /// Where we stood then.
    proved_on: Option<BlockRef>,
    watched_at: Timestamp,
    watch: Watch,
    watch_read_at: Timestamp,
    alarms: BTreeMap<(&'static str, String), Timestamp>,
    running: Running,
}

/// Why a follower stops: the database is gone, or a row is not what it must be.
pub type FollowError = StoreError;

impl<S: ChainSource> Follower<S> {
    #[must_use]
    pub fn new(parts: Parts<S>) -> Self {
        let never = Timestamp::from_millis(i64::MIN);
        Self {
            running: Running::steady(parts.poll),
            watch: parts.source.new_watch(WatchVersion(0)),
            parts,
            known: None,
            checkpoint: Vec::new(),
            policy: None,
            read_at: never,
            leased_until: never,
            proved_at: never,
            proved_on: None,
            watched_at: never,
            watch_read_at: never,
            alarms: BTreeMap::new(),
        }
    }

    fn network(&self) -> NetworkId {
        self.parts.desk.facts().id.clone()
    }

    /// One look at the network: at most one stretch, what the network says of it, and what is owed to newer watches.
    pub async fn round(&mut self) -> Result<Outcome, FollowError> {
        if !self.lead().await? {
            return Ok(Outcome::Standby);
        }
        let standing = self.standing().await?;
        self.gauge(&standing);
        if standing.halted.is_some() {
            return Ok(Outcome::Halted);
        }
        // Of its own allocation: all that a look may do would make every future it is part of a large one.
        match Box::pin(self.look(standing)).await {
            Ok(outcome) => Ok(outcome),
            Err(Trouble::Store(error)) => Err(error),
            Err(Trouble::Source(SourceError::Pruned(why))) => self.stop_for(HaltReason::Pruned, why).await,
            Err(Trouble::Source(SourceError::Unsupported(why))) => self.stop_for(HaltReason::Unsupported, why).await,
            Err(Trouble::Source(why)) => Ok(Outcome::Waiting(why)),
        }
    }

    async fn look(&mut self, standing: Standing) -> Result<Outcome, Trouble> {
        let head = self.parts.source.head().await?;
        // Where nothing moved, newer watches are asked for seldom: each look at an idle chain costs one question to it.
        let now = self.parts.clock.now();
        let still = standing.tip.is_some_and(|tip| tip.at == head.tip.at);
        if still && now.millis().saturating_sub(self.watched_at.millis()) < millis(STANDING_AGE_MAX) {
            self.settle_with(&head).await?;
            return Ok(Outcome::Idle);
        }
        self.watched_at = now;
        self.refresh_watch().await?;
        self.gauge_head(&head);
        let Some(tip) = standing.tip else {
            return Box::pin(self.begin(&head)).await;
        };
        let followed = if head.tip.at == tip.at {
            Ok(Outcome::Idle)
        } else if head.tip.at.height > tip.at.height {
            // Boxed, as are the others: what most rounds do not do must not make every round large.
            Box::pin(self.advance(tip, &head)).await
        } else {
            // Behind us: a node that lags, or a branch that is shorter than ours.
            Box::pin(self.compare_shorter(tip, &head)).await
        };
        let outcome = match followed {
            // A head that nobody can show must not keep what we stand on from settling.
            Err(Trouble::Source(why @ (SourceError::NotYet(_) | SourceError::Malformed(_)))) => Outcome::Waiting(why),
            other => other?,
        };
        match self.settle_with(&head).await {
            // What keeps us from going on is the better reason to wait for.
            Err(Trouble::Source(SourceError::NotYet(_))) if matches!(outcome, Outcome::Waiting(_)) => {}
            settled => settled?,
        }
        Box::pin(self.prove()).await?;
        Box::pin(self.check_balances()).await?;
        if self.backfill().await? {
            self.watched_at = Timestamp::from_millis(i64::MIN); // There may be more of it.
            return Ok(Outcome::Advanced);
        }
        Ok(outcome)
    }

    /// The ledger of a new network begins at the configured block, or where the network is final.
    async fn begin(&mut self, head: &Head) -> Result<Outcome, Trouble> {
        let at = match self.parts.start {
            Some(start) => {
                let header = self.header_near(start.height).await?;
                if header.at != start {
                    let found = header.at.hash;
                    let text = format!("start names {} at {}, the chain has {found}", start.hash, start.height);
                    return Err(SourceError::Unsupported(text).into());
                }
                header
            }
            None => match head.finalized {
                Some(finalized) => self.parts.source.header_at(finalized.height).await?,
                None => head.tip,
            },
        };
        // All that follows will stand on it.
        let vouchers = self.parts.source.vouch(&at).await?;
        let other = vouchers.iter().find(|v| v.block.height == at.at.height && v.block != at.at);
        if let Some(other) = other
            && !self.parts.source.arbitrate(at.at).await
        {
            let (height, operator) = (at.at.height, &other.operator);
            let text =
                format!("operators differ about block {height}, where the ledger should begin: {operator} has another");
            return Err(SourceError::Malformed(text).into());
        }
        // Where there is no way back from a false block, two must have the first, unless a person named it.
        let facts = self.parts.desk.facts();
        let behind = vouchers.iter().filter(|voucher| voucher.block == at.at).count();
        let asked = usize::try_from(facts.rewind_operators).unwrap_or(usize::MAX);
        if facts.instant_finality && self.parts.start.is_none() && behind < asked {
            let text =
                format!("{behind} of {asked} operators have block {}, where the ledger should begin", at.at.height);
            return Err(SourceError::NotYet(text).into());
        }
        info!(network = %self.network(), height = at.at.height.0, hash = %at.at.hash, "the ledger begins here");
        self.decide(&Input::Start(at)).await?;
        Ok(Outcome::Advanced)
    }

    /// The header at a height; where no node has that block any more, what its child says of it. The child's
    /// time then stands for its own: later by a block, which only makes expiry a block stricter.
    async fn header_near(&self, height: Height) -> Result<Header, SourceError> {
        match self.parts.source.header_at(height).await {
            Err(why @ (SourceError::NotYet(_) | SourceError::Pruned(_))) => {
                let child = self.parts.source.header_at(height.next()).await;
                let Ok(child) = child else { return Err(why) };
                let unknown = amn_core::block::Hash([0; 32]);
                Ok(Header { at: BlockRef { height, hash: child.parent }, parent: unknown, time: child.time })
            }
            header => header,
        }
    }

    /// Reads up to the head, reading the next stretch while the last one is decided and written.
    async fn advance(&mut self, tip: Header, head: &Head) -> Result<Outcome, Trouble> {
        let up_to = head.tip.at.height;
        let final_to = head.finalized.map(|f| f.height);
        let on = Position { tip: tip.at, checkpoint: self.checkpoint.clone() };
        let mut next = match self.parts.source.segment(&on, up_to, final_to, &self.watch).await {
            Err(SourceError::Forked(_)) => return self.fork(head).await,
            other => other?,
        };
        loop {
            let segment = next;
            let on = Position { tip: segment.tip.at, checkpoint: segment.checkpoint.clone() };
            let input = Input::Extend(segment);
            if on.tip.height >= up_to {
                self.decide(&input).await?;
                return Ok(Outcome::Idle);
            }
            let now = self.parts.clock.now();
            let (decided, read) = tokio::join!(
                self.parts.desk.decide(&input, now),
                self.parts.source.segment(&on, up_to, final_to, &self.watch)
            );
            self.note(decided)?;
            self.mark_passed(head, &on).await?;
            if !self.lead().await.map_err(Trouble::Store)?
                || self.known.as_ref().is_some_and(|k| k.tip.map(|t| t.at) != Some(on.tip))
            {
                return Ok(Outcome::Advanced);
            }
            next = match read {
                Err(SourceError::Forked(_)) => return Ok(Outcome::Advanced),
                other => other?,
            };
            // Watches that came meanwhile are looked for from the next stretch on.
            self.refresh_watch().await?;
        }
    }

    /// While catching up, the chain's own hash at our tip tells whether our tip is already final.
    async fn mark_passed(&mut self, head: &Head, on: &Position) -> Result<(), Trouble> {
        let Some(finalized) = head.finalized.filter(|f| f.height >= on.tip.height) else { return Ok(()) };
        let same = finalized == on.tip || self.parts.source.header_at(on.tip.height).await?.at == on.tip;
        if same {
            let ours = Some(on.tip);
            self.decide(&Input::Finality { safe: ours, finalized: ours, vouchers: Vec::new() }).await?;
        }
        Ok(())
    }

    /// Hands on what the network says of its blocks and which operators stand behind our tip.
    async fn settle_with(&mut self, head: &Head) -> Result<(), Trouble> {
        let Some(tip) = self.known.as_ref().and_then(|known| known.tip) else { return Ok(()) };
        let vouched = |known: &Standing| known.vouchers.values().filter(|at| at.height >= tip.at.height).count();
        let asked = self.policy.as_ref().and_then(|p| p.require.operators).unwrap_or(1);
        let enough = self.known.as_ref().is_some_and(|known| vouched(known) >= usize::try_from(asked).unwrap_or(1));
        let vouchers = if enough { Vec::new() } else { self.parts.source.vouch(&tip).await? };
        let believed = match self.contested(tip, &vouchers) {
            Some(ours) => self.parts.source.arbitrate(ours).await,
            None => true,
        };
        // What one says of finality counts for nothing while others contradict the blocks it stands on.
        let marks = |at: Option<BlockRef>| at.filter(|at| believed && at.height <= tip.at.height);
        let (safe, mut finalized) = (marks(head.safe), marks(head.finalized));
        if believed && finalized.is_none() && head.finalized.is_some() {
            let on = Position { tip: tip.at, checkpoint: Vec::new() };
            self.mark_passed(head, &on).await?;
            finalized = None;
        }
        let known = self.known.clone().unwrap_or_default();
        let news = vouchers.iter().any(|v| known.vouchers.get(&v.operator).is_none_or(|at| *at != v.block))
            || safe.is_some_and(|at| known.safe != Some(at))
            || finalized.is_some_and(|at| known.finalized.is_none_or(|old| at.height > old.height));
        if news {
            self.decide(&Input::Finality { safe, finalized, vouchers }).await?;
        }
        Ok(())
    }

    /// The lowest of our blocks that an operator contradicts.
    fn contested(&self, tip: Header, vouchers: &[Voucher]) -> Option<BlockRef> {
        let ours = |at: Height| {
            if at == tip.at.height { Some(tip.at) } else { self.parts.desk.remembered(at).map(|header| header.at) }
        };
        let contradicted =
            vouchers.iter().filter_map(|voucher| ours(voucher.block.height).filter(|ours| *ours != voucher.block));
        contradicted.min_by_key(|ours| ours.height)
    }

    /// Asks again for deposits whose evidence falls short of the policy.
    async fn prove(&mut self) -> Result<(), Trouble> {
        let mut asked = self.policy.as_ref().map(|p| p.require).unwrap_or_default();
        // Which tier a deposit is judged by is not known here: the most that any asks for.
        let tiers = self.policy.iter().flat_map(|policy| &policy.tiers);
        asked.attestations = tiers.filter_map(|tier| tier.require.attestations).chain(asked.attestations).max();
        let (now, tip) = (self.parts.clock.now(), self.known.as_ref().and_then(|known| known.tip).map(|tip| tip.at));
        let soon = now.millis().saturating_sub(self.proved_at.millis()) < millis(PROVE_EVERY);
        // Every ledger that was read attests those below it: nobody needs to be asked, and no payer to wait.
        let attested = asked.attestations.is_some() && tip != self.proved_on;
        if soon && !attested {
            return Ok(());
        }
        (self.proved_at, self.proved_on) = (now, tip);
        let short = network::short_of_evidence(&self.parts.pool, &self.network(), &asked).await?;
        if short.is_empty() {
            return Ok(());
        }
        for (of, block, is) in self.parts.source.prove(&short).await? {
            self.decide(&Input::Evidence { of, block, is }).await?;
        }
        Ok(())
    }

    /// Takes a decision, notes where we stand now, rings for the events and says the alarms.
    async fn decide(&mut self, input: &Input) -> Result<Vec<Effect>, Trouble> {
        let decided = self.parts.desk.decide(input, self.parts.clock.now()).await;
        self.note(decided)
    }

    fn note(&mut self, decided: Result<Decision, CommandError>) -> Result<Vec<Effect>, Trouble> {
        let decision = match decided {
            Ok(decision) => decision,
            Err(CommandError::Store(error)) => return Err(Trouble::Store(error)),
            Err(CommandError::Refused(why)) => return Err(SourceError::Malformed(why.to_string()).into()),
        };
        if decision.events() > 0 {
            self.parts.told.notify_one();
        }
        for effect in &decision.effects {
            self.say(effect);
        }
        self.known = Some(decision.standing);
        self.checkpoint = decision.checkpoint;
        Ok(decision.effects)
    }

    /// Whether this daemon follows the network. The lease saves double work; the revision protects the rows.
    async fn lead(&mut self) -> Result<bool, StoreError> {
        let now = self.parts.clock.now();
        let left = self.leased_until.millis().saturating_sub(now.millis());
        // More than a whole lease is left only where our clock went back: others may hold it by now.
        if left > millis(LEASE) / 3 * 2 && left <= millis(LEASE) {
            return Ok(true);
        }
        let until = Timestamp::from_millis(now.millis().saturating_add(millis(LEASE)));
        let ours = network::lease(&self.parts.pool, &self.network(), self.parts.holder, now, until).await?;
        if ours {
            if self.leased_until < now {
                self.known = None; // Somebody else may have decided meanwhile.
            }
            self.leased_until = until;
        } else {
            self.leased_until = Timestamp::from_millis(i64::MIN);
            self.known = None;
        }
        Ok(ours)
    }

    async fn standing(&mut self) -> Result<Standing, StoreError> {
        let now = self.parts.clock.now();
        let fresh = now.millis().saturating_sub(self.read_at.millis()) < millis(STANDING_AGE_MAX);
        if let Some(known) = self.known.clone().filter(|_| fresh) {
            return Ok(known);
        }
        let known = self.parts.desk.standing().await?;
        self.read_at = now;
        self.known = Some(known.standing.clone());
        self.checkpoint = known.checkpoint;
        let changed = self.policy.as_ref().is_some_and(|before| *before != known.policy);
        self.policy = Some(known.policy.clone());
        if changed && known.standing.halted.is_none() {
            info!(network = %self.network(), "the policy changed; what has not settled is judged anew");
            let now = self.parts.clock.now();
            let decided = self.parts.desk.decide(&Input::Policy(known.policy), now).await;
            match self.note(decided) {
                Ok(_) | Err(Trouble::Source(_)) => {}
                Err(Trouble::Store(error)) => return Err(error),
            }
        }
        Ok(self.known.clone().unwrap_or_default())
    }

    async fn refresh_watch(&mut self) -> Result<(), StoreError> {
        let now = self.parts.clock.now();
        if now.millis().saturating_sub(self.watch_read_at.millis()) > millis(WATCH_ANEW) {
            self.watch = self.parts.source.new_watch(WatchVersion(0));
            self.watch_read_at = now;
        }
        loop {
            let (network, since) = (self.network(), self.watch.version);
            let page = network::watches_above(&self.parts.pool, &network, since, now, WATCH_PAGE).await?;
            let more = i64::try_from(page.len()).unwrap_or(WATCH_PAGE) >= WATCH_PAGE;
            for new in page {
                let detail = format!("{} is no address of this family", new.address);
                if !new.add_to(&mut self.watch, self.parts.raw) {
                    self.say_alarm(&Alarm { kind: "unreadable_watch", detail });
                }
            }
            if !more {
                self.gauge_watch();
                return Ok(());
            }
        }
    }

    async fn stop_for(&mut self, reason: HaltReason, detail: String) -> Result<Outcome, FollowError> {
        match self.decide(&Input::Halt(Halt { reason, detail })).await {
            Ok(_) => Ok(Outcome::Halted),
            Err(Trouble::Store(error)) => Err(error),
            Err(Trouble::Source(why)) => Ok(Outcome::Waiting(why)),
        }
    }
}

/// What stops a round: our database, or their chain.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Source(#[from] SourceError),
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
