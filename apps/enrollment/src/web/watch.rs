//! Seats as they change, as server-sent events: all of them first, then those that changed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::broadcast::error::RecvError;

use super::{Bad, Reach, refused};

/// Pages that look on at once.
pub(super) const WATCHERS_MAX: usize = 12_000;
/// A sign of life, so that nobody in between takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) async fn watch(State(reach): State<Reach>) -> Response {
    let Ok(place) = Arc::clone(&reach.watchers).try_acquire_owned() else {
        let words = "Too many pages look on; load the seats every now and then instead.".to_owned();
        return Bad(StatusCode::SERVICE_UNAVAILABLE, "busy", words).into_response();
    };
    // Listening comes first: what changes after the whole was read is heard.
    let listening = reach.app.board.listen();
    let whole = match reach.app.board.look(&reach.app.seats).await {
        Ok(board) => board.json.clone(),
        Err(why) => return refused(&reach, why).await,
    };
    let app = Arc::clone(&reach.app);
    let state = (Some(whole), listening, app, place);
    let events = stream::unfold(state, |(first, mut listening, app, place)| async move {
        if let Some(whole) = first {
            return Some((event("all", None, &whole), (None, listening, app, place)));
        }
        let event = match listening.recv().await {
            Ok(news) => event("seats", Some(news.number), &news.json),
            // This page is too slow; it gets the whole again, as it is now.
            Err(RecvError::Lagged(_)) => {
                listening = listening.resubscribe();
                event("all", None, &app.board.shown().json)
            }
            Err(RecvError::Closed) => return None,
        };
        Some((event, (None, listening, app, place)))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

fn event(name: &str, number: Option<u64>, json: &Bytes) -> Result<Event, Infallible> {
    let event = Event::default().event(name).data(String::from_utf8_lossy(json));
    Ok(match number {
        Some(number) => event.id(number.to_string()),
        None => event,
    })
}
