//! A caller: the SDK with a pen. Whatever is asked is written down before it is sent, and what is heard afterwards.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidegate::api::{
    enqueue::{self, EnqueueResult},
    lease::{LeaseRequest, LeasedJob},
    refusal::Code,
    settle::{AttemptError, Complete, Extend, Fail, Release, SettleResult},
    value::RawJson,
    work::WorkRequest,
};
use tidegate::{Client, Error};

use crate::chance::{Chance, digest};
use crate::history::{Answer, Ask, Event, History, How, Leased, NewJob, Settle};

/// A job's payload.
#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    name: String,
    fill: String,
}

/// A job before it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) written: NewJob,
    payload: String,
}

impl Draft {
    /// A job of this name, with about so many bytes of payload.
    pub(crate) fn new(name: String, bytes: usize, ordering_key: Option<String>, delay_ms: u64) -> Self {
        let mut chance = Chance::new(0, &name);
        let fill = (0..bytes.div_ceil(16)).map(|_| format!("{:016x}", chance.bits())).collect();
        let payload = Payload { name, fill };
        let text = serde_json::to_string(&payload).expect("texts are JSON");
        let digest = digest(text.as_bytes());
        let written = NewJob { name: payload.name, digest, ordering_key, delay_ms };
        Self { written, payload: text }
    }
}

/// One caller.
#[derive(Debug)]
pub(crate) struct Caller {
    client: Client,
    history: Arc<History>,
    who: String,
    calls: u64,
    pub(crate) queue: String,
}

impl Caller {
    pub(crate) fn new(client: Client, history: Arc<History>, who: String, queue: String) -> Self {
        // Of two processes with the same name, one after the other, the second goes on with other numbers.
        let calls = u64::from(std::process::id()) << 32;
        Self { client, history, who, calls, queue }
    }

    fn ask(&mut self, ask: Ask) -> u64 {
        self.calls += 1;
        self.history.add(&self.who, Event::Ask { call: self.calls, ask });
        self.calls
    }

    fn heard(&self, call: u64, answer: Answer) -> Answer {
        self.history.add(&self.who, Event::Answer { call, answer: answer.clone() });
        answer
    }

    /// Asks for jobs to be accepted.
    pub(crate) async fn enqueue(&mut self, key: &str, once: bool, drafts: &[Draft]) -> Answer {
        let jobs = drafts.iter().map(|draft| draft.written.clone()).collect();
        let call = self.ask(Ask::Enqueue { key: key.to_owned(), once, jobs });
        let client = if once { self.client.without_retries() } else { self.client.clone() };
        let client = client.with_idempotency_key(key).expect("keys here are plain");
        let jobs: Vec<enqueue::NewJob<'_>> = drafts.iter().map(new_job).collect();
        let answer = match client.enqueue_list(&self.queue, &jobs).await {
            Ok(results) => Answer::Enqueued(results.into_iter().map(accepted).collect()),
            Err(error) => not_heard(error),
        };
        self.heard(call, answer)
    }

    /// Asks for jobs to work on.
    pub(crate) async fn lease(&mut self, max: u32, wait_ms: u64, lease_ms: u64) -> Answer {
        let call = self.ask(Ask::Lease { lease_ms });
        let request = LeaseRequest {
            queues: vec![self.queue.as_str().into()],
            max: Some(max),
            wait_ms: Some(wait_ms),
            lease_ms: Some(lease_ms),
            worker: Some(self.who.as_str().into()),
            kinds: None,
        };
        let answer = match self.client.without_retries().lease(&request).await {
            Ok(jobs) => Answer::Leased(jobs.iter().map(leased).collect()),
            Err(error) => not_heard(error),
        };
        self.heard(call, answer)
    }

    /// Says what became of jobs, all in the same way.
    pub(crate) async fn settle(&mut self, jobs: &[Leased], how: How) -> Answer {
        let settled = jobs.iter().map(|job| Settle { id: job.id.clone(), token: job.token, how }).collect();
        let call = self.ask(Ask::Settle(settled));
        // Completions and heartbeats come to the same when they are said twice; the others need a key for that.
        let client = match how {
            How::Complete | How::Extend(_) => self.client.clone(),
            How::Fail | How::Fatal | How::Release => {
                let key = format!("{}-{call}", self.who);
                self.client.with_idempotency_key(&key).expect("keys here are plain")
            }
        };
        let answer = match client.work(&settlement(jobs, how)).await {
            Ok(answer) => {
                let parts = [answer.complete, answer.fail, answer.extend, answer.release];
                Answer::Settled(parts.into_iter().flatten().flatten().map(taken).collect())
            }
            Err(error) => not_heard(error),
        };
        self.heard(call, answer)
    }
}

fn new_job(draft: &Draft) -> enqueue::NewJob<'static> {
    let written = &draft.written;
    enqueue::NewJob {
        payload: Some(RawJson::from(
            serde_json::value::RawValue::from_string(draft.payload.clone()).expect("it is JSON"),
        )),
        ordering_key: written.ordering_key.clone().map(Into::into),
        delay_ms: (written.delay_ms > 0).then_some(written.delay_ms),
        ..enqueue::NewJob::default()
    }
}

fn accepted(result: EnqueueResult) -> Result<String, Code> {
    match result {
        EnqueueResult::Enqueued { id, .. } => Ok(id.to_string()),
        EnqueueResult::Refused { error } => Err(error.code),
    }
}

fn taken(result: SettleResult) -> Result<(), Code> {
    match result {
        SettleResult::Settled { .. } => Ok(()),
        SettleResult::Refused { error, .. } => Err(error.code),
    }
}

fn leased(job: &LeasedJob) -> Leased {
    let text = job.payload.as_ref().map_or("", |payload| payload.get());
    let payload = serde_json::from_str::<Payload>(text).ok();
    Leased {
        id: job.id.to_string(),
        name: payload.map(|payload| payload.name),
        digest: digest(text.as_bytes()),
        ordering_key: job.ordering_key.clone(),
        token: job.token,
        attempt: job.attempt,
    }
}

fn settlement(jobs: &[Leased], how: How) -> WorkRequest<'static> {
    let mut request = WorkRequest::default();
    let ids = jobs.iter().map(|job| (job.id.parse().expect("an id that came from the server"), job.token));
    match how {
        How::Complete => {
            request.complete = Some(ids.map(|(id, token)| Complete { id, token, result: None }).collect());
        }
        How::Fail | How::Fatal => {
            let fatal = Some(how == How::Fatal);
            let fail = |(id, token)| {
                let error = AttemptError { message: "as drawn".into(), kind: None, dependency: None };
                Fail { id, token, error, retry_after_ms: None, fatal }
            };
            request.fail = Some(ids.map(fail).collect());
        }
        How::Release => request.release = Some(ids.map(|(id, token)| Release { id, token }).collect()),
        How::Extend(lease_ms) => {
            let extend = |(id, token)| Extend { id, token, lease_ms: Some(lease_ms), progress: None };
            request.extend = Some(ids.map(extend).collect());
        }
    }
    request
}

/// What an error is, to somebody who wants to know whether it was done.
fn not_heard(error: Error) -> Answer {
    match error {
        Error::Refused(problem) if problem.refusal.code == Code::OutcomeUnknown => {
            Answer::Unknown(Code::OutcomeUnknown.as_str().into())
        }
        Error::Refused(problem) => Answer::Refused(problem.refusal.code),
        Error::Transport { .. } => Answer::Unknown("broken".into()),
        Error::Timeout { .. } => Answer::Unknown("silence".into()),
        error => Answer::Unreadable(error.to_string()),
    }
}
