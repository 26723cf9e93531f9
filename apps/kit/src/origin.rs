//! Whose page asks. A browser sends any site's form here if that site says so, and says in `Origin` whose page it was.

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, Method};

/// The `Origin` of a page of another site that would change something; `None` for a page of this one, for a program, and
/// for whoever only reads.
#[must_use]
pub fn foreign<'a>(method: &Method, headers: &'a HeaderMap) -> Option<&'a str> {
    let host = text(headers, &HOST).unwrap_or_default();
    let own = |origin: &str| origin.split_once("://").is_some_and(|(_, name)| name == host);
    match *method {
        Method::GET | Method::HEAD => None,
        _ => text(headers, &ORIGIN).filter(|origin| !own(origin)),
    }
}

/// A header's words; `?`, which nobody is called, if they are none.
#[must_use]
pub fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn another_sites_page_changes_nothing() {
        let is_foreign = |method: Method, origin: Option<&'static str>| {
            let mut headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("127.0.0.1:7422"))]);
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::from_static(origin));
            }
            foreign(&method, &headers).is_some()
        };
        assert!(!is_foreign(Method::POST, None));
        assert!(!is_foreign(Method::POST, Some("http://127.0.0.1:7422")));
        assert!(!is_foreign(Method::GET, Some("https://evil.example")));
        for origin in ["https://evil.example", "http://127.0.0.1:8000", "null"] {
            assert!(is_foreign(Method::POST, Some(origin)), "{origin}");
        }
    }
}
