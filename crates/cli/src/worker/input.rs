//! What a job's child finds in its environment.

use tidegate::api::{lease::LeasedJob, limits};

pub(super) fn environment(job: &LeasedJob, worker: &str, server: &str) -> Vec<(&'static str, String)> {
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

// A child's result fits into what the server takes.
const _: () = assert!(super::child::RESULT_BYTES_MAX <= limits::RESULT_BYTES_MAX, "a kept result is taken");

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_child_finds_the_job_in_its_environment() {
        let job = serde_json::json!({
            "id": "0-5", "queue": "a", "kind": "k", "priority": 5, "attempt": 2, "max_attempts": 5, "token": 9,
            "lease_expires_at": "2026-11-22T13:00:30.000Z", "enqueued_at": "2026-11-22T13:00:00.000Z",
            "traceparent": "00-1", "metadata": { "tenant": "t1" }, "ordering_key": "c 7",
        });
        let job = serde_json::from_str(&job.to_string()).expect("a leased job");
        let environment: BTreeMap<_, _> = environment(&job, "w", "http://s").into_iter().collect();
        let expected = [
            ("TIDEGATE_ATTEMPT", "2"),
            ("TIDEGATE_ENQUEUED_AT", "2026-11-22T13:00:00.000Z"),
            ("TIDEGATE_JOB_ID", "0-5"),
            ("TIDEGATE_KIND", "k"),
            ("TIDEGATE_MAX_ATTEMPTS", "5"),
            ("TIDEGATE_METADATA", r#"{"tenant":"t1"}"#),
            ("TIDEGATE_ORDERING_KEY", "c 7"),
            ("TIDEGATE_PRIORITY", "5"),
            ("TIDEGATE_QUEUE", "a"),
            ("TIDEGATE_SERVER", "http://s"),
            ("TIDEGATE_TOKEN", "9"),
            ("TIDEGATE_WORKER", "w"),
            ("TRACEPARENT", "00-1"),
        ];
        assert_eq!(environment, expected.map(|(name, value)| (name, value.to_owned())).into());
    }
}
