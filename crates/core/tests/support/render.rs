//! Answers and views as the short texts that scripts expect.

use tidegate_core::id::Time;
use tidegate_core::outcome::{Item, Outcome, Refusal};
use tidegate_core::record::RedriveEnd;
use tidegate_core::view::{Cause, JobState, JobView, QueueView, RedriveView};

pub fn outcome(outcome: &Outcome, now: Time) -> String {
    match outcome {
        Outcome::Enqueued(items) => self::items(items, now),
        Outcome::Worked(worked) => {
            let settled = [&worked.complete, &worked.fail, &worked.extend, &worked.release];
            let mut parts: Vec<String> =
                settled.into_iter().filter(|part| !part.is_empty()).map(|part| items(part, now)).collect();
            if !worked.leased.is_empty() {
                let ids: Vec<String> =
                    worked.leased.iter().map(|job| job.id.sequence().to_string()).collect();
                parts.push(ids.join(" "));
            }
            if parts.is_empty() { "none".into() } else { parts.join("; ") }
        }
        Outcome::Settled(item) => self::item(item, now),
        Outcome::Done | Outcome::PoolConfigured { .. } => "done".into(),
        Outcome::Redriving(redrive) => self::redrive(redrive),
        Outcome::Deleted { deleted, more } => {
            format!("{deleted} deleted{}", if *more { ", more" } else { "" })
        }
        Outcome::Transacted(items) => self::items(items, now),
        Outcome::TransactionRefused { operation, refusal } => {
            format!("operation {operation} {}", self::refusal(*refusal, now))
        }
        Outcome::ConditionRefused { condition, refusal } => {
            format!("condition {condition} {}", self::refusal(*refusal, now))
        }
        Outcome::Pooled(items) => self::items(items, now),
        Outcome::Refused(refusal) => self::refusal(*refusal, now),
    }
}

/// Alike neighbours are counted rather than repeated.
fn items(items: &[Item], now: Time) -> String {
    let mut runs: Vec<(String, usize)> = Vec::new();
    for item in items {
        let text = self::item(item, now);
        match runs.last_mut() {
            Some((last, times)) if *last == text => *times += 1,
            _ => runs.push((text, 1)),
        }
    }
    let texts: Vec<String> = runs
        .into_iter()
        .map(|(text, times)| if times == 1 { text } else { format!("{times} times {text}") })
        .collect();
    texts.join(", ")
}

fn item(item: &Item, now: Time) -> String {
    match item {
        Item::Is { id, state, at } => {
            format!(
                "{} {}{}",
                id.sequence(),
                state.as_str(),
                at.map_or(String::new(), |at| format!(" {}", ahead(at, now)))
            )
        }
        Item::Duplicate { id, state } => format!("duplicate of {} {}", id.sequence(), state.as_str()),
        Item::Pool(item) => super::pools::item(item, now),
        Item::Refused(refusal) => self::refusal(*refusal, now),
    }
}

fn refusal(refusal: Refusal, now: Time) -> String {
    let detail = match refusal {
        Refusal::NotLeased(state) | Refusal::JobEnded(state) | Refusal::NotDead(state) => {
            state.as_str().into()
        }
        Refusal::UniqueConflict(id) => id.sequence().to_string(),
        Refusal::QueueFull(max) | Refusal::ShardFull(max) => max.to_string(),
        Refusal::IdempotencyFull(at) => ahead(at, now),
        Refusal::Contradicts(operation) => operation.to_string(),
        Refusal::Pool(refusal) => super::pools::refused_value(refusal, now),
        _ => String::new(),
    };
    format!("refused {} {detail}", refusal.code()).trim_end().into()
}

pub fn ahead(at: Time, now: Time) -> String {
    if at >= now { format!("+{}", at.since(now)) } else { format!("-{}", now.since(at)) }
}

pub fn redrive(redrive: &RedriveView) -> String {
    let end = match redrive.end {
        None => "under way",
        Some(RedriveEnd::Done) => "done",
        Some(RedriveEnd::DeadAgain) => "dead again",
        Some(RedriveEnd::Superseded) => "superseded",
    };
    format!("{} moved, {end}", redrive.moved)
}

