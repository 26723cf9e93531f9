//! A Redis of a day's own, its append-only file synced before every answer.

use std::{path::Path, process::Command};

use anyhow::{Context, bail};
use app_kit::port::Port;
use rustix::process::Signal;

use super::{Server, program};

/// A running Redis; it ends with this.
pub(crate) struct Redis {
    server: Server,
    port: Port,
    /// Version and settings, as read back.
    pub(crate) setting: String,
}

impl Redis {
    /// Starts one with its data below a directory that is there.
    pub(crate) async fn start(directory: &Path) -> anyhow::Result<Redis> {
        let redis = program("redis-server", &[], "redis-server")?;
        let data = directory.join("redis");
        std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
        let port = Port::own().context("there is no free port")?;
        let address = port.address();
        let mut command = Command::new(redis);
        command.current_dir(&data).args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--dir"]).arg(&data);
        let mut server = Server::start("Redis", command, &data, Signal::TERM)?;
        let url = format!("redis://{address}");
        let setting = server.until_ready(|| in_force(&url)).await?;
        Ok(Redis { server, port, setting })
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.port.address())
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.server.id()
    }
}

/// Reads back what makes "answered" mean "synced".
async fn in_force(url: &str) -> anyhow::Result<String> {
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let mut read = Vec::new();
    for (name, expected) in [("appendonly", "yes"), ("appendfsync", "always")] {
        let (_, value): (String, String) =
            redis::cmd("CONFIG").arg("GET").arg(name).query_async(&mut connection).await?;
        if value != expected {
            bail!("CONFIG GET {name} says {value}, not {expected}");
        }
        read.push(format!("{name} {expected}"));
    }
    let info: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await?;
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).context("no version")?;
    Ok(format!("Redis {}, {}", version.trim(), read.join(", ")))
}
