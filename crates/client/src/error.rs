//! What can come back instead of an answer.
//!
//! Two things are kept apart, because a caller does different things about them: a refusal is an answer, considered and
//! with a code that a program can match on; everything else is the world between here and there, and leaves open
//! whether the request had its effect.

use std::sync::Arc;
use std::time::Duration;

use http::header;
use tidegate_api::refusal::{Code, Problem, Refusal, Refused};

use crate::settings::NotAnIdempotencyKey;

/// Why a call has no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine understood and said no. [`Error::refusal`] is the value to match on.
    #[error("{}", .0.refusal)]
    Refused(Box<Problem>),

    /// The address given to [`Client::connect`](crate::Client::connect) is not one this client can use.
    #[error("{url:?} is not a server's address: {why}")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },

    /// A payload that cannot be written as JSON. Nothing was sent.
    #[error("the payload of a job of kind {kind:?} cannot be written as JSON: {why}")]
    Payload {
        /// The job's kind.
        kind: String,
        /// What the serializer says.
        why: String,
    },

    /// An idempotency key that cannot be one. Nothing was sent.
    #[error(transparent)]
    IdempotencyKey(#[from] NotAnIdempotencyKey),

    /// The embedded engine did not open or did not close well.
    #[error("{0}")]
    Engine(String),

    /// No whole answer came: no connection, or it broke on the way. The request may or may not have had its effect.
    #[error("no answer from {server}: {cause}")]
    Transport {
        /// The server's address.
        server: String,
        /// What the connection reported, as one line.
        cause: TransportError,
    },

    /// No answer within the time allowed. The request may or may not have had its effect.
    #[error("no answer from {server} within {} ms", waited.as_millis())]
    Timeout {
        /// The server's address.
        server: String,
        /// How long the call waited.
        waited: Duration,
    },

    /// An answer came that this client cannot read: another kind of server, or a newer one.
    #[error("{server} answered {status} with something that is not Tidegate's: {why}")]
    Unreadable {
        /// The server's address.
        server: String,
        /// The answer's status.
        status: u16,
        /// What could not be read.
        why: String,
    },
}

impl Error {
    /// The refusal as it was sent, if this is one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Error::Refused(problem) => Some(problem),
            _ => None,
        }
    }

    /// The refusal, if this is one: a value with a `code` to match on, the field it is about, and when to come back.
    ///
    /// ```
    /// use tidegate::{Error, api::refusal::Code};
    ///
    /// /// What a shop does when its queue is full: say so to the customer. Anything else is a fault.
    /// fn busy(outcome: Result<(), Error>) -> Result<bool, Error> {
    ///     match outcome {
    ///         Err(error) if error.code() == Some(Code::QueueFull) => Ok(true),
    ///         other => other.map(|()| false),
    ///     }
    /// }
    /// # let refused = tidegate::api::refusal::Refusal::new(Code::QueueFull, "The queue is full.");
    /// # assert!(busy(Err(refused.into())).unwrap());
    /// ```
    pub fn refusal(&self) -> Option<&Refusal> {
        self.problem().map(|problem| &problem.refusal)
    }

    /// The refusal's code, if this is a refusal.
    pub fn code(&self) -> Option<Code> {
        self.refusal().map(|refusal| refusal.code)
    }

    /// True when the same request may succeed later without any change: nobody answered, or the server said that
    /// it is too busy or stopping.
    pub fn is_temporary(&self) -> bool {
        match self {
            Error::Refused(problem) => problem.status == 429 || problem.status >= 500,
            // What a proxy says while the server behind it is away.
            Error::Unreadable { status, .. } => *status == 429 || *status >= 500,
            Error::Transport { .. } | Error::Timeout { .. } => true,
            Error::Address { .. } | Error::Payload { .. } | Error::IdempotencyKey(_) | Error::Engine(_) => {
                false
            }
        }
    }

    /// How long the server asked to be left alone, if it did.
    pub fn retry_after(&self) -> Option<Duration> {
        self.refusal()?.retry_after_ms.map(Duration::from_millis)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Error::Refused(Box::new(refusal.into()))
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        (*refused).into()
    }
}

/// A broken or missing connection, told in one line with all its causes.
#[derive(Debug, Clone)]
pub struct TransportError(pub(crate) Arc<dyn std::error::Error + Send + Sync>);

impl std::fmt::Display for TransportError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

// The causes are part of the line above; reporting them as sources too would print them twice.
impl std::error::Error for TransportError {}

/// Reads a refusal from its headers and body, or `None` if the body is no problem document.
///
/// Where the document itself does not say when to come back, the `Retry-After` header does; a proxy in between may
/// have added it.
pub(crate) fn read_problem(headers: &http::HeaderMap, body: &[u8]) -> Option<Problem> {
    let mut problem: Problem = serde_json::from_slice(body).ok()?;
    if problem.refusal.retry_after_ms.is_none() {
        problem.refusal.retry_after_ms =
            retry_after_header(headers).map(|seconds| seconds.saturating_mul(1_000));
    }
    Some(problem)
}

fn retry_after_header(headers: &http::HeaderMap) -> Option<u64> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()
}
