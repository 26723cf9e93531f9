//! The three systems as three schemas of a PostgreSQL database, each with connections of its own.
//!
//! What is written and what is undone at the same time meet at the fence's row: both lock it first, so that one of them sees
//! the other.

use std::fmt::Write;

use tokio::sync::{Mutex, MutexGuard, Semaphore, SemaphorePermit};
use tokio_postgres::{Client, Config, NoTls};

use super::{Fault, Line, Row, System, Written, now, statements};
use crate::catalogue::StudentId;
use crate::chain::{Entry, Revocation};
use crate::seats::Moment;

/// Connections of each system.
const CONNECTIONS: usize = 4;

#[derive(Debug)]
pub(super) struct Schemas {
    systems: [Connections; 3],
}

/// A few connections; whoever has a permit finds one that nobody uses.
#[derive(Debug)]
struct Connections {
    config: Config,
    free: Semaphore,
    clients: [Mutex<Option<Client>>; CONNECTIONS],
}

/// One of them, as long as somebody has it.
struct Connected<'a> {
    client: MutexGuard<'a, Option<Client>>,
    _permit: SemaphorePermit<'a>,
}

fn tables(system: System) -> String {
    format!(
        "CREATE SCHEMA IF NOT EXISTS {system};
        CREATE TABLE IF NOT EXISTS {system}.entries (
            enrolment text PRIMARY KEY,
            student text NOT NULL,
            section text NOT NULL,
            number bigint NOT NULL,
            text text NOT NULL,
            at bigint NOT NULL,
            undone text,
            undone_at bigint
        );
        CREATE INDEX IF NOT EXISTS entries_of_student ON {system}.entries (student, section);
        CREATE TABLE IF NOT EXISTS {system}.fences (
            student text NOT NULL,
            section text NOT NULL,
            before bigint NOT NULL,
            PRIMARY KEY (student, section)
        );
        CREATE TABLE IF NOT EXISTS {system}.notices (
            id text PRIMARY KEY,
            student text NOT NULL,
            text text NOT NULL,
            at bigint NOT NULL
        );
        CREATE INDEX IF NOT EXISTS notices_of_student ON {system}.notices (student)"
    )
}

/// Puts a fence's row under the transaction's lock, as high as it was or higher, and says how high it is.
const FENCE: &str = "INSERT INTO fences AS known (student, section, before) VALUES ($1, $2, $3)
    ON CONFLICT (student, section) DO UPDATE SET before = greatest(known.before, excluded.before) RETURNING before";

impl Schemas {
    pub(super) async fn open(url: &str) -> anyhow::Result<Self> {
        let config: Config = url.parse()?;
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        for system in System::ALL {
            client.batch_execute(&tables(system)).await?;
        }
        let connections = |system: System| {
            let mut config = config.clone();
            let mut options = config.get_options().unwrap_or_default().to_owned();
            let _ = write!(options, " -c search_path={system}");
            config.options(options);
            Connections { config, free: Semaphore::new(CONNECTIONS), clients: Default::default() }
        };
        Ok(Self { systems: System::ALL.map(connections) })
    }

    pub(super) async fn write(
        &self,
        system: System,
        number: u64,
        entry: &Entry,
        text: &str,
    ) -> Result<Written, Fault> {
        self.on(system, async |client| {
            let (student, section) = (entry.student.as_str(), entry.section.as_str());
            let transaction = client.transaction().await?;
            let fence = transaction.prepare(FENCE).await?;
            let before: i64 = transaction.query_one(&fence, &[&student, &section, &0i64]).await?.get(0);
            let number = number as i64;
            if number < before {
                transaction.rollback().await?;
                return Ok(Written::Overtaken);
            }
            let rows = transaction
                .execute(
                    statements::ENTER,
                    &[&entry.enrolment, &student, &section, &number, &text, &(now() as i64)],
                )
                .await?;
            transaction.commit().await?;
            Ok(if rows == 0 { Written::AlreadyThere } else { Written::New })
        })
        .await
    }

