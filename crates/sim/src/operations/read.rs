//! Looking, waiting for a job's end, and calling a job off.

use tidegate_core::Time;
use tidegate_core::record::EndReason;
use tidegate_core::view::{JobFilter, JobState};

use super::Scene;
use crate::call::Call;

pub(super) fn cancel(scene: &mut Scene<'_>) -> Option<Call> {
    let mostly_open = scene.chance.percent(80);
    Some(Call::Cancel { id: scene.job(|job| !job.state.has_ended() || !mostly_open), key: None })
}

pub(super) fn job(scene: &mut Scene<'_>) -> Option<Call> {
    let id = scene.job(|_| true);
    let wait_ms = if scene.chance.percent(30) { scene.chance.between(1, 20_000) } else { 0 };
    Some(Call::Job { id, wait_ms })
}

pub(super) fn list(scene: &mut Scene<'_>) -> Option<Call> {
    let filter = JobFilter {
        queue: scene.chance.percent(60).then(|| scene.any_queue()),
        state: scene.chance.percent(50).then(|| JobState::ALL[scene.chance.below(6) as usize]),
        kind: scene.chance.percent(20).then(|| scene.kind()),
        ordering_key: scene.chance.percent(20).then(|| scene.ordering_key()),
        cause: scene.chance.percent(10).then(|| scene.cause()).flatten(),
        reason: scene.chance.percent(10).then_some(EndReason::Expired),
        enqueued_before: scene
            .chance
            .percent(10)
            .then(|| Time(scene.twin.now.saturating_sub(scene.chance.below(10_000)))),
    };
    let cursor = if scene.chance.percent(40) { scene.chance.below(200) } else { 0 };
    Some(Call::List { filter, cursor, limit: scene.chance.between(1, 30) as usize })
}

pub(super) fn queue(scene: &mut Scene<'_>) -> Option<Call> {
    let name = scene.any_queue();
    Some(if scene.chance.percent(50) { Call::Queue { name } } else { Call::Causes { queue: name } })
}
