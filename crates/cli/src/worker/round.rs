//! Between the ledger's words and the API's: a round as a request, an answer as a round's, a job as a child's input.

use std::{collections::BTreeMap, time::Duration};

use tidegate::api::{
    lease::{LeaseRequest, LeasedJob},
    limits,
    settle::{AttemptError, Complete, Extend, Fail, Release, SettleResult},
    syntax,
    value::{RawJson, Text},
    work::{WorkAnswer, WorkRequest},
};

use super::{
    Options,
    child::Input,
    ledger::{ItemAnswer, LeaseKey, Round, RoundAnswer},
    verdict::Verdict,
};

/// An answer in the round's order, with the jobs that came.
pub(super) struct Matched {
    pub(super) answer: RoundAnswer,
    pub(super) jobs: BTreeMap<LeaseKey, LeasedJob>,
}

/// The request of a round.
pub(super) fn request<'a>(
    round: &'a Round<Verdict>,
    options: &'a Options,
    poll: Duration,
) -> WorkRequest<'a> {
    let (mut complete, mut fail, mut release) = (Vec::new(), Vec::new(), Vec::new());
    for report in &round.reports {
        let LeaseKey { job: id, token } = report.key;
        match &report.report {
            Verdict::Completed { result, .. } => {
                complete.push(Complete { id, token, result: result.as_deref().map(RawJson::from) });
            }
            Verdict::Failed { message, kind, retry_after_ms, fatal } => fail.push(Fail {
                id,
                token,
                error: AttemptError {
                    message: message.as_str().into(),
                    kind: Some(kind.as_str().into()),
                    dependency: None,
                },
                retry_after_ms: *retry_after_ms,
                fatal: fatal.then_some(true),
            }),
            Verdict::Released => release.push(Release { id, token }),
        }
    }
    let lease_ms = options.lease.as_millis() as u64;
    let extend =
        |key: &LeaseKey| Extend { id: key.job, token: key.token, lease_ms: Some(lease_ms), progress: None };
    let texts = |names: &'a [String]| names.iter().map(|name| Text::from(name.as_str())).collect::<Vec<_>>();
    WorkRequest {
        complete: not_empty(complete),
        fail: not_empty(fail),
        extend: not_empty(round.heartbeats.iter().map(extend).collect()),
        release: not_empty(release),
        lease: round.lease.map(|ask| LeaseRequest {
            queues: texts(&options.queues),
            max: Some(ask.max as u32),
            wait_ms: Some(if ask.wait { poll.as_millis() as u64 } else { 0 }),
            lease_ms: Some(lease_ms),
            worker: Some(options.name.as_str().into()),
            kinds: not_empty(texts(&options.kinds)),
        }),
    }
}

fn not_empty<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// The answers in the order of the round's items; `None` if there is not one for each.
pub(super) fn matched(round: &Round<Verdict>, answer: WorkAnswer) -> Option<Matched> {
    let answers = |list: Option<Vec<SettleResult>>| list.unwrap_or_default().into_iter().map(item_answer);
    let mut complete = answers(answer.complete);
    let mut fail = answers(answer.fail);
    let mut release = answers(answer.release);
    let reports: Option<Vec<ItemAnswer>> = round
        .reports
        .iter()
        .map(|report| match report.report {
            Verdict::Completed { .. } => complete.next(),
            Verdict::Failed { .. } => fail.next(),
            Verdict::Released => release.next(),
        })
        .collect();
    let heartbeats: Vec<ItemAnswer> = answers(answer.extend).collect();
    if heartbeats.len() != round.heartbeats.len() {
        return None;
    }
    let key = |job: &LeasedJob| LeaseKey { job: job.id, token: job.token };
    let jobs = answer.jobs.unwrap_or_default();
    let keys = jobs.iter().map(key).collect();
    Some(Matched {
        answer: RoundAnswer { reports: reports?, heartbeats, jobs: keys },
        jobs: jobs.into_iter().map(|job| (key(&job), job)).collect(),
    })
}

fn item_answer(result: SettleResult) -> ItemAnswer {
    match result {
        SettleResult::Settled { .. } => Ok(()),
        SettleResult::Refused { error, .. } => Err(Box::new(error)),
    }
}

/// What a job's child gets, or the failure to report if its payload cannot be read.
pub(super) fn input(job: &LeasedJob, worker: &str, server: &str) -> Result<Input, Verdict> {
    let stdin = match (&job.payload_base64, &job.payload) {
        (Some(base64), _) => {
            syntax::decode_base64("payload_base64", base64).map_err(|refusal| Verdict::Failed {
                message: format!("the worker cannot read the payload: {refusal}"),
                kind: "payload".into(),
                retry_after_ms: None,
                fatal: false,
            })?
        }
        (None, Some(json)) => json.get().as_bytes().to_vec(),
        (None, None) => b"null".to_vec(),
    };
    Ok(Input { stdin, environment: environment(job, worker, server) })
}

fn environment(job: &LeasedJob, worker: &str, server: &str) -> Vec<(&'static str, String)> {
    let always = [
        ("TIDEGATE_SERVER", server.to_owned()),
        ("TIDEGATE_WORKER", worker.to_owned()),
        ("TIDEGATE_JOB_ID", job.id.to_string()),
        ("TIDEGATE_QUEUE", job.queue.clone()),
        ("TIDEGATE_KIND", job.kind.clone()),
        ("TIDEGATE_PRIORITY", job.priority.to_string()),
        ("TIDEGATE_ATTEMPT", job.attempt.to_string()),
        ("TIDEGATE_MAX_ATTEMPTS", job.max_attempts.to_string()),
        ("TIDEGATE_TOKEN", job.token.to_string()),
        ("TIDEGATE_ENQUEUED_AT", job.enqueued_at.to_string()),
    ];
    let metadata = job.metadata.as_ref().map(|metadata| serde_json::json!(metadata).to_string());
    let sometimes = [
        ("TIDEGATE_ORDERING_KEY", job.ordering_key.clone()),
        ("TIDEGATE_FAIRNESS_KEY", job.fairness_key.clone()),
        ("TIDEGATE_DEPENDENCY", job.dependency.clone()),
        ("TIDEGATE_METADATA", metadata),
        ("TIDEGATE_PROGRESS", job.progress.as_ref().map(|progress| progress.get().to_owned())),
        ("TRACEPARENT", job.traceparent.clone()),
    ];
    let sometimes = sometimes.into_iter().filter_map(|(name, value)| Some((name, value?)));
    always.into_iter().chain(sometimes).collect()
}

// A child's result and error fit into what the server takes.
const _: () = assert!(super::child::RESULT_BYTES_MAX <= limits::RESULT_BYTES_MAX, "a kept result is taken");

#[cfg(test)]
#[path = "round_tests.rs"]
mod tests;
