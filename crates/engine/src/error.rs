//! Why a call brought no answer, and why an engine did not open.
//!
//! What the rules refuse ([`Refusal`]) and what the world or the engine's bounds refuse are told apart here:
//! the former is an outcome that is as durable as any, the latter says that nothing was decided, except
//! [`CallError::OutcomeUnknown`], which says that nobody knows.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;
use tidegate_core::pool::GrantId;
use tidegate_core::{JobId, Refusal};

/// Why a call brought no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CallError {
    /// The rules refuse the call as a whole. Refusals of single items are in the answer.
    #[error("refused: {}", refusal.code())]
    Refused {
        /// Which refusal.
        refusal: Refusal,
        /// Whether this is what an earlier call with the same idempotency key was told.
        replayed: bool,
    },
    /// The rules refuse one operation of a transaction, and so nothing of it was done.
    #[error("operation {operation} is refused: {}", refusal.code())]
    OperationRefused {
        /// Which operation, from 0.
        operation: u32,
        /// Which refusal.
        refusal: Refusal,
        /// Whether this is what an earlier call with the same idempotency key was told.
        replayed: bool,
    },
    /// A condition of a transaction does not hold, and so nothing of it was done.
    #[error("condition {condition} does not hold: {}", refusal.code())]
    ConditionRefused {
        /// Which condition, from 0.
        condition: u32,
        /// What is so instead.
        refusal: Refusal,
        /// Whether this is what an earlier call with the same idempotency key was told.
        replayed: bool,
    },
    /// A transaction is in one shard, and so is a list about pools under an idempotency key; two of its operations are in two.
    /// Nothing was done.
    #[error(
        "{one} and {other} are in different shards; a transaction, a swap, and a list under one idempotency key are in one"
    )]
    SpansShards {
        /// What an earlier operation concerns.
        one: Place,
        /// What is elsewhere.
        other: Place,
        /// Which operation that is, from 0.
        operation: u32,
    },
    /// The call holds more bytes than one turn's frame has room for. Nothing was done; in smaller calls it
    /// can be.
    #[error("the call holds {bytes} bytes and at most {bytes_max} are taken")]
    CallTooLarge {
        /// Bytes of payloads, results and the rest, as the log would hold them.
        bytes: usize,
        /// Bytes that are taken.
        bytes_max: usize,
    },
    /// More calls, or bytes of calls, wait for the shard than its inbox takes. Nothing was done.
    #[error("the shard's inbox is full: {calls} calls with {bytes} bytes wait")]
    InboxFull {
        /// Calls waiting.
        calls: usize,
        /// Bytes they hold.
        bytes: usize,
        /// When asking again makes sense, in ms from now.
        retry_after_ms: u64,
    },
    /// As many callers wait for something to happen as the shard keeps waiting. Nothing was done; asking
    /// without a wait is always possible.
    #[error("the shard keeps {waiters} callers waiting and takes no more")]
    WaitersFull {
        /// Callers waiting.
        waiters: usize,
        /// When asking again makes sense, in ms from now.
        retry_after_ms: u64,
    },
    /// The disk is nearly full: new jobs, grants and configurations are refused so that what was accepted can still be
    /// finished. Nothing was done.
    #[error(
        "the disk is nearly full: {free_bytes} bytes are free and {reserve_bytes} are kept for accepted work"
    )]
    DiskFull {
        /// Bytes free.
        free_bytes: u64,
        /// Bytes below which what is new is refused.
        reserve_bytes: u64,
        /// When asking again makes sense, in ms from now.
        retry_after_ms: u64,
    },
    /// The call was decided, but it is not known whether that reached the disk. Ask again with the same
    /// idempotency key.
    #[error("the outcome is unknown ({why}): ask again with the same idempotency key")]
    OutcomeUnknown {
        /// What failed.
        why: Arc<str>,
    },
    /// The shard is not serving just now: it starts over from its log, or has given up. Nothing was done.
    #[error("the shard is not serving: {why}")]
    Unavailable {
        /// Why.
        why: Arc<str>,
        /// When asking again makes sense, in ms from now.
        retry_after_ms: u64,
    },
    /// The engine is closing, or closed. Nothing was done.
    #[error("the engine is shutting down")]
    ShuttingDown,
}

