//! What was reached, and how often: a simulator that never meets a refusal proves nothing about it.

use std::collections::BTreeMap;
use std::fmt;

use tidegate_core::outcome::{Item, Refusal};

use crate::call::Reply;

/// Counts by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(pub BTreeMap<String, u64>);

/// What must be reached over enough seeds, by kind.
pub const MUST_BE_REACHED: [(&str, &[&str]); 5] = [
    (
        "command",
        &[
            "enqueue",
            "work",
            "transaction",
            "cancel",
            "edit",
            "configure",
            "pause",
            "redrive",
            "delete dead",
            "job",
            "list",
            "queue",
            "causes",
        ],
    ),
    (
        "refusal",
        &[
            "job_not_found",
            "queue_not_found",
            "stale_token",
            "not_leased",
            "job_ended",
            "not_dead",
            "unique_conflict",
            "queue_full",
            "shard_full",
            "too_far_ahead",
            "already_expired",
            "idempotency_mismatch",
            "idempotency_full",
            "contradicts",
            "inbox_full",
            "waiters_full",
            "disk_full",
        ],
    ),
    (
        "fault",
        &[
            "process dies",
            "process is stopped",
            "power fails",
            "power fails at an operation",
            "power fails in a recovery",
            "write fails",
            "write is short",
            "sync fails",
            "disk fills up",
            "clock set forward",
            "clock set back",
            "caller leaves",
            "answer not picked up",
        ],
    ),
    (
        "answer",
        &[
            "duplicate",
            "replayed",
            "outcome unknown",
            "unavailable",
            "leased",
            "leased after waiting",
            "leased again",
        ],
    ),
    (
        "recovery",
        &[
            "torn tail",
            "unacknowledged kept",
            "unacknowledged lost",
            "trimmed log",
            "closed log",
            "after a failed log",
        ],
    ),
];

impl Coverage {
    /// Counts one.
    pub fn note(&mut self, kind: &str, name: &str) {
        *self.0.entry(format!("{kind}: {name}")).or_default() += 1;
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            *self.0.entry(name.clone()).or_default() += count;
        }
    }

    /// What must be reached and was not.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let all = MUST_BE_REACHED.iter();
        let names = all.flat_map(|(kind, names)| names.iter().map(move |name| format!("{kind}: {name}")));
        names.filter(|name| !self.0.contains_key(name)).collect()
    }

    /// Counts what a caller heard.
    pub fn note_reply(&mut self, reply: &Reply) {
        let replayed = match reply {
            Reply::Items { items, replayed } => {
                self.note_items(items);
                *replayed
            }
            Reply::Item { item, replayed } => {
                self.note_items(&[*item]);
                *replayed
            }
            Reply::Worked(worked) => {
                for part in [&worked.complete, &worked.fail, &worked.extend, &worked.release] {
                    self.note_items(part);
                }
                if !worked.leased.is_empty() {
                    self.note("answer", if worked.replayed { "leased again" } else { "leased" });
                }
                worked.replayed
            }
            Reply::Done { replayed }
            | Reply::Redriving { replayed, .. }
            | Reply::Deleted { replayed, .. } => *replayed,
            Reply::Refused { refusal, replayed } | Reply::OperationRefused { refusal, replayed, .. } => {
                self.note_refusal(*refusal);
                *replayed
            }
            Reply::InboxFull => return self.note("refusal", "inbox_full"),
            Reply::WaitersFull => return self.note("refusal", "waiters_full"),
            Reply::DiskFull => return self.note("refusal", "disk_full"),
            Reply::Unknown => return self.note("answer", "outcome unknown"),
            Reply::Unavailable => return self.note("answer", "unavailable"),
            Reply::Job(_) | Reply::Page { .. } | Reply::Queue(_) | Reply::Causes(_) | Reply::Other(_) => {
                return;
            }
        };
        if replayed {
            self.note("answer", "replayed");
        }
    }

    fn note_items(&mut self, items: &[Item]) {
        for item in items {
            match item {
                Item::Is { .. } | Item::Pool(_) => {}
                Item::Duplicate { .. } => self.note("answer", "duplicate"),
                Item::Refused(refusal) => self.note_refusal(*refusal),
            }
        }
    }

    fn note_refusal(&mut self, refusal: Refusal) {
        let name = if let Refusal::Contradicts(_) = refusal { "contradicts" } else { refusal.code() };
        self.note("refusal", name);
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in &self.0 {
            writeln!(f, "{count:>10}  {name}")?;
        }
        Ok(())
    }
}
