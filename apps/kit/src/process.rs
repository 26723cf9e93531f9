//! A server as a child: started, killed, started again, ended.
//!
//! It is a program whose `serve` takes `--listen` and `--data`, and says where it listens. Its messages go to a file, which
//! is read for that line, and whose end is shown if it does not start. Whatever ends this program by a signal that can
//! be caught or by an error, the child goes with it. Whether it answers is asked by the caller; what it is for, nobody
//! here knows.

use std::{
    fs::{self, OpenOptions},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use crate::{cpu, port::Port};

/// A server that is not ready after this long is given up.
const READY_PATIENCE: Duration = Duration::from_secs(120);
const READY_EVERY: Duration = Duration::from_millis(10);
/// How often it is asked whether it still runs.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// So long it may take to end by itself.
const END_PATIENCE: Duration = Duration::from_secs(30);
/// So much of the end of its messages is shown.
const MESSAGES_SHOWN_BYTES: usize = 2_000;
/// In the line that says where it listens, before the address.
const ADDRESS_AFTER: &str = " on http://";

/// How a server is to run.
#[derive(Debug, Clone)]
pub struct Setup {
    /// What it is called: `the service`.
    pub name: &'static str,
    /// Its program.
    pub program: PathBuf,
    /// Its data directory.
    pub data: PathBuf,
    /// Further arguments of `serve`.
    pub arguments: Vec<String>,
    /// The file for its messages, in a directory that is there.
    pub messages: PathBuf,
    /// What the names of variables begin with that it does not get: the caller's own settings must not change what is
    /// measured.
    pub kept_back: &'static [&'static str],
}

/// A running server; it ends with this.
#[derive(Debug)]
pub struct Process {
    setup: Setup,
    port: Port,
    child: Child,
    /// Processor time of those that were killed.
    cpu_of_dead: Duration,
}

impl Process {
    /// Starts one on a port of its own, and waits until it says that it listens.
    ///
    /// # Errors
    /// It cannot be started, ends by itself, or takes too long; with its last messages.
    pub async fn start(setup: Setup) -> anyhow::Result<Process> {
        let port = Port::own().context("there is no free port")?;
        // One that ran here before left its own messages.
        let said_before = setup.messages().len();
        let child = setup.spawn(port.address())?;
        let mut process = Process { setup, port, child, cpu_of_dead: Duration::ZERO };
        let start = Instant::now();
        loop {
            let said = process.setup.messages();
            if address_in(&said[said_before.min(said.len())..]) == Some(process.address()) {
                return Ok(process);
            }
            process.check(start).await?;
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Kills it as a crash would, and starts it again on the same data and port. It may not listen yet.
    ///
    /// # Errors
    /// The system's.
    pub fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.cpu_of_dead += cpu::used(self.child.id()).unwrap_or_default();
        self.child.kill()?;
        self.child.wait()?;
        self.child = self.setup.spawn(self.port.address())?;
        Ok(())
    }

    /// Asks again and again until the answer is yes.
    ///
    /// # Errors
    /// It has ended meanwhile, or takes too long.
    pub async fn until(&mut self, is_ready: impl AsyncFn() -> bool) -> anyhow::Result<()> {
        let start = Instant::now();
        while !is_ready().await {
            self.check(start).await?;
        }
        Ok(())
    }

    /// Comes back, with an error, as soon as it has ended without being asked to.
    pub async fn ended(&mut self) -> anyhow::Error {
        loop {
            if let Err(error) = self.check(Instant::now()).await {
                return error;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Processor time used so far.
    #[must_use]
    pub fn cpu(&self) -> Option<Duration> {
        Some(self.cpu_of_dead + cpu::used(self.child.id())?)
    }

    /// Asks it to end, and waits. Says what was wrong, if anything was.
    ///
    /// # Errors
    /// The system's.
    pub async fn end(mut self) -> anyhow::Result<Option<String>> {
        let name = self.setup.name;
        if let Some(status) = self.child.try_wait()? {
            return Ok(Some(format!("{name} had ended before: {status}{}", self.last_messages())));
        }
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let start = Instant::now();
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(None),
                Some(status) => {
                    return Ok(Some(format!("{name} ended badly: {status}{}", self.last_messages())));
                }
                None if start.elapsed() > END_PATIENCE => {
                    let seconds = END_PATIENCE.as_secs();
                    return Ok(Some(format!("{name} did not end within {seconds} s of being asked to")));
                }
                None => sleep(READY_EVERY).await,
            }
        }
    }

    /// A short wait; an error if it has ended meanwhile or has been starting for too long.
    async fn check(&mut self, start: Instant) -> anyhow::Result<()> {
        sleep(READY_EVERY).await;
        let name = self.setup.name;
        if let Some(status) = self.child.try_wait()? {
            bail!("{name} ended by itself: {status}{}", self.last_messages());
        }
        if start.elapsed() > READY_PATIENCE {
            bail!("{name} was not ready after {} s{}", READY_PATIENCE.as_secs(), self.last_messages());
        }
        Ok(())
    }

    fn last_messages(&self) -> String {
        let said = self.setup.messages();
        let last = &said[said.len().saturating_sub(MESSAGES_SHOWN_BYTES)..];
        match String::from_utf8_lossy(last).trim() {
            "" => String::new(),
            last => format!("; its last messages:\n{last}"),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An ended child is none of this; one that still runs would keep its directory and port.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Setup {
    fn messages(&self) -> Vec<u8> {
        fs::read(&self.messages).unwrap_or_default()
    }

    fn spawn(&self, listen: SocketAddr) -> anyhow::Result<Child> {
        let messages = OpenOptions::new().create(true).append(true).open(&self.messages);
        let messages = messages.with_context(|| format!("cannot write {}", self.messages.display()))?;
        let mut command = Command::new(&self.program);
        let is_kept_back = |name: &str| self.kept_back.iter().any(|start| name.starts_with(start));
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_kept_back(&name.to_string_lossy())) {
            command.env_remove(name);
        }
        command
            .args(["serve", "--listen", &listen.to_string(), "--data"])
            .arg(&self.data)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(messages)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))
    }
}

/// The address in the line that says that the server listens, once the line is whole.
fn address_in(messages: &[u8]) -> Option<SocketAddr> {
    let messages = String::from_utf8_lossy(messages);
    let (_, rest) = messages.split_once(ADDRESS_AFTER)?;
    let (line, _) = rest.split_once('\n')?;
    let end = line.find(|c: char| !(c.is_ascii_hexdigit() || ".:[]".contains(c))).unwrap_or(line.len());
    line[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_taken_from_the_message_once_it_is_whole() {
        let address = Some("127.0.0.1:4711".parse().expect("an address"));
        let address_in = |messages: &str| address_in(messages.as_bytes());
        assert_eq!(address_in("starting\nuploads: listening on http://127.0.0.1:4711\n"), address);
        assert_eq!(address_in("\x1b[2mINFO listening on http://127.0.0.1:4711/, data in x\n"), address);
        assert_eq!(address_in("listening on http://127.0.0.1:4711\x1b[0m\n"), address);
        assert_eq!(address_in("tidegate 0.1.0 listens on http://127.0.0.1:4711\n"), address);
        assert_eq!(address_in("listening on http://127.0.0.1:47"), None);
    }
}
