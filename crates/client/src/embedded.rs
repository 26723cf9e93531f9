//! The engine in this process: every call without HTTP, in the same types and with the same answers and refusals.
//!
//! The step from wire type to command and back is `tidegate_api::convert`, the one that the server's door takes. What
//! is not here: rules, waits and durability, which are the engine's; it answers when the answer is on stable storage.

mod pools;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tidegate_api::convert::command::{self as convert, Body};
use tidegate_api::convert::{answer, pool};
use tidegate_api::dead::{Cause, DeleteDeadRequest, RedriveRequest};
use tidegate_api::enqueue::{EnqueueResult, Enqueued, NewJob};
use tidegate_api::id::JobId;
use tidegate_api::job::{EditJob, Job, JobPage, JobStateAnswer};
use tidegate_api::query::{DeadQuery, JobsQuery};
use tidegate_api::queue::{KeyAnswer, PauseRequest, Queue, QueueConfig, QueueSummary, Redrive};
use tidegate_api::read::{BadItem, Item, Wire};
use tidegate_api::refusal::{Code, Refusal, Refused};
use tidegate_api::settle::SettleResult;
use tidegate_api::transaction::{TransactionAnswer, TransactionRequest};
use tidegate_api::work::{WorkAnswer, WorkRequest};
use tidegate_api::{limits, syntax};
use tidegate_core::outcome;
use tidegate_core::{Time, command};
use tidegate_engine::{Answer, CallError, Clock, Engine, Enqueue, Envelope, IdempotencyKey, Options, Work};

pub(crate) use pools::news;

use crate::Error;
use crate::retry::Tries;
use crate::settings::Settings;

/// How recent a durable write has to be for the engine to count as ready.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// An engine of this process. A clone is the same engine.
#[derive(Clone)]
pub(crate) struct Embedded {
    pub(crate) engine: Engine,
    clock: Arc<dyn Clock>,
    /// Where its data is, for people.
    name: Arc<str>,
    /// Queues are shown as they are now and not as they were published some tens of milliseconds ago: a test wants to
    /// see what it did.
    exact: bool,
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Embedded").field(&self.name).finish()
    }
}

/// The good items of a list, and the refusals of the bad ones in their places.
struct Sorted<G>(Vec<Item<G>>);

impl<G> Sorted<G> {
    /// Checks every item of a list; `good` takes one that can be asked for and says what is to be remembered of it.
    fn of<'a, T: Wire<'a> + Clone>(items: &[T], mut good: impl FnMut(T) -> Result<G, Refused>) -> Self {
        let sort = |item: &T| {
            let bad = |refused: Refused| Box::new(BadItem { id: item.id_text(), refusal: *refused });
            item.check().and_then(|()| good(item.clone())).map_err(bad)
        };
        Sorted(items.iter().map(sort).collect())
    }

    fn any_good(&self) -> bool {
        self.0.iter().any(Result::is_ok)
    }

    /// What became of every item of the list, in its order.
    fn answered<O, R>(
        self,
        outcomes: Vec<O>,
        mut of_good: impl FnMut(G, O) -> R,
        mut of_bad: impl FnMut(BadItem) -> R,
    ) -> Vec<R> {
        let mut outcomes = outcomes.into_iter();
        let mut next = || outcomes.next().expect("the engine answers every item");
        self.0
            .into_iter()
            .map(|item| match item {
                Ok(good) => of_good(good, next()),
                Err(bad) => of_bad(*bad),
            })
            .collect()
    }
}

impl Embedded {
    /// Opens the engine whose data is at `path`, off the executor's threads: a large log is read whole.
    pub(crate) async fn open(path: &Path, options: Options) -> Result<Self, Error> {
        let (path, name) = (path.to_owned(), path.display().to_string());
        let clock = Arc::clone(&options.clock);
        let shards = tidegate_engine::shards_in(&path);
        let options = Options { shards: shards.unwrap_or(options.shards), ..options };
        let opening = tokio::task::spawn_blocking(move || Engine::open(path, options));
        let engine = opening.await.expect("opening does not panic");
        let engine = engine.map_err(|error| Error::Engine(error.to_string()))?;
        Ok(Self::new(engine, clock, &name))
    }

