//! Records as JSON: the field names of the log's own messages, ids and times as the API writes them.

use serde_json::{Map, Value, json};
use tidegate::api::time::Timestamp;
use tidegate_core::id::JobId;
use tidegate_core::policy::{OnFailure, QueueConfig, Retry, UniqueUntil};
use tidegate_core::record::{
    EndReason, FailedNext, Failure, JobMore, JobsRestated, Record, RedriveEnd, RedriveStarted,
};
use tidegate_core::view::JobState;

/// A record's name and content.
pub(crate) fn to_json(shard: u16, record: &Record) -> Value {
    let id = |sequence: u64| id(shard, sequence);
    let ids = |sequences: &[u64]| -> Vec<String> { sequences.iter().map(|&sequence| id(sequence)).collect() };
    let (name, content) = match record {
        Record::Shard(r) => (
            "shard",
            json!({ "seed": format!("{:016x}", r.seed), "next_job": id(r.next_job), "next_token": r.next_token,
                    "next_redrive": r.next_redrive, "next_grant": r.next_grant, "next_event": r.next_event }),
        ),
        Record::QueueConfigured(r) => {
            ("queue_configured", json!({ "queue": r.queue, "config": config(&r.config) }))
        }
        Record::QueuePaused(r) => ("queue_paused", json!({ "queue": r.queue, "paused": r.paused })),
        Record::KeyPaused(r) => {
            ("key_paused", json!({ "queue": r.queue, "ordering_key": r.key, "paused": r.paused }))
        }
        Record::Enqueued(r) => {
            let jobs: Vec<Value> = (r.first_job..)
                .zip(&r.jobs)
                .map(|(sequence, job)| {
                    let mut all = map(json!({
                        "id": id(sequence), "kind": r.kinds.get(job.kind as usize), "priority": job.priority,
                        "payload_bytes": job.blob_len,
                    }));
                    put_nonzero(&mut all, "order", job.order);
                    put_time(&mut all, "run_at", job.run_at);
                    put_more(&mut all, job.more.as_deref());
                    Value::Object(all)
                })
                .collect();
            ("enqueued", json!({ "queue": r.queue, "first_offset": r.first_offset, "jobs": jobs }))
        }
        Record::Readied(r) => ("readied", json!({ "jobs": ids(&r.jobs), "orders": r.orders })),
        Record::Leased(r) => (
            "leased",
            json!({ "worker": r.worker, "lease_expires_at": time(r.deadline), "first_token": r.first_token,
                    "jobs": ids(&r.jobs) }),
        ),
        Record::Extended(r) => {
            let progress = r.progress.as_deref().map(text_of);
            (
                "extended",
                json!({ "id": id(r.job), "lease_expires_at": time(r.deadline), "progress": progress }),
            )
        }
        Record::Completed(r) => (
            "completed",
            json!({ "jobs": ids(&r.jobs), "result_bytes": r.result_lens, "first_offset": r.first_offset }),
        ),
        Record::Failed(r) => {
            let dead = r.next == FailedNext::Dead as i32;
            let mut all = map(json!({ "id": id(r.job), "error": failure(&r.failure),
                "state": if dead { "dead" } else { "scheduled" } }));
            if dead {
                all.insert("reason".into(), reason(r.reason));
                all.insert("death".into(), r.death.into());
            } else {
                put_time(&mut all, "run_at", r.run_at);
            }
            ("failed", Value::Object(all))
        }
        Record::Released(r) => ("released", json!({ "id": id(r.job) })),
        Record::Cancelled(r) => ("cancelled", json!({ "id": id(r.job), "reason": reason(r.reason) })),
        Record::Expired(r) => ("expired", json!({ "id": id(r.job), "death": r.death })),
        Record::Forgotten(r) => ("forgotten", json!({ "jobs": ids(&r.jobs) })),
        Record::Edited(r) => {
            ("edited", json!({ "id": id(r.job), "offset": r.offset, "payload_bytes": r.len }))
        }
        Record::RedriveStarted(r) => ("redrive_started", redrive(shard, r)),
        Record::Redriven(r) => (
            "redriven",
            json!({ "queue": r.queue, "redrive": r.redrive, "jobs": ids(&r.jobs), "cursor": r.cursor }),
        ),
        Record::RedriveEnded(r) => {
            ("redrive_ended", json!({ "queue": r.queue, "redrive": r.redrive, "end": redrive_end(r.end) }))
        }
        Record::AnswerKept(r) => (
            "answer_kept",
            json!({ "idempotency_key": r.key, "fingerprint": format!("{:016x}{:016x}", r.fingerprint_0, r.fingerprint_1),
                    "kept_at": time(r.kept_at), "expires_at": time(r.expires_at), "answer_bytes": r.answer.len(),
                    "dropped": r.dropped }),
        ),
        Record::QueueRestated(r) => (
            "queue_restated",
            json!({ "queue": r.queue, "config": config(&r.config), "paused": r.paused, "next_orders": r.next_orders,
                    "next_death": r.next_death, "redrive": r.redrive.as_deref().map(|r| redrive(shard, r)),
                    "redrive_end": r.redrive_end.checked_sub(1).map(|end| redrive_end(end as i32)) }),
        ),
        Record::KeyRestated(r) => {
            ("key_restated", json!({ "queue": r.queue, "ordering_key": r.key, "paused": r.paused }))
        }
        Record::UniqueRestated(r) => (
            "unique_restated",
            json!({ "queue": r.queue, "unique_key": r.key, "id": id(r.job), "expires_at": time(r.expires_at) }),
        ),
        Record::JobsRestated(r) => ("jobs_restated", jobs_restated(shard, r)),
        record => super::pools::content(shard, record),
    };
    json!({ "record": name, "content": content })
}

