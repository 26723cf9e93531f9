//! Delivering an email, once.
//!
//! A **mailer** delivers in one of two ways: into a Maildir on disk (`maildir.rs`), or by SMTP (`smtp.rs`). Each
//! mail has an id that follows from what its job is about. A job may run more than once, when its worker dies or its
//! answer is lost; the Maildir sees by the id that it has the mail and does nothing, and a mail that travels carries
//! the id in its Message-ID, so that the receiving side can drop the second.
//!
//! It promises that `Delivered` means: on stable storage, or accepted by the server. It does not retry; it says how the
//! queue should ([`Verdict`], decided in `classify.rs`).

mod classify;
mod maildir;
mod message;
mod smtp;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lettre::message::Mailbox;

pub use classify::classify;
use maildir::Maildir;
use smtp::Smtp;

/// Whom mails are from unless something else is said.
const FROM: &str = "Uploads <uploads@localhost>";

/// An email to deliver. [`Mail::about_upload`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    id: String,
    to: String,
    subject: String,
    text: String,
    sent_at: SystemTime,
}

/// What came of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the mailbox, durably, or the server has it.
    Delivered,
    /// The mailbox had it already. Nothing was done.
    AlreadyThere,
    /// It was not delivered.
    Refused(Refusal),
}

/// Why a mail was not delivered, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The server's reply code, if it was a server that refused.
    pub code: Option<u16>,
    /// A stable word for grouping: `smtp_451`, `smtp_timeout`, `smtp_unreachable`, `bad_address`, `mailbox_full`, …
    pub kind: String,
    /// What was said.
    pub text: String,
    /// What to do.
    pub verdict: Verdict,
}

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As the queue's retry policy says.
    Retry,
    /// After so long.
    RetryAfter(Duration),
    /// Never.
    Fatal,
}

/// See the module. A clone is another handle on the same mailer.
#[derive(Clone)]
pub struct Mailer {
    way: Way,
    from: Mailbox,
}

#[derive(Clone)]
enum Way {
    Maildir(Arc<Maildir>),
    Smtp(Arc<Smtp>),
}

/// The text is no address of a mail server, or no mail address. It is not repeated: it may have a password in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadAddress(pub(crate) String);

impl Mailer {
    /// A mailer into a Maildir, which is made if it is not there. Each delivery first waits for `slow`, without
    /// occupying a thread: a slow mail server for those who want to see one.
    ///
    /// # Errors
    /// The system's.
    pub fn maildir(directory: &Path, slow: Duration) -> io::Result<Mailer> {
        Ok(Mailer { way: Way::Maildir(Arc::new(Maildir::open(directory, slow)?)), from: default_from() })
    }

    /// A mailer to a server: `smtp://host:port`, `smtps://host:port`, or `smtp://host:port?tls=required` for
    /// STARTTLS; with `user:password@` before the host if it wants that. Nothing is sent yet.
    ///
    /// # Errors
    /// [`BadAddress`] if it is none of these.
    pub fn smtp(url: &str) -> Result<Mailer, BadAddress> {
        Ok(Mailer { way: Way::Smtp(Arc::new(Smtp::new(url)?)), from: default_from() })
    }

    /// The same mailer with another sender: `uploads@example.org` or `Uploads <uploads@example.org>`.
    ///
    /// # Errors
    /// [`BadAddress`] if it is no address.
    pub fn from(self, sender: &str) -> Result<Mailer, BadAddress> {
        let from = sender.parse().map_err(|error| BadAddress(format!("{sender:?} is no sender: {error}")))?;
        Ok(Mailer { from, ..self })
    }

    /// Whether mails leave this machine, to real people.
    #[must_use]
    pub fn goes_out(&self) -> bool {
        matches!(self.way, Way::Smtp(_))
    }

    /// Delivers a mail, or says why not.
    pub async fn deliver(&self, mail: &Mail) -> Outcome {
        let message = match mail.message(&self.from) {
            Ok(message) => message,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        match &self.way {
            Way::Maildir(maildir) => maildir.deliver(&mail.id, &message.formatted()).await,
            Way::Smtp(smtp) => smtp.deliver(message.envelope(), &message.formatted()).await,
        }
    }
}

/// Where it delivers to, without user and password.
impl fmt::Display for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.way {
            Way::Maildir(maildir) => write!(f, "{}", maildir.directory().display()),
            Way::Smtp(smtp) => write!(f, "{smtp}"),
        }
    }
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailer({self})")
    }
}

/// Whether a mail can be addressed so.
#[must_use]
pub fn is_address(text: &str) -> bool {
    text.parse::<lettre::Address>().is_ok()
}

fn default_from() -> Mailbox {
    FROM.parse().expect("it is an address")
}