pub fn causes(causes: &[Cause]) -> String {
    let texts: Vec<String> = causes
        .iter()
        .map(|cause| {
            let kind = cause.error_kind.as_deref().map_or(String::new(), |kind| format!("{kind} "));
            let (reason, sample) = (cause.reason.as_str(), cause.sample.sequence());
            format!("{} {reason} {kind}{:?} like {sample}", cause.count, cause.message)
        })
        .collect();
    texts.join(", ")
}

/// The named fields of a job.
pub fn job(job: &JobView, fields: &[String], now: Time) -> String {
    let none = || String::from("-");
    let moment = |at: Option<Time>| at.map_or_else(none, |at| ahead(at, now));
    let text = |text: &Option<Box<str>>| text.as_deref().map_or_else(none, Into::into);
    let field = |name: &String| match name.as_str() {
        "state" => job.state.as_str().into(),
        "attempt" => format!("{}/{}", job.attempt, job.max_attempts),
        "run_in" => moment(job.run_at),
        "lease_in" => moment(job.lease_expires_at),
        "ended" => moment(job.ended_at),
        "expires_in" => moment(job.expires_at),
        "waiting_for" => job.waiting_for.map_or_else(none, |why| why.as_str().into()),
        "position" => job.position.map_or_else(none, |position| position.to_string()),
        "worker" => text(&job.worker),
        "progress" => job.progress.as_deref().map_or_else(none, |text| String::from_utf8_lossy(text).into()),
        "reason" => job.reason.as_str().into(),
        "payload" => job.payload.len.to_string(),
        "result" => job.result.len.to_string(),
        "kind" => (*job.kind).into(),
        "priority" => job.priority.to_string(),
        "key" => text(&job.ordering_key),
        "on_failure" => job.on_failure.map_or_else(none, |what| format!("{what:?}").to_lowercase()),
        "unique" => text(&job.unique_key),
        "fairness_key" => text(&job.fairness_key),
        "dependency" => text(&job.dependency),
        "failures" => failures(job),
        _ => panic!("a job has no {name}"),
    };
    fields.iter().map(field).collect::<Vec<_>>().join(", ")
}

fn failures(job: &JobView) -> String {
    let texts: Vec<String> = job
        .failures
        .iter()
        .map(|failure| {
            let kind = failure.kind.as_deref().map_or(String::new(), |kind| format!("{kind} "));
            let dependency = failure.dependency.as_deref().map_or(String::new(), |name| format!("{name} "));
            format!("{} by {} {kind}{dependency}{:?}", failure.attempt, failure.worker, failure.message)
        })
        .collect();
    if texts.is_empty() { "-".into() } else { texts.join("; ") }
}

/// The named fields of a queue.
pub fn queue(queue: &QueueView, fields: &[String], now: Time) -> String {
    let field = |name: &String| match name.as_str() {
        "counts" => counts(queue),
        "paused" => queue.paused.to_string(),
        "keys_paused" => queue.keys_paused.to_string(),
        "keys_parked" => queue.keys_parked.to_string(),
        "oldest_ready" => queue.oldest_ready_at.map_or("-".into(), |at| ahead(at, now)),
        "redrive" => queue.redrive.as_deref().map_or("-".into(), redrive),
        "dead_again" => queue.redrive.as_deref().map_or("-".into(), |redrive| redrive.dead_again.to_string()),
        "jobs_max" => queue.config.jobs_max.to_string(),
        "lease_ms" => queue.config.lease_ms.to_string(),
        _ => panic!("a queue has no {name}"),
    };
    fields.iter().map(field).collect::<Vec<_>>().join(", ")
}

fn counts(queue: &QueueView) -> String {
    let of = |state: JobState| (queue.counts.of(state), state.as_str());
    let texts: Vec<String> = JobState::ALL
        .into_iter()
        .map(of)
        .filter(|&(count, _)| count > 0)
        .map(|(count, state)| format!("{count} {state}"))
        .collect();
    if texts.is_empty() { "empty".into() } else { texts.join(" ") }
}
