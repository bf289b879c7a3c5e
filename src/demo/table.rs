//! Tables that a person reads at the end.

use super::timeline::Ink;

/// A column: its title, and whether it holds figures.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub title: &'static str,
    pub figures: bool,
}

pub const fn words(title: &'static str) -> Column {
    Column { title, figures: false }
}

pub const fn figures(title: &'static str) -> Column {
    Column { title, figures: true }
}

/// The lines of a table: titles, a rule, rows. As wide as what is in it.
pub fn lines(ink: Ink, columns: &[Column], rows: &[Vec<String>]) -> Vec<String> {
    let cell = |row: &[String], at: usize| row.get(at).cloned().unwrap_or_default();
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            rows.iter().map(|row| cell(row, at).chars().count()).chain([column.title.len()]).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &[String]| {
        let padded = columns.iter().zip(&widths).enumerate().map(|(at, (column, &width))| {
            let text = cell(cells, at);
            if column.figures { format!("{text:>width$}") } else { format!("{text:<width$}") }
        });
        format!("  {}", padded.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
    };
    let titles: Vec<String> = columns.iter().map(|column| column.title.to_owned()).collect();
    let rule: usize = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
    let rule = (if ink.rich { "─" } else { "-" }).repeat(rule);
    let mut lines = vec![ink.bold(&line(&titles)), ink.dim(&format!("  {rule}"))];
    lines.extend(rows.iter().map(|row| line(row)));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_left_figures_stand_right() {
        let rows = vec![vec!["A-1".to_owned(), "25".to_owned()], vec!["A-1001".to_owned(), "0.5".to_owned()]];
        let lines = lines(Ink { rich: false }, &[words("order"), figures("due")], &rows);
        assert_eq!(lines, ["  order   due", "  -----------", "  A-1      25", "  A-1001  0.5"]);
    }
}
