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

/// Hashes, addresses and times of the machine, which say nothing to a reader, as `0x…` and `0:…`.
fn shortened(text: &str) -> String {
    // The last word may be cut short.
    let text = regex_lite::Regex::new("0x[0-9a-f]{40,}…?").unwrap().replace_all(text, "0x…").into_owned();
    regex_lite::Regex::new("(-1|0):[0-9a-fA-F]{40,}…?").unwrap().replace_all(&text, "$1:…").replace('|', "/")
}
