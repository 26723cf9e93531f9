//! The queue server in a process of its own, for a run with `--split`: started, killed, started again, ended.

use std::{
    fs::{File, OpenOptions},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tokio::time::sleep;

/// A server that does not listen after this long is given up.
const READY_PATIENCE: Duration = Duration::from_secs(120);
const READY_EVERY: Duration = Duration::from_millis(10);
/// Its log and its messages, in the run's data directory.
const DATA: &str = "engine-server";
const MESSAGES: &str = "engine-server.log";
const PROGRAM: &str = "tidegate";

/// A running queue server; it ends with this.
pub(crate) struct EngineServer {
    program: PathBuf,
    data: PathBuf,
    address: SocketAddr,
    child: Child,
    /// Processor time of those that were killed.
    cpu_of_dead: Duration,
}

impl EngineServer {
    /// Starts one with its data below `data`.
    pub(crate) async fn start(program: Option<&Path>, data: &Path) -> anyhow::Result<EngineServer> {
        let program = find(program)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = spawn(&program, data, address)?;
        let data = data.to_owned();
        let mut server = EngineServer { program, data, address, child, cpu_of_dead: Duration::ZERO };
        server.wait_until_it_listens().await?;
        Ok(server)
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Kills it as a crash would, and starts it again on the same data and port.
    pub(crate) async fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.cpu_of_dead = self.cpu();
        self.child.kill()?;
        self.child.wait()?;
        self.child = spawn(&self.program, &self.data, self.address)?;
        self.wait_until_it_listens().await
    }

    /// Processor time used so far.
    pub(crate) fn cpu(&self) -> Duration {
        self.cpu_of_dead + super::cpu::used(self.child.id()).unwrap_or_default()
    }

    /// A server listens before it has read its log; whoever asks it waits in its queue.
    async fn wait_until_it_listens(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        while TcpStream::connect_timeout(&self.address, READY_EVERY).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "the queue server ended by itself: {status}; see {}",
                    self.data.join(MESSAGES).display()
                );
            }
            if start.elapsed() > READY_PATIENCE {
                bail!("the queue server does not listen after {} s", READY_PATIENCE.as_secs());
            }
            sleep(READY_EVERY).await;
        }
        Ok(())
    }
}

impl Drop for EngineServer {
    fn drop(&mut self) {
        // What it has answered is on the disk; there is nothing to wait for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program: the one named, else the one beside this one, else the one on the path.
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

fn spawn(program: &Path, data: &Path, address: SocketAddr) -> anyhow::Result<Child> {
    let messages: File = OpenOptions::new().create(true).append(true).open(data.join(MESSAGES))?;
    Command::new(program)
        .args(["serve", "--listen", &address.to_string(), "--data"])
        .arg(data.join(DATA))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(messages)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))
}
