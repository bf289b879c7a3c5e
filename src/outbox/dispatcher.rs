//! Sends what is due: claims it, posts it with no transaction open, records what came of it.
//!
//! Four loops in one task, joined by small queues, so that a slow database does not stop answers from being
//! read, nor a slow receiver the next claim: **claim** asks for what is due, as much as there is room for;
//! **send** posts, each chain in order; **record** writes outcomes in batches and frees the room; **measure** counts.
//! At least once: whatever dies between post and record is sent again, same id and bytes, when its lease ends.
//! The rules are next door: [`super::schedule`], `lanes`, `chain`, [`super::guard`].

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use amn_core::timestamp::Timestamp;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use sqlx::PgPool;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use crate::clock::{Clock, Ids};
use crate::outbox::attempt::Poster;
use crate::outbox::chain::{Chain, ordered};
use crate::outbox::guard::Guard;
use crate::outbox::lanes::Lanes;
use crate::outbox::measures;
use crate::outbox::schedule::{DeadReason, Verdict};
use crate::outbox::settings::HttpSettings;
use crate::store::outbox::deliveries::{self, Claim, Claimed, End, Finished};

/// A lease outlives an attempt several times over, so that a chain of slow answers fits.
const LEASE_TIMEOUTS: u32 = 6;

/// While something is due that we could not have: its holder may be another daemon.
const LOOK_SOON: Duration = Duration::from_millis(250);

/// With nothing due: finds what another process made, whose notification we do not hear.
const LOOK_IDLE: Duration = Duration::from_secs(1);

/// Between tries while the database is away: short at first, then bounded.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Outcomes in one record: one statement's worth.
const RECORD_MAX: usize = 256;

/// Outcomes wait so long for each other: one statement for many costs little more than for one.
const GATHER_WITHIN: Duration = Duration::from_millis(3);

/// What one round came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    pub claimed: usize,
    pub delivered: usize,
    pub retried: usize,
    pub dead: usize,
    pub released: usize,
    /// Outcomes that were still ours to record.
    pub recorded: u64,
}

/// Sends deliveries until it is told to stop.
pub struct Dispatcher {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    /// What signatures are dated by: a receiver holds them against its own clock.
    signs_at: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    poster: Poster,
    settings: HttpSettings,
    wake: Arc<Notify>,
    lanes: Mutex<Lanes>,
    /// Rung when outcomes were recorded: there is room again, or a successor's turn has come.
    recorded: Notify,
    /// The earliest retry recorded since the claim loop last looked.
    next_retry: Mutex<Option<Timestamp>>,
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A chain under one claim.
struct Held {
    claim: Uuid,
    lease_until: Timestamp,
    chain: Chain,
}

/// What a claim gave.
struct Round {
    held: Vec<Held>,
    give_back: Vec<Finished>,
    claimed: usize,
    /// There may be more, when there is room again.
    more_later: bool,
}

impl Dispatcher {
    /// `wake` is rung after a commit that made deliveries. `ids` gives claim tokens and the jitter's dice.
    pub fn new(
        pool: PgPool,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        settings: HttpSettings,
        guard: Guard,
        wake: Arc<Notify>,
    ) -> Result<Self, reqwest::Error> {
        let idle = usize::try_from(settings.per_endpoint_concurrency).unwrap_or(usize::MAX);
        let poster = Poster::new(guard, settings.timeout, idle)?;
        let lanes = Mutex::new(Lanes::new(settings.concurrency, settings.per_endpoint_concurrency));
        let (recorded, next_retry) = (Notify::new(), Mutex::new(None));
        let signs_at = clock.clone();
        Ok(Self { pool, clock, signs_at, ids, poster, settings, wake, lanes, recorded, next_retry })
    }

    /// Signatures are dated by this clock, where the outbox itself lives in virtual time.
    #[must_use]
    pub fn signing_at(mut self, clock: Arc<dyn Clock>) -> Self {
        self.signs_at = clock;
        self
    }

    /// Sends until told to stop; then claims no more, gives back what has not begun, finishes what is in flight.
    /// Ends only then: a database that is away is asked again.
    pub async fn run(self, stop: CancellationToken) {
        // As long as what may be held at a time: never full.
        let room = usize::try_from(self.settings.concurrency.max(1)).unwrap_or(1);
        let (to_send, sending) = mpsc::channel(room);
        let (to_record, recording) = mpsc::channel(room);
        // In a box: the four together are large.
        Box::pin(async {
            tokio::join!(
                self.claim_loop(to_send, to_record.clone(), &stop),
                self.send_loop(sending, to_record, &stop),
                self.record_loop(recording),
                measures::backlog(&self.pool, &*self.clock, self.settings.schedule.fast_retries, &stop),
            )
        })
        .await;
    }

