//! A frame: the atomic unit of the log, as bytes. `docs/format.md` draws it; [`field`] is its layout in code.
//!
//! ```text
//!  ┌────────────┬──────────────────┬──────────────────────────────────────────┬─────────┐
//!  │ header, 80 │ records          │ payloads: (crc u32, len u32, bytes) …    │ padding │
//!  └────────────┴──────────────────┴──────────────────────────────────────────┴─────────┘
//!   └──── covered by the header's checksum ────┘ └ each by its own, all prefixes by the header's digest
//! ```
//!
//! Promises: decoding looks at lengths before it believes them and allocates nothing. A frame whose checksum
//! is right is the frame that was written: its place, its epoch, its records, and (through the digest) which
//! payloads belong to it. Records can be verified without touching payload bytes.
//!
//! Left out: what is in a record. The chain from frame to frame is in [`chain`](crate::frame::Chain).

mod builder;
mod chain;
mod header;
mod payloads;

pub use builder::{Frame, FrameBuilder, SealedFrame};
pub use chain::Chain;
pub use header::{FORMAT_VERSION, FrameHeader, HEADER_BYTES, MAGIC, field};
pub use payloads::{PAYLOAD_PREFIX_BYTES, verify_payload, walk_payloads};

use thiserror::Error;

use crate::position::{Epoch, PayloadOffset, Sequence};

/// A frame in a reader's hands: its header and its records, borrowed from the reader's buffer.
#[derive(Clone, Copy, Debug)]
pub struct FrameView<'a> {
    /// The decoded header.
    pub header: FrameHeader,
    /// The records area: `header.record_count` records as the owner wrote them.
    pub records: &'a [u8],
}

/// What is wrong with some bytes that should be a frame or a payload.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FrameDefect {
    /// There is no frame here: the magic number is missing.
    #[error("no frame begins here")]
    NotAFrame,
    /// The frame is of a format this program does not know.
    #[error("the frame has format {0}, which this program does not know")]
    Version(u16),
    /// Bits that must be zero are not.
    #[error("reserved bits of the header are set")]
    Reserved,
    /// The lengths in the header cannot be true.
    #[error("the header claims a frame of {claimed_bytes} bytes where {room_bytes} can be")]
    Length {
        /// Bytes the frame would take.
        claimed_bytes: u64,
        /// Bytes it could take at most.
        room_bytes: u64,
    },
    /// Header and records do not match their checksum.
    #[error("the checksum of header and records is {found:08x} and should be {expected:08x}")]
    Checksum {
        /// What the header says.
        expected: u32,
        /// What the bytes give.
        found: u32,
    },
    /// The frame belongs to another log.
    #[error("the frame belongs to another log (identity {found:016x})")]
    Identity {
        /// The identity in the frame.
        found: u64,
    },
    /// Another frame should be here.
    #[error("frame {found} is here where frame {expected} should be")]
    Sequence {
        /// The sequence that should be here.
        expected: Sequence,
        /// The sequence that is here.
        found: Sequence,
    },
    /// The frame was written by an earlier owner than the one before it.
    #[error("the frame's epoch {found} is lower than the epoch {expected} before it")]
    Epoch {
        /// The lowest epoch that could be here.
        expected: Epoch,
        /// The epoch that is here.
        found: Epoch,
    },
    /// The frame does not follow the one before it.
    #[error("the frame follows a frame with checksum {found:08x}, but the one before it has {expected:08x}")]
    Chain {
        /// The checksum of the frame before.
        expected: u32,
        /// The checksum the frame names.
        found: u32,
    },
    /// The frame claims that itself or a later one was durable when it was written.
    #[error("the frame claims {0} to be durable, which is not before itself")]
    DurableAhead(Sequence),
    /// A payload's bytes do not match its checksum.
    #[error("the payload at {offset} of the payloads area does not match its checksum")]
    Payload {
        /// Where in the payloads area.
        offset: PayloadOffset,
    },
    /// A payload is not where, or not as long as, it was said to be.
    #[error("there is no payload of {len} bytes at {offset} of the payloads area")]
    PayloadAddress {
        /// Where in the payloads area.
        offset: PayloadOffset,
        /// The length asked for or claimed, in bytes.
        len: u32,
    },
    /// The payloads are sound one by one but are not the ones this frame was written with.
    #[error("the payloads are not those of this frame")]
    PayloadsDigest,
    /// The file ends inside the frame.
    #[error("the file ends inside the frame")]
    FileEnds,
    /// Frames are missing: a file ends before the next one begins.
    #[error("the frames from {expected} on are missing; what follows begins at {found}")]
    Missing {
        /// The first missing sequence.
        expected: Sequence,
        /// The sequence that is there instead.
        found: Sequence,
    },
    /// The log ends before what was acknowledged.
    #[error("the frames from {expected} on are missing; {durable} had been acknowledged")]
    EndsEarly {
        /// The first missing sequence.
        expected: Sequence,
        /// A sequence known to have been durable.
        durable: Sequence,
    },
    /// A frame that had been acknowledged is not whole.
    #[error("frame {sequence} had been acknowledged (a later one knew {durable} to be durable), but {found}")]
    Acknowledged {
        /// The frame that is not whole.
        sequence: Sequence,
        /// A sequence, this or a later one, known to have been durable.
        durable: Sequence,
        /// What is wrong with it.
        found: Box<FrameDefect>,
    },
    /// The file that names the log cannot be read.
    #[error("the log's meta file is {0}")]
    Meta(&'static str),
}
