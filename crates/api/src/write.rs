//! Writers for the answers that are written a million times a second: enqueue results, settle results, leased jobs.
//!
//! They append JSON straight to a buffer from whatever the server has at hand, without owned copies in between. Names,
//! ids, states and times never need escaping and are not looked at; keys are. What is written here reads as the types of
//! [`crate::enqueue`], [`crate::settle`] and [`crate::lease`]; tests hold the two together.

use crate::id::JobId;
use crate::refusal::Refusal;
use crate::syntax::write_base64;
use crate::time::Timestamp;
use crate::words::JobState;

/// A stored payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// JSON text, which was checked when it was accepted.
    Json(&'a [u8]),
    /// Bytes, written in base64.
    Bytes(&'a [u8]),
}

/// A job that is handed out, in borrowed pieces. The fields are those of [`crate::lease::LeasedJob`].
#[derive(Debug, Clone, Copy)]
pub struct LeasedJobParts<'a> {
    /// The job's id.
    pub id: JobId,
    /// The queue's name.
    pub queue: &'a str,
    /// The kind's name.
    pub kind: &'a str,
    /// The payload.
    pub payload: Payload<'a>,
    /// 0 to 9.
    pub priority: u8,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// How many there may be.
    pub max_attempts: u32,
    /// The attempt's token.
    pub token: u64,
    /// When the lease ends.
    pub lease_expires_at: Timestamp,
    /// When the job was accepted.
    pub enqueued_at: Timestamp,
    /// The ordering key.
    pub ordering_key: Option<&'a str>,
    /// The fairness key.
    pub fairness_key: Option<&'a str>,
    /// The dependency's name.
    pub dependency: Option<&'a str>,
    /// The trace.
    pub traceparent: Option<&'a str>,
    /// The metadata's names and values; empty if there is none.
    pub metadata: &'a [(&'a str, &'a str)],
    /// An earlier attempt's progress as JSON text.
    pub progress: Option<&'a [u8]>,
}

/// Writes `{"name":[…]}` with an item for each of `items`.
pub fn object_of_list<I: IntoIterator>(
    out: &mut Vec<u8>,
    name: &str,
    items: I,
    write_item: impl FnMut(&mut Vec<u8>, I::Item),
) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    list(out, items, write_item);
    out.push(b'}');
}

/// Writes `[…]` with an item for each of `items`.
pub fn list<I: IntoIterator>(out: &mut Vec<u8>, items: I, mut write_item: impl FnMut(&mut Vec<u8>, I::Item)) {
    out.push(b'[');
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_item(out, item);
    }
    out.push(b']');
}

/// Writes an [`crate::enqueue::Enqueued`]: the answer to a single job.
pub fn enqueued(out: &mut Vec<u8>, id: JobId, queue: &str, state: JobState, duplicate: bool) {
    id_member(out, id);
    name_member(out, "queue", queue);
    end_of_enqueued(out, state, duplicate);
}

/// Writes an [`crate::enqueue::EnqueueResult::Enqueued`]: an accepted item of a list.
pub fn enqueued_item(out: &mut Vec<u8>, id: JobId, state: JobState, duplicate: bool) {
    id_member(out, id);
    end_of_enqueued(out, state, duplicate);
}

fn end_of_enqueued(out: &mut Vec<u8>, state: JobState, duplicate: bool) {
    name_member(out, "state", state.as_str());
    out.extend_from_slice(if duplicate { b",\"duplicate\":true}" } else { b"}" });
}

/// Writes a [`crate::settle::SettleResult::Settled`]: an item of a settling list that was done.
pub fn settled(
    out: &mut Vec<u8>,
    id: JobId,
    state: JobState,
    run_at: Option<Timestamp>,
    lease_expires_at: Option<Timestamp>,
) {
    id_member(out, id);
    name_member(out, "state", state.as_str());
    if let Some(run_at) = run_at {
        time_member(out, "run_at", run_at);
    }
    if let Some(lease_expires_at) = lease_expires_at {
        time_member(out, "lease_expires_at", lease_expires_at);
    }
    out.push(b'}');
}

