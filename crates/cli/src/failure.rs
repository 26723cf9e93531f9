//! How a command ends when it does not end well: one line on standard error, and an exit code that a script can use.

use std::process::ExitCode;

/// The exit codes, as every `--help` shows them.
pub(crate) const EXIT_CODES_HELP: &str = "\
Exit codes:
  0  done
  1  failed here: a file, a child process, a measurement that went wrong
  2  not understood: wrong arguments, settings or input
  3  refused by the server; the code it gave is in parentheses
  4  no answer from the server
  5  nothing wrong was found, and not all could be checked";

/// Something the caller wrote that cannot be meant so: ends with 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Misuse(pub(crate) String);

impl Misuse {
    /// A misuse as the error that commands return.
    pub(crate) fn error(message: impl Into<String>) -> anyhow::Error {
        Misuse(message.into()).into()
    }
}

/// Some or all items of a list were refused; each was shown when its answer came. Ends with 3.
#[derive(Debug, thiserror::Error)]
#[error("{refused} of {all} refused")]
pub(crate) struct ItemsRefused {
    pub(crate) refused: usize,
    pub(crate) all: usize,
}

/// Nothing wrong was found, and not all that would have to be checked could be. Ends with 5.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unchecked(pub(crate) &'static str);

/// An error and its causes in one line. Many errors quote their cause already; then it is not said again.
pub(crate) fn in_one_line(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !line.contains(&cause) {
            line.push_str(": ");
            line.push_str(&cause);
        }
    }
    line
}

/// An error for programs: the server's refusal with all it says, and of any other the words.
pub(crate) fn as_json(error: &anyhow::Error) -> serde_json::Value {
    match error.downcast_ref::<tidegate::Error>() {
        Some(tidegate::Error::Refused(problem)) => serde_json::json!({ "error": problem }),
        _ => serde_json::json!({ "error": { "detail": in_one_line(error) } }),
    }
}

/// What the reader can do about an error, where that is known: nobody listens at the server's address.
pub(crate) fn next_step(error: &anyhow::Error) -> Option<&'static str> {
    match error.downcast_ref::<tidegate::Error>()? {
        tidegate::Error::Transport { .. } => Some(
            "is the server running? `tidegate serve` starts one here; --server or TIDEGATE_SERVER names another",
        ),
        _ => None,
    }
}

/// The exit code for an error, whatever context was put around it.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(exit_number(error))
}

fn exit_number(error: &anyhow::Error) -> u8 {
    use tidegate::Error;
    if error.downcast_ref::<Misuse>().is_some() {
        return 2;
    }
    if error.downcast_ref::<ItemsRefused>().is_some() {
        return 3;
    }
    if error.downcast_ref::<Unchecked>().is_some() {
        return 5;
    }
    match error.downcast_ref::<Error>() {
        Some(Error::Refused(_)) => 3,
        Some(Error::Address { .. }) => 2,
        Some(_) => 4,
        None => 1,
    }
}

/// True when the reader of our output went away (`tidegate job list | head`), which is no failure.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use tidegate::api::refusal::{Code, Problem, Refusal};

    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let disk = || std::io::Error::other("the disk is full");
        let quoted: anyhow::Error = Err::<(), _>(disk()).context("writing: the disk is full").unwrap_err();
        assert_eq!(in_one_line(&quoted), "writing: the disk is full");
        let plain: anyhow::Error = Err::<(), _>(disk()).context("writing").unwrap_err();
        assert_eq!(in_one_line(&plain), "writing: the disk is full");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_comes_with_a_next_step() {
        // A port that is ours, and that nobody listens at.
        let port = tokio::net::TcpSocket::new_v4().unwrap();
        port.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let client = tidegate::Client::connect(&format!("http://{}", port.local_addr().unwrap())).unwrap();
        let error = client.without_retries().queues().await.unwrap_err();
        assert!(next_step(&error.into()).is_some_and(|step| step.contains("tidegate serve")));
        assert_eq!(next_step(&Misuse::error("what?")), None);
    }

    #[test]
    fn programs_are_told_what_the_server_said() {
        let problem = Problem::from(Refusal::new(Code::QueueFull, "It is full."));
        let refused: anyhow::Error = tidegate::Error::Refused(Box::new(problem)).into();
        assert_eq!(as_json(&refused)["error"]["code"], "queue_full");
        assert_eq!(as_json(&Misuse::error("what?")), serde_json::json!({ "error": { "detail": "what?" } }));
    }

    #[test]
    fn the_exit_code_tells_who_said_no() {
        let refused =
            tidegate::Error::Refused(Box::new(Problem::from(Refusal::new(Code::QueueFull, "full"))));
        let address = tidegate::Client::connect("nonsense").expect_err("no address");
        let cases = [
            (Misuse::error("what?"), 2),
            (ItemsRefused { refused: 1, all: 2 }.into(), 3),
            (Unchecked("half of it").into(), 5),
            (refused.into(), 3),
            (address.into(), 2),
            (std::io::Error::other("disk").into(), 1),
        ];
        for (error, expected) in cases {
            assert_eq!(exit_number(&Err::<(), _>(error).context("while testing").unwrap_err()), expected);
        }
    }
}
