//! As much HTTP as a test needs: one request, one connection, every byte in the test's hands, and nothing is retried.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header by its name in small letters.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()))
    }
}

/// Asks with headers of one's own, each of which ends its line; panics if there is no answer.
#[must_use]
pub fn ask(url: &str, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
    try_ask(url, method, path, headers, body).expect("a whole answer")
}

/// The same; none if the connection broke before there was a whole answer.
#[must_use]
pub fn try_ask(url: &str, method: &str, path: &str, headers: &str, body: &[u8]) -> Option<Answer> {
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(host).ok()?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    // A server that refuses a body early answers and closes; its answer is what counts.
    let _ = stream.write_all(body);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    read(&bytes)
}

fn read(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = (std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 4..]);
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let mut answer = Answer { status, headers, body: Vec::new() };
    answer.body = match (answer.header("transfer-encoding"), answer.header("content-length")) {
        (Some("chunked"), _) => whole(body)?,
        // It may say how long the body would be, and has none.
        (_, Some(length)) if status != 304 => body.get(..length.parse().ok()?)?.to_vec(),
        _ => body.to_vec(),
    };
    Some(answer)
}

/// The body that came in chunks.
fn whole(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        let chunk = rest.get(end + 2..)?;
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(chunk.get(..length)?);
        rest = chunk.get(length + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_however_it_is_sent_and_a_broken_one_is_none() {
        let text = |bytes: &str| read(bytes.as_bytes()).map(|answer| answer.text());
        assert_eq!(text("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc").as_deref(), Some("abc"));
        assert_eq!(text("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc"), None);
        let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n";
        assert_eq!(text(chunks).as_deref(), Some("abcd"));
        assert_eq!(text(&chunks[..chunks.len() - 9]), None);
        assert_eq!(text("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n").as_deref(), Some(""));
        assert_eq!(text("HTTP/1.1 200"), None);
    }
}
