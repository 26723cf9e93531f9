//! A queue as those who give it work see it: jobs by kind and payload, with everything a job may have.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tidegate_api::enqueue::{Enqueued, NewJob, Retry, Unique};
use tidegate_api::refusal::Refusal;
use tidegate_api::time::Timestamp;
use tidegate_api::value::{Metadata, RawJson, Text};
use tidegate_api::words::OnFailure;

use crate::calls::either;
use crate::settings::checked_key;
use crate::transport::Transport;
use crate::{Client, Error, Link, trace};

/// A queue to give work to. A clone is the same queue and costs nothing much.
///
/// ```
/// # #[cfg(feature = "testing")]
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let engine = tidegate::testing::Engine::new();
/// # let client = engine.client();
/// #[derive(serde::Serialize)]
/// struct SendEmail {
///     user_id: u64,
/// }
///
/// let mail = client.queue("mail");
/// let job = mail.enqueue("send_email", &SendEmail { user_id: 1001 }).await?;
/// assert!(!job.duplicate);
/// # Ok::<(), tidegate::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Queue {
    client: Client,
    name: Arc<str>,
}

/// A job that is a kind and a payload: the same JSON as that of a [`NewJob`], written without a copy in between.
#[derive(Serialize)]
struct PlainJob<'a, P: ?Sized> {
    kind: &'a str,
    payload: &'a P,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
}

impl Client {
    /// The queue of this name. It need not exist: its first job makes it.
    pub fn queue(&self, name: impl Into<String>) -> Queue {
        Queue { client: self.clone(), name: name.into().into() }
    }
}

impl Queue {
    /// The queue's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives the queue a job. Once this answers, the job is on stable storage.
    ///
    /// Over HTTP, jobs that are enqueued at the same time travel together: the more callers there are, the longer the
    /// lists, and nobody waits for a timer. If the order of two jobs matters, wait for the first before enqueueing the second.
    ///
    /// # Errors
    /// A refusal, such as [`Code::QueueFull`](crate::api::refusal::Code::QueueFull), or no answer within the client's
    /// deadline.
    pub async fn enqueue<P: Serialize + ?Sized>(&self, kind: &str, payload: &P) -> Result<Enqueued, Error> {
        match self.gathers() {
            Some(http) => {
                let traceparent = trace::current().map(|trace| trace.to_string());
                let json = json(kind, &PlainJob { kind, payload, traceparent })?;
                http.enqueue_coalesced(&self.client.settings, &self.name, json).await
            }
            // In a box, because a thousand callers may keep the other future, which is far smaller.
            None => Box::pin(self.job(kind, payload).enqueue()).await,
        }
    }

    /// The way to the server, if jobs travel together on it.
    fn gathers(&self) -> Option<&Transport> {
        let settings = &self.client.settings;
        match &self.client.link {
            Link::Http(http) if settings.retries && settings.idempotency_key.is_none() => Some(http),
            _ => None,
        }
    }

