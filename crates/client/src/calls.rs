//! The calls, one for each endpoint, in the order of the API's documentation.
//!
//! All fail alike: [`Error::Refused`] with the engine's problem, or one of the others when there is no answer. Only
//! what is particular to a call is said beside it.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tidegate_api::{
    dead::{Cause, CauseList, DeleteDeadRequest, DeletedAnswer, RedriveAnswer, RedriveRequest},
    enqueue::{EnqueueResult, EnqueueResults, Enqueued, NewJob},
    id::JobId,
    job::{EditJob, Job, JobPage, JobStateAnswer},
    lease::{LeaseRequest, LeasedJob},
    query::{DeadQuery, JobsQuery, WaitQuery},
    queue::{KeyAnswer, PauseRequest, Queue, QueueConfig, QueueList, QueueSummary, Redrive},
    settle::{Complete, Extend, Fail, Release, SettleResult},
    transaction::{TransactionAnswer, TransactionRequest},
    work::{WorkAnswer, WorkRequest},
};

use crate::transport::{Again, Call, Nothing, encode, enqueue_path};
use crate::{Client, Error, Link};

const AT_ONCE: Duration = Duration::ZERO;
const TRANSACTIONS: &str = "/v1/transactions";

/// Takes one of two ways: over HTTP, or to the engine in this process.
macro_rules! either {
    ($client:expr, $http:ident => $remote:expr, $engine:ident => $local:expr) => {
        match &$client.link {
            Link::Http($http) => $remote,
            #[cfg(feature = "embedded")]
            Link::Embedded($engine) => $local,
        }
    };
}
pub(crate) use either;

impl Client {
    /// Gives a queue one job, in a request of its own. Once this answers, the job is on stable storage.
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// use tidegate::api::{enqueue::NewJob, value::RawJson};
    ///
    /// let payload = RawJson::of(&["ann@example.org"]).expect("a list of text is JSON");
    /// let job = NewJob { kind: Some("welcome".into()), payload: Some(payload), ..NewJob::default() };
    /// let enqueued = client.enqueue("mail", &job).await?;
    /// assert_eq!(enqueued.state.as_str(), "ready");
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub async fn enqueue(&self, queue: &str, job: &NewJob<'_>) -> Result<Enqueued, Error> {
        let (settings, path) = (&self.settings, enqueue_path(queue));
        either!(self,
            http => http.post(settings, &path, job, AT_ONCE).await,
            engine => engine.enqueue(settings, &path, queue, job).await)
    }

