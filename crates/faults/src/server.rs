//! The server under test: the real binary as a process, killed, stopped and started as a scenario says.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tidegate::Client;

use crate::chance::Chance;

/// How long a server may take to be ready, on a machine that has other things to do.
const READY_PATIENCE: Duration = Duration::from_secs(90);
/// Below the ports that the system gives to outgoing connections: one of those could take the port while the server is down.
const PORTS: std::ops::Range<u64> = 20_000..32_000;

/// A process with a name, killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        Ok(Self(command.spawn().with_context(|| format!("starting {:?}", command.get_program()))?))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).context("a process id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    /// Waits for its end.
    pub(crate) async fn wait(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        let since = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if since.elapsed() > patience {
                bail!("process {} did not end within {} s", self.id(), patience.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The server: its settings, and its process if it runs.
#[derive(Debug)]
pub(crate) struct Server {
    binary: PathBuf,
    pub(crate) data: PathBuf,
    port: u16,
    log: PathBuf,
    /// Added to its environment.
    pub(crate) environment: Vec<(String, String)>,
    process: Option<Process>,
    pub(crate) starts: u32,
    /// So many bytes had been said before the last start.
    said_before: usize,
}

impl Server {
    pub(crate) fn new(binary: &Path, data: PathBuf, log: PathBuf) -> anyhow::Result<Self> {
        let (binary, port) = (binary.to_owned(), free_port()?);
        Ok(Self {
            binary,
            data,
            port,
            log,
            environment: Vec::new(),
            process: None,
            starts: 0,
            said_before: 0,
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::connect(&self.url())?)
    }

    /// The command that serves this server's data at `port`.
    pub(crate) fn command(&self, port: u16) -> anyhow::Result<Command> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.binary);
        // The caller's own settings are not meant for it.
        for (name, _) in std::env::vars_os().filter(|(name, _)| {
            let name = name.to_string_lossy();
            name.starts_with("TIDEGATE_") && name != "TIDEGATE_SABOTAGE"
        }) {
            command.env_remove(name);
        }
        command
            .args(["serve", "--log", "info", "--listen", &format!("127.0.0.1:{port}"), "--data"])
            .arg(&self.data)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(command)
    }

    /// Starts it and does not wait.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        self.starts += 1;
        self.said_before = self.said().len();
        self.process = Some(Process::start(&mut self.command(self.port)?)?);
        Ok(())
    }

    /// Waits until the server that was started has opened its data and serves, or has ended: whether it serves. That it can
    /// write is another matter.
    pub(crate) async fn wait_opened(&mut self) -> anyhow::Result<bool> {
        let since = Instant::now();
        loop {
            // Asked first: what has ended says nothing afterwards.
            let ended = self.process()?.ended()?.is_some();
            let said = self.said();
            if String::from_utf8_lossy(&said[self.said_before..]).contains("listens on http://") {
                return Ok(!ended);
            }
            if ended {
                return Ok(false);
            }
            if since.elapsed() > READY_PATIENCE {
                bail!("the server neither serves nor ends:\n{}", self.last_words());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Goes on with a process that was started with this server's data at its port.
    pub(crate) fn take(&mut self, process: Process) {
        self.starts += 1;
        self.process = Some(process);
    }

    /// Starts it and waits until it is ready.
    pub(crate) async fn start_ready(&mut self) -> anyhow::Result<()> {
        self.start()?;
        self.wait_ready().await
    }

    /// Waits until a write of it has reached the disk.
    pub(crate) async fn wait_ready(&mut self) -> anyhow::Result<()> {
        let client = self.client()?.with_deadline(Duration::from_secs(5)).without_retries();
        let since = Instant::now();
        loop {
            let Err(error) = client.ready().await else { return Ok(()) };
            if let Some(status) = self.process()?.ended()? {
                bail!("the server ended before it was ready ({status}):\n{}", self.last_words());
            }
            if since.elapsed() > READY_PATIENCE {
                bail!("the server was not ready in time ({error}):\n{}", self.last_words());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn process(&mut self) -> anyhow::Result<&mut Process> {
        self.process.as_mut().context("the server was not started")
    }

    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.process.take().context("the server was not started")?.kill()
    }

    /// Ends it in order.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        let mut process = self.process.take().context("the server was not started")?;
        process.signal(Signal::TERM)?;
        let status = process.wait(READY_PATIENCE).await?;
        if !status.success() {
            bail!("the server did not stop well ({status}):\n{}", self.last_words());
        }
        Ok(())
    }

    /// Everything it has said.
    pub(crate) fn words(&self) -> String {
        String::from_utf8_lossy(&self.said()).into_owned()
    }

    fn said(&self) -> Vec<u8> {
        fs::read(&self.log).unwrap_or_default()
    }

    /// The end of it.
    pub(crate) fn last_words(&self) -> String {
        let words = self.words();
        let lines: Vec<&str> = words.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// Whether every byte of its data is what was written.
    pub(crate) fn verify(&self) -> anyhow::Result<()> {
        let output = Command::new(&self.binary).args(["inspect", "verify"]).arg(&self.data).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let and = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() || said.contains("damaged") {
            bail!("the data is damaged:\n{said}{and}");
        }
        Ok(())
    }
}

/// A port that nobody has at the moment.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let mut chance = Chance::new(u64::from(std::process::id()), &format!("{:?}", Instant::now()));
    for _ in 0..100 {
        let port = PORTS.start + chance.below(PORTS.end - PORTS.start);
        let port = u16::try_from(port).expect("a port");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port was found")
}
