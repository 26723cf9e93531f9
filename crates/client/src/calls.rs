//! The calls, one for each endpoint, in the order of the API's documentation.
//!
//! All fail alike: [`Error::Refused`] with the server's problem, or one of the others when there is no answer. Only
//! what is particular to a call is said beside it.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde::{Serialize, de::DeserializeOwned};
use tidegate_api::{
    dead::{Cause, CauseList, DeleteDeadRequest, DeletedAnswer, RedriveAnswer, RedriveRequest},
    enqueue::{EnqueueResult, EnqueueResults, Enqueued, NewJob},
    id::JobId,
    job::{EditJob, Job, JobPage, JobStateAnswer},
    lease::{LeaseAnswer, LeaseRequest, LeasedJob},
    query::{DeadQuery, JobsQuery, WaitQuery},
    queue::{KeyAnswer, PauseRequest, Queue, QueueConfig, QueueList, QueueSummary, Redrive},
    settle::{Complete, Extend, Fail, Jobs, Release, SettleResult, SettleResults},
    transaction::{TransactionAnswer, TransactionRequest},
    work::{WorkAnswer, WorkRequest},
};

use crate::{
    Client, Error,
    transport::{Call, encode},
};

impl Client {
    /// Gives a queue one job. Once this answers, the job is on stable storage.
    pub async fn enqueue(&self, queue: &str, job: &NewJob<'_>) -> Result<Enqueued, Error> {
        self.post(&format!("/v1/queues/{}/jobs", encode(queue)), job).await
    }

