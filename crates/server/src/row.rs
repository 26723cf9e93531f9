//! Enqueues of single jobs that follow each other on a connection without waiting: one call of the engine.
//!
//! A request costs more than its job: headers in a map, a target in parts, a handler's future, a call and a wake-up of the shard and
//! one back. Those that lie in the buffer already are taken together as a list is, and answered one by one.
//!
//! Promises: each is judged by itself, has its effect in the order in which it was sent, and hears what it would have heard alone.
//! Left out: enqueues that ask for more than that, such as an idempotency key, a list, or a stream; they go the way of all
//! requests.

use std::ops::Range;

use bytes::Bytes;
use tidegate_api::enqueue::{EnqueueBody, NewJob};
use tidegate_api::read::{BadItem, Item, read_utf8};
use tidegate_api::refusal::Refused;
use tidegate_api::syntax;
use tidegate_core::outcome;
use tidegate_engine::Answer;

use crate::body::{self, Media};
use crate::calls::enqueue::{Accepted, accepted, add, new_batch};
use crate::calls::items::Bad;
use crate::door::{Door, Refusing};
use crate::lane::body_bytes;
use crate::limits::LANE_HEADERS;

/// How the target of an enqueue begins, before its queue's name.
const TARGET: &str = "/v1/queues/";

/// What a path names as its queue, if it is one that jobs are enqueued at.
pub(crate) fn queue_at(path: &str) -> Option<&str> {
    path.strip_prefix(TARGET)?.strip_suffix("/jobs")
}

/// What stands at the beginning of a buffer: enqueues of single jobs into one queue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where the queue's name stands.
    queue: Range<usize>,
    /// Where the bodies are.
    bodies: Vec<Range<usize>>,
    /// The bytes of all of them, heads included.
    pub(crate) bytes: usize,
}

impl Found {
    /// As many as there are, up to so many and so many bytes; none if what stands first is anything else.
    pub(crate) fn at(buffer: &[u8], jobs_max: usize, bytes_max: usize) -> Option<Self> {
        let (first, queue) = one(buffer)?;
        let mut found = Self { queue: queue.clone(), bytes: first.end, bodies: vec![first] };
        while found.bodies.len() < jobs_max {
            let begin = found.bytes;
            let Some((body, name)) = one(&buffer[begin..]) else { break };
            let is_same = buffer[begin..][name] == buffer[queue.clone()];
            if !is_same || begin + body.end > bytes_max {
                break;
            }
            found.bytes = begin + body.end;
            found.bodies.push(begin + body.start..begin + body.end);
        }
        Some(found)
    }

    /// The queue's name.
    pub(crate) fn queue<'a>(&self, buffer: &'a [u8]) -> &'a str {
        std::str::from_utf8(&buffer[self.queue.clone()]).expect("a name is plain text")
    }

    /// Takes them out of the bytes they were found in.
    pub(crate) fn row(self, whole: &Bytes) -> Row {
        let queue = self.queue(whole).into();
        Row { queue, bodies: self.bodies.into_iter().map(|body| whole.slice(body)).collect() }
    }
}

/// Where the body of the request at the beginning of `buffer` is, and the name of its queue; none if it is not the plain enqueue of a
/// single job, or not whole.
fn one(buffer: &[u8]) -> Option<(Range<usize>, Range<usize>)> {
    if !buffer.starts_with(b"POST ") {
        return None;
    }
    let mut headers = [httparse::EMPTY_HEADER; LANE_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(head_bytes)) = head.parse(buffer) else { return None };
    let name = queue_at(head.path?)?;
    let is_plain = head.version == Some(1) && syntax::name("queue", name).is_ok();
    if !is_plain || !is_json(head.headers) {
        return None;
    }
    let body = buffer[head_bytes..].get(..body_bytes(head.headers)?)?;
    let is_one_job = body.trim_ascii_start().starts_with(b"{");
    let queue_at = "POST ".len() + TARGET.len();
    is_one_job.then(|| (head_bytes..head_bytes + body.len(), queue_at..queue_at + name.len()))
}

/// Whether the headers say JSON, and ask for nothing beyond.
fn is_json(headers: &[httparse::Header<'_>]) -> bool {
    let mut says_json = false;
    for header in headers {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-type") {
            if says_json || body::media_of(header.value) != Some(Media::Json) {
                return false;
            }
            says_json = true;
        } else if is("idempotency-key") {
            return false;
        }
    }
    says_json
}

/// Requests that enqueue one job each.
#[derive(Debug)]
pub(crate) struct Row {
    queue: Box<str>,
    bodies: Vec<Bytes>,
}

/// What the requests of a row hear, in their order.
pub(crate) struct Answers {
    /// The queue of all of them.
    pub(crate) queue: Box<str>,
    /// A job, or what is wrong.
    pub(crate) jobs: Vec<Result<Accepted, Refusing>>,
}

impl Row {
    /// How many there are.
    pub(crate) fn jobs(&self) -> usize {
        self.bodies.len()
    }

    /// The queue of all of them.
    pub(crate) fn queue(&self) -> &str {
        &self.queue
    }

    /// The same, when all is answered.
    pub(crate) fn into_queue(self) -> Box<str> {
        self.queue
    }

