//! How a handler says that an attempt did not succeed, and what is to happen next.

use std::{error::Error, fmt, time::Duration};

use tidegate_api::limits;

/// An attempt that did not succeed: what went wrong, and what is to happen next.
///
/// Every type that is an [`Error`] becomes one with `?`: its message with all its causes, tried again as the job's retry
/// policy says. Boxed errors and `anyhow::Error` are no such types; [`from_dyn`](Failure::from_dyn) takes what is in them. To
/// say more, say it:
///
/// ```
/// use std::time::Duration;
/// use tidegate::Failure;
///
/// # fn check(status: u16, text: &str) -> Result<(), Failure> {
/// match status {
///     250 => Ok(()),
///     421 => Err(Failure::retry_after(Duration::from_secs(60), text).kind("smtp_421").dependency("smtp")),
///     550 => Err(Failure::fatal(text).kind("smtp_550")),
///     _ => Err(Failure::retry(text)),
/// }
/// # }
/// # assert!(check(550, "no such mailbox").unwrap_err().is_fatal());
/// ```
///
/// It is deliberately no [`std::error::Error`] itself, so that errors can become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    message: String,
    kind: Option<String>,
    dependency: Option<String>,
    next: Next,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Retry,
    RetryAfter(Duration),
    Fatal,
    Release,
}

impl Failure {
    /// Failed; tried again as the job's retry policy says, and dead after its last attempt.
    pub fn retry(message: impl fmt::Display) -> Failure {
        Failure::new(message, Next::Retry)
    }

    /// Like [`retry`](Failure::retry), with the error and its causes in one line: for errors whose type is not known.
    ///
    /// ```
    /// use std::error::Error;
    /// use tidegate::Failure;
    ///
    /// fn send() -> Result<(), Box<dyn Error + Send + Sync>> {
    ///     Err("broken pipe".into())
    /// }
    /// # fn handle() -> Result<(), Failure> {
    /// send().map_err(|error| Failure::from_dyn(&*error))?;
    /// # Ok(())
    /// # }
    /// # assert_eq!(handle().unwrap_err().message(), "broken pipe");
    /// ```
    ///
    /// Of an `anyhow::Error`, it is `Failure::from_dyn(error.as_ref())`.
    pub fn from_dyn(error: &dyn Error) -> Failure {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Many errors quote their cause already.
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = error.source();
        }
        Failure::retry(message)
    }

    /// Failed; tried again not before so long (at most 366 days). It changes when, not how often.
    pub fn retry_after(after: Duration, message: impl fmt::Display) -> Failure {
        Failure::new(message, Next::RetryAfter(after))
    }

    /// Failed for good: the job is a dead letter at once.
    pub fn fatal(message: impl fmt::Display) -> Failure {
        Failure::new(message, Next::Fatal)
    }

    /// Given back: the job is ready again for anybody, and the attempt does not count. A handler that always says so
    /// gets the job again and again.
    pub fn release() -> Failure {
        Failure::new("", Next::Release)
    }

    /// Names errors of this sort, to find and group dead letters by; what a name cannot have (it has 1 to 128 characters
    /// of `A-Z a-z 0-9 . _ : -`) becomes `_`.
    #[must_use]
    pub fn kind(mut self, kind: impl AsRef<str>) -> Failure {
        self.kind = as_name(kind.as_ref());
        self
    }

    /// Names the dependency that failed: a mail server, a bank's API. Written like a kind.
    #[must_use]
    pub fn dependency(mut self, dependency: impl AsRef<str>) -> Failure {
        self.dependency = as_name(dependency.as_ref());
        self
    }

    /// What went wrong, for people. The server keeps the first KiB.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The name for errors of this sort.
    pub fn kind_name(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    /// The dependency that failed.
    pub fn dependency_name(&self) -> Option<&str> {
        self.dependency.as_deref()
    }

    /// How long the job is left alone, if the handler said so.
    pub fn wait(&self) -> Option<Duration> {
        match self.next {
            Next::RetryAfter(after) => Some(after),
            Next::Retry | Next::Fatal | Next::Release => None,
        }
    }

    /// Whether no other attempt would help.
    pub fn is_fatal(&self) -> bool {
        self.next == Next::Fatal
    }

    /// Whether the job is only given back.
    pub fn is_release(&self) -> bool {
        self.next == Next::Release
    }

    fn new(message: impl fmt::Display, next: Next) -> Failure {
        Failure { message: message.to_string(), kind: None, dependency: None, next }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.next {
            Next::Release => f.write_str("given back"),
            Next::Retry | Next::RetryAfter(_) | Next::Fatal => f.write_str(&self.message),
        }
    }
}

/// A failure like [`Failure::retry`], with the error and its causes in one line.
impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::from_dyn(&error)
    }
}

fn as_name(text: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-');
    let name: String = text
        .chars()
        .take(*limits::NAME_BYTES.end() as usize)
        .map(|c| if fits(c) { c } else { '_' })
        .collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use tidegate_api::syntax;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("sending failed")]
    struct Outer(#[source] std::io::Error);

    fn send() -> Result<(), Failure> {
        Err(Outer(std::io::Error::other("broken pipe")))?;
        Ok(())
    }

    #[test]
    fn an_error_becomes_a_retry_with_all_its_causes() {
        let failure = send().expect_err("it failed");
        assert_eq!(failure.message(), "sending failed: broken pipe");
        assert_eq!(failure, Failure::retry("sending failed: broken pipe"));
    }

    #[test]
    fn an_error_of_unknown_type_keeps_its_causes_too() {
        let error: Box<dyn Error + Send + Sync> = Box::new(Outer(std::io::Error::other("broken pipe")));
        assert_eq!(Failure::from_dyn(&*error), send().expect_err("it failed"));
    }

    #[test]
    fn whatever_a_kind_is_called_the_server_takes_it() {
        for text in ["smtp_451", "no such mailbox", "Größe", &"x".repeat(300)] {
            let failure = Failure::retry("").kind(text);
            let name = failure.kind_name().expect("a name");
            assert!(syntax::name("kind", name).is_ok(), "{text:?} became {name:?}");
        }
        assert_eq!(Failure::retry("").kind("smtp_451").kind_name(), Some("smtp_451"));
        assert_eq!(Failure::retry("").kind("").kind_name(), None);
    }
}
