//! The portal under load: a child of our own, killed and started again.
//!
//! It is this same program as `enrollment serve` on a free port. Its messages go to a file in its data directory, where
//! its address is read from, and whose end is shown if it does not start. However this program ends, the child goes
//! with it.

use std::{
    fs::{self, File, OpenOptions},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use tokio::time::{sleep, timeout};

use super::wire::Connection;

/// A portal that does not answer after this long is given up.
const READY_PATIENCE: Duration = Duration::from_secs(120);
const READY_EVERY: Duration = Duration::from_millis(10);
/// So long it may take to end by itself.
const END_PATIENCE: Duration = Duration::from_secs(30);
/// A call of ours may take so long; the audit is long.
const CALL_PATIENCE: Duration = Duration::from_secs(60);
/// Its messages, in its data directory.
const MESSAGES: &str = "portal.log";
/// So much of their end is shown.
const MESSAGES_SHOWN_BYTES: usize = 2_000;
const ADDRESS_AFTER: &str = "listening on http://";

/// Who asks the portal something beside the students.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) address: SocketAddr,
}

/// A portal that answers; it ends with this.
pub(crate) struct Portal {
    pub(crate) caller: Caller,
    program: PathBuf,
    data: PathBuf,
    /// Further arguments of `serve`.
    arguments: Vec<String>,
    child: Child,
    /// Processor time of those that were killed.
    cpu_of_dead: Duration,
}

impl Portal {
    /// A new one with its data in a directory that is there.
    pub(crate) async fn start(data: &Path, arguments: Vec<String>) -> anyhow::Result<Portal> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let said_before = messages_of(data).len();
        let child = spawn(&program, data, &arguments, nowhere)?;
        let data = data.to_owned();
        let mut portal = Portal {
            caller: Caller { address: nowhere },
            program,
            data,
            arguments,
            child,
            cpu_of_dead: Duration::ZERO,
        };
        let start = Instant::now();
        portal.caller.address = loop {
            // One that ran here before left its own messages.
            if let Some(address) = address_in(&portal.messages()[said_before..]) {
                break address;
            }
            portal.check(start).await?;
        };
        portal.wait_until_it_answers().await?;
        Ok(portal)
    }

    /// Kills it as a crash would, and starts it again on the same data and port.
    pub(crate) async fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.cpu_of_dead += super::cpu::used(self.child.id()).unwrap_or_default();
        self.child.kill()?;
        self.child.wait()?;
        self.child = spawn(&self.program, &self.data, &self.arguments, self.caller.address)?;
        self.wait_until_it_answers().await
    }

    /// Fails as soon as it has ended without being asked to.
    pub(crate) async fn ended(&mut self) -> anyhow::Error {
        loop {
            if let Err(error) = self.check(Instant::now()).await {
                return error;
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// Processor time used so far.
    pub(crate) fn cpu(&self) -> Duration {
        self.cpu_of_dead + super::cpu::used(self.child.id()).unwrap_or_default()
    }

    /// Asks it to end, and waits. Says what was wrong, if anything was.
    pub(crate) async fn end(mut self) -> anyhow::Result<Option<String>> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(Some(format!("the portal had ended before: {status}{}", self.last_messages())));
        }
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let start = Instant::now();
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(None),
                Some(status) => {
                    return Ok(Some(format!("the portal ended badly: {status}{}", self.last_messages())));
                }
                None if start.elapsed() > END_PATIENCE => {
                    let seconds = END_PATIENCE.as_secs();
                    return Ok(Some(format!("the portal did not end within {seconds} s of being asked to")));
                }
                None => sleep(READY_EVERY).await,
            }
        }
    }

    async fn wait_until_it_answers(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        while self.caller.call("GET", "/api/opening", "").await.is_err() {
            self.check(start).await?;
        }
        Ok(())
    }

    /// A short wait; an error if the child has ended meanwhile or has been starting for too long.
    async fn check(&mut self, start: Instant) -> anyhow::Result<()> {
        sleep(READY_EVERY).await;
        if let Some(status) = self.child.try_wait()? {
            bail!("the portal ended by itself: {status}{}", self.last_messages());
        }
        if start.elapsed() > READY_PATIENCE {
            bail!("the portal was not ready after {} s{}", READY_PATIENCE.as_secs(), self.last_messages());
        }
        Ok(())
    }

    fn messages(&self) -> String {
        messages_of(&self.data)
    }

    fn last_messages(&self) -> String {
        let messages = self.messages();
        let at = messages.len().saturating_sub(MESSAGES_SHOWN_BYTES);
        match messages.get(at..).unwrap_or(&messages).trim() {
            "" => String::new(),
            messages => format!("; its last messages:\n{messages}"),
        }
    }
}

impl Caller {
    /// What it says at this path.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let body = self.call("GET", path, "").await?;
        serde_json::from_slice(&body).with_context(|| format!("{path} answered something else"))
    }

    /// Tells it something.
    pub(crate) async fn post(&self, path: &str, body: &str) -> anyhow::Result<()> {
        self.call("POST", path, body).await.map(drop)
    }

    /// A call of the day's own: a connection for itself, so that a portal that was just killed answers it like any other.
    async fn call(&self, method: &str, path: &str, body: &str) -> anyhow::Result<Vec<u8>> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let call = async {
            let mut connection =
                Connection::open(self.address).await.context("the portal does not listen")?;
            let answer = connection.exchange(request.as_bytes()).await?;
            match answer.head.status {
                200..300 => Ok(answer.body.to_vec()),
                status => bail!("answered {status}: {}", String::from_utf8_lossy(answer.body)),
            }
        };
        let answer = timeout(CALL_PATIENCE, call).await.context("took too long").and_then(|answer| answer);
        answer.with_context(|| format!("{method} {path}"))
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        // An ended child is none of this; one that still runs would keep its directory and port.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn messages_of(data: &Path) -> String {
    String::from_utf8_lossy(&fs::read(data.join(MESSAGES)).unwrap_or_default()).into_owned()
}

fn spawn(program: &Path, data: &Path, arguments: &[String], listen: SocketAddr) -> anyhow::Result<Child> {
    let messages = data.join(MESSAGES);
    let messages: File = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&messages)
        .with_context(|| format!("cannot write {}", messages.display()))?;
    let mut command = Command::new(program);
    // The caller's own settings must not change what is measured.
    let is_setting = |name: &str| name.starts_with("ENROLLMENT_") || name.starts_with("TIDEGATE_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_setting(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command
        .args(["serve", "--listen", &listen.to_string(), "--data"])
        .arg(data)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(messages)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))
}

/// The address in the line that says that the portal listens, once the line is whole.
fn address_in(messages: &str) -> Option<SocketAddr> {
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
        assert_eq!(address_in("starting\nlistening on http://127.0.0.1:4711\n"), address);
        assert_eq!(address_in("\x1b[2mINFO listening on http://127.0.0.1:4711/, data in x\n"), address);
        assert_eq!(address_in("listening on http://127.0.0.1:47"), None);
    }
}
