//! Requests, built before the clock runs.
//!
//! A payload is a JSON object of exactly [`PAYLOAD_BYTES`] bytes. Every payload has room for a mark of fixed length,
//! so that a job which is to be recognised when it is delivered costs no more bytes than another.

/// Bytes of every payload that the generator sends.
pub(crate) const PAYLOAD_BYTES: usize = 256;
/// Jobs in one list.
pub(crate) const LIST_JOBS: usize = 100;

/// What stands before a payload's mark.
pub(crate) const MARK_BEFORE: &[u8] = b"\"mark\":\"";
/// Digits of a mark.
pub(crate) const MARK_DIGITS: usize = 10;

/// Different requests of one length, one after the other, so that up to all of them can be written at once.
pub(crate) struct Requests {
    bytes: Vec<u8>,
    length: usize,
    /// Jobs in each.
    pub(crate) jobs: u64,
    /// The status of a good answer.
    pub(crate) status: u16,
}

impl Requests {
    /// `count` lists of [`LIST_JOBS`] jobs for a queue.
    pub(crate) fn lists(queue: &str, count: usize) -> Requests {
        let list = |number: usize| {
            let jobs: Vec<String> =
                (0..LIST_JOBS).map(|at| job(payload(number * LIST_JOBS + at), None)).collect();
            format!("[{}]", jobs.join(","))
        };
        Requests::new(&enqueue_path(queue), (0..count).map(list), LIST_JOBS as u64, 200)
    }

    /// `count` single jobs for a queue.
    pub(crate) fn singles(queue: &str, count: usize) -> Requests {
        Requests::new(&enqueue_path(queue), (0..count).map(|number| job(payload(number), None)), 1, 201)
    }

    /// The bodies of [`singles`](Self::singles), sent to a handler that does nothing with them.
    pub(crate) fn bare(count: usize) -> Requests {
        Requests::new("/bench/bare", (0..count).map(|number| job(payload(number), None)), 1, 201)
    }

    fn new(path: &str, bodies: impl Iterator<Item = String>, jobs: u64, status: u16) -> Requests {
        let mut bytes = Vec::new();
        let mut length = 0;
        for body in bodies {
            let request = post(path, &body);
            assert!(length == 0 || request.len() == length, "all requests are of one length");
            length = request.len();
            bytes.extend_from_slice(&request);
        }
        Requests { bytes, length, jobs, status }
    }

    /// The first `count` requests as one piece; as many as there are, if there are fewer.
    pub(crate) fn first(&self, count: usize) -> &[u8] {
        &self.bytes[..(count * self.length).min(self.bytes.len())]
    }
}

/// One single job whose mark is set each time it is sent.
pub(crate) struct MarkedRequest {
    bytes: Vec<u8>,
    mark_at: usize,
}

impl MarkedRequest {
    /// A job of this priority for a queue.
    pub(crate) fn new(queue: &str, priority: u8) -> MarkedRequest {
        let bytes = post(&enqueue_path(queue), &job(payload(0), Some(priority)));
        let mark_at =
            memchr::memmem::find(&bytes, MARK_BEFORE).expect("a payload has a mark") + MARK_BEFORE.len();
        MarkedRequest { bytes, mark_at }
    }

    /// The request with this mark.
    pub(crate) fn marked(&mut self, mark: usize) -> &[u8] {
        let digits = format!("{mark:0MARK_DIGITS$}");
        self.bytes[self.mark_at..self.mark_at + MARK_DIGITS].copy_from_slice(digits.as_bytes());
        &self.bytes
    }
}

/// The whole request of a worker's round: what it completes, and its wish for more, if it has one.
pub(crate) fn work_request(
    done: &[(u64, u64, u64)],
    lease: Option<&str>,
    into: &mut Vec<u8>,
    body: &mut Vec<u8>,
) {
    use std::io::Write;
    body.clear();
    body.extend_from_slice(b"{\"complete\":[");
    for (at, (shard, sequence, token)) in done.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        write!(body, "{comma}{{\"id\":\"{shard}-{sequence}\",\"token\":{token}}}")
            .expect("memory takes every write");
    }
    body.push(b']');
    if let Some(lease) = lease {
        body.extend_from_slice(b",\"lease\":");
        body.extend_from_slice(lease.as_bytes());
    }
    body.push(b'}');
    into.clear();
    head(into, "POST", "/v1/work", body.len());
    into.extend_from_slice(body);
}

