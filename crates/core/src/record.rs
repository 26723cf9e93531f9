//! Records: the facts of a log. What is decided becomes records; what is applied, live or in replay, are records.
//!
//! They are protobuf messages (through prost's derive): a field's number never changes its meaning, unknown fields are
//! skipped, and every number that a rule chose is written out, so that a newer binary with other rules reads
//! an old log to the same state. Names are written as text: a log explains itself, and any part of it can be
//! trimmed without orphaning a dictionary.
//!
//! **Facts about things not (yet) known are no-ops.** When the head of a log has been trimmed, a replay meets
//! records about jobs whose own record comes later, restated. Applying must skip them; the restated form carries the
//! outcome of all that came before it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::policy::{OnFailure, QueueConfig, Retry, UniqueUntil};
use crate::pool::record as pool;

/// One fact, framed: prost needs a message around a choice.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RecordMessage {
    /// The fact. None means a newer binary wrote a kind this one does not know.
    #[prost(
        oneof = "Record",
        tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, \
                40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55"
    )]
    pub record: Option<Record>,
}

/// A fact.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Record {
    /// The shard's counters and seed.
    #[prost(message, tag = "1")]
    Shard(Shard),
    /// A queue exists, with this configuration.
    #[prost(message, tag = "2")]
    QueueConfigured(QueueConfigured),
    /// A queue was paused or resumed.
    #[prost(message, tag = "3")]
    QueuePaused(QueuePaused),
    /// An ordering key was paused or resumed.
    #[prost(message, tag = "4")]
    KeyPaused(KeyPaused),
    /// Jobs were accepted.
    #[prost(message, tag = "5")]
    Enqueued(Enqueued),
    /// Waiting jobs became ready.
    #[prost(message, tag = "6")]
    Readied(Readied),
    /// Jobs were handed out.
    #[prost(message, tag = "7")]
    Leased(Leased),
    /// A lease was prolonged.
    #[prost(message, tag = "8")]
    Extended(Extended),
    /// Jobs were done.
    #[prost(message, tag = "9")]
    Completed(Completed),
    /// An attempt failed.
    #[prost(message, tag = "10")]
    Failed(Failed),
    /// A leased job was given back untried.
    #[prost(message, tag = "11")]
    Released(Released),
    /// A job was cancelled.
    #[prost(message, tag = "12")]
    Cancelled(Cancelled),
    /// A job's time to start ran out.
    #[prost(message, tag = "13")]
    Expired(Expired),
    /// Ended jobs are no longer kept.
    #[prost(message, tag = "14")]
    Forgotten(Forgotten),
    /// A dead job got another payload.
    #[prost(message, tag = "15")]
    Edited(Edited),
    /// Moving dead letters back began.
    #[prost(message, tag = "16")]
    RedriveStarted(RedriveStarted),
    /// Dead letters were moved back.
    #[prost(message, tag = "17")]
    Redriven(Redriven),
    /// Moving dead letters back ended.
    #[prost(message, tag = "18")]
    RedriveEnded(RedriveEnded),
    /// A request's answer is kept under its idempotency key.
    #[prost(message, tag = "19")]
    AnswerKept(AnswerKept),
    /// A queue, written anew.
    #[prost(message, tag = "20")]
    QueueRestated(QueueRestated),
    /// An ordering key that is paused, written anew.
    #[prost(message, tag = "21")]
    KeyRestated(KeyRestated),
    /// A unique key taken for a duration, written anew.
    #[prost(message, tag = "22")]
    UniqueRestated(UniqueRestated),
    /// Jobs, written anew with their payloads.
    #[prost(message, tag = "23")]
    JobsRestated(JobsRestated),
    /// A pool exists, with this configuration.
    #[prost(message, tag = "40")]
    PoolConfigured(pool::PoolConfigured),
    /// A pool is no more.
    #[prost(message, tag = "41")]
    PoolDeleted(pool::PoolDeleted),
    /// A pool's time to open or to close has come.
    #[prost(message, tag = "42")]
    PoolTurned(pool::PoolTurned),
    /// A holder was given units.
    #[prost(message, tag = "43")]
    Granted(pool::Granted),
    /// What was held is taken.
    #[prost(message, tag = "44")]
    GrantConfirmed(pool::GrantConfirmed),
    /// A hold lasts longer.
    #[prost(message, tag = "45")]
    HoldExtended(pool::HoldExtended),
    /// A grant ended.
    #[prost(message, tag = "46")]
    GrantEnded(pool::GrantEnded),
    /// A holder waits in line.
    #[prost(message, tag = "47")]
    Joined(pool::Joined),
    /// A holder waits no more, and got nothing.
    #[prost(message, tag = "48")]
    LeftLine(pool::LeftLine),
    /// A holder was refused.
    #[prost(message, tag = "49")]
    PoolRefused(pool::PoolRefused),
    /// Jobs were accepted, or completed, together with what a holder did.
    #[prost(message, tag = "50")]
    JobsLinked(pool::JobsLinked),
    /// A pool, written anew.
    #[prost(message, tag = "51")]
    PoolRestated(pool::PoolRestated),
    /// A grant, written anew.
    #[prost(message, tag = "52")]
    GrantRestated(pool::GrantRestated),
    /// A holder in line, written anew; also one who was when the order was drawn.
    #[prost(message, tag = "53")]
    WaiterRestated(pool::Joined),
    /// A holder's story, written anew, or a part of it.
    #[prost(message, tag = "54")]
    StoryRestated(pool::StoryRestated),
    /// The memory of a grant that ended, written anew.
    #[prost(message, tag = "55")]
    EndedRestated(pool::EndedRestated),
}

