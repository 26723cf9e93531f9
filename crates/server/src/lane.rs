//! The short way: plain requests over HTTP/1.1, whole in the buffer, answered without the general HTTP server.
//!
//! ```text
//!   read ─▶ plain, and whole? ─▶ door ─▶ write ─┐
//!    ▲            │ no                          │
//!    │            └─▶ hyper, with all that was read and not answered, for the rest of the connection
//!    └──────────────────────────────────────────┘
//! ```
//! A general server pays on every request for what a request might be: timers, upgrades, bodies in pieces, answers in
//! pieces. Here a request is taken only if it is plain: a method, a path below `/v1/`, a length, headers that
//! ask nothing of the connection, and an answer that ends. Everything else (HTTP/2, chunked bodies, `Expect`, `Connection: close`, NDJSON streams,
//! long bodies, a request whose rest is slow to come, what is not HTTP at all) is hyper's as if it had been so from
//! the beginning, and so are its answers and its timeouts.
//!
//! Requests that follow each other without waiting are taken one after the other, with one exception: those that enqueue
//! into one queue are all given to its shard as they come, so that many share one sync, and answered in order; what lies in the
//! buffer together is one call (`row`). The shard's inbox is a line, so they still have their effects in the order in
//! which they were sent.
//!
//! Promises: the same handlers, limits and answers as behind hyper; requests of a connection have their effects and are
//! answered in order, and no answer is kept back by the request behind it; a caller who goes away while a request waits
//! is noticed, and the request dropped. Left out: any reading of HTTP beyond `httparse`, which is also hyper's.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{self, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use crate::anywhere;
use crate::body::{RequestBody, Room};
use crate::door::Door;
use crate::limits::{
    CONNECTION_BUFFER_BYTES, HEAD_TIMEOUT, LANE_ENQUEUES, LANE_HEADERS, LANE_READ_BYTES, LANE_REST_TIMEOUT,
};
use crate::reply::{JSON, Reply, ReplyBody};
use crate::row::{Answers, Found, queue_at};

/// An answer's body up to this length is written together with its head; a longer one is not copied once more.
const TOGETHER_BYTES: usize = 4 << 10;

/// Answers to requests that came together are written together, up to about so many bytes.
const OUT_BYTES: usize = 64 << 10;

/// What a connection is to the server: a socket, or two ends in memory for fuzzers.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// One connection on the short way.
pub(crate) struct Lane<S> {
    stream: S,
    door: Door,
    /// Turns true when the server stops.
    stop: watch::Receiver<bool>,
    /// Whether a request was taken here: then the connection speaks HTTP/1.1, and goes on doing so.
    is_http1: bool,
    /// What was read and not answered.
    buffer: BytesMut,
    /// Bytes read at once: as long as the last request was, since the next one is likely to be.
    read_bytes: usize,
    /// Answers that are not written yet.
    out: Vec<u8>,
}

/// How a connection left the short way.
pub(crate) enum Left<S> {
    /// It is over.
    Ended,
    /// The general server goes on with it; the bytes were read and not answered.
    ForHyper {
        /// The connection.
        stream: S,
        /// What was read.
        read: Bytes,
        /// Whether it is known to speak HTTP/1.1.
        is_http1: bool,
    },
}

/// Enqueues into one queue that were begun and are not answered yet, in the order in which they came.
#[derive(Default)]
struct Begun {
    answers: VecDeque<(Answering, Size)>,
    /// The queue of all of them.
    queue: String,
    /// What all of them are.
    size: Size,
}

/// Jobs, and what their requests took in the buffer.
#[derive(Debug, Default, Clone, Copy)]
struct Size {
    jobs: usize,
    bytes: usize,
}

/// Requests that their handler has, and what will be answered.
type Answering = Pin<Box<dyn Future<Output = Answered> + Send>>;

/// What is written to the caller.
enum Answered {
    One(Reply),
    Row(Answers),
}

impl Begun {
    /// Whether requests into this queue, the first of so many bytes, may begin before those are answered.
    fn takes(&self, queue: &str, bytes: usize) -> bool {
        self.answers.is_empty()
            || (queue == self.queue
                && self.size.jobs < LANE_ENQUEUES
                && self.size.bytes + bytes <= CONNECTION_BUFFER_BYTES)
    }

