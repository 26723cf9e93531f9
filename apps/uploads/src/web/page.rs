//! The page: three files in the program itself.

use app_kit::page::file;
use axum::response::Response;

const POLICY: &str = "default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

pub(super) async fn index() -> Response {
    file("text/html; charset=utf-8", POLICY, include_str!("../page/index.html"))
}

pub(super) async fn css() -> Response {
    file("text/css; charset=utf-8", POLICY, include_str!("../page/app.css"))
}

pub(super) async fn js() -> Response {
    file("text/javascript; charset=utf-8", POLICY, include_str!("../page/app.js"))
}