    /// One claim, sent and recorded. For tests, which hold the clock.
    pub async fn run_once(&self) -> Result<Outcome, sqlx::Error> {
        let round = self.claim().await?;
        let mut outcome = Outcome { claimed: round.claimed, ..Outcome::default() };
        let mut finished = round.give_back;
        let mut flying: FuturesUnordered<_> = round.held.into_iter().map(|held| self.send_first(held)).collect();
        while let Some((done, rest)) = flying.next().await {
            match self.after(&done, rest) {
                Next::Go(held) => flying.push(self.send_first(held)),
                Next::GiveBack(rest) => finished.extend(rest),
                Next::Nothing => {}
            }
            finished.push(done);
        }
        for done in &finished {
            match done.end {
                End::Delivered => outcome.delivered += 1,
                End::Retry { .. } => outcome.retried += 1,
                End::Dead { .. } => outcome.dead += 1,
                End::Released => outcome.released += 1,
            }
        }
        if !finished.is_empty() {
            outcome.recorded = deliveries::record(&self.pool, &finished).await?;
            self.settle(&finished);
        }
        Ok(outcome)
    }

    async fn claim_loop(
        &self,
        to_send: mpsc::Sender<Held>,
        to_record: mpsc::Sender<Finished>,
        stop: &CancellationToken,
    ) {
        let mut look_at = Instant::now();
        let mut after_record = false;
        let mut backoff = BACKOFF_FIRST;
        // Ends when told to stop.
        loop {
            let claim_now = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.wake.notified() => true,
                () = self.recorded.notified() => {
                    look_at = look_at.min(self.next_retry_at());
                    std::mem::take(&mut after_record)
                }
                () = sleep_until(look_at) => match self.next_due().await {
                    Ok(due) => {
                        let wait = due.map_or(LOOK_IDLE, |due| self.until(due).min(LOOK_IDLE));
                        // Due now and not to be had now: look again soon.
                        look_at = Instant::now() + if wait.is_zero() { LOOK_SOON } else { wait };
                        wait.is_zero()
                    }
                    Err(error) => {
                        warn!(%error, "the next delivery is not known: {error}");
                        look_at = Instant::now() + backed_off(&mut backoff);
                        false
                    }
                },
            };
            if !claim_now {
                continue;
            }
            after_record |= self.lanes().held() > 0;
            match self.claim().await {
                Ok(round) => {
                    backoff = BACKOFF_FIRST;
                    after_record |= round.more_later;
                    if round.claimed > 0 {
                        look_at = look_at.min(Instant::now() + LOOK_SOON);
                    }
                    for done in round.give_back {
                        let _ = to_record.send(done).await;
                    }
                    for held in round.held {
                        // The send loop outlives this one.
                        let _ = to_send.send(held).await;
                    }
                }
                Err(error) => {
                    warn!(%error, "nothing is claimed: {error}");
                    look_at = Instant::now() + backed_off(&mut backoff);
                }
            }
        }
    }

    async fn send_loop(
        &self,
        mut sending: mpsc::Receiver<Held>,
        to_record: mpsc::Sender<Finished>,
        stop: &CancellationToken,
    ) {
        let mut flying = FuturesUnordered::new();
        let mut claiming = true;
        // Ends when the claim loop has ended and nothing is in flight.
        while claiming || !flying.is_empty() {
            tokio::select! {
                held = sending.recv(), if claiming => match held {
                    Some(held) if stop.is_cancelled() => {
                        for done in give_back(&held, self.clock.now()) {
                            let _ = to_record.send(done).await;
                        }
                    }
                    Some(held) => flying.push(self.send_first(held)),
                    None => claiming = false,
                },
                Some((done, rest)) = flying.next(), if !flying.is_empty() => {
                    let next = if stop.is_cancelled() {
                        Next::GiveBack(give_back(&rest, self.clock.now()))
                    } else {
                        self.after(&done, rest)
                    };
                    match next {
                        Next::Go(held) => flying.push(self.send_first(held)),
                        Next::GiveBack(rest) => for done in rest {
                            let _ = to_record.send(done).await;
                        },
                        Next::Nothing => {}
                    }
                    // The record loop outlives this one.
                    let _ = to_record.send(done).await;
                }
            }
        }
    }

