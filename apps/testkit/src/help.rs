//! What a command line says of itself, in a narrow terminal.
//!
//! Whoever copies an example copies whole lines, so none of it may be torn. Words have no line ends of their own: they fill
//! whatever width there is. What the help should say is not its business.

use clap::Command;

/// Columns of a narrow terminal.
const COLUMNS: usize = 80;

/// Asserts that what stands below the options of a command, and of its commands, can be read and copied.
///
/// # Panics
/// If a line is torn, or ends by hand.
pub fn assert_fits(command: &Command) {
    let name = command.get_name();
    let said = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let shown = command.clone().term_width(COLUMNS).render_help().to_string();
    for (line, next) in said.lines().zip(said.lines().skip(1).chain([""])) {
        if line.starts_with(' ') {
            assert!(shown.lines().any(|shown| shown == line), "{name} tears {line:?}:\n{shown}");
        } else if !line.is_empty() {
            let is_whole = next.is_empty() || next.starts_with(' ');
            assert!(is_whole, "{name} ends a line by hand, after {line:?}");
        }
    }
    command.get_subcommands().for_each(assert_fits);
}
