//! Handles on payloads: cheap to get, cheap to clone, good on any thread, and proof against trimming.
//!
//! A payload is read through a handle on its frame. The handle pins the bytes: a frame in recent memory by
//! sharing them, a frame on disk by sharing the open segment file, which is not recycled while anybody holds
//! it.
//!
//! What is read is verified against the payload's own checksum. Left out: finding out where a payload is. The
//! owner's records say so.

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::error::{Damage, ReadError};
use crate::frame::{
    FrameDefect, FrameHeader, HEADER_BYTES, PAYLOAD_PREFIX_BYTES, SealedFrame, verify_payload,
};
use crate::limits::{PAYLOAD_GAP_BYTES, PAYLOAD_READ_BYTES_MAX};
use crate::local::SegmentFile;
use crate::position::{PayloadOffset, Sequence};
use crate::sabotage;

/// The payloads of one frame, wherever it is.
#[derive(Clone)]
pub struct PayloadSource {
    sequence: Sequence,
    place: Place,
}

#[derive(Clone)]
enum Place {
    Memory(Bytes),
    Segment { segment: Arc<SegmentFile>, frame_at: u64 },
}

impl PayloadSource {
    pub(crate) fn in_memory(frame: &SealedFrame) -> PayloadSource {
        PayloadSource { sequence: frame.header().sequence, place: Place::Memory(frame.payloads()) }
    }

    pub(crate) fn in_segment(sequence: Sequence, segment: Arc<SegmentFile>, frame_at: u64) -> PayloadSource {
        PayloadSource { sequence, place: Place::Segment { segment, frame_at } }
    }

    /// The frame the payloads belong to.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// Whether reading needs no disk. If so, it is quick enough for any thread.
    #[must_use]
    pub fn is_in_memory(&self) -> bool {
        matches!(self.place, Place::Memory(_))
    }

    /// Reads the payload of `len` bytes at `offset`. From memory it shares the frame's bytes, and keeps all
    /// of them alive while it lives.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] naming file and offset if what is there is not that payload, [`ReadError::Io`].
    pub fn read(&self, offset: PayloadOffset, len: u32) -> Result<Bytes, ReadError> {
        let mut payloads = self.read_many(&[(offset, len)])?;
        Ok(payloads.pop().expect("one payload was asked for and one came back"))
    }

    /// Reads several payloads of the frame, in the order asked for. Neighbours share one read.
    ///
    /// # Errors
    /// As [`read`](Self::read): all or none.
    pub fn read_many(&self, wanted: &[(PayloadOffset, u32)]) -> Result<Vec<Bytes>, ReadError> {
        match &self.place {
            Place::Memory(area) => {
                wanted.iter().map(|&(offset, len)| self.read_from_memory(area, offset, len)).collect()
            }
            Place::Segment { segment, frame_at } => self.read_from_segment(segment, *frame_at, wanted),
        }
    }

    fn read_from_memory(&self, area: &Bytes, offset: PayloadOffset, len: u32) -> Result<Bytes, ReadError> {
        let at = offset.0 as usize;
        let end = at + PAYLOAD_PREFIX_BYTES + len as usize;
        let damage =
            |defect| Damage { file: format!("frame {} in memory", self.sequence), offset: at as u64, defect };
        let Some(stored) = area.get(at..end) else {
            return Err(damage(FrameDefect::PayloadAddress { offset, len }).into());
        };
        verify_payload(offset, len, stored).map_err(damage)?;
        Ok(area.slice(at + PAYLOAD_PREFIX_BYTES..end))
    }

    fn read_from_segment(
        &self,
        segment: &SegmentFile,
        frame_at: u64,
        wanted: &[(PayloadOffset, u32)],
    ) -> Result<Vec<Bytes>, ReadError> {
        let header = self.header_of(segment, frame_at)?;
        let area_at = frame_at + header.payloads_at();
        let mut order: Vec<usize> = (0..wanted.len()).collect();
        order.sort_unstable_by_key(|&index| wanted[index].0);
        let mut payloads = vec![Bytes::new(); wanted.len()];
        let mut rest = order.as_slice();
        while let Some(&first) = rest.first() {
            let (start, mut end) = extent(wanted[first]);
            let mut taken = 1;
            while let Some(&next) = rest.get(taken) {
                let (next_start, next_end) = extent(wanted[next]);
                let together = next_end.max(end) - start <= PAYLOAD_READ_BYTES_MAX;
                if next_start > end + PAYLOAD_GAP_BYTES || !together {
                    break;
                }
                end = end.max(next_end);
                taken += 1;
            }
            let (group, behind) = rest.split_at(taken);
            rest = behind;
            if end > u64::from(header.payloads_len) {
                let beyond =
                    group.iter().map(|&index| wanted[index]).max_by_key(|&address| extent(address).1);
                let (offset, len) = beyond.expect("a group has a first member");
                let defect = FrameDefect::PayloadAddress { offset, len };
                return Err(segment.damage(area_at + u64::from(offset.0), defect).into());
            }
            let mut run = BytesMut::zeroed((end - start) as usize);
            segment.read_in_passing(&mut run, area_at + start)?;
            let run = run.freeze();
            for &index in group {
                let (offset, len) = wanted[index];
                let (payload_start, payload_end) = extent(wanted[index]);
                let stored = run.slice((payload_start - start) as usize..(payload_end - start) as usize);
                if !sabotage::is("payload_checksum_ignored") {
                    verify_payload(offset, len, &stored)
                        .map_err(|defect| segment.damage(area_at + payload_start, defect))?;
                }
                payloads[index] = stored.slice(PAYLOAD_PREFIX_BYTES..);
            }
        }
        Ok(payloads)
    }

    /// The frame's header, read for its lengths. Its checksum would need the records; a wrong length leads to
    /// a wrong payload, and that is found by the payload's own checksum.
    fn header_of(&self, segment: &SegmentFile, frame_at: u64) -> Result<FrameHeader, ReadError> {
        let mut bytes = [0; HEADER_BYTES];
        segment.read_exact_at(&mut bytes, frame_at)?;
        let header = FrameHeader::decode(&bytes).map_err(|defect| segment.damage(frame_at, defect))?;
        if header.sequence != self.sequence {
            let defect = FrameDefect::Sequence { expected: self.sequence, found: header.sequence };
            return Err(segment.damage(frame_at, defect).into());
        }
        Ok(header)
    }
}

/// Where a payload, prefix included, begins and ends in its area.
fn extent((offset, len): (PayloadOffset, u32)) -> (u64, u64) {
    let start = u64::from(offset.0);
    (start, start + PAYLOAD_PREFIX_BYTES as u64 + u64::from(len))
}

impl fmt::Debug for PayloadSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match &self.place {
            Place::Memory(_) => "memory",
            Place::Segment { segment, .. } => segment.name(),
        };
        f.debug_struct("PayloadSource").field("sequence", &self.sequence).field("place", &place).finish()
    }
}
