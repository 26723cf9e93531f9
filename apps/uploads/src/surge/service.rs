//! The service under load: one that is already there, or a child of our own.
//!
//! A child is this same program as `uploads serve` on a free port. Its messages go to a file in its data directory,
//! where its address is read from, and whose end is shown if it does not start. Whatever ends this program by a
//! signal that can be caught or by an error, the child goes with it.

use std::{
    fs::{self, File, OpenOptions},
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use super::{admin::Admin, cpu};

/// A service that does not answer after this long is given up.
const READY_PATIENCE: Duration = Duration::from_secs(120);
const READY_EVERY: Duration = Duration::from_millis(10);
/// So long it may take to end by itself.
const END_PATIENCE: Duration = Duration::from_secs(20);
/// Its messages, in its data directory.
const MESSAGES: &str = "surge-service.log";
/// So much of their end is shown.
const MESSAGES_SHOWN_BYTES: usize = 2_000;
const ADDRESS_AFTER: &str = "listening on http://";

/// How our own service is to run.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) program: PathBuf,
    pub(crate) data: PathBuf,
    /// Further arguments of `serve`.
    pub(crate) arguments: Vec<String>,
}

/// A service that answers.
pub(crate) struct Service {
    pub(crate) admin: Admin,
    own: Option<Own>,
}

struct Own {
    setup: Setup,
    child: Child,
    /// Processor time of those that were killed.
    cpu_of_dead: Duration,
}

impl Service {
    /// The service at this URL.
    pub(crate) async fn given(url: &str) -> anyhow::Result<Service> {
        let (address, host) = resolve(url)?;
        let service = Service { admin: Admin::new(address, host), own: None };
        service.admin.backlog().await.with_context(|| format!("no upload service at {url}"))?;
        Ok(service)
    }

    /// A new child.
    pub(crate) async fn start(setup: Setup) -> anyhow::Result<Service> {
        let messages_before = messages_length(&setup.data);
        let child = spawn(&setup, "127.0.0.1:0")?;
        let mut own = Own { setup, child, cpu_of_dead: Duration::ZERO };
        let start = Instant::now();
        let address = loop {
            if let Some(address) = address_in(&own.messages_from(messages_before)) {
                break address;
            }
            own.check(start).await?;
        };
        let mut service = Service { admin: Admin::new(address, address.to_string()), own: Some(own) };
        service.wait_until_healthy().await?;
        Ok(service)
    }

    /// Kills our own service as a crash would, and starts it again on the same data and port. How long it was away.
    pub(crate) async fn kill_and_restart(&mut self) -> anyhow::Result<Duration> {
        let own = self.own.as_mut().context("a service that is not ours is not killed")?;
        own.cpu_of_dead += cpu::used(own.child.id()).unwrap_or_default();
        let start = Instant::now();
        own.child.kill()?;
        own.child.wait()?;
        own.child = spawn(&own.setup, &self.admin.address.to_string())?;
        self.wait_until_healthy().await?;
        Ok(start.elapsed())
    }

