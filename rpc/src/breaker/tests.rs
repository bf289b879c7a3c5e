//! The rules by example, and against a model in invented sequences.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const A: &str = "eth_getBlockByNumber";
const B: &str = "eth_getLogs";
const C: &str = "eth_chainId";

fn breakers() -> Breakers {
    Breakers::new(BreakerSettings::default())
}

fn answer(breakers: &mut Breakers, method: &'static str, outcome: Outcome, now: Instant) -> Result<(), Refused> {
    let probed = breakers.admit(&[method], now)?;
    breakers.answered(&[(method, outcome)], &probed, now);
    Ok(())
}

fn fail(breakers: &mut Breakers, methods: &[&'static str], now: Instant) {
    for method in methods {
        answer(breakers, method, Outcome::Failed, now).unwrap();
    }
}

#[test]
fn five_failures_of_different_methods_open_the_endpoint_for_ten_seconds() {
    let (mut it, now) = (breakers(), Instant::now());
    fail(&mut it, &[A, B, A, A], now);
    assert_eq!(it.endpoint().state(now), State::Closed);
    fail(&mut it, &[A], now);
    assert_eq!(it.endpoint().state(now), State::Open(SECOND * 10));
    assert_eq!(it.admit(&[C], now + SECOND * 9), Err(Refused { method: None, left: SECOND }));
    assert!(!it.awaits_probe(now + SECOND * 9));
    // Then nothing flows but the probe of its identity.
    let due = now + SECOND * 10;
    assert!(it.awaits_probe(due));
    assert!(it.admit(&[C], due).is_err());
    it.begin_probe(due);
    assert!(!it.awaits_probe(due + SECOND * 100), "a second probe beside the first");
    it.probed(Outcome::Served, due);
    assert_eq!(it.endpoint().state(due), State::Closed);
    assert_eq!(it.admit(&[A], due), Ok(vec![]));
    assert_eq!(
        it.endpoint().transitions(),
        Transitions { closed_to_open: 1, open_to_half_open: 1, half_open_to_closed: 1, ..Transitions::default() }
    );
}

#[test]
fn a_probe_that_fails_opens_it_again_and_one_that_nobody_waits_for_is_sent_anew() {
    let (mut it, now) = (breakers(), Instant::now());
    fail(&mut it, &[A, B, A, B, A], now);
    let due = now + SECOND * 10;
    it.begin_probe(due);
    it.probed(Outcome::Failed, due);
    assert_eq!(it.endpoint().state(due), State::Open(SECOND * 10));
    assert_eq!(it.endpoint().opened(), 2);
    it.begin_probe(due + SECOND * 10);
    it.probed(Outcome::Nothing, due + SECOND * 10);
    assert!(it.awaits_probe(due + SECOND * 10));
}

#[test]
fn one_broken_method_is_left_alone_while_the_others_serve() {
    let (mut it, now) = (breakers(), Instant::now());
    for _ in 0..5 {
        fail(&mut it, &[B], now);
        answer(&mut it, A, Outcome::Served, now).unwrap();
    }
    assert_eq!(it.admit(&[B], now), Err(Refused { method: Some(B), left: SECOND * 10 }));
    assert_eq!(it.broken(now).collect::<Vec<_>>(), [(B, State::Open(SECOND * 10))]);
    assert_eq!(it.admit(&[A], now), Ok(vec![]));
    assert!(!it.awaits_probe(now + SECOND * 100), "its identity is not in doubt");
    // One question, and only one, finds out.
    let due = now + SECOND * 10;
    assert_eq!(it.admit(&[A, B], due), Ok(vec![B]));
    assert_eq!(it.admit(&[B], due), Err(Refused { method: Some(B), left: Duration::ZERO }));
    it.answered(&[(A, Outcome::Served), (B, Outcome::Served)], &[B], due);
    assert_eq!(it.broken(due).count(), 0);
}

#[test]
fn many_failures_of_one_method_at_a_time_never_open_the_endpoint() {
    let (mut it, now) = (breakers(), Instant::now());
    let under_way: Vec<_> = (0..50).map(|_| it.admit(&[B], now).unwrap()).collect();
    for probed in under_way {
        it.answered(&[(B, Outcome::Failed)], &probed, now);
    }
    assert_eq!(it.endpoint().state(now), State::Closed);
    assert!(it.admit(&[B], now).is_err());
    assert!(it.awaits_probe(now), "nothing else was asked: it may be dead");
    // It says who it is: then it is the method.
    it.begin_probe(now);
    it.probed(Outcome::Served, now);
    assert!(!it.awaits_probe(now));
    assert!(it.admit(&[B], now).is_err());
    assert!(it.admit(&[A], now).is_ok());
}

#[test]
fn an_endpoint_that_fails_with_one_method_and_cannot_say_who_it_is_opens() {
    let (mut it, now) = (breakers(), Instant::now());
    fail(&mut it, &[A; 5], now);
    it.begin_probe(now);
    it.probed(Outcome::Failed, now);
    assert_eq!(it.endpoint().state(now), State::Open(SECOND * 10));
    assert_eq!(it.broken(now).count(), 0, "it was the endpoint, not the method");
}

#[test]
fn a_reset_closes_everything() {
    let (mut it, now) = (breakers(), Instant::now());
    fail(&mut it, &[B; 5], now);
    fail(&mut it, &[A], now);
    assert!(it.admit(&[A], now).is_err());
    it.reset();
    assert_eq!(it.admit(&[A, B], now), Ok(vec![]));
    assert_eq!(it.endpoint().transitions().open_to_closed, 1);
    fail(&mut it, &[A, B, A, B], now);
    assert_eq!(it.endpoint().state(now), State::Closed, "it forgot nothing");
}

#[derive(Debug, Clone)]
enum Event {
    Passes(u64),
    Answers(&'static str, Outcome),
    /// A question is sent and its answer comes when all else is done.
    Dawdles(&'static str, Outcome),
    Probe(Outcome),
    Reset,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let method = || prop::sample::select(vec![A, B, C]);
    let outcome = || prop_oneof![3 => Just(Outcome::Failed), 2 => Just(Outcome::Served), 1 => Just(Outcome::Nothing)];
    let event = prop_oneof![
        2 => (0..12_u64).prop_map(Event::Passes),
        8 => (method(), outcome()).prop_map(|(method, outcome)| Event::Answers(method, outcome)),
        1 => (method(), outcome()).prop_map(|(method, outcome)| Event::Dawdles(method, outcome)),
        2 => outcome().prop_map(Event::Probe),
        1 => Just(Event::Reset),
    ];
    prop::collection::vec(event, 1..120)
}

/// The rules said once more, as plainly as can be: what failed in a row since something was served.
#[derive(Default)]
struct Model {
    in_a_row: Vec<&'static str>,
    open_until: Option<Instant>,
}

impl Model {
    fn open(&self) -> bool {
        self.open_until.is_some()
    }

    fn fails(&mut self, method: &'static str, now: Instant, limit: usize) {
        self.in_a_row.push(method);
        let mixed = self.in_a_row.iter().any(|one| *one != self.in_a_row[0]);
        if self.in_a_row.len() >= limit && mixed && !self.open() {
            self.open_until = Some(now + SECOND * 10);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_the_model_does(events in events(), limit in 1..7_u32) {
        let settings = BreakerSettings { failures: limit, open_for: SECOND * 10 };
        let (mut it, mut model, mut now) = (Breakers::new(settings), Model::default(), Instant::now());
        let limit = usize::try_from(limit).unwrap();
        let mut late = Vec::new();
        for event in events {
            match event {
                Event::Passes(seconds) => now += SECOND * u32::try_from(seconds).unwrap(),
                Event::Answers(method, outcome) => match it.admit(&[method], now) {
                    Ok(probed) => {
                        prop_assert!(!model.open(), "a question flowed through an open breaker");
                        it.answered(&[(method, outcome)], &probed, now);
                        match outcome {
                            Outcome::Served => model.in_a_row.clear(),
                            Outcome::Failed => model.fails(method, now, limit),
                            Outcome::Nothing => {}
                        }
                        if outcome == Outcome::Served {
                            prop_assert!(it.admit(&[method], now).is_ok(), "served, and yet refused");
                            it.answered(&[(method, Outcome::Nothing)], &[], now);
                        }
                    }
                    Err(Refused { method: None, .. }) => prop_assert!(model.open(), "refused though closed"),
                    Err(Refused { method: Some(refused), left }) => {
                        prop_assert_eq!(refused, method);
                        prop_assert!(left <= SECOND * 10);
                    }
                },
                Event::Dawdles(method, outcome) => {
                    if let Ok(probed) = it.admit(&[method], now) {
                        late.push((method, outcome, probed));
                    }
                }
                Event::Probe(outcome) => {
                    if it.awaits_probe(now) {
                        prop_assert!(model.open_until.is_none_or(|until| now >= until), "probed too early");
                        it.begin_probe(now);
                        it.probed(outcome, now);
                        match outcome {
                            Outcome::Served => (model.in_a_row, model.open_until) = (Vec::new(), None),
                            Outcome::Failed => model.open_until = Some(now + SECOND * 10),
                            Outcome::Nothing => {}
                        }
                    } else {
                        let due = model.open_until.is_some_and(|until| now >= until);
                        prop_assert!(!due, "no probe though it is due");
                    }
                }
                Event::Reset => {
                    it.reset();
                    model = Model::default();
                }
            }
            let open = it.endpoint().state(now) != State::Closed;
            prop_assert_eq!(open, model.open());
            if let State::Open(left) = it.endpoint().state(now) {
                prop_assert_eq!(Some(now + left), model.open_until);
            }
            let counts = it.endpoint().transitions();
            let (left, entered) = (
                counts.half_open_to_closed + counts.open_to_closed,
                counts.closed_to_open,
            );
            prop_assert_eq!(entered, left + u64::from(open), "every opening ends once");
        }
        // Answers that nobody waits for any more close nothing and open no endpoint that is open.
        let before = it.endpoint().state(now);
        for (method, outcome, probed) in late {
            it.answered(&[(method, outcome)], &probed, now);
        }
        if before != State::Closed {
            prop_assert_eq!(it.endpoint().state(now), before);
        }
    }
}