/// Why a job is dead or cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum EndReason {
    /// It did not end this way.
    None = 0,
    /// The last allowed attempt failed.
    AttemptsExhausted = 1,
    /// Its worker said that trying again is useless.
    Fatal = 2,
    /// It had not started by `expires_at`.
    Expired = 3,
    /// Someone cancelled it.
    Cancelled = 4,
    /// A new job with its unique key took its place.
    Replaced = 5,
}

impl EndReason {
    /// The word used everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::Fatal => "fatal",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Replaced => "replaced",
        }
    }
}

/// See [`Record::Shard`]. Counters only rise: applying takes the greater.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Shard {
    /// Seed of everything that looks like chance.
    #[prost(fixed64, tag = "1")]
    pub seed: u64,
    /// Next job's sequence.
    #[prost(uint64, tag = "2")]
    pub next_job: u64,
    /// Next lease's token.
    #[prost(uint64, tag = "3")]
    pub next_token: u64,
    /// Next redrive's number.
    #[prost(uint64, tag = "4")]
    pub next_redrive: u64,
    /// Next grant's sequence; 0 where pools were not known yet.
    #[prost(uint64, tag = "5")]
    pub next_grant: u64,
    /// Number of the next thing that happens to a holder.
    #[prost(uint64, tag = "6")]
    pub next_event: u64,
}

/// See [`Record::QueueConfigured`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct QueueConfigured {
    /// The queue.
    #[prost(string, tag = "1")]
    pub queue: String,
    /// Its whole configuration.
    #[prost(message, required, tag = "2")]
    pub config: QueueConfig,
}

/// See [`Record::QueuePaused`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct QueuePaused {
    /// The queue.
    #[prost(string, tag = "1")]
    pub queue: String,
    /// Paused or resumed.
    #[prost(bool, tag = "2")]
    pub paused: bool,
}

/// See [`Record::KeyPaused`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct KeyPaused {
    /// The queue.
    #[prost(string, tag = "1")]
    pub queue: String,
    /// The ordering key.
    #[prost(string, tag = "2")]
    pub key: String,
    /// Paused or resumed; resuming also ends being parked.
    #[prost(bool, tag = "3")]
    pub paused: bool,
}

