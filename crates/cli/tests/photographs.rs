//! Real work through the whole house: a folder of real photographs, a shell script, an image tool, and a server that is
//! killed twice on the way. At the end every photograph has exactly its thumbnail.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;

/// Each photograph is worked on so many times, under different names, so that the kills come in the midst of it.
const COPIES: usize = 3;
/// Patience with a machine that is busy with other tests; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(240);

const SCRIPT: &str = r#"#!/bin/sh
set -e
# The payload: {"photograph": "…", "thumbnail": "…"}
payload=$(cat)
photograph=$(printf '%s' "$payload" | sed 's/.*"photograph": *"\([^"]*\)".*/\1/')
thumbnail=$(printf '%s' "$payload" | sed 's/.*"thumbnail": *"\([^"]*\)".*/\1/')
# Written beside and then renamed: a job that runs twice (its server died before it heard) leaves one whole file.
gm convert "$photograph" -thumbnail 160x160 "$thumbnail.$TIDEGATE_ATTEMPT.part.jpg"
mv "$thumbnail.$TIDEGATE_ATTEMPT.part.jpg" "$thumbnail"
"#;

struct House {
    folder: tempfile::TempDir,
    /// Bound and never listened on: nobody else has the port while the server is away, and the server may listen on it.
    _port: TcpSocket,
    address: SocketAddr,
    server: Option<Child>,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let port = TcpSocket::new_v4().expect("a socket");
        port.set_reuseaddr(true).expect("a socket's setting");
        port.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        let address = port.local_addr().expect("an address");
        Self { folder, _port: port, address, server: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tidegate(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.env("TIDEGATE_SERVER", format!("http://{}", self.address));
        command
    }

    fn start_server(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.path("server.log")).expect("a log");
        let server = self
            .tidegate()
            .args(["serve", "--listen", &self.address.to_string(), "--data"])
            .arg(self.path("data"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log again"))
            .stderr(log)
            .spawn()
            .expect("the server starts");
        self.server = Some(server);
        self.wait_for("the server to answer", |house| {
            house.tidegate().args(["queue", "list"]).output().expect("the command runs").status.success()
        });
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    fn kill_server(&mut self) {
        let mut server = self.server.take().expect("the server runs");
        server.kill().expect("it can be killed");
        server.wait().expect("it is gone");
    }

    fn run(&self, args: &[&str], input: &str) -> String {
        let mut child = self
            .tidegate()
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        child.stdin.take().expect("an input").write_all(input.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("the command ends");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{args:?}: {}\n{out}\n{err}", output.status);
        out.into_owned()
    }

    fn wait_for(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let started = Instant::now();
        while !done(self) {
            let log = || fs::read_to_string(self.path("server.log")).unwrap_or_default();
            assert!(started.elapsed() < PATIENCE, "waited too long for {what}; the server said:\n{}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn thumbnails(&self) -> BTreeSet<String> {
        let files = fs::read_dir(self.path("thumbnails")).expect("the folder is there");
        files.map(|file| file.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    /// Those that are whole. An attempt that was cut off, because its lease was over, leaves its part.
    fn finished_thumbnails(&self) -> BTreeSet<String> {
        self.thumbnails().into_iter().filter(|name| !name.contains(".part.")).collect()
    }

    /// How many jobs are in each of these states, at one moment.
    fn counts<const N: usize>(&self, states: [&str; N]) -> [u64; N] {
        let shown = self.run(&["queue", "show", "thumbnails", "--json"], "");
        let queue: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        states.map(|state| {
            queue["counts"][state].as_u64().unwrap_or_else(|| panic!("a count of {state} in {shown}"))
        })
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            drop(server.kill());
            drop(server.wait());
        }
    }
}

fn photographs() -> Vec<PathBuf> {
    let folder = std::env::var("TIDEGATE_PHOTOGRAPHS").unwrap_or("/usr/share/backgrounds/mate/nature".into());
    let files = fs::read_dir(&folder).unwrap_or_else(|error| {
        panic!("{folder}: {error}; `make prepare` fetches photographs, or set TIDEGATE_PHOTOGRAPHS to a folder of JPEGs")
    });
    let mut photographs: Vec<PathBuf> = files
        .map(|file| file.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jpg"))
        .collect();
    photographs.sort();
    assert!(photographs.len() >= 5, "{folder} has only {} photographs", photographs.len());
    photographs
}

fn is_a_small_jpeg(thumbnail: &Path) -> bool {
    let identify = Command::new("gm").args(["identify", "-format", "%m %w %h"]).arg(thumbnail).output();
    let output = identify.expect("GraphicsMagick (gm) is installed; `make prepare` does it");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words = text.split_whitespace();
    let is_jpeg = words.next() == Some("JPEG");
    let sides: Vec<u32> = words.filter_map(|word| word.parse().ok()).collect();
    output.status.success()
        && is_jpeg
        && sides.len() == 2
        && sides.iter().all(|&side| (1..=160).contains(&side))
}

#[test]
fn every_photograph_gets_its_thumbnail_though_the_server_is_killed_twice() {
    let photographs = photographs();
    let mut house = House::new();
    fs::create_dir(house.path("thumbnails")).expect("a folder");
    fs::write(house.path("thumbnail.sh"), SCRIPT).expect("the script");
    house.start_server();
    // A job whose lease answer dies with the server comes back after its lease; seconds are enough here.
    house.run(&["queue", "configure", "thumbnails", "--retry-delay", "200ms", "--max-attempts", "20"], "");

    let mut expected = BTreeSet::new();
    let mut jobs = String::new();
    for photograph in &photographs {
        for copy in 0..COPIES {
            let stem = photograph.file_stem().expect("a name").to_string_lossy();
            let name = format!("{stem}-{copy}.jpg");
            let thumbnail = house.path("thumbnails").join(&name);
            let payload = serde_json::json!({ "photograph": photograph, "thumbnail": thumbnail });
            jobs.push_str(&serde_json::json!({ "kind": "thumbnail", "payload": payload }).to_string());
            jobs.push('\n');
            expected.insert(name);
        }
    }
    house.run(&["job", "enqueue", "thumbnails"], &jobs);
    // Counts are of a moment ago.
    house.wait_for("the jobs to be counted", |house| house.counts(["ready"]) == [expected.len() as u64]);

    let script = house.path("thumbnail.sh");
    let log = fs::File::create(house.path("worker.log")).expect("a log");
    let mut worker = house
        .tidegate()
        .args(["work", "thumbnails", "--concurrency", "2", "--lease-ms", "3000", "--", "sh"])
        .arg(&script)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("the log again"))
        .stderr(log)
        .spawn()
        .expect("the worker starts");

    for share in [4, 2] {
        let some = expected.len() / share;
        house.wait_for("some thumbnails", |house| house.finished_thumbnails().len() >= some);
        house.kill_server();
        house.start_server();
    }
    house.wait_for("all jobs to end", |house| {
        house.counts(["completed", "dead"]).iter().sum::<u64>() == expected.len() as u64
    });
    let pid = i32::try_from(worker.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("the worker is told to stop");
    assert!(worker.wait().expect("the worker ends").success(), "{}", read(&house.path("worker.log")));

    let (counts, log) = (
        house.counts(["completed", "dead", "scheduled", "ready", "leased"]),
        read(&house.path("worker.log")),
    );
    assert_eq!(counts, [expected.len() as u64, 0, 0, 0, 0], "{log}");
    assert_eq!(
        house.finished_thumbnails(),
        expected,
        "each photograph has its thumbnail, and there is no other"
    );
    for name in &expected {
        let thumbnail = house.path("thumbnails").join(name);
        assert!(is_a_small_jpeg(&thumbnail), "{name} is a thumbnail");
    }
    house.kill_server();
    let verified = house.run(&["inspect", "verify", &house.path("data").display().to_string()], "");
    assert!(verified.contains("is what was written") && !verified.contains("damaged"), "{verified}");
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
