//! The portal under load: a child of our own, killed and started again. It is this same program as `enrollment serve`.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, bail};
use app_kit::{
    process::{Process, Setup},
    wire::Connection,
};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

/// A call of ours may take so long; the audit is long.
const CALL_PATIENCE: Duration = Duration::from_secs(60);
/// Its messages, in its data directory.
const MESSAGES: &str = "portal.log";

/// Who asks the portal something beside the students.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) address: SocketAddr,
}

/// A portal that answers; it ends with this.
pub(crate) struct Portal {
    pub(crate) caller: Caller,
    process: Process,
}

impl Portal {
    /// A new one with its data in a directory that is there.
    pub(crate) async fn start(data: &Path, arguments: Vec<String>) -> anyhow::Result<Portal> {
        let setup = Setup {
            name: "the portal",
            program: std::env::current_exe().context("cannot find this program's own file")?,
            data: data.to_owned(),
            arguments,
            messages: data.join(MESSAGES),
            kept_back: &["ENROLLMENT_", "TIDEGATE_"],
        };
        let process = Process::start(setup).await?;
        let mut portal = Portal { caller: Caller { address: process.address() }, process };
        portal.wait_until_it_answers().await?;
        Ok(portal)
    }

    /// Kills it as a crash would, and starts it again on the same data and port.
    pub(crate) async fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.process.kill_and_restart()?;
        self.wait_until_it_answers().await
    }

    /// Fails as soon as it has ended without being asked to.
    pub(crate) async fn ended(&mut self) -> anyhow::Error {
        self.process.ended().await
    }

    /// Processor time used so far.
    pub(crate) fn cpu(&self) -> Duration {
        self.process.cpu().unwrap_or_default()
    }

    /// Asks it to end, and waits. Says what was wrong, if anything was.
    pub(crate) async fn end(self) -> anyhow::Result<Option<String>> {
        self.process.end().await
    }

    async fn wait_until_it_answers(&mut self) -> anyhow::Result<()> {
        let caller = self.caller;
        self.process.until(async || caller.call("GET", "/api/opening", "").await.is_ok()).await
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
            let answer = connection.exchange(request.as_bytes(), &[]).await?;
            match answer.head.status {
                200..300 => Ok(answer.body.to_vec()),
                status => bail!("answered {status}: {}", String::from_utf8_lossy(answer.body)),
            }
        };
        let answer = timeout(CALL_PATIENCE, call).await.context("took too long").and_then(|answer| answer);
        answer.with_context(|| format!("{method} {path}"))
    }
}
