use super::*;

const SECOND: Duration = Duration::from_secs(1);
const A: &str = "eth_getBlockByNumber";
const B: &str = "eth_chainId";

fn new(now: Instant) -> Standing {
    Standing::new(BreakerSettings::default(), now)
}

fn answered(standing: &mut Standing, method: &'static str, error: Option<&RpcError>, now: Instant) {
    standing.answered(&[(method, error)], &[], Some(SECOND), now);
}

fn failed(standing: &mut Standing, times: u32, now: Instant) {
    for n in 0..times {
        answered(standing, if n % 2 == 0 { A } else { B }, Some(&RpcError::try_other("")), now);
    }
}

#[test]
fn a_block_that_was_shown_is_not_taken_for_the_head() {
    let now = Instant::now();
    let mut standing = Standing::new(BreakerSettings::default(), now);
    standing.has(100, now);
    assert_eq!((standing.head(), standing.said_head()), (Some((100, now)), None));
    standing.claimed(101, now);
    standing.has(103, now);
    assert_eq!(standing.said_head(), Some((103, now)));
}

#[test]
fn after_failures_it_is_not_called_until_it_has_said_who_it_is() {
    let now = Instant::now();
    let mut standing = new(now);
    failed(&mut standing, 5, now);
    assert_eq!(standing.usability(now), Usability::Open(SECOND * 10));
    let due = now + SECOND * 10;
    assert_eq!(standing.usability(due), Usability::AwaitsProbe);
    assert!(standing.begin_probe(due));
    assert!(!standing.begin_probe(due), "two probes at a time");
    standing.probed(Outcome::Served, due);
    assert_eq!(standing.usability(due), Usability::Ready);
}

#[test]
fn an_answer_that_the_node_cannot_help_clears_its_failures() {
    let now = Instant::now();
    for error in [
        RpcError::Split { hint: None },
        RpcError::NotYet(String::new()),
        RpcError::Pruned(String::new()),
        RpcError::Unsupported(String::new()),
        RpcError::Rejected { code: 0, message: String::new() },
    ] {
        let mut standing = new(now);
        failed(&mut standing, 4, now);
        answered(&mut standing, A, Some(&error), now);
        failed(&mut standing, 4, now);
        assert_eq!(standing.usability(now), Usability::Ready, "{error}");
    }
}

#[test]
fn a_cool_down_is_kept_through_good_answers_and_never_exceeds_its_bound() {
    let now = Instant::now();
    let mut standing = new(now);
    let wait = |wait| RpcError::CoolDown { wait, detail: String::new() };
    answered(&mut standing, A, Some(&wait(Duration::MAX)), now);
    // Answers to questions that were on their way already.
    answered(&mut standing, A, None, now);
    answered(&mut standing, A, Some(&wait(SECOND)), now);
    assert_eq!(standing.usability(now), Usability::Cooling(COOL_DOWN_MAX));
    assert_eq!(standing.usability(now + COOL_DOWN_MAX), Usability::Ready);
    standing.reset();
    assert_eq!(standing.usability(now), Usability::Ready);
}

#[test]
fn reading_an_old_block_makes_no_laggard() {
    let now = Instant::now();
    let mut standing = new(now);
    assert!(standing.claimed(100, now));
    standing.has(7, now + SECOND);
    assert_eq!((standing.head(), standing.went_back()), (Some((100, now)), 0));
    standing.has(103, now + SECOND);
    assert_eq!(standing.head(), Some((103, now + SECOND)));
    assert!(!standing.claimed(90, now), "a head that goes back is one");
    assert_eq!(standing.went_back(), 1);
}

#[test]
fn distrust_ends_only_with_a_probe_after_its_time() {
    let now = Instant::now();
    let mut standing = new(now);
    assert!(standing.distrust("a lie".to_owned(), now));
    assert!(!standing.distrust("a lie".to_owned(), now), "told twice");
    assert!(standing.distrust("another lie".to_owned(), now));
    answered(&mut standing, A, None, now);
    assert_eq!(standing.usability(now), Usability::Distrusted(DISTRUST));
    assert!(!standing.begin_probe(now));
    assert_eq!(standing.usability(now + DISTRUST * 10), Usability::AwaitsProbe);
    assert!(standing.begin_probe(now + DISTRUST));
    assert!(standing.probed(Outcome::Served, now + DISTRUST));
    assert_eq!(standing.usability(now), Usability::Ready);
}

