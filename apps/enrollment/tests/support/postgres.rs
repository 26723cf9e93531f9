//! A real PostgreSQL of Debian's package, in a temporary directory, on loopback; it ends with its value.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use app_kit::port::Port;
use app_testkit::PATIENCE;
use tempfile::TempDir;
use tokio_postgres::NoTls;

/// A running server.
pub(crate) struct Postgres {
    folder: TempDir,
    port: Port,
    server: Option<Child>,
}

impl Postgres {
    /// A new one with nothing in it.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let data = folder.path().join("data");
        std::fs::create_dir(&data).expect("a directory");
        let mut initdb = Command::new(program("initdb"));
        initdb.args([
            "--username",
            "portal",
            "--auth",
            "trust",
            "--encoding",
            "UTF8",
            "--no-locale",
            "--no-sync",
        ]);
        initdb.arg("--pgdata").arg(&data);
        as_somebody(&mut initdb, folder.path());
        if let Some((user, group)) = somebody() {
            std::os::unix::fs::chown(&data, Some(user), Some(group)).expect("it can be given away");
        }
        let output = initdb.output().expect("initdb runs");
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        let mut postgres = Self { folder, port: Port::own().expect("a free port"), server: None };
        postgres.run().await;
        postgres
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("postgres://portal@{}/postgres", self.port.address())
    }

    /// SIGKILL to all of it.
    pub(crate) fn kill(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        // SIGQUIT ends the children too, as a crash does; SIGKILL would leave them.
        let id = rustix::process::Pid::from_child(&server);
        let _ = rustix::process::kill_process(id, rustix::process::Signal::QUIT);
        server.wait().expect("it ends");
    }

    /// Starts it again on the same port with what it had.
    pub(crate) async fn run(&mut self) {
        let mut command = Command::new(program("postgres"));
        command.arg("-D").arg(self.folder.path().join("data"));
        let port = format!("port={}", self.port.address().port());
        for setting in [&port, "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=on"] {
            command.args(["-c", setting]);
        }
        as_somebody(&mut command, self.folder.path());
        let log = std::fs::File::create(self.folder.path().join("log")).expect("a file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.server = Some(command.spawn().expect("postgres runs"));
        let started = Instant::now();
        while tokio_postgres::connect(&self.url(), NoTls).await.is_err() {
            assert!(
                started.elapsed() < PATIENCE,
                "PostgreSQL does not answer: {}",
                std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

fn program(name: &str) -> PathBuf {
    let debian = (13..20).rev().map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places: Vec<_> = debian.chain(std::env::split_paths(&path)).collect();
    places
        .iter()
        .map(|place| place.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{name} of PostgreSQL is not installed; `make prepare` installs it"))
}

/// PostgreSQL refuses to run as root; then it runs as the user of its package, who must reach its data.
fn as_somebody(command: &mut Command, folder: &Path) {
    command.current_dir("/");
    if let Some((user, group)) = somebody() {
        std::os::unix::fs::chown(folder, Some(user), Some(group)).expect("it can be given away");
        command.uid(user).gid(group);
    }
}

fn somebody() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("the list of users");
    let line = users.lines().find_map(|line| line.strip_prefix("postgres:")).expect("a user postgres");
    let mut fields = line.split(':').skip(1);
    let mut id = || fields.next().and_then(|id| id.parse().ok()).expect("its ids");
    Some((id(), id()))
}
