//! Request bodies: bounded before memory is taken for them.
//!
//! A body announces its length or comes in pieces. An announced length over the limit is refused without reading; pieces
//! are counted as they come. All bodies that are held at a time share the room of one [`Intake`]; a body it has no room for
//! is refused as `inbox_full`, and the client told when to come back.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, ORIGIN};
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tidegate_api::limits::BODY_BYTES_MAX;
use tidegate_api::refusal::{Code, Refusal, Refused};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A request's body.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// It comes over a connection of the general server.
    Incoming(Incoming),
    /// All of it is here; taken when it is read.
    Whole(Option<Bytes>),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Incoming(body) => Pin::new(body).poll_frame(context),
            Self::Whole(body) => {
                Poll::Ready(body.take().filter(|bytes| !bytes.is_empty()).map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Incoming(body) => body.is_end_stream(),
            Self::Whole(body) => body.as_ref().is_none_or(Bytes::is_empty),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Incoming(body) => body.size_hint(),
            Self::Whole(body) => SizeHint::with_exact(body.as_ref().map_or(0, |bytes| bytes.len() as u64)),
        }
    }
}

/// How bodies are taken in, and the room that all of them share. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Intake {
    budget: Arc<Semaphore>,
    budget_bytes: usize,
    piece_timeout: Duration,
}

/// Room for one body, until it is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    intake: Intake,
    permit: OwnedSemaphorePermit,
}

impl Intake {
    /// An intake that holds so many bytes at a time, and waits so long from one piece of a body to the next.
    pub(crate) fn new(budget_bytes: usize, piece_timeout: Duration) -> Self {
        let budget_bytes = budget_bytes.min(Semaphore::MAX_PERMITS);
        Self { budget: Arc::new(Semaphore::new(budget_bytes)), budget_bytes, piece_timeout }
    }

    /// Takes room for so many bytes, or refuses.
    pub(crate) fn take(&self, bytes: usize) -> Result<Room, Refused> {
        Ok(Room { intake: self.clone(), permit: self.permit(bytes)? })
    }

    fn permit(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refused> {
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        Arc::clone(&self.budget).try_acquire_many_owned(permits).map_err(|_| {
            let detail =
                format!("The server holds as many bytes of requests as it may ({}).", self.budget_bytes);
            Box::new(Refusal::new(Code::InboxFull, detail).with_retry_after_ms(1_000))
        })
    }

    /// Reads a body to its end.
    pub(crate) async fn read(&self, mut body: RequestBody) -> Result<Whole, Refused> {
        let announced_bytes = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced_bytes > BODY_BYTES_MAX {
            return Err(too_large());
        }
        let mut room = self.take(announced_bytes)?;
        if let RequestBody::Whole(bytes) = body {
            return Ok(Whole { bytes: bytes.unwrap_or_default(), _room: room });
        }
        let Some(first) = self.next_piece(&mut body).await? else {
            return Ok(Whole { bytes: Bytes::new(), _room: room });
        };
        if body.is_end_stream() {
            // The usual case, and no byte is copied.
            room.reach(first.len())?;
            return Ok(Whole { bytes: first, _room: room });
        }
        let mut bytes = BytesMut::with_capacity(announced_bytes.max(first.len()));
        bytes.extend_from_slice(&first);
        while let Some(piece) = self.next_piece(&mut body).await? {
            if bytes.len() + piece.len() > BODY_BYTES_MAX {
                return Err(too_large());
            }
            room.reach(bytes.len() + piece.len())?;
            bytes.extend_from_slice(&piece);
        }
        Ok(Whole { bytes: bytes.freeze(), _room: room })
    }

    /// The next piece of a body; none at its end.
    pub(crate) async fn next_piece(&self, body: &mut RequestBody) -> Result<Option<Bytes>, Refused> {
        loop {
            let frame = tokio::time::timeout(self.piece_timeout, body.frame()).await.map_err(|_| {
                let detail = format!("Nothing came for {} ms.", self.piece_timeout.as_millis());
                Box::new(Refusal::new(Code::BodyTimeout, detail))
            })?;
            match frame {
                None => return Ok(None),
                // Trailers are of no interest here.
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => return Ok(Some(data)),
                    Err(_trailers) => {}
                },
                // The connection broke off; nobody is there to hear this.
                Some(Err(error)) => {
                    return Err(Box::new(Refusal::new(
                        Code::InvalidJson,
                        format!("The body broke off: {error}."),
                    )));
                }
            }
        }
    }
}

impl Room {
    /// Sees to it that there is room for so many bytes in all. Grows by doubling, so that a body in a thousand pieces
    /// does not ask a thousand times.
    fn reach(&mut self, bytes: usize) -> Result<(), Refused> {
        let has = self.permit.num_permits();
        if bytes > has {
            self.permit.merge(self.intake.permit(bytes.max(2 * has) - has)?);
        }
        Ok(())
    }
}

/// A body that has arrived, and its room.
#[derive(Debug)]
pub(crate) struct Whole {
    /// The body.
    pub(crate) bytes: Bytes,
    _room: Room,
}

fn too_large() -> Refused {
    let detail =
        format!("A body has at most {BODY_BYTES_MAX} bytes; longer lists can be sent as an NDJSON stream.");
    Box::new(Refusal::new(Code::BodyTooLarge, detail))
}

/// What a body is, by its `Content-Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    /// `application/json`.
    Json,
    /// `application/x-ndjson`.
    Ndjson,
}

/// The media type of a request's body.
///
/// JSON should be said, and from a browser it must be: a page may send JSON to another origin only after asking, but a form
/// or text without a type at once, and then any page could enqueue jobs on its reader's machine. Browsers say `Origin`.
/// Without it, what curl says when it is not told otherwise (a form) and what says nothing is taken for JSON.
pub(crate) fn media(head: &Parts) -> Result<Media, Refused> {
    let said = head.headers.get(CONTENT_TYPE).map(|value| value.as_bytes()).unwrap_or_default();
    if let Some(media) = media_of(said) {
        return Ok(media);
    }
    let essence = essence(said);
    let says_nothing =
        essence.is_empty() || essence.eq_ignore_ascii_case(b"application/x-www-form-urlencoded");
    if says_nothing && !head.headers.contains_key(ORIGIN) {
        return Ok(Media::Json);
    }
    Err(unsupported(essence))
}

/// What this value of `Content-Type` says; none if it is not understood.
pub(crate) fn media_of(said: &[u8]) -> Option<Media> {
    let is = |media_type: &str| essence(said).eq_ignore_ascii_case(media_type.as_bytes());
    if is("application/json") {
        Some(Media::Json)
    } else {
        is("application/x-ndjson").then_some(Media::Ndjson)
    }
}

/// A media type without its parameters.
fn essence(said: &[u8]) -> &[u8] {
    said.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

/// The refusal of a media type that is not understood, or not here.
pub(crate) fn unsupported(said: &[u8]) -> Refused {
    let said = String::from_utf8_lossy(said);
    let detail = match &*said {
        "" => "A request from a browser needs a `Content-Type`: application/json.".to_owned(),
        said => format!("A body of type {said} is not understood here; application/json is."),
    };
    let allowed = "application/json; to enqueue, also application/x-ndjson".to_owned();
    Box::new(Refusal { allowed: Some(allowed), ..Refusal::new(Code::UnsupportedMediaType, detail) })
}
