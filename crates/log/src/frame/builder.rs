//! Building a frame.
//!
//! ```text
//!   FrameBuilder ── finish(shard, epoch, sequence, time) ──▶ Frame ── seal(identity, previous, durable) ──▶ SealedFrame
//!   (the owner's turn)                                     (submitted)                              (the log's order)
//! ```
//! The builder's two buffers are reused from turn to turn. `finish` copies once, into a buffer that an earlier frame
//! no longer needs (see [`Log::spare_buffer`](crate::Log::spare_buffer)) or into a new one; the records' checksum is
//! computed there, once. `seal` touches the header only.

use bytes::Bytes;

use super::header::{checksum_of, padded};
use super::payloads::prefix_of;
use super::{FrameHeader, HEADER_BYTES, PAYLOAD_PREFIX_BYTES};
use crate::limits::FRAME_BYTES_MAX;
use crate::position::{Epoch, PayloadOffset, Sequence, Shard};

/// Gathers one turn's records and payloads.
#[derive(Debug, Default)]
pub struct FrameBuilder {
    records: Vec<u8>,
    record_count: u32,
    payloads: Vec<u8>,
    payload_count: u32,
    payloads_digest: u32,
}

impl FrameBuilder {
    /// An empty builder.
    #[must_use]
    pub fn new() -> FrameBuilder {
        FrameBuilder::default()
    }

    /// Adds a record, given as bytes that delimit themselves.
    pub fn push_record(&mut self, record: &[u8]) {
        self.with_record(|records| records.extend_from_slice(record));
    }

    /// Adds a record that `write` appends to the records area in place. It must only append.
    pub fn with_record<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let before = self.records.len();
        let result = write(&mut self.records);
        assert!(
            self.records.len() >= before,
            "a record is appended; what stands before it is not the writer's"
        );
        self.record_count += 1;
        result
    }

    /// Adds a payload and says where it is: with the frame's sequence and the payload's length, this is its
    /// address.
    pub fn push_payload(&mut self, payload: &[u8]) -> PayloadOffset {
        self.push_payload_with(|payloads| payloads.extend_from_slice(payload))
    }

    /// As [`push_payload`](Self::push_payload), with a payload that `write` appends in place. It must only append.
    pub fn push_payload_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> PayloadOffset {
        let offset = self.payload_cursor();
        let prefix_at = self.payloads.len();
        let at = prefix_at + PAYLOAD_PREFIX_BYTES;
        self.payloads.resize(at, 0);
        write(&mut self.payloads);
        let prefix = prefix_of(&self.payloads[at..]);
        self.payloads[prefix_at..at].copy_from_slice(&prefix);
        self.payloads_digest = crc32c::crc32c_append(self.payloads_digest, &prefix);
        self.payload_count += 1;
        offset
    }

    /// Where the next payload will be.
    #[must_use]
    pub fn payload_cursor(&self) -> PayloadOffset {
        PayloadOffset(u32::try_from(self.payloads.len()).expect("a frame is shorter than four gigabytes"))
    }

    /// The length the frame would have now, in bytes. A turn ends before this passes
    /// [`FRAME_BYTES_MAX`].
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        padded((HEADER_BYTES + self.records.len() + self.payloads.len()) as u64) as usize
    }

    /// How many bytes a payload of `len` bytes adds to a frame.
    #[must_use]
    pub const fn payload_bytes(len: usize) -> usize {
        PAYLOAD_PREFIX_BYTES + len
    }

    /// Whether nothing has been added yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.record_count == 0 && self.payload_count == 0
    }

    /// Forgets everything added and keeps the room for it.
    pub fn clear(&mut self) {
        self.records.clear();
        self.payloads.clear();
        (self.record_count, self.payload_count, self.payloads_digest) = (0, 0, 0);
    }

    /// Makes the frame and leaves the builder empty. `time_ms` is the turn's time in Unix milliseconds.
    ///
    /// # Panics
    /// If the frame is longer than [`FRAME_BYTES_MAX`]: the turn should have
    /// ended earlier.
    pub fn finish(&mut self, shard: Shard, epoch: Epoch, sequence: Sequence, time_ms: u64) -> Frame {
        self.finish_in(Vec::new(), shard, epoch, sequence, time_ms)
    }

    /// As [`finish`](Self::finish), in a buffer that is no longer needed: memory that has been touched before is
    /// cheaper than new memory, which the system must zero page by page.
    ///
    /// # Panics
    /// As `finish`.
    pub fn finish_in(
        &mut self,
        mut bytes: Vec<u8>,
        shard: Shard,
        epoch: Epoch,
        sequence: Sequence,
        time_ms: u64,
    ) -> Frame {
        let frame_bytes = self.frame_bytes();
        assert!(
            frame_bytes <= FRAME_BYTES_MAX,
            "a frame of {frame_bytes} bytes is longer than frames may be"
        );
        let header = FrameHeader {
            shard,
            record_count: self.record_count,
            identity: 0,
            epoch,
            sequence,
            time_ms,
            durable: Sequence::ZERO,
            records_len: self.records.len() as u32,
            payloads_len: self.payloads.len() as u32,
            payload_count: self.payload_count,
            payloads_digest: self.payloads_digest,
            previous: 0,
            checksum: 0,
        };
        bytes.clear();
        // Exactly: a buffer that grew to twice what it holds would soon be too large to be kept for the next frame.
        bytes.reserve_exact(frame_bytes);
        bytes.resize(HEADER_BYTES, 0);
        bytes.extend_from_slice(&self.records);
        bytes.extend_from_slice(&self.payloads);
        bytes.resize(frame_bytes, 0);
        let frame = Frame { header, records_checksum: crc32c::crc32c(&self.records), bytes };
        self.clear();
        frame
    }
}

