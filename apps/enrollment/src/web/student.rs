//! What a student asks.

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::{Asked, Bad, Body, Reach, answer};
use crate::app::Asks;
use crate::catalogue::{SectionId, StudentId};
use crate::downstream::now;
use crate::refusal::Seen;
use crate::seats::{Joined, Seats, SwapWish, Swapped, Wish};

/// Bytes of a client's key.
const KEY_MAX: usize = 128;
/// Students that one list shows.
const LIST_MAX: usize = 50;

/// The client's own name for this one press.
pub(super) struct Key(String);

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Bad;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Bad> {
        let key = parts.headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default();
        let is_key = (1..=KEY_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
        if is_key {
            return Ok(Self(key.to_owned()));
        }
        let words = format!(
            "The header Idempotency-Key is missing or cannot be one: 1 to {KEY_MAX} printable characters that name this one press."
        );
        Err(Bad(StatusCode::BAD_REQUEST, "bad_key", words))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct About {
    section: SectionId,
    /// What the student saw when they pressed; a refusal then says what has changed.
    seen: Option<Seen>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exchange {
    give: SectionId,
    want: SectionId,
    #[serde(default)]
    when_offered: bool,
    seen: Option<Seen>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    find: Option<String>,
}

/// Some students, for the page on which one says who one is.
pub(super) async fn list(State(reach): State<Reach>, Asked(query): Asked<ListQuery>) -> Response {
    let find = query.find.unwrap_or_default().to_lowercase();
    let found: Vec<_> = reach
        .app
        .catalogue
        .students()
        .iter()
        .filter(|student| student.id.as_str().contains(&find) || student.name.to_lowercase().contains(&find))
        .take(LIST_MAX)
        .map(|student| json!({ "id": student.id, "name": student.name }))
        .collect();
    Json(json!({ "students": found, "of": reach.app.catalogue.students().len() })).into_response()
}

pub(super) async fn show(State(reach): State<Reach>, Path(student): Path<StudentId>) -> Response {
    reach.app.tally.read(now());
    let student = reach.app.student(&student).await;
    answer(&reach, student).await
}

macro_rules! changes {
    ($($(#[doc = $doc:literal])* $handler:ident = $what:literal, $method:ident => |$wish:ident, $done:ident| $answer:expr;)*) => {$(
        $(#[doc = $doc])*
        pub(super) async fn $handler(
            State(reach): State<Reach>,
            Path(student): Path<StudentId>,
            Key(key): Key,
            Body(About { section, seen }): Body<About>,
        ) -> Response {
            let $wish = Wish { student, section, key };
            let asked = reach.app.seats.$method(&$wish);
            let Wish { student, section, key } = &$wish;
            let asks = Asks { what: $what, student, section, gives: None, key, seen };
            match reach.app.change(asks, asked).await {
                Ok($done) => $answer.into_response(),
                Err(told) => told.into_response(),
            }
        }
    )*};
}

changes! {
    /// A seat, with everything that follows.
    enrol = "enrol", enrol => |wish, done| (StatusCode::CREATED, Json(done));
    /// Waits in line.
    join = "join", join => |wish, done| match &done {
        Joined::Waits(_) => (StatusCode::ACCEPTED, Json(done)),
        Joined::Offered(_) => (StatusCode::CREATED, Json(done)),
    };
    /// Waits no more.
    leave = "leave", leave => |wish, _done| Json(json!({ "left": wish.section }));
    /// Takes what is kept.
    accept = "accept", accept => |wish, done| (StatusCode::CREATED, Json(done));
    /// Lets the next have it.
    decline = "decline", decline => |wish, _done| Json(json!({ "declined": wish.section }));
}

/// Gives one back.
pub(super) async fn drop_seat(
    State(reach): State<Reach>,
    Path(student): Path<StudentId>,
    Key(key): Key,
    Body(About { section, seen }): Body<About>,
) -> Response {
    let wish = Wish { student, section, key };
    let asked = reach.app.seats.drop_seat(&wish);
    let Wish { student, section, key } = &wish;
    let asks = Asks { what: "drop", student, section, gives: None, key, seen };
    match reach.app.change(asks, asked).await {
        Ok(done) => {
            let enrolment = done.enrolment.clone();
            Json(reach.app.with_lost(done, student, &enrolment, &[section]).await).into_response()
        }
        Err(told) => told.into_response(),
    }
}

/// One seat for another.
pub(super) async fn swap(
    State(reach): State<Reach>,
    Path(student): Path<StudentId>,
    Key(key): Key,
    Body(Exchange { give, want, when_offered, seen }): Body<Exchange>,
) -> Response {
    let wish = SwapWish { student, give, want, when_offered, key };
    let asked = reach.app.seats.swap(&wish);
    let SwapWish { student, give, want, key, .. } = &wish;
    let asks = Asks { what: "swap", student, section: want, gives: Some(give), key, seen };
    match reach.app.change(asks, asked).await {
        Ok(Swapped::Now(done)) => {
            let enrolment = done.enrolment.id.clone();
            let done = reach.app.with_lost(Swapped::Now(done), student, &enrolment, &[give, want]).await;
            (StatusCode::CREATED, Json(done)).into_response()
        }
        Ok(waits @ Swapped::WhenOffered(_)) => (StatusCode::ACCEPTED, Json(waits)).into_response(),
        Err(told) => told.into_response(),
    }
}