/// See [`Record::Enqueued`]. The jobs' sequences follow one another, and so do their payloads in this frame.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Enqueued {
    /// The queue.
    #[prost(string, tag = "1")]
    pub queue: String,
    /// The kinds named by the jobs.
    #[prost(string, repeated, tag = "2")]
    pub kinds: Vec<String>,
    /// Sequence of the first job.
    #[prost(uint64, tag = "3")]
    pub first_job: u64,
    /// Where the first payload lies in this frame's payload area.
    #[prost(uint32, tag = "4")]
    pub first_offset: u32,
    /// The jobs.
    #[prost(message, repeated, tag = "5")]
    pub jobs: Vec<EnqueuedJob>,
}

/// One accepted job.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EnqueuedJob {
    /// Index into the batch's kinds.
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    /// Priority, 0..=9.
    #[prost(uint32, tag = "2")]
    pub priority: u32,
    /// Stored length of the payload.
    #[prost(uint32, tag = "3")]
    pub blob_len: u32,
    /// Its place in the ready list; 0 if it is not in it (it waits for its time, or for its ordering key).
    #[prost(uint64, tag = "4")]
    pub order: u64,
    /// When it may start, in ms since 1970; 0 means at once.
    #[prost(uint64, tag = "5")]
    pub run_at: u64,
    /// What most jobs do not have.
    #[prost(message, optional, boxed, tag = "6")]
    pub more: Option<Box<JobMore>>,
}

/// What most jobs do not have; the same when accepted and when restated.
#[derive(Clone, PartialEq, prost::Message)]
pub struct JobMore {
    /// When it dies if it has not started; 0 means never.
    #[prost(uint64, tag = "1")]
    pub expires_at: u64,
    /// Ordering key.
    #[prost(string, optional, tag = "2")]
    pub ordering_key: Option<String>,
    /// What a failure does to the key.
    #[prost(enumeration = "OnFailure", tag = "3")]
    pub on_failure: i32,
    /// Fairness key.
    #[prost(string, optional, tag = "4")]
    pub fairness_key: Option<String>,
    /// Unique key.
    #[prost(message, optional, tag = "5")]
    pub unique: Option<UniqueKey>,
    /// Retry policy of its own.
    #[prost(message, optional, tag = "6")]
    pub retry: Option<Retry>,
    /// What it depends on.
    #[prost(string, optional, tag = "7")]
    pub dependency: Option<String>,
}

/// A job's unique key.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct UniqueKey {
    /// The key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// How long it is taken.
    #[prost(enumeration = "UniqueUntil", tag = "2")]
    pub until: i32,
    /// With a duration: until when, in ms since 1970.
    #[prost(uint64, tag = "3")]
    pub expires_at: u64,
}

/// See [`Record::Readied`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Readied {
    /// Sequences of the jobs.
    #[prost(uint64, repeated, tag = "1")]
    pub jobs: Vec<u64>,
    /// Each one's place in its ready list; 0 if its ordering key is not free.
    #[prost(uint64, repeated, tag = "2")]
    pub orders: Vec<u64>,
}

/// See [`Record::Leased`]. Tokens rise by one from the first.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Leased {
    /// Token of the first job.
    #[prost(uint64, tag = "1")]
    pub first_token: u64,
    /// When the leases lapse, in ms since 1970.
    #[prost(uint64, tag = "2")]
    pub deadline: u64,
    /// Who has them.
    #[prost(string, tag = "3")]
    pub worker: String,
    /// Sequences of the jobs.
    #[prost(uint64, repeated, tag = "4")]
    pub jobs: Vec<u64>,
}

/// See [`Record::Extended`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Extended {
    /// Sequence of the job.
    #[prost(uint64, tag = "1")]
    pub job: u64,
    /// When the lease lapses now, in ms since 1970.
    #[prost(uint64, tag = "2")]
    pub deadline: u64,
    /// How far it is, in the worker's own words.
    #[prost(bytes = "vec", optional, tag = "3")]
    pub progress: Option<Vec<u8>>,
}

/// See [`Record::Completed`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Completed {
    /// Sequences of the jobs.
    #[prost(uint64, repeated, tag = "1")]
    pub jobs: Vec<u64>,
    /// Where the first result lies in this frame's payload area.
    #[prost(uint32, tag = "2")]
    pub first_offset: u32,
    /// Stored length of each one's result, 0 for none; empty if none has one.
    #[prost(uint32, repeated, tag = "3")]
    pub result_lens: Vec<u32>,
}

