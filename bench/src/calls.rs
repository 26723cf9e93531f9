//! Producers for systems that are spoken through a client library: a number of calls under way at once.

use std::{future::Future, ops::Range};

use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::intake::{Intake, Take};

/// Keeps `depth` calls of `per_call` jobs under way until the intake ends; a call gives back how many were
/// acknowledged.
pub(crate) async fn keep_under_way<F: Future<Output = anyhow::Result<u64>>>(
    intake: &Intake,
    per_call: usize,
    depth: usize,
    mut call: impl FnMut(Range<u64>) -> F,
) -> anyhow::Result<()> {
    let mut calls = FuturesUnordered::new();
    loop {
        let changed = intake.changed();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let mut last = None;
        while calls.len() < depth {
            match intake.take(per_call) {
                Take::Go(numbers) => calls.push(call(numbers)),
                other => {
                    last = Some(other);
                    break;
                }
            }
        }
        match (calls.is_empty(), last) {
            (true, Some(Take::End)) => return Ok(()),
            (true, _) => changed.await,
            (false, Some(Take::Wait)) => tokio::select! {
                Some(done) = calls.next() => intake.acknowledge(done?),
                () = changed => {}
            },
            (false, _) => {
                if let Some(done) = calls.next().await {
                    intake.acknowledge(done?);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_number_goes_out_once_and_is_counted() {
        let intake = Intake::new(0, 1_050, None);
        let mut sent = vec![0; 1_050];
        keep_under_way(&intake, 100, 4, |numbers| {
            for number in numbers.clone() {
                sent[number as usize] += 1;
            }
            async move { Ok(numbers.end - numbers.start) }
        })
        .await
        .expect("no call fails");
        assert!(sent.iter().all(|times| *times == 1));
        assert_eq!(intake.acknowledged(), 1_050);
    }

    #[tokio::test]
    async fn a_failed_call_fails_the_producer() {
        let intake = Intake::new(0, 10, None);
        let error = keep_under_way(&intake, 1, 2, |_| async { anyhow::bail!("refused") }).await;
        assert_eq!(error.expect_err("it fails").to_string(), "refused");
    }
}
