//! The pages: a few files in the program itself.

use app_kit::page::file;
use axum::Router;
use axum::routing::get;

use super::Reach;

const POLICY: &str =
    "default-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

macro_rules! files {
    ($($path:literal = $file:literal, $content_type:literal;)*) => {
        pub(super) fn routes() -> Router<Reach> {
            Router::new()$(.route($path, get(async || file($content_type, POLICY, include_str!(concat!("../page/", $file))))))*
        }
    };
}

files! {
    "/" = "index.html", "text/html; charset=utf-8";
    "/students/{student}" = "student.html", "text/html; charset=utf-8";
    "/registrar" = "registrar.html", "text/html; charset=utf-8";
    "/support" = "support.html", "text/html; charset=utf-8";
    "/support/{student}" = "support.html", "text/html; charset=utf-8";
    "/portal.css" = "portal.css", "text/css; charset=utf-8";
    "/common.js" = "common.js", "text/javascript; charset=utf-8";
    "/index.js" = "index.js", "text/javascript; charset=utf-8";
    "/student.js" = "student.js", "text/javascript; charset=utf-8";
    "/registrar.js" = "registrar.js", "text/javascript; charset=utf-8";
    "/support.js" = "support.js", "text/javascript; charset=utf-8";
}
