//! A real mail server for tests: `mailserver.py` beside this file, on aiosmtpd.

#![allow(dead_code, reason = "each test target uses its own part")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running server; it ends with this.
pub(crate) struct MailServer {
    folder: tempfile::TempDir,
    process: Child,
    pub(crate) port: u16,
}

impl MailServer {
    pub(crate) fn start() -> MailServer {
        MailServer::start_in(tempfile::tempdir().expect("a directory"), &[])
    }

    /// One that speaks TLS, `always` or after `starttls`, with its certificate in [`certificate`](Self::certificate).
    pub(crate) fn start_with_tls(when: &str) -> MailServer {
        let folder = tempfile::tempdir().expect("a directory");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        fs::write(folder.path().join("certificate.pem"), made.cert.pem()).expect("written");
        fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).expect("written");
        MailServer::start_in(folder, &["0", when])
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    fn start_in(folder: tempfile::TempDir, arguments: &[&str]) -> MailServer {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/mailserver.py");
        // The library talks much about tests that go wrong on purpose.
        let complaints = folder.path().join("complaints");
        let mut process = Command::new(python())
            .arg(script)
            .arg(folder.path())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&complaints).expect("a file"))
            .spawn()
            .expect("Python starts");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut line).expect("it speaks");
        let port = line.strip_prefix("ready ").and_then(|port| port.trim().parse().ok());
        let port = port.unwrap_or_else(|| {
            let complaints = fs::read_to_string(&complaints).unwrap_or_default();
            panic!("the mail server says where it is: {line:?} {complaints}")
        });
        MailServer { folder, process, port }
    }

    /// From now on every recipient is refused so, until it is called with none.
    pub(crate) fn refuse(&self, reply: Option<&str>) {
        let file = self.folder.path().join("refuse");
        match reply {
            Some(reply) => fs::write(file, reply).expect("written"),
            None => fs::remove_file(file).expect("removed"),
        }
    }

    /// What happened, a line each.
    pub(crate) fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("log")).expect("the log");
        log.lines().map(str::to_owned).collect()
    }

    /// The most connections that were open at once.
    pub(crate) fn connections_max(&self) -> usize {
        let note = fs::read_to_string(self.folder.path().join("connections")).expect("there were some");
        note.parse().expect("a number")
    }

    /// The mails it has: names of files, which are their Message-IDs, and contents.
    pub(crate) fn mails(&self) -> Vec<(String, String)> {
        files(&self.folder.path().join("mails"))
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        // It ends by itself when its input does; there is nothing to wait for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The Python that has aiosmtpd: Debian's own, or the first on the path.
fn python() -> PathBuf {
    let candidates = ["/usr/bin/python3", "python3"].map(PathBuf::from);
    let has_it = |python: &&PathBuf| {
        let asked = Command::new(python).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    };
    candidates.iter().find(has_it).expect("a Python with aiosmtpd (`make prepare` installs it)").clone()
}

/// Names and contents of a folder's files, sorted.
pub(crate) fn files(folder: &Path) -> Vec<(String, String)> {
    let listing = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let mut files = listing
        .map(|entry| {
            let text = fs::read_to_string(entry.path()).expect("a text file");
            (entry.file_name().into_string().expect("a plain name"), text)
        })
        .collect::<Vec<_>>();
    files.sort();
    files
}
