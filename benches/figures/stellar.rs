//! Stellar: how many ledgers of the public network's size one core proves and searches, which step takes how long, and
//! how fast the whole daemon catches up with a node's history.

mod catching_up;
mod ledgers;
mod nodes;
mod steps;

pub use nodes::serve;

use crate::{Size, figure};

/// From one ledger of the public network to the next: the mean of a year, measured between two of its ledgers.
const SECONDS_A_LEDGER: f64 = 5.751;

/// Ledgers that the public network closes in a day.
const LEDGERS_A_DAY: f64 = 86_400.0 / SECONDS_A_LEDGER;

/// Ledgers a second, so that a day of history takes minutes.
const GOAL: f64 = 80.0;

pub async fn run(size: Size) {
    steps::run(size);
    catching_up::run(size).await;
}

#[expect(clippy::cast_precision_loss, reason = "a figure is a picture")]
fn count(of: u64) -> f64 {
    of as f64
}

/// A rate with what it makes of a day of history.
fn rate_figure(what: &str, ledgers_a_second: f64) {
    let minutes = LEDGERS_A_DAY / ledgers_a_second / 60.0;
    let text = format!("{ledgers_a_second:.0} ledgers/s; a day of history in {minutes:.1} minutes");
    figure(what, &text, Some(("≥ 80 ledgers/s", ledgers_a_second >= GOAL)));
}