    /// Processor time used so far, if the service is ours.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        let own = self.own.as_ref()?;
        Some(own.cpu_of_dead + cpu::used(own.child.id())?)
    }

    /// Fails as soon as our own service has ended without being asked to.
    pub(crate) async fn ended(&mut self) -> anyhow::Error {
        loop {
            if let Some(own) = &mut self.own
                && let Err(error) = own.check(Instant::now()).await
            {
                return error;
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// Ends our own service and waits for it; one that is not ours goes on. Says what was wrong, if anything was.
    pub(crate) async fn end(mut self) -> anyhow::Result<Option<String>> {
        let Some(own) = &mut self.own else { return Ok(None) };
        if let Some(status) = own.child.try_wait()? {
            return Ok(Some(format!("the service had ended before: {status}")));
        }
        kill_process(Pid::from_child(&own.child), Signal::TERM)?;
        let start = Instant::now();
        loop {
            match own.child.try_wait()? {
                Some(status) if status.success() => return Ok(None),
                Some(status) => return Ok(Some(format!("the service ended badly: {status}"))),
                None if start.elapsed() > END_PATIENCE => {
                    own.child.kill()?;
                    own.child.wait()?;
                    let seconds = END_PATIENCE.as_secs();
                    return Ok(Some(format!(
                        "the service did not end within {seconds} s of SIGTERM and was killed"
                    )));
                }
                None => sleep(READY_EVERY).await,
            }
        }
    }

    async fn wait_until_healthy(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        while !self.admin.is_healthy().await {
            if let Some(own) = &mut self.own {
                own.check(start).await?;
            }
        }
        Ok(())
    }
}

impl Own {
    /// A short wait; an error if the child has ended meanwhile or has been starting for too long.
    async fn check(&mut self, start: Instant) -> anyhow::Result<()> {
        sleep(READY_EVERY).await;
        if let Some(status) = self.child.try_wait()? {
            bail!("the service ended by itself: {}{}", status, self.last_messages());
        }
        if start.elapsed() > READY_PATIENCE {
            bail!("the service was not ready after {} s{}", READY_PATIENCE.as_secs(), self.last_messages());
        }
        Ok(())
    }

    fn messages_from(&self, at: usize) -> String {
        let messages = fs::read(self.setup.data.join(MESSAGES)).unwrap_or_default();
        String::from_utf8_lossy(messages.get(at..).unwrap_or_default()).into_owned()
    }

    fn last_messages(&self) -> String {
        let at = messages_length(&self.setup.data).saturating_sub(MESSAGES_SHOWN_BYTES);
        match self.messages_from(at).trim() {
            "" => String::new(),
            messages => format!("; its last messages:\n{messages}"),
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // An ended child is none of this; one that still runs would keep its directory and port.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn messages_length(data: &Path) -> usize {
    fs::metadata(data.join(MESSAGES)).map_or(0, |file| file.len() as usize)
}

fn spawn(setup: &Setup, listen: &str) -> anyhow::Result<Child> {
    let messages = setup.data.join(MESSAGES);
    let messages: File = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&messages)
        .with_context(|| format!("cannot write {}", messages.display()))?;
    let mut command = Command::new(&setup.program);
    // The caller's own settings must not change what is measured.
    let inherited = std::env::vars_os().map(|(name, _)| name);
    let is_setting = |name: &str| name.starts_with("UPLOADS_") || name.starts_with("TIDEGATE_");
    for name in inherited.filter(|name| is_setting(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command
        .args(["serve", "--listen", listen, "--data"])
        .arg(&setup.data)
        .args(&setup.arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(messages)
        .spawn()
        .with_context(|| format!("cannot start {}", setup.program.display()))
}

/// The address in the line that says that the service listens, once the line is whole.
fn address_in(messages: &str) -> Option<SocketAddr> {
    let (_, rest) = messages.split_once(ADDRESS_AFTER)?;
    let (line, _) = rest.split_once('\n')?;
    let end = line.find(|c: char| !(c.is_ascii_hexdigit() || ".:[]".contains(c))).unwrap_or(line.len());
    line[..end].parse().ok()
}

/// The address behind a URL, and the name to call it by.
fn resolve(url: &str) -> anyhow::Result<(SocketAddr, String)> {
    let authority =
        url.strip_prefix("http://").with_context(|| format!("{url} does not begin with http://"))?;
    let authority = authority.trim_end_matches('/');
    let with_port = match authority.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => authority.to_owned(),
        _ => format!("{authority}:80"),
    };
    let mut addresses = with_port.to_socket_addrs().with_context(|| format!("cannot find {authority}"))?;
    Ok((addresses.next().with_context(|| format!("{authority} has no address"))?, authority.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_taken_from_the_message_once_it_is_whole() {
        let address = Some("127.0.0.1:4711".parse().expect("an address"));
        assert_eq!(address_in("starting\nuploads: listening on http://127.0.0.1:4711\n"), address);
        assert_eq!(address_in("\x1b[2mINFO listening on http://127.0.0.1:4711/, data in x\n"), address);
        assert_eq!(address_in("listening on http://127.0.0.1:4711\x1b[0m\n"), address);
        assert_eq!(address_in("listening on http://127.0.0.1:47"), None);
    }

    #[test]
    fn a_url_is_resolved() {
        let address = "127.0.0.1:7421".parse().expect("an address");
        assert_eq!(resolve("http://127.0.0.1:7421/").expect("a URL"), (address, "127.0.0.1:7421".into()));
        assert_eq!(resolve("http://127.0.0.1").expect("a URL").0.port(), 80);
        resolve("https://127.0.0.1").expect_err("no TLS");
        resolve("127.0.0.1:7421").expect_err("no URL");
    }
}
