//! A few kills of the real server, and then the same history with something taken out of it or added to it: the checker has
//! nothing to say about the first, and catches the others.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tidegate::api::words::JobState;
use tidegate_faults::history::{Answer, Ask, Event, How, Leased, Line, NewJob, Settle, read};

/// The server beside the harness. `cargo test --workspace` has built both; for this crate alone it may be missing.
fn server() -> PathBuf {
    let server = Path::new(env!("CARGO_BIN_EXE_tidegate-faults")).with_file_name("tidegate");
    if !server.exists() {
        let built = Command::new(env!("CARGO")).args(["build", "--locked", "-p", "tidegate-cli"]).status();
        assert!(built.expect("cargo runs").success(), "the server is built");
    }
    server
}

fn harness(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate-faults"));
    command.arg("--json").arg("--server").arg(server()).args(args).output().expect("the harness runs")
}

#[track_caller]
fn check(histories: &Path, expected: &str) {
    let output = harness(&["--check", histories.to_str().expect("a text")]);
    let verdict: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let faults = verdict["faults"].as_array().expect("a list");
    let kinds: Vec<&str> = faults.iter().filter_map(|fault| fault["kind"].as_str()).collect();
    if expected.is_empty() {
        assert!(kinds.is_empty() && output.status.success(), "{faults:?}");
    } else {
        assert!(kinds.contains(&expected) && output.status.code() == Some(1), "{expected} in {faults:?}");
    }
}

/// Writes the history anew, each line as `change` has it, or not at all.
fn rewrite(from: &Path, to: &Path, mut change: impl FnMut(Value) -> Vec<Value>) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("the histories") {
        let path = entry.expect("a file").path();
        let text = fs::read_to_string(&path).expect("a history");
        // A killed worker's last line may be torn.
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let changed: String = lines.flat_map(&mut change).map(|line| line.to_string() + "\n").collect();
        fs::write(to.join(path.file_name().expect("a name")), changed).expect("room");
    }
}

/// Adds what one more caller saw, from this time on.
fn add(histories: &Path, at: u64, events: Vec<Event>) {
    let line =
        |(at, event)| serde_json::to_string(&Line { at, who: "one more".into(), event }).expect("JSON");
    let lines: String = (at..).zip(events).map(line).map(|line| line + "\n").collect();
    fs::write(histories.join("one-more.jsonl"), lines).expect("room");
}

#[test]
fn kills_leave_a_history_without_a_fault_and_every_tampering_with_it_is_caught() {
    let folder = tempfile::tempdir().expect("a directory");
    let place = folder.path().to_str().expect("a text");
    let output = harness(&["kills", "--rounds", "3", "--keep", "--dir", place]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(report["ending"], "passed");
    let played =
        fs::read_dir(folder.path()).expect("the folder").next().expect("one scenario").expect("its folder");
    let history = played.path().join("history");
    check(&history, "");

    // The state forgets a completed job.
    let lost = folder.path().join("lost");
    let mut taken = false;
    rewrite(&history, &lost, |line| {
        let is_found = !line["event"]["found"].is_null();
        if is_found && !std::mem::replace(&mut taken, true) { vec![] } else { vec![line] }
    });
    check(&lost, "lost");
    check(&lost, "vanished");

    // A job was accepted before all others and lost without a trace: its id is a later job's, which lived and was completed.
    let given_again = folder.path().join("given-again");
    rewrite(&history, &given_again, |line| vec![line]);
    let lines = read(&history).expect("a history");
    let of_another = lines.iter().find_map(|line| match &line.event {
        Event::Found { id, state: JobState::Completed } => Some(id.clone()),
        _ => None,
    });
    let job = NewJob { name: "lost".into(), digest: 0, ordering_key: None, delay_ms: 0 };
    let ask = Ask::Enqueue { key: "lost".into(), once: true, jobs: vec![job] };
    let answer = Answer::Enqueued(vec![Ok(of_another.expect("a completed job"))]);
    add(&given_again, 0, vec![Event::Ask { call: 1, ask }, Event::Answer { call: 1, answer }]);
    check(&given_again, "id_of_two");

    // A job that failed for good is handed out once more, and fails for good once more: at the end all is as before.
    let dead_twice = folder.path().join("dead-twice");
    rewrite(&history, &dead_twice, |line| vec![line]);
    let dead = lines.iter().filter_map(|line| match &line.event {
        Event::Ask { call, ask: Ask::Settle(items) } if items[0].how == How::Fatal => {
            Some((&line.who, *call, &items[0].id))
        }
        _ => None,
    });
    let was_taken = |who: &str, of: u64| {
        lines.iter().any(|line| match &line.event {
            Event::Answer { call, answer: Answer::Settled(results) } => {
                line.who == who && *call == of && results[0].is_ok()
            }
            _ => false,
        })
    };
    let (.., id) = dead.into_iter().find(|(who, call, _)| was_taken(who, *call)).expect("a dead job");
    let leased = lines.iter().find_map(|line| match &line.event {
        Event::Answer { answer: Answer::Leased(jobs), .. } => jobs.iter().find(|job| job.id == *id),
        _ => None,
    });
    let token = 1_000_000_000;
    let leased = Leased { token, ..leased.expect("its lease").clone() };
    let settle = Settle { id: id.clone(), token, how: How::Fatal };
    let events = vec![
        Event::Ask { call: 1, ask: Ask::Lease { lease_ms: 1_000 } },
        Event::Answer { call: 1, answer: Answer::Leased(vec![leased]) },
        Event::Ask { call: 2, ask: Ask::Settle(vec![settle]) },
        Event::Answer { call: 2, answer: Answer::Settled(vec![Ok(())]) },
    ];
    add(&dead_twice, lines.last().expect("an end").at + 600_000_000, events);
    check(&dead_twice, "delivered_after_end");
    check(&dead_twice, "settled_twice");

    // Whatever was handed out is handed out again ten minutes later, under a higher token: also what was completed.
    let again = folder.path().join("again");
    let mut token = 1_000_000_000_u64;
    rewrite(&history, &again, |line| {
        let jobs = line["event"]["answer"]["answer"]["leased"].as_array().cloned().unwrap_or_default();
        let mut lines = vec![line.clone()];
        for mut job in jobs {
            token += 1;
            job["token"] = token.into();
            let (mut ask, mut answer) = (line.clone(), line.clone());
            ask["event"] = json!({ "ask": { "call": token, "ask": { "lease": { "lease_ms": 1000 } } } });
            answer["event"] = json!({ "answer": { "call": token, "answer": { "leased": [job] } } });
            for line in [&mut ask, &mut answer] {
                line["at"] = (line["at"].as_u64().expect("a time") + 600_000_000).into();
            }
            lines.extend([ask, answer]);
        }
        lines
    });
    check(&again, "delivered_after_end");

    // Nobody ever asked for what was worked on.
    let ghosts = folder.path().join("ghosts");
    rewrite(&history, &ghosts, |line| {
        if line["event"]["ask"]["ask"]["enqueue"].is_null() { vec![line] } else { vec![] }
    });
    check(&ghosts, "made_up");
}
