//! Plays every case and holds the page to what came of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;

use super::cases;
use super::story::{self, Came, Case, Stand};

const PAGE: &str = include_str!("../../../docs/LIES.md");

/// Stories told at once: twice the processors, because each waits for its own servers half of the time.
const AT_ONCE: usize = 4;

#[test]
fn no_lie_is_credited_and_ops_hear_of_each_as_the_page_says() {
    let only = std::env::var("AMN_LIE").ok();
    let cases: Vec<Case> = cases::all()
        .into_iter()
        .filter(|case| only.as_deref().is_none_or(|only| case.name.starts_with(only)))
        .collect();
    assert!(only.is_some() || cases.len() >= 48, "{}", cases.len());
    let todo: Vec<(usize, Case, Stand)> =
        cases.iter().enumerate().flat_map(|(at, case)| Stand::ALL.map(|stand| (at, *case, stand))).collect();
    let todo = Mutex::new(todo.into_iter().rev().collect::<Vec<_>>());
    let came = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((at, case, stand)) = todo.lock().unwrap().pop() else { return };
                    let one = one(case, stand);
                    came.lock().unwrap().insert((at, stand), one);
                }
            });
        }
    });
    let came = came.into_inner().unwrap();
    let (mut missing, mut wrong) = (String::new(), String::new());
    for (at, case) in cases.iter().enumerate() {
        let mut row = format!("| `{}` | {} |", case.name, case.says);
        for stand in Stand::ALL {
            let came = &came[&(at, stand)];
            let _ = write!(row, " {} |", shortened(&came.told));
            for what in &came.wrong {
                let _ = writeln!(wrong, "{} {stand:?}: {what}", case.name);
            }
        }
        if !PAGE.contains(&row) {
            let _ = writeln!(missing, "{row}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}\n\nrows that differ:\n{missing}");
    assert!(missing.is_empty(), "docs/LIES.md lacks these rows:\n{missing}");
}

/// One story on a thread of its own, with its own time and log. A panic is a finding.
fn one(case: Case, stand: Stand) -> Came {
    let played = std::panic::catch_unwind(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(story::play(case, stand))
    });
    played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Came { told: String::new(), wrong: vec![format!("panicked: {}", text.unwrap_or_default())] }
    })
}

/// Hashes and heights, which say nothing to a reader, as `0x…`.
fn shortened(text: &str) -> String {
    regex_lite::Regex::new("0x[0-9a-f]{64}").unwrap().replace_all(text, "0x…").replace('|', "/")
}
