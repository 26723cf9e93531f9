//! A few connections to PostgreSQL that many requests share, each with its statements prepared.
//!
//! Whoever finds none free waits in line. A connection whose user left in the middle of something (a browser that went
//! away takes the request's work with it) is closed, never given to the next: PostgreSQL then rolls back.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::{Client, Error, NoTls, Statement};

/// So long a request waits for a connection before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections of one kind.
#[derive(Clone)]
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    url: String,
    /// Settings of each connection, as SQL.
    settings: &'static str,
    /// What each connection prepares.
    statements: &'static [&'static str],
    idle: Mutex<Vec<Connection>>,
    places: Arc<Semaphore>,
}

struct Connection {
    client: Client,
    statements: Vec<Statement>,
}

/// A connection in somebody's hands.
pub(super) struct Lease {
    pool: Arc<Shared>,
    connection: Option<Connection>,
    /// Nothing is under way on it.
    clean: bool,
    _place: OwnedSemaphorePermit,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("PostgreSQL: {}", said(.0))]
    Postgres(#[from] Error),
    #[error("no connection to PostgreSQL became free within {} s", PATIENCE.as_secs())]
    Crowded,
}

/// The error's own text hides what the server said.
fn said(error: &Error) -> String {
    match error.as_db_error() {
        Some(said) => said.message().to_owned(),
        None => error.to_string(),
    }
}

impl Pool {
    pub(super) fn new(
        url: &str,
        size: usize,
        settings: &'static str,
        statements: &'static [&'static str],
    ) -> Pool {
        Pool(Arc::new(Shared {
            url: url.to_owned(),
            settings,
            statements,
            idle: Mutex::new(Vec::new()),
            places: Arc::new(Semaphore::new(size)),
        }))
    }

    /// A connection, as soon as one is free.
    pub(super) async fn lease(&self) -> Result<Lease, Failed> {
        let waiting = tokio::time::timeout(PATIENCE, Arc::clone(&self.0.places).acquire_owned());
        let place = waiting.await.map_err(|_| Failed::Crowded)?.expect("nobody closes it");
        let idle = loop {
            // One that PostgreSQL has closed meanwhile is of no more use.
            match self.0.idle.lock().expect("no holder panics").pop() {
                Some(connection) if connection.client.is_closed() => {}
                found => break found,
            }
        };
        let connection = match idle {
            Some(connection) => connection,
            None => self.0.open().await?,
        };
        Ok(Lease { pool: Arc::clone(&self.0), connection: Some(connection), clean: true, _place: place })
    }
}

impl Shared {
    async fn open(&self) -> Result<Connection, Error> {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await?;
        // It ends with the client, or every call of the client fails and says why.
        tokio::spawn(connection);
        client.batch_execute(self.settings).await?;
        let statements = try_join_all(self.statements.iter().map(|sql| client.prepare(sql))).await?;
        Ok(Connection { client, statements })
    }
}

impl Lease {
    fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("it is there until this ends")
    }

    pub(super) fn client(&self) -> &Client {
        &self.connection().client
    }

    /// The statement at this place of the pool's list.
    pub(super) fn statement(&self, at: usize) -> &Statement {
        &self.connection().statements[at]
    }

    /// From here until [`ended`](Self::ended) the connection is in the middle of something.
    pub(super) fn begun(&mut self) {
        self.clean = false;
    }

    pub(super) fn ended(&mut self) {
        self.clean = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take().filter(|_| self.clean) {
            self.pool.idle.lock().expect("no holder panics").push(connection);
        }
    }
}
