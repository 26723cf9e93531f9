//! One attempt as a process: the payload goes in, an exit code comes out.
//!
//! Promises: the child has ended, and been waited for, when [`run`] returns; a child that is told to stop gets TERM
//! and, after a while, KILL, each sent to its whole process group, so that a script's own children hear it too. What
//! is kept of the child's writing is bounded, however much it is.
//! It knows nothing of leases or servers, and does not judge what an exit code means; `verdict.rs` does.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    io,
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    process::{Child, Command},
    sync::oneshot,
    time::timeout,
};

/// This much of the end of standard error is kept as the error's message.
pub(crate) const STDERR_TAIL_BYTES: usize = 2 * 1024;
/// A result may be this long; the server's own limit is the same.
pub(crate) const RESULT_BYTES_MAX: usize = 64 * 1024;
/// Between TERM and KILL.
const TERM_PATIENCE: Duration = Duration::from_secs(5);
/// After the child's end, its pipes may be held open by processes it left behind; they are not waited for longer.
const PIPES_PATIENCE: Duration = Duration::from_secs(1);

/// What to run, the same for every job.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) command: OsString,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) stdout: Stdout,
}

/// Where the child's standard output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stdout {
    /// It is the job's result.
    Result,
    /// It is shown where the worker's own output goes.
    Inherit,
    /// It is shown on standard error, because standard output carries the worker's JSON lines.
    Stderr,
}

/// What one job gives its child.
#[derive(Debug, Default)]
pub(crate) struct Input {
    pub(crate) stdin: Vec<u8>,
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// How a child ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    /// The last [`STDERR_TAIL_BYTES`] of standard error, cut at a character's border, without space around.
    pub(crate) stderr_tail: String,
    /// What standard output carried, if it was asked for.
    pub(crate) stdout: Captured,
}

/// A process's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Code(i32),
    /// Killed by this signal.
    Signal(i32),
    /// Told to stop by this worker, and ended, in whatever way.
    Stopped,
}

/// Standard output, as far as it was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Captured {
    NotAsked,
    Whole(Vec<u8>),
    /// There was more than [`RESULT_BYTES_MAX`].
    TooLong,
}

/// Runs one child to its end. Dropping the sender of `stop`, or sending, stops it.
///
/// Fails only if the process cannot be started or waited for, which is the worker's trouble and not the job's.
pub(crate) async fn run(
    program: &Program,
    input: Input,
    mut stop: oneshot::Receiver<()>,
) -> io::Result<Ended> {
    let mut child = spawn(program, &input)?;
    let stdin = child.stdin.take().expect("standard input is piped");
    let stderr = child.stderr.take().expect("standard error is piped");
    let stdout = child.stdout.take();

    // The three pipes are served together, or a child that writes before it has read everything would hang.
    let mut tail = Tail::default();
    let mut captured = Capture::default();
    let asked = stdout.is_some();
    let stopped;
    let status;
    {
        let pipes = async {
            tokio::join!(feed(stdin, &input.stdin), follow_stderr(stderr, &mut tail), async {
                if let Some(stdout) = stdout {
                    follow_stdout(stdout, &mut captured).await;
                }
            })
        };
        tokio::pin!(pipes);
        let mut pipes_open = true;
        let mut stopping = false;
        status = loop {
            tokio::select! {
                status = child.wait() => break status?,
                _ = &mut pipes, if pipes_open => pipes_open = false,
                _ = &mut stop, if !stopping => {
                    stopping = true;
                    signal(&child, Signal::TERM);
                }
                () = tokio::time::sleep(TERM_PATIENCE), if stopping => signal(&child, Signal::KILL),
            }
        };
        stopped = stopping;
        if pipes_open {
            let _ = timeout(PIPES_PATIENCE, pipes).await;
        }
    }
    Ok(Ended {
        exit: exit_of(status, stopped),
        stderr_tail: tail.into_text(),
        stdout: captured.into_outcome(asked),
    })
}

