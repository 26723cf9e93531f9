//! A body's lines, in chunks.
//!
//! A chunk is one piece of memory with the places of its lines in it, so that what is read from a line can be a slice of
//! the chunk. Empty lines are left out. A line that is too long is skipped and remembered as that.
//!
//! Where a chunk ends depends only on the lines, never on the pieces in which they came, unless chunks may end at
//! pauses.

use std::future::poll_fn;
use std::ops::Range;
use std::pin::pin;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use memchr::memchr;
use tidegate_api::limits::LINE_BYTES_MAX;
use tidegate_api::refusal::{Code, Refusal, Refused};

use crate::body::{Intake, RequestBody};
use crate::limits::{CHUNK_BYTES, CHUNK_LINES};

/// Some lines in one piece of memory.
#[derive(Debug, PartialEq)]
pub(crate) struct Chunk {
    /// The memory.
    pub(crate) bytes: Bytes,
    /// Where its lines lie in it; none for a line that was too long.
    pub(crate) lines: Vec<Option<Range<usize>>>,
}

impl Chunk {
    /// The lines' texts, or their refusals.
    pub(crate) fn texts(&self) -> impl Iterator<Item = Result<&[u8], Refused>> {
        self.lines.iter().map(|place| match place {
            Some(place) => Ok(&self.bytes[place.clone()]),
            None => {
                let detail = format!("A line has at most {LINE_BYTES_MAX} bytes.");
                Err(Box::new(Refusal::new(Code::BodyTooLarge, detail)))
            }
        })
    }
}

/// The lines of a body.
#[derive(Debug)]
pub(crate) struct Lines {
    intake: Intake,
    body: RequestBody,
    splitter: Splitter,
}

impl Lines {
    /// The lines of `body`.
    pub(crate) fn new(intake: Intake, body: RequestBody) -> Self {
        Self { intake, body, splitter: Splitter::default() }
    }

    /// The next chunk; none at the end. With `ends_at_pauses` a chunk that has lines does not wait for more.
    pub(crate) async fn next_chunk(&mut self, ends_at_pauses: bool) -> Result<Option<Chunk>, Refused> {
        loop {
            if let Some(chunk) = self.splitter.full_chunk() {
                return Ok(Some(chunk));
            }
            if self.splitter.ended {
                return Ok(self.splitter.cut());
            }
            let piece = if ends_at_pauses && self.splitter.has_lines() {
                match at_once(self.intake.next_piece(&mut self.body)).await {
                    Some(piece) => piece?,
                    None => return Ok(self.splitter.cut()),
                }
            } else {
                self.intake.next_piece(&mut self.body).await?
            };
            match piece {
                Some(piece) => self.splitter.push(&piece),
                None => self.splitter.end(),
            }
        }
    }

    /// Nothing more is read.
    pub(crate) fn end(&mut self) {
        self.splitter = Splitter { ended: true, ..Splitter::default() };
    }
}

/// What a future is ready with at once, if it is.
async fn at_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Finds lines in pieces.
#[derive(Debug, Default)]
struct Splitter {
    buffer: BytesMut,
    /// Lines found in the buffer and not yet given out.
    lines: Vec<Option<Range<usize>>>,
    /// Bytes of those lines.
    lines_bytes: usize,
    /// Where the line begins that is not whole yet.
    line_start: usize,
    /// How far the buffer has been looked through.
    looked_at: usize,
    /// The rest of a line that is too long is still coming.
    skips: bool,
    ended: bool,
}

impl Splitter {
    fn push(&mut self, mut piece: &[u8]) {
        if self.skips {
            let Some(end) = memchr(b'\n', piece) else { return };
            self.skips = false;
            piece = &piece[end + 1..];
        }
        self.buffer.extend_from_slice(piece);
    }

    fn end(&mut self) {
        self.ended = true;
    }

    fn has_lines(&self) -> bool {
        !self.lines.is_empty()
    }

    /// Looks through what came; gives a chunk as soon as one is full.
    fn full_chunk(&mut self) -> Option<Chunk> {
        while self.lines.len() < CHUNK_LINES && self.lines_bytes < CHUNK_BYTES {
            let Some(length) = memchr(b'\n', &self.buffer[self.looked_at..]) else {
                self.looked_at = self.buffer.len();
                self.line_without_end();
                return None;
            };
            let end = self.looked_at + length;
            self.line(end);
            self.line_start = end + 1;
            self.looked_at = end + 1;
        }
        self.cut()
    }

