//! Numbers and colours, for people.

use std::io::{self, IsTerminal};

/// A number with its thousands apart.
#[must_use]
pub fn thousands(number: u64) -> String {
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

/// Whether words are stressed by colours.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    colours: bool,
}

impl Style {
    /// No colours: for a file, or a test.
    pub const PLAIN: Style = Style { colours: false };
    /// Colours, whoever reads it.
    pub const COLOURED: Style = Style { colours: true };

    /// Colours on a terminal, unless `NO_COLOR` is set.
    #[must_use]
    pub fn of_stdout() -> Style {
        Style::of(&io::stdout())
    }

    /// The same for standard error.
    #[must_use]
    pub fn of_stderr() -> Style {
        Style::of(&io::stderr())
    }

    fn of(output: &impl IsTerminal) -> Style {
        Style { colours: output.is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    /// Whether there are any.
    #[must_use]
    pub fn has_colours(self) -> bool {
        self.colours
    }

    /// What stands over something.
    #[must_use]
    pub fn head(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// What is as it should be.
    #[must_use]
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// What is not.
    #[must_use]
    pub fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// In the colour with this code of a terminal.
    #[must_use]
    pub fn paint(self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
