//! One request, one answer: addresses, connections, time limits, retries, and the sorting of answers from refusals.
//!
//! Connections are kept and reused. A call that would do something again if it were said again carries an idempotency key
//! from its first try on. Workers' calls carry none of their own: see `docs/decisions/what-is-tried-again.md`.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use serde::{Serialize, de::DeserializeOwned};

use tidegate_api::pool::watch::{EVENT_STREAM, LAST_EVENT_ID};
use tidegate_api::refusal::Code;
use tidegate_api::work::{WorkAnswer, WorkRequest};

use crate::coalesce::Coalescers;
use crate::error::{Error, TransportError, read_problem};
use crate::retry::Tries;
use crate::settings::{Settings, fresh_key};

/// How long the making of a connection may take; part of the answer's time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An unused connection is closed after this long; the server's own patience is longer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// No answer is longer: a lease's, the largest, is cut at 16 MiB of payloads, and every list comes in pages.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A request before it has an address.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// Path and query, already encoded, beginning with a slash.
    pub(crate) path: &'a str,
    pub(crate) body: Bytes,
    /// How long the request asks the server to wait before it answers.
    pub(crate) wait: Duration,
    pub(crate) again: Again,
}

/// How a call may be said again of which it is not known whether it was done. Under the caller's own key, every call may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// As it is: it changes nothing, or comes to the same.
    AsItIs,
    /// Under a key that is made up for it.
    UnderKey,
    /// Not at all: another lease takes other jobs, a failure told twice is refused the second time, and for a list over several
    /// shards there is no key.
    Never,
}

/// An answer that goes on, in pieces.
pub(crate) type Stream = hyper::body::Incoming;

/// A server's address with its connections.
#[derive(Debug)]
pub(crate) struct Transport {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    /// `http://host:port`, without a slash at the end.
    base: String,
    /// Single jobs on their way into lists.
    pub(crate) coalescers: Coalescers,
}

/// The body of a request that has nothing to say.
#[derive(Serialize)]
pub(crate) struct Nothing {}