    /// Gives them to their handler: its first step brings them into the shard's inbox.
    async fn begin(&mut self, queue: &str, size: Size, mut answer: Answering) {
        let first = poll_fn(|context| Poll::Ready(answer.as_mut().poll(context))).await;
        if let Poll::Ready(answered) = first {
            answer = Box::pin(future::ready(answered));
        }
        if self.queue != queue {
            queue.clone_into(&mut self.queue);
        }
        self.answers.push_back((answer, size));
        self.size.jobs += size.jobs;
        self.size.bytes += size.bytes;
    }

    /// The oldest was answered.
    fn end(&mut self) {
        if let Some((_, size)) = self.answers.pop_front() {
            self.size.jobs -= size.jobs;
            self.size.bytes -= size.bytes;
        }
    }
}

/// What an enqueue names as its queue, and whatever else is posted to such a path.
fn enqueue_queue(request: &Request<RequestBody>) -> Option<&str> {
    queue_at(request.uri().path()).filter(|_| request.method() == Method::POST)
}

/// What woke a lane that had nothing to do.
enum Woken {
    Read(usize),
    Stopping,
    Idle,
}

impl<S: Stream> Lane<S> {
    /// A lane for a new connection.
    pub(crate) fn new(stream: S, door: Door, stop: watch::Receiver<bool>) -> Self {
        Self {
            stream,
            door,
            stop,
            is_http1: false,
            buffer: BytesMut::new(),
            read_bytes: LANE_READ_BYTES,
            out: Vec::new(),
        }
    }

