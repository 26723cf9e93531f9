//! The service's web: routes, and how much of it is let in.
//!
//! What is not here: any rule about uploads. Each handler reads its request, asks the app, and writes down what it says.

mod admin;
mod events;
mod guard;
mod page;
mod receive;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use app_kit::listen::Bounds;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use crate::app::{App, unreadable};
use crate::images::Size;
use crate::problem::{Code, Problem};
use crate::staff::Staff;
use crate::status::Status;

/// How much is taken in at once.
pub const BOUNDS: Bounds =
    Bounds { connections: 4_096, body_bytes: receive::IMAGE_BYTES_MAX + receive::FORM_BYTES };

/// Uploads that one list shows at most.
const LIST_MAX: usize = 200;
const LIST_DEFAULT: usize = 50;
/// Room that a thumbnail takes; the largest of them take a little more.
const THUMBNAIL_BYTES: usize = 128 << 10;

/// Bytes of forms that are being received and of files that are being sent, all connections together.
const FORMS_BYTES_MAX: usize = 256 << 20;
const FILES_BYTES_MAX: usize = 256 << 20;

/// What every handler can reach.
#[derive(Clone, Debug)]
pub struct Reach {
    app: Arc<App>,
    staff: Arc<Staff>,
    /// Room for forms, in KiB.
    forms: Arc<Semaphore>,
    /// Room for files, in KiB.
    files: Arc<Semaphore>,
    /// Places for pages that look on.
    pages: Arc<Semaphore>,
    newest: Arc<Mutex<Newest>>,
}

/// The newest uploads, as they were when somebody last asked.
#[derive(Debug, Default)]
struct Newest {
    looked_at: Option<Instant>,
    uploads: Arc<[Status]>,
}

impl Reach {
    /// The service and its workers, with nothing under way.
    #[must_use]
    pub fn new(app: Arc<App>, staff: Arc<Staff>) -> Self {
        Self {
            app,
            staff,
            forms: Arc::new(Semaphore::new(FORMS_BYTES_MAX >> 10)),
            files: Arc::new(Semaphore::new(FILES_BYTES_MAX >> 10)),
            pages: Arc::new(Semaphore::new(events::PAGES_MAX)),
            newest: Arc::default(),
        }
    }

    /// The newest uploads as they are now or a little later. However many pages ask at the same time, the list is made
    /// once after the last of them asked: looking on must not crowd out uploading.
    async fn newest(&self) -> Result<Arc<[Status]>, Problem> {
        let asked = Instant::now();
        let mut newest = self.newest.lock().await;
        if newest.looked_at.is_none_or(|looked_at| looked_at < asked) {
            let looked_at = Instant::now();
            newest.uploads = self.app.newest(LIST_MAX).await?.into();
            newest.looked_at = Some(looked_at);
        }
        Ok(Arc::clone(&newest.uploads))
    }
}

/// Room for so many bytes, at once or not at all: the house is full, and says so.
fn room(semaphore: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
    let kib = u32::try_from(bytes.div_ceil(1_024)).unwrap_or(u32::MAX);
    Arc::clone(semaphore)
        .try_acquire_many_owned(kib)
        .map_err(|_| Problem::new(Code::Busy, "Too many bytes are under way; come back in a moment."))
}

/// The routes. With `admin`, also those by which a load test looks behind the counter.
pub fn router(reach: Reach, address: SocketAddr, admin: bool) -> Router {
    let names = guard::Names::new(address, &reach.app.public_url);
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
        .route("/healthz", get(health));
    if admin {
        router = router
            .route("/admin/backlog", get(admin::backlog))
            .route("/admin/account", get(admin::account))
            .route("/admin/workers", post(admin::workers));
    }
    router
        .fallback(async || not_there())
        .method_not_allowed_fallback(async || {
            Problem::new(Code::MethodNotAllowed, "There is something here, and it does not take this method.")
        })
        .layer(middleware::from_fn_with_state(names, guard::guard))
        .with_state(reach)
}

#[derive(Deserialize)]
struct ListQuery {
    limit: Option<usize>,
}

