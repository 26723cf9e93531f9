//! The header's eighty bytes.

use std::ops::Range;

use super::FrameDefect;
use crate::limits::FRAME_BYTES_MAX;
use crate::position::{Epoch, Sequence, Shard};

/// The first four bytes of every frame.
pub const MAGIC: [u8; 4] = *b"TGFR";

/// The newest format this program writes and reads.
pub const FORMAT_VERSION: u16 = 1;

/// The header's length, in bytes.
pub const HEADER_BYTES: usize = 80;

/// Where each field of the header is. All numbers are little-endian.
pub mod field {
    use super::Range;

    /// `TGFR`.
    pub const MAGIC: Range<usize> = 0..4;
    /// The format's version, u16.
    pub const VERSION: Range<usize> = 4..6;
    /// No flag is defined in version 1: zero, u16.
    pub const FLAGS: Range<usize> = 6..8;
    /// The shard, u16.
    pub const SHARD: Range<usize> = 8..10;
    /// Zero, u16.
    pub const RESERVED: Range<usize> = 10..12;
    /// How many records there are, u32.
    pub const RECORD_COUNT: Range<usize> = 12..16;
    /// The log's identity, u64.
    pub const IDENTITY: Range<usize> = 16..24;
    /// The owner's epoch, u64.
    pub const EPOCH: Range<usize> = 24..32;
    /// The frame's sequence, u64.
    pub const SEQUENCE: Range<usize> = 32..40;
    /// The turn's time in Unix milliseconds, u64.
    pub const TIME_MS: Range<usize> = 40..48;
    /// The highest sequence known durable when the frame was submitted, u64.
    pub const DURABLE: Range<usize> = 48..56;
    /// Bytes of records, u32.
    pub const RECORDS_LEN: Range<usize> = 56..60;
    /// Bytes of payloads, u32.
    pub const PAYLOADS_LEN: Range<usize> = 60..64;
    /// How many payloads there are, u32.
    pub const PAYLOAD_COUNT: Range<usize> = 64..68;
    /// CRC-32C over the prefixes of all payloads, u32.
    pub const PAYLOADS_DIGEST: Range<usize> = 68..72;
    /// The checksum of the frame before; zero in frame 1, u32.
    pub const PREVIOUS: Range<usize> = 72..76;
    /// CRC-32C over the records and then the 76 header bytes before this field, u32.
    pub const CHECKSUM: Range<usize> = 76..80;
}

/// A frame's header, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The shard the frame belongs to.
    pub shard: Shard,
    /// How many records there are.
    pub record_count: u32,
    /// The log's identity: keeps a frame of another log, or one forged inside a payload, from being taken for
    /// ours.
    pub identity: u64,
    /// The owner's epoch.
    pub epoch: Epoch,
    /// The frame's place.
    pub sequence: Sequence,
    /// The turn's time, in Unix milliseconds.
    pub time_ms: u64,
    /// The highest sequence known durable when the frame was submitted. Recovery tells by it a torn tail from
    /// damage: whatever is at or below any such claim had been acknowledged.
    pub durable: Sequence,
    /// Bytes of records.
    pub records_len: u32,
    /// Bytes of payloads, prefixes included.
    pub payloads_len: u32,
    /// How many payloads there are.
    pub payload_count: u32,
    /// Checksum over the payloads' prefixes (each a checksum and a length). Without it a payload left over in
    /// a recycled segment, sound in itself and of the same length, could pass for the one a crash kept from
    /// being written.
    pub payloads_digest: u32,
    /// The checksum of the frame before; zero in frame 1.
    pub previous: u32,
    /// The checksum over records and header.
    pub checksum: u32,
}

