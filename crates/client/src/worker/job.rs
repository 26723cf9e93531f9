//! A job as its handler gets it, and what can be said about it while it runs.

use std::{any::type_name, collections::BTreeMap, fmt, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tidegate_api::{id::JobId, lease::LeasedJob, limits, syntax, time::Timestamp, value::RawJson};
use tokio::sync::oneshot;

use super::{desk::Desk, failure::Failure, ledger::Progress};

/// One attempt at a job, with its payload as the handler's type.
///
/// It is the handler's own; dropping it means nothing. What the handler's future returns is what is reported.
pub struct Job<P> {
    pub(crate) job: Arc<LeasedJob>,
    pub(crate) payload: P,
    pub(crate) desk: Desk,
}

impl<P> Job<P> {
    /// The job's id: the same in every attempt, so a good key for making effects happen once.
    pub fn id(&self) -> JobId {
        self.job.id
    }

    /// The queue it is in.
    pub fn queue(&self) -> &str {
        &self.job.queue
    }

    /// The name of what handles it.
    pub fn kind(&self) -> &str {
        &self.job.kind
    }

    /// What there is to do.
    pub fn payload(&self) -> &P {
        &self.payload
    }

    /// What there is to do, to keep.
    pub fn into_payload(self) -> P {
        self.payload
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.job.attempt
    }

    /// How many attempts there may be.
    pub fn max_attempts(&self) -> u32 {
        self.job.max_attempts
    }

    /// Whether the job is dead if this attempt fails.
    pub fn is_last_attempt(&self) -> bool {
        self.job.attempt >= self.job.max_attempts
    }

    /// The lease's fencing token: higher than that of every lease before it. A resource that remembers the highest one
    /// it has seen can turn a late attempt away.
    pub fn token(&self) -> u64 {
        self.job.token
    }

    /// The names and values that it was enqueued with.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.job.metadata.as_ref().unwrap_or(&NONE)
    }

    /// The trace that the job was enqueued with, as it was written there. The attempt's own span is
    /// [`trace::current`](crate::trace::current).
    pub fn traceparent(&self) -> Option<&str> {
        self.job.traceparent.as_deref()
    }

    /// Its ordering key: no other job of the queue with this key runs now.
    pub fn ordering_key(&self) -> Option<&str> {
        self.job.ordering_key.as_deref()
    }

    /// When it was accepted.
    pub fn enqueued_at(&self) -> Timestamp {
        self.job.enqueued_at
    }

    /// Everything the server said about it, but for the payload, which is here.
    pub fn info(&self) -> &Arc<LeasedJob> {
        &self.job
    }

    /// Keeps a note of how far the job is, at most 4 KiB of JSON; it can be seen at the job, and a later attempt gets it as
    /// its [`checkpoint`](Self::checkpoint). The note replaces the one before.
    ///
    /// It goes out with a heartbeat at once, and this returns when the server has it on stable storage, however long
    /// that takes; so what the handler does next may rely on it. Of several notes at once only the last is sent.
    ///
    /// # Errors
    /// [`ProgressError::Unfit`], and nothing is sent; or [`ProgressError::Lost`], when what the handler does no longer
    /// counts.
    pub async fn progress<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), ProgressError> {
        let json = serde_json::value::to_raw_value(value)
            .map_err(|error| ProgressError::Unfit(error.to_string()))?;
        syntax::json("progress", &RawJson::from(&*json), limits::PROGRESS_BYTES_MAX)
            .map_err(|refusal| ProgressError::Unfit(refusal.detail))?;
        let (told, kept) = oneshot::channel();
        self.desk.progress(Note { json, waiting: vec![told] });
        kept.await.map_err(|_| ProgressError::Lost)
    }

    /// What an earlier attempt last reported with [`progress`](Self::progress); none if there is nothing, or nothing that
    /// can be read as a `T`.
    pub fn checkpoint<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.job.progress.as_ref()?.get()).ok()
    }

    /// The same job with another payload, made of this one.
    pub fn map<Q>(self, payload: impl FnOnce(P) -> Q) -> Job<Q> {
        Job { job: self.job, payload: payload(self.payload), desk: self.desk }
    }
}

impl<P: fmt::Debug> fmt::Debug for Job<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("job", &self.job).field("payload", &self.payload).finish_non_exhaustive()
    }
}

/// Why progress was not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProgressError {
    /// It is no JSON, or more than there may be.
    #[error("progress cannot be kept: {0}")]
    Unfit(String),
    /// The job's lease is over, or its worker gone.
    #[error("progress cannot be kept: the job is no longer this worker's")]
    Lost,
}

/// Progress on its way to the server, and who waits until it is there.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) json: Box<RawValue>,
    pub(crate) waiting: Vec<oneshot::Sender<()>>,
}

impl Note {
    /// The server has it.
    pub(crate) fn kept(self) {
        for told in self.waiting {
            // Whoever does not wait any more need not hear it.
            let _ = told.send(());
        }
    }
}

impl Progress for Note {
    fn after(mut self, older: Note) -> Note {
        self.waiting.extend(older.waiting);
        self
    }
}

/// A payload as the server sent it.
#[derive(Debug)]
pub(crate) struct Sent {
    json: Option<Box<RawValue>>,
    base64: Option<String>,
}

impl Sent {
    /// Takes the payload out of a job.
    pub(crate) fn take(job: &mut LeasedJob) -> Sent {
        Sent { json: job.payload.take(), base64: job.payload_base64.take() }
    }