impl Transport {
    pub(crate) fn new(url: &str) -> Result<Transport, Error> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Transport { http, base: base_of(url)?, coalescers: Coalescers::default() })
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// The same connections for the tasks that send what has gathered: they must not keep their own channels open
    /// through the list of them.
    pub(crate) fn without_coalescers(&self) -> Transport {
        Transport { http: self.http.clone(), base: self.base.clone(), coalescers: Coalescers::default() }
    }

    /// Asks for what is at `path`.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        settings: &Settings,
        path: &str,
        wait: Duration,
    ) -> Result<T, Error> {
        self.read(
            settings,
            Call { method: Method::GET, path, body: Bytes::new(), wait, again: Again::AsItIs },
        )
        .await
    }

    /// Says `body` to `path`.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        settings: &Settings,
        path: &str,
        body: &(impl Serialize + ?Sized),
        wait: Duration,
    ) -> Result<T, Error> {
        self.read(
            settings,
            Call { method: Method::POST, path, body: json(body), wait, again: Again::UnderKey },
        )
        .await
    }

    /// Says `body` to `path`, which comes to the same however often it is said.
    pub(crate) async fn repeat<T: DeserializeOwned>(
        &self,
        settings: &Settings,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        let (method, wait, again) = (Method::POST, Duration::ZERO, Again::AsItIs);
        self.read(settings, Call { method, path, body: json(body), wait, again }).await
    }

    /// Says `body` to `path` without a key: not again, unless nothing was done for certain.
    pub(crate) async fn once<T: DeserializeOwned>(
        &self,
        settings: &Settings,
        path: &str,
        body: &(impl Serialize + ?Sized),
    ) -> Result<T, Error> {
        let (method, wait, again) = (Method::POST, Duration::ZERO, Again::Never);
        self.read(settings, Call { method, path, body: json(body), wait, again }).await
    }

    /// Says what a worker has to say.
    pub(crate) async fn work(
        &self,
        settings: &Settings,
        path: &str,
        request: &WorkRequest<'_>,
        wait: Duration,
    ) -> Result<WorkAnswer, Error> {
        let WorkRequest { complete: _, fail, extend: _, release, lease } = request;
        let comes_to_the_same = fail.is_none() && release.is_none() && lease.is_none();
        let again = if comes_to_the_same { Again::AsItIs } else { Again::Never };
        self.read(settings, Call { method: Method::POST, path, body: json(request), wait, again }).await
    }

    /// Puts `body` at `path`.
    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        settings: &Settings,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        self.read(
            settings,
            Call {
                method: Method::PUT,
                path,
                body: json(body),
                wait: Duration::ZERO,
                again: Again::UnderKey,
            },
        )
        .await
    }

    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        settings: &Settings,
        call: Call<'_>,
    ) -> Result<T, Error> {
        let answer = self.send(settings, call).await?;
        serde_json::from_slice(&answer).map_err(|error| self.unreadable(200, error.to_string()))
    }

    /// Sends one request, again if need be, and gives back the body of a 2xx answer; anything else is an error.
    pub(crate) async fn send(&self, settings: &Settings, call: Call<'_>) -> Result<Bytes, Error> {
        let key = match &settings.idempotency_key {
            _ if call.method == Method::GET => None,
            Some(key) => Some(quoted(key)),
            None => (call.again == Again::UnderKey).then(|| quoted(&fresh_key())),
        };
        let comes_to_the_same = key.is_some() || call.again == Again::AsItIs;
        let mut tries = Tries::new(settings, call.wait);
        loop {
            match self.try_once(&call, key.as_ref(), tries.time()).await {
                Ok(answer) => return Ok(answer),
                Err(error) if comes_to_the_same || nothing_was_done(&error) => tries.after(error).await?,
                Err(error) => return Err(error),
            }
        }
    }

    async fn try_once(
        &self,
        call: &Call<'_>,
        key: Option<&HeaderValue>,
        time: Duration,
    ) -> Result<Bytes, Error> {
        let (status, headers, body) = tokio::time::timeout(time, self.exchange(call, key))
            .await
            .map_err(|_| Error::Timeout { server: self.base.clone(), waited: time })??;
        if status.is_success() {
            return Ok(body);
        }
        Err(self.refusal(status, &headers, &body))
    }

    /// What an answer that is no success says.
    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
        match read_problem(headers, body) {
            Some(problem) => Error::Refused(Box::new(problem)),
            None => self.unreadable(status.as_u16(), "no problem document came with the refusal".into()),
        }
    }

    pub(crate) fn unreadable(&self, status: u16, why: String) -> Error {
        Error::Unreadable { server: self.base.clone(), status, why }
    }

    /// Opens a stream of server-sent events that goes on behind what was `seen`.
    pub(crate) async fn stream(&self, path: &str, seen: &[u8], time: Duration) -> Result<Stream, Error> {
        let mut request = Request::builder().uri(self.uri(path)?).header(header::ACCEPT, EVENT_STREAM);
        if !seen.is_empty() {
            request = request.header(LAST_EVENT_ID, seen);
        }
        let request = request.body(Full::new(Bytes::new())).expect("address and headers are all valid");
        let timed_out = |_| Error::Timeout { server: self.base.clone(), waited: time };
        let opening = tokio::time::timeout(time, self.http.request(request)).await.map_err(timed_out)?;
        let (parts, body) = opening.map_err(|error| self.broken(error.into()))?.into_parts();
        if parts.status.is_success() {
            return Ok(body);
        }
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect();
        let body = tokio::time::timeout(time, body).await.map_err(timed_out)?;
        let body = body.map_err(|error| self.broken(error))?.to_bytes();
        Err(self.refusal(parts.status, &parts.headers, &body))
    }

    fn uri(&self, path: &str) -> Result<Uri, Error> {
        let unfit = |_| Error::Address { url: self.base.clone(), why: "it cannot be joined with a path" };
        format!("{}{path}", self.base).parse().map_err(unfit)
    }

    async fn exchange(
        &self,
        call: &Call<'_>,
        key: Option<&HeaderValue>,
    ) -> Result<(StatusCode, HeaderMap, Bytes), Error> {
        let mut request = Request::builder().method(&call.method).uri(self.uri(call.path)?);
        if !call.body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let request =
            request.body(Full::new(call.body.clone())).expect("method, address and headers are all valid");
        let response = self.http.request(request).await.map_err(|error| self.broken(error.into()))?;
        let (parts, body) = response.into_parts();
        match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
            Ok(body) => Ok((parts.status, parts.headers, body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => {
                let why = format!("it has more than {ANSWER_BYTES_MAX} bytes");
                Err(self.unreadable(parts.status.as_u16(), why))
            }
            Err(error) => Err(self.broken(error)),
        }
    }

    pub(crate) fn broken(&self, error: Box<dyn std::error::Error + Send + Sync>) -> Error {
        Error::Transport { server: self.base.clone(), cause: TransportError(error.into()) }
    }
}

