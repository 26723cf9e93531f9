//! Finds the answers in what a connection received, and nothing more.
//!
//! The generator shares its machine with the server it measures, so this reads only what it needs: the status, the
//! length, where the body is. It promises the same answers however the bytes were cut on their way. It leaves out
//! everything that the server under test does not use: chunked bodies, answers without a length and interim
//! answers are each an error by name, never a wrong count.

use memchr::memmem;

/// An answer's head may be this long; the server's is about 150 bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// An answer's body may be this long: 1,000 leased jobs with small payloads, with room.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Room asked for before each read.
const READ_BYTES: usize = 64 * 1024;

/// One whole answer, borrowed from the connection's buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

/// Bytes that are no answer this reader understands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("the answer's head is longer than {HEAD_BYTES_MAX} bytes")]
    HeadTooLong,
    #[error("the answer's body is longer than {BODY_BYTES_MAX} bytes")]
    BodyTooLong,
    #[error("the answer does not begin with an HTTP/1.1 status line")]
    NoStatusLine,
    #[error("the answer has no Content-Length")]
    NoLength,
}

/// The received bytes of one connection.
#[derive(Default)]
pub(crate) struct Responses {
    buffer: Vec<u8>,
    /// Where the next answer begins; what is before has been handed out.
    start: usize,
    /// Length of head and body of the answer at `start`, once its head has been read.
    expected: Option<Expected>,
}

#[derive(Clone, Copy)]
struct Expected {
    status: u16,
    head_length: usize,
    body_length: usize,
}

impl Responses {
    /// The buffer to append received bytes to, with room for a good read.
    pub(crate) fn space(&mut self) -> &mut Vec<u8> {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        } else if self.start > READ_BYTES {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.reserve(READ_BYTES);
        &mut self.buffer
    }

    /// The next whole answer, or `None` until more bytes are there.
    pub(crate) fn next(&mut self) -> Result<Option<Response<'_>>, Malformed> {
        let rest = &self.buffer[self.start..];
        let expected = match self.expected {
            Some(expected) => expected,
            None => match read_head(rest)? {
                Some(expected) => *self.expected.insert(expected),
                None => return Ok(None),
            },
        };
        let length = expected.head_length + expected.body_length;
        if rest.len() < length {
            return Ok(None);
        }
        self.expected = None;
        self.start += length;
        Ok(Some(Response { status: expected.status, body: &rest[expected.head_length..length] }))
    }
}

/// Status and lengths of the answer that begins here, once its whole head has come.
fn read_head(bytes: &[u8]) -> Result<Option<Expected>, Malformed> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
        return if bytes.len() > HEAD_BYTES_MAX { Err(Malformed::HeadTooLong) } else { Ok(None) };
    };
    let head = &bytes[..end];
    let status = head
        .strip_prefix(b"HTTP/1.1 ")
        .and_then(|line| line.get(..3))
        .and_then(decimal)
        .ok_or(Malformed::NoStatusLine)?;
    let body_length = content_length(head).ok_or(Malformed::NoLength)?;
    if body_length > BODY_BYTES_MAX {
        return Err(Malformed::BodyTooLong);
    }
    Ok(Some(Expected { status: status as u16, head_length: end + 4, body_length }))
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let mut lines = memmem::find_iter(head, b"\r\n").map(|at| &head[at + 2..]);
    let line = lines.find(|line| line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME))?;
    let value = &line[NAME.len()..];
    let value = &value[..memchr::memchr(b'\r', value).unwrap_or(value.len())];
    decimal(value.trim_ascii())
}

/// A number written in at most 12 decimal digits, which no `usize` overflows.
fn decimal(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 12 {
        return None;
    }
    digits
        .iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + usize::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Hands the bytes over in the given pieces and collects what comes out.
    fn read_in_pieces(bytes: &[u8], cuts: &[usize]) -> Result<Vec<(u16, Vec<u8>)>, Malformed> {
        let mut responses = Responses::default();
        let mut found = Vec::new();
        let mut rest = bytes;
        let mut cuts = cuts.iter().copied().cycle();
        while !rest.is_empty() {
            let length = cuts.next().unwrap_or(rest.len()).clamp(1, rest.len());
            let (piece, after) = rest.split_at(length);
            responses.space().extend_from_slice(piece);
            while let Some(response) = responses.next()? {
                found.push((response.status, response.body.to_vec()));
            }
            rest = after;
        }
        Ok(found)
    }

    #[track_caller]
    fn check(bytes: &str, expected: Result<&[(u16, &str)], Malformed>) {
        let expected = expected.map(|list| {
            list.iter().map(|(status, body)| (*status, body.as_bytes().to_vec())).collect::<Vec<_>>()
        });
        for cut in [1, 7, bytes.len()] {
            assert_eq!(read_in_pieces(bytes.as_bytes(), &[cut]), expected, "in pieces of {cut}");
        }
    }

    #[test]
    fn answers_follow_each_other_without_a_gap() {
        check(
            "HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            Ok(&[(201, "{}"), (200, "")]),
        );
    }

    #[test]
    fn the_length_is_found_among_other_headers_whatever_its_case() {
        check(
            "HTTP/1.1 429 Too Many\r\nx-content-length: 9\r\nCONTENT-LENGTH:3\r\nretry-after: 1\r\n\r\nabc",
            Ok(&[(429, "abc")]),
        );
    }

    #[test]
    fn an_unfinished_answer_is_not_handed_out() {
        check("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcd", Ok(&[]));
    }

    #[test]
    fn what_is_no_answer_is_an_error_by_name() {
        check("SSH-2.0-OpenSSH\r\n\r\n", Err(Malformed::NoStatusLine));
        check("HTTP/1.1 2x0 OK\r\ncontent-length: 0\r\n\r\n", Err(Malformed::NoStatusLine));
        check("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", Err(Malformed::NoLength));
        check("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", Err(Malformed::NoLength));
        check("HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\n", Err(Malformed::BodyTooLong));
        check(&"x".repeat(HEAD_BYTES_MAX + 1), Err(Malformed::HeadTooLong));
    }

    proptest! {
        #[test]
        fn the_answers_are_the_same_however_the_bytes_are_cut(
            answers in prop::collection::vec((100u16..600, prop::collection::vec(any::<u8>(), 0..300)), 0..20),
            cuts in prop::collection::vec(1usize..200, 1..50),
        ) {
            let mut bytes = Vec::new();
            for (status, body) in &answers {
                bytes.extend_from_slice(
                    format!("HTTP/1.1 {status} X\r\ndate: now\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(),
                );
                bytes.extend_from_slice(body);
            }
            prop_assert_eq!(read_in_pieces(&bytes, &cuts), Ok(answers));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..500),
            cuts in prop::collection::vec(1usize..50, 1..5),
        ) {
            let _ = read_in_pieces(&bytes, &cuts);
        }
    }
}
