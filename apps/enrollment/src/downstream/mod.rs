//! Three systems of their own: confirmation mail, academic record, fee ledger.
//!
//! Each has its own store, can be down by itself, and keeps an entry once however often it is told.

use serde::{Deserialize, Serialize};

/// One of the three, in the order in which an enrolment reaches them; a drop goes backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum System {
    /// The mail that confirms.
    Mail,
    /// What the student is enrolled in, as the examination office knows it.
    Record,
    /// What the student owes.
    Fee,
}

impl System {
    /// All three, in the order of an enrolment.
    pub const ALL: [Self; 3] = [Self::Mail, Self::Record, Self::Fee];

    /// The word for it everywhere.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Record => "record",
            Self::Fee => "fee",
        }
    }
}
