//! How a suite of lies is played: where a liar stands, stories that are told at once, and the page they are held to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;

use amn_rpc::Pool;
use amn_scanner::follower::Outcome;

use super::evm_scene::Lines;

/// Stories told at once: twice the processors, because each waits for its own servers half of the time.
const AT_ONCE: usize = 4;

/// Where the liar stands: it is the operator `a`, and the others are honest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stand {
    FirstOfThree,
    LastOfThree,
    OneOfTwo,
}

impl Stand {
    pub const ALL: [Self; 3] = [Self::FirstOfThree, Self::LastOfThree, Self::OneOfTwo];
}

/// What came of a lie.
#[derive(Debug)]
pub struct Came {
    pub told: String,
    /// What must not be; empty where all is well.
    pub wrong: Vec<String>,
}

/// One story on a thread of its own, with its own time and log. A panic is a finding.
pub fn alone<T>(story: impl Future<Output = T>) -> Result<T, String> {
    let told = std::panic::AssertUnwindSafe(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(story)
    });
    std::panic::catch_unwind(told).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

/// Tells of so many lies at every stand, some at once; each lie by its number.
pub fn all(lies: usize, play: impl Fn(usize, Stand) -> Result<Came, String> + Sync) -> BTreeMap<(usize, Stand), Came> {
    let todo: Vec<(usize, Stand)> = (0..lies).flat_map(|at| Stand::ALL.map(|stand| (at, stand))).collect();
    let todo = Mutex::new(todo.into_iter().rev().collect::<Vec<_>>());
    let came: Mutex<BTreeMap<(usize, Stand), Came>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((at, stand)) = todo.lock().unwrap().pop() else { return };
                    let one = play(at, stand);
                    let one = one.unwrap_or_else(|panic| Came { told: String::new(), wrong: vec![panic] });
                    came.lock().unwrap().insert((at, stand), one);
                }
            });
        }
    });
    came.into_inner().unwrap()
}

/// Nothing went wrong, and the page has a row for each lie: its beginning, and what was told at each stand.
pub fn hold(
    page: (&str, &str),
    rows: &[(impl std::fmt::Display, String)],
    came: &BTreeMap<(usize, Stand), Came>,
    shortened: impl Fn(&str) -> String,
) {
    let (name, page) = page;
    let (mut missing, mut wrong) = (String::new(), String::new());
    for (at, (lie, begins)) in rows.iter().enumerate() {
        let mut row = begins.clone();
        for stand in Stand::ALL {
            let came = &came[&(at, stand)];
            let _ = write!(row, " {} |", shortened(&came.told));
            for what in &came.wrong {
                let _ = writeln!(wrong, "{lie} {stand:?}: {what}");
            }
        }
        if !page.contains(&row) {
            let _ = writeln!(missing, "{row}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}\n\nrows that differ:\n{missing}");
    assert!(missing.is_empty(), "{name} lacks these rows:\n{missing}");
}

/// What ops see of the operator `a`: who is distrusted and why; else alarms; else what `networks` shows of it.
pub fn told(pool: &Pool, log: &Lines, last: &Outcome) -> String {
    let mut words = Vec::new();
    for endpoint in pool.endpoints() {
        let health = endpoint.health();
        if let Some(reason) = &health.distrusted {
            words.push(format!("{}distrusted: {reason}", if health.operator == "a" { "" } else { "HONEST " }));
        }
    }
    for line in log.text().lines().filter(|line| line.contains("alarm: ")) {
        let kind = line.split("alarm: ").nth(1).unwrap_or_default().split_whitespace().next().unwrap_or_default();
        let word = format!("alarm `{kind}`");
        if !words.contains(&word) {
            words.push(word);
        }
    }
    if words.is_empty() {
        let mut of_liar = pool.endpoints().iter().map(|endpoint| endpoint.health());
        let error = of_liar.find_map(|health| health.last_error.filter(|_| health.operator == "a"));
        words.extend(error.map(|error| format!("`networks`: {error}")));
    }
    if words.is_empty()
        && let Outcome::Waiting(why) = last
    {
        words.push(format!("alarm `waiting_for_source`: {why}"));
    }
    words.dedup();
    words.join("; ")
}
