//! What people do about dead letters: edit, redrive, delete.

use tidegate_core::Time;
use tidegate_core::command::{DeadFilter, Redrive};
use tidegate_core::record::EndReason;
use tidegate_core::view::JobState;

use super::Scene;
use crate::call::Call;

pub(super) fn edit(scene: &mut Scene<'_>) -> Option<Call> {
    let mostly_dead = scene.chance.percent(85);
    let id = scene.job(|job| job.state == JobState::Dead || !mostly_dead);
    Some(Call::Edit { id, payload: scene.payload(), key: None })
}

fn filter(scene: &mut Scene<'_>) -> DeadFilter {
    let queue = scene.any_queue();
    let mut filter = DeadFilter { queue, ..DeadFilter::default() };
    match scene.chance.below(8) {
        0 | 1 => {
            filter.ids = (0..scene.chance.between(1, 4))
                .map(|_| scene.job(|job| job.state == JobState::Dead))
                .collect();
        }
        2 => filter.kind = Some(scene.kind()),
        3 => {
            filter.reason = Some(
                [EndReason::Fatal, EndReason::Expired, EndReason::AttemptsExhausted]
                    [scene.chance.below(3) as usize],
            );
        }
        4 => filter.before = Some(Time(scene.twin.now.saturating_sub(scene.chance.below(10_000)))),
        5 => filter.cause = scene.cause(),
        _ => {}
    }
    filter
}

pub(super) fn redrive(scene: &mut Scene<'_>) -> Option<Call> {
    let filter = filter(scene);
    // Ids that match nothing are passed over within the rate, some in each turn: how many depends on how many other queues want
    // attention in the same turn, which no rule decides.
    let may_have_rate = filter.ids.is_empty() || scene.plan.queues == 1;
    let redrive = Redrive {
        filter,
        rate_per_s: (may_have_rate && scene.chance.percent(50)).then(|| scene.chance.between(1, 20) as u32),
        stop_after_dead: if scene.chance.percent(40) { scene.chance.between(1, 3) as u32 } else { 0 },
    };
    Some(Call::Redrive { redrive, key: None })
}

pub(super) fn delete(scene: &mut Scene<'_>) -> Option<Call> {
    Some(Call::DeleteDead { filter: filter(scene), key: None })
}
