//! A surge with kills, end to end: the command's own accounting is the judge, and its exit code the verdict.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The queue server beside the service. `cargo test --workspace` has built both; for this crate alone it may be missing.
fn tidegate() -> PathBuf {
    let server = Path::new(env!("CARGO_BIN_EXE_uploads")).with_file_name("tidegate");
    if !server.exists() {
        let built = Command::new(env!("CARGO")).args(["build", "--locked", "-p", "tidegate-cli"]).status();
        assert!(built.expect("cargo runs").success(), "the server is built");
    }
    server
}

/// Runs `uploads surge` and gives its report; it must have found every upload accounted for.
fn surge(options: &[&str]) -> Value {
    let folder = tempfile::tempdir().expect("a directory");
    let output = Command::new(env!("CARGO_BIN_EXE_uploads"))
        .arg("surge")
        .args(["--calm", "0.5", "--json", "--drain-timeout", "4m", "--out"])
        .arg(folder.path().join("surge.svg"))
        .args(options)
        .current_dir(folder.path())
        .output()
        .expect("it starts");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{messages}\n{}", String::from_utf8_lossy(&output.stdout));
    let chart = std::fs::read_to_string(folder.path().join("surge.svg")).expect("a chart");
    assert!(chart.starts_with("<svg"), "{chart:.100}");
    serde_json::from_slice(&output.stdout).expect("a report")
}

#[test]
fn killed_services_and_dead_workers_lose_and_double_nothing() {
    let report = surge(&[
        "--count",
        "1500",
        "--peak",
        "500",
        "--kill",
        "3",
        "--kill-workers",
        "--seed",
        "7",
        "--lease",
        "2s",
        "--retry-delay",
        "50ms",
    ]);
    assert_eq!(report["kills"].as_array().map(Vec::len), Some(3), "{report:#}");
    assert_eq!(report["accepted"], 1_500, "{report:#}");
}

#[test]
fn a_queue_server_and_a_service_that_die_in_turn_lose_and_double_nothing() {
    let server = tidegate();
    let report = surge(&[
        "--split",
        "--tidegate",
        server.to_str().expect("a plain path"),
        "--count",
        "400",
        "--peak",
        "200",
        "--kill",
        "2",
        "--seed",
        "7",
        "--lease",
        "2s",
        "--retry-delay",
        "50ms",
    ]);
    assert_eq!(report["kills"].as_array().map(Vec::len), Some(2), "{report:#}");
    assert_eq!(report["accepted"], 400, "{report:#}");
}
