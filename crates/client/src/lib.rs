//! The Tidegate client: one typed call for every endpoint of a server.
//!
//! A [`Client`] is an address with its connections; a clone shares them and costs nothing. Every call sends one request
//! and gives back the server's answer, or an [`Error`] that keeps two things apart: a refusal, which is an answer,
//! and silence, after which the request may or may not have had its effect. Nothing is retried behind the
//! caller's back; [`Error::is_temporary`] says what may be worth it, and [`Client::with_idempotency_key`] makes it safe.
//!
//! What is not here yet: TLS and streams.
//!
//! ```no_run
//! # async fn example() -> Result<(), tidegate::Error> {
//! use tidegate::{Client, api::{enqueue::NewJob, value::RawJson}};
//!
//! let client = Client::connect("http://127.0.0.1:7420")?;
//! let payload = RawJson::of(&["ann@example.com"]).expect("a list of text is JSON");
//! let job = client.enqueue("mail", &NewJob { payload: Some(payload), ..NewJob::default() }).await?;
//! println!("{} is {}", job.id, job.state);
//! # Ok(())
//! # }
//! ```

pub use tidegate_api as api;

mod calls;
mod error;
pub mod trace;
mod transport;
mod worker;

use std::time::Duration;

use http::HeaderValue;

use crate::transport::Transport;
pub use crate::{
    error::{Error, TransportError},
    worker::{
        BatchOptions, Failure, Job, Outcome, Payload, ProgressError, Ran, RawPayload, Worker, WorkerError,
        WorkerEvent,
    },
};

/// A server to talk to. A clone shares its connections.
#[derive(Debug, Clone)]
pub struct Client {
    transport: Transport,
}

/// A text that cannot be an idempotency key: it has no or more than 255 characters, or others than printable ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key has 1 to 255 printable ASCII characters")]
pub struct NotAnIdempotencyKey;

impl Client {
    /// A client for the server at `url`, such as `http://127.0.0.1:7420`. Nothing is sent yet; a server that is
    /// not there shows at the first call.
    ///
    /// Fails with [`Error::Address`] if `url` is anything but `http://`, a host and perhaps a port.
    pub fn connect(url: &str) -> Result<Client, Error> {
        Ok(Client { transport: Transport::new(url)? })
    }

    /// A client whose every changing request carries this key: the server does the first one and answers equal ones
    /// with the same answer. Use one key for one intention, and send it again after silence.
    pub fn with_idempotency_key(&self, key: &str) -> Result<Client, NotAnIdempotencyKey> {
        let printable = key.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if !printable || !(1..=255).contains(&key.len()) {
            return Err(NotAnIdempotencyKey);
        }
        let quoted = format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""));
        let mut client = self.clone();
        client.transport.idempotency_key =
            Some(HeaderValue::try_from(quoted).map_err(|_| NotAnIdempotencyKey)?);
        Ok(client)
    }

    /// A client that waits so long for an answer, beyond what a request itself asks the server to wait. The default
    /// is 30 seconds.
    pub fn with_answer_timeout(&self, timeout: Duration) -> Client {
        let mut client = self.clone();
        client.transport.answer_timeout = timeout;
        client
    }

    /// The server's address, without a slash at the end.
    pub fn server(&self) -> &str {
        self.transport.base()
    }
}
