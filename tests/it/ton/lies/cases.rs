//! The catalogue.

use std::sync::Arc;

use amn_core::block::Hash;
use amn_ton::address::Account;
use amn_ton::testkit::{Fault, Letter, Outcome};

use super::super::ground::{self, FAKE_MASTER, PAYER, SHOP};
use super::story::{FENCE, Front, LOOT, Lie, Shows, THIEF, THUG, Victim};

const EVERYWHERE: &[Front] = &Front::ALL;
const BLOCKS: &[Front] = &[Front::Plain, Front::Tonapi];
const INDEXER: &[Front] = &[Front::Indexer];
const PLAIN: &[Front] = &[Front::Plain];
/// How an answer comes does not depend on what was asked.
const ONE_OF_A_KIND: &[Front] = &[Front::Indexer, Front::Tonapi];

/// Every lie, on each of its fronts.
pub fn all() -> Vec<(Lie, Front)> {
    let lists = [of_lists(), of_cells(), of_chains(), of_networks(), of_heights(), of_transport()];
    lists.concat().into_iter().flat_map(|lie| lie.fronts.iter().map(move |front| (lie, *front))).collect()
}

const fn lie(
    name: &'static str,
    says: &'static str,
    fronts: &'static [Front],
    shows: Shows,
    tell: fn(&Victim<'_>) -> Vec<Fault>,
) -> Lie {
    Lie { name, says, fronts, from_the_start: false, shows, tell }
}

const fn from_the_start(lie: Lie) -> Lie {
    Lie { from_the_start: true, ..lie }
}

/// What lists of blocks and transactions leave out or say twice.
fn of_lists() -> Vec<Lie> {
    vec![
        lie("silent_empty", "every list is empty, and all is well (trap A)", EVERYWHERE, Shows::Trouble, |_| {
            vec![Fault::SilentEmpty]
        }),
        lie("hole", "the block that pays is missing, those above are there (trap B)", EVERYWHERE, Shows::Either, |v| {
            vec![Fault::Hole(v.height)]
        }),
        lie("hole_above", "the block above the one that pays is missing", EVERYWHERE, Shows::Trouble, |v| {
            vec![Fault::Hole(v.height + 1)]
        }),
        lie("counts_more", "a block has more transactions by its count than it shows", BLOCKS, Shows::Trouble, |_| {
            vec![Fault::CountsMore(2)]
        }),
        lie(
            "counts_fewer",
            "a block has fewer transactions by its count than it shows",
            BLOCKS,
            Shows::Trouble,
            |_| vec![Fault::CountsMore(-1)],
        ),
        lie("omitted", "the payment is in no list of its block", EVERYWHERE, Shows::Trouble, |v| {
            vec![Fault::Omitted(v.native), Fault::Omitted(v.token)]
        }),
        lie("lost", "the payment is nowhere, and its block counts without it", EVERYWHERE, Shows::Trouble, |v| {
            vec![Fault::Lost(v.native), Fault::Lost(v.token)]
        }),
        lie("page_shifted", "a page begins with the last row of the one before", EVERYWHERE, Shows::Trouble, |_| {
            vec![Fault::PagesOf(3), Fault::PageShifted]
        }),
        lie("never_complete", "there is always more to come, and nothing comes", EVERYWHERE, Shows::Trouble, |_| {
            vec![Fault::NeverComplete]
        }),
        lie("pages_of_two", "lists hold two rows, whatever is asked for", EVERYWHERE, Shows::Trouble, |_| {
            vec![Fault::PagesOf(2)]
        }),
        lie("out_of_order", "lists are shuffled", EVERYWHERE, Shows::Trouble, |_| vec![Fault::OutOfOrder]),
        lie("doubled", "the first row of a list is there twice", EVERYWHERE, Shows::Either, |_| vec![Fault::Doubled]),
        lie("unknown_is_an_error", "a block it does not have is an error", EVERYWHERE, Shows::Harmless, |_| {
            vec![Fault::UnknownIsAnError]
        }),
        lie("withheld", "the shop's newest transaction has not happened", INDEXER, Shows::Either, |_| {
            vec![Fault::Withheld(SHOP)]
        }),
        lie("withheld_token", "its wallet's newest transaction has not happened", INDEXER, Shows::Either, |_| {
            vec![Fault::Withheld(ground::wallet(&SHOP))]
        }),
        lie("withheld_first", "the first transaction of an account has not happened", INDEXER, Shows::Either, |_| {
            vec![Fault::Withheld(ground::STALL)]
        }),
    ]
}

/// What transactions are shown as.
fn of_cells() -> Vec<Lie> {
    vec![
        lie("flipped", "one bit of the payment is another", EVERYWHERE, Shows::Either, |v| {
            vec![Fault::Flipped(v.native)]
        }),
        lie("flipped_token", "one bit of the payment in dollars is another", EVERYWHERE, Shows::Either, |v| {
            vec![Fault::Flipped(v.token)]
        }),
        lie("cells_of_other", "another transaction in the place of the payment", EVERYWHERE, Shows::Either, |v| {
            vec![Fault::CellsOfOther(v.native)]
        }),
        lie("cut_out", "a part of the payment is cut out, its hash alone left", EVERYWHERE, Shows::Either, |v| {
            vec![Fault::CutOut(v.native)]
        }),
        lie("undecodable", "the payment is no bag of cells", EVERYWHERE, Shows::Either, |v| {
            vec![Fault::Undecodable(v.native)]
        }),
        lie("not_in_database", "raw transactions are not in its database any more", EVERYWHERE, Shows::Trouble, |_| {
            vec![Fault::NotInDatabase]
        }),
    ]
}

fn units(amount: i64) -> u128 {
    u128::try_from(amount).unwrap()
}

/// What never happened, with hashes that fit.
fn of_chains() -> Vec<Lie> {
    vec![
        lie("instead", "another payment in the place of one that others stand on", EVERYWHERE, Shows::Told, |v| {
            vec![instead(v, SHOP, v.native, &ground::letter(LOOT, "never"))]
        }),
        lie("instead_newest", "another payment in the place of a newest", EVERYWHERE, Shows::Detected, |v| {
            vec![instead(v, THIEF, v.nanoton, &Letter::from(PAYER, units(LOOT)))]
        }),
        lie("forged", "a newest transaction of the shop that never happened", EVERYWHERE, Shows::Detected, |v| {
            vec![forged(v, SHOP, &ground::letter(LOOT, "never"), Outcome::Accepted)]
        }),
        lie("forged_token", "a newest one of its wallet, in dollars", EVERYWHERE, Shows::Detected, |v| {
            vec![forged(v, ground::wallet(&SHOP), &ground::dollars(LOOT, "never either"), Outcome::Accepted)]
        }),
        lie("forged_first", "a first transaction of an account that has none", EVERYWHERE, Shows::Detected, |v| {
            vec![forged(v, THUG, &Letter::from(PAYER, units(LOOT)), Outcome::Undeployed)]
        }),
        lie("forged_first_token", "the same of a wallet, in dollars", EVERYWHERE, Shows::Detected, |v| {
            vec![forged(v, ground::wallet(&FENCE), &ground::dollars(LOOT, "mine"), Outcome::Accepted)]
        }),
    ]
}

/// Another transaction of an account at the same logical time.
fn instead(victim: &Victim<'_>, account: Account, hash: Hash, letter: &Letter) -> Fault {
    let (mut life, kept) = (victim.before.of(&account), victim.history.by_hash(&hash).unwrap());
    life.wait_until(kept.at.lt - 1_000_000, kept.now);
    let made = life.receive(letter, Outcome::Accepted);
    assert_eq!((made.at.lt, made.at.hash == kept.at.hash), (kept.at.lt, false), "the same place, another transaction");
    Fault::Instead(hash, Arc::new(made))
}

fn forged(victim: &Victim<'_>, account: Account, letter: &Letter, outcome: Outcome) -> Fault {
    let made = victim.lives.would_receive(victim.history, account, letter, outcome);
    Fault::Forged { account, height: victim.height, made: Arc::new(made) }
}

/// Which network it is, and what is money on it.
fn of_networks() -> Vec<Lie> {
    vec![
        from_the_start(lie("test_network", "it is of the test network", EVERYWHERE, Shows::Told, |_| {
            vec![Fault::GlobalId(-3)]
        })),
        lie("test_network_midway", "it comes to be of the test network", EVERYWHERE, Shows::Either, |_| {
            vec![Fault::GlobalId(-3)]
        }),
        from_the_start(lie("decimals", "the dollar has six decimals", ONE_OF_A_KIND, Shows::Halts, |_| {
            vec![Fault::Decimals(6)]
        })),
        from_the_start(lie(
            "no_decimals",
            "what the dollar says of itself lies elsewhere",
            ONE_OF_A_KIND,
            Shows::Halts,
            |_| vec![Fault::NoDecimals],
        )),
        from_the_start(lie(
            "wallet_of_thief",
            "everybody's wallet is the thief's",
            ONE_OF_A_KIND,
            Shows::Halts,
            |_| vec![Fault::WalletIs(ground::wallet(&THIEF))],
        )),
        from_the_start(lie(
            "wallet_under_other",
            "wallets are those of another master",
            ONE_OF_A_KIND,
            Shows::Halts,
            |_| vec![Fault::WalletUnder(FAKE_MASTER)],
        )),
        from_the_start(lie(
            "getters_fail",
            "questions to the dollar's master end in an error",
            ONE_OF_A_KIND,
            Shows::Trouble,
            |_| vec![Fault::Exits(11)],
        )),
        lie("fork", "the block that pays has another hash", EVERYWHERE, Shows::Either, |v| vec![Fault::Fork(v.height)]),
        lie("fork_below", "the block we stand on has another hash", EVERYWHERE, Shows::Either, |v| {
            vec![Fault::Fork(v.height - 1)]
        }),
    ]
}

/// How far it is.
fn of_heights() -> Vec<Lie> {
    vec![
        lie("behind", "it is three blocks behind", EVERYWHERE, Shows::Trouble, |_| vec![Fault::Behind(3)]),
        lie("stalled", "it has stood still since before the payment", EVERYWHERE, Shows::Trouble, |v| {
            vec![Fault::Stalled(v.height - 1)]
        }),
        lie("ahead", "it says it is five blocks ahead", EVERYWHERE, Shows::Either, |_| vec![Fault::Ahead(5)]),
        lie(
            "stale_worker",
            "every second answer is of a worker three blocks behind",
            EVERYWHERE,
            Shows::Trouble,
            |_| vec![Fault::Backward(3)],
        ),
        lie("states_behind", "what it says of accounts is older than its blocks", INDEXER, Shows::Trouble, |_| {
            vec![Fault::StatesBehind(2)]
        }),
    ]
}

/// How answers come.
fn of_transport() -> Vec<Lie> {
    vec![
        lie("too_many_requests", "429 to everything", ONE_OF_A_KIND, Shows::Trouble, |_| {
            vec![Fault::TooManyRequests { retry_after: Some(1) }]
        }),
        lie("too_many_without_hint", "429 without a word when to come back", ONE_OF_A_KIND, Shows::Trouble, |_| {
            vec![Fault::TooManyRequests { retry_after: None }]
        }),
        lie("internal", "500 to everything", ONE_OF_A_KIND, Shows::Trouble, |_| {
            vec![Fault::Internal("LITE_SERVER_UNKNOWN")]
        }),
        lie("gateway_timeout", "504 to everything", ONE_OF_A_KIND, Shows::Trouble, |_| vec![Fault::GatewayTimeout]),
        lie("node_timeout", "542: its own node does not answer", PLAIN, Shows::Trouble, |_| vec![Fault::NodeTimeout]),
        lie("html", "a page for people", ONE_OF_A_KIND, Shows::Trouble, |_| vec![Fault::Html]),
        lie("truncated", "answers end in the middle", ONE_OF_A_KIND, Shows::Trouble, |_| vec![Fault::Truncated]),
        lie("cut_off", "connections end in the middle", ONE_OF_A_KIND, Shows::Trouble, |_| vec![Fault::CutOff]),
        lie("endless", "answers are larger than anything it could have to say", ONE_OF_A_KIND, Shows::Trouble, |_| {
            vec![Fault::Padded(64 << 20)]
        }),
    ]
}
