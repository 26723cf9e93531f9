//! The portal's web: routes, and what every answer has in common.
//!
//! What is not here: rules, words of refusals, and knowing who somebody is. A student is whoever says the number; a
//! real portal stands behind the university's own login.

mod body;
mod guard;
mod page;
mod registrar;
mod student;
mod watch;

use std::sync::Arc;

use app_kit::listen::Bounds;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router, middleware};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::app::App;
use crate::catalogue::{SectionId, StudentId};
use crate::downstream::{Health, System, now};
use crate::last_seen::AWAY;
use crate::refusal::Told;
use crate::seats::Refused;

use self::body::{Asked, Body};

/// How much is taken in at once. A body is a section's name, or a list of them.
pub const BOUNDS: Bounds = Bounds { connections: 16_384, body_bytes: 256 << 10 };

/// What every handler can reach.
#[derive(Clone, Debug)]
pub struct Reach {
    app: Arc<App>,
    /// Places for pages that look on.
    watchers: Arc<Semaphore>,
    /// Courses as JSON, which do not change.
    courses: Arc<Value>,
}

impl Reach {
    /// The portal, with nobody there.
    #[must_use]
    pub fn new(app: Arc<App>) -> Self {
        let sections: Vec<Value> = app
            .catalogue
            .sections()
            .iter()
            .map(|section| {
                let course = app.catalogue.course_of(section);
                json!({
                    "id": section.id, "course": section.course, "title": section.title, "credits": section.credits,
                    "meetings": section.meetings, "prerequisites": course.prerequisites, "fee_cents": course.fee_cents,
                })
            })
            .collect();
        let courses = Arc::new(json!(sections));
        Self { app, watchers: Arc::new(Semaphore::new(watch::WATCHERS_MAX)), courses }
    }
}

/// The routes. With `faults`, also those by which a drill makes the systems behind slow or down.
pub fn router(reach: Reach, faults: bool) -> Router {
    let mut router = page::routes()
        .route("/api/catalogue", get(catalogue))
        .route("/api/seats", get(seats))
        .route("/api/seats/watch", get(watch::watch))
        .route("/api/opening", get(opening))
        .route("/api/students", get(student::list))
        .route("/api/students/{student}", get(student::show))
        .route("/api/students/{student}/enrol", post(student::enrol))
        .route("/api/students/{student}/drop", post(student::drop_seat))
        .route("/api/students/{student}/swap", post(student::swap))
        .route("/api/students/{student}/join", post(student::join))
        .route("/api/students/{student}/leave", post(student::leave))
        .route("/api/students/{student}/accept", post(student::accept))
        .route("/api/students/{student}/decline", post(student::decline))
        .route("/api/support/{student}", get(registrar::support))
        .route("/api/support/{student}/retry", post(registrar::retry))
        .route("/api/registrar/day", get(registrar::day))
        .route("/api/registrar/sections/{section}", put(registrar::resize))
        .route("/api/registrar/openings", post(registrar::open_at))
        .route("/api/audit", get(registrar::audit))
        .route("/api/contention", get(registrar::contention))
        .route("/api/audit/downstream", get(registrar::audit_downstream))
        .route("/api/downstream", get(systems))
        .route("/healthz", get(health));
    if faults {
        router = router.route("/api/downstream/{system}", post(fault));
    }
    router
        .fallback(async || Bad(StatusCode::NOT_FOUND, "not_found", "Nothing is here.".into()))
        .method_not_allowed_fallback(async || {
            let words = "There is something here, and it does not take this method.";
            Bad(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", words.into())
        })
        .layer(middleware::from_fn(guard::guard))
        .with_state(reach)
}

/// A request that cannot be understood.
#[derive(Debug)]
struct Bad(StatusCode, &'static str, String);

impl IntoResponse for Bad {
    fn into_response(self) -> Response {
        let Self(status, code, message) = self;
        (status, Json(json!({ "code": code, "message": message, "possible": [] }))).into_response()
    }
}

impl IntoResponse for Told {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::CONFLICT);
        let again = self.again;
        let mut response = (status, Json(self)).into_response();
        if again {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(1));
        }
        response
    }
}

/// A refusal that no section and no student is needed to tell.
async fn refused(reach: &Reach, refused: Refused) -> Response {
    reach.app.tell(&refused, None, None, None).await.into_response()
}

async fn answer<T: Serialize>(reach: &Reach, asked: Result<T, Refused>) -> Response {
    match asked {
        Ok(answer) => Json(answer).into_response(),
        Err(why) => refused(reach, why).await,
    }
}

