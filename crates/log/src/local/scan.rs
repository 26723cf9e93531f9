//! Frames out of a segment file: header and records, verified, through a read-ahead buffer.
//!
//! Small frames share one system call by the thousand; a long payloads area behind a frame is jumped over.
//! The scanner knows nothing of order: who walks frames in order keeps a [`Chain`](crate::frame::Chain).

use super::SegmentFile;
use crate::error::ReadError;
use crate::frame::{FrameDefect, FrameHeader, FrameView, HEADER_BYTES, MAGIC, field};
use crate::limits::READ_AHEAD_BYTES;
use crate::position::Sequence;
use crate::sabotage;

/// A buffer that moves along a file.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    buffer: Vec<u8>,
    /// How much of the buffer is filled.
    filled: usize,
    /// Where in the file the buffer begins.
    start: u64,
}

impl Scanner {
    /// Forgets what is in the buffer: another file follows, or this one has changed.
    pub(crate) fn forget(&mut self) {
        self.filled = 0;
    }

    /// The frame at `at`, its checksum verified; `end` is where the file, or the readable part of it, ends.
    pub(crate) fn frame_at(
        &mut self,
        segment: &SegmentFile,
        at: u64,
        end: u64,
    ) -> Result<FrameView<'_>, ReadError> {
        let damage = |defect| segment.damage(at, defect);
        let room_bytes = end.saturating_sub(at);
        if room_bytes < HEADER_BYTES as u64 {
            return Err(damage(FrameDefect::NotAFrame).into());
        }
        let header_bytes = self.bytes_at(segment, at, HEADER_BYTES, end)?;
        let header_bytes: [u8; HEADER_BYTES] =
            header_bytes.try_into().expect("as many bytes come back as were asked for");
        let header = FrameHeader::decode(&header_bytes).map_err(damage)?;
        if header.frame_bytes() > room_bytes {
            let claimed_bytes = header.frame_bytes();
            return Err(damage(FrameDefect::Length { claimed_bytes, room_bytes }).into());
        }
        let whole = self.bytes_at(segment, at, header.payloads_at() as usize, end)?;
        let records = &whole[HEADER_BYTES..];
        if !sabotage::is("checksum_ignored") {
            header.verify(&header_bytes, records).map_err(damage)?;
        }
        Ok(FrameView { header, records })
    }

    /// The payloads area of a frame that [`frame_at`](Self::frame_at) gave.
    pub(crate) fn payloads_of(
        &mut self,
        segment: &SegmentFile,
        at: u64,
        header: &FrameHeader,
    ) -> Result<&[u8], ReadError> {
        self.bytes_at(
            segment,
            at + header.payloads_at(),
            header.payloads_len as usize,
            at + header.frame_bytes(),
        )
    }

    /// The next place from `at` on, a multiple of eight, where a header's magic number is and room for a header.
    pub(crate) fn find_magic(
        &mut self,
        segment: &SegmentFile,
        mut at: u64,
        end: u64,
    ) -> Result<Option<u64>, ReadError> {
        while at + HEADER_BYTES as u64 <= end {
            let window = (end - at).min(READ_AHEAD_BYTES as u64) / 8 * 8;
            let bytes = self.bytes_at(segment, at, window as usize, end)?;
            if let Some(index) = bytes.chunks_exact(8).position(|eight| eight[..4] == MAGIC) {
                // The last few bytes of a file can say the number too, and then it ends before a header would.
                let found = at + 8 * index as u64;
                return Ok((found + HEADER_BYTES as u64 <= end).then_some(found));
            }
            at += window;
        }
        Ok(None)
    }

    /// The identity and the sequence that something like a header at `at` names, whether or not it is sound.
    /// For telling what a torn frame may have been.
    pub(crate) fn likeness_at(
        &mut self,
        segment: &SegmentFile,
        at: u64,
    ) -> Result<(u64, Sequence), ReadError> {
        let bytes = self.bytes_at(segment, at, HEADER_BYTES, at + HEADER_BYTES as u64)?;
        let bytes: &[u8; HEADER_BYTES] = bytes.try_into().expect("as many bytes come back as were asked for");
        // A header torn in its lengths does not decode; these two fields are where they are.
        let number = |at: std::ops::Range<usize>| {
            u64::from_le_bytes(bytes[at].try_into().expect("a field of eight bytes is eight bytes long"))
        };
        Ok((number(field::IDENTITY), Sequence(number(field::SEQUENCE))))
    }

    /// `len` bytes at `at`, from the buffer if they are there. Nothing at or behind `end` will be asked for next.
    fn bytes_at(&mut self, segment: &SegmentFile, at: u64, len: usize, end: u64) -> Result<&[u8], ReadError> {
        let held = self.start..self.start + self.filled as u64;
        if at < held.start || at + len as u64 > held.end {
            let ahead = end.saturating_sub(at).min(READ_AHEAD_BYTES as u64) as usize;
            let wanted = len.max(ahead);
            if self.buffer.len() < wanted {
                self.buffer.resize(wanted, 0);
            }
            let goes_on = held.contains(&at) || at == held.end;
            self.filled = 0;
            self.start = at;
            self.filled = segment.read_at(&mut self.buffer[..wanted], at)?;
            let filled_to = at + self.filled as u64;
            if goes_on && filled_to < end {
                segment.file().will_read(filled_to, (end - filled_to).min(READ_AHEAD_BYTES as u64));
            }
            if self.filled < len {
                return Err(segment.damage(at, FrameDefect::FileEnds).into());
            }
        }
        let from = (at - self.start) as usize;
        Ok(&self.buffer[from..from + len])
    }
}
