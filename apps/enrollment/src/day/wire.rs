//! One connection of a browser: a request out, an answer in, over HTTP/1.1 that is kept alive.
//!
//! The load shares its machine with the portal, so this reads only what an answer is judged by, and promises the same
//! answer however the bytes were cut on their way. It leaves out what the portal does not use for these answers:
//! chunked bodies, answers without a length and interim answers are each an error by name, never a wrong count.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Room for an answer to a click; a whole catalogue takes more, and gets it.
const ANSWER_BYTES: usize = 2 * 1024;
const HEAD_BYTES_MAX: usize = 16 * 1024;
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
const HEAD_END: &[u8] = b"\r\n\r\n";

/// An open connection.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

/// One whole answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response<'a> {
    pub(crate) head: Head,
    pub(crate) body: &'a [u8],
}

/// What an answer's head says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    /// The portal had answered this key before.
    pub(crate) replayed: bool,
    /// The portal closes the connection after this answer.
    pub(crate) closes: bool,
}

/// Why a request that was sent has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("the portal closed the connection before it had answered")]
    Closed,
    #[error(transparent)]
    Malformed(#[from] Malformed),
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
    #[error("more bytes came than one answer has")]
    Surplus,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, received: Vec::with_capacity(ANSWER_BYTES) })
    }

    /// True if the portal has closed it while nothing was under way.
    pub(crate) fn is_closed(&self) -> bool {
        let nothing = self.stream.try_read(&mut [0]);
        !matches!(nothing, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// One request, one answer. After an error the connection is of no more use.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Response<'_>, Broken> {
        self.stream.write_all(request).await?;
        self.received.clear();
        let (head, at) = loop {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(Broken::Closed);
            }
            if let Some(answer) = read(&self.received)? {
                break (answer.head, self.received.len() - answer.body.len());
            }
        };
        Ok(Response { head, body: &self.received[at..] })
    }
}

/// The answer at the start of these bytes, or `None` until more of them are there. Bytes after it are an error: a
/// connection has one request under way.
fn read(bytes: &[u8]) -> Result<Option<Response<'_>>, Malformed> {
    let Some(head_end) = bytes.windows(HEAD_END.len()).position(|window| window == HEAD_END) else {
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
    let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.next().unwrap_or_default();
    let status = first.strip_prefix(b"HTTP/1.1 ").and_then(|line| line.get(..3)).and_then(decimal);
    let status = status.ok_or(Malformed::NoStatusLine)? as u16;
    let mut head = Head { status, ..Head::default() };
    // Answers that have no body by their nature need not say its length.
    let mut length = matches!(status, 204 | 304).then_some(0);
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
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
    use super::*;

    #[track_caller]
    fn check(bytes: &str, expected: Result<Option<(Head, &str)>, Malformed>) {
        let expected = expected.map(|some| some.map(|(head, body)| Response { head, body: body.as_bytes() }));
        assert_eq!(read(bytes.as_bytes()), expected);
    }

    #[test]
    fn an_answer_is_read_whatever_the_case_of_its_headers() {
        let created = Head { status: 201, ..Head::default() };
        check("HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}", Ok(Some((created, "{}"))));
        check(
            "HTTP/1.1 201 Created\r\nx-content-length: 9\r\nCONTENT-LENGTH:0\r\nIdempotent-Replayed: true\r\n\r\n",
            Ok(Some((Head { replayed: true, ..created }, ""))),
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

    #[test]
    fn an_unfinished_answer_is_waited_for_wherever_it_is_cut() {
        let answer = "HTTP/1.1 409 Conflict\r\ndate: now\r\ncontent-length: 16\r\n\r\n{\"code\":\"full\"}\n";
        for end in 0..answer.len() {
            check(&answer[..end], Ok(None));
        }
        check(answer, Ok(Some((Head { status: 409, ..Head::default() }, "{\"code\":\"full\"}\n"))));
    }
}
