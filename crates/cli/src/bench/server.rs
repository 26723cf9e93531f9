//! The server under measurement: one that is already there, or a child of our own in a fresh directory.

use std::{
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tidegate::Client;

/// A server that is not ready after this long is given up: ten times the aim for ten million jobs.
const READY_PATIENCE: Duration = Duration::from_secs(100);
/// Between two questions whether it is ready; the error of a measured start.
const READY_EVERY: Duration = Duration::from_millis(10);

/// Where to find a server for each workload.
pub(crate) enum Source {
    /// This one, which somebody else runs.
    Given { url: String },
    /// A new child for each workload, with its data below this directory.
    Own { below: PathBuf },
}

/// A server that answers.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) client: Client,
    own: Option<Own>,
}

/// A child with its directory, which is removed with it.
struct Own {
    child: Child,
    data: tempfile::TempDir,
}

impl Source {
    /// A server that is ready.
    pub(crate) async fn open(&self) -> anyhow::Result<Server> {
        match self {
            Source::Given { url } => {
                let client = Client::connect(url)?.without_retries();
                let server = Server { address: resolve(url)?, client, own: None };
                server.client.ready().await.context("the server is not ready")?;
                Ok(server)
            }
            Source::Own { below } => {
                let data = tempfile::Builder::new()
                    .prefix("tidegate-bench-")
                    .tempdir_in(below)
                    .with_context(|| format!("cannot make a data directory in {}", below.display()))?;
                let address = free_port()?;
                let child = spawn(address, data.path())?;
                let client = Client::connect(&format!("http://{address}"))?.without_retries();
                let mut server = Server { address, client, own: Some(Own { child, data }) };
                server.wait_until_ready().await?;
                Ok(server)
            }
        }
    }
}

impl Server {
    /// The process, if it is ours.
    pub(crate) fn process(&self) -> Option<u32> {
        self.own.as_ref().map(|own| own.child.id())
    }

    /// Kills our server as a crash would and starts it again on the same data; the time until it was ready. `None`
    /// if the server is not ours.
    pub(crate) async fn crash_and_restart(&mut self) -> anyhow::Result<Option<Duration>> {
        let Some(own) = &mut self.own else { return Ok(None) };
        own.child.kill()?;
        own.child.wait()?;
        let start = Instant::now();
        own.child = spawn(self.address, own.data.path())?;
        self.wait_until_ready().await?;
        Ok(Some(start.elapsed()))
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            let Err(error) = self.client.ready().await else { return Ok(()) };
            if let Some(own) = &mut self.own
                && let Some(status) = own.child.try_wait()?
            {
                bail!("the server ended before it was ready: {status}");
            }
            if start.elapsed() > READY_PATIENCE {
                return Err(error).context("the server did not become ready");
            }
            tokio::time::sleep(READY_EVERY).await;
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // The directory goes with it, so there is nothing that a graceful stop would save.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts this same program as a server.
fn spawn(address: SocketAddr, data: &Path) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut command = Command::new(program);
    // The caller's own settings must not change what is measured.
    let inherited = std::env::vars_os().map(|(name, _)| name);
    for name in inherited.filter(|name| name.to_string_lossy().starts_with("TIDEGATE_")) {
        command.env_remove(name);
    }
    command
        .args(["serve", "--bench", "--log", "warn", "--listen", &address.to_string(), "--data"])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start a server")
}

/// A port that was free a moment ago.
fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// The address behind a URL that the client has already found to be one.
fn resolve(url: &str) -> anyhow::Result<SocketAddr> {
    let authority = url.trim_start_matches("http://").trim_end_matches('/');
    let with_port = match authority.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => authority.to_owned(),
        _ => format!("{authority}:80"),
    };
    let mut addresses = with_port.to_socket_addrs().with_context(|| format!("cannot find {authority}"))?;
    addresses.next().with_context(|| format!("{authority} has no address"))
}
