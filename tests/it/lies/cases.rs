//! The catalogue.

use amn_evm::testkit::{Call, History};
use amn_scanner::torture::lies;

use super::ground::{LOOT, SHOP, THIEF, TOKEN};
use super::story::{Case, Liar, Story};

/// Lies in the answers of a node, and lies by a whole chain.
pub fn all() -> Vec<Case> {
    let answers = lies::all().map(|lie| of(lie.kind.name, lie.kind.says));
    answers.chain(chains()).collect()
}

fn of(name: &'static str, says: &'static str) -> Case {
    let story = match name {
        _ if name.starts_with("native") => Story::Native,
        _ if name.starts_with("range") => Story::History,
        _ if name.starts_with("balance") || name.starts_with("trace") => Story::Balances,
        _ => Story::Tokens,
    };
    Case {
        name,
        says,
        liar: Liar::Answers(name),
        story,
        from_the_start: STARTS.contains(&name),
        may_be_detected: false,
        harmless: HARMLESS.contains(&name),
        hides: HIDES.contains(&name),
    }
}

/// Told from before the ledger begins, because nobody asks again.
const STARTS: [&str; 4] = ["wrong-chain", "chain-id-garbage", "wrong-decimals", "no-token"];

/// Nothing is decided by what they change.
const HARMLESS: [&str; 4] =
    ["shifted-log-index", "range-invented-beside", "range-with-larger-amount", "range-without-payment"];

/// Left out of a range of history: no hash shows it.
const HIDES: [&str; 2] = ["range-empty", "range-partial"];

fn chains() -> impl Iterator<Item = Case> {
    let chain = |name, says, make: fn(&mut History)| Case {
        name,
        says,
        liar: Liar::Chain(make),
        story: Story::Tokens,
        from_the_start: false,
        may_be_detected: true,
        harmless: false,
        hides: false,
    };
    let twins = |name, says, make: fn(&mut History)| Case { liar: Liar::Twins(make), ..chain(name, says, make) };
    let first = |case: Case| Case { from_the_start: true, may_be_detected: true, ..case };
    [
        chain("forged-child", "A child of the true tip that pays the thief, with hashes that fit.", forged),
        chain(
            "forged-branch",
            "A branch of forty blocks that pays the thief, longer than the true chain.",
            |history| {
                forged(history);
                history.pass(40);
            },
        ),
        chain("forged-and-final", "A branch that pays the thief, called safe and final.", |history| {
            forged(history);
            history.pass(10);
            let tip = history.tip().unwrap().at.height.0;
            (history.safe, history.finalized) = (Some(tip), Some(tip));
        }),
        chain("empty-branch", "A branch on which nobody is paid.", |history| {
            history.branch = 3;
            history.pass(12);
        }),
        chain("same-payment-elsewhere", "A branch on which the shop is paid by another transaction.", |history| {
            history.branch = 4;
            history.pass(1);
            history.extend(&[Call::token(TOKEN, SHOP, 25)]);
            history.pass(2);
        }),
        chain("forged-from-below", "A branch that leaves below the block that is final.", |history| {
            history.rewind(0);
            history.pass(1);
            history.extend(&[Call::token(TOKEN, THIEF, LOOT)]);
            history.pass(12);
        }),
        chain(
            "another-chain-midway",
            "The node behind the URL is one of another chain, longer than ours.",
            |history| {
                *history = foreign(60);
            },
        ),
        first(chain("another-genesis", "From the start, the same chain id and another first block.", |history| {
            *history = foreign(5);
        })),
        first(chain("forged-start", "From the start, a forged block is called final.", |history| {
            forged(history);
            let tip = history.tip().unwrap().at.height.0;
            (history.safe, history.finalized) = (Some(tip), Some(tip));
        })),
        twins("twins", "Two endpoints of one operator agree on a branch that pays the thief.", |history| {
            forged(history);
            history.pass(10);
        }),
        first(twins("twins-from-the-start", "The same, from before the ledger begins.", |history| {
            forged(history);
            history.pass(10);
        })),
    ]
    .into_iter()
}

fn forged(history: &mut History) {
    history.branch = 9;
    history.extend(&[Call::token(TOKEN, THIEF, LOOT)]);
}

/// Another chain: from its first block on.
fn foreign(blocks: u64) -> History {
    let mut history = History::on(5, super::ground::beginning().blocks[&0].at, 1_600_000_000);
    history.chain_id = 5;
    history.branch = 77;
    history.decimals.insert(TOKEN, 6);
    history.pass(2);
    history.extend(&[Call::token(TOKEN, THIEF, LOOT)]);
    history.pass(blocks);
    history
}