    /// Asks the engine.
    pub(crate) async fn answer(&self, door: &Door) -> Vec<Result<Accepted, Refusing>> {
        match asked(door, &self.queue, &self.bodies).await {
            Ok(answers) => answers,
            Err(refused) => vec![Err(refused.into()); self.jobs()],
        }
    }
}

/// What becomes of each, or the refusal that all of them hear.
async fn asked(
    door: &Door,
    queue: &str,
    bodies: &[Bytes],
) -> Result<Vec<Result<Accepted, Refusing>>, Refused> {
    let _room = door.intake().take(bodies.iter().map(Bytes::len).sum())?;
    let mut batch = new_batch(queue, bodies.len());
    let bad = Bad::sort(bodies.iter().map(|body| Ok((read(body)?, body))), |(job, body)| {
        add(&mut batch, *job, body);
    });
    let (mut items, mut refused) = (Vec::new(), None);
    if !batch.payloads.is_empty() {
        match door.engine().enqueue(batch, None).await {
            Ok(Answer { value, .. }) => items = value,
            Err(error) => refused = Some(Refusing::from(error)),
        }
    }
    Ok(answers(items, refused, bad, bodies.len()))
}

/// What so many requests hear, of which the good ones were enqueued, or refused together.
fn answers(
    items: Vec<outcome::Item>,
    refused: Option<Refusing>,
    bad: Bad,
    requests: usize,
) -> Vec<Result<Accepted, Refusing>> {
    let mut items = items.into_iter();
    let good = std::iter::from_fn(|| match &refused {
        None => items.next().map(|item| accepted(item, false)),
        Some(refused) => Some(Err(refused.clone())),
    });
    bad.in_order(good)
        .take(requests)
        .map(|answer| answer.unwrap_or_else(|bad| Err(bad.refusal.into())))
        .collect()
}

/// The one job of a body.
fn read(body: &Bytes) -> Item<Box<NewJob<'_>>> {
    let read = read_utf8(body).and_then(EnqueueBody::read);
    match read.map_err(|refused| Box::new(BadItem { id: None, refusal: *refused }))? {
        EnqueueBody::One(job) => Ok(job),
        EnqueueBody::List(_) => unreachable!("what was found begins as one job does"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(queue: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        format!("POST /v1/queues/{queue}/jobs HTTP/1.1\r\n{headers}content-length: {length}\r\n\r\n{body}")
    }

    const JSON: &str = "content-type: application/json\r\n";

    /// How many are found, and whose they are.
    #[track_caller]
    fn check(text: &str, expected: Option<(&str, &[&str])>) {
        let whole = Bytes::copy_from_slice(text.as_bytes());
        let found = Found::at(&whole, 4, 10_000).map(|found| {
            let row = found.row(&whole);
            (row.queue.to_string(), row.bodies)
        });
        let expected = expected.map(|(queue, bodies)| {
            (queue.to_owned(), bodies.iter().map(|body| Bytes::copy_from_slice(body.as_bytes())).collect())
        });
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn single_jobs_into_one_queue_are_found() {
        let [a, b] = ["{}", " {\"kind\":\"k\"}"].map(|body| request("q", JSON, body));
        check(&a, Some(("q", &["{}"])));
        check(&format!("{a}{b}{a}"), Some(("q", &["{}", " {\"kind\":\"k\"}", "{}"])));
        check(&a.repeat(6), Some(("q", &["{}"; 4])));
        check(&format!("{a}{}", request("q2", JSON, "{}")), Some(("q", &["{}"])));
        check(&format!("{a}{}", &b[..b.len() - 1]), Some(("q", &["{}"])));
        check(&format!("{a}{}", request("q", JSON, "[{}]")), Some(("q", &["{}"])));
        check(&format!("{a}nonsense"), Some(("q", &["{}"])));
        let json = "Content-Type: Application/JSON; charset=utf-8\r\nhost: h\r\n";
        check(&request("q", json, "{nonsense"), Some(("q", &["{nonsense"])));
    }

    #[test]
    fn what_asks_for_more_is_left_to_others() {
        for headers in [
            "",
            "content-type: text/plain\r\n",
            "content-type: application/x-ndjson\r\n",
            "content-type: application/json\r\ncontent-type: application/json\r\n",
            "content-type: application/json\r\nidempotency-key: a\r\n",
            "content-type: application/json\r\nexpect: 100-continue\r\n",
            "content-type: application/json\r\nconnection: close\r\n",
        ] {
            check(&request("q", headers, "{}"), None);
        }
        for queue in ["", "a%20b", "a b", "a/b", "a?b=c"] {
            check(&request(queue, JSON, "{}"), None);
        }
        for body in ["", "[]", "1", " [{}]"] {
            check(&request("q", JSON, body), None);
        }
        check(
            "POST /v1/work HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
            None,
        );
        check("GET /v1/queues/q/jobs HTTP/1.1\r\n\r\n", None);
    }

    #[test]
    fn bytes_are_bounded_but_for_the_first() {
        let a = request("q", JSON, "{}");
        let found =
            |bytes_max| Found::at(a.repeat(3).as_bytes(), 9, bytes_max).map(|found| found.bodies.len());
        assert_eq!([1, 2 * a.len(), 3 * a.len()].map(found), [Some(1), Some(2), Some(3)]);
    }
}