    /// Answers requests until the connection ends or asks for more than plain ones.
    ///
    /// # Errors
    /// The connection broke.
    pub(crate) async fn run(mut self) -> io::Result<Left<S>> {
        let mut stop = self.stop.clone();
        let mut stopping = pin!(async move {
            let _ = stop.wait_for(|stop| *stop).await.is_ok();
        });
        // Armed anew only when it has gone off: a request costs it nothing.
        let mut idle = pin!(tokio::time::sleep(HEAD_TIMEOUT));
        let mut active_at = Instant::now();
        let mut begun = Begun::default();
        // Of the request whose rest is to come: its length and the room for it, and how long it may take.
        let (mut rest, mut rest_until): (Option<(usize, Room)>, _) = (None, None);
        loop {
            if !self.buffer.is_empty() {
                // Nothing is begun on a thread that was there for an answer only.
                anywhere::come_home().await;
            }
            let is_awaited = rest.as_ref().is_some_and(|(bytes, _)| self.buffer.len() < *bytes);
            if !is_awaited
                && let Some(found) = Found::at(&self.buffer, LANE_ENQUEUES, CONNECTION_BUFFER_BYTES)
            {
                (rest, rest_until) = (None, None);
                self.is_http1 = true;
                if !self.begin_row(found, &mut begun).await? {
                    return Ok(Left::Ended);
                }
                active_at = Instant::now();
                continue;
            }
            let look = match &rest {
                Some((bytes, _)) if is_awaited => Look::Rest { bytes: *bytes, is_known: true },
                _ => look(&self.buffer),
            };
            if !begun.answers.is_empty() && !matches!(look, Look::Whole { .. }) {
                // More enqueues may come; anything else has to wait for its turn.
                if !self.go_on(&mut begun, look != Look::Other).await? {
                    return Ok(Left::Ended);
                }
                active_at = Instant::now();
                continue;
            }
            match look {
                Look::Whole { head_bytes, bytes } => {
                    (rest, rest_until) = (None, None);
                    self.is_http1 = true;
                    self.read_bytes = bytes.max(LANE_READ_BYTES);
                    let whole = self.buffer.split_to(bytes).freeze();
                    let request = request(&whole, head_bytes);
                    let queue = request.as_ref().and_then(enqueue_queue);
                    while !queue.map_or(begun.answers.is_empty(), |queue| begun.takes(queue, bytes)) {
                        if !self.go_on(&mut begun, false).await? {
                            return Ok(Left::Ended);
                        }
                    }
                    let queue = queue.map(str::to_owned);
                    let Some(request) = request else {
                        // What http does not take hyper does not take either, and it knows what to say.
                        self.flush().await?;
                        let read = [&whole, &self.buffer[..]].concat().into();
                        return Ok(Left::ForHyper { stream: self.stream, read, is_http1: true });
                    };
                    drop(whole);
                    if let Some(queue) = queue
                        && !(begun.answers.is_empty() && self.buffer.is_empty())
                    {
                        let door = self.door.clone();
                        let answer = async move { Answered::One(door.answer(request).await) };
                        begun.begin(&queue, Size { jobs: 1, bytes }, Box::pin(answer)).await;
                        continue;
                    }
                    match self.answer(request).await? {
                        Some(reply) => self.put(reply, true).await?,
                        None => return Ok(Left::Ended),
                    }
                    active_at = Instant::now();
                    if *self.stop.borrow() {
                        self.flush().await?;
                        return Ok(Left::Ended);
                    }
                }
                Look::Rest { bytes, is_known } => {
                    self.flush().await?;
                    if is_known && rest.is_none() {
                        // Its room is taken before its memory. Where there is none, the general server says so.
                        match self.door.intake().take(bytes) {
                            Ok(room) => rest = Some((bytes, room)),
                            Err(_) => return Ok(self.for_hyper()),
                        }
                    }
                    let missing = bytes.saturating_sub(self.buffer.len());
                    self.buffer.reserve(if is_known { missing } else { LANE_READ_BYTES });
                    // One limit for all of it, however many pieces it comes in.
                    let until = *rest_until.get_or_insert_with(|| Instant::now() + LANE_REST_TIMEOUT);
                    let mut late = pin!(tokio::time::sleep_until(until.into()));
                    let woken = poll_fn(|context| self.poll_woken(context, stopping.as_mut(), late.as_mut()));
                    match woken.await? {
                        Woken::Read(0) | Woken::Stopping => return Ok(Left::Ended),
                        Woken::Read(_) => active_at = Instant::now(),
                        Woken::Idle => return Ok(self.for_hyper()),
                    }
                }
                Look::Nothing => {
                    self.flush().await?;
                    self.buffer.reserve(self.read_bytes);
                    let woken = poll_fn(|context| self.poll_woken(context, stopping.as_mut(), idle.as_mut()));
                    match woken.await? {
                        Woken::Read(0) | Woken::Stopping => return Ok(Left::Ended),
                        Woken::Read(_) => active_at = Instant::now(),
                        Woken::Idle if active_at.elapsed() >= HEAD_TIMEOUT => return Ok(Left::Ended),
                        Woken::Idle => idle.as_mut().reset((active_at + HEAD_TIMEOUT).into()),
                    }
                }
                Look::Other => {
                    self.flush().await?;
                    return Ok(self.for_hyper());
                }
            }
        }
    }

    /// Begins enqueues that were found in the buffer, behind those that are begun already; false if the connection is over.
    async fn begin_row(&mut self, found: Found, begun: &mut Begun) -> io::Result<bool> {
        while !begun.takes(found.queue(&self.buffer), found.bytes) {
            // What comes meanwhile stands behind them.
            if !self.go_on(begun, false).await? {
                return Ok(false);
            }
        }
        let (door, bytes) = (self.door.clone(), found.bytes);
        self.read_bytes = bytes.max(LANE_READ_BYTES);
        let row = found.row(&self.buffer.split_to(bytes).freeze());
        let (queue, size) = (row.queue().to_owned(), Size { jobs: row.jobs(), bytes });
        begun.begin(&queue, size, Box::pin(async move { Answered::Row(door.answer_row(row).await) })).await;
        Ok(true)
    }

