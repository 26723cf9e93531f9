//! Enqueue, with everything a job can wish.

use tidegate_core::command::{self, NewJob, NewJobMore};
use tidegate_core::id::When;
use tidegate_core::policy::{OnConflict, OnFailure, Retry, Unique, UniqueUntil};
use tidegate_core::{Time, limits};
use tidegate_engine::{Enqueue, Envelope};

use super::Scene;
use crate::call::Call;

pub(super) fn enqueue(scene: &mut Scene<'_>) -> Option<Call> {
    let mut command = command::Enqueue::new(scene.queue());
    let mut payloads = Vec::new();
    for _ in 0..scene.chance.between(1, 5) {
        let kind = scene.kind();
        let (mut job, payload) = new_job(scene);
        job.kind = command.kind(&kind);
        command.jobs.push(job);
        payloads.push(payload);
    }
    Some(Call::Enqueue { ask: Enqueue { command, payloads }, key: None })
}

/// A job and its payload.
pub(super) fn new_job(scene: &mut Scene<'_>) -> (NewJob, Envelope) {
    let payload = scene.payload();
    let mut job = NewJob::new(payload.stored_len());
    if scene.chance.percent(30) {
        job.priority = scene.chance.below(10) as u8;
    }
    if scene.chance.percent(scene.plan.delayed) {
        job.run_at = Some(moment(scene, 6_000));
    }
    let plan = scene.plan;
    let mut more = NewJobMore::default();
    if scene.chance.percent(plan.ordered) {
        more.ordering_key = Some(scene.ordering_key());
        more.on_failure = [None, Some(OnFailure::Block), Some(OnFailure::Skip), Some(OnFailure::Park)]
            [scene.chance.below(4) as usize];
    }
    if scene.chance.percent(plan.expiring) {
        more.expires_at = Some(moment(scene, 15_000));
    }
    if scene.chance.percent(plan.unique) {
        more.unique = Some(Unique {
            key: format!("unique-{}", scene.chance.below(plan.unique_keys)),
            until: [UniqueUntil::Completed, UniqueUntil::Started, UniqueUntil::Duration]
                [scene.chance.below(3) as usize],
            duration_ms: scene.chance.between(1, 60_000),
            on_conflict: [OnConflict::Return, OnConflict::Reject, OnConflict::Replace]
                [scene.chance.below(3) as usize],
        });
    }
    if scene.chance.percent(plan.with_retry) {
        more.retry = Some(retry(scene));
    }
    if scene.chance.percent(10) {
        more.fairness_key = Some("tenant".into());
        more.dependency = Some("mail".into());
    }
    if more != NewJobMore::default() {
        job.more = Some(Box::new(more));
    }
    (job, payload)
}

/// A policy, mostly with few attempts, so that jobs die.
pub(super) fn retry(scene: &mut Scene<'_>) -> Retry {
    Retry {
        max_attempts: scene.chance.between(1, 4) as u32,
        delay_ms: [0, 1, 1_000, 30_000][scene.chance.below(4) as usize],
        factor_permille: [1_000, 2_000, 10_000][scene.chance.below(3) as usize],
        delay_ms_max: scene.chance.between(30_000, 120_000),
        jitter_percent: [0, 20, 100][scene.chance.below(3) as usize],
    }
}

/// A moment soon; now and then one that has passed, or too far ahead.
fn moment(scene: &mut Scene<'_>, most_ms: u64) -> When {
    let long = if scene.chance.percent(15) { 100 } else { 1 };
    let ms = scene.chance.between(0, most_ms * long);
    match scene.chance.below(40) {
        0 => When::In(limits::AHEAD_MS_MAX + 1),
        1 => When::At(Time(scene.twin.now.saturating_sub(ms))),
        2..20 => When::At(Time(scene.twin.now + ms)),
        _ => When::In(ms),
    }
}
