//! The service's web: routes, and the listener in front of them.
//!
//! What is not here: any rule about uploads. Each handler reads its request, asks the app, and writes down what it says.

mod admin;
mod events;
mod listen;
mod page;
mod receive;

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

use crate::app::{App, unreadable};
use crate::images::Size;
use crate::problem::{Code, Problem};
use crate::staff::Staff;
use crate::status::Status;

pub use listen::{Listener, serve};

/// Uploads that one list shows at most.
const LIST_MAX: usize = 200;
const LIST_DEFAULT: usize = 50;

/// What every handler can reach.
#[derive(Clone, Debug)]
pub struct Reach {
    /// The service.
    pub app: Arc<App>,
    /// Its workers.
    pub staff: Arc<Staff>,
}

/// The routes. With `admin`, also those by which a load test looks behind the counter.
pub fn router(reach: Reach, admin: bool) -> Router {
    let mut router = Router::new()
        .route("/", get(page::index))
        .route("/app.css", get(page::css))
        .route("/app.js", get(page::js))
        .route("/uploads", post(receive::receive).get(list))
        .route("/uploads/{id}", get(show))
        .route("/uploads/{id}/retry", post(retry))
        .route("/uploads/{id}/original", get(original))
        .route("/uploads/{id}/thumbnails/{size}", get(thumbnail))
        .route("/events", get(events::events))
        .route("/healthz", get(health))
        .fallback(nothing);
    if admin {
        router = router
            .route("/admin/backlog", get(admin::backlog))
            .route("/admin/account", get(admin::account))
            .route("/admin/workers", post(admin::workers));
    }
    router.with_state(reach)
}

#[derive(Deserialize)]
struct ListQuery {
    limit: Option<usize>,
}

async fn list(State(reach): State<Reach>, Query(query): Query<ListQuery>) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(LIST_DEFAULT).clamp(1, LIST_MAX);
    let uploads = reach.app.newest(limit).await?;
    Ok(Json(json!({ "uploads": uploads })).into_response())
}

async fn show(State(reach): State<Reach>, Path(id): Path<String>) -> Result<Json<Status>, Problem> {
    let upload = reach.app.upload(&id)?;
    reach.app.status(&upload).await.map(Json)
}

async fn retry(State(reach): State<Reach>, Path(id): Path<String>) -> Result<Response, Problem> {
    let upload = reach.app.upload(&id)?;
    let status = reach.app.retry(&upload).await?;
    Ok((StatusCode::ACCEPTED, Json(status)).into_response())
}

async fn original(State(reach): State<Reach>, Path(id): Path<String>) -> Result<Response, Problem> {
    let upload = reach.app.upload(&id)?;
    let app = Arc::clone(&reach.app);
    let original = off_the_runtime(move || app.store.image(upload.id)).await;
    let original = original.map_err(|error| unreadable(&error))?.ok_or_else(not_there)?;
    Ok(file(&original.content_type, original.bytes))
}

async fn thumbnail(
    State(reach): State<Reach>,
    Path((id, size)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let upload = reach.app.upload(&id)?;
    let size = Size::from_name(&size).ok_or_else(not_there)?;
    let app = Arc::clone(&reach.app);
    let thumbnail = off_the_runtime(move || app.store.thumbnail(upload.id, size)).await;
    let thumbnail = thumbnail.map_err(|error| unreadable(&error))?.ok_or_else(not_there)?;
    Ok(file(&thumbnail.content_type, thumbnail.bytes))
}

/// Reading a file that is not in the page cache waits for the disk, which the threads of the runtime must not.
async fn off_the_runtime<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(read).await.expect("reading does not panic")
}

/// A file that never changes. It is somebody's, and judged only by its first bytes: a browser must not take it for a page.
fn file(content_type: &str, bytes: axum::body::Bytes) -> Response {
    let content_type =
        HeaderValue::from_str(content_type).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let headers = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
        (axum::http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (
            axum::http::header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; sandbox"),
        ),
    ];
    (headers, bytes).into_response()
}

/// Alive, and able to keep an image.
async fn health(State(reach): State<Reach>) -> Result<&'static str, Problem> {
    match reach.app.store.failure() {
        None => Ok("ok\n"),
        Some(failure) => {
            Err(Problem::new(Code::Busy, format!("The store has failed: {failure}. Restart the service.")))
        }
    }
}

async fn nothing() -> Problem {
    not_there()
}

fn not_there() -> Problem {
    Problem::new(Code::NotFound, "Nothing is here.")
}
