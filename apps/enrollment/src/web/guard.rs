//! Who may change something: the portal's own pages, and programs; no page of another site. A browser says in `Origin` whose
//! page asks.

use axum::extract::Request;
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Bad;

fn is_foreign(method: &Method, headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value: &axum::http::HeaderValue| value.to_str().unwrap_or("?"));
    let host = text(HOST).unwrap_or_default();
    let own = |origin: &str| origin.split_once("://").is_some_and(|(_, name)| name == host);
    !matches!(*method, Method::GET | Method::HEAD) && text(ORIGIN).is_some_and(|origin| !own(origin))
}

/// Lets through who may ask.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    if is_foreign(request.method(), request.headers()) {
        let words = "A page of another site asks, and only pages of this portal may.".to_owned();
        return Bad(StatusCode::FORBIDDEN, "foreign_origin", words).into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn another_sites_page_changes_nothing() {
        let foreign = |method: Method, origin: Option<&'static str>| {
            let mut headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("127.0.0.1:7422"))]);
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::from_static(origin));
            }
            is_foreign(&method, &headers)
        };
        assert!(!foreign(Method::POST, None));
        assert!(!foreign(Method::POST, Some("http://127.0.0.1:7422")));
        assert!(!foreign(Method::GET, Some("https://evil.example")));
        for origin in ["https://evil.example", "http://127.0.0.1:8000", "null"] {
            assert!(foreign(Method::POST, Some(origin)), "{origin}");
        }
    }
}
