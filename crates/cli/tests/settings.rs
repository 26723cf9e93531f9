//! Which setting counts: the real program with real flags, variables and files.

use std::{
    fs,
    process::{Command, Output},
};

/// `tidegate serve --check --json` with these flags, variables and file.
fn serve_check(flags: &[&str], variables: &[(&str, &str)], file: Option<&str>) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.env_clear().envs(variables.iter().copied()).args(["serve", "--check", "--json"]).args(flags);
    if let Some(text) = file {
        let path = folder.path().join("tidegate.toml");
        fs::write(&path, text).expect("the folder can be written to");
        command.arg("--config").arg(path);
    }
    command.output().expect("the program runs")
}

#[track_caller]
fn check(
    flags: &[&str],
    variables: &[(&str, &str)],
    file: Option<&str>,
    name: &str,
    expected: serde_json::Value,
) {
    let output = serve_check(flags, variables, file);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let settings: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{stderr}"));
    assert_eq!(settings[name], expected, "{settings}");
}

#[track_caller]
fn check_refused(flags: &[&str], variables: &[(&str, &str)], file: Option<&str>, expected: &str) {
    let output = serve_check(flags, variables, file);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    // Who asked for JSON is told in JSON, if it is not the arguments themselves that were not understood.
    let said =
        serde_json::from_str(&stderr).map(|said: serde_json::Value| said["error"]["detail"].to_string());
    let said = said.map_or(stderr.into_owned(), |said| said.replace("\\\"", "\""));
    assert!(said.contains(expected), "{said:?} does not say {expected:?}");
}

#[test]
fn a_flag_is_stronger_than_a_variable_and_a_variable_than_the_file() {
    let flag = ["--data", "/flag"];
    let variable = [("TIDEGATE_DATA", "/variable")];
    let file = Some("data = '/file'");
    check(&flag, &variable, file, "data", "/flag".into());
    check(&[], &variable, file, "data", "/variable".into());
    check(&[], &[], file, "data", "/file".into());
    check(&[], &[], None, "data", "./tidegate-data".into());
}

#[test]
fn every_setting_can_be_a_flag_a_variable_and_a_key() {
    let cases = [
        ("listen", "127.0.0.1:1", serde_json::json!("127.0.0.1:1")),
        ("data", "/d", serde_json::json!("/d")),
        ("shards", "3", serde_json::json!(3)),
        ("log", "debug", serde_json::json!("debug")),
        ("log_format", "json", serde_json::json!("json")),
    ];
    for (name, text, expected) in cases {
        let flag = format!("--{}", name.replace('_', "-"));
        let variable = format!("TIDEGATE_{}", name.to_uppercase());
        let file = format!("{name} = {expected}");
        check(&[&flag, text], &[], None, name, expected.clone());
        check(&[], &[(&variable, text)], None, name, expected.clone());
        check(&[], &[], Some(&file), name, expected);
    }
}

#[test]
fn what_is_wrong_is_named_wherever_it_stands() {
    check_refused(&["--listen", "here"], &[], None, "--listen");
    check_refused(&[], &[("TIDEGATE_SHARDS", "0")], None, "shards");
    check_refused(
        &[],
        &[],
        Some("lisen = '127.0.0.1:1'"),
        r#"there is no setting "lisen"; did you mean "listen"?"#,
    );
    check_refused(&["--config", "/no/such/file"], &[], None, "cannot read the settings file /no/such/file");
}
