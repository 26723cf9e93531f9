//! Presses that were refused, as the student read it: for support, who is asked about exactly those.
//!
//! The engine tells a refusal that comes again once a minute, without the section of a condition that did not hold; and what the
//! portal judges by itself never reaches it. So the portal keeps them: in a file of its own beside the downstream systems, synced
//! before the student is answered. Who press at the same time share one sync. The same press refused the same again is one entry, and of
//! each student the latest [`KEPT_MAX`] are kept.
//!
//! What is not here: what was done, which is in the seats' own story.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use rusqlite::{Connection, TransactionBehavior, params};
use tokio::sync::{mpsc, oneshot};

use crate::catalogue::{SectionId, StudentId};
use crate::seats::Moment;

/// Entries that are kept of a student.
pub const KEPT_MAX: u32 = 200;
/// Entries that wait to be written; whoever comes then waits too.
const QUEUE_MAX: usize = 1_024;
/// Entries that one sync writes.
const BATCH_MAX: usize = 256;
/// Characters of a section's name that somebody made up.
const NAME_MAX: usize = 64;
/// How long a connection waits for another process that has the file.
const BUSY_TIME: Duration = Duration::from_secs(10);

const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS refused (
        number INTEGER PRIMARY KEY,
        student TEXT NOT NULL,
        at INTEGER NOT NULL,
        action TEXT NOT NULL,
        section TEXT NOT NULL,
        gives TEXT,
        code TEXT NOT NULL,
        message TEXT NOT NULL,
        version INTEGER,
        key TEXT NOT NULL,
        UNIQUE (student, key, action, section, code)
    ) STRICT;
    CREATE INDEX IF NOT EXISTS refused_of_student ON refused (student)";

/// A press, and what it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Press {
    /// When it was pressed.
    pub at: Moment,
    /// Who.
    pub student: StudentId,
    /// What: `enrol`, `drop`, `swap`, `join`, `leave`, `accept` or `decline`.
    pub action: String,
    /// For which section.
    pub section: SectionId,
    /// With a swap: what would have been given.
    pub gives: Option<SectionId>,
    /// The refusal's code.
    pub code: String,
    /// What the student read.
    pub message: String,
    /// The section's version that decided it.
    pub version: Option<u64>,
    /// The press's own key.
    pub key: String,
}

type Written = (Press, oneshot::Sender<()>);

/// The file.
#[derive(Debug)]
pub struct Presses {
    reader: Arc<Mutex<Connection>>,
    queue: mpsc::Sender<Written>,
}

impl Presses {
    /// Opens it, and makes it if it is not there.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(data: &Path) -> anyhow::Result<Self> {
        let file = data.join("presses.db");
        let words = || format!("{} cannot be opened", file.display());
        let writer = open(&file).with_context(words)?;
        let reader = open(&file).with_context(words)?;
        let (queue, written) = mpsc::channel(QUEUE_MAX);
        // It ends with the last of those who hand something in.
        std::thread::Builder::new().name("presses".into()).spawn(move || write_all(writer, written))?;
        Ok(Self { reader: Arc::new(Mutex::new(reader)), queue })
    }

    /// Keeps one; it is on the disk when this returns. If it cannot be kept that is said in the log: nobody is refused an answer for it.
    pub async fn keep(&self, press: Press) {
        let (done, is_done) = oneshot::channel();
        if self.queue.send((press, done)).await.is_ok() {
            let _ = is_done.await;
        }
    }

    /// Those of a student, oldest first.
    ///
    /// # Errors
    /// The file cannot be read.
    ///
    /// # Panics
    /// Never: reading does not panic.
    pub async fn of(&self, student: &StudentId) -> rusqlite::Result<Vec<Press>> {
        let (reader, student) = (Arc::clone(&self.reader), student.clone());
        let read = move || {
            let reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            let mut statement = reader.prepare_cached(
                "SELECT at, action, section, gives, code, message, version, key FROM refused WHERE student = ?1 ORDER BY number",
            )?;
            let presses = statement.query_map([student.as_str()], |row| {
                let (section, gives): (String, Option<String>) = (row.get(2)?, row.get(3)?);
                Ok(Press {
                    at: row.get(0)?,
                    student: student.clone(),
                    action: row.get(1)?,
                    section: section.into(),
                    gives: gives.map(SectionId::from),
                    code: row.get(4)?,
                    message: row.get(5)?,
                    version: row.get(6)?,
                    key: row.get(7)?,
                })
            })?;
            presses.collect()
        };
        tokio::task::spawn_blocking(read).await.expect("nothing in it panics")
    }
}

fn open(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(BUSY_TIME)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(TABLE)?;
    Ok(connection)
}

fn write_all(mut connection: Connection, mut queue: mpsc::Receiver<Written>) {
    while let Some(first) = queue.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH_MAX {
            let Ok(next) = queue.try_recv() else { break };
            batch.push(next);
        }
        if let Err(error) = write(&mut connection, &batch) {
            tracing::error!(%error, presses = batch.len(), "refused presses could not be kept for support");
        }
        for (_, done) in batch {
            // Whoever pressed may have gone.
            let _ = done.send(());
        }
    }
}

fn write(connection: &mut Connection, batch: &[Written]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut insert = transaction.prepare_cached(
            "INSERT INTO refused (student, at, action, section, gives, code, message, version, key)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
        )?;
        let mut trim = transaction.prepare_cached(
            "DELETE FROM refused WHERE student = ?1 AND number <=
             (SELECT number FROM refused WHERE student = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
        )?;
        for (press, _) in batch {
            let student = press.student.as_str();
            insert.execute(params![
                student,
                press.at,
                press.action,
                short(press.section.as_str()),
                press.gives.as_ref().map(|gives| short(gives.as_str())),
                press.code,
                press.message,
                press.version,
                press.key,
            ])?;
            trim.execute(params![student, KEPT_MAX])?;
        }
    }
    transaction.commit()
}

fn short(name: &str) -> &str {
    name.char_indices().nth(NAME_MAX).map_or(name, |(at, _)| &name[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(number: u64, key: &str) -> Press {
        Press {
            at: number,
            student: "s1".into(),
            action: "enrol".into(),
            section: "a-1".into(),
            gives: None,
            code: "sold_out".into(),
            message: "It is full.".into(),
            version: Some(3),
            key: key.into(),
        }
    }

    #[tokio::test]
    async fn the_same_press_is_kept_once_and_of_many_the_latest() {
        let folder = tempfile::tempdir().expect("a directory");
        let presses = Presses::open(folder.path()).expect("it opens");
        presses.keep(press(1, "k")).await;
        presses.keep(press(2, "k")).await;
        presses.keep(Press { code: "away".into(), ..press(3, "k") }).await;
        presses.keep(Press { student: "s2".into(), ..press(4, "k") }).await;
        let kept = presses.of(&"s1".into()).await.expect("it can be read");
        assert_eq!(kept, [press(1, "k"), Press { code: "away".into(), ..press(3, "k") }]);
        for number in 0..u64::from(KEPT_MAX) {
            presses.keep(press(10 + number, &format!("k{number}"))).await;
        }
        drop(presses);
        let presses = Presses::open(folder.path()).expect("it opens again");
        let kept = presses.of(&"s1".into()).await.expect("it can be read");
        assert_eq!((kept.len(), kept[0].at), (KEPT_MAX as usize, 10));
        assert_eq!(presses.of(&"s2".into()).await.expect("it can be read").len(), 1);
    }
}
