//! The portal itself, as a process: the binary under test, on a free port, with a data directory of its own.

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;
use std::time::Instant;

use app_testkit::http::{Answer, ask, try_ask};
use app_testkit::program::Program;
use app_testkit::{PATIENCE, POLL_EVERY};
use enrollment::catalogue::Catalogue;
use serde_json::{Value, json};

/// The university of every test: small, and the same each time.
pub(crate) const SEED: u64 = 1;
pub(crate) const SECTIONS: usize = 24;
pub(crate) const STUDENTS: usize = 60;

const JSON: &str = "Content-Type: application/json\r\n";

/// A running portal; it ends with this value.
pub(crate) struct Portal {
    program: Program,
    pub(crate) catalogue: Catalogue,
    /// Students who have got what they pressed for.
    pressed: Mutex<BTreeSet<String>>,
}

impl Deref for Portal {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.program
    }
}

impl DerefMut for Portal {
    fn deref_mut(&mut self) -> &mut Program {
        &mut self.program
    }
}

impl Portal {
    /// A new portal; `options` are those of `enrollment serve`.
    pub(crate) fn start(options: &[&str]) -> Self {
        let [seed, sections, students] = [SEED.to_string(), SECTIONS.to_string(), STUDENTS.to_string()];
        let university = ["--seed", &seed, "--sections", &sections, "--students", &students, "--faults"];
        Self {
            program: Program::start(env!("CARGO_BIN_EXE_enrollment"), &[&university, options].concat()),
            catalogue: Catalogue::generate(SEED, SECTIONS, STUDENTS),
            pressed: Mutex::default(),
        }
    }

    /// Asks, with further headers that each end their line.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        ask(&self.url(), method, path, &format!("{JSON}{headers}"), body.as_bytes())
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "", "")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, "", &body.to_string())
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Answer {
        self.ask("PUT", path, "", &body.to_string())
    }

    /// A student's press; pressed again, as a page does, while nobody knows what came of it.
    pub(crate) fn press(&self, student: &str, action: &str, body: &Value, key: &str) -> Answer {
        let started = Instant::now();
        loop {
            let answer = self.press_once(student, action, body, key);
            if answer.status != 503 || started.elapsed() > PATIENCE {
                return answer;
            }
        }
    }

    /// One press, whatever is heard of it.
    pub(crate) fn press_once(&self, student: &str, action: &str, body: &Value, key: &str) -> Answer {
        let path = format!("/api/students/{student}/{action}");
        let answer = self.ask("POST", &path, &format!("Idempotency-Key: {key}\r\n"), &body.to_string());
        if answer.status < 300 {
            self.pressed.lock().expect("no panic").insert(student.to_owned());
        }
        answer
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
        let headers = format!("{JSON}Idempotency-Key: {key}\r\n");
        try_ask(url, "POST", &path, &headers, body.to_string().as_bytes())
    }

    /// What support sees of a student, and not what was seen last because there was no answer in time.
    pub(crate) fn story(&self, student: &str) -> Value {
        let started = Instant::now();
        loop {
            let answer = self.get(&format!("/api/support/{student}"));
            assert!(matches!(answer.status, 200 | 503), "{}", answer.text());
            if answer.status == 200 && answer.json()["away"].is_null() {
                return answer.json();
            }
            assert!(started.elapsed() < PATIENCE, "{}", answer.text());
        }
    }

    /// Makes a section have so many seats.
    pub(crate) fn resize(&self, section: &str, capacity: u32) {
        let answer =
            self.put(&format!("/api/registrar/sections/{section}"), &json!({ "capacity": capacity }));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Makes a system of the three up or down.
    pub(crate) fn make(&self, system: &str, state: &str) {
        let answer = self.post(&format!("/api/downstream/{system}"), &json!({ "state": state }));
        assert_eq!(answer.status, 200, "{}", answer.text());
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

    /// Waits until nothing is to be done any more. The counts of queues follow a moment after a press, so the own jobs of those who
    /// pressed are looked at as well.
    pub(crate) fn settled(&self) {
        self.until("all follow-up jobs to be done", |portal| {
            let pressed = portal.pressed.lock().expect("no panic").clone();
            portal.get("/api/audit").json()["open_jobs"] == 0
                && pressed.iter().all(|student| portal.story(student)["half_done"] == 0)
        });
    }

    /// Who is enrolled in what: as the engine says, and as each of the three systems says.
    pub(crate) fn books(&self) -> [Vec<(String, String)>; 4] {
        let pairs = |list: &Value| {
            let pair = |one: &Value| {
                let text = |field: &str| one[field].as_str().expect("a name").to_owned();
                (text("student"), text("section"))
            };
            let mut pairs: Vec<_> = list.as_array().expect("a list").iter().map(pair).collect();
            pairs.sort();
            pairs
        };
        let audit = self.get("/api/audit").json();
        let downstream = self.get("/api/audit/downstream").json();
        [
            pairs(&audit["enrolments"]),
            pairs(&downstream["mail"]),
            pairs(&downstream["record"]),
            pairs(&downstream["fee"]),
        ]
    }

    /// Students who may have `section`, as far as the rules go.
    pub(crate) fn students_for(&self, section: &str) -> Vec<String> {
        let section = self.catalogue.section(&section.into()).expect("a section");
        let may = |student: &&enrollment::catalogue::Student| {
            enrollment::eligibility::judge(&self.catalogue, student, &[], section).is_ok()
        };
        self.catalogue.students().iter().filter(may).map(|student| student.id.to_string()).collect()
    }
}