    /// Waits until the oldest of those that are begun is answered, or, with `or_read`, until more was read; false if the
    /// connection is over.
    async fn go_on(&mut self, begun: &mut Begun, or_read: bool) -> io::Result<bool> {
        let (oldest, _) = begun.answers.front_mut().expect("the caller saw that there is one");
        let mut answered = poll_fn(|context| Poll::Ready(oldest.as_mut().poll(context))).await;
        if answered.is_pending() {
            self.flush().await?;
            let mut is_gone = false;
            answered = poll_fn(|context| {
                if let Poll::Ready(answered) = oldest.as_mut().poll(context) {
                    return Poll::Ready(Ok(Poll::Ready(answered)));
                }
                while self.buffer.len() < CONNECTION_BUFFER_BYTES {
                    if self.buffer.capacity() == self.buffer.len() {
                        self.buffer.reserve(LANE_READ_BYTES);
                    }
                    let read = ready!(self.poll_read(context));
                    is_gone = matches!(read, Ok(0));
                    if or_read || is_gone || read.is_err() {
                        return Poll::Ready(read.map(|_| Poll::Pending));
                    }
                }
                Poll::Pending
            })
            .await?;
            if is_gone {
                return Ok(false);
            }
        }
        let Poll::Ready(answered) = answered else { return Ok(true) };
        begun.end();
        let is_last = begun.answers.is_empty();
        match answered {
            Answered::One(reply) => self.put(reply, is_last).await?,
            Answered::Row(answers) => self.put_row(answers, is_last).await?,
        }
        if begun.answers.is_empty() && *self.stop.borrow() {
            self.flush().await?;
            return Ok(false);
        }
        Ok(true)
    }

    /// Asks the door. Meanwhile the answers before this one go out, and the caller's going away is noticed: then
    /// there is no answer.
    async fn answer(&mut self, request: Request<RequestBody>) -> io::Result<Option<Reply>> {
        let door = self.door.clone();
        let mut answer = pin!(door.answer(request));
        if !self.out.is_empty() {
            let at_once = poll_fn(|context| Poll::Ready(answer.as_mut().poll(context)));
            if let Poll::Ready(reply) = at_once.await {
                return Ok(Some(reply));
            }
            self.flush().await?;
        }
        poll_fn(|context| {
            if let Poll::Ready(reply) = answer.as_mut().poll(context) {
                return Poll::Ready(Ok(Some(reply)));
            }
            // Requests behind this one are read as far as there is room; they wait their turn.
            while self.buffer.len() < CONNECTION_BUFFER_BYTES {
                self.buffer.reserve(1);
                match ready!(self.poll_read(context)) {
                    Ok(0) => return Poll::Ready(Ok(None)),
                    Ok(_) => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            Poll::Pending
        })
        .await
    }

    /// What comes first of more to read, the server's stop, and a time.
    fn poll_woken(
        &mut self,
        context: &mut Context<'_>,
        stopping: Pin<&mut impl Future<Output = ()>>,
        time: Pin<&mut tokio::time::Sleep>,
    ) -> Poll<io::Result<Woken>> {
        if let Poll::Ready(read) = self.poll_read(context) {
            return Poll::Ready(read.map(Woken::Read));
        }
        if stopping.poll(context).is_ready() {
            return Poll::Ready(Ok(Woken::Stopping));
        }
        time.poll(context).map(|()| Ok(Woken::Idle))
    }

    /// Reads into the buffer's free room.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        pin!(self.stream.read_buf(&mut self.buffer)).poll(context)
    }

    /// Puts the answers to a row behind those that wait to be written.
    async fn put_row(&mut self, answers: Answers, is_last: bool) -> io::Result<()> {
        let Answers { queue, jobs } = answers;
        let (mut body, mut left) = (Vec::with_capacity(96), jobs.len());
        for answer in jobs {
            left -= 1;
            let is_last = is_last && left == 0;
            match answer {
                Ok(accepted) => {
                    body.clear();
                    accepted.write(&mut body, &queue);
                    let json = [(CONTENT_TYPE.as_str(), JSON.as_bytes())];
                    self.put_head(accepted.status(), json, body.len(), is_last);
                    self.out.extend_from_slice(&body);
                    if self.out.len() >= OUT_BYTES {
                        self.flush().await?;
                    }
                }
                Err(refusing) => self.put(refusing.into_reply(), is_last).await?,
            }
        }
        Ok(())
    }

    /// Puts an answer behind those that wait to be written; a long one is written at once.
    async fn put(&mut self, reply: Reply, is_last: bool) -> io::Result<()> {
        let (head, body) = reply.into_parts();
        let ReplyBody::Whole(body) = body else { unreachable!("only streams are answered in pieces") };
        let mut body = body.unwrap_or_default();
        let headers = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        self.put_head(head.status, headers, body.len(), is_last);
        if body.len() <= TOGETHER_BYTES {
            self.out.extend_from_slice(&body);
            return if self.out.len() < OUT_BYTES { Ok(()) } else { self.flush().await };
        }
        let written = self.stream.write_all_buf(&mut Buf::chain(self.out.as_slice(), &mut body)).await;
        self.out.clear();
        written
    }

    /// The head of an answer. After the last one a server that stops closes the connection.
    fn put_head<'a>(
        &mut self,
        status: StatusCode,
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        body_bytes: usize,
        is_last: bool,
    ) {
        let out = &mut self.out;
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
        for (name, value) in headers {
            put_header(out, name, value);
        }
        put_header(out, "content-length", itoa::Buffer::new().format(body_bytes).as_bytes());
        if is_last && *self.stop.borrow() {
            put_header(out, "connection", b"close");
        }
        with_date(|date| put_header(out, "date", date.as_bytes()));
        out.extend_from_slice(b"\r\n\r\n");
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out).await?;
            self.out.clear();
        }
        Ok(())
    }

    fn for_hyper(self) -> Left<S> {
        Left::ForHyper { stream: self.stream, read: self.buffer.freeze(), is_http1: self.is_http1 }
    }
}