/// Writes an item that was refused, with its id if it had one.
pub fn refused_item(out: &mut Vec<u8>, id: Option<&str>, refusal: &Refusal) {
    out.push(b'{');
    if let Some(id) = id {
        out.extend_from_slice(b"\"id\":");
        text(out, id);
        out.push(b',');
    }
    out.extend_from_slice(b"\"error\":");
    serde_json::to_writer(&mut *out, refusal).expect("a refusal is always JSON, and a Vec always takes it");
    out.push(b'}');
}

/// Writes a [`crate::lease::LeasedJob`].
pub fn leased_job(out: &mut Vec<u8>, job: &LeasedJobParts<'_>) {
    id_member(out, job.id);
    name_member(out, "queue", job.queue);
    name_member(out, "kind", job.kind);
    match job.payload {
        Payload::Json(json) => json_member(out, "payload", json),
        Payload::Bytes(bytes) => {
            out.extend_from_slice(b",\"payload_base64\":\"");
            write_base64(out, bytes);
            out.push(b'"');
        }
    }
    number_member(out, "priority", job.priority.into());
    number_member(out, "attempt", job.attempt.into());
    number_member(out, "max_attempts", job.max_attempts.into());
    number_member(out, "token", job.token);
    time_member(out, "lease_expires_at", job.lease_expires_at);
    time_member(out, "enqueued_at", job.enqueued_at);
    for (name, value) in [
        ("ordering_key", job.ordering_key),
        ("fairness_key", job.fairness_key),
        ("dependency", job.dependency),
        ("traceparent", job.traceparent),
    ] {
        if let Some(value) = value {
            member(out, name);
            text(out, value);
        }
    }
    if !job.metadata.is_empty() {
        member(out, "metadata");
        object_of_texts(out, job.metadata);
    }
    if let Some(progress) = job.progress {
        json_member(out, "progress", progress);
    }
    out.push(b'}');
}

fn object_of_texts(out: &mut Vec<u8>, entries: &[(&str, &str)]) {
    out.push(b'{');
    for (i, (name, value)) in entries.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        text(out, name);
        out.push(b':');
        text(out, value);
    }
    out.push(b'}');
}

/// Opens an object with its id.
fn id_member(out: &mut Vec<u8>, id: JobId) {
    out.extend_from_slice(b"{\"id\":\"");
    id.write(out);
    out.push(b'"');
}

