//! The service itself, as a process: the binary under test, on a free port, with a data directory of its own.

#![allow(dead_code, reason = "each test target uses its own part")]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

/// Patience with a machine that is busy with other tests; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running service; it ends with this value.
pub(crate) struct Service {
    folder: TempDir,
    options: Vec<String>,
    listen: String,
    process: Option<Child>,
}

impl Service {
    /// A new service; `options` are those of `uploads serve`.
    pub(crate) fn start(options: &[&str]) -> Self {
        let mut service = Self {
            folder: tempfile::tempdir().expect("a temporary directory"),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            listen: "127.0.0.1:0".to_owned(),
            process: None,
        };
        service.run();
        service
    }

    /// Where its page is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.listen)
    }

    /// Where its data is.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// It starts with these the next time.
    pub(crate) fn set_options(&mut self, options: &[&str]) {
        self.options = options.iter().map(|&option| option.to_owned()).collect();
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it can be killed");
            process.wait().expect("it is gone");
        }
    }

    /// Starts it again with the same data at the same address.
    pub(crate) fn start_again(&mut self) {
        assert!(self.process.is_none(), "the service still runs");
        self.run();
    }

    fn run(&mut self) {
        let mut process = Command::new(env!("CARGO_BIN_EXE_uploads"))
            .args(["serve", "--listen", &self.listen, "--data"])
            .arg(self.data())
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the service starts");
        let said = BufReader::new(process.stderr.take().expect("an output"));
        self.process = Some(process);
        let (tell, told) = mpsc::channel();
        // Reads on to the end, so that the service never waits for a full pipe; the test's output shows what it said.
        std::thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("listening on http://") {
                    drop(tell.send(address.trim_end_matches('/').to_owned()));
                }
                eprintln!("uploads: {line}");
            }
        });
        self.listen = told.recv_timeout(PATIENCE).expect("the service says where it listens");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}
