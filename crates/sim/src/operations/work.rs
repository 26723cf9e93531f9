//! What workers do: lease, complete, fail, extend, release, and all of it in one round trip.

use tidegate_core::command::{Complete, Extend, Fail, Lease, Release, Work as WorkCommand};
use tidegate_core::{JobId, Token};
use tidegate_engine::{Envelope, Work};

use super::Scene;
use crate::call::Call;

fn call(command: WorkCommand, results: Vec<Envelope>, wait_ms: u64) -> Option<Call> {
    (command != WorkCommand::default()).then(|| Call::Work {
        ask: Work { command, results },
        wait_ms,
        key: None,
    })
}

fn wait_ms(scene: &mut Scene<'_>) -> u64 {
    if scene.chance.percent(scene.plan.polls) { scene.chance.between(1, 20_000) } else { 0 }
}

fn wish(scene: &mut Scene<'_>) -> Lease {
    let queues = (0..scene.chance.between(1, 3)).map(|_| scene.any_queue()).collect();
    Lease {
        queues,
        max: scene.chance.between(1, 6) as u32,
        lease_ms: scene.chance.percent(50).then(|| scene.chance.between(500, 20_000)),
        worker: format!("worker-{}", scene.chance.below(3)),
        kinds: (0..scene.chance.below(5).saturating_sub(2)).map(|_| scene.kind()).collect(),
    }
}

pub(super) fn lease(scene: &mut Scene<'_>) -> Option<Call> {
    let command = WorkCommand { lease: Some(wish(scene)), ..WorkCommand::default() };
    let wait_ms = wait_ms(scene);
    call(command, Vec::new(), wait_ms)
}

/// Completions, some with results; now and then the same twice.
fn completions(scene: &mut Scene<'_>, leases: &[(JobId, Token)]) -> (Vec<Complete>, Vec<Envelope>) {
    let mut complete: Vec<Complete> =
        leases.iter().map(|&(id, token)| Complete { id, token, result_len: 0 }).collect();
    if scene.chance.percent(5) {
        complete.extend(complete.clone());
    }
    let results = complete
        .iter()
        .map(|_| if scene.chance.percent(40) { scene.payload() } else { Envelope::default() })
        .collect();
    (complete, results)
}

pub(super) fn complete(scene: &mut Scene<'_>) -> Option<Call> {
    let leases = scene.leases(4);
    let (complete, results) = completions(scene, &leases);
    call(WorkCommand { complete, ..WorkCommand::default() }, results, 0)
}

fn failure(scene: &mut Scene<'_>, (id, token): (JobId, Token)) -> Fail {
    Fail {
        id,
        token,
        message: format!(
            "{} no {}",
            ["refused", "broken"][scene.chance.below(2) as usize],
            scene.chance.below(99)
        ),
        kind: scene.chance.percent(30).then(|| "io".into()),
        dependency: scene.chance.percent(10).then(|| "mail".into()),
        retry_after_ms: scene.chance.percent(30).then(|| [0, 1, 5_000][scene.chance.below(3) as usize]),
        fatal: scene.chance.percent(25),
    }
}

pub(super) fn fail(scene: &mut Scene<'_>) -> Option<Call> {
    let leases = scene.leases(3);
    let fail = leases.into_iter().map(|lease| failure(scene, lease)).collect();
    call(WorkCommand { fail, ..WorkCommand::default() }, Vec::new(), 0)
}

fn prolonging(scene: &mut Scene<'_>, (id, token): (JobId, Token)) -> Extend {
    Extend {
        id,
        token,
        lease_ms: scene.chance.percent(50).then(|| scene.chance.between(500, 60_000)),
        progress: scene
            .chance
            .percent(50)
            .then(|| format!("{} %", scene.chance.below(100)).into_bytes().into_boxed_slice()),
    }
}

pub(super) fn extend(scene: &mut Scene<'_>) -> Option<Call> {
    let leases = scene.leases(3);
    let extend = leases.into_iter().map(|lease| prolonging(scene, lease)).collect();
    call(WorkCommand { extend, ..WorkCommand::default() }, Vec::new(), 0)
}

pub(super) fn release(scene: &mut Scene<'_>) -> Option<Call> {
    let leases = scene.leases(5);
    let release = leases.into_iter().map(|(id, token)| Release { id, token }).collect();
    call(WorkCommand { release, ..WorkCommand::default() }, Vec::new(), 0)
}

pub(super) fn round_trip(scene: &mut Scene<'_>) -> Option<Call> {
    let leases = scene.leases(6);
    let mut parts: [Vec<(JobId, Token)>; 4] = Default::default();
    for lease in leases {
        parts[scene.chance.weighted(&[4, 2, 1, 1])].push(lease);
    }
    let [complete, fail, extend, release] = parts;
    let (complete, results) = completions(scene, &complete);
    let command = WorkCommand {
        complete,
        fail: fail.into_iter().map(|lease| failure(scene, lease)).collect(),
        extend: extend.into_iter().map(|lease| prolonging(scene, lease)).collect(),
        release: release.into_iter().map(|(id, token)| Release { id, token }).collect(),
        lease: scene.chance.percent(80).then(|| wish(scene)),
    };
    let wait_ms = if command.lease.is_some() { wait_ms(scene) } else { 0 };
    call(command, results, wait_ms)
}
