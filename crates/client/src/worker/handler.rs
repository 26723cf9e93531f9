//! From a handler's own types to one form that the worker's loop can start: payloads are read, results written, and
//! everything that can go wrong on the way is an outcome.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde::Serialize;
use tidegate_api::{lease::LeasedJob, limits};

use super::{
    desk::{Desk, Work},
    failure::Failure,
    job::{Job, Payload, Sent},
    line::BatchRule,
    outcome::Outcome,
};
use crate::settings::LONGEST;

/// How jobs are collected for a batch handler.
///
/// ```
/// use std::time::Duration;
/// use tidegate::BatchOptions;
///
/// // A hundred at once, or as many as came within 50 ms of the first.
/// let options = BatchOptions::up_to(100).linger(Duration::from_millis(50));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchOptions {
    pub(crate) rule: BatchRule,
}

impl BatchOptions {
    /// Batches of up to so many jobs, 1 to 1,000, that wait 10 ms for more after their first.
    pub fn up_to(jobs: usize) -> BatchOptions {
        let up_to = jobs.clamp(1, limits::LIST_ITEMS_MAX);
        BatchOptions { rule: BatchRule { up_to, linger: Duration::from_millis(10) } }
    }

    /// How long a batch waits for more after its first job came; at most a year.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> BatchOptions {
        self.rule.linger = linger.min(LONGEST);
        self
    }
}

/// A job that was leased, before its payload is read.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// The job without its payload.
    pub(crate) job: Arc<LeasedJob>,
    pub(crate) payload: Sent,
}

impl Arrived {
    pub(crate) fn new(mut job: LeasedJob) -> Arrived {
        let payload = Sent::take(&mut job);
        Arrived { job: Arc::new(job), payload }
    }

    fn read<P: Payload>(self, desk: Desk) -> Result<Job<P>, Failure> {
        Ok(Job { job: self.job, payload: P::read(self.payload)?, desk })
    }
}

type RunOne = dyn Fn(Arrived, Desk) -> Work<Outcome> + Send + Sync;
type RunBatch = dyn Fn(Vec<(Arrived, Desk)>) -> Work<Vec<Outcome>> + Send + Sync;

/// What does jobs of one kind.
#[derive(Clone)]
pub(crate) enum Handler {
    One(Arc<RunOne>),
    /// With the number of its batch rule.
    Batch(usize, Arc<RunBatch>),
}

impl Handler {
    pub(crate) fn one<S, P, R, F, Fut>(handle: F, state: S) -> Handler
    where
        S: Clone + Send + Sync + 'static,
        P: Payload,
        R: Serialize,
        F: Fn(Job<P>, S) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, Failure>> + Send + 'static,
    {
        let shared = Arc::new((handle, state));
        Handler::One(Arc::new(move |arrived, desk| {
            let shared = Arc::clone(&shared);
            // The payload is read, and the handler called, in the task: that may take time, and it may panic.
            Box::pin(async move {
                let working = match arrived.read(desk) {
                    Ok(job) => (shared.0)(job, shared.1.clone()),
                    Err(failure) => return Outcome::Failed(failure),
                };
                Outcome::of(working.await)
            })
        }))
    }

    pub(crate) fn batch<S, P, R, F, Fut>(number: usize, handle: F, state: S) -> Handler
    where
        S: Clone + Send + Sync + 'static,
        P: Payload,
        R: Serialize,
        F: Fn(Vec<Job<P>>, S) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Vec<Result<R, Failure>>> + Send + 'static,
    {
        let shared = Arc::new((handle, state));
        let run = move |arrived: Vec<(Arrived, Desk)>| -> Work<Vec<Outcome>> {
            let shared = Arc::clone(&shared);
            Box::pin(async move {
                let (mut jobs, mut unread) =
                    (Vec::with_capacity(arrived.len()), Vec::with_capacity(arrived.len()));
                for (arrived, desk) in arrived {
                    match arrived.read(desk) {
                        Ok(job) => {
                            jobs.push(job);
                            unread.push(None);
                        }
                        Err(failure) => unread.push(Some(failure)),
                    }
                }
                let outcomes = match jobs.len() {
                    0 => Vec::new(),
                    count => one_each(count, (shared.0)(jobs, shared.1.clone()).await),
                };
                let mut outcomes = outcomes.into_iter();
                let outcome = |unread: Option<Failure>| match unread {
                    Some(failure) => Outcome::Failed(failure),
                    None => outcomes.next().expect("there is an outcome for each job that was read"),
                };
                unread.into_iter().map(outcome).collect()
            })
        };
        Handler::Batch(number, Arc::new(run))
    }
}

/// A batch handler's results as outcomes; if there is not one for each job, nobody can say which are meant.
fn one_each<R: Serialize>(jobs: usize, results: Vec<Result<R, Failure>>) -> Vec<Outcome> {
    if results.len() == jobs {
        return results.into_iter().map(Outcome::of).collect();
    }
    let why = format!("the batch handler returned {} results for {jobs} jobs", results.len());
    vec![Outcome::Failed(Failure::retry(why).kind("batch")); jobs]
}

/// The handlers of a worker.
#[derive(Clone, Default)]
pub(crate) struct Handlers {
    by_kind: HashMap<String, Handler>,
    any: Option<Handler>,
    pub(crate) batches: Vec<BatchRule>,
}

impl Handlers {
    pub(crate) fn set(&mut self, kind: String, handler: Handler) {
        self.by_kind.insert(kind, handler);
    }

    pub(crate) fn set_any(&mut self, handler: Handler) {
        self.any = Some(handler);
    }

    /// What does jobs of this kind.
    pub(crate) fn get(&self, kind: &str) -> Option<&Handler> {
        self.by_kind.get(kind).or(self.any.as_ref())
    }

    /// The kinds that are handled, in order; none if all are.
    pub(crate) fn kinds(&self) -> Option<Vec<String>> {
        let mut kinds: Vec<String> = self.by_kind.keys().cloned().collect();
        kinds.sort_unstable();
        self.any.is_none().then_some(kinds)
    }
}
