//! Delivery by SMTP.
//!
//! A bounded number of connections, kept open between mails for a while. A conversation that is not over in time is
//! given up with its connection, and so is one whose caller goes away: a connection in the middle of something is never
//! used for something else. (That is why the connections are kept here and not in the SMTP library's pool, which takes
//! them back in any state.)
//!
//! Whether a server has a mail whose conversation broke off at the end cannot be known. It is sent again, under the same
//! Message-ID.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use percent_encoding::percent_decode_str;
use tokio::sync::Semaphore;
use url::Url;

use super::classify::classify;
use super::{BadAddress, Outcome, Refusal, Verdict};

/// The most connections at a time. Relays tend to allow ten or twenty from one client.
const CONNECTIONS_MAX: usize = 16;
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one mail may take, connecting included. Shorter than a job's lease by a margin, were it not extended.
const MAIL_TIMEOUT: Duration = Duration::from_secs(25);
/// A connection that was idle for longer is asked whether it is still there.
const TRUSTED_IDLE: Duration = Duration::from_secs(2);
/// A connection that was idle for longer is closed; servers close theirs after minutes.
const IDLE_MAX: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tls {
    Never,
    /// STARTTLS, or nothing is sent.
    Required,
    /// From the first byte.
    Always,
}

/// A server, and the connections to it that are idle.
pub(super) struct Smtp {
    host: String,
    port: u16,
    tls: Tls,
    tls_parameters: Option<TlsParameters>,
    credentials: Option<Credentials>,
    places: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: AsyncSmtpConnection,
    since: Instant,
}

impl Smtp {
    pub(super) fn new(url: &str) -> Result<Smtp, BadAddress> {
        let bad = |text: &str| BadAddress(format!("the mail server's address {text}"));
        let url = Url::parse(url).map_err(|error| bad(&format!("is none: {error}")))?;
        let query =
            url.query_pairs().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("&");
        let (tls, port) = match (url.scheme(), query.as_str()) {
            ("smtp", "") => (Tls::Never, 25),
            ("smtp", "tls=required") => (Tls::Required, 587),
            ("smtps", "") => (Tls::Always, 465),
            _ => return Err(bad("is smtp://host:port, smtp://host:port?tls=required or smtps://host:port")),
        };
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err(bad("ends with the port"));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| bad("has no host"))?;
        // The address of an IPv6 host is in brackets, its name is not.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let plain = |text: &str| percent_decode_str(text).decode_utf8().map(|text| text.into_owned());
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => {
                let user = plain(user).map_err(|_| bad("has a user that is not text"))?;
                let password =
                    plain(password.unwrap_or("")).map_err(|_| bad("has a password that is not text"))?;
                Some(Credentials::new(user, password))
            }
        };
        let is_here =
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if credentials.is_some() && matches!(tls, Tls::Never) && !is_here {
            return Err(bad(
                "would send the password in clear: write smtps://, or smtp://user:password@host:port?tls=required",
            ));
        }
        let tls_parameters = match tls {
            Tls::Never => None,
            Tls::Required | Tls::Always => Some(
                TlsParameters::new(host.clone())
                    .map_err(|error| bad(&format!("is of a host that TLS cannot be spoken with: {error}")))?,
            ),
        };
        Ok(Smtp {
            host,
            port: url.port().unwrap_or(port),
            tls,
            tls_parameters,
            credentials,
            places: Semaphore::new(CONNECTIONS_MAX),
            idle: Mutex::default(),
        })
    }

    pub(super) async fn deliver(&self, envelope: &Envelope, message: &[u8]) -> Outcome {
        let conversation = async {
            let mut connection = self.connection().await?;
            connection.send(envelope, message).await?;
            Ok(connection)
        };
        // Waiting for a place is part of the caller's time, not of the conversation's.
        let _place = self.places.acquire().await.expect("the semaphore is never closed");
        match tokio::time::timeout(MAIL_TIMEOUT, conversation).await {
            Ok(Ok(connection)) => {
                self.idle().push(Idle { connection, since: Instant::now() });
                Outcome::Delivered
            }
            Ok(Err(error)) => Outcome::Refused(refusal(&error)),
            Err(_) => {
                let text = format!("{self} did not answer within {} s", MAIL_TIMEOUT.as_secs());
                Outcome::Refused(Refusal {
                    code: None,
                    kind: "smtp_timeout".to_owned(),
                    text,
                    verdict: Verdict::Retry,
                })
            }
        }
    }

    /// An idle connection that is still there, or a new one.
    async fn connection(&self) -> Result<AsyncSmtpConnection, Error> {
        loop {
            let idle = {
                let mut idle = self.idle();
                idle.retain(|idle| idle.since.elapsed() < IDLE_MAX);
                idle.pop()
            };
            let Some(Idle { mut connection, since }) = idle else { return self.connect().await };
            if since.elapsed() < TRUSTED_IDLE || connection.test_connected().await {
                return Ok(connection);
            }
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let hello = ClientId::default();
        let at_once = self.tls_parameters.clone().filter(|_| self.tls == Tls::Always);
        let server = (self.host.as_str(), self.port);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(server, Some(CONNECT_TIMEOUT), &hello, at_once, None).await?;
        if let (Tls::Required, Some(parameters)) = (self.tls, &self.tls_parameters) {
            connection.starttls(parameters.clone(), &hello).await?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The server, without user and password.
impl fmt::Display for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls == Tls::Always { "smtps" } else { "smtp" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

fn refusal(error: &Error) -> Refusal {
    let source = std::error::Error::source(error).map(ToString::to_string);
    if let Some(code) = error.status() {
        let code = u16::from(code);
        let text = source.unwrap_or_default();
        let verdict = classify(code, &text);
        return Refusal { code: Some(code), kind: format!("smtp_{code}"), text, verdict };
    }
    let kind = match error {
        error if error.is_timeout() => "smtp_timeout",
        error if error.is_tls() => "smtp_tls",
        error if error.is_response() => "smtp_broken_off",
        error if error.is_client() => "smtp_unsupported",
        _ => "smtp_unreachable",
    };
    Refusal { code: None, kind: kind.to_owned(), text: error.to_string(), verdict: Verdict::Retry }
}
