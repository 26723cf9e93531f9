//! Enqueueing an NDJSON stream: a job a line, as long as the client likes; the answer is a result a line, in order.
//!
//! Lines are taken in chunks; each chunk is one command, decided and durable before its results are written. Without an
//! idempotency key a chunk ends where the client pauses, so that a trickle is accepted as it comes. Under a key chunks
//! end only at fixed numbers of lines and bytes, so that the same stream makes the same chunks and each is remembered
//! under a key of its own.
//!
//! A line that is not JSON, too long, or no job is that line's refusal. The first chunk is answered for before the answer
//! begins: if it is refused as a whole (the disk is full), so is the request. Later refusals of a whole chunk are given to each of
//! its lines, and the stream goes on.
//!
//! The answer is made while the stream comes. A client that does not read while it writes is read only as far as the
//! answers find room.

use bytes::Bytes;
use http::request::Parts;
use tidegate_api::convert::answer::{call_error, write_enqueued_item};
use tidegate_api::enqueue::NewJob;
use tidegate_api::read::{BadItem, Item, read, read_utf8};
use tidegate_api::refusal::{Refusal, Refused};
use tidegate_api::write;
use tidegate_core::outcome;
use tidegate_engine::{Answer, CallError, Engine, IdempotencyKey, fingerprint};
use tokio::sync::mpsc;

use crate::body::Room;
use crate::calls::enqueue::sort;
use crate::calls::items::Bad;
use crate::calls::lines::{Chunk, Lines};
use crate::door::{Asked, Refusing, idempotency_key, now};
use crate::limits::{STREAM_ANSWERS, STREAM_BYTES};
use crate::reply::{Reply, marked, ndjson};

pub(crate) async fn enqueue(asked: Asked<'_>, queue: &str) -> Result<Reply, Refusing> {
    let room = asked.door.intake().take(STREAM_BYTES)?;
    let mut stream = Stream {
        engine: asked.door.engine().clone(),
        queue: queue.to_owned(),
        head: asked.head.clone(),
        chunks: 0,
        ends_at_pauses: idempotency_key(asked.head, b"")?.is_none(),
        lines: Lines::new(asked.door.intake().clone(), asked.body),
        _room: room,
    };
    let (answers, pieces) = mpsc::channel(STREAM_ANSWERS);
    let Some(chunk) = stream.lines.next_chunk(stream.ends_at_pauses).await? else {
        return Ok(ndjson(pieces));
    };
    let (accepted, bad) = stream.accept(&chunk).await?;
    let Answer { value, replayed } = accepted?;
    let first = results(value, bad);
    // The rest goes on by itself. It ends with the stream, or when nobody reads the answers any more.
    tokio::spawn(async move {
        let mut piece = Some(first);
        while let Some(results) = piece {
            if answers.send(results).await.is_err() {
                return;
            }
            piece = stream.next_results().await;
        }
    });
    Ok(marked(ndjson(pieces), replayed))
}

/// A stream that is being worked off.
struct Stream {
    engine: Engine,
    queue: String,
    head: Parts,
    /// Chunks accepted so far; numbers the next one's key.
    chunks: usize,
    ends_at_pauses: bool,
    lines: Lines,
    _room: Room,
}

/// What the engine said to a chunk's good lines.
type Accepted = Result<Answer<Vec<outcome::Item>>, CallError>;

impl Stream {
    /// The results of the next chunk; none at the end.
    async fn next_results(&mut self) -> Option<Bytes> {
        let refused = match self.lines.next_chunk(self.ends_at_pauses).await {
            Ok(None) => return None,
            Ok(Some(chunk)) => match self.accept(&chunk).await {
                Ok((Ok(answer), bad)) => return Some(results(answer.value, bad)),
                Ok((Err(error), _)) => return Some(refusals(chunk.lines.len(), &call_error(&error, now()))),
                Err(refused) => refused,
            },
            Err(refused) => refused,
        };
        // The stream stood still or broke off. What came before is accepted; this is for who reads on.
        self.lines.end();
        Some(refusals(1, &refused))
    }

    /// Has a chunk's good lines accepted; the others are beside the answer.
    async fn accept(&mut self, chunk: &Chunk) -> Result<(Accepted, Bad), Refused> {
        let key = self.key_of(chunk)?;
        let (batch, bad) = sort(&self.queue, items(chunk), &chunk.bytes);
        self.chunks += 1;
        if batch.payloads.is_empty() {
            return Ok((Ok(Answer { value: Vec::new(), replayed: false }), bad));
        }
        Ok((self.engine.enqueue(batch, key).await, bad))
    }

    /// The chunk's own idempotency key: it covers the chunk's lines.
    fn key_of(&self, chunk: &Chunk) -> Result<Option<IdempotencyKey>, Refused> {
        let Some(key) = idempotency_key(&self.head, b"")? else { return Ok(None) };
        let mut parts = vec![self.head.method.as_str().as_bytes(), self.head.uri.path().as_bytes()];
        parts.extend(chunk.texts().map(|text| text.unwrap_or_default()));
        Ok(Some(IdempotencyKey { fingerprint: fingerprint(&parts), ..key.part(self.chunks) }))
    }
}

fn items<'a>(chunk: &'a Chunk) -> Vec<Item<NewJob<'a>>> {
    let item = |text: Result<&'a [u8], Refused>| {
        text.and_then(read_utf8)
            .and_then(read)
            .map_err(|refused| Box::new(BadItem { id: None, refusal: *refused }))
    };
    chunk.texts().map(item).collect()
}

/// A chunk's results, a line each.
fn results(items: Vec<outcome::Item>, bad: Bad) -> Bytes {
    let now = now();
    let mut out = Vec::with_capacity(items.len() * 40);
    for item in bad.in_order(items) {
        match item {
            Ok(item) => write_enqueued_item(&mut out, item, now),
            Err(bad) => write::refused_item(&mut out, None, &bad.refusal),
        }
        out.push(b'\n');
    }
    out.into()
}

/// The same refusal for so many lines.
fn refusals(lines: usize, refusal: &Refusal) -> Bytes {
    let mut line = Vec::new();
    write::refused_item(&mut line, None, refusal);
    line.push(b'\n');
    line.repeat(lines).into()
}
