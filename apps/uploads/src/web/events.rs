//! Server-sent events for the pages that look on.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use tokio::sync::broadcast::error::RecvError;

use super::Reach;

/// A sign of life, so that nobody in between takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) async fn events(
    State(reach): State<Reach>,
) -> Sse<impl Stream<Item = Result<Message, Infallible>>> {
    let listening = reach.app.hub.listen();
    let messages = stream::unfold((listening, 0_u64), |(mut listening, number)| async move {
        let message = match listening.recv().await {
            Ok(event) => {
                let data = String::from_utf8_lossy(&event.data).into_owned();
                Message::default().event(event.name).id(number.to_string()).data(data)
            }
            // This page is too slow: what it missed it finds in the list.
            Err(RecvError::Lagged(_)) => Message::default().event("resync").data("{}"),
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(message), (listening, number + 1)))
    });
    Sse::new(messages).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}
