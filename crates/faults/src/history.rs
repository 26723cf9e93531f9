//! The history: what was asked and what was heard, as lines of JSON, by all processes of a run.
//!
//! An ask is on its way to the disk before the request is sent, an answer after it was read. So a process that is killed
//! leaves at most asks without answers, and one torn last line. Times are the machine's steady clock, which all
//! processes share and no scenario moves.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tidegate::api::{id::JobId, refusal::Code, words::JobState};

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Microseconds of the machine's steady clock.
    pub at: u64,
    /// The producer, the worker, or the scenario.
    pub who: String,
    /// What happened.
    pub event: Event,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A call is made. Its number is new for this caller.
    Ask {
        /// The call's number.
        call: u64,
        /// What is asked.
        ask: Ask,
    },
    /// The call's end.
    Answer {
        /// The call's number.
        call: u64,
        /// What was heard.
        answer: Answer,
    },
    /// A fault begins or ends; for people.
    Note(String),
    /// The server's wall clock is moved: leases and delays may end early.
    ClockSet,
    /// A job that the API shows at the end.
    Found {
        /// Its id.
        id: String,
        /// Its state.
        state: JobState,
    },
    /// The end of the audit, with the queue's own counts.
    Audited {
        /// Completed jobs.
        completed: u64,
        /// Dead letters.
        dead: u64,
        /// Cancelled jobs.
        cancelled: u64,
        /// Jobs that have not ended.
        unfinished: u64,
    },
}

/// What callers ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Jobs to be accepted, under a key.
    Enqueue {
        /// The idempotency key.
        key: String,
        /// Whether the client was told to try once; else it tries again by itself, and a refusal may come after silence.
        once: bool,
        /// The jobs.
        jobs: Vec<NewJob>,
    },
    /// Jobs to work on.
    Lease {
        /// For how long.
        lease_ms: u64,
    },
    /// What became of leased jobs.
    Settle(Vec<Settle>),
}

/// A job to be accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewJob {
    /// Its name, which no other job has.
    pub name: String,
    /// A digest of its payload.
    pub digest: u64,
    /// Its ordering key.
    pub ordering_key: Option<String>,
    /// Not before so many milliseconds from its acceptance.
    pub delay_ms: u64,
}

/// What a worker says about a job that it has, or had.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settle {
    /// The job's id.
    pub id: String,
    /// The lease's token.
    pub token: u64,
    /// What it says.
    pub how: How,
}

/// The ways to settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It is done.
    Complete,
    /// It failed and may be tried again.
    Fail,
    /// It failed for good.
    Fatal,
    /// It is given back.
    Release,
    /// It goes on for so many milliseconds.
    Extend(u64),
}

/// What callers hear.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Of each job its id, or why it was refused.
    Enqueued(Vec<Result<String, Code>>),
    /// Jobs to work on.
    Leased(Vec<Leased>),
    /// Of each settlement that it was taken, or why not.
    Settled(Vec<Result<(), Code>>),
    /// The whole call was refused: nothing was done.
    Refused(Code),
    /// Nothing that says whether it was done: silence, a broken connection, `outcome_unknown`.
    Unknown(String),
    /// Something that no answer may be.
    Unreadable(String),
}

/// A job as a worker gets it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Leased {
    /// Its id.
    pub id: String,
    /// Its name, from the payload; nothing if the payload cannot be read.
    pub name: Option<String>,
    /// A digest of the payload as it came.
    pub digest: u64,
    /// Its ordering key, as it came.
    pub ordering_key: Option<String>,
    /// The lease's token.
    pub token: u64,
    /// The attempt's number.
    pub attempt: u32,
}

/// Where lines go.
#[derive(Debug)]
pub struct History(Mutex<File>);

impl History {
    /// A file for one process's lines. An earlier one of that name is gone on with.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::options().create(true).append(true).open(path);
        Ok(Self(Mutex::new(file.with_context(|| format!("opening {}", path.display()))?)))
    }

    /// Adds a line, stamped with the time.
    ///
    /// # Panics
    /// If the history cannot be written: a run without one shows nothing.
    pub fn add(&self, who: &str, event: Event) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = Line { at: now(), who: who.to_owned(), event };
        let mut text = serde_json::to_vec(&line).expect("a line is JSON");
        text.push(b'\n');
        file.write_all(&text).expect("the history can be written");
    }
}

/// Microseconds of the steady clock that all processes of this machine share.
pub fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000
}

/// Reads the histories in a directory as one, in the order of time.
///
/// # Errors
/// A file that cannot be read, or a line that is no line. A last line without an end is a killed process's, and left out.
pub fn read(directory: &Path) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        for (number, line) in text[..whole].split(|&byte| byte == b'\n').enumerate() {
            if !line.is_empty() {
                let place = || format!("{}, line {}", path.display(), number + 1);
                lines.push(serde_json::from_slice::<Line>(line).with_context(place)?);
            }
        }
    }
    // Stable: what one caller did in one microsecond stays as it wrote it.
    lines.sort_by_key(|line| line.at);
    Ok(lines)
}

/// The place of a job in the order of acceptance.
pub(crate) fn place(id: &str) -> Option<(u16, u64)> {
    id.parse::<JobId>().ok().map(|id| (id.shard, id.sequence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_all_processes_are_read_in_order_and_a_torn_last_one_is_left_out() {
        let folder = tempfile::tempdir().expect("a directory");
        let (one, two) = (folder.path().join("one.jsonl"), folder.path().join("two.jsonl"));
        let (first, second) = (History::open(&one).expect("a file"), History::open(&two).expect("a file"));
        first.add("a", Event::Note("1".into()));
        second.add("b", Event::Note("2".into()));
        first.add("a", Event::ClockSet);
        File::options().append(true).open(&two).expect("a file").write_all(b"{\"at\":1,").expect("room");
        let lines = read(folder.path()).expect("a history");
        let who: Vec<&str> = lines.iter().map(|line| line.who.as_str()).collect();
        assert_eq!(who, ["a", "b", "a"]);
        File::options().append(true).open(&two).expect("a file").write_all(b"\n").expect("room");
        let error = read(folder.path()).expect_err("a line in the middle is no line").to_string();
        assert!(error.contains("two.jsonl, line 2"), "{error}");
    }
}
