//! One open segment file, shared by the writer, readers and payload handles.
//!
//! Sharing is what pins it: a trimmed segment is recycled only when nobody else holds it. Otherwise its name
//! is taken away and the bytes live on until the last holder lets go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk::DiskFile;
use crate::error::{Damage, ReadError};
use crate::frame::FrameDefect;
use crate::limits::AHEAD_BYTES;
use crate::position::Sequence;

const SUFFIX: &str = ".segment";

/// An open segment file.
#[derive(Debug)]
pub struct SegmentFile {
    first: Sequence,
    name: String,
    file: Arc<dyn DiskFile>,
    /// Up to where the system has been told to read, by those who read payloads one behind the other.
    ahead: AtomicU64,
}

impl SegmentFile {
    pub(crate) fn new(first: Sequence, file: Arc<dyn DiskFile>) -> SegmentFile {
        file.never_read_ahead();
        SegmentFile { first, name: segment_name(first), file, ahead: AtomicU64::new(0) }
    }

    /// The sequence of its first frame.
    #[must_use]
    pub fn first(&self) -> Sequence {
        self.first
    }

    /// Its name in the log's directory.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    pub(crate) fn into_file(self) -> Arc<dyn DiskFile> {
        self.file
    }

    pub(crate) fn damage(&self, offset: u64, defect: FrameDefect) -> Damage {
        Damage { file: self.name.clone(), offset, defect }
    }

    /// Reads what can be read of `buffer`, and says how much that was.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, ReadError> {
        self.file.read_at(buffer, offset).map_err(|source| ReadError::Io {
            file: self.name.clone(),
            offset,
            source,
        })
    }

    /// [`read_exact_at`](Self::read_exact_at) for those who will mostly go on behind it: what follows is read ahead, as far as
    /// the frames' own writes and flushes do not notice.
    pub(crate) fn read_in_passing(&self, buffer: &mut [u8], offset: u64) -> Result<(), ReadError> {
        self.read_exact_at(buffer, offset)?;
        let end = offset + buffer.len() as u64;
        let ahead = self.ahead.load(Ordering::Relaxed);
        let is_near = ahead < end + 2 * AHEAD_BYTES && offset < ahead + AHEAD_BYTES;
        if is_near && end + AHEAD_BYTES / 2 < ahead {
            return Ok(());
        }
        let from = ahead.max(end);
        let to = if is_near { from + AHEAD_BYTES } else { end };
        // Of several readers one tells the system.
        let told = self.ahead.compare_exchange(ahead, to, Ordering::Relaxed, Ordering::Relaxed);
        if told.is_ok() && is_near {
            self.file.will_read(from, AHEAD_BYTES);
        }
        Ok(())
    }

    pub(crate) fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), ReadError> {
        if self.read_at(buffer, offset)? == buffer.len() {
            Ok(())
        } else {
            Err(self.damage(offset, FrameDefect::FileEnds).into())
        }
    }
}

/// The name of the segment that begins with `first`. Twenty digits hold any sequence, so names sort as
/// sequences do.
#[must_use]
pub fn segment_name(first: Sequence) -> String {
    format!("{:020}{SUFFIX}", first.0)
}

/// The first sequence of the segment called `name`, if it is a segment's name.
#[must_use]
pub fn segment_first(name: &str) -> Option<Sequence> {
    let digits = name.strip_suffix(SUFFIX)?;
    let first = Sequence(digits.parse().ok()?);
    (segment_name(first) == name && first > Sequence::ZERO).then_some(first)
}
