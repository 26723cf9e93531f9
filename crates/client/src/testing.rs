//! For tests of programs that use Tidegate: an engine in memory with a clock that stands still until the test moves it.
//!
//! It is the real engine, with the real rules: only its log is in memory and its time is the test's. A test needs no
//! server, no directory and no sleeping: what is due in an hour is due after [`Engine::advance`] by an hour.
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use std::time::Duration;
//! use tidegate::{Client, testing::Engine};
//!
//! /// The code under test: reminds whoever signed up, a day later.
//! async fn sign_up(client: &Client, name: &str) -> Result<(), tidegate::Error> {
//!     let reminders = client.queue("reminders");
//!     reminders.job("remind", &name).delay(Duration::from_secs(86_400)).enqueue().await?;
//!     Ok(())
//! }
//!
//! let engine = Engine::new();
//! sign_up(&engine.client(), "ann").await?;
//! engine.assert_enqueued("reminders", "remind", &"ann").await;
//! assert_eq!(engine.client().show_queue("reminders").await?.counts.ready, 0);
//!
//! engine.advance(Duration::from_secs(86_400)).await;
//! assert_eq!(engine.client().show_queue("reminders").await?.counts.ready, 1);
//! # Ok::<(), tidegate::Error>(())
//! # }).unwrap();
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use tidegate_api::job::Job;
use tidegate_api::query::JobsQuery;
use tidegate_api::refusal::Code;
use tidegate_api::time::Timestamp;
use tidegate_api::words::JobState;
use tidegate_core::Time;
use tidegate_engine::{Clock, Now, Options};

use crate::embedded::Embedded;
use crate::{Client, Ran, Worker};

/// When every test begins: 2026-01-01T00:00:00Z.
const BEGINNING_MS: u64 = 1_767_225_600_000;

/// An engine in memory, for one test.
#[derive(Debug, Clone)]
pub struct Engine {
    client: Client,
    clock: Arc<StillClock>,
}

/// A clock that only moves when it is told to.
#[derive(Debug)]
struct StillClock {
    passed_ms: AtomicU64,
}

impl Clock for StillClock {
    fn now(&self) -> Now {
        let passed_ms = self.passed_ms.load(Ordering::Acquire);
        Now { wall: Time(BEGINNING_MS + passed_ms), steady_ms: passed_ms }
    }
}

impl Engine {
    /// An engine with nothing in it. Its clock stands at 2026-01-01T00:00:00Z, and what it draws by chance is the same
    /// in every test.
    #[expect(clippy::new_without_default, reason = "starting threads is no default value")]
    pub fn new() -> Self {
        let clock = Arc::new(StillClock { passed_ms: AtomicU64::new(0) });
        let options = Options {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            seed: Some(1),
            disk_reserve_bytes: 0,
            ..Options::default()
        };
        let engine = tidegate_engine::Engine::memory(options).expect("an engine in memory opens");
        let embedded = Embedded::new(engine, Arc::clone(&clock) as Arc<dyn Clock>, "a test's memory").exact();
        Self { client: Client::on(embedded), clock }
    }

    /// A client of this engine, for the code under test.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The engine's time.
    pub fn now(&self) -> Timestamp {
        Timestamp::from(self.clock.now().wall)
    }