/// Begins a member that is not the first.
pub(crate) fn member(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// A text that is known to need no escapes.
pub(crate) fn name_member(out: &mut Vec<u8>, name: &str, value: &str) {
    debug_assert!(value.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')));
    member(out, name);
    out.push(b'"');
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
}

fn json_member(out: &mut Vec<u8>, name: &str, json: &[u8]) {
    member(out, name);
    out.extend_from_slice(json);
}

pub(crate) fn number_member(out: &mut Vec<u8>, name: &str, value: u64) {
    member(out, name);
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

pub(crate) fn time_member(out: &mut Vec<u8>, name: &str, time: Timestamp) {
    member(out, name);
    out.push(b'"');
    time.write(out);
    out.push(b'"');
}

/// Writes any text, escaped where it must be.
pub fn text(out: &mut Vec<u8>, text: &str) {
    let plain = text.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\'));
    if plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, text).expect("text is always JSON, and a Vec always takes it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enqueue::{EnqueueResult, EnqueueResults, Enqueued};
    use crate::lease::LeaseAnswer;
    use crate::refusal::Code;
    use crate::settle::{SettleResult, SettleResults};
    use serde::Serialize;
    use serde::de::DeserializeOwned;

    /// What a writer wrote reads as the typed answer, and the typed answer is written in exactly the same bytes.
    fn check<T: Serialize + DeserializeOwned>(write: impl FnOnce(&mut Vec<u8>)) -> T {
        let mut written = Vec::new();
        write(&mut written);
        let text = String::from_utf8(written).unwrap();
        let read: T = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        read
    }

    const ID: JobId = JobId { shard: 3, sequence: 42 };
    const TIME: fn(u64) -> Timestamp = Timestamp::from_unix_ms;

    #[test]
    fn an_accepted_job_is_written_as_its_type() {
        for duplicate in [false, true] {
            let expected = Enqueued { id: ID, queue: "emails".into(), state: JobState::Ready, duplicate };
            assert_eq!(
                check::<Enqueued>(|out| enqueued(out, ID, "emails", JobState::Ready, duplicate)),
                expected
            );
        }
    }

    #[test]
    fn enqueue_results_are_written_as_their_type() {
        let refusal = Refusal::invalid_value("kind", "\"quoted\"\n", "a name");
        let results: EnqueueResults = check(|out| {
            object_of_list(out, "results", 0..3, |out, i| match i {
                0 => enqueued_item(out, ID, JobState::Scheduled, false),
                1 => enqueued_item(out, ID, JobState::Leased, true),
                _ => refused_item(out, None, &refusal),
            });
        });
        let expected = vec![
            EnqueueResult::Enqueued { id: ID, state: JobState::Scheduled, duplicate: false },
            EnqueueResult::Enqueued { id: ID, state: JobState::Leased, duplicate: true },
            EnqueueResult::Refused { error: refusal },
        ];
        assert_eq!(results.results, expected);
    }

    #[test]
    fn settle_results_are_written_as_their_type() {
        let refusal = Refusal::new(Code::StaleToken, "The job is with another worker.");
        let results: SettleResults = check(|out| {
            object_of_list(out, "results", 0..5, |out, i| match i {
                0 => settled(out, ID, JobState::Completed, None, None),
                1 => settled(out, ID, JobState::Scheduled, Some(TIME(1)), None),
                2 => settled(out, ID, JobState::Leased, None, Some(TIME(2))),
                3 => refused_item(out, Some("0-\"7"), &refusal),
                _ => refused_item(out, None, &refusal),
            });
        });
        let is = |state, run_at, lease_expires_at| SettleResult::Settled {
            id: ID,
            state,
            run_at,
            lease_expires_at,
        };
        let expected = vec![
            is(JobState::Completed, None, None),
            is(JobState::Scheduled, Some(TIME(1)), None),
            is(JobState::Leased, None, Some(TIME(2))),
            SettleResult::Refused { id: Some("0-\"7".into()), error: refusal.clone() },
            SettleResult::Refused { id: None, error: refusal },
        ];
        assert_eq!(results.results, expected);
    }

    #[test]
    fn leased_jobs_are_written_as_their_type() {
        let bare = LeasedJobParts {
            id: ID,
            queue: "emails",
            kind: "welcome",
            payload: Payload::Json(b"{ \"to\": 1.0 }"),
            priority: 5,
            attempt: 2,
            max_attempts: 5,
            token: (1 << 53) - 1,
            lease_expires_at: TIME(1_795_352_400_123),
            enqueued_at: TIME(0),
            ordering_key: None,
            fairness_key: None,
            dependency: None,
            traceparent: None,
            metadata: &[],
            progress: None,
        };
        let full = LeasedJobParts {
            payload: Payload::Bytes(b"\x00\xffbytes"),
            ordering_key: Some("customer \"7\" \\ ünïcode"),
            fairness_key: Some("tenant"),
            dependency: Some("smtp"),
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            metadata: &[("app", "\n"), ("tenant", "t1")],
            progress: Some(b"[0.50]"),
            ..bare
        };
        let answer: LeaseAnswer = check(|out| {
            object_of_list(out, "jobs", [&bare, &full], |out, job| leased_job(out, job));
        });
        assert_eq!(answer.jobs[0].payload.as_ref().unwrap().get(), "{ \"to\": 1.0 }");
        assert_eq!(answer.jobs[1].payload_base64.as_deref(), Some("AP9ieXRlcw=="));
        assert_eq!(answer.jobs[1].ordering_key.as_deref(), full.ordering_key);
        assert_eq!(answer.jobs[1].progress.as_ref().unwrap().get(), "[0.50]");
    }

    #[test]
    fn an_empty_list_is_a_list() {
        let answer: LeaseAnswer =
            check(|out| object_of_list(out, "jobs", std::iter::empty::<()>(), |_, ()| ()));
        assert!(answer.jobs.is_empty());
    }
}
