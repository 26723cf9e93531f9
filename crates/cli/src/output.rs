//! What commands say: tables and sentences for people, JSON for programs.
//!
//! With `--json` standard output carries JSON and nothing else. Colours appear only where a terminal shows them and
//! `NO_COLOR` is not set. Messages about the work itself (progress, warnings) go to standard error.

use std::io::{self, BufWriter, IsTerminal, StderrLock, StdoutLock, Write};

use serde::Serialize;

/// How things are to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// For people, with colours or without.
    Human { colours: bool },
    /// For programs.
    Json,
}

/// The ways to stress a word; each is one place in the code, so that a state looks the same everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    Plain,
    Good,
    Busy,
    Bad,
    Faint,
    Head,
}

impl Style {
    /// The style that the flag and the terminal ask for.
    pub(crate) fn choose(json: bool) -> Style {
        match json {
            true => Style::Json,
            false => {
                Style::Human { colours: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
            }
        }
    }

    pub(crate) fn is_json(self) -> bool {
        self == Style::Json
    }

    /// Text in a colour, where colours are shown.
    pub(crate) fn paint(self, paint: Paint, text: &str) -> String {
        let code = match (self, paint) {
            (Style::Human { colours: false } | Style::Json, _) | (_, Paint::Plain) => return text.to_owned(),
            (_, Paint::Good) => "32",
            (_, Paint::Busy) => "33",
            (_, Paint::Bad) => "31",
            (_, Paint::Faint) => "2",
            (_, Paint::Head) => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// How a job's or queue's state is painted.
pub(crate) fn paint_of_state(state: &str) -> Paint {
    match state {
        "completed" | "running" => Paint::Good,
        "leased" | "paused" => Paint::Busy,
        "dead" | "stopped" => Paint::Bad,
        "cancelled" => Paint::Faint,
        _ => Paint::Plain,
    }
}

/// Standard output, locked and buffered; whoever opens it says everything before it is dropped.
pub(crate) struct Out {
    style: Style,
    stdout: BufWriter<StdoutLock<'static>>,
}

impl Out {
    pub(crate) fn new(style: Style) -> Out {
        Out { style, stdout: BufWriter::new(io::stdout().lock()) }
    }

    pub(crate) fn style(&self) -> Style {
        self.style
    }

    /// One line for people. Says nothing under `--json`.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        match self.style {
            Style::Json => Ok(()),
            Style::Human { .. } => writeln!(self.stdout, "{}", text.as_ref()),
        }
    }

    /// One JSON value on a line of its own, whatever the style.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.stdout, value)?;
        self.stdout.write_all(b"\n")
    }

    /// A table for people.
    pub(crate) fn table(&mut self, table: &Table) -> io::Result<()> {
        match self.style {
            Style::Json => Ok(()),
            style => self.stdout.write_all(table.render(style).as_bytes()),
        }
    }

    /// Bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stdout.write_all(bytes)
    }

    /// Shows what was said so far.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.stdout.flush()
    }
}

/// One message on standard error. That it cannot be written there cannot be said anywhere.
pub(crate) fn note(text: impl AsRef<str>) {
    let mut stderr: StderrLock<'_> = io::stderr().lock();
    let _ = writeln!(stderr, "{}", text.as_ref());
}

/// Columns under their heads, each as wide as its widest cell; numbers stand right.
pub(crate) struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

struct Cell {
    text: String,
    paint: Paint,
}

impl Table {
    /// A table with these heads. A head that begins with `>` makes its column stand right.
    pub(crate) fn new(heads: &[&'static str]) -> Table {
        Table { heads: heads.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [(String, Paint); N]) {
        assert_eq!(N, self.heads.len(), "a row has a cell for every head");
        self.rows.push(cells.into_iter().map(|(text, paint)| Cell { text: visible(&text), paint }).collect());
    }

    fn render(&self, style: Style) -> String {
        let heads = self.heads.iter().map(|head| head.trim_start_matches('>'));
        let head_row: Vec<Cell> =
            heads.map(|head| Cell { text: head.to_owned(), paint: Paint::Faint }).collect();
        let all: Vec<&Vec<Cell>> = std::iter::once(&head_row).chain(&self.rows).collect();
        let widths: Vec<usize> = (0..self.heads.len())
            .map(|column| all.iter().map(|row| row[column].text.chars().count()).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for row in all {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let space = " ".repeat(widths[column] - cell.text.chars().count());
                let painted = style.paint(cell.paint, &cell.text);
                let gap = if column == 0 { "" } else { "  " };
                match self.heads[column].starts_with('>') {
                    true => line.extend([gap, &space, &painted]),
                    false => line.extend([gap, &painted, &space]),
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Text from a job is shown without the power to move the cursor or to break a row.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '·' } else { c }).collect()
}

/// A plain cell.
pub(crate) fn plain(text: impl ToString) -> (String, Paint) {
    (text.to_string(), Paint::Plain)
}

/// A cell of lesser weight.
pub(crate) fn faint(text: impl ToString) -> (String, Paint) {
    (text.to_string(), Paint::Faint)
}

/// A state's cell.
pub(crate) fn state(state: impl ToString) -> (String, Paint) {
    let state = state.to_string();
    let paint = paint_of_state(&state);
    (state, paint)
}

/// A number with its thousands apart: `1,234,567`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_numbers_stand_right() {
        let mut table = Table::new(&["QUEUE", ">READY", "STATE"]);
        table.row([plain("mail"), plain(7), state("open")]);
        table.row([plain("thumbs-large"), plain(12_345), state("paused")]);
        let expected = "\
QUEUE         READY  STATE
mail              7  open
thumbs-large  12345  paused
";
        assert_eq!(table.render(Style::Human { colours: false }), expected);
    }

    #[test]
    fn colours_do_not_move_columns() {
        let mut table = Table::new(&["A", "B"]);
        table.row([state("dead"), plain("x")]);
        assert!(table.render(Style::Human { colours: true }).ends_with("\x1b[31mdead\x1b[0m  x\n"));
    }

    #[test]
    fn a_jobs_text_cannot_write_to_the_terminal() {
        let mut table = Table::new(&["MESSAGE"]);
        table.row([plain("a\x1b[2Jb\nc")]);
        assert_eq!(table.render(Style::Human { colours: false }), "MESSAGE\na·[2Jb·c\n");
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
