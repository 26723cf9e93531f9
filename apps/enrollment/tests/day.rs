//! A small enrolment day, end to end: the command's own audit is the judge, and its exit code the verdict.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use serde_json::Value;

/// Lives through a small day; its report and its exit.
fn day(options: &[&str]) -> (Value, Output) {
    // PostgreSQL may run as another user, who must be able to come here.
    let anybody = std::fs::Permissions::from_mode(0o755);
    let folder = tempfile::Builder::new().permissions(anybody).tempdir_in(env!("CARGO_TARGET_TMPDIR"));
    let folder = folder.expect("a directory");
    let output = Command::new(env!("CARGO_BIN_EXE_enrollment"))
        .args(["day", "--within", "2s", "--json", "--chart", "day.svg"])
        .args(options)
        .current_dir(folder.path())
        .output()
        .expect("it starts");
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    let chart = std::fs::read_to_string(folder.path().join("day.svg")).expect("a chart");
    assert!(chart.starts_with("<svg"), "{chart:.100}");
    (report, output)
}

#[test]
fn a_killed_portal_and_a_ledger_that_is_down_leave_nobody_oversold_doubled_half_enrolled_or_lost() {
    let (report, output) =
        day(&["--students", "300", "--sections", "12", "--kill", "1", "--outage", "1s", "--seed", "7"]);
    assert!(output.status.success(), "{report:#}\n{}", String::from_utf8_lossy(&output.stderr));
    for kind in ["oversold", "duplicates", "half_enrolled", "lost", "unexplained"] {
        assert_eq!(report["verdict"][kind]["count"], 0, "{report:#}");
    }
    assert_eq!(report["kills"].as_array().map(Vec::len), Some(1), "{report:#}");
    // It was a day: seats were given, others were sold out, and some things were refused.
    let at_least = |count: &Value, least: u64| assert!(count.as_u64() >= Some(least), "{report:#}");
    at_least(&report["verdict"]["enrolled"], 100);
    at_least(&report["verdict"]["sold_out"], 100);
    at_least(&report["verdict"]["not_eligible"], 1);
    at_least(&report["figures"]["looks"]["count"], 1);
    // How many of them were answered in time is the machine's affair.
    let looks =
        [&report["figures"]["looks"]["count"], &report["figures"]["looks_given_up"]].map(Value::as_u64);
    assert!(looks.into_iter().flatten().sum::<u64>() >= 1_000, "{report:#}");
}

/// Whether two meet between a look and a write is chance, and on a machine that has other things to do they meet less: so it has
/// as many days to show it as it takes, within reason, and one who has two seats of a course is as good as two who have one.
/// (`day/strategies_tests.rs` makes them meet.)
#[test]
fn a_naive_application_is_seen_to_oversell_or_to_enrol_twice() {
    for seed in 1..=16 {
        let (seed, students) =
            (seed.to_string(), ["--students", "600", "--sections", "3", "--double-clicks", "1"]);
        let calm = ["--strategy", "naive", "--kill", "0", "--outage", "0s", "--seed", &seed];
        let (report, output) = day(&[&students[..], &calm[..]].concat());
        let verdict = &report["verdict"];
        if ["oversold", "duplicates"].iter().any(|kind| verdict[kind]["count"].as_u64() > Some(0)) {
            assert_eq!(output.status.code(), Some(1), "{report:#}");
            return;
        }
    }
    panic!("sixteen days, and nothing was oversold or doubled");
}

#[test]
fn a_chart_that_cannot_be_drawn_is_told_before_the_day() {
    let output = Command::new(env!("CARGO_BIN_EXE_enrollment"))
        .args(["day", "--students", "10", "--sections", "3", "--chart", "/nonexistent/day.svg"])
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("the chart cannot be written to /nonexistent/day.svg"), "{said}");
    assert!(!said.contains("students want"), "no day has begun: {said}");
}

#[test]
fn row_locks_survive_the_same_day() {
    let (report, output) = day(&[
        "--strategy",
        "pessimistic",
        "--students",
        "300",
        "--sections",
        "12",
        "--kill",
        "1",
        "--outage",
        "1s",
    ]);
    assert!(output.status.success(), "{report:#}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(report["verdict"]["enrolled"].as_u64() > Some(100), "{report:#}");
}