#[test]
fn a_person_shortens_the_distrust_but_does_not_spare_it_the_question_who_it_is() {
    let now = Instant::now();
    let mut standing = new(now);
    standing.distrust("another chain".to_owned(), now);
    standing.reset();
    assert_eq!(standing.usability(now), Usability::Distrusted(DISTRUST), "a reset is no pardon");
    standing.reconsider(now);
    assert_eq!(standing.usability(now), Usability::AwaitsProbe);
    assert!(standing.begin_probe(now));
    standing.probed(Outcome::Failed, now);
    assert_eq!(standing.usability(now), Usability::Open(SECOND * 10), "the probe failed");
    assert_eq!(standing.distrusted(), Some("another chain"));
}

#[test]
fn one_that_never_said_who_it_is_is_not_used() {
    let now = Instant::now();
    let mut standing = new(now);
    standing.doubt();
    assert_eq!(standing.usability(now), Usability::AwaitsProbe);
    assert!(standing.begin_probe(now));
    standing.probed(Outcome::Served, now);
    assert_eq!(standing.usability(now), Usability::Ready);
}

#[test]
fn the_error_rate_rises_with_failures_and_halves_with_every_minute() {
    let now = Instant::now();
    let mut standing = new(now);
    answered(&mut standing, A, Some(&RpcError::try_other("")), now);
    assert_eq!(standing.error_permille(now), 62);
    for _ in 0..200 {
        answered(&mut standing, A, Some(&RpcError::try_other("")), now);
    }
    assert!((990..=1_000).contains(&standing.error_permille(now)), "{}", standing.error_permille(now));
    let full = standing.error_permille(now);
    assert_eq!(standing.error_permille(now + SECOND * 59), full);
    assert_eq!(standing.error_permille(now + SECOND * 120), full / 4);
    assert_eq!(standing.error_permille(now + SECOND * 100_000), 0);
}

#[test]
fn the_heavy_questions_make_nobody_slow() {
    let now = Instant::now();
    let mut standing = new(now);
    standing.answered(&[(A, None)], &[], Some(SECOND / 10), now);
    standing.answered(&[("eth_getLogs", None)], &[], Some(SECOND * 9), now);
    assert_eq!(standing.latency(), Some(SECOND / 10));
}

#[test]
fn whoever_is_only_asked_in_batches_is_no_stranger() {
    let now = Instant::now();
    let mut standing = new(now);
    standing.answered(&[(A, None), (A, None)], &[], Some(SECOND / 5), now);
    assert_eq!(standing.latency(), Some(SECOND / 5));
    standing.answered(&[(A, None)], &[], Some(SECOND / 10), now);
    assert_eq!(standing.latency(), Some(SECOND / 10));
}

#[test]
fn requests_are_counted_by_method_and_the_days_begin_at_zero() {
    let mut standing = new(Instant::now());
    standing.asked(&[A, A, B], 7);
    assert_eq!(standing.requests_of(7), BTreeMap::from([(A, 2), (B, 1)]));
    assert!(standing.requests_of(8).is_empty());
    standing.asked(&[A], 8);
    assert_eq!(standing.requests_of(8), BTreeMap::from([(A, 1)]));
    assert_eq!(standing.requests(), &BTreeMap::from([(A, 3), (B, 1)]));
}

#[test]
fn the_less_bad_comes_first() {
    let order = [
        Usability::Ready,
        Usability::Cooling(SECOND),
        Usability::Open(SECOND),
        Usability::Open(SECOND * 2),
        Usability::AwaitsProbe,
        Usability::Distrusted(SECOND),
    ];
    assert!(order.is_sorted());
}
