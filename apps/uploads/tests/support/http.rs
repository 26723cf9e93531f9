//! Requests that the service takes: forms, and plain ones.

use app_testkit::http::{Answer, ask};

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