impl FrameHeader {
    /// Reads a header. Only its form is judged: [`verify`](Self::verify) tells whether it is true.
    ///
    /// # Errors
    /// [`FrameDefect::NotAFrame`], [`Version`](FrameDefect::Version), [`Reserved`](FrameDefect::Reserved) or
    /// [`Length`](FrameDefect::Length).
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<FrameHeader, FrameDefect> {
        if bytes[field::MAGIC] != MAGIC {
            return Err(FrameDefect::NotAFrame);
        }
        let version = u16_at(bytes, field::VERSION);
        if version != FORMAT_VERSION {
            return Err(FrameDefect::Version(version));
        }
        if u16_at(bytes, field::FLAGS) != 0 || u16_at(bytes, field::RESERVED) != 0 {
            return Err(FrameDefect::Reserved);
        }
        let header = FrameHeader {
            shard: Shard(u16_at(bytes, field::SHARD)),
            record_count: u32_at(bytes, field::RECORD_COUNT),
            identity: u64_at(bytes, field::IDENTITY),
            epoch: Epoch(u64_at(bytes, field::EPOCH)),
            sequence: Sequence(u64_at(bytes, field::SEQUENCE)),
            time_ms: u64_at(bytes, field::TIME_MS),
            durable: Sequence(u64_at(bytes, field::DURABLE)),
            records_len: u32_at(bytes, field::RECORDS_LEN),
            payloads_len: u32_at(bytes, field::PAYLOADS_LEN),
            payload_count: u32_at(bytes, field::PAYLOAD_COUNT),
            payloads_digest: u32_at(bytes, field::PAYLOADS_DIGEST),
            previous: u32_at(bytes, field::PREVIOUS),
            checksum: u32_at(bytes, field::CHECKSUM),
        };
        if header.frame_bytes() > FRAME_BYTES_MAX as u64 {
            return Err(FrameDefect::Length {
                claimed_bytes: header.frame_bytes(),
                room_bytes: FRAME_BYTES_MAX as u64,
            });
        }
        Ok(header)
    }

    /// Writes the header, checksum included as it stands.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[field::MAGIC].copy_from_slice(&MAGIC);
        bytes[field::VERSION].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[field::SHARD].copy_from_slice(&self.shard.0.to_le_bytes());
        bytes[field::RECORD_COUNT].copy_from_slice(&self.record_count.to_le_bytes());
        bytes[field::IDENTITY].copy_from_slice(&self.identity.to_le_bytes());
        bytes[field::EPOCH].copy_from_slice(&self.epoch.0.to_le_bytes());
        bytes[field::SEQUENCE].copy_from_slice(&self.sequence.0.to_le_bytes());
        bytes[field::TIME_MS].copy_from_slice(&self.time_ms.to_le_bytes());
        bytes[field::DURABLE].copy_from_slice(&self.durable.0.to_le_bytes());
        bytes[field::RECORDS_LEN].copy_from_slice(&self.records_len.to_le_bytes());
        bytes[field::PAYLOADS_LEN].copy_from_slice(&self.payloads_len.to_le_bytes());
        bytes[field::PAYLOAD_COUNT].copy_from_slice(&self.payload_count.to_le_bytes());
        bytes[field::PAYLOADS_DIGEST].copy_from_slice(&self.payloads_digest.to_le_bytes());
        bytes[field::PREVIOUS].copy_from_slice(&self.previous.to_le_bytes());
        bytes[field::CHECKSUM].copy_from_slice(&self.checksum.to_le_bytes());
        bytes
    }

    /// Checks header and records against the header's checksum. `header_bytes` are the bytes this header was
    /// decoded from.
    ///
    /// # Errors
    /// [`FrameDefect::Checksum`].
    pub fn verify(&self, header_bytes: &[u8; HEADER_BYTES], records: &[u8]) -> Result<(), FrameDefect> {
        let found = checksum_of(crc32c::crc32c(records), header_bytes);
        if found == self.checksum {
            Ok(())
        } else {
            Err(FrameDefect::Checksum { expected: self.checksum, found })
        }
    }

    /// Where the payloads area begins, in bytes from the frame's beginning.
    #[must_use]
    pub fn payloads_at(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.records_len)
    }

    /// The whole frame's length in bytes, padding included.
    #[must_use]
    pub fn frame_bytes(&self) -> u64 {
        padded(self.payloads_at() + u64::from(self.payloads_len))
    }
}

/// The header's checksum: the records come first, so that theirs is computed once when the frame is built and
/// the few header bytes the log stamps later cost almost nothing.
pub(crate) fn checksum_of(records_checksum: u32, header: &[u8; HEADER_BYTES]) -> u32 {
    crc32c::crc32c_append(records_checksum, &header[..field::CHECKSUM.start])
}

/// Frames begin at multiples of eight: recovery need look for one only there.
pub(crate) const fn padded(bytes: u64) -> u64 {
    bytes.next_multiple_of(8)
}

fn u16_at(bytes: &[u8; HEADER_BYTES], at: Range<usize>) -> u16 {
    u16::from_le_bytes(bytes[at].try_into().expect("a field of two bytes is two bytes long"))
}

fn u32_at(bytes: &[u8; HEADER_BYTES], at: Range<usize>) -> u32 {
    u32::from_le_bytes(bytes[at].try_into().expect("a field of four bytes is four bytes long"))
}

fn u64_at(bytes: &[u8; HEADER_BYTES], at: Range<usize>) -> u64 {
    u64::from_le_bytes(bytes[at].try_into().expect("a field of eight bytes is eight bytes long"))
}
