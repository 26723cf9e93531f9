//! Single jobs on their way into lists.
//!
//! Whoever enqueues one job over HTTP waits for one request; a thousand who do so at the same time need not make a
//! thousand. Jobs for one queue that come while a request is under way gather, and go together with the next. Nothing
//! waits for a timer: a job that finds nothing under way goes at once and alone.
//!
//! Promises: every job is answered once, with its own outcome; a list that gets no answer is sent again under the same
//! idempotency key; no job waits longer than its deadline. Jobs of one list are accepted in the order they came.
//! Bounded: [`WAITING_MAX`] jobs wait for each queue, more callers wait outside; [`UNDER_WAY_MAX`] lists are under way.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tidegate_api::enqueue::{EnqueueResult, EnqueueResults, Enqueued, NewJob};
use tidegate_api::limits::LIST_ITEMS_MAX;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use crate::Error;
use crate::settings::Settings;
use crate::transport::{Again, Call, Transport, enqueue_path};

/// Jobs that wait for each queue.
const WAITING_MAX: usize = 4 * LIST_ITEMS_MAX;
/// Lists of one queue under way at once: while the server syncs one, it can read the next.
const UNDER_WAY_MAX: usize = 2;
/// A list is closed when it has so many bytes. One job more fits into the largest body the server takes.
const LIST_BYTES: usize = 4 << 20;

/// One job, written as JSON.
struct Waiting {
    json: Vec<u8>,
    /// The caller has given up by then.
    due: Instant,
    /// How long the caller lets one try take.
    answer_timeout: Duration,
    answer: oneshot::Sender<Result<EnqueueResult, Error>>,
}

/// Where jobs gather, for each queue of one server.
#[derive(Debug, Default)]
pub(crate) struct Coalescers {
    queues: Mutex<HashMap<String, mpsc::Sender<Waiting>>>,
}

impl Transport {
    /// Enqueues one job, together with others if there are any.
    pub(crate) async fn enqueue_coalesced(
        &self,
        settings: &Settings,
        queue: &str,
        job: &NewJob<'_>,
    ) -> Result<Enqueued, Error> {
        let due = Instant::now() + settings.deadline;
        let (answer, answered) = oneshot::channel();
        let json = serde_json::to_vec(job).expect("wire types are JSON");
        let waiting = Waiting { json, due, answer_timeout: settings.answer_timeout, answer };
        let too_late = || Error::Timeout { server: self.base().to_owned(), waited: settings.deadline };
        if let Err(full) = self.gathering(queue).try_send(waiting) {
            // The bound is reached, or the task that gathered has gone with its runtime.
            let waiting = full.into_inner();
            let gathering = self.gathering(queue);
            tokio::time::timeout_at(due, gathering.send(waiting))
                .await
                .map_err(|_| too_late())?
                .map_err(|_| too_late())?;
        }
        let answered = tokio::time::timeout_at(due, answered).await.map_err(|_| too_late())?;
        match answered.map_err(|_| too_late())?? {
            EnqueueResult::Enqueued { id, state, duplicate } => {
                Ok(Enqueued { id, queue: queue.to_owned(), state, duplicate })
            }
            EnqueueResult::Refused { error } => Err(error.into()),
        }
    }

    /// Where the queue's jobs gather.
    fn gathering(&self, queue: &str) -> mpsc::Sender<Waiting> {
        let mut queues = self.coalescers.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gathering) = queues.get(queue).filter(|gathering| !gathering.is_closed()) {
            return gathering.clone();
        }
        let (gathering, gathered) = mpsc::channel(WAITING_MAX);
        let sender = Sender { transport: Arc::new(self.without_coalescers()), path: enqueue_path(queue) };
        tokio::spawn(sender.run(gathered));
        queues.insert(queue.to_owned(), gathering.clone());
        gathering
    }
}

/// Sends what has gathered for one queue.
#[derive(Clone)]
struct Sender {
    transport: Arc<Transport>,
    path: String,
}

impl Sender {
    async fn run(self, mut gathered: mpsc::Receiver<Waiting>) {
        let slots = Arc::new(Semaphore::new(UNDER_WAY_MAX));
        let mut next = None;
        loop {
            let slot = Arc::clone(&slots).acquire_owned().await.expect("nobody closes it");
            let Some(list) = take(&mut gathered, &mut next).await else { return };
            let sender = self.clone();
            tokio::spawn(async move {
                sender.send(list).await;
                drop(slot);
            });
        }
    }

    async fn send(&self, mut list: Vec<Waiting>) {
        // Whoever has gone or whose time is over is not to have a job accepted that nobody knows of.
        let now = Instant::now();
        list.retain(|waiting| waiting.due > now && !waiting.answer.is_closed());
        // Whoever waits less long than the others stops waiting by itself.
        let Some(due) = list.iter().map(|waiting| waiting.due).max() else { return };
        // The list is as patient as the most patient of those it is for.
        let answer_timeout = list.iter().map(|waiting| waiting.answer_timeout).max().unwrap_or_default();
        let settings = Settings { deadline: due - now, answer_timeout, retries: true, idempotency_key: None };
        let (body, wait) = (body(&mut list), Duration::ZERO);
        let call = Call { method: Method::POST, path: &self.path, body, wait, again: Again::UnderKey };
        let results = self.transport.send(&settings, call).await.and_then(|answer| {
            let results =
                serde_json::from_slice::<EnqueueResults>(&answer).map_err(|error| error.to_string());
            results
                .and_then(|EnqueueResults { results }| {
                    let (sent, answered) = (list.len(), results.len());
                    let why = format!("{sent} items were sent and {answered} answered");
                    if sent == answered { Ok(results) } else { Err(why) }
                })
                .map_err(|why| self.transport.unreadable(200, why))
        });
        match results {
            Ok(results) => {
                for (waiting, result) in list.into_iter().zip(results) {
                    let _gone = waiting.answer.send(Ok(result));
                }
            }
            Err(error) => {
                for waiting in list {
                    let _gone = waiting.answer.send(Err(error.clone()));
                }
            }
        }
    }
}

/// Waits for the first job and takes those that are there too, within a list's bounds. `next` keeps one that came and
/// did not fit.
async fn take(gathered: &mut mpsc::Receiver<Waiting>, next: &mut Option<Waiting>) -> Option<Vec<Waiting>> {
    let first = match next.take() {
        Some(waiting) => waiting,
        None => gathered.recv().await?,
    };
    let mut bytes = first.json.len();
    let mut list = vec![first];
    while list.len() < LIST_ITEMS_MAX {
        let Ok(waiting) = gathered.try_recv() else { break };
        bytes += waiting.json.len();
        if bytes > LIST_BYTES {
            *next = Some(waiting);
            break;
        }
        list.push(waiting);
    }
    Some(list)
}

/// The jobs as a JSON list; their own texts are given up.
fn body(list: &mut [Waiting]) -> Bytes {
    let bytes: usize = list.iter().map(|waiting| waiting.json.len() + 1).sum();
    let mut body = Vec::with_capacity(bytes + 1);
    for waiting in list {
        body.push(if body.is_empty() { b'[' } else { b',' });
        body.append(&mut mem::take(&mut waiting.json));
    }
    body.push(b']');
    body.into()
}
