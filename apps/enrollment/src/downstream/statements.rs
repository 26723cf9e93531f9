//! What both stores are told in the same words. What each has a way of its own for, tables and fences, is with the store.
//!
//! PostgreSQL knows a parameter by its number, and SQLite by where it first stands: so they first stand in the order of their
//! numbers.

/// Writes an entry, once: enrolment, student, section, number, text, now.
pub(super) const ENTER: &str = "INSERT INTO entries (enrolment, student, section, number, text, at)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";

/// Undoes what is older: text, now, student, section, number.
pub(super) const UNDO: &str = "UPDATE entries SET undone = $1, undone_at = $2
    WHERE student = $3 AND section = $4 AND number < $5 AND undone IS NULL";

/// Keeps a notice, once: id, student, text, now.
pub(super) const NOTIFY: &str =
    "INSERT INTO notices (id, student, text, at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";

/// All entries that stand.
pub(super) const LINES: &str =
    "SELECT enrolment, student, section, number FROM entries WHERE undone IS NULL ORDER BY number";

/// How many there are.
pub(super) const COUNT: &str = "SELECT count(*) FROM entries WHERE undone IS NULL";

/// A student's entries, undone or not.
pub(super) const ROWS: &str =
    "SELECT section, text, at, undone, undone_at FROM entries WHERE student = $1 ORDER BY number";

/// A student's notices.
pub(super) const NOTICES: &str = "SELECT text, at FROM notices WHERE student = $1 ORDER BY at";