fn put_header(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
}

/// The text of the `Date` header, made once a second on each thread.
fn with_date(put: impl FnOnce(&str)) {
    thread_local! {
        static DATE: RefCell<(Duration, String)> = const { RefCell::new((Duration::ZERO, String::new())) };
    }
    let now = SystemTime::now();
    let second =
        Duration::from_secs(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs());
    DATE.with_borrow_mut(|(made, text)| {
        if *made != second || text.is_empty() {
            (*made, *text) = (second, httpdate::fmt_http_date(now));
        }
        put(text);
    });
}

/// What stands at the beginning of a buffer.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Nothing,
    /// The beginning of what may become a plain request, of so many bytes, or of more if its head is not whole yet.
    Rest {
        bytes: usize,
        is_known: bool,
    },
    /// A plain request with so long a head, of so many bytes together.
    Whole {
        head_bytes: usize,
        bytes: usize,
    },
    /// Anything else.
    Other,
}

fn look(buffer: &[u8]) -> Look {
    if buffer.is_empty() {
        return Look::Nothing;
    }
    let mut headers = [httparse::EMPTY_HEADER; LANE_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let head_bytes = match head.parse(buffer) {
        Ok(httparse::Status::Complete(bytes)) => bytes,
        Ok(httparse::Status::Partial) if buffer.len() < LANE_READ_BYTES => {
            return Look::Rest { bytes: buffer.len() + 1, is_known: false };
        }
        Ok(httparse::Status::Partial) | Err(_) => return Look::Other,
    };
    let is_ours = matches!(head.method, Some("POST" | "GET" | "PUT"))
        && head.version == Some(1)
        && head.path.is_some_and(|path| path.starts_with("/v1/") && !is_watch(path));
    match body_bytes(head.headers).filter(|_| is_ours) {
        None => Look::Other,
        Some(body_bytes)
            if body_bytes > CONNECTION_BUFFER_BYTES - head_bytes.min(CONNECTION_BUFFER_BYTES) =>
        {
            Look::Other
        }
        Some(body_bytes) if head_bytes + body_bytes > buffer.len() => {
            Look::Rest { bytes: head_bytes + body_bytes, is_known: true }
        }
        Some(body_bytes) => Look::Whole { head_bytes, bytes: head_bytes + body_bytes },
    }
}

/// Whether it is the call that is answered with a stream of events.
fn is_watch(target: &str) -> bool {
    target.split('?').next() == Some("/v1/pools/watch")
}

/// The length that the headers announce; none if they ask for anything that is not plain.
pub(crate) fn body_bytes(headers: &[httparse::Header<'_>]) -> Option<usize> {
    let mut length = None;
    for header in headers {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            // Two of them, or one that is no number, are a matter for the general server.
            let digits = header.value;
            if length.is_some() || digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
                return None;
            }
            length = Some(std::str::from_utf8(digits).ok()?.parse().ok()?);
        } else if is("connection") {
            if !header.value.eq_ignore_ascii_case(b"keep-alive") {
                return None;
            }
        } else if is("content-type") {
            if header.value.to_ascii_lowercase().starts_with(b"application/x-ndjson") {
                return None;
            }
        } else if ["transfer-encoding", "expect", "upgrade", "http2-settings", "te", "trailer"]
            .into_iter()
            .any(is)
        {
            return None;
        }
    }
    Some(length.unwrap_or(0))
}

