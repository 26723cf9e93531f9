//! Single jobs on their way into lists.
//!
//! Whoever enqueues one job over HTTP waits for one request; a thousand who do so at the same time need not make a
//! thousand. Jobs for one queue that come while a request is under way gather, and go together with the next. Nothing
//! waits for a timer: a job that finds nothing under way goes at once and alone.
//!
//! Promises: every job is answered once, with its own outcome; a list that gets no answer is sent again under the same
//! idempotency key; no job waits longer than its deadline. Jobs of one list are accepted in the order they came.
//! Bounded: [`WAITING_MAX`] jobs wait for each queue and [`WAITING_BYTES`] in all, more callers wait outside;
//! [`UNDER_WAY_MAX`] lists are under way. A queue for which nothing comes for a while costs nothing any more.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tidegate_api::enqueue::{EnqueueResult, EnqueueResults, Enqueued, NewJob};
use tidegate_api::limits::LIST_ITEMS_MAX;
use tokio::sync::mpsc::error::{SendError, TrySendError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use crate::Error;
use crate::settings::Settings;
use crate::transport::{Again, Call, Transport, enqueue_path};

/// Jobs that wait for each queue.
const WAITING_MAX: usize = 4 * LIST_ITEMS_MAX;
/// Bytes of jobs that wait or are under way, over all queues of a client.
const WAITING_BYTES: usize = 64 << 20;
/// A queue's gathering ends when nothing has come for so long.
const IDLE: Duration = Duration::from_secs(5);
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
    /// Its part of [`WAITING_BYTES`].
    _room: OwnedSemaphorePermit,
    answer: oneshot::Sender<Result<EnqueueResult, Error>>,
}

/// Where jobs gather, for each queue of one server.
#[derive(Debug)]
pub(crate) struct Coalescers {
    queues: Arc<Queues>,
    room: Arc<Semaphore>,
}

type Queues = Mutex<HashMap<String, mpsc::Sender<Waiting>>>;

impl Default for Coalescers {
    fn default() -> Self {
        Self { queues: Arc::default(), room: Arc::new(Semaphore::new(WAITING_BYTES)) }
    }
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
        let too_late = || Error::Timeout { server: self.base().to_owned(), waited: settings.deadline };
        let bytes = u32::try_from(json.len().min(WAITING_BYTES)).expect("the room is small");
        let room = Arc::clone(&self.coalescers.room).acquire_many_owned(bytes);
        let room = tokio::time::timeout_at(due, room).await.map_err(|_| too_late())?;
        let room = room.expect("nobody closes it");
        let mut waiting = Waiting { json, due, answer_timeout: settings.answer_timeout, _room: room, answer };
        // A gathering that has just ended, for want of jobs or with its runtime, gives the job back; the next one is new.
        loop {
            let gathering = self.gathering(queue);
            waiting = match gathering.try_send(waiting) {
                Ok(()) => break,
                Err(TrySendError::Closed(waiting)) => {
                    // A runtime that goes down ends every gathering at once, and this caller here.
                    tokio::task::yield_now().await;
                    waiting
                }
                Err(TrySendError::Full(waiting)) => {
                    let sent = tokio::time::timeout_at(due, gathering.send(waiting));
                    match sent.await.map_err(|_| too_late())? {
                        Ok(()) => break,
                        Err(SendError(waiting)) => waiting,
                    }
                }
            };
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
        let (all, name) = (Arc::downgrade(&self.coalescers.queues), queue.to_owned());
        tokio::spawn(async move {
            sender.run(gathered).await;
            forget(&all, &name);
        });
        queues.insert(queue.to_owned(), gathering.clone());
        gathering
    }
}

/// Forgets where a queue's jobs gathered, unless they gather anew.
fn forget(queues: &Weak<Queues>, name: &str) {
    let Some(queues) = queues.upgrade() else { return };
    let mut queues = queues.lock().unwrap_or_else(PoisonError::into_inner);
    if queues.get(name).is_some_and(mpsc::Sender::is_closed) {
        queues.remove(name);
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

/// Waits for the first job, unless none comes for a while, and takes those that are there too, within a list's bounds. `next` keeps one that came and
/// did not fit.
async fn take(gathered: &mut mpsc::Receiver<Waiting>, next: &mut Option<Waiting>) -> Option<Vec<Waiting>> {
    let first = match next.take() {
        Some(waiting) => waiting,
        None => match tokio::time::timeout(IDLE, gathered.recv()).await {
            Ok(first) => first?,
            Err(_) => {
                // Whoever came at the last moment is still taken; whoever comes later finds it closed.
                gathered.close();
                gathered.recv().await?
            }
        },
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

#[cfg(test)]
mod tests {
    use tidegate_api::value::RawJson;
    use tokio::net::TcpListener;

    use super::*;

    impl Coalescers {
        fn names(&self) -> Vec<String> {
            self.queues.lock().expect("no panic").keys().cloned().collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_without_jobs_costs_nothing_after_a_while() {
        let transport = Transport::new("http://127.0.0.1:1").expect("an address");
        let gathering = transport.gathering("q");
        assert_eq!(transport.coalescers.names(), ["q"]);
        gathering.closed().await;
        // Whoever had it and comes now finds a new one.
        assert!(!transport.gathering("q").is_closed());
        transport.gathering("q").closed().await;
        tokio::time::sleep(IDLE).await;
        assert_eq!(transport.coalescers.names(), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_comes_as_the_gathering_ends_is_not_lost() {
        let room = Arc::new(Semaphore::new(1));
        let waiting = || Waiting {
            json: b"{}".to_vec(),
            due: Instant::now() + IDLE,
            answer_timeout: IDLE,
            _room: Arc::clone(&room).try_acquire_many_owned(0).expect("nothing is always there"),
            answer: oneshot::channel().0,
        };
        let (gathering, mut gathered) = mpsc::channel(2);
        // Somebody has a place and fills it only after the end.
        let place = gathering.reserve().await.expect("open");
        let waits = async {
            gathering.closed().await;
            assert!(gathering.try_send(waiting()).is_err(), "it is given back");
            place.send(waiting());
        };
        let mut next = None;
        let (taken, ()) = tokio::join!(take(&mut gathered, &mut next), waits);
        assert_eq!(taken.map(|list| list.len()), Some(1));
        assert!(take(&mut gathered, &mut next).await.is_none());
    }

    #[tokio::test]
    async fn jobs_that_wait_have_a_bounded_weight() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let transport = Arc::new(Transport::new(&url).expect("an address"));
        let heavy = tokio::spawn({
            let transport = Arc::clone(&transport);
            async move {
                let payload = Some(RawJson::of(&"x".repeat(WAITING_BYTES)).expect("text is JSON"));
                let job = NewJob { payload, ..NewJob::default() };
                transport.enqueue_coalesced(&Settings::default(), "heavy", &job).await
            }
        });
        let silent = listener.accept().await.expect("it is on its way");
        let hurried = Settings { deadline: Duration::from_millis(10), ..Settings::default() };
        let late = transport.enqueue_coalesced(&hurried, "light", &NewJob::default()).await;
        assert!(matches!(late, Err(Error::Timeout { .. })), "{late:?}");
        assert_eq!(transport.coalescers.names(), ["heavy"], "there was no room for more");
        heavy.abort();
        drop(silent);
    }
}
