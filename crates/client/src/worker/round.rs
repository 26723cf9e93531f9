//! Between the ledger's words and the API's: a round as a request, an answer as a round's.

use std::time::Duration;

use tidegate_api::{
    lease::{LeaseRequest, LeasedJob},
    limits,
    settle::{AttemptError, Complete, Extend, Fail, Release, SettleResult},
    value::{RawJson, Text},
    work::{WorkAnswer, WorkRequest},
};

use super::{
    handler::Arrived,
    job::Note,
    ledger::{self, ItemAnswer, LeaseKey, RoundAnswer},
    outcome::Outcome,
    run::Debt,
    turns::Ask,
};

pub(super) type Round = ledger::Round<Debt, Note>;

/// What is the same in all of a worker's requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) queues: Vec<String>,
    /// Only jobs of these kinds; any if there are none.
    pub(super) kinds: Vec<String>,
    pub(super) lease: Duration,
    /// The worker's name, for people.
    pub(super) worker: String,
}

/// The request of a round, whose lease asks these queues and waits so long.
pub(super) fn request<'a>(round: &'a Round, terms: &'a Terms, ask: Ask, wait: Duration) -> WorkRequest<'a> {
    let (mut complete, mut fail, mut release) = (Vec::new(), Vec::new(), Vec::new());
    for report in &round.reports {
        let LeaseKey { job: id, token } = report.key;
        match &report.report.outcome {
            Outcome::Completed { result } => {
                complete.push(Complete { id, token, result: result.as_deref().map(RawJson::from) });
            }
            Outcome::Failed(failure) => {
                let longest = Duration::from_millis(*limits::DELAY_MS.end());
                let message = failure.message();
                fail.push(Fail {
                    id,
                    token,
                    error: AttemptError {
                        message: message[..message.floor_char_boundary(limits::ERROR_MESSAGE_BYTES_KEPT)]
                            .into(),
                        kind: failure.kind_name().map(Text::from),
                        dependency: failure.dependency_name().map(Text::from),
                    },
                    retry_after_ms: failure.wait().map(|wait| wait.min(longest).as_millis() as u64),
                    fatal: failure.is_fatal().then_some(true),
                });
            }
            Outcome::Released => release.push(Release { id, token }),
        }
    }
    let lease_ms = terms.lease.as_millis() as u64;
    let extend = round.beats.iter().map(|beat| Extend {
        id: beat.key.job,
        token: beat.key.token,
        lease_ms: Some(lease_ms),
        progress: beat.progress.as_ref().map(|note| RawJson::from(&*note.json)),
    });
    let texts = |names: &'a [String]| names.iter().map(|name| Text::from(name.as_str())).collect::<Vec<_>>();
    WorkRequest {
        complete: not_empty(complete),
        fail: not_empty(fail),
        extend: not_empty(extend.collect()),
        release: not_empty(release),
        lease: round.lease.map(|max| LeaseRequest {
            queues: match ask {
                Ask::All => texts(&terms.queues),
                Ask::One(number) => texts(&terms.queues[number..=number]),
            },
            max: Some(max as u32),
            wait_ms: Some(wait.as_millis() as u64),
            lease_ms: Some(lease_ms),
            worker: Some(terms.worker.as_str().into()),
            kinds: not_empty(texts(&terms.kinds)),
        }),
    }
}

fn not_empty<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// The answers in the order of the round's items; `None` if there is not one for each.
pub(super) fn matched(round: &Round, answer: WorkAnswer) -> Option<RoundAnswer<Arrived>> {
    let answers = |list: Option<Vec<SettleResult>>| list.unwrap_or_default().into_iter().map(item_answer);
    let mut complete = answers(answer.complete);
    let mut fail = answers(answer.fail);
    let mut release = answers(answer.release);
    let reports: Option<Vec<ItemAnswer>> = round
        .reports
        .iter()
        .map(|report| match report.report.outcome {
            Outcome::Completed { .. } => complete.next(),
            Outcome::Failed(_) => fail.next(),
            Outcome::Released => release.next(),
        })
        .collect();
    let beats: Vec<ItemAnswer> = answers(answer.extend).collect();
    if beats.len() != round.beats.len() {
        return None;
    }
    let arrived = |job: LeasedJob| (LeaseKey { job: job.id, token: job.token }, Arrived::new(job));
    let jobs = answer.jobs.unwrap_or_default().into_iter().map(arrived).collect();
    Some(RoundAnswer { reports: reports?, beats, jobs })
}

fn item_answer(result: SettleResult) -> ItemAnswer {
    match result {
        SettleResult::Settled { .. } => Ok(()),
        SettleResult::Refused { error, .. } => Err(Box::new(error)),
    }
}

#[cfg(test)]
#[path = "round_tests.rs"]
mod tests;
