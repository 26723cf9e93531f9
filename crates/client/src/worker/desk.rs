//! Where handlers report: one channel from all tasks of a worker to its loop.
//!
//! Promises: every task that was started reports exactly one end, also if it panics, is aborted, or its runtime goes.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::Poll,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::{
    job::Note,
    ledger::LeaseKey,
    outcome::{Outcome, panic_message},
};

/// What a task has to say.
#[derive(Debug)]
pub(crate) enum Message {
    /// An attempt is so far.
    Progress(LeaseKey, Note),
    /// A task has ended.
    Ended(Ended),
}

/// How a task ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) jobs: Jobs,
    pub(crate) ran: Duration,
}

/// The jobs of a task, with what each came to; a job whose attempt was cut off is given back.
#[derive(Debug)]
pub(crate) enum Jobs {
    One(LeaseKey, Outcome),
    Batch(Vec<(LeaseKey, Outcome)>),
}

/// One job's way to the worker's loop.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    key: LeaseKey,
    messages: mpsc::UnboundedSender<Message>,
}

impl Desk {
    pub(crate) fn new(key: LeaseKey, messages: mpsc::UnboundedSender<Message>) -> Desk {
        Desk { key, messages }
    }

    pub(crate) fn progress(&self, note: Note) {
        // If the worker is gone, so is soon whoever waits.
        let _ = self.messages.send(Message::Progress(self.key, note));
    }
}

/// A handler's work, ready to be spawned.
pub(crate) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Runs one job's handler and reports its end.
pub(crate) fn run_one(
    messages: mpsc::UnboundedSender<Message>,
    key: LeaseKey,
    work: Work<Outcome>,
) -> impl Future<Output = ()> + Send {
    // Made now, not at the first poll: a task may be aborted before that.
    let guard = Guard::new(messages, Jobs::One(key, Outcome::Released));
    async move {
        let outcome = caught(work).await.unwrap_or_else(|message| Outcome::of_panic(&message));
        guard.end(Jobs::One(key, outcome));
    }
}

/// Runs a batch's handler and reports its end. It brings one outcome for each job, in order.
pub(crate) fn run_batch(
    messages: mpsc::UnboundedSender<Message>,
    keys: Vec<LeaseKey>,
    work: Work<Vec<Outcome>>,
) -> impl Future<Output = ()> + Send {
    let released = keys.iter().map(|key| (*key, Outcome::Released)).collect();
    let guard = Guard::new(messages, Jobs::Batch(released));
    async move {
        let outcomes = match caught(work).await {
            Ok(outcomes) => keys.into_iter().zip(outcomes).collect(),
            Err(message) => keys.into_iter().map(|key| (key, Outcome::of_panic(&message))).collect(),
        };
        guard.end(Jobs::Batch(outcomes));
    }
}

/// Reports when it is dropped, so that it cannot be forgotten.
struct Guard {
    messages: mpsc::UnboundedSender<Message>,
    started: Instant,
    jobs: Jobs,
}

impl Guard {
    fn new(messages: mpsc::UnboundedSender<Message>, jobs: Jobs) -> Guard {
        Guard { messages, started: Instant::now(), jobs }
    }

    fn end(mut self, jobs: Jobs) {
        self.jobs = jobs;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let jobs = mem::replace(&mut self.jobs, Jobs::Batch(Vec::new()));
        let ended = Ended { jobs, ran: self.started.elapsed() };
        // If the worker is gone, its leases lapse.
        let _ = self.messages.send(Message::Ended(ended));
    }
}

/// The future's output, or what it said when it panicked.
async fn caught<T>(mut work: Work<T>) -> Result<T, String> {
    std::future::poll_fn(|context| {
        // What the panic left half done is dropped with the future and seen by nobody.
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic_message(&*panic))),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets a task of this work be dealt with, and says what it reported.
    async fn report(work: Work<Outcome>, deal: impl FnOnce(&tokio::task::JoinHandle<()>)) -> String {
        let (desk, mut inbox) = mpsc::unbounded_channel();
        let key = LeaseKey { job: "0-7".parse().expect("an id"), token: 1 };
        let task = tokio::spawn(run_one(desk, key, work));
        deal(&task);
        let Some(Message::Ended(Ended { jobs: Jobs::One(reported, outcome), .. })) = inbox.recv().await
        else {
            panic!("a job's end is reported")
        };
        assert_eq!(reported, key);
        assert!(inbox.recv().await.is_none(), "it is reported once");
        match outcome {
            Outcome::Completed { .. } => "completed".to_owned(),
            Outcome::Failed(failure) => format!("failed: {failure}"),
            Outcome::Released => "released".to_owned(),
        }
    }

    #[tokio::test]
    async fn whatever_becomes_of_a_task_its_end_is_reported_once() {
        let done = || -> Work<Outcome> { Box::pin(async { Outcome::Completed { result: None } }) };
        assert_eq!(report(done(), |_| ()).await, "completed");
        let panics: Work<Outcome> = Box::pin(async {
            tokio::task::yield_now().await;
            panic!("no {}", "luck")
        });
        assert_eq!(report(panics, |_| ()).await, "failed: no luck");
        // On this runtime nothing has been polled when the task is cut off.
        assert_eq!(report(done(), |task| task.abort()).await, "released");
        let never: Work<Outcome> = Box::pin(std::future::pending());
        let abort_later = |task: &tokio::task::JoinHandle<()>| {
            let abort = task.abort_handle();
            tokio::spawn(async move {
                tokio::task::yield_now().await;
                abort.abort();
            });
        };
        assert_eq!(report(never, abort_later).await, "released");
    }

    #[tokio::test]
    async fn a_panic_fails_every_job_of_a_batch() {
        let (desk, mut inbox) = mpsc::unbounded_channel();
        let key = |token| LeaseKey { job: "0-7".parse().expect("an id"), token };
        let work: Work<Vec<Outcome>> = Box::pin(async { panic!("no luck") });
        run_batch(desk, vec![key(1), key(2)], work).await;
        let Some(Message::Ended(Ended { jobs: Jobs::Batch(jobs), .. })) = inbox.recv().await else {
            panic!("a batch's end is reported")
        };
        let failed = |(key, outcome): &(LeaseKey, Outcome)| match outcome {
            Outcome::Failed(failure) => format!("{} {failure}", key.token),
            other => panic!("{other:?}"),
        };
        assert_eq!(jobs.iter().map(failed).collect::<Vec<_>>(), ["1 no luck", "2 no luck"]);
    }
}