/// The request in `whole`, which was found to be plain; none if its path or a header is not one after all.
fn request(whole: &Bytes, head_bytes: usize) -> Option<Request<RequestBody>> {
    let mut headers = [httparse::EMPTY_HEADER; LANE_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    head.parse(whole).ok()?;
    let mut request = Request::new(RequestBody::Whole(Some(whole.slice(head_bytes..))));
    *request.method_mut() = Method::from_bytes(head.method?.as_bytes()).ok()?;
    *request.uri_mut() = Uri::from_maybe_shared(whole.slice_ref(head.path?.as_bytes())).ok()?;
    request.headers_mut().reserve(head.headers.len());
    for header in head.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(whole.slice_ref(header.value)).ok()?;
        request.headers_mut().append(name, value);
    }
    Some(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Look) {
        assert_eq!(look(text.as_bytes()), expected, "{text:?}");
    }

    /// A head with these lines, and two bytes of a body.
    fn with(lines: &str) -> String {
        format!("POST /v1/work HTTP/1.1\r\n{lines}\r\n{{}}")
    }

    #[test]
    fn whole_plain_requests_are_taken() {
        for lines in ["content-length: 2\r\n", "Content-Length: 2\r\nHost: a\r\nConnection: keep-alive\r\n"] {
            let bytes = with(lines).len();
            check(&with(lines), Look::Whole { head_bytes: bytes - 2, bytes });
        }
        let get = "GET /v1/jobs HTTP/1.1\r\n\r\n";
        check(&format!("{get}{get}"), Look::Whole { head_bytes: get.len(), bytes: get.len() });
        check(&with(""), Look::Whole { head_bytes: with("").len() - 2, bytes: with("").len() - 2 });
    }

    #[test]
    fn what_may_become_one_is_waited_for() {
        check("", Look::Nothing);
        let bytes = with("content-length: 9\r\n").len() + 7;
        check(&with("content-length: 9\r\n"), Look::Rest { bytes, is_known: true });
        check("POST /v1/wo", Look::Rest { bytes: 12, is_known: false });
    }

    #[test]
    fn everything_else_is_left_to_the_general_server() {
        for lines in [
            "transfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 2\r\n",
            "content-length: 2\r\ncontent-length: 2\r\n",
            "content-length: +2\r\n",
            "content-length: 2, 2\r\n",
            "content-length: \r\n",
            "content-length: 99999999999999999999999\r\n",
            "content-length: 999999999\r\n",
            "connection: close\r\n",
            "connection: keep-alive, upgrade\r\n",
            "expect: 100-continue\r\ncontent-length: 2\r\n",
            "upgrade: h2c\r\n",
            "Content-Type: Application/X-NDJSON; charset=utf-8\r\n",
            "bad header\r\n",
        ] {
            check(&with(lines), Look::Other);
        }
        let many: String = (0..=LANE_HEADERS).map(|n| format!("x-{n}: y\r\n")).collect();
        check(&with(&many), Look::Other);
        for text in [
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "HEAD /v1/jobs HTTP/1.1\r\n\r\n",
            "GET /v1/jobs HTTP/1.0\r\n\r\n",
            "GET /healthz HTTP/1.1\r\n\r\n",
            "GET /v1/pools/watch?names=a HTTP/1.1\r\n\r\n",
            "GET http://tidegate/v1/jobs HTTP/1.1\r\n\r\n",
            "nonsense\r\n\r\n",
            "\u{16}\u{3}\u{1}",
        ] {
            check(text, Look::Other);
        }
        check(&format!("GET /v1/jobs HTTP/1.1\r\nx: {}", "y".repeat(LANE_READ_BYTES)), Look::Other);
    }
}
