//! What a command prints: JSON for machines, lines and tables for people. Colour only where a person looks on.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;

/// Standard output, as it was asked for.
#[derive(Debug)]
pub struct Screen {
    json: bool,
    colour: bool,
}

impl Screen {
    pub fn new(json: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { json, colour: wanted && !json && io::stdout().is_terminal() }
    }

    /// Prints the answer as JSON, or what `draw` makes of it.
    pub fn show(&self, answer: &Value, draw: impl FnOnce(&mut Page)) {
        if self.json {
            return put(&format!("{answer:#}\n"));
        }
        let mut page = Page { text: String::new(), colour: self.colour };
        draw(&mut page);
        put(&page.text);
    }

    /// Says on standard error what a person must know before the answer is there.
    pub fn note(&self, text: &str) {
        eprintln!("{text}");
    }

    /// Says on standard error what failed.
    pub fn fail(&self, error: &anyhow::Error, document: &Value) {
        if self.json {
            eprintln!("{document}");
        } else {
            eprintln!("error: {error:#}");
        }
    }
}

/// Whoever reads us may stop reading: that is not a failure of ours.
fn put(text: &str) {
    drop(io::stdout().lock().write_all(text.as_bytes()));
}

/// What will be on the screen.
#[derive(Debug)]
pub struct Page {
    text: String,
    colour: bool,
}

impl Page {
    pub fn line(&mut self, text: impl AsRef<str>) {
        self.text.push_str(text.as_ref());
        self.text.push('\n');
    }

    /// Names and values, one pair a line; pairs without a value are left out.
    pub fn pairs(&mut self, pairs: &[(&str, String)]) {
        let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
            let value = self.painted(value, value.clone());
            self.line(format!("{name:<width$}  {value}"));
        }
    }

    /// A table, its columns as wide as they must be; `nothing` where it has no rows.
    pub fn table<const N: usize>(&mut self, heads: [&str; N], rows: &[[String; N]], nothing: &str) {
        if rows.is_empty() {
            return self.line(nothing);
        }
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([heads[column].len()]).max().unwrap_or(0)
        };
        let widths: [usize; N] = std::array::from_fn(width);
        self.row(&heads.map(str::to_owned), &widths);
        for row in rows {
            self.row(row, &widths);
        }
    }

    fn row<const N: usize>(&mut self, cells: &[String; N], widths: &[usize; N]) {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            let fill = " ".repeat(width.saturating_sub(cell.chars().count()) + 2);
            line.push_str(&self.painted(cell, cell.clone()));
            line.push_str(&fill);
        }
        self.line(line.trim_end());
    }

    /// The text in the colour its word calls for.
    fn painted(&self, word: &str, text: String) -> String {
        let code = match word {
            _ if !self.colour => return text,
            "ok" | "confirmed" | "settled" | "active" | "met" | "delivered" | "agrees" => 32,
            "warn" | "detected" | "seen" | "lagging" | "starting" | "late" | "paused" | "unserved" | "missing"
            | "cooling" | "half-open" => 33,
            "FAIL" | "reversed" | "retracted" | "halted" | "dead" | "distrusted" | "open" | "contradicts" => 31,
            _ => return text,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// The text of a field, empty where it is absent or null.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A count of smallest units with its symbol, as people write it.
pub fn money(amount: &Value, decimals: u8, symbol: &str) -> String {
    let units = text(amount).parse::<amn_core::money::Amount>();
    units.map_or_else(|_| text(amount), |units| format!("{} {symbol}", units.in_units_of(decimals)))
}

/// The rows of a page.
pub fn rows(page: &Value) -> &[Value] {
    page["data"].as_array().map_or(&[], Vec::as_slice)
}

/// Says that there is more, where there is.
pub fn more(page: &mut Page, answer: &Value) {
    if let Some(cursor) = answer["next_cursor"].as_str() {
        page.line(format!("… and more: --cursor {cursor}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(colour: bool) -> Page {
        Page { text: String::new(), colour }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut page = page(false);
        let rows = [["a".to_owned(), "ok".to_owned()], ["längst".to_owned(), "no".to_owned()]];
        page.table(["ID", "STATUS"], &rows, "nothing");
        assert_eq!(page.text, "ID      STATUS\na       ok\nlängst  no\n");
    }

    #[test]
    fn colour_changes_no_width() {
        let rows = [["ok".to_owned(), "x".to_owned()], ["other".to_owned(), "y".to_owned()]];
        let (mut plain, mut bright) = (page(false), page(true));
        plain.table(["A", "B"], &rows, "");
        bright.table(["A", "B"], &rows, "");
        assert!(bright.text.contains("\u{1b}[32mok\u{1b}[0m"));
        assert_eq!(bright.text.replace("\u{1b}[32m", "").replace("\u{1b}[0m", ""), plain.text);
    }

    #[test]
    fn an_empty_table_says_so() {
        let mut page = page(false);
        page.table(["A"], &[], "no intents");
        assert_eq!(page.text, "no intents\n");
    }
}