fn jobs_restated(shard: u16, restated: &JobsRestated) -> Value {
    let jobs: Vec<Value> = restated
        .jobs
        .iter()
        .map(|job| {
            let state = JobState::from_number(job.state);
            let mut all = map(json!({
                "id": id(shard, job.job), "queue": restated.queues.get(job.queue as usize),
                "kind": restated.kinds.get(job.kind as usize), "state": state.map(JobState::as_str),
                "priority": job.priority, "attempt": job.attempt, "enqueued_at": time(job.enqueued_at),
                "payload_bytes": job.blob_len,
            }));
            put_time(&mut all, "time", job.time);
            put_nonzero(&mut all, "order", job.order);
            put_nonzero(&mut all, "attempts_forgiven", u64::from(job.attempts_forgiven));
            put_nonzero(&mut all, "result_bytes", u64::from(job.result_len));
            put_nonzero(&mut all, "redrive", job.redrive);
            put_more(&mut all, job.more.as_deref());
            if !job.failures.is_empty() {
                all.insert("errors".into(), job.failures.iter().map(failure).collect());
            }
            if !job.worker.is_empty() {
                all.insert("worker".into(), job.worker.as_str().into());
            }
            if let Some(progress) = &job.progress {
                all.insert("progress".into(), text_of(progress).into());
            }
            if job.reason != EndReason::None as i32 {
                all.insert("reason".into(), reason(job.reason));
            }
            for (name, is_so) in [("holds_unique", job.holds_unique), ("parks", job.parks)] {
                if is_so {
                    all.insert(name.into(), true.into());
                }
            }
            Value::Object(all)
        })
        .collect();
    json!({ "first_offset": restated.first_offset, "jobs": jobs })
}

pub(super) fn id(shard: u16, sequence: u64) -> String {
    format!("{shard}-{sequence}", sequence = JobId::new(shard, sequence & ((1 << 48) - 1)).sequence())
}

