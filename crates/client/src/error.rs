//! What can come back instead of an answer.
//!
//! Two things are kept apart, because a caller does different things about them: a [`Problem`] is the server's
//! considered refusal, with a code that a program can match on; everything else is the world between here and there,
//! and leaves open whether the request had its effect.

use std::time::Duration;

use http::header;
use tidegate_api::refusal::Problem;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server understood and said no.
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
    /// The server's refusal, if that is what this is.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Error::Refused(problem) => Some(problem),
            _ => None,
        }
    }

    /// True when the same request may succeed later without any change: nobody answered, or the server said that
    /// it is too busy or stopping.
    pub fn is_temporary(&self) -> bool {
        match self {
            Error::Refused(problem) => problem.status == 429 || problem.status >= 500,
            // What a proxy says while the server behind it is away.
            Error::Unreadable { status, .. } => *status == 429 || *status >= 500,
            Error::Transport { .. } | Error::Timeout { .. } => true,
            Error::Address { .. } => false,
        }
    }

    /// How long the server asked to be left alone, if it did.
    pub fn retry_after(&self) -> Option<Duration> {
        self.problem()?.refusal.retry_after_ms.map(Duration::from_millis)
    }
}

/// A broken or missing connection, told in one line with all its causes.
#[derive(Debug)]
pub struct TransportError(pub(crate) Box<dyn std::error::Error + Send + Sync>);

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
