//! The page: three files in the program itself.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};

const POLICY: &str = "default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

pub(super) async fn index() -> Response {
    file("text/html; charset=utf-8", include_str!("../page/index.html"))
}

pub(super) async fn css() -> Response {
    file("text/css; charset=utf-8", include_str!("../page/app.css"))
}

pub(super) async fn js() -> Response {
    file("text/javascript; charset=utf-8", include_str!("../page/app.js"))
}

fn file(content_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        // A new version of the program has a new page.
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}
