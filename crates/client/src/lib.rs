//! Tidegate from a program: give work, do work, test both.
//!
//! ```no_run
//! # async fn example() -> Result<(), tidegate::Error> {
//! use tidegate::Client;
//!
//! #[derive(serde::Serialize)]
//! struct SendEmail {
//!     user_id: u64,
//! }
//!
//! let client = Client::connect("http://127.0.0.1:7420")?;
//! let mail = client.queue("mail");
//! let job = mail.enqueue("send_email", &SendEmail { user_id: 1001 }).await?;
//! println!("{} is {}", job.id, job.state);
//! # Ok(())
//! # }
//! ```
//!
//! | to | look at |
//! |---|---|
//! | give work | [`Client::queue`], [`Queue::enqueue`], [`Queue::job`] |
//! | do work | [`Worker`], [`Job`], [`Failure`] |
//! | have the engine in your own process | `Client::embedded` (feature `embedded`) |
//! | give out what is scarce | [`Client::pool`], [`Client::grant`], [`Client::watch_pools`] |
//! | have one at a time, or n | [`Client::lock`], [`Client::semaphore`] |
//! | do several things or none of them | [`Client::transaction`] |
//! | follow a request through its jobs | [`trace`] |
//! | test your own code without a server | `testing` (feature `testing`) |
//! | ask and decide everything else | the other methods of [`Client`], one for each endpoint |
//!
//! A call has a deadline (30 s, [`Client::with_deadline`]) and is tried again within it while nobody answers. That is
//! safe: over HTTP, a call that would do something twice carries an idempotency key, the caller's
//! ([`Client::with_idempotency_key`]) or a fresh one; what workers say, in the millions, is fenced by tokens and is only tried
//! again where that comes to the same. From an embedded engine no answer is lost on the way, so it gets the caller's key or
//! none. What the engine refuses is an [`Error::Refused`] with a stable code; a full queue is not tried again, but told.
//!
//! What is not here yet: TLS, and streams of jobs.

pub use tidegate_api as api;

mod calls;
mod coalesce;
#[cfg(feature = "embedded")]
mod embedded;
mod error;
mod pools;
mod queue;
mod retry;
mod settings;
#[cfg(feature = "testing")]
pub mod testing;
pub mod trace;
mod transaction;
mod transport;
mod worker;

use std::sync::Arc;
use std::time::Duration;

pub use crate::pools::{GrantHandle, Held, Lock, Pool, PoolWatch, Wanted, Wish, wanted};
pub use crate::queue::{JobBuilder, Queue};
pub use crate::settings::NotAnIdempotencyKey;
use crate::settings::{LONGEST, Settings};
pub use crate::transaction::Transaction;
use crate::transport::Transport;
pub use crate::{
    error::{Error, TransportError},
    worker::{
        BatchOptions, Failure, Job, Outcome, Payload, ProgressError, Ran, RawPayload, Worker, WorkerError,
        WorkerEvent,
    },
};

/// Where jobs are kept: a server, or an engine in this process. A clone shares its connections.
#[derive(Debug, Clone)]
pub struct Client {
    link: Link,
    settings: Settings,
}

/// The way to the engine.
#[derive(Debug, Clone)]
enum Link {
    Http(Arc<Transport>),
    #[cfg(feature = "embedded")]
    Embedded(embedded::Embedded),
}

impl Client {
    /// A client for the server at `url`, such as `http://127.0.0.1:7420`. Nothing is sent yet; a server that is
    /// not there shows at the first call.
    ///
    /// # Errors
    /// [`Error::Address`] if `url` is anything but `http://`, a host and perhaps a port.
    pub fn connect(url: &str) -> Result<Client, Error> {
        Ok(Client { link: Link::Http(Arc::new(Transport::new(url)?)), settings: Settings::default() })
    }

