//! Plays every lie on every front and holds the page to what came of it.

use super::cases;
use super::story::{Front, Lie, Play, Row};
use crate::support::liars::{self, Came, Stand, alone};

const PAGE: &str = include_str!("../../../../docs/LIES-TON.md");

/// What the honest block pays, and that everybody hears of it.
async fn honest(front: Front) -> Vec<Row> {
    let mut play = Play::begin(front, Stand::FirstOfThree, None).await;
    play.tell(None).await;
    let rows = play.rows().await;
    play.look(&rows, false, true).await;
    assert_eq!(play.wrong, Vec::<String>::new(), "{}", play.scene.log.text());
    assert_eq!(rows.len(), 4, "{rows:?}");
    rows
}

async fn play(lie: &Lie, front: Front, stand: Stand, honest: &[Row]) -> Came {
    let mut play = Play::begin(front, stand, Some(lie)).await;
    play.tell(Some(lie)).await;
    play.end(lie, honest).await
}

#[test]
fn no_lie_about_a_ton_network_is_credited_and_ops_hear_of_each_as_the_page_says() {
    let only = std::env::var("AMN_LIE").ok();
    let lies: Vec<(Lie, Front)> = cases::all()
        .into_iter()
        .filter(|(lie, _)| only.as_deref().is_none_or(|only| lie.name.starts_with(only)))
        .collect();
    assert!(only.is_some() || lies.len() >= 25, "{}", lies.len());
    let truth = Front::ALL.map(|front| alone(honest(front)).unwrap());
    assert!(truth.iter().all(|rows| *rows == truth[0]), "the same is found on every front");
    let came = liars::all(lies.len(), |at, stand| {
        let (lie, front) = &lies[at];
        alone(play(lie, *front, stand, &truth[0]))
    });
    let row = |(lie, front): &(Lie, Front)| {
        let front = front.words();
        (format!("{}, {front},", lie.name), format!("| `{}` | {} | {front} |", lie.name, lie.says))
    };
    let rows: Vec<_> = lies.iter().map(row).collect();
    liars::hold(("docs/LIES-TON.md", PAGE), &rows, &came, shortened);
}

/// Without what differs from run to run or says nothing to a reader: hashes, addresses, heights and logical times, and
/// whether a node that was not distrusted had an error last.
fn shortened(text: &str) -> String {
    let replaced = |text: &str, pattern: &str, by: &str| {
        regex_lite::Regex::new(pattern).unwrap().replace_all(text, by).into_owned()
    };
    let text = replaced(text, "(?s)^(nothing|`networks`.*|alarm `waiting_for_source`.*)$", "trusted");
    // The last word may be cut short.
    let text = replaced(&text, "0x[0-9a-f]{8,}…?", "0x…");
    let text = replaced(&text, "(-1|0):[0-9a-fA-F]{8,}…?", "$1:…");
    replaced(&text, "[0-9]{7,}", "…").replace('|', "/")
}