    /// A job with more to say than its kind and payload; [`JobBuilder::enqueue`] or a transaction accepts it.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let engine = tidegate::testing::Engine::new();
    /// # let client = engine.client();
    /// use std::time::Duration;
    ///
    /// let alarm = client
    ///     .queue("alarms")
    ///     .job("siren", &"zone 7")
    ///     .priority(0)
    ///     .ordering_key("zone-7")
    ///     .expires_in(Duration::from_secs(60))
    ///     .max_attempts(3)
    ///     .metadata("source", "sensor-12")
    ///     .idempotency_key("alarm-4711")
    ///     .enqueue()
    ///     .await?;
    /// assert_eq!(alarm.state.as_str(), "ready");
    /// # Ok::<(), tidegate::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn job<P: Serialize + ?Sized>(&self, kind: &str, payload: &P) -> JobBuilder {
        let (payload, defect) = match RawJson::of(payload) {
            Ok(payload) => (Some(payload), None),
            Err(error) => (None, Some(Error::Payload { kind: kind.to_owned(), why: error.to_string() })),
        };
        self.begin(kind, NewJob { payload, ..NewJob::default() }, defect)
    }

    /// A job whose payload is bytes and not JSON.
    pub fn job_of_bytes(&self, kind: &str, payload: &[u8]) -> JobBuilder {
        let payload_base64 = Some(tidegate_api::syntax::encode_base64(payload).into());
        self.begin(kind, NewJob { payload_base64, ..NewJob::default() }, None)
    }

    fn begin(&self, kind: &str, job: NewJob<'static>, defect: Option<Error>) -> JobBuilder {
        let traceparent = trace::current().map(|trace| trace.to_string().into());
        let job = NewJob { kind: Some(kind.to_owned().into()), traceparent, ..job };
        JobBuilder { queue: self.clone(), job, metadata: Vec::new(), idempotency_key: None, defect }
    }
}

/// A job on its way into a queue. Each method says one more thing about it.
///
/// Within a handler, or inside of [`trace::scope`], it goes on with the current trace unless told another.
#[derive(Debug, Clone)]
#[must_use = "a job is enqueued by `enqueue`"]
pub struct JobBuilder {
    queue: Queue,
    job: NewJob<'static>,
    metadata: Vec<(String, String)>,
    idempotency_key: Option<String>,
    /// What cannot be; told when the job is enqueued.
    defect: Option<Error>,
}

impl JobBuilder {
    /// 0 goes first, 9 last; 5 if not said.
    pub fn priority(mut self, priority: u8) -> Self {
        self.job.priority = Some(priority);
        self
    }

    /// Not before so long from now, up to 366 days. Excludes [`run_at`](Self::run_at).
    pub fn delay(mut self, delay: Duration) -> Self {
        self.job.delay_ms = Some(ms(delay));
        self
    }

    /// Not before this time.
    pub fn run_at(mut self, at: Timestamp) -> Self {
        self.job.run_at = Some(at);
        self
    }

    /// Dead as `expired` if no worker has begun in so long. Excludes [`expires_at`](Self::expires_at).
    pub fn expires_in(mut self, span: Duration) -> Self {
        self.job.expires_in_ms = Some(ms(span));
        self
    }

    /// Dead as `expired` if no worker has begun by then.
    pub fn expires_at(mut self, at: Timestamp) -> Self {
        self.job.expires_at = Some(at);
        self
    }

    /// Jobs of the queue with the same key run one at a time, in order. 1 to 256 bytes.
    pub fn ordering_key(mut self, key: impl Into<String>) -> Self {
        self.job.ordering_key = Some(Text::from(key.into()));
        self
    }

