//! The numbers that providers put into their sentences. A hint may be wrong: the caller decides whether it helps.

use std::time::Duration;

/// The range of blocks that a message (in lower case) says would work: `[0x1, 0x2]`, `[1, 2]` or `range 1-2`.
/// An inverted one is no hint.
pub(super) fn range(words: &str) -> Option<(u64, u64)> {
    let starts = ["[", "range "].into_iter().flat_map(|mark| words.match_indices(mark).map(|(at, _)| at + mark.len()));
    starts.filter_map(|start| pair(words.get(start..)?)).find(|(from, to)| from <= to)
}

fn pair(text: &str) -> Option<(u64, u64)> {
    let (from, rest) = number(text.trim_start())?;
    let rest = rest.trim_start();
    let rest = rest.strip_prefix([',', '-'])?.trim_start();
    Some((from, number(rest)?.0))
}

/// The number at the start of a text, and what follows it.
pub(super) fn number(text: &str) -> Option<(u64, &str)> {
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
    let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    Some((u64::from_str_radix(digits, radix).ok()?, rest))
}

/// How long a message (in lower case) asks us to wait: "try again in 250ms", "retry after 10 seconds".
pub(super) fn wait(words: &str) -> Option<Duration> {
    let start = ["again in ", "retry in ", "retry after ", "try again after "]
        .into_iter()
        .find_map(|mark| words.find(mark).map(|at| at + mark.len()))?;
    let (count, unit) = number(words.get(start..)?)?;
    let unit = unit.trim_start();
    if unit.starts_with("ms") || unit.starts_with("milli") {
        Some(Duration::from_millis(count))
    } else if unit.starts_with('m') {
        Some(Duration::from_secs(count.saturating_mul(60)))
    } else {
        Some(Duration::from_secs(count))
    }
}