    /// Gives a queue up to 1,000 jobs. The results are in the order of the jobs; one that is refused does not keep the
    /// others out.
    pub async fn enqueue_list(&self, queue: &str, jobs: &[NewJob<'_>]) -> Result<Vec<EnqueueResult>, Error> {
        let answer: EnqueueResults = self.post(&format!("/v1/queues/{}/jobs", encode(queue)), jobs).await?;
        self.one_each(answer.results, jobs.len())
    }

    /// Takes jobs to work on, waiting for the first as long as the request says.
    pub async fn lease(&self, request: &LeaseRequest<'_>) -> Result<Vec<LeasedJob>, Error> {
        let wait = Duration::from_millis(request.wait_ms());
        let answer: LeaseAnswer = self.post_waiting("/v1/leases", request, wait).await?;
        Ok(answer.jobs)
    }

    /// Reports attempts that succeeded. The results are in the order of the items.
    pub async fn complete(&self, items: &[Complete<'_>]) -> Result<Vec<SettleResult>, Error> {
        self.settle("/v1/jobs/complete", items).await
    }

    /// Reports attempts that failed. The results are in the order of the items.
    pub async fn fail(&self, items: &[Fail<'_>]) -> Result<Vec<SettleResult>, Error> {
        self.settle("/v1/jobs/fail", items).await
    }

    /// Extends leases: the heartbeat. The results are in the order of the items.
    pub async fn extend(&self, items: &[Extend<'_>]) -> Result<Vec<SettleResult>, Error> {
        self.settle("/v1/jobs/extend", items).await
    }

    /// Gives jobs back without counting the attempt. The results are in the order of the items.
    pub async fn release(&self, items: &[Release]) -> Result<Vec<SettleResult>, Error> {
        self.settle("/v1/jobs/release", items).await
    }

    /// A worker's round in one call: what it settles, then what it leases.
    pub async fn work(&self, request: &WorkRequest<'_>) -> Result<WorkAnswer, Error> {
        let wait = request.lease.as_ref().map_or(0, LeaseRequest::wait_ms);
        self.post_waiting("/v1/work", request, Duration::from_millis(wait)).await
    }

    /// Does all operations, or, if one of them is refused, none: the problem's refusal says which. The results are in the
    /// order of the operations.
    pub async fn transact(&self, request: &TransactionRequest<'_>) -> Result<TransactionAnswer, Error> {
        let answer: TransactionAnswer = self.post("/v1/transactions", request).await?;
        let results = self.one_each(answer.results, request.operations.len())?;
        Ok(TransactionAnswer { results })
    }

    /// One job with everything that is known about it. With a `wait` of up to a minute, waits for its end and then
    /// answers whatever state it is in.
    pub async fn job(&self, id: JobId, wait: Duration) -> Result<Job, Error> {
        let wait_ms = (!wait.is_zero()).then(|| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        let path = with_query(format!("/v1/jobs/{id}"), WaitQuery { wait_ms }.write());
        self.get(&path, wait).await
    }

    /// Takes a job back before its end, even from the worker that has it.
    pub async fn cancel(&self, id: JobId) -> Result<JobStateAnswer, Error> {
        self.post(&format!("/v1/jobs/{id}/cancel"), &Nothing {}).await
    }

    /// Gives a dead job another payload.
    pub async fn edit(&self, id: JobId, edit: &EditJob<'_>) -> Result<Job, Error> {
        self.post(&format!("/v1/jobs/{id}/edit"), edit).await
    }

    /// A page of jobs. Ask again with the page's cursor for the next.
    pub async fn jobs(&self, query: &JobsQuery) -> Result<JobPage, Error> {
        self.get(&with_query("/v1/jobs".into(), query.write()), Duration::ZERO).await
    }

    /// All queues.
    pub async fn queues(&self) -> Result<Vec<QueueSummary>, Error> {
        let list: QueueList = self.get("/v1/queues", Duration::ZERO).await?;
        Ok(list.queues)
    }

    /// How a queue stands.
    pub async fn queue(&self, queue: &str) -> Result<Queue, Error> {
        self.get(&format!("/v1/queues/{}", encode(queue)), Duration::ZERO).await
    }

    /// Sets a queue's whole configuration, making the queue if there is none; what is left out becomes the default.
    pub async fn configure(&self, queue: &str, config: &QueueConfig) -> Result<Queue, Error> {
        self.send(Method::PUT, &format!("/v1/queues/{}", encode(queue)), Some(config), Duration::ZERO).await
    }

    /// Holds a queue's jobs back. Those with a worker go on.
    pub async fn pause(&self, queue: &str) -> Result<Queue, Error> {
        self.post(&format!("/v1/queues/{}/pause", encode(queue)), &PauseRequest::default()).await
    }

    /// Ends a queue's pause.
    pub async fn resume(&self, queue: &str) -> Result<Queue, Error> {
        self.post(&format!("/v1/queues/{}/resume", encode(queue)), &PauseRequest::default()).await
    }

    /// Holds back the jobs of one ordering key.
    pub async fn pause_key(&self, queue: &str, ordering_key: &str) -> Result<KeyAnswer, Error> {
        let request = PauseRequest { ordering_key: Some(ordering_key.into()) };
        self.post(&format!("/v1/queues/{}/pause", encode(queue)), &request).await
    }

    /// Ends the pause of one ordering key, or its being parked behind a dead job.
    pub async fn resume_key(&self, queue: &str, ordering_key: &str) -> Result<KeyAnswer, Error> {
        let request = PauseRequest { ordering_key: Some(ordering_key.into()) };
        self.post(&format!("/v1/queues/{}/resume", encode(queue)), &request).await
    }

    /// A page of a queue's dead jobs.
    pub async fn dead(&self, queue: &str, query: &DeadQuery) -> Result<JobPage, Error> {
        self.get(&with_query(format!("/v1/queues/{}/dead", encode(queue)), query.write()), Duration::ZERO)
            .await
    }

    /// What a queue's dead jobs died of.
    pub async fn dead_causes(&self, queue: &str) -> Result<Vec<Cause>, Error> {
        let list: CauseList =
            self.get(&format!("/v1/queues/{}/dead/causes", encode(queue)), Duration::ZERO).await?;
        Ok(list.causes)
    }

    /// Begins to move dead jobs back to work. The queue shows how it goes.
    pub async fn redrive(&self, queue: &str, request: &RedriveRequest<'_>) -> Result<Redrive, Error> {
        let answer: RedriveAnswer =
            self.post(&format!("/v1/queues/{}/dead/redrive", encode(queue)), request).await?;
        Ok(answer.redrive)
    }

    /// Deletes dead jobs for good, and says how many.
    pub async fn delete_dead(&self, queue: &str, request: &DeleteDeadRequest<'_>) -> Result<u64, Error> {
        let answer: DeletedAnswer =
            self.post(&format!("/v1/queues/{}/dead/delete", encode(queue)), request).await?;
        Ok(answer.deleted)
    }

    /// Succeeds if the server lives.
    pub async fn healthy(&self) -> Result<(), Error> {
        self.ask("/healthz").await
    }

    /// Succeeds if a write has lately reached the server's stable storage; otherwise the problem says why not.
    pub async fn ready(&self) -> Result<(), Error> {
        self.ask("/readyz").await
    }

    async fn settle<T: Serialize + Clone>(
        &self,
        path: &str,
        items: &[T],
    ) -> Result<Vec<SettleResult>, Error> {
        let answer: SettleResults = self.post(path, &Jobs { jobs: items.to_vec() }).await?;
        self.one_each(answer.results, items.len())
    }

    /// A list of answers that is not as long as the list of questions cannot be matched with it.
    fn one_each<T>(&self, answers: Vec<T>, questions: usize) -> Result<Vec<T>, Error> {
        if answers.len() != questions {
            let why = format!("{questions} items were sent and {} answered", answers.len());
            return Err(self.transport.unreadable(200, why));
        }
        Ok(answers)
    }

    async fn ask(&self, path: &str) -> Result<(), Error> {
        let call = Call { method: Method::GET, path, body: Bytes::new(), wait: Duration::ZERO };
        self.transport.send(call).await.map(drop)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, wait: Duration) -> Result<T, Error> {
        self.send(Method::GET, path, None::<&Nothing>, wait).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + ?Sized),
    ) -> Result<T, Error> {
        self.send(Method::POST, path, Some(body), Duration::ZERO).await
    }

    async fn post_waiting<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        wait: Duration,
    ) -> Result<T, Error> {
        self.send(Method::POST, path, Some(body), wait).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + ?Sized)>,
        wait: Duration,
    ) -> Result<T, Error> {
        let body = match body {
            Some(body) => serde_json::to_vec(body).expect("wire types are JSON").into(),
            None => Bytes::new(),
        };
        let answer = self.transport.send(Call { method, path, body, wait }).await?;
        serde_json::from_slice(&answer).map_err(|error| self.transport.unreadable(200, error.to_string()))
    }
}

/// The body of a request that has nothing to say.
#[derive(Serialize)]
struct Nothing {}

fn with_query(path: String, query: String) -> String {
    if query.is_empty() { path } else { format!("{path}?{query}") }
}
