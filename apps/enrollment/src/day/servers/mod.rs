//! PostgreSQL and Redis as children of a day: real servers from the system's packages, on loopback, in directories of
//! their own, that sync before they acknowledge.
//!
//! That they do unless a connection says otherwise is read back from the running server; a server that has it otherwise is not used. One kind
//! of connection says otherwise: that on which a lock's fencing number is put into a row
//! (`enrollment::seats::postgres`, which says why nothing rests on that). Only what was
//! started here is ended, by process id, and it ends with its value.

mod postgres;
mod redis;

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

pub(crate) use self::{postgres::Postgres, redis::Redis};

/// A server that is not ready after this long is given up.
const READY_PATIENCE: Duration = Duration::from_secs(60);
const READY_EVERY: Duration = Duration::from_millis(20);
/// So long it may take to end when asked to.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// A server's own words, in its directory.
const SAID: &str = "said.log";
/// So many lines of them are shown if it does not start.
const SAID_LINES: usize = 12;

/// A child that ends with this value.
struct Server {
    name: &'static str,
    child: Child,
    said: PathBuf,
    /// What asks this server to end without delay.
    end: Signal,
}

impl Server {
    fn start(
        name: &'static str,
        mut command: Command,
        directory: &Path,
        end: Signal,
    ) -> anyhow::Result<Server> {
        let said = directory.join(SAID);
        let file = File::options()
            .append(true)
            .create(true)
            .open(&said)
            .with_context(|| format!("cannot write {}", said.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Server { name, child, said, end })
    }

    /// Asks again until it works. Fails if the server ends or takes too long, with its last words.
    async fn until_ready<T, F: Future<Output = anyhow::Result<T>>>(
        &mut self,
        mut ask: impl FnMut() -> F,
    ) -> anyhow::Result<T> {
        let start = Instant::now();
        loop {
            let answer = tokio::time::timeout(Duration::from_secs(5), ask()).await;
            let last = match answer {
                Ok(Ok(ready)) => return Ok(ready),
                Ok(Err(error)) => format!("{error:#}"),
                Err(_) => "it does not answer".to_owned(),
            };
            if let Some(status) = self.child.try_wait()? {
                anyhow::bail!("{} ended by itself: {status}{}", self.name, self.last_words());
            }
            if start.elapsed() > READY_PATIENCE {
                anyhow::bail!("{} is not ready: {last}{}", self.name, self.last_words());
            }
            tokio::time::sleep(READY_EVERY).await;
        }
    }

    fn id(&self) -> u32 {
        self.child.id()
    }

    fn last_words(&self) -> String {
        let said = std::fs::read_to_string(&self.said).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        match &lines[lines.len().saturating_sub(SAID_LINES)..] {
            [] => String::new(),
            last => format!("; its last words:\n{}", last.join("\n")),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Asked first: a server that is killed leaves its own children to find out for themselves.
        let _ = kill_process(Pid::from_child(&self.child), self.end);
        let start = Instant::now();
        while start.elapsed() < END_PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(READY_EVERY);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program in one of these places or on the path; `package` is what to install if it is in none.
fn program(name: &str, also: &[PathBuf], package: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = also.iter().cloned().chain(std::env::split_paths(&path));
    places.map(|place| place.join(name)).find(|file| file.is_file()).with_context(|| {
        format!("{name} is not installed; on Debian and its kin: apt-get install --no-install-recommends {package}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let error = program("no-such-program-9", &[], "no-such-package").expect_err("it is not there");
        let text = format!("{error}");
        assert!(
            text.contains("no-such-program-9 is not installed") && text.contains("no-such-package"),
            "{text}"
        );
    }
}
