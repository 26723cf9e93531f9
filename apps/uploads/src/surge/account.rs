//! Holds what was answered against what came of it, from both ends, and says what does not agree.
//!
//! One end is the service's own account, a line for each upload. The other end trusts the service in nothing: the
//! mails that lie in its directory, told apart by the address that only one upload was given. Every upload that was
//! answered 202 must have its three thumbnails, exactly one email and exactly one notification, or a dead letter with
//! its cause for the step that lacks them.
//!
//! This is a pure function of what is handed in; it asks nobody. Of what is wrong it counts everything and keeps the
//! first few in words.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{load::Fate, mails::Mails, names::Run};

/// Thumbnails of one upload.
const THUMBNAILS: u32 = 3;
/// Of each kind of disagreement so many are told in words.
const TOLD_MAX: usize = 10;
/// Causes of death that are told apart in one step; the rest is counted together.
const CAUSES_MAX: usize = 50;

/// What the service says of one upload.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Entry {
    pub(crate) id: String,
    /// The idempotency key, if it came with one.
    #[serde(default)]
    pub(crate) key: Option<String>,
    pub(crate) thumbnails: u32,
    /// The jobs that sent it.
    pub(crate) emails: Vec<String>,
    pub(crate) notifications: u32,
    /// The cause of each step's dead letter, by `thumbnail`, `email`, `notification`.
    #[serde(default)]
    pub(crate) dead: BTreeMap<String, String>,
}

/// Disagreements of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Findings {
    pub(crate) count: u64,
    /// The first of them, in words.
    pub(crate) first: Vec<String>,
}

impl Findings {
    fn add(&mut self, text: String) {
        self.count += 1;
        if self.first.len() < TOLD_MAX {
            self.first.push(text);
        }
    }
}

/// What the account came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Verdict {
    /// Uploads that were answered 202.
    pub(crate) accepted: u64,
    /// Those of them for which everything agrees.
    pub(crate) accounted: u64,
    /// Uploads without any answer that the service had accepted all the same; they are judged like the others.
    pub(crate) accepted_unanswered: u64,
    /// Uploads that the service had before the run.
    pub(crate) from_before: u64,
    pub(crate) thumbnails: u64,
    pub(crate) emails: u64,
    pub(crate) notifications: u64,
    /// Mails of this run that lie in the directory, if it could be looked into.
    pub(crate) mails: Option<u64>,
    /// Dead letters, by step and cause.
    pub(crate) dead: BTreeMap<&'static str, BTreeMap<String, u64>>,
    pub(crate) missing: Findings,
    pub(crate) doubled: Findings,
    pub(crate) made_up: Findings,
}

impl Verdict {
    /// True when nothing is missing, doubled or made up.
    pub(crate) fn agrees(&self) -> bool {
        self.missing.count + self.doubled.count + self.made_up.count == 0 && self.accounted == self.accepted
    }

    pub(crate) fn dead_letters(&self) -> u64 {
        self.dead.values().flat_map(BTreeMap::values).sum()
    }
}

/// An account that is being taken.
pub(crate) struct Account<'a> {
    run: &'a Run,
    fates: &'a [Fate],
    uploads: HashMap<&'a str, usize>,
    before: HashSet<String>,
    seen: Vec<Seen>,
    verdict: Verdict,
}

/// What has been seen of one upload.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    entries: u8,
    /// The service says that it sent an email.
    email: bool,
    /// Something about it does not agree.
    wrong: bool,
}

/// A step of an upload with what the service says of it.
struct Step<'a> {
    name: &'static str,
    things: &'static str,
    found: u32,
    expected: u32,
    dead: Option<&'a String>,
}

