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
mod tests {
    use super::*;

    /// The sender's view in these tests: uploads 0 and 1 were accepted as `a` and `b`, 2 was refused, 3 not answered.
    fn fates() -> Vec<Fate> {
        vec![Fate::Accepted("a".into()), Fate::Accepted("b".into()), Fate::Refused(415), Fate::Unanswered]
    }

    fn entry(id: &str, upload: usize) -> Entry {
        Entry {
            id: id.into(),
            key: Some(Run::new(1).key(upload)),
            thumbnails: 3,
            emails: vec!["0-1".into()],
            notifications: 1,
            dead: BTreeMap::new(),
        }
    }

    fn dead(id: &str, upload: usize, step: &str, cause: &str) -> Entry {
        let mut entry = entry(id, upload);
        match step {
            "thumbnail" => entry.thumbnails = 1,
            "email" => entry.emails.clear(),
            _ => entry.notifications = 0,
        }
        entry.dead.insert(step.into(), cause.into());
        entry
    }

    fn mails(counts: &[(usize, u32)]) -> Mails {
        Mails { of_upload: counts.iter().copied().collect(), others: Vec::new() }
    }

    fn verdict(entries: &[Entry], mails: &Mails) -> Verdict {
        let (run, fates) = (Run::new(1), fates());
        let mut account = Account::new(&run, &fates, HashSet::from(["old".into()]));
        entries.iter().for_each(|entry| account.take(entry));
        account.take_mails(mails, true);
        account.verdict()
    }

    /// The counts of missing, doubled and made-up things, how many uploads are accounted for, and one of the words.
    #[track_caller]
    fn check(entries: &[Entry], mails: &Mails, expected: (u64, u64, u64), accounted: u64, word: &str) {
        let verdict = verdict(entries, mails);
        let counts = (verdict.missing.count, verdict.doubled.count, verdict.made_up.count);
        assert_eq!((counts, verdict.accounted), (expected, accounted), "{verdict:?}");
        assert_eq!(verdict.agrees(), expected == (0, 0, 0), "{verdict:?}");
        let told = [verdict.missing.first, verdict.doubled.first, verdict.made_up.first].concat();
        assert!(word.is_empty() || told.iter().any(|text| text.contains(word)), "{told:?}");
    }

    #[test]
    fn whole_uploads_agree_and_so_do_those_from_before() {
        let both = mails(&[(0, 1), (1, 1)]);
        check(&[entry("a", 0), entry("b", 1)], &both, (0, 0, 0), 2, "");
        let mut old = entry("old", 0);
        old.key = None;
        check(&[entry("a", 0), entry("b", 1), old], &both, (0, 0, 0), 2, "");
    }

    #[test]
    fn what_lacks_is_missing() {
        let both = mails(&[(0, 1), (1, 1)]);
        check(&[entry("a", 0)], &both, (1, 0, 0), 1, "upload b");
        let without = |change: fn(&mut Entry)| {
            let mut changed = entry("b", 1);
            change(&mut changed);
            [entry("a", 0), changed]
        };
        check(&without(|entry| entry.thumbnails = 2), &both, (1, 0, 0), 1, "2 thumbnails");
        check(&without(|entry| entry.emails.clear()), &both, (1, 0, 0), 1, "0 emails");
        check(&without(|entry| entry.notifications = 0), &both, (1, 0, 0), 1, "0 notifications");
        check(&[entry("a", 0), entry("b", 1)], &mails(&[(0, 1)]), (1, 0, 0), 1, "none came");
    }

    #[test]
    fn what_is_there_twice_is_doubled() {
        let both = mails(&[(0, 1), (1, 1)]);
        let mut doubled = entry("b", 1);
        doubled.emails.push("0-2".into());
        check(&[entry("a", 0), doubled.clone()], &mails(&[(0, 1), (1, 2)]), (0, 2, 0), 1, "2 emails");
        doubled = Entry { thumbnails: 4, notifications: 2, ..entry("b", 1) };
        check(&[entry("a", 0), doubled], &both, (0, 2, 0), 1, "2 notifications");
        check(&[entry("a", 0), entry("b", 1)], &mails(&[(0, 1), (1, 3)]), (0, 1, 0), 1, "3 emails");
        check(&[entry("a", 0), entry("b", 1), entry("b", 1)], &both, (0, 1, 0), 1, "2 times");
        check(&[entry("a", 0), entry("b", 1), entry("c", 1)], &both, (0, 1, 0), 1, "second upload");
    }

