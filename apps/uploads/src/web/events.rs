//! Server-sent events for the pages that look on.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use tokio::sync::broadcast::error::RecvError;

use super::Reach;
use crate::problem::{Code, Problem};

/// A sign of life, so that nobody in between takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Pages that look on at once; they must not take the places of those who upload.
pub(super) const PAGES_MAX: usize = 512;

pub(super) async fn events(
    State(reach): State<Reach>,
) -> Result<Sse<impl Stream<Item = Result<Message, Infallible>>>, Problem> {
    let full = |_| Problem::new(Code::Busy, "Too many pages look on; come back in a moment.");
    let place = Arc::clone(&reach.pages).try_acquire_owned().map_err(full)?;
    let listening = reach.app.hub.listen();
    let messages = stream::unfold((listening, place), |(mut listening, place)| async move {
        let message = match listening.recv().await {
            Ok(event) => {
                let data = String::from_utf8_lossy(&event.data).into_owned();
                Message::default().event(event.name).data(data)
            }
            // This page is too slow: what it missed it finds in the list.
            Err(RecvError::Lagged(_)) => Message::default().event("resync").data("{}"),
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(message), (listening, place)))
    });
    Ok(Sse::new(messages).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}
