//! What the registrar, support and an audit ask.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::{Bad, Body, Reach, answer, known};
use crate::catalogue::{SectionId, StudentId};
use crate::downstream::now;
use crate::seats::{Moment, Seats};

/// Seats that a section can have.
const SEATS_MAX: u32 = 100_000;
/// How near an opening can be, in ms: by then every section has heard of it.
const OPENING_MS_MIN: u64 = 1_000;
/// How far ahead an opening can lie, in ms (300 days).
const AHEAD_MS_MAX: u64 = 300 * 24 * 3_600_000;

pub(super) async fn day(State(reach): State<Reach>) -> Response {
    let day = reach.app.day().await;
    answer(&reach, day).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resize {
    capacity: u32,
}

/// So many seats from now on; never fewer than are taken or kept. New ones go to the line first.
pub(super) async fn resize(
    State(reach): State<Reach>,
    Path(section): Path<SectionId>,
    Body(Resize { capacity }): Body<Resize>,
) -> Response {
    if capacity > SEATS_MAX {
        let words = format!("A section has at most {SEATS_MAX} seats.");
        return Bad(StatusCode::BAD_REQUEST, "bad_request", words).into_response();
    }
    match reach.app.seats.resize(&section, capacity).await {
        Ok(free) => Json(free).into_response(),
        Err(refused) => reach.app.tell(&refused, None, Some(&section), None).await.into_response(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Opening {
    /// All of them if this is left away.
    sections: Option<Vec<SectionId>>,
    opens_at: Option<Moment>,
    /// In place of a moment.
    opens_in_ms: Option<u64>,
    #[serde(default)]
    shuffle: bool,
}

pub(super) async fn open_at(State(reach): State<Reach>, Body(opening): Body<Opening>) -> Response {
    let opens_at = match (opening.opens_at, opening.opens_in_ms) {
        (Some(at), None) => at,
        // An opening lies ahead, if only a little.
        (None, Some(ms)) => now() + ms.clamp(OPENING_MS_MIN, AHEAD_MS_MAX),
        _ => {
            let words = "Say either opens_at, in ms since 1970, or opens_in_ms.".to_owned();
            return Bad(StatusCode::BAD_REQUEST, "bad_request", words).into_response();
        }
    };
    let bad = |words: &str| Bad(StatusCode::BAD_REQUEST, "bad_request", words.to_owned()).into_response();
    if opens_at > now() + AHEAD_MS_MAX {
        return bad("An opening lies at most 300 days ahead.");
    }
    if opens_at <= now() {
        return bad("An opening lies ahead; opens_at is in ms since 1970, and that moment has passed.");
    }
    let sections = match &opening.sections {
        Some(none) if none.is_empty() => {
            return bad("The list of sections is empty; leave it away to mean all of them.");
        }
        Some(some) => some.as_slice(),
        None => &[],
    };
    if let Err(unknown) = known(&reach, sections) {
        return unknown.into_response();
    }
    let opened = reach.app.seats.open_at(sections, opens_at, opening.shuffle).await;
    answer(&reach, opened.map(|set| json!({ "opens_at": opens_at, "sections": set }))).await
}

pub(super) async fn support(State(reach): State<Reach>, Path(student): Path<StudentId>) -> Response {
    let story = reach.app.support(&student).await;
    answer(&reach, story).await
}

/// Has what was given up for this student tried again.
pub(super) async fn retry(State(reach): State<Reach>, Path(student): Path<StudentId>) -> Response {
    let retried = reach.app.seats.retry(&student).await;
    answer(&reach, retried.map(|jobs| json!({ "retried": jobs }))).await
}

pub(super) async fn audit(State(reach): State<Reach>) -> Response {
    let audit = reach.app.audit().await;
    answer(&reach, audit).await
}

pub(super) async fn audit_downstream(State(reach): State<Reach>) -> Response {
    match reach.app.audit_downstream().await {
        Ok(books) => Json(books).into_response(),
        Err(fault) => Bad(StatusCode::SERVICE_UNAVAILABLE, "away", fault.to_string()).into_response(),
    }
}

/// What it cost the strategy so far that several wanted the same; null if it has no conflicts.
pub(super) async fn contention(State(reach): State<Reach>) -> Response {
    let contention = reach.app.seats.contention();
    Json(contention.map(|(conflicts, retries)| json!({ "conflicts": conflicts, "retries": retries })))
        .into_response()
}
