//! The contract every engine keeps.
//!
//! ```text
//!            trimmed        durable            submitted, in flight
//!        ─ ─ ─ ─ ─ ─ ─┬──────────────────────┬───────────────────────┬─ ─ ─ ─
//!         … gone …    │ first …      durable │ durable+1 …      last │ last+1
//!        ─ ─ ─ ─ ─ ─ ─┴──────────────────────┴───────────────────────┴─ ─ ─ ─
//!                        read() sees these      payload() sees these    submit(last, …)
//!                                               as well
//! ```
//!
//! Promises: frames have one order, without gaps. What `durable` covers survives a crash, whole. What it does
//! not cover survives whole or not at all, and never without everything before it. After the first failed
//! write or sync nothing more is taken or called durable.
//!
//! Left out: what frames mean, when to trim, how much to have in flight. Those are the owner's.

use std::sync::Arc;

use crate::error::{LogFailure, ReadError, SubmitError};
use crate::frame::{Frame, FrameView};
use crate::payload::PayloadSource;
use crate::position::{Epoch, Sequence};

/// One totally ordered log of frames with one owner at a time. All methods may be called from any thread.
pub trait Log: Send + Sync {
    /// Orders `frame` right behind `after` and returns at once; the frame is **not yet durable**.
    ///
    /// The frame must have been finished with the sequence `after.next()`; another one is a bug of the caller
    /// and panics. The log stamps what only it knows: its identity, the chain, and what is durable so far.
    ///
    /// # Errors
    /// [`Fenced`](SubmitError::Fenced) if the log's last sequence is not `after`, or the frame's epoch is
    /// lower than one the log has seen; [`Failed`](SubmitError::Failed) for ever after a failed write or
    /// sync.
    fn submit(&self, after: Sequence, frame: Frame) -> Result<(), SubmitError>;

    /// What is on stable storage, and the failure if there has been one. Costs two atomic loads.
    fn durable(&self) -> Durable;

    /// Blocks until `sequence` is durable and returns the highest durable sequence.
    ///
    /// # Errors
    /// The failure that means it never will be through this handle.
    fn wait_durable(&self, sequence: Sequence) -> Result<Sequence, Arc<LogFailure>>;

    /// Adds a listener that hears of each advance of `durable`, and once of a failure.
    ///
    /// It is called on the thread that made the frames durable: the writer's, or (in engines without one) the
    /// submitter's, inside `submit`. It must be quick and must not submit. One that comes after a failure
    /// hears of it at once, on the caller's thread.
    fn on_durable(&self, listener: DurableListener);

    /// A buffer that no frame needs any more, for the next frame. None is always a right answer.
    fn spare_buffer(&self) -> Option<Vec<u8>> {
        None
    }

    /// Bytes submitted and not yet durable. An owner keeps this under
    /// [`IN_FLIGHT_BYTES_MAX`](crate::limits::IN_FLIGHT_BYTES_MAX).
    fn in_flight_bytes(&self) -> u64;

    /// Reads frames from `from` (or the first one, if `from` is zero) to the last durable one, headers and
    /// records only.
    ///
    /// # Errors
    /// [`Trimmed`](ReadError::Trimmed) or [`NotYet`](ReadError::NotYet) if `from` is neither held nor the
    /// place right behind the last frame (where the reader is simply at its end).
    fn read(&self, from: Sequence) -> Result<Box<dyn FrameReader>, ReadError>;

    /// A handle on the payloads of the frame at `at`, durable or still in flight. Getting it does no IO.
    /// While it is held, trimming cannot take the bytes away from under it.
    ///
    /// # Errors
    /// [`Trimmed`](ReadError::Trimmed) or [`NotYet`](ReadError::NotYet).
    fn payload(&self, at: Sequence) -> Result<PayloadSource, ReadError>;

    /// Says that nothing before `before` is needed any more. The log lets go of as much of it as it
    /// conveniently can (a segment engine: whole segments, and never the one it is writing), soon, and
    /// survives a crash on the way.
    fn trim(&self, before: Sequence);

    /// What the log holds and where. Asks the file system for its free space: not for the hot path.
    fn status(&self) -> LogStatus;

    /// Makes everything submitted durable, notes in the log that its end is known, and stops. Closing twice
    /// is fine. A log that is dropped without it loses nothing durable, and the next opening takes it for a
    /// crash.
    ///
    /// # Errors
    /// The failure that kept the last frames from becoming durable.
    fn close(&self) -> Result<(), Arc<LogFailure>>;
}

/// Goes through frames in order.
pub trait FrameReader: Send {
    /// The next frame, or `None` at the last durable one; a later call may find that there is more by then.
    /// The frame's checksum and its place in the chain have been verified; its payloads have not been read.
    ///
    /// # Errors
    /// [`ReadError`]; after one, the reader stays where it is.
    fn next_frame(&mut self) -> Result<Option<FrameView<'_>>, ReadError>;
}

/// Hears that everything up to a sequence is durable, or that nothing more will be.
pub type DurableListener = Box<dyn Fn(Result<Sequence, Arc<LogFailure>>) + Send + Sync>;

/// What is on stable storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durable {
    /// The highest sequence known to be durable. It stays true after a failure.
    pub sequence: Sequence,
    /// Why nothing more will become durable, if that is so.
    pub failure: Option<Arc<LogFailure>>,
}

/// An opened log and what opening found.
#[derive(Debug)]
pub struct Opened<L> {
    /// The log, ready.
    pub log: L,
    /// What was found, and mended, on the way.
    pub recovery: RecoveryReport,
}

/// What opening a log found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The first sequence held. In an empty log: the one the next frame will have.
    pub first: Sequence,
    /// The last sequence held. All of it is durable now. Zero in a new log.
    pub last: Sequence,
    /// The epoch of this opening: higher than any seen. The owner's frames carry it.
    pub epoch: Epoch,
    /// The time of the last frame, in Unix milliseconds; zero if there is none.
    pub last_time_ms: u64,
    /// Whether the log had been closed properly.
    pub closed: bool,
    /// What was cut from the end, if anything had to be.
    pub torn: Option<TornTail>,
}

/// Bytes at the end of a log that a crash left unfinished. None of them had been acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The file's name inside the log's directory.
    pub file: String,
    /// Where the cut was made, in bytes from the file's beginning.
    pub offset: u64,
    /// How many bytes from there held something and were cleared, counted to the last one that did.
    pub bytes: u64,
    /// What was found at the cut.
    pub reason: String,
}

/// What a log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStatus {
    /// The first sequence held. In an empty log: the one the next frame will have.
    pub first: Sequence,
    /// The last sequence accepted.
    pub last: Sequence,
    /// The highest durable sequence.
    pub durable: Sequence,
    /// Bytes of all frames held, without spares and unused room.
    pub bytes: u64,
    /// Bytes submitted and not yet durable.
    pub in_flight_bytes: u64,
    /// Bytes the file system says are free; `u64::MAX` where there is none.
    pub free_bytes: u64,
    /// Spare segments, ready for use.
    pub spares: usize,
    /// The segments, oldest first. Engines without segments say one.
    pub segments: Vec<SegmentStatus>,
}

/// One segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentStatus {
    /// The sequence of its first frame (to come, if it is empty).
    pub first: Sequence,
    /// Bytes of the durable frames in it.
    pub bytes: u64,
}
