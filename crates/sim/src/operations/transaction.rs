//! Transactions of enqueues and completions, contradictions included.

use tidegate_core::command::{self, Complete, EnqueueOne, Operation};
use tidegate_engine::{Envelope, Transaction};

use super::{Scene, enqueue};
use crate::call::Call;

pub(super) fn transaction(scene: &mut Scene<'_>) -> Option<Call> {
    let mut ask = Transaction { command: command::Transaction::default(), blobs: Vec::new() };
    for _ in 0..scene.chance.between(1, 4) {
        let (operation, blob) = operation(scene);
        ask.command.operations.push(operation);
        ask.blobs.push(blob);
    }
    Some(Call::Transact { ask, key: None })
}

/// An operation about a job.
pub(super) fn operation(scene: &mut Scene<'_>) -> (Operation, Envelope) {
    match scene.chance.percent(45).then(|| scene.lease()).flatten() {
        Some((id, token)) => {
            let result = if scene.chance.percent(40) { scene.payload() } else { Envelope::default() };
            (Operation::Complete(Complete { id, token, result_len: 0 }), result)
        }
        None => {
            let (queue, kind) = (scene.queue(), scene.kind());
            let (job, payload) = enqueue::new_job(scene);
            (Operation::Enqueue(EnqueueOne { queue, kind, job }), payload)
        }
    }
}