    /// How long it is.
    pub(crate) fn bytes(&self) -> usize {
        self.base64.as_ref().map_or_else(|| self.text().len(), String::len)
    }

    fn text(&self) -> &str {
        self.json.as_ref().map_or("null", |json| json.get())
    }
}

/// What a handler's payload can be: anything that serde reads from JSON, or [`RawPayload`].
///
/// A payload that cannot be read is a fatal failure of kind `payload`, with serde's message and place: the next attempt
/// would read the same. The dead letter can be edited and redriven.
pub trait Payload: Sized + Send + 'static {
    /// Reads it.
    #[doc(hidden)]
    #[expect(private_interfaces, reason = "only this crate reads payloads")]
    fn read(sent: Sent) -> Result<Self, Failure>;
}

impl<P: DeserializeOwned + Send + 'static> Payload for P {
    #[expect(private_interfaces, reason = "only this crate reads payloads")]
    fn read(sent: Sent) -> Result<P, Failure> {
        let failure = |why: String| {
            Failure::fatal(format!("the payload is no {}: {why}", type_name::<P>())).kind("payload")
        };
        if sent.base64.is_some() {
            return Err(failure("it is bytes, not JSON".into()));
        }
        serde_json::from_str(sent.text()).map_err(|error| failure(error.to_string()))
    }
}

/// A payload as it was enqueued: JSON text, byte for byte, or bytes.
///
/// ```
/// use tidegate::RawPayload;
///
/// let raw = RawPayload::from_json(r#"{"to": "ada"}"#).expect("JSON");
/// assert_eq!(raw.as_json(), Some(r#"{"to": "ada"}"#));
/// assert_eq!(raw.into_bytes(), br#"{"to": "ada"}"#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawPayload(Raw);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Raw {
    Json(String),
    Bytes(Vec<u8>),
}

impl RawPayload {
    /// A payload of this JSON text; none if it is no JSON.
    pub fn from_json(text: impl Into<String>) -> Option<RawPayload> {
        let text = text.into();
        serde_json::from_str::<&RawValue>(&text).is_ok().then_some(RawPayload(Raw::Json(text)))
    }

    /// A payload of bytes.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> RawPayload {
        RawPayload(Raw::Bytes(bytes.into()))
    }

    /// The JSON's text; none if the job was enqueued with bytes.
    pub fn as_json(&self) -> Option<&str> {
        match &self.0 {
            Raw::Json(text) => Some(text),
            Raw::Bytes(_) => None,
        }
    }

    /// The bytes, or the JSON's text as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Raw::Json(text) => text.as_bytes(),
            Raw::Bytes(bytes) => bytes,
        }
    }

    /// The bytes, or the JSON's text as bytes, to keep.
    pub fn into_bytes(self) -> Vec<u8> {
        match self.0 {
            Raw::Json(text) => text.into_bytes(),
            Raw::Bytes(bytes) => bytes,
        }
    }
}

impl Payload for RawPayload {
    #[expect(private_interfaces, reason = "only this crate reads payloads")]
    fn read(sent: Sent) -> Result<RawPayload, Failure> {
        match &sent.base64 {
            Some(base64) => syntax::decode_base64("payload_base64", base64)
                .map(RawPayload::from_bytes)
                .map_err(|refusal| Failure::fatal(refusal.detail).kind("payload")),
            None => Ok(RawPayload(Raw::Json(sent.text().to_owned()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Mail {
        to: String,
    }

    fn sent(payload: &str) -> Sent {
        let job = format!(
            r#"{{"id":"0-5","queue":"a","kind":"k","priority":5,"attempt":2,"max_attempts":5,"token":9,
            "lease_expires_at":"2026-11-22T13:00:30.000Z","enqueued_at":"2026-11-22T13:00:00.000Z"{payload}}}"#
        );
        Sent::take(&mut serde_json::from_str(&job).expect("a leased job"))
    }

    #[track_caller]
    fn check<P: Payload + fmt::Debug>(payload: &str, expected: &str) {
        let told = match P::read(sent(payload)) {
            Ok(payload) => format!("{payload:?}"),
            Err(failure) => {
                format!("{} {}: {failure}", failure.kind_name().expect("a kind"), failure.is_fatal())
            }
        };
        assert_eq!(told, expected);
    }

    #[test]
    fn a_payload_is_read_as_the_handlers_type() {
        check::<Mail>(r#","payload":{"to":"ann"}"#, r#"Mail { to: "ann" }"#);
        check::<()>("", "()");
        check::<serde_json::Value>(r#","payload":[1]"#, "Array [Number(1)]");
    }

    #[test]
    fn what_cannot_be_read_says_what_and_where() {
        let name = type_name::<Mail>();
        check::<Mail>(
            r#","payload":{"for":"ann"}"#,
            &format!("payload true: the payload is no {name}: missing field `to` at line 1 column 13"),
        );
        check::<Mail>(
            r#","payload_base64":"AAEC/w==""#,
            &format!("payload true: the payload is no {name}: it is bytes, not JSON"),
        );
    }

    #[test]
    fn a_raw_payload_is_what_was_enqueued() {
        let raw =
            |payload: &str| RawPayload::read(sent(payload)).map(RawPayload::into_bytes).expect("a payload");
        assert_eq!(raw(r#","payload":{ "to":  "ann" }"#), br#"{ "to":  "ann" }"#);
        assert_eq!(raw(r#","payload_base64":"AAEC/w==""#), [0, 1, 2, 255]);
        assert_eq!(raw(""), b"null");
        assert!(RawPayload::read(sent(r#","payload_base64":"?""#)).is_err());
    }
}