    pub(crate) fn new(engine: Engine, clock: Arc<dyn Clock>, name: &str) -> Self {
        Self { engine, clock, name: name.into(), exact: false }
    }

    /// The same engine, showing its queues exactly: each look is a question to the shard.
    #[cfg(feature = "testing")]
    pub(crate) fn exact(self) -> Self {
        Self { exact: true, ..self }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) async fn close(&self) -> Result<(), Error> {
        self.engine.close().await.map_err(|error| Error::Engine(error.to_string()))
    }

    fn now(&self) -> Time {
        self.clock.now().wall
    }

    fn refused(&self, refusal: outcome::Refusal) -> Error {
        answer::refusal(refusal, self.now()).into()
    }

    /// Asks the engine within the call's deadline, and again while it is away for a moment. Without a key an unknown
    /// outcome is left to the caller: asking again could do it twice.
    async fn ask<T, F>(&self, settings: &Settings, wait: Duration, ask: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        self.ask_and_say(settings, wait, ask, |error| answer::call_error(error, self.now())).await
    }

    /// [`ask`](Self::ask) where `say` puts the refusal into words.
    async fn ask_and_say<T, F>(
        &self,
        settings: &Settings,
        wait: Duration,
        mut ask: impl FnMut() -> F,
        say: impl Fn(&CallError) -> Refusal,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let keyed = settings.idempotency_key.is_some();
        let mut tries = Tries::new(settings, wait);
        let asking = async {
            loop {
                let error = match ask().await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => Error::from(say(&error)),
                };
                if !keyed && error.code() == Some(Code::OutcomeUnknown) {
                    return Err(error);
                }
                tries.after(error).await?;
            }
        };
        let allowed = settings.deadline.saturating_add(wait);
        tokio::time::timeout(allowed, asking)
            .await
            .map_err(|_| Error::Timeout { server: self.name.to_string(), waited: allowed })?
    }

    /// The caller's idempotency key with the fingerprint that the same request has over HTTP: both doors replay each
    /// other's answers.
    fn key(
        settings: &Settings,
        method: &str,
        path: &str,
        body: &(impl Serialize + ?Sized),
    ) -> Option<IdempotencyKey> {
        let body =
            settings.idempotency_key.as_ref().map(|_| serde_json::to_vec(body).expect("wire types are JSON"));
        Self::key_of(settings, method, path, &body?)
    }

    /// The same for a body as it is.
    fn key_of(settings: &Settings, method: &str, path: &str, body: &[u8]) -> Option<IdempotencyKey> {
        let key = settings.idempotency_key.clone()?;
        let fingerprint = tidegate_engine::fingerprint(&[method.as_bytes(), path.as_bytes(), body]);
        Some(IdempotencyKey { key, fingerprint })
    }

    pub(crate) async fn enqueue(
        &self,
        settings: &Settings,
        path: &str,
        queue: &str,
        job: &NewJob<'_>,
    ) -> Result<Enqueued, Error> {
        syntax::name("queue", queue)?;
        job.check()?;
        let mut batch = Enqueue { command: command::Enqueue::new(queue), payloads: Vec::with_capacity(1) };
        convert::add_job(&mut batch, job.clone(), Body::Elsewhere)?;
        let key = Self::key(settings, "POST", path, job);
        let ask = || self.engine.enqueue(batch.clone(), key.clone());
        let Answer { value, .. } = self.ask(settings, Duration::ZERO, ask).await?;
        match value.into_iter().next().expect("one job has one item") {
            outcome::Item::Refused(refusal) => Err(self.refused(refusal)),
            outcome::Item::Pool(_) => Err(self.refused(outcome::Refusal::IdempotencyMismatch)),
            outcome::Item::Is { id, state, .. } => Ok(enqueued(queue, id, state, false)),
            outcome::Item::Duplicate { id, state } => Ok(enqueued(queue, id, state, true)),
        }
    }

    pub(crate) async fn enqueue_list(
        &self,
        settings: &Settings,
        path: &str,
        queue: &str,
        jobs: &[NewJob<'_>],
    ) -> Result<Vec<EnqueueResult>, Error> {
        syntax::name("queue", queue)?;
        too_many("", jobs.len())?;
        let mut batch =
            Enqueue { command: command::Enqueue::new(queue), payloads: Vec::with_capacity(jobs.len()) };
        let sorted = Sorted::of(jobs, |job| convert::add_job(&mut batch, job, Body::Elsewhere));
        let key = Self::key(settings, "POST", path, jobs);
        let items = match sorted.any_good() {
            true => {
                let ask = || self.engine.enqueue(batch.clone(), key.clone());
                self.ask(settings, Duration::ZERO, ask).await?.value
            }
            false => Vec::new(),
        };
        let now = self.now();
        Ok(sorted.answered(
            items,
            |(), item| answer::enqueued_item(item, now),
            |bad| EnqueueResult::Refused { error: bad.refusal },
        ))
    }

    pub(crate) async fn work(
        &self,
        settings: &Settings,
        path: &str,
        request: &WorkRequest<'_>,
    ) -> Result<WorkAnswer, Error> {
        let mut work = Work::default();
        let command = &mut work.command;
        let mut wait = Duration::ZERO;
        if let Some(lease) = &request.lease {
            lease.check().map_err(|refused| Error::from(refused.below("lease")))?;
            wait = Duration::from_millis(lease.wait_ms());
            command.lease = Some(convert::lease(lease.clone()));
        }
        let complete = listed("complete", request.complete.as_deref(), |item| {
            let id = item.id.into();
            let (complete, result): (_, Envelope) = convert::complete(item, Body::Elsewhere);
            command.complete.push(complete);
            work.results.push(result);
            Ok(id)
        })?;
        let fail = listed("fail", request.fail.as_deref(), |item| {
            let id = item.id.into();
            command.fail.push(convert::fail(item));
            Ok(id)
        })?;
        let extend = listed("extend", request.extend.as_deref(), |item| {
            let id = item.id.into();
            command.extend.push(convert::extend(item));
            Ok(id)
        })?;
        let release = listed("release", request.release.as_deref(), |item| {
            let id = item.id.into();
            command.release.push(convert::release(item));
            Ok(id)
        })?;
        let key = Self::key(settings, "POST", path, request);
        let worked = match work.command == command::Work::default() {
            true => tidegate_engine::Worked::default(),
            false => {
                let ask = || self.engine.work(work.clone(), wait, key.clone());
                self.ask(settings, wait, ask).await?.value
            }
        };
        let now = self.now();
        let told = |sorted: Option<Sorted<tidegate_core::JobId>>, items: Vec<outcome::Item>| {
            let settled = |id, item| answer::settled_item(id, item, now);
            let refused = |BadItem { id, refusal: error }| SettleResult::Refused { id, error };
            Some(sorted?.answered(items, settled, refused))
        };
        Ok(WorkAnswer {
            complete: told(complete, worked.complete),
            fail: told(fail, worked.fail),
            extend: told(extend, worked.extend),
            release: told(release, worked.release),
            jobs: request.lease.as_ref().map(|_| worked.leased.into_iter().map(answer::leased_job).collect()),
        })
    }

    pub(crate) async fn transact(
        &self,
        settings: &Settings,
        path: &str,
        request: &TransactionRequest<'_>,
    ) -> Result<TransactionAnswer, Error> {
        request.check_operations()?;
        let key = Self::key(settings, "POST", path, request);
        let (transaction, said) = convert::transaction(request.clone(), Body::Elsewhere)?;
        let ask = || self.engine.transact_and_show(transaction.clone(), key.clone());
        let say = |error: &CallError| pool::transaction_error(error, &said, self.now());
        let transacted = self.ask_and_say(settings, Duration::ZERO, ask, say).await?.value;
        Ok(pool::transaction(&said, transacted))
    }

    pub(crate) async fn job(&self, settings: &Settings, id: JobId, wait: Duration) -> Result<Job, Error> {
        let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        syntax::range("wait_ms", ms, &limits::WAIT_MS)?;
        let ask = || self.engine.job(id.into(), wait);
        let Some(job) = self.ask(settings, wait, ask).await? else {
            return Err(self.refused(outcome::Refusal::JobNotFound));
        };
        let completion_per_s = self.engine.queue(&job.view.queue).map_or(0.0, |queue| queue.completion_per_s);
        Ok(answer::job(job, completion_per_s))
    }

    pub(crate) async fn cancel(
        &self,
        settings: &Settings,
        path: &str,
        id: JobId,
    ) -> Result<JobStateAnswer, Error> {
        let key = Self::key(settings, "POST", path, &crate::transport::Nothing {});
        let ask = || self.engine.cancel(id.into(), key.clone());
        match self.ask(settings, Duration::ZERO, ask).await?.value {
            outcome::Item::Is { id, state, .. } | outcome::Item::Duplicate { id, state } => {
                Ok(JobStateAnswer { id: id.into(), state: state.into() })
            }
            outcome::Item::Refused(refusal) => Err(self.refused(refusal)),
            outcome::Item::Pool(_) => Err(self.refused(outcome::Refusal::IdempotencyMismatch)),
        }
    }

    pub(crate) async fn edit(
        &self,
        settings: &Settings,
        path: &str,
        id: JobId,
        edit: &EditJob<'_>,
    ) -> Result<Job, Error> {
        edit.check()?;
        let payload = convert::edit(edit, Body::Elsewhere)?;
        let key = Self::key(settings, "POST", path, edit);
        let ask = || self.engine.edit(id.into(), payload.clone(), key.clone());
        match self.ask(settings, Duration::ZERO, ask).await?.value {
            outcome::Item::Refused(refusal) => Err(self.refused(refusal)),
            _ => self.job(settings, id, Duration::ZERO).await,
        }
    }

    pub(crate) async fn jobs(&self, settings: &Settings, query: &JobsQuery) -> Result<JobPage, Error> {
        // Written and read again, a query is checked as the door checks it.
        let query = JobsQuery::read(&query.write())?;
        let limit = convert::page_jobs(query.limit);
        let cursor = convert::cursor(query.cursor.as_deref())?;
        let queue = query.queue.clone();
        let filter = convert::jobs_filter(query, self.now());
        let ask = || self.engine.list(filter.clone(), cursor, limit);
        let page = self.ask(settings, Duration::ZERO, ask).await?;
        if let (true, Some(queue)) = (page.jobs.is_empty(), queue) {
            self.queue_now(settings, &queue).await?;
        }
        Ok(answer::page(page))
    }

    pub(crate) fn queues(&self) -> Vec<QueueSummary> {
        self.engine.queues().iter().map(answer::queue_summary).collect()
    }

    pub(crate) async fn queue(&self, settings: &Settings, queue: &str) -> Result<Queue, Error> {
        syntax::name("queue", queue)?;
        match self.engine.queue(queue).filter(|_| !self.exact) {
            Some(queue) => Ok(answer::queue(queue)),
            None => self.queue_now(settings, queue).await,
        }
    }

    /// The queue as the caller's own changes have left it.
    pub(crate) async fn queue_now(&self, settings: &Settings, queue: &str) -> Result<Queue, Error> {
        let ask = || self.engine.queue_now(queue);
        match self.ask(settings, Duration::ZERO, ask).await? {
            Some(queue) => Ok(answer::queue(queue)),
            None => Err(self.refused(outcome::Refusal::QueueNotFound)),
        }
    }

    pub(crate) async fn configure(
        &self,
        settings: &Settings,
        path: &str,
        queue: &str,
        config: &QueueConfig,
    ) -> Result<Queue, Error> {
        syntax::name("queue", queue)?;
        config.check()?;
        let key = Self::key(settings, "PUT", path, config);
        let wanted = convert::queue_config(*config);
        let ask = || self.engine.configure_queue(queue, wanted, key.clone());
        self.ask(settings, Duration::ZERO, ask).await?;
        self.queue_now(settings, queue).await
    }

    /// Pauses, or resumes, a queue or one ordering key of it.
    pub(crate) async fn pause(
        &self,
        settings: &Settings,
        path: &str,
        queue: &str,
        request: &PauseRequest<'_>,
        paused: bool,
    ) -> Result<(), Error> {
        syntax::name("queue", queue)?;
        request.check()?;
        let key = Self::key(settings, "POST", path, request);
        let pause = convert::pause(queue, request.clone(), paused);
        let ask = || self.engine.pause(pause.clone(), key.clone());
        self.ask(settings, Duration::ZERO, ask).await.map(drop)
    }

    /// Pauses, or resumes, one ordering key, and says so.
    pub(crate) async fn pause_key(
        &self,
        settings: &Settings,
        path: &str,
        queue: &str,
        request: &PauseRequest<'_>,
        paused: bool,
    ) -> Result<KeyAnswer, Error> {
        self.pause(settings, path, queue, request, paused).await?;
        let ordering_key = request.ordering_key.as_deref().unwrap_or_default().to_owned();
        Ok(KeyAnswer { queue: queue.to_owned(), ordering_key, paused })
    }

    pub(crate) async fn dead(
        &self,
        settings: &Settings,
        queue: &str,
        query: &DeadQuery,
    ) -> Result<JobPage, Error> {
        syntax::name("queue", queue)?;
        let query = DeadQuery::read(&query.write())?;
        let limit = convert::page_jobs(query.limit);
        let cursor = convert::cursor(query.cursor.as_deref())?;
        let filter = convert::dead_filter(queue, query);
        let ask = || self.engine.dead(filter.clone(), cursor, limit);
        let page = self.ask(settings, Duration::ZERO, ask).await?;
        if page.jobs.is_empty() {
            self.queue_now(settings, queue).await?;
        }
        Ok(answer::page(page))
    }

    pub(crate) async fn causes(&self, settings: &Settings, queue: &str) -> Result<Vec<Cause>, Error> {
        syntax::name("queue", queue)?;
        let ask = || self.engine.causes(queue);
        match self.ask(settings, Duration::ZERO, ask).await? {
            Some(causes) => Ok(causes.into_iter().filter_map(answer::cause).collect()),
            None => Err(self.refused(outcome::Refusal::QueueNotFound)),
        }
    }

    pub(crate) async fn redrive(
        &self,
        settings: &Settings,
        path: &str,
        queue: &str,
        request: &RedriveRequest<'_>,
    ) -> Result<Redrive, Error> {
        syntax::name("queue", queue)?;
        request.check()?;
        let key = Self::key(settings, "POST", path, request);
        let wanted = convert::redrive(queue, request.clone());
        let ask = || self.engine.redrive(wanted.clone(), key.clone());
        let redriving = self.ask(settings, Duration::ZERO, ask).await?;
        Ok(answer::redrive(queue, &redriving.value))
    }

    /// Deletes all that match, a bounded number with each command.
    pub(crate) async fn delete_dead(
        &self,
        settings: &Settings,
        path: &str,
        queue: &str,
        request: &DeleteDeadRequest<'_>,
    ) -> Result<u64, Error> {
        syntax::name("queue", queue)?;
        request.check()?;
        let key = Self::key(settings, "POST", path, request);
        let filter = convert::delete_dead(queue, request.clone());
        let mut deleted = 0;
        for part in 0.. {
            let part_key = key.as_ref().map(|key| key.part(part));
            let ask = || self.engine.delete_dead(filter.clone(), part_key.clone());
            let answer = self.ask(settings, Duration::ZERO, ask).await?.value;
            deleted += answer.deleted;
            if !answer.more {
                break;
            }
        }
        Ok(deleted)
    }

    pub(crate) async fn ready(&self) -> Result<(), Error> {
        let readiness = self.engine.readiness(READY_WITHIN).await;
        readiness.map(drop).map_err(|error| answer::call_error(&error, self.now()).into())
    }
}

fn enqueued(
    queue: &str,
    id: tidegate_core::JobId,
    state: tidegate_core::view::JobState,
    duplicate: bool,
) -> Enqueued {
    Enqueued { id: id.into(), queue: queue.to_owned(), state: state.into(), duplicate }
}

/// A list within the bound that the door has for it.
fn too_many(field: &str, items: usize) -> Result<(), Refused> {
    if items > limits::LIST_ITEMS_MAX {
        return Err(Box::new(Refusal::too_many_items(field, items, limits::LIST_ITEMS_MAX)));
    }
    Ok(())
}

/// One of the lists of a worker's call, if it is there.
fn listed<'a, T: Wire<'a> + Clone>(
    field: &str,
    items: Option<&[T]>,
    good: impl FnMut(T) -> Result<tidegate_core::JobId, Refused>,
) -> Result<Option<Sorted<tidegate_core::JobId>>, Error> {
    let Some(items) = items else { return Ok(None) };
    too_many(field, items.len())?;
    Ok(Some(Sorted::of(items, good)))
}
