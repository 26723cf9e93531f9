//! Answers: JSON, problems, and streams of results.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use serde::Serialize;
use tidegate_api::idempotency::IDEMPOTENT_REPLAYED;
use tidegate_api::pool::watch::EVENT_STREAM;
use tidegate_api::refusal::{PROBLEM_MEDIA_TYPE, Problem, Refusal};
use tokio::sync::mpsc;

/// An answer.
pub(crate) type Reply = Response<ReplyBody>;

/// An answer's body.
pub(crate) enum ReplyBody {
    /// All of it; taken when it is sent.
    Whole(Option<Bytes>),
    /// Piece by piece, as they are made.
    Stream(mpsc::Receiver<Bytes>),
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().filter(|bytes| !bytes.is_empty())),
            Self::Stream(pieces) => pieces.poll_recv(context),
        };
        piece.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// The media type of what is not a problem.
pub(crate) const JSON: &str = "application/json";

/// JSON that has been written already.
pub(crate) fn json_bytes(status: StatusCode, json: impl Into<Bytes>) -> Reply {
    reply(status, JSON, ReplyBody::Whole(Some(json.into())))
}

/// JSON of an answer's type.
pub(crate) fn json(status: StatusCode, answer: &impl Serialize) -> Reply {
    json_bytes(status, serde_json::to_vec(answer).expect("an answer's type is always JSON"))
}

/// A line of text, for people and probes.
pub(crate) fn text(text: &'static str) -> Reply {
    reply(
        StatusCode::OK,
        "text/plain; charset=utf-8",
        ReplyBody::Whole(Some(Bytes::from_static(text.as_bytes()))),
    )
}

/// Results, a line each, as they come.
pub(crate) fn ndjson(pieces: mpsc::Receiver<Bytes>) -> Reply {
    reply(StatusCode::OK, "application/x-ndjson", ReplyBody::Stream(pieces))
}

/// Server-sent events, as they come. They are of the moment: nobody may keep them.
pub(crate) fn event_stream(pieces: mpsc::Receiver<Bytes>) -> Reply {
    let mut reply = reply(StatusCode::OK, EVENT_STREAM, ReplyBody::Stream(pieces));
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// A refusal of the whole request.
pub(crate) fn problem(refusal: Refusal) -> Reply {
    let retry_after_s = refusal.retry_after_s();
    let status = StatusCode::from_u16(refusal.code.status()).expect("every code has a status");
    let body = serde_json::to_vec(&Problem::from(refusal)).expect("a problem is always JSON");
    let mut reply = reply(status, PROBLEM_MEDIA_TYPE, ReplyBody::Whole(Some(body.into())));
    if let Some(seconds) = retry_after_s {
        reply.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    reply
}

/// The reply with the mark that it answers an earlier request.
pub(crate) fn marked(mut reply: Reply, replayed: bool) -> Reply {
    if replayed {
        let name = HeaderName::from_static(IDEMPOTENT_REPLAYED);
        reply.headers_mut().insert(name, HeaderValue::from_static("true"));
    }
    reply
}

fn reply(status: StatusCode, media_type: &'static str, body: ReplyBody) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    reply
}
