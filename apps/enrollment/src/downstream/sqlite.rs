//! The three systems as three SQLite files. Each has one connection; whoever needs it waits for it on a thread where one
//! may wait. Every commit is synced.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{Fault, Line, Row, System, Written, now, statements};
use crate::catalogue::StudentId;
use crate::chain::{Entry, Revocation};
use crate::seats::Moment;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS entries (
        enrolment TEXT PRIMARY KEY,
        student TEXT NOT NULL,
        section TEXT NOT NULL,
        number INTEGER NOT NULL,
        text TEXT NOT NULL,
        at INTEGER NOT NULL,
        undone TEXT,
        undone_at INTEGER
    ) STRICT;
    CREATE INDEX IF NOT EXISTS entries_of_student ON entries (student, section);
    CREATE TABLE IF NOT EXISTS fences (
        student TEXT NOT NULL,
        section TEXT NOT NULL,
        before INTEGER NOT NULL,
        PRIMARY KEY (student, section)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS notices (
        id TEXT PRIMARY KEY,
        student TEXT NOT NULL,
        text TEXT NOT NULL,
        at INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS notices_of_student ON notices (student)";

/// How long a connection waits for another process that has the file, such as an audit.
const BUSY_TIME: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Files {
    files: [Arc<Mutex<Connection>>; 3],
}

impl Files {
    pub(super) fn open(folder: &Path) -> rusqlite::Result<Self> {
        let open = |system: System| {
            let connection = Connection::open(folder.join(format!("{system}.db")))?;
            connection.busy_timeout(BUSY_TIME)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.execute_batch(TABLES)?;
            Ok::<_, rusqlite::Error>(Arc::new(Mutex::new(connection)))
        };
        Ok(Self { files: [open(System::Mail)?, open(System::Record)?, open(System::Fee)?] })
    }

    pub(super) async fn write(
        &self,
        system: System,
        number: u64,
        entry: &Entry,
        text: &str,
    ) -> Result<Written, Fault> {
        let (entry, text) = (entry.clone(), text.to_owned());
        self.on(system, move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let (student, section) = (entry.student.as_str(), entry.section.as_str());
            let before: Option<u64> = transaction
                .prepare_cached("SELECT before FROM fences WHERE student = ?1 AND section = ?2")?
                .query_row(params![student, section], |row| row.get(0))
                .optional()?;
            if before.is_some_and(|before| number < before) {
                return Ok(Written::Overtaken);
            }
            let rows = transaction.prepare_cached(statements::ENTER)?.execute(params![
                entry.enrolment,
                student,
                section,
                number,
                text,
                now()
            ])?;
            transaction.commit()?;
            Ok(if rows == 0 { Written::AlreadyThere } else { Written::New })
        })
        .await
    }

    /// The entry of a name that is there, undone or not.
    pub(super) async fn named(&self, system: System, enrolment: &str) -> Result<Line, Fault> {
        let enrolment = enrolment.to_owned();
        self.on(system, move |connection| {
            let mut statement = connection
                .prepare_cached("SELECT student, section, number FROM entries WHERE enrolment = ?1")?;
            statement.query_row([&enrolment], |row| {
                let (student, section): (String, String) = (row.get(0)?, row.get(1)?);
                let number = row.get(2)?;
                Ok(Line {
                    enrolment: enrolment.clone(),
                    student: student.into(),
                    section: section.into(),
                    number,
                })
            })
        })
        .await
    }

    pub(super) async fn undo(
        &self,
        system: System,
        revocation: &Revocation,
        before: u64,
        text: &'static str,
    ) -> Result<u64, Fault> {
        let revocation = revocation.clone();
        self.on(system, move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let (student, section) = (revocation.student.as_str(), revocation.section.as_str());
            transaction
                .prepare_cached(
                    "INSERT INTO fences (student, section, before) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET before = max(before, excluded.before)",
                )?
                .execute(params![student, section, before])?;
            let undone = transaction.prepare_cached(statements::UNDO)?.execute(params![
                text,
                now(),
                student,
                section,
                before
            ])?;
            transaction.commit()?;
            Ok(undone as u64)
        })
        .await
    }

    pub(super) async fn notify(&self, id: &str, student: &StudentId, text: &str) -> Result<(), Fault> {
        let (id, student, text) = (id.to_owned(), student.clone(), text.to_owned());
        self.on(System::Mail, move |connection| {
            connection
                .prepare_cached(statements::NOTIFY)?
                .execute(params![id, student.as_str(), text, now()])
                .map(drop)
        })
        .await
    }

    pub(super) async fn lines(&self, system: System) -> Result<Vec<Line>, Fault> {
        self.on(system, |connection| {
            let mut statement = connection.prepare_cached(statements::LINES)?;
            let lines = statement.query_map([], |row| {
                let (student, section): (String, String) = (row.get(1)?, row.get(2)?);
                Ok(Line {
                    enrolment: row.get(0)?,
                    student: student.into(),
                    section: section.into(),
                    number: row.get(3)?,
                })
            })?;
            lines.collect()
        })
        .await
    }

    pub(super) async fn answers(&self, system: System) -> Result<(), Fault> {
        self.on(system, |connection| connection.query_row("SELECT 1", [], |_| Ok(()))).await
    }

    pub(super) async fn count(&self, system: System) -> Result<u64, Fault> {
        self.on(system, |connection| {
            connection.prepare_cached(statements::COUNT)?.query_row([], |row| row.get(0))
        })
        .await
    }

    pub(super) async fn rows(&self, system: System, student: &StudentId) -> Result<Vec<Row>, Fault> {
        let student = student.clone();
        self.on(system, move |connection| {
            let mut statement = connection.prepare_cached(statements::ROWS)?;
            let rows = statement.query_map([student.as_str()], |row| {
                let section: String = row.get(0)?;
                let undone: (Option<String>, Option<Moment>) = (row.get(3)?, row.get(4)?);
                Ok(Row {
                    section: section.into(),
                    text: row.get(1)?,
                    at: row.get(2)?,
                    undone: undone.0.zip(undone.1),
                })
            })?;
            rows.collect()
        })
        .await
    }

    pub(super) async fn notices(&self, student: &StudentId) -> Result<Vec<(String, Moment)>, Fault> {
        let student = student.clone();
        self.on(System::Mail, move |connection| {
            connection
                .prepare_cached(statements::NOTICES)?
                .query_map([student.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
        .await
    }

    async fn on<T: Send + 'static>(
        &self,
        system: System,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Fault> {
        let file = Arc::clone(&self.files[system as usize]);
        let done = tokio::task::spawn_blocking(move || {
            // A transaction that panicked was rolled back when it was dropped.
            work(&mut file.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await.expect("nothing in it panics").map_err(|error| Fault::new(system, "sqlite", error))
    }
}