/// What became of a failed attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum FailedNext {
    /// It is tried again at `run_at`.
    Retry = 0,
    /// It is dead.
    Dead = 1,
}

/// See [`Record::Failed`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Failed {
    /// Sequence of the job.
    #[prost(uint64, tag = "1")]
    pub job: u64,
    /// What happened.
    #[prost(message, required, tag = "2")]
    pub failure: Failure,
    /// Retry or dead.
    #[prost(enumeration = "FailedNext", tag = "3")]
    pub next: i32,
    /// When it is tried again, in ms since 1970.
    #[prost(uint64, tag = "4")]
    pub run_at: u64,
    /// Why it is dead.
    #[prost(enumeration = "EndReason", tag = "5")]
    pub reason: i32,
    /// If it is dead: its death number in the queue, by which dead letters are in order.
    #[prost(uint64, tag = "6")]
    pub death: u64,
    /// If it is dead: whether that parks its ordering key.
    #[prost(bool, tag = "7")]
    pub parks: bool,
    /// If it is dead again: the redrive that had moved it. A redrive counts these, whether or not the job is known.
    #[prost(uint64, tag = "8")]
    pub redrive: u64,
    /// The queue of that redrive.
    #[prost(string, tag = "9")]
    pub redrive_queue: String,
}

/// One failed attempt, as a job remembers it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Failure {
    /// Which attempt, from 1.
    #[prost(uint32, tag = "1")]
    pub attempt: u32,
    /// When, in ms since 1970.
    #[prost(uint64, tag = "2")]
    pub at: u64,
    /// What happened.
    #[prost(string, tag = "3")]
    pub message: String,
    /// The error's class.
    #[prost(string, optional, tag = "4")]
    pub kind: Option<String>,
    /// The dependency that failed.
    #[prost(string, optional, tag = "5")]
    pub dependency: Option<String>,
    /// Who tried.
    #[prost(string, tag = "6")]
    pub worker: String,
}

/// See [`Record::Released`]. The job becomes ready again by a record of its own.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Released {
    /// Sequence of the job.
    #[prost(uint64, tag = "1")]
    pub job: u64,
}

/// See [`Record::Cancelled`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Cancelled {
    /// Sequence of the job.
    #[prost(uint64, tag = "1")]
    pub job: u64,
    /// Cancelled or replaced.
    #[prost(enumeration = "EndReason", tag = "2")]
    pub reason: i32,
}

/// See [`Record::Expired`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Expired {
    /// Sequence of the job.
    #[prost(uint64, tag = "1")]
    pub job: u64,
    /// Its death number in the queue.
    #[prost(uint64, tag = "2")]
    pub death: u64,
    /// Whether that parks its ordering key.
    #[prost(bool, tag = "3")]
    pub parks: bool,
}

/// See [`Record::Forgotten`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Forgotten {
    /// Sequences of the jobs.
    #[prost(uint64, repeated, tag = "1")]
    pub jobs: Vec<u64>,
}

/// See [`Record::Edited`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Edited {
    /// Sequence of the job.
    #[prost(uint64, tag = "1")]
    pub job: u64,
    /// Where the new payload lies in this frame's payload area.
    #[prost(uint32, tag = "2")]
    pub offset: u32,
    /// Its stored length.
    #[prost(uint32, tag = "3")]
    pub len: u32,
}

