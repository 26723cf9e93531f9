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

use crate::answer::{Answer, AnswerItem, AnswerPool};
use crate::id::JobId;
use crate::limits;
use crate::pool::order::AFTER_OPENING;
use crate::pool::record::{GrantEnded, Granted, Joined, PoolConfigured, StoryEntryRestated};
use crate::record::{JobMore, Record, RedriveStarted};

/// No shard accepts so many jobs: a quarter of what an id has room for.
const JOBS_END: u64 = JobId::SEQUENCE_END / 4;
/// No shard counts so far: tokens, places in line, deaths, redrives, pools' versions, moments in ms. They stay exact in every
/// JSON reader.
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
                    .and_then(|()| number("next_redrive", shard.next_redrive))
                    .and_then(|()| grant("next_grant", shard.next_grant))
                    .and_then(|()| number("next_event", shard.next_event)),
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
            Self::PoolConfigured(configured) => ("pool_configured", pool(configured)),
            Self::PoolDeleted(deleted) => ("pool_deleted", number("version", deleted.version)),
            Self::PoolTurned(turned) => ("pool_turned", number("version", turned.version)),
            Self::Granted(granted) => ("granted", self::granted(granted)),
            Self::GrantConfirmed(confirmed) => (
                "grant_confirmed",
                grant("grant", confirmed.grant)
                    .and_then(|()| number("version", confirmed.version))
                    .and_then(|()| number("event", confirmed.event)),
            ),
            Self::HoldExtended(extended) => (
                "hold_extended",
                grant("grant", extended.grant).and_then(|()| number("deadline", extended.deadline)),
            ),
            Self::GrantEnded(ended) => ("grant_ended", grant_ended(ended)),
            Self::Joined(joined) => ("joined", self::joined(joined)),
            Self::LeftLine(left) => (
                "left_line",
                number("number", left.number)
                    .and_then(|()| number("version", left.version))
                    .and_then(|()| number("event", left.event)),
            ),
            Self::PoolRefused(refused) => (
                "pool_refused",
                number("version", refused.version).and_then(|()| number("event", refused.event)),
            ),
            Self::JobsLinked(linked) => (
                "jobs_linked",
                linked
                    .jobs
                    .iter()
                    .try_for_each(|&linked| job("jobs", linked))
                    .and_then(|()| number("event", linked.event)),
            ),
            Self::PoolRestated(restated) => (
                "pool_restated",
                pool(&restated.pool)
                    .and_then(|()| number("next_number", restated.next_number))
                    .and_then(|()| number("drawn_until", restated.drawn_until)),
            ),
            Self::GrantRestated(restated) => (
                "grant_restated",
                self::granted(&restated.grant).and_then(|()| number("granted_at", restated.granted_at)),
            ),
            Self::WaiterRestated(restated) => ("waiter_restated", self::joined(restated)),
            Self::StoryRestated(story) => ("story_restated", story.entries.iter().try_for_each(story_entry)),
            Self::EndedRestated(restated) => ("ended_restated", grant_ended(&restated.ended)),
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

/// A grant is named as a job is, by a shard and a sequence.
fn grant(field: &'static str, sequence: u64) -> Result<(), Wrong> {
    below(JOBS_END, field, sequence)
}

/// What is counted from 1: with 0 it would be none at all.
fn some(field: &'static str, number: u64) -> Result<(), Wrong> {
    if number > 0 { self::number(field, number) } else { Err((field, number)) }
}

fn pool(configured: &PoolConfigured) -> Result<(), Wrong> {
    number("config.opens_at", configured.config.opens_at)?;
    number("config.closes_at", configured.config.closes_at)?;
    number("version", configured.version)
}

fn granted(granted: &Granted) -> Result<(), Wrong> {
    grant("grant", granted.grant)?;
    some("units", u64::from(granted.units))?;
    number("deadline", granted.deadline)?;
    number("ceiling", granted.ceiling)?;
    number("waiter", granted.waiter)?;
    grant("gives", granted.gives)?;
    job("job", granted.job)?;
    number("version", granted.version)?;
    number("event", granted.event)
}

fn grant_ended(ended: &GrantEnded) -> Result<(), Wrong> {
    grant("grant", ended.grant)?;
    number("granted_at", ended.granted_at)?;
    number("ended_at", ended.ended_at)?;
    number("version", ended.version)?;
    number("event", ended.event)
}

fn joined(joined: &Joined) -> Result<(), Wrong> {
    // Who has left is remembered for the draw alone.
    let ranks_end = if joined.left { AFTER_OPENING } else { AFTER_OPENING + 1 };
    some("units", u64::from(joined.units))?;
    below(ranks_end, "rank", joined.rank)?;
    some("number", joined.number)?;
    grant("gives", joined.gives)?;
    number("joined_at", joined.joined_at)?;
    number("version", joined.version)?;
    number("event", joined.event)
}

fn story_entry(entry: &StoryEntryRestated) -> Result<(), Wrong> {
    number("entries.number", entry.number)?;
    number("entries.at", entry.at)?;
    number("entries.detail", entry.detail)?;
    grant("entries.grant", entry.grant)?;
    number("entries.version", entry.version)?;
    entry.jobs.iter().try_for_each(|&linked| job("entries.jobs", linked))
}

fn answer(bytes: &[u8]) -> Result<(), Wrong> {
    let answer = Answer::decode(bytes).map_err(|_| ("answer", bytes.len() as u64))?;
    let item = |item: &AnswerItem| {
        item.pool.as_ref().map_or(Ok(()), answer_pool)?;
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

fn answer_pool(pool: &AnswerPool) -> Result<(), Wrong> {
    // How `AnswerPool` numbers them: a grant, and how one ended.
    match pool.kind {
        1 | 2 => grant("answer.pool.number", pool.number)?,
        _ => number("answer.pool.number", pool.number)?,
    }
    number("answer.pool.deadline", pool.deadline)?;
    number("answer.pool.version", pool.version)
}
