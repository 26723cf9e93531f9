//! Configure, pause and resume.

use tidegate_core::command::Pause;
use tidegate_core::policy::{OnFailure, QueueConfig};

use super::{Scene, enqueue};
use crate::call::Call;

pub(super) fn configure(scene: &mut Scene<'_>) -> Option<Call> {
    let config = QueueConfig {
        retry: enqueue::retry(scene),
        lease_ms: scene.chance.between(500, 40_000),
        on_failure: [OnFailure::Block, OnFailure::Skip, OnFailure::Park][scene.chance.below(3) as usize]
            as i32,
        jobs_max: [0, 0, 3, 12, 40][scene.chance.below(5) as usize],
        retain_ms: [1_000, 60_000, 3_600_000][scene.chance.below(3) as usize],
        retain_max: [0, 3, 20, 100_000][scene.chance.below(4) as usize],
    };
    Some(Call::Configure { queue: scene.queue(), config, key: None })
}

pub(super) fn pause_queue(scene: &mut Scene<'_>) -> Option<Call> {
    let queue = scene.any_queue();
    let paused = scene.chance.percent(40);
    Some(Call::Pause { pause: Pause { queue, ordering_key: None, paused }, key: None })
}

pub(super) fn pause_key(scene: &mut Scene<'_>) -> Option<Call> {
    let (queue, key) = (scene.any_queue(), scene.ordering_key());
    let paused = scene.chance.percent(40);
    Some(Call::Pause { pause: Pause { queue, ordering_key: Some(key), paused }, key: None })
}
