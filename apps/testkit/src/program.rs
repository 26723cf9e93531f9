//! The program under test as a process: on a port of its own, with a data directory of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use app_kit::port::Port;
use tempfile::TempDir;

use crate::PATIENCE;

/// A running program; it ends with this value.
#[derive(Debug)]
pub struct Program {
    binary: PathBuf,
    folder: TempDir,
    options: Vec<String>,
    port: Port,
    process: Option<Child>,
}

impl Program {
    /// A new one; `options` are those of its `serve`.
    #[must_use]
    pub fn start(binary: &str, options: &[&str]) -> Self {
        let mut program = Self {
            binary: binary.into(),
            folder: tempfile::tempdir().expect("a temporary directory"),
            options: Vec::new(),
            port: Port::own().expect("a free port"),
            process: None,
        };
        program.set_options(options);
        program.run();
        program
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.port.address())
    }

    /// Where its data is.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// It starts with these the next time.
    pub fn set_options(&mut self, options: &[&str]) {
        self.options = options.iter().map(|&option| option.to_owned()).collect();
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it can be killed");
            process.wait().expect("it is gone");
        }
    }

    /// Starts it again with the same data at the same address.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "it still runs");
        self.run();
    }

    fn run(&mut self) {
        let mut process = Command::new(&self.binary)
            .args(["serve", "--listen", &self.port.address().to_string(), "--data"])
            .arg(self.data())
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let said = BufReader::new(process.stderr.take().expect("an output"));
        self.process = Some(process);
        let name = self.binary.file_name().map(Path::new).expect("a program has a name").to_owned();
        let (tell, told) = mpsc::channel();
        // Reads on to the end, so that the program never waits for a full pipe; the test's output shows what it said.
        std::thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                if line.contains("listening on http://") {
                    // The test may have given up.
                    let _ = tell.send(());
                }
                show(&name, &line);
            }
        });
        told.recv_timeout(PATIENCE).expect("the program says that it listens");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

#[expect(clippy::print_stderr, reason = "what the program says belongs into a failed test's output")]
fn show(name: &Path, line: &str) {
    eprintln!("{}: {line}", name.display());
}
