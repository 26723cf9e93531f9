//! A PostgreSQL of a day's own.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};
use app_kit::port::Port;
use rustix::process::Signal;
use tokio_postgres::NoTls;

use super::{Server, program};

/// Debian keeps each version's programs in a directory of its own, and not on the path.
const VERSIONS: std::ops::Range<u32> = 13..20;
const USER: &str = "enrollment";
/// More than all pools of a portal together.
const CONNECTIONS_MAX: usize = 200;

/// A running PostgreSQL; it ends with this.
pub(crate) struct Postgres {
    server: Server,
    _port: Port,
    url: String,
    /// Version and settings, as read back.
    pub(crate) setting: String,
}

impl Postgres {
    /// Starts one with its data below a directory that is there.
    pub(crate) async fn start(directory: &Path) -> anyhow::Result<Postgres> {
        let places: Vec<PathBuf> =
            VERSIONS.rev().map(|version| format!("/usr/lib/postgresql/{version}/bin").into()).collect();
        let (initdb, postgres) =
            (program("initdb", &places, "postgresql")?, program("postgres", &places, "postgresql")?);
        // It does not run where this program does.
        let data = std::path::absolute(directory.join("postgres"))?;
        std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
        let mut making = Command::new(initdb);
        making.args([
            "--username",
            USER,
            "--auth",
            "trust",
            "--encoding",
            "UTF8",
            "--no-locale",
            "--no-sync",
        ]);
        making.arg("--pgdata").arg(&data);
        as_somebody(&mut making, &data)?;
        let output = making.output().context("cannot start initdb")?;
        if !output.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let port = Port::own().context("there is no free port")?;
        let address = port.address();
        let mut command = Command::new(postgres);
        command.arg("-D").arg(&data);
        for setting in [
            &*format!("port={}", address.port()),
            &*format!("max_connections={CONNECTIONS_MAX}"),
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "shared_buffers=256MB",
            "max_wal_size=4GB",
            "fsync=on",
            "synchronous_commit=on",
            "full_page_writes=on",
        ] {
            command.args(["-c", setting]);
        }
        as_somebody(&mut command, &data)?;
        // Its "fast" shutdown; its data is thrown away in any case.
        let mut server = Server::start("PostgreSQL", command, directory, Signal::INT)?;
        let url = format!("postgres://{USER}@{address}/postgres");
        let setting = server.until_ready(|| in_force(&url)).await?;
        Ok(Postgres { server, _port: port, url, setting })
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its first process.
    pub(crate) fn id(&self) -> u32 {
        self.server.id()
    }
}

/// Reads back what makes "committed" mean "synced".
async fn in_force(url: &str) -> anyhow::Result<String> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let connection = tokio::spawn(connection);
    let mut read = Vec::new();
    for name in ["fsync", "synchronous_commit", "full_page_writes"] {
        let value: String = client.query_one(&format!("SHOW {name}"), &[]).await?.get(0);
        if value != "on" {
            bail!("SHOW {name} says {value}");
        }
        read.push(format!("{name} on"));
    }
    let version: String = client.query_one("SHOW server_version", &[]).await?.get(0);
    drop(client);
    let _ = connection.await;
    let version = version.split(' ').next().unwrap_or_default();
    Ok(format!("PostgreSQL {version}, {}", read.join(", ")))
}

/// PostgreSQL refuses to run as root; then it runs as the user of its package.
fn as_somebody(command: &mut Command, data: &Path) -> anyhow::Result<()> {
    command.current_dir("/");
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let users = std::fs::read_to_string("/etc/passwd")?;
    let ids = users.lines().find_map(|line| {
        let mut fields = line.strip_prefix("postgres:")?.split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    let (user, group) = ids.context(
        "PostgreSQL does not run as root, and there is no user postgres; install the package, or be somebody else",
    )?;
    std::os::unix::fs::chown(data, Some(user), Some(group))?;
    command.uid(user).gid(group);
    Ok(())
}