    async fn record_loop(&self, mut recording: mpsc::Receiver<Finished>) {
        let mut batch = Vec::with_capacity(RECORD_MAX);
        // Ends when both loops before it have ended and all is recorded.
        while recording.recv_many(&mut batch, RECORD_MAX).await > 0 {
            self.gather(&mut recording, &mut batch).await;
            self.record(&batch).await;
            self.settle(&batch);
            batch.clear();
            self.recorded.notify_one();
        }
    }

    /// Waits a moment for the outcomes of what is in flight beside these: answers come close together.
    async fn gather(&self, recording: &mut mpsc::Receiver<Finished>, batch: &mut Vec<Finished>) {
        let until = Instant::now() + GATHER_WITHIN;
        // Ends when all that is held is here, the batch is full, or the moment is over.
        while batch.len() < RECORD_MAX.min(usize::try_from(self.lanes().held()).unwrap_or(RECORD_MAX)) {
            let room = RECORD_MAX - batch.len();
            match tokio::time::timeout_at(until, recording.recv_many(batch, room)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// Records, trying again while the database is away, until the leases have ended: then it is no use.
    async fn record(&self, batch: &[Finished]) {
        let give_up = Instant::now() + self.lease();
        let mut backoff = BACKOFF_FIRST;
        while let Err(error) = deliveries::record(&self.pool, batch).await {
            warn!(%error, "{} outcomes are not recorded: {error}", batch.len());
            if Instant::now() >= give_up {
                return;
            }
            sleep(backed_off(&mut backoff)).await;
        }
    }

    /// When something may be due of endpoints that have room, or one has rested.
    async fn next_due(&self) -> Result<Option<Timestamp>, sqlx::Error> {
        let now = self.clock.now();
        let (full, rested) = {
            let lanes = self.lanes();
            let full = lanes.rooms(now).into_iter().filter(|room| room.free == 0).map(|room| room.endpoint);
            (full.collect::<Vec<_>>(), lanes.next_rest_end(now))
        };
        let due = deliveries::next_due(&self.pool, &full).await?;
        Ok(due.into_iter().chain(rested).min())
    }

    async fn claim(&self) -> Result<Round, sqlx::Error> {
        let now = self.clock.now();
        let id = Uuid::from_u128(self.ids.next());
        let lease = i64::try_from(self.lease().as_millis()).unwrap_or(i64::MAX);
        let lease_until = Timestamp::from_millis(now.millis().saturating_add(lease));
        let (most, per_endpoint, rooms) = {
            let lanes = self.lanes();
            (lanes.free(), lanes.per_endpoint(), lanes.rooms(now))
        };
        if most == 0 {
            return Ok(Round { held: Vec::new(), give_back: Vec::new(), claimed: 0, more_later: true });
        }
        let claim = Claim { id, now, lease_until, most, per_endpoint, rooms: &rooms };
        let taken = deliveries::claim(&self.pool, &claim).await?;
        let claimed = taken.len();
        {
            let mut lanes = self.lanes();
            for delivery in &taken {
                lanes.take(delivery.endpoint);
            }
        }
        let ordered = ordered(taken);
        let filled = u32::try_from(claimed).unwrap_or(u32::MAX) >= per_endpoint.min(most);
        Ok(Round {
            more_later: filled || !ordered.give_back.is_empty(),
            give_back: ordered.give_back.iter().map(|delivery| released(delivery, id, now)).collect(),
            held: ordered.chains.into_iter().map(|chain| Held { claim: id, lease_until, chain }).collect(),
            claimed,
        })
    }

    /// Posts the first of a chain. Answers what came of it, and the rest.
    async fn send_first(&self, mut held: Held) -> (Finished, Held) {
        let Some(delivery) = held.chain.pop_front() else {
            unreachable!("a chain has at least one delivery");
        };
        let at = self.clock.now();
        let tried = self.poster.attempt(&delivery, self.signs_at.now()).await;
        let now = self.clock.now();
        let attempt = u32::try_from(delivery.attempts).unwrap_or(0).saturating_add(1);
        let verdict = self.settings.schedule.classify(tried.answer, attempt, now, self.dice());
        let end = end_of(verdict, attempt, tried.error.as_deref());
        measures::tell(&delivery, &end, now, tried.duration);
        let finished = Finished {
            id: delivery.id,
            endpoint: delivery.endpoint,
            claim: held.claim,
            end,
            at,
            duration_ms: u32::try_from(tried.duration.as_millis()).unwrap_or(u32::MAX),
            status_code: tried.status_code,
            error: tried.error,
            response: tried.response,
        };
        // Whoever is older than the hour holds nobody, whatever came of it.
        if !delivery.holds && !matches!(finished.end, End::Dead { pause: true, .. }) {
            held.chain.iter_mut().for_each(|later| later.holders = 0);
        }
        (finished, held)
    }

    /// What becomes of the rest of a chain after its first.
    fn after(&self, done: &Finished, rest: Held) -> Next {
        if rest.chain.is_empty() {
            return Next::Nothing;
        }
        let free_to_go = match &done.end {
            End::Delivered | End::Dead { pause: false, .. } => true,
            End::Retry { .. } => rest.chain.front().is_some_and(|next| next.holders == 0),
            End::Dead { pause: true, .. } | End::Released => false,
        };
        let now = self.clock.now();
        let attempt_ends = now.millis().saturating_add(millis(self.settings.timeout));
        if free_to_go && attempt_ends < rest.lease_until.millis() {
            Next::Go(rest)
        } else {
            Next::GiveBack(give_back(&rest, now))
        }
    }

    /// Frees the room of what was recorded, and remembers the earliest retry.
    fn settle(&self, batch: &[Finished]) {
        let now = self.clock.now();
        let mut lanes = self.lanes();
        let mut next_retry = self.next_retry.lock().unwrap_or_else(PoisonError::into_inner);
        for done in batch {
            let answered = match &done.end {
                End::Delivered => Some(true),
                // A plain no is an answer too: the receiver is well.
                End::Dead { .. } => Some(done.status_code.is_some_and(|code| code < 500)),
                End::Retry { .. } => Some(false),
                End::Released => None,
            };
            lanes.done(done.endpoint, answered, now);
            if let End::Retry { at } = done.end {
                *next_retry = Some(next_retry.map_or(at, |earliest| earliest.min(at)));
            }
        }
    }

    fn next_retry_at(&self) -> Instant {
        let next = self.next_retry.lock().unwrap_or_else(PoisonError::into_inner).take();
        Instant::now() + next.map_or(LOOK_IDLE, |at| self.until(at))
    }

    fn until(&self, at: Timestamp) -> Duration {
        let millis = at.millis().saturating_sub(self.clock.now().millis());
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }

    fn lease(&self) -> Duration {
        self.settings.timeout * LEASE_TIMEOUTS
    }

    fn dice(&self) -> u64 {
        let mut bytes = [0; 8];
        self.ids.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What follows an attempt.
enum Next {
    Go(Held),
    GiveBack(Vec<Finished>),
    Nothing,
}

fn give_back(held: &Held, now: Timestamp) -> Vec<Finished> {
    held.chain.iter().map(|delivery| released(delivery, held.claim, now)).collect()
}

fn released(delivery: &Claimed, claim: Uuid, now: Timestamp) -> Finished {
    Finished {
        id: delivery.id,
        endpoint: delivery.endpoint,
        claim,
        end: End::Released,
        at: now,
        duration_ms: 0,
        status_code: None,
        error: None,
        response: None,
    }
}

fn end_of(verdict: Verdict, attempt: u32, error: Option<&str>) -> End {
    let error = error.unwrap_or("no reason");
    match verdict {
        Verdict::Delivered => End::Delivered,
        Verdict::Retry { at } => End::Retry { at },
        Verdict::Dead { reason: DeadReason::Rejected } => {
            End::Dead { reason: format!("rejected: {error}"), pause: false }
        }
        Verdict::Dead { reason: DeadReason::Exhausted } => {
            End::Dead { reason: format!("exhausted after {attempt} attempts: {error}"), pause: false }
        }
        Verdict::DeadAndPause => End::Dead { reason: format!("rejected: {error}"), pause: true },
    }
}

fn backed_off(backoff: &mut Duration) -> Duration {
    let wait = *backoff;
    *backoff = (wait * 2).min(BACKOFF_MAX);
    wait
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
