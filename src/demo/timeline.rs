//! What a person sees: one line for each thing that happens, with when, at which height, who, what, and why it matters.

use std::io::Write;
use std::time::Instant;

/// Narrow enough for half a wide screen and for a terminal in a talk.
pub const WIDTH: usize = 110;

/// Columns before the text: time, height, actor, symbol.
const MARGIN: usize = 25;

/// Who does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    Payer,
    Chain,
    Daemon,
    Backend,
}

impl Actor {
    const fn name(self) -> &'static str {
        match self {
            Self::Payer => "payer",
            Self::Chain => "chain",
            Self::Daemon => "daemon",
            Self::Backend => "backend",
        }
    }

    const fn colour(self) -> &'static str {
        match self {
            Self::Payer => "36",
            Self::Chain => "34",
            Self::Daemon => "35",
            Self::Backend => "33",
        }
    }
}

/// How a line is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Pays,
    Block,
    Fork,
    Good,
    Waits,
    Bad,
    Note,
}

impl Mood {
    /// The symbol where there are colours, the one where there are none, and the colour.
    const fn look(self) -> (char, char, &'static str) {
        match self {
            Self::Pays => ('→', '>', "36"),
            Self::Block => ('▪', '#', "34"),
            Self::Fork => ('↩', '<', "31"),
            Self::Good => ('✓', '+', "32"),
            Self::Waits => ('…', '.', "33"),
            Self::Bad => ('✗', 'x', "31"),
            Self::Note => ('·', '-', "0"),
        }
    }
}

/// Paints, where colours are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Ink {
    pub rich: bool,
}

impl Ink {
    /// Colours and symbols for a person at a terminal who has not asked for none.
    pub fn of_this_terminal() -> Self {
        use std::io::IsTerminal as _;
        let asked_for_none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { rich: std::io::stdout().is_terminal() && !asked_for_none }
    }

    pub fn paint(self, code: &str, text: &str) -> String {
        if self.rich && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }
}

/// The picture, line by line.
pub struct Timeline {
    out: Box<dyn Write + Send>,
    pub ink: Ink,
    began: Instant,
    /// The chain's height, shown beside every line.
    pub height: u64,
}

impl std::fmt::Debug for Timeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Timeline").field("ink", &self.ink).field("height", &self.height).finish_non_exhaustive()
    }
}

impl Timeline {
    pub fn new(out: Box<dyn Write + Send>, ink: Ink, began: Instant) -> Self {
        Self { out, ink, began, height: 0 }
    }

    /// The headline of an act.
    pub fn act(&mut self, title: &str, what: &str) {
        let line = format!("\n{}  {}", self.ink.bold(title), self.ink.dim(what));
        self.print(&line);
    }

    /// Something that happened just now.
    pub fn tell(&mut self, actor: Actor, mood: Mood, what: &str, why: &str) {
        self.tell_at(Instant::now(), actor, mood, what, why);
    }

    /// Something that happened; `why` says in half a sentence why it matters.
    pub fn tell_at(&mut self, at: Instant, actor: Actor, mood: Mood, what: &str, why: &str) {
        let tenths = at.saturating_duration_since(self.began).as_millis() / 100;
        let elapsed = format!("{}.{}s", tenths / 10, tenths % 10);
        let height = if self.height == 0 { String::new() } else { format!("#{}", self.height) };
        let (symbol, plain, colour) = mood.look();
        let symbol = self.ink.paint(colour, &(if self.ink.rich { symbol } else { plain }).to_string());
        let who = self.ink.paint(actor.colour(), &format!("{:<8}", actor.name()));
        let margin = format!("{elapsed:>6} {height:>5}  {who} {symbol} ");
        // What is good and what is bad is seen from afar.
        let loud = matches!(mood, Mood::Good | Mood::Bad | Mood::Fork);
        let said = if loud { self.ink.paint(colour, what) } else { what.to_owned() };
        let room = WIDTH - MARGIN;
        let together = what.chars().count() + 2 + why.chars().count() <= room;
        if why.is_empty() || together {
            let gap = if why.is_empty() { "" } else { "  " };
            self.print(&format!("{margin}{said}{gap}{}", self.ink.dim(why)));
        } else {
            self.print(&format!("{margin}{said}\n{:MARGIN$}{}", "", self.ink.dim(why)));
        }
    }

    /// A line without columns.
    pub fn print(&mut self, line: &str) {
        // Whoever closed the pipe has seen enough; the play goes on to its checks.
        let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn drawn(rich: bool, draw: impl FnOnce(&mut Timeline, Instant)) -> String {
        let (paper, began) = (Paper::default(), Instant::now());
        draw(&mut Timeline::new(Box::new(paper.clone()), Ink { rich }, began), began);
        let bytes = paper.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_says_when_where_who_what_and_why() {
        let text = drawn(false, |timeline, began| {
            timeline.height = 14;
            let at = began + Duration::from_millis(3_456);
            timeline.tell_at(at, Actor::Backend, Mood::Good, "payment.confirmed", "ship it");
        });
        assert_eq!(text, "  3.4s   #14  backend  + payment.confirmed  ship it\n");
    }

    #[test]
    fn without_colours_every_byte_is_plain() {
        let text = drawn(false, |timeline, began| {
            timeline.act("1", "a title");
            for mood in [Mood::Pays, Mood::Block, Mood::Fork, Mood::Good, Mood::Waits, Mood::Bad, Mood::Note] {
                timeline.tell_at(began, Actor::Chain, mood, "what", "why");
            }
        });
        assert!(text.is_ascii() && !text.contains('\x1b'), "{text:?}");
    }

    #[test]
    fn a_reason_that_does_not_fit_stands_below_and_no_line_is_too_wide() {
        let text = drawn(false, |timeline, began| {
            timeline.tell_at(began, Actor::Chain, Mood::Block, &"w".repeat(60), &"y".repeat(40));
        });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH));
        assert_eq!(lines[1].find('y'), lines[0].find('w'), "aligned with the text");
    }
}
