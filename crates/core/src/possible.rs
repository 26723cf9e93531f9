//! Whether a log can say what a record says.
//!
//! A record whose checksum is right was written by a program, but perhaps by a wrong one. Replaying asks here before it
//! applies, so that a number no log can reach stops a start by name instead of overflowing a counter. Only numbers are
//! looked at, and only for being possible at all: what the rules allow differs from version to version, and applying asks for
//! nothing but this.
//!
//! Left out: whether records fit together. A fact about something unknown is a no-op, and a job's number far beyond those of
//! all others is possible, though the table over the gap takes eight bytes for each 4,096 numbers.

use prost::Message as _;

use crate::answer::{Answer, AnswerItem};
use crate::id::JobId;
use crate::limits;
use crate::record::{JobMore, Record, RedriveStarted};

/// No shard accepts so many jobs: a quarter of what an id has room for.
const JOBS_END: u64 = JobId::SEQUENCE_END / 4;
/// No shard counts so far: tokens, places in line, deaths, redrives, moments in ms. They stay exact in every JSON reader.
const NUMBERS_END: u64 = 1 << 52;

impl Record {
    /// See the module.
    pub fn is_possible(&self) -> bool {
        match self {
            Self::Shard(shard) => {
                shard.next_job < JOBS_END && numbers([shard.next_token, shard.next_redrive])
            }
            Self::Enqueued(enqueued) => {
                jobs(enqueued.first_job, enqueued.jobs.len())
                    && blobs(enqueued.first_offset, enqueued.jobs.iter().map(|job| job.blob_len))
                    && enqueued
                        .jobs
                        .iter()
                        .all(|job| numbers([job.order, job.run_at]) && more_possible(job.more.as_deref()))
            }
            Self::Readied(readied) => numbers(readied.orders.iter().copied()),
            Self::Leased(leased) => numbers([leased.first_token, leased.deadline, leased.jobs.len() as u64]),
            Self::Extended(extended) => numbers([extended.deadline]),
            Self::Completed(completed) => {
                blobs(completed.first_offset, completed.result_lens.iter().copied())
            }
            Self::Failed(failed) => numbers([failed.run_at, failed.death, failed.redrive, failed.failure.at]),
            Self::Expired(expired) => numbers([expired.death]),
            Self::Edited(edited) => blobs(edited.offset, [edited.len]),
            Self::RedriveStarted(started) => redrive_possible(started),
            Self::Redriven(redriven) => numbers([redriven.redrive, redriven.cursor]),
            Self::AnswerKept(kept) => {
                numbers([kept.kept_at, kept.expires_at])
                    && Answer::decode(kept.answer.as_slice()).is_ok_and(|answer| answer_possible(&answer))
            }
            Self::QueueRestated(queue) => {
                numbers(queue.next_orders.iter().copied())
                    && numbers([queue.next_death])
                    && queue.redrive.as_deref().is_none_or(redrive_possible)
            }
            Self::UniqueRestated(unique) => unique.job < JOBS_END && numbers([unique.expires_at]),
            Self::JobsRestated(restated) => {
                blobs(
                    restated.first_offset,
                    restated.jobs.iter().flat_map(|job| [job.blob_len, job.result_len]),
                ) && restated.jobs.iter().all(|job| {
                    job.job < JOBS_END
                        && numbers([job.enqueued_at, job.time, job.order, job.redrive])
                        && [job.attempt, job.attempts_forgiven].iter().all(|&n| n <= u32::from(u16::MAX))
                        && more_possible(job.more.as_deref())
                })
            }
            Self::QueueConfigured(_)
            | Self::QueuePaused(_)
            | Self::KeyPaused(_)
            | Self::Released(_)
            | Self::Cancelled(_)
            | Self::Forgotten(_)
            | Self::RedriveEnded(_)
            | Self::KeyRestated(_) => true,
        }
    }
}

fn numbers(numbers: impl IntoIterator<Item = u64>) -> bool {
    numbers.into_iter().all(|number| number < NUMBERS_END)
}

fn jobs(first: u64, count: usize) -> bool {
    first.checked_add(count as u64).is_some_and(|end| end <= JOBS_END)
}

/// Blobs that lie one behind the other in a payload area.
fn blobs(first_offset: u32, lens: impl IntoIterator<Item = u32>) -> bool {
    lens.into_iter().try_fold(first_offset, u32::checked_add).is_some()
}

fn more_possible(more: Option<&JobMore>) -> bool {
    more.is_none_or(|more| {
        numbers([more.expires_at, more.unique.as_ref().map_or(0, |unique| unique.expires_at)])
    })
}

fn redrive_possible(started: &RedriveStarted) -> bool {
    let RedriveStarted { redrive, before, started_at, until, cursor, moved, dead_again, .. } = *started;
    numbers([redrive, before, started_at, until, cursor, moved, dead_again])
}

fn answer_possible(answer: &Answer) -> bool {
    let item = |item: &AnswerItem| {
        let is_refusal = item.job == 0;
        let jobs_end = item.job.saturating_add(u64::from(item.further));
        is_refusal || (jobs_end < JOBS_END && item.value < NUMBERS_END)
    };
    [&answer.items, &answer.fail, &answer.extend, &answer.release].into_iter().all(|runs| {
        let count: u64 = runs.iter().map(|run| u64::from(run.further) + 1).sum();
        count <= limits::BATCH_JOBS_MAX as u64 && runs.iter().all(item)
    }) && numbers(answer.tokens.iter().copied())
        && answer.leased.iter().all(|&job| job < JOBS_END)
}
