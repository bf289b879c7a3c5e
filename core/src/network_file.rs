//! What the files of networks have in common in every family, and how what is wrong in one is named.

use std::num::NonZeroU32;
use std::ops::Range;

/// Decimals no honest token exceeds; more would be a typing error.
const DECIMALS_MAX: u8 = 36;

/// What is wrong with a network's file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {what}")]
pub struct NetworkError {
    pub file: String,
    /// With line and column where the text itself is at fault.
    pub what: String,
}

/// What cannot be, and the text in the file that says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub what: String,
    pub at: Option<String>,
}

impl Problem {
    #[must_use]
    pub fn at(text: &str, what: String) -> Self {
        Self { what, at: Some(text.to_owned()) }
    }

    /// With the first line of the file that says it.
    #[must_use]
    pub fn located(&self, text: &str) -> String {
        let line = self.at.as_ref().and_then(|at| text.lines().position(|line| line.contains(at.as_str())));
        line.map_or_else(|| self.what.clone(), |line| format!("line {}: {}", line + 1, self.what))
    }
}

impl From<String> for Problem {
    fn from(what: String) -> Self {
        Self { what, at: None }
    }
}

/// The first line of what a parser says, with the line and column that it is about.
#[must_use]
pub fn located(message: &str, span: Option<Range<usize>>, text: &str) -> String {
    let message = message.lines().next().unwrap_or_default().to_owned();
    let Some(span) = span else { return message };
    let before = text.get(..span.start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    format!("line {line}, column {column}: {message}")
}

/// Operators that must agree before anything settled is undone, where a file does not say.
#[must_use]
pub fn two() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(1)
}

/// Refuses decimals that can only be a typing error.
pub fn check_decimals(symbol: &str, decimals: u8) -> Result<(), String> {
    if decimals > DECIMALS_MAX {
        return Err(format!("{symbol} has {decimals} decimals; at most {DECIMALS_MAX} make sense"));
    }
    Ok(())
}