    /// An engine of its own in this process, with its data in the directory `path`, which is made if it is not there.
    /// The calls are the same as with a server, and so is what they promise: an answer is on stable storage.
    ///
    /// One process at a time has a directory. [`close`](Self::close) it at the end; a process that is killed loses
    /// nothing that was answered.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("data");
    /// let client = tidegate::Client::embedded(&path).await?;
    /// client.queue("mail").enqueue("welcome", &"ann@example.org").await?;
    /// client.close().await?;
    ///
    /// let client = tidegate::Client::embedded(&path).await?;
    /// assert_eq!(client.show_queue("mail").await?.counts.ready, 1);
    /// # client.close().await?;
    /// # Ok::<(), tidegate::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Engine`]: the directory is in use or damaged, with its name and what helps.
    #[cfg(feature = "embedded")]
    pub async fn embedded(path: impl AsRef<std::path::Path>) -> Result<Client, Error> {
        let options = tidegate_engine::Options::default();
        Ok(Self::on(embedded::Embedded::open(path.as_ref(), options).await?))
    }

    #[cfg(feature = "embedded")]
    fn on(engine: embedded::Embedded) -> Client {
        Client { link: Link::Embedded(engine), settings: Settings::default() }
    }

    /// A client whose every changing request carries this key: the engine does the first one and answers equal ones
    /// with the same answer. Use one key for one intention, and send it again after silence.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # tidegate::testing::example(async |_, client| {
    /// use tidegate::api::enqueue::NewJob;
    ///
    /// let order = client.with_idempotency_key("order-7")?;
    /// let first = order.enqueue("orders", &NewJob::default()).await?;
    /// let again = order.enqueue("orders", &NewJob::default()).await?;
    /// assert_eq!(first.id, again.id);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`NotAnIdempotencyKey`].
    #[must_use = "the client itself stays without the key"]
    pub fn with_idempotency_key(&self, key: &str) -> Result<Client, NotAnIdempotencyKey> {
        Ok(Client { link: self.link.clone(), settings: self.settings.keyed(key)? })
    }

    /// A client whose calls share no key of their caller's.
    fn without_idempotency_key(&self) -> Client {
        let settings = Settings { idempotency_key: None, ..self.settings.clone() };
        Client { link: self.link.clone(), settings }
    }

    /// A client whose calls may take so long, retries included, beyond what a request itself asks the server to wait.
    /// The default is 30 seconds, the most a year. A single try may take a third of it.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// use std::time::Duration;
    /// use tidegate::Client;
    ///
    /// // Nobody is there, and nobody waits for half a minute.
    /// let client = Client::connect("http://127.0.0.1:1")?.with_deadline(Duration::from_millis(200));
    /// assert!(client.queues().await.unwrap_err().is_temporary());
    /// # Ok::<(), tidegate::Error>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Client {
        let deadline = deadline.min(LONGEST);
        let settings = Settings { deadline, answer_timeout: deadline / 3, ..self.settings.clone() };
        Client { link: self.link.clone(), settings }
    }

    /// A client with no longer deadline than this, of which a single try takes a third.
    fn at_most(&self, deadline: Duration) -> Client {
        let each = self.settings.answer_timeout.min(deadline / 3);
        let deadline = self.settings.deadline.min(deadline);
        let settings = Settings { deadline, answer_timeout: each, ..self.settings.clone() };
        Client { link: self.link.clone(), settings }
    }

    /// A client that tries once and says how that went; its one try has the whole deadline.
    #[must_use]
    pub fn without_retries(&self) -> Client {
        let deadline = self.settings.deadline;
        let settings = Settings { retries: false, answer_timeout: deadline, ..self.settings.clone() };
        Client { link: self.link.clone(), settings }
    }

    /// The server's address without a slash at the end, or the engine's directory.
    pub fn server(&self) -> &str {
        calls::either!(self, http => http.base(), engine => engine.name())
    }

    /// Ends an embedded engine in order: what was answered is on disk already, and the directory is free for the next.
    /// Of a client of a server, nothing needs ending.
    ///
    /// # Errors
    /// [`Error::Engine`] if the last writes are not known to be on disk; their callers have heard so.
    pub async fn close(&self) -> Result<(), Error> {
        calls::either!(self, _http => Ok(()), engine => engine.close().await)
    }
}
