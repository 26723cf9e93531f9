//! The command line as people type it.

use clap::{CommandFactory, Parser};

use super::*;

/// What clap makes of a line of words.
fn parse(line: &str) -> Result<Cli, String> {
    Cli::try_parse_from(line.split(' ')).map_err(|error| error.to_string())
}

#[track_caller]
fn check(line: &str, expected: &str) {
    let cli = parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    let debug = format!("{:?}", cli.command);
    assert!(debug.contains(expected), "{line}: {debug} does not contain {expected}");
}

#[track_caller]
fn check_refused(line: &str, expected: &str) {
    let error = parse(line).err().unwrap_or_else(|| panic!("{line} was understood"));
    assert!(error.contains(expected), "{line}: {error:?} does not say {expected:?}");
}

#[test]
fn the_definitions_hold_together() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_examples_in_its_help() {
    fn walk(command: &mut clap::Command, path: &str) {
        let path = format!("{path} {}", command.get_name());
        if command.get_subcommands().next().is_none() {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Examples:\n  tidegate "), "{path} teaches nothing:\n{help}");
        }
        command.get_subcommands_mut().filter(|sub| sub.get_name() != "help").for_each(|sub| walk(sub, &path));
    }
    walk(&mut Cli::command(), "");
}

/// Whoever copies an example copies whole lines: none of it is torn. Words have no line ends of their own, so that they fill
/// whatever width there is.
#[test]
fn help_fits_a_narrow_terminal() {
    fn walk(command: &clap::Command, path: &str) {
        let path = format!("{path} {}", command.get_name());
        for said in [command.get_after_help(), command.get_after_long_help()].into_iter().flatten() {
            let said = said.to_string();
            let shown =
                command.clone().term_width(80).after_long_help(said.clone()).render_long_help().to_string();
            for (line, next) in said.lines().zip(said.lines().skip(1).chain([""])) {
                if line.starts_with(' ') {
                    assert!(shown.lines().any(|shown| shown == line), "{path} tears {line:?}:\n{shown}");
                } else if !line.is_empty() {
                    let is_whole = next.is_empty() || next.starts_with(' ');
                    assert!(is_whole, "{path} ends a line by hand, after {line:?}");
                }
            }
        }
        command.get_subcommands().for_each(|sub| walk(sub, &path));
    }
    walk(&Cli::command(), "");
}

#[test]
fn durations_may_have_a_unit_or_be_in_milliseconds() {
    check("tidegate job enqueue q --payload 1 --delay 10m", "delay: Some(Millis(600000))");
    check("tidegate job enqueue q --payload 1 --delay-ms 1500", "delay: Some(Millis(1500))");
    check("tidegate work q --lease-ms 5000 -- true", "lease: Millis(5000)");
    check("tidegate work q --lease 5m -- true", "lease: Millis(300000)");
}

#[test]
fn what_is_out_of_range_is_refused_with_what_is_allowed() {
    check_refused("tidegate work q --lease 1ms -- true", "1s to 12h");
    check_refused("tidegate work q --concurrency 0 -- true", "1..=10000");
    check_refused("tidegate bench --seconds 0", "0.1 to 3600");
    check_refused("tidegate job list --state done", "possible values: scheduled, ready, leased");
    check_refused("tidegate job get 7", "{shard}-{sequence}");
    check_refused("tidegate job enqueue q --payload 1 --run-at tomorrow", "RFC 3339");
}

#[test]
fn what_excludes_each_other_cannot_be_said_together() {
    check_refused("tidegate job enqueue q --payload 1 --file f", "cannot be used with");
    check_refused(
        "tidegate job enqueue q --payload 1 --delay 1s --run-at 2026-11-22T13:00:00Z",
        "cannot be used with",
    );
    check_refused("tidegate job enqueue q --payload 1 --on-conflict reject", "--unique");
    check_refused("tidegate queue delete-dead q --all --kind k", "cannot be used with");
}

#[test]
fn a_workers_command_begins_after_the_dashes() {
    check("tidegate work a b --result -- sh -c --json", r#"command: ["sh", "-c", "--json"]"#);
    check_refused("tidegate work a", "COMMAND");
}

#[test]
fn waiting_takes_a_duration_only_after_an_equals_sign() {
    check("tidegate job get --wait 0-7", "wait: Some");
    check("tidegate job get 0-7 --wait=5s", "wait: Some(Millis(5000))");
    check("tidegate job get 0-7", "wait: None");
}

#[test]
fn json_and_server_may_stand_anywhere() {
    for line in
        ["tidegate --json --server http://h:1 queue list", "tidegate queue list --server http://h:1 --json"]
    {
        let cli = parse(line).expect("a right line");
        assert!(cli.shared.json);
        assert_eq!(cli.shared.server(), "http://h:1");
    }
}