/// Whether it is certain that the call was not done: nothing was sent, or the server says so.
fn nothing_was_done(error: &Error) -> bool {
    match error {
        Error::Refused(problem) => problem.refusal.code != Code::OutcomeUnknown,
        Error::Transport { cause, .. } => cause.0.downcast_ref().is_some_and(legacy::Error::is_connect),
        _ => false,
    }
}

/// The header's value: a structured-field string, as the IETF's draft has it.
fn quoted(key: &str) -> HeaderValue {
    let quoted = format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""));
    HeaderValue::try_from(quoted).expect("a key is printable ASCII")
}

/// Where jobs for a queue go.
pub(crate) fn enqueue_path(queue: &str) -> String {
    format!("/v1/queues/{}/jobs", encode(queue))
}

fn json(body: &(impl Serialize + ?Sized)) -> Bytes {
    serde_json::to_vec(body).expect("wire types are JSON").into()
}

/// `http://host:port` out of what a person may write, or what is wrong with it.
fn base_of(url: &str) -> Result<String, Error> {
    let wrong = |why| Error::Address { url: url.to_owned(), why };
    let uri: Uri = url.parse().map_err(|_| wrong("it is no URL"))?;
    let authority = uri.authority().ok_or_else(|| wrong("it has no host; write http://host:port"))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => return Err(wrong("https is not supported; use http, behind a proxy if need be")),
        _ => return Err(wrong("it does not begin with http://")),
    }
    if authority.as_str().contains('@') {
        return Err(wrong("it carries a user name, and the server knows none"));
    }
    if uri.path() != "/" || uri.query().is_some() {
        return Err(wrong("it has a path or a query; only host and port belong here"));
    }
    Ok(format!("http://{authority}"))
}

/// Percent-encodes what goes into one segment of a path or one value of a query.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                encoded.push(byte as char);
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_address(url: &str, expected: Result<&str, &str>) {
        let found = base_of(url).map_err(|error| error.to_string());
        match (found, expected) {
            (Ok(base), Ok(expected)) => assert_eq!(base, expected),
            (Err(message), Err(part)) => assert!(message.contains(part), "{message:?} does not say {part:?}"),
            (found, expected) => panic!("{url:?}: found {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        check_address("http://127.0.0.1:7420", Ok("http://127.0.0.1:7420"));
        check_address("http://127.0.0.1:7420/", Ok("http://127.0.0.1:7420"));
        check_address("http://[::1]:7420", Ok("http://[::1]:7420"));
    }

    #[test]
    fn a_wrong_address_is_told_what_is_wrong() {
        check_address("127.0.0.1:7420", Err("http://"));
        check_address("https://example.com", Err("https is not supported"));
        check_address("http://example.com/v1", Err("only host and port"));
        check_address("http://me@example.com", Err("user name"));
        check_address("not a url", Err("no URL"));
    }

    #[test]
    fn a_name_that_is_no_name_cannot_change_the_path() {
        assert_eq!(encode("a/b?c d"), "a%2Fb%3Fc%20d");
        assert_eq!(encode("mail.eu:high-1_2"), "mail.eu:high-1_2");
    }
}
