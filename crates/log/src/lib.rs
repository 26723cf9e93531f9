//! Tidegate's log: frames, and the engines that keep them.
//!
//! A [`Frame`] is the atomic unit: a header, an area of records and an area of payloads. A [`Log`] puts
//! frames in one order, says which of them are on stable storage, and gives them back. Two engines are here:
//! [`LocalLog`] (a directory of segment files; the default) and [`MemoryLog`] (for tests and for embedding
//! without a disk).
//!
//! The log keeps bytes at positions. It has no opinion about jobs: it never looks into a record, reads no
//! clock (a frame's time is an argument) and takes no chances beyond the identity of a new log.
//!
//! `docs/format.md` draws the bytes and gives the rules of recovery; `docs/format.md` and [`frame`] change together.

mod error;
mod log;
mod memory;
mod payload;
mod position;

pub mod disk;
pub mod frame;
pub mod inspect;
pub mod limits;
pub mod local;
pub mod sabotage;

#[cfg(feature = "testing")]
pub mod conformance;

pub use error::{Damage, LogFailure, OpenError, ReadError, SubmitError};
pub use frame::{Frame, FrameBuilder, FrameHeader, FrameView, SealedFrame};
pub use local::{LocalLog, LocalOptions};
pub use log::{
    Durable, DurableListener, FrameReader, Log, LogStatus, Opened, RecoveryReport, SegmentStatus, TornTail,
};
pub use memory::MemoryLog;
pub use payload::PayloadSource;
pub use position::{Epoch, PayloadOffset, Sequence, Shard};