    /// The entry of a name that is there, undone or not.
    pub(super) async fn named(&self, system: System, enrolment: &str) -> Result<Line, Fault> {
        self.on(system, async |client| {
            let select = "SELECT student, section, number FROM entries WHERE enrolment = $1";
            let row = client.query_one(select, &[&enrolment]).await?;
            Ok(Line {
                enrolment: enrolment.to_owned(),
                student: row.get::<_, String>(0).into(),
                section: row.get::<_, String>(1).into(),
                number: row.get::<_, i64>(2) as u64,
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
        self.on(system, async |client| {
            let (student, section) = (revocation.student.as_str(), revocation.section.as_str());
            let before = before as i64;
            let transaction = client.transaction().await?;
            transaction.query_one(FENCE, &[&student, &section, &before]).await?;
            let undone = transaction
                .execute(statements::UNDO, &[&text, &(now() as i64), &student, &section, &before])
                .await?;
            transaction.commit().await?;
            Ok(undone)
        })
        .await
    }

    pub(super) async fn notify(&self, id: &str, student: &StudentId, text: &str) -> Result<(), Fault> {
        self.on(System::Mail, async |client| {
            client
                .execute(statements::NOTIFY, &[&id, &student.as_str(), &text, &(now() as i64)])
                .await
                .map(drop)
        })
        .await
    }

    pub(super) async fn lines(&self, system: System) -> Result<Vec<Line>, Fault> {
        self.on(system, async |client| {
            let rows = client.query(statements::LINES, &[]).await?;
            Ok(rows
                .iter()
                .map(|row| Line {
                    enrolment: row.get(0),
                    student: row.get::<_, String>(1).into(),
                    section: row.get::<_, String>(2).into(),
                    number: row.get::<_, i64>(3) as u64,
                })
                .collect())
        })
        .await
    }

    pub(super) async fn answers(&self, system: System) -> Result<(), Fault> {
        self.on(system, async |client| client.batch_execute("SELECT 1").await).await
    }

    pub(super) async fn count(&self, system: System) -> Result<u64, Fault> {
        self.on(system, async |client| {
            let count: i64 = client.query_one(statements::COUNT, &[]).await?.get(0);
            Ok(count as u64)
        })
        .await
    }

    pub(super) async fn rows(&self, system: System, student: &StudentId) -> Result<Vec<Row>, Fault> {
        self.on(system, async |client| {
            let rows = client.query(statements::ROWS, &[&student.as_str()]).await?;
            Ok(rows
                .iter()
                .map(|row| Row {
                    section: row.get::<_, String>(0).into(),
                    text: row.get(1),
                    at: row.get::<_, i64>(2) as u64,
                    undone: row
                        .get::<_, Option<String>>(3)
                        .zip(row.get::<_, Option<i64>>(4).map(|at| at as u64)),
                })
                .collect())
        })
        .await
    }

    pub(super) async fn notices(&self, student: &StudentId) -> Result<Vec<(String, Moment)>, Fault> {
        self.on(System::Mail, async |client| {
            let rows = client.query(statements::NOTICES, &[&student.as_str()]).await?;
            Ok(rows.iter().map(|row| (row.get(0), row.get::<_, i64>(1) as u64)).collect())
        })
        .await
    }

    /// Does it on a connection that nobody else uses meanwhile. What fails on a connection that has broken does not
    /// hinder the next: it gets another.
    async fn on<T>(
        &self,
        system: System,
        work: impl AsyncFnOnce(&mut Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Fault> {
        let fault = |error: tokio_postgres::Error| {
            // Its own words are "db error"; what the server said is behind them.
            let text = match error.as_db_error() {
                Some(said) => format!("PostgreSQL says: {}", said.message()),
                None => std::error::Error::source(&error)
                    .map_or(error.to_string(), |cause| format!("{error}: {cause}")),
            };
            Fault::new(system, "postgres", format!("cannot be reached: {text}"))
        };
        let mut connected = self.systems[system as usize].connect().await.map_err(fault)?;
        let client = connected.client.as_mut().expect("it was connected");
        work(client).await.map_err(fault)
    }
}

impl Connections {
    async fn connect(&self) -> Result<Connected<'_>, tokio_postgres::Error> {
        let permit = self.free.acquire().await.expect("nobody closes it");
        let mut client = self
            .clients
            .iter()
            .find_map(|client| client.try_lock().ok())
            .expect("there are as many connections as permits");
        if client.as_ref().is_none_or(Client::is_closed) {
            let (fresh, connection) = self.config.connect(NoTls).await?;
            tokio::spawn(connection);
            *client = Some(fresh);
        }
        Ok(Connected { client, _permit: permit })
    }
}
