//! What can go wrong with a log, and what its owner is told.
//!
//! A refusal that a correct program meets in its daily life (being fenced) and a failure of the world (a
//! disk) are told apart here; a bug in the caller is an assertion, not an error.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::frame::FrameDefect;
use crate::position::{Epoch, Sequence};

/// Why a frame was not taken. A frame that was not taken leaves no trace in the log.
#[derive(Clone, Debug, Error)]
pub enum SubmitError {
    /// The log does not stand where the submitter believes: another owner has written, or the submitter has
    /// missed one of its own frames.
    #[error(
        "fenced: the frame was to follow {after} in epoch {epoch}, but the log ends at {found_last} in epoch {found_epoch}"
    )]
    Fenced {
        /// The sequence the frame was to follow.
        after: Sequence,
        /// The epoch the frame carried.
        epoch: Epoch,
        /// The last sequence the log has accepted.
        found_last: Sequence,
        /// The highest epoch the log has seen.
        found_epoch: Epoch,
    },
    /// The frame needs a new segment and the disk has no room for one. The frame was not taken and the log is
    /// well: the same frame may be submitted again once something has been trimmed or freed.
    #[error("the disk is full: a new segment needs {needed_bytes} bytes and {free_bytes} are free")]
    DiskFull {
        /// What a new segment would take, in bytes.
        needed_bytes: u64,
        /// What the disk says is free, in bytes.
        free_bytes: u64,
    },
    /// The log has been closed.
    #[error("the log is closed")]
    Closed,
    /// A write or a sync failed earlier. The log takes nothing more; its owner drops it and opens it anew.
    #[error("the log has failed: {0}")]
    Failed(Arc<LogFailure>),
}

/// Why a log stopped for ever: the write or sync that failed. Nothing is tried again after it, because after
/// a failed sync nobody can say what is on the disk; opening anew reads what is there.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{doing} {file}: {message}")]
pub struct LogFailure {
    /// What the log was doing, as the beginning of a sentence: "writing", "syncing".
    pub doing: &'static str,
    /// The file it was doing it to.
    pub file: String,
    /// The kind of error the system gave.
    pub kind: io::ErrorKind,
    /// The system's own words.
    pub message: String,
}

impl LogFailure {
    pub(crate) fn new(doing: &'static str, file: impl Into<String>, error: &io::Error) -> Self {
        LogFailure { doing, file: file.into(), kind: error.kind(), message: error.to_string() }
    }

    /// Whether the disk (or the quota) was full.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        matches!(self.kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// One place in a log that does not hold what it must.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{file}, byte {offset}: {defect}")]
pub struct Damage {
    /// The file's name inside the log's directory.
    pub file: String,
    /// Where in the file, in bytes from its beginning.
    pub offset: u64,
    /// What is wrong there.
    pub defect: FrameDefect,
}

/// Why a read gave nothing.
#[derive(Debug, Error)]
pub enum ReadError {
    /// What was asked for has been trimmed.
    #[error("frame {asked} has been trimmed; the log begins at {first}")]
    Trimmed {
        /// The sequence asked for.
        asked: Sequence,
        /// The first sequence still held.
        first: Sequence,
    },
    /// What was asked for has not been written yet.
    #[error("frame {asked} is not there yet; the log ends at {last}")]
    NotYet {
        /// The sequence asked for.
        asked: Sequence,
        /// The last sequence held.
        last: Sequence,
    },
    /// The bytes are there and are not what was written.
    #[error("damaged: {0} (`tidegate inspect verify` on the log's directory shows the extent)")]
    Damaged(#[from] Damage),
    /// The system could not read.
    #[error("reading {file} at byte {offset}: {source}")]
    Io {
        /// The file's name inside the log's directory.
        file: String,
        /// Where in the file, in bytes from its beginning.
        offset: u64,
        /// The system's error.
        source: io::Error,
    },
}

/// Why a log could not be opened. Nothing in the directory has been changed when one of these is returned,
/// except that an [`Io`](OpenError::Io) error may have come in the middle of making or repairing it; opening
/// again goes on from there.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process (or another part of this one) owns the directory.
    #[error(
        "{} is in use by {}; one log has one owner",
        directory.display(),
        pid.map_or("another process".to_owned(), |pid| format!("process {pid}"))
    )]
    InUse {
        /// The log's directory.
        directory: PathBuf,
        /// The owner's process id, where it could be read.
        pid: Option<u32>,
    },
    /// The directory was written by a newer version of this program.
    #[error("{file} has format {found}; this program knows formats up to {known}; use the newer program")]
    NewerFormat {
        /// The file that says so.
        file: String,
        /// The format found.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// Something that was acknowledged is not there as it was written.
    #[error(
        "{damage}; the log was not opened and nothing was changed; see `tidegate inspect verify {directory}`"
    )]
    Damaged {
        /// The log's directory, as the command that helps wants it.
        directory: String,
        /// The first place found damaged.
        damage: Damage,
    },
    /// The options contradict one another or leave their ranges.
    #[error("the log's options are not usable: {0}")]
    Options(String),
    /// The system refused.
    #[error("{doing} {file}: {source}")]
    Io {
        /// What was being done, as the beginning of a sentence.
        doing: &'static str,
        /// The file or directory.
        file: String,
        /// The system's error.
        source: io::Error,
    },
}
