//! Finds an answer in what a connection received, and nothing more.
//!
//! The generator shares its machine with the service, so this reads only what an upload's answer is judged by. It
//! promises the same answer however the bytes were cut on their way. It leaves out what the service does not use for
//! these answers: chunked bodies, answers without a length and interim answers are each an error by name, never a
//! wrong count.

use std::time::Duration;

use memchr::memmem;

const HEAD_BYTES_MAX: usize = 16 * 1024;
const BODY_BYTES_MAX: usize = 64 * 1024;

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
    /// The service had answered this key before.
    pub(crate) replayed: bool,
    /// The service closes the connection after this answer.
    pub(crate) closes: bool,
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

/// The answer at the start of these bytes, or `None` until more of them are there. Bytes after it are an error: a
/// connection has one request under way.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<Response<'_>>, Malformed> {
    let Some(head_end) = memmem::find(bytes, b"\r\n\r\n") else {
        return if bytes.len() > HEAD_BYTES_MAX { Err(Malformed::HeadTooLong) } else { Ok(None) };
    };
    let (head, length) = read_head(&bytes[..head_end])?;
    let body = &bytes[head_end + 4..];
    match body.len() {
        _ if length > BODY_BYTES_MAX => Err(Malformed::BodyTooLong),
        here if here < length => Ok(None),
        here if here > length => Err(Malformed::Surplus),
        _ => Ok(Some(Response { head, body })),
    }
}

fn read_head(bytes: &[u8]) -> Result<(Head, usize), Malformed> {
    let status = bytes.strip_prefix(b"HTTP/1.1 ").and_then(|line| line.get(..3)).and_then(decimal);
    let mut head = Head { status: status.ok_or(Malformed::NoStatusLine)? as u16, ..Head::default() };
    let mut length = None;
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(b'\n', rest) {
        rest = &rest[at + 1..];
        let line = &rest[..memchr::memchr(b'\r', rest).unwrap_or(rest.len())];
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        // Names differ in length, so most headers cost one comparison of two numbers.
        if name.eq_ignore_ascii_case(b"content-length") {
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

/// The id in the body of a 202.
pub(crate) fn id(body: &[u8]) -> Option<&str> {
    const BEFORE: &[u8] = b"\"id\":\"";
    let rest = &body[memmem::find(body, BEFORE)? + BEFORE.len()..];
    let id = &rest[..memchr::memchr(b'"', rest)?];
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_';
    let is_id = (1..=64).contains(&id.len()) && id.iter().all(plain);
    if is_id { std::str::from_utf8(id).ok() } else { None }
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
    fn an_id_is_taken_only_if_it_looks_like_one() {
        assert_eq!(id(br#"{"id":"k3f9","status_url":"/uploads/k3f9"}"#), Some("k3f9"));
        for body in [r#"{"id":""}"#, r#"{"id":"a b"}"#, r#"{"id":7}"#, r#"{"id":"k3"#, "{}", ""] {
            assert_eq!(id(body.as_bytes()), None, "{body}");
        }
    }

    proptest! {
        #[test]
        fn an_unfinished_answer_is_waited_for(status in 100u16..600, body in "[a-z]{0,200}") {
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
            let _ = id(&bytes);
        }
    }
}
