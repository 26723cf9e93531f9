//! One request, one answer: addresses, connections, time limits, and the sorting of answers from refusals.
//!
//! Connections are kept and reused. Nothing is retried here: whether a request may be sent twice is for the caller
//! to know.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use crate::error::{Error, TransportError, read_problem};

/// How long an answer may take beyond what the request itself asked to wait.
pub(crate) const ANSWER_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// How long the making of a connection may take; part of the answer's time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An unused connection is closed after this long; the server's own patience is longer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// A request before it has an address.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// Path and query, already encoded, beginning with a slash.
    pub(crate) path: &'a str,
    pub(crate) body: Bytes,
    /// How long the request asks the server to wait before it answers.
    pub(crate) wait: Duration,
}

/// A server's address with its connections. A clone shares them.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    /// `http://host:port`, without a slash at the end.
    base: String,
    pub(crate) answer_timeout: Duration,
    pub(crate) idempotency_key: Option<HeaderValue>,
}

impl Transport {
    pub(crate) fn new(url: &str) -> Result<Transport, Error> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .build(connector);
        let base = base_of(url)?;
        Ok(Transport { http, base, answer_timeout: ANSWER_TIMEOUT_DEFAULT, idempotency_key: None })
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Sends one request and gives back the body of a 2xx answer; anything else is an error.
    pub(crate) async fn send(&self, call: Call<'_>) -> Result<Bytes, Error> {
        let allowed = call.wait + self.answer_timeout;
        let (status, headers, body) = tokio::time::timeout(allowed, self.exchange(call))
            .await
            .map_err(|_| Error::Timeout { server: self.base.clone(), waited: allowed })??;
        if status.is_success() {
            return Ok(body);
        }
        Err(match read_problem(&headers, &body) {
            Some(problem) => Error::Refused(Box::new(problem)),
            None => self.unreadable(status.as_u16(), "no problem document came with the refusal".into()),
        })
    }

    pub(crate) fn unreadable(&self, status: u16, why: String) -> Error {
        Error::Unreadable { server: self.base.clone(), status, why }
    }

    async fn exchange(&self, call: Call<'_>) -> Result<(StatusCode, http::HeaderMap, Bytes), Error> {
        let uri: Uri = format!("{}{}", self.base, call.path)
            .parse()
            .map_err(|_| Error::Address { url: self.base.clone(), why: "it cannot be joined with a path" })?;
        let mut request = Request::builder().method(&call.method).uri(uri);
        if !call.body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(key) = self.idempotency_key.as_ref().filter(|_| call.method != Method::GET) {
            request = request.header("idempotency-key", key);
        }
        let request = request.body(Full::new(call.body)).expect("method, address and headers are all valid");
        let response = self.http.request(request).await.map_err(|error| self.broken(error.into()))?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| self.broken(error.into()))?.to_bytes();
        Ok((parts.status, parts.headers, body))
    }

    fn broken(&self, error: Box<dyn std::error::Error + Send + Sync>) -> Error {
        Error::Transport { server: self.base.clone(), cause: TransportError(error) }
    }
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
