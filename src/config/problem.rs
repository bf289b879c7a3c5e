//! What is wrong with a configuration: each wrong value with its place, its key, what is allowed and
//! what was found. All of them at once, because nobody likes to fix a file one line per start.

use std::fmt;

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Nowhere: the file is silent, or cannot be read.
    Absent,
    File {
        line: usize,
        column: usize,
    },
    /// The environment variable of that name.
    Environment(String),
}

impl Place {
    /// The place as an editor and a person can follow it.
    pub(super) fn shown(&self, file: &str) -> String {
        match self {
            Self::Absent => file.to_owned(),
            Self::File { line, column } => format!("{file}:{line}:{column}"),
            Self::Environment(name) => name.clone(),
        }
    }
}

/// One wrong value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Problem {
    pub place: Place,
    pub key: String,
    pub text: String,
}

/// Everything that is wrong, one line each. Nothing was started. No line holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    lines: Vec<String>,
}

impl ConfigErrors {
    pub(super) fn new(file: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort();
        problems.dedup();
        let lines = problems
            .into_iter()
            .map(|Problem { place, key, text }| {
                let place = place.shown(file);
                if key.is_empty() { format!("{place}: {text}") } else { format!("{place}: {key}: {text}") }
            })
            .collect();
        Self { lines }
    }

    /// One line per problem, in the order of the file.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

/// The known word that was probably meant: at most two typing mistakes away, and fewer than half the word.
pub(super) fn did_you_mean<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.map(|candidate| (mistakes(word, candidate), candidate)).min()?;
    (near.0 <= 2 && near.0 * 2 < near.1.len()).then_some(near.1)
}

/// How many insertions, deletions and replacements lie between two words.
fn mistakes(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_mistake_is_guessed_and_another_word_is_not() {
        let known = ["listen", "metrics_token", "url"];
        let guess = |word| did_you_mean(word, known.into_iter());
        assert_eq!(guess("lisen"), Some("listen"));
        assert_eq!(guess("metric_token"), Some("metrics_token"));
        assert_eq!(guess("uri"), Some("url"));
        assert_eq!(guess("port"), None);
        assert_eq!(guess("xyz"), None);
    }
}
