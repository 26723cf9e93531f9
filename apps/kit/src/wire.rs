//! One HTTP connection of a load: a request out, an answer in, over HTTP/1.1 that is kept alive.
//!
//! A load shares its machine with the service, so this reads only what an answer is judged by, and promises the same answer
//! however the bytes were cut on their way. It leaves out what the services do not use for these answers: chunked bodies,
//! answers without a length and interim answers are each an error by name, never a wrong count.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    time::Duration,
};

use memchr::memmem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Room for an answer, which is some hundred bytes; a longer one gets more.
const ANSWER_BYTES: usize = 4 * 1024;
const HEAD_BYTES_MAX: usize = 16 * 1024;
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
const HEAD_END: &[u8] = b"\r\n\r\n";

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

/// One whole answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// What its head says.
    pub head: Head,
    /// Its body.
    pub body: &'a [u8],
}

/// What an answer's head says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// How long to stay away.
    pub retry_after: Option<Duration>,
    /// The service had answered this key before.
    pub replayed: bool,
    /// The service closes the connection after this answer.
    pub closes: bool,
}

/// Why a request that was sent has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The system says why.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// It ended too early.
    #[error("the service closed the connection before it had answered")]
    Closed,
    /// Something else came.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Bytes that are no answer this reader understands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A head without an end.
    #[error("the answer's head is longer than {HEAD_BYTES_MAX} bytes")]
    HeadTooLong,
    /// A body that no answer has.
    #[error("the answer's body is longer than {BODY_BYTES_MAX} bytes")]
    BodyTooLong,
    /// Another protocol, perhaps.
    #[error("the answer does not begin with an HTTP/1.1 status line")]
    NoStatusLine,
    /// Chunks, perhaps.
    #[error("the answer has no Content-Length")]
    NoLength,
    /// A connection has one request under way.
    #[error("more bytes came than one answer has")]
    Surplus,
}

impl Connection {
    /// A new one.
    ///
    /// # Errors
    /// The system's: nobody listens, most likely.
    pub async fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, received: Vec::with_capacity(ANSWER_BYTES) })
    }

    /// True if the service has closed it while nothing was under way. This asks the system only if the system has
    /// said that there is something to know.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        let nothing = self.stream.try_read(&mut [0]);
        !matches!(nothing, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// One request in two pieces, of which the second may be empty; one answer. After an error the connection is of no more
    /// use.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn exchange(&mut self, request: &[u8], tail: &[u8]) -> Result<Response<'_>, Broken> {
        self.send(request, tail).await?;
        self.received.clear();
        let (head, body_length) = loop {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(Broken::Closed);
            }
            if let Some(answer) = read(&self.received)? {
                break (answer.head, answer.body.len());
            }
        };
        Ok(Response { head, body: &self.received[self.received.len() - body_length..] })
    }

    async fn send(&mut self, request: &[u8], tail: &[u8]) -> io::Result<()> {
        let mut pieces = [IoSlice::new(request), IoSlice::new(tail)];
        let mut pieces = &mut pieces[..];
        IoSlice::advance_slices(&mut pieces, 0);
        while !pieces.is_empty() {
            match self.stream.write_vectored(pieces).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => IoSlice::advance_slices(&mut pieces, written),
            }
        }
        Ok(())
    }
}

/// The answer at the start of these bytes, or `None` until more of them are there. Bytes after it are an error: a
/// connection has one request under way.
fn read(bytes: &[u8]) -> Result<Option<Response<'_>>, Malformed> {
    let Some(head_end) = memmem::find(bytes, HEAD_END) else {
        return if bytes.len() > HEAD_BYTES_MAX { Err(Malformed::HeadTooLong) } else { Ok(None) };
    };
    let (head, length) = read_head(&bytes[..head_end])?;
    let body = &bytes[head_end + HEAD_END.len()..];
    match body.len() {
        _ if length > BODY_BYTES_MAX => Err(Malformed::BodyTooLong),
        here if here < length => Ok(None),
        here if here > length => Err(Malformed::Surplus),
        _ => Ok(Some(Response { head, body })),
    }
}

