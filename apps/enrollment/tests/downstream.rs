//! Mail, record and fee: an entry is kept once, an undo beats what is older, and both hold in SQLite and in a real PostgreSQL.

mod support;

use std::sync::Arc;

use enrollment::catalogue::StudentId;
use enrollment::chain::{Entry, Revocation, Task, perform};
use enrollment::downstream::{Downstream, Health, System, Written};
use support::postgres::Postgres;

fn entry(enrolment: &str, student: &str, section: &str) -> Entry {
    Entry {
        enrolment: enrolment.into(),
        student: student.into(),
        section: section.into(),
        course: "cs101".into(),
        credits: 3,
        fee_cents: 13_500,
    }
}

fn revocation(student: &str, section: &str) -> Revocation {
    Revocation { student: student.into(), section: section.into(), before: None }
}

async fn names(downstream: &Downstream, system: System) -> Vec<String> {
    downstream.lines(system).await.expect("its lines").into_iter().map(|line| line.enrolment).collect()
}

/// Every promise of the three systems, each against every store.
async fn keeps_its_promises(downstream: &Arc<Downstream>) {
    for system in System::ALL {
        an_entry_is_there_once(downstream, system).await;
        an_undo_beats_what_is_older(downstream, system).await;
        what_comes_too_late_is_not_written(downstream, system).await;
        a_name_that_is_anothers_is_refused(downstream, system).await;
        many_at_once_are_one(downstream, system).await;
        doing_and_undoing_at_once_leaves_nothing(downstream, system).await;
    }
    a_drop_goes_backwards(downstream).await;
    one_that_is_down_says_so(downstream).await;
    a_notice_is_told_once(downstream).await;
}

async fn an_entry_is_there_once(downstream: &Downstream, system: System) {
    let one = entry("once/1", "once", "cs101-1");
    assert_eq!(downstream.write(system, 10, &one).await, Ok(Written::New));
    assert_eq!(downstream.write(system, 10, &one).await, Ok(Written::AlreadyThere));
    let rows = downstream.rows(system, &"once".into()).await.expect("its rows");
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].undone, None);
}

async fn an_undo_beats_what_is_older(downstream: &Downstream, system: System) {
    downstream.write(system, 20, &entry("undo/1", "undo", "cs101-1")).await.expect("it is up");
    downstream.write(system, 20, &entry("undo/other", "undo", "cs101-2")).await.expect("it is up");
    let undo = revocation("undo", "cs101-1");
    assert_eq!(downstream.undo(system, &undo, 25).await, Ok(1));
    assert_eq!(downstream.undo(system, &undo, 25).await, Ok(0), "said twice, it is undone once");
    // The student comes back; the undoing of the first time, told once more, leaves the second alone.
    assert_eq!(downstream.write(system, 30, &entry("undo/2", "undo", "cs101-1")).await, Ok(Written::New));
    assert_eq!(downstream.undo(system, &undo, 25).await, Ok(0));
    let mine: Vec<_> =
        names(downstream, system).await.into_iter().filter(|name| name.starts_with("undo/")).collect();
    assert_eq!(mine, ["undo/other", "undo/2"]);
    let rows = downstream.rows(system, &"undo".into()).await.expect("its rows");
    assert_eq!(rows.iter().filter(|row| row.undone.is_some()).count(), 1);
}

async fn what_comes_too_late_is_not_written(downstream: &Downstream, system: System) {
    assert_eq!(downstream.undo(system, &revocation("late", "cs101-1"), 50).await, Ok(0));
    let late = entry("late/1", "late", "cs101-1");
    assert_eq!(downstream.write(system, 49, &late).await, Ok(Written::Overtaken));
    // An older undo does not lower the fence that is there.
    assert_eq!(downstream.undo(system, &revocation("late", "cs101-1"), 40).await, Ok(0));
    assert_eq!(downstream.write(system, 49, &late).await, Ok(Written::Overtaken));
    assert!(!names(downstream, system).await.contains(&"late/1".to_owned()));
}

/// A name is one entry's. Whoever finds another under it, undone or not, is not told that all is done.
async fn a_name_that_is_anothers_is_refused(downstream: &Downstream, system: System) {
    let one = entry("anothers/1", "anothers", "cs101-1");
    assert_eq!(downstream.write(system, 55, &one).await, Ok(Written::New));
    let others = [
        (56, entry("anothers/1", "anothers", "cs101-2")),
        (55, entry("anothers/1", "somebody", "cs101-1")),
        (57, entry("anothers/1", "anothers", "cs101-1")),
    ];
    let refused = async |when: &str| {
        for (number, other) in &others {
            let fault = downstream.write(system, *number, other).await.expect_err(when);
            assert_eq!((fault.kind, fault.is_final()), ("another_entry", true), "{when}: {fault}");
            let says = "has an entry anothers/1 already, of anothers in cs101-1 and with the number 55";
            assert!(fault.to_string().contains(says), "{when}: {fault}");
        }
    };
    refused("it is there").await;
    assert_eq!(downstream.undo(system, &revocation("anothers", "cs101-1"), 56).await, Ok(1));
    refused("it was undone").await;
    let rows = downstream.rows(system, &"anothers".into()).await.expect("its rows");
    assert_eq!(rows.iter().map(|row| row.section.as_str()).collect::<Vec<_>>(), ["cs101-1"]);
}