/// A redrive and its progress.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RedriveStarted {
    /// The queue.
    #[prost(string, tag = "1")]
    pub queue: String,
    /// Its number.
    #[prost(uint64, tag = "2")]
    pub redrive: u64,
    /// Of this kind only.
    #[prost(string, optional, tag = "3")]
    pub kind: Option<String>,
    /// Of this cause only.
    #[prost(fixed64, optional, tag = "4")]
    pub cause: Option<u64>,
    /// Dead for this reason only.
    #[prost(enumeration = "EndReason", tag = "5")]
    pub reason: i32,
    /// That died before this moment, in ms since 1970; 0 is no bound.
    #[prost(uint64, tag = "6")]
    pub before: u64,
    /// These jobs only, if any are named.
    #[prost(uint64, repeated, tag = "7")]
    pub ids: Vec<u64>,
    /// At most so many a second; 0 is as fast as turns go.
    #[prost(uint32, tag = "8")]
    pub rate_per_s: u32,
    /// Stop when so many have died again; 0 never.
    #[prost(uint32, tag = "9")]
    pub stop_after_dead: u32,
    /// When it began, in ms since 1970.
    #[prost(uint64, tag = "10")]
    pub started_at: u64,
    /// Dead letters up to this death number are looked at.
    #[prost(uint64, tag = "11")]
    pub until: u64,
    /// Looked at up to this death number.
    #[prost(uint64, tag = "12")]
    pub cursor: u64,
    /// Moved so far.
    #[prost(uint64, tag = "13")]
    pub moved: u64,
    /// Of those, died again.
    #[prost(uint64, tag = "14")]
    pub dead_again: u64,
}

/// See [`Record::Redriven`]. The jobs become ready by records of their own.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Redriven {
    /// The queue.
    #[prost(string, tag = "1")]
    pub queue: String,
    /// The redrive's number.
    #[prost(uint64, tag = "2")]
    pub redrive: u64,
    /// Sequences of the jobs.
    #[prost(uint64, repeated, tag = "3")]
    pub jobs: Vec<u64>,
    /// Looked at up to this death number.
    #[prost(uint64, tag = "4")]
    pub cursor: u64,
    /// Those of the jobs that took their unique key again; the others run without.
    #[prost(uint64, repeated, tag = "5")]
    pub took_unique: Vec<u64>,
}

/// Why a redrive ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum RedriveEnd {
    /// Everything that matched was moved.
    Done = 0,
    /// Too many died again.
    DeadAgain = 1,
    /// Another redrive of the queue took over.
    Superseded = 2,
}

/// See [`Record::RedriveEnded`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct RedriveEnded {
    /// The queue.
    #[prost(string, tag = "1")]
    pub queue: String,
    /// The redrive's number.
    #[prost(uint64, tag = "2")]
    pub redrive: u64,
    /// Why.
    #[prost(enumeration = "RedriveEnd", tag = "3")]
    pub end: i32,
}

/// See [`Record::AnswerKept`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct AnswerKept {
    /// The idempotency key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// First half of the request's fingerprint.
    #[prost(fixed64, tag = "2")]
    pub fingerprint_0: u64,
    /// Second half.
    #[prost(fixed64, tag = "3")]
    pub fingerprint_1: u64,
    /// When the request was decided, in ms since 1970.
    #[prost(uint64, tag = "4")]
    pub kept_at: u64,
    /// Until when it is kept, in ms since 1970.
    #[prost(uint64, tag = "5")]
    pub expires_at: u64,
    /// The answer, an encoded [`crate::answer::Answer`].
    #[prost(bytes = "vec", tag = "6")]
    pub answer: Vec<u8>,
    /// Keys whose answers were dropped before their time, to make room.
    #[prost(string, repeated, tag = "7")]
    pub dropped: Vec<String>,
}

/// See [`Record::QueueRestated`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct QueueRestated {
    /// The queue.
    #[prost(string, tag = "1")]
    pub queue: String,
    /// Its configuration.
    #[prost(message, required, tag = "2")]
    pub config: QueueConfig,
    /// Whether it is paused.
    #[prost(bool, tag = "3")]
    pub paused: bool,
    /// Next place in the ready list of each priority, 0 first.
    #[prost(uint64, repeated, tag = "4")]
    pub next_orders: Vec<u64>,
    /// Next death number.
    #[prost(uint64, tag = "5")]
    pub next_death: u64,
    /// The redrive under way or last ended.
    #[prost(message, optional, boxed, tag = "6")]
    pub redrive: Option<Box<RedriveStarted>>,
    /// How that redrive ended, plus one; 0 while it is under way.
    #[prost(uint32, tag = "7")]
    pub redrive_end: u32,
}

