//! Whether a log can say what a record says.
//!
//! A record whose checksum is right was written by a program, but perhaps by a wrong one. Replaying asks here before it
//! applies, so that a number no log can reach stops a start by name instead of overflowing a counter. Only numbers are
//! looked at, and only for being possible at all: what the rules allow differs from version to version, and applying asks for
//! nothing but this.
//!
//! Until when a key is taken or an answer kept, and before when dead letters are meant, may be any moment: callers and owners
//! choose these, they are only compared, and `u64::MAX` is a way to say for ever.
//!
//! What is wrong is told by the record's kind, its field and the number, and by nothing of what callers wrote.
//!
//! Left out: whether records fit together. A fact about something unknown is a no-op, and a job's number far beyond those of
//! all others is possible, though the table over the gap takes eight bytes for each 4,096 numbers.

use core::fmt;

use prost::Message as _;

use crate::answer::{Answer, AnswerItem};
use crate::id::JobId;
use crate::limits;
use crate::record::{JobMore, Record, RedriveStarted};

/// No shard accepts so many jobs: a quarter of what an id has room for.
const JOBS_END: u64 = JobId::SEQUENCE_END / 4;
/// No shard counts so far: tokens, places in line, deaths, redrives, moments in ms. They stay exact in every JSON reader.
const NUMBERS_END: u64 = 1 << 52;

