//! Answers that nobody reads: how long they wait, and how much of them.
//!
//! An answer is in memory from when it is made until the system has taken its last byte, and a caller who does not read stops it
//! there. So a connection whose bytes nobody takes for a while is given up ([`Patient`]); and the long answers of all
//! connections are counted ([`Unread`]): beyond a bound further long reads are refused. What changes something is answered all the
//! same, since it has happened; but it counts.
//!
//! Left out: time on a single stream of HTTP/2, whose caller can hold back one answer while reading others. The bound
//! holds there too.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tidegate_api::refusal::{Code, Refusal};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::limits::LONG_ANSWER_BYTES;

/// The long answers that are in memory. Clones share the count.
#[derive(Debug, Clone)]
pub(crate) struct Unread {
    bytes: Arc<AtomicUsize>,
    bytes_max: usize,
}

/// An answer that is counted until its last byte is let go.
struct Counted {
    answer: Bytes,
    bytes: Arc<AtomicUsize>,
}

impl Unread {
    /// A count with a bound, in bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes: Arc::default(), bytes_max }
    }

    /// The same answer, counted if it is long. One that `may_be_refused` is, beyond the bound; the first long one never is.
    pub(crate) fn count(&self, answer: Bytes, may_be_refused: bool) -> Result<Bytes, Box<Refusal>> {
        let len = answer.len();
        if len < LONG_ANSWER_BYTES {
            return Ok(answer);
        }
        let others = self.bytes.fetch_add(len, Ordering::Relaxed);
        let counted = Counted { answer, bytes: Arc::clone(&self.bytes) };
        if may_be_refused && others > 0 && others + len > self.bytes_max {
            let detail = format!(
                "The server holds {others} bytes of long answers that their callers have not read, and may hold {}.",
                self.bytes_max
            );
            return Err(Box::new(Refusal::new(Code::InboxFull, detail).with_retry_after_ms(1_000)));
        }
        Ok(Bytes::from_owner(counted))
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.answer
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.bytes.fetch_sub(self.answer.len(), Ordering::Relaxed);
    }
}

/// A connection that breaks when what is written to it goes nowhere for so long.
pub(crate) struct Patient<S> {
    stream: S,
    patience: Duration,
    /// Since the last byte went, while one waits. Most connections never have it.
    waits: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    /// The stream, with patience.
    pub(crate) fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, waits: None }
    }

    /// What a write came to; an error if it has waited too long.
    fn bounded<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waits = None;
            return written;
        }
        let patience = self.patience;
        let waits = self.waits.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(waits.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the caller does not read its answers")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, room)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.bounded(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.bounded(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