impl<'a> Account<'a> {
    /// An account of a run: what became of each upload as its sender saw it, and the ids that the service had before.
    pub(crate) fn new(run: &'a Run, fates: &'a [Fate], before: HashSet<String>) -> Account<'a> {
        let mut account = Account {
            run,
            fates,
            uploads: HashMap::with_capacity(fates.len()),
            before,
            seen: vec![Seen::default(); fates.len()],
            verdict: Verdict::default(),
        };
        for (upload, fate) in fates.iter().enumerate() {
            let Fate::Accepted(id) = fate else { continue };
            account.verdict.accepted += 1;
            if let Some(other) = account.uploads.insert(id, upload) {
                account.verdict.missing.add(format!(
                    "upload {} and {} were both answered with the id {id}",
                    run.key(other),
                    run.key(upload)
                ));
                account.seen[other].wrong = true;
            }
        }
        account
    }

    /// Takes one line of the service's account.
    pub(crate) fn take(&mut self, entry: &Entry) {
        let by_key = entry.key.as_deref().and_then(|key| self.run.upload_of_key(key));
        let by_key = by_key.filter(|upload| *upload < self.fates.len());
        match (self.uploads.get(&entry.id[..]).copied(), by_key) {
            (Some(upload), Some(same)) if upload == same => self.judge(upload, entry),
            (Some(upload), _) => {
                let (expected, key) = (self.run.key(upload), entry.key.as_deref().unwrap_or("none"));
                self.verdict
                    .made_up
                    .add(format!("upload {} has the key {key} instead of {expected}", entry.id));
                self.seen[upload].wrong = true;
                self.judge(upload, entry);
            }
            (None, Some(upload)) => self.take_unknown_id(upload, entry),
            (None, None) if self.before.contains(&entry.id) => self.verdict.from_before += 1,
            (None, None) => self.verdict.made_up.add(format!("upload {} was never sent", entry.id)),
        }
    }

    /// An upload of this run under an id that its sender was not told.
    fn take_unknown_id(&mut self, upload: usize, entry: &Entry) {
        let (id, key) = (&entry.id, self.run.key(upload));
        match &self.fates[upload] {
            Fate::Accepted(known) => {
                self.verdict.doubled.add(format!("the key {key} made a second upload, {id}, beside {known}"));
                self.seen[upload].wrong = true;
            }
            Fate::Refused(status) => {
                self.verdict.made_up.add(format!("upload {id} ({key}) is there, and was answered {status}"));
            }
            Fate::Open | Fate::Unanswered => {
                self.verdict.accepted_unanswered += 1;
                self.judge(upload, entry);
            }
        }
    }

    fn judge(&mut self, upload: usize, entry: &Entry) {
        let seen = &mut self.seen[upload];
        seen.entries = seen.entries.saturating_add(1);
        seen.email = !entry.emails.is_empty();
        if seen.entries > 1 {
            self.verdict.doubled.add(format!("upload {} is in the account {} times", entry.id, seen.entries));
            seen.wrong = true;
            return;
        }
        let (emails, notifications) = (entry.emails.len() as u32, entry.notifications);
        self.verdict.thumbnails += u64::from(entry.thumbnails);
        self.verdict.emails += u64::from(emails);
        self.verdict.notifications += u64::from(notifications);
        let step = |name, things, found, expected| Step {
            name,
            things,
            found,
            expected,
            dead: entry.dead.get(name),
        };
        let steps = [
            step("thumbnail", "thumbnails", entry.thumbnails, THUMBNAILS),
            step("email", "emails", emails, 1),
            step("notification", "notifications", notifications, 1),
        ];
        for step in steps {
            if !self.judge_step(&entry.id, &step) {
                self.seen[upload].wrong = true;
            }
        }
    }

    /// False if it does not agree.
    fn judge_step(&mut self, id: &str, step: &Step<'_>) -> bool {
        let Step { name, things, found, expected, dead } = step;
        if found > expected {
            self.verdict.doubled.add(format!("upload {id} has {found} {things} instead of {expected}"));
            return false;
        }
        if found == expected {
            return true;
        }
        match dead {
            Some(cause) if !cause.trim().is_empty() => {
                let causes = self.verdict.dead.entry(name).or_default();
                let told = causes.len() < CAUSES_MAX || causes.contains_key(*cause);
                let cause = if told { cause.as_str() } else { "other causes" };
                *causes.entry(cause.to_owned()).or_default() += 1;
                true
            }
            Some(_) => {
                self.verdict.missing.add(format!("upload {id}: its {name} job is dead without a cause"));
                false
            }
            None => {
                let text =
                    format!("upload {id} has {found} {things} instead of {expected}, and no dead letter");
                self.verdict.missing.add(text);
                false
            }
        }
    }

    /// Takes the mails that lie in the directory, after all lines of the account. `fresh` says that the directory was
    /// empty before the run.
    pub(crate) fn take_mails(&mut self, mails: &Mails, fresh: bool) {
        self.verdict.mails = Some(mails.of_upload.values().map(|count| u64::from(*count)).sum());
        for (upload, seen) in self.seen.iter_mut().enumerate() {
            let count = mails.of_upload.get(&upload).copied().unwrap_or(0);
            let address = || self.run.email(upload);
            let wrong = match count {
                0 if seen.email => {
                    self.verdict
                        .missing
                        .add(format!("an email to {} was sent, says the service; none came", address()));
                    true
                }
                1.. if seen.entries == 0 && !matches!(self.fates[upload], Fate::Accepted(_)) => {
                    self.verdict
                        .made_up
                        .add(format!("an email to {} came, and there is no such upload", address()));
                    false
                }
                2.. => {
                    self.verdict.doubled.add(format!("{count} emails came to {}", address()));
                    true
                }
                _ => false,
            };
            seen.wrong |= wrong;
        }
        let beyond = mails.of_upload.iter().filter(|(upload, _)| **upload >= self.fates.len());
        for (upload, count) in beyond {
            self.verdict.made_up.add(format!("{count} emails came to {}", self.run.email(*upload)));
        }
        for stranger in mails.others.iter().filter(|_| fresh) {
            self.verdict.made_up.add(format!("the mail {stranger} is to nobody of this run"));
        }
    }

    /// What it all came to.
    pub(crate) fn verdict(mut self) -> Verdict {
        for (upload, fate) in self.fates.iter().enumerate() {
            let Fate::Accepted(id) = fate else { continue };
            let seen = self.seen[upload];
            if seen.entries == 0 && !seen.wrong {
                self.verdict
                    .missing
                    .add(format!("upload {id} ({}) is not in the account", self.run.key(upload)));
            }
            self.verdict.accounted += u64::from(seen.entries == 1 && !seen.wrong);
        }
        self.verdict
    }
}

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