/// The lease part of a worker's round.
pub(crate) fn lease_part(queue: &str, max: usize, wait_ms: u64) -> String {
    format!(r#"{{"queues":["{queue}"],"max":{max},"wait_ms":{wait_ms},"lease_ms":60000,"worker":"bench"}}"#)
}

fn enqueue_path(queue: &str) -> String {
    format!("/v1/queues/{queue}/jobs")
}

fn job(payload: String, priority: Option<u8>) -> String {
    let priority = priority.map(|priority| format!(",\"priority\":{priority}")).unwrap_or_default();
    format!(r#"{{"kind":"bench","payload":{payload}{priority}}}"#)
}

/// A payload with text that differs from job to job, as real ones do.
fn payload(number: usize) -> String {
    let start = format!(r#"{{"mark":"{number:0MARK_DIGITS$}","text":""#);
    let end = "\"}";
    let letters = (0..).map(|at: usize| char::from(b'a' + ((number + 1) * (at + 7) * 31 % 26) as u8));
    let text: String = letters.take(PAYLOAD_BYTES - start.len() - end.len()).collect();
    format!("{start}{text}{end}")
}

/// A request with a body.
pub(crate) fn post(path: &str, body: &str) -> Vec<u8> {
    with_body("POST", path, body)
}

/// The same with the method `PUT`.
pub(crate) fn put(path: &str, body: &str) -> Vec<u8> {
    with_body("PUT", path, body)
}

/// A request without a body.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: tidegate\r\n\r\n").into_bytes()
}

fn with_body(method: &str, path: &str, body: &str) -> Vec<u8> {
    let mut request = Vec::new();
    head(&mut request, method, path, body.len());
    request.extend_from_slice(body.as_bytes());
    request
}

fn head(into: &mut Vec<u8>, method: &str, path: &str, body_length: usize) {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: tidegate\r\ncontent-type: application/json\r\ncontent-length: {body_length}\r\n\r\n"
    );
    into.extend_from_slice(head.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(request: &[u8]) -> serde_json::Value {
        let at = memchr::memmem::find(request, b"\r\n\r\n").expect("a head") + 4;
        serde_json::from_slice(&request[at..]).expect("JSON")
    }

    #[test]
    fn every_payload_has_the_length_that_is_reported() {
        for number in [0, 1, 25, 99, 12_345] {
            let payload = payload(number);
            assert_eq!(payload.len(), PAYLOAD_BYTES);
            serde_json::from_str::<serde_json::Value>(&payload).expect("JSON");
        }
    }

    #[test]
    fn a_list_has_its_hundred_jobs() {
        let requests = Requests::lists("q", 3);
        assert_eq!(body(requests.first(1)).as_array().expect("a list").len(), LIST_JOBS);
        assert_eq!(requests.first(2).len(), 2 * requests.first(1).len());
        assert_eq!(requests.first(9), requests.first(3));
    }

    #[test]
    fn a_mark_is_set_without_moving_anything() {
        let mut request = MarkedRequest::new("q", 0);
        let length = request.marked(0).len();
        assert_eq!(request.marked(1_234).len(), length);
        let body = body(request.marked(1_234));
        assert_eq!(body["payload"]["mark"], "0000001234");
        assert_eq!(body["priority"], 0);
    }

    #[test]
    fn a_round_completes_and_leases() {
        let (mut request, mut scratch) = (Vec::new(), Vec::new());
        let lease = lease_part("q", 100, 50);
        work_request(&[(0, 7, 9), (1, 8, 10)], Some(&lease), &mut request, &mut scratch);
        let round = body(&request);
        assert_eq!(round["complete"][1]["id"], "1-8");
        assert_eq!(round["complete"][0]["token"], 9);
        assert_eq!(round["lease"]["max"], 100);

        work_request(&[(0, 7, 9)], None, &mut request, &mut scratch);
        assert_eq!(body(&request)["lease"], serde_json::Value::Null, "the last round asks for nothing");
    }
}