/// The sections with their seats as they stand. Who has them already hears only that nothing has changed.
async fn catalogue(State(reach): State<Reach>, headers: HeaderMap) -> Response {
    reach.app.tally.read(now());
    let board = match reach.app.board.look(&reach.app.seats).await {
        Ok(board) => board,
        Err(why) => return refused(&reach, why).await,
    };
    if headers.get(IF_NONE_MATCH).is_some_and(|tag| tag.as_bytes() == board.tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, [(ETAG, board.tag.clone())]).into_response();
    }
    // The two halves are JSON already.
    let mut body = br#"{"sections":"#.to_vec();
    serde_json::to_writer(&mut body, &*reach.courses).expect("sections are JSON");
    body.extend_from_slice(br#","seats":"#);
    body.extend_from_slice(&board.json);
    body.push(b'}');
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-cache")], [(ETAG, board.tag.clone())], body)
        .into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeatsQuery {
    sections: Option<String>,
}

async fn seats(State(reach): State<Reach>, Asked(query): Asked<SeatsQuery>, headers: HeaderMap) -> Response {
    reach.app.tally.read(now());
    let board = match reach.app.board.look(&reach.app.seats).await {
        Ok(board) => board,
        Err(why) => return refused(&reach, why).await,
    };
    let Some(sections) = query.sections else {
        if headers.get(IF_NONE_MATCH).is_some_and(|tag| tag.as_bytes() == board.tag.as_bytes()) {
            return (StatusCode::NOT_MODIFIED, [(ETAG, board.tag.clone())]).into_response();
        }
        let body = board.json.clone();
        return (
            [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-cache")],
            [(ETAG, board.tag.clone())],
            body,
        )
            .into_response();
    };
    let sections: Vec<SectionId> =
        sections.split(',').filter(|section| !section.is_empty()).map(SectionId::from).collect();
    if let Err(unknown) = known(&reach, &sections) {
        return unknown.into_response();
    }
    let sections: Vec<_> = sections.iter().filter_map(|section| board.section(section)).collect();
    let away = board.away.then_some(AWAY);
    Json(json!({ "as_of": board.as_of, "away": away, "sections": sections })).into_response()
}

/// Sections that there are.
fn known(reach: &Reach, sections: &[SectionId]) -> Result<(), Bad> {
    match sections.iter().find(|section| reach.app.catalogue.section(section).is_none()) {
        None => Ok(()),
        Some(unknown) => {
            let words = format!("There is no section {:?}; nothing was done.", unknown.as_str());
            Err(Bad(StatusCode::NOT_FOUND, "no_section", words))
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpeningQuery {
    student: Option<StudentId>,
}

async fn opening(State(reach): State<Reach>, Asked(query): Asked<OpeningQuery>) -> Response {
    reach.app.tally.read(now());
    let opening = reach.app.opening(query.student.as_ref()).await;
    answer(&reach, opening).await
}

/// How the three systems are.
async fn systems(State(reach): State<Reach>) -> Response {
    let mut systems = serde_json::Map::new();
    for system in System::ALL {
        let lines = reach.app.downstream.count(system).await.ok();
        let health = reach.app.downstream.looks(system).await;
        systems.insert(system.to_string(), json!({ "health": health, "lines": lines }));
    }
    Json(systems).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fault {
    state: Option<String>,
    slow_ms: Option<u64>,
}

/// Makes a system slow, down or well: `{"state":"up"}`, `{"state":"down"}` or `{"slow_ms":500}`.
async fn fault(State(reach): State<Reach>, Path(system): Path<String>, Body(fault): Body<Fault>) -> Response {
    let Some(system) = System::from_name(&system) else {
        return Bad(StatusCode::NOT_FOUND, "not_found", "The systems are mail, record and fee.".into())
            .into_response();
    };
    let health = match (fault.state.as_deref(), fault.slow_ms) {
        (Some("up"), None) => Health::Up,
        (Some("down"), None) => Health::Down,
        (None, Some(ms)) => Health::SlowMs(ms),
        _ => {
            let words = r#"Say {"state":"up"}, {"state":"down"} or {"slow_ms":500}."#;
            return Bad(StatusCode::BAD_REQUEST, "bad_request", words.into()).into_response();
        }
    };
    reach.app.downstream.set(system, health);
    Json(json!({ "system": system, "health": health })).into_response()
}

/// Alive, and able to say how seats stand.
async fn health(State(reach): State<Reach>) -> Response {
    match reach.app.board.look(&reach.app.seats).await {
        Ok(board) if !board.away => "ok\n".into_response(),
        Ok(_) => {
            Bad(StatusCode::SERVICE_UNAVAILABLE, "away", "The seats do not answer.".into()).into_response()
        }
        Err(why) => refused(&reach, why).await,
    }
}
