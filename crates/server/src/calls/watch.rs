//! Watching pools: server-sent events for as long as the caller likes.
//!
//! A watcher hears the latest of each pool, at once if it has not heard anything a short time ago; of a pool that changes a
//! thousand times a second it hears ten times, and how many versions it has missed. What it hears is looked up when there is
//! room to send it: whoever reads slowly gets the newest later, and costs no more memory than who reads fast.
//!
//! Promises: of one pool no watcher hears on a connection a version that is not higher than the last, unless it was told in between that
//! the pool was gone. Who comes back with the id of the last event that had one hears again at most what was sent since: the last event of
//! a piece has an id, so that is the piece in which the connection was lost. No client has all the room (`watch_room`). Left out: every version in between.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_api::pool::query::WatchQuery;
use tidegate_api::pool::watch::{EVENT, LAST_EVENT_ID, Seen};
use tidegate_api::refusal::{Code, Refusal};
use tidegate_api::write;
use tidegate_engine::{PoolNews, PoolWatch};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::door::{Asked, Refusing};
use crate::limits::{WATCH_HEARTBEAT, WATCH_PATIENCE, WATCH_PAUSE};
use crate::reply::{Reply, event_stream};
use crate::watch_room::{Places, Viewer, WatchRoom};
use crate::written;

/// The room that all watchers share, and the sign that it is over.
#[derive(Debug)]
pub(crate) struct Watchers {
    room: Arc<WatchRoom>,
    stop: watch::Receiver<bool>,
}

impl Watchers {
    /// Nobody watches yet. `stop` says when all are to go.
    pub(crate) fn new(stop: watch::Receiver<bool>) -> Self {
        Self { room: Arc::default(), stop }
    }

    /// Somebody on a connection of its own.
    pub(crate) fn viewer(&self, address: IpAddr) -> Viewer {
        self.room.viewer(address)
    }
}

pub(crate) fn pools(asked: Asked<'_>) -> Result<Reply, Refusing> {
    let names = WatchQuery::read(asked.query())?.names;
    let seen = match asked.head.headers.get(LAST_EVENT_ID) {
        Some(header) => Seen::read(&String::from_utf8_lossy(header.as_bytes()), &names)?,
        None => Seen::nothing(&names),
    };
    let watchers = asked.door.watchers();
    let places = watchers.room.take(asked.door.viewer(), names.len())?;
    if *watchers.stop.borrow() {
        return Err(Refusal::new(Code::ShuttingDown, "The server is shutting down.").into());
    }
    let known = names.into_iter().zip(seen.versions().iter().copied()).collect();
    let watcher = Watcher {
        watch: asked.door.engine().watch_pools(known),
        told: seen,
        stop: watchers.stop.clone(),
        _places: places,
    };
    let (sender, pieces) = mpsc::channel(1);
    tokio::spawn(watcher.tell(sender));
    Ok(event_stream(pieces))
}

/// Somebody who watches.
struct Watcher {
    watch: PoolWatch,
    told: Seen,
    stop: watch::Receiver<bool>,
    _places: Places,
}

impl Watcher {
    /// Tells what there is to tell, until the caller goes, does not read for long, or the server stops.
    async fn tell(mut self, pieces: mpsc::Sender<Bytes>) {
        // So that who waits for the first news, and everything between, sees that it has begun.
        if pieces.send(Bytes::from_static(b": watching\n\n")).await.is_err() {
            return;
        }
        let mut earliest = Instant::now();
        loop {
            // Room first, and then the news: what is told is what is so when it can be sent.
            let room = tokio::select! {
                room = tokio::time::timeout(WATCH_PATIENCE, pieces.reserve()) => match room {
                    Ok(Ok(room)) => room,
                    Ok(Err(_)) | Err(_) => return,
                },
                _ = self.stop.wait_for(|stop| *stop) => return,
            };
            let watch = &mut self.watch;
            let news = async {
                tokio::time::sleep_until(earliest).await;
                watch.next().await
            };
            let piece = tokio::select! {
                news = news => {
                    earliest = Instant::now() + WATCH_PAUSE;
                    self.told.tell(watch.told());
                    events(&self.told, &news)
                }
                () = tokio::time::sleep(WATCH_HEARTBEAT) => Bytes::from_static(b":\n\n"),
                () = pieces.closed() => return,
                _ = self.stop.wait_for(|stop| *stop) => return,
            };
            room.send(piece);
        }
    }
}

/// An event for each piece of news. The last of them says what has been told with it.
fn events(told: &Seen, news: &[PoolNews]) -> Bytes {
    let mut out = Vec::with_capacity(news.len() * 512);
    for (left, one) in (0..news.len()).rev().zip(news) {
        if left == 0 && !told.is_nothing() {
            out.extend_from_slice(b"id: ");
            told.write(&mut out);
            out.push(b'\n');
        }
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(EVENT.as_bytes());
        out.extend_from_slice(b"\ndata: {\"name\":");
        write::text(&mut out, &one.name);
        if one.missed > 0 {
            out.extend_from_slice(b",\"missed\":");
            out.extend_from_slice(one.missed.to_string().as_bytes());
        }
        if let Some(seen) = &one.seen {
            out.extend_from_slice(b",\"pool\":");
            written::write(&mut out, seen);
        }
        out.extend_from_slice(b"}\n\n");
    }
    out.into()
}