    /// The line from `line_start` to `end` is whole.
    fn line(&mut self, end: usize) {
        let place = self.line_start..end;
        if place.len() > LINE_BYTES_MAX {
            self.lines.push(None);
        } else if !self.buffer[place.clone()].trim_ascii().is_empty() {
            self.lines_bytes += place.len();
            self.lines.push(Some(place));
        }
    }

    /// The buffer ends within a line: it may be the last one, or too long already.
    fn line_without_end(&mut self) {
        if self.ended {
            self.line(self.buffer.len());
            self.line_start = self.buffer.len();
        } else if self.buffer.len() - self.line_start > LINE_BYTES_MAX {
            self.lines.push(None);
            self.buffer.truncate(self.line_start);
            self.looked_at = self.line_start;
            self.skips = true;
        }
    }

    /// Gives out the lines found so far; none if there are none.
    fn cut(&mut self) -> Option<Chunk> {
        if self.lines.is_empty() {
            return None;
        }
        let bytes = self.buffer.split_to(self.line_start).freeze();
        self.looked_at -= self.line_start;
        self.line_start = 0;
        self.lines_bytes = 0;
        Some(Chunk { bytes, lines: std::mem::take(&mut self.lines) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits a text that comes in pieces of so many bytes, and says the lines of each chunk (`-` for one too long).
    fn split(text: &str, piece_bytes: usize) -> Vec<Vec<String>> {
        let mut splitter = Splitter::default();
        let mut pieces = text.as_bytes().chunks(piece_bytes);
        let mut chunks = Vec::new();
        loop {
            while let Some(chunk) = splitter.full_chunk() {
                let text = |text: Result<&[u8], Refused>| {
                    text.map_or("-".into(), |text| String::from_utf8_lossy(text).into())
                };
                chunks.push(chunk.texts().map(text).collect());
            }
            if splitter.ended {
                chunks.extend(splitter.cut().map(|chunk| {
                    let text = |text: Result<&[u8], Refused>| {
                        text.map_or("-".into(), |text| String::from_utf8_lossy(text).into())
                    };
                    chunk.texts().map(text).collect::<Vec<String>>()
                }));
                return chunks;
            }
            match pieces.next() {
                Some(piece) => splitter.push(piece),
                None => splitter.end(),
            }
        }
    }

    fn check(text: &str, expected: &[&[&str]]) {
        for piece_bytes in [1, 2, 3, 7, 1_000, text.len().max(1)] {
            assert_eq!(split(text, piece_bytes), expected, "in pieces of {piece_bytes}");
        }
    }

    #[test]
    fn lines_are_found_however_they_come() {
        check("", &[]);
        check("\n \r\n\n", &[]);
        check("a", &[&["a"]]);
        check("a\nb\n", &[&["a", "b"]]);
        check("a\r\n\nb", &[&["a\r", "b"]]);
    }

    #[test]
    fn a_chunk_ends_at_so_many_lines() {
        let text = "x\n".repeat(2 * CHUNK_LINES + 1);
        let lengths: Vec<usize> = split(&text, 999).iter().map(Vec::len).collect();
        assert_eq!(lengths, [CHUNK_LINES, CHUNK_LINES, 1]);
    }

    #[test]
    fn a_chunk_ends_at_so_many_bytes() {
        let text = format!("{}\n", "x".repeat(CHUNK_BYTES / 2)).repeat(5);
        for piece_bytes in [100_000, 10_000_000] {
            let lengths: Vec<usize> = split(&text, piece_bytes).iter().map(Vec::len).collect();
            assert_eq!(lengths, [2, 2, 1]);
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_remembered() {
        let long = "x".repeat(LINE_BYTES_MAX + 1);
        let full = "y".repeat(LINE_BYTES_MAX);
        for piece_bytes in [100_000, LINE_BYTES_MAX, 10_000_000] {
            let chunks = split(&format!("a\n{long}\nb\n{full}\nc\n{long}"), piece_bytes);
            assert_eq!(
                chunks,
                [vec!["a".into(), "-".into(), "b".into(), full.clone()], vec!["c".into(), "-".into()]]
            );
        }
    }
}
