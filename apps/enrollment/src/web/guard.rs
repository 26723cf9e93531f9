//! Who may change something: the portal's own pages, and programs; no page of another site.

use app_kit::origin;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Bad;

/// Lets through who may ask.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    if origin::foreign(request.method(), request.headers()).is_some() {
        let words = "A page of another site asks, and only pages of this portal may.".to_owned();
        return Bad(StatusCode::FORBIDDEN, "foreign_origin", words).into_response();
    }
    next.run(request).await
}