/// What cannot be in a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Impossible {
    /// The record's kind.
    pub record: &'static str,
    /// The field, as the record names it.
    pub field: &'static str,
    /// What it says; of blobs and runs, where they would end.
    pub number: u64,
}

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` of `{}` is {}", self.field, self.record, self.number)
    }
}

impl core::error::Error for Impossible {}

/// A field and what it says.
type Wrong = (&'static str, u64);

impl Record {
    /// Whether a log can say this; see the module.
    pub fn is_possible(&self) -> bool {
        self.possible().is_ok()
    }

    /// Whether a log can say this; see the module.
    ///
    /// # Errors
    /// The first field whose number no log can reach.
    pub fn possible(&self) -> Result<(), Impossible> {
        let (record, judged) = match self {
            Self::Shard(shard) => (
                "shard",
                job("next_job", shard.next_job)
                    .and_then(|()| number("next_token", shard.next_token))
                    .and_then(|()| number("next_redrive", shard.next_redrive)),
            ),
            Self::Enqueued(enqueued) => (
                "enqueued",
                run_of_jobs("first_job", enqueued.first_job, enqueued.jobs.len() as u64)
                    .and_then(|()| {
                        blobs(
                            "first_offset",
                            enqueued.first_offset,
                            enqueued.jobs.iter().map(|job| job.blob_len),
                        )
                    })
                    .and_then(|()| {
                        enqueued.jobs.iter().try_for_each(|job| {
                            number("jobs.order", job.order)?;
                            number("jobs.run_at", job.run_at)?;
                            more(job.more.as_deref())
                        })
                    }),
            ),
            Self::Readied(readied) => {
                ("readied", readied.orders.iter().try_for_each(|&order| number("orders", order)))
            }
            Self::Leased(leased) => (
                "leased",
                number("first_token", leased.first_token).and_then(|()| number("deadline", leased.deadline)),
            ),
            Self::Extended(extended) => ("extended", number("deadline", extended.deadline)),
            Self::Completed(completed) => (
                "completed",
                blobs("first_offset", completed.first_offset, completed.result_lens.iter().copied()),
            ),
            Self::Failed(failed) => (
                "failed",
                number("run_at", failed.run_at)
                    .and_then(|()| number("death", failed.death))
                    .and_then(|()| number("redrive", failed.redrive))
                    .and_then(|()| number("failure.at", failed.failure.at)),
            ),
            Self::Expired(expired) => ("expired", number("death", expired.death)),
            Self::Edited(edited) => ("edited", blobs("offset", edited.offset, [edited.len])),
            Self::RedriveStarted(started) => ("redrive_started", redrive(started)),
            Self::Redriven(redriven) => (
                "redriven",
                number("redrive", redriven.redrive).and_then(|()| number("cursor", redriven.cursor)),
            ),
            Self::AnswerKept(kept) => {
                ("answer_kept", number("kept_at", kept.kept_at).and_then(|()| answer(&kept.answer)))
            }
            Self::QueueRestated(queue) => (
                "queue_restated",
                queue
                    .next_orders
                    .iter()
                    .try_for_each(|&order| number("next_orders", order))
                    .and_then(|()| number("next_death", queue.next_death))
                    .and_then(|()| queue.redrive.as_deref().map_or(Ok(()), redrive)),
            ),
            Self::UniqueRestated(unique) => ("unique_restated", job("job", unique.job)),
            Self::JobsRestated(restated) => (
                "jobs_restated",
                blobs(
                    "first_offset",
                    restated.first_offset,
                    restated.jobs.iter().flat_map(|job| [job.blob_len, job.result_len]),
                )
                .and_then(|()| {
                    restated.jobs.iter().try_for_each(|restated| {
                        job("jobs.job", restated.job)?;
                        number("jobs.enqueued_at", restated.enqueued_at)?;
                        number("jobs.time", restated.time)?;
                        number("jobs.order", restated.order)?;
                        number("jobs.redrive", restated.redrive)?;
                        attempts("jobs.attempt", restated.attempt)?;
                        attempts("jobs.attempts_forgiven", restated.attempts_forgiven)?;
                        more(restated.more.as_deref())
                    })
                }),
            ),
            Self::QueueConfigured(_)
            | Self::QueuePaused(_)
            | Self::KeyPaused(_)
            | Self::Released(_)
            | Self::Cancelled(_)
            | Self::Forgotten(_)
            | Self::RedriveEnded(_)
            | Self::KeyRestated(_) => return Ok(()),
        };
        judged.map_err(|(field, number)| Impossible { record, field, number })
    }
}

fn below(end: u64, field: &'static str, number: u64) -> Result<(), Wrong> {
    if number < end { Ok(()) } else { Err((field, number)) }
}

fn number(field: &'static str, number: u64) -> Result<(), Wrong> {
    below(NUMBERS_END, field, number)
}

fn job(field: &'static str, job: u64) -> Result<(), Wrong> {
    below(JOBS_END, field, job)
}

fn attempts(field: &'static str, attempts: u32) -> Result<(), Wrong> {
    below(u64::from(u16::MAX) + 1, field, u64::from(attempts))
}

fn run_of_jobs(field: &'static str, first: u64, count: u64) -> Result<(), Wrong> {
    below(JOBS_END + 1, field, first.saturating_add(count))
}

/// Blobs that lie one behind the other in a payload area.
fn blobs(field: &'static str, first_offset: u32, lens: impl IntoIterator<Item = u32>) -> Result<(), Wrong> {
    let end = lens.into_iter().map(u64::from).fold(u64::from(first_offset), u64::saturating_add);
    below(1 << 32, field, end)
}

fn more(more: Option<&JobMore>) -> Result<(), Wrong> {
    more.map_or(Ok(()), |more| number("jobs.more.expires_at", more.expires_at))
}

fn redrive(started: &RedriveStarted) -> Result<(), Wrong> {
    number("redrive", started.redrive)?;
    number("started_at", started.started_at)?;
    number("until", started.until)?;
    number("cursor", started.cursor)?;
    number("moved", started.moved)?;
    number("dead_again", started.dead_again)
}

fn answer(bytes: &[u8]) -> Result<(), Wrong> {
    let answer = Answer::decode(bytes).map_err(|_| ("answer", bytes.len() as u64))?;
    let item = |item: &AnswerItem| {
        let is_refusal = item.job == 0;
        if is_refusal {
            return Ok(());
        }
        job("answer.job", item.job.saturating_add(u64::from(item.further)))?;
        number("answer.value", item.value)
    };
    for runs in [&answer.items, &answer.fail, &answer.extend, &answer.release] {
        let count = runs.iter().map(|run| u64::from(run.further) + 1).sum();
        below(limits::BATCH_JOBS_MAX as u64 + 1, "answer.further", count)?;
        runs.iter().try_for_each(item)?;
    }
    answer.tokens.iter().try_for_each(|&token| number("answer.tokens", token))?;
    answer.leased.iter().try_for_each(|&leased| job("answer.leased", leased))
}