/// See [`Record::KeyRestated`]. That a dead job has parked a key is written with that job.
#[derive(Clone, PartialEq, prost::Message)]
pub struct KeyRestated {
    /// The queue.
    #[prost(string, tag = "1")]
    pub queue: String,
    /// The ordering key.
    #[prost(string, tag = "2")]
    pub key: String,
    /// Whether someone paused it.
    #[prost(bool, tag = "3")]
    pub paused: bool,
}

/// See [`Record::UniqueRestated`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct UniqueRestated {
    /// The queue.
    #[prost(string, tag = "1")]
    pub queue: String,
    /// The unique key.
    #[prost(string, tag = "2")]
    pub key: String,
    /// Sequence of the job that took it.
    #[prost(uint64, tag = "3")]
    pub job: u64,
    /// Until when, in ms since 1970.
    #[prost(uint64, tag = "4")]
    pub expires_at: u64,
    /// The state in which that job was forgotten, plus one; 0 while it is kept.
    #[prost(uint32, tag = "5")]
    pub ended: u32,
}

/// See [`Record::JobsRestated`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct JobsRestated {
    /// The queues named by the jobs.
    #[prost(string, repeated, tag = "1")]
    pub queues: Vec<String>,
    /// The kinds named by the jobs.
    #[prost(string, repeated, tag = "2")]
    pub kinds: Vec<String>,
    /// Where the first blob lies in this frame's payload area; each job's payload, then its result, follow one another.
    #[prost(uint32, tag = "3")]
    pub first_offset: u32,
    /// The jobs.
    #[prost(message, repeated, tag = "4")]
    pub jobs: Vec<RestatedJob>,
}

/// A job as it is, whole.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RestatedJob {
    /// Its sequence.
    #[prost(uint64, tag = "1")]
    pub job: u64,
    /// Index into the record's queues.
    #[prost(uint32, tag = "2")]
    pub queue: u32,
    /// Index into the record's kinds.
    #[prost(uint32, tag = "3")]
    pub kind: u32,
    /// Its state, as [`crate::view::JobState`] numbers them.
    #[prost(uint32, tag = "4")]
    pub state: u32,
    /// Priority.
    #[prost(uint32, tag = "5")]
    pub priority: u32,
    /// Attempts so far.
    #[prost(uint32, tag = "6")]
    pub attempt: u32,
    /// Attempts that a redrive has forgiven.
    #[prost(uint32, tag = "7")]
    pub attempts_forgiven: u32,
    /// When it was accepted, in ms since 1970.
    #[prost(uint64, tag = "8")]
    pub enqueued_at: u64,
    /// The state's time: when it may start, when its lease lapses, when it ended.
    #[prost(uint64, tag = "9")]
    pub time: u64,
    /// The state's number: place in the ready list, token, death number.
    #[prost(uint64, tag = "10")]
    pub order: u64,
    /// Stored length of the payload; 0 if it is no longer kept.
    #[prost(uint32, tag = "11")]
    pub blob_len: u32,
    /// Stored length of the result.
    #[prost(uint32, tag = "12")]
    pub result_len: u32,
    /// What most jobs do not have.
    #[prost(message, optional, boxed, tag = "13")]
    pub more: Option<Box<JobMore>>,
    /// Its failures so far.
    #[prost(message, repeated, tag = "14")]
    pub failures: Vec<Failure>,
    /// Its worker, while leased.
    #[prost(string, tag = "15")]
    pub worker: String,
    /// Its progress.
    #[prost(bytes = "vec", optional, tag = "16")]
    pub progress: Option<Vec<u8>>,
    /// Why it ended.
    #[prost(enumeration = "EndReason", tag = "17")]
    pub reason: i32,
    /// The redrive that moved it.
    #[prost(uint64, tag = "18")]
    pub redrive: u64,
    /// Whether it holds its unique key.
    #[prost(bool, tag = "19")]
    pub holds_unique: bool,
    /// Whether it has parked its ordering key.
    #[prost(bool, tag = "20")]
    pub parks: bool,
}