fn read_head(bytes: &[u8]) -> Result<(Head, usize), Malformed> {
    let status = bytes.strip_prefix(b"HTTP/1.1 ").and_then(|line| line.get(..3)).and_then(decimal);
    let status = status.ok_or(Malformed::NoStatusLine)? as u16;
    let mut head = Head { status, ..Head::default() };
    // Answers that have no body by their nature need not say its length.
    let mut length = matches!(status, 204 | 304).then_some(0);
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(b'\n', rest) {
        rest = &rest[at + 1..];
        let line = &rest[..memchr::memchr(b'\r', rest).unwrap_or(rest.len())];
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        // Names differ in length, so most headers cost one comparison of two numbers.
        if name.eq_ignore_ascii_case(b"content-length") && status != 304 {
            length = decimal(value);
        } else if name.eq_ignore_ascii_case(b"retry-after") {
            head.retry_after = decimal(value).map(|seconds| Duration::from_secs(seconds as u64));
        } else if name.eq_ignore_ascii_case(b"idempotent-replayed") {
            head.replayed = value.eq_ignore_ascii_case(b"true");
        } else if name.eq_ignore_ascii_case(b"connection") {
            head.closes = value.eq_ignore_ascii_case(b"close");
        }
    }
    Ok((head, length.ok_or(Malformed::NoLength)?))
}

/// A number written in at most 12 decimal digits, which no `usize` overflows.
fn decimal(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 12 {
        return None;
    }
    let add = |number, digit: &u8| digit.is_ascii_digit().then(|| number * 10 + usize::from(digit - b'0'));
    digits.iter().try_fold(0, add)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(bytes: &str, expected: Result<Option<(Head, &str)>, Malformed>) {
        let found = read(bytes.as_bytes());
        assert_eq!(
            found,
            expected.map(|some| some.map(|(head, body)| Response { head, body: body.as_bytes() }))
        );
    }

    #[test]
    fn an_answer_is_read_whatever_the_case_of_its_headers() {
        let accepted = Head { status: 202, ..Head::default() };
        check("HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}", Ok(Some((accepted, "{}"))));
        check(
            "HTTP/1.1 202 Accepted\r\nx-content-length: 9\r\nCONTENT-LENGTH:0\r\nIdempotent-Replayed: true\r\n\r\n",
            Ok(Some((Head { replayed: true, ..accepted }, ""))),
        );
        check(
            "HTTP/1.1 503 Busy\r\nRetry-After: 2\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
            Ok(Some((
                Head {
                    status: 503,
                    retry_after: Some(Duration::from_secs(2)),
                    replayed: false,
                    closes: true,
                },
                "abc",
            ))),
        );
        let unchanged = Head { status: 304, ..Head::default() };
        check("HTTP/1.1 304 Not Modified\r\ncontent-length: 45678\r\n\r\n", Ok(Some((unchanged, ""))));
    }

    #[test]
    fn what_is_no_answer_is_an_error_by_name() {
        check("SSH-2.0-OpenSSH\r\n\r\n", Err(Malformed::NoStatusLine));
        check("HTTP/1.1 2x2 OK\r\ncontent-length: 0\r\n\r\n", Err(Malformed::NoStatusLine));
        check("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", Err(Malformed::NoLength));
        check("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", Err(Malformed::NoLength));
        check("HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\n", Err(Malformed::BodyTooLong));
        check("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nx", Err(Malformed::Surplus));
        check(&"x".repeat(HEAD_BYTES_MAX + 1), Err(Malformed::HeadTooLong));
    }

    /// Statuses whose answers have the body that their length names: not so 304, which tells the length that the unchanged
    /// body would have (RFC 9110, section 8.6).
    fn with_body() -> impl Strategy<Value = u16> {
        (200u16..600).prop_filter("304 has no body", |&status| status != 304)
    }

    proptest! {
        #[test]
        fn an_unfinished_answer_is_waited_for(status in with_body(), body in "[a-z]{0,200}") {
            let answer = format!(
                "HTTP/1.1 {status} X\r\ndate: now\r\ncontent-length: {}\r\n\r\n{body}", body.len()
            );
            for end in 0..answer.len() {
                prop_assert_eq!(read(&answer.as_bytes()[..end]), Ok(None));
            }
            let found = read(answer.as_bytes()).expect("an answer").expect("all of it");
            prop_assert_eq!((found.head.status, found.body), (status, body.as_bytes()));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            let _ = read(&bytes);
        }
    }
}
