//! Deliberate bugs in the server, one at a time: the scenarios must find them. A harness that has never caught anything
//! proves nothing.
//!
//! Needs the feature `sabotage`, root, and a server built for it: `TIDEGATE_SABOTAGED` names one, else it is built here.
#![cfg(feature = "sabotage")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn sabotaged_server() -> PathBuf {
    if let Some(server) = std::env::var_os("TIDEGATE_SABOTAGED") {
        return server.into();
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sabotaged");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--locked", "-p", "tidegate-cli", "--features", "sabotage", "--target-dir"])
        .arg(&folder)
        .status();
    assert!(built.expect("cargo runs").success(), "the sabotaged server is built");
    folder.join("debug/tidegate")
}

/// With this bug in it, one of a few seeds of this scenario shows one of these faults.
#[track_caller]
fn check(server: &Path, bug: &str, scenario: &str, expected: &[&str]) {
    let mut seen = Vec::new();
    for seed in 1..=5 {
        let folder = tempfile::tempdir().expect("a directory");
        let output = Command::new(env!("CARGO_BIN_EXE_tidegate-faults"))
            .env("TIDEGATE_SABOTAGE", bug)
            .args([scenario, "--json", "--rounds", "10", "--seed", &seed.to_string(), "--server"])
            .arg(server)
            .arg("--dir")
            .arg(folder.path())
            .output()
            .expect("the harness runs");
        let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
        let faults = report["faults"].as_array().expect("a list");
        if faults.iter().any(|fault| expected.contains(&fault["kind"].as_str().unwrap_or_default())) {
            return println!("{bug}: found by {scenario}, seed {seed}");
        }
        seen.push(report);
    }
    panic!("{bug}: {scenario} found none of {expected:?}: {seen:#?}");
}

#[test]
fn deliberate_bugs_are_found() {
    let server = sabotaged_server();
    check(&server, "sync_skipped", "power", &["lost", "vanished"]);
    check(&server, "answer_before_durable", "power", &["lost", "vanished"]);
    check(&server, "stale_token_accepted", "stopped", &["settled_twice", "delivered_after_end"]);
    check(&server, "key_reordered_on_retry", "two-servers", &["reordered", "two_leases"]);
}
