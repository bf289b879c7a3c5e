//! `docs/TORTURE.md` lists what rules may name: row by row what the code has.

use amn_scanner::torture::faults::{self, Take};
use amn_scanner::torture::lies;

const PAGE: &str = include_str!("../../../docs/TORTURE.md");

fn rows() -> Vec<String> {
    let faults = faults::kinds().filter(|kind| lies::named(kind.name).is_none()).map(|kind| {
        let takes: Vec<_> = kind.takes.iter().map(Take::shown).collect();
        let takes = if takes.is_empty() { String::new() } else { format!("`{}`", takes.join(",")) };
        format!("| `{}` | {takes} | {} |", kind.name, kind.says)
    });
    let refusals = faults::refusals().map(|refusal| {
        let (name, status, code) = (refusal.name, refusal.status, refusal.code);
        let message = refusal.message.replace('|', "\\|");
        format!("| `error:{name}` | {} | {status} | {code} | {message} |", refusal.calls_for.word())
    });
    faults.chain(refusals).collect()
}

#[test]
fn the_page_lists_every_fault_and_every_refusal_as_they_are() {
    let wanted = rows();
    let missing: Vec<_> = wanted.iter().filter(|row| !PAGE.lines().any(|line| line == row.as_str())).cloned().collect();
    assert!(missing.is_empty(), "docs/TORTURE.md lacks these rows:\n{}", missing.join("\n"));
    let listed = PAGE.lines().filter(|line| line.starts_with("| `"));
    let strange: Vec<_> = listed.filter(|line| !wanted.iter().any(|row| row == line)).collect();
    assert!(strange.is_empty(), "docs/TORTURE.md has rows that are not so:\n{}", strange.join("\n"));
}
