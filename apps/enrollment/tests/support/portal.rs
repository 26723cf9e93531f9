//! The portal itself, as a process: the binary under test, on a free port, with a data directory of its own.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use enrollment::catalogue::Catalogue;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::{Answer, ask, try_ask};

/// Patience with a machine that is busy with other tests; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL_EVERY: Duration = Duration::from_millis(20);

/// The university of every test: small, and the same each time.
pub(crate) const SEED: u64 = 1;
pub(crate) const SECTIONS: usize = 24;
pub(crate) const STUDENTS: usize = 60;

/// A running portal; it ends with this value.
pub(crate) struct Portal {
    folder: TempDir,
    options: Vec<String>,
    listen: String,
    process: Option<Child>,
    pub(crate) catalogue: Catalogue,
}

impl Portal {
    /// A new portal; `options` are those of `enrollment serve`.
    pub(crate) fn start(options: &[&str]) -> Self {
        let mut portal = Self {
            folder: tempfile::tempdir().expect("a temporary directory"),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            listen: "127.0.0.1:0".to_owned(),
            process: None,
            catalogue: Catalogue::generate(SEED, SECTIONS, STUDENTS),
        };
        portal.run();
        portal
    }

    /// Where its pages are.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// Where its data is.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it can be killed");
            process.wait().expect("it is gone");
        }
    }

    /// Starts it again with the same data at the same address.
    pub(crate) fn start_again(&mut self) {
        assert!(self.process.is_none(), "the portal still runs");
        self.run();
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        ask(&self.url(), "GET", path, "", "")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        ask(&self.url(), "POST", path, "", &body.to_string())
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Answer {
        ask(&self.url(), "PUT", path, "", &body.to_string())
    }

    /// A student's press.
    pub(crate) fn press(&self, student: &str, action: &str, body: &Value, key: &str) -> Answer {
        let path = format!("/api/students/{student}/{action}");
        ask(&self.url(), "POST", &path, &format!("Idempotency-Key: {key}\r\n"), &body.to_string())
    }

    /// The same, where the portal may be killed meanwhile.
    pub(crate) fn try_press(
        url: &str,
        student: &str,
        action: &str,
        body: &Value,
        key: &str,
    ) -> Option<Answer> {
        let path = format!("/api/students/{student}/{action}");
        try_ask(url, "POST", &path, &format!("Idempotency-Key: {key}\r\n"), &body.to_string())
    }

    /// What support sees of a student.
    pub(crate) fn story(&self, student: &str) -> Value {
        let answer = self.get(&format!("/api/support/{student}"));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }

    /// Makes a section have so many seats.
    pub(crate) fn resize(&self, section: &str, capacity: u32) {
        let answer =
            self.put(&format!("/api/registrar/sections/{section}"), &json!({ "capacity": capacity }));
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    /// Makes a system of the three up or down.
    pub(crate) fn make(&self, system: &str, state: &str) {
        let answer = self.post(&format!("/api/downstream/{system}"), &json!({ "state": state }));
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    /// How a section stands.
    pub(crate) fn section(&self, section: &str) -> Value {
        self.get(&format!("/api/seats?sections={section}")).json()["sections"][0].clone()
    }

    /// Waits until something is so, asking for it again and again.
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !is_so(self) {
            assert!(started.elapsed() < PATIENCE, "waited too long for {what}");
            std::thread::sleep(POLL_EVERY);
        }
    }

    /// Waits until nothing is to be done any more.
    pub(crate) fn settled(&self) {
        self.until("all follow-up jobs to be done", |portal| {
            portal.get("/api/audit").json()["open_jobs"] == 0
        });
    }

    /// Students who may have `section`, as far as the rules go.
    pub(crate) fn students_for(&self, section: &str) -> Vec<String> {
        let section = self.catalogue.section(&section.into()).expect("a section");
        let may = |student: &&enrollment::catalogue::Student| {
            enrollment::eligibility::judge(&self.catalogue, student, &[], section).is_ok()
        };
        self.catalogue.students().iter().filter(may).map(|student| student.id.to_string()).collect()
    }

    fn run(&mut self) {
        let mut process = Command::new(env!("CARGO_BIN_EXE_enrollment"))
            .args(["serve", "--listen", &self.listen, "--data"])
            .arg(self.data())
            .args(["--seed", &SEED.to_string(), "--sections", &SECTIONS.to_string()])
            .args(["--students", &STUDENTS.to_string(), "--faults"])
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the portal starts");
        let said = BufReader::new(process.stderr.take().expect("an output"));
        self.process = Some(process);
        let (tell, told) = mpsc::channel();
        // Reads on to the end, so that the portal never waits for a full pipe; the test's output shows what it said.
        std::thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("listening on http://") {
                    drop(tell.send(address.trim_end_matches('/').to_owned()));
                }
                eprintln!("enrollment: {line}");
            }
        });
        self.listen = told.recv_timeout(PATIENCE).expect("the portal says where it listens");
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        self.kill();
    }
}