pub(super) fn time(ms: u64) -> String {
    Timestamp::from_unix_ms(ms).to_string()
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

pub(super) fn put_nonzero(all: &mut Map<String, Value>, name: &str, number: u64) {
    if number > 0 {
        all.insert(name.into(), number.into());
    }
}

pub(super) fn put_time(all: &mut Map<String, Value>, name: &str, ms: u64) {
    if ms > 0 {
        all.insert(name.into(), time(ms).into());
    }
}

fn put_more(all: &mut Map<String, Value>, more: Option<&JobMore>) {
    let Some(more) = more else { return };
    put_time(all, "expires_at", more.expires_at);
    let texts = [
        ("ordering_key", &more.ordering_key),
        ("fairness_key", &more.fairness_key),
        ("dependency", &more.dependency),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            all.insert(name.into(), text.as_str().into());
        }
    }
    if more.ordering_key.is_some() {
        all.insert("on_failure".into(), on_failure(more.on_failure));
    }
    if let Some(unique) = &more.unique {
        let until = match UniqueUntil::try_from(unique.until) {
            Ok(UniqueUntil::Completed) => "completed",
            Ok(UniqueUntil::Started) => "started",
            Ok(UniqueUntil::Duration) => "duration",
            Err(_) => "unknown",
        };
        let mut content = map(json!({ "key": unique.key, "until": until }));
        put_time(&mut content, "expires_at", unique.expires_at);
        all.insert("unique".into(), Value::Object(content));
    }
    if let Some(policy) = &more.retry {
        all.insert("retry".into(), retry(policy));
    }
}

fn failure(failure: &Failure) -> Value {
    json!({ "attempt": failure.attempt, "at": time(failure.at), "message": failure.message, "kind": failure.kind,
            "dependency": failure.dependency, "worker": failure.worker })
}

fn retry(retry: &Retry) -> Value {
    json!({ "max_attempts": retry.max_attempts, "delay_ms": retry.delay_ms,
            "factor": f64::from(retry.factor_permille) / 1_000.0, "delay_max_ms": retry.delay_ms_max,
            "jitter_percent": retry.jitter_percent })
}

fn config(config: &QueueConfig) -> Value {
    json!({ "retry": retry(&config.retry), "lease_ms": config.lease_ms, "on_failure": on_failure(config.on_failure),
            "jobs_max": config.jobs_max, "retain_ms": config.retain_ms, "retain_max": config.retain_max })
}

fn on_failure(number: i32) -> Value {
    match OnFailure::try_from(number) {
        Ok(OnFailure::Block) => "block".into(),
        Ok(OnFailure::Skip) => "skip".into(),
        Ok(OnFailure::Park) => "park".into(),
        Err(_) => number.into(),
    }
}

fn reason(number: i32) -> Value {
    EndReason::try_from(number).map_or_else(|_| number.into(), |reason| reason.as_str().into())
}

fn redrive_end(number: i32) -> Value {
    match RedriveEnd::try_from(number) {
        Ok(RedriveEnd::Done) => "done".into(),
        Ok(RedriveEnd::DeadAgain) => "dead_again".into(),
        Ok(RedriveEnd::Superseded) => "superseded".into(),
        Err(_) => number.into(),
    }
}

fn redrive(shard: u16, started: &RedriveStarted) -> Value {
    let mut all = map(json!({
        "queue": started.queue, "redrive": started.redrive, "rate_per_s": started.rate_per_s,
        "stop_after_dead": started.stop_after_dead, "started_at": time(started.started_at), "until": started.until,
        "cursor": started.cursor, "moved": started.moved, "dead_again": started.dead_again,
        "ids": started.ids.iter().map(|&sequence| id(shard, sequence)).collect::<Vec<_>>(),
    }));
    if let Some(kind) = &started.kind {
        all.insert("kind".into(), kind.as_str().into());
    }
    if let Some(cause) = started.cause {
        all.insert("cause".into(), format!("{cause:016x}").into());
    }
    if started.reason != EndReason::None as i32 {
        all.insert("reason".into(), reason(started.reason));
    }
    put_time(&mut all, "before", started.before);
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::record::{Leased, QueuePaused};

    #[test]
    fn a_record_is_shown_with_its_name_and_the_apis_ids_and_times() {
        let leased = Record::Leased(Leased {
            first_token: 9,
            deadline: 1_763_816_400_123,
            worker: "w1".into(),
            jobs: vec![7, 8],
        });
        let expected = json!({ "record": "leased", "content": {
            "worker": "w1", "lease_expires_at": "2025-11-22T13:00:00.123Z", "first_token": 9, "jobs": ["2-7", "2-8"],
        }});
        assert_eq!(to_json(2, &leased), expected);
        let paused = Record::QueuePaused(QueuePaused { queue: "mail".into(), paused: true });
        assert_eq!(to_json(0, &paused)["content"]["paused"], json!(true));
    }
}
