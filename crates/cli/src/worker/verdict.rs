//! What a child's end means for its job.
//!
//! | the child                  | the job                                                              |
//! |----------------------------|----------------------------------------------------------------------|
//! | exits with 0               | is completed                                                         |
//! | exits with 75 (`TEMPFAIL`) | failed, and is tried again after the worker's `--retry-later`        |
//! | exits with 65 (`DATAERR`)  | failed for good: trying again cannot help                            |
//! | exits with another code    | failed, and is tried again as the job's own retry policy says        |
//! | is killed by a signal      | the same, and the error names the signal                             |
//! | was stopped by this worker | is given back; the attempt does not count                            |
//!
//! The codes are those of sysexits.h, which mail systems have used for this for forty years.

use serde_json::value::RawValue;

use super::child::{Captured, Ended, Exit};

/// A child that ends with this code asks to be tried again later.
pub(crate) const EXIT_RETRY_LATER: i32 = 75;
/// A child that ends with this code says that no further attempt can succeed.
pub(crate) const EXIT_FATAL: i32 = 65;

/// What the server is told about one attempt.
#[derive(Debug)]
pub(crate) enum Verdict {
    Completed {
        result: Option<Box<RawValue>>,
        /// Set when the child offered a result that is not kept, and why.
        result_refused: Option<&'static str>,
    },
    Failed {
        message: String,
        /// Groups like failures: `exit-1`, `signal-9`.
        kind: String,
        retry_after_ms: Option<u64>,
        fatal: bool,
    },
    /// Given back without counting the attempt.
    Released,
}

/// Judges a child's end. `retry_later_ms` is how long a child that exits with 75 is left alone.
pub(crate) fn judge(ended: Ended, retry_later_ms: u64) -> Verdict {
    let (kind, end) = match ended.exit {
        Exit::Code(0) => return completed(ended.stdout),
        Exit::Stopped => return Verdict::Released,
        Exit::Code(code) => (format!("exit-{code}"), format!("exited with code {code}")),
        Exit::Signal(signal) => {
            (format!("signal-{signal}"), format!("killed by signal {}", signal_name(signal)))
        }
    };
    let message = match (ended.exit, ended.stderr_tail.is_empty()) {
        (_, true) => end,
        (Exit::Signal(_), false) => format!("{end}: {}", ended.stderr_tail),
        (_, false) => ended.stderr_tail,
    };
    Verdict::Failed {
        message,
        kind,
        retry_after_ms: (ended.exit == Exit::Code(EXIT_RETRY_LATER)).then_some(retry_later_ms),
        fatal: ended.exit == Exit::Code(EXIT_FATAL),
    }
}

fn completed(stdout: Captured) -> Verdict {
    let (result, result_refused) = match stdout {
        Captured::NotAsked => (None, None),
        Captured::TooLong => (None, Some("it is longer than 64 KiB")),
        Captured::Whole(bytes) if bytes.trim_ascii().is_empty() => (None, None),
        Captured::Whole(bytes) => match serde_json::from_slice(&bytes) {
            Ok(result) => (Some(result), None),
            Err(_) => (None, Some("it is not one JSON value")),
        },
    };
    Verdict::Completed { result, result_refused }
}

/// A signal's number with its name, where it is one that ends processes every day.
fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "HUP",
        2 => "INT",
        3 => "QUIT",
        4 => "ILL",
        6 => "ABRT",
        7 => "BUS",
        8 => "FPE",
        9 => "KILL",
        11 => "SEGV",
        13 => "PIPE",
        14 => "ALRM",
        15 => "TERM",
        _ => return signal.to_string(),
    };
    format!("{signal} ({name})")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict in one line.
    fn line(exit: Exit, stderr: &str, stdout: Captured) -> String {
        match judge(Ended { exit, stderr_tail: stderr.into(), stdout }, 60_000) {
            Verdict::Completed { result, result_refused } => {
                format!("completed {:?} {:?}", result.map(|result| result.get().to_owned()), result_refused)
            }
            Verdict::Failed { message, kind, retry_after_ms, fatal } => {
                format!("{kind}: {message:?} retry_after={retry_after_ms:?} fatal={fatal}")
            }
            Verdict::Released => "released".into(),
        }
    }

    #[track_caller]
    fn check(exit: Exit, stderr: &str, expected: &str) {
        assert_eq!(line(exit, stderr, Captured::NotAsked), expected);
    }

    #[track_caller]
    fn check_result(stdout: &str, expected: &str) {
        assert_eq!(line(Exit::Code(0), "", Captured::Whole(stdout.into())), expected);
    }

    #[test]
    fn zero_completes_whatever_standard_error_said() {
        check(Exit::Code(0), "a warning", "completed None None");
    }

    #[test]
    fn seventy_five_waits_and_sixty_five_is_for_good() {
        check(Exit::Code(75), "busy", r#"exit-75: "busy" retry_after=Some(60000) fatal=false"#);
        check(Exit::Code(65), "no address", r#"exit-65: "no address" retry_after=None fatal=true"#);
    }

    #[test]
    fn any_other_code_fails_with_the_jobs_own_retry() {
        check(Exit::Code(1), "", r#"exit-1: "exited with code 1" retry_after=None fatal=false"#);
        check(Exit::Code(127), "not found", r#"exit-127: "not found" retry_after=None fatal=false"#);
    }

    #[test]
    fn a_signal_is_named_even_when_standard_error_spoke() {
        check(Exit::Signal(9), "", r#"signal-9: "killed by signal 9 (KILL)" retry_after=None fatal=false"#);
        check(
            Exit::Signal(11),
            "oh",
            r#"signal-11: "killed by signal 11 (SEGV): oh" retry_after=None fatal=false"#,
        );
        check(Exit::Signal(40), "", r#"signal-40: "killed by signal 40" retry_after=None fatal=false"#);
    }

    #[test]
    fn a_stopped_child_gives_its_job_back() {
        check(Exit::Stopped, "interrupted", "released");
    }

    #[test]
    fn only_one_json_value_is_a_result() {
        check_result("{\"pages\": 3}\n", r#"completed Some("{\"pages\": 3}") None"#);
        check_result(" \n", "completed None None");
        check_result("1 2", r#"completed None Some("it is not one JSON value")"#);
        assert_eq!(
            line(Exit::Code(0), "", Captured::TooLong),
            r#"completed None Some("it is longer than 64 KiB")"#
        );
    }
}