/// A finished frame, not yet part of a log: what only the log knows is missing in its header.
#[derive(Debug)]
pub struct Frame {
    header: FrameHeader,
    records_checksum: u32,
    bytes: Vec<u8>,
}

impl Frame {
    /// The header as far as it is known.
    #[must_use]
    pub fn header(&self) -> &FrameHeader {
        &self.header
    }

    /// The frame's length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Never: a frame has at least a header. (Asked for by convention beside `len`.)
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Stamps what the log knows, and thereby makes the bytes final. For engines.
    #[must_use]
    pub fn seal(self, identity: u64, previous: u32, durable: Sequence) -> SealedFrame {
        let Frame { mut header, records_checksum, mut bytes } = self;
        header.identity = identity;
        header.previous = previous;
        header.durable = durable;
        header.checksum = checksum_of(records_checksum, &header.encode());
        bytes[..HEADER_BYTES].copy_from_slice(&header.encode());
        SealedFrame { header, bytes: Bytes::from(bytes) }
    }
}

/// A frame in its final bytes. Cloning shares them.
#[derive(Clone, Debug)]
pub struct SealedFrame {
    header: FrameHeader,
    bytes: Bytes,
}

impl SealedFrame {
    /// The header.
    #[must_use]
    pub fn header(&self) -> &FrameHeader {
        &self.header
    }

    /// The whole frame, header to padding.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The frame's buffer, if nobody else shares it, for [`FrameBuilder::finish_in`].
    #[must_use]
    pub fn into_buffer(self) -> Option<Vec<u8>> {
        self.bytes.try_into_mut().ok().map(Vec::from)
    }

    /// The records area.
    #[must_use]
    pub fn records(&self) -> &[u8] {
        &self.bytes[HEADER_BYTES..self.header.payloads_at() as usize]
    }

    /// The payloads area, sharing the frame's bytes.
    #[must_use]
    pub fn payloads(&self) -> Bytes {
        let at = self.header.payloads_at() as usize;
        self.bytes.slice(at..at + self.header.payloads_len as usize)
    }
}