    /// Moves the clock on, and returns when everything that time alone brings has happened: scheduled jobs are ready,
    /// leases have lapsed, jobs have expired.
    pub async fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).expect("a test does not wait for ever");
        self.clock.passed_ms.fetch_add(by, Ordering::AcqRel);
        // A shard does a bounded part of what is due in each of its turns, and every question is a turn.
        let mut before = self.counts().await;
        loop {
            let after = self.counts().await;
            if after == before {
                return;
            }
            before = after;
        }
    }

    async fn counts(&self) -> Vec<tidegate_api::queue::Counts> {
        let mut queues: Vec<String> =
            self.all(&JobsQuery::default()).await.into_iter().map(|job| job.queue).collect();
        queues.sort_unstable();
        queues.dedup();
        let mut counts = Vec::with_capacity(queues.len());
        for queue in queues {
            counts.push(self.client.show_queue(&queue).await.expect("the engine answers").counts);
        }
        counts
    }

    /// Runs every job that is due now, and what those enqueue, until nothing is due; the worker's client is this
    /// engine's. Then [`advance`](Self::advance), and more may be.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// use std::time::Duration;
    /// use tidegate::{Failure, Job, Worker, testing::Engine};
    ///
    /// let engine = Engine::new();
    /// let worker = Worker::new(&engine.client()).queue("mail").handle("welcome", |job: Job<String>, ()| async move {
    ///     if job.attempt() == 1 { Err(Failure::retry("the mail server is busy")) } else { Ok(()) }
    /// });
    /// engine.client().queue("mail").enqueue("welcome", &"ann").await?;
    /// assert_eq!(engine.run_due(&worker).await.failed, 1);
    /// assert_eq!(engine.run_due(&worker).await.failed, 0);
    ///
    /// // The longest that the first retry can wait.
    /// engine.advance(Duration::from_secs(36)).await;
    /// assert_eq!(engine.run_due(&worker).await.completed, 1);
    /// # Ok::<(), tidegate::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// If the worker has no queue or no handler, or the engine refuses what it asks.
    pub async fn run_due<S: Clone + Send + Sync + 'static>(&self, worker: &Worker<S>) -> Ran {
        worker.run_due().await.unwrap_or_else(|error| panic!("the worker cannot run: {error}"))
    }

    /// The queue's jobs that have not ended, by rising id, with their payloads.
    pub async fn enqueued(&self, queue: &str) -> Vec<Job> {
        let mut jobs = Vec::new();
        let query = JobsQuery { queue: Some(queue.to_owned()), ..JobsQuery::default() };
        let unfinished =
            |job: &Job| matches!(job.state, JobState::Scheduled | JobState::Ready | JobState::Leased);
        for job in self.all(&query).await.into_iter().filter(unfinished) {
            jobs.push(self.client.job(job.id, Duration::ZERO).await.expect("a job that is listed is there"));
        }
        jobs
    }

    /// Panics unless the queue has an unfinished job of this kind with this payload; says what there is instead.
    pub async fn assert_enqueued<P: Serialize + ?Sized>(&self, queue: &str, kind: &str, payload: &P) {
        let wanted = serde_json::to_value(payload).expect("the payload is JSON");
        let jobs = self.enqueued(queue).await;
        let told = |job: &Job| {
            let payload = job.payload.as_ref().map_or("null", |payload| payload.get());
            (job.kind.clone(), payload.to_owned())
        };
        let found: Vec<(String, String)> = jobs.iter().map(told).collect();
        let is_wanted = |(found_kind, text): &(String, String)| {
            found_kind == kind
                && serde_json::from_str::<serde_json::Value>(text).is_ok_and(|value| value == wanted)
        };
        assert!(
            found.iter().any(is_wanted),
            "no job of kind {kind:?} with payload {wanted} is in queue {queue:?}; there are: {found:?}"
        );
    }

    /// Every job that the query finds, page by page; none if its queue does not exist.
    async fn all(&self, query: &JobsQuery) -> Vec<Job> {
        let mut query = query.clone();
        let mut jobs = Vec::new();
        loop {
            let page = match self.client.jobs(&query).await {
                Ok(page) => page,
                Err(error) if error.code() == Some(Code::QueueNotFound) => return jobs,
                Err(error) => panic!("the engine does not list jobs: {error}"),
            };
            jobs.extend(page.jobs);
            query.cursor = page.cursor;
            if query.cursor.is_none() {
                return jobs;
            }
        }
    }
}

/// Runs an example of the documentation on an engine of its own.
#[doc(hidden)]
pub fn example(example: impl AsyncFnOnce(Engine, Client) -> Result<(), crate::Error>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let engine = Engine::new();
        let client = engine.client();
        example(engine, client).await.expect("the example works");
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[should_panic(
        expected = "no job of kind \"k\" with payload 1 is in queue \"nobody_made_it\"; there are: []"
    )]
    async fn a_queue_that_is_not_there_has_no_jobs() {
        Engine::new().assert_enqueued("nobody_made_it", "k", &1).await;
    }

    #[tokio::test]
    #[should_panic(expected = "the engine does not list jobs")]
    async fn a_question_that_cannot_be_answered_is_not_the_fault_of_the_code_under_test() {
        Engine::new().assert_enqueued("no such/name", "k", &1).await;
    }
}
