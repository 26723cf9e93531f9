//! Who may ask: the service's own pages, and programs; no page of another site, and nobody under another name.
//!
//! A browser sends any site's form here if that site says so, and takes this address for the site's own if its name is
//! made to point here. The first shows in `Origin`, the second in `Host`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use app_kit::origin;
use axum::extract::{Request, State};
use axum::http::header::HOST;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::{Code, Problem};

/// The names that the service has.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// Under none but these and loopback's it is asked, if it listens on loopback only.
    known: Option<Arc<str>>,
    loopback: bool,
}

impl Names {
    pub(super) fn new(address: SocketAddr, public_url: &str) -> Self {
        let known =
            public_url.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default().into());
        Self { known, loopback: address.ip().is_loopback() }
    }

    fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
        let host = origin::text(headers, &HOST).unwrap_or_default();
        let is_known = self.known.as_deref() == Some(host) || is_loopback(host);
        if self.loopback && !is_known {
            let detail = format!(
                "The service is not called {host:?}; use its address, or start it with --public-url."
            );
            return Err(Problem::new(Code::UnknownHost, detail));
        }
        match origin::foreign(method, headers) {
            Some(origin) => {
                let detail = format!("A page of {origin} asks, and only pages of this service may.");
                Err(Problem::new(Code::ForeignOrigin, detail))
            }
            None => Ok(()),
        }
    }
}

/// Whether a host's name, perhaps with a port, is this machine's own.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Lets through who may ask.
pub(super) async fn guard(State(names): State<Names>, request: Request, next: Next) -> Response {
    match names.check(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use axum::http::header::ORIGIN;

    use super::*;

    fn check(method: Method, host: &str, origin: Option<&str>) -> Result<(), Code> {
        let names =
            Names::new("127.0.0.1:7421".parse().expect("an address"), "https://uploads.example.org/x");
        let mut headers = HeaderMap::from_iter([(HOST, HeaderValue::from_str(host).expect("a header"))]);
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_str(origin).expect("a header"));
        }
        names.check(&method, &headers).map_err(|problem| problem.code)
    }

    #[test]
    fn the_service_is_asked_under_its_own_names_only() {
        for host in ["127.0.0.1:7421", "localhost:7421", "localhost", "[::1]:7421", "uploads.example.org"] {
            assert_eq!(check(Method::GET, host, None), Ok(()), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example:7421", "10.0.0.1"] {
            assert_eq!(check(Method::GET, host, None), Err(Code::UnknownHost), "{host}");
        }
    }

    #[test]
    fn another_sites_page_is_refused_by_name() {
        let host = "127.0.0.1:7421";
        assert_eq!(check(Method::POST, host, Some("http://127.0.0.1:7421")), Ok(()));
        assert_eq!(check(Method::POST, host, Some("https://evil.example")), Err(Code::ForeignOrigin));
    }
}