    /// What becomes of the ordering key's later jobs while this one fails. Needs [`ordering_key`](Self::ordering_key).
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.job.on_failure = Some(on_failure);
        self
    }

    /// Whose job it is: within a priority, keys take turns. 1 to 256 bytes.
    pub fn fairness_key(mut self, key: impl Into<String>) -> Self {
        self.job.fairness_key = Some(Text::from(key.into()));
        self
    }

    /// At most one job with this key in the queue until it has ended; a second one is answered with the first
    /// ([`Enqueued::duplicate`]). [`unique`](Self::unique) says more.
    pub fn unique_key(self, key: impl Into<String>) -> Self {
        self.unique(Unique { key: Text::from(key.into()), until: None, duration_ms: None, on_conflict: None })
    }

    /// At most one such job at a time.
    pub fn unique(mut self, unique: Unique<'static>) -> Self {
        self.job.unique = Some(unique);
        self
    }

    /// How it is retried, in place of the queue's policy.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.job.retry = Some(retry);
        self
    }

    /// All attempts, the first included, 1 to 100; the rest of its retry policy is what was said before, else the default.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.job.retry.get_or_insert_default().max_attempts = Some(attempts);
        self
    }

    /// The name of what it needs to be up.
    pub fn dependency(mut self, name: impl Into<String>) -> Self {
        self.job.dependency = Some(Text::from(name.into()));
        self
    }

    /// The W3C trace that its worker goes on with, in place of the current one.
    pub fn traceparent(mut self, traceparent: impl Into<String>) -> Self {
        self.job.traceparent = Some(Text::from(traceparent.into()));
        self
    }

    /// A name and value for people and workers; at most 64 of them and 8 KiB.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.push((name.into(), value.into()));
        self
    }

    /// The caller's own name for this one intention: said again with the same key, the job is not accepted twice.
    /// 1 to 255 printable ASCII characters. Such a job travels alone.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Gives the queue the job. Once this answers, it is on stable storage.
    ///
    /// # Errors
    /// As [`Queue::enqueue`]; also a field that cannot be, by name.
    pub async fn enqueue(self) -> Result<Enqueued, Error> {
        let key = self.idempotency_key.clone();
        let (queue, job) = self.into_job()?;
        if let (None, Some(http)) = (&key, queue.gathers()) {
            let json = json(job.kind.as_deref().unwrap_or_default(), &job)?;
            return http.enqueue_coalesced(&queue.client.settings, &queue.name, json).await;
        }
        let Queue { client, name } = queue;
        let mut settings = client.settings.clone();
        if let Some(key) = key {
            settings.idempotency_key = Some(checked_key(&key)?.to_owned());
        }
        let path = crate::transport::enqueue_path(&name);
        either!(client,
            http => http.post(&settings, &path, &job, Duration::ZERO).await,
            engine => engine.enqueue(&settings, &path, &name, &job).await)
    }

    /// The queue's name and the job as an operation of a transaction, which has the only key.
    pub(crate) fn into_operation(self) -> Result<(String, NewJob<'static>), Error> {
        if self.idempotency_key.is_some() {
            let why = "A job of a transaction has no key of its own; give the transaction one.";
            return Err(Refusal::contradiction("idempotency_key", why).into());
        }
        let (queue, job) = self.into_job()?;
        Ok((queue.name.to_string(), job))
    }

    /// The queue and the job as the wire has it.
    fn into_job(self) -> Result<(Queue, NewJob<'static>), Error> {
        if let Some(defect) = self.defect {
            return Err(defect);
        }
        let metadata = (!self.metadata.is_empty()).then(|| Metadata::from_iter(self.metadata));
        Ok((self.queue, NewJob { metadata, ..self.job }))
    }
}

/// A job's JSON, or what of its payload cannot be written. A list copies it, so it has room for most jobs at once.
fn json(kind: &str, job: &impl Serialize) -> Result<Vec<u8>, Error> {
    let mut json = Vec::with_capacity(512);
    serde_json::to_writer(&mut json, job)
        .map_err(|error| Error::Payload { kind: kind.to_owned(), why: error.to_string() })?;
    Ok(json)
}

/// Whole milliseconds; what is longer than any bound stays so, and is refused by name.
pub(crate) fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_plain_job_is_written_as_any_other() {
        let client = Client::connect("http://127.0.0.1:1").expect("an address");
        let trace = trace::TraceParent::root();
        for traceparent in [None, Some(trace)] {
            let payload = (1, "zwei", Some([3.5]), None::<()>);
            let built = match traceparent {
                None => client.queue("q").job("k", &payload),
                Some(trace) => trace::scope(trace, async { client.queue("q").job("k", &payload) }).await,
            };
            let plain = PlainJob {
                kind: "k",
                payload: &payload,
                traceparent: traceparent.map(|trace| trace.to_string()),
            };
            let written = String::from_utf8(json("k", &plain).expect("it is JSON")).expect("text");
            assert_eq!(written, serde_json::to_string(&built.job).expect("it is JSON"));
        }
    }
}