    /// Gives a queue up to 1,000 jobs. The results are in the order of the jobs; one that is refused does not keep the
    /// others out.
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// use tidegate::api::enqueue::{EnqueueResult, NewJob};
    ///
    /// let jobs = [NewJob::default(), NewJob { priority: Some(12), ..NewJob::default() }];
    /// let results = client.enqueue_list("mail", &jobs).await?;
    /// assert!(matches!(results[0], EnqueueResult::Enqueued { .. }));
    /// assert!(matches!(&results[1], EnqueueResult::Refused { error } if error.field.as_deref() == Some("priority")));
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub async fn enqueue_list(&self, queue: &str, jobs: &[NewJob<'_>]) -> Result<Vec<EnqueueResult>, Error> {
        let (settings, path) = (&self.settings, enqueue_path(queue));
        either!(self,
            http => {
                let answer: EnqueueResults = http.post(settings, &path, jobs, AT_ONCE).await?;
                self.one_each(answer.results, jobs.len())
            },
            engine => engine.enqueue_list(settings, &path, queue, jobs).await)
    }

    /// Takes jobs to work on, waiting for the first as long as the request says.
    ///
    /// If the answer is lost on the way, that is told, and the jobs it brought are ready again when their leases lapse;
    /// under an [idempotency key](Self::with_idempotency_key) of yours, the call is tried again and brings them.
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// use tidegate::api::lease::LeaseRequest;
    ///
    /// client.queue("mail").enqueue("welcome", &"ann").await?;
    /// let lease = LeaseRequest { queues: vec!["mail".into()], max: Some(10), ..LeaseRequest::default() };
    /// let jobs = client.lease(&lease).await?;
    /// assert_eq!((jobs[0].kind.as_str(), jobs[0].attempt), ("welcome", 1));
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub async fn lease(&self, request: &LeaseRequest<'_>) -> Result<Vec<LeasedJob>, Error> {
        let request = WorkRequest { lease: Some(request.clone()), ..WorkRequest::default() };
        Ok(self.work(&request).await?.jobs.unwrap_or_default())
    }

    /// Reports attempts that succeeded. The results are in the order of the items.
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// # use tidegate::api::lease::LeaseRequest;
    /// # client.queue("mail").enqueue("welcome", &"ann").await?;
    /// # let lease = LeaseRequest { queues: vec!["mail".into()], ..LeaseRequest::default() };
    /// use tidegate::api::settle::{Complete, SettleResult};
    ///
    /// let job = client.lease(&lease).await?.remove(0);
    /// let done = Complete { id: job.id, token: job.token, result: None };
    /// assert!(matches!(client.complete(&[done.clone()]).await?[0], SettleResult::Settled { .. }));
    /// // Of a late worker's word nothing comes.
    /// let late = Complete { token: job.token + 1, ..done };
    /// assert!(matches!(client.complete(&[late]).await?[0], SettleResult::Refused { .. }));
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub async fn complete(&self, items: &[Complete<'_>]) -> Result<Vec<SettleResult>, Error> {
        let request = WorkRequest { complete: Some(items.to_vec()), ..WorkRequest::default() };
        let answer = self.work(&request).await?;
        self.one_each(answer.complete.unwrap_or_default(), items.len())
    }

    /// Reports attempts that failed. The results are in the order of the items.
    ///
    /// If the answer is lost on the way, that is told. Said again, what was taken is refused as `stale_token` or
    /// `job_ended`, unless both times carry one [idempotency key](Self::with_idempotency_key).
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// # use tidegate::api::lease::LeaseRequest;
    /// # client.queue("mail").enqueue("welcome", &"ann").await?;
    /// # let lease = LeaseRequest { queues: vec!["mail".into()], ..LeaseRequest::default() };
    /// use tidegate::api::settle::{AttemptError, Fail, SettleResult};
    ///
    /// let job = client.lease(&lease).await?.remove(0);
    /// let error = AttemptError { message: "connection refused".into(), kind: Some("smtp".into()), dependency: None };
    /// let failed = Fail { id: job.id, token: job.token, error, retry_after_ms: Some(5_000), fatal: None };
    /// let results = client.fail(&[failed]).await?;
    /// assert!(matches!(results[0], SettleResult::Settled { run_at: Some(_), .. }));
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub async fn fail(&self, items: &[Fail<'_>]) -> Result<Vec<SettleResult>, Error> {
        let request = WorkRequest { fail: Some(items.to_vec()), ..WorkRequest::default() };
        let answer = self.work(&request).await?;
        self.one_each(answer.fail.unwrap_or_default(), items.len())
    }

    /// Extends leases: the heartbeat. The results are in the order of the items.
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// # use tidegate::api::lease::LeaseRequest;
    /// # client.queue("mail").enqueue("welcome", &"ann").await?;
    /// # let lease = LeaseRequest { queues: vec!["mail".into()], ..LeaseRequest::default() };
    /// use tidegate::api::{settle::Extend, value::RawJson};
    ///
    /// let job = client.lease(&lease).await?.remove(0);
    /// let progress = RawJson::of(&40).expect("a number is JSON");
    /// let beat = Extend { id: job.id, token: job.token, lease_ms: None, progress: Some(progress) };
    /// client.extend(&[beat]).await?;
    /// assert_eq!(client.job(job.id, Default::default()).await?.progress.unwrap().get(), "40");
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub async fn extend(&self, items: &[Extend<'_>]) -> Result<Vec<SettleResult>, Error> {
        let request = WorkRequest { extend: Some(items.to_vec()), ..WorkRequest::default() };
        let answer = self.work(&request).await?;
        self.one_each(answer.extend.unwrap_or_default(), items.len())
    }

    /// Gives jobs back without counting the attempt. The results are in the order of the items. A lost answer is told, as
    /// of [`fail`](Self::fail).
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// # use tidegate::api::lease::LeaseRequest;
    /// # client.queue("mail").enqueue("welcome", &"ann").await?;
    /// # let lease = LeaseRequest { queues: vec!["mail".into()], ..LeaseRequest::default() };
    /// use tidegate::api::settle::Release;
    ///
    /// let job = client.lease(&lease).await?.remove(0);
    /// client.release(&[Release { id: job.id, token: job.token }]).await?;
    /// assert_eq!(client.lease(&lease).await?[0].attempt, 1);
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub async fn release(&self, items: &[Release]) -> Result<Vec<SettleResult>, Error> {
        let request = WorkRequest { release: Some(items.to_vec()), ..WorkRequest::default() };
        let answer = self.work(&request).await?;
        self.one_each(answer.release.unwrap_or_default(), items.len())
    }

    /// A worker's round in one call: what it settles, then what it leases. It carries no idempotency key unless
    /// [you give it one](Self::with_idempotency_key); without one, a lost answer is told if the round does more than complete
    /// and extend.
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// use tidegate::api::{lease::LeaseRequest, settle::Complete, work::WorkRequest};
    ///
    /// let mail = client.queue("mail");
    /// mail.enqueue("welcome", &"ann").await?;
    /// mail.enqueue("welcome", &"ben").await?;
    /// let lease = LeaseRequest { queues: vec!["mail".into()], ..LeaseRequest::default() };
    /// let first = client.lease(&lease).await?.remove(0);
    /// let done = Complete { id: first.id, token: first.token, result: None };
    /// let round = WorkRequest { complete: Some(vec![done]), lease: Some(lease), ..WorkRequest::default() };
    /// let answer = client.work(&round).await?;
    /// assert_eq!((answer.complete.unwrap().len(), answer.jobs.unwrap().len()), (1, 1));
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub async fn work(&self, request: &WorkRequest<'_>) -> Result<WorkAnswer, Error> {
        let (settings, path) = (&self.settings, "/v1/work");
        let wait = Duration::from_millis(request.lease.as_ref().map_or(0, LeaseRequest::wait_ms));
        either!(self,
            http => http.work(settings, path, request, wait).await,
            engine => engine.work(settings, path, request).await)
    }

    /// Does all operations, or, if one of them is refused, none: the problem's refusal says which. The results are in the
    /// order of the operations.
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// use tidegate::api::{enqueue::NewJob, transaction::{EnqueueOperation, Operation, TransactionRequest}};
    ///
    /// let enqueue = |queue: &'static str| {
    ///     Operation::Enqueue(Box::new(EnqueueOperation { queue: queue.into(), job: NewJob::default() }))
    /// };
    /// let operations = vec![enqueue("mail"), enqueue("stock")];
    /// let request = TransactionRequest { operations, ..TransactionRequest::default() };
    /// assert_eq!(client.transact(&request).await?.results.len(), 2);
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub async fn transact(&self, request: &TransactionRequest<'_>) -> Result<TransactionAnswer, Error> {
        let (settings, path) = (&self.settings, TRANSACTIONS);
        either!(self,
            http => {
                let answer: TransactionAnswer = http.post(settings, path, request, AT_ONCE).await?;
                let results = self.one_each(answer.results, request.operations.len())?;
                Ok(TransactionAnswer { results })
            },
            engine => engine.transact(settings, path, request).await)
    }

    /// One job with everything that is known about it. With a `wait` of up to a minute, waits for its end and then
    /// answers whatever state it is in.
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// use std::time::Duration;
    ///
    /// let job = client.queue("mail").job("welcome", &"ann").delay(Duration::from_secs(60)).enqueue().await?;
    /// let shown = client.job(job.id, Duration::ZERO).await?;
    /// assert_eq!((shown.state.as_str(), shown.payload.unwrap().get()), ("scheduled", "\"ann\""));
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub async fn job(&self, id: JobId, wait: Duration) -> Result<Job, Error> {
        let settings = &self.settings;
        either!(self,
            http => {
                let wait_ms = (!wait.is_zero()).then(|| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
                let path = with_query(format!("/v1/jobs/{id}"), WaitQuery { wait_ms }.write());
                http.get(settings, &path, wait).await
            },
            engine => engine.job(settings, id, wait).await)
    }

    /// Takes a job back before its end, even from the worker that has it.
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// let job = client.queue("mail").enqueue("welcome", &"ann").await?;
    /// assert_eq!(client.cancel(job.id).await?.state.as_str(), "cancelled");
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub async fn cancel(&self, id: JobId) -> Result<JobStateAnswer, Error> {
        let (settings, path) = (&self.settings, format!("/v1/jobs/{id}/cancel"));
        either!(self,
            http => http.post(settings, &path, &Nothing {}, AT_ONCE).await,
            engine => engine.cancel(settings, &path, id).await)
    }

    /// Gives a dead job another payload.
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// # use tidegate::{Failure, Job, Worker};
    /// use tidegate::api::{job::EditJob, value::RawJson};
    ///
    /// let job = client.queue("mail").enqueue("welcome", &"an n").await?;
    /// # let worker = Worker::new(&client).queue("mail").handle("welcome", |_: Job<String>, ()| async {
    /// #     Err::<(), _>(Failure::fatal("no such address"))
    /// # });
    /// # engine.run_due(&worker).await;
    /// // It died of its payload.
    /// let mended = RawJson::of("ann").expect("text is JSON");
    /// let edited = client.edit(job.id, &EditJob { payload: Some(mended), ..EditJob::default() }).await?;
    /// assert_eq!((edited.state.as_str(), edited.payload.unwrap().get()), ("dead", "\"ann\""));
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub async fn edit(&self, id: JobId, edit: &EditJob<'_>) -> Result<Job, Error> {
        let (settings, path) = (&self.settings, format!("/v1/jobs/{id}/edit"));
        either!(self,
            http => http.post(settings, &path, edit, AT_ONCE).await,
            engine => engine.edit(settings, &path, id, edit).await)
    }

    /// A page of jobs. Ask again with the page's cursor for the next.
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// use tidegate::api::{query::JobsQuery, words::JobState};
    ///
    /// client.queue("mail").enqueue("welcome", &"ann").await?;
    /// let query = JobsQuery { state: Some(JobState::Ready), ..JobsQuery::default() };
    /// assert_eq!(client.jobs(&query).await?.jobs.len(), 1);
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub async fn jobs(&self, query: &JobsQuery) -> Result<JobPage, Error> {
        let settings = &self.settings;
        either!(self,
            http => http.get(settings, &with_query("/v1/jobs".into(), query.write()), AT_ONCE).await,
            engine => engine.jobs(settings, query).await)
    }

    /// All queues.
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// client.queue("mail").enqueue("welcome", &"ann").await?;
    /// for queue in client.queues().await? {
    ///     assert_eq!(queue.name, "mail");
    /// }
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub async fn queues(&self) -> Result<Vec<QueueSummary>, Error> {
        let settings = &self.settings;
        either!(self,
            http => {
                let list: QueueList = http.get(settings, "/v1/queues", AT_ONCE).await?;
                Ok(list.queues)
            },
            engine => Ok(engine.queues()))
    }

    /// How a queue stands, or stood some tens of milliseconds ago: such looks cost the queue nothing.
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// client.queue("mail").enqueue("welcome", &"ann").await?;
    /// assert_eq!(client.show_queue("mail").await?.counts.ready, 1);
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub async fn show_queue(&self, queue: &str) -> Result<Queue, Error> {
        let settings = &self.settings;
        either!(self,
            http => http.get(settings, &queue_path(queue, ""), AT_ONCE).await,
            engine => engine.queue(settings, queue).await)
    }

    /// Sets a queue's whole configuration, making the queue if there is none; what is left out becomes the default.
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// use tidegate::api::{enqueue::Retry, queue::QueueConfig};
    ///
    /// let retry = Retry { max_attempts: Some(3), delay_ms: Some(1_000), ..Retry::default() };
    /// let config = QueueConfig { retry: Some(retry), jobs_max: Some(100_000), ..QueueConfig::default() };
    /// assert_eq!(client.configure("mail", &config).await?.config.jobs_max, Some(100_000));
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub async fn configure(&self, queue: &str, config: &QueueConfig) -> Result<Queue, Error> {
        let (settings, path) = (&self.settings, queue_path(queue, ""));
        either!(self,
            http => http.put(settings, &path, config).await,
            engine => engine.configure(settings, &path, queue, config).await)
    }

    /// Holds a queue's jobs back. Those with a worker go on.
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// client.queue("mail").enqueue("welcome", &"ann").await?;
    /// assert!(client.pause("mail").await?.paused);
    /// assert!(!client.resume("mail").await?.paused);
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub async fn pause(&self, queue: &str) -> Result<Queue, Error> {
        self.pause_or_resume(queue, true).await
    }

    /// Ends a queue's pause.
    pub async fn resume(&self, queue: &str) -> Result<Queue, Error> {
        self.pause_or_resume(queue, false).await
    }

    async fn pause_or_resume(&self, queue: &str, paused: bool) -> Result<Queue, Error> {
        let settings = &self.settings;
        let (path, request) = (pause_path(queue, paused), PauseRequest::default());
        either!(self,
        http => http.post(settings, &path, &request, AT_ONCE).await,
        engine => {
            engine.pause(settings, &path, queue, &request, paused).await?;
            engine.queue_now(settings, queue).await
        })
    }

    /// Holds back the jobs of one ordering key.
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// client.queue("mail").job("welcome", &"ann").ordering_key("ann").enqueue().await?;
    /// assert!(client.pause_key("mail", "ann").await?.paused);
    /// assert!(!client.resume_key("mail", "ann").await?.paused);
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub async fn pause_key(&self, queue: &str, ordering_key: &str) -> Result<KeyAnswer, Error> {
        self.pause_or_resume_key(queue, ordering_key, true).await
    }

    /// Ends the pause of one ordering key, or its being parked behind a dead job.
    pub async fn resume_key(&self, queue: &str, ordering_key: &str) -> Result<KeyAnswer, Error> {
        self.pause_or_resume_key(queue, ordering_key, false).await
    }

    async fn pause_or_resume_key(&self, queue: &str, key: &str, paused: bool) -> Result<KeyAnswer, Error> {
        let (settings, path) = (&self.settings, pause_path(queue, paused));
        let request = PauseRequest { ordering_key: Some(key.into()) };
        either!(self,
            http => http.post(settings, &path, &request, AT_ONCE).await,
            engine => engine.pause_key(settings, &path, queue, &request, paused).await)
    }

    /// A page of a queue's dead jobs.
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// # use tidegate::{Failure, Job, Worker};
    /// # client.queue("mail").enqueue("welcome", &"ann").await?;
    /// # let worker = Worker::new(&client).queue("mail").handle("welcome", |_: Job<String>, ()| async {
    /// #     Err::<(), _>(Failure::fatal("no such address"))
    /// # });
    /// # engine.run_due(&worker).await;
    /// let dead = client.dead("mail", &Default::default()).await?.jobs;
    /// assert_eq!((dead.len(), dead[0].attempt), (1, 1));
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub async fn dead(&self, queue: &str, query: &DeadQuery) -> Result<JobPage, Error> {
        let settings = &self.settings;
        either!(self,
            http => http.get(settings, &with_query(queue_path(queue, "/dead"), query.write()), AT_ONCE).await,
            engine => engine.dead(settings, queue, query).await)
    }

    /// What a queue's dead jobs died of.
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// # use tidegate::{Failure, Job, Worker};
    /// # client.queue("mail").enqueue("welcome", &"ann").await?;
    /// # let worker = Worker::new(&client).queue("mail").handle("welcome", |_: Job<String>, ()| async {
    /// #     Err::<(), _>(Failure::fatal("no such address"))
    /// # });
    /// # engine.run_due(&worker).await;
    /// let causes = client.dead_causes("mail").await?;
    /// assert_eq!((causes[0].count, causes[0].message.as_str()), (1, "no such address"));
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub async fn dead_causes(&self, queue: &str) -> Result<Vec<Cause>, Error> {
        let settings = &self.settings;
        either!(self,
            http => {
                let list: CauseList = http.get(settings, &queue_path(queue, "/dead/causes"), AT_ONCE).await?;
                Ok(list.causes)
            },
            engine => engine.causes(settings, queue).await)
    }

    /// Begins to move dead jobs back to work. The queue shows how it goes.
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// # use tidegate::{Failure, Job, Worker};
    /// # client.queue("mail").enqueue("welcome", &"ann").await?;
    /// # let worker = Worker::new(&client).queue("mail").handle("welcome", |_: Job<String>, ()| async {
    /// #     Err::<(), _>(Failure::fatal("no such address"))
    /// # });
    /// # engine.run_due(&worker).await;
    /// use tidegate::api::dead::RedriveRequest;
    ///
    /// let gently = RedriveRequest { rate_per_s: Some(50), stop_after_dead: Some(20), ..RedriveRequest::default() };
    /// client.redrive("mail", &gently).await?;
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub async fn redrive(&self, queue: &str, request: &RedriveRequest<'_>) -> Result<Redrive, Error> {
        let (settings, path) = (&self.settings, queue_path(queue, "/dead/redrive"));
        either!(self,
            http => {
                let answer: RedriveAnswer = http.post(settings, &path, request, AT_ONCE).await?;
                Ok(answer.redrive)
            },
            engine => engine.redrive(settings, &path, queue, request).await)
    }

    /// Deletes dead jobs for good, and says how many.
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// # use tidegate::{Failure, Job, Worker};
    /// # client.queue("mail").enqueue("welcome", &"ann").await?;
    /// # let worker = Worker::new(&client).queue("mail").handle("welcome", |_: Job<String>, ()| async {
    /// #     Err::<(), _>(Failure::fatal("no such address"))
    /// # });
    /// # engine.run_due(&worker).await;
    /// use tidegate::api::dead::DeleteDeadRequest;
    ///
    /// let all = DeleteDeadRequest { all: Some(true), ..DeleteDeadRequest::default() };
    /// assert_eq!(client.delete_dead("mail", &all).await?, 1);
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub async fn delete_dead(&self, queue: &str, request: &DeleteDeadRequest<'_>) -> Result<u64, Error> {
        let (settings, path) = (&self.settings, queue_path(queue, "/dead/delete"));
        either!(self,
            http => {
                let answer: DeletedAnswer = http.post(settings, &path, request, AT_ONCE).await?;
                Ok(answer.deleted)
            },
            engine => engine.delete_dead(settings, &path, queue, request).await)
    }

    /// Succeeds if the server lives.
    pub async fn healthy(&self) -> Result<(), Error> {
        either!(self, _http => self.ask("/healthz").await, _engine => Ok(()))
    }

    /// Succeeds if a write has lately reached stable storage; otherwise the problem says why not.
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// client.ready().await?;
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub async fn ready(&self) -> Result<(), Error> {
        either!(self, _http => self.ask("/readyz").await, engine => engine.ready().await)
    }

    /// A list of answers that is not as long as the list of questions cannot be matched with it.
    pub(crate) fn one_each<T>(&self, answers: Vec<T>, questions: usize) -> Result<Vec<T>, Error> {
        if answers.len() == questions {
            return Ok(answers);
        }
        let why = format!("{questions} items were sent and {} answered", answers.len());
        Err(Error::Unreadable { server: self.server().to_owned(), status: 200, why })
    }

    /// A question whose answer is that there is one.
    async fn ask(&self, path: &str) -> Result<(), Error> {
        let call =
            Call { method: Method::GET, path, body: Bytes::new(), wait: AT_ONCE, again: Again::AsItIs };
        either!(self, http => http.send(&self.settings, call).await.map(drop), _engine => Ok(()))
    }
}

fn queue_path(queue: &str, below: &str) -> String {
    format!("/v1/queues/{}{below}", encode(queue))
}

fn pause_path(queue: &str, paused: bool) -> String {
    queue_path(queue, if paused { "/pause" } else { "/resume" })
}

pub(crate) fn with_query(path: String, query: String) -> String {
    if query.is_empty() { path } else { format!("{path}?{query}") }
}