fn spawn(program: &Program, input: &Input) -> io::Result<Child> {
    let stdout = match program.stdout {
        Stdout::Result => Stdio::piped(),
        Stdout::Inherit => Stdio::inherit(),
        Stdout::Stderr => Stdio::from(io::stderr()),
    };
    Command::new(&program.command)
        .args(&program.arguments)
        // No variable can hold a zero byte; a job that carries one in such a place runs without that variable.
        .envs(
            input
                .environment
                .iter()
                .filter(|(_, value)| !value.contains('\0'))
                .map(|(name, value)| (name, value)),
        )
        .stdin(Stdio::piped())
        .stdout(stdout)
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

fn exit_of(status: ExitStatus, stopped: bool) -> Exit {
    match (stopped, status.code(), status.signal()) {
        (true, ..) => Exit::Stopped,
        (false, Some(code), _) => Exit::Code(code),
        (false, None, signal) => Exit::Signal(signal.unwrap_or(0)),
    }
}

/// Sends a signal to the child's whole group, while it has not been waited for and its number is surely its own.
fn signal(child: &Child, signal: Signal) {
    let group = child.id().and_then(|id| Pid::from_raw(id as i32));
    if let Some(group) = group {
        // The only failure is that the group is gone already, which is what is wanted.
        let _ = kill_process_group(group, signal);
    }
}

/// A child need not read what it is given: a closed pipe is no failure.
async fn feed(mut stdin: impl AsyncWrite + Unpin, bytes: &[u8]) {
    let _ = stdin.write_all(bytes).await;
    let _ = stdin.shutdown().await;
}

/// Shows standard error as it comes and keeps its end.
async fn follow_stderr(mut stderr: impl AsyncRead + Unpin, tail: &mut Tail) {
    let mut shown = tokio::io::stderr();
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = stderr.read(&mut piece).await {
        tail.push(&piece[..length]);
        let _ = shown.write_all(&piece[..length]).await;
    }
    let _ = shown.flush().await;
}

/// Reads to the end, even when it is too long to keep, so that the child is never stopped by a full pipe.
async fn follow_stdout(mut stdout: impl AsyncRead + Unpin, captured: &mut Capture) {
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = stdout.read(&mut piece).await {
        captured.push(&piece[..length]);
    }
}

/// The first bytes of a stream, and whether they are all.
#[derive(Default)]
struct Capture {
    bytes: Vec<u8>,
    too_long: bool,
}

impl Capture {
    fn push(&mut self, bytes: &[u8]) {
        self.too_long |= self.bytes.len() + bytes.len() > RESULT_BYTES_MAX;
        if !self.too_long {
            self.bytes.extend_from_slice(bytes);
        }
    }

    fn into_outcome(self, asked: bool) -> Captured {
        match (asked, self.too_long) {
            (false, _) => Captured::NotAsked,
            (true, true) => Captured::TooLong,
            (true, false) => Captured::Whole(self.bytes),
        }
    }
}

/// The last bytes of a stream.
#[derive(Default)]
struct Tail(VecDeque<u8>);

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        let excess = self.0.len().saturating_sub(STDERR_TAIL_BYTES);
        self.0.drain(..excess);
    }

    /// The bytes as text. A character cut in two at the front is left out; other bytes that are no text are marked.
    fn into_text(self) -> String {
        let bytes: Vec<u8> = self.0.into();
        let is_inside_a_character = |byte: &u8| (0x80..0xC0).contains(byte);
        let cut = bytes.len() == STDERR_TAIL_BYTES;
        let skip =
            if cut { bytes.iter().take(3).take_while(|byte| is_inside_a_character(byte)).count() } else { 0 };
        String::from_utf8_lossy(&bytes[skip..]).trim().to_owned()
    }
}

