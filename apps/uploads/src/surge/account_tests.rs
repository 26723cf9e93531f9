//! One upload after the other, with everything that can be wrong with it.

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