impl CallError {
    /// When asking again makes sense, in ms from now; none if waiting does not help, or not by itself.
    #[must_use]
    pub fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::InboxFull { retry_after_ms, .. }
            | Self::WaitersFull { retry_after_ms, .. }
            | Self::DiskFull { retry_after_ms, .. }
            | Self::Unavailable { retry_after_ms, .. } => Some(*retry_after_ms),
            Self::OutcomeUnknown { .. } | Self::ShuttingDown => Some(1_000),
            Self::Refused { .. }
            | Self::OperationRefused { .. }
            | Self::ConditionRefused { .. }
            | Self::SpansShards { .. }
            | Self::CallTooLarge { .. } => None,
        }
    }
}

/// What an operation of a transaction concerns; it says which shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A queue.
    Queue(String),
    /// A job.
    Job(JobId),
    /// A pool.
    Pool(String),
    /// A grant.
    Grant(GrantId),
    /// All pools whose name says that they are there; all pools there are, if none is named.
    Everywhere(Option<String>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(queue) => write!(f, "queue {queue}"),
            Self::Job(id) => write!(f, "job {id}"),
            Self::Pool(pool) => write!(f, "pool {pool}"),
            Self::Grant(id) => write!(f, "grant {id}"),
            Self::Everywhere(Some(place)) => write!(f, "the pools at {place}"),
            Self::Everywhere(None) => f.write_str("all pools"),
        }
    }
}

/// Why an engine did not open.
#[derive(Debug, Error)]
pub enum OpenError {
    /// A shard's log did not open. A directory in use is
    /// [`tidegate_log::OpenError::InUse`], which names the directory and its owner.
    #[error("shard {shard}: {source}")]
    Log {
        /// The shard.
        shard: u16,
        /// What the log says.
        source: tidegate_log::OpenError,
    },
    /// A shard's log opened and could not be replayed.
    #[error("shard {shard}: {source}")]
    Replay {
        /// The shard.
        shard: u16,
        /// What was met.
        source: ReplayError,
    },
    /// The directory was made with another number of shards. A queue's shard follows from its name and that
    /// number, so it stays as it is.
    #[error("{} was made with {found} shards and {asked} are asked for; the number cannot be changed", directory.display())]
    ShardCount {
        /// The data directory.
        directory: PathBuf,
        /// The number it was made with.
        found: u16,
        /// The number asked for.
        asked: u16,
    },
    /// The directory of a shard is gone. Its jobs were acknowledged, so it is not begun anew.
    #[error(
        "{} is missing, though the data directory was made with {shards} shard(s): mount or restore it; to begin anew, take \
         another data directory", missing.display()
    )]
    ShardMissing {
        /// Where it should be.
        missing: PathBuf,
        /// How many shards there are.
        shards: u16,
    },
    /// The file that describes the data directory is not one this program wrote, or a newer one did.
    #[error("{} does not describe a data directory of this version: {found:?}", file.display())]
    Layout {
        /// The file.
        file: PathBuf,
        /// Its first line.
        found: String,
    },
    /// The options contradict one another or leave their ranges.
    #[error("the engine's options are not usable: {0}")]
    Options(String),
    /// The system refused.
    #[error("{doing} {}: {source}", file.display())]
    Io {
        /// What was being done, as the beginning of a sentence.
        doing: &'static str,
        /// The file or directory, or thread.
        file: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

/// Why a log that opened could not be replayed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// A frame could not be read.
    #[error(transparent)]
    Read(#[from] tidegate_log::ReadError),
    /// A record that is not protobuf: the frame's checksum is right, so a program wrote it so.
    #[error("a record of frame {sequence} cannot be decoded: {source}")]
    Record {
        /// The frame.
        sequence: u64,
        /// What the decoder says.
        source: prost::DecodeError,
    },
    /// A record whose numbers no log can reach: a program that was wrong wrote it.
    #[error("frame {sequence} holds a record that cannot be: {source}")]
    Impossible {
        /// The frame.
        sequence: u64,
        /// Its kind, and the number.
        source: tidegate_core::possible::Impossible,
    },
    /// A record of a kind this program does not know. Going on without it would end in another state.
    #[error("frame {sequence} holds a record that only a newer program knows; use the newer program")]
    Newer {
        /// The frame.
        sequence: u64,
    },
}

/// Why closing did not end well: some shard's last frames are not known to be durable. Their callers have
/// heard so.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("shard {shard} did not close cleanly: {why}")]
pub struct CloseError {
    /// The shard.
    pub shard: u16,
    /// What failed.
    pub why: Arc<str>,
}