    #[test]
    fn what_nobody_sent_is_made_up() {
        let both = mails(&[(0, 1), (1, 1)]);
        let all = |other: Entry| [entry("a", 0), entry("b", 1), other];
        check(&all(Entry { key: None, ..entry("z", 0) }), &both, (0, 0, 1), 2, "never sent");
        check(&all(entry("z", 99)), &both, (0, 0, 1), 2, "never sent");
        check(&all(entry("z", 2)), &both, (0, 0, 1), 2, "415");
        let whole = [entry("a", 0), entry("b", 1)];
        check(&whole, &mails(&[(0, 1), (1, 1), (2, 1)]), (0, 0, 1), 2, "no such upload");
        check(&whole, &mails(&[(0, 1), (1, 1), (99, 1)]), (0, 0, 1), 2, "0000099");
        check(&whole, &Mails { others: vec!["17.M".into()], ..both.clone() }, (0, 0, 1), 2, "17.M");
        check(
            &[entry("a", 0), Entry { key: Some("x".into()), ..entry("b", 1) }],
            &both,
            (0, 0, 1),
            1,
            "the key x",
        );
    }

    #[test]
    fn a_dead_letter_with_a_cause_stands_for_what_lacks() {
        let both = mails(&[(0, 1), (1, 1)]);
        check(&[entry("a", 0), dead("b", 1, "thumbnail", "not an image")], &both, (0, 0, 0), 2, "");
        check(&[entry("a", 0), dead("b", 1, "email", "550")], &mails(&[(0, 1)]), (0, 0, 0), 2, "");
        // Its worker was lost after the mail had gone out, each time.
        check(&[entry("a", 0), dead("b", 1, "email", "lapsed")], &both, (0, 0, 0), 2, "");
        check(&[entry("a", 0), dead("b", 1, "notification", " ")], &both, (1, 0, 0), 1, "without a cause");
        let found = verdict(&[dead("a", 0, "email", "550"), dead("b", 1, "email", "550")], &mails(&[]));
        assert_eq!((found.dead["email"]["550"], found.dead_letters()), (2, 2));
    }

    #[test]
    fn an_upload_without_an_answer_may_be_there_or_not_but_then_it_is_whole() {
        let whole = [entry("a", 0), entry("b", 1)];
        check(&[&whole[..], &[entry("d", 3)]].concat(), &mails(&[(0, 1), (1, 1), (3, 1)]), (0, 0, 0), 2, "");
        let half = Entry { notifications: 0, ..entry("d", 3) };
        check(&[&whole[..], &[half]].concat(), &mails(&[(0, 1), (1, 1), (3, 1)]), (1, 0, 0), 2, "upload d");
    }

    #[test]
    fn two_uploads_with_one_id_are_one_too_few() {
        let (run, fates) = (Run::new(1), [Fate::Accepted("a".into()), Fate::Accepted("a".into())]);
        let mut account = Account::new(&run, &fates, HashSet::new());
        account.take(&entry("a", 1));
        let verdict = account.verdict();
        assert_eq!((verdict.missing.count, verdict.accounted, verdict.agrees()), (1, 1, false));
    }

    #[test]
    fn everything_is_counted_and_the_first_are_told() {
        let fates: Vec<Fate> = (0..25).map(|upload| Fate::Accepted(format!("id{upload}").into())).collect();
        let run = Run::new(1);
        let verdict = Account::new(&run, &fates, HashSet::new()).verdict();
        assert_eq!((verdict.missing.count, verdict.missing.first.len()), (25, TOLD_MAX));
    }
}