async fn list(
    State(reach): State<Reach>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|_| {
        Problem::new(
            Code::InvalidQuery,
            format!("`limit` is a number from 1 to {LIST_MAX}, as in /uploads?limit=50."),
        )
    })?;
    let limit = query.limit.unwrap_or(LIST_DEFAULT).clamp(1, LIST_MAX);
    let uploads = reach.newest().await?;
    let uploads = &uploads[..limit.min(uploads.len())];
    Ok(Json(json!({ "uploads": uploads })).into_response())
}

/// What stands in an address; what cannot be read there names nothing.
type InPath<T> = Result<Path<T>, PathRejection>;

async fn show(State(reach): State<Reach>, id: InPath<String>) -> Result<Json<Status>, Problem> {
    let Path(id) = id.map_err(|_| not_there())?;
    let upload = reach.app.upload(&id)?;
    reach.app.status(&upload).await.map(Json)
}

async fn retry(State(reach): State<Reach>, id: InPath<String>) -> Result<Response, Problem> {
    let Path(id) = id.map_err(|_| not_there())?;
    let upload = reach.app.upload(&id)?;
    let status = reach.app.retry(&upload).await?;
    Ok((StatusCode::ACCEPTED, Json(status)).into_response())
}

async fn original(State(reach): State<Reach>, id: InPath<String>) -> Result<Response, Problem> {
    let Path(id) = id.map_err(|_| not_there())?;
    let upload = reach.app.upload(&id)?;
    let room = room(&reach.files, upload.bytes as usize)?;
    let app = Arc::clone(&reach.app);
    let original = off_the_runtime(move || app.store.image(upload.id)).await;
    let original = original.map_err(|error| unreadable(&error))?.ok_or_else(not_there)?;
    Ok(file(&original.content_type, original.bytes, room))
}

async fn thumbnail(State(reach): State<Reach>, path: InPath<(String, String)>) -> Result<Response, Problem> {
    let Path((id, size)) = path.map_err(|_| not_there())?;
    let upload = reach.app.upload(&id)?;
    let size = Size::from_name(&size).ok_or_else(not_there)?;
    let room = room(&reach.files, THUMBNAIL_BYTES)?;
    let app = Arc::clone(&reach.app);
    let thumbnail = off_the_runtime(move || app.store.thumbnail(upload.id, size)).await;
    let thumbnail = thumbnail.map_err(|error| unreadable(&error))?.ok_or_else(not_there)?;
    Ok(file(&thumbnail.content_type, thumbnail.bytes, room))
}

/// Reading a file that is not in the page cache waits for the disk, which the threads of the runtime must not.
async fn off_the_runtime<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(read).await.expect("reading does not panic")
}

/// A file that never changes. It is somebody's, and judged only by its first bytes: a browser must not take it for a page.
/// Its room is free again when the last byte is sent.
fn file(content_type: &str, bytes: Bytes, room: OwnedSemaphorePermit) -> Response {
    let length = bytes.len();
    let body = stream::once(async move {
        let _room = room;
        Ok::<_, Infallible>(bytes)
    });
    let content_type =
        HeaderValue::from_str(content_type).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let headers = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable")),
        (CONTENT_LENGTH, HeaderValue::from(length)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox")),
    ];
    (headers, Body::from_stream(body)).into_response()
}

/// Alive, able to keep an image, and at work.
async fn health(State(reach): State<Reach>) -> Result<&'static str, Problem> {
    if let Some(failure) = reach.app.store.failure() {
        let detail = format!("The store has failed: {failure}. Restart the service.");
        return Err(Problem::new(Code::Busy, detail));
    }
    match reach.staff.failing() {
        0 => Ok("ok\n"),
        failing => {
            let detail = format!(
                "Uploads are accepted, and {failing} of the 3 workers cannot run; the service's log says why."
            );
            Err(Problem::new(Code::Busy, detail))
        }
    }
}

fn not_there() -> Problem {
    Problem::new(Code::NotFound, "Nothing is here.")
}