async fn many_at_once_are_one(downstream: &Arc<Downstream>, system: System) {
    let writing: Vec<_> = (0..8)
        .map(|_| {
            let downstream = Arc::clone(downstream);
            tokio::spawn(
                async move { downstream.write(system, 60, &entry("many/1", "many", "cs101-1")).await },
            )
        })
        .collect();
    let mut new = 0;
    for one in writing {
        let written = one.await.expect("no panic").expect("it is up");
        new += usize::from(written == Written::New);
    }
    assert_eq!(new, 1);
    assert_eq!(names(downstream, system).await.iter().filter(|name| *name == "many/1").count(), 1);
}

/// A late entry and its undo, whichever comes first: the entry is not there afterwards.
async fn doing_and_undoing_at_once_leaves_nothing(downstream: &Arc<Downstream>, system: System) {
    for round in 0..40 {
        let student = format!("race{round}");
        let late = entry(&format!("race/{round}"), &student, "cs101-1");
        let writing = {
            let downstream = Arc::clone(downstream);
            tokio::spawn(async move { downstream.write(system, 70, &late).await })
        };
        let undoing = {
            let (downstream, undo) = (Arc::clone(downstream), revocation(&student, "cs101-1"));
            tokio::spawn(async move { downstream.undo(system, &undo, 71).await })
        };
        let written = writing.await.expect("no panic").expect("it is up");
        let undone = undoing.await.expect("no panic").expect("it is up");
        match written {
            Written::New => assert_eq!(undone, 1, "it was there, so it was undone"),
            Written::Overtaken => assert_eq!(undone, 0),
            Written::AlreadyThere => panic!("nobody else wrote it"),
        }
    }
    assert!(names(downstream, system).await.iter().all(|name| !name.starts_with("race/")));
}

async fn a_drop_goes_backwards(downstream: &Downstream) {
    let mut next = Some((System::Fee, revocation("back", "cs101-1")));
    let mut reached = Vec::new();
    for (number, system) in (80..).zip(System::ALL) {
        let task = Task::Write(entry("back/1", "back", "cs101-1"));
        assert_eq!(perform(downstream, system, number, &task).await, Ok(None));
    }
    let mut number = 90;
    while let Some((system, revocation)) = next {
        reached.push(system);
        next = perform(downstream, system, number, &Task::Undo(revocation)).await.expect("it is up");
        // Later steps have later numbers of their own, and mean the first one's.
        assert!(next.as_ref().is_none_or(|(_, revocation)| revocation.before == Some(90)));
        number += 1;
    }
    assert_eq!(reached, [System::Fee, System::Record, System::Mail]);
    for system in System::ALL {
        assert!(!names(downstream, system).await.contains(&"back/1".to_owned()), "{system}");
    }
}

async fn one_that_is_down_says_so(downstream: &Downstream) {
    downstream.set(System::Fee, Health::Down);
    let one = entry("down/1", "down", "cs101-1");
    let fault = downstream.write(System::Fee, 100, &one).await.expect_err("it is down");
    assert_eq!(fault.to_string(), "the fee ledger answers 503");
    assert_eq!(downstream.write(System::Record, 100, &one).await, Ok(Written::New), "the others are not");
    downstream.set(System::Fee, Health::Up);
    assert_eq!(downstream.write(System::Fee, 100, &one).await, Ok(Written::New));
}

async fn a_notice_is_told_once(downstream: &Downstream) {
    let student = StudentId::from("told");
    for _ in 0..2 {
        downstream.notify("offer:0-7", &student, "A seat is kept for you.").await.expect("it is up");
    }
    let notices = downstream.notices(&student).await.expect("its notices");
    assert_eq!(
        notices.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>(),
        ["A seat is kept for you."]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_its_promises() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let downstream = Arc::new(Downstream::open("sqlite", folder.path()).await.expect("it opens"));
    keeps_its_promises(&downstream).await;
    // What was written is there for the next process.
    let before = names(&downstream, System::Mail).await;
    drop(downstream);
    let downstream = Downstream::open("sqlite", folder.path()).await.expect("it opens again");
    assert_eq!(names(&downstream, System::Mail).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_keeps_its_promises() {
    let mut postgres = Postgres::start().await;
    let folder = tempfile::tempdir().expect("a temporary directory");
    let downstream = Arc::new(Downstream::open(&postgres.url(), folder.path()).await.expect("it opens"));
    keeps_its_promises(&downstream).await;

    // It crashes: what is asked meanwhile fails by name, and what is asked afterwards works, on the same portal.
    let before = names(&downstream, System::Record).await;
    postgres.kill();
    let one = entry("crash/1", "crash", "cs101-1");
    let fault = downstream.write(System::Record, 200, &one).await.expect_err("nobody is there");
    assert_eq!((fault.system, fault.kind), (System::Record, "postgres"));
    assert!(fault.to_string().starts_with("the academic record cannot be reached: "), "{fault}");
    postgres.run().await;
    // Connections that broke are found to be broken one by one.
    while downstream.write(System::Record, 200, &one).await.is_err() {}
    assert_eq!(names(&downstream, System::Record).await, [before, vec!["crash/1".to_owned()]].concat());
}

#[tokio::test]
async fn another_place_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let error = Downstream::open("mysql://here", folder.path()).await.expect_err("there is no such store");
    assert!(error.to_string().contains("mysql://here"), "{error}");
}
