//! As much HTTP as a test needs to talk to the service: one request, one connection, every byte in the test's hands.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(candidate, _)| candidate == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }
}

/// A multipart form.
pub(crate) struct Form(Vec<u8>);

const BOUNDARY: &str = "a-line-that-no-file-has";

impl Form {
    pub(crate) fn new() -> Form {
        Form(Vec::new())
    }

    pub(crate) fn text(self, name: &str, value: &str) -> Form {
        self.part(&format!("name=\"{name}\""), value.as_bytes())
    }

    pub(crate) fn file(self, name: &str, file_name: &str, bytes: &[u8]) -> Form {
        self.part(&format!("name=\"{name}\"; filename=\"{file_name}\""), bytes)
    }

    fn part(mut self, disposition: &str, bytes: &[u8]) -> Form {
        let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n");
        self.0.extend_from_slice(head.as_bytes());
        self.0.extend_from_slice(bytes);
        self.0.extend_from_slice(b"\r\n");
        self
    }
}

pub(crate) fn get(url: &str, path: &str) -> Answer {
    ask(url, "GET", path, "", b"")
}

pub(crate) fn post(url: &str, path: &str, content_type: &str, body: &[u8]) -> Answer {
    ask(url, "POST", path, &format!("Content-Type: {content_type}\r\n"), body)
}

/// A request with headers of one's own; each ends its line.
pub(crate) fn send(url: &str, method: &str, path: &str, headers: &str) -> Answer {
    ask(url, method, path, headers, b"")
}

pub(crate) fn post_form(url: &str, path: &str, key: Option<&str>, form: Form) -> Answer {
    let mut body = form.0;
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    let key = key.map_or(String::new(), |key| format!("Idempotency-Key: {key}\r\n"));
    ask(url, "POST", path, &format!("Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n{key}"), &body)
}

fn ask(url: &str, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(host).expect("the service listens");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("the service reads");
    // A service that refuses a body early answers and closes; its answer is what counts.
    let _ = stream.write_all(body);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
    let head = std::str::from_utf8(&bytes[..end]).expect("text");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status");
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let body = bytes[end + 4..].to_vec();
    Answer { status, headers, body }
}
