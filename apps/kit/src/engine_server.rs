//! The queue server in a process of its own, for a run with `--split`.

use std::{
    net::TcpStream,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;

use crate::process::{Process, Setup};

/// One attempt to reach it.
const CONNECT: Duration = Duration::from_millis(10);
/// Its log and its messages, in the run's data directory.
const DATA: &str = "engine-server";
const MESSAGES: &str = "engine-server.log";
const PROGRAM: &str = "tidegate";

/// A running queue server; it ends with this.
#[derive(Debug)]
pub struct EngineServer {
    process: Process,
}

impl EngineServer {
    /// Starts one with its data below `data`. The program is the one named, else the one beside this one, else the one on
    /// the path.
    ///
    /// # Errors
    /// There is no such program, or it does not start.
    pub async fn start(program: Option<&Path>, data: &Path) -> anyhow::Result<EngineServer> {
        let process = Process::start(Setup {
            name: "the queue server",
            program: find(program)?,
            data: data.join(DATA),
            arguments: Vec::new(),
            messages: data.join(MESSAGES),
            kept_back: &["TIDEGATE_"],
        });
        Ok(EngineServer { process: process.await? })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.process.address())
    }

    /// Kills it as a crash would, and starts it again on the same data and port. It listens before it has read its log;
    /// whoever asks it waits in its queue.
    ///
    /// # Errors
    /// It does not start again.
    pub async fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.process.kill_and_restart()?;
        let address = self.process.address();
        self.process.until(async || TcpStream::connect_timeout(&address, CONNECT).is_ok()).await
    }

    /// Processor time used so far.
    #[must_use]
    pub fn cpu(&self) -> Option<Duration> {
        self.process.cpu()
    }
}

fn find(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(program) = named {
        return Ok(program.to_owned());
    }
    let here = std::env::current_exe().context("cannot find this program's own file")?;
    let beside = here.with_file_name(PROGRAM);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates =
        std::iter::once(beside).chain(std::env::split_paths(&path).map(|part| part.join(PROGRAM)));
    candidates.find(|candidate| candidate.is_file()).with_context(|| {
        format!("there is no `{PROGRAM}` beside this program or on the path; build it with `cargo build --release -p tidegate-cli`, or name it with --tidegate")
    })
}