/// The path of the file that would run, looked up as the system does; `None` if there is none.
pub(crate) fn find_command(command: &OsStr) -> Option<std::path::PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let runs = |path: &std::path::Path| {
        path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    let direct = std::path::Path::new(command);
    if direct.components().count() > 1 {
        return runs(direct).then(|| direct.to_path_buf());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(command)).find(|path| runs(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell script as the program, with standard output as the result.
    fn script(text: &str) -> Program {
        Program { command: "sh".into(), arguments: vec!["-c".into(), text.into()], stdout: Stdout::Result }
    }

    /// Runs a script to its end without ever stopping it.
    async fn ended(text: &str, input: Input) -> Ended {
        let (_keep, stop) = oneshot::channel();
        run(&script(text), input, stop).await.expect("sh can be started")
    }

    #[track_caller]
    fn check_stdout(ended: &Ended, expected: &str) {
        assert_eq!(ended.stdout, Captured::Whole(expected.as_bytes().to_vec()), "{ended:?}");
    }

    #[tokio::test]
    async fn the_payload_is_on_standard_input_and_the_job_in_the_environment() {
        let input =
            Input { stdin: b"{\"to\":\"a\"}".to_vec(), environment: vec![("TIDEGATE_JOB_ID", "0-7".into())] };
        let ended = ended("cat; printf ' %s' \"$TIDEGATE_JOB_ID\"", input).await;
        assert_eq!(ended.exit, Exit::Code(0));
        check_stdout(&ended, "{\"to\":\"a\"} 0-7");
    }

    #[tokio::test]
    async fn an_exit_code_comes_back_with_what_standard_error_said() {
        let ended = ended("echo first >&2; echo 'no such mailbox' >&2; exit 65", Input::default()).await;
        assert_eq!(ended.exit, Exit::Code(65));
        assert_eq!(ended.stderr_tail, "first\nno such mailbox");
    }

    #[tokio::test]
    async fn a_child_killed_by_a_signal_says_so() {
        assert_eq!(ended("kill -9 $$", Input::default()).await.exit, Exit::Signal(9));
    }

    #[tokio::test]
    async fn a_child_that_does_not_read_its_payload_is_no_failure() {
        let input = Input { stdin: vec![b'x'; 1 << 20], ..Input::default() };
        assert_eq!(ended("exit 0", input).await.exit, Exit::Code(0));
    }

    #[tokio::test]
    async fn a_child_may_write_before_it_reads() {
        let input = Input { stdin: vec![b'x'; 1 << 20], ..Input::default() };
        let ended = ended("head -c 200000 /dev/zero >&2; head -c 60000 /dev/zero; wc -c >&2", input).await;
        assert_eq!(ended.exit, Exit::Code(0));
        assert!(ended.stderr_tail.ends_with("1048576"), "{:?}", &ended.stderr_tail);
    }

    #[tokio::test]
    async fn only_the_end_of_standard_error_is_kept_and_no_character_is_halved() {
        let ended = ended(
            "i=0; while [ $i -lt 1500 ]; do printf 'ä' >&2; i=$((i+1)); done; printf x >&2",
            Input::default(),
        )
        .await;
        assert!(ended.stderr_tail.len() <= STDERR_TAIL_BYTES);
        assert!(ended.stderr_tail.trim_end_matches('x').chars().all(|c| c == 'ä'), "{}", ended.stderr_tail);
    }

    #[tokio::test]
    async fn a_result_that_is_too_long_is_read_to_its_end_and_not_kept() {
        let ended = ended("head -c 300000 /dev/zero", Input::default()).await;
        assert_eq!((ended.exit, ended.stdout), (Exit::Code(0), Captured::TooLong));
    }

    #[tokio::test]
    async fn a_child_that_is_told_to_stop_gets_term_and_so_do_its_children() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ready = folder.path().join("ready");
        // The shell waits for its own child, which would run for a minute if TERM did not reach it as well.
        let text = format!(
            "trap 'exit 3' TERM; sh -c 'trap \"exit 0\" TERM; : > {0}; sleep 60 & wait' & wait; wait",
            ready.display()
        );
        let (stop, stopped) = oneshot::channel();
        let child = tokio::spawn(async move { run(&script(&text), Input::default(), stopped).await });
        while !ready.exists() {
            tokio::task::yield_now().await;
        }
        stop.send(()).expect("the child still runs");
        let ended = child.await.expect("no panic").expect("sh can be started");
        assert_eq!(ended.exit, Exit::Stopped);
    }

    #[tokio::test]
    async fn a_process_left_behind_does_not_keep_the_attempt_open() {
        let ended = ended("printf done; sleep 10 & exit 0", Input::default()).await;
        assert_eq!(ended.exit, Exit::Code(0));
        check_stdout(&ended, "done");
    }

    #[tokio::test]
    async fn a_program_that_does_not_exist_is_the_workers_trouble() {
        let program = Program { command: "/no/such/program".into(), ..script("") };
        let (_keep, stop) = oneshot::channel();
        let error = run(&program, Input::default(), stop).await.expect_err("nothing to run");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(find_command(OsStr::new("/no/such/program")), None);
        assert!(find_command(OsStr::new("sh")).is_some());
    }
}
